// The part, its tag, its lock; one attempt after the other; the end.
#define _DEFAULT_SOURCE // flock
#include "fetch/download.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/progress.h"
#include "fetch/retry.h"
#include "formats/growing.h"

enum { WORTH_A_BAR = 5000000 }; // bytes; of smaller files a line tells at the end
enum { PIECE_BYTES = 256 * 1024, MAX_TEXT_BYTES = 64 << 20 };

static const double LOCK_POLL_S = 0.2;

// What is known of the content that a part is the beginning of.
typedef struct tag {
    char etag[128];
    bdpo_sha256_text sha256; // as the server states it; "" unknown
    int64_t size;            // 0: unknown
    char commit[72];
} tag;

typedef struct download {
    const bdpo_download *what;
    bdpo_http *http;
    const bdpo_fetch_options *options;
    char part[BDPO_PATH_BYTES], tag_path[BDPO_PATH_BYTES];
    struct stat before; // the file that stood under the name at first; st_ino 0: none
    int fd;             // of the part, locked
    int64_t done;       // bytes in it, all of them in `hash`
    bool resumed;       // they came in more than one transfer
    bool changed;       // the content is another now: the attempt ended to begin anew
    bool unframed;      // its end could not be told from a break
    tag tag;
    bdpo_sha256_stream *hash;
    bdpo_progress progress;
} download;

// ---- words -------------------------------------------------------------------------------------

typedef struct size_text {
    char text[32];
} size_text;

static size_text print_size(int64_t size)
{
    size_text out;
    if (size < 10000)
        snprintf(out.text, sizeof out.text, "%" PRId64 " bytes", size);
    else if (size < 10000000)
        snprintf(out.text, sizeof out.text, "%.0f kB", (double)size / 1e3);
    else if (size < 1000000000)
        snprintf(out.text, sizeof out.text, "%.1f MB", (double)size / 1e6);
    else
        snprintf(out.text, sizeof out.text, "%.2f GB", (double)size / 1e9);
    return out;
}

static bdpo_status fail_errno(const char *path, const char *action)
{
    char reason[128];
    if (strerror_r(errno, reason, sizeof reason) != 0) reason[0] = '\0';
    return bdpo_fail(BDPO_IO, "%s: cannot %s: %s", path, action, reason);
}

// What the content must hash to, by whoever knows; NULL where nobody does.
static const char *expected_sha256(const download *d)
{
    if (d->what->sha256) return d->what->sha256;
    return d->tag.sha256.hex[0] ? d->tag.sha256.hex : NULL;
}

// ---- the part ----------------------------------------------------------------------------------

static void close_part(download *d)
{
    if (d->fd >= 0) close(d->fd); // and unlock
    d->fd = -1;
}

// Another process has given the file its name since we began.
static bool came_meanwhile(const download *d)
{
    struct stat info;
    return stat(d->what->path, &info) == 0 && S_ISREG(info.st_mode) &&
           (info.st_ino != d->before.st_ino || info.st_dev != d->before.st_dev);
}

// While we waited for the lock the other process may have given the part its final name.
static bool is_still_the_part(const download *d)
{
    struct stat ours, named;
    return fstat(d->fd, &ours) == 0 && stat(d->part, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

static bdpo_status lock_part(download *d, bool *waited)
{
    while (flock(d->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) return BDPO_OK; // a file system without locks
        if (!*waited)
            bdpo_log_write(d->options->log, BDPO_LOG_INFO,
                           "%s: another process is fetching it; waiting", d->what->label);
        *waited = true;
        TRY(bdpo_fetch_sleep(LOCK_POLL_S, d->options));
    }
    return BDPO_OK;
}

// *waited: another process had it, and the file may be there now.
static bdpo_status open_part(download *d, bool *waited)
{
    *waited = false;
    TRY(bdpo_fetch_make_parents(d->part));
    for (;;) {
        do d->fd = open(d->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        while (d->fd < 0 && errno == EINTR);
        if (d->fd < 0) return fail_errno(d->part, "open it for writing");
        TRY(lock_part(d, waited));
        if (is_still_the_part(d)) return BDPO_OK;
        *waited = true;
        close_part(d);
        if (came_meanwhile(d)) return BDPO_OK;
    }
}

static bdpo_status begin_hash(download *d)
{
    bdpo_sha256_free(d->hash);
    d->hash = NULL;
    return bdpo_sha256_new(&d->hash);
}

static bdpo_status begin_anew(download *d)
{
    d->done = 0;
    d->resumed = false;
    d->tag = (tag){0};
    unlink(d->tag_path);
    if (ftruncate(d->fd, 0) != 0) return fail_errno(d->part, "empty it");
    return begin_hash(d);
}

// ---- the tag -----------------------------------------------------------------------------------

static bdpo_status write_tag(const download *d)
{
    char text[512];
    int n = snprintf(text, sizeof text, "%s\n%s\n%" PRId64 "\n%s\n", d->tag.etag, d->tag.sha256.hex,
                     d->tag.size, d->tag.commit);
    return bdpo_file_write(d->tag_path, text, (size_t)n);
}

static bool take_line(char *out, size_t size, const char **text)
{
    size_t length = strcspn(*text, "\n");
    if ((*text)[length] != '\n' || length >= size) return false;
    memcpy(out, *text, length);
    out[length] = '\0';
    *text += length + 1;
    return true;
}

static bool parse_tag(tag *out, const char *text)
{
    char sha256[72], size[32];
    *out = (tag){0};
    if (!take_line(out->etag, sizeof out->etag, &text) ||
        !take_line(sha256, sizeof sha256, &text) || !take_line(size, sizeof size, &text) ||
        !take_line(out->commit, sizeof out->commit, &text))
        return false;
    if (sha256[0] && !bdpo_fetch_sha256_parse(&out->sha256, sha256)) return false;
    return sscanf(size, "%" SCNd64, &out->size) == 1 && out->size >= 0;
}

static bool read_tag(download *d)
{
    char *text;
    size_t size;
    if (bdpo_file_read(&text, &size, d->tag_path, 1024) != BDPO_OK) return false;
    bool fine = parse_tag(&d->tag, text);
    bdpo_free(text);
    if (!fine) d->tag = (tag){0};
    return fine;
}

// Goes on only where the end can be checked, or the server can tell that the content is the same.
static bool may_resume(const download *d)
{
    return d->done > 0 && (d->tag.etag[0] || expected_sha256(d)) &&
           (d->tag.size == 0 || d->done <= d->tag.size);
}

static bdpo_status hash_part(download *d, unsigned char *piece)
{
    int64_t left = d->done;
    bdpo_progress progress;
    bdpo_progress_begin(&progress, left > 500000000 ? d->options->log : NULL, "checking the part",
                        "MB", left / 1000000, 0);
    if (lseek(d->fd, 0, SEEK_SET) < 0) return fail_errno(d->part, "read");
    while (left > 0) {
        ssize_t n = read(d->fd, piece, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return fail_errno(d->part, "read");
        TRY(bdpo_sha256_add(d->hash, piece, (size_t)n));
        left -= n;
        bdpo_progress_update(&progress, (d->done - left) / 1000000, NULL);
        if (d->options->interrupted && d->options->interrupted())
            return bdpo_fail(BDPO_INTERRUPTED, "interrupted");
    }
    return BDPO_OK;
}

// What an earlier run left, or nothing.
static bdpo_status take_up(download *d)
{
    struct stat info;
    if (fstat(d->fd, &info) != 0) return fail_errno(d->part, "look at it");
    d->done = (int64_t)info.st_size;
    read_tag(d);
    if (!may_resume(d)) return begin_anew(d);
    unsigned char *piece = bdpo_alloc(PIECE_BYTES, 1);
    if (!piece) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to read it", d->part);
    d->resumed = true;
    bdpo_status status = begin_hash(d);
    if (status == BDPO_OK) status = hash_part(d, piece);
    bdpo_free(piece);
    if (status == BDPO_OK)
        bdpo_log_write(d->options->log, BDPO_LOG_INFO, "%s: going on after %s", d->what->label,
                       print_size(d->done).text);
    return status;
}

// ---- what the server says before the body ------------------------------------------------------

// Ends the attempt so that the next one begins at the first byte.
static bdpo_status content_changed(download *d, const char *why)
{
    d->changed = true;
    return bdpo_fail(BDPO_IO, "%s: %s", d->what->label, why);
}

// A content that was fetched before under this name must be the same now.
static bdpo_status compare_with_record(const download *d, const bdpo_sha256_text *sha256)
{
    bdpo_fetch_record earlier;
    if (!d->what->record || d->what->sha256) return BDPO_OK;
    if (bdpo_fetch_record_read(&earlier, d->what->record) != BDPO_OK) return BDPO_OK;
    if (strcmp(earlier.sha256.hex, sha256->hex) == 0) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE,
                     "%s: has the SHA-256 %s, but %s when it was first fetched: if the change is "
                     "meant, remove %s",
                     d->what->label, sha256->hex, earlier.sha256.hex, d->what->record);
}

static bdpo_status check_stated(const download *d, const bdpo_sha256_text *stated)
{
    if (!stated->hex[0]) return BDPO_OK;
    if (d->what->sha256 && strcmp(stated->hex, d->what->sha256) != 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: the server states the SHA-256 %s, expected is %s",
                         d->what->label, stated->hex, d->what->sha256);
    return compare_with_record(d, stated);
}

static bdpo_status check_promise(const download *d, const bdpo_http_reply *reply, int64_t size)
{
    bool web_page = strncmp(reply->content_type, "text/html", 9) == 0;
    if (web_page && !strstr(d->what->path, ".htm"))
        return bdpo_fail(BDPO_IO,
                         "%s: %s sends a web page instead of the file (a login page, a proxy?)",
                         d->what->label, bdpo_http_host(d->what->url).text);
    if (d->what->size > 0 && size > 0 && size != d->what->size)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: the server has %" PRId64 " bytes under this name, %" PRId64
                         " are expected",
                         d->what->label, size, d->what->size);
    if (reply->linked_size > 0 && size > 0 && size != reply->linked_size)
        return bdpo_fail(BDPO_IO, "%s: the server promises %" PRId64 " bytes and sends %" PRId64,
                         d->what->label, reply->linked_size, size);
    return BDPO_OK;
}

static bdpo_status check_space(const download *d, int64_t size)
{
    struct statvfs disk;
    if (size <= d->done || fstatvfs(d->fd, &disk) != 0) return BDPO_OK;
    int64_t wanted = size - d->done;
    if ((double)disk.f_bavail * (double)disk.f_frsize >= (double)wanted) return BDPO_OK;
    return bdpo_fail(BDPO_IO, "%s: needs %s more on the disk of %s, which has %s free",
                     d->what->label, print_size(wanted).text, d->part,
                     print_size((int64_t)disk.f_bavail * (int64_t)disk.f_frsize).text);
}

static bool is_resumable(const download *d, const bdpo_http_reply *reply)
{
    if (reply->first != d->done) return false;
    if (d->tag.size > 0 && reply->total > 0 && reply->total != d->tag.size) return false;
    if (reply->sha256.hex[0] && d->tag.sha256.hex[0] &&
        strcmp(reply->sha256.hex, d->tag.sha256.hex) != 0)
        return false;
    return !reply->etag[0] || !d->tag.etag[0] || strcmp(reply->etag, d->tag.etag) == 0;
}

static bdpo_status begin_body(void *user, const bdpo_http_reply *reply)
{
    download *d = user;
    if (reply->status == 206 && !is_resumable(d, reply))
        return content_changed(d, "the file at the server is another one now");
    if (reply->status == 200 && d->done > 0) TRY(begin_anew(d)); // it sends all of it again
    int64_t size = reply->status == 206 ? reply->total : reply->length;
    if (size < 0) size = reply->linked_size > 0 ? reply->linked_size : 0;
    TRY(check_stated(d, &reply->sha256));
    TRY(check_promise(d, reply, size));
    TRY(check_space(d, size));
    d->unframed = !reply->framed;
    d->tag.size = size;
    if (reply->sha256.hex[0]) d->tag.sha256 = reply->sha256;
    snprintf(d->tag.etag, sizeof d->tag.etag, "%s", reply->etag);
    snprintf(d->tag.commit, sizeof d->tag.commit, "%s", reply->commit);
    if (reply->status == 206 && d->done > 0) d->resumed = true;
    if (size == 0 || size >= WORTH_A_BAR)
        bdpo_progress_begin(&d->progress, d->options->log, d->what->label, "MB", size / 1000000,
                            d->done / 1000000);
    return write_tag(d);
}

// ---- the body ----------------------------------------------------------------------------------

static bdpo_status fail_write(const download *d)
{
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return bdpo_fail(BDPO_IO,
                         "%s: %s after %s; what came is kept, the same command goes on when there "
                         "is room",
                         d->part, errno == EFBIG ? "no larger file is allowed" : "the disk is full",
                         print_size(d->done).text);
    return fail_errno(d->part, "write");
}

static bdpo_status take_data(void *user, const void *bytes, size_t size)
{
    download *d = user;
    if (d->tag.size > 0 && d->done + (int64_t)size > d->tag.size)
        return content_changed(d, "the server sends more bytes than it promised");
    for (const char *at = bytes; size > 0;) {
        ssize_t n = pwrite(d->fd, at, size, (off_t)d->done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_write(d);
        TRY(bdpo_sha256_add(d->hash, at, (size_t)n));
        d->done += n;
        at += n;
        size -= (size_t)n;
    }
    bdpo_progress_update(&d->progress, d->done / 1000000, NULL);
    return BDPO_OK;
}

// ---- one attempt -------------------------------------------------------------------------------

static bool is_whole(const download *d)
{
    return d->done > 0 && d->tag.size > 0 && d->done == d->tag.size;
}

// The part may be longer than the file, or just as long (a kill before the rename).
static bdpo_status judge_range(download *d, const bdpo_http_reply *reply)
{
    if (reply->total == d->done) return BDPO_OK;
    return content_changed(d, "the file at the server is shorter than what came of it");
}

// OK: the body came to its end. Else *again tells whether another try makes sense.
static bdpo_status attempt(download *d, bool *again, bdpo_http_reply *reply)
{
    bdpo_http_request request = {
        .url = d->what->url,
        .token = d->what->token,
        .http_allowed = d->what->http_allowed,
        .first = d->done,
        .if_range = d->tag.etag,
        .begin = begin_body,
        .data = take_data,
        .user = d,
    };
    d->changed = false;
    d->progress.log = NULL;
    bdpo_status status = bdpo_http_get(reply, d->http, &request);
    if (status == BDPO_OK && reply->status == 416 && d->done > 0) {
        *again = false;
        status = judge_range(d, reply);
    } else {
        status = bdpo_retry_judge(again, status, reply, d->what);
    }
    if (status == BDPO_OK && d->tag.size > 0 && d->done < d->tag.size) {
        *again = true;
        status = bdpo_fail(BDPO_IO, "%s: %" PRId64 " of %" PRId64 " bytes came", d->what->label,
                           d->done, d->tag.size);
    }
    if (d->changed) *again = true;
    bdpo_progress_end(&d->progress);
    return status;
}

static bdpo_status get_body(download *d)
{
    bdpo_retry retry = {.best = d->done};
    bdpo_http_reply reply;
    bool again;
    if (is_whole(d)) return BDPO_OK; // only its end was missing
    for (;;) {
        bdpo_status status = attempt(d, &again, &reply);
        if (status == BDPO_OK) return BDPO_OK;
        if (!again) return status;
        TRY(bdpo_retry_wait(&retry, d->done, &reply, d->options));
        if (d->changed || !may_resume(d)) TRY(begin_anew(d));
    }
}

// ---- the end -----------------------------------------------------------------------------------

static bdpo_status check_content(const download *d, const bdpo_sha256_text *sha256)
{
    const char *stated = d->tag.sha256.hex;
    if (d->what->sha256 && strcmp(sha256->hex, d->what->sha256) != 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: has the SHA-256 %s, expected %s; removed",
                         d->what->label, sha256->hex, d->what->sha256);
    if (stated[0] && strcmp(sha256->hex, stated) != 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: has the SHA-256 %s, but the server states %s; removed",
                         d->what->label, sha256->hex, stated);
    if (d->what->size > 0 && d->done != d->what->size)
        return bdpo_fail(BDPO_BAD_FILE, "%s: %" PRId64 " bytes came, %" PRId64 " are expected",
                         d->what->label, d->done, d->what->size);
    if (d->unframed && !expected_sha256(d))
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: the server tells neither length nor hash, so whether all of it came "
                         "cannot be known; removed",
                         d->what->label);
    return compare_with_record(d, sha256);
}

static bdpo_status write_record(const download *d, const bdpo_sha256_text *sha256)
{
    if (!d->what->record) return BDPO_OK;
    bdpo_fetch_record record = {.sha256 = *sha256, .size = d->done};
    snprintf(record.address, sizeof record.address, "%s", d->what->url);
    snprintf(record.etag, sizeof record.etag, "%s", d->tag.etag);
    snprintf(record.commit, sizeof record.commit, "%s", d->tag.commit);
    snprintf(record.proof, sizeof record.proof, "%s",
             d->what->sha256        ? d->what->proof
             : d->tag.sha256.hex[0] ? "server"
                                    : "none");
    return bdpo_fetch_record_write(&record, d->what->record);
}

static bdpo_status sync_directory(const char *path)
{
    char directory[BDPO_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL || errno == EROFS);
    bdpo_status status = synced ? BDPO_OK : fail_errno(directory, "make it durable");
    if (fd >= 0) close(fd);
    return status;
}

// The record first: a file that stands under its name always has one.
static bdpo_status give_name(download *d, const bdpo_sha256_text *sha256)
{
    if (fsync(d->fd) != 0 && errno != EINVAL && errno != EROFS)
        return fail_errno(d->part, "make it durable");
    TRY(write_record(d, sha256));
    if (rename(d->part, d->what->path) != 0) return fail_errno(d->what->path, "rename onto it");
    unlink(d->tag_path);
    TRY(sync_directory(d->what->path));
    bdpo_log_write(d->options->log, BDPO_LOG_INFO, "%s: %s, SHA-256 %.12s..., %s", d->what->label,
                   print_size(d->done).text, sha256->hex,
                   expected_sha256(d) ? "as it should be" : "which nobody stated");
    return BDPO_OK;
}

static void remove_part(const download *d)
{
    unlink(d->part);
    unlink(d->tag_path);
}

static bdpo_status get_and_name(download *d)
{
    bdpo_sha256_text sha256;
    for (bool restarted = false;; restarted = true) {
        TRY(get_body(d));
        bdpo_sha256_stream *hash = d->hash;
        d->hash = NULL;
        TRY(bdpo_sha256_finish(&sha256, hash));
        bdpo_status status = check_content(d, &sha256);
        if (status == BDPO_OK) return give_name(d, &sha256);
        if (!d->resumed || restarted) {
            remove_part(d);
            return status;
        }
        bdpo_log_write(d->options->log, BDPO_LOG_WARNING,
                       "%s: what came in pieces does not fit together; from the beginning",
                       d->what->label);
        TRY(begin_anew(d));
    }
}

static bdpo_status run(download *d)
{
    bool waited;
    size_t size = sizeof d->part;
    if (snprintf(d->part, size, "%s.part", d->what->path) >= (int)size ||
        snprintf(d->tag_path, size, "%s.part.tag", d->what->path) >= (int)size)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: the path is too long", d->what->path);
    if (stat(d->what->path, &d->before) != 0) d->before = (struct stat){0};
    TRY(open_part(d, &waited));
    if (waited && came_meanwhile(d)) {
        if (d->fd >= 0) remove_part(d);
        return BDPO_OK;
    }
    TRY(take_up(d));
    return get_and_name(d);
}

bdpo_status bdpo_download_file(const bdpo_download *what, bdpo_http *http,
                               const bdpo_fetch_options *options)
{
    download d = {.what = what, .http = http, .options = options, .fd = -1};
    bdpo_status status = run(&d);
    if (status == BDPO_INTERRUPTED && d.done > 0)
        status =
            bdpo_fail(BDPO_INTERRUPTED, "interrupted: %s of %s are kept, the same command goes on",
                      print_size(d.done).text, what->label);
    // Nothing came: leave nothing behind.
    if (status != BDPO_OK && d.fd >= 0 && d.done == 0) remove_part(&d);
    close_part(&d);
    bdpo_sha256_free(d.hash);
    return status;
}

// ---- texts -------------------------------------------------------------------------------------

static bdpo_status begin_text(void *user, const bdpo_http_reply *reply)
{
    bdpo_growing *text = user;
    (void)reply;
    text->size = 0;
    return BDPO_OK;
}

static bdpo_status take_text(void *user, const void *bytes, size_t size)
{
    bdpo_growing *text = user;
    if (text->size + size > MAX_TEXT_BYTES)
        return bdpo_fail(BDPO_BAD_FILE, "a list of files has more than %d MB",
                         MAX_TEXT_BYTES >> 20);
    if (!bdpo_growing_add(text, bytes, size))
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a list of files");
    return BDPO_OK;
}

static bdpo_status get_text(bdpo_growing *text, char next[1024], const bdpo_download *what,
                            bdpo_http *http, const bdpo_fetch_options *options)
{
    bdpo_retry retry = {0};
    bdpo_http_reply reply;
    bool again;
    bdpo_http_request request = {.url = what->url,
                                 .token = what->token,
                                 .http_allowed = what->http_allowed,
                                 .begin = begin_text,
                                 .data = take_text,
                                 .user = text};
    for (;;) {
        bdpo_status status = bdpo_http_get(&reply, http, &request);
        status = bdpo_retry_judge(&again, status, &reply, what);
        if (status == BDPO_OK) break;
        if (!again) return status;
        TRY(bdpo_retry_wait(&retry, 0, &reply, options));
    }
    memcpy(next, reply.next, sizeof reply.next);
    if (!bdpo_growing_add(text, "", 1)) return bdpo_fail(BDPO_NO_MEMORY, "no memory");
    return BDPO_OK;
}

bdpo_status bdpo_download_text(char **out, size_t *size, char next[1024], const bdpo_download *what,
                               bdpo_http *http, const bdpo_fetch_options *options)
{
    bdpo_growing text = {0};
    bdpo_status status = get_text(&text, next, what, http, options);
    if (status != BDPO_OK) {
        bdpo_free(text.data);
        return status;
    }
    *out = (char *)text.data;
    *size = text.size - 1;
    return BDPO_OK;
}
