// Pictures of every mode decode to Pillow's RGB bytes; bad ones are refused with the sentence that
// the manifest expects.
#include "base/file.h"
#include "base/memory.h"
#include "image_fixtures.h"

static FILE *open_list(const char *relative)
{
    FILE *file = fopen(test_path(relative), "r");
    if (!file) FAIL("%s is missing", relative);
    return file;
}

BDPO_TEST(every_mode_becomes_pillows_rgb)
{
    char name[64], mode[8], digest[DIGEST_TEXT], path[128];
    int width, height, orientation, n = 0;
    FILE *list = open_list("fixtures/images/pictures.txt");
    while (fscanf(list, "%63s %7s %d %d %d %64s", name, mode, &width, &height, &orientation,
                  digest) == 6) {
        bdpo_image image;
        snprintf(path, sizeof path, "fixtures/images/%s", name);
        CHECK_OK(bdpo_image_read(&image, test_path(path)));
        // Pillow has no 16-bit LA and calls it RGBA
        const char *ours = bdpo_image_mode_name(image.mode);
        if (strcmp(name, "png_la16.png") != 0) CHECK_STR(ours, mode);
        CHECK_INT(image.width, width);
        CHECK_INT(image.height, height);
        CHECK_INT(image.orientation, orientation);
        CHECK_OK(bdpo_image_to_rgb(&image));
        if (strcmp(image_digest(&image), digest) != 0) FAIL("%s: other pixels than Pillow's", name);
        bdpo_image_release(&image);
        n++;
    }
    fclose(list);
    CHECK_LE(35, n);
}

BDPO_TEST(bad_files_are_refused_with_a_sentence)
{
    char name[64], status[32], part[128], path[128];
    int n = 0;
    FILE *list = open_list("golden-bad/images/MANIFEST");
    while (fscanf(list, "%63s %31s %127[^\n]", name, status, part) == 3) {
        bdpo_image image;
        char *text;
        snprintf(path, sizeof path, "golden-bad/images/%s", name);
        bdpo_status expected = strcmp(status, "BAD_FILE") == 0 ? BDPO_BAD_FILE : BDPO_UNSUPPORTED;
        bdpo_status actual = strncmp(name, "text_", 5) == 0
                                 ? bdpo_image_read_text(&text, test_path(path), "parameters")
                                 : bdpo_image_read(&image, test_path(path));
        if (actual != expected)
            FAIL("%s: %s (%s), expected %s", name, bdpo_status_text(actual), bdpo_message(),
                 status);
        CHECK_CONTAINS(bdpo_message(), part);
        CHECK_CONTAINS(bdpo_message(), name);
        CHECK(strchr(bdpo_message(), '\n') == NULL);
        n++;
    }
    fclose(list);
    CHECK_LE(40, n);
}

BDPO_TEST(every_prefix_of_a_file_is_refused)
{
    static const char *const names[] = {"png_rgb.png", "jpeg_l.jpg", "webp_lossless.webp"};
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
        char path[128], *data;
        size_t size;
        snprintf(path, sizeof path, "fixtures/images/%s", names[i]);
        CHECK_OK(bdpo_file_read(&data, &size, test_path(path), 1 << 20));
        for (size_t n = 0; n + 16 < size; n += 7) { // a JPEG may lack its end marker
            bdpo_image image;
            if (bdpo_image_decode(&image, data, n, names[i]) == BDPO_OK)
                FAIL("%s: %zu of %zu bytes decode", names[i], n, size);
            CHECK(image.pixels == NULL);
        }
        bdpo_free(data);
    }
}

BDPO_TEST(texts_read_back)
{
    static const struct {
        const char *file, *text;
    } cases[] = {{"text_latin1.png", "caf\xc3\xa9\nSteps: 20"},
                 {"text_utf8.png", "\xe7\x8c\xab, \xf0\x9f\x90\x88\nSteps: 20"},
                 {"text_utf16.jpg", "\xe7\x8c\xab, \xf0\x9f\x90\x88\nSteps: 20"},
                 {"text_utf16.webp", "\xe7\x8c\xab, \xf0\x9f\x90\x88\nSteps: 20"},
                 {"text_utf16le.jpg", "little\nSteps: 20"},
                 {"text_ascii.jpg", "plain\nSteps: 20"},
                 {"png_rgb.png", NULL},
                 {"jpeg_rgb.jpg", NULL},
                 {"webp_lossy.webp", NULL}};
    char path[128], *text;
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        snprintf(path, sizeof path, "fixtures/images/%s", cases[i].file);
        CHECK_OK(bdpo_image_read_text(&text, test_path(path), "parameters"));
        CHECK_INT(text != NULL, cases[i].text != NULL);
        if (text) CHECK_STR(text, cases[i].text);
        bdpo_free(text);
    }
    CHECK_OK(
        bdpo_image_read_text(&text, test_path("fixtures/images/text_latin1_z.png"), "parameters"));
    CHECK_INT(strlen(text), 6 + 6 * 50);
    bdpo_free(text);
    CHECK_OK(
        bdpo_image_read_text(&text, test_path("fixtures/images/text_utf8_z.png"), "parameters"));
    CHECK_INT(strlen(text), 4 + 6 * 50);
    bdpo_free(text);
    CHECK_OK(bdpo_image_read_text(&text, test_path("fixtures/images/text_utf8.png"), "Title"));
    CHECK_STR(text, "first");
    bdpo_free(text);
}

BDPO_TEST(no_memory_is_a_sentence)
{
    static const char *const names[] = {"png_p.png", "png_adam7.png", "jpeg_rgb.jpg",
                                        "webp_alpha.webp"};
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
        char path[128], *data;
        size_t size;
        bool failed = true;
        snprintf(path, sizeof path, "fixtures/images/%s", names[i]);
        CHECK_OK(bdpo_file_read(&data, &size, test_path(path), 1 << 20));
        for (uint64_t at = 1; failed; at++) {
            bdpo_image image;
            bdpo_alloc_fail_at(bdpo_alloc_count() + at);
            bdpo_status status = bdpo_image_decode(&image, data, size, names[i]);
            bdpo_alloc_fail_at(0);
            failed = status != BDPO_OK;
            if (failed) CHECK_INT(status, BDPO_NO_MEMORY);
            if (failed) CHECK(image.pixels == NULL);
            bdpo_image_release(&image);
            CHECK(at < 200);
        }
        bdpo_free(data);
    }
}
