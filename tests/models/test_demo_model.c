// Demonstration models: real layouts, the same bytes everywhere, and a tokenizer that works.
#include "harness.h"

#include "base/memory.h"
#include "formats/sha256.h"
#include "models/checkpoint.h"
#include "models/demo_model.h"
#include "models/demo_vocabulary.h"
#include "models/scratch.h"
#include "text/clip_bpe.h"

static void hash(bdpo_sha256_text *out, const char *name)
{
    CHECK_OK(bdpo_sha256_file(out, scratch_path(name)));
}

static void write_model(const char *name, bdpo_model_type type, uint64_t seed)
{
    bdpo_demo_model model = {.type = type, .seed = seed};
    CHECK_OK(bdpo_demo_model_write(scratch_directory(name), &model));
}

BDPO_TEST(the_seed_makes_the_weights)
{
    bdpo_sha256_text a, b, c;
    write_model("a", BDPO_SD1, 7);
    write_model("b", BDPO_SD1, 7);
    write_model("c", BDPO_SD1, 8);
    hash(&a, "a/vae/diffusion_pytorch_model.safetensors");
    hash(&b, "b/vae/diffusion_pytorch_model.safetensors");
    hash(&c, "c/vae/diffusion_pytorch_model.safetensors");
    CHECK_STR(a.hex, b.hex);
    CHECK(strcmp(a.hex, c.hex) != 0);
    scratch_remove();
}

// On every machine: the fixtures of whole pipelines rest on these weights.
BDPO_TEST(the_weights_are_those_of_the_fixtures)
{
    bdpo_sha256_text unet, vocabulary;
    write_model("a", BDPO_SDXL, 0);
    hash(&unet, "a/unet/diffusion_pytorch_model.safetensors");
    hash(&vocabulary, "a/tokenizer/vocab.json");
    CHECK_STR(unet.hex, "fce4ccaac914192e3d755a2d97c0699751c7637304fd078fd6445ddcd75038af");
    CHECK_STR(vocabulary.hex, "2cdac5a94514c67f8dc8b4368992a6f6768c21ba2a8f52661f88bac04d9b86b3");
    scratch_remove();
}

BDPO_TEST(every_family_opens_as_itself)
{
    for (int type = 0; type < BDPO_N_MODEL_TYPES; type++) {
        bdpo_checkpoint *c;
        write_model("model", (bdpo_model_type)type, 0);
        CHECK_OK(bdpo_checkpoint_open(&c, scratch_path("model"), NULL));
        CHECK_OK(bdpo_checkpoint_check_usable(c));
        bdpo_checkpoint_info info = bdpo_checkpoint_get_info(c);
        CHECK_INT(info.type, type);
        CHECK_INT(info.prediction, type == BDPO_SD2 ? BDPO_PREDICTS_V : BDPO_PREDICTS_EPSILON);
        CHECK_INT(bdpo_checkpoint_count(c), bdpo_model_type_count(info.type));
        bdpo_checkpoint_close(c);
        scratch_remove();
    }
}

BDPO_TEST(a_single_file_has_its_configurations_beside_it)
{
    bdpo_checkpoint *c;
    bdpo_demo_model model = {.type = BDPO_SD2};
    const char *file = scratch_path("one.safetensors"), *configs = scratch_path("one");
    CHECK_OK(bdpo_demo_model_write_single(file, configs, &model));
    CHECK_OK(bdpo_checkpoint_open(&c, file, &(bdpo_checkpoint_options){.configs = configs}));
    CHECK_OK(bdpo_checkpoint_check_usable(c));
    CHECK_INT(bdpo_checkpoint_get_info(c).layout, BDPO_LAYOUT_SINGLE_FILE);
    CHECK_INT(bdpo_checkpoint_get_info(c).prediction, BDPO_PREDICTS_V);
    bdpo_checkpoint_close(c);
    CHECK_STATUS(bdpo_checkpoint_open(&c, configs, NULL), BDPO_NOT_FOUND); // without weights
    scratch_remove();
}

static bool never_again(void)
{
    return true;
}

BDPO_TEST(an_interrupted_model_has_no_index)
{
    bdpo_checkpoint *c;
    bdpo_demo_model model = {.type = BDPO_SD1, .interrupted = never_again};
    const char *path = scratch_directory("model");
    CHECK_STATUS(bdpo_demo_model_write(path, &model), BDPO_INTERRUPTED);
    CHECK_STATUS(bdpo_checkpoint_open(&c, path, NULL), BDPO_NOT_FOUND);
    CHECK_STATUS(bdpo_demo_model_write("/nowhere/at/all", &model), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "/nowhere/at/all");
    scratch_remove();
}

// ---- the tokenizer -----------------------------------------------------------------------------

static void check_text(const bdpo_clip_bpe *bpe, const char *text, const char *back)
{
    int32_t *ids;
    size_t n_ids;
    char *decoded;
    CHECK_OK(bdpo_clip_bpe_tokens(bpe, &ids, &n_ids, text, strlen(text)));
    CHECK_OK(bdpo_clip_bpe_text(bpe, &decoded, ids, n_ids));
    CHECK_STR(decoded, back);
    bdpo_free(decoded);
    bdpo_free(ids);
}

BDPO_TEST(the_tokenizer_knows_words_and_any_byte)
{
    bdpo_clip_bpe *bpe;
    int32_t *ids;
    size_t n_ids;
    const char *path = scratch_directory("tokenizer");
    CHECK_OK(bdpo_demo_vocabulary_write(path, NULL));
    CHECK_OK(bdpo_clip_bpe_open(&bpe, path, NULL));
    bdpo_clip_bpe_info info = bdpo_clip_bpe_get_info(bpe);
    CHECK_INT(info.n_ids, BDPO_DEMO_N_IDS);
    CHECK_INT(info.begin, BDPO_DEMO_BEGIN);
    CHECK_INT(info.end, BDPO_DEMO_END);
    CHECK_INT(info.pad, BDPO_DEMO_END);
    CHECK_INT(info.max_length, 77);
    CHECK_OK(bdpo_clip_bpe_tokens(bpe, &ids, &n_ids, "A photo of the cat", 18));
    CHECK_INT(n_ids, 5); // frequent words are one token each
    CHECK_INT(ids[0], 256 + 'a' - '!');
    bdpo_free(ids);
    check_text(bpe, "A photo of the Xylophone", "a photo of the xylophone");
    check_text(bpe, "na\xc3\xafve \xf0\x9f\xa6\x8a 42", "na\xc3\xafve \xf0\x9f\xa6\x8a 4 2");
    bdpo_clip_bpe_free(bpe);
    CHECK_OK(bdpo_demo_vocabulary_write(path, "!"));
    CHECK_OK(bdpo_clip_bpe_open(&bpe, path, NULL));
    CHECK_INT(bdpo_clip_bpe_get_info(bpe).pad, 0);
    bdpo_clip_bpe_free(bpe);
    scratch_remove();
}
