// A writer killed at any point leaves the old file or the new one, whole.
#include "base/file.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "harness.h"

enum { SIZE = 1 << 18 };

// Version after version of a file, each filled with its own byte, until killed.
_Noreturn static void write_forever(const char *path)
{
    char *content = malloc(SIZE);
    for (unsigned version = 0; content; version++) {
        memset(content, (int)(version & 0xff), SIZE);
        if (bdpo_file_write(path, content, SIZE) != BDPO_OK) break;
    }
    _exit(1);
}

static void check_whole(const char *path)
{
    char *content;
    size_t size;
    CHECK_OK(bdpo_file_read(&content, &size, path, SIZE));
    CHECK_U64(size, SIZE);
    for (size_t i = 1; i < size; i++)
        if (content[i] != content[0]) FAIL("byte %zu is of another version", i);
    bdpo_free(content);
}

static void kill_often(int n_kills)
{
    char directory[] = "/tmp/bdpo-kill-XXXXXX", path[64], command[64];
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/file", directory);
    char *content = calloc(SIZE, 1);
    CHECK(content != NULL);
    CHECK_OK(bdpo_file_write(path, content, SIZE));
    free(content);
    for (int i = 0; i < n_kills; i++) {
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) write_forever(path);
        // Steps of a prime number of microseconds fall on every part of a write.
        nanosleep(&(struct timespec){.tv_nsec = 1000L * (500 + (i * 1009L) % 20000)}, NULL);
        kill(child, SIGKILL);
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status)); // else the writer failed by itself
        check_whole(path);
    }
    snprintf(command, sizeof command, "rm -r %s", directory); // with the temporaries of the killed
    CHECK_INT(system(command), 0);                            // NOLINT: a path of our own making
}

BDPO_TEST(killed_writer_leaves_a_whole_file)
{
    kill_often(20);
}

BDPO_TEST_LONG(killed_writer_leaves_a_whole_file_for_long)
{
    kill_often(1000);
}
