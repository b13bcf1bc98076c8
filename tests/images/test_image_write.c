// Encoding: what is written reads back, with its texts, and through a file.
#include <unistd.h>

#include "base/memory.h"
#include "image_fixtures.h"

static const char parameters[] = "\xe7\x8c\xab caf\xc3\xa9\nSteps: 20, Sampler: Euler a, Seed: 1";

static bdpo_image slopes(const char *mode, int width, int height)
{
    bdpo_image image;
    CHECK_OK(bdpo_image_new(&image, width, height, mode_of(mode)));
    for (size_t i = 0; i < bdpo_image_bytes(&image); i++) image.pixels[i] = (uint8_t)(i / 5);
    return image;
}

static void check_text(const void *file, size_t size, const char *key, const char *expected)
{
    char *text;
    CHECK_OK(bdpo_image_text(&text, file, size, key, "encoded"));
    CHECK_INT(text != NULL, expected != NULL);
    if (expected) CHECK_STR(text, expected);
    bdpo_free(text);
}

static bdpo_image round_trip(const bdpo_image *image, bdpo_image_format format,
                             const bdpo_image_options *options)
{
    void *data;
    size_t size;
    bdpo_image back;
    CHECK_OK(bdpo_image_encode(&data, &size, image, format, options));
    CHECK_OK(bdpo_image_decode(&back, data, size, "encoded"));
    CHECK_INT(back.width, image->width);
    CHECK_INT(back.height, image->height);
    CHECK_INT(back.orientation, 1);
    check_text(data, size, "parameters", options ? options->parameters : NULL);
    check_text(data, size, "bdpo", options ? options->json : NULL);
    bdpo_free(data);
    return back;
}

static void check_lossless(const char *mode, bdpo_image_format format,
                           const bdpo_image_options *options)
{
    bdpo_image image = slopes(mode, 37, 21), back = round_trip(&image, format, options);
    CHECK_STR(bdpo_image_mode_name(back.mode), mode);
    CHECK_BYTES(back.pixels, image.pixels, bdpo_image_bytes(&image));
    bdpo_image_release(&image);
    bdpo_image_release(&back);
}

BDPO_TEST(png_keeps_pixels_and_texts)
{
    static const char *const modes[] = {"L", "LA", "RGB", "RGBA"};
    const bdpo_image_options unicode = {.parameters = parameters, .json = "{\"a\": \"\xc3\xa9\"}"},
                             latin1 = {.parameters = "caf\xc3\xa9\nSteps: 1"}, nothing = {0};
    for (size_t i = 0; i < BDPO_COUNTOF(modes); i++) {
        check_lossless(modes[i], BDPO_IMAGE_PNG, &unicode);
        check_lossless(modes[i], BDPO_IMAGE_PNG, &latin1);
        check_lossless(modes[i], BDPO_IMAGE_PNG, &nothing);
        check_lossless(modes[i], BDPO_IMAGE_PNG, NULL);
    }
}

BDPO_TEST(lossless_webp_keeps_pixels_and_texts)
{
    const bdpo_image_options with = {.lossless = true, .parameters = parameters},
                             odd = {.lossless = true, .parameters = "x"}, none = {.lossless = true};
    check_lossless("RGB", BDPO_IMAGE_WEBP, &with);
    check_lossless("RGBA", BDPO_IMAGE_WEBP, &with);
    check_lossless("RGB", BDPO_IMAGE_WEBP, &odd);
    check_lossless("RGBA", BDPO_IMAGE_WEBP, &none);
}

BDPO_TEST(lossy_files_stay_near)
{
    static const struct {
        const char *mode;
        bdpo_image_format format;
    } cases[] = {{"L", BDPO_IMAGE_JPEG},
                 {"RGB", BDPO_IMAGE_JPEG},
                 {"RGB", BDPO_IMAGE_WEBP},
                 {"RGBA", BDPO_IMAGE_WEBP}};
    const bdpo_image_options options = {.quality = 95, .parameters = parameters};
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        bdpo_image image = slopes(cases[i].mode, 48, 32),
                   back = round_trip(&image, cases[i].format, &options);
        double sum = 0;
        CHECK_STR(bdpo_image_mode_name(back.mode), cases[i].mode);
        for (size_t k = 0; k < bdpo_image_bytes(&image); k++) {
            double d = image.pixels[k] - back.pixels[k];
            sum += d * d;
        }
        // 20 levels rms: far from a swapped channel (85 and more), above chroma subsampling's loss
        CHECK_LE(sqrt(sum / (double)bdpo_image_bytes(&image)), 20);
        bdpo_image_release(&image);
        bdpo_image_release(&back);
    }
}

BDPO_TEST(files_are_written_by_their_ending)
{
    static const char *const endings[] = {"png", "JPG", "jpeg", "webp"};
    char path[64], *text;
    bdpo_image image = slopes("RGB", 8, 8), back;
    const bdpo_image_options options = {.parameters = parameters};
    for (size_t i = 0; i < BDPO_COUNTOF(endings); i++) {
        snprintf(path, sizeof path, "/tmp/bdpo-image-%ld.%s", (long)getpid(), endings[i]);
        CHECK_OK(bdpo_image_write(path, &image, &options));
        CHECK_OK(bdpo_image_read(&back, path));
        CHECK_OK(bdpo_image_read_text(&text, path, "parameters"));
        unlink(path);
        CHECK_STR(text, parameters);
        bdpo_free(text);
        bdpo_image_release(&back);
    }
    CHECK_STATUS(bdpo_image_write("/tmp/x.gif", &image, NULL), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "x.gif");
    bdpo_image_release(&image);
}

static void check_refused(const char *mode, int width, bdpo_image_format format,
                          const bdpo_image_options *options, const char *part)
{
    bdpo_image image = slopes(mode, width, 2);
    void *data;
    size_t size;
    CHECK_STATUS(bdpo_image_encode(&data, &size, &image, format, options), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), part);
    bdpo_image_release(&image);
}

BDPO_TEST(what_a_format_cannot_hold_is_refused)
{
    static char longest[40001];
    memset(longest, 'x', sizeof longest - 1);
    check_refused("CMYK", 2, BDPO_IMAGE_PNG, NULL, "CMYK");
    check_refused("RGBA", 2, BDPO_IMAGE_JPEG, NULL, "RGBA");
    check_refused("L", 2, BDPO_IMAGE_WEBP, NULL, "mode L");
    check_refused("RGB", 16384, BDPO_IMAGE_WEBP, NULL, "16383");
    check_refused("RGB", 65501, BDPO_IMAGE_JPEG, NULL, "65500");
    check_refused("RGB", 2, BDPO_IMAGE_JPEG, &(bdpo_image_options){.json = "{}"}, "PNG");
    check_refused("RGB", 2, BDPO_IMAGE_JPEG, &(bdpo_image_options){.quality = 101}, "101");
    check_refused("RGB", 2, BDPO_IMAGE_JPEG, &(bdpo_image_options){.parameters = longest}, "65533");
    check_refused("RGB", 2, BDPO_IMAGE_PNG, &(bdpo_image_options){.parameters = "\xff"}, "UTF-8");
}

BDPO_TEST(no_memory_while_writing_is_a_sentence)
{
    bdpo_image image = slopes("RGB", 16, 16);
    const bdpo_image_options options = {.parameters = parameters};
    for (int format = BDPO_IMAGE_PNG; format <= BDPO_IMAGE_WEBP; format++) {
        bdpo_status status = BDPO_NO_MEMORY;
        for (uint64_t at = 1; status != BDPO_OK; at++) {
            void *data = NULL;
            size_t size;
            bdpo_alloc_fail_at(bdpo_alloc_count() + at);
            status = bdpo_image_encode(&data, &size, &image, (bdpo_image_format)format, &options);
            bdpo_alloc_fail_at(0);
            if (status != BDPO_OK) CHECK_INT(status, BDPO_NO_MEMORY);
            bdpo_free(data);
            CHECK(at < 200);
        }
    }
    bdpo_image_release(&image);
}
