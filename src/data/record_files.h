// Paths of data sets: what a pattern names, what a folder holds, and which names stay inside it.
#ifndef BDPO_RECORD_FILES_H
#define BDPO_RECORD_FILES_H

#include "base/file.h"
#include "base/memory.h"

typedef struct bdpo_file_list { // sorted by bytes; all in one arena
    const char **paths;
    size_t n, capacity;
} bdpo_file_list;

// What `pattern` names: the file or folder itself, else the matches of its globs (* ? [abc]) after
// its braces are spelt out ({0000..0012}, {train,test}). NOT_FOUND where there is nothing, or where
// a file of a brace range is missing.
BDPO_MUST_CHECK bdpo_status bdpo_file_list_expand(bdpo_file_list *out, bdpo_arena *arena,
                                                  const char *pattern);

// The names (not paths) of the files in a folder whose ending is one of `endings`, a list such as
// "png jpg jpeg webp", in any case; `endings` NULL: the names of its folders. Hidden ones are
// passed.
BDPO_MUST_CHECK bdpo_status bdpo_file_list_folder(bdpo_file_list *out, bdpo_arena *arena,
                                                  const char *folder, const char *endings);
// The same as paths.
BDPO_MUST_CHECK bdpo_status bdpo_file_list_paths(bdpo_file_list *out, bdpo_arena *arena,
                                                 const char *folder, const char *endings);
#define BDPO_PICTURE_ENDINGS "png jpg jpeg webp"

bool bdpo_word_is_in(const char *word, const char *list);         // "png jpg": in any case
bool bdpo_name_has_ending(const char *name, const char *endings); // as above
bool bdpo_is_plain_file(const char *path);
// Whether the folder has a list of its pictures, metadata.jsonl or else metadata.csv: its path.
bool bdpo_find_metadata(char path[BDPO_PATH_BYTES], const char *folder);

// A relative path that stays below the folder that it is joined to: no "..", not absolute.
bool bdpo_name_is_inside(const char *name);

// The last part of a path; of "a/b/" it is "b/".
const char *bdpo_path_last(const char *path);
// The folder of a file: "." for a bare name. In the arena; NULL where there is no memory.
const char *bdpo_path_folder(bdpo_arena *arena, const char *path);
// A name without its last ending. In the arena; NULL where there is no memory.
const char *bdpo_name_stem(bdpo_arena *arena, const char *name);

// The split that a shard's name begins with: "train" of "data/train-00000-of-00003.parquet": what
// stands before the first '-' or '.'. In the arena; NULL where there is no memory.
const char *bdpo_path_split(bdpo_arena *arena, const char *path);
// That of each file. *out is in the arena.
BDPO_MUST_CHECK bdpo_status bdpo_file_list_splits(const char ***out, bdpo_arena *arena,
                                                  const bdpo_file_list *list);

#endif
