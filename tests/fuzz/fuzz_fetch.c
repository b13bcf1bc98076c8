// What servers list and what we recorded, forged: refused in one line, or read.
#include "base/file.h"
#include "fetch/hub_listing.h"
#include "fuzz/fuzz_bytes.h"
#include "harness.h"

static bdpo_status read_listing(const char *path)
{
    char *text;
    size_t size;
    bdpo_hub_listing listing = {0};
    TRY(bdpo_file_read(&text, &size, path, 1 << 20));
    bdpo_status status = bdpo_hub_listing_parse(&listing, "data/*", text, size, path);
    for (int i = 0; i < listing.count; i++) {
        CHECK(listing.files[i].path[0] != '/' && !strstr(listing.files[i].path, ".."));
        CHECK(listing.files[i].size >= 0);
    }
    bdpo_hub_listing_free(&listing);
    bdpo_free(text);
    return status;
}

static bdpo_status read_record(const char *path)
{
    bdpo_fetch_record record;
    return bdpo_fetch_record_read(&record, path);
}

static const fuzz_target listings = {
    .folder = "hub_listing", .file_name = "x.json", .read = read_listing};
static const fuzz_target records = {
    .folder = "fetch_record", .file_name = "x.json", .read = read_record};

BDPO_TEST(corpus)
{
    fuzz_replay(&listings);
    fuzz_replay(&records);
}

BDPO_TEST(mutants)
{
    fuzz_mutants(&listings, 300);
    fuzz_mutants(&records, 300);
}

BDPO_TEST_LONG(mutants_of_listings_for_long)
{
    fuzz_long(&listings);
}
