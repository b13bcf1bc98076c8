// Forged configurations of open_clip: refused in one line, or turned into one that both towers'
// parsers answer to, as the parameters of a model.
#include "models/clip_text.h"
#include "models/clip_vision.h"
#include "models/open_clip_config.h"

#include "fuzz/fuzz_bytes.h"
#include "harness.h"

static bdpo_status parse(const json_t *config, const char *path)
{
    bdpo_clip_text_config text;
    bdpo_clip_vision_config vision;
    TRY(bdpo_clip_text_config_parse(&text, config, path));
    TRY(bdpo_clip_vision_config_parse(&vision, config, path));
    CHECK(text.projection_dim > 0 && vision.tower.width % vision.tower.heads == 0);
    return BDPO_OK;
}

static bdpo_status read(const char *path)
{
    bdpo_json_document *document;
    json_t *config = NULL;
    TRY(bdpo_json_open(&document, path));
    bdpo_json root = bdpo_json_root(document);
    bdpo_status status = bdpo_open_clip_config_convert(&config, &root);
    bdpo_json_free(document);
    if (status == BDPO_OK) status = parse(config, path);
    json_decref(config);
    return status;
}

static const fuzz_target target = {.folder = "open_clip", .file_name = "x.json", .read = read};

BDPO_TEST(corpus)
{
    fuzz_replay(&target);
}

BDPO_TEST(mutants)
{
    fuzz_mutants(&target, 500);
}

BDPO_TEST_LONG(mutants_for_long)
{
    fuzz_long(&target);
}
