// Resizing against Pillow's bytes: committed vectors, the shared ones, and every instruction set.
#include <jansson.h>

#include "base/memory.h"
#include "formats/image_resize.h"
#include "image_fixtures.h"
#include "kernels/isa.h"

static bdpo_image_filter filter_of(const char *name)
{
    static const char *const names[] = {"nearest", "box",     "bilinear",
                                        "hamming", "bicubic", "lanczos"};
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++)
        if (strcmp(names[i], name) == 0) return (bdpo_image_filter)i;
    FAIL("no filter %s", name);
}

static int check_vectors(const char *path)
{
    char mode[8], filter[16], digest[DIGEST_TEXT];
    int in_w, in_h, out_w, out_h, n = 0;
    uint32_t seed;
    FILE *list = fopen(path, "r");
    if (!list) FAIL("%s is missing", path);
    while (fscanf(list, "%7s %d %d %d %d %15s %u %64s", mode, &in_w, &in_h, &out_w, &out_h, filter,
                  &seed, digest) == 8) {
        bdpo_image in = noise_image(mode, in_w, in_h, seed), out;
        CHECK_OK(bdpo_image_resize(&out, &in, out_w, out_h, filter_of(filter)));
        if (strcmp(image_digest(&out), digest) != 0)
            FAIL("%s %d x %d to %d x %d, %s, seed %u: other bytes than Pillow's", mode, in_w, in_h,
                 out_w, out_h, filter, seed);
        bdpo_image_release(&in);
        bdpo_image_release(&out);
        n++;
    }
    fclose(list);
    return n;
}

BDPO_TEST(pillows_bytes_under_every_instruction_set)
{
    for (int isa = 0; isa <= BDPO_ISA_avx512; isa++) {
        bdpo_status status = bdpo_isa_force((bdpo_isa)isa);
        if (status == BDPO_UNSUPPORTED) continue;
        CHECK_OK(status);
        CHECK_INT(check_vectors(test_path("fixtures/images/resize.txt")), 213);
    }
}

// For a live run: `tools/parity/images.py resize SEED N DIR`, then BDPO_RESIZE_VECTORS=DIR.
BDPO_TEST_FULL(fresh_vectors)
{
    char path[1024];
    const char *folder = getenv("BDPO_RESIZE_VECTORS");
    if (!folder) SKIP("set BDPO_RESIZE_VECTORS to a folder made by tools/parity/images.py resize");
    snprintf(path, sizeof path, "%s/resize.txt", folder);
    printf("        %d cases\n", check_vectors(path));
}

static json_t *load_shared(const char *name)
{
    char path[1024];
    json_error_t error;
    snprintf(path, sizeof path, "%s/../../shared/data/images/%s", BDPO_TESTS_DIR, name);
    FILE *file = fopen(path, "r");
    if (!file) SKIP("%s is not there", path);
    json_t *json = json_loadf(file, 0, &error);
    fclose(file);
    if (!json) FAIL("%s: %s", path, error.text);
    return json;
}

static int integer(const json_t *object, const char *key)
{
    return (int)json_integer_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

BDPO_TEST(shared_vectors)
{
    json_t *json = load_shared("pil_resize_vectors.json"), *one;
    size_t i;
    json_array_foreach(json_object_get(json, "cases"), i, one)
    {
        bdpo_image in = noise_image(string(one, "mode"), integer(one, "in_w"), integer(one, "in_h"),
                                    (uint32_t)integer(one, "seed")),
                   out;
        CHECK_STR(image_digest(&in), string(one, "in_sha256"));
        // made by a Pillow from before the order of the passes changed
        CHECK_OK(bdpo_image_resize_in_order(&out, &in, integer(one, "out_w"), integer(one, "out_h"),
                                            filter_of(string(one, "filter")), BDPO_PILLOW_12));
        CHECK_STR(image_digest(&out), string(one, "out_sha256"));
        bdpo_image_release(&in);
        bdpo_image_release(&out);
    }
    CHECK_LE(20, (double)i);
    json_decref(json);
}

// ---- the preprocessing of the scorers, built from resize and crop --------------------------

static bdpo_image shortest_side(const bdpo_image *image, int side, bdpo_image_filter filter)
{
    bdpo_image out;
    int w = image->width, h = image->height;
    int long_side = (int)((double)side * (w > h ? w : h) / (w > h ? h : w));
    CHECK_OK(
        bdpo_image_resize(&out, image, w > h ? long_side : side, w > h ? side : long_side, filter));
    return out;
}

static void check_preprocessing(const json_t *golden, const char *key, const bdpo_image *image,
                                int side, bdpo_image_filter filter, bool floor)
{
    const char *expected = string(golden, key);
    bdpo_image resized = shortest_side(image, side, filter), cropped;
    int dx = resized.width - side, dy = resized.height - side;
    int left = floor ? dx / 2 : (int)rint(dx / 2.0), top = floor ? dy / 2 : (int)rint(dy / 2.0);
    CHECK_OK(bdpo_image_crop(&cropped, &resized, left, top, side, side));
    CHECK_OK(bdpo_image_to_rgb(&cropped));
    if (strcmp(image_digest(&cropped), expected) != 0) FAIL("%s differs", key);
    bdpo_image_release(&resized);
    bdpo_image_release(&cropped);
}

static void check_golden(const char *name, const json_t *golden)
{
    char path[1024];
    bdpo_image image;
    snprintf(path, sizeof path, "%s/../../shared/data/images/%s", BDPO_TESTS_DIR, name);
    printf("        %s\n", name);
    CHECK_OK(bdpo_image_read(&image, path));
    // 16-bit grey is 8-bit here before it is resized, so that one order of the two is not Pillow's.
    if (strcmp(string(golden, "mode"), "I;16") != 0)
        check_preprocessing(golden, "torchvision_clip_224_sha256", &image, 224, BDPO_FILTER_BICUBIC,
                            false);
    CHECK_OK(bdpo_image_to_rgb(&image));
    CHECK_STR(image_digest(&image), string(golden, "rgb_sha256"));
    check_preprocessing(golden, "hf_clip_224_sha256", &image, 224, BDPO_FILTER_BICUBIC, true);
    check_preprocessing(golden, "dpo_train_512_sha256", &image, 512, BDPO_FILTER_BILINEAR, false);
    bdpo_image_release(&image);
}

BDPO_TEST_FULL(shared_pictures)
{
    json_t *json = load_shared("image_goldens.json"), *golden;
    const char *name;
    int n = 0;
    json_object_foreach(json_object_get(json, "images"), name, golden)
    {
        if (!string(golden, "rgb_sha256")) continue; // the truncated one
        check_golden(name, golden);
        n++;
    }
    json_decref(json);
    CHECK_LE(13, n);
}

BDPO_TEST_FULL(shared_truncated_picture_is_refused)
{
    char path[1024];
    bdpo_image image;
    snprintf(path, sizeof path, "%s/../../shared/data/images/pillow_truncated_jpeg.jpg",
             BDPO_TESTS_DIR);
    bdpo_status status = bdpo_image_read(&image, path);
    if (status == BDPO_NOT_FOUND) SKIP("%s is not there", path);
    CHECK_INT(status, BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "truncated");
}

BDPO_TEST(no_memory_and_bad_sizes)
{
    bdpo_image in = noise_image("RGBA", 9, 7, 1), out;
    bdpo_status status = BDPO_NO_MEMORY;
    for (uint64_t at = 1; status != BDPO_OK; at++) {
        bdpo_alloc_fail_at(bdpo_alloc_count() + at);
        status = bdpo_image_resize(&out, &in, 5, 11, BDPO_FILTER_BICUBIC);
        bdpo_alloc_fail_at(0);
        if (status != BDPO_OK) CHECK_INT(status, BDPO_NO_MEMORY);
        if (status != BDPO_OK) CHECK(out.pixels == NULL);
        CHECK(at < 100);
    }
    bdpo_image_release(&out);
    CHECK_STATUS(bdpo_image_resize(&out, &in, 0, 5, BDPO_FILTER_BOX), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_image_resize(&out, &in, 5, 70000, BDPO_FILTER_BICUBIC), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_image_resize(&out, &in, 65000, 65000, BDPO_FILTER_NEAREST),
                 BDPO_BAD_ARGUMENT);
    bdpo_image_release(&in);
}
