# What the library stands on: libm, OpenMP and a matrix product library (oneDNN first, OpenBLAS on
# OpenMP second, else our own kernels). Interface target: bdpo_libraries.
#
# Never OpenBLAS on pthreads: its threads and OpenMP's fight for the cores. So it is taken from its
# OpenMP folder only, and with that folder as run path.
add_library(bdpo_libraries INTERFACE)
find_package(OpenMP REQUIRED COMPONENTS C)
target_link_libraries(bdpo_libraries INTERFACE OpenMP::OpenMP_C m)

set(BDPO_PC_LIBS "-lm ${OpenMP_C_FLAGS}")
set(BDPO_BLAS_FOUND "own kernels")
set(BDPO_HAVE_DNNL 0)
set(BDPO_HAVE_OPENBLAS 0)

if(BDPO_BLAS MATCHES "^(AUTO|DNNL)$")
  find_path(DNNL_INCLUDE_DIR dnnl.h)
  find_library(DNNL_LIBRARY dnnl)
  if(DNNL_INCLUDE_DIR AND DNNL_LIBRARY)
    set(BDPO_HAVE_DNNL 1)
    set(BDPO_BLAS_FOUND "oneDNN (${DNNL_LIBRARY})")
    target_include_directories(bdpo_libraries SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
    target_link_libraries(bdpo_libraries INTERFACE ${DNNL_LIBRARY})
    string(APPEND BDPO_PC_LIBS " -ldnnl")
  elseif(BDPO_BLAS STREQUAL "DNNL")
    message(FATAL_ERROR "BDPO_BLAS=DNNL, but dnnl.h or libdnnl is missing (Debian: libdnnl-dev)")
  endif()
endif()
if(BDPO_BLAS MATCHES "^(AUTO|OPENBLAS)$" AND NOT BDPO_HAVE_DNNL)
  find_path(OPENBLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES openblas-openmp NO_DEFAULT_PATH
            PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} /usr/include)
  find_library(OPENBLAS_LIBRARY openblas PATH_SUFFIXES openblas-openmp NO_DEFAULT_PATH
               PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp
                     /usr/lib/openblas-openmp)
  if(OPENBLAS_INCLUDE_DIR AND OPENBLAS_LIBRARY)
    set(BDPO_HAVE_OPENBLAS 1)
    set(BDPO_BLAS_FOUND "OpenBLAS (${OPENBLAS_LIBRARY})")
    get_filename_component(openblas_dir ${OPENBLAS_LIBRARY} DIRECTORY)
    target_include_directories(bdpo_libraries SYSTEM INTERFACE ${OPENBLAS_INCLUDE_DIR})
    target_link_libraries(bdpo_libraries INTERFACE ${OPENBLAS_LIBRARY})
    target_link_options(bdpo_libraries INTERFACE -Wl,-rpath,${openblas_dir})
    string(APPEND BDPO_PC_LIBS " -L${openblas_dir} -Wl,-rpath,${openblas_dir} -lopenblas")
  elseif(BDPO_BLAS STREQUAL "OPENBLAS")
    message(FATAL_ERROR "BDPO_BLAS=OPENBLAS, but its OpenMP build is missing "
                        "(Debian: libopenblas-openmp-dev)")
  endif()
endif()
message(STATUS "Matrix product: ${BDPO_BLAS_FOUND}")
# Formats and text: each a library that Debian keeps (tools/setup.sh lists the packages).
function(bdpo_find target name header package)
  find_path(BDPO_${name}_INCLUDE ${header})
  find_library(BDPO_${name}_LIBRARY ${name})
  if(NOT BDPO_${name}_INCLUDE OR NOT BDPO_${name}_LIBRARY)
    message(FATAL_ERROR "${header} or lib${name} is missing (Debian: ${package})")
  endif()
  target_include_directories(${target} SYSTEM INTERFACE ${BDPO_${name}_INCLUDE})
  target_link_libraries(${target} INTERFACE ${BDPO_${name}_LIBRARY})
endfunction()
macro(bdpo_library name header package)
  bdpo_find(bdpo_libraries ${name} ${header} ${package})
  string(APPEND BDPO_PC_LIBS " -l${name}")
endmacro()

if("formats" IN_LIST BDPO_ROOMS)
  bdpo_library(jansson jansson.h libjansson-dev)          # JSON
  bdpo_library(crypto openssl/evp.h libssl-dev)           # SHA-256
  bdpo_library(png png.h libpng-dev)
  bdpo_library(jpeg jpeglib.h libjpeg-dev)
  bdpo_library(webp webp/encode.h libwebp-dev)
  bdpo_library(z zlib.h zlib1g-dev)                       # gzip
  bdpo_library(utf8proc utf8proc.h libutf8proc-dev)       # Unicode categories, NFC, lower case
  bdpo_library(snappy snappy-c.h libsnappy-dev)           # the codecs of Parquet
  bdpo_library(zstd zstd.h libzstd-dev)
  bdpo_library(lz4 lz4.h liblz4-dev)
  bdpo_library(archive archive.h libarchive-dev)          # tar
  bdpo_library(csv csv.h libcsv-dev)
endif()
if("fetch" IN_LIST BDPO_ROOMS)
  bdpo_library(curl curl/curl.h libcurl4-openssl-dev)
endif()
if("scorers" IN_LIST BDPO_ROOMS)
  bdpo_library(sqlite3 sqlite3.h libsqlite3-dev)
endif()
if("cli" IN_LIST BDPO_ROOMS)
  add_library(bdpo_popt INTERFACE)                      # arguments of the command line
  bdpo_find(bdpo_popt popt popt.h libpopt-dev)
endif()

configure_file(${CMAKE_CURRENT_SOURCE_DIR}/cmake/build_config.h.in
               ${CMAKE_CURRENT_BINARY_DIR}/generated/build_config.h)
