// The program as its users meet it: exact output, errors and exit codes.
#include "harness.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "cli/run_program.h"
#include "formats/safetensors.h"
#include "formats/tensor_file.h"
#include "models/scratch.h"

static const char golden[] = BDPO_TESTS_DIR "/fixtures/checkpoints";

static void check_run(const program_result *r, int code, const char *out, const char *err)
{
    CHECK_STR(r->err, err);
    CHECK_STR(r->out, out);
    CHECK_INT(r->code, code);
}

// ---- the program -------------------------------------------------------------------------------

BDPO_TEST(version_and_help)
{
    check_run(RUN(NULL, "--version"), 0, "bdpo 0.1.0\n", "");
    const program_result *r = RUN(NULL, "--help");
    CHECK_INT(r->code, 0);
    CHECK_STR(r->err, "");
    CHECK_CONTAINS(r->out, "  inspect     what is in a checkpoint\n");
    r = RUN(NULL, "inspect", "--help");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "usage: bdpo inspect [options] FILE|DIR\n");
    CHECK_CONTAINS(r->out, "\nexamples:\n  bdpo inspect sd15/\n");
}

BDPO_TEST(no_command_is_wrong_usage)
{
    const program_result *r = run_program(NULL, (const char *const[]){NULL});
    CHECK_INT(r->code, 2);
    CHECK_STR(r->out, "");
    CHECK_CONTAINS(r->err, "usage: bdpo COMMAND");
}

BDPO_TEST(unknown_command_suggests_the_nearest)
{
    check_run(RUN(NULL, "inspekt"), 2, "",
              "bdpo: no command \"inspekt\"; did you mean inspect? (see bdpo --help)\n");
    check_run(RUN(NULL, "conv"), 2, "",
              "bdpo: no command \"conv\"; did you mean convert? (see bdpo --help)\n");
    check_run(RUN(NULL, "frobnicate"), 2, "",
              "bdpo: no command \"frobnicate\" (see bdpo --help)\n");
}

BDPO_TEST(wrong_usage_is_one_line)
{
    check_run(RUN(NULL, "inspect"), 2, "",
              "bdpo: inspect: needs FILE|DIR, got 0 arguments (see bdpo inspect --help)\n");
    check_run(RUN(NULL, "convert", "one"), 2, "",
              "bdpo: convert: needs IN OUT, got 1 argument (see bdpo convert --help)\n");
    check_run(RUN(NULL, "inspect", "--colour", "x"), 2, "",
              "bdpo: inspect: --colour: unknown option (see bdpo inspect --help)\n");
    check_run(RUN(NULL, "inspect", "--type", "sd9", "x"), 2, "",
              "bdpo: inspect: \"sd9\" is not a type of model: sd1, sd2 or sdxl "
              "(see bdpo inspect --help)\n");
    check_run(RUN(NULL, "convert", "--dtype", "f8", "a", "b"), 2, "",
              "bdpo: convert: --dtype takes f32, f16 or bf16, not f8 (see bdpo convert --help)\n");
    check_run(RUN(NULL, "convert", "--to", "zip", "a", "b"), 2, "",
              "bdpo: convert: --to takes diffusers or single, not zip (see bdpo convert --help)\n");
}

BDPO_TEST(failure_is_one_line)
{
    check_run(RUN("/", "inspect", "no/such/file"), 1, "",
              "bdpo: no/such/file: cannot open: No such file or directory\n");
}

BDPO_TEST(output_that_is_lost_is_a_failure)
{
    if (access("/dev/full", W_OK) != 0) SKIP("no /dev/full here");
    const char *command = BDPO_PROGRAM " inspect --help >/dev/full 2>/dev/null";
    int status = system(command); // NOLINT(cert-env33-c): redirection is the shell's work
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 1);
}

BDPO_TEST(commands_page_is_what_the_program_prints)
{
    char *page;
    size_t size;
    const program_result *r = RUN(NULL, "--help", "--all");
    CHECK_INT(r->code, 0);
    CHECK_OK(bdpo_file_read(&page, &size, BDPO_TESTS_DIR "/../docs/commands.md", 1 << 20));
    CHECK_STR(page, r->out); // bdpo --help --all >docs/commands.md
    bdpo_free(page);
}

// ---- inspect -----------------------------------------------------------------------------------

BDPO_TEST(inspect_tells_of_a_directory)
{
    check_run(RUN(golden, "inspect", "sd2"), 0,
              "sd2\n"
              "layout      directory (safetensors)\n"
              "type        sd2\n"
              "prediction  v_prediction\n"
              "\n"
              "                  tensors       parameters            bytes  dtype\n"
              "unet                  206            6,616           13,232  F16\n"
              "vae                   120            4,367            8,734  F16\n"
              "text_encoder           36            1,720            3,440  F16\n",
              "");
}

BDPO_TEST(inspect_lists_tensors_and_hashes)
{
    const float one[] = {1.0F};
    const int64_t dim[] = {1};
    const bdpo_tensor_to_write tensors[] = {
        {.name = "a", .dtype = BDPO_STORED_F32, .n_dims = 1, .dim = dim, .data = one},
        {.name = "b.lora_A.weight", .dtype = BDPO_STORED_F32, .data = one}};
    CHECK_OK(bdpo_safetensors_write(scratch_path("x.safetensors"), tensors, 2, NULL));
    check_run(RUN(scratch_path(""), "inspect", "x.safetensors", "--tensors"), 0,
              "x.safetensors\n"
              "layout      tensors (safetensors)\n"
              "content     LoRA, PEFT's names\n"
              "\n"
              "                  tensors       parameters            bytes  dtype\n"
              "file                    2                2                8  F32\n"
              "\n"
              "tensors\n"
              "  F32   [1]  a\n"
              "  F32   []  b.lora_A.weight\n",
              "");
    const program_result *r = RUN(scratch_path(""), "inspect", "x.safetensors", "--hash");
    // printf '\\0\\0\\200?\\0\\0\\200?' | sha256sum: the data, 1.0F twice
    CHECK_CONTAINS(r->out, "  sshs_short         80b8fd6d60fa\n");
    CHECK_CONTAINS(r->out, "  legacy             e3b0c442\n"); // of nothing: it has no second MiB
    scratch_remove();
}

BDPO_TEST(inspect_gives_json)
{
    const program_result *r = RUN(golden, "inspect", "sd2/vae", "--json");
    CHECK_INT(r->code, 0);
    CHECK_STR(r->err, "");
    CHECK_CONTAINS(r->out, "\"layout\": \"component\"");
    CHECK_CONTAINS(r->out, "\"parameters\": 4367");
    CHECK_CONTAINS(r->out, "\"type\": null");
}

// ---- convert -----------------------------------------------------------------------------------

static void check_same_file(const char *a, const char *b)
{
    bdpo_file_view left, right;
    CHECK_OK(bdpo_file_map(&left, a));
    CHECK_OK(bdpo_file_map(&right, b));
    CHECK_U64(left.size, right.size);
    CHECK_BYTES(left.data, right.data, left.size);
    bdpo_file_unmap(&left);
    bdpo_file_unmap(&right);
}

BDPO_TEST(convert_there_and_back_gives_diffusers_own_bytes)
{
    char here[512], in[512], theirs[1024];
    snprintf(here, sizeof here, "%s", scratch_path(""));
    snprintf(in, sizeof in, "%s/sd2", golden);
    check_run(RUN(here, "convert", in, "one.safetensors"), 0,
              "one.safetensors: sd2, v_prediction, single\n", "");
    const program_result *r = RUN(here, "inspect", "one.safetensors", "--config", in);
    CHECK_CONTAINS(r->out, "\nunet                  206            6,616           13,232  F16\n");
    CHECK_CONTAINS(r->out, "\nfile                  354           12,703           25,406  F16\n");
    check_run(RUN(here, "convert", "one.safetensors", "back", "--config", in, "-q"), 0,
              "back: sd2, v_prediction, diffusers\n",
              "warning: no tokenizer is written, since there is none in one.safetensors: give "
              "--tokenizer DIR, a diffusers directory of the same family\n");
    static const char *const files[] = {"unet/diffusion_pytorch_model.safetensors",
                                        "vae/diffusion_pytorch_model.safetensors"};
    for (size_t i = 0; i < BDPO_COUNTOF(files); i++) {
        char ours[64];
        snprintf(ours, sizeof ours, "back/%s", files[i]);
        snprintf(theirs, sizeof theirs, "%s/%s", in, files[i]);
        check_same_file(scratch_path(ours), theirs);
    }
    scratch_remove();
}

BDPO_TEST(convert_writes_each_dtype)
{
    static const char *const words[] = {"f32", "f16", "bf16"};
    static const bdpo_stored_dtype dtypes[] = {BDPO_STORED_F32, BDPO_STORED_F16, BDPO_STORED_BF16};
    char in[512];
    snprintf(in, sizeof in, "%s/sd2", golden);
    for (int i = 0; i < 3; i++) {
        const program_result *r =
            RUN(scratch_path(""), "convert", in, "o.safetensors", "--dtype", words[i]);
        CHECK_STR(r->err, "");
        CHECK_INT(r->code, 0);
        bdpo_tensor_file *file;
        CHECK_OK(bdpo_tensor_file_open(&file, scratch_path("o.safetensors")));
        for (size_t k = 0; k < bdpo_tensor_file_count(file); k++)
            CHECK_INT(bdpo_tensor_file_at(file, k)->dtype, dtypes[i]);
        CHECK_STR(bdpo_tensor_file_text(file, "modelspec.architecture"),
                  "stable-diffusion-v2-768-v");
        bdpo_tensor_file_close(file);
    }
    scratch_remove();
}

BDPO_TEST(convert_asks_what_sd2_predicts)
{
    const float zeros[8] = {0};
    const int64_t dim[] = {8};
    const bdpo_tensor_to_write tensor = {.name = "cond_stage_model.model.ln_final.bias",
                                         .dtype = BDPO_STORED_F32,
                                         .n_dims = 1,
                                         .dim = dim,
                                         .data = zeros};
    CHECK_OK(bdpo_safetensors_write(scratch_path("v2.safetensors"), &tensor, 1, NULL));
    check_run(RUN(scratch_path(""), "convert", "v2.safetensors", "v2"), 1, "",
              "bdpo: v2.safetensors: does not say what the model predicts: give --prediction "
              "epsilon or --prediction v_prediction\n");
    scratch_remove();
}

BDPO_TEST(convert_refuses_a_model_that_does_not_fit_its_configuration)
{
    char in[512];
    snprintf(in, sizeof in, "%s/sd2", golden);
    CHECK_INT(RUN(scratch_path(""), "convert", in, "one.safetensors")->code, 0);
    // Without --config the published one is meant, which is larger.
    const program_result *r = RUN(scratch_path(""), "convert", "one.safetensors", "back");
    CHECK_INT(r->code, 1);
    CHECK_STR(r->out, "");
    CHECK_CONTAINS(r->err, "bdpo: one.safetensors: ");
    CHECK_CONTAINS(r->err, " of 686 tensors do not fit unet (the published configuration): "
                           "\"conv_in.weight\" is [4, 4, 3, 3] where [320, 4, 3, 3] is expected; ");
    CHECK(access(scratch_path("back"), F_OK) != 0); // nothing was begun
    scratch_remove();
}
