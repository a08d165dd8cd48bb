# titan_version: an object library of src/app/version.cpp.in, which says the version and, in a git clone, the commit.
#
# Only this file depends on git: it is written again when HEAD's log moves (a commit, a checkout), and compiled again only then.
execute_process(
  COMMAND git rev-parse --path-format=absolute --git-path logs/HEAD
  WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" OUTPUT_VARIABLE _head_log OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT EXISTS "${_head_log}")
  set(_head_log "")
endif()
set(_template "${CMAKE_SOURCE_DIR}/src/app/version.cpp.in")
set(_source "${CMAKE_BINARY_DIR}/version.cpp")
add_custom_command(
  OUTPUT "${_source}"
  COMMAND "${CMAKE_COMMAND}" "-DTEMPLATE=${_template}" "-DSOURCE=${_source}" "-DRELEASE=${PROJECT_VERSION}"
          "-DCLONE=${CMAKE_SOURCE_DIR}" -P "${CMAKE_SOURCE_DIR}/cmake/WriteVersion.cmake"
  DEPENDS "${_template}" "${CMAKE_SOURCE_DIR}/cmake/WriteVersion.cmake" ${_head_log}
  COMMENT "Writing version.cpp" VERBATIM)

add_library(titan_version OBJECT "${_source}")
target_include_directories(titan_version PRIVATE "${CMAKE_SOURCE_DIR}/include")

# titan_version_source(TARGET): links the version into TARGET.
function(titan_version_source target)
  target_link_libraries(${target} PRIVATE titan_version)
endfunction()
