// Atomic writing by rename, bounded reading, mapping (POSIX).
#define _DEFAULT_SOURCE // madvise

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

enum { BUFFER_BYTES = 64 * 1024, TEMPORARY_NAMES = 1000 };

// Fails with the reason of errno. A missing file or directory is its own status: callers offer
// other places to look.
static bdpo_status fail_errno(const char *path, const char *action)
{
    int error = errno;
    char reason[128];
    if (strerror_r(error, reason, sizeof reason) != 0)
        snprintf(reason, sizeof reason, "error %d", error);
    return bdpo_fail(error == ENOENT ? BDPO_NOT_FOUND : BDPO_IO, "%s: cannot %s: %s", path, action,
                     reason);
}

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int fd;
    do fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

// ---- paths -------------------------------------------------------------------------------

bdpo_status bdpo_file_join(char out[BDPO_PATH_BYTES], const char *directory, const char *name)
{
    size_t length = strlen(directory);
    const char *slash = length > 0 && directory[length - 1] != '/' ? "/" : "";
    if (snprintf(out, BDPO_PATH_BYTES, "%s%s%s", directory, slash, name) >= BDPO_PATH_BYTES)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s/%s: the path has more than %d bytes", directory,
                         name, BDPO_PATH_BYTES - 1);
    return BDPO_OK;
}

bool bdpo_file_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool bdpo_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

// ---- writing -------------------------------------------------------------------------------

struct bdpo_file_writer {
    int fd;
    bool failed;             // a write failed: commit refuses
    size_t used;             // bytes in buffer
    char *path, *temporary;  // temporary is NULL when writing directly; both in `names`
    size_t directory_length; // of path, up to and including its last slash
    char *names;
    unsigned char buffer[BUFFER_BYTES];
};

// The temporary's name does not grow with the file's, which may have the longest name possible.
// O_EXCL finds a free one beside other writers and what a killed process left.
static bdpo_status open_temporary(bdpo_file_writer *w, size_t capacity, mode_t mode)
{
    memcpy(w->temporary, w->path, w->directory_length);
    for (int i = 0; i < TEMPORARY_NAMES; i++) {
        snprintf(w->temporary + w->directory_length, capacity - w->directory_length,
                 ".bdpo-%jd-%d.tmp", (intmax_t)getpid(), i);
        w->fd = open_retrying(w->temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
        if (w->fd >= 0) return BDPO_OK;
        if (errno != EEXIST) break;
    }
    return fail_errno(w->path, "create a temporary file beside it");
}

static bdpo_status open_target(bdpo_file_writer *w, size_t capacity)
{
    struct stat old;
    if (stat(w->path, &old) != 0) {
        if (errno != ENOENT) return fail_errno(w->path, "look at the old file");
        return open_temporary(w, capacity, 0666);
    }
    if (S_ISDIR(old.st_mode))
        return bdpo_fail(BDPO_IO, "%s: cannot write: it is a directory", w->path);
    if (!S_ISREG(old.st_mode)) { // renaming over a device or pipe would destroy it
        w->temporary = NULL;
        w->fd = open_retrying(w->path, O_WRONLY, 0);
        return w->fd < 0 ? fail_errno(w->path, "open it for writing") : BDPO_OK;
    }
    TRY(open_temporary(w, capacity, old.st_mode & 0777));
    // Past the umask. Best effort: a file system without permissions is no reason to fail.
    if (fchmod(w->fd, old.st_mode & 0777) != 0) errno = 0;
    return BDPO_OK;
}

static void free_writer(bdpo_file_writer *w)
{
    bdpo_free(w->names);
    bdpo_free(w);
}

bdpo_status bdpo_file_writer_open(bdpo_file_writer **out, const char *path)
{
    enum { TEMPORARY_BYTES = 64 }; // of its last component
    const char *slash = strrchr(path, '/');
    size_t length = strlen(path), capacity = length + TEMPORARY_BYTES;
    bdpo_file_writer *w = bdpo_alloc(1, sizeof *w);
    char *names = bdpo_alloc(length + 1 + capacity, 1);
    if (!w || !names) {
        bdpo_free(w);
        bdpo_free(names);
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", path);
    }
    w->fd = -1;
    w->names = w->path = names;
    w->temporary = names + length + 1;
    w->directory_length = slash ? (size_t)(slash - path) + 1 : 0;
    memcpy(w->path, path, length + 1);
    bdpo_status status = open_target(w, capacity);
    if (status != BDPO_OK) {
        free_writer(w);
        return status;
    }
    *out = w;
    return BDPO_OK;
}

static bdpo_status write_all(bdpo_file_writer *w, const unsigned char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(w->fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            w->failed = true;
            return fail_errno(w->path, "write");
        }
        data += n;
        size -= (size_t)n;
    }
    return BDPO_OK;
}

static bdpo_status flush(bdpo_file_writer *w)
{
    size_t used = w->used;
    w->used = 0;
    return write_all(w, w->buffer, used);
}

bdpo_status bdpo_file_writer_write(bdpo_file_writer *w, const void *data, size_t size)
{
    if (w->failed) return bdpo_fail(BDPO_IO, "%s: an earlier write failed", w->path);
    if (size > BUFFER_BYTES - w->used) TRY(flush(w));
    if (size > BUFFER_BYTES) return write_all(w, data, size);
    if (size > 0) memcpy(w->buffer + w->used, data, size);
    w->used += size;
    return BDPO_OK;
}

// fsync() of what cannot be synced (a pipe, some network directories) says EINVAL.
static bool sync_fd(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL || errno == EROFS;
}

static bdpo_status sync_directory(const bdpo_file_writer *w)
{
    char *directory = w->temporary; // its name is no longer needed
    if (w->directory_length > 0)
        directory[w->directory_length] = '\0';
    else
        memcpy(directory, ".", 2);
    int fd = open_retrying(directory, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return fail_errno(w->path, "make its directory durable");
    bool synced = sync_fd(fd);
    int error = errno;
    close(fd);
    errno = error;
    return synced ? BDPO_OK : fail_errno(w->path, "make its directory durable");
}

// Closes without a word, keeping errno for the message about what went wrong first.
static void close_quietly(bdpo_file_writer *w)
{
    int error = errno;
    if (w->fd >= 0) close(w->fd);
    w->fd = -1;
    errno = error;
}

static bdpo_status finish(bdpo_file_writer *w)
{
    if (w->failed) return bdpo_fail(BDPO_IO, "%s: an earlier write failed", w->path);
    TRY(flush(w));
    if (!sync_fd(w->fd)) return fail_errno(w->path, "make it durable");
    int fd = w->fd;
    w->fd = -1;
    if (close(fd) != 0) return fail_errno(w->path, "close"); // a full network disk may say it here
    if (!w->temporary) return BDPO_OK;
    if (rename(w->temporary, w->path) != 0) return fail_errno(w->path, "rename onto it");
    bdpo_status status = sync_directory(w);
    w->temporary = NULL; // nothing to remove
    return status;
}

bdpo_status bdpo_file_writer_commit(bdpo_file_writer *w)
{
    bdpo_status status = finish(w);
    bdpo_file_writer_abort(w); // removes what a failure left; after success only frees
    return status;
}

void bdpo_file_writer_abort(bdpo_file_writer *w)
{
    if (!w) return;
    close_quietly(w);
    if (w->temporary) unlink(w->temporary);
    free_writer(w);
}

bdpo_status bdpo_file_write(const char *path, const void *data, size_t size)
{
    bdpo_file_writer *w;
    TRY(bdpo_file_writer_open(&w, path));
    bdpo_status status = bdpo_file_writer_write(w, data, size);
    if (status == BDPO_OK) return bdpo_file_writer_commit(w);
    bdpo_file_writer_abort(w);
    return status;
}

// ---- reading -------------------------------------------------------------------------------

static bdpo_status open_for_reading(int *fd, struct stat *info, const char *path)
{
    *fd = open_retrying(path, O_RDONLY, 0);
    if (*fd < 0) return fail_errno(path, "open");
    bdpo_status status = BDPO_OK;
    if (fstat(*fd, info) != 0)
        status = fail_errno(path, "look at it");
    else if (S_ISDIR(info->st_mode))
        status = bdpo_fail(BDPO_IO, "%s: cannot read: it is a directory", path);
    if (status != BDPO_OK) close(*fd);
    return status;
}

static bdpo_status too_long(const char *path, size_t limit)
{
    return bdpo_fail(BDPO_BAD_FILE, "%s: longer than the %zu bytes that are allowed here", path,
                     limit);
}

// Reads to the end, growing the block: a size that the system tells is a hint only (zero for a
// pipe or /proc, and the file may grow while we read).
static bdpo_status read_all(char **block, size_t *size, int fd, const char *path, size_t hint,
                            size_t limit)
{
    size_t capacity = 0, used = 0, wanted = (hint < limit ? hint : limit) + 2;
    for (;;) {
        if (used + 1 >= capacity) { // one byte for the closing zero
            char *grown = bdpo_realloc(*block, wanted, 1);
            if (!grown)
                return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for %zu bytes", path, wanted);
            *block = grown;
            capacity = wanted;
            if (!bdpo_size_mul(&wanted, capacity < 4096 ? 4096 : capacity, 2)) wanted = SIZE_MAX;
        }
        ssize_t n = read(fd, *block + used, capacity - used - 1);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno(path, "read");
        used += (size_t)n;
        if (used > limit) return too_long(path, limit);
        if (n == 0) break;
    }
    (*block)[used] = '\0';
    *size = used;
    return BDPO_OK;
}

bdpo_status bdpo_file_read(char **out, size_t *size, const char *path, size_t limit)
{
    int fd;
    struct stat info;
    char *block = NULL;
    if (limit > SIZE_MAX / 2) limit = SIZE_MAX / 2;
    TRY(open_for_reading(&fd, &info, path));
    size_t hint = S_ISREG(info.st_mode) ? (size_t)info.st_size : 0;
    bdpo_status status =
        hint > limit ? too_long(path, limit) : read_all(&block, size, fd, path, hint, limit);
    close(fd);
    if (status == BDPO_OK)
        *out = block;
    else
        bdpo_free(block);
    return status;
}

bdpo_status bdpo_file_map(bdpo_file_view *out, const char *path)
{
    int fd;
    struct stat info;
    *out = (bdpo_file_view){0};
    TRY(open_for_reading(&fd, &info, path));
    bdpo_status status = BDPO_OK;
    if (!S_ISREG(info.st_mode)) {
        status = bdpo_fail(BDPO_IO, "%s: cannot map: not a plain file", path);
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = fail_errno(path, "map");
        else
            *out = (bdpo_file_view){data, (size_t)info.st_size};
    }
    close(fd); // the mapping keeps the file
    return status;
}

// Whole pages inside the part only: others may be of something else.
void bdpo_file_rest(const void *data, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)data;
    uintptr_t begin = (at + page - 1) / page * page, end = (at + size) / page * page;
    // A failure costs memory only.
    if (begin < end) (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void bdpo_file_unmap(bdpo_file_view *view)
{
    if (view->data) munmap((void *)(uintptr_t)view->data, view->size);
    *view = (bdpo_file_view){0};
}
