// Bytes that may be a picture: they decode to one within the limits, or are refused with one line;
// the same holds for their texts. tests/fuzz/image/ and the fixtures of tests/images are the
// corpus. `check-long` changes them at random for BDPO_FUZZ_SECONDS.
#include <dirent.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/generation_parameters.h"
#include "formats/image.h"
#include "harness.h"

enum { MAX_FILES = 256, MAX_BYTES = 64 * 1024 };

typedef struct file {
    char *data;
    size_t size;
} file;

static void check_refusal(void)
{
    const char *message = bdpo_message();
    if (message[0] == '\0' || strchr(message, '\n')) FAIL("not one line: \"%s\"", message);
}

// True when it is a picture.
static bool try_bytes(const void *data, size_t size)
{
    static const char *const keys[] = {"parameters", "Title"};
    bdpo_image image;
    for (size_t i = 0; i < BDPO_COUNTOF(keys); i++) {
        char *text = NULL;
        bdpo_generation_parameters parameters;
        if (bdpo_image_text(&text, data, size, keys[i], "fuzz") != BDPO_OK) check_refusal();
        if (text) CHECK_OK(bdpo_generation_parse(&parameters, text));
        if (text) bdpo_generation_release(&parameters);
        bdpo_free(text);
    }
    if (bdpo_image_decode(&image, data, size, "fuzz") != BDPO_OK) {
        check_refusal();
        CHECK(image.pixels == NULL);
        return false;
    }
    CHECK(image.orientation >= 1 && image.orientation <= 8);
    CHECK_INT(image.channels, bdpo_image_channels(image.mode));
    CHECK_OK(bdpo_image_to_rgb(&image)); // reads every pixel
    CHECK_OK(bdpo_image_apply_orientation(&image));
    bdpo_image_release(&image);
    return true;
}

static int load_folder(file *files, int n, const char *folder)
{
    char path[2048];
    snprintf(path, sizeof path, "%s", test_path(folder));
    DIR *dir = opendir(path);
    if (!dir) FAIL("%s is missing", folder);
    for (const struct dirent *entry; (entry = readdir(dir)) && n < MAX_FILES;) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".txt") == 0 || entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", test_path(folder), entry->d_name);
        CHECK_OK(bdpo_file_read(&files[n].data, &files[n].size, path, MAX_BYTES));
        n++;
    }
    closedir(dir);
    return n;
}

static int load_corpus(file *files)
{
    int n = load_folder(files, 0, "fuzz/image");
    n = load_folder(files, n, "fixtures/images");
    return load_folder(files, n, "golden-bad/images");
}

static void release_corpus(file *files, int n)
{
    for (int i = 0; i < n; i++) bdpo_free(files[i].data);
}

BDPO_TEST(image_corpus)
{
    file files[MAX_FILES];
    int n = load_corpus(files), n_pictures = 0;
    for (int i = 0; i < n; i++) n_pictures += try_bytes(files[i].data, files[i].size);
    release_corpus(files, n);
    CHECK(n_pictures >= 35);
    CHECK(n - n_pictures >= 30);
}

// xorshift64*: any stream of bytes does here.
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dULL >> 16;
}

static uint32_t checksum(const uint8_t *data, size_t size) // CRC-32, as PNG has it
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

// A changed PNG would end at its first checksum; most get new ones.
static void mend_checksums(uint8_t *data, size_t size)
{
    for (size_t at = 8; size - at >= 12;) {
        size_t length = (size_t)data[at] << 24 | (size_t)data[at + 1] << 16 |
                        (size_t)data[at + 2] << 8 | data[at + 3];
        if (length > size - at - 12) return;
        uint32_t crc = checksum(data + at + 4, length + 4);
        for (size_t i = 0; i < 4; i++) data[at + 8 + length + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + length;
    }
}

static void mutate(const file *from, uint64_t *state)
{
    static uint8_t bytes[MAX_BYTES];
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, 0xd8, 0xda, 0xc4};
    size_t size = from->size;
    memcpy(bytes, from->data, size);
    if (size < 16) return;
    for (uint64_t n = 1 + next_random(state) % 6; n > 0; n--) {
        // Headers matter most: half of the changes are in the first 256 bytes.
        size_t range = next_random(state) % 2 && size > 256 ? 256 : size;
        size_t at = next_random(state) % range;
        uint64_t how = next_random(state) % 4;
        if (how == 0) bytes[at] ^= (uint8_t)(1 << next_random(state) % 8);
        if (how == 1) bytes[at] = telling[next_random(state) % sizeof telling];
        if (how == 2) bytes[at] = (uint8_t)next_random(state);
        if (how == 3) memmove(bytes + at, bytes + next_random(state) % range, (size - range) % 64);
    }
    if (next_random(state) % 8 == 0) size = next_random(state) % size;
    if (size > 8 && next_random(state) % 4 != 0 && bytes[0] == 0x89) mend_checksums(bytes, size);
    uint8_t *exact = malloc(size > 0 ? size : 1); // so that a sanitizer sees one byte too far
    CHECK(exact != NULL);
    memcpy(exact, bytes, size);
    try_bytes(exact, size);
    free(exact);
}

static int mutate_for(double seconds, uint64_t seed)
{
    file files[MAX_FILES];
    int n = load_corpus(files), n_tried = 0;
    uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
    struct timespec start, now;
    CHECK(n > 0);
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        mutate(&files[next_random(&state) % (uint64_t)n], &state);
        n_tried++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - start.tv_sec) + 1e-9 * (double)(now.tv_nsec - start.tv_nsec) <
             seconds);
    release_corpus(files, n);
    return n_tried;
}

BDPO_TEST_LONG(changed_images)
{
    const char *text = getenv("BDPO_FUZZ_SECONDS");
    uint64_t seed = (uint64_t)time(NULL);
    printf("        seed %llu\n", (unsigned long long)seed);
    printf("        %d files\n", mutate_for(text ? atof(text) : 10, seed));
}
