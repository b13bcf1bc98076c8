// The score store when things go wrong: writers killed, two at once, disks full, files damaged.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "harness.h"
#include "models/scratch.h"
#include "scorers/small_store.h"
#include "scorers/store_sql.h"

// ---- killed ------------------------------------------------------------------------------------

static int n_run_batches = 400; // of a whole run

// Goes on where the last one was killed, as a scoring run does: it asks the store what is there.
_Noreturn static void write_until_killed(const char *path)
{
    int first = count_whole_batches(path);
    bdpo_score_store *store = open_store(path, BDPO_STORE_CREATE);
    write_batches(store, first, n_run_batches);
    bdpo_score_store_close(store);
    _exit(0);
}

static pid_t start(void (*body)(const char *path), const char *path)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        body(path);
        _exit(0);
    }
    return child;
}

static void write_run(const char *path)
{
    write_until_killed(path);
}

static bool was_killed(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) return true;
    CHECK_INT(WEXITSTATUS(status), 0);
    return false;
}

static void kill_often(int n_kills)
{
    char path[512], whole[512];
    snprintf(path, sizeof path, "%s", scratch_path("killed.db"));
    snprintf(whole, sizeof whole, "%s", scratch_path("whole.db"));
    bdpo_score_store *store = open_store(whole, BDPO_STORE_CREATE);
    write_batches(store, 0, n_run_batches);
    bdpo_score_store_close(store);
    bdpo_score_store_close(open_store(path, BDPO_STORE_CREATE));
    int n_done = 0, n_killed = 0;
    for (int i = 0; i < n_kills; i++) {
        pid_t child = start(write_run, path);
        // Steps of a prime number of microseconds fall on every part of a batch.
        nanosleep(&(struct timespec){.tv_nsec = 1000L * (300 + (i * 1009L) % 31000)}, NULL);
        kill(child, SIGKILL);
        n_killed += was_killed(child);
        int n = count_whole_batches(path); // checks every batch and the file
        CHECK_LE(n_done, n);               // what was committed stays
        n_done = n;
        if (n == n_run_batches && i + 1 < n_kills) {
            CHECK_STR(store_digest(path), store_digest(whole));
            CHECK(unlink(path) == 0);
            bdpo_score_store_close(open_store(path, BDPO_STORE_CREATE));
            n_done = 0;
        }
    }
    CHECK_LE(n_kills / 2, n_killed); // else this test tests little
    CHECK(!was_killed(start(write_run, path)));
    CHECK_STR(store_digest(path), store_digest(whole));
    scratch_remove();
}

BDPO_TEST_FULL(a_killed_run_loses_its_last_batch_at_most)
{
    kill_often(50);
}

BDPO_TEST(a_run_killed_a_few_times_loses_its_last_batch_at_most)
{
    n_run_batches = 30;
    kill_often(4);
}

// The child says a number through a pipe after each commit; what was said must be there.
BDPO_TEST(a_committed_batch_survives_the_kill_that_follows)
{
    int ends[2], said = -1;
    const char *path = scratch_path("s.db");
    bdpo_score_store_close(open_store(path, BDPO_STORE_CREATE));
    CHECK(pipe(ends) == 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        bdpo_score_store *store = open_store(path, BDPO_STORE_WRITE);
        for (int i = 0;; i++) {
            write_batches(store, i, i + 1);
            if (write(ends[1], &i, sizeof i) != sizeof i) _exit(1);
        }
    }
    for (int i = 0; i < 10; i++) CHECK(read(ends[0], &said, sizeof said) == sizeof said);
    kill(child, SIGKILL);
    CHECK(was_killed(child));
    CHECK_LE(said + 1, count_whole_batches(path));
    close(ends[0]);
    close(ends[1]);
    scratch_remove();
}

// ---- two at once -------------------------------------------------------------------------------

static void write_all(const char *path)
{
    bdpo_score_store *store = open_store(path, BDPO_STORE_CREATE);
    write_batches(store, 0, 60);
    bdpo_score_store_close(store);
}

static void write_backwards(const char *path)
{
    bdpo_score_store *store = open_store(path, BDPO_STORE_CREATE);
    for (int i = 59; i >= 0; i--) write_batches(store, i, i + 1);
    bdpo_score_store_close(store);
}

// Both make the file, and write the same batches from both ends.
BDPO_TEST(processes_write_at_once)
{
    const char *path = scratch_path("shared.db"), *alone = scratch_path("alone.db");
    for (int i = 0; i < 3; i++) {
        pid_t children[] = {start(write_all, path), start(write_backwards, path),
                            start(write_all, path)};
        for (int k = 0; k < 3; k++) CHECK(!was_killed(children[k]));
        CHECK_INT(count_whole_batches(path), 60);
        if (i == 0) write_all(alone);
        CHECK_STR(store_digest(path), store_digest(alone));
        CHECK(unlink(path) == 0);
    }
    scratch_remove();
}

BDPO_TEST(a_store_locked_for_too_long_is_one_line)
{
    const char *path = scratch_path("s.db");
    bdpo_score_store *first = open_store(path, BDPO_STORE_CREATE);
    bdpo_score_store *second = open_store(path, BDPO_STORE_WRITE);
    sqlite3_busy_timeout(second->db, 20);
    begin(first);
    put_image(first, 1);
    CHECK_STATUS(bdpo_score_store_begin(second), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "s.db: another process has locked it for too long");
    int64_t id; // reading goes on meanwhile
    CHECK_OK(bdpo_score_store_find_image(&id, second, image_hash(1)));
    CHECK_INT(id, BDPO_NO_ID);
    commit(first);
    begin(second);
    CHECK_INT(put_image(second, 1), 1);
    commit(second);
    bdpo_score_store_close(first);
    bdpo_score_store_close(second);
    scratch_remove();
}

// ---- full disks, read-only files ---------------------------------------------------------------

// Writes batches until one fails; returns how many were kept.
static int fill(bdpo_score_store *store, const char *part)
{
    for (int i = 0; i < 10000; i++) {
        begin(store);
        for (int k = 0; k < 200; k++) {
            int64_t id;
            bdpo_stored_image image = {.sha256 = image_hash(i * 200 + k)};
            if (bdpo_score_store_put_image(&id, store, &image) == BDPO_OK) continue;
            CHECK_CONTAINS(bdpo_message(), part);
            CHECK(strchr(bdpo_message(), '\n') == NULL);
            CHECK_STATUS(bdpo_score_store_commit(store), BDPO_IO);
            return i;
        }
        if (bdpo_score_store_commit(store) == BDPO_OK) continue;
        CHECK_CONTAINS(bdpo_message(), part);
        return i;
    }
    FAIL("it was never full");
}

static void check_kept(const char *path, int n_batches)
{
    bdpo_store_counts counts;
    bdpo_score_store *store = open_store(path, BDPO_STORE_WRITE);
    CHECK_OK(bdpo_score_store_check(store, NULL, NULL));
    CHECK_OK(bdpo_score_store_count(&counts, store));
    CHECK_INT(counts.images, 200 * n_batches);
    begin(store); // and it can be written again
    put_image(store, -1);
    commit(store);
    bdpo_score_store_close(store);
}

BDPO_TEST(a_full_disk_is_one_line_and_leaves_a_good_store)
{
    const char *path = scratch_path("s.db");
    bdpo_score_store *store = open_store(path, BDPO_STORE_CREATE);
    CHECK_OK(bdpo_sql_exec(store, "PRAGMA max_page_count = 60"));
    int n = fill(store, "s.db: cannot write: no space left on its disk");
    CHECK_LE(2, n);
    bdpo_score_store_close(store);
    check_kept(path, n);
    scratch_remove();
}

// The system itself refuses to write more: EFBIG, as a quota does.
BDPO_TEST(a_file_that_may_not_grow_is_one_line_and_leaves_a_good_store)
{
    const char *path = scratch_path("s.db");
    const struct rlimit limit = {300000, 300000};
    bdpo_score_store_close(open_store(path, BDPO_STORE_CREATE));
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(99);
        bdpo_score_store *store = open_store(path, BDPO_STORE_WRITE);
        int n = fill(store, "s.db: cannot read or write: File too large");
        bdpo_score_store_close(store);
        _exit(n);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_LE(2, WEXITSTATUS(status));
    CHECK_LE(WEXITSTATUS(status), 98);
    check_kept(path, WEXITSTATUS(status));
    scratch_remove();
}

BDPO_TEST(a_read_only_file_is_read_but_not_written)
{
    const char *path = scratch_path("s.db");
    bdpo_score_store *store;
    if (geteuid() == 0) SKIP("root may write everywhere");
    bdpo_score_store_close(open_store(path, BDPO_STORE_CREATE));
    CHECK(chmod(path, 0444) == 0);
    CHECK(chmod(scratch_path(""), 0555) == 0);
    bdpo_score_store_close(open_store(path, BDPO_STORE_READ));
    CHECK_STATUS(bdpo_score_store_open(&store, path, BDPO_STORE_WRITE), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "s.db: cannot write: the file or its folder is read-only");
    CHECK_STATUS(bdpo_score_store_open(&store, scratch_path("new.db"), BDPO_STORE_CREATE), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "Permission denied");
    CHECK(chmod(scratch_path(""), 0755) == 0);
    scratch_remove();
}

BDPO_TEST(a_folder_that_is_not_there_is_one_line)
{
    bdpo_score_store *store;
    CHECK_STATUS(bdpo_score_store_open(&store, scratch_path("no/s.db"), BDPO_STORE_CREATE),
                 BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "no/s.db: cannot be made, because of its folder");
    CHECK_CONTAINS(bdpo_message(), "No such file or directory");
    scratch_remove();
}

// ---- damage ------------------------------------------------------------------------------------

static void note(void *context, const char *problem)
{
    CHECK(problem[0] != '\0');
    ++*(int *)context;
}

// Everything that reads, on a store of any bytes: it ends in BDPO_OK or in one line.
static bdpo_status read_everything(const char *path)
{
    bdpo_score_store *store;
    bdpo_pair_cursor *pairs;
    const bdpo_scored_pair *pair = NULL;
    bdpo_sha256_text digest;
    TRY(bdpo_score_store_open(&store, path, BDPO_STORE_READ));
    bdpo_status status = bdpo_pair_cursor_open(&pairs, store, NULL, NULL, 0);
    if (status == BDPO_OK) {
        do status = bdpo_pair_cursor_next(&pair, pairs);
        while (status == BDPO_OK && pair);
        bdpo_pair_cursor_close(pairs);
    }
    int n = 0;
    if (status == BDPO_OK) status = bdpo_score_store_digest(&digest, store);
    if (status == BDPO_OK) status = bdpo_score_store_check(store, note, &n);
    bdpo_score_store_close(store);
    return status;
}

BDPO_TEST(a_damaged_file_is_one_line)
{
    char *bytes;
    size_t size;
    const char *path = scratch_path("s.db"), *bad = scratch_path("bad.db");
    write_all(path);
    CHECK_OK(bdpo_file_read(&bytes, &size, path, 1 << 24));
    int n_refused = 0;
    for (size_t page = 0; page < size / 4096; page++) {
        char *copy = malloc(size);
        CHECK(copy != NULL);
        memcpy(copy, bytes, size);
        memset(copy + page * 4096 + (page == 0 ? 100 : 0), 0x5a, 2000);
        CHECK_OK(bdpo_file_write(bad, copy, size));
        free(copy);
        bdpo_status status = read_everything(bad);
        CHECK(status == BDPO_OK || status == BDPO_BAD_FILE);
        if (status == BDPO_OK) continue;
        n_refused++;
        CHECK_CONTAINS(bdpo_message(), "bad.db: ");
        CHECK(strchr(bdpo_message(), '\n') == NULL);
    }
    CHECK_LE((double)(size / 4096) * 0.9, n_refused); // but pages that are free
    // Cut off: in the header, in the tables, in the last page.
    const size_t sizes[] = {1, 50, 100, 4095, 4096, 4096 * 9, size - 4096, size - 1};
    for (size_t i = 0; i < BDPO_COUNTOF(sizes); i++) {
        CHECK_OK(bdpo_file_write(bad, bytes, sizes[i]));
        CHECK_STATUS(read_everything(bad), BDPO_BAD_FILE);
        CHECK_CONTAINS(bdpo_message(), "bad.db: ");
    }
    bdpo_free(bytes);
    scratch_remove();
}

BDPO_TEST(check_names_what_does_not_fit)
{
    int n = 0;
    const char *path = scratch_path("s.db");
    write_all(path);
    run_sql(path, "PRAGMA foreign_keys = 0; DELETE FROM images WHERE id = 3;"
                  "UPDATE scorers SET uses_prompt = 0 WHERE name = 'alpha'");
    bdpo_score_store *store = open_store(path, BDPO_STORE_READ);
    CHECK_STATUS(bdpo_score_store_check(store, note, &n), BDPO_BAD_FILE);
    CHECK_INT(n, 5); // three scores and a pair of the picture; scores by alpha
    CHECK_CONTAINS(bdpo_message(), "s.db: damaged: 5 problems found");
    bdpo_score_store_close(store);
    scratch_remove();
}
