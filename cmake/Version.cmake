# titan_version_source(TARGET): compiles src/app/version.cpp.in into TARGET. It says the version and, in a git clone, the commit.
#
# Only this file depends on git: it is written again when HEAD's log moves (a commit, a checkout), and compiled again only then.
function(titan_version_source target)
  set(template "${CMAKE_SOURCE_DIR}/src/app/version.cpp.in")
  set(source "${CMAKE_BINARY_DIR}/version.cpp")
  execute_process(
    COMMAND git rev-parse --path-format=absolute --git-path logs/HEAD
    WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" OUTPUT_VARIABLE head_log OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT EXISTS "${head_log}")
    set(head_log "")
  endif()
  add_custom_command(
    OUTPUT "${source}"
    COMMAND "${CMAKE_COMMAND}" "-DTEMPLATE=${template}" "-DSOURCE=${source}" "-DRELEASE=${PROJECT_VERSION}"
            "-DCLONE=${CMAKE_SOURCE_DIR}" -P "${CMAKE_SOURCE_DIR}/cmake/WriteVersion.cmake"
    DEPENDS "${template}" "${CMAKE_SOURCE_DIR}/cmake/WriteVersion.cmake" ${head_log}
    COMMENT "Writing version.cpp" VERBATIM)
  target_sources(${target} PRIVATE "${source}")
endfunction()
