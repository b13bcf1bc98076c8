// Thrift's compact protocol. Integers are zigzag varints. A field begins with a byte: the type in
// its low half, the distance to the last id in its high half, or there zero and the id as an i16
// behind. A boolean field's value is its type. A list begins with a byte: the type of the elements
// low, their number high, or there 15 and the number as a varint behind. A struct ends in a zero.
#include "formats/parquet_thrift.h"

#include <stdarg.h>
#include <stdio.h>

enum { MAX_DEPTH = 32 }; // of what is skipped

void bdpo_thrift_begin(bdpo_thrift *t, const void *data, size_t size)
{
    *t = (bdpo_thrift){.begin = data, .at = data, .end = (const uint8_t *)data + size};
}

bool bdpo_thrift_ok(const bdpo_thrift *t)
{
    return t->fault[0] == '\0';
}

void bdpo_thrift_fail(bdpo_thrift *t, const char *format, ...)
{
    if (!bdpo_thrift_ok(t)) return;
    char what[80];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    snprintf(t->fault, sizeof t->fault, "byte %td: %s", t->at - t->begin, what);
    t->at = t->end;
}

static void fail_ended(bdpo_thrift *t)
{
    if (bdpo_thrift_ok(t)) t->ended = true;
    bdpo_thrift_fail(t, "it ends inside a value");
}

static size_t left(const bdpo_thrift *t)
{
    return (size_t)(t->end - t->at);
}

static uint8_t read_byte(bdpo_thrift *t)
{
    if (t->at < t->end) return *t->at++;
    fail_ended(t);
    return 0;
}

static uint64_t read_varint(bdpo_thrift *t)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = read_byte(t);
        if (shift == 63 && byte > 1) break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    bdpo_thrift_fail(t, "an integer of more than 64 bits");
    return 0;
}

static int64_t read_zigzag(bdpo_thrift *t)
{
    uint64_t value = read_varint(t);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

// ---- fields --------------------------------------------------------------------------------

bool bdpo_thrift_next(bdpo_thrift *t, bdpo_thrift_field *f)
{
    uint8_t byte = read_byte(t);
    if (!bdpo_thrift_ok(t) || (byte & 15) == BDPO_THRIFT_STOP) return false;
    int64_t id = byte >> 4 ? f->id + (byte >> 4) : read_zigzag(t);
    if (id < 0 || id > INT16_MAX) bdpo_thrift_fail(t, "field number %lld", (long long)id);
    if (id >= 0 && id < 64) {
        if (bdpo_thrift_has(f, (int)id)) bdpo_thrift_fail(t, "field %d occurs twice", (int)id);
        f->seen |= (uint64_t)1 << id;
    }
    if ((byte & 15) > BDPO_THRIFT_STRUCT) bdpo_thrift_fail(t, "a value of type %d", byte & 15);
    if (!bdpo_thrift_ok(t)) return false;
    f->id = (int)id;
    f->type = (bdpo_thrift_type)(byte & 15);
    return true;
}

static bool expect(bdpo_thrift *t, const bdpo_thrift_field *f, bdpo_thrift_type type)
{
    if (f->type == type) return true;
    bdpo_thrift_fail(t, "field %d has type %d, expected %d", f->id, (int)f->type, (int)type);
    return false;
}

bool bdpo_thrift_bool(bdpo_thrift *t, const bdpo_thrift_field *f)
{
    if (f->type == BDPO_THRIFT_FALSE) return false;
    return expect(t, f, BDPO_THRIFT_TRUE);
}

int8_t bdpo_thrift_i8(bdpo_thrift *t, const bdpo_thrift_field *f)
{
    return expect(t, f, BDPO_THRIFT_I8) ? (int8_t)read_byte(t) : 0;
}

int32_t bdpo_thrift_i32(bdpo_thrift *t, const bdpo_thrift_field *f)
{
    int64_t value = expect(t, f, BDPO_THRIFT_I32) ? read_zigzag(t) : 0;
    if (value >= INT32_MIN && value <= INT32_MAX) return (int32_t)value;
    bdpo_thrift_fail(t, "field %d: %lld is no 32-bit integer", f->id, (long long)value);
    return 0;
}

int64_t bdpo_thrift_i64(bdpo_thrift *t, const bdpo_thrift_field *f)
{
    return expect(t, f, BDPO_THRIFT_I64) ? read_zigzag(t) : 0;
}

static const uint8_t *read_bytes(bdpo_thrift *t, size_t *size)
{
    uint64_t n = read_varint(t);
    *size = 0;
    if (n > left(t)) {
        fail_ended(t);
        return t->at;
    }
    *size = (size_t)n;
    t->at += n;
    return t->at - n;
}

const char *bdpo_thrift_binary(bdpo_thrift *t, const bdpo_thrift_field *f, size_t *size)
{
    *size = 0;
    if (!expect(t, f, BDPO_THRIFT_BINARY)) return "";
    return (const char *)read_bytes(t, size);
}

void bdpo_thrift_struct(bdpo_thrift *t, const bdpo_thrift_field *f)
{
    expect(t, f, BDPO_THRIFT_STRUCT);
}

// Every element takes a byte at least, also a boolean.
static size_t read_list(bdpo_thrift *t, bdpo_thrift_type *type)
{
    uint8_t byte = read_byte(t);
    uint64_t n = byte >> 4 == 15 ? read_varint(t) : byte >> 4;
    *type = (bdpo_thrift_type)(byte & 15);
    if (n <= left(t)) return (size_t)n;
    fail_ended(t);
    return 0;
}

size_t bdpo_thrift_structs(bdpo_thrift *t, const bdpo_thrift_field *f)
{
    bdpo_thrift_type type;
    if (!expect(t, f, BDPO_THRIFT_LIST)) return 0;
    size_t n = read_list(t, &type);
    if (n > 0 && type != BDPO_THRIFT_STRUCT)
        bdpo_thrift_fail(t, "field %d lists type %d, expected 12", f->id, (int)type);
    return bdpo_thrift_ok(t) ? n : 0;
}

// ---- skipping ------------------------------------------------------------------------------

static void skip_value(bdpo_thrift *t, bdpo_thrift_type type, bool in_list, int depth);

static void skip_elements(bdpo_thrift *t, int depth)
{
    bdpo_thrift_type type;
    size_t n = read_list(t, &type);
    for (size_t i = 0; i < n && bdpo_thrift_ok(t); i++) skip_value(t, type, true, depth);
}

static void skip_map(bdpo_thrift *t, int depth)
{
    uint64_t n = read_varint(t);
    if (n == 0) return;
    uint8_t types = read_byte(t);
    if (n > left(t)) fail_ended(t);
    for (uint64_t i = 0; i < n && bdpo_thrift_ok(t); i++) {
        skip_value(t, (bdpo_thrift_type)(types >> 4), true, depth);
        skip_value(t, (bdpo_thrift_type)(types & 15), true, depth);
    }
}

static void skip_bytes(bdpo_thrift *t, size_t n)
{
    if (n > left(t))
        fail_ended(t);
    else
        t->at += n;
}

static void skip_value(bdpo_thrift *t, bdpo_thrift_type type, bool in_list, int depth)
{
    bdpo_thrift_field inner = {0};
    size_t size;
    if (depth > MAX_DEPTH) bdpo_thrift_fail(t, "nested deeper than %d", MAX_DEPTH);
    if (!bdpo_thrift_ok(t)) return;
    switch (type) {
    case BDPO_THRIFT_TRUE:
    case BDPO_THRIFT_FALSE:
        if (in_list) read_byte(t);
        return;
    case BDPO_THRIFT_I8:
        read_byte(t);
        return;
    case BDPO_THRIFT_I16:
    case BDPO_THRIFT_I32:
    case BDPO_THRIFT_I64:
        read_varint(t);
        return;
    case BDPO_THRIFT_DOUBLE:
        skip_bytes(t, 8);
        return;
    case BDPO_THRIFT_BINARY:
        read_bytes(t, &size);
        return;
    case BDPO_THRIFT_LIST:
    case BDPO_THRIFT_SET:
        skip_elements(t, depth + 1);
        return;
    case BDPO_THRIFT_MAP:
        skip_map(t, depth + 1);
        return;
    case BDPO_THRIFT_STRUCT:
        while (bdpo_thrift_next(t, &inner)) skip_value(t, inner.type, false, depth + 1);
        return;
    case BDPO_THRIFT_STOP:
        break;
    }
    bdpo_thrift_fail(t, "a value of type %d", (int)type);
}

void bdpo_thrift_skip(bdpo_thrift *t, const bdpo_thrift_field *f)
{
    skip_value(t, f->type, false, 0);
}
