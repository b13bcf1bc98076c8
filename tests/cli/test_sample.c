// A random model of each family is made, and pictures are painted with it.
#include "harness.h"

#include "base/file.h"
#include "base/memory.h"
#include "cli/run_program.h"
#include "formats/image.h"
#include "models/scratch.h"

static void make_model(const char *family, char path[256])
{
    snprintf(path, 256, "%s", scratch_path(family));
    CHECK_INT(RUN(NULL, "demo-model", family, path, "--quiet")->code, 0);
}

// The pixels of a picture of two steps; the caller's.
static bdpo_image paint(const char *model, const char *seed, const char *sampler)
{
    bdpo_image image;
    char out[256];
    snprintf(out, sizeof out, "%s", scratch_path("picture.png"));
    const program_result *r = RUN(NULL, "sample", model, "--prompt", "a red fox", "--steps", "2",
                                  "--seed", seed, "--sampler", sampler, "--out", out, "--quiet");
    CHECK_STR(r->err, "");
    CHECK_INT(r->code, 0);
    CHECK_OK(bdpo_image_read(&image, out));
    return image;
}

static void check_family(const char *family)
{
    char model[256];
    make_model(family, model);
    bdpo_image first = paint(model, "3", "euler"), again = paint(model, "3", "euler");
    bdpo_image other = paint(model, "4", "euler");
    size_t bytes = bdpo_image_bytes(&first);
    CHECK_U64(bytes, bdpo_image_bytes(&again));
    CHECK(memcmp(first.pixels, again.pixels, bytes) == 0);
    CHECK(memcmp(first.pixels, other.pixels, bytes) != 0);
    bdpo_image_release(&first);
    bdpo_image_release(&again);
    bdpo_image_release(&other);
    scratch_remove();
}

BDPO_TEST_FULL(sd1_paints_the_same_again)
{
    check_family("sd1");
}

BDPO_TEST_FULL(sd2_paints_the_same_again)
{
    check_family("sd2");
}

BDPO_TEST_FULL(sdxl_paints_the_same_again)
{
    check_family("sdxl");
}

BDPO_TEST(sampling_names_what_is_wrong)
{
    const program_result *r = RUN(NULL, "sample", "/no/such/model", "--prompt", "x");
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err, "/no/such/model");
    r = RUN(NULL, "sample", "model", "--steps", "0", "--prompt", "x");
    CHECK_INT(r->code, 2);
    CHECK_CONTAINS(r->err, "--steps");
    r = RUN(NULL, "sample", "model", "--sampler", "fast", "--prompt", "x");
    CHECK_INT(r->code, 2);
    CHECK_CONTAINS(r->err, "fast");
    r = RUN(NULL, "demo-model", "sd9", "out");
    CHECK_INT(r->code, 2);
    CHECK_CONTAINS(r->err, "sd9");
}
