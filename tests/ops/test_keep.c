// Sums and means through their builders, for everything that a reduction can keep apart.
#include "harness.h"

#include <bdpo/ops.h>

#include "base/status.h"

enum { N = 3, H = 2, W = 4, C = 5, COUNT = N * H * W * C };

static int kept_index(bdpo_keep keep, int n, int p, int c)
{
    switch (keep) {
    case BDPO_KEEP_NONE:
        return 0;
    case BDPO_KEEP_SAMPLE:
        return n;
    case BDPO_KEEP_SAMPLE_CHANNEL:
        return n * C + c;
    case BDPO_KEEP_CHANNEL:
        return c;
    case BDPO_KEEP_ROW:
        return n * H * W + p;
    case BDPO_KEEP_POSITION:
        return p * C + c;
    case BDPO_KEEP_ALL:
        break;
    }
    return (n * H * W + p) * C + c;
}

static void check_keep(bdpo_engine *engine, bdpo_keep keep, bool mean)
{
    static const int counts[] = {1, N, N * C, C, N * H * W, H * W * C, COUNT};
    float x[COUNT], got[COUNT];
    double want[COUNT] = {0};
    int count = counts[keep];
    for (int i = 0; i < COUNT; i++) x[i] = (float)((i * 37) % 101) / 64;
    for (int i = 0; i < COUNT; i++)
        want[kept_index(keep, i / (H * W * C), i / C % (H * W), i % C)] += (double)x[i];

    bdpo_graph *g;
    bdpo_plan *plan;
    CHECK_OK(bdpo_graph_new(&g, NULL));
    bdpo_node *in = bdpo_input(g, "x", BDPO_F32, BDPO_SHAPE(N, H, W, C));
    bdpo_output(g, "y", mean ? bdpo_reduce_mean(g, in, keep) : bdpo_reduce_sum(g, in, keep));
    CHECK_OK(bdpo_plan_new(&plan, engine, g, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_write(plan, "x", x, sizeof x));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "y", got, (size_t)count * sizeof *got));
    for (int i = 0; i < count; i++) {
        double expected = mean ? want[i] * count / COUNT : want[i];
        CHECK_NEAR((double)got[i], expected, 1e-5 * expected); // a float sum of at most 120 values
    }
    bdpo_plan_free(plan);
    bdpo_graph_free(g);
}

BDPO_TEST(each_way_to_keep)
{
    bdpo_engine *engine;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 2}));
    for (int keep = BDPO_KEEP_NONE; keep <= BDPO_KEEP_ALL; keep++) {
        check_keep(engine, (bdpo_keep)keep, false);
        check_keep(engine, (bdpo_keep)keep, true);
    }
    bdpo_engine_free(engine);
}
