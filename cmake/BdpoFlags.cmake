# The language, the warnings and the floating-point contract, on one interface target: bdpo_flags.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_FLAGS_RELEASE "-O3")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g3")

add_library(bdpo_flags INTERFACE)
target_compile_definitions(bdpo_flags INTERFACE _POSIX_C_SOURCE=200809L)

# A product and a sum are fused only where the source says fma(): the same bits from every
# compiler. errno after sqrtf() is nobody's need and keeps it from being one instruction.
# Messages name a source by its path in the tree, not by where the tree was built.
set(BDPO_C_FLAGS -fmacro-prefix-map=${CMAKE_SOURCE_DIR}/= -ffp-contract=off -fno-math-errno
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes)
if(BDPO_WERROR)
  list(APPEND BDPO_C_FLAGS -Werror)
endif()
if(BDPO_SANITIZE)
  list(APPEND BDPO_C_FLAGS -fsanitize=${BDPO_SANITIZE} -fno-sanitize-recover=all
       -fno-omit-frame-pointer -g1)
  target_link_options(bdpo_flags INTERFACE -fsanitize=${BDPO_SANITIZE})
endif()
target_compile_options(bdpo_flags INTERFACE "$<$<COMPILE_LANGUAGE:C>:${BDPO_C_FLAGS}>")

# No vector crosses a call (src/kernels/simd.h), so how one would be passed is no matter.
set(BDPO_ISA_FLAGS_portable -Wno-psabi)
set(BDPO_ISA_FLAGS_avx2 -Wno-psabi)
set(BDPO_ISA_FLAGS_avx512 -Wno-psabi)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(BDPO_ISA_FLAGS_avx2 -mavx2 -mfma)
  set(BDPO_ISA_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma
      -mprefer-vector-width=512)
endif()
