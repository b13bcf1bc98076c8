// The list of operators, made from ops.def. An operator that is listed without its file is a link
// error that names it.
#include "ops/ops.h"

#include "graph/op.h"

#define OP(NAME, name)     extern const bdpo_op bdpo_op_##name;
#define OP_CPU(NAME, name) extern const bdpo_op bdpo_op_##name;
#include "ops/ops.def"
#undef OP
#undef OP_CPU

#define OP(NAME, name)     {&bdpo_op_##name, false},
#define OP_CPU(NAME, name) {&bdpo_op_##name, true},
const bdpo_op_entry bdpo_op_list[] = {
#include "ops/ops.def"
};
#undef OP
#undef OP_CPU

const int bdpo_n_ops = (int)BDPO_COUNTOF(bdpo_op_list);
