// formats/json and formats/sha256.
#include "formats/json.h"

#include <float.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/sha256.h"
#include "harness.h"

static const char config[] =
    "{\"_class_name\": \"UNet2DConditionModel\", \"act_fn\": \"silu\","
    " \"attention_head_dim\": [5, 10, 20], \"layers_per_block\": 2, \"norm_eps\": 1e-05,"
    " \"down_block_types\": [\"DownBlock2D\", \"CrossAttnDownBlock2D\"],"
    " \"upcast_attention\": null, \"use_linear_projection\": true,"
    " \"scheduler\": {\"betas\": [0.1, {\"x\": 1}]}}";

BDPO_TEST(fields_of_a_configuration)
{
    static const char *const blocks[] = {"CrossAttnDownBlock2D", "DownBlock2D"};
    bdpo_json_document *document;
    CHECK_OK(bdpo_json_parse(&document, config, strlen(config), "unet/config.json"));
    bdpo_json root = bdpo_json_root(document);
    int i, n, values[4];
    double x;
    bool b;
    const char *text;
    CHECK_OK(bdpo_json_int(&i, &root, "layers_per_block", 1, 8));
    CHECK_INT(i, 2);
    CHECK_OK(bdpo_json_int_or(&i, &root, "sample_size", 64, 1, 1024));
    CHECK_INT(i, 64);
    CHECK_OK(bdpo_json_double(&x, &root, "norm_eps", 0, 1));
    CHECK_NEAR(x, 1e-05, 0); // the same double
    CHECK_OK(bdpo_json_double_or(&x, &root, "layers_per_block", 0, -DBL_MAX, DBL_MAX));
    CHECK_NEAR(x, 2, 0); // an integer is a number
    CHECK_OK(bdpo_json_bool(&b, &root, "use_linear_projection"));
    CHECK(b);
    CHECK_OK(bdpo_json_bool_or(&b, &root, "upcast_attention", false));
    CHECK(!b);
    CHECK(!bdpo_json_has(&root, "upcast_attention") && bdpo_json_has(&root, "act_fn"));
    CHECK_OK(bdpo_json_string(&text, &root, "_class_name"));
    CHECK_STR(text, "UNet2DConditionModel");
    CHECK_OK(bdpo_json_string_or(&text, &root, "none", "fallback"));
    CHECK_STR(text, "fallback");
    CHECK_OK(bdpo_json_ints(values, &n, 4, &root, "attention_head_dim", 1, 100));
    CHECK_INT(n, 3);
    CHECK_INT(values[2], 20);
    CHECK_OK(bdpo_json_int_or_ints(values, 4, &root, "layers_per_block", 1, 8));
    CHECK(values[0] == 2 && values[3] == 2);
    CHECK_OK(bdpo_json_int_or_ints(values, 3, &root, "attention_head_dim", 1, 100));
    CHECK(values[0] == 5 && values[2] == 20);
    CHECK_OK(bdpo_json_words(values, &n, 4, &root, "down_block_types", blocks, 2));
    CHECK(n == 2 && values[0] == 1 && values[1] == 0);
    CHECK_OK(bdpo_json_word_or(&i, &root, "none", 7, blocks, 2));
    CHECK_INT(i, 7);
    bdpo_json_free(document);
}

BDPO_TEST(nested_places_are_named)
{
    bdpo_json_document *document;
    bdpo_json inner, array;
    int i;
    CHECK_OK(bdpo_json_parse(&document, config, strlen(config), "unet/config.json"));
    bdpo_json root = bdpo_json_root(document);
    CHECK_OK(bdpo_json_object(&inner, &root, "scheduler"));
    CHECK_OK(bdpo_json_array(&array, &inner, "betas"));
    CHECK_U64(bdpo_json_count(&array), 2);
    bdpo_json element = bdpo_json_element(&array, 1);
    CHECK_STATUS(bdpo_json_int(&i, &element, "x", 5, 6), BDPO_BAD_FILE);
    CHECK_STR(bdpo_message(),
              "unet/config.json: scheduler.betas[1].x is 1, expected an integer from 5 to 6");
    CHECK_STATUS(bdpo_json_int_or(&i, &array, "x", 5, 5, 6), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "scheduler.betas is an array of 2, expected an object");
    bdpo_json_free(document);
}

BDPO_TEST(keys_come_in_the_order_of_the_file)
{
    static const char *const expected[] = {"_class_name", "act_fn", "attention_head_dim"};
    bdpo_json_document *document;
    CHECK_OK(bdpo_json_parse(&document, config, strlen(config), "x"));
    bdpo_json root = bdpo_json_root(document);
    const char *key = NULL;
    for (size_t i = 0; i < BDPO_COUNTOF(expected); i++) {
        key = bdpo_json_next_key(&root, key);
        CHECK_STR(key, expected[i]);
    }
    size_t n = BDPO_COUNTOF(expected);
    while ((key = bdpo_json_next_key(&root, key))) n++;
    CHECK_U64(n, bdpo_json_count(&root));
    bdpo_json_free(document);
}

BDPO_TEST(parse_errors_name_line_and_column)
{
    static const char text[] = "{\n  \"a\": 1,\n  \"a\": 2\n}";
    bdpo_json_document *document;
    CHECK_STATUS(bdpo_json_parse(&document, text, strlen(text), "c.json"), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "c.json: line 3, column 5: \"duplicate object key");
    CHECK_STATUS(bdpo_json_open(&document, "/no/such.json"), BDPO_NOT_FOUND);
    bdpo_alloc_fail_at(bdpo_alloc_count() + 1);
    CHECK_STATUS(bdpo_json_parse(&document, "{}", 2, "c.json"), BDPO_NO_MEMORY);
    bdpo_alloc_fail_at(bdpo_alloc_count() + 2);
    CHECK_STATUS(bdpo_json_parse(&document, "{}", 2, "c.json"), BDPO_NO_MEMORY);
}

// Vectors of FIPS 180-4.
BDPO_TEST(sha256_of_known_texts)
{
    static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    static const char path[] = "/tmp/bdpo-test-sha256";
    bdpo_sha256_stream *stream;
    bdpo_sha256_text hash;
    CHECK_OK(bdpo_sha256(&hash, NULL, 0));
    CHECK_STR(hash.hex, empty);
    CHECK_OK(bdpo_sha256(&hash, "abc", 3));
    CHECK_STR(hash.hex, abc);
    CHECK_OK(bdpo_sha256_new(&stream));
    for (int i = 0; i < 3; i++) CHECK_OK(bdpo_sha256_add(stream, &"abc"[i], 1));
    CHECK_OK(bdpo_sha256_finish(&hash, stream));
    CHECK_STR(hash.hex, abc);
    CHECK_OK(bdpo_file_write(path, "xxabcyy", 7));
    CHECK_OK(bdpo_sha256_file_part(&hash, path, 2, 3));
    CHECK_STR(hash.hex, abc);
    CHECK_OK(bdpo_sha256_file_part(&hash, path, 100, 3));
    CHECK_STR(hash.hex, empty);
    CHECK_OK(bdpo_file_write(path, "abc", 3));
    CHECK_OK(bdpo_sha256_file(&hash, path));
    CHECK_STR(hash.hex, abc);
    remove(path);
    CHECK_STATUS(bdpo_sha256_file(&hash, path), BDPO_NOT_FOUND);
    bdpo_sha256_free(NULL);
}
