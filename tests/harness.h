// The test harness. A test is a function; including its file in the build registers it:
//
//     BDPO_TEST(alloc_refuses_overflow) { CHECK(bdpo_alloc(SIZE_MAX, 2) == NULL); }
//
// Its full name is folder/file:name, e.g. "base/test_memory:alloc_refuses_overflow". Each test runs
// in its own process, so that a crash or a hang is one failure; `bdpo_test -n` stays in one process
// for a debugger. The first failing check ends the test. Checks cannot be compiled out; they may
// stand in helper functions, but not inside a parallel region.
#ifndef BDPO_HARNESS_H
#define BDPO_HARNESS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <bdpo/types.h>

// How long a test may take decides when it runs: `make check` runs the quick ones (well under a
// second each), `check-full` the slow ones too (seconds), `check-long` all (full sizes).
typedef enum test_tier { TEST_QUICK, TEST_FULL, TEST_LONG } test_tier;

#define BDPO_TEST(name)      TEST_IN_TIER_(name, TEST_QUICK)
#define BDPO_TEST_FULL(name) TEST_IN_TIER_(name, TEST_FULL)
#define BDPO_TEST_LONG(name) TEST_IN_TIER_(name, TEST_LONG)

// For a test made in a loop, one per operator, say: `run(argument)`. `file` is __FILE__; `name` and
// `argument` must outlive main(). Call it from a function marked __attribute__((constructor)).
void test_register(const char *file, const char *name, test_tier tier,
                   void (*run)(const void *argument), const void *argument);

// The tier that this run was asked for, for tests that size themselves by it.
test_tier test_tier_active(void);

// The path of a file under tests/, e.g. test_path("golden/ok.json"). Valid until the next call.
const char *test_path(const char *relative);

// Ends the test as skipped. Skipped tests are printed by name and counted, never passed.
_Noreturn void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Ends the test as failed.
_Noreturn void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define SKIP(...) test_skip(__VA_ARGS__)
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, "CHECK(%s)", #condition))

// Integers of any type up to 64 bits; prints both.
#define CHECK_INT(actual, expected)                                                                \
    test_check_int(__FILE__, __LINE__, #actual, (int64_t)(actual), (int64_t)(expected))
#define CHECK_U64(actual, expected)                                                                \
    test_check_u64(__FILE__, __LINE__, #actual, (uint64_t)(actual), (uint64_t)(expected))
#define CHECK_STR(actual, expected) test_check_str(__FILE__, __LINE__, #actual, actual, expected)
// The haystack contains the needle.
#define CHECK_CONTAINS(text, part) test_check_contains(__FILE__, __LINE__, #text, text, part)
// |actual - expected| <= tolerance; a NaN fails.
#define CHECK_NEAR(actual, expected, tolerance)                                                    \
    test_check_near(__FILE__, __LINE__, #actual, actual, expected, tolerance)
// actual <= limit; a NaN fails.
#define CHECK_LE(actual, limit) test_check_le(__FILE__, __LINE__, #actual, actual, limit)
// The same bits in two arrays of `size` bytes.
#define CHECK_BYTES(actual, expected, size)                                                        \
    test_check_bytes(__FILE__, __LINE__, #actual, actual, expected, size)
// A status; on failure also prints bdpo_message().
#define CHECK_OK(call)               test_check_status(__FILE__, __LINE__, #call, call, BDPO_OK)
#define CHECK_STATUS(call, expected) test_check_status(__FILE__, __LINE__, #call, call, expected)
// The statement must abort (a BDPO_BUG); it runs in a child process.
#define CHECK_ABORTS(...)                                                                          \
    do {                                                                                           \
        if (test_abort_begin()) {                                                                  \
            __VA_ARGS__;                                                                           \
            test_abort_child_survived();                                                           \
        }                                                                                          \
        test_abort_end(__FILE__, __LINE__, #__VA_ARGS__);                                          \
    } while (0)

// ||actual - expected|| / ||expected|| in double; infinity when a value is not finite.
double test_relative_l2(const float *actual, const float *expected, size_t count);

void test_check_int(const char *file, int line, const char *what, int64_t actual, int64_t expected);
void test_check_u64(const char *file, int line, const char *what, uint64_t actual,
                    uint64_t expected);
void test_check_str(const char *file, int line, const char *what, const char *actual,
                    const char *expected);
void test_check_contains(const char *file, int line, const char *what, const char *text,
                         const char *part);
void test_check_near(const char *file, int line, const char *what, double actual, double expected,
                     double tolerance);
void test_check_le(const char *file, int line, const char *what, double actual, double limit);
void test_check_bytes(const char *file, int line, const char *what, const void *actual,
                      const void *expected, size_t size);
void test_check_status(const char *file, int line, const char *what, bdpo_status actual,
                       bdpo_status expected);
bool test_abort_begin(void); // true in the child
_Noreturn void test_abort_child_survived(void);
void test_abort_end(const char *file, int line, const char *what);

#define TEST_IN_TIER_(name, tier)                                                                  \
    static void test_##name(void);                                                                 \
    static void test_run_##name(const void *unused)                                                \
    {                                                                                              \
        (void)unused;                                                                              \
        test_##name();                                                                             \
    }                                                                                              \
    __attribute__((constructor)) static void test_register_##name(void)                            \
    {                                                                                              \
        test_register(__FILE__, #name, tier, test_run_##name, NULL);                               \
    }                                                                                              \
    static void test_##name(void)

#endif
