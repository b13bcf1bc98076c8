// formats/safetensors: what we write is, to the byte, what the reference library writes.
#include "formats/safetensors.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "formats/tensor_file.h"
#include "harness.h"

static char directory[64];

static const char *in_directory(const char *name)
{
    static char paths[2][512];
    static unsigned next;
    if (!directory[0]) {
        snprintf(directory, sizeof directory, "/tmp/bdpo-test-XXXXXX");
        CHECK(mkdtemp(directory) != NULL);
    }
    char *path = paths[next++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void remove_files(const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) CHECK_INT(unlink(in_directory(names[i])), 0);
    CHECK_INT(rmdir(directory), 0); // and nothing else is left there
    directory[0] = '\0';
}

static void check_same_file(const char *path, const char *fixture)
{
    bdpo_file_view ours, theirs;
    CHECK_OK(bdpo_file_map(&ours, path));
    CHECK_OK(bdpo_file_map(&theirs, test_path(fixture)));
    CHECK_U64(ours.size, theirs.size);
    CHECK_BYTES(ours.data, theirs.data, theirs.size);
    bdpo_file_unmap(&ours);
    bdpo_file_unmap(&theirs);
}

// The tensors of a file, last first, to be written again.
static bdpo_tensor_to_write *reversed(const bdpo_tensor_file *file)
{
    size_t n = bdpo_tensor_file_count(file);
    bdpo_tensor_to_write *out = bdpo_alloc(n, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        const bdpo_stored_tensor *t = bdpo_tensor_file_at(file, n - 1 - i);
        out[i] = (bdpo_tensor_to_write){t->name, t->dtype, t->n_dims, t->dim, t->data};
    }
    return out;
}

BDPO_TEST(written_bytes_are_those_of_the_reference)
{
    static const char *const name = "a.safetensors";
    bdpo_tensor_file *file;
    CHECK_OK(bdpo_tensor_file_open(&file, test_path("fixtures/formats/dtypes.safetensors")));
    bdpo_tensor_to_write *tensors = reversed(file);
    CHECK_OK(
        bdpo_safetensors_write(in_directory(name), tensors, bdpo_tensor_file_count(file), NULL));
    check_same_file(in_directory(name), "fixtures/formats/dtypes.safetensors");
    remove_files(&name, 1);
    bdpo_free(tensors);
    bdpo_tensor_file_close(file);
}

// Puts the bytes of tensors one at a time.
static bdpo_status trickle(void *context, size_t index, bdpo_tensor_sink *sink)
{
    const float *values = context;
    for (int i = 0; i < 8; i++)
        TRY(bdpo_tensor_sink_put(sink, (const unsigned char *)(values + index) + i, i < 4 ? 1 : 0));
    return index == 1 ? bdpo_tensor_sink_put(sink, values + 2, 4) : BDPO_OK;
}

BDPO_TEST(streamed_tensors_and_metadata_match_the_reference)
{
    static const char *const name = "a.safetensors";
    static float values[] = {0, 1, 1};
    static const int64_t one[] = {1}, two[] = {2};
    const bdpo_tensor_to_write tensors[] = {{"a", BDPO_STORED_F32, 1, one, NULL},
                                            {"b", BDPO_STORED_F32, 1, two, NULL}};
    const bdpo_metadata_pair metadata[] = {{"note", "a\"b\\c\n\001 \303\251"}, {"alpha", "1"}};
    const bdpo_safetensors_options options = {
        .metadata = metadata, .n_metadata = 2, .source = trickle, .context = values};
    CHECK_OK(bdpo_safetensors_write(in_directory(name), tensors, 2, &options));
    check_same_file(in_directory(name), "fixtures/formats/metadata.safetensors");
    remove_files(&name, 1);
}

BDPO_TEST(shards_and_index_match_diffusers)
{
    static const int sizes[] = {6, 6, 2, 40, 6, 2, 2, 10, 1};
    static float values[9][40];
    int64_t dims[9];
    char names[9][32];
    bdpo_tensor_to_write tensors[9];
    for (int i = 0; i < 9; i++) {
        for (int k = 0; k < sizes[i]; k++) values[i][k] = (float)i;
        snprintf(names[i], sizeof names[i], "layer.%d.weight", i);
        dims[i] = sizes[i];
        tensors[i] = (bdpo_tensor_to_write){names[i], BDPO_STORED_F32, 1, &dims[i], values[i]};
    }
    const bdpo_safetensors_options options = {.shard_bytes = 40};
    CHECK_OK(
        bdpo_safetensors_write_sharded(in_directory("model.safetensors"), tensors, 9, &options));
    char files[7][40] = {"model.safetensors.index.json"};
    const char *all[7] = {files[0]};
    for (int i = 1; i < 7; i++) {
        snprintf(files[i], sizeof files[i], "model-%05d-of-00006.safetensors", i);
        all[i] = files[i];
    }
    for (int i = 0; i < 7; i++) {
        char fixture[512];
        snprintf(fixture, sizeof fixture, "fixtures/formats/sharded/%s", files[i]);
        check_same_file(in_directory(files[i]), fixture);
    }
    remove_files(all, 7);
    static const char *const whole = "model.safetensors";
    CHECK_OK(bdpo_safetensors_write_sharded(in_directory(whole), tensors, 9, NULL));
    remove_files(&whole, 1); // one file, no index
}

BDPO_TEST(what_cannot_be_written_is_refused_and_leaves_nothing)
{
    static const int64_t one[] = {1}, minus[] = {-1}, huge[] = {INT64_MAX, 9};
    static const float value[1];
    const bdpo_safetensors_options streamed = {.source = trickle,
                                               .context = (void *)(uintptr_t)value};
    const struct {
        bdpo_tensor_to_write tensors[2];
        size_t n;
        const char *part;
    } cases[] = {
        {{{"a", BDPO_STORED_F32, 1, one, value}, {"a", BDPO_STORED_F16, 1, one, value}},
         2,
         "twice"},
        {{{"\377", BDPO_STORED_F32, 1, one, value}}, 1, "\"\\xff\": its name is not UTF-8"},
        {{{"__metadata__", BDPO_STORED_F32, 1, one, value}}, 1, "reserved"},
        {{{"a", BDPO_STORED_F32, 1, minus, value}}, 1, "a negative dimension"},
        {{{"a", BDPO_STORED_F32, 2, huge, value}}, 1, "its size overflows"},
        {{{"a", BDPO_STORED_F4, 1, one, value}}, 1, "its size overflows"},
    };
    const char *path = in_directory("a.safetensors");
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        CHECK_STATUS(bdpo_safetensors_write(path, cases[i].tensors, cases[i].n, NULL),
                     BDPO_BAD_ARGUMENT);
        CHECK_CONTAINS(bdpo_message(), cases[i].part);
    }
    const bdpo_tensor_to_write no_data = {"a", BDPO_STORED_F32, 1, one, NULL};
    const bdpo_tensor_to_write wide = {"a", BDPO_STORED_F64, 1, one, NULL};
    const bdpo_tensor_to_write narrow = {"a", BDPO_STORED_F16, 1, one, NULL};
    CHECK_STATUS(bdpo_safetensors_write(path, &no_data, 1, NULL), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "it has no data");
    CHECK_STATUS(bdpo_safetensors_write(path, &wide, 1, &streamed), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "too few bytes");
    CHECK_STATUS(bdpo_safetensors_write(path, &narrow, 1, &streamed), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "too many bytes");
    const bdpo_metadata_pair pairs[] = {{"k", "1"}, {"k", "2"}};
    CHECK_STATUS(
        bdpo_safetensors_write(path, NULL, 0,
                               &(bdpo_safetensors_options){.metadata = pairs, .n_metadata = 2}),
        BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_safetensors_write_sharded("/tmp/x.bin", NULL, 0, NULL), BDPO_BAD_ARGUMENT);
    remove_files(NULL, 0);
}

BDPO_TEST(allocation_failures_of_the_writer_leave_nothing)
{
    static const int64_t dim[] = {3};
    static const float values[3];
    static const bdpo_tensor_to_write tensors[] = {{"a", BDPO_STORED_F32, 1, dim, values},
                                                   {"b", BDPO_STORED_F32, 1, dim, values}};
    const bdpo_safetensors_options options = {.shard_bytes = 1000};
    bdpo_status status = BDPO_NO_MEMORY;
    for (uint64_t n = 1; status != BDPO_OK && n < 100; n++) {
        bdpo_alloc_fail_at(bdpo_alloc_count() + n);
        status =
            bdpo_safetensors_write_sharded(in_directory("a.safetensors"), tensors, 2, &options);
        bdpo_alloc_fail_at(0);
        if (status != BDPO_OK) {
            CHECK_INT(status, BDPO_NO_MEMORY);
            CHECK(access(in_directory("a.safetensors"), F_OK) != 0);
        }
    }
    CHECK_INT(status, BDPO_OK);
    static const char *const name = "a.safetensors";
    remove_files(&name, 1);
}

// A header of 100,000 tensors, in a file whose 4 GB of data are a hole on the disk.
BDPO_TEST_FULL(large_files_open_by_their_header)
{
    enum { N = 100000, ROW = 10737 }; // 4.29 GB of F32
    static char text[N * 110];
    const char *path = in_directory("large.safetensors");
    size_t used = 8;
    for (int i = 0; i < N; i++)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "%c\"blocks.%d.weight\":{\"dtype\":\"F32\",\"shape\":[%d],"
                                 "\"data_offsets\":[%llu,%llu]}",
                                 i ? ',' : '{', i, ROW, 4ull * ROW * (unsigned)i,
                                 4ull * ROW * (unsigned)(i + 1));
    text[used++] = '}';
    uint64_t header = used - 8;
    memcpy(text, &header, 8);
    CHECK_OK(bdpo_file_write(path, text, used));
    CHECK_INT(truncate(path, (off_t)(used + 4ull * ROW * N)), 0);
    bdpo_tensor_file *file;
    double start = bdpo_clock_seconds();
    CHECK_OK(bdpo_tensor_file_open(&file, path));
    double opened = bdpo_clock_seconds() - start;
    start = bdpo_clock_seconds();
    for (int i = 0; i < N; i++)
        CHECK(bdpo_tensor_file_find(file, bdpo_tensor_file_at(file, (size_t)i)->name) != NULL);
    printf("        opened in %.3f s, looked %d names up in %.3f s\n", opened, N,
           bdpo_clock_seconds() - start);
    CHECK_LE(opened, 5); // reading 4 GB of data, or a quadratic search, takes longer
    bdpo_tensor_file_close(file);
    static const char *const name = "large.safetensors";
    remove_files(&name, 1);
}
