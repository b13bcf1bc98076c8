// Stack, marks, memo and input of the pickle machine: every access is checked here.
#include "formats/pickle_stack.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_MARKS = 256 };

// ---- messages, values ----------------------------------------------------------------------

bdpo_status bdpo_pickle_fail(const bdpo_pickle *p, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return bdpo_fail(BDPO_BAD_FILE, "%s: %s, byte %zu: %s", p->path, p->part, p->at, text);
}

bdpo_status bdpo_pickle_no_memory(const bdpo_pickle *p)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for %s", p->path, p->part);
}

const char *bdpo_pickle_kind_text(bdpo_pickle_kind kind)
{
    static const char *const texts[] = {
        "None",   "a bool", "an integer", "a long integer", "a float",
        "a text", "bytes",  "a list",     "a tuple",        "a set",
        "a dict", "a name", "a storage",  "a tensor",       "an object",
    };
    BDPO_ASSERT((size_t)kind < BDPO_COUNTOF(texts));
    return texts[kind];
}

bdpo_pickle_value *bdpo_pickle_value_new(const bdpo_pickle *p, bdpo_pickle_kind kind)
{
    bdpo_pickle_value *value = bdpo_arena_alloc(p->arena, 1, sizeof *value);
    if (value) value->kind = kind;
    return value;
}

bdpo_status bdpo_pickle_append(const bdpo_pickle *p, bdpo_pickle_value *list,
                               bdpo_pickle_value *item)
{
    if (list->list.count == list->list.capacity) {
        size_t wanted = list->list.capacity ? 2 * list->list.capacity : 4;
        bdpo_pickle_value **grown = bdpo_arena_alloc(p->arena, wanted, sizeof *grown);
        if (!grown) return bdpo_pickle_no_memory(p);
        if (list->list.count > 0) memcpy(grown, list->list.items, list->list.count * sizeof *grown);
        list->list.items = grown;
        list->list.capacity = wanted;
    }
    list->list.items[list->list.count++] = item;
    return BDPO_OK;
}

// ---- stack, memo, input --------------------------------------------------------------------

bdpo_status bdpo_pickle_push(bdpo_pickle *p, bdpo_pickle_value *value)
{
    if (!value) return bdpo_pickle_no_memory(p);
    if (p->depth == p->stack_capacity) {
        size_t wanted = p->depth ? 2 * p->depth : 64;
        bdpo_pickle_value **grown = bdpo_realloc(p->stack, wanted, sizeof *grown);
        if (!grown) return bdpo_pickle_no_memory(p);
        p->stack = grown;
        p->stack_capacity = wanted;
    }
    p->stack[p->depth++] = value;
    return BDPO_OK;
}

size_t bdpo_pickle_available(const bdpo_pickle *p)
{
    return p->depth - (p->n_marks > 0 ? p->marks[p->n_marks - 1] : 0);
}

bdpo_status bdpo_pickle_need(const bdpo_pickle *p, size_t n)
{
    if (bdpo_pickle_available(p) >= n) return BDPO_OK;
    return bdpo_pickle_fail(p, "an opcode takes %zu values, the stack has %zu", n,
                            bdpo_pickle_available(p));
}

bdpo_status bdpo_pickle_pop(bdpo_pickle *p, bdpo_pickle_value **out)
{
    *out = NULL;
    TRY(bdpo_pickle_need(p, 1));
    *out = p->stack[--p->depth];
    return BDPO_OK;
}

bdpo_status bdpo_pickle_push_mark(bdpo_pickle *p)
{
    if (!p->marks) p->marks = bdpo_alloc(MAX_MARKS, sizeof *p->marks);
    if (!p->marks) return bdpo_pickle_no_memory(p);
    if (p->n_marks == MAX_MARKS) return bdpo_pickle_fail(p, "nested more than %d deep", MAX_MARKS);
    p->marks[p->n_marks++] = p->depth;
    return BDPO_OK;
}

bdpo_status bdpo_pickle_pop_mark(bdpo_pickle *p, bdpo_pickle_value ***items, size_t *n)
{
    *items = NULL;
    *n = 0;
    if (p->n_marks == 0) return bdpo_pickle_fail(p, "an opcode takes a mark, there is none");
    size_t mark = p->marks[--p->n_marks];
    *n = p->depth - mark;
    *items = p->stack + mark;
    p->depth = mark;
    return BDPO_OK;
}

// A memo has no more places than opcodes have run: picklers number them from 0 or 1 on.
bdpo_status bdpo_pickle_memo_put(bdpo_pickle *p, uint64_t index)
{
    TRY(bdpo_pickle_need(p, 1));
    if (index > p->n_opcodes)
        return bdpo_pickle_fail(p, "memo place %llu after %zu opcodes", (unsigned long long)index,
                                p->n_opcodes);
    if (index >= p->memo_capacity) {
        size_t wanted = p->memo_capacity ? p->memo_capacity : 64;
        while (wanted <= index) wanted *= 2;
        bdpo_pickle_value **grown = bdpo_realloc(p->memo, wanted, sizeof *grown);
        if (!grown) return bdpo_pickle_no_memory(p);
        memset(grown + p->memo_capacity, 0, (wanted - p->memo_capacity) * sizeof *grown);
        p->memo = grown;
        p->memo_capacity = wanted;
    }
    p->memo[index] = p->stack[p->depth - 1];
    p->n_memo++;
    return BDPO_OK;
}

bdpo_status bdpo_pickle_memo_get(bdpo_pickle *p, uint64_t index)
{
    if (index >= p->memo_capacity || !p->memo[index])
        return bdpo_pickle_fail(p, "memo place %llu is empty", (unsigned long long)index);
    return bdpo_pickle_push(p, p->memo[index]);
}

bdpo_status bdpo_pickle_take(bdpo_pickle *p, const unsigned char **out, uint64_t n)
{
    *out = p->bytes + p->at;
    if (n > p->size - p->at)
        return bdpo_pickle_fail(p, "%llu bytes are announced, %zu are left", (unsigned long long)n,
                                p->size - p->at);
    p->at += (size_t)n;
    return BDPO_OK;
}

bdpo_status bdpo_pickle_take_uint(bdpo_pickle *p, uint64_t *out, int n_bytes)
{
    const unsigned char *bytes;
    *out = 0;
    TRY(bdpo_pickle_take(p, &bytes, (uint64_t)n_bytes));
    for (int i = n_bytes; i-- > 0;) *out = *out << 8 | bytes[i];
    return BDPO_OK;
}
