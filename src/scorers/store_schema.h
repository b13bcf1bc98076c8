// The tables of the score store, version by version, and how a file of an older version is brought
// to the current one.
#ifndef BDPO_STORE_SCHEMA_H
#define BDPO_STORE_SCHEMA_H

#include "scorers/store_sql.h"

// "bdpo" as PRAGMA application_id: what tells a store from other SQLite files.
enum { BDPO_STORE_APPLICATION = 0x6264706f };

// Refuses what is no store (an empty file may become one where `may_create`) and a version that is
// not known. Changes nothing.
BDPO_MUST_CHECK bdpo_status bdpo_store_schema_check(bdpo_score_store *store, bool may_create);

// Checks, makes the tables of an empty file and
// brings an older version up, in one transaction, where the store is writable; else an older
// version is refused with the command that helps.
BDPO_MUST_CHECK bdpo_status bdpo_store_schema_settle(bdpo_score_store *store, bool may_create);

#endif
