// The parameters text, both ways.
#include "formats/generation_parameters.h"

#include "harness.h"

static void check_format(const bdpo_generation_parameters *p, const char *expected)
{
    char *text;
    CHECK_OK(bdpo_generation_format(&text, p));
    CHECK_STR(text, expected);
    bdpo_free(text);
}

BDPO_TEST(formats_as_the_web_interfaces)
{
    const bdpo_generation_field others[] = {{"Lora hashes", "a: 12, b: 34"}, {"Note", "x\ny"}};
    bdpo_generation_parameters p = {.prompt = "a cat",
                                    .negative_prompt = "blurry",
                                    .n_steps = 20,
                                    .sampler = "Euler a",
                                    .has_cfg_scale = true,
                                    .cfg_scale = 7,
                                    .has_seed = true,
                                    .seed = UINT64_MAX,
                                    .width = 512,
                                    .height = 768,
                                    .model_hash = "0123456789",
                                    .model = "m",
                                    .others = others,
                                    .n_others = 2};
    check_format(&p, "a cat\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, "
                     "Seed: 18446744073709551615, Size: 512x768, Model hash: 0123456789, Model: m, "
                     "Lora hashes: \"a: 12, b: 34\", Note: \"x\\ny\"");
    p = (bdpo_generation_parameters){.prompt = "p", .has_cfg_scale = true, .cfg_scale = 7.5};
    check_format(&p, "p\nCFG scale: 7.5");
}

BDPO_TEST(refuses_a_key_that_does_not_read_back)
{
    static const char *const keys[] = {"", "a", " ab", "a:b", "a,b"};
    char *text;
    for (size_t i = 0; i < BDPO_COUNTOF(keys); i++) {
        const bdpo_generation_field field = {keys[i], "v"};
        CHECK_STATUS(bdpo_generation_format(
                         &text, &(bdpo_generation_parameters){.others = &field, .n_others = 1}),
                     BDPO_BAD_ARGUMENT);
    }
}

BDPO_TEST(parses_what_it_formats)
{
    static const char text[] =
        "two\nlines\nNegative prompt: bad\nworse\nSteps: 30, Sampler: "
        "\"a, b\", CFG scale: 7.5, Seed: 42, Size: 64x32, Model: m: \xc3\xa9, "
        "Extra: \"q\\\"\"";
    bdpo_generation_parameters p;
    CHECK_OK(bdpo_generation_parse(&p, text));
    CHECK_STR(p.prompt, "two\nlines");
    CHECK_STR(p.negative_prompt, "bad\nworse");
    CHECK_INT(p.n_steps, 30);
    CHECK_STR(p.sampler, "a, b");
    CHECK_NEAR(p.cfg_scale, 7.5, 0); // exact in binary
    CHECK_U64(p.seed, 42);
    CHECK_INT(p.width, 64);
    CHECK_INT(p.height, 32);
    CHECK(p.model_hash == NULL);
    CHECK_STR(p.model, "m: \xc3\xa9");
    CHECK_INT(p.n_others, 1);
    CHECK_STR(p.others[0].key, "Extra");
    CHECK_STR(p.others[0].value, "q\"");
    bdpo_generation_release(&p);
}

BDPO_TEST(few_fields_are_prompt)
{
    bdpo_generation_parameters p;
    CHECK_OK(bdpo_generation_parse(&p, "  a cat: big, dog: small \n"));
    CHECK_STR(p.prompt, "a cat: big, dog: small");
    CHECK(p.negative_prompt == NULL);
    CHECK_INT(p.n_others, 0);
    bdpo_generation_release(&p);
    CHECK_OK(bdpo_generation_parse(&p, ""));
    CHECK_STR(p.prompt, "");
    bdpo_generation_release(&p);
    CHECK_OK(bdpo_generation_parse(&p, "Steps: 1, Seed: 2, Size: 3x4"));
    CHECK_STR(p.prompt, "");
    CHECK_INT(p.n_steps, 1);
    bdpo_generation_release(&p);
}

BDPO_TEST(odd_values_are_kept_as_text)
{
    bdpo_generation_parameters p;
    CHECK_OK(bdpo_generation_parse(
        &p,
        "x\nSteps: many, Seed: -1, CFG scale: nan, Size: 0x4, Model: \"open, Empty: \"\", A b"));
    CHECK_INT(p.n_steps, 0);
    CHECK(!p.has_seed && !p.has_cfg_scale && p.width == 0);
    CHECK_STR(p.model, "\"open");
    CHECK_INT(p.n_others, 5);
    CHECK_STR(p.others[0].value, "many");
    CHECK_STR(p.others[3].value, "0x4");
    CHECK_STR(p.others[4].value, "");
    bdpo_generation_release(&p);
}

BDPO_TEST(no_memory_while_parsing)
{
    bdpo_status status = BDPO_NO_MEMORY;
    for (uint64_t at = 1; status != BDPO_OK; at++) {
        bdpo_generation_parameters p;
        bdpo_alloc_fail_at(bdpo_alloc_count() + at);
        status =
            bdpo_generation_parse(&p, "a\nNegative prompt: b\nSteps: 1, Seed: 2, Other: \"c,\"");
        bdpo_alloc_fail_at(0);
        if (status != BDPO_OK) CHECK_INT(status, BDPO_NO_MEMORY);
        bdpo_generation_release(&p);
        CHECK(at < 50);
    }
}
