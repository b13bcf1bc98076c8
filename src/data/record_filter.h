// Which rows of a data set are kept: subsets by index and by hash, listed words, duplicates, sizes.
// Internal to this room.
#ifndef BDPO_RECORD_FILTER_H
#define BDPO_RECORD_FILTER_H

#include "data/record_form.h"

typedef struct bdpo_record_filter bdpo_record_filter;

// Reads the lists that the options name. *out is the caller's, freed by bdpo_record_filter_free().
BDPO_MUST_CHECK bdpo_status bdpo_record_filter_new(bdpo_record_filter **out,
                                                   const bdpo_record_options *options,
                                                   const char *data_set);
void bdpo_record_filter_free(bdpo_record_filter *filter); // NULL is fine

// Whether the index is in the subset.
BDPO_MUST_CHECK bdpo_status bdpo_record_filter_has(bool *out, const bdpo_record_filter *filter,
                                                   int64_t index);
// Drops the row for its split, label or prompt; its prompt is valid UTF-8.
BDPO_MUST_CHECK bdpo_status bdpo_record_filter_words(bdpo_row *row, bdpo_record_filter *filter);
// Drops the row for its pictures: their size in pixels, or that the same was there before.
BDPO_MUST_CHECK bdpo_status bdpo_record_filter_pictures(bdpo_row *row, bdpo_record_filter *filter);

// Whether `text` has `word` as a word of its own, in any case. Both are lower case already.
bool bdpo_text_has_word(const char *text, const char *word);

#endif
