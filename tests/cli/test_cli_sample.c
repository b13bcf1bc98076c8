// bdpo demo-model and bdpo sample, as their users meet them.
#include "harness.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli/run_program.h"
#include "formats/generation_parameters.h"
#include "formats/image.h"
#include "formats/safetensors.h"
#include "formats/tensor_file.h"
#include "models/scratch.h"

static void check_run(const program_result *r, int code, const char *out, const char *err)
{
    CHECK_STR(r->err, err);
    CHECK_STR(r->out, out);
    CHECK_INT(r->code, code);
}

// Works in the scratch directory, where "m" is a model.
static const char *with_model(const char *family)
{
    const char *directory = scratch_path("");
    check_run(RUN(directory, "demo-model", family, "m"), 0, "m\n", "");
    return directory;
}

static bool exists(const char *name)
{
    struct stat info;
    return stat(scratch_path(name), &info) == 0;
}

static void read_picture(bdpo_image *out, const char *name, int width, int height)
{
    CHECK_OK(bdpo_image_read(out, scratch_path(name)));
    CHECK_INT(out->width, width);
    CHECK_INT(out->height, height);
}

static void check_same_pixels(const char *a, const char *b)
{
    bdpo_image first, second;
    CHECK_OK(bdpo_image_read(&first, scratch_path(a)));
    CHECK_OK(bdpo_image_read(&second, scratch_path(b)));
    CHECK_U64(bdpo_image_bytes(&first), bdpo_image_bytes(&second));
    CHECK_BYTES(first.pixels, second.pixels, bdpo_image_bytes(&first));
    bdpo_image_release(&first);
    bdpo_image_release(&second);
}

// ---- demo-model --------------------------------------------------------------------------------

BDPO_TEST(demo_model_wrong_usage)
{
    check_run(RUN(NULL, "demo-model", "sd1"), 2, "",
              "bdpo: demo-model: needs sd1|sd2|sdxl OUT, got 1 argument "
              "(see bdpo demo-model --help)\n");
    check_run(RUN(NULL, "demo-model", "sd3", "x"), 2, "",
              "bdpo: demo-model: \"sd3\" is not a type of model: sd1, sd2 or sdxl "
              "(see bdpo demo-model --help)\n");
    check_run(RUN(NULL, "demo-model", "--size", "huge", "sd1", "x"), 2, "",
              "bdpo: demo-model: --size is \"huge\", expected one of tiny, small "
              "(see bdpo demo-model --help)\n");
    check_run(RUN(NULL, "demo-model", "--seed", "-1", "sd1", "x"), 2, "",
              "bdpo: demo-model: --seed is \"-1\", expected a whole number from 0 to "
              "9223372036854775807 (see bdpo demo-model --help)\n");
    check_run(RUN("/", "demo-model", "sd1", "no/such/place"), 1, "",
              "bdpo: no/such/place/: cannot make the directory: No such file or directory\n");
}

BDPO_TEST(a_single_file_samples_as_its_directory)
{
    const char *directory = with_model("sd2");
    check_run(RUN(directory, "demo-model", "sd2", "one.safetensors", "--layout", "single"), 0,
              "one.safetensors\none\n", "");
    CHECK_INT(RUN(directory, "sample", "m", "-q", "-p", "a cat", "-s", "2", "-o", "a.png")->code,
              0);
    check_run(RUN(directory, "sample", "one.safetensors", "--config", "one", "-q", "-p", "a cat",
                  "-s", "2", "-o", "b.png"),
              0, "b.png\n", "");
    check_same_pixels("a.png", "b.png");
    const program_result *r = RUN(directory, "sample", "one.safetensors", "-q", "-p", "x");
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err, "a single file has no tokenizer; expected --tokenizer DIR");
    scratch_remove();
}

// ---- wrong usage -------------------------------------------------------------------------------

BDPO_TEST(sample_wrong_usage_is_one_line)
{
    static const struct {
        const char *option, *value, *says;
    } rows[] = {
        {"--steps", "0", "--steps is \"0\", expected a whole number from 1 to 1000"},
        {"--steps", "20x", "--steps is \"20x\", expected a whole number from 1 to 1000"},
        {"--steps", "99999999999999999999", "--steps is \"99999999999999999999\""},
        {"--guidance", "nan", "--guidance is \"nan\", expected a number from 0 to 100"},
        {"--guidance", "", "--guidance is \"\""},
        {"--guidance-rescale", "2", "--guidance-rescale is \"2\", expected a number from 0 to 1"},
        {"--seed", "1e3", "--seed is \"1e3\", expected a whole number from 0 to 92233"},
        {"--sampler", "magic",
         "--sampler is \"magic\", expected one of ddpm, ddim, pndm, euler, euler-ancestral, heun, "
         "dpmpp-2m, dpmpp-2m-karras"},
        {"--rng", "cuda", "--rng is \"cuda\", expected one of philox, torch"},
        {"--format", "gif", "--format is \"gif\", expected one of png, jpeg, webp"},
        {"--crop", "3", "--crop is \"3\", expected two numbers from 0 to 1000000, as 512x768"},
        {"--strength", "0.5", "--strength is for --image FILE"},
        {"--cleaning", "ftfy", "\"ftfy\""},
        {"--type", "sd9", "\"sd9\" is not a type of model"},
        {"--negative", "\xff", "--negative: found bytes that are not UTF-8"},
        {"--prompt", "\xff", "--prompt: found bytes that are not UTF-8"},
        {"--seed", "9223372036854775807", "--seed leaves no room"},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        const program_result *r =
            RUN("/", "sample", "nowhere", "-p", "a cat", rows[i].option, rows[i].value);
        CHECK_CONTAINS(r->err, rows[i].says);
        CHECK_CONTAINS(r->err, " (see bdpo sample --help)\n");
        CHECK(strchr(r->err, '\n') == r->err + strlen(r->err) - 1);
        CHECK_STR(r->out, "");
        CHECK_INT(r->code, 2);
    }
    check_run(RUN("/", "sample", "nowhere"), 2, "",
              "bdpo: sample: needs a prompt: --prompt TEXT or --prompts FILE "
              "(see bdpo sample --help)\n");
    check_run(RUN("/", "sample", "-p", "x"), 2, "",
              "bdpo: sample: needs MODEL, got 0 arguments (see bdpo sample --help)\n");
}

// An adapter of rank 1 for one layer of the model "m", large enough to be seen.
static void write_lora(const char *name)
{
    static const char layer[] = "mid_block.attentions.0.transformer_blocks.0.attn2.to_v";
    bdpo_tensor_file *unet;
    const bdpo_stored_tensor *weight;
    char key[3][128];
    float values[512];
    snprintf(key[0], sizeof key[0], "%s.weight", layer);
    snprintf(key[1], sizeof key[1], "unet.%s.lora_A.weight", layer);
    snprintf(key[2], sizeof key[2], "unet.%s.lora_B.weight", layer);
    for (int i = 0; i < 512; i++) values[i] = (float)(i % 7 - 3) / 2;
    CHECK_OK(
        bdpo_tensor_file_open(&unet, scratch_path("m/unet/diffusion_pytorch_model.safetensors")));
    CHECK_OK(bdpo_tensor_file_get(&weight, unet, key[0]));
    CHECK(weight->n_dims == 2 && weight->dim[0] <= 512 && weight->dim[1] <= 512);
    const int64_t a[] = {1, weight->dim[1]}, b[] = {weight->dim[0], 1};
    const bdpo_tensor_to_write tensors[] = {{key[1], BDPO_STORED_F32, 2, a, values},
                                            {key[2], BDPO_STORED_F32, 2, b, values}};
    CHECK_OK(bdpo_safetensors_write(scratch_path(name), tensors, 2, NULL));
    bdpo_tensor_file_close(unet);
}

static int largest_difference(const char *a, const char *b)
{
    bdpo_image first, second;
    int largest = 0;
    CHECK_OK(bdpo_image_read(&first, scratch_path(a)));
    CHECK_OK(bdpo_image_read(&second, scratch_path(b)));
    CHECK_U64(bdpo_image_bytes(&first), bdpo_image_bytes(&second));
    for (size_t i = 0; i < bdpo_image_bytes(&first); i++) {
        int d = abs((int)first.pixels[i] - (int)second.pixels[i]);
        if (d > largest) largest = d;
    }
    bdpo_image_release(&first);
    bdpo_image_release(&second);
    return largest;
}

// Beside the weights or merged into them, an adapter paints the same; at strength 0 nothing.
BDPO_TEST(an_adapter_paints_as_its_merge)
{
    const char *directory = with_model("sd1");
    write_lora("a.safetensors");
    CHECK_INT(RUN(directory, "merge", "m", "merged", "--lora", "a.safetensors:2", "-q")->code, 0);
    CHECK_INT(RUN(directory, "sample", "m", "-p", "x", "-s", "2", "-o", "plain.png")->code, 0);
    CHECK_INT(RUN(directory, "sample", "merged", "-p", "x", "-s", "2", "-o", "merged.png")->code,
              0);
    CHECK_INT(RUN(directory, "sample", "m", "-p", "x", "-s", "2", "-o", "none.png", "--lora",
                  "a.safetensors:0")
                  ->code,
              0);
    CHECK_INT(RUN(directory, "sample", "m", "-p", "x", "-s", "2", "-o", "once.png", "--lora",
                  "a.safetensors:2")
                  ->code,
              0);
    CHECK_INT(RUN(directory, "sample", "m", "-p", "x", "-s", "2", "-o", "twice.png", "--lora",
                  "a.safetensors", "--lora", "a.safetensors:1")
                  ->code,
              0);
    check_same_pixels("plain.png", "none.png");
    CHECK(largest_difference("plain.png", "once.png") > 10);
    // Products summed in another order may move a value over the edge between two levels.
    CHECK(largest_difference("merged.png", "once.png") <= 1);
    CHECK(largest_difference("merged.png", "twice.png") <= 1);
    scratch_remove();
}

BDPO_TEST(sample_names_adapters_that_are_wrong)
{
    const char *directory = with_model("sd1");
    check_run(RUN(directory, "sample", "m", "-p", "x", "--lora", "none.safetensors"), 1, "",
              "bdpo: none.safetensors: cannot open: No such file or directory\n");
    check_run(RUN(directory, "sample", "m", "-p", "x", "--lora", "a:nan"), 2, "",
              "bdpo: sample: --lora takes FILE or FILE:STRENGTH, the strength a finite number, not "
              "a:nan (see bdpo sample --help)\n");
    const program_result *r = RUN(directory, "sample", "m", "-p", "x", "--lora",
                                  "m/vae/diffusion_pytorch_model.safetensors");
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err, "are no adapter of a layer of this model");
    scratch_remove();
}

BDPO_TEST(sample_names_files_that_are_wrong)
{
    const char *directory = with_model("sd1");
    check_run(RUN(directory, "sample", "no-model", "-p", "x"), 1, "",
              "bdpo: no-model: cannot open: No such file or directory\n");
    const program_result *r = RUN(directory, "sample", "m", "--prompts", "no-list");
    CHECK_CONTAINS(r->err, "bdpo: no-list: cannot open");
    CHECK_INT(r->code, 1);
    r = RUN(directory, "sample", "m", "-p", "x", "--image", "no-image.png");
    CHECK_CONTAINS(r->err, "bdpo: no-image.png: cannot open");
    CHECK_INT(r->code, 1);
    r = RUN(directory, "sample", "m", "-p", "x", "--width", "100");
    CHECK_CONTAINS(r->err, "bdpo: width is 100, expected a multiple of 8 up to 65535\n");
    CHECK_INT(r->code, 1);
    r = RUN(directory, "sample", "m", "-p", "x", "-c", "2", "-o", "x.png");
    CHECK_CONTAINS(r->err, "bdpo: --out x.png is one file, expected a directory for 2 pictures\n");
    CHECK_INT(r->code, 1);
    scratch_file("file", "x");
    r = RUN(directory, "sample", "m", "-p", "x", "-o", "file");
    CHECK_CONTAINS(r->err, "bdpo: file: is a file, expected a directory\n");
    CHECK_INT(r->code, 1);
    scratch_remove();
}

// ---- pictures and what they tell ---------------------------------------------------------------

static void check_parameters(const char *name)
{
    char *text;
    bdpo_generation_parameters p;
    CHECK_OK(bdpo_image_read_text(&text, scratch_path(name), "parameters"));
    CHECK(text != NULL);
    CHECK_OK(bdpo_generation_parse(&p, text));
    CHECK_STR(p.prompt, "a cat,\nred");
    CHECK_STR(p.negative_prompt, "ugly");
    CHECK_INT(p.n_steps, 3);
    CHECK_STR(p.sampler, "DPM++ 2M");
    CHECK_NEAR(p.cfg_scale, 6.5, 0); // printed and read back
    CHECK_U64(p.seed, 77);
    CHECK_INT(p.width, 128);
    CHECK_INT(p.height, 64);
    CHECK_STR(p.model, "m");
    CHECK_INT(strlen(p.model_hash), 10);
    CHECK_STR(p.others[0].key, "Schedule type");
    CHECK_STR(p.others[0].value, "Karras");
    CHECK_STR(p.others[1].key, "Clip skip");
    CHECK_STR(p.others[1].value, "2");
    bdpo_generation_release(&p);
    bdpo_free(text);
}

static const char *word(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

BDPO_TEST(a_picture_keeps_how_it_was_made)
{
    char *text;
    bdpo_image image;
    const char *directory = with_model("sd1");
    const program_result *r =
        RUN(directory, "sample", "m", "-q", "-pa cat,\nred", "-n", "ugly", "-s3", "-g6.5",
            "--sampler=dpmpp-2m-karras", "--seed=77", "--height=64", "--clip-skip=1", "-oa.png");
    check_run(r, 0, "a.png\n", "");
    read_picture(&image, "a.png", 128, 64);
    bdpo_image_release(&image);
    check_parameters("a.png");
    CHECK_OK(bdpo_image_read_text(&text, scratch_path("a.png"), "bdpo"));
    json_t *all = json_loads(text, 0, NULL);
    CHECK(all != NULL);
    CHECK_STR(word(all, "prompt"), "a cat,\nred");
    CHECK_STR(word(all, "negative"), "ugly");
    CHECK_STR(word(all, "sampler"), "dpmpp-2m-karras");
    CHECK_STR(word(all, "rng"), "philox");
    CHECK_STR(word(json_object_get(all, "model"), "type"), "sd1");
    CHECK_INT(strlen(word(json_object_get(all, "model"), "identity")), 64);
    CHECK_STR(word(json_object_get(all, "scheduler"), "_class_name"), "PNDMScheduler");
    CHECK_INT(json_integer_value(json_object_get(all, "seed")), 77);
    CHECK_INT(json_integer_value(json_object_get(all, "steps")), 3);
    CHECK_INT(json_integer_value(json_object_get(all, "clip_skip")), 1);
    json_decref(all);
    bdpo_free(text);
    scratch_remove();
}

BDPO_TEST(other_formats_keep_the_parameters)
{
    bdpo_image image;
    char *text;
    const char *directory = with_model("sdxl");
    check_run(RUN(directory, "sample", "m", "-q", "-p", "x", "-s", "1", "-f", "jpeg"), 0,
              "samples/00000-0.jpg\n", "");
    check_run(RUN(directory, "sample", "m", "-q", "-p", "x", "-s", "1", "-o", "a/b.webp"), 1, "",
              "bdpo: a/b.webp: cannot create a temporary file beside it: "
              "No such file or directory\n");
    check_run(RUN(directory, "sample", "m", "-q", "-p", "x", "-s", "1", "-o", "b.webp"), 0,
              "b.webp\n", "");
    read_picture(&image, "b.webp", 128, 128);
    bdpo_image_release(&image);
    CHECK_OK(bdpo_image_read_text(&text, scratch_path("samples/00000-0.jpg"), "parameters"));
    CHECK_CONTAINS(text, "Steps: 1, Sampler: Euler, CFG scale: 5, Seed: 0, Size: 128x128");
    bdpo_free(text);
    scratch_remove();
}

BDPO_TEST(every_prompt_has_the_same_seeds_and_nothing_is_written_over)
{
    bdpo_image sheet;
    const char *directory = with_model("sdxl");
    scratch_file("list.txt", "a dog\n");
    check_run(RUN(directory, "sample", "m", "-q", "-p", "a cat", "--prompts", "list.txt", "-c", "2",
                  "-b", "3", "-s2", "--seed=5", "-oout/deep", "--preview=sheet.png"),
              0,
              "out/deep/00000-5.png\nout/deep/00001-6.png\nout/deep/00002-5.png\n"
              "out/deep/00003-6.png\n",
              "");
    read_picture(&sheet, "sheet.png", 2 * 128 + 3 * 4, 2 * 128 + 3 * 4);
    bdpo_image_release(&sheet);
    check_run(RUN(directory, "sample", "m", "-q", "-p", "a dog", "-s2", "--seed=6", "-oout/deep"),
              0, "out/deep/00004-6.png\n", "");
    CHECK(exists("out/deep/00003-6.png"));
    scratch_remove();
}

BDPO_TEST(sample_from_an_image_of_any_size)
{
    bdpo_image image;
    const char *directory = with_model("sd1");
    CHECK_OK(bdpo_image_new(&image, 83, 70, BDPO_IMAGE_GREY));
    CHECK_OK(bdpo_image_write(scratch_path("start.png"), &image, NULL));
    bdpo_image_release(&image);
    check_run(RUN(directory, "sample", "m", "-q", "-p", "x", "-s4", "--image", "start.png",
                  "--strength=0.5", "-oa.png"),
              0, "a.png\n", "");
    read_picture(&image, "a.png", 80, 64);
    bdpo_image_release(&image);
    scratch_remove();
}

BDPO_TEST(json_tells_times_and_memory)
{
    const char *directory = with_model("sd1");
    const program_result *r = RUN(directory, "sample", "m", "-q", "--json", "-p", "x", "-s2",
                                  "-oa.png", "--hash", "--latents=l.safetensors");
    CHECK_STR(r->err, "");
    CHECK_INT(r->code, 0);
    json_t *all = json_loads(r->out, 0, NULL);
    CHECK(all != NULL);
    json_t *picture = json_array_get(json_object_get(all, "pictures"), 0);
    CHECK_STR(word(picture, "file"), "a.png");
    CHECK_INT(json_integer_value(json_object_get(all, "unet_calls")), 3); // PNDM
    CHECK_INT(strlen(word(json_object_get(all, "model"), "sha256")), 64);
    json_t *seconds = json_object_get(all, "seconds"), *bytes = json_object_get(all, "bytes");
    double first = json_real_value(json_object_get(seconds, "first_kernel"));
    double total = json_real_value(json_object_get(seconds, "total"));
    CHECK(first > 0 && total > first);
    CHECK(json_integer_value(json_object_get(bytes, "peak_resident")) >
          json_integer_value(json_object_get(bytes, "values")));
    json_decref(all);
    bdpo_tensor_file *latents;
    CHECK_OK(bdpo_tensor_file_open(&latents, scratch_path("l.safetensors")));
    CHECK_INT(bdpo_tensor_file_count(latents), 4);
    const bdpo_stored_tensor *last = bdpo_tensor_file_find(latents, "call.3");
    CHECK(last && last->n_dims == 4 && last->dim[1] == 4 && last->dim[2] == 16);
    bdpo_tensor_file_close(latents);
    scratch_remove();
}

// ---- interruption ------------------------------------------------------------------------------

BDPO_TEST(interrupt_ends_between_two_steps)
{
    static const char command[] =
        "cd '%s' && { " BDPO_PROGRAM " sample m -q -p x -s 40 --sampler ddim -c 1000 "
        "--threads 1 -o out >names & p=$!; "
        "while [ ! -s names ]; do sleep 0.02; done; kill -INT $p; wait $p; }";
    char line[1024];
    with_model("sdxl");
    snprintf(line, sizeof line, command, scratch_path(""));
    // A shell without job control starts a background job with SIGINT ignored; the program
    // catches it all the same.
    int status = system(line); // NOLINT(cert-env33-c): the shell's work
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 130);
    CHECK(exists("out/00000-0.png")); // what was finished stays
    scratch_remove();
}
