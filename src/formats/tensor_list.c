// The growing list that the readers of tensor files fill.
#include "formats/tensor_list.h"

bdpo_status bdpo_tensor_list_no_memory(const bdpo_tensor_list *list)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its list of tensors", list->path);
}

// Makes room for one more item; the new array, or NULL.
static void *grow(void *items, size_t n, size_t *capacity, size_t item_bytes)
{
    if (n < *capacity) return items;
    size_t wanted = *capacity ? *capacity * 2 : 64;
    void *grown = bdpo_realloc(items, wanted, item_bytes);
    if (grown) *capacity = wanted;
    return grown;
}

bdpo_status bdpo_tensor_list_add(bdpo_tensor_list *list, const bdpo_stored_tensor *tensor)
{
    bdpo_stored_tensor *grown =
        grow(list->tensors, list->n_tensors, &list->tensor_capacity, sizeof *grown);
    if (!grown) return bdpo_tensor_list_no_memory(list);
    list->tensors = grown;
    list->tensors[list->n_tensors++] = *tensor;
    return BDPO_OK;
}

bdpo_status bdpo_tensor_list_add_value(bdpo_tensor_list *list, const bdpo_file_value *value)
{
    bdpo_file_value *grown =
        grow(list->values, list->n_values, &list->value_capacity, sizeof *grown);
    if (!grown) return bdpo_tensor_list_no_memory(list);
    list->values = grown;
    list->values[list->n_values++] = *value;
    return BDPO_OK;
}

void bdpo_tensor_list_clear(bdpo_tensor_list *list)
{
    bdpo_free(list->tensors);
    bdpo_free(list->values);
    list->tensors = NULL;
    list->values = NULL;
    list->n_tensors = list->n_values = list->tensor_capacity = list->value_capacity = 0;
}

bool bdpo_stored_size(size_t *count, size_t *size_bytes, const int64_t *dim, int n_dims,
                      bdpo_stored_dtype dtype)
{
    size_t n = 1, bits;
    for (int d = 0; d < n_dims; d++)
        if (!bdpo_size_mul(&n, n, (size_t)dim[d])) return false;
    if (!bdpo_size_mul(&bits, n, bdpo_stored_dtype_bits(dtype)) || bits % 8 != 0) return false;
    *count = n;
    *size_bytes = bits / 8;
    return true;
}
