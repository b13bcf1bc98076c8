// posix_spawn() rather than fork(): the process may have threads of a parallel region. A write into
// a pipe whose reader is gone raises SIGPIPE, which is held back on this thread around each write.
#define _GNU_SOURCE // pipe2, environ

#include "scorers/judge_process.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "formats/growing.h"

struct bdpo_judge {
    pid_t pid; // 0: it ended and was waited for
    int status;
    int to, from; // our ends of the pipes; -1: closed
    bdpo_growing out, in;
    size_t sent; // of out
    size_t line; // bytes of `in` that the last line took, its end included
};

// ---- starting ----------------------------------------------------------------------------------

static void close_end(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static bdpo_status no_pipe(void)
{
    return bdpo_fail(BDPO_IO, "no pipe to a program: %s", strerror(errno));
}

// Signals as in a fresh program: none held back, SIGPIPE deadly. A process group of its own, so
// that what it starts ends with it, and an interrupt at the keyboard is ours to pass on.
static int spawn(pid_t *pid, int input, int output, char *const argv[])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    error = posix_spawnattr_init(&attributes);
    if (error == 0) {
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                  POSIX_SPAWN_SETPGROUP);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &defaults);
        error = posix_spawnp(pid, argv[0], &actions, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static bdpo_status start(bdpo_judge *j, char *const argv[])
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0) return no_pipe();
    if (pipe2(out, O_CLOEXEC) != 0) {
        bdpo_status status = no_pipe();
        close(in[0]);
        close(in[1]);
        return status;
    }
    int error = spawn(&j->pid, in[0], out[1], argv);
    close(in[0]);
    close(out[1]);
    j->to = in[1];
    j->from = out[0];
    if (error) {
        j->pid = 0;
        return bdpo_fail(BDPO_NOT_FOUND, "%s: cannot be started: %s", argv[0], strerror(error));
    }
    if (fcntl(j->to, F_SETFL, O_NONBLOCK) != 0 || fcntl(j->from, F_SETFL, O_NONBLOCK) != 0)
        return no_pipe();
    return BDPO_OK;
}

bdpo_status bdpo_judge_start(bdpo_judge **out, char *const argv[])
{
    *out = NULL;
    bdpo_judge *j = bdpo_alloc(1, sizeof *j);
    if (!j) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to start it", argv[0]);
    j->to = j->from = -1;
    bdpo_status status = start(j, argv);
    if (status == BDPO_OK)
        *out = j;
    else
        bdpo_judge_stop(j, 0);
    return status;
}

// ---- the end -----------------------------------------------------------------------------------

// True when the process has ended and is waited for.
static bool reap(bdpo_judge *j, double patience_s)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    double until = bdpo_clock_seconds() + patience_s;
    while (j->pid) {
        pid_t ended = waitpid(j->pid, &j->status, WNOHANG);
        if (ended == j->pid || (ended < 0 && errno != EINTR)) j->pid = 0;
        if (!j->pid || bdpo_clock_seconds() >= until) break;
        nanosleep(&pause, NULL);
    }
    return !j->pid;
}

void bdpo_judge_stop(bdpo_judge *j, double patience_s)
{
    if (!j) return;
    close_end(&j->to);
    if (!reap(j, patience_s)) {
        kill(-j->pid, SIGKILL);
        reap(j, INFINITY);
    }
    close_end(&j->from);
    bdpo_free(j->out.data);
    bdpo_free(j->in.data);
    bdpo_free(j);
}

static bdpo_status fail_ended(bdpo_judge *j)
{
    const double grace_s = 0.5; // its output is closed; its end follows
    if (!reap(j, grace_s)) return bdpo_fail(BDPO_IO, "the program closed its output");
    if (WIFSIGNALED(j->status))
        return bdpo_fail(BDPO_IO, "the program was killed by signal %d (%s)", WTERMSIG(j->status),
                         strsignal(WTERMSIG(j->status)));
    return bdpo_fail(BDPO_IO, "the program ended with exit status %d", WEXITSTATUS(j->status));
}

// ---- lines -------------------------------------------------------------------------------------

bdpo_status bdpo_judge_put(bdpo_judge *j, const char *text, size_t size)
{
    if (j->sent > 0) {
        memmove(j->out.data, j->out.data + j->sent, j->out.size - j->sent);
        j->out.size -= j->sent;
        j->sent = 0;
    }
    return bdpo_growing_add(&j->out, text, size)
               ? BDPO_OK
               : bdpo_fail(BDPO_NO_MEMORY, "no memory for a question");
}

static ssize_t write_quietly(int fd, const void *data, size_t size)
{
    const struct timespec now = {0};
    sigset_t pipe_signal, before;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t n = write(fd, data, size);
    int error = errno;
    if (n < 0 && error == EPIPE) sigtimedwait(&pipe_signal, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return n;
}

// A program that no longer reads may still have answers on the way: they are read to the end.
static void send_some(bdpo_judge *j)
{
    ssize_t n = write_quietly(j->to, j->out.data + j->sent, j->out.size - j->sent);
    if (n > 0)
        j->sent += (size_t)n;
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        close_end(&j->to);
}

static bdpo_status receive_some(bdpo_judge *j)
{
    char bytes[65536];
    ssize_t n = read(j->from, bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return BDPO_OK;
    if (n <= 0) return fail_ended(j);
    return bdpo_growing_add(&j->in, bytes, (size_t)n)
               ? BDPO_OK
               : bdpo_fail(BDPO_NO_MEMORY, "no memory for an answer");
}

// Waits for either pipe and serves it.
static bdpo_status serve(bdpo_judge *j, double left_s)
{
    bool sends = j->to >= 0 && j->sent < j->out.size;
    struct pollfd ends[] = {{.fd = j->from, .events = POLLIN},
                            {.fd = sends ? j->to : -1, .events = POLLOUT}};
    int wait_ms = left_s < 1e6 ? (int)ceil(left_s * 1000) : -1;
    int n = poll(ends, 2, wait_ms);
    if (n < 0 && errno != EINTR) return bdpo_fail(BDPO_IO, "poll: %s", strerror(errno));
    if (n <= 0) return BDPO_OK;
    if (ends[1].revents) send_some(j);
    return ends[0].revents ? receive_some(j) : BDPO_OK;
}

static void drop_last_line(bdpo_judge *j)
{
    if (j->line == 0) return;
    memmove(j->in.data, j->in.data + j->line, j->in.size - j->line);
    j->in.size -= j->line;
    j->line = 0;
}

bdpo_status bdpo_judge_get(const char **line, size_t *size, bdpo_judge *j, double timeout_s)
{
    double until = bdpo_clock_seconds() + timeout_s;
    size_t searched = 0;
    drop_last_line(j);
    for (;;) {
        void *end = j->in.size > searched
                        ? memchr(j->in.data + searched, '\n', j->in.size - searched)
                        : NULL;
        if (end) {
            *line = (const char *)j->in.data;
            *size = (size_t)((const uint8_t *)end - j->in.data);
            j->line = *size + 1;
            return BDPO_OK;
        }
        searched = j->in.size;
        if (j->in.size > BDPO_JUDGE_MAX_LINE)
            return bdpo_fail(BDPO_IO, "the program wrote a line of more than %d bytes",
                             BDPO_JUDGE_MAX_LINE);
        double left = until - bdpo_clock_seconds();
        if (left <= 0)
            return bdpo_fail(BDPO_IO, "the program gave no answer within %g seconds", timeout_s);
        TRY(serve(j, left));
    }
}
