// Paths in a directory made by mkdtemp; removal walks it from the leaves.
#define _XOPEN_SOURCE 700 // nftw

#include "models/scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "harness.h"

static char directory[64];

const char *scratch_path(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    if (!directory[0]) {
        snprintf(directory, sizeof directory, "/tmp/bdpo-test-XXXXXX");
        CHECK(mkdtemp(directory) != NULL);
    }
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

const char *scratch_directory(const char *name)
{
    const char *path = scratch_path(name);
    CHECK_INT(mkdir(path, 0777), 0);
    return path;
}

const char *scratch_file(const char *name, const char *text)
{
    const char *path = scratch_path(name);
    CHECK_OK(bdpo_file_write(path, text, strlen(text)));
    return path;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

void scratch_remove(void)
{
    if (directory[0]) CHECK_INT(nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    directory[0] = '\0';
}
