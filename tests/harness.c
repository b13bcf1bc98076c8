// Registers, filters and runs the tests, each in its own process, and owns the exit status.
// Every run first fails on purpose, in each way in which a test can fail: a runner that
// does not see that is itself a failure.
#include "harness.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef enum outcome { PASSED, FAILED, SKIPPED } outcome;

typedef struct test {
    char name[160]; // folder/file:name
    test_tier tier;
    void (*run)(const void *argument);
    const void *argument;
} test;

typedef struct options {
    const char *const *filters;
    int n_filters;
    test_tier tier;
    bool in_process, list, verbose;
    unsigned timeout_s;
} options;

static test *tests;
static size_t n_tests, capacity;
static test_tier active_tier;

static jmp_buf test_end; // where a check that ended the test comes back
static bool quiet_child; // the deliberate failures keep their sentence to themselves

// ---- registration --------------------------------------------------------------------------

static void full_name(char *out, size_t size, const char *file, const char *name)
{
    static const char *const roots[] = {BDPO_TESTS_DIR "/", "tests/"}; // cmake maps the prefix
    for (int i = 0; i < 2; i++)
        if (strncmp(file, roots[i], strlen(roots[i])) == 0) file += strlen(roots[i]);
    int stem = (int)strlen(file);
    if (stem > 2 && strcmp(file + stem - 2, ".c") == 0) stem -= 2;
    snprintf(out, size, "%.*s:%s", stem, file, name);
}

void test_register(const char *file, const char *name, test_tier tier,
                   void (*run)(const void *argument), const void *argument)
{
    if (n_tests == capacity) {
        capacity = capacity ? 2 * capacity : 256;
        tests = realloc(tests, capacity * sizeof *tests);
        if (!tests) abort();
    }
    test *t = &tests[n_tests++];
    *t = (test){.tier = tier, .run = run, .argument = argument};
    full_name(t->name, sizeof t->name, file, name);
}

test_tier test_tier_active(void)
{
    return active_tier;
}

const char *test_path(const char *relative)
{
    static _Thread_local char path[1024];
    const char *root = getenv("BDPO_TEST_DATA");
    snprintf(path, sizeof path, "%s/%s", root ? root : BDPO_TESTS_DIR, relative);
    return path;
}

// ---- how a test ends -----------------------------------------------------------------------

// The sentence waits here until the test has ended: in one process there is nothing to capture.
static char reason[2048];

_Noreturn static void end_test(outcome how)
{
    longjmp(test_end, (int)how + 1);
}

void test_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    end_test(SKIPPED);
}

void test_fail(const char *file, int line, const char *format, ...)
{
    int n = snprintf(reason, sizeof reason, "%s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    if (n > 0 && (size_t)n < sizeof reason)
        vsnprintf(reason + n, sizeof reason - (size_t)n, format, args);
    va_end(args);
    end_test(FAILED);
}

// ---- checks --------------------------------------------------------------------------------

void test_check_int(const char *file, int line, const char *what, int64_t actual, int64_t expected)
{
    if (actual == expected) return;
    test_fail(file, line, "%s is %lld, expected %lld", what, (long long)actual,
              (long long)expected);
}

void test_check_u64(const char *file, int line, const char *what, uint64_t actual,
                    uint64_t expected)
{
    if (actual == expected) return;
    test_fail(file, line, "%s is %#llx, expected %#llx", what, (unsigned long long)actual,
              (unsigned long long)expected);
}

void test_check_str(const char *file, int line, const char *what, const char *actual,
                    const char *expected)
{
    if (actual && expected && strcmp(actual, expected) == 0) return;
    test_fail(file, line, "%s is \"%s\", expected \"%s\"", what, actual ? actual : "(null)",
              expected ? expected : "(null)");
}

void test_check_contains(const char *file, int line, const char *what, const char *text,
                         const char *part)
{
    if (text && strstr(text, part)) return;
    test_fail(file, line, "%s is \"%s\", expected \"%s\" in it", what, text ? text : "(null)",
              part);
}

void test_check_near(const char *file, int line, const char *what, double actual, double expected,
                     double tolerance)
{
    if (actual == expected || fabs(actual - expected) <= tolerance) return;
    test_fail(file, line, "%s is %.9g, expected %.9g within %.3g (off by %.3g)", what, actual,
              expected, tolerance, fabs(actual - expected));
}

void test_check_le(const char *file, int line, const char *what, double actual, double limit)
{
    if (actual <= limit) return;
    test_fail(file, line, "%s is %.9g, expected at most %.9g", what, actual, limit);
}

void test_check_bytes(const char *file, int line, const char *what, const void *actual,
                      const void *expected, size_t size)
{
    const unsigned char *a = actual, *e = expected;
    for (size_t i = 0; i < size; i++)
        if (a[i] != e[i])
            test_fail(file, line, "%s differs at byte %zu of %zu: %02x, expected %02x", what, i,
                      size, a[i], e[i]);
}

void test_check_status(const char *file, int line, const char *what, bdpo_status actual,
                       bdpo_status expected)
{
    if (actual == expected) return;
    test_fail(file, line, "%s is \"%s\", expected \"%s\"; message: %s", what,
              bdpo_status_text(actual), bdpo_status_text(expected), bdpo_message());
}

double test_relative_l2(const float *actual, const float *expected, size_t count)
{
    double error = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        double e = (double)expected[i], d = (double)actual[i] - e;
        error += d * d;
        norm += e * e;
    }
    if (!isfinite(error) || !isfinite(norm)) return INFINITY;
    if (error == 0) return 0;
    return norm > 0 ? sqrt(error / norm) : INFINITY;
}

enum { SURVIVED = 97 }; // the exit code of a child that should have aborted

bool test_abort_begin(void)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) test_fail(__FILE__, __LINE__, "fork failed");
    if (child == 0 && !freopen("/dev/null", "w", stderr)) _exit(SURVIVED);
    return child == 0;
}

void test_abort_child_survived(void)
{
    _exit(SURVIVED);
}

void test_abort_end(const char *file, int line, const char *what)
{
    int status = 0;
    if (wait(&status) < 0 || !WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        test_fail(file, line, "expected to abort: %s", what);
}

// ---- running -------------------------------------------------------------------------------

static outcome run_here(const test *t)
{
    reason[0] = '\0';
    int how = setjmp(test_end);
    if (how != 0) return (outcome)(how - 1);
    t->run(t->argument);
    return PASSED;
}

// The child writes its outcome and its reason into the pipe. It leaves through exit(), so that a
// leak checker has its word; leaks of a failed test are not news.
_Noreturn static void run_child(const test *t, int pipe_end, const options *o)
{
    char message[1 + sizeof reason];
    if (o->timeout_s) alarm(o->timeout_s);
    outcome how = run_here(t);
    size_t length = (size_t)snprintf(message, sizeof message, "%c%s", '0' + (int)how, reason);
    if (write(pipe_end, message, length) != (ssize_t)length) _exit(SURVIVED);
    close(pipe_end);
    fflush(NULL);
    if (how == PASSED) exit(0);
    _exit(0);
}

// What a child said and how it ended: passed is who said so and then ended well.
static outcome child_outcome(const char *message, size_t length, int status, const options *o)
{
    outcome how = length > 0 ? (outcome)(message[0] - '0') : FAILED;
    int n = snprintf(reason, sizeof reason, "%.*s", (int)(length > 0 ? length - 1 : 0),
                     length > 0 ? message + 1 : "");
    size_t room = sizeof reason - (size_t)n;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && length > 0) return how;
    if (WIFEXITED(status))
        snprintf(reason + n, room, "exited with %d%s", WEXITSTATUS(status),
                 length > 0 ? " after its end (a leak?)" : "");
    else if (WTERMSIG(status) == SIGALRM)
        snprintf(reason + n, room, "took longer than %u s", o->timeout_s);
    else
        snprintf(reason + n, room, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    return FAILED;
}

static outcome run_forked(const test *t, const options *o)
{
    int ends[2];
    char message[1 + sizeof reason];
    fflush(NULL);
    if (pipe(ends) != 0) return FAILED;
    pid_t child = fork();
    if (child < 0) return FAILED;
    if (child == 0) {
        close(ends[0]);
        if (quiet_child && !freopen("/dev/null", "w", stderr)) _exit(SURVIVED);
        run_child(t, ends[1], o);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; length < sizeof message; length += (size_t)got) {
        got = read(ends[0], message + length, sizeof message - length);
        if (got <= 0) break;
    }
    close(ends[0]);
    int status = 0;
    if (waitpid(child, &status, 0) != child) return FAILED;
    return child_outcome(message, length, status, o);
}

static outcome run_test(const test *t, const options *o)
{
    return o->in_process ? run_here(t) : run_forked(t, o);
}

// ---- the deliberate failures ---------------------------------------------------------------

static void fail_check(const void *unused)
{
    (void)unused;
    CHECK(1 + 1 == 3);
}

static void fail_nan(const void *unused)
{
    (void)unused;
    CHECK_LE((double)NAN, 1.0);
}

static void fail_near_nan(const void *unused)
{
    (void)unused;
    CHECK_NEAR((double)NAN, 0.0, 1.0);
}

static void fail_crash(const void *unused)
{
    (void)unused;
    abort();
}

static void fail_exit(const void *unused) // a library that exits must not look like a success
{
    (void)unused;
    exit(0);
}

static void fail_not_at_all(const void *unused)
{
    (void)unused;
}

// True when the runner sees each of them fail, and a test that does nothing pass.
static bool failure_is_seen(const options *o)
{
    const struct {
        void (*run)(const void *);
        bool needs_process;
    } bad[] = {{fail_check, false},
               {fail_nan, false},
               {fail_near_nan, false},
               {fail_crash, true},
               {fail_exit, true}};
    bool seen = true;
    quiet_child = true;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        test t = {.run = bad[i].run};
        if (bad[i].needs_process && o->in_process) continue;
        seen = seen && run_test(&t, o) == FAILED;
    }
    test good = {.run = fail_not_at_all};
    seen = seen && run_test(&good, o) == PASSED;
    quiet_child = false;
    return seen;
}

// ---- main ----------------------------------------------------------------------------------

static int by_name(const void *a, const void *b)
{
    return strcmp(((const test *)a)->name, ((const test *)b)->name);
}

static bool selected(const test *t, const options *o)
{
    if (t->tier > o->tier) return false;
    for (int i = 0; i < o->n_filters; i++)
        if (strstr(t->name, o->filters[i])) return true;
    return o->n_filters == 0;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void usage(void)
{
    puts("bdpo_test [OPTIONS] [SUBSTRING ...]   runs the tests whose name holds a substring\n"
         "  --tier quick|full|long   how long a test may be (default quick)\n"
         "  -n                       in this process, for a debugger\n"
         "  -l                       lists the tests\n"
         "  -v                       prints passed tests too\n"
         "  --timeout SECONDS        for each test (default 120; long: none)");
}

static bool parse_tier(test_tier *out, const char *text)
{
    static const char *const names[] = {"quick", "full", "long"};
    for (int i = 0; text && i < 3; i++)
        if (strcmp(text, names[i]) == 0) return *out = (test_tier)i, true;
    return false;
}

static bool parse(options *o, int argc, char **argv)
{
    int timeout = -1, i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "-n") == 0)
            o->in_process = true;
        else if (strcmp(argv[i], "-l") == 0)
            o->list = true;
        else if (strcmp(argv[i], "-v") == 0)
            o->verbose = true;
        else if ((strcmp(argv[i], "--tier") == 0 && parse_tier(&o->tier, next)) ||
                 (strcmp(argv[i], "--timeout") == 0 && next && (timeout = atoi(next)) >= 0))
            i++;
        else
            return false;
    }
    for (int k = i; k < argc; k++)
        if (argv[k][0] == '-') return false; // an option behind a word would pass for a word
    o->filters = (const char *const *)argv + i;
    o->n_filters = argc - i;
    o->timeout_s = timeout >= 0 ? (unsigned)timeout : o->tier == TEST_LONG ? 0 : 120;
    return true;
}

static void report(const test *t, outcome how, double seconds, bool verbose)
{
    static const char *const words[] = {"ok", "FAILED", "SKIPPED"};
    if (how == PASSED && !verbose && seconds < 2) return;
    printf("%-8s%s (%.1f s)%s%s\n", words[how], t->name, seconds, reason[0] ? "\n        " : "",
           reason);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    options o = {0};
    size_t count[3] = {0}, n_run = 0;
    if (!parse(&o, argc, argv)) return usage(), 2;
    // Threads that spin while they wait starve each other where cores are shared. OpenMP reads the
    // policy before main(), hence the second start.
    if (!getenv("OMP_WAIT_POLICY") && setenv("OMP_WAIT_POLICY", "passive", 1) == 0)
        execv("/proc/self/exe", argv);
    active_tier = o.tier;
    if (n_tests) qsort(tests, n_tests, sizeof *tests, by_name);

    if (!o.list) {
        bool seen = failure_is_seen(&o);
        if (!seen) puts("FAILED  harness: a test that fails on purpose was not seen to fail");
        count[seen ? PASSED : FAILED]++;
    }
    for (size_t i = 0; i < n_tests; i++) {
        if (!selected(&tests[i], &o)) continue;
        if (o.list) {
            puts(tests[i].name);
            continue;
        }
        n_run++;
        double start = seconds_now();
        outcome how = run_test(&tests[i], &o);
        count[how]++;
        report(&tests[i], how, seconds_now() - start, o.verbose);
    }
    free(tests);
    if (o.list) return 0;
    if (n_run == 0 && o.n_filters > 0) {
        puts("FAILED  no test of this tier is called so");
        count[FAILED]++;
    }
    printf("%zu passed, %zu failed, %zu skipped\n", count[PASSED], count[FAILED], count[SKIPPED]);
    return count[FAILED] == 0 ? 0 : 1;
}
