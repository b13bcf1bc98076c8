// Writing Thrift's compact protocol; parquet_thrift.c says how it looks.
#include "formats/parquet_thrift_write.h"

#include <string.h>

static void put(bdpo_thrift_out *t, const void *data, size_t size)
{
    if (!t->failed && !bdpo_growing_add(&t->bytes, data, size)) t->failed = true;
}

void bdpo_thrift_put_byte(bdpo_thrift_out *t, unsigned byte)
{
    uint8_t b = (uint8_t)byte;
    put(t, &b, 1);
}

void bdpo_thrift_put_varint(bdpo_thrift_out *t, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) bdpo_thrift_put_byte(t, (unsigned)(value & 0x7f) | 0x80);
    bdpo_thrift_put_byte(t, (unsigned)value);
}

void bdpo_thrift_put_zigzag(bdpo_thrift_out *t, int64_t value)
{
    bdpo_thrift_put_varint(t, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

void bdpo_thrift_put_field(bdpo_thrift_out *t, int id, bdpo_thrift_type type)
{
    int *last = &t->last[t->depth];
    BDPO_ASSERT(id > *last && id - *last < 16);
    bdpo_thrift_put_byte(t, (unsigned)(id - *last) << 4 | (unsigned)type);
    *last = id;
}

void bdpo_thrift_put_i32(bdpo_thrift_out *t, int id, int32_t value)
{
    bdpo_thrift_put_field(t, id, BDPO_THRIFT_I32);
    bdpo_thrift_put_zigzag(t, value);
}

void bdpo_thrift_put_i64(bdpo_thrift_out *t, int id, int64_t value)
{
    bdpo_thrift_put_field(t, id, BDPO_THRIFT_I64);
    bdpo_thrift_put_zigzag(t, value);
}

void bdpo_thrift_put_text(bdpo_thrift_out *t, const char *text)
{
    bdpo_thrift_put_varint(t, strlen(text));
    put(t, text, strlen(text));
}

void bdpo_thrift_put_string(bdpo_thrift_out *t, int id, const char *text)
{
    bdpo_thrift_put_field(t, id, BDPO_THRIFT_BINARY);
    bdpo_thrift_put_text(t, text);
}

void bdpo_thrift_put_list(bdpo_thrift_out *t, int id, bdpo_thrift_type type, size_t n)
{
    bdpo_thrift_put_field(t, id, BDPO_THRIFT_LIST);
    bdpo_thrift_put_byte(t, (n < 15 ? (unsigned)n << 4 : 0xf0) | (unsigned)type);
    if (n >= 15) bdpo_thrift_put_varint(t, n);
}

// Elements of lists begin without a field.
void bdpo_thrift_begin_element(bdpo_thrift_out *t)
{
    t->depth++;
    BDPO_ASSERT(t->depth < (int)BDPO_COUNTOF(t->last));
    t->last[t->depth] = 0;
}

void bdpo_thrift_begin_struct(bdpo_thrift_out *t, int id)
{
    bdpo_thrift_put_field(t, id, BDPO_THRIFT_STRUCT);
    bdpo_thrift_begin_element(t);
}

void bdpo_thrift_end_struct(bdpo_thrift_out *t)
{
    bdpo_thrift_put_byte(t, BDPO_THRIFT_STOP);
    t->depth--;
}

void bdpo_thrift_put_empty_struct(bdpo_thrift_out *t, int id)
{
    bdpo_thrift_begin_struct(t, id);
    bdpo_thrift_end_struct(t);
}
