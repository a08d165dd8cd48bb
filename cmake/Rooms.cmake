# One function per idea: a room, a test program, a fuzz target.

option(TITAN_TORCH_PCH "Share one precompiled header of the tensor type (much faster builds)" ON)

# titan_room(NAME SOURCES a.cpp ... [DEPENDS rooms and libraries ...] [TORCH])
# A static library `titan_<NAME>` with include/ as its public door. TORCH rooms share one narrow precompiled header.
function(titan_room name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(titan_${name} STATIC ${ARG_SOURCES})
  target_include_directories(titan_${name} PUBLIC "${CMAKE_SOURCE_DIR}/include" PRIVATE "${CMAKE_SOURCE_DIR}/src")
  target_link_libraries(titan_${name} PUBLIC ${ARG_DEPENDS})
  titan_warnings(titan_${name})
  if(ARG_TORCH)
    titan_use_torch(titan_${name} PUBLIC)
  endif()
endfunction()

# titan_test(NAME SOURCES a_test.cpp ... [DEPENDS rooms ...] [TORCH] [LONG filter])
# A GoogleTest program; every TEST becomes a CTest test named Suite.Test, in a process of its own. Those that the filter (of
# GoogleTest) matches take long. The rest is also one test, unit.<NAME>, of the configuration Quick: most of the time of the small
# ones is that LibTorch is loaded.
function(titan_test name)
  if(NOT TITAN_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "TORCH" "LONG" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/tests")
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE TITAN_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  titan_warnings(${name})
  if(ARG_TORCH)
    titan_use_torch(${name} PRIVATE)
  endif()
  # Parameters stay out of the names: the bytes of a parameter without a printer differ from run to run. CTest runs as many tests as
  # there are cores; a second thread of each would only wait for them.
  set(discover ${name} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 NO_PRETTY_VALUES)
  add_test(NAME unit.${name} COMMAND ${name} "--gtest_filter=-${ARG_LONG}" --gtest_brief=1 CONFIGURATIONS Quick
           WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  set_tests_properties(unit.${name} PROPERTIES TIMEOUT 300 COST 5 ENVIRONMENT "OMP_NUM_THREADS=1")
  if(ARG_LONG)
    gtest_discover_tests(${discover} TEST_FILTER "-${ARG_LONG}"
                         PROPERTIES TIMEOUT 300 LABELS single ENVIRONMENT "OMP_NUM_THREADS=1")
    gtest_discover_tests(${discover} TEST_FILTER "${ARG_LONG}" TEST_LIST ${name}_LONG
                         PROPERTIES TIMEOUT 300 LABELS long COST 50 ENVIRONMENT "OMP_NUM_THREADS=1")
  else()
    gtest_discover_tests(${discover} PROPERTIES TIMEOUT 300 LABELS single ENVIRONMENT "OMP_NUM_THREADS=1")
  endif()
endfunction()

# titan_takes_long(TESTS ... [SECONDS n])
# Tests that `run_tests.sh quick` leaves out. The longest begin first, so that none is left running alone at the end.
function(titan_takes_long)
  cmake_parse_arguments(ARG "" "SECONDS" "" ${ARGN})
  if(NOT ARG_SECONDS)
    set(ARG_SECONDS 10)
  endif()
  set_tests_properties(${ARG_UNPARSED_ARGUMENTS} PROPERTIES LABELS long COST ${ARG_SECONDS})
endfunction()

# titan_fuzz(NAME SOURCES a_fuzz.cpp ... [DEPENDS rooms ...] [SEEDS folder ...])
# A libFuzzer program, built by the `fuzz` preset only. Its CTest test tries inputs for TITAN_FUZZ_SECONDS, starting from SEEDS;
# what it learns stays in the build folder.
function(titan_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;SEEDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/tests")
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  titan_warnings(${name})
  set(corpus "${CMAKE_CURRENT_BINARY_DIR}/${name}_corpus")
  file(MAKE_DIRECTORY "${corpus}")
  math(EXPR timeout "${TITAN_FUZZ_SECONDS} + 60")
  add_test(NAME fuzz.${name} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}"
           COMMAND ${name} -max_total_time=${TITAN_FUZZ_SECONDS} -artifact_prefix=${CMAKE_BINARY_DIR}/ "${corpus}" ${ARG_SEEDS})
  set_tests_properties(fuzz.${name} PROPERTIES TIMEOUT ${timeout})
endfunction()

# A shared library that `base::load_extension` finds beside the program, or beside a test program.
function(titan_loaded_beside_programs target)
  set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
  titan_warnings(${target})
  if(TITAN_BUILD_TESTS)
    add_custom_command(TARGET ${target} POST_BUILD
      COMMAND "${CMAKE_COMMAND}" -E make_directory "${CMAKE_BINARY_DIR}/tests"
      COMMAND "${CMAKE_COMMAND}" -E create_symlink "$<TARGET_FILE:${target}>" "${CMAKE_BINARY_DIR}/tests/$<TARGET_FILE_NAME:${target}>")
  endif()
endfunction()

function(titan_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wno-unused-parameter)
endfunction()

# Links LibTorch's CPU libraries and shares the precompiled header, which is compiled once for all rooms and tests.
function(titan_use_torch target visibility)
  target_link_libraries(${target} ${visibility} titan_torch_cpu)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    # CMake would pass -fPIE, and a precompiled header made with -fPIC would not be used.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
  if(TITAN_TORCH_PCH)
    target_precompile_headers(${target} REUSE_FROM titan_torch_pch)
  endif()
endfunction()

if(TITAN_TORCH_PCH)
  file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/torch_pch.cpp" CONTENT "")
  add_library(titan_torch_pch OBJECT "${CMAKE_BINARY_DIR}/torch_pch.cpp")
  target_link_libraries(titan_torch_pch PUBLIC titan_torch_cpu)
  titan_warnings(titan_torch_pch)
  target_precompile_headers(titan_torch_pch PRIVATE <ATen/core/Tensor.h> <ATen/TensorOperators.h> <string> <vector> <memory>
                            <functional>)
endif()
