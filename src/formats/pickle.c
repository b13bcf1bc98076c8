// The stack machine. Opcodes are those of Python's pickletools; what is missing here is refused.
#include "formats/pickle.h"

#include <string.h>

#include "formats/pickle_stack.h"
#include "formats/torch_pickle.h"

enum { MAX_PROTOCOL = 5, MAX_OPCODES = 1 << 24 };

// ---- atoms ---------------------------------------------------------------------------------

static bdpo_status push_int(bdpo_pickle *p, int64_t integer)
{
    bdpo_pickle_value *value = bdpo_pickle_value_new(p, BDPO_PICKLE_INT);
    if (value) value->integer = integer;
    return bdpo_pickle_push(p, value);
}

static bdpo_status push_bool(bdpo_pickle *p, bool truth)
{
    bdpo_pickle_value *value = bdpo_pickle_value_new(p, BDPO_PICKLE_BOOL);
    if (value) value->integer = truth;
    return bdpo_pickle_push(p, value);
}

static bdpo_status push_uint(bdpo_pickle *p, int n_bytes)
{
    uint64_t value;
    TRY(bdpo_pickle_take_uint(p, &value, n_bytes));
    return push_int(p, n_bytes == 4 ? (int32_t)(uint32_t)value : (int64_t)value);
}

// `length_bytes` of length, then the content, copied so that a zero byte follows it.
static bdpo_status push_text(bdpo_pickle *p, bdpo_pickle_kind kind, int length_bytes)
{
    uint64_t n;
    const unsigned char *bytes;
    TRY(bdpo_pickle_take_uint(p, &n, length_bytes));
    TRY(bdpo_pickle_take(p, &bytes, n));
    bdpo_pickle_value *value = bdpo_pickle_value_new(p, kind);
    char *copy = bdpo_arena_alloc(p->arena, (size_t)n + 1, 1);
    if (!value || !copy) return bdpo_pickle_no_memory(p);
    if (n > 0) memcpy(copy, bytes, (size_t)n);
    value->text.bytes = copy;
    value->text.length = (size_t)n;
    return bdpo_pickle_push(p, value);
}

// Two's complement of any length.
static bdpo_status push_long(bdpo_pickle *p, int length_bytes)
{
    TRY(push_text(p, BDPO_PICKLE_LONG, length_bytes));
    bdpo_pickle_value *value = p->stack[p->depth - 1];
    size_t n = value->text.length;
    if (n > 8) return BDPO_OK;
    const unsigned char *bytes = (const unsigned char *)value->text.bytes;
    uint64_t bits = n > 0 && bytes[n - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = n; i-- > 0;) bits = bits << 8 | bytes[i];
    value->kind = BDPO_PICKLE_INT;
    value->integer = (int64_t)bits;
    return BDPO_OK;
}

static bdpo_status push_float(bdpo_pickle *p) // big-endian, alone among the opcodes
{
    const unsigned char *bytes;
    uint64_t bits = 0;
    TRY(bdpo_pickle_take(p, &bytes, 8));
    for (int i = 0; i < 8; i++) bits = bits << 8 | bytes[i];
    bdpo_pickle_value *value = bdpo_pickle_value_new(p, BDPO_PICKLE_FLOAT);
    if (value) memcpy(&value->number, &bits, sizeof bits);
    return bdpo_pickle_push(p, value);
}

// ---- containers ----------------------------------------------------------------------------

// n values of the stack become a list, tuple, set or dict; they were popped already.
static bdpo_status push_items(bdpo_pickle *p, bdpo_pickle_kind kind, bdpo_pickle_value **items,
                              size_t n)
{
    bdpo_pickle_value *value = bdpo_pickle_value_new(p, kind);
    if (!value) return bdpo_pickle_no_memory(p);
    if (n > 0) {
        value->list.items = bdpo_arena_alloc(p->arena, n, sizeof *items);
        if (!value->list.items) return bdpo_pickle_no_memory(p);
        memcpy(value->list.items, items, n * sizeof *items);
        value->list.count = value->list.capacity = n;
    }
    return bdpo_pickle_push(p, value);
}

static bdpo_status push_tuple(bdpo_pickle *p, size_t n)
{
    TRY(bdpo_pickle_need(p, n));
    p->depth -= n;
    return push_items(p, BDPO_PICKLE_TUPLE, p->stack + p->depth, n);
}

static bdpo_status push_marked(bdpo_pickle *p, bdpo_pickle_kind kind)
{
    bdpo_pickle_value **items;
    size_t n;
    TRY(bdpo_pickle_pop_mark(p, &items, &n));
    if (kind == BDPO_PICKLE_DICT && n % 2 != 0) return bdpo_pickle_fail(p, "a key without a value");
    return push_items(p, kind, items, n);
}

// items[0..n), popped, go to the container below them, which must be of `kind`. What an inert
// object would be given is dropped.
static bdpo_status add_items(bdpo_pickle *p, bdpo_pickle_kind kind, bdpo_pickle_value **items,
                             size_t n)
{
    TRY(bdpo_pickle_need(p, 1));
    bdpo_pickle_value *container = p->stack[p->depth - 1];
    if (container->kind == BDPO_PICKLE_OPAQUE) return BDPO_OK;
    if (container->kind != kind)
        return bdpo_pickle_fail(p, "items for %s are added to %s", bdpo_pickle_kind_text(kind),
                                bdpo_pickle_kind_text(container->kind));
    if (kind == BDPO_PICKLE_DICT && n % 2 != 0) return bdpo_pickle_fail(p, "a key without a value");
    for (size_t i = 0; i < n; i++) TRY(bdpo_pickle_append(p, container, items[i]));
    return BDPO_OK;
}

static bdpo_status add_marked(bdpo_pickle *p, bdpo_pickle_kind kind)
{
    bdpo_pickle_value **items;
    size_t n;
    TRY(bdpo_pickle_pop_mark(p, &items, &n));
    return add_items(p, kind, items, n);
}

static bdpo_status add_top(bdpo_pickle *p, bdpo_pickle_kind kind, size_t n)
{
    TRY(bdpo_pickle_need(p, n + 1));
    p->depth -= n;
    return add_items(p, kind, p->stack + p->depth, n);
}

// ---- names and calls -----------------------------------------------------------------------

static bdpo_status push_symbol(bdpo_pickle *p, const char *module, size_t module_bytes,
                               const char *name, size_t name_bytes)
{
    bdpo_pickle_value *value = bdpo_pickle_value_new(p, BDPO_PICKLE_SYMBOL);
    if (!value) return bdpo_pickle_no_memory(p);
    TRY(bdpo_torch_symbol_find(&value->symbol, p, module, module_bytes, name, name_bytes));
    return bdpo_pickle_push(p, value);
}

static bdpo_status take_line(bdpo_pickle *p, const char **out, size_t *n)
{
    const unsigned char *start = p->bytes + p->at;
    const unsigned char *end = memchr(start, '\n', p->size - p->at);
    *out = (const char *)start;
    *n = 0;
    if (!end) return bdpo_pickle_fail(p, "a name without its end");
    *n = (size_t)(end - start);
    p->at += *n + 1;
    return BDPO_OK;
}

static bdpo_status global(bdpo_pickle *p)
{
    const char *module, *name;
    size_t module_bytes, name_bytes;
    TRY(take_line(p, &module, &module_bytes));
    TRY(take_line(p, &name, &name_bytes));
    return push_symbol(p, module, module_bytes, name, name_bytes);
}

static bdpo_status stack_global(bdpo_pickle *p)
{
    bdpo_pickle_value *module, *name;
    TRY(bdpo_pickle_pop(p, &name));
    TRY(bdpo_pickle_pop(p, &module));
    if (module->kind != BDPO_PICKLE_TEXT || name->kind != BDPO_PICKLE_TEXT)
        return bdpo_pickle_fail(p, "a name made of %s and %s", bdpo_pickle_kind_text(module->kind),
                                bdpo_pickle_kind_text(name->kind));
    return push_symbol(p, module->text.bytes, module->text.length, name->text.bytes,
                       name->text.length);
}

static bdpo_status reduce(bdpo_pickle *p)
{
    bdpo_pickle_value *arguments, *function, *result;
    TRY(bdpo_pickle_pop(p, &arguments));
    TRY(bdpo_pickle_pop(p, &function));
    if (function->kind != BDPO_PICKLE_SYMBOL)
        return bdpo_pickle_fail(p, "calls %s", bdpo_pickle_kind_text(function->kind));
    if (arguments->kind != BDPO_PICKLE_TUPLE)
        return bdpo_pickle_fail(p, "a call with %s for its arguments",
                                bdpo_pickle_kind_text(arguments->kind));
    TRY(bdpo_torch_call(&result, p, function->symbol, arguments));
    return bdpo_pickle_push(p, result);
}

// Attributes of a dict subclass (OrderedDict's _metadata) and of inert objects are dropped.
static bdpo_status build(bdpo_pickle *p)
{
    bdpo_pickle_value *state;
    TRY(bdpo_pickle_pop(p, &state));
    TRY(bdpo_pickle_need(p, 1));
    bdpo_pickle_kind kind = p->stack[p->depth - 1]->kind;
    if (kind == BDPO_PICKLE_DICT || kind == BDPO_PICKLE_OPAQUE) return BDPO_OK;
    return bdpo_pickle_fail(p, "sets attributes of %s", bdpo_pickle_kind_text(kind));
}

static bdpo_status remember_storage(bdpo_pickle *p, bdpo_pickle_storage *storage)
{
    if (p->n_storages == p->storage_capacity) {
        size_t wanted = p->n_storages ? 2 * p->n_storages : 64;
        bdpo_pickle_storage **grown = bdpo_realloc(p->storages, wanted, sizeof *grown);
        if (!grown) return bdpo_pickle_no_memory(p);
        p->storages = grown;
        p->storage_capacity = wanted;
    }
    p->storages[p->n_storages++] = storage;
    return BDPO_OK;
}

static bdpo_status persistent(bdpo_pickle *p)
{
    bdpo_pickle_value *id, *storage;
    TRY(bdpo_pickle_pop(p, &id));
    TRY(bdpo_torch_persistent(&storage, p, id));
    TRY(remember_storage(p, storage->storage));
    return bdpo_pickle_push(p, storage);
}

static bdpo_status pop_anything(bdpo_pickle *p)
{
    if (bdpo_pickle_available(p) == 0 && p->n_marks > 0) { // as Python: the mark itself
        p->n_marks--;
        return BDPO_OK;
    }
    TRY(bdpo_pickle_need(p, 1));
    p->depth--;
    return BDPO_OK;
}

static bdpo_status frame(bdpo_pickle *p) // only a hint for readers of streams
{
    uint64_t n;
    TRY(bdpo_pickle_take_uint(p, &n, 8));
    if (n > p->size - p->at)
        return bdpo_pickle_fail(p, "a frame of %llu bytes, %zu are left", (unsigned long long)n,
                                p->size - p->at);
    return BDPO_OK;
}

static bdpo_status drop_marked(bdpo_pickle *p)
{
    bdpo_pickle_value **items;
    size_t n;
    return bdpo_pickle_pop_mark(p, &items, &n);
}

static bdpo_status memoize(bdpo_pickle *p, int n_bytes,
                           bdpo_status (*action)(bdpo_pickle *, uint64_t))
{
    uint64_t index;
    TRY(bdpo_pickle_take_uint(p, &index, n_bytes));
    return action(p, index);
}

// ---- the loop ------------------------------------------------------------------------------

static bdpo_status step_container(bdpo_pickle *p, unsigned char opcode)
{
    switch (opcode) {
    case '(':
        return bdpo_pickle_push_mark(p);
    case ')':
        return push_tuple(p, 0);
    case 0x85: // TUPLE1 to TUPLE3
    case 0x86:
    case 0x87:
        return push_tuple(p, (size_t)opcode - 0x84);
    case 't':
        return push_marked(p, BDPO_PICKLE_TUPLE);
    case ']':
        return push_items(p, BDPO_PICKLE_LIST, NULL, 0);
    case 'l':
        return push_marked(p, BDPO_PICKLE_LIST);
    case 'a':
        return add_top(p, BDPO_PICKLE_LIST, 1);
    case 'e':
        return add_marked(p, BDPO_PICKLE_LIST);
    case '}':
        return push_items(p, BDPO_PICKLE_DICT, NULL, 0);
    case 'd':
        return push_marked(p, BDPO_PICKLE_DICT);
    case 's':
        return add_top(p, BDPO_PICKLE_DICT, 2);
    case 'u':
        return add_marked(p, BDPO_PICKLE_DICT);
    case 0x8f: // EMPTY_SET
        return push_items(p, BDPO_PICKLE_SET, NULL, 0);
    case 0x90: // ADDITEMS
        return add_marked(p, BDPO_PICKLE_SET);
    case 0x91: // FROZENSET
        return push_marked(p, BDPO_PICKLE_SET);
    case '0':
        return pop_anything(p);
    case '1':
        return drop_marked(p);
    case 'c':
        return global(p);
    case 0x93: // STACK_GLOBAL
        return stack_global(p);
    case 'R':
    case 0x81: // NEWOBJ
        return reduce(p);
    case 'b':
        return build(p);
    case 'Q':
        return persistent(p);
    default:
        return bdpo_pickle_fail(p, "opcode 0x%02x is not one that carries tensors", opcode);
    }
}

static bdpo_status step(bdpo_pickle *p, unsigned char opcode)
{
    switch (opcode) {
    case 'N':
        return bdpo_pickle_push(p, bdpo_pickle_value_new(p, BDPO_PICKLE_NONE));
    case 0x88:
    case 0x89:
        return push_bool(p, opcode == 0x88);
    case 'J':
        return push_uint(p, 4);
    case 'K':
        return push_uint(p, 1);
    case 'M':
        return push_uint(p, 2);
    case 0x8a: // LONG1, LONG4
        return push_long(p, 1);
    case 0x8b:
        return push_long(p, 4);
    case 'G':
        return push_float(p);
    case 'X': // BINUNICODE and its short and long forms
    case 'T': // BINSTRING of Python 2
        return push_text(p, BDPO_PICKLE_TEXT, 4);
    case 'U':
    case 0x8c:
        return push_text(p, BDPO_PICKLE_TEXT, 1);
    case 0x8d:
        return push_text(p, BDPO_PICKLE_TEXT, 8);
    case 'B': // BINBYTES and its forms, BYTEARRAY8
        return push_text(p, BDPO_PICKLE_BYTES, 4);
    case 'C':
        return push_text(p, BDPO_PICKLE_BYTES, 1);
    case 0x8e:
    case 0x96:
        return push_text(p, BDPO_PICKLE_BYTES, 8);
    case 'q':
        return memoize(p, 1, bdpo_pickle_memo_put);
    case 'r':
        return memoize(p, 4, bdpo_pickle_memo_put);
    case 0x94: // MEMOIZE
        return bdpo_pickle_memo_put(p, p->n_memo);
    case 'h':
        return memoize(p, 1, bdpo_pickle_memo_get);
    case 'j':
        return memoize(p, 4, bdpo_pickle_memo_get);
    case 0x95: // FRAME
        return frame(p);
    default:
        return step_container(p, opcode);
    }
}

static bdpo_status protocol(bdpo_pickle *p)
{
    const unsigned char *head;
    TRY(bdpo_pickle_take(p, &head, 2));
    if (head[0] == 0x80 && head[1] >= 2 && head[1] <= MAX_PROTOCOL) return BDPO_OK;
    p->at -= 2;
    return bdpo_pickle_fail(p, "no pickle of protocol 2 to %d", MAX_PROTOCOL);
}

bdpo_status bdpo_pickle_run(bdpo_pickle_value **out, bdpo_pickle *p)
{
    p->depth = p->n_marks = p->n_memo = 0;
    if (p->memo) memset(p->memo, 0, p->memo_capacity * sizeof *p->memo);
    TRY(protocol(p));
    for (;;) {
        if (p->at == p->size) return bdpo_pickle_fail(p, "ends without STOP");
        unsigned char opcode = p->bytes[p->at++];
        if (++p->n_opcodes > MAX_OPCODES)
            return bdpo_pickle_fail(p, "more than %d opcodes", MAX_OPCODES);
        if (opcode == '.') break;
        TRY(step(p, opcode));
    }
    if (p->n_marks > 0) return bdpo_pickle_fail(p, "STOP inside a mark");
    if (p->depth != 1)
        return bdpo_pickle_fail(p, "STOP with %zu values on the stack, expected one", p->depth);
    *out = p->stack[0];
    return BDPO_OK;
}

void bdpo_pickle_clear(bdpo_pickle *p)
{
    bdpo_free(p->stack);
    bdpo_free(p->marks);
    bdpo_free(p->memo);
    bdpo_free(p->storages);
}
