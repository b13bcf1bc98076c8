// What happens to a prompt before it is cut into words, and how it is cut: one function of each
// for the five pipelines of clip_bpe.h.
#ifndef BDPO_CLEAN_H
#define BDPO_CLEAN_H

#include "text/clip_bpe.h"
#include "text/runes.h"

// text = the text of which words are made: cleaned, in lower case. `spare` is any text; its content
// is lost. In FAST and SLOW pipelines the text is what stands between two added tokens.
void bdpo_clip_clean(bdpo_runes *text, bdpo_runes *spare, bdpo_clip_pipeline pipeline);

typedef enum bdpo_clip_mark {
    BDPO_CLIP_NO_MARK,
    BDPO_CLIP_BEGIN_MARK,
    BDPO_CLIP_END_MARK
} bdpo_clip_mark;

// Where the cutting of a text stands. Start from {0}.
typedef struct bdpo_clip_cursor {
    size_t at;       // the current word's first rune
    size_t next;     // behind it
    size_t mark_end; // the end of the last spelling of a mark: no word reaches over it
} bdpo_clip_cursor;

// Moves to the next word, text->data[at .. next); false where there is none. *mark tells whether it
// is a spelling of begin or end that the pipeline gives that mark's id.
bool bdpo_clip_next_word(bdpo_clip_mark *mark, bdpo_clip_cursor *cursor, const bdpo_runes *text,
                         bdpo_clip_pipeline pipeline);

#endif
