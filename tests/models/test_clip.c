// CLIP's configurations, parameter totals of the real models, the end of a text, what is refused.
#include "harness.h"

#include <stdlib.h>

#include "base/memory.h"
#include "models/clip_text.h"
#include "models/clip_vision.h"

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!root) FAIL("%s", error.text);
    return root;
}

static bdpo_status parse_text(bdpo_clip_text_config *out, const char *text)
{
    json_t *root = parse(text);
    bdpo_status status = bdpo_clip_text_config_parse(out, root, "text_encoder/config.json");
    json_decref(root);
    return status;
}

static bdpo_status parse_vision(bdpo_clip_vision_config *out, const char *text)
{
    json_t *root = parse(text);
    bdpo_status status = bdpo_clip_vision_config_parse(out, root, "clip/config.json");
    json_decref(root);
    return status;
}

// ---- the real models ---------------------------------------------------------------------------

static const char text_l[] =
    "{\"architectures\": [\"CLIPTextModel\"], \"attention_dropout\": 0.0, \"bos_token_id\": 0,"
    " \"dropout\": 0.0, \"eos_token_id\": 2, \"hidden_act\": \"quick_gelu\", \"hidden_size\": 768,"
    " \"intermediate_size\": 3072, \"layer_norm_eps\": 1e-05, \"max_position_embeddings\": 77,"
    " \"model_type\": \"clip_text_model\", \"num_attention_heads\": 12, \"num_hidden_layers\": 12,"
    " \"pad_token_id\": 1, \"projection_dim\": 768, \"vocab_size\": 49408}";
static const char text_h[] =
    "{\"architectures\": [\"CLIPTextModel\"], \"eos_token_id\": 2, \"hidden_act\": \"gelu\","
    " \"hidden_size\": 1024, \"intermediate_size\": 4096, \"model_type\": \"clip_text_model\","
    " \"num_attention_heads\": 16, \"num_hidden_layers\": 23, \"projection_dim\": 512}";
static const char text_g[] =
    "{\"architectures\": [\"CLIPTextModelWithProjection\"], \"eos_token_id\": 2,"
    " \"hidden_act\": \"gelu\", \"hidden_size\": 1280, \"intermediate_size\": 5120,"
    " \"num_attention_heads\": 20, \"num_hidden_layers\": 32, \"projection_dim\": 1280}";
// A CLIPModel whose towers stand in the older fields as well, as OpenAI's L has them.
static const char clip_l[] =
    "{\"architectures\": [\"CLIPModel\"], \"model_type\": \"clip\", \"projection_dim\": 768,"
    " \"text_config\": {\"hidden_size\": 768, \"intermediate_size\": 3072,"
    " \"num_attention_heads\": 12, \"num_hidden_layers\": 12},"
    " \"text_config_dict\": {\"hidden_size\": 768, \"intermediate_size\": 3072,"
    " \"num_attention_heads\": 12, \"num_hidden_layers\": 12},"
    " \"vision_config\": {\"hidden_size\": 1024, \"intermediate_size\": 4096,"
    " \"num_attention_heads\": 16, \"num_hidden_layers\": 24, \"patch_size\": 14},"
    " \"vision_config_dict\": {\"hidden_size\": 1024, \"intermediate_size\": 4096,"
    " \"num_attention_heads\": 16, \"num_hidden_layers\": 24, \"patch_size\": 14}}";
static const char clip_h[] =
    "{\"architectures\": [\"CLIPModel\"], \"model_type\": \"clip\", \"projection_dim\": 1024,"
    " \"text_config\": {\"hidden_act\": \"gelu\", \"hidden_size\": 1024,"
    " \"intermediate_size\": 4096, \"num_attention_heads\": 16, \"num_hidden_layers\": 24},"
    " \"text_config_dict\": null,"
    " \"vision_config\": {\"hidden_act\": \"gelu\", \"hidden_size\": 1280,"
    " \"intermediate_size\": 5120, \"num_attention_heads\": 16, \"num_hidden_layers\": 32,"
    " \"patch_size\": 14}, \"vision_config_dict\": null}";

static void check_totals(bdpo_param_list *list, int tensors, int64_t elements)
{
    CHECK_OK(bdpo_param_list_check(list));
    CHECK_INT(bdpo_param_list_count(list), tensors);
    CHECK_INT(bdpo_param_list_elements(list), elements);
    bdpo_param_list_free(list);
}

static void check_text_totals(const char *json, int tensors, int64_t elements)
{
    bdpo_clip_text_config config;
    bdpo_param_list *list;
    CHECK_OK(parse_text(&config, json));
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_clip_text_params(list, &config);
    check_totals(list, tensors, elements);
}

static void check_vision_totals(const char *json, int tensors, int64_t elements)
{
    bdpo_clip_vision_config config;
    bdpo_param_list *list;
    CHECK_OK(parse_vision(&config, json));
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_clip_vision_params(list, &config);
    check_totals(list, tensors, elements);
}

BDPO_TEST(clip_text_encoders_have_the_published_sizes)
{
    check_text_totals(text_l, 196, 123060480);
    check_text_totals(text_h, 372, 340387840);
    check_text_totals(text_g, 517, 694659840);
}

BDPO_TEST(clip_vision_towers_have_the_published_sizes)
{
    check_vision_totals(clip_l, 392, 303966208);
    check_vision_totals(clip_h, 520, 632076800);
}

// Text, vision and the scale of one CLIPModel share a store.
static void check_whole(const char *json, int64_t elements)
{
    bdpo_clip_text_config text;
    bdpo_clip_vision_config vision;
    bdpo_param_list *list;
    CHECK_OK(parse_text(&text, json));
    CHECK_OK(parse_vision(&vision, json));
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_clip_text_params(list, &text);
    bdpo_clip_vision_params(list, &vision);
    bdpo_clip_logit_scale_params(list);
    CHECK(bdpo_param_list_find(list, "visual_projection.weight") != NULL);
    check_totals(list, bdpo_param_list_count(list), elements);
}

BDPO_TEST(clip_models_have_the_published_sizes)
{
    check_whole(clip_l, 427616513);
    check_whole(clip_h, 986109441);
}

BDPO_TEST(clip_config_takes_the_defaults_of_transformers)
{
    bdpo_clip_text_config text;
    bdpo_clip_vision_config vision;
    CHECK_OK(parse_text(&text, "{}"));
    CHECK_INT(text.tower.width, 512);
    CHECK(text.tower.activation == BDPO_QUICK_GELU);
    CHECK_INT(text.eos_token_id, 49407);
    CHECK_INT(text.projection_dim, 0);
    CHECK_OK(parse_vision(&vision, "{\"architectures\": [\"CLIPVisionModelWithProjection\"]}"));
    CHECK_INT(vision.patch_size, 32);
    CHECK_INT(vision.projection_dim, 512);
}

BDPO_TEST(clip_config_prefers_the_older_fields)
{
    bdpo_clip_text_config text;
    CHECK_OK(parse_text(&text, "{\"projection_dim\": 64, \"text_config\": {\"hidden_size\": 128},"
                               " \"text_config_dict\": {\"hidden_size\": 256}}"));
    CHECK_INT(text.tower.width, 256);
    CHECK_INT(text.projection_dim, 64);
}

// ---- refusals ----------------------------------------------------------------------------------

BDPO_TEST(clip_config_refusals_name_file_and_field)
{
    static const struct {
        const char *json, *field;
    } rows[] = {
        {"{\"hidden_act\": \"relu\"}", "hidden_act"},
        {"{\"hidden_size\": \"768\"}", "hidden_size"},
        {"{\"hidden_size\": 0}", "hidden_size"},
        {"{\"hidden_size\": 100, \"num_attention_heads\": 8}", "num_attention_heads"},
        {"{\"num_hidden_layers\": 1e3}", "num_hidden_layers"},
        {"{\"attention_dropout\": 0.1}", "attention_dropout"},
        {"{\"use_attention_mask\": true}", "use_attention_mask"},
        {"{\"model_type\": \"clip_vision_model\"}", "model_type"},
        {"{\"architectures\": [\"BertModel\"]}", "architectures"},
        {"{\"text_config\": 7}", "text_config"},
        {"{\"text_config\": {\"vocab_size\": -1}}", "vocab_size"},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        bdpo_clip_text_config config;
        if (parse_text(&config, rows[i].json) == BDPO_OK) FAIL("accepted %s", rows[i].json);
        CHECK_CONTAINS(bdpo_message(), "text_encoder/config.json");
        CHECK_CONTAINS(bdpo_message(), rows[i].field);
    }
    bdpo_clip_vision_config vision;
    CHECK(parse_vision(&vision, "{\"image_size\": 16}") != BDPO_OK); // below a patch of 32
    CHECK_CONTAINS(bdpo_message(), "patch_size");
}

typedef struct tiny {
    bdpo_engine *engine;
    bdpo_store *store;
    bdpo_graph *graph;
} tiny;

static void tiny_init(tiny *t, const bdpo_clip_text_config *text,
                      const bdpo_clip_vision_config *vision)
{
    bdpo_param_list *list;
    CHECK_OK(bdpo_engine_new(&t->engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_store_new(&t->store, t->engine));
    CHECK_OK(bdpo_param_list_new(&list));
    if (text) bdpo_clip_text_params(list, text);
    if (vision) bdpo_clip_vision_params(list, vision);
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        CHECK_OK(bdpo_store_declare(t->store, spec->name, BDPO_F32, bdpo_param_store_shape(spec),
                                    false));
    }
    bdpo_param_list_free(list);
    CHECK_OK(bdpo_store_seal(t->store));
    CHECK_OK(bdpo_graph_new(&t->graph, t->store));
}

static void tiny_release(tiny *t)
{
    bdpo_graph_free(t->graph);
    bdpo_store_free(t->store);
    bdpo_engine_free(t->engine);
}

static const bdpo_clip_text_config tiny_text = {.tower = {.width = 8,
                                                          .mlp_width = 16,
                                                          .layers = 2,
                                                          .heads = 2,
                                                          .activation = BDPO_GELU,
                                                          .norm_eps = 1e-5F},
                                                .vocabulary = 20,
                                                .positions = 6,
                                                .eos_token_id = 19};

static void check_text_refusal(bdpo_shape ids, int skip, bdpo_status status, const char *part)
{
    tiny t;
    tiny_init(&t, &tiny_text, NULL);
    bdpo_builder b = {.graph = t.graph};
    bdpo_node *node = bdpo_input(t.graph, "ids", BDPO_I32, ids);
    bdpo_clip_text_options options = {.skip = skip};
    CHECK(bdpo_clip_text(&b, &tiny_text, node, NULL, &options).hidden == NULL);
    CHECK_STATUS(bdpo_graph_check(t.graph), status);
    CHECK_CONTAINS(bdpo_message(), part);
    tiny_release(&t);
}

BDPO_TEST(clip_text_refuses_what_does_not_fit)
{
    check_text_refusal(BDPO_SHAPE(1, 7), 0, BDPO_BAD_SHAPE, "7 tokens, expected at most 6");
    check_text_refusal(BDPO_SHAPE(7), 0, BDPO_BAD_SHAPE, "expected [texts, tokens]");
    check_text_refusal(BDPO_SHAPE(1, 6), 3, BDPO_BAD_ARGUMENT, "cannot skip 3 of 2 layers");
}

// Fewer tokens than positions; all layers skipped leave the embeddings.
BDPO_TEST(clip_text_of_a_few_tokens)
{
    tiny t;
    tiny_init(&t, &tiny_text, NULL);
    bdpo_builder b = {.graph = t.graph};
    bdpo_plan *plan;
    float table[20 * 8], positions[6 * 8], y[3 * 8];
    for (int i = 0; i < 20 * 8; i++) table[i] = (float)i;
    for (int i = 0; i < 6 * 8; i++) positions[i] = 1000.0F * (float)i;
    CHECK_OK(bdpo_store_write(t.store, BDPO_PARAM, "text_model.embeddings.token_embedding.weight",
                              table, sizeof table));
    CHECK_OK(bdpo_store_write(t.store, BDPO_PARAM,
                              "text_model.embeddings.position_embedding.weight", positions,
                              sizeof positions));
    bdpo_node *ids = bdpo_input(t.graph, "ids", BDPO_I32, BDPO_SHAPE(1, 3));
    bdpo_clip_text_options options = {.skip = 2};
    bdpo_output(t.graph, "y", bdpo_clip_text(&b, &tiny_text, ids, NULL, &options).hidden);
    CHECK_OK(bdpo_plan_new(&plan, t.engine, t.graph, &(bdpo_plan_options){0}));
    CHECK_OK(bdpo_plan_write(plan, "ids", (int32_t[]){5, 0, 19}, 3 * sizeof(int32_t)));
    CHECK_OK(bdpo_plan_run(plan));
    CHECK_OK(bdpo_plan_read(plan, "y", y, sizeof y));
    CHECK(y[0] == 5 * 8 && y[8] == 8000 && y[16 + 7] == 19 * 8 + 7 + 23000);
    bdpo_plan_free(plan);
    tiny_release(&t);
}

BDPO_TEST(clip_vision_refuses_other_pictures)
{
    static const bdpo_clip_vision_config config = {.tower = {.width = 8,
                                                             .mlp_width = 16,
                                                             .layers = 1,
                                                             .heads = 2,
                                                             .activation = BDPO_GELU,
                                                             .norm_eps = 1e-5F},
                                                   .channels = 3,
                                                   .image_size = 8,
                                                   .patch_size = 4};
    tiny t;
    tiny_init(&t, NULL, &config);
    bdpo_builder b = {.graph = t.graph};
    bdpo_node *pixels = bdpo_input(t.graph, "pixels", BDPO_F32, BDPO_SHAPE(1, 8, 12, 3));
    CHECK(bdpo_clip_vision(&b, &config, pixels).embedding == NULL);
    CHECK_STATUS(bdpo_graph_check(t.graph), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "expected [n, 8, 8, 3]");
    tiny_release(&t);
}

// ---- adapters ----------------------------------------------------------------------------------

static bdpo_node *hidden_of(tiny *t, const bdpo_lora *lora)
{
    bdpo_builder b = {.graph = t->graph, .lora = lora};
    bdpo_node *ids = bdpo_input(t->graph, lora ? "ids2" : "ids", BDPO_I32, BDPO_SHAPE(1, 6));
    return bdpo_clip_text(&b, &tiny_text, ids, NULL, &(bdpo_clip_text_options){0}).hidden;
}

// All six products of a layer take an adapter. (That it computes the right thing is the layers'
// test; here that every path is found.)
BDPO_TEST(clip_text_takes_adapters_on_all_products)
{
    static const char *const targets[] = {"attention", "feed-forward"};
    bdpo_param_list *list;
    bdpo_lora *lora;
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_clip_text_params(list, &tiny_text);
    CHECK_OK(bdpo_lora_new(&lora));
    CHECK_OK(bdpo_lora_target(lora, list, targets, 2, 2, 2));
    CHECK_INT(bdpo_lora_count(lora), 2 * 6);
    tiny t;
    tiny_init(&t, &tiny_text, NULL); // whose store has no adapters
    CHECK(hidden_of(&t, NULL) != NULL);
    CHECK(hidden_of(&t, lora) == NULL);
    CHECK_STATUS(bdpo_graph_check(t.graph), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight");
    tiny_release(&t);
    bdpo_lora_free(lora);
    bdpo_param_list_free(list);
}

// ---- the end of a text -------------------------------------------------------------------------

BDPO_TEST(clip_end_of_text_by_both_rules)
{
    static const int32_t ids[] = {
        49406, 320, 49407, 49407, 0,     // padded with the end of text
        49406, 2,   320,   49407, 0,     // a 2 among the ids is no end
        49406, 320, 49407, 49408, 49408, // an added id above the end's
    };
    int32_t index[3];
    CHECK_OK(bdpo_clip_eos_index(index, ids, 3, 5, 49407));
    CHECK_INT(index[0], 2);
    CHECK_INT(index[1], 3);
    CHECK_INT(index[2], 2);
    CHECK_OK(bdpo_clip_eos_index(index, ids, 3, 5, 2));
    CHECK_INT(index[0], 2);
    CHECK_INT(index[1], 3);
    CHECK_INT(index[2], 3); // the old rule takes the largest
    CHECK_STATUS(bdpo_clip_eos_index(index, ids, 3, 2, 49407), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "text 0: none of its 2 ids is the end of text, 49407");
}
