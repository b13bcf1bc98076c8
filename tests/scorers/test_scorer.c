// The registry: presets, and configurations that are refused by name and field.
#include <stdlib.h>

#include "base/memory.h"
#include "harness.h"
#include "models/demo_vocabulary.h"
#include "models/scratch.h"
#include "models/small_clip.h"
#include "scorers/scoring.h"

static bdpo_engine *engine;
static bdpo_shared *shared;

static void begin(void)
{
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_shared_new(&shared));
}

static void end(void)
{
    bdpo_shared_free(shared);
    bdpo_engine_free(engine);
    scratch_remove();
}

BDPO_TEST(presets_are_configurations)
{
    static const char *const names[] = {"clip-h", "clip-l",  "clip-g",   "pickscore",
                                        "hpsv2",  "hpsv2.1", "aesthetic"};
    begin();
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) CHECK(bdpo_scorer_preset_find(names[i]));
    CHECK(!bdpo_scorer_preset_find("clip"));
    for (int i = 0; i < bdpo_scorer_preset_count(); i++) {
        // Each parses, and misses nothing but its files.
        bdpo_scorer *scorer;
        bdpo_scorer_request request = {.name = bdpo_scorer_preset_name(i)};
        CHECK_STATUS(bdpo_scorer_open(&scorer, &request, engine, shared), BDPO_NOT_FOUND);
        CHECK_CONTAINS(bdpo_message(), request.name);
        CHECK_CONTAINS(bdpo_message(), "no checkpoint is given");
    }
    end();
}

static void write_model(void)
{
    small_clip model = {.weights = "tiny",
                        .embed = 24,
                        .patch = 56,
                        .vision = {40, 2, 2, 80},
                        .text = {32, 2, 4, 64},
                        .vocabulary = BDPO_DEMO_N_IDS};
    small_clip_write(scratch_directory("m"), NULL, &model);
    CHECK_OK(bdpo_demo_vocabulary_write(scratch_path("m"), NULL));
}

static bdpo_status try_config(const char *fields)
{
    char text[1024];
    bdpo_scorer *scorer;
    snprintf(text, sizeof text, "{%s}", fields);
    bdpo_scorer_request request = {.name = scratch_file("x.json", text)};
    bdpo_status status = bdpo_scorer_open(&scorer, &request, engine, shared);
    bdpo_scorer_close(scorer);
    return status;
}

#define CLIP "\"name\": \"x\", \"family\": \"clip\", \"checkpoint\": \"m\""

BDPO_TEST(bad_configurations_name_file_and_field)
{
    static const struct {
        const char *fields, *part;
    } rows[] = {
        {"\"family\": \"clip\"", "name"},
        {"\"name\": \"a b\", \"family\": \"clip\"", "name is \"a b\""},
        {"\"name\": \"\", \"family\": \"clip\"", "name is empty"},
        {"\"name\": \"x\"", "family"},
        {"\"name\": \"x\", \"family\": \"vqa\"", "no family \"vqa\""},
        {CLIP ", \"preproces\": \"hps\"", "\"preproces\" is no field of the family clip"},
        {CLIP ", \"preprocess\": \"timm\"", "\"timm\" is no preprocessing"},
        {CLIP ", \"preprocess\": {\"kind\": \"hps\", \"crop\": 1}", "\"crop\" is no field"},
        {CLIP ", \"preprocess\": {\"size\": 336}", "size is 336, expected the model's 224"},
        {CLIP ", \"preprocess\": {\"mean\": [0, 1]}", "mean is not a list of 3 numbers"},
        {CLIP ", \"preprocess\": {\"std\": [1, 1, 0]}", "std is not positive"},
        {CLIP ", \"preprocess\": {\"pillow\": \"9\"}", "pillow"},
        {CLIP ", \"scale\": \"percent\"", "scale"},
        {CLIP ", \"scale\": -1", "scale is -1"},
        {CLIP ", \"minimum\": \"0\"", "minimum"},
        {CLIP ", \"pipeline\": \"bert\"", "bert"},
        {CLIP ", \"tokenizer\": \"no\"", "no"},
        {CLIP ", \"architecture\": 7", "architecture"},
        {"\"name\": \"x\", \"family\": \"clip\", \"checkpoint\": \"none\"", "none"},
    };
    begin();
    write_model();
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        if (try_config(rows[i].fields) == BDPO_OK) FAIL("accepted %s", rows[i].fields);
        CHECK_CONTAINS(bdpo_message(), rows[i].part);
    }
    CHECK_OK(try_config(CLIP ", \"comment\": \"mine\", \"pipeline\": \"fast\""));
    end();
}

BDPO_TEST(settings_say_all_that_changes_a_number)
{
    begin();
    write_model();
    bdpo_scorer *scorer;
    bdpo_scorer_request request = {
        .name =
            scratch_file("x.json", "{" CLIP ", \"pipeline\": \"fast\", \"scale\": 2.5,"
                                   " \"minimum\": 0, \"prompt_prefix\": \"A photo of \","
                                   " \"preprocess\": {\"kind\": \"hps\", \"antialias\": false}}")};
    CHECK_OK(bdpo_scorer_open(&scorer, &request, engine, shared));
    CHECK_STR(scorer->info.settings,
              "{\"activation\":\"gelu\",\"minimum\":0.0,\"pipeline\":\"fast\",\"preprocess\":"
              "{\"antialias\":false,\"exif\":false,\"kind\":\"hps\",\"mean\":[0.48145467,"
              "0.457827508,0.408210725],\"size\":224,\"std\":[0.268629551,0.26130259,"
              "0.275777102]},\"prompt_prefix\":\"A photo of \",\"scale\":2.5}");
    CHECK_STR(scorer->info.name, "x");
    CHECK_INT(strlen(scorer->info.sha256), 64);
    bdpo_scorer_close(scorer);
    end();
}

BDPO_TEST(one_name_is_one_scorer_of_a_session)
{
    begin();
    write_model();
    bdpo_session *session;
    const char *config = scratch_file("x.json", "{" CLIP ", \"pipeline\": \"fast\"}");
    bdpo_scorer_request twice[] = {{.name = config}, {.name = config}};
    CHECK_OK(bdpo_session_new(&session, engine, twice, 1, NULL));
    bdpo_session_free(session);
    CHECK_STATUS(bdpo_session_new(&session, engine, twice, 2, NULL), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "scorer x is asked for twice");
    bdpo_scorer_request unknown = {.name = "clip"};
    CHECK_STATUS(bdpo_session_new(&session, engine, &unknown, 1, NULL), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "clip-h, clip-l, clip-g, pickscore");
    end();
}
