// ImageReward against the image-reward package, on the folders that tools/parity/image_reward.py
// makes: the package's own files, pictures of all modes, prompts.
#include "harness.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/image.h"
#include "scorers/reward_compare.h"

static void join(char path[BDPO_PATH_BYTES], const char *folder, const char *name)
{
    CHECK_OK(bdpo_file_join(path, folder, name));
}

static json_t *read_prompts(const char *folder)
{
    char path[BDPO_PATH_BYTES];
    json_error_t error;
    join(path, folder, "prompts.json");
    json_t *prompts = json_load_file(path, 0, &error);
    if (!prompts) FAIL("%s: %s", path, error.text);
    CHECK(json_is_array(prompts));
    return prompts;
}

// A picture with all prompts. Freed by bdpo_image_release().
static void score_picture(bdpo_session *session, bdpo_score *scores, const char *path,
                          const json_t *prompts)
{
    enum { MAX_PROMPTS = 64 };
    bdpo_score_item items[MAX_PROMPTS];
    bdpo_image image;
    size_t n = json_array_size(prompts);
    CHECK(n <= MAX_PROMPTS);
    CHECK_OK(bdpo_image_read(&image, path));
    for (size_t k = 0; k < n; k++) {
        const json_t *text = json_array_get(prompts, k);
        items[k] = (bdpo_score_item){.image = &image,
                                     .prompt = json_string_value(text),
                                     .prompt_size = json_string_length(text),
                                     .name = path};
    }
    CHECK_OK(bdpo_session_score(session, scores, items, (int)n));
    bdpo_image_release(&image);
}

static bdpo_session *open_session(bdpo_engine *engine, const char *folder)
{
    char config[BDPO_PATH_BYTES];
    bdpo_session *session;
    join(config, folder, "scorer.json");
    bdpo_scorer_request request = {.name = config, .checkpoint = folder};
    CHECK_OK(bdpo_session_new(&session, engine, &request, 1, NULL));
    return session;
}

BDPO_TEST_LONG(scores_equal_those_of_the_package)
{
    const char *folder = getenv("BDPO_LIVE_IMAGE_REWARD_DIR");
    char path[BDPO_PATH_BYTES], pictures[BDPO_PATH_BYTES];
    if (!folder) SKIP("BDPO_LIVE_IMAGE_REWARD_DIR is not set: see tools/parity/image_reward.py");
    bdpo_engine *engine;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 2}));
    join(path, folder, "scores");
    fixture *f = fixture_open(path);
    json_t *prompts = read_prompts(folder);
    size_t n_prompts = json_array_size(prompts);
    bdpo_score *scores = bdpo_alloc(fixture_count(f) * n_prompts, sizeof *scores);
    CHECK(scores != NULL);
    bdpo_session *session = open_session(engine, folder);
    join(pictures, folder, "pictures");
    double start = bdpo_clock_seconds();
    for (size_t i = 0; i < fixture_count(f); i++) {
        join(path, pictures, fixture_key(f, i));
        score_picture(session, scores + i * n_prompts, path, prompts);
    }
    printf("        %.1f s\n", bdpo_clock_seconds() - start);
    reward_compare(f, scores, n_prompts);
    bdpo_session_free(session);
    json_decref(prompts);
    bdpo_free(scores);
    fixture_close(f);
    bdpo_engine_free(engine);
}
