// The store as the graph sees it: where each tensor lies.
#ifndef BDPO_STORE_H
#define BDPO_STORE_H

#include "graph/backend.h"

typedef struct bdpo_param_info {
    const char *name;
    bdpo_dtype dtype;
    bdpo_shape shape;
    bool trainable;
    const void *mapped; // NULL: lies in its bucket
    int bucket;
    int64_t offset[BDPO_N_KINDS]; // elements from the start of the bucket's memory of that kind
} bdpo_param_info;

bdpo_engine *bdpo_store_engine(const bdpo_store *store);

// Mapped parameters are not needed for a while (base/file.h: bdpo_file_rest). Cheap where there are
// none.
void bdpo_store_rest(const bdpo_store *store);

const bdpo_param_info *bdpo_store_find(const bdpo_store *store, const char *name);
const bdpo_param_info *bdpo_store_at(const bdpo_store *store, int index);

// Dtype and shape that a kind has for a parameter; false where it has none.
bool bdpo_store_layout(const bdpo_param_info *param, bdpo_kind kind, bdpo_dtype *dtype,
                       bdpo_shape *shape);
// Device address of a parameter's kind, which must be reserved.
void *bdpo_store_address(const bdpo_store *store, bdpo_kind kind, int param);
// Elements of a bucket's kind, padding included, and their dtype; 0 where its parameters differ
// in dtype for this kind or have none.
int64_t bdpo_store_bucket_elements(const bdpo_store *store, bdpo_kind kind, int bucket,
                                   bdpo_dtype *dtype);

#endif
