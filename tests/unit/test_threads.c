// base/threads: what a machine says, how it is shared, and how threads wait.
#define _XOPEN_SOURCE 700 // nftw()
#include "base/threads.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

// ---- a /proc and /sys of our own -----------------------------------------------------------

static char root[64];

static void write_text(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0777);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    CHECK(file != NULL);
    fputs(text, file);
    CHECK_INT(fclose(file), 0);
}

static void make_root(const char *cgroup)
{
    snprintf(root, sizeof root, "/tmp/bdpo-test-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    write_text("/proc/self/cgroup", cgroup);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info, (void)kind, (void)at;
    return remove(path);
}

static bdpo_machine read_and_remove_root(void)
{
    bdpo_machine machine;
    bdpo_machine_read(&machine, root);
    nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return machine;
}

BDPO_TEST(this_machine_has_cores)
{
    bdpo_machine machine;
    bdpo_machine_read(&machine, "");
    CHECK(machine.n_online >= 1 && machine.n_bound >= 1 && machine.n_ranks >= 1);
    CHECK(machine.n_bound <= machine.n_online);
    int n = bdpo_threads_choose();
    CHECK(n >= 1 && n <= machine.n_bound);
}

BDPO_TEST(cgroup_v2_limits_hold_down_the_path)
{
    make_root("0::/batch/job7/step0\n");
    write_text("/sys/fs/cgroup/cpuset.cpus.effective", "0-63\n");
    write_text("/sys/fs/cgroup/batch/cpu.max", "1650000 100000\n"); // 16.5 cores
    write_text("/sys/fs/cgroup/batch/job7/cpuset.cpus.effective", "0-3,8,16-31\n");
    write_text("/sys/fs/cgroup/batch/job7/step0/cpu.max", "max 100000\n");
    bdpo_machine machine = read_and_remove_root();
    CHECK_INT(machine.n_quota, 16);
    CHECK_INT(machine.n_set, 4 + 1 + 16);
}

BDPO_TEST(cgroup_v1_limits_are_read)
{
    make_root("5:devices:/x\n4:cpuset:/docker/a\n3:cpuacct:/wrong\n2:cpu,cpuacct:/docker/a\n");
    write_text("/sys/fs/cgroup/cpuset/docker/a/cpuset.cpus", "2-5\n");
    write_text("/sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us", "150000\n");
    write_text("/sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us", "50000\n");
    write_text("/sys/fs/cgroup/cpu/wrong/cpu.cfs_quota_us", "50000\n");
    write_text("/sys/fs/cgroup/cpu/wrong/cpu.cfs_period_us", "50000\n");
    bdpo_machine machine = read_and_remove_root();
    CHECK_INT(machine.n_set, 4);
    CHECK_INT(machine.n_quota, 3);
}

// A container sees its own limits at the mount, and a path that exists only on its host.
BDPO_TEST(cgroup_path_of_the_host_is_passed_over)
{
    make_root("0::/kubepods/pod1/c2\n");
    write_text("/sys/fs/cgroup/cpu.max", "50000 100000\n"); // half a core is one thread
    bdpo_machine machine = read_and_remove_root();
    CHECK_INT(machine.n_quota, 1);
    CHECK_INT(machine.n_set, 0);
}

BDPO_TEST(cgroup_nonsense_is_no_limit)
{
    make_root("nonsense\n0:\n0::/a\n::\n1:cpu\n");
    write_text("/sys/fs/cgroup/a/cpu.max", "lots\n");
    write_text("/sys/fs/cgroup/cpu.max", "-1 100000\n");
    write_text("/sys/fs/cgroup/a/cpuset.cpus.effective", "9-3\n");
    write_text("/sys/fs/cgroup/cpuset.cpus.effective", "\n");
    bdpo_machine machine = read_and_remove_root();
    CHECK_INT(machine.n_quota, 0);
    CHECK_INT(machine.n_set, 0);
}

BDPO_TEST(ranks_are_those_of_the_launcher)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS",
                                        "SLURM_NTASKS_PER_NODE"};
    bdpo_machine machine;
    for (size_t i = 0; i < 3; i++) unsetenv(names[i]);
    unsetenv("PMI_LOCAL_SIZE");
    unsetenv("SLURM_STEP_TASKS_PER_NODE");
    bdpo_machine_read(&machine, "");
    CHECK_INT(machine.n_ranks, 1);
    for (size_t i = 0; i < 3; i++) {
        setenv(names[i], i == 2 ? "8(x2),3" : "8", 1);
        bdpo_machine_read(&machine, "");
        CHECK_INT(machine.n_ranks, 8);
        setenv(names[i], "many", 1);
        bdpo_machine_read(&machine, "");
        CHECK_INT(machine.n_ranks, 1);
        unsetenv(names[i]);
    }
}

// ---- the decision --------------------------------------------------------------------------

static void check_share(bdpo_machine machine, int wanted, int threads, int cores, bool crowded)
{
    bdpo_threads t = bdpo_threads_share(&machine, wanted);
    CHECK_INT(t.n_threads, threads);
    CHECK_INT(t.n_cores, cores);
    CHECK_INT(bdpo_threads_crowded(&t), crowded);
}

BDPO_TEST(cores_are_shared_by_ranks)
{
    // online, bound, set, quota, ranks
    check_share((bdpo_machine){8, 8, 0, 0, 1}, 0, 8, 8, false);
    check_share((bdpo_machine){8, 3, 0, 0, 1}, 0, 3, 3, false);     // taskset
    check_share((bdpo_machine){64, 64, 6, 0, 1}, 0, 6, 6, false);   // container by set
    check_share((bdpo_machine){64, 64, 0, 4, 1}, 0, 4, 4, false);   // container by quota
    check_share((bdpo_machine){64, 64, 0, 0, 4}, 0, 16, 64, false); // four ranks, unbound
    check_share((bdpo_machine){64, 32, 0, 0, 4}, 0, 16, 64, false); // each bound to a socket
    check_share((bdpo_machine){64, 1, 0, 0, 4}, 0, 1, 64, false);   // each bound to a core
    check_share((bdpo_machine){64, 8, 8, 0, 4}, 0, 2, 8, false);    // ranks in a container
    check_share((bdpo_machine){7, 7, 0, 0, 2}, 0, 3, 7, false);
    check_share((bdpo_machine){2, 2, 0, 0, 4}, 0, 1, 2, true);  // more ranks than cores
    check_share((bdpo_machine){0, 0, 0, 0, 1}, 0, 1, 1, false); // nothing known
    check_share((bdpo_machine){4, 4, 0, 0, 1}, 4, 4, 4, false); // asked for
    check_share((bdpo_machine){4, 4, 0, 0, 1}, 5, 5, 4, true);
    check_share((bdpo_machine){4, 4, 0, 0, 2}, 4, 4, 4, true);
}

BDPO_TEST(advice_names_the_numbers)
{
    bdpo_threads two = {.n_threads = 4, .n_ranks = 2, .n_cores = 4},
                 one = {.n_threads = 3, .n_ranks = 1, .n_cores = 1},
                 ranks = {.n_threads = 1, .n_ranks = 4, .n_cores = 2};
    CHECK_CONTAINS(bdpo_threads_advice(&two).text,
                   "2 processes with 4 threads each on 4 cores: expect it slow, 2 threads would "
                   "fit");
    CHECK_CONTAINS(bdpo_threads_advice(&one).text,
                   "1 process with 3 threads each on 1 core: expect it slow, 1 thread would fit");
    CHECK_CONTAINS(bdpo_threads_advice(&ranks).text,
                   "4 processes with 1 thread each on 2 cores: expect it slow, 2 processes would "
                   "fit");
}

// ---- waiting -------------------------------------------------------------------------------

// Runs a test again in a restarted program, which must find the setting in its environment.
static void check_restart(const char *test, bdpo_waiting how, const char *name, const char *value)
{
    static const char *const settings[] = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"};
    const char *marker = "BDPO_TEST_RESTARTED";
    if (getenv(marker)) {
        const char *found = getenv(name);
        CHECK_STR(found, value);
        CHECK_OK(bdpo_threads_set_waiting(NULL, how)); // decided: no second restart
        return;
    }
    char *argv[] = {"bdpo_test", (char *)(uintptr_t)test, NULL};
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        setenv(marker, "1", 1);
        for (size_t i = 0; i < BDPO_COUNTOF(settings); i++) unsetenv(settings[i]);
        if (!freopen("/dev/null", "w", stdout)) _exit(3);
        bdpo_status status = bdpo_threads_set_waiting(argv, how);
        _exit(status == BDPO_OK ? 4 : 5); // not reached: the program is another one
    }
    int status;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
}

BDPO_TEST(restart_sets_the_wait_policy)
{
    check_restart("unit/test_threads:restart_sets_the_wait_policy", BDPO_WAIT_PASSIVELY,
                  "OMP_WAIT_POLICY", "passive");
}

BDPO_TEST(restart_shortens_the_spinning)
{
    check_restart("unit/test_threads:restart_shortens_the_spinning", BDPO_WAIT_BRIEFLY,
                  "GOMP_SPINCOUNT", "2000");
}

// A bound first thread would leave the restarted program one core.
BDPO_TEST(bound_threads_are_not_restarted)
{
    unsetenv("OMP_WAIT_POLICY");
    unsetenv("GOMP_SPINCOUNT");
    unsetenv("KMP_BLOCKTIME");
    setenv("OMP_PROC_BIND", "true", 1);
    CHECK_OK(bdpo_threads_set_waiting(NULL, BDPO_WAIT_BRIEFLY));
}
