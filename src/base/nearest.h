// The word that somebody meant who mistyped it: for "did you mean".
#ifndef BDPO_NEAREST_H
#define BDPO_NEAREST_H

// Mistakes up to which a word is near another; with more it is another word.
enum { BDPO_WORD_NEAR = 2 };

// Letters inserted, left out or exchanged between the two (Levenshtein); 0 also where `typed` is
// the beginning of `word`. A word of more than 63 bytes is far from all.
int bdpo_word_distance(const char *word, const char *typed);

// The index of the first nearest of n words, whatever its distance; -1 where n is 0.
int bdpo_nearest_word(const char *const *words, int n, const char *typed);

#endif
