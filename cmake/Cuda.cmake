# CUDA and NCCL for the C++ files of src/cuda.
#
#   TITAN_HAVE_CUDA       whether headers and libraries are there
#   titan_cuda_toolkit    INTERFACE target: headers of CUDA and NCCL, libcudart, libnccl
#
# They come from the wheel's NVIDIA parts: the versions libtorch_cuda was built with, present wherever bootstrap.sh ran, GPU
# or not. A LibTorch without those parts takes an installed CUDA toolkit of the same major version. C++ needs no nvcc.

set(TITAN_CUDA AUTO CACHE STRING "Build the CUDA parts: AUTO (when they can be), ON, OFF")
set_property(CACHE TITAN_CUDA PROPERTY STRINGS AUTO ON OFF)

add_library(titan_cuda_toolkit INTERFACE)
get_filename_component(_host_only_headers "${CMAKE_CURRENT_LIST_DIR}/../src/cuda/host_only" ABSOLUTE)
set(TITAN_HAVE_CUDA OFF)

function(_titan_link_cuda origin include_folders cudart nccl)
  foreach(name cudart nccl)
    add_library(titan_${name}_library SHARED IMPORTED GLOBAL)
    set_target_properties(titan_${name}_library PROPERTIES IMPORTED_LOCATION "${${name}}")
  endforeach()
  target_include_directories(titan_cuda_toolkit SYSTEM INTERFACE ${include_folders})
  target_link_libraries(titan_cuda_toolkit INTERFACE titan_cudart_library titan_nccl_library)
  set(TITAN_HAVE_CUDA ON PARENT_SCOPE)
  message(STATUS "CUDA and NCCL: ${origin}")
endfunction()

# Wheels for CUDA 13 have one folder of everything, those for CUDA 12 one for each library. Neither has two headers of the compiler's that
# theirs include: Triton, which comes with LibTorch, brings the one, and the other is ours (src/cuda/host_only).
macro(_titan_cuda_from_wheel)
  get_filename_component(_nvidia "${TITAN_TORCH_ROOT}/../nvidia" ABSOLUTE)
  file(GLOB _wheel_cudart "${_nvidia}/cu[0-9]*/lib/libcudart.so.${TITAN_TORCH_CUDA_MAJOR}"
       "${_nvidia}/cuda_runtime/lib/libcudart.so.${TITAN_TORCH_CUDA_MAJOR}")
  set(_wheel_nccl "${_nvidia}/nccl/lib/libnccl.so.2")
  if(_wheel_cudart AND EXISTS "${_wheel_nccl}")
    list(GET _wheel_cudart 0 _wheel_cudart)
    get_filename_component(_wheel_cuda "${_wheel_cudart}/../../include" ABSOLUTE)
    set(_wheel_includes "${_wheel_cuda}" "${_nvidia}/nccl/include")
    if(_wheel_cuda MATCHES "/cuda_runtime/include$")
      file(GLOB _wheel_libraries "${_nvidia}/*/include")
      list(APPEND _wheel_includes ${_wheel_libraries})
      list(REMOVE_DUPLICATES _wheel_includes)
    endif()
    get_filename_component(_triton "${TITAN_TORCH_ROOT}/../triton/backends/nvidia/include" ABSOLUTE)
    if(NOT EXISTS "${_wheel_cuda}/crt/host_defines.h" AND EXISTS "${_triton}/crt/host_defines.h")
      list(APPEND _wheel_includes "${_triton}")
    endif()
    if(NOT EXISTS "${_wheel_cuda}/nv/target")
      list(APPEND _wheel_includes "${_host_only_headers}")
    endif()
    _titan_link_cuda("${_nvidia}" "${_wheel_includes}" "${_wheel_cudart}" "${_wheel_nccl}")
  endif()
endmacro()

macro(_titan_cuda_from_toolkit)
  find_package(CUDAToolkit ${TITAN_TORCH_CUDA_MAJOR} QUIET)
  if(CUDAToolkit_FOUND AND CUDAToolkit_VERSION_MAJOR EQUAL TITAN_TORCH_CUDA_MAJOR)
    find_path(TITAN_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
    find_library(TITAN_NCCL_LIBRARY nccl HINTS "${CUDAToolkit_LIBRARY_DIR}")
    if(TITAN_NCCL_INCLUDE AND TITAN_NCCL_LIBRARY)
      _titan_link_cuda("toolkit ${CUDAToolkit_VERSION} in ${CUDAToolkit_BIN_DIR}" "${CUDAToolkit_INCLUDE_DIRS};${TITAN_NCCL_INCLUDE}"
                       "${CUDA_cudart_LIBRARY}" "${TITAN_NCCL_LIBRARY}")
    endif()
  endif()
endmacro()

if(TITAN_CUDA AND TARGET titan_torch_cuda)
  _titan_cuda_from_wheel()
  if(NOT TITAN_HAVE_CUDA)
    _titan_cuda_from_toolkit()
  endif()
endif()
if(NOT TITAN_HAVE_CUDA)
  if(TITAN_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TITAN_CUDA=ON, but no CUDA and NCCL were found: neither beside ${TITAN_TORCH_ROOT} nor as a toolkit.")
  endif()
  if(TARGET titan_torch_cuda AND TITAN_CUDA)
    message(WARNING "LibTorch is one for CUDA ${TITAN_TORCH_CUDA_MAJOR}, but neither its NVIDIA wheels are beside ${TITAN_TORCH_ROOT} nor a "
                    "toolkit of this version is installed: this build refuses GPUs. TITAN_CUDA=OFF says that this is meant.")
  endif()
  message(STATUS "CUDA and NCCL: not built in")
endif()

# titan_cuda_kernels(TARGET SOURCES a.cu ... OPERATORS a.cpp ...)
# Adds kernels of our own, and the C++ files that register them, where there is an nvcc of LibTorch's CUDA version. Where not, the
# operators do without: each has an implementation for all devices. Kernels include no LibTorch, so no CUDA language is needed.
set(TITAN_CUDA_ARCHITECTURES "89;90;100" CACHE STRING "Compute capabilities, times ten, that kernels are compiled for")
function(titan_cuda_kernels target)
  cmake_parse_arguments(ARG "" "" "SOURCES;OPERATORS" ${ARGN})
  find_program(TITAN_NVCC nvcc HINTS /usr/local/cuda/bin ENV CUDA_HOME PATH_SUFFIXES bin)
  if(TITAN_NVCC)
    execute_process(COMMAND "${TITAN_NVCC}" --version OUTPUT_VARIABLE version)
    string(REGEX MATCH "release ([0-9]+)" version "${version}")
  endif()
  if(NOT TITAN_NVCC OR NOT CMAKE_MATCH_1 EQUAL TITAN_TORCH_CUDA_MAJOR)
    message(STATUS "CUDA kernels: not built in (no nvcc of CUDA ${TITAN_TORCH_CUDA_MAJOR})")
    return()
  endif()
  message(STATUS "CUDA kernels: ${TITAN_NVCC}")
  foreach(architecture IN LISTS TITAN_CUDA_ARCHITECTURES)
    list(APPEND code -gencode arch=compute_${architecture},code=sm_${architecture})
  endforeach()
  list(GET TITAN_CUDA_ARCHITECTURES -1 newest) # also for later GPUs, by the driver
  list(APPEND code -gencode arch=compute_${newest},code=compute_${newest})
  foreach(source IN LISTS ARG_SOURCES)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/${source}.o")
    add_custom_command(OUTPUT "${object}" DEPENDS "${source}" DEPFILE "${object}.d" COMMENT "Compiling ${source}"
      COMMAND "${TITAN_NVCC}" -O3 -std=c++17 -ccbin "${CMAKE_CXX_COMPILER}" -Xcompiler -fPIC ${code} -I "${CMAKE_SOURCE_DIR}/src"
              -MD -MF "${object}.d" -c "${CMAKE_CURRENT_SOURCE_DIR}/${source}" -o "${object}")
    target_sources(${target} PRIVATE "${object}")
    set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  endforeach()
  target_sources(${target} PRIVATE ${ARG_OPERATORS})
  set_target_properties(${target} PROPERTIES TITAN_KERNELS ON)
  target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}/src")
endfunction()
