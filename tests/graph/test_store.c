// The store: names, buckets, the layout of each kind, and refusals that name the parameter.
#include <stdlib.h>

#include <bdpo/engine.h>

#include "base/memory.h"
#include "graph/store.h"
#include "harness.h"

typedef struct fixture {
    bdpo_engine *engine;
    bdpo_store *store;
} fixture;

static fixture begin(const char *backend)
{
    fixture f;
    CHECK_OK(bdpo_engine_new(&f.engine, &(bdpo_engine_options){.backend = backend}));
    CHECK_OK(bdpo_store_new(&f.store, f.engine));
    return f;
}

static void end(fixture f)
{
    bdpo_store_free(f.store);
    bdpo_engine_free(f.engine);
}

BDPO_TEST(values_come_back_and_start_at_zero)
{
    fixture f = begin("cpu");
    CHECK_OK(bdpo_store_declare(f.store, "a", BDPO_F32, BDPO_SHAPE(3, 5), true));
    CHECK_OK(bdpo_store_declare(f.store, "b", BDPO_F32, BDPO_SHAPE(7), true));
    CHECK_OK(bdpo_store_seal(f.store));
    float in[15], out[15];
    for (int i = 0; i < 15; i++) in[i] = (float)i;
    CHECK_OK(bdpo_store_write(f.store, BDPO_PARAM, "a", in, sizeof in));
    CHECK_OK(bdpo_store_read(f.store, BDPO_PARAM, "a", out, sizeof out));
    CHECK_BYTES(out, in, sizeof in);
    CHECK_OK(bdpo_store_read(f.store, BDPO_PARAM, "b", out, 7 * sizeof *out));
    for (int i = 0; i < 7; i++) CHECK(out[i] == 0.0f);
    CHECK_INT(bdpo_store_count(f.store), 2);
    CHECK_STR(bdpo_store_name(f.store, 1), "b");
    end(f);
}

BDPO_TEST(refusals_name_the_parameter)
{
    fixture f = begin("cpu");
    float value = 1;
    CHECK_OK(bdpo_store_declare(f.store, "w", BDPO_F32, BDPO_SHAPE(2, 2), true));
    CHECK_STATUS(bdpo_store_declare(f.store, "w", BDPO_F32, BDPO_SHAPE(1), true),
                 BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "\"w\" is declared twice");
    CHECK_STATUS(bdpo_store_declare(f.store, "h", BDPO_F16, BDPO_SHAPE(1), true),
                 BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_store_declare(f.store, "z", BDPO_F32, BDPO_SHAPE(0, 2), true),
                 BDPO_BAD_SHAPE);
    CHECK_STATUS(bdpo_store_reserve(f.store, BDPO_GRAD), BDPO_BAD_ARGUMENT);
    CHECK_OK(bdpo_store_seal(f.store));
    CHECK_STATUS(bdpo_store_declare(f.store, "late", BDPO_F32, BDPO_SHAPE(1), true),
                 BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_store_write(f.store, BDPO_PARAM, "w", &value, sizeof value), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "f32 [2, 2]: expected 16 bytes, got 4");
    CHECK_STATUS(bdpo_store_read(f.store, BDPO_PARAM, "no", &value, sizeof value), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "\"no\"");
    end(f);
}

BDPO_TEST(many_names_are_found)
{
    fixture f = begin("cpu");
    char name[32];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "blocks.%d.weight", i);
        CHECK_OK(bdpo_store_declare(f.store, name, BDPO_F32, BDPO_SHAPE(1 + i % 3), true));
    }
    CHECK_OK(bdpo_store_seal(f.store));
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "blocks.%d.weight", i);
        CHECK(bdpo_store_find(f.store, name) == bdpo_store_at(f.store, i));
    }
    CHECK(bdpo_store_find(f.store, "blocks.3000.weight") == NULL);
    end(f);
}

BDPO_TEST(buckets_split_by_dtype_training_and_size)
{
    fixture f = begin("null");
    CHECK_OK(bdpo_store_declare(f.store, "a", BDPO_F32, BDPO_SHAPE(10), true));
    CHECK_OK(bdpo_store_declare(f.store, "b", BDPO_F32, BDPO_SHAPE(10), true));
    CHECK_OK(bdpo_store_declare(f.store, "frozen", BDPO_F32, BDPO_SHAPE(10), false));
    CHECK_OK(bdpo_store_declare(f.store, "half", BDPO_F16, BDPO_SHAPE(10), false));
    CHECK_OK(bdpo_store_declare(f.store, "big1", BDPO_F32, BDPO_SHAPE(10 << 20), true));
    CHECK_OK(bdpo_store_declare(f.store, "big2", BDPO_F32, BDPO_SHAPE(10 << 20), true));
    CHECK_OK(bdpo_store_seal(f.store));
    CHECK_INT(bdpo_store_bucket_count(f.store), 5);
    CHECK(bdpo_store_bucket_trainable(f.store, 0) && !bdpo_store_bucket_trainable(f.store, 1));
    size_t bytes;
    CHECK(bdpo_store_bucket_data(f.store, BDPO_PARAM, 0, &bytes) != NULL);
    CHECK_U64(bytes, 2 * 64 * sizeof(float)); // each padded to 64 elements
    CHECK(bdpo_store_bucket_data(f.store, BDPO_GRAD, 0, &bytes) == NULL);
    CHECK_OK(bdpo_store_reserve(f.store, BDPO_GRAD));
    CHECK(bdpo_store_bucket_data(f.store, BDPO_GRAD, 1, &bytes) == NULL); // frozen: no gradient
    end(f);
}

static void check_layout(const bdpo_store *store, bdpo_kind kind, const char *name,
                         bdpo_dtype dtype, bdpo_shape shape)
{
    bdpo_dtype got_dtype;
    bdpo_shape got;
    CHECK_OK(bdpo_store_describe(store, kind, name, &got_dtype, &got));
    CHECK_INT(got_dtype, dtype);
    CHECK_STR(bdpo_shape_print(&got).text, bdpo_shape_print(&shape).text);
}

BDPO_TEST(kinds_have_the_layout_of_their_optimiser)
{
    fixture f = begin("null");
    CHECK_OK(bdpo_store_declare(f.store, "conv", BDPO_F32, BDPO_SHAPE(64, 3, 5, 32), true));
    CHECK_OK(bdpo_store_declare(f.store, "linear", BDPO_F32, BDPO_SHAPE(20, 30), true));
    CHECK_OK(bdpo_store_declare(f.store, "bias", BDPO_F32, BDPO_SHAPE(20), true));
    CHECK_OK(bdpo_store_seal(f.store));
    check_layout(f.store, BDPO_FACTOR_ROW, "conv", BDPO_F32, BDPO_SHAPE(64, 32, 3));
    check_layout(f.store, BDPO_FACTOR_COLUMN, "conv", BDPO_F32, BDPO_SHAPE(64, 32, 5));
    check_layout(f.store, BDPO_FACTOR_ROW, "linear", BDPO_F32, BDPO_SHAPE(20));
    check_layout(f.store, BDPO_FACTOR_COLUMN, "linear", BDPO_F32, BDPO_SHAPE(30));
    check_layout(f.store, BDPO_FACTOR_ROW, "bias", BDPO_F32, BDPO_SHAPE(20));
    check_layout(f.store, BDPO_MOMENT1_8BIT, "conv", BDPO_U8, BDPO_SHAPE(64, 3, 5, 32));
    check_layout(f.store, BDPO_MOMENT1_ABSMAX, "conv", BDPO_F32, BDPO_SHAPE(120));
    check_layout(f.store, BDPO_MOMENT2_8BIT, "linear", BDPO_F32, BDPO_SHAPE(20, 30)); // small
    check_layout(f.store, BDPO_SHADOW, "bias", BDPO_BF16, BDPO_SHAPE(20));
    bdpo_dtype dtype;
    bdpo_shape shape;
    CHECK_STATUS(bdpo_store_describe(f.store, BDPO_MOMENT2_ABSMAX, "linear", &dtype, &shape),
                 BDPO_NOT_FOUND);
    CHECK_STATUS(bdpo_store_describe(f.store, BDPO_FACTOR_COLUMN, "bias", &dtype, &shape),
                 BDPO_NOT_FOUND);
    end(f);
}

// Kinds of equal shape have equal offsets, so that an optimiser walks a bucket in one loop.
BDPO_TEST(kinds_of_equal_shape_have_equal_offsets)
{
    fixture f = begin("null");
    const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++)
        CHECK_OK(bdpo_store_declare(f.store, names[i], BDPO_F32, BDPO_SHAPE(33 + i, 7), true));
    CHECK_OK(bdpo_store_seal(f.store));
    CHECK_OK(bdpo_store_reserve(f.store, BDPO_GRAD));
    CHECK_OK(bdpo_store_reserve(f.store, BDPO_SHADOW));
    for (int i = 0; i < 3; i++) {
        const bdpo_param_info *param = bdpo_store_at(f.store, i);
        CHECK_INT(param->offset[BDPO_GRAD], param->offset[BDPO_PARAM]);
        CHECK_INT(param->offset[BDPO_SHADOW], param->offset[BDPO_PARAM]);
        CHECK_INT(param->offset[BDPO_PARAM] % 64, 0);
    }
    end(f);
}

BDPO_TEST(a_mapped_parameter_is_read_where_it_lies)
{
    fixture f = begin("cpu");
    static const float weights[4] = {1, 2, 3, 4};
    CHECK_OK(bdpo_store_declare_mapped(f.store, "w", BDPO_F32, BDPO_SHAPE(4), weights));
    CHECK_STATUS(bdpo_store_declare_mapped(f.store, "odd", BDPO_F32, BDPO_SHAPE(1),
                                           (const char *)weights + 1),
                 BDPO_BAD_ARGUMENT);
    CHECK_OK(bdpo_store_seal(f.store));
    CHECK(bdpo_store_address(f.store, BDPO_PARAM, 0) == weights);
    float out[4];
    CHECK_OK(bdpo_store_read(f.store, BDPO_PARAM, "w", out, sizeof out));
    CHECK_BYTES(out, weights, sizeof out);
    CHECK_STATUS(bdpo_store_write(f.store, BDPO_PARAM, "w", out, sizeof out), BDPO_BAD_ARGUMENT);
    end(f);
}

BDPO_TEST(the_shadow_follows_the_parameter)
{
    fixture f = begin("cpu");
    CHECK_OK(bdpo_store_declare(f.store, "w", BDPO_F32, BDPO_SHAPE(2), true));
    CHECK_OK(bdpo_store_seal(f.store));
    float value[2] = {1.0f, 1.0f + 1.0f / 512}; // the second does not fit bf16
    uint16_t shadow[2];
    CHECK_OK(bdpo_store_write(f.store, BDPO_PARAM, "w", value, sizeof value));
    CHECK_OK(bdpo_store_reserve(f.store, BDPO_SHADOW)); // filled from what is there
    CHECK_OK(bdpo_store_read(f.store, BDPO_SHADOW, "w", shadow, sizeof shadow));
    CHECK_INT(shadow[0], 0x3f80);
    CHECK_INT(shadow[1], 0x3f80);
    value[1] = -2.0f;
    CHECK_OK(bdpo_store_write(f.store, BDPO_PARAM, "w", value, sizeof value));
    CHECK_OK(bdpo_store_read(f.store, BDPO_SHADOW, "w", shadow, sizeof shadow));
    CHECK_INT(shadow[1], 0xc000);
    end(f);
}

BDPO_TEST(a_store_may_be_empty)
{
    fixture f = begin("cpu");
    CHECK_OK(bdpo_store_seal(f.store));
    CHECK_OK(bdpo_store_reserve(f.store, BDPO_GRAD));
    CHECK_INT(bdpo_store_count(f.store), 0);
    CHECK_INT(bdpo_store_bucket_count(f.store), 0);
    CHECK(bdpo_store_find(f.store, "w") == NULL);
    CHECK_STATUS(bdpo_store_seal(f.store), BDPO_BAD_ARGUMENT);
    end(f);
}

// Whichever allocation fails, sealing again gives the layout that it would have given at once.
BDPO_TEST(a_store_that_could_not_be_sealed_may_be_tried_again)
{
    bdpo_status first = BDPO_NO_MEMORY;
    int n_failed = 0;
    for (uint64_t n = 1; first != BDPO_OK; n++) {
        fixture f = begin("cpu");
        float in[6] = {1, 2, 3, 4, 5, 6}, out[6];
        CHECK_OK(bdpo_store_declare(f.store, "a", BDPO_F32, BDPO_SHAPE(2, 3), true));
        CHECK_OK(bdpo_store_declare(f.store, "b", BDPO_F32, BDPO_SHAPE(6), false));
        CHECK_OK(bdpo_store_declare(f.store, "c", BDPO_F32, BDPO_SHAPE(6), false));
        bdpo_alloc_fail_at(bdpo_alloc_count() + n);
        first = bdpo_store_seal(f.store);
        bdpo_alloc_fail_at(0);
        if (first != BDPO_OK) {
            CHECK_STATUS(first, BDPO_NO_MEMORY);
            CHECK_STATUS(bdpo_store_reserve(f.store, BDPO_GRAD), BDPO_BAD_ARGUMENT);
            CHECK_OK(bdpo_store_seal(f.store));
            n_failed++;
        }
        CHECK_INT(bdpo_store_bucket_count(f.store), 2);
        CHECK_OK(bdpo_store_write(f.store, BDPO_PARAM, "c", in, sizeof in));
        CHECK_OK(bdpo_store_read(f.store, BDPO_PARAM, "c", out, sizeof out));
        CHECK_BYTES(out, in, sizeof in);
        end(f);
    }
    CHECK(n_failed >= 3); // the list of buckets and the memory of two
}

// A shadow that could not be filled must not pass for one that is.
BDPO_TEST(a_shadow_is_not_reserved_before_it_is_filled)
{
    bdpo_status first = BDPO_NO_MEMORY;
    for (uint64_t n = 1; first != BDPO_OK; n++) {
        fixture f = begin("cpu");
        const float value[2] = {1, -2};
        const char *const names[] = {"a", "b", "c"};
        for (int i = 0; i < 3; i++)
            CHECK_OK(bdpo_store_declare(f.store, names[i], BDPO_F32, BDPO_SHAPE(2), true));
        CHECK_OK(bdpo_store_seal(f.store));
        for (int i = 0; i < 3; i++)
            CHECK_OK(bdpo_store_write(f.store, BDPO_PARAM, names[i], value, sizeof value));
        bdpo_alloc_fail_at(bdpo_alloc_count() + n);
        first = bdpo_store_reserve(f.store, BDPO_SHADOW);
        bdpo_alloc_fail_at(0);
        if (first != BDPO_OK) CHECK_OK(bdpo_store_reserve(f.store, BDPO_SHADOW));
        for (int i = 0; i < 3; i++) {
            uint16_t shadow[2];
            CHECK_OK(bdpo_store_read(f.store, BDPO_SHADOW, names[i], shadow, sizeof shadow));
            CHECK(shadow[0] == 0x3f80 && shadow[1] == 0xc000);
        }
        end(f);
    }
}
