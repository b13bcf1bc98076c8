// SHA-256 of the whole and of the parts that others hash.
#include "cli/checkpoint_hashes.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "formats/sha256.h"

enum { LEGACY_OFFSET = 0x100000, LEGACY_BYTES = 0x10000, HEADER_BYTES = 8 };

static void set(json_t *hashes, const char *name, const char *hex, int digits)
{
    json_object_set_new(hashes, name, json_stringn(hex, (size_t)digits));
}

// Where the data of a safetensors file begin; the file was opened, so that its header is sound.
static bdpo_status find_data(uint64_t *offset, const char *path)
{
    bdpo_file_view view;
    TRY(bdpo_file_map(&view, path));
    const unsigned char *bytes = view.data;
    *offset = HEADER_BYTES;
    for (int i = 0; i < HEADER_BYTES && view.size >= HEADER_BYTES; i++)
        *offset += (uint64_t)bytes[i] << 8 * i;
    bdpo_file_unmap(&view);
    return BDPO_OK;
}

bdpo_status bdpo_checkpoint_hashes(json_t *report, const bdpo_tensor_file *file)
{
    const char *path = bdpo_tensor_file_path(file), *format = bdpo_tensor_file_format(file);
    if (strcmp(format, "sharded") == 0) return BDPO_OK;
    bdpo_sha256_text text;
    json_t *hashes = json_object();
    json_object_set_new(report, "hashes", hashes);
    TRY(bdpo_sha256_file(&text, path));
    set(hashes, "sha256", text.hex, 64);
    set(hashes, "short", text.hex, 10);
    TRY(bdpo_sha256_file_part(&text, path, LEGACY_OFFSET, LEGACY_BYTES));
    set(hashes, "legacy", text.hex, 8);
    if (strcmp(format, "safetensors") != 0) return BDPO_OK;
    uint64_t offset;
    TRY(find_data(&offset, path));
    TRY(bdpo_sha256_file_part(&text, path, offset, UINT64_MAX - offset));
    set(hashes, "sshs_model_hash", text.hex, 64);
    set(hashes, "sshs_short", text.hex, 12);
    return BDPO_OK;
}
