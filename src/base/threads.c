// Cores: affinity, control groups (v2 and v1) and the launcher's environment (Linux).
#define _GNU_SOURCE // sched_getaffinity() and its sets; setenv()
#include "base/threads.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

enum { PATH_BYTES = 1024, SMALL_FILE_BYTES = 64 * 1024 };

static int smaller_known(int a, int b) // zero is unknown
{
    if (a <= 0) return b;
    if (b <= 0) return a;
    return a < b ? a : b;
}

// ---- control groups ------------------------------------------------------------------------

// A group is a folder under a mount; limits of the folders above it hold as well.
typedef struct group {
    char path[PATH_BYTES]; // mount and group
    size_t mount_length;
} group;

// The group's small file `name`, NULL where there is none. Freed by bdpo_free().
static char *read_group_file(const group *g, const char *name)
{
    char path[PATH_BYTES + 64], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", g->path, name);
    return bdpo_file_read(&text, &size, path, SMALL_FILE_BYTES) == BDPO_OK ? text : NULL;
}

// "0-3,8,10-11" has 7 cores; 0 where the text is something else.
static int count_list(const char *text)
{
    int n = 0;
    while (*text >= '0' && *text <= '9') {
        char *end;
        long first = strtol(text, &end, 10), last = first;
        if (*end == '-') last = strtol(end + 1, &end, 10);
        if (last < first || last > 1 << 20) return 0;
        n += (int)(last - first + 1);
        text = *end == ',' ? end + 1 : end;
    }
    return n;
}

static int count_set(const group *g)
{
    static const char *const names[] = {"cpuset.cpus.effective", "cpuset.effective_cpus",
                                        "cpuset.cpus"};
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
        char *text = read_group_file(g, names[i]);
        int n = text ? count_list(text) : 0;
        bdpo_free(text);
        if (n > 0) return n;
    }
    return 0;
}

static int whole_cores(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) return 0;
    long long cores = quota / period;
    return cores < 1 ? 1 : cores > 1 << 20 ? 0 : (int)cores;
}

// v2: "cpu.max" holds "quota period" or "max period"; v1: two files, quota -1 for none. Times in
// microseconds.
static int quota_here(const group *g)
{
    long long quota = 0, period = 0;
    char *text = read_group_file(g, "cpu.max");
    if (text) {
        if (sscanf(text, "%lld %lld", &quota, &period) != 2) quota = 0;
        bdpo_free(text);
        return whole_cores(quota, period);
    }
    char *quota_text = read_group_file(g, "cpu.cfs_quota_us"),
         *period_text = read_group_file(g, "cpu.cfs_period_us");
    if (quota_text && period_text) {
        quota = strtoll(quota_text, NULL, 10);
        period = strtoll(period_text, NULL, 10);
    }
    bdpo_free(quota_text);
    bdpo_free(period_text);
    return whole_cores(quota, period);
}

// Inside a container the group's path may be that of the host, which is not there: then the climb
// passes missing folders until the mount itself.
static void read_group(bdpo_machine *m, group *g)
{
    for (;;) {
        m->n_set = smaller_known(m->n_set, count_set(g));
        m->n_quota = smaller_known(m->n_quota, quota_here(g));
        size_t length = strlen(g->path);
        if (length <= g->mount_length) return;
        while (length > g->mount_length && g->path[length] != '/') length--;
        g->path[length] = '\0';
    }
}

static bool has_controller(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    return false;
}

// The mount of the controllers of one line that limit cores, below /sys/fs/cgroup; v2 is the line
// without controllers. NULL where they do not matter here.
static const char *mount_of(const char *controllers)
{
    if (controllers[0] == '\0') return "";
    if (has_controller(controllers, "cpuset")) return "/cpuset";
    if (has_controller(controllers, "cpu")) return "/cpu";
    return NULL;
}

// A line of /proc/self/cgroup is "number:controllers:/path".
static void read_line(bdpo_machine *m, const char *root, char *line)
{
    char *controllers = strchr(line, ':'), *own = NULL;
    if (controllers) own = strchr(++controllers, ':');
    if (!own) return;
    *own++ = '\0';
    const char *mount = mount_of(controllers);
    if (!mount) return;
    group g;
    int length = snprintf(g.path, sizeof g.path, "%s/sys/fs/cgroup%s%s", root, mount, own);
    if (length < 0 || (size_t)length >= sizeof g.path) return;
    g.mount_length = (size_t)length - strlen(own);
    if (strcmp(own, "/") == 0) g.path[g.mount_length] = '\0';
    read_group(m, &g);
}

static void read_groups(bdpo_machine *m, const char *root)
{
    char path[PATH_BYTES], *text, *next = NULL;
    size_t size;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (bdpo_file_read(&text, &size, path, SMALL_FILE_BYTES) != BDPO_OK) return;
    for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next))
        read_line(m, root, line);
    bdpo_free(text);
}

// ---- the launcher --------------------------------------------------------------------------

// Processes of this run on this node, as told by Open MPI, MPICH and Intel MPI, or Slurm ("4" or
// "4(x2),3": tasks per node; the first number is the largest).
static int ranks_on_node(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS",
                                        "PMI_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE",
                                        "SLURM_NTASKS_PER_NODE"};
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
        const char *text = getenv(names[i]);
        long n = text ? strtol(text, NULL, 10) : 0;
        if (n >= 1 && n <= 1 << 20) return (int)n;
    }
    return 1;
}

// Cores that the kernel lets this process use. A set larger than the usual 1024 bits needs a larger
// mask: EINVAL says so.
static int cores_bound(void)
{
    for (size_t n = 1024; n <= 1024 * 1024; n *= 4) {
        size_t bytes = CPU_ALLOC_SIZE(n);
        cpu_set_t *set = bdpo_alloc(bytes, 1);
        if (!set) return 0;
        bool known = sched_getaffinity(0, bytes, set) == 0;
        int count = known ? CPU_COUNT_S(bytes, set) : 0;
        bdpo_free(set);
        if (known) return count;
        if (errno != EINVAL) return 0;
    }
    return 0;
}

void bdpo_machine_read(bdpo_machine *out, const char *root)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    *out = (bdpo_machine){.n_online = online > 0 ? (int)online : 0,
                          .n_bound = cores_bound(),
                          .n_ranks = ranks_on_node()};
    read_groups(out, root);
}

// ---- the decision --------------------------------------------------------------------------

bdpo_threads bdpo_threads_share(const bdpo_machine *m, int wanted)
{
    // A single process has what it is bound to. Of several, each may be bound to a part of the
    // node: then what it is bound to says nothing about the node.
    int n_ranks = m->n_ranks > 1 ? m->n_ranks : 1;
    int n_cores = smaller_known(smaller_known(m->n_online, m->n_set), m->n_quota);
    if (n_ranks == 1) n_cores = smaller_known(n_cores, m->n_bound);
    if (n_cores < 1) n_cores = 1;
    int n_threads = wanted;
    if (wanted <= 0) {
        n_threads = n_cores / n_ranks > 0 ? n_cores / n_ranks : 1;
        n_threads = smaller_known(n_threads, m->n_bound);
    }
    return (bdpo_threads){.n_threads = n_threads, .n_ranks = n_ranks, .n_cores = n_cores};
}

int bdpo_threads_choose(void)
{
    bdpo_machine machine;
    bdpo_machine_read(&machine, "");
    return bdpo_threads_share(&machine, 0).n_threads;
}

bool bdpo_threads_crowded(const bdpo_threads *t)
{
    return (int64_t)t->n_threads * t->n_ranks > t->n_cores;
}

bdpo_threads_text bdpo_threads_advice(const bdpo_threads *t)
{
    bdpo_threads_text out;
    bool fewer_ranks = t->n_ranks > t->n_cores;
    int fitting = fewer_ranks ? t->n_cores : t->n_cores / t->n_ranks;
    const char *what = fewer_ranks ? "process" : "thread", *more = fewer_ranks ? "es" : "s";
    snprintf(out.text, sizeof out.text,
             "%d process%s with %d thread%s each on %d core%s: expect it slow, %d %s%s would "
             "fit; waiting threads give way (OMP_WAIT_POLICY=passive)",
             t->n_ranks, t->n_ranks == 1 ? "" : "es", t->n_threads, t->n_threads == 1 ? "" : "s",
             t->n_cores, t->n_cores == 1 ? "" : "s", fitting, what, fitting == 1 ? "" : more);
    return out;
}

// Set by the user, or by us before the restart: either way it is decided.
static bool is_decided(void)
{
    static const char *const names[] = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME",
                                        "OMP_PROC_BIND",   "OMP_PLACES",     "GOMP_CPU_AFFINITY"};
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++)
        if (getenv(names[i])) return true;
    return false;
}

// GNU's library counts its spins, LLVM's the milliseconds.
static const char *const brief[][2] = {{"GOMP_SPINCOUNT", "2000"}, {"KMP_BLOCKTIME", "0"}};
static const char *const passive[][2] = {{"OMP_WAIT_POLICY", "passive"}};

static bdpo_status restart(char *const argv[], const char *const (*settings)[2], size_t n)
{
    // By its name: the link itself leads to the wrong program under valgrind and its like.
    char program[PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program);
    if (length < 0 || length == (ssize_t)sizeof program)
        return bdpo_fail(BDPO_UNSUPPORTED, "cannot restart: /proc/self/exe is not readable");
    program[length] = '\0';
    for (size_t i = 0; i < n; i++)
        if (setenv(settings[i][0], settings[i][1], 1) != 0)
            return bdpo_fail(BDPO_NO_MEMORY, "no memory to set %s", settings[i][0]);
    fflush(NULL); // what is buffered would be lost
    execv(program, argv);
    int error = errno;
    for (size_t i = 0; i < n; i++) unsetenv(settings[i][0]);
    return bdpo_fail(BDPO_UNSUPPORTED, "cannot restart with %s=%s: %s; set it yourself",
                     settings[0][0], settings[0][1], strerror(error));
}

bdpo_status bdpo_threads_set_waiting(char *const argv[], bdpo_waiting how)
{
    if (is_decided()) return BDPO_OK;
    return how == BDPO_WAIT_PASSIVELY ? restart(argv, passive, BDPO_COUNTOF(passive))
                                      : restart(argv, brief, BDPO_COUNTOF(brief));
}
