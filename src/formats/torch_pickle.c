// The table of names, and their constructors with every argument checked.
#include "formats/torch_pickle.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "formats/printable.h"

typedef enum role {
    TENSOR,    // _rebuild_tensor(storage, offset, size, stride)
    TENSOR_V2, // the same, then requires_grad, hooks[, metadata]
    TENSOR_V3, // the same, then requires_grad, hooks, dtype[, metadata]
    PARAMETER, // _rebuild_parameter(tensor, requires_grad, hooks)
    STORAGE,   // a class; of the dtype
    UNTYPED,   // a class; counts bytes
    DTYPE,     // torch.float16
    ORDERED_DICT,
    SIZE, // torch.Size(tuple)
    SET,
    BYTES,
    ENCODE, // _codecs.encode(text, 'latin1'): how protocol 2 writes bytes
    INERT,
} role;

struct bdpo_torch_symbol {
    const char *name; // with its module
    role role;
    bdpo_stored_dtype dtype;
};

static const bdpo_torch_symbol symbols[] = {
    {"torch._utils._rebuild_tensor_v2", TENSOR_V2, 0},
    {"torch._utils._rebuild_tensor_v3", TENSOR_V3, 0},
    {"torch._utils._rebuild_tensor", TENSOR, 0},
    {"torch._utils._rebuild_parameter", PARAMETER, 0},
    {"torch.FloatStorage", STORAGE, BDPO_STORED_F32},
    {"torch.HalfStorage", STORAGE, BDPO_STORED_F16},
    {"torch.BFloat16Storage", STORAGE, BDPO_STORED_BF16},
    {"torch.DoubleStorage", STORAGE, BDPO_STORED_F64},
    {"torch.LongStorage", STORAGE, BDPO_STORED_I64},
    {"torch.IntStorage", STORAGE, BDPO_STORED_I32},
    {"torch.ShortStorage", STORAGE, BDPO_STORED_I16},
    {"torch.CharStorage", STORAGE, BDPO_STORED_I8},
    {"torch.ByteStorage", STORAGE, BDPO_STORED_U8},
    {"torch.BoolStorage", STORAGE, BDPO_STORED_BOOL},
    {"torch.ComplexFloatStorage", STORAGE, BDPO_STORED_C64},
    {"torch.storage.UntypedStorage", UNTYPED, BDPO_STORED_U8},
    {"torch.storage._UntypedStorage", UNTYPED, BDPO_STORED_U8},
    {"torch.float32", DTYPE, BDPO_STORED_F32},
    {"torch.float16", DTYPE, BDPO_STORED_F16},
    {"torch.bfloat16", DTYPE, BDPO_STORED_BF16},
    {"torch.float64", DTYPE, BDPO_STORED_F64},
    {"torch.int64", DTYPE, BDPO_STORED_I64},
    {"torch.int32", DTYPE, BDPO_STORED_I32},
    {"torch.int16", DTYPE, BDPO_STORED_I16},
    {"torch.int8", DTYPE, BDPO_STORED_I8},
    {"torch.uint8", DTYPE, BDPO_STORED_U8},
    {"torch.uint16", DTYPE, BDPO_STORED_U16},
    {"torch.uint32", DTYPE, BDPO_STORED_U32},
    {"torch.uint64", DTYPE, BDPO_STORED_U64},
    {"torch.bool", DTYPE, BDPO_STORED_BOOL},
    {"torch.complex64", DTYPE, BDPO_STORED_C64},
    {"torch.float8_e4m3fn", DTYPE, BDPO_STORED_F8_E4M3},
    {"torch.float8_e5m2", DTYPE, BDPO_STORED_F8_E5M2},
    {"torch.float8_e4m3fnuz", DTYPE, BDPO_STORED_F8_E4M3FNUZ},
    {"torch.float8_e5m2fnuz", DTYPE, BDPO_STORED_F8_E5M2FNUZ},
    {"torch.float8_e8m0fnu", DTYPE, BDPO_STORED_F8_E8M0},
    {"collections.OrderedDict", ORDERED_DICT, 0},
    {"torch.Size", SIZE, 0},
    {"builtins.set", SET, 0},
    {"builtins.frozenset", SET, 0},
    {"__builtin__.set", SET, 0},
    {"__builtin__.frozenset", SET, 0},
    {"__builtin__.bytes", BYTES, 0},
    {"builtins.bytes", BYTES, 0},
    {"_codecs.encode", ENCODE, 0},
    {"torch.device", INERT, 0},
    {"numpy.core.multiarray.scalar", INERT, 0},
    {"numpy._core.multiarray.scalar", INERT, 0},
    {"numpy.dtype", INERT, 0},
    {"argparse.Namespace", INERT, 0},
    {"pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint", INERT, 0},
    {"pytorch_lightning.callbacks.early_stopping.EarlyStopping", INERT, 0},
};

bdpo_status bdpo_torch_symbol_find(const bdpo_torch_symbol **out, const bdpo_pickle *p,
                                   const char *module, size_t module_bytes, const char *name,
                                   size_t name_bytes)
{
    enum { LONGEST = 120 };
    char full[LONGEST + 1];
    size_t length = 0;
    if (module_bytes < LONGEST && name_bytes < LONGEST - module_bytes) {
        memcpy(full, module, module_bytes);
        full[module_bytes] = '.';
        memcpy(full + module_bytes + 1, name, name_bytes);
        length = module_bytes + 1 + name_bytes;
    }
    full[length] = '\0';
    for (size_t i = 0; i < BDPO_COUNTOF(symbols); i++) {
        if (strlen(symbols[i].name) != length || memcmp(symbols[i].name, full, length) != 0)
            continue;
        *out = &symbols[i];
        return BDPO_OK;
    }
    if (strncmp(full, "__torch__", strlen("__torch__")) == 0)
        return bdpo_pickle_fail(p, "a TorchScript archive, which is code: save its state_dict");
    bdpo_printable_text shown = length > 0 ? bdpo_printable_bytes(full, length)
                                           : bdpo_printable_bytes(module, module_bytes);
    return bdpo_pickle_fail(p, "calls %s; only tensors and plain containers are read", shown.text);
}

bool bdpo_torch_symbol_inert(const bdpo_torch_symbol *symbol)
{
    return symbol->role == INERT;
}

// ---- arguments -----------------------------------------------------------------------------

static bdpo_status bad_argument(const bdpo_pickle *p, const bdpo_torch_symbol *symbol, size_t index,
                                const bdpo_pickle_value *found, const char *expected)
{
    return bdpo_pickle_fail(p, "%s: argument %zu is %s, expected %s", symbol->name, index + 1,
                            bdpo_pickle_kind_text(found->kind), expected);
}

static bool is_index(const bdpo_pickle_value *value) // what a size, stride or offset may be
{
    return value->kind == BDPO_PICKLE_INT && value->integer >= 0;
}

static bdpo_status check_count(const bdpo_pickle *p, const bdpo_torch_symbol *symbol,
                               const bdpo_pickle_value *arguments, size_t least, size_t most)
{
    size_t n = arguments->list.count;
    if (n >= least && n <= most) return BDPO_OK;
    return bdpo_pickle_fail(p, "%s: %zu arguments, expected %zu to %zu", symbol->name, n, least,
                            most);
}

// A tuple of dimensions or strides into the arena.
static bdpo_status read_indices(int64_t **out, const bdpo_pickle *p,
                                const bdpo_torch_symbol *symbol, size_t argument,
                                const bdpo_pickle_value *tuple)
{
    if (tuple->kind != BDPO_PICKLE_TUPLE && tuple->kind != BDPO_PICKLE_LIST)
        return bad_argument(p, symbol, argument, tuple, "a tuple of integers");
    size_t n = tuple->list.count;
    if (n > BDPO_STORED_MAX_DIMS)
        return bdpo_pickle_fail(p, "%s: %zu dimensions, at most %d", symbol->name, n,
                                BDPO_STORED_MAX_DIMS);
    int64_t *indices = bdpo_arena_alloc(p->arena, n + 1, sizeof *indices);
    if (!indices) return bdpo_pickle_no_memory(p);
    for (size_t i = 0; i < n; i++) {
        if (!is_index(tuple->list.items[i]))
            return bad_argument(p, symbol, argument, tuple->list.items[i],
                                "an integer that is not negative");
        indices[i] = tuple->list.items[i]->integer;
    }
    *out = indices;
    return BDPO_OK;
}

// ---- tensors -------------------------------------------------------------------------------

// Elements of the tensor's own dtype that its storage holds.
static size_t storage_room(const bdpo_pickle_tensor *t)
{
    size_t n = t->storage->view_end - t->storage->view_begin;
    return t->storage->untyped ? n / ((bdpo_stored_dtype_bits(t->dtype) + 7) / 8) : n;
}

// The furthest element that shape and stride reach must lie in the storage. Strides of axes with
// one element mean nothing (PyTorch leaves any number there): they become 0.
static bdpo_status check_reach(const bdpo_pickle *p, bdpo_pickle_tensor *t)
{
    size_t room = storage_room(t), last = t->offset, part;
    bool empty = false, fits = true;
    for (int d = 0; d < t->n_dims; d++) empty |= t->dim[d] == 0;
    for (int d = 0; d < t->n_dims && !empty; d++) {
        if (t->dim[d] == 1) t->stride[d] = 0;
        fits = fits && bdpo_size_mul(&part, (size_t)t->dim[d] - 1, (size_t)t->stride[d]) &&
               bdpo_size_add(&last, last, part);
    }
    if (empty || (fits && last < room)) return BDPO_OK;
    return bdpo_pickle_fail(p, "a tensor of %s at %zu reaches beyond its storage of %zu elements",
                            bdpo_stored_shape_print(t->dim, t->n_dims).text, t->offset, room);
}

static bdpo_status check_extras(const bdpo_pickle *p, const bdpo_torch_symbol *symbol,
                                const bdpo_pickle_value *arguments, size_t first_metadata)
{
    if (arguments->list.count <= first_metadata) return BDPO_OK;
    const bdpo_pickle_value *metadata = arguments->list.items[first_metadata];
    bool none = metadata->kind == BDPO_PICKLE_NONE ||
                (metadata->kind == BDPO_PICKLE_DICT && metadata->list.count == 0);
    // Else the numbers are not what is stored: conjugated or negated on reading.
    return none ? BDPO_OK : bad_argument(p, symbol, first_metadata, metadata, "no metadata");
}

static bdpo_status make_tensor(bdpo_pickle_value **out, const bdpo_pickle *p,
                               const bdpo_torch_symbol *symbol, const bdpo_pickle_value *arguments)
{
    bdpo_pickle_value **a = arguments->list.items;
    if (a[0]->kind != BDPO_PICKLE_STORAGE) return bad_argument(p, symbol, 0, a[0], "a storage");
    if (!is_index(a[1])) return bad_argument(p, symbol, 1, a[1], "an integer that is not negative");
    bdpo_pickle_tensor *t = bdpo_arena_alloc(p->arena, 1, sizeof *t);
    bdpo_pickle_value *value = bdpo_pickle_value_new(p, BDPO_PICKLE_TENSOR);
    if (!t || !value) return bdpo_pickle_no_memory(p);
    t->storage = a[0]->storage;
    t->dtype = a[0]->storage->dtype;
    t->offset = (size_t)a[1]->integer;
    TRY(read_indices(&t->dim, p, symbol, 2, a[2]));
    TRY(read_indices(&t->stride, p, symbol, 3, a[3]));
    if (a[2]->list.count != a[3]->list.count)
        return bdpo_pickle_fail(p, "%s: %zu dimensions, but %zu strides", symbol->name,
                                a[2]->list.count, a[3]->list.count);
    t->n_dims = (int)a[2]->list.count;
    if (symbol->role == TENSOR_V3) {
        if (a[6]->kind != BDPO_PICKLE_SYMBOL || a[6]->symbol->role != DTYPE)
            return bad_argument(p, symbol, 6, a[6], "a dtype");
        t->dtype = a[6]->symbol->dtype;
    }
    if (t->storage->untyped != (symbol->role == TENSOR_V3))
        return bdpo_pickle_fail(p, "%s: a storage of the wrong kind", symbol->name);
    value->tensor = t;
    *out = value;
    return check_reach(p, t);
}

// ---- containers and the rest ---------------------------------------------------------------

static bool is_sequence(const bdpo_pickle_value *value)
{
    return value->kind == BDPO_PICKLE_LIST || value->kind == BDPO_PICKLE_TUPLE ||
           value->kind == BDPO_PICKLE_SET;
}

// OrderedDict() or OrderedDict([[key, value], ...]), as Python 2 wrote it.
static bdpo_status make_dict(bdpo_pickle_value **out, const bdpo_pickle *p,
                             const bdpo_torch_symbol *symbol, const bdpo_pickle_value *arguments)
{
    bdpo_pickle_value *dict = bdpo_pickle_value_new(p, BDPO_PICKLE_DICT);
    if (!dict) return bdpo_pickle_no_memory(p);
    *out = dict;
    if (arguments->list.count == 0) return BDPO_OK;
    const bdpo_pickle_value *pairs = arguments->list.items[0];
    if (!is_sequence(pairs)) return bad_argument(p, symbol, 0, pairs, "a list of pairs");
    for (size_t i = 0; i < pairs->list.count; i++) {
        const bdpo_pickle_value *pair = pairs->list.items[i];
        if (!is_sequence(pair) || pair->list.count != 2)
            return bad_argument(p, symbol, 0, pair, "a list of pairs");
        TRY(bdpo_pickle_append(p, dict, pair->list.items[0]));
        TRY(bdpo_pickle_append(p, dict, pair->list.items[1]));
    }
    return BDPO_OK;
}

// A tuple or a set from a sequence.
static bdpo_status make_sequence(bdpo_pickle_value **out, const bdpo_pickle *p,
                                 const bdpo_torch_symbol *symbol,
                                 const bdpo_pickle_value *arguments, bdpo_pickle_kind kind)
{
    bdpo_pickle_value *value = bdpo_pickle_value_new(p, kind);
    if (!value) return bdpo_pickle_no_memory(p);
    *out = value;
    if (arguments->list.count == 0) return BDPO_OK;
    const bdpo_pickle_value *from = arguments->list.items[0];
    if (!is_sequence(from)) return bad_argument(p, symbol, 0, from, "a list");
    value->list = from->list; // shared: items that come later go to new memory
    value->list.capacity = value->list.count;
    return BDPO_OK;
}

// Text of characters below 256 to bytes.
static bdpo_status make_bytes(bdpo_pickle_value **out, const bdpo_pickle *p,
                              const bdpo_torch_symbol *symbol, const bdpo_pickle_value *arguments)
{
    static const bdpo_pickle_value nothing = {.kind = BDPO_PICKLE_TEXT, .text = {"", 0}};
    const bdpo_pickle_value *text = &nothing;
    if (symbol->role == ENCODE) text = arguments->list.items[0];
    if (text->kind != BDPO_PICKLE_TEXT) return bad_argument(p, symbol, 0, text, "a text");
    bdpo_pickle_value *value = bdpo_pickle_value_new(p, BDPO_PICKLE_BYTES);
    char *bytes = bdpo_arena_alloc(p->arena, text->text.length + 1, 1);
    if (!value || !bytes) return bdpo_pickle_no_memory(p);
    size_t used = 0;
    for (size_t i = 0; i < text->text.length;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text->text.bytes + i,
                                              (utf8proc_ssize_t)(text->text.length - i), &code);
        if (n <= 0 || code > 255)
            return bad_argument(p, symbol, 0, text, "a text of characters below 256");
        bytes[used++] = (char)code;
        i += (size_t)n;
    }
    value->text.bytes = bytes;
    value->text.length = used;
    *out = value;
    return BDPO_OK;
}

static bdpo_status make_parameter(bdpo_pickle_value **out, const bdpo_pickle *p,
                                  const bdpo_torch_symbol *symbol,
                                  const bdpo_pickle_value *arguments)
{
    bdpo_pickle_value *tensor = arguments->list.items[0];
    if (tensor->kind != BDPO_PICKLE_TENSOR) return bad_argument(p, symbol, 0, tensor, "a tensor");
    *out = tensor;
    return BDPO_OK;
}

bdpo_status bdpo_torch_call(bdpo_pickle_value **out, const bdpo_pickle *p,
                            const bdpo_torch_symbol *symbol, const bdpo_pickle_value *arguments)
{
    switch (symbol->role) {
    case TENSOR:
        TRY(check_count(p, symbol, arguments, 4, 4));
        return make_tensor(out, p, symbol, arguments);
    case TENSOR_V2:
        TRY(check_count(p, symbol, arguments, 6, 7));
        TRY(check_extras(p, symbol, arguments, 6));
        return make_tensor(out, p, symbol, arguments);
    case TENSOR_V3:
        TRY(check_count(p, symbol, arguments, 7, 8));
        TRY(check_extras(p, symbol, arguments, 7));
        return make_tensor(out, p, symbol, arguments);
    case PARAMETER:
        TRY(check_count(p, symbol, arguments, 3, 3));
        return make_parameter(out, p, symbol, arguments);
    case ORDERED_DICT:
        TRY(check_count(p, symbol, arguments, 0, 1));
        return make_dict(out, p, symbol, arguments);
    case SIZE:
        TRY(check_count(p, symbol, arguments, 0, 1));
        return make_sequence(out, p, symbol, arguments, BDPO_PICKLE_TUPLE);
    case SET:
        TRY(check_count(p, symbol, arguments, 0, 1));
        return make_sequence(out, p, symbol, arguments, BDPO_PICKLE_SET);
    case BYTES:
        TRY(check_count(p, symbol, arguments, 0, 0));
        return make_bytes(out, p, symbol, arguments);
    case ENCODE:
        TRY(check_count(p, symbol, arguments, 2, 2));
        return make_bytes(out, p, symbol, arguments);
    case INERT:
        *out = bdpo_pickle_value_new(p, BDPO_PICKLE_OPAQUE);
        return *out ? BDPO_OK : bdpo_pickle_no_memory(p);
    case STORAGE:
    case UNTYPED:
    case DTYPE:
        break;
    }
    return bdpo_pickle_fail(p, "calls %s, which is no function here", symbol->name);
}

// ---- persistent ids ------------------------------------------------------------------------

// None, or (key, offset, size) of a storage that is a part of another one (PyTorch before 0.4).
static bdpo_status read_view(const bdpo_pickle *p, bdpo_pickle_storage *s,
                             const bdpo_pickle_value *view)
{
    if (view->kind == BDPO_PICKLE_NONE) return BDPO_OK;
    if (view->kind != BDPO_PICKLE_TUPLE || view->list.count != 3 ||
        !is_index(view->list.items[1]) || !is_index(view->list.items[2]))
        return bdpo_pickle_fail(p, "storage %s: a malformed view", bdpo_printable(s->key).text);
    size_t begin = (size_t)view->list.items[1]->integer, size, end;
    size = (size_t)view->list.items[2]->integer;
    if (!bdpo_size_add(&end, begin, size) || end > s->n_elements)
        return bdpo_pickle_fail(p, "storage %s: a view of %zu elements at %zu, it has %zu",
                                bdpo_printable(s->key).text, size, begin, s->n_elements);
    s->view_begin = begin;
    s->view_end = end;
    return BDPO_OK;
}

static bdpo_status check_id(const bdpo_pickle *p, const bdpo_pickle_value *id)
{
    if (id->kind != BDPO_PICKLE_TUPLE || id->list.count < 1)
        return bdpo_pickle_fail(p, "a persistent id that is %s, expected a tuple",
                                bdpo_pickle_kind_text(id->kind));
    bdpo_pickle_value **a = id->list.items;
    if (a[0]->kind != BDPO_PICKLE_TEXT || strcmp(a[0]->text.bytes, "storage") != 0)
        return bdpo_pickle_fail(p, "a persistent id of kind %s, expected \"storage\"",
                                a[0]->kind == BDPO_PICKLE_TEXT
                                    ? bdpo_printable_bytes(a[0]->text.bytes, a[0]->text.length).text
                                    : bdpo_pickle_kind_text(a[0]->kind));
    if (id->list.count < 5 || id->list.count > 6)
        return bdpo_pickle_fail(p, "a persistent id of %zu parts, expected 5 or 6", id->list.count);
    if (a[1]->kind != BDPO_PICKLE_SYMBOL ||
        (a[1]->symbol->role != STORAGE && a[1]->symbol->role != UNTYPED))
        return bdpo_pickle_fail(p, "a persistent id with %s, expected a class of storages",
                                bdpo_pickle_kind_text(a[1]->kind));
    if (a[2]->kind != BDPO_PICKLE_TEXT || strlen(a[2]->text.bytes) != a[2]->text.length)
        return bdpo_pickle_fail(p, "a storage's key is %s, expected a text",
                                bdpo_pickle_kind_text(a[2]->kind));
    if (!is_index(a[4]))
        return bdpo_pickle_fail(p, "a storage's size is %s, expected an integer, not negative",
                                bdpo_pickle_kind_text(a[4]->kind));
    return BDPO_OK;
}

bdpo_status bdpo_torch_persistent(bdpo_pickle_value **out, const bdpo_pickle *p,
                                  const bdpo_pickle_value *id)
{
    TRY(check_id(p, id));
    bdpo_pickle_value **a = id->list.items;
    bdpo_pickle_storage *s = bdpo_arena_alloc(p->arena, 1, sizeof *s);
    bdpo_pickle_value *value = bdpo_pickle_value_new(p, BDPO_PICKLE_STORAGE);
    if (!s || !value) return bdpo_pickle_no_memory(p);
    *s = (bdpo_pickle_storage){
        .key = a[2]->text.bytes,
        .dtype = a[1]->symbol->dtype,
        .untyped = a[1]->symbol->role == UNTYPED,
        .n_elements = (size_t)a[4]->integer,
        .view_end = (size_t)a[4]->integer,
    };
    value->storage = s;
    *out = value;
    return id->list.count == 6 ? read_view(p, s, a[5]) : BDPO_OK;
}
