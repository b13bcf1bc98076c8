// Files of named tensors behind one interface, told apart by their content:
//
//     safetensors              *.safetensors
//     a sharded model          *.index.json beside its shards (safetensors or PyTorch files)
//     PyTorch, zip             *.pt, *.pth, *.bin, *.ckpt since PyTorch 1.6
//     PyTorch, legacy          the same, before
//
// Files are mapped: opening reads the header or the pickle only. docs/formats.md says what each
// reader accepts and refuses.
#ifndef BDPO_TENSOR_FILE_H
#define BDPO_TENSOR_FILE_H

#include "formats/stored_tensor.h"

typedef struct bdpo_tensor_file bdpo_tensor_file;

// *out is the caller's, closed by bdpo_tensor_file_close(). BDPO_NOT_FOUND where there is no such
// file; BDPO_BAD_FILE with one line that names file, place, what was found and what was expected.
BDPO_MUST_CHECK bdpo_status bdpo_tensor_file_open(bdpo_tensor_file **out, const char *path);
void bdpo_tensor_file_close(bdpo_tensor_file *file); // NULL is fine

// "safetensors", "sharded", "PyTorch", "PyTorch, legacy".
const char *bdpo_tensor_file_format(const bdpo_tensor_file *file);
const char *bdpo_tensor_file_path(const bdpo_tensor_file *file);

// Tensors in the file's order: of their data (safetensors), of the dictionaries (PyTorch), of the
// index. In a PyTorch file nested containers give dotted names, "state_dict.out.weight", list
// elements their number, "0.target"; a file that is one bare tensor names it "".
size_t bdpo_tensor_file_count(const bdpo_tensor_file *file);
const bdpo_stored_tensor *bdpo_tensor_file_at(const bdpo_tensor_file *file, size_t index);

// NULL where there is none. Takes log(count) comparisons.
const bdpo_stored_tensor *bdpo_tensor_file_find(const bdpo_tensor_file *file, const char *name);

// As above, but a missing tensor is BDPO_BAD_FILE with its name; *out is borrowed.
BDPO_MUST_CHECK bdpo_status bdpo_tensor_file_get(const bdpo_stored_tensor **out,
                                                 const bdpo_tensor_file *file, const char *name);

// What a file holds beside tensors: the metadata strings of safetensors, the numbers and strings of
// a PyTorch file ("global_step", "hyper_parameters.lr"), under dotted names as above. A safetensors
// file's metadata may share a name with a tensor; the two lists are apart.
typedef enum bdpo_file_value_kind {
    BDPO_FILE_TEXT,
    BDPO_FILE_BYTES,
    BDPO_FILE_INT,
    BDPO_FILE_FLOAT,
    BDPO_FILE_BOOL
} bdpo_file_value_kind;

typedef struct bdpo_file_value {
    const char *name;
    bdpo_file_value_kind kind;
    const char *text; // BDPO_FILE_TEXT, BDPO_FILE_BYTES: `length` bytes, then a zero
    size_t length;
    int64_t integer; // BDPO_FILE_INT, BDPO_FILE_BOOL
    double number;   // BDPO_FILE_INT, BDPO_FILE_FLOAT
} bdpo_file_value;

size_t bdpo_tensor_file_n_values(const bdpo_tensor_file *file);
const bdpo_file_value *bdpo_tensor_file_value_at(const bdpo_tensor_file *file, size_t index);
const bdpo_file_value *bdpo_tensor_file_value(const bdpo_tensor_file *file, const char *name);
// The text of a value; NULL where there is none, or it is no text.
const char *bdpo_tensor_file_text(const bdpo_tensor_file *file, const char *name);

#endif
