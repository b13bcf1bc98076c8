// The harness on itself: what it offers to tests, beyond the deliberate failures of every run.
#include "harness.h"

#include <stdlib.h>

BDPO_TEST(relative_l2_of_equal_arrays_is_zero)
{
    const float a[] = {1, -2, 3};
    CHECK_NEAR(test_relative_l2(a, a, 3), 0.0, 0.0);
}

BDPO_TEST(relative_l2_sees_sign_and_nan)
{
    const float a[] = {1, -2, 3}, minus[] = {-1, 2, -3}, bad[] = {1, NAN, 3};
    CHECK_NEAR(test_relative_l2(minus, a, 3), 2.0, 1e-12); // exact up to a rounding of sqrt
    CHECK(isinf(test_relative_l2(bad, a, 3)));
}

BDPO_TEST(abort_is_seen)
{
    CHECK_ABORTS(abort());
}
