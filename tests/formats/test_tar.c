// Tar: members, places, links, and damage. What tarfile of Python wrote is read in tests/data.
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/tar.h"
#include "formats/tar_bytes.h"
#include "harness.h"

static void put_file(bdpo_growing *out, const char *name, const char *text)
{
    tar_put_file(out, name, text, strlen(text));
}

static const char *write_tar(bdpo_growing *out, bool ended)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/bdpo-%ld.tar", (long)getpid());
    if (ended) tar_put_end(out);
    CHECK_OK(bdpo_file_write(path, out->data, out->size));
    bdpo_free(out->data);
    return path;
}

static void check_text(bdpo_tar *tar, const char *expected)
{
    bdpo_growing text = {0};
    bool too_large;
    CHECK_OK(bdpo_tar_read(&text, &too_large, tar, 100));
    CHECK(!too_large);
    CHECK_INT(text.size, strlen(expected));
    CHECK_BYTES(text.data, expected, text.size);
    bdpo_free(text.data);
}

BDPO_TEST(members_in_order_and_by_place)
{
    bdpo_growing bytes = {0};
    const bdpo_tar_member *m;
    bdpo_tar *tar;
    tar_put_header(&bytes, "folder/", '5', 0);
    put_file(&bytes, "folder/a.txt", "one");
    tar_put_header(&bytes, "folder/link", '2', 0);
    put_file(&bytes, "\xe7\x8c\xab.txt", "two");
    const char *path = write_tar(&bytes, true);
    CHECK_OK(bdpo_tar_open(&tar, path));
    CHECK_OK(bdpo_tar_next(&m, tar));
    CHECK(!m->is_file);
    CHECK_OK(bdpo_tar_next(&m, tar));
    CHECK_STR(m->name, "folder/a.txt");
    CHECK_INT(m->size, 3);
    CHECK_INT(m->offset, 512);
    CHECK(m->is_file);
    CHECK_OK(bdpo_tar_next(&m, tar)); // its bytes were not asked for
    CHECK(!m->is_file);
    CHECK_OK(bdpo_tar_next(&m, tar));
    CHECK_STR(m->name, "\xe7\x8c\xab.txt");
    uint64_t offset = m->offset;
    check_text(tar, "two");
    CHECK_OK(bdpo_tar_next(&m, tar));
    CHECK(m == NULL);
    CHECK_OK(bdpo_tar_seek(tar, offset));
    CHECK_OK(bdpo_tar_next(&m, tar));
    CHECK_INT(m->offset, offset);
    check_text(tar, "two");
    CHECK_OK(bdpo_tar_seek(tar, 512));
    CHECK_OK(bdpo_tar_next(&m, tar));
    check_text(tar, "one");
    bdpo_tar_close(tar);
    unlink(path);
}

BDPO_TEST(a_member_above_the_limit)
{
    bdpo_growing bytes = {0}, text = {0};
    const bdpo_tar_member *m;
    bdpo_tar *tar;
    bool too_large;
    put_file(&bytes, "a", "12345");
    put_file(&bytes, "b", "1234");
    const char *path = write_tar(&bytes, true);
    CHECK_OK(bdpo_tar_open(&tar, path));
    CHECK_OK(bdpo_tar_next(&m, tar));
    CHECK_OK(bdpo_tar_read(&text, &too_large, tar, 4));
    CHECK(too_large);
    CHECK_OK(bdpo_tar_next(&m, tar));
    CHECK_OK(bdpo_tar_read(&text, &too_large, tar, 4));
    CHECK(!too_large);
    CHECK_INT(text.size, 4);
    bdpo_free(text.data);
    bdpo_tar_close(tar);
    unlink(path);
}

// A header that promises 8 GB: nothing of that size is allocated before the bytes are there.
BDPO_TEST(a_forged_size_allocates_nothing)
{
    bdpo_growing bytes = {0}, text = {0};
    const bdpo_tar_member *m;
    bdpo_tar *tar;
    bool too_large;
    tar_put_header(&bytes, "a", '0', ((size_t)8 << 30) - 1);
    CHECK(bdpo_growing_add(&bytes, "x", 1));
    const char *path = write_tar(&bytes, false);
    CHECK_OK(bdpo_tar_open(&tar, path));
    CHECK_OK(bdpo_tar_next(&m, tar));
    CHECK_STATUS(bdpo_tar_read(&text, &too_large, tar, SIZE_MAX), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "member \"a\"");
    CHECK(text.capacity < 1 << 20);
    bdpo_free(text.data);
    bdpo_tar_close(tar);
    unlink(path);
}

BDPO_TEST(damage_is_one_line)
{
    bdpo_growing bytes = {0};
    const bdpo_tar_member *m;
    bdpo_tar *tar;
    put_file(&bytes, "a", "1");
    put_file(&bytes, "b", "2");
    bytes.data[1024 + 3] = 'x'; // of the second header, whose sum is wrong then
    const char *path = write_tar(&bytes, true);
    CHECK_OK(bdpo_tar_open(&tar, path));
    CHECK_OK(bdpo_tar_next(&m, tar));
    CHECK_STATUS(bdpo_tar_next(&m, tar), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "expected a member or the end: ");
    bdpo_tar_close(tar);
    unlink(path);
    CHECK_STATUS(bdpo_tar_open(&tar, path), BDPO_NOT_FOUND);
    CHECK_STATUS(bdpo_tar_open(&tar, "/tmp"), BDPO_BAD_FILE);
}
