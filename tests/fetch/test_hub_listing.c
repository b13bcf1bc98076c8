// The hub's list of files: what is taken of it, and what is refused.
#include "fetch/hub_listing.h"

#include "harness.h"

#define SHA "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static bdpo_status parse(bdpo_hub_listing *out, const char *text)
{
    *out = (bdpo_hub_listing){0};
    return bdpo_hub_listing_parse(out, "data/*-of-*.parquet", text, strlen(text), "list");
}

static void check_refused(const char *text, const char *words)
{
    bdpo_hub_listing listing;
    CHECK_STATUS(parse(&listing, text), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), words);
    CHECK(!strchr(bdpo_message(), '\n'));
    bdpo_hub_listing_free(&listing);
}

BDPO_TEST(takes_what_matches)
{
    bdpo_hub_listing listing;
    CHECK_OK(parse(
        &listing, "[{\"type\": \"directory\", \"path\": \"data\", \"size\": 0},"
                  " {\"type\": \"file\", \"path\": \"data/a-0-of-1.parquet\", \"size\": 5368709120,"
                  "  \"lfs\": {\"oid\": \"" SHA "\"}},"
                  " {\"type\": \"file\", \"path\": \"data/b-0-of-1.parquet\", \"size\": 7},"
                  " {\"type\": \"file\", \"path\": \"data/x/a-0-of-1.parquet\", \"size\": 7},"
                  " {\"type\": \"file\", \"path\": \"README.md\", \"size\": 1}]"));
    CHECK_INT(listing.count, 2);
    CHECK_STR(listing.files[0].path, "data/a-0-of-1.parquet");
    CHECK_INT(listing.files[0].size, 5368709120);
    CHECK_STR(listing.files[0].sha256.hex, SHA);
    CHECK_STR(listing.files[1].sha256.hex, "");
    bdpo_hub_listing_free(&listing);
}

#define FILE_ENTRY(path, more) "[{\"type\": \"file\", \"path\": \"" path "\"" more "}]"

BDPO_TEST(refuses_what_is_malformed)
{
    check_refused("", "list");
    check_refused("{}", "should be a list of files");
    check_refused("[1]", "list");
    check_refused("[{}]", "type");
    check_refused(FILE_ENTRY("data/a-0-of-1.parquet", ""), "size");
    check_refused(FILE_ENTRY("data/a-0-of-1.parquet", ", \"size\": -1"), "size");
    check_refused(FILE_ENTRY("data/a-0-of-1.parquet", ", \"size\": 1, \"lfs\": {\"oid\": \"12\"}"),
                  "lfs.oid should be 64 hexadecimal digits");
    check_refused(FILE_ENTRY("data/.a\\\\-0-of-1.parquet", ", \"size\": 1"), "no name to write to");
    check_refused(FILE_ENTRY("data/a\\u001b-0-of-1.parquet", ", \"size\": 1"),
                  "no name to write to");
}

BDPO_TEST(names_that_lead_elsewhere)
{
    static const char text[] = FILE_ENTRY("../data/a", ", \"size\": 1");
    static const char *const patterns[] = {"../data/*", "*/data/*"};
    for (int i = 0; i < 2; i++) {
        bdpo_hub_listing listing = {0};
        CHECK_STATUS(bdpo_hub_listing_parse(&listing, patterns[i], text, strlen(text), "list"),
                     BDPO_BAD_FILE);
        bdpo_hub_listing_free(&listing);
    }
}
