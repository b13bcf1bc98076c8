// Over libarchive, with tar as its only format and its own unpackers, never a program; reading from
// a descriptor that we open, so that a member behind others can be reached.
#include "formats/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "formats/printable.h"

enum { BLOCK_BYTES = 64 * 1024 };

struct bdpo_tar {
    struct archive *archive;
    struct archive_entry *entry; // borrowed from it
    int fd;
    uint64_t start; // of what the archive sees in the file
    char *path;
    bdpo_growing name; // of the member
    bdpo_tar_member member;
    bool held; // the member was read already, and is the next one
};

// One line, with libarchive's reason where it has one.
static bdpo_status fail(const bdpo_tar *t, const char *action)
{
    const char *reason = t->archive ? archive_error_string(t->archive) : NULL;
    char line[200];
    snprintf(line, sizeof line, "%s", reason ? reason : "no reason given");
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f) *at = '?';
    bool memory = t->archive && archive_errno(t->archive) == ENOMEM;
    return bdpo_fail(memory ? BDPO_NO_MEMORY : BDPO_BAD_FILE, "%s: %s: %s", t->path, action, line);
}

static bdpo_status allow(const bdpo_tar *t)
{
    struct archive *a = t->archive;
    // A filter that would run a program answers by a warning: the file is then refused as unknown.
    int (*const filters[])(struct archive *) = {
        archive_read_support_filter_gzip,
        archive_read_support_filter_bzip2,
        archive_read_support_filter_xz,
        archive_read_support_filter_zstd,
    };
    for (size_t i = 0; i < BDPO_COUNTOF(filters); i++)
        if (filters[i](a) < ARCHIVE_WARN) return fail(t, "cannot be read");
    return archive_read_support_format_tar(a) == ARCHIVE_OK ? BDPO_OK : fail(t, "cannot be read");
}

static bdpo_status start_at(bdpo_tar *t, uint64_t offset)
{
    if (t->archive) archive_read_free(t->archive);
    t->archive = archive_read_new();
    if (!t->archive) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to read it", t->path);
    t->entry = NULL;
    t->held = false;
    t->start = offset;
    if (offset > INT64_MAX || lseek(t->fd, (off_t)offset, SEEK_SET) < 0)
        return bdpo_fail(BDPO_IO, "%s: cannot go to byte %ju: %s", t->path, (uintmax_t)offset,
                         strerror(errno));
    TRY(allow(t));
    if (archive_read_open_fd(t->archive, t->fd, BLOCK_BYTES) != ARCHIVE_OK)
        return fail(t, "expected a tar archive");
    return BDPO_OK;
}

static bdpo_status open_file(bdpo_tar *t)
{
    do t->fd = open(t->path, O_RDONLY | O_CLOEXEC);
    while (t->fd < 0 && errno == EINTR);
    if (t->fd < 0)
        return bdpo_fail(errno == ENOENT ? BDPO_NOT_FOUND : BDPO_IO, "%s: cannot open: %s", t->path,
                         strerror(errno));
    return BDPO_OK;
}

bdpo_status bdpo_tar_open(bdpo_tar **out, const char *path)
{
    bdpo_tar *t = bdpo_alloc(1, sizeof *t);
    char *copy = bdpo_alloc(strlen(path) + 1, 1);
    if (!t || !copy) {
        bdpo_free(t);
        bdpo_free(copy);
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to read it", path);
    }
    memcpy(copy, path, strlen(path) + 1);
    t->path = copy;
    bdpo_status status = open_file(t);
    if (status == BDPO_OK) status = start_at(t, 0);
    if (status != BDPO_OK) {
        bdpo_tar_close(t);
        return status;
    }
    *out = t;
    return BDPO_OK;
}

void bdpo_tar_close(bdpo_tar *t)
{
    if (!t) return;
    if (t->archive) archive_read_free(t->archive);
    if (t->fd >= 0) close(t->fd);
    bdpo_free(t->name.data);
    bdpo_free(t->path);
    bdpo_free(t);
}

const char *bdpo_tar_path(const bdpo_tar *t)
{
    return t->path;
}

// Without a locale libarchive converts no name: the bytes of an old header are taken as they are,
// those of a pax header are UTF-8.
static bdpo_status take_name(bdpo_tar *t)
{
    const char *name = archive_entry_pathname(t->entry);
    if (!name) name = archive_entry_pathname_utf8(t->entry);
    t->name.size = 0;
    if (!bdpo_growing_add_text(&t->name, name ? name : "") || !bdpo_growing_add(&t->name, "", 1))
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a name", t->path);
    return BDPO_OK;
}

bdpo_status bdpo_tar_next(const bdpo_tar_member **out, bdpo_tar *t)
{
    *out = NULL;
    if (t->held) {
        t->held = false;
        *out = &t->member;
        return BDPO_OK;
    }
    // A damaged header could be passed (ARCHIVE_RETRY), but then nobody knows what is missing.
    int result = archive_read_next_header(t->archive, &t->entry);
    if (result == ARCHIVE_EOF) return BDPO_OK;
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
        return fail(t, "expected a member or the end");
    TRY(take_name(t));
    t->member = (bdpo_tar_member){
        .name = (const char *)t->name.data,
        .is_file = archive_entry_filetype(t->entry) == AE_IFREG &&
                   !archive_entry_hardlink(t->entry) && !archive_entry_symlink(t->entry),
        .size = archive_entry_size(t->entry),
        .offset = t->start + (uint64_t)archive_read_header_position(t->archive),
    };
    *out = &t->member;
    return BDPO_OK;
}

bdpo_status bdpo_tar_read(bdpo_growing *out, bool *too_large, bdpo_tar *t, size_t limit)
{
    char block[BLOCK_BYTES];
    size_t total = 0;
    *too_large = t->member.size < 0 || (uint64_t)t->member.size > limit;
    while (!*too_large) {
        la_ssize_t got = archive_read_data(t->archive, block, sizeof block);
        if (got == ARCHIVE_RETRY) continue;
        if (got < 0) {
            char action[200];
            snprintf(action, sizeof action, "member %s", bdpo_printable(t->member.name).text);
            return fail(t, action);
        }
        if (got == 0) break;
        total += (size_t)got;
        *too_large = total > limit;
        if (!*too_large && !bdpo_growing_add(out, block, (size_t)got))
            return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a member", t->path);
    }
    return BDPO_OK;
}

// libarchive goes through headers that it would not begin at: such a member is gone to from the
// beginning.
static bdpo_status walk_to(bdpo_tar *t, uint64_t offset)
{
    const bdpo_tar_member *member;
    TRY(start_at(t, 0));
    do TRY(bdpo_tar_next(&member, t));
    while (member && member->offset < offset);
    if (!member || member->offset != offset)
        return bdpo_fail(BDPO_BAD_FILE, "%s: has no member at byte %ju", t->path,
                         (uintmax_t)offset);
    t->held = true;
    return BDPO_OK;
}

bdpo_status bdpo_tar_seek(bdpo_tar *t, uint64_t offset)
{
    if (archive_filter_count(t->archive) > 1)
        return bdpo_fail(BDPO_UNSUPPORTED,
                         "%s: is packed (%s), so its members cannot be reached one by one", t->path,
                         archive_filter_name(t->archive, 0));
    bdpo_status status = start_at(t, offset);
    return status == BDPO_BAD_FILE ? walk_to(t, offset) : status;
}
