// The list of a model's parameters: names, shapes in the file and in the store, sticky failures.
#include "harness.h"

#include "base/memory.h"
#include "models/param_list.h"

BDPO_TEST(params_are_found_by_name)
{
    bdpo_param_list *list;
    CHECK_OK(bdpo_param_list_new(&list));
    CHECK(bdpo_param_list_find(list, "layer.0.weight") == NULL);
    for (int i = 0; i < 1000; i++) bdpo_param_list_add(list, BDPO_SHAPE(i + 1), "layer.%d.w", i);
    CHECK_OK(bdpo_param_list_check(list));
    CHECK_INT(bdpo_param_list_count(list), 1000);
    CHECK_INT(bdpo_param_list_elements(list), 500500);
    for (int i = 0; i < 1000; i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        CHECK(bdpo_param_list_find(list, spec->name) == spec);
        CHECK_INT(spec->shape.dim[0], i + 1);
    }
    CHECK(bdpo_param_list_find(list, "layer.1000.w") == NULL);
    bdpo_param_list_free(list);
}

BDPO_TEST(params_of_convolutions_are_channels_last_in_the_store)
{
    bdpo_param_spec conv = {.name = "conv", .shape = BDPO_SHAPE(8, 4, 3, 5)};
    bdpo_shape shape = bdpo_param_store_shape(&conv);
    CHECK_INT(shape.dim[0], 8);
    CHECK_INT(shape.dim[1], 3);
    CHECK_INT(shape.dim[2], 5);
    CHECK_INT(shape.dim[3], 4);
    bdpo_param_spec linear = {.name = "linear", .shape = BDPO_SHAPE(8, 4)};
    CHECK_INT(bdpo_param_store_shape(&linear).dim[1], 4);
}

BDPO_TEST(params_keep_the_first_failure)
{
    bdpo_param_list *list;
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_param_list_add(list, BDPO_SHAPE(4), "a");
    bdpo_param_list_add(list, BDPO_SHAPE(5), "a");
    bdpo_param_list_add(list, BDPO_SHAPE(0), "b");
    CHECK_STATUS(bdpo_param_list_check(list), BDPO_BAD_ARGUMENT);
    CHECK_STR(bdpo_message(), "parameter \"a\" is listed twice");
    CHECK_INT(bdpo_param_list_count(list), 1);
    bdpo_param_list_free(list);
}

BDPO_TEST(params_refuse_an_empty_shape)
{
    bdpo_param_list *list;
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_param_list_add(list, BDPO_SHAPE(4, 0), "empty");
    CHECK_STATUS(bdpo_param_list_check(list), BDPO_BAD_SHAPE);
    CHECK_CONTAINS(bdpo_message(), "empty");
    bdpo_param_list_free(list);
}

BDPO_TEST(params_survive_each_failed_allocation)
{
    for (uint64_t at = 1;; at++) {
        bdpo_alloc_fail_at(bdpo_alloc_count() + at);
        bdpo_param_list *list;
        bdpo_status status = bdpo_param_list_new(&list);
        if (status == BDPO_OK) {
            for (int i = 0; i < 200; i++) bdpo_param_list_add(list, BDPO_SHAPE(1), "name.%d", i);
            status = bdpo_param_list_check(list);
            bdpo_param_list_free(list);
        }
        bdpo_alloc_fail_at(0);
        if (status == BDPO_OK) break;
        CHECK_STATUS(status, BDPO_NO_MEMORY);
    }
}
