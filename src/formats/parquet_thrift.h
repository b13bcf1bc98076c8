// Thrift's compact protocol, as far as Parquet's metadata uses it. A reader whose first fault
// sticks: what is read after it is zero and every loop ends, so that callers ask once, at the end.
// Internal to this room.
#ifndef BDPO_PARQUET_THRIFT_H
#define BDPO_PARQUET_THRIFT_H

#include "base/status.h"

typedef enum bdpo_thrift_type {
    BDPO_THRIFT_STOP,
    BDPO_THRIFT_TRUE,
    BDPO_THRIFT_FALSE,
    BDPO_THRIFT_I8,
    BDPO_THRIFT_I16,
    BDPO_THRIFT_I32,
    BDPO_THRIFT_I64,
    BDPO_THRIFT_DOUBLE,
    BDPO_THRIFT_BINARY,
    BDPO_THRIFT_LIST,
    BDPO_THRIFT_SET,
    BDPO_THRIFT_MAP,
    BDPO_THRIFT_STRUCT
} bdpo_thrift_type;

typedef struct bdpo_thrift {
    const uint8_t *begin, *at, *end;
    bool ended;      // the fault is that the bytes ran out
    char fault[112]; // "" while there is none
} bdpo_thrift;

// The fields of one struct: all zero before the first.
typedef struct bdpo_thrift_field {
    int id;
    bdpo_thrift_type type;
    uint64_t seen; // bits of the ids below 64
} bdpo_thrift_field;

void bdpo_thrift_begin(bdpo_thrift *t, const void *data, size_t size);
bool bdpo_thrift_ok(const bdpo_thrift *t);
// Records a fault at the present byte; the first one stays.
void bdpo_thrift_fail(bdpo_thrift *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// The next field of a struct; false behind the last. Each is then read, or skipped, once.
bool bdpo_thrift_next(bdpo_thrift *t, bdpo_thrift_field *f);
void bdpo_thrift_skip(bdpo_thrift *t, const bdpo_thrift_field *f);

// Values of a field; a field of another type is a fault.
bool bdpo_thrift_bool(bdpo_thrift *t, const bdpo_thrift_field *f);
int8_t bdpo_thrift_i8(bdpo_thrift *t, const bdpo_thrift_field *f);
int32_t bdpo_thrift_i32(bdpo_thrift *t, const bdpo_thrift_field *f);
int64_t bdpo_thrift_i64(bdpo_thrift *t, const bdpo_thrift_field *f);
// Borrowed from the bytes.
const char *bdpo_thrift_binary(bdpo_thrift *t, const bdpo_thrift_field *f, size_t *size);
void bdpo_thrift_struct(bdpo_thrift *t, const bdpo_thrift_field *f); // its fields come next
// The number of elements, structs, that come next: no more than there are bytes.
size_t bdpo_thrift_structs(bdpo_thrift *t, const bdpo_thrift_field *f);

// Whether a struct had a field of that id.
static inline bool bdpo_thrift_has(const bdpo_thrift_field *f, int id)
{
    return f->seen >> id & 1;
}

#endif
