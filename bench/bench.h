// What the benchmarks share: registration, the clock, the machine's ceiling, the table of results.
//
//     BDPO_BENCH(linear)
//     {
//         bench_measure("8192x320x320", 2.0 * m * n * k, 0, run_product, &args);
//     }
//
// A line is named file/bench/what, e.g. "bench_gemm/linear/8192x320x320"; the words of the command
// line select the lines whose name holds one of them. The best of several samples counts: on a
// shared machine the rest measures the neighbours.
#ifndef BDPO_BENCH_H
#define BDPO_BENCH_H

#include <stdbool.h>

// Registers a function that measures one or many lines.
#define BDPO_BENCH(name)                                                                           \
    static void bench_##name(void);                                                                \
    __attribute__((constructor)) static void bench_register_##name(void)                           \
    {                                                                                              \
        bench_register(__FILE__, #name, bench_##name);                                             \
    }                                                                                              \
    static void bench_##name(void)

void bench_register(const char *file, const char *name, void (*run)(void));

// Threads that this run was asked for (--threads, default: all cores this process may use).
int bench_threads(void);

// True when a line of the running bench called `what` is selected; ask before a costly set-up.
bool bench_wanted(const char *what);

// Best seconds of one call of run(argument): one call to warm up, then samples of at least 20 ms
// for about as long as --seconds says.
double bench_time(void (*run)(void *argument), void *argument);

// Times run(argument) and prints the line: seconds, GFLOP/s as a share of the FMA peak when
// `flops` (multiply-add = 2) is above 0, GB/s as a share of the bandwidth when `bytes` is.
// Returns the seconds; 0 when the line is not selected.
double bench_measure(const char *what, double flops, double bytes, void (*run)(void *argument),
                     void *argument);

// As bench_measure for a time taken elsewhere.
void bench_row(const char *what, double seconds, double flops, double bytes);

// Prints `what`, our seconds and another's, and the ratio other / ours (above 1: we are faster).
void bench_against(const char *what, double ours, const char *other_name, double other);

// A line of memory: the bytes that `what` needs at its peak.
void bench_memory(const char *what, double bytes);

// A line of text beside the table.
void bench_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

// The machine's own limits with this many threads, measured once a process: FMA peak of its widest
// instruction set in GFLOP/s, and memory bandwidth of y += a * x in GB/s, write-allocate not
// counted.
double bench_peak_gflops(int n_threads);
double bench_bandwidth_gbs(int n_threads);

#endif
