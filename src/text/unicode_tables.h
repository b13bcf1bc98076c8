// What the reference libraries know of Unicode beside or without version 15.0, which is utf8proc
// 2.8's. The numbers in the names are versions of Unicode. Generated:
// tools/parity/tokenizers_tables.py.
#ifndef BDPO_UNICODE_TABLES_H
#define BDPO_UNICODE_TABLES_H

#include "text/runes.h"

// Letters and numbers that came with 16 (known to the tokenizers package) and 17 (also to regex).
extern const bdpo_rune_range bdpo_letters_16[], bdpo_letters_17[];
extern const bdpo_rune_range bdpo_numbers_16[], bdpo_numbers_17[];
extern const size_t n_bdpo_letters_16, n_bdpo_letters_17, n_bdpo_numbers_16, n_bdpo_numbers_17;
// Characters that came with 15, which Python 3.11 takes for unassigned.
extern const bdpo_rune_range bdpo_assigned_15[];
extern const size_t n_bdpo_assigned_15;
// Marks that came after 9: the NFC of the tokenizers package neither orders nor passes them.
extern const bdpo_rune_range bdpo_marks_after_9[];
extern const size_t n_bdpo_marks_after_9;

// Lower case that came with 16 and 17, known to the tokenizers package.
typedef struct bdpo_rune_pair {
    uint32_t from, to;
} bdpo_rune_pair;
extern const bdpo_rune_pair bdpo_lower_17[];
extern const size_t n_bdpo_lower_17;

// For Python's final sigma: Cased beside the categories Lu, Ll, Lt, and Case_Ignorable beside Mn,
// Me, Cf, Lm, Sk.
extern const bdpo_rune_range bdpo_cased_14[], bdpo_ignorable_14[];
extern const size_t n_bdpo_cased_14, n_bdpo_ignorable_14;

#endif
