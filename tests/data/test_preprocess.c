// Preprocessing against the libraries: committed vectors of generated pictures, the shared real
// ones, and what is refused.
#include "data/preprocess.h"

#include <jansson.h>

#include "base/memory.h"
#include "images/image_fixtures.h"

typedef struct vector {
    char kind[32], mode[8], bytes[DIGEST_TEXT], floats[DIGEST_TEXT];
    int width, height, size;
    uint32_t seed;
} vector;

// A kind's word in the list: two options have one of their own.
static bdpo_preprocess settings_of(const vector *v)
{
    bool plain = strcmp(v->kind, "hps-plain") == 0, white = strcmp(v->kind, "clip-on-white") == 0;
    bdpo_preprocess_kind kind;
    CHECK_OK(bdpo_preprocess_kind_parse(&kind, plain   ? "hps"
                                               : white ? "clip-image-processor"
                                                       : v->kind));
    bdpo_preprocess p = bdpo_preprocess_default(kind);
    p.size = v->size;
    p.no_antialias = plain;
    p.alpha_on_white = white;
    return p;
}

static void fail(const vector *v, const char *what)
{
    FAIL("%s of %s %d x %d, seed %u, to %d: %s", v->kind, v->mode, v->width, v->height, v->seed,
         v->size, what);
}

static void check_bytes(const vector *v, const bdpo_preprocess *p, const bdpo_image *image,
                        const float *out)
{
    bdpo_image bytes;
    CHECK_OK(bdpo_preprocess_bytes(&bytes, p, image, "picture"));
    if (strcmp(image_digest(&bytes), v->bytes) != 0) fail(v, "other bytes");
    if (strcmp(digest_text(out, bdpo_preprocess_count(p) * sizeof *out), v->floats) != 0)
        fail(v, "other floats");
    bdpo_image_release(&bytes);
}

// PyTorch may fuse its sums: 1e-5 is some 20 roundings of values up to 2.
static double check_floats(const vector *v, size_t count, const float *out, FILE *data)
{
    int n = atoi(v->floats);
    double worst = 0;
    for (int i = 0; i < n; i++) {
        float expected;
        CHECK(fread(&expected, sizeof expected, 1, data) == 1);
        double error = fabs((double)(out[(size_t)i * count / (size_t)n] - expected));
        if (!(error <= 1e-5)) fail(v, "other values");
        if (error > worst) worst = error;
    }
    return worst;
}

static int check_vectors(const char *folder)
{
    char path[1024];
    vector v;
    int n = 0;
    double worst = 0;
    snprintf(path, sizeof path, "%s/vectors.txt", folder);
    FILE *list = fopen(path, "r");
    snprintf(path, sizeof path, "%s/vectors.f32", folder);
    FILE *data = fopen(path, "rb");
    if (!list || !data) FAIL("%s is missing", path);
    while (fscanf(list, "%31s %7s %d %d %u %d %64s %64s", v.kind, v.mode, &v.width, &v.height,
                  &v.seed, &v.size, v.bytes, v.floats) == 8) {
        bdpo_image image = noise_image(v.mode, v.width, v.height, v.seed);
        bdpo_preprocess p = settings_of(&v);
        size_t count = bdpo_preprocess_count(&p);
        float *out = malloc(count * sizeof *out);
        CHECK(out != NULL);
        CHECK_OK(bdpo_preprocess_run(out, &p, &image, "picture"));
        if (strcmp(v.bytes, "-") != 0) {
            check_bytes(&v, &p, &image, out);
        } else {
            double error = check_floats(&v, count, out, data);
            if (error > worst) worst = error;
        }
        free(out);
        bdpo_image_release(&image);
        n++;
    }
    CHECK(fgetc(data) == EOF);
    fclose(list);
    fclose(data);
    printf("        %d pictures, floats to %.1e\n", n, worst);
    return n;
}

BDPO_TEST(preprocessing_is_that_of_the_libraries)
{
    CHECK_INT(check_vectors(test_path("fixtures/preprocess")), 97);
}

// For a live run: `tools/parity/preprocess.py live SEED N DIR`, then BDPO_PREPROCESS_VECTORS=DIR.
BDPO_TEST_FULL(fresh_vectors)
{
    const char *folder = getenv("BDPO_PREPROCESS_VECTORS");
    if (folder)
        CHECK(check_vectors(folder) > 0);
    else
        SKIP("set BDPO_PREPROCESS_VECTORS to a folder made by tools/parity/preprocess.py live");
}

// ---- the shared pictures -----------------------------------------------------------------------

static void check_golden(const char *name, const bdpo_image *image, const json_t *golden,
                         const char *field, bdpo_preprocess_kind kind)
{
    bdpo_image bytes;
    const char *expected = json_string_value(json_object_get(golden, field));
    if (!expected) return;
    bdpo_preprocess p = bdpo_preprocess_default(kind);
    CHECK_OK(bdpo_preprocess_bytes(&bytes, &p, image, name));
    if (strcmp(image_digest(&bytes), expected) != 0) FAIL("%s: other bytes for %s", name, field);
    bdpo_image_release(&bytes);
}

BDPO_TEST(real_pictures_give_the_shared_digests)
{
    char path[1024];
    json_error_t error;
    const char *name;
    json_t *golden;
    int n = 0;
    snprintf(path, sizeof path, "%s/../../shared/data/images/image_goldens.json", BDPO_TESTS_DIR);
    json_t *root = json_load_file(path, 0, &error);
    if (!root) SKIP("%s is not there", path);
    json_object_foreach(json_object_get(root, "images"), name, golden)
    {
        bdpo_image image;
        snprintf(path, sizeof path, "%s/../../shared/data/images/%s", BDPO_TESTS_DIR, name);
        if (bdpo_image_read(&image, path) != BDPO_OK) continue; // those that do not decode
        check_golden(name, &image, golden, "hf_clip_224_sha256",
                     BDPO_PREPROCESS_CLIP_IMAGE_PROCESSOR);
        check_golden(name, &image, golden, "torchvision_clip_224_sha256",
                     BDPO_PREPROCESS_TORCHVISION);
        bdpo_image_release(&image);
        n++;
    }
    json_decref(root);
    CHECK_INT(n, 14);
}

// ---- options and refusals ----------------------------------------------------------------------

BDPO_TEST(a_side_that_rounds_to_nothing_is_refused_by_hps_only)
{
    bdpo_preprocess p = bdpo_preprocess_default(BDPO_PREPROCESS_HPS);
    bdpo_image image;
    float *out = malloc(bdpo_preprocess_count(&p) * sizeof *out);
    CHECK_OK(bdpo_image_new(&image, 20000, 3, BDPO_IMAGE_RGB));
    CHECK_STATUS(bdpo_preprocess_run(out, &p, &image, "wide.png"), BDPO_UNSUPPORTED);
    CHECK_CONTAINS(bdpo_message(), "wide.png: a picture of 20000 x 3 would be 224 x 0");
    p.kind = BDPO_PREPROCESS_TORCHVISION;
    CHECK_OK(bdpo_preprocess_run(out, &p, &image, "wide.png"));
    bdpo_image_release(&image);
    free(out);
}

BDPO_TEST(orientation_is_applied_only_where_asked_for)
{
    for (int kind = 0; kind < BDPO_PREPROCESS_N_KINDS; kind++) {
        bdpo_preprocess p = bdpo_preprocess_default((bdpo_preprocess_kind)kind);
        p.size = 16;
        size_t count = bdpo_preprocess_count(&p), bytes = count * sizeof(float);
        float *plain = malloc(bytes), *turned = malloc(bytes), *expected = malloc(bytes);
        bdpo_image image = noise_image("RGBA", 20, 31, 3), by_hand = noise_image("RGBA", 20, 31, 3);
        image.orientation = by_hand.orientation = 6;
        CHECK_OK(bdpo_preprocess_run(plain, &p, &image, "picture"));
        p.apply_orientation = true;
        CHECK_OK(bdpo_preprocess_run(turned, &p, &image, "picture"));
        CHECK_INT(image.width, 20); // the picture itself is left alone
        CHECK_OK(bdpo_image_apply_orientation(&by_hand));
        CHECK_OK(bdpo_preprocess_run(expected, &p, &by_hand, "picture"));
        CHECK_BYTES(turned, expected, bytes);
        CHECK(memcmp(plain, turned, bytes) != 0);
        bdpo_image_release(&image);
        bdpo_image_release(&by_hand);
        free(plain);
        free(turned);
        free(expected);
    }
}

BDPO_TEST(settings_that_change_nothing_are_equal)
{
    bdpo_preprocess a = bdpo_preprocess_default(BDPO_PREPROCESS_HPS), b = a;
    b.order = BDPO_PILLOW_12;
    CHECK(bdpo_preprocess_equal(&a, &b)); // no resizing of bytes in it
    b.no_antialias = true;
    CHECK(!bdpo_preprocess_equal(&a, &b));
    b.kind = a.kind = BDPO_PREPROCESS_TORCHVISION;
    CHECK(!bdpo_preprocess_equal(&a, &b));
    b.order = BDPO_PILLOW_13;
    CHECK(bdpo_preprocess_equal(&a, &b));
    b.mean[2] += 0.5F;
    CHECK(!bdpo_preprocess_equal(&a, &b));
    bdpo_preprocess_kind kind;
    CHECK_STATUS(bdpo_preprocess_kind_parse(&kind, "timm"), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "\"timm\"");
}

BDPO_TEST(want_of_memory_is_told_at_every_allocation)
{
    for (int kind = 0; kind < BDPO_PREPROCESS_N_KINDS; kind++) {
        bdpo_preprocess p = bdpo_preprocess_default((bdpo_preprocess_kind)kind);
        p.size = 8;
        float out[8 * 8 * 3];
        bdpo_image image = noise_image("LA", 9, 13, 3);
        uint64_t begin = bdpo_alloc_count();
        CHECK_OK(bdpo_preprocess_run(out, &p, &image, "picture"));
        uint64_t n = bdpo_alloc_count() - begin;
        CHECK(n > 2);
        for (uint64_t i = 1; i <= n; i++) {
            bdpo_alloc_fail_at(bdpo_alloc_count() + i);
            CHECK_STATUS(bdpo_preprocess_run(out, &p, &image, "picture"), BDPO_NO_MEMORY);
            bdpo_alloc_fail_at(0);
        }
        bdpo_image_release(&image);
    }
}
