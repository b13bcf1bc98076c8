// fork and exec, output into two temporary files, so that no pipe can fill.
#include "cli/run_program.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static void read_back(char *out, size_t size, FILE *file)
{
    rewind(file);
    size_t n = fread(out, 1, size - 1, file);
    out[n] = '\0';
    fclose(file);
}

static void become_program(const char *directory, const char *const *arguments, FILE *out,
                           FILE *err)
{
    char *argv[17] = {(char *)(uintptr_t) "bdpo"};
    for (int i = 0; i < 15 && arguments[i]; i++) argv[i + 1] = (char *)(uintptr_t)arguments[i];
    if (directory && chdir(directory) != 0) _exit(126);
    if (dup2(fileno(out), STDOUT_FILENO) < 0 || dup2(fileno(err), STDERR_FILENO) < 0) _exit(126);
    execv(BDPO_PROGRAM, argv);
    _exit(127);
}

pid_t start_program(const char *directory, const char *const *arguments, FILE *out, FILE *err)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) become_program(directory, arguments, out, err);
    return child;
}

const program_result *run_program(const char *directory, const char *const *arguments)
{
    static program_result result;
    FILE *out = tmpfile(), *err = tmpfile();
    CHECK(out && err);
    pid_t child = start_program(directory, arguments, out, err);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    read_back(result.out, sizeof result.out, out);
    read_back(result.err, sizeof result.err, err);
    return &result;
}
