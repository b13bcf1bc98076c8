# CUDA where nvcc is: sets BDPO_CUDA_FOUND, BDPO_CUDA_SOURCES and bdpo_add_cuda(target).
set(BDPO_CUDA_FOUND OFF)
file(GLOB BDPO_CUDA_SOURCES CONFIGURE_DEPENDS
     ${CMAKE_CURRENT_SOURCE_DIR}/src/ops/*.cu ${CMAKE_CURRENT_SOURCE_DIR}/src/backend/*.cu)

if(BDPO_CUDA AND NOT BDPO_SANITIZE AND EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/src/backend/cuda.cu)
  find_program(BDPO_NVCC nvcc HINTS $ENV{CUDACXX} $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
  if(BDPO_NVCC)
    set(CMAKE_CUDA_COMPILER ${BDPO_NVCC})
    # Machine code for A100 and H100/H200; everything newer through PTX.
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80 90a-real)
    endif()
    set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
    set(CMAKE_CUDA_STANDARD 17)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    set(BDPO_CUDA_FOUND ON)
  endif()
endif()
if(BDPO_CUDA STREQUAL "ON" AND NOT BDPO_CUDA_FOUND)
  message(FATAL_ERROR "BDPO_CUDA=ON, but nvcc or src/backend/cuda.cu is missing, "
                      "or a sanitizer build was asked for")
endif()
message(STATUS "CUDA: ${BDPO_CUDA_FOUND}")

function(bdpo_add_cuda target)
  # As on the CPU: fused only where the source says fma().
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:--fmad=false;-Xcompiler=-Wall,-Wextra>")
  if(BDPO_WERROR)
    target_compile_options(${target} PRIVATE
      "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Werror>")
  endif()
  set_target_properties(${target} PROPERTIES CUDA_EXTENSIONS OFF)
  # cuBLASLt is loaded when it is first called (src/backend/cublaslt_lazy.cu), from beside cudart.
  target_link_libraries(${target} PRIVATE CUDA::cudart ${CMAKE_DL_LIBS})
endfunction()
