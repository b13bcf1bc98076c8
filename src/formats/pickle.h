// A pickle machine that builds plain values and executes nothing. It knows the opcodes of protocols
// 2 to 5 that carry data. What a pickle would call by name is looked up in a fixed table
// (formats/torch_pickle.h) of pure constructors; any other name is refused. Internal to this room.
//
// Each opcode makes at most one value, so memory is bounded by a multiple of the pickle's length,
// and their number is limited.
#ifndef BDPO_PICKLE_H
#define BDPO_PICKLE_H

#include "base/memory.h"
#include "formats/stored_tensor.h"

typedef enum bdpo_pickle_kind {
    BDPO_PICKLE_NONE,
    BDPO_PICKLE_BOOL,
    BDPO_PICKLE_INT,
    BDPO_PICKLE_LONG, // an integer beyond 64 bits: its bytes, little-endian, in text
    BDPO_PICKLE_FLOAT,
    BDPO_PICKLE_TEXT,
    BDPO_PICKLE_BYTES,
    BDPO_PICKLE_LIST,
    BDPO_PICKLE_TUPLE,
    BDPO_PICKLE_SET,
    BDPO_PICKLE_DICT, // items alternate: key, value
    BDPO_PICKLE_SYMBOL,
    BDPO_PICKLE_STORAGE,
    BDPO_PICKLE_TENSOR,
    BDPO_PICKLE_OPAQUE, // an object of a class that is known and inert; never built
} bdpo_pickle_kind;

typedef struct bdpo_pickle_value bdpo_pickle_value;
typedef struct bdpo_torch_symbol bdpo_torch_symbol;

typedef struct bdpo_pickle_storage {
    const char *key;
    bdpo_stored_dtype dtype;
    bool untyped;                // counts bytes; its tensors say their dtype
    size_t n_elements;           // of the whole storage
    size_t view_begin, view_end; // in elements: the part that this is
} bdpo_pickle_storage;

typedef struct bdpo_pickle_tensor {
    const bdpo_pickle_storage *storage;
    bdpo_stored_dtype dtype;
    size_t offset; // in elements, from the storage's view_begin
    int n_dims;
    int64_t *dim, *stride;
} bdpo_pickle_tensor;

struct bdpo_pickle_value {
    bdpo_pickle_kind kind;
    bool on_path; // for walks: finds a container that contains itself
    union {
        int64_t integer; // INT, BOOL
        double number;
        struct {
            const char *bytes; // zero-terminated
            size_t length;
        } text;
        struct {
            bdpo_pickle_value **items;
            size_t count, capacity;
        } list;
        const bdpo_torch_symbol *symbol;
        bdpo_pickle_storage *storage;
        bdpo_pickle_tensor *tensor;
    };
};

// One pickle: where it lies, and what reading it needs. bytes and names are borrowed.
typedef struct bdpo_pickle {
    const char *path, *part; // the file, and what of it: "data.pkl", for messages
    const unsigned char *bytes;
    size_t size, at;
    bdpo_arena *arena; // of all values
    bdpo_pickle_value **stack;
    size_t depth, stack_capacity;
    size_t *marks;
    size_t n_marks;
    bdpo_pickle_value **memo;
    size_t memo_capacity, n_memo;
    size_t n_opcodes;
    bdpo_pickle_storage **storages; // every persistent id, as it came
    size_t n_storages, storage_capacity;
} bdpo_pickle;

// Runs to STOP; *out is in the arena and p->at is behind the pickle. Values share structure as
// the pickle says, and may be cyclic.
BDPO_MUST_CHECK bdpo_status bdpo_pickle_run(bdpo_pickle_value **out, bdpo_pickle *p);
// Frees what is not in the arena.
void bdpo_pickle_clear(bdpo_pickle *p);

// "PATH: PART, byte 17: ...", BDPO_BAD_FILE.
BDPO_MUST_CHECK bdpo_status bdpo_pickle_fail(const bdpo_pickle *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
BDPO_MUST_CHECK bdpo_status bdpo_pickle_no_memory(const bdpo_pickle *p);
// A new value; NULL when there is no memory.
bdpo_pickle_value *bdpo_pickle_value_new(const bdpo_pickle *p, bdpo_pickle_kind kind);
// Appends to a list, tuple, set or dict.
BDPO_MUST_CHECK bdpo_status bdpo_pickle_append(const bdpo_pickle *p, bdpo_pickle_value *list,
                                               bdpo_pickle_value *item);
// "a dict", for messages.
const char *bdpo_pickle_kind_text(bdpo_pickle_kind kind);

#endif
