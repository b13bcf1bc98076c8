// ftfy.fix_text() of ftfy 6.3.1 with its default settings: the repair of text that was decoded in
// the wrong encoding ("sÃ³" for "só"), and of entities, quotes, widths and control characters. The
// rules are described in docs/text.md; the tables are ftfy's own.
#ifndef BDPO_FTFY_H
#define BDPO_FTFY_H

#include "text/runes.h"

// text = ftfy.fix_text(text). Only memory can be wanting: bdpo_runes_check(text).
void bdpo_ftfy_fix_text(bdpo_runes *text);

// ---- its parts -----------------------------------------------------------------------------

// The classes of a character, bits of ftfy_tables.h.
uint32_t bdpo_ftfy_get_class(uint32_t rune);
// True where the text holds a sequence that hardly occurs but in mojibake.
bool bdpo_ftfy_is_bad(const uint32_t *text, size_t n);
// Decodes what was decoded wrongly, as often as that changes something.
void bdpo_ftfy_fix_encoding(bdpo_runes *text);
// U+0080 to U+009F as Windows means them.
void bdpo_ftfy_fix_c1(bdpo_runes *text);

#endif
