// ImageReward against the image-reward package on the same small weights, the published size, and
// checkpoints that must be refused.
#include "harness.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/image.h"
#include "models/scratch.h"
#include "parity/fixture.h"
#include "scorers/reward_checkpoint.h"
#include "scorers/reward_compare.h"
#include "scorers/scoring.h"

// Also in tools/parity/image_reward.py.
static const struct {
    const char *text;
    size_t size;
} prompts[] = {
#define TEXT(text)                                                                                 \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
    TEXT("the plan of a graph"),
    TEXT(""),
    TEXT("Caf\xc3\xa9 \xe4\xb8\x80 [SEP] \xd0\xb4\xd0\xb0!"),
    TEXT("a store, a node and a kernel a store, a node and a kernel "
         "a store, a node and a kernel a store, a node and a kernel "
         "a store, a node and a kernel a store, a node and a kernel "
         "a store, a node and a kernel a store, a node and a kernel "),
    TEXT("\0\xe2\x80\x8b\xef\xbf\xbd x"),
};
enum { N_PROMPTS = BDPO_COUNTOF(prompts), MAX_PICTURES = 64 };

static bdpo_session *open_session(bdpo_engine *engine, const char *folder)
{
    char config[BDPO_PATH_BYTES];
    bdpo_session *session;
    CHECK_OK(bdpo_file_join(config, folder, "scorer.json"));
    bdpo_scorer_request request = {.name = config, .checkpoint = folder};
    CHECK_OK(bdpo_session_new(&session, engine, &request, 1, NULL));
    return session;
}

static bdpo_engine *new_engine(void)
{
    bdpo_engine *engine;
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 2}));
    return engine;
}

static bdpo_score_item item_of(const bdpo_image *image, size_t prompt, const char *name)
{
    return (bdpo_score_item){.image = image,
                             .prompt = prompts[prompt].text,
                             .prompt_size = prompts[prompt].size,
                             .name = name};
}

static void read_picture(bdpo_image *image, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "fixtures/images/%s", name);
    CHECK_OK(bdpo_image_read(image, test_path(path)));
}

// ---- parity ------------------------------------------------------------------------------------

BDPO_TEST(scores_equal_those_of_the_package)
{
    static bdpo_image images[MAX_PICTURES];
    static bdpo_score_item items[MAX_PICTURES * N_PROMPTS];
    static bdpo_score scores[MAX_PICTURES * N_PROMPTS];
    bdpo_engine *engine = new_engine();
    bdpo_session *session = open_session(engine, reward_checkpoint("reward", NULL));
    fixture *f = fixture_open("image_reward/image_reward");
    size_t n = fixture_count(f);
    CHECK(n >= 40 && n <= MAX_PICTURES);
    for (size_t i = 0; i < n; i++) {
        const char *name = fixture_key(f, i);
        read_picture(&images[i], name);
        for (size_t k = 0; k < N_PROMPTS; k++)
            items[i * N_PROMPTS + k] = item_of(&images[i], k, name);
    }
    CHECK_OK(bdpo_session_score(session, scores, items, (int)(n * N_PROMPTS)));
    reward_compare(f, scores, N_PROMPTS);
    for (size_t i = 0; i < n; i++) bdpo_image_release(&images[i]);
    fixture_close(f);
    bdpo_session_free(session);
    bdpo_engine_free(engine);
    scratch_remove();
}

// ---- promises ----------------------------------------------------------------------------------

// Alone, in other company, at another place: the same bits.
BDPO_TEST(bits_do_not_depend_on_the_batch)
{
    enum { N = 9 };
    static const char *const names[] = {"png_rgb.png", "webp_lossy.webp", "png_la.png"};
    bdpo_image images[3];
    bdpo_score_item items[N], turned[N];
    bdpo_score together[N], alone[N], back[N];
    bdpo_engine *engine = new_engine();
    bdpo_session *session = open_session(engine, reward_checkpoint("reward", NULL));
    for (int i = 0; i < 3; i++) read_picture(&images[i], names[i]);
    for (size_t i = 0; i < N; i++)
        items[i] = item_of(&images[i % 3], i * 2 % N_PROMPTS, names[i % 3]);
    for (size_t i = 0; i < N; i++) turned[i] = items[N - 1 - i];
    CHECK_OK(bdpo_session_score(session, together, items, N));
    CHECK_OK(bdpo_session_score(session, back, turned, N));
    for (int i = 0; i < N; i++) {
        bdpo_session *other = open_session(engine, scratch_path("reward"));
        CHECK_OK(bdpo_session_score(other, &alone[i], &items[i], 1));
        bdpo_session_free(other);
    }
    for (int i = 0; i < N; i++) {
        CHECK(isfinite(together[i].value));
        CHECK_BYTES(&together[i].value, &alone[i].value, sizeof(double));
        CHECK_BYTES(&together[i].value, &back[N - 1 - i].value, sizeof(double));
    }
    for (int i = 0; i < 3; i++) bdpo_image_release(&images[i]);
    bdpo_session_free(session);
    bdpo_engine_free(engine);
    scratch_remove();
}

BDPO_TEST(projections_may_be_absent)
{
    bdpo_image image;
    bdpo_score with, without;
    bdpo_engine *engine = new_engine();
    read_picture(&image, "png_rgb.png");
    bdpo_score_item item = item_of(&image, 0, "png_rgb.png");
    bdpo_session *session = open_session(engine, reward_checkpoint("reward", NULL));
    CHECK_OK(bdpo_session_score(session, &with, &item, 1));
    bdpo_session_free(session);
    session = open_session(engine, reward_checkpoint("bare", &(reward_change){.bare = true}));
    CHECK_OK(bdpo_session_score(session, &without, &item, 1));
    bdpo_session_free(session);
    CHECK_BYTES(&with.value, &without.value, sizeof(double));
    bdpo_image_release(&image);
    bdpo_engine_free(engine);
    scratch_remove();
}

BDPO_TEST(a_reward_that_is_no_number_is_no_score)
{
    bdpo_image image;
    bdpo_score score;
    bdpo_engine *engine = new_engine();
    read_picture(&image, "png_rgb.png");
    bdpo_score_item item = item_of(&image, 0, "png_rgb.png");
    bdpo_session *session = open_session(
        engine, reward_checkpoint("spoiled", &(reward_change){.spoil = "mlp.layers.2.bias"}));
    CHECK_OK(bdpo_session_score(session, &score, &item, 1));
    CHECK(isnan(score.value));
    CHECK_CONTAINS(score.reason, "not a finite number");
    bdpo_image_release(&image);
    bdpo_session_free(session);
    bdpo_engine_free(engine);
    scratch_remove();
}

BDPO_TEST(the_published_model_has_its_number_of_parameters)
{
    bdpo_blip_config config = bdpo_blip_image_reward();
    bdpo_param_list *list;
    config.vision_projection = config.text_projection = 256;
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_blip_params(list, &config);
    CHECK_OK(bdpo_param_list_check(list));
    CHECK_U64((uint64_t)bdpo_param_list_elements(list), 446665953);
    bdpo_param_list_free(list);
}

// ---- refused checkpoints -----------------------------------------------------------------------

static void check_refused(bdpo_engine *engine, const char *folder, const char *tokenizer,
                          bdpo_status status, const char *says)
{
    char config[BDPO_PATH_BYTES];
    bdpo_session *session = NULL;
    CHECK_OK(bdpo_file_join(config, folder, "scorer.json"));
    bdpo_scorer_request request = {.name = config, .checkpoint = folder, .tokenizer = tokenizer};
    bdpo_status found = bdpo_session_new(&session, engine, &request, 1, NULL);
    if (found != status || !strstr(bdpo_message(), says))
        FAIL("%s: \"%s\", expected \"%s\"", bdpo_status_text(found), bdpo_message(), says);
    CHECK(session == NULL);
}

BDPO_TEST(checkpoints_that_do_not_fit_are_refused)
{
    static const struct {
        reward_change change;
        const char *says;
    } rows[] = {
        {{.drop = "mlp.layers.7.bias"},
         "1 of 100 tensors do not fit ImageReward (its own sizes): "
         "\"mlp.layers.7.bias\" [1] is missing"},
        {{.drop = "blip.visual_encoder.pos_embed"},
         "\"blip.visual_encoder.pos_embed\" [1, 1 + patches, width] is missing"},
        {{.drop = "blip.text_proj.bias"}, "\"blip.text_proj.bias\" [256] is missing"},
        {{.drop = "blip.text_encoder.encoder.layer.0.*"}, "layer.0.intermediate.dense.weight\""},
        {{.drop = "blip.visual_encoder.blocks.0.norm*"},
         "4 of 100 tensors do not fit ImageReward (its own sizes): "
         "\"blip.visual_encoder.blocks.0.norm1.weight\" [64] is missing"},
        {{.add = "blip.visual_encoder.blocks.0.extra"},
         "\"blip.visual_encoder.blocks.0.extra\" [3] is left over"},
        {{.resize = "blip.visual_encoder.blocks.1.attn.qkv.weight"},
         "\"blip.visual_encoder.blocks.1.attn.qkv.weight\" is [191, 64] where [192, 64] is"},
        {{.resize = "mlp.layers.0.weight"},
         "\"mlp.layers.0.weight\" is [1023, 48] where [1024, 48] is expected"},
        {{.resize = "blip.text_encoder.embeddings.word_embeddings.weight"},
         "has 1880 tokens with [DEC] and [ENC], expected the 1879 of"},
        {{.add = "blip.text_encoder.encoder.layer.5.output.dense.bias"}, "tensors do not fit"},
    };
    bdpo_engine *engine = new_engine();
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        char name[32];
        snprintf(name, sizeof name, "refused_%zu", i);
        check_refused(engine, reward_checkpoint(name, &rows[i].change), NULL, BDPO_BAD_FILE,
                      rows[i].says);
    }
    bdpo_engine_free(engine);
    scratch_remove();
}

BDPO_TEST(folders_that_lack_a_file_are_refused)
{
    char folder[1024], path[BDPO_PATH_BYTES];
    bdpo_engine *engine = new_engine();
    snprintf(folder, sizeof folder, "%s", reward_checkpoint("reward", NULL));
    check_refused(engine, folder, "/nonexistent/vocab.txt", BDPO_NOT_FOUND, "/nonexistent/vocab");
    check_refused(engine, folder, test_path("fixtures"), BDPO_NOT_FOUND,
                  "fixtures: neither vocab.txt nor tokenizer.json is there");
    CHECK_OK(bdpo_file_join(path, folder, "vocab.txt"));
    CHECK(remove(path) == 0);
    check_refused(engine, folder, NULL, BDPO_NOT_FOUND, "no vocab.txt or tokenizer.json of bert");
    CHECK_OK(bdpo_file_join(path, folder, "ImageReward.safetensors"));
    CHECK(remove(path) == 0);
    check_refused(engine, folder, NULL, BDPO_NOT_FOUND, "neither ImageReward.pt nor ImageReward");
    bdpo_engine_free(engine);
    scratch_remove();
}

// Each allocation of opening and scoring fails in turn: the first ones all, then some.
BDPO_TEST_FULL(want_of_memory_is_told)
{
    char config[BDPO_PATH_BYTES];
    bdpo_image image;
    int n_failed = 0;
    bdpo_status status = BDPO_NO_MEMORY;
    bdpo_engine *engine = new_engine();
    const char *folder = reward_checkpoint("reward", NULL);
    CHECK_OK(bdpo_file_join(config, folder, "scorer.json"));
    read_picture(&image, "png_rgb.png");
    bdpo_score_item item = item_of(&image, 0, "png_rgb.png");
    bdpo_scorer_request request = {.name = config, .checkpoint = folder};
    for (uint64_t k = 1; status != BDPO_OK; k += 1 + k / 64) {
        bdpo_session *session = NULL;
        bdpo_score score;
        bdpo_alloc_fail_at(bdpo_alloc_count() + k);
        status = bdpo_session_new(&session, engine, &request, 1, NULL);
        if (status == BDPO_OK) status = bdpo_session_score(session, &score, &item, 1);
        bdpo_alloc_fail_at(0);
        bdpo_session_free(session);
        if (status != BDPO_OK) CHECK_STATUS(status, BDPO_NO_MEMORY);
        n_failed += status != BDPO_OK;
    }
    printf("        %d allocations failed\n", n_failed);
    CHECK(n_failed > 50);
    bdpo_image_release(&image);
    bdpo_engine_free(engine);
    scratch_remove();
}

BDPO_TEST(a_med_config_that_does_not_fit_is_refused)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"{\"hidden_size\": 96, \"num_attention_heads\": 4}",
         "med_config.json): \"blip.text_encoder.embeddings.word_embeddings.weight\" is [1880, 48] "
         "where [1880, 96] is expected"},
        {"{\"num_hidden_layers\": 3}", "layer.2.attention.self.query.weight\" [48, 48] is missing"},
        {"{\"hidden_act\": \"relu\"}", "med_config.json: hidden_act is"},
        {"{\"num_attention_heads\": 0}", "med_config.json: num_attention_heads is 0"},
        {"[1]", "med_config.json"},
    };
    char folder[1024], path[BDPO_PATH_BYTES];
    bdpo_engine *engine = new_engine();
    snprintf(folder, sizeof folder, "%s", reward_checkpoint("reward", NULL));
    CHECK_OK(bdpo_file_join(path, folder, "med_config.json"));
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        CHECK_OK(bdpo_file_write(path, rows[i].text, strlen(rows[i].text)));
        check_refused(engine, folder, NULL, BDPO_BAD_FILE, rows[i].says);
    }
    bdpo_engine_free(engine);
    scratch_remove();
}
