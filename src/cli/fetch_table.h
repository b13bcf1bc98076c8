// What `bdpo fetch` prints: the catalogue as a table, as JSON and as Markdown, and where things
// lie.
#ifndef BDPO_FETCH_TABLE_H
#define BDPO_FETCH_TABLE_H

#include <stdio.h>

#include "fetch/fetch.h"

void bdpo_fetch_print_table(FILE *out, const bdpo_fetch_places *places);
void bdpo_fetch_print_markdown(FILE *out);

// The items named, or all where there are none; NULL is no failure.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_print_json(FILE *out, const char *const *names, int n_names,
                                                  const bdpo_fetch_places *places);

// One line for a directory, one for each file of what is no directory; the thing itself first.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_print_where(FILE *out, const bdpo_fetch_item *item,
                                                   const bdpo_fetch_places *places);

#endif
