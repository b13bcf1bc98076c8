// What the two readers of the footer share. Internal to them.
#ifndef BDPO_PARQUET_FOOTER_H
#define BDPO_PARQUET_FOOTER_H

#include "formats/parquet_meta.h"
#include "formats/parquet_thrift.h"

BDPO_MUST_CHECK bdpo_status bdpo_parquet_footer_no_memory(const bdpo_parquet_file *file);
// BDPO_OK while Thrift's reader has no fault.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_footer_fault(const bdpo_parquet_file *file,
                                                      const bdpo_thrift *t);
// Adds the leaves of the list of schema elements that the field is.
BDPO_MUST_CHECK bdpo_status bdpo_parquet_read_schema(bdpo_parquet_file *file, bdpo_thrift *t,
                                                     const bdpo_thrift_field *f);

#endif
