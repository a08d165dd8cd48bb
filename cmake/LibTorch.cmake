# Finds LibTorch inside a `torch` wheel and defines imported targets for its libraries.
#
# We do not call find_package(Torch): its config enables CUDA as a language and searches the toolkit even for targets that need
# only the CPU libraries. Everything we need is two include folders and four libraries.
#
#   titan_torch_cpu    c10 + torch_cpu: everything that runs without a GPU
#   titan_torch_cuda   adds c10_cuda + torch_cuda (only defined when the wheel carries them)
#
# The wheel is looked up in this order: -DTorch_DIR (the folder with TorchConfig.cmake), -DTITAN_TORCH_ROOT (the `torch` folder of
# a wheel), the active Python environment, the per-user cache that scripts/bootstrap.sh fills.

set(TITAN_TORCH_VERSION "2.11.0")

function(titan_find_torch out)
  if(Torch_DIR)
    get_filename_component(root "${Torch_DIR}/../../.." ABSOLUTE)
    set(${out} "${root}" PARENT_SCOPE)
    return()
  endif()
  if(TITAN_TORCH_ROOT)
    set(${out} "${TITAN_TORCH_ROOT}" PARENT_SCOPE)
    return()
  endif()
  execute_process(
    COMMAND "${CMAKE_SOURCE_DIR}/scripts/bootstrap.sh" --print-torch-root
    OUTPUT_VARIABLE root OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
  if(failed OR NOT root)
    message(FATAL_ERROR "LibTorch not found. Run scripts/bootstrap.sh, or pass -DTorch_DIR=<torch>/share/cmake/Torch.")
  endif()
  set(${out} "${root}" PARENT_SCOPE)
endfunction()

titan_find_torch(_torch_root)
if(NOT EXISTS "${_torch_root}/include/ATen/core/Tensor.h")
  message(FATAL_ERROR "No LibTorch headers under '${_torch_root}'.")
endif()
file(STRINGS "${_torch_root}/include/torch/headeronly/version.h" _version_lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE "[^0-9;]" "" _version "${_version_lines}")
string(REPLACE ";" "." _version "${_version}")
if(NOT _version VERSION_EQUAL TITAN_TORCH_VERSION)
  message(FATAL_ERROR "LibTorch ${TITAN_TORCH_VERSION} is needed, found ${_version} in ${_torch_root}.")
endif()
set(TITAN_TORCH_ROOT "${_torch_root}" CACHE PATH "The `torch` folder of the wheel" FORCE)

function(_titan_import_torch_library target file)
  add_library(${target} SHARED IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${_torch_root}/lib/${file}" IMPORTED_NO_SONAME FALSE)
endfunction()

_titan_import_torch_library(titan_c10_library libc10.so)
_titan_import_torch_library(titan_torch_cpu_library libtorch_cpu.so)
add_library(titan_torch_cpu INTERFACE)
target_include_directories(titan_torch_cpu SYSTEM INTERFACE "${_torch_root}/include" "${_torch_root}/include/torch/csrc/api/include")
target_compile_definitions(titan_torch_cpu INTERFACE _GLIBCXX_USE_CXX11_ABI=1 USE_DISTRIBUTED USE_C10D_GLOO)
target_link_libraries(titan_torch_cpu INTERFACE titan_torch_cpu_library titan_c10_library)

if(EXISTS "${_torch_root}/lib/libtorch_cuda.so")
  file(STRINGS "${_torch_root}/version.py" _cuda_version REGEX "^cuda")
  string(REGEX REPLACE ".*'([0-9]+)\\..*" "\\1" TITAN_TORCH_CUDA_MAJOR "${_cuda_version}")
  _titan_import_torch_library(titan_c10_cuda_library libc10_cuda.so)
  _titan_import_torch_library(titan_torch_cuda_library libtorch_cuda.so)
  add_library(titan_torch_cuda INTERFACE)
  target_link_libraries(titan_torch_cuda INTERFACE titan_torch_cpu titan_torch_cuda_library titan_c10_cuda_library)
endif()
message(STATUS "LibTorch ${_version}: ${_torch_root}")
