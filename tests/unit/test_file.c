// base/file: a reader sees the old content or the new, whatever goes wrong.
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "harness.h"

static char directory[64];

// The path of `name` in this test's own directory, made at the first call. Valid for four calls.
static const char *in_directory(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    if (!directory[0]) {
        snprintf(directory, sizeof directory, "/tmp/bdpo-test-XXXXXX");
        CHECK(mkdtemp(directory) != NULL);
    }
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

// Removes the directory; returns how many entries it had.
static int empty_directory(void)
{
    int n_entries = 0;
    DIR *dir = opendir(directory);
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        n_entries++;
        unlink(in_directory(entry->d_name));
    }
    closedir(dir);
    rmdir(directory);
    directory[0] = '\0';
    return n_entries;
}

static void check_content(const char *path, const char *expected)
{
    char *text;
    size_t size;
    CHECK_OK(bdpo_file_read(&text, &size, path, 1 << 20));
    CHECK_STR(text, expected);
    CHECK_U64(size, strlen(expected));
    bdpo_free(text);
}

BDPO_TEST(written_file_reads_back)
{
    const char *path = in_directory("a.txt");
    CHECK_OK(bdpo_file_write(path, "first", 5));
    check_content(path, "first");
    CHECK_OK(bdpo_file_write(path, "the second", 10));
    check_content(path, "the second");
    CHECK_OK(bdpo_file_write(path, NULL, 0));
    check_content(path, "");
    CHECK_INT(empty_directory(), 1);
}

BDPO_TEST(streamed_pieces_of_all_sizes_arrive_in_order)
{
    const char *path = in_directory("stream.bin");
    static const size_t sizes[] = {1, 65535, 1, 65536, 3, 65537, 200000, 0, 7, 65530, 7};
    static unsigned char data[200000];
    bdpo_file_writer *w;
    size_t total = 0;
    CHECK_OK(bdpo_file_writer_open(&w, path));
    for (size_t i = 0; i < BDPO_COUNTOF(sizes); i++) {
        for (size_t k = 0; k < sizes[i]; k++) data[k] = (unsigned char)((total + k) * 31 >> 3);
        CHECK_OK(bdpo_file_writer_write(w, data, sizes[i]));
        total += sizes[i];
    }
    CHECK_OK(bdpo_file_writer_commit(w));
    bdpo_file_view view;
    CHECK_OK(bdpo_file_map(&view, path));
    CHECK_U64(view.size, total);
    for (size_t k = 0; k < total; k++)
        CHECK_INT(((const unsigned char *)view.data)[k], (unsigned char)(k * 31 >> 3));
    bdpo_file_unmap(&view);
    CHECK(view.data == NULL && view.size == 0);
    CHECK_INT(empty_directory(), 1);
}

BDPO_TEST(abort_leaves_nothing)
{
    const char *path = in_directory("a.txt");
    bdpo_file_writer *w;
    CHECK_OK(bdpo_file_writer_open(&w, path));
    CHECK_OK(bdpo_file_writer_write(w, "x", 1));
    bdpo_file_writer_abort(w);
    bdpo_file_writer_abort(NULL);
    CHECK_INT(empty_directory(), 0);
}

BDPO_TEST(until_commit_the_old_file_stands)
{
    const char *path = in_directory("a.txt");
    bdpo_file_writer *w, *other;
    CHECK_OK(bdpo_file_write(path, "old", 3));
    CHECK_OK(bdpo_file_writer_open(&w, path));
    CHECK_OK(bdpo_file_writer_open(&other, path)); // two writers do not meet
    CHECK_OK(bdpo_file_writer_write(w, "new", 3));
    CHECK_OK(bdpo_file_writer_write(other, "other", 5));
    check_content(path, "old");
    CHECK_OK(bdpo_file_writer_commit(w));
    check_content(path, "new");
    bdpo_file_writer_abort(other);
    check_content(path, "new");
    CHECK_INT(empty_directory(), 1);
}

BDPO_TEST(permissions_of_the_old_file_are_kept)
{
    const char *path = in_directory("secret");
    struct stat info;
    umask(022);
    CHECK_OK(bdpo_file_write(path, "a", 1));
    CHECK_INT(stat(path, &info), 0);
    CHECK_INT(info.st_mode & 0777, 0644);
    CHECK_INT(chmod(path, 0660), 0);
    CHECK_OK(bdpo_file_write(path, "b", 1));
    CHECK_INT(stat(path, &info), 0);
    CHECK_INT(info.st_mode & 0777, 0660);
    empty_directory();
}

BDPO_TEST(longest_file_name_is_written)
{
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    const char *path = in_directory(name);
    CHECK_OK(bdpo_file_write(path, "x", 1));
    CHECK_INT(empty_directory(), 1);
}

BDPO_TEST(relative_path_without_directory_is_written)
{
    in_directory("");
    CHECK_INT(chdir(directory), 0);
    CHECK_OK(bdpo_file_write("plain", "x", 1));
    check_content("plain", "x");
    CHECK_INT(chdir("/"), 0);
    CHECK_INT(empty_directory(), 1);
}

BDPO_TEST(full_device_is_an_error_at_commit)
{
    if (access("/dev/full", W_OK) != 0) SKIP("/dev/full is not here");
    CHECK_STATUS(bdpo_file_write("/dev/full", "x", 1), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "/dev/full: cannot write: No space left on device");
    struct stat info;
    CHECK_INT(stat("/dev/full", &info), 0);
    CHECK(S_ISCHR(info.st_mode)); // not replaced by a plain file
    CHECK_OK(bdpo_file_write("/dev/null", "x", 1));
}

// The disk "fills" after 100,000 bytes. The limit holds for this process, that is, for this test.
BDPO_TEST(full_disk_keeps_the_old_file)
{
    static const unsigned char data[300000];
    const char *path = in_directory("checkpoint");
    struct rlimit old, limit;
    CHECK_OK(bdpo_file_write(path, "old", 3));
    signal(SIGXFSZ, SIG_IGN);
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = (struct rlimit){100000, old.rlim_max};
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    bdpo_status whole = bdpo_file_write(path, data, sizeof data);
    bdpo_file_writer *w;
    bdpo_status status = BDPO_OK, commit, again;
    CHECK_OK(bdpo_file_writer_open(&w, path));
    for (int i = 0; i < 300 && status == BDPO_OK; i++)
        status = bdpo_file_writer_write(w, data, 1000);
    again = bdpo_file_writer_write(w, data, 1);
    commit = bdpo_file_writer_commit(w); // must not name a part
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &old), 0);
    CHECK_INT(whole, BDPO_IO);
    CHECK_INT(status, BDPO_IO);
    CHECK_INT(again, BDPO_IO);
    CHECK_INT(commit, BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "checkpoint: an earlier write failed");
    check_content(path, "old");
    CHECK_INT(empty_directory(), 1);
}

BDPO_TEST(missing_directory_is_named)
{
    const char *path = in_directory("no/such/file");
    CHECK_STATUS(bdpo_file_write(path, "x", 1), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), path);
    CHECK_CONTAINS(bdpo_message(), "No such file or directory");
    CHECK_INT(empty_directory(), 0);
}

BDPO_TEST(directories_are_refused)
{
    char *text;
    size_t size;
    bdpo_file_view view;
    in_directory("");
    CHECK_STATUS(bdpo_file_write(directory, "x", 1), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "is a directory");
    CHECK_STATUS(bdpo_file_read(&text, &size, directory, 10), BDPO_IO);
    CHECK_STATUS(bdpo_file_map(&view, directory), BDPO_IO);
    CHECK_INT(empty_directory(), 0);
}

BDPO_TEST(rename_failure_removes_the_temporary)
{
    const char *path = in_directory("late");
    bdpo_file_writer *w;
    CHECK_OK(bdpo_file_writer_open(&w, path));
    CHECK_OK(bdpo_file_writer_write(w, "x", 1));
    CHECK_INT(mkdir(path, 0777), 0); // somebody takes the name meanwhile
    CHECK_STATUS(bdpo_file_writer_commit(w), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "cannot rename onto it");
    CHECK_INT(rmdir(path), 0);
    CHECK_INT(empty_directory(), 0);
}

BDPO_TEST(read_obeys_its_limit)
{
    const char *path = in_directory("ten");
    char *text = NULL;
    size_t size = 0;
    CHECK_OK(bdpo_file_write(path, "0123456789", 10));
    CHECK_OK(bdpo_file_read(&text, &size, path, 10));
    CHECK_STR(text, "0123456789");
    bdpo_free(text);
    CHECK_STATUS(bdpo_file_read(&text, &size, path, 9), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "longer than the 9 bytes");
    CHECK_STATUS(bdpo_file_read(&text, &size, "/dev/zero", 100000), BDPO_BAD_FILE);
    CHECK_STATUS(bdpo_file_read(&text, &size, in_directory("none"), 9), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "/none: cannot open: No such file");
    empty_directory();
}

BDPO_TEST(read_takes_what_a_pipe_gives)
{
    const char *path = in_directory("pipe");
    CHECK_INT(mkfifo(path, 0666), 0);
    if (fork() == 0) {
        static const char part[10000];
        int fd = open(path, O_WRONLY);
        for (int i = 0; i < 10; i++)
            if (write(fd, part, sizeof part) != sizeof part) _exit(1);
        _exit(0);
    }
    char *text;
    size_t size;
    CHECK_OK(bdpo_file_read(&text, &size, path, 100000));
    CHECK_U64(size, 100000);
    bdpo_free(text);
    empty_directory();
}

BDPO_TEST(map_of_empty_and_missing_files)
{
    bdpo_file_view view;
    const char *path = in_directory("empty");
    CHECK_OK(bdpo_file_write(path, NULL, 0));
    CHECK_OK(bdpo_file_map(&view, path));
    CHECK(view.data == NULL && view.size == 0);
    bdpo_file_unmap(&view);
    CHECK_STATUS(bdpo_file_map(&view, in_directory("none")), BDPO_NOT_FOUND);
    bdpo_file_unmap(&view); // empty after a failure
    CHECK_STATUS(bdpo_file_map(&view, "/dev/null"), BDPO_IO);
    empty_directory();
}

BDPO_TEST(pieces_are_read_at_their_places)
{
    bdpo_file_reader *reader;
    char piece[8];
    CHECK_OK(bdpo_file_write(in_directory("x"), "0123456789", 10));
    CHECK_OK(bdpo_file_reader_open(&reader, in_directory("x")));
    CHECK_INT(bdpo_file_reader_size(reader), 10);
    CHECK_OK(bdpo_file_reader_read(reader, piece, 4, 6));
    CHECK_BYTES(piece, "6789", 4);
    CHECK_OK(bdpo_file_reader_read(reader, piece, 4, 0));
    CHECK_BYTES(piece, "0123", 4);
    CHECK_OK(bdpo_file_reader_read(reader, piece, 0, 10));
    CHECK_STATUS(bdpo_file_reader_read(reader, piece, 4, 7), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "x: ends at byte 10, 1 more were expected");
    CHECK_STATUS(bdpo_file_reader_read(reader, piece, 4, UINT64_MAX), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "x: a place past the end of every file");
    CHECK_INT(truncate(in_directory("x"), 2), 0); // no fault, as a map would have
    CHECK_STATUS(bdpo_file_reader_read(reader, piece, 4, 6), BDPO_BAD_FILE);
    bdpo_file_reader_close(reader);
    CHECK_STATUS(bdpo_file_reader_open(&reader, in_directory("none")), BDPO_NOT_FOUND);
    CHECK_STATUS(bdpo_file_reader_open(&reader, "/dev/null"), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "/dev/null: cannot read at a place: not a plain file");
    CHECK_INT(empty_directory(), 1);
}

// Each allocation in turn fails: a status, no leak of names, the old file stands.
BDPO_TEST(allocation_failures_leave_the_old_file)
{
    const char *path = in_directory("a");
    char *text;
    size_t size;
    CHECK_OK(bdpo_file_write(path, "old", 3));
    for (uint64_t n = 1; n <= 2; n++) {
        bdpo_alloc_fail_at(bdpo_alloc_count() + n);
        CHECK_STATUS(bdpo_file_write(path, "new", 3), BDPO_NO_MEMORY);
    }
    bdpo_alloc_fail_at(bdpo_alloc_count() + 1);
    CHECK_STATUS(bdpo_file_read(&text, &size, path, 100), BDPO_NO_MEMORY);
    check_content(path, "old");
    CHECK_INT(empty_directory(), 1);
}
