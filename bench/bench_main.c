// bdpo_bench [WORD ...] [--threads N] [--seconds S] [--csv FILE] [--cpu-time] [--list]: prints the
// machine's ceiling, then the selected lines as GFLOP/s and GB/s and as shares of that ceiling. A
// line is sampled for S seconds, default 1.
#include "bench.h"

#include <omp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bdpo/engine.h>

#include "base/memory.h"
#include "kernels/isa.h"

typedef struct bench {
    char name[96]; // file/bench
    void (*run)(void);
} bench;

static bench *benches;
static size_t n_benches, capacity;

// What the command line said, and the bench that runs now.
static struct {
    char **words;
    int n_words;
    int n_threads;
    double seconds; // of samples for each line
    FILE *csv;
    bool list, cpu_time;
    const bench *running;
} run_state;

void bench_register(const char *file, const char *name, void (*run)(void))
{
    if (n_benches == capacity) {
        capacity = capacity ? 2 * capacity : 32;
        bench *grown = bdpo_realloc(benches, capacity, sizeof *grown);
        if (!grown) abort();
        benches = grown;
    }
    const char *base = strrchr(file, '/');
    base = base ? base + 1 : file;
    bench *b = &benches[n_benches++];
    snprintf(b->name, sizeof b->name, "%.*s/%s", (int)strcspn(base, "."), base, name);
    b->run = run;
}

int bench_threads(void)
{
    return run_state.n_threads;
}

static void line_name(char *out, size_t size, const char *what)
{
    snprintf(out, size, "%s/%s", run_state.running->name, what);
}

bool bench_wanted(const char *what)
{
    char name[256];
    line_name(name, sizeof name, what);
    bool selected = run_state.n_words == 0;
    for (int i = 0; i < run_state.n_words; i++)
        selected = selected || strstr(name, run_state.words[i]) != NULL;
    if (selected && run_state.list) puts(name);
    return selected && !run_state.list;
}

// Processor time is of use on a busy machine, and with one thread only: waiting threads spin.
static double now_s(void)
{
    struct timespec t;
    clock_gettime(run_state.cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double sample_s(void (*run)(void *), void *argument, int64_t calls)
{
    double start = now_s();
    for (int64_t i = 0; i < calls; i++) run(argument);
    return (now_s() - start) / (double)calls;
}

double bench_time(void (*run)(void *argument), void *argument)
{
    run(argument);
    double once = sample_s(run, argument, 1);
    int64_t calls = once < 0.02 ? (int64_t)(0.02 / (once + 1e-9)) + 1 : 1;
    double best = once, begin = now_s();
    int least = once > 0.5 ? 2 : 4; // long calls vary less
    for (int sample = 0; sample < 40; sample++) {
        if (sample >= least && now_s() - begin > run_state.seconds) break;
        double s = sample_s(run, argument, calls);
        if (s < best) best = s;
    }
    return best;
}

void bench_row(const char *what, double seconds, double flops, double bytes)
{
    char name[256];
    line_name(name, sizeof name, what);
    double gflops = flops / seconds * 1e-9, gbs = bytes / seconds * 1e-9;
    double peak = bench_peak_gflops(run_state.n_threads);
    double bandwidth = bench_bandwidth_gbs(run_state.n_threads);
    printf("%-56s %10.3f ms", name, seconds * 1e3);
    if (flops > 0) printf("  %8.1f GFLOP/s %5.0f %%", gflops, 100 * gflops / peak);
    if (bytes > 0) printf("  %7.1f GB/s %5.0f %%", gbs, 100 * gbs / bandwidth);
    putchar('\n');
    fflush(stdout);
    if (run_state.csv)
        fprintf(run_state.csv, "%s,%.9f,%.2f,%.4f,%.2f,%.4f,\n", name, seconds, gflops,
                gflops / peak, gbs, gbs / bandwidth);
}

double bench_measure(const char *what, double flops, double bytes, void (*run)(void *argument),
                     void *argument)
{
    if (!bench_wanted(what)) return 0;
    double seconds = bench_time(run, argument);
    bench_row(what, seconds, flops, bytes);
    return seconds;
}

void bench_against(const char *what, double ours, const char *other_name, double other)
{
    char name[256];
    line_name(name, sizeof name, what);
    printf("%-56s %10.3f ms  %s %.3f ms  x %.2f\n", name, ours * 1e3, other_name, other * 1e3,
           other / ours);
    fflush(stdout);
}

void bench_memory(const char *what, double bytes)
{
    if (!bench_wanted(what)) return;
    char name[256];
    line_name(name, sizeof name, what);
    printf("%-56s %10.1f MiB\n", name, bytes / (1 << 20));
    fflush(stdout);
    if (run_state.csv) fprintf(run_state.csv, "%s,,,,,,%.0f\n", name, bytes);
}

void bench_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("    ", stdout);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const bench *)a)->name, ((const bench *)b)->name);
}

static bool parse(int argc, char **argv)
{
    // argv stays as it is: the program may be started again with it.
    run_state.words = bdpo_alloc((size_t)argc, sizeof *run_state.words);
    if (!run_state.words) return false;
    for (int i = 1; i < argc && argv[i]; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--threads") == 0 && next) {
            run_state.n_threads = atoi(next);
            if (run_state.n_threads < 1) return false;
            i++;
        } else if (strcmp(argv[i], "--seconds") == 0 && next) {
            run_state.seconds = strtod(next, NULL);
            if (!(run_state.seconds >= 0)) return false;
            i++;
        } else if (strcmp(argv[i], "--csv") == 0 && next) {
            run_state.csv = fopen(next, "w");
            if (!run_state.csv) return false;
            i++;
        } else if (strcmp(argv[i], "--list") == 0) {
            run_state.list = true;
        } else if (strcmp(argv[i], "--cpu-time") == 0) {
            run_state.cpu_time = true;
        } else if (argv[i][0] == '-') {
            return false;
        } else {
            run_state.words[run_state.n_words++] = argv[i];
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    run_state.n_threads = omp_get_num_procs();
    run_state.seconds = 1;
    if (!parse(argc, argv)) {
        fputs("usage: bdpo_bench [WORD ...] [--threads N] [--seconds S] [--csv FILE] [--cpu-time] "
              "[--list]\n",
              stderr);
        return 2;
    }
    bdpo_prepare_threads(argv, run_state.n_threads, stderr);
    if (!run_state.list)
        printf("%s kernels, %d threads: %.0f GFLOP/s, %.1f GB/s\n",
               bdpo_isa_name(bdpo_isa_active()), run_state.n_threads,
               bench_peak_gflops(run_state.n_threads), bench_bandwidth_gbs(run_state.n_threads));
    if (run_state.csv)
        fputs("name,seconds,gflops,peak_share,gbs,bandwidth_share,bytes\n", run_state.csv);
    if (n_benches) qsort(benches, n_benches, sizeof *benches, by_name);
    for (size_t i = 0; i < n_benches; i++) {
        run_state.running = &benches[i];
        benches[i].run();
    }
    bdpo_free(benches);
    bdpo_free(run_state.words);
    if (run_state.csv && fclose(run_state.csv) != 0) return 1;
    return 0;
}
