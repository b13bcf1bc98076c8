// Downloads against a server that misbehaves. What must hold in each case: either the right bytes
// stand under the name, or nothing does.
#define _GNU_SOURCE // unshare
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "fetch/download.h"
#include "fetch/http_fixture.h"
#include "models/scratch.h"

enum { BODY_BYTES = 1000003 };

static unsigned char body[BODY_BYTES];
static bdpo_sha256_text body_sha256;

static void make_body(void)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < BODY_BYTES; i++) {
        state = state * 1664525u + 1013904223u;
        body[i] = (unsigned char)(state >> 24);
    }
    CHECK_OK(bdpo_sha256(&body_sha256, body, BODY_BYTES));
}

static const http_route whole = {.path = "/f", .body = body, .size = BODY_BYTES, .etag = "\"e1\""};

static bdpo_status get_with(const bdpo_download *what, bdpo_fetch_options options)
{
    bdpo_http *http;
    if (options.max_tries == 0) options.max_tries = 4;
    options.backoff_s = 0.01;
    if (options.stall_s == 0) options.stall_s = 5;
    options = bdpo_fetch_options_settle(&options);
    CHECK_OK(bdpo_http_new(&http, options.interrupted, options.stall_s));
    bdpo_status status = bdpo_download_file(what, http, &options);
    bdpo_http_free(http);
    return status;
}

static bdpo_status get(const char *url, const char *sha256)
{
    bdpo_download what = {.url = url,
                          .path = scratch_path("f.bin"),
                          .record = scratch_path("records/f.bin.json"),
                          .label = "f.bin",
                          .sha256 = sha256,
                          .proof = "catalogue",
                          .token = "",
                          .http_allowed = true};
    return get_with(&what, (bdpo_fetch_options){0});
}

static void check_content(const char *path)
{
    char *content;
    size_t size;
    CHECK_OK(bdpo_file_read(&content, &size, path, 2 * BODY_BYTES));
    CHECK_U64(size, BODY_BYTES);
    CHECK(memcmp(content, body, BODY_BYTES) == 0);
    bdpo_free(content);
}

static void check_arrived(void)
{
    check_content(scratch_path("f.bin"));
    CHECK(!bdpo_file_exists(scratch_path("f.bin.part")));
    CHECK(!bdpo_file_exists(scratch_path("f.bin.part.tag")));
}

static void check_nothing(bool part)
{
    CHECK(!bdpo_file_exists(scratch_path("f.bin")));
    CHECK_INT(bdpo_file_exists(scratch_path("f.bin.part")), part);
}

// ---- what goes well ----------------------------------------------------------------------------

BDPO_TEST(a_file_arrives_with_its_record)
{
    make_body();
    http_server *server = http_server_start(&whole, 1);
    CHECK_OK(get(http_server_url(server, "/f"), body_sha256.hex));
    check_arrived();
    bdpo_fetch_record record;
    CHECK_OK(bdpo_fetch_record_read(&record, scratch_path("records/f.bin.json")));
    CHECK_STR(record.sha256.hex, body_sha256.hex);
    CHECK_INT(record.size, BODY_BYTES);
    CHECK_STR(record.proof, "catalogue");
    CHECK_STR(record.etag, "\"e1\"");
    CHECK_INT(http_server_count(server), 1);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(chunked_and_empty_bodies)
{
    make_body();
    http_route routes[] = {whole, {.path = "/empty", .body = "", .size = 0}};
    routes[0].chunked = true;
    http_server *server = http_server_start(routes, 2);
    CHECK_OK(get(http_server_url(server, "/f"), NULL));
    check_arrived();
    CHECK(unlink(scratch_path("f.bin")) == 0 && unlink(scratch_path("records/f.bin.json")) == 0);
    CHECK_OK(get(http_server_url(server, "/empty"), NULL));
    CHECK(bdpo_file_exists(scratch_path("f.bin")));
    http_server_stop(server);
    scratch_remove();
}

// ---- broken transfers --------------------------------------------------------------------------

static size_t cut_randomly(int index, size_t left)
{
    uint32_t state = (uint32_t)(index + 1) * 2654435761u;
    return 1 + (state >> 8) % (left < 300000 ? left : 300000);
}

static size_t cut_in_half(int index, size_t left)
{
    return index == 0 ? left / 2 : left;
}

static size_t cut_always(int index, size_t left)
{
    (void)index, (void)left;
    return 1000;
}

static size_t cut_to_nothing(int index, size_t left)
{
    (void)index, (void)left;
    return 0;
}

// Each try gets on a little; tries with progress are not counted against it.
static void break_and_resume(http_route route, const char *sha256)
{
    http_server *server = http_server_start(&route, 1);
    CHECK_OK(get(http_server_url(server, "/f"), sha256));
    check_arrived();
    CHECK(http_server_count(server) > 3);
    CHECK_STR(http_server_request(server, 0).range, "");
    int64_t before = 0;
    for (int i = 1; i < http_server_count(server); i++) {
        long long first;
        CHECK(sscanf(http_server_request(server, i).range, "bytes=%lld-", &first) == 1);
        CHECK(first > before);
        before = first;
        CHECK_INT(http_server_request(server, i).status, 206);
    }
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(broken_transfers_go_on_where_they_ended)
{
    make_body();
    http_route route = whole;
    route.cut = cut_randomly;
    break_and_resume(route, body_sha256.hex);
    break_and_resume(route, NULL); // by the ETag alone
    route.etag = NULL;
    break_and_resume(route, body_sha256.hex); // by the hash alone
}

BDPO_TEST(a_later_run_goes_on)
{
    make_body();
    http_route route = whole;
    route.cut = cut_always;
    http_server *server = http_server_start(&route, 1);
    bdpo_download what = {.url = http_server_url(server, "/f"),
                          .path = scratch_path("f.bin"),
                          .label = "f.bin",
                          .token = "",
                          .http_allowed = true};
    CHECK_STATUS(get_with(&what, (bdpo_fetch_options){.max_tries = 1}), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "what came is kept");
    check_nothing(true);
    http_server_stop(server);
    route.cut = NULL;
    server = http_server_start(&route, 1);
    CHECK_OK(get(http_server_url(server, "/f"), NULL));
    check_arrived();
    CHECK_STR(http_server_request(server, 0).range, "bytes=1000-");
    CHECK_STR(http_server_request(server, 0).if_range, "\"e1\"");
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_changed_file_begins_anew)
{
    make_body();
    http_route route = whole;
    route.cut = cut_always;
    http_server *server = http_server_start(&route, 1);
    bdpo_download what = {.url = http_server_url(server, "/f"),
                          .path = scratch_path("f.bin"),
                          .label = "f.bin",
                          .token = "",
                          .http_allowed = true};
    CHECK_STATUS(get_with(&what, (bdpo_fetch_options){.max_tries = 1}), BDPO_IO);
    http_server_stop(server);
    route.cut = NULL;
    route.etag = "\"e2\"";
    body[0] ^= 1;
    server = http_server_start(&route, 1);
    CHECK_OK(get(http_server_url(server, "/f"), NULL));
    check_arrived();
    CHECK_INT(http_server_request(server, 0).status, 200);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_part_with_wrong_bytes_begins_anew)
{
    make_body();
    http_server *server = http_server_start(&whole, 1);
    scratch_file("f.bin.part", "these are not its first bytes");
    scratch_file("f.bin.part.tag", "\"e1\"\n\n1000003\n\n");
    CHECK_OK(get(http_server_url(server, "/f"), body_sha256.hex));
    check_arrived();
    CHECK_INT(http_server_request(server, 0).status, 206);
    CHECK_INT(http_server_request(server, 1).status, 200);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_part_without_or_with_a_damaged_tag)
{
    make_body();
    http_server *server = http_server_start(&whole, 1);
    scratch_file("f.bin.part", "whatever");
    scratch_file("f.bin.part.tag", "nonsense");
    CHECK_OK(get(http_server_url(server, "/f"), NULL));
    check_arrived();
    CHECK_STR(http_server_request(server, 0).range, "");
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_part_that_is_whole_only_gets_its_name)
{
    make_body();
    http_server *server = http_server_start(&whole, 1);
    CHECK_OK(bdpo_file_write(scratch_path("f.bin.part"), body, BODY_BYTES));
    scratch_file("f.bin.part.tag", "\"e1\"\n\n1000003\n\n");
    CHECK_OK(get(http_server_url(server, "/f"), body_sha256.hex));
    check_arrived();
    CHECK_INT(http_server_count(server), 0);
    // Its size is not known: the server says that nothing is left.
    CHECK(unlink(scratch_path("f.bin")) == 0);
    CHECK_OK(bdpo_file_write(scratch_path("f.bin.part"), body, BODY_BYTES));
    scratch_file("f.bin.part.tag", "\"e1\"\n\n0\n\n");
    CHECK_OK(get(http_server_url(server, "/f"), body_sha256.hex));
    check_arrived();
    CHECK_INT(http_server_request(server, 0).status, 416);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_part_longer_than_the_file)
{
    make_body();
    http_server *server = http_server_start(&whole, 1);
    CHECK_OK(bdpo_file_write(scratch_path("f.bin.part"), body, BODY_BYTES));
    CHECK(truncate(scratch_path("f.bin.part"), BODY_BYTES + 5) == 0);
    scratch_file("f.bin.part.tag", "\"e1\"\n\n0\n\n");
    CHECK_OK(get(http_server_url(server, "/f"), body_sha256.hex));
    check_arrived();
    CHECK_INT(http_server_request(server, 0).status, 416);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_server_without_ranges)
{
    make_body();
    http_route route = whole;
    route.no_range = true;
    route.cut = cut_in_half;
    http_server *server = http_server_start(&route, 1);
    CHECK_OK(get(http_server_url(server, "/f"), body_sha256.hex));
    check_arrived();
    CHECK_INT(http_server_count(server), 2);
    http_server_stop(server);
    scratch_remove();
    route.cut = cut_always; // it never gets on: given up
    server = http_server_start(&route, 1);
    CHECK_STATUS(get(http_server_url(server, "/f"), body_sha256.hex), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "given up after 4 tries");
    CHECK_INT(http_server_count(server), 4);
    check_nothing(true);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST_FULL(a_stalled_server)
{
    make_body();
    http_route route = whole;
    route.stall = true;
    route.cut = cut_in_half;
    http_server *server = http_server_start(&route, 1);
    bdpo_download what = {.url = http_server_url(server, "/f"),
                          .path = scratch_path("f.bin"),
                          .label = "f.bin",
                          .token = "",
                          .http_allowed = true};
    CHECK_OK(get_with(&what, (bdpo_fetch_options){.stall_s = 0.3}));
    check_arrived();
    CHECK_INT(http_server_request(server, 1).status, 206);
    http_server_stop(server);
    CHECK(unlink(scratch_path("f.bin")) == 0);
    route.cut = cut_to_nothing;
    server = http_server_start(&route, 1);
    what.url = http_server_url(server, "/f");
    CHECK_STATUS(get_with(&what, (bdpo_fetch_options){.stall_s = 0.2, .max_tries = 1}), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "no byte came for 0 s");
    check_nothing(false);
    http_server_stop(server);
    scratch_remove();
}

// ---- lengths and hashes ------------------------------------------------------------------------

BDPO_TEST(a_promise_of_too_many_bytes)
{
    make_body();
    http_route route = whole;
    route.promise = BODY_BYTES + 10;
    route.no_range = true;
    http_server *server = http_server_start(&route, 1);
    CHECK_STATUS(get(http_server_url(server, "/f"), NULL), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "given up after 4 tries");
    check_nothing(true);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_promise_of_too_few_bytes)
{
    make_body();
    http_route route = whole;
    route.promise = BODY_BYTES - 10;
    http_server *server = http_server_start(&route, 1);
    CHECK_STATUS(get(http_server_url(server, "/f"), body_sha256.hex), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "has the SHA-256 ");
    check_nothing(false);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(neither_length_nor_hash)
{
    make_body();
    http_route route = whole;
    route.no_length = true;
    http_server *server = http_server_start(&route, 1);
    CHECK_STATUS(get(http_server_url(server, "/f"), NULL), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "tells neither length nor hash");
    check_nothing(false);
    CHECK_OK(get(http_server_url(server, "/f"), body_sha256.hex));
    check_arrived();
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_wrong_hash_leaves_nothing)
{
    static const char other[] = "00000000000000000000000000000000000000000000000000000000000000ff";
    make_body();
    http_server *server = http_server_start(&whole, 1);
    CHECK_STATUS(get(http_server_url(server, "/f"), other), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), body_sha256.hex);
    CHECK_CONTAINS(bdpo_message(), other);
    check_nothing(false);
    CHECK(!bdpo_file_exists(scratch_path("records/f.bin.json")));
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_hash_that_the_server_states)
{
    char headers[256];
    make_body();
    http_route routes[] = {whole, {.path = "/start", .redirect = "/f", .headers = headers}};
    http_server *server = http_server_start(routes, 2);
    snprintf(headers, sizeof headers, "X-Linked-ETag: \"%s\"\r\nX-Linked-Size: %d\r\n",
             body_sha256.hex, BODY_BYTES);
    CHECK_OK(get(http_server_url(server, "/start"), NULL));
    check_arrived();
    bdpo_fetch_record record;
    CHECK_OK(bdpo_fetch_record_read(&record, scratch_path("records/f.bin.json")));
    CHECK_STR(record.proof, "server");
    CHECK(unlink(scratch_path("f.bin")) == 0 && unlink(scratch_path("records/f.bin.json")) == 0);
    headers[16] ^= 1; // in its first digit
    CHECK_STATUS(get(http_server_url(server, "/start"), NULL), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "but the server states");
    check_nothing(false);
    CHECK_STATUS(get(http_server_url(server, "/start"), body_sha256.hex), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "expected is");
    snprintf(headers, sizeof headers, "X-Linked-Size: %d\r\n", BODY_BYTES - 1);
    CHECK_STATUS(get(http_server_url(server, "/start"), NULL), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "promises 1000002 bytes and sends 1000003");
    check_nothing(false);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(content_that_is_no_longer_what_was_recorded)
{
    make_body();
    http_server *server = http_server_start(&whole, 1);
    CHECK_OK(get(http_server_url(server, "/f"), NULL));
    CHECK(unlink(scratch_path("f.bin")) == 0);
    CHECK_OK(get(http_server_url(server, "/f"), NULL));
    CHECK(unlink(scratch_path("f.bin")) == 0);
    body[7] ^= 1;
    CHECK_STATUS(get(http_server_url(server, "/f"), NULL), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "when it was first fetched");
    check_nothing(false);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_web_page_is_not_the_file)
{
    make_body();
    http_route route = whole;
    route.headers = "Content-Type: text/html; charset=utf-8\r\n";
    http_server *server = http_server_start(&route, 1);
    CHECK_STATUS(get(http_server_url(server, "/f"), NULL), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "sends a web page instead of the file");
    check_nothing(false);
    http_server_stop(server);
    scratch_remove();
}

// ---- refusals ----------------------------------------------------------------------------------

static void check_refusal(int status, const char *headers, const char *token, const char *page,
                          bdpo_status expected, const char *words)
{
    http_route route = {.path = "/f", .n_failing = 100, .failing = status, .headers = headers};
    http_server *server = http_server_start(&route, 1);
    bdpo_download what = {.url = http_server_url(server, "/f"),
                          .path = scratch_path("f.bin"),
                          .label = "f.bin",
                          .token = token,
                          .page = page,
                          .http_allowed = true};
    CHECK_STATUS(get_with(&what, (bdpo_fetch_options){0}), expected);
    CHECK_CONTAINS(bdpo_message(), words);
    CHECK(!strchr(bdpo_message(), '\n'));
    bool again = status >= 500 || status == 429;
    CHECK_INT(http_server_count(server), again && !headers ? 4 : 1);
    check_nothing(false);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(refusals_are_told_in_one_line)
{
    static const char page[] = "https://hub/a/b";
    check_refusal(401, NULL, "", page, BDPO_IO, "accept its licence at https://hub/a/b, then set");
    check_refusal(401, NULL, "tok", page, BDPO_IO, "the server refuses your token (401)");
    check_refusal(401, NULL, "", NULL, BDPO_IO, "wants to know who asks (401)");
    check_refusal(403, NULL, "tok", page, BDPO_IO, "accept the licence at https://hub/a/b, with");
    check_refusal(403, "X-Error-Code: GatedRepo\r\n", "", page, BDPO_IO,
                  "accept the licence at https://hub/a/b, then set HF_TOKEN");
    check_refusal(404, NULL, "", page, BDPO_NOT_FOUND, "the server has no such file (404)");
    check_refusal(451, NULL, "", page, BDPO_IO, "answers 451");
    check_refusal(500, NULL, "", page, BDPO_IO, "answers 500 (given up after 4 tries)");
    check_refusal(429, NULL, "", page, BDPO_IO, "is asked too often (429)");
    check_refusal(429, "Retry-After: 3600\r\n", "", page, BDPO_IO, "asks to come back in 3600 s");
}

BDPO_TEST(a_server_that_is_busy_at_first)
{
    make_body();
    http_route route = whole;
    route.n_failing = 3;
    route.failing = 500;
    http_server *server = http_server_start(&route, 1);
    CHECK_OK(get(http_server_url(server, "/f"), body_sha256.hex));
    check_arrived();
    CHECK_INT(http_server_count(server), 4);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST_FULL(retry_after_is_kept)
{
    make_body();
    http_route route = whole;
    route.n_failing = 1;
    route.failing = 429;
    route.headers = "Retry-After: 2\r\n";
    http_server *server = http_server_start(&route, 1);
    double begin = bdpo_clock_seconds();
    CHECK_OK(get(http_server_url(server, "/f"), body_sha256.hex));
    CHECK(bdpo_clock_seconds() - begin >= 2);
    check_arrived();
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(nobody_listens)
{
    http_server *server = http_server_start(&whole, 1);
    char url[512];
    snprintf(url, sizeof url, "%s", http_server_url(server, "/f"));
    http_server_stop(server);
    CHECK_STATUS(get(url, NULL), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "f.bin: http://127.0.0.1:");
    CHECK_CONTAINS(bdpo_message(), "(given up after 4 tries)");
    check_nothing(false);
    scratch_remove();
}

static bdpo_status get_once(const char *url)
{
    bdpo_download what = {.url = url,
                          .path = scratch_path("f.bin"),
                          .label = "f.bin",
                          .token = "",
                          .http_allowed = true};
    return get_with(&what, (bdpo_fetch_options){.max_tries = 1});
}

// Whatever the answer is: one line, and no file that is not what the answer says.
BDPO_TEST(answers_that_are_nonsense)
{
    static const char model[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"abc\"\r\nContent-Range: bytes 0-4/5\r\n"
        "X-Linked-ETag: \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\r\n"
        "X-Linked-Size: 3\r\nX-Repo-Commit: c0\r\nRetry-After: 1\r\nLink: <http://x/>; "
        "rel=\"next\"\r\nTransfer-Encoding: identity\r\n\r\nhello";
    enum { ROUNDS = 150 };
    char answer[sizeof model];
    http_route route = {.path = "/f", .raw = answer};
    uint32_t state = 7;
    http_server *server = http_server_start(&route, 1);
    for (int i = 0; i < ROUNDS; i++) {
        memcpy(answer, model, sizeof model);
        for (int k = 0; k < 1 + i % 4; k++) {
            state = state * 1664525u + 1013904223u;
            answer[(state >> 8) % (sizeof model - 1)] = (char)(1 + (state >> 24) % 255);
        }
        if (get_once(http_server_url(server, "/f")) != BDPO_OK) {
            CHECK(!strchr(bdpo_message(), '\n'));
            CHECK(!bdpo_file_exists(scratch_path("f.bin")));
        }
        unlink(scratch_path("f.bin"));
        unlink(scratch_path("f.bin.part"));
        unlink(scratch_path("f.bin.part.tag"));
    }
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_proxy_of_the_environment)
{
    make_body();
    http_route route = whole;
    route.path = "http://models.example/f"; // as a proxy is asked
    http_server *server = http_server_start(&route, 1);
    setenv("http_proxy", http_server_url(server, ""), 1);
    bdpo_download what = {.url = "http://models.example/f",
                          .path = scratch_path("f.bin"),
                          .label = "f.bin",
                          .token = "secret", // over plain http to this machine only
                          .http_allowed = true};
    CHECK_OK(get_with(&what, (bdpo_fetch_options){0}));
    check_arrived();
    CHECK_STR(http_server_request(server, 0).authorization, "");
    unsetenv("http_proxy");
    http_server_stop(server);
    scratch_remove();
}

// ---- redirects and the token -------------------------------------------------------------------

BDPO_TEST(the_token_goes_to_the_first_host_only)
{
    char there[512];
    make_body();
    http_server *other = http_server_start(&whole, 1);
    snprintf(there, sizeof there, "%s", http_server_url(other, "/f"));
    http_route routes[] = {{.path = "/start", .redirect = "/same"},
                           {.path = "/same", .redirect = there}};
    http_server *server = http_server_start(routes, 2);
    bdpo_download what = {.url = http_server_url(server, "/start"),
                          .path = scratch_path("f.bin"),
                          .label = "f.bin",
                          .sha256 = body_sha256.hex,
                          .token = "secret",
                          .http_allowed = true};
    CHECK_OK(get_with(&what, (bdpo_fetch_options){0}));
    check_arrived();
    CHECK_STR(http_server_request(server, 0).authorization, "Bearer secret");
    CHECK_STR(http_server_request(server, 1).authorization, "Bearer secret");
    CHECK_INT(http_server_count(other), 1);
    CHECK_STR(http_server_request(other, 0).authorization, "");
    http_server_stop(server);
    http_server_stop(other);
    scratch_remove();
}

// The second host's address is signed and runs out; the first gives another.
BDPO_TEST(a_signed_address_that_ran_out)
{
    char there[512];
    make_body();
    http_route route = whole;
    route.n_failing = 1;
    route.failing = 403;
    http_server *other = http_server_start(&route, 1);
    snprintf(there, sizeof there, "%s", http_server_url(other, "/f"));
    http_route start = {.path = "/start", .redirect = there};
    http_server *server = http_server_start(&start, 1);
    CHECK_OK(get(http_server_url(server, "/start"), body_sha256.hex));
    check_arrived();
    CHECK_INT(http_server_count(server), 2);
    http_server_stop(server);
    http_server_stop(other);
    scratch_remove();
}

BDPO_TEST(redirects_that_lead_nowhere)
{
    http_route routes[] = {{.path = "/loop", .redirect = "/loop"},
                           {.path = "/ftp", .redirect = "ftp://127.0.0.1/f"},
                           {.path = "/file", .redirect = "file:///etc/passwd"},
                           {.path = "/nowhere", .status = 302, .body = "", .size = 0}};
    http_server *server = http_server_start(routes, 4);
    CHECK_STATUS(get(http_server_url(server, "/loop"), NULL), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "more than 10 redirects");
    CHECK_INT(http_server_count(server), 11);
    CHECK_STATUS(get(http_server_url(server, "/ftp"), NULL), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "only https is taken here, not ftp");
    CHECK_STATUS(get(http_server_url(server, "/file"), NULL), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(get(http_server_url(server, "/nowhere"), NULL), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "without saying where");
    check_nothing(false);
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(plain_http_has_to_be_allowed)
{
    http_server *server = http_server_start(&whole, 1);
    bdpo_download what = {.url = http_server_url(server, "/f"),
                          .path = scratch_path("f.bin"),
                          .label = "f.bin",
                          .token = ""};
    CHECK_STATUS(get_with(&what, (bdpo_fetch_options){0}), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "only https is taken here, not http");
    CHECK_INT(http_server_count(server), 0);
    CHECK(bdpo_http_is_local("http://localhost:1/x") && bdpo_http_is_local("https://[::1]/x"));
    CHECK(!bdpo_http_is_local("http://example.org/") &&
          !bdpo_http_is_local("http://127.evil.org/"));
    http_server_stop(server);
    scratch_remove();
}

// ---- the disk ----------------------------------------------------------------------------------

BDPO_TEST(too_large_for_the_disk_is_told_before)
{
    make_body();
    http_route route = whole;
    route.promise = (int64_t)1 << 60;
    http_server *server = http_server_start(&route, 1);
    CHECK_STATUS(get(http_server_url(server, "/f"), NULL), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "f.bin: needs 1152921504.61 GB more on the disk of ");
    CHECK_CONTAINS(bdpo_message(), " free");
    check_nothing(false);
    http_server_stop(server);
    scratch_remove();
}

// Runs in a child, since limits, users and mounts do not come back.
static void in_child(void (*run)(const char *url), const char *url)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        run(url);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) SKIP("not allowed to mount here");
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
}

static void expect(bool fine, int code)
{
    if (fine) return;
    fprintf(stderr, "%s\n", bdpo_message());
    _exit(code);
}

static void get_with_limit(const char *url)
{
    const struct rlimit limit = {300000, 300000};
    signal(SIGXFSZ, SIG_IGN);
    expect(setrlimit(RLIMIT_FSIZE, &limit) == 0, 10);
    expect(get(url, NULL) == BDPO_IO, 11);
    expect(strstr(bdpo_message(), "no larger file is allowed") != NULL, 12);
}

BDPO_TEST(a_disk_that_fills_up_by_limit)
{
    make_body();
    http_server *server = http_server_start(&whole, 1);
    scratch_path("");
    in_child(get_with_limit, http_server_url(server, "/f"));
    check_nothing(true);
    CHECK_OK(get(http_server_url(server, "/f"), body_sha256.hex)); // now there is room
    check_arrived();
    CHECK_STR(http_server_request(server, 1).range, "bytes=300000-");
    http_server_stop(server);
    scratch_remove();
}

// A file system of 512 kB, and a body that does not tell its length.
static void get_on_small_disk(const char *url)
{
    char disk[BDPO_PATH_BYTES], path[BDPO_PATH_BYTES], part[BDPO_PATH_BYTES];
    snprintf(disk, sizeof disk, "%s", scratch_directory("disk"));
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", disk, "tmpfs", 0, "size=512k") != 0)
        _exit(77);
    bool joined = bdpo_file_join(path, disk, "f.bin") == BDPO_OK &&
                  bdpo_file_join(part, disk, "f.bin.part") == BDPO_OK;
    bdpo_download what = {.url = url,
                          .path = path,
                          .label = "f.bin",
                          .sha256 = body_sha256.hex,
                          .token = "",
                          .http_allowed = true};
    expect(joined, 19);
    expect(get_with(&what, (bdpo_fetch_options){0}) == BDPO_IO, 20);
    expect(strstr(bdpo_message(), "the disk is full after ") != NULL, 21);
    expect(!bdpo_file_exists(path) && bdpo_file_exists(part), 22);
    expect(umount(disk) == 0 && mount("none", disk, "tmpfs", 0, "size=4m,ro") == 0, 23);
    expect(get_with(&what, (bdpo_fetch_options){0}) == BDPO_IO, 24);
    expect(strstr(bdpo_message(), "f.bin.part: cannot open it for writing: Read-only") != NULL, 25);
}

BDPO_TEST(a_full_and_a_read_only_disk)
{
    make_body();
    http_route route = whole;
    route.no_length = true;
    http_server *server = http_server_start(&route, 1);
    scratch_path("");
    in_child(get_on_small_disk, http_server_url(server, "/f"));
    http_server_stop(server);
    scratch_remove();
}

BDPO_TEST(a_target_that_cannot_be)
{
    http_server *server = http_server_start(&whole, 1);
    char path[BDPO_PATH_BYTES];
    CHECK_OK(bdpo_file_join(path, scratch_file("plain", "x"), "f.bin"));
    bdpo_download what = {.url = http_server_url(server, "/f"),
                          .path = path,
                          .label = "f.bin",
                          .token = "",
                          .http_allowed = true};
    CHECK_STATUS(get_with(&what, (bdpo_fetch_options){0}), BDPO_IO);
    CHECK_CONTAINS(bdpo_message(), "cannot ");
    CHECK_INT(http_server_count(server), 0);
    http_server_stop(server);
    scratch_remove();
}

// ---- two at once, and the end by hand ----------------------------------------------------------

static void get_quietly(const char *url)
{
    expect(get(url, body_sha256.hex) == BDPO_OK, 30);
}

BDPO_TEST(four_processes_fetch_the_same_file)
{
    make_body();
    http_route route = whole;
    route.slow_ms = 3;
    route.cut = cut_in_half;
    http_server *server = http_server_start(&route, 1);
    scratch_path("");
    fflush(NULL);
    for (int i = 0; i < 4; i++)
        if (fork() == 0) {
            get_quietly(http_server_url(server, "/f"));
            _exit(0);
        }
    for (int i = 0; i < 4; i++) {
        int status;
        CHECK(wait(&status) > 0);
        CHECK_INT(WEXITSTATUS(status), 0);
    }
    check_arrived();
    CHECK_INT(http_server_count(server), 2); // one of them fetched it, in two pieces
    http_server_stop(server);
    scratch_remove();
}

static char watched[512]; // the paths of the scratch directory are valid for some calls only

static bool some_came(void)
{
    struct stat info;
    return stat(watched, &info) == 0 && info.st_size > 50000;
}

BDPO_TEST(an_interrupt_keeps_the_part)
{
    make_body();
    http_route route = whole;
    route.slow_ms = 4;
    http_server *server = http_server_start(&route, 1);
    bdpo_download what = {.url = http_server_url(server, "/f"),
                          .path = scratch_path("f.bin"),
                          .label = "f.bin",
                          .token = "",
                          .http_allowed = true};
    snprintf(watched, sizeof watched, "%s", scratch_path("f.bin.part"));
    CHECK_STATUS(get_with(&what, (bdpo_fetch_options){.interrupted = some_came}), BDPO_INTERRUPTED);
    CHECK_CONTAINS(bdpo_message(), "of f.bin are kept, the same command goes on");
    check_nothing(true);
    CHECK_OK(get(http_server_url(server, "/f"), NULL));
    check_arrived();
    CHECK_INT(http_server_request(server, 1).status, 206);
    http_server_stop(server);
    scratch_remove();
}

static void be_killed(http_server *server, unsigned delay_us)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        get_quietly(http_server_url(server, "/f"));
        _exit(0);
    }
    usleep(delay_us);
    kill(child, SIGKILL);
    CHECK(waitpid(child, NULL, 0) == child);
    if (bdpo_file_exists(scratch_path("f.bin"))) check_content(scratch_path("f.bin"));
}

BDPO_TEST_FULL(kills_at_random_moments_never_leave_a_part_under_the_name)
{
    make_body();
    http_route route = whole;
    route.slow_ms = 1;
    http_server *server = http_server_start(&route, 1);
    for (unsigned i = 0; i < 60; i++) {
        be_killed(server, 500 + i * 2711 % 90000);
        if (i % 7 == 6) unlink(scratch_path("f.bin"));
    }
    CHECK_OK(get(http_server_url(server, "/f"), body_sha256.hex));
    check_arrived();
    http_server_stop(server);
    scratch_remove();
}
