// `bdpo fetch` as its users meet it, with a hub that the tests play.
#define _DEFAULT_SOURCE // setenv, usleep
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "cli/run_program.h"
#include "fetch/fetch.h"
#include "fetch/http_fixture.h"
#include "models/scratch.h"

// ---- a world of the test's own -----------------------------------------------------------------

// Caches in the scratch directory, no token, and the server as hub and as GitHub.
static void enter(const http_server *server)
{
    static const char *const unset[] = {
        "HF_HUB_CACHE",   "HUGGINGFACE_HUB_CACHE", "HF_TOKEN",       "HUGGING_FACE_HUB_TOKEN",
        "HF_HUB_OFFLINE", "HF_TOKEN_PATH",         "XDG_CACHE_HOME", "http_proxy"};
    for (size_t i = 0; i < BDPO_COUNTOF(unset); i++) unsetenv(unset[i]);
    setenv("HF_HOME", scratch_path("hf"), 1);
    setenv("BDPO_CACHE", scratch_path("ours"), 1);
    setenv("HF_ENDPOINT", http_server_url(server, "/"), 1);
    setenv("BDPO_GITHUB_ENDPOINT", http_server_url(server, "/raw"), 1);
}

static http_server *start(const http_route *routes, int n)
{
    http_server *server = http_server_start(routes, n);
    enter(server);
    return server;
}

static void leave(http_server *server)
{
    http_server_stop(server);
    scratch_remove();
}

static void make_directories(const char *path)
{
    CHECK_OK(bdpo_fetch_make_parents(path));
}

// A file of Hugging Face's cache: a blob, and a link to it in the snapshot.
static void put_in_hub_cache(const char *folder, const char *commit, const char *name,
                             const char *content)
{
    char blob[1024], link_path[1024];
    snprintf(blob, sizeof blob, "hf/hub/%s/blobs/blob-of-%zu-%s", folder, strlen(content), commit);
    snprintf(link_path, sizeof link_path, "hf/hub/%s/snapshots/%s/%s", folder, commit, name);
    make_directories(scratch_path(blob));
    make_directories(scratch_path(link_path));
    scratch_file(blob, content);
    CHECK(symlink(scratch_path(blob), scratch_path(link_path)) == 0);
}

static void put_ref(const char *folder, const char *commit)
{
    char path[1024];
    snprintf(path, sizeof path, "hf/hub/%s/refs/main", folder);
    make_directories(scratch_path(path));
    scratch_file(path, commit);
}

#define TEXT_ROUTE(where, text)                                                                    \
    {                                                                                              \
        .path = (where), .body = (text), .size = sizeof(text) - 1                                  \
    }
#define HPS "/xswu/HPSv2/resolve/main/HPS_v2.1_compressed.pt"

static const char hps_folder[] = "models--xswu--HPSv2";

// The vocabulary that belongs to HPS lies in our cache. Its content is not looked at without
// --check.
static const char vocabulary[] = "ours/github--openai--CLIP/clip/bpe_simple_vocab_16e6.txt.gz";

static void put_vocabulary(void)
{
    make_directories(scratch_path(vocabulary));
    scratch_file(vocabulary, "not the real one");
}

// What `bdpo fetch hpsv2.1` prints.
static void check_paths(const char *actual, const char *weights)
{
    char expected[1024];
    snprintf(expected, sizeof expected, "%s\n%s\n", scratch_path(weights),
             scratch_path(vocabulary));
    CHECK_STR(actual, expected);
}

// ---- one file ----------------------------------------------------------------------------------

BDPO_TEST(fetch_gets_a_file_once)
{
    const http_route routes[] = {TEXT_ROUTE(HPS, "weights")};
    http_server *server = start(routes, 1);
    put_vocabulary();
    const program_result *r = RUN(NULL, "fetch", "hpsv2.1", "--where");
    CHECK_INT(r->code, 1);
    CHECK_STR(r->err, "bdpo: hpsv2.1: HPS_v2.1_compressed.pt is not on this disk; `bdpo fetch "
                      "hpsv2.1` gets it\n");
    r = RUN(NULL, "fetch", "hpsv2.1");
    CHECK_CONTAINS(r->err, "hpsv2.1: licence: Apache-2.0; from http://127.0.0.1:");
    CHECK_CONTAINS(r->err, "hpsv2.1: HPS_v2.1_compressed.pt: 7 bytes, SHA-256 ");
    check_paths(r->out, "ours/models--xswu--HPSv2/HPS_v2.1_compressed.pt");
    CHECK_INT(r->code, 0);
    r = RUN(NULL, "fetch", "hpsv2.1");
    CHECK_STR(r->err, "");
    check_paths(r->out, "ours/models--xswu--HPSv2/HPS_v2.1_compressed.pt");
    CHECK_INT(http_server_count(server), 1);
    CHECK_INT(RUN(NULL, "fetch", "hpsv2", "--where")->code, 1); // another file of that repository
    char path[BDPO_PATH_BYTES];
    CHECK_OK(bdpo_fetch_find(path, "hpsv2.1", NULL));
    CHECK_STATUS(bdpo_fetch_find(path, "hpsv2", NULL), BDPO_NOT_FOUND);
    CHECK_STR(bdpo_message(), "hpsv2: xswu/HPSv2 is not on this disk; `bdpo fetch hpsv2` gets it "
                              "(licence: Apache-2.0)");
    leave(server);
}

BDPO_TEST(fetch_finds_what_the_hub_cache_has)
{
    http_server *server = start(NULL, 0);
    put_vocabulary();
    put_in_hub_cache(hps_folder, "aaa", "HPS_v2.1_compressed.pt", "old");
    put_in_hub_cache(hps_folder, "bbb", "HPS_v2.1_compressed.pt", "the one");
    put_ref(hps_folder, "bbb\n");
    const program_result *r = RUN(NULL, "fetch", "hpsv2.1");
    CHECK_STR(r->err, "");
    check_paths(r->out, "hf/hub/models--xswu--HPSv2/snapshots/bbb/HPS_v2.1_compressed.pt");
    put_ref(hps_folder, "ccc"); // not there: the newest of the others
    r = RUN(NULL, "fetch", "hpsv2.1", "--where");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "/snapshots/");
    setenv("HF_HUB_CACHE", scratch_path("elsewhere"), 1);
    CHECK_INT(RUN(NULL, "fetch", "hpsv2.1", "--where")->code, 1);
    setenv("HF_HUB_CACHE", scratch_path("hf/hub"), 1);
    setenv("HF_HOME", "/nonexistent", 1);
    CHECK_INT(RUN(NULL, "fetch", "hpsv2.1", "--where")->code, 0);
    unsetenv("HF_HUB_CACHE");
    unsetenv("HF_HOME");
    CHECK(rename(scratch_path("hf"), scratch_path("huggingface")) == 0);
    setenv("XDG_CACHE_HOME", scratch_path("."), 1); // the blobs' links lead to "hf": gone
    CHECK_INT(RUN(NULL, "fetch", "hpsv2.1", "--where")->code, 1);
    CHECK_INT(http_server_count(server), 0);
    leave(server);
}

BDPO_TEST(fetch_knows_repositories_by_earlier_names)
{
    http_server *server = start(NULL, 0);
    put_in_hub_cache("models--zai-org--ImageReward", "abc", "ImageReward.pt", "w");
    put_in_hub_cache("models--bert-base-uncased", "abc", "vocab.txt", "v");
    char path[BDPO_PATH_BYTES];
    CHECK_OK(bdpo_fetch_find(path, "imagereward", NULL));
    CHECK_CONTAINS(path, "zai-org--ImageReward/snapshots/abc/ImageReward.pt");
    CHECK_OK(bdpo_fetch_find(path, "imagereward", "vocab.txt"));
    CHECK_CONTAINS(path, "models--bert-base-uncased/snapshots/abc/vocab.txt");
    CHECK_STATUS(bdpo_fetch_find(path, "imagereward", "med_config.json"), BDPO_NOT_FOUND);
    CHECK_STATUS(bdpo_fetch_find(path, "imagereward", "nonsense"), BDPO_BAD_ARGUMENT);
    leave(server);
}

// ---- directories -------------------------------------------------------------------------------

#define PICK   "/yuvalkirstain/PickScore_v1/resolve/main/"
#define LAION  "/laion/CLIP-ViT-H-14-laion2B-s32B-b79K/resolve/main/"
#define PICK_W "models--yuvalkirstain--PickScore_v1"

static const http_route pickscore[] = {
    TEXT_ROUTE(PICK "pytorch_model.bin", "weights"), // there is no model.safetensors
    TEXT_ROUTE(PICK "config.json", "{}"),
    TEXT_ROUTE(LAION "preprocessor_config.json", "{\"p\": 1}"),
    TEXT_ROUTE(LAION "tokenizer.json", "{\"t\": 1}"),
    TEXT_ROUTE(LAION "tokenizer_config.json", "{}"),
    TEXT_ROUTE(LAION "vocab.json", "{}"),
    TEXT_ROUTE(LAION "merges.txt", "a b"),
};

BDPO_TEST(fetch_gets_directories_and_other_names_of_a_file)
{
    http_server *server = start(pickscore, BDPO_COUNTOF(pickscore));
    const program_result *r = RUN(NULL, "fetch", "pickscore");
    CHECK_INT(r->code, 0);
    CHECK_INT(http_server_count(server), 8);
    CHECK_INT(http_server_request(server, 0).status, 404);
    CHECK(strncmp(r->out, scratch_path("ours/" PICK_W "\n"),
                  strlen(scratch_path("ours/" PICK_W "\n"))) == 0);
    CHECK_CONTAINS(r->out, "/ours/models--laion--CLIP-ViT-H-14-laion2B-s32B-b79K\n");
    char path[BDPO_PATH_BYTES];
    CHECK_OK(bdpo_fetch_find(path, "pickscore", NULL));
    CHECK_STR(path, scratch_path("ours/" PICK_W));
    CHECK_OK(bdpo_fetch_find(path, "pickscore", "model.safetensors"));
    CHECK_STR(path, scratch_path("ours/" PICK_W "/pytorch_model.bin"));
    CHECK_OK(bdpo_fetch_find_part(path, "pickscore", BDPO_FETCH_TOKENIZER));
    CHECK_STR(path, scratch_path("ours/models--laion--CLIP-ViT-H-14-laion2B-s32B-b79K"));
    CHECK_STATUS(bdpo_fetch_find_part(path, "pickscore", BDPO_FETCH_TOWER), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_fetch_find_part(path, "aesthetic", BDPO_FETCH_TOWER), BDPO_NOT_FOUND);
    leave(server);
}

// Hugging Face's cache has the configuration, and our cache the weights: one directory has both.
BDPO_TEST(fetch_links_what_the_hub_cache_has_of_a_directory)
{
    struct stat info;
    http_server *server = start(pickscore, BDPO_COUNTOF(pickscore));
    put_in_hub_cache(PICK_W, "abc", "config.json", "{\"from\": \"hub\"}");
    const program_result *r = RUN(NULL, "fetch", "--json");
    CHECK_CONTAINS(r->out, "\"here\": \"1 of 7 files\"");
    r = RUN(NULL, "fetch", "pickscore");
    CHECK_INT(r->code, 0);
    CHECK(lstat(scratch_path("ours/" PICK_W "/config.json"), &info) == 0);
    CHECK(S_ISLNK(info.st_mode));
    CHECK_INT(http_server_count(server), 7);
    char path[BDPO_PATH_BYTES];
    CHECK_OK(bdpo_fetch_find(path, "pickscore", NULL));
    CHECK_STR(path, scratch_path("ours/" PICK_W));
    put_in_hub_cache(PICK_W, "abc", "model.safetensors", "whole now"); // then there
    CHECK_OK(bdpo_fetch_find(path, "pickscore", NULL));
    CHECK_STR(path, scratch_path("hf/hub/" PICK_W "/snapshots/abc"));
    leave(server);
}

// open_clip leaves its own file only.
BDPO_TEST(fetch_finds_weights_that_lie_alone)
{
    char path[BDPO_PATH_BYTES];
    http_server *server = start(NULL, 0);
    put_in_hub_cache("models--laion--CLIP-ViT-H-14-laion2B-s32B-b79K", "abc",
                     "open_clip_pytorch_model.bin", "w");
    CHECK_OK(bdpo_fetch_find(path, "clip-h", NULL));
    CHECK_CONTAINS(path, "/snapshots/abc/open_clip_pytorch_model.bin");
    CHECK_STATUS(bdpo_fetch_find_part(path, "clip-h", BDPO_FETCH_TOKENIZER), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_fetch_find(path, "sd15", NULL), BDPO_NOT_FOUND);
    leave(server);
}

BDPO_TEST(fetch_names_all_that_was_tried)
{
    http_server *server = start(NULL, 0);
    const program_result *r = RUN(NULL, "fetch", "pickscore", "-q");
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err, "/yuvalkirstain/PickScore_v1 has none of "
                           "model.safetensors|pytorch_model.bin\n");
    CHECK_STR(r->out, "");
    leave(server);
}

// ---- shards ------------------------------------------------------------------------------------

#define PICKAPIC "/datasets/yuvalkirstain/pickapic_v2/resolve/main/data/"
#define TREE     "/api/datasets/yuvalkirstain/pickapic_v2/tree/main?recursive=true"
#define SHA_ABC  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ENTRY(name, size, sha)                                                                     \
    "{\"type\": \"file\", \"path\": \"data/" name "\", \"size\": " size ", \"oid\": \"1\", "       \
    "\"lfs\": {\"oid\": \"" sha "\", \"size\": " size "}}"

static char second_page[128];

BDPO_TEST(fetch_gets_shards_by_the_list_of_the_hub)
{
    const http_route routes[] = {
        {.path = TREE,
         .headers = second_page,
         .body =
             "[{\"type\": \"directory\", \"path\": \"data\", \"oid\": \"1\", \"size\": 0}, " ENTRY(
                 "test_unique-00000-of-00002-x.parquet", "3", SHA_ABC) "]",
         .size = 0},
        TEXT_ROUTE("/page2",
                   "[" ENTRY("test_unique-00001-of-00002-x.parquet", "3", SHA_ABC) ", " ENTRY(
                       "validation_unique-00000-of-00001-y.parquet", "3", SHA_ABC) "]"),
        TEXT_ROUTE(PICKAPIC "test_unique-00000-of-00002-x.parquet", "abc"),
        TEXT_ROUTE(PICKAPIC "test_unique-00001-of-00002-x.parquet", "abc"),
        TEXT_ROUTE(PICKAPIC "validation_unique-00000-of-00001-y.parquet", "abc"),
    };
    http_route with_size[5];
    memcpy(with_size, routes, sizeof routes);
    with_size[0].size = strlen(with_size[0].body);
    http_server *server = start(with_size, 5);
    snprintf(second_page, sizeof second_page, "Link: <%s>; rel=\"next\"\r\n",
             http_server_url(server, "/page2"));
    const program_result *r = RUN(NULL, "fetch", "pickapic-v2-unique");
    CHECK_STR(r->err + strlen(r->err) - 1, "\n");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "/data/validation_unique-00000-of-00001-y.parquet\n");
    CHECK_CONTAINS(r->out, "/data/test_unique-00000-of-00002-x.parquet\n");
    CHECK_CONTAINS(r->out, "/data/test_unique-00001-of-00002-x.parquet\n");
    int n = http_server_count(server);
    CHECK_INT(RUN(NULL, "fetch", "pickapic-v2-unique", "--check")->code, 0);
    // One shard less: not whole, and only that one comes again.
    CHECK(unlink(scratch_path("ours/datasets--yuvalkirstain--pickapic_v2/data/"
                              "test_unique-00000-of-00002-x.parquet")) == 0);
    CHECK_INT(RUN(NULL, "fetch", "pickapic-v2-unique", "--where")->code, 1);
    CHECK_INT(RUN(NULL, "fetch", "pickapic-v2-unique")->code, 0);
    CHECK_INT(http_server_count(server), n + 3);
    leave(server);
}

// ---- hashes ------------------------------------------------------------------------------------

BDPO_TEST(fetch_refuses_a_wrong_hash)
{
    const http_route routes[] = {
        TEXT_ROUTE("/raw/google-research/parti/main/PartiPrompts.tsv", "x")};
    http_route of_size[1] = {routes[0]};
    char *other = bdpo_alloc(123107, 1); // of the right size
    of_size[0].body = other;
    of_size[0].size = 123107;
    http_server *server = start(of_size, 1);
    const program_result *r = RUN(NULL, "fetch", "partiprompts", "-q");
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err, "bdpo: partiprompts: PartiPrompts.tsv: has the SHA-256 ");
    CHECK_CONTAINS(r->err,
                   "expected fab29e41bb512a169b56acab4cf2a41dcb675e285df2efcde6640c7dd3c440eb;"
                   " removed\n");
    of_size[0].size--;
    r = RUN(NULL, "fetch", "partiprompts", "-q");
    CHECK_STR(r->err,
              "bdpo: partiprompts: PartiPrompts.tsv: the server has 123106 bytes under this "
              "name, 123107 are expected\n");
    CHECK(!bdpo_file_exists(scratch_path("ours/github--google-research--parti/PartiPrompts.tsv")));
    CHECK(!bdpo_file_exists(
        scratch_path("ours/github--google-research--parti/PartiPrompts.tsv.part")));
    bdpo_free(other);
    leave(server);
}

BDPO_TEST(fetch_gets_the_real_prompts)
{
    char *text;
    size_t size;
    if (bdpo_file_read(&text, &size, BDPO_TESTS_DIR "/../../shared/data/prompts/PartiPrompts.tsv",
                       1 << 20) != BDPO_OK)
        SKIP("no PartiPrompts.tsv in ../shared/data/prompts");
    const http_route route = {
        .path = "/raw/google-research/parti/main/PartiPrompts.tsv", .body = text, .size = size};
    http_server *server = start(&route, 1);
    const program_result *r = RUN(NULL, "fetch", "partiprompts");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "/ours/github--google-research--parti/PartiPrompts.tsv\n");
    bdpo_free(text);
    leave(server);
}

#define VAE "/madebyollin/sdxl-vae-fp16-fix/resolve/main/"

BDPO_TEST(fetch_checks_what_is_here)
{
    const http_route routes[] = {TEXT_ROUTE(VAE "diffusion_pytorch_model.bin", "weights"),
                                 TEXT_ROUTE(VAE "config.json", "{}")};
    const char *file = "ours/models--madebyollin--sdxl-vae-fp16-fix/diffusion_pytorch_model.bin";
    http_server *server = start(routes, 2);
    CHECK_INT(RUN(NULL, "fetch", "sdxl-vae-fix", "-q")->code, 0);
    const program_result *r = RUN(NULL, "fetch", "sdxl-vae-fix", "--check");
    CHECK_STR(r->err, "sdxl-vae-fix: 2 files as they should be, 0 with no hash to compare\n");
    CHECK_INT(r->code, 0);
    scratch_file(file, "weighty");
    r = RUN(NULL, "fetch", "sdxl-vae-fix", "--check");
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err, "remove it and fetch it again\n");
    scratch_file(file, "cut"); // another size is seen at once
    CHECK_INT(RUN(NULL, "fetch", "sdxl-vae-fix", "--where")->code, 1);
    CHECK_INT(RUN(NULL, "fetch", "sdxl-vae-fix", "-q")->code, 0);
    CHECK_INT(RUN(NULL, "fetch", "sdxl-vae-fix", "--check")->code, 0);
    leave(server);
}

// ---- who asks ----------------------------------------------------------------------------------

BDPO_TEST(fetch_sends_the_token_of_the_environment)
{
    const http_route routes[] = {TEXT_ROUTE(HPS, "weights")};
    http_server *server = start(routes, 1);
    put_vocabulary();
    setenv("HF_TOKEN", "  first\n", 1);
    setenv("HUGGING_FACE_HUB_TOKEN", "second", 1);
    CHECK_INT(RUN(NULL, "fetch", "hpsv2.1", "-q")->code, 0);
    CHECK_STR(http_server_request(server, 0).authorization, "Bearer first");
    unsetenv("HF_TOKEN");
    CHECK(unlink(scratch_path("ours/models--xswu--HPSv2/HPS_v2.1_compressed.pt")) == 0);
    CHECK_INT(RUN(NULL, "fetch", "hpsv2.1", "-q")->code, 0);
    CHECK_STR(http_server_request(server, 1).authorization, "Bearer second");
    unsetenv("HUGGING_FACE_HUB_TOKEN");
    CHECK(unlink(scratch_path("ours/models--xswu--HPSv2/HPS_v2.1_compressed.pt")) == 0);
    make_directories(scratch_path("hf/token"));
    scratch_file("hf/token", "third\n");
    CHECK_INT(RUN(NULL, "fetch", "hpsv2.1", "-q")->code, 0);
    CHECK_STR(http_server_request(server, 2).authorization, "Bearer third");
    setenv("HF_TOKEN", "two words", 1);
    const program_result *r = RUN(NULL, "fetch", "hpsv2.1");
    CHECK_STR(r->err, "bdpo: HF_TOKEN: this is no token: one word such as hf_...\n");
    leave(server);
}

BDPO_TEST(fetch_explains_a_gated_repository)
{
    http_route route = {.path = HPS, .n_failing = 9, .failing = 401};
    http_server *server = start(&route, 1);
    put_vocabulary();
    const program_result *r = RUN(NULL, "fetch", "hpsv2.1", "-q");
    CHECK_INT(r->code, 1);
    CHECK_CONTAINS(r->err,
                   "bdpo: hpsv2.1: HPS_v2.1_compressed.pt: the server wants a token (401): ");
    CHECK_CONTAINS(r->err, "/xswu/HPSv2, then set HF_TOKEN\n");
    setenv("HF_TOKEN", "t", 1);
    r = RUN(NULL, "fetch", "hpsv2.1", "-q");
    CHECK_CONTAINS(r->err, "the server refuses your token (401): is HF_TOKEN still valid");
    leave(server);
}

// ---- the command line --------------------------------------------------------------------------

BDPO_TEST(fetch_wrong_usage)
{
    http_server *server = start(NULL, 0);
    const program_result *r = RUN(NULL, "fetch", "hpsv2.1", "pikscore");
    CHECK_INT(r->code, 2);
    CHECK_STR(r->err, "bdpo: fetch: nothing is called \"pikscore\"; did you mean pickscore? (see "
                      "bdpo fetch --help)\n");
    CHECK_INT(RUN(NULL, "fetch", "--where")->code, 2);
    CHECK_INT(RUN(NULL, "fetch", "hpsv2", "--list")->code, 2);
    CHECK_INT(RUN(NULL, "fetch", "hpsv2", "--out", "x")->code, 2);
    CHECK_INT(RUN(NULL, "fetch", "https://example.org/", "-q")->code, 2);
    CHECK_INT(RUN(NULL, "fetch", "https://example.org/a", "--sha256", "12")->code, 2);
    CHECK_INT(http_server_count(server), 0);
    setenv("HF_ENDPOINT", "huggingface.co", 1);
    r = RUN(NULL, "fetch");
    CHECK_STR(r->err, "bdpo: HF_ENDPOINT=huggingface.co: should be an address, such as "
                      "https://huggingface.co\n");
    leave(server);
}

BDPO_TEST(fetch_offline)
{
    http_server *server = start(NULL, 0);
    put_vocabulary();
    setenv("HF_HUB_OFFLINE", "1", 1);
    const program_result *r = RUN(NULL, "fetch", "hpsv2.1");
    CHECK_INT(r->code, 1);
    CHECK_STR(r->err, "bdpo: hpsv2.1: not all of it is on this disk, and HF_HUB_OFFLINE is set\n");
    CHECK_INT(http_server_count(server), 0);
    leave(server);
}

BDPO_TEST(fetch_lists_what_there_is)
{
    http_server *server = start(NULL, 0);
    put_vocabulary();
    put_in_hub_cache(hps_folder, "abc", "HPS_v2_compressed.pt", "w");
    const program_result *r = RUN(NULL, "fetch");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "hpsv2                 scorer    2.0 GB   HF cache       Apache-2.0  ");
    CHECK_CONTAINS(r->out, "hpsv2.1               scorer    2.0 GB   1 of 2 files   Apache-2.0  ");
    r = RUN(NULL, "fetch", "--list", "--json");
    CHECK_INT(r->code, 0);
    CHECK_CONTAINS(r->out, "/snapshots/abc/HPS_v2_compressed.pt\"}");
    leave(server);
}

BDPO_TEST(fetch_any_address)
{
    const http_route routes[] = {TEXT_ROUTE("/some/a.bin?x=1", "abc")};
    http_server *server = start(routes, 1);
    const char *directory = scratch_directory("work"),
               *url = http_server_url(server, routes[0].path);
    const program_result *r = RUN(directory, "fetch", url, "--sha256", SHA_ABC);
    CHECK_STR(r->out, "a.bin\n");
    CHECK_INT(r->code, 0);
    CHECK_INT(RUN(directory, "fetch", url, "--sha256", SHA_ABC)->code, 0); // there already
    CHECK_INT(http_server_count(server), 1);
    r = RUN(directory, "fetch", url);
    CHECK_STR(r->err, "bdpo: a.bin: is there already (with --sha256 it would be compared)\n");
    r = RUN(directory, "fetch", url, "--out", "b.bin", "-q");
    CHECK_INT(r->code, 0);
    CHECK(bdpo_file_exists(scratch_path("work/b.bin")));
    r = RUN(directory, "fetch", http_server_url(server, "/gone"), "-q");
    CHECK_CONTAINS(r->err, "bdpo: gone: the server has no such file (404): http://127.0.0.1:");
    CHECK_INT(r->code, 1);
    leave(server);
}

BDPO_TEST(fetch_is_interrupted_and_goes_on)
{
    enum { SIZE = 400000 };
    char *bytes = bdpo_alloc(SIZE, 1);
    const http_route route = {
        .path = HPS, .body = bytes, .size = SIZE, .slow_ms = 40, .etag = "\"e\""};
    http_server *server = start(&route, 1);
    put_vocabulary();
    const char *part = "ours/models--xswu--HPSv2/HPS_v2.1_compressed.pt.part";
    struct stat info = {0};
    int status;
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(126);
        execl(BDPO_PROGRAM, "bdpo", "fetch", "hpsv2.1", "-q", (char *)NULL);
        _exit(127);
    }
    while (stat(scratch_path(part), &info) != 0 || info.st_size == 0) usleep(5000);
    CHECK(kill(child, SIGINT) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 130);
    CHECK(bdpo_file_exists(scratch_path(part)));
    CHECK_INT(RUN(NULL, "fetch", "hpsv2.1", "-q")->code, 0);
    CHECK_STR(http_server_request(server, 1).if_range, "\"e\"");
    CHECK(stat(scratch_path("ours/models--xswu--HPSv2/HPS_v2.1_compressed.pt"), &info) == 0);
    CHECK_INT(info.st_size, SIZE);
    CHECK(!bdpo_file_exists(scratch_path(part)));
    bdpo_free(bytes);
    leave(server);
}

BDPO_TEST(fetch_document_is_the_catalogue)
{
    char *page;
    size_t size;
    const program_result *r = RUN(NULL, "fetch", "--markdown");
    CHECK_OK(bdpo_file_read(&page, &size, BDPO_TESTS_DIR "/../docs/getting-models.md", 1 << 20));
    CHECK_CONTAINS(page, r->out); // bdpo fetch --markdown
    bdpo_free(page);
}
