// Thrift's compact protocol, written for Parquet's footer and page headers. The first failed
// allocation sticks. Internal to this room.
#ifndef BDPO_PARQUET_THRIFT_WRITE_H
#define BDPO_PARQUET_THRIFT_WRITE_H

#include "formats/growing.h"
#include "formats/parquet_thrift.h"

typedef struct bdpo_thrift_out { // all zero: inside the outermost struct
    bdpo_growing bytes;
    int last[8], depth; // the last field's number of each open struct
    bool failed;
} bdpo_thrift_out;

void bdpo_thrift_put_byte(bdpo_thrift_out *t, unsigned byte);
void bdpo_thrift_put_varint(bdpo_thrift_out *t, uint64_t value);

// Fields of the present struct, their numbers rising by less than 16.
void bdpo_thrift_put_field(bdpo_thrift_out *t, int id, bdpo_thrift_type type); // its value follows
void bdpo_thrift_put_i32(bdpo_thrift_out *t, int id, int32_t value);
void bdpo_thrift_put_i64(bdpo_thrift_out *t, int id, int64_t value);
void bdpo_thrift_put_string(bdpo_thrift_out *t, int id, const char *text);
void bdpo_thrift_put_list(bdpo_thrift_out *t, int id, bdpo_thrift_type type, size_t n);
void bdpo_thrift_put_empty_struct(bdpo_thrift_out *t, int id);
void bdpo_thrift_begin_struct(bdpo_thrift_out *t, int id);
void bdpo_thrift_end_struct(bdpo_thrift_out *t); // also of an element, and the outermost

// Elements of a list.
void bdpo_thrift_begin_element(bdpo_thrift_out *t); // a struct
void bdpo_thrift_put_zigzag(bdpo_thrift_out *t, int64_t value);
void bdpo_thrift_put_text(bdpo_thrift_out *t, const char *text);

#endif
