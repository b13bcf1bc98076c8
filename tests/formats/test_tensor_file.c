// formats/tensor_file: files of the real libraries, read to the bit.
#include "formats/tensor_file.h"

#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/described.h"
#include "harness.h"

static const char *fixture(const char *name)
{
    static char relative[256];
    snprintf(relative, sizeof relative, "fixtures/formats/%s", name);
    return test_path(relative);
}

static const char *shared(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/../../shared/data/%s", BDPO_TESTS_DIR, name);
    if (access(path, R_OK) != 0) SKIP("%s is not here", name);
    return path;
}

BDPO_TEST(torch_files_of_every_dtype)
{
    check_described("dtypes.pt");
    check_described("dtypes_legacy.pt");
    check_described("unusable.pt");
}

BDPO_TEST(strided_shared_and_expanded_tensors)
{
    check_described("views.pt");
    check_described("views_legacy.pt");
}

BDPO_TEST(nested_checkpoints_of_every_protocol)
{
    check_described("checkpoint.pt");
    check_described("protocol4.pt");
    check_described("protocol5_legacy.pt");
    check_described("lightning.pt"); // opaque objects are left out
    check_described("list.pt");
    check_described("tensor.pt");
}

BDPO_TEST(safetensors_of_every_dtype)
{
    check_described("dtypes.safetensors");
    check_described("metadata.safetensors");
}

BDPO_TEST(sharded_models)
{
    check_described("sharded/model.safetensors.index.json");
    bdpo_tensor_file *file;
    CHECK_OK(bdpo_tensor_file_open(&file, fixture("sharded/model.safetensors.index.json")));
    CHECK_STR(bdpo_tensor_file_format(file), "sharded");
    CHECK_CONTAINS(bdpo_tensor_file_find(file, "layer.3.weight")->path, "model-00002-of-00006");
    bdpo_tensor_file_close(file);
}

BDPO_TEST(bytes_and_texts_beside_tensors)
{
    bdpo_tensor_file *file;
    CHECK_OK(bdpo_tensor_file_open(&file, fixture("checkpoint.pt")));
    CHECK_STR(bdpo_tensor_file_format(file), "PyTorch");
    CHECK_STR(bdpo_tensor_file_text(file, "name"), "b\303\244r");
    CHECK(bdpo_tensor_file_text(file, "epoch") == NULL);
    CHECK(bdpo_tensor_file_value(file, "words") == NULL);
    const bdpo_file_value *raw = bdpo_tensor_file_value(file, "raw");
    CHECK(raw != NULL);
    CHECK_INT(raw->kind, BDPO_FILE_BYTES);
    CHECK_U64(raw->length, 4);
    CHECK_BYTES(raw->text, "\0\377ab", 4);
    bdpo_tensor_file_close(file);
}

BDPO_TEST(missing_tensors_and_wrong_shapes_are_named)
{
    bdpo_tensor_file *file;
    const bdpo_stored_tensor *t;
    float values[8];
    CHECK_OK(bdpo_tensor_file_open(&file, fixture("metadata.safetensors")));
    CHECK_STATUS(bdpo_tensor_file_get(&t, file, "c"), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "metadata.safetensors: no tensor \"c\" among its 2");
    CHECK_OK(bdpo_tensor_file_get(&t, file, "b"));
    CHECK_OK(bdpo_stored_tensor_check_shape(t, (int64_t[]){2}, 1));
    CHECK_STATUS(bdpo_stored_tensor_check_shape(t, (int64_t[]){2, 1}, 2), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "tensor \"b\" has the shape [2], expected [2, 1]");
    CHECK_STATUS(bdpo_stored_tensor_read_f32(t, values, 8), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_stored_tensor_read(t, values, 7), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_tensor_file_open(&file, "/no/such/file.pt"), BDPO_NOT_FOUND);
    bdpo_tensor_file_close(file);
}

// The verdicts of the set of files that the format's notes came with.
BDPO_TEST(safetensors_verdicts)
{
    char *text, *state = NULL;
    size_t size;
    int n_good = 0, n_bad = 0;
    CHECK_OK(bdpo_file_read(&text, &size, shared("safetensors/MANIFEST.tsv"), 1 << 20));
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        char kind[8], name[128], relative[160];
        bdpo_tensor_file *file = NULL;
        CHECK_INT(sscanf(line, "%7s %127s", kind, name), 2);
        if (strcmp(kind, "kind") == 0) continue;
        snprintf(relative, sizeof relative, "safetensors/%s", name);
        bdpo_status status = bdpo_tensor_file_open(&file, shared(relative));
        bool good = strcmp(kind, "good") == 0;
        if (status != (good ? BDPO_OK : BDPO_BAD_FILE)) FAIL("%s: %s", name, bdpo_message());
        if (status == BDPO_OK) bdpo_tensor_file_close(file);
        if (good)
            n_good++;
        else
            n_bad++;
    }
    bdpo_free(text);
    CHECK_INT(n_good, 13);
    CHECK_INT(n_bad, 38);
}

// Opens a file of others; one tensor's dense bytes must have the hash that torch.load's have.
static void check_real(const char *name, const char *format, size_t count, const char *tensor,
                       const char *shape, uint64_t hash)
{
    bdpo_tensor_file *file;
    const bdpo_stored_tensor *t;
    CHECK_OK(bdpo_tensor_file_open(&file, shared(name)));
    CHECK_STR(bdpo_tensor_file_format(file), format);
    CHECK_U64(bdpo_tensor_file_count(file), count);
    CHECK_OK(bdpo_tensor_file_get(&t, file, tensor));
    CHECK_STR(bdpo_stored_shape_print(t->dim, t->n_dims).text, shape);
    CHECK(t->stride == NULL);
    CHECK_U64(fnv1a(t->data, t->size_bytes), hash);
    bdpo_tensor_file_close(file);
}

BDPO_TEST(real_files_of_pytorch)
{
    check_real("weights/sac+logos+ava1-l14-linearMSE.pth", "PyTorch", 10, "layers.0.weight",
               "[1024, 768]", 0x1c59e37e8477ee90);
    check_real("weights/lpips_vgg_linear_legacy_format.pth", "PyTorch, legacy", 5,
               "lin4.model.1.weight", "[1, 512, 1, 1]", 0xaf46810164aeb4c8);
    check_real("weights/list_of_dicts_long_tensors.pt", "PyTorch", 6, "0.id", "[16]",
               0xe0820b8b4a222306);
}

// Each allocation in turn fails: a status, nothing leaks (under asan), nothing crashes.
BDPO_TEST(allocation_failures_are_a_status)
{
    static const char *const names[] = {"views.pt", "views_legacy.pt", "dtypes.safetensors",
                                        "sharded/model.safetensors.index.json"};
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
        bdpo_status status = BDPO_NO_MEMORY;
        uint64_t n = 1;
        for (; status != BDPO_OK && n < 1000; n++) {
            bdpo_tensor_file *file = NULL;
            bdpo_alloc_fail_at(bdpo_alloc_count() + n);
            status = bdpo_tensor_file_open(&file, fixture(names[i]));
            bdpo_alloc_fail_at(0);
            if (status != BDPO_OK) CHECK_INT(status, BDPO_NO_MEMORY);
            bdpo_tensor_file_close(file);
        }
        CHECK_INT(status, BDPO_OK);
        CHECK(n > 3);
    }
}
