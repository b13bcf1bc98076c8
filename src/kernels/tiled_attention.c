// Deals heads and blocks of queries or keys to the threads, and packs each head's keys and values.
#include "kernels/tiled_attention.h"

#include <string.h>

#include "base/memory.h"
#include "kernels/isa.h"
#include "kernels/parts.h"
#include "kernels/tiled_attention_isa.h"

BDPO_ISA_TABLE(bdpo_attention_table, bdpo_attention_table)

enum {
    KEY_BLOCK = 192,          // keys of one task where heads alone do not fill the threads
    GROUP_FLOATS = 128 * 1024 // packed keys of the heads that are worked on together
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t keys_of(const bdpo_attention_shape *s, int64_t sample)
{
    int64_t keys = s->key_lengths ? s->key_lengths[sample] : s->tk;
    return keys < 0 ? 0 : min(keys, s->tk);
}

// Rows between two strides; to_ld and from_ld are at least d. Short rows, far apart, are a pattern
// that processors do not foresee, hence the prefetches.
static void copy_rows(float *to, int64_t to_ld, const float *from, int64_t from_ld, int64_t rows,
                      int64_t d)
{
    enum { AHEAD = 8 };
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < d && r + AHEAD < rows; c += 16) {
            __builtin_prefetch(from + (r + AHEAD) * from_ld + c, 0);
            __builtin_prefetch(to + (r + AHEAD) * to_ld + c, 1);
        }
        memcpy(to + r * to_ld, from + r * from_ld, (size_t)d * sizeof *to);
    }
}

// ---- who does what --------------------------------------------------------------------------

// A thread works on `group` heads of a sample together, block of queries by block of queries:
// heads lie side by side in a row, so that each row is fetched once. It owns packed keys and
// values of these heads, in the backward pass their gradients too, and the kernel's scratch.
// Sizes in floats.
typedef struct plan {
    int64_t block; // queries
    int64_t group;
    bool whole;            // threads take whole heads
    int64_t packed, grads; // one of k, v of a head; one of dk, dv
    int64_t scratch, thread;
} plan;

static int64_t padded(int64_t floats)
{
    return ceil_div(floats, BDPO_ATTENTION_PAD) * BDPO_ATTENTION_PAD;
}

static plan plan_of(const bdpo_attention_shape *s, bool backward, int n_threads)
{
    plan p = {.packed = padded(s->tk * s->head_size)};
    int64_t heads = s->n * s->heads;
    p.whole = heads % n_threads == 0 || heads >= 3 * n_threads;
    // Many queries, for each block reads all keys; fewer where the head is wide, to remain in the
    // second-level cache, and where heads are cut.
    p.block = s->head_size > 64 ? BDPO_ATTENTION_QUERIES / 2 : BDPO_ATTENTION_QUERIES;
    while (!p.whole && p.block > BDPO_ATTENTION_COLUMN &&
           heads * ceil_div(s->tq, p.block) < 3 * n_threads)
        p.block /= 2;
    p.block = min(p.block, s->tq);
    bool worth = p.whole && s->tq >= 4 * p.block; // else each row is fetched once anyway
    p.group = worth ? min(s->heads, GROUP_FLOATS / (p.packed + 1)) : 1;
    if (p.group < 1) p.group = 1;
    if (backward) p.grads = s->tk * padded(s->head_size);
    p.scratch = padded(backward ? table()->backward_floats(p.block, s->head_size)
                                : table()->forward_floats(p.block, s->head_size));
    p.thread = 2 * p.group * (p.packed + p.grads) + p.scratch;
    return p;
}

// How many heads from `index` on, before `end`, make a group: of one sample.
static int64_t group_at(const plan *p, int64_t index, int64_t end, int64_t heads)
{
    return min(p->group, min(end - index, heads - index % heads));
}

// All that the tasks of one call share; `first` is sample 0, head 0.
typedef struct call {
    const bdpo_attention_shape *s;
    plan p;
    bdpo_attention_head first;
    const float *k, *v;
    float *dk, *dv;
    int64_t ldk, ldv, lddk, lddv;
} call;

// Head `index` of all samples' heads; its keys stand at k and v.
static bdpo_attention_head head_at(const call *a, int64_t index, const float *k, const float *v)
{
    const bdpo_attention_shape *s = a->s;
    int64_t sample = index / s->heads, column = index % s->heads * s->head_size;
    int64_t row = sample * s->tq;
    bdpo_attention_head h = a->first;
    h.tk = keys_of(s, sample);
    h.q += row * h.ldq + column;
    if (h.y) h.y += row * h.ldy + column;
    if (h.lse) h.lse += index * s->tq;
    if (h.seen_y) h.seen_y += row * h.ldy + column;
    if (h.seen_lse) h.seen_lse += index * s->tq;
    if (h.dy) h.dy += row * h.lddy + column;
    if (h.dq) h.dq += row * h.lddq + column;
    h.k = k, h.v = v;
    return h;
}

// The keys [k0, k1) of head `index`, packed, to their places in k and v.
static void pack_keys(const call *a, int64_t index, int64_t k0, int64_t k1, float *k, float *v)
{
    const bdpo_attention_shape *s = a->s;
    int64_t sample = index / s->heads, column = index % s->heads * s->head_size, d = s->head_size;
    int64_t row = sample * s->tk + k0, rows = min(k1, keys_of(s, sample)) - k0;
    if (rows <= 0) return;
    copy_rows(k + k0 * d, d, a->k + row * a->ldk + column, a->ldk, rows, d);
    copy_rows(v + k0 * d, d, a->v + row * a->ldv + column, a->ldv, rows, d);
}

// ---- forward --------------------------------------------------------------------------------

// The queries [q0, q1) of `group` heads of one sample, from head `index` on.
static void forward_range(const call *a, int64_t index, int64_t group, int64_t q0, int64_t q1,
                          float *own)
{
    const plan *p = &a->p;
    float *k = own, *v = k + p->group * p->packed, *scratch = v + p->group * p->packed;
    for (int64_t j = 0; j < group; j++)
        pack_keys(a, index + j, 0, a->s->tk, k + j * p->packed, v + j * p->packed);
    for (int64_t q = q0; q < q1; q += p->block)
        for (int64_t j = 0; j < group; j++) {
            bdpo_attention_head h = head_at(a, index + j, k + j * p->packed, v + j * p->packed);
            table()->forward(&h, q, min(q + p->block, q1), scratch);
        }
}

// Thread i's share: whole heads, or a run of blocks of queries through the heads.
static void forward_share(const call *a, int64_t i, int n_threads, float *own)
{
    const bdpo_attention_shape *s = a->s;
    int64_t heads = s->n * s->heads;
    if (a->p.whole) {
        int64_t end = bdpo_part_begin(heads, i + 1, n_threads), group;
        for (int64_t at = bdpo_part_begin(heads, i, n_threads); at < end; at += group) {
            group = group_at(&a->p, at, end, s->heads);
            forward_range(a, at, group, 0, s->tq, own);
        }
        return;
    }
    int64_t blocks = ceil_div(s->tq, a->p.block);
    int64_t end = bdpo_part_begin(heads * blocks, i + 1, n_threads), next;
    for (int64_t at = bdpo_part_begin(heads * blocks, i, n_threads); at < end; at = next) {
        int64_t head = at / blocks;
        next = min(end, (head + 1) * blocks);
        forward_range(a, head, 1, (at - head * blocks) * a->p.block,
                      min(s->tq, (next - head * blocks) * a->p.block), own);
    }
}

size_t bdpo_attention_forward_workspace(const bdpo_attention_shape *s, int n_threads)
{
    return (size_t)(plan_of(s, false, n_threads).thread * n_threads) * sizeof(float);
}

void bdpo_attention_forward(float *y, int64_t ldy, float *lse, const float *q, int64_t ldq,
                            const float *k, int64_t ldk, const float *v, int64_t ldv,
                            const bdpo_attention_shape *s, void *workspace, int n_threads)
{
    call a = {.s = s, .p = plan_of(s, false, n_threads), .k = k, .ldk = ldk, .v = v, .ldv = ldv};
    a.first = (bdpo_attention_head){.tq = s->tq,
                                    .d = s->head_size,
                                    .scale = s->scale,
                                    .causal = s->causal,
                                    .q = q,
                                    .ldq = ldq,
                                    .y = y,
                                    .ldy = ldy,
                                    .lse = lse};
#pragma omp parallel for num_threads(n_threads) schedule(static, 1) if (n_threads > 1)
    for (int i = 0; i < n_threads; i++)
        forward_share(&a, i, n_threads, (float *)workspace + i * a.p.thread);
}

// ---- backward -------------------------------------------------------------------------------

// The gradients of the keys [k0, k1) of head `index`, to their place in the result.
static void unpack_grads(const call *a, int64_t index, int64_t k0, int64_t k1, const float *dk,
                         const float *dv)
{
    const bdpo_attention_shape *s = a->s;
    int64_t column = index % s->heads * s->head_size, d = s->head_size, ld = padded(d);
    int64_t row = index / s->heads * s->tk + k0;
    copy_rows(a->dk + row * a->lddk + column, a->lddk, dk + k0 * ld, ld, k1 - k0, d);
    copy_rows(a->dv + row * a->lddv + column, a->lddv, dv + k0 * ld, ld, k1 - k0, d);
}

// The queries [q0, q1) against the keys [k0, k1), of `group` heads of one sample from head `index`
// on: dq of these queries with `to_q`, dk and dv of these keys with `to_k`.
static void backward_range(const call *a, int64_t index, int64_t group, int64_t q0, int64_t q1,
                           int64_t k0, int64_t k1, bool to_q, bool to_k, float *own)
{
    const plan *p = &a->p;
    float *k = own, *v = k + p->group * p->packed;
    float *dk = v + p->group * p->packed, *dv = dk + p->group * p->grads;
    float *scratch = dv + p->group * p->grads;
    int64_t end = min(k1, keys_of(a->s, index / a->s->heads));
    for (int64_t j = 0; j < group; j++)
        pack_keys(a, index + j, k0, k1, k + j * p->packed, v + j * p->packed);
    if (to_k) memset(dk, 0, (size_t)(2 * p->group * p->grads) * sizeof *dk);
    for (int64_t q = q0; q < q1; q += p->block)
        for (int64_t j = 0; j < group; j++) {
            bdpo_attention_head h = head_at(a, index + j, k + j * p->packed, v + j * p->packed);
            h.dk = to_k ? dk + j * p->grads : NULL;
            h.dv = to_k ? dv + j * p->grads : NULL;
            if (!to_q) h.dq = NULL;
            table()->backward(&h, q, min(q + p->block, q1), k0, end, scratch);
        }
    for (int64_t j = 0; to_k && j < group; j++)
        unpack_grads(a, index + j, k0, k1, dk + j * p->grads, dv + j * p->grads);
}

// Where heads alone leave threads idle, a head is cut: first tasks for dq of a block of queries
// each, then tasks for dk and dv of a block of keys. The scores are then computed twice: seven
// products instead of five.
static void part_of_head(const call *a, int64_t task, float *own)
{
    const bdpo_attention_shape *s = a->s;
    int64_t heads = s->n * s->heads, block = a->p.block;
    int64_t query_blocks = ceil_div(s->tq, block), key_blocks = ceil_div(s->tk, KEY_BLOCK);
    if (task < heads * query_blocks) {
        int64_t q0 = task % query_blocks * block;
        backward_range(a, task / query_blocks, 1, q0, min(q0 + block, s->tq), 0, s->tk, true, false,
                       own);
    } else {
        task -= heads * query_blocks;
        int64_t k0 = task % key_blocks * KEY_BLOCK;
        backward_range(a, task / key_blocks, 1, 0, s->tq, k0, min(k0 + KEY_BLOCK, s->tk), false,
                       true, own);
    }
}

static void backward_share(const call *a, int64_t i, int n_threads, float *own)
{
    const bdpo_attention_shape *s = a->s;
    int64_t heads = s->n * s->heads;
    if (a->p.whole) {
        int64_t end = bdpo_part_begin(heads, i + 1, n_threads), group;
        for (int64_t at = bdpo_part_begin(heads, i, n_threads); at < end; at += group) {
            group = group_at(&a->p, at, end, s->heads);
            backward_range(a, at, group, 0, s->tq, 0, s->tk, true, true, own);
        }
        return;
    }
    int64_t tasks = heads * (ceil_div(s->tq, a->p.block) + ceil_div(s->tk, KEY_BLOCK));
    for (int64_t task = bdpo_part_begin(tasks, i, n_threads);
         task < bdpo_part_begin(tasks, i + 1, n_threads); task++)
        part_of_head(a, task, own);
}

size_t bdpo_attention_backward_workspace(const bdpo_attention_shape *s, int n_threads)
{
    return (size_t)(plan_of(s, true, n_threads).thread * n_threads) * sizeof(float);
}

void bdpo_attention_backward(float *dq, int64_t lddq, float *dk, int64_t lddk, float *dv,
                             int64_t lddv, const float *dy, int64_t lddy, const float *y,
                             int64_t ldy, const float *lse, const float *q, int64_t ldq,
                             const float *k, int64_t ldk, const float *v, int64_t ldv,
                             const bdpo_attention_shape *s, void *workspace, int n_threads)
{
    call a = {.s = s,
              .p = plan_of(s, true, n_threads),
              .k = k,
              .ldk = ldk,
              .v = v,
              .ldv = ldv,
              .dk = dk,
              .lddk = lddk,
              .dv = dv,
              .lddv = lddv};
    a.first = (bdpo_attention_head){.tq = s->tq,
                                    .d = s->head_size,
                                    .scale = s->scale,
                                    .causal = s->causal,
                                    .q = q,
                                    .ldq = ldq,
                                    .seen_y = y,
                                    .ldy = ldy,
                                    .seen_lse = lse,
                                    .dy = dy,
                                    .lddy = lddy,
                                    .dq = dq,
                                    .lddq = lddq};
#pragma omp parallel for num_threads(n_threads) schedule(static, 1) if (n_threads > 1)
    for (int i = 0; i < n_threads; i++)
        backward_share(&a, i, n_threads, (float *)workspace + i * a.p.thread);
}
