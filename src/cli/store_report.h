// What bdpo store says about a store: gathered as JSON, printed as that or as text.
#ifndef BDPO_STORE_REPORT_H
#define BDPO_STORE_REPORT_H

#include <jansson.h>

#include "scorers/score_store.h"

// *out is the caller's, for json_decref().
BDPO_MUST_CHECK bdpo_status bdpo_store_report(json_t **out, bdpo_score_store *store);
void bdpo_store_report_print(json_t *report);

// A JSON text of words that may be no UTF-8.
json_t *bdpo_store_words(const char *words);

// Prints any result, its numbers to the bit, and frees it.
BDPO_MUST_CHECK bdpo_status bdpo_store_print_json(json_t *result);

#endif
