// Decoding of HTML's character references, in two manners.
#ifndef BDPO_HTML_ENTITIES_H
#define BDPO_HTML_ENTITIES_H

#include "text/runes.h"

// text = Python's html.unescape(text): names and numbers by the rules of HTML5, some without their
// semicolon. (Python refuses decimal numbers of more than 4,300 digits; here they are U+FFFD.)
// `spare` is any text; its content is lost.
void bdpo_html_unescape(bdpo_runes *text, bdpo_runes *spare);
// text = what ftfy makes of it: only references that end in a semicolon, and names in capitals too.
void bdpo_html_unescape_careful(bdpo_runes *text, bdpo_runes *spare);

#endif
