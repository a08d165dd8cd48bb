# Arrow C++ for the files of src/parquet, from a `pyarrow` wheel.
#
#   TITAN_HAVE_PARQUET    whether headers and libraries are there
#   titan_arrow           INTERFACE target: headers, libarrow, libparquet
#
# -DTITAN_ARROW_ROOT=<the `pyarrow` folder> names one; else scripts/bootstrap.sh does. The libraries carry the version in their
# names, so whichever version is found at configuration is the one that is loaded.

set(TITAN_PARQUET AUTO CACHE STRING "Build the reader of Parquet files: AUTO (when it can be), ON, OFF")
set_property(CACHE TITAN_PARQUET PROPERTY STRINGS AUTO ON OFF)
set(TITAN_ARROW_ROOT "" CACHE PATH "The `pyarrow` folder of a wheel")

set(TITAN_HAVE_PARQUET OFF)
if(TITAN_PARQUET AND NOT TITAN_FUZZ)
  set(_arrow_root "${TITAN_ARROW_ROOT}")
  if(NOT _arrow_root)
    execute_process(
      COMMAND "${CMAKE_SOURCE_DIR}/scripts/bootstrap.sh" --print-arrow-root
      OUTPUT_VARIABLE _arrow_root OUTPUT_STRIP_TRAILING_WHITESPACE)
  endif()
  file(GLOB _arrow_library "${_arrow_root}/libarrow.so.*")
  file(GLOB _parquet_library "${_arrow_root}/libparquet.so.*")
  if(_arrow_root AND _arrow_library AND _parquet_library AND EXISTS "${_arrow_root}/include/parquet/api/reader.h")
    foreach(name arrow parquet)
      add_library(titan_${name}_library SHARED IMPORTED GLOBAL)
      list(GET _${name}_library 0 _library)
      set_target_properties(titan_${name}_library PROPERTIES IMPORTED_LOCATION "${_library}" IMPORTED_NO_SONAME FALSE)
    endforeach()
    add_library(titan_arrow INTERFACE)
    target_include_directories(titan_arrow SYSTEM INTERFACE "${_arrow_root}/include")
    target_link_libraries(titan_arrow INTERFACE titan_parquet_library titan_arrow_library)
    set(TITAN_HAVE_PARQUET ON)
    message(STATUS "Arrow C++: ${_arrow_root}")
  elseif(TITAN_PARQUET STREQUAL "ON")
    message(FATAL_ERROR "TITAN_PARQUET=ON, but no Arrow C++ was found ('${_arrow_root}'): run scripts/bootstrap.sh, or pass "
                        "-DTITAN_ARROW_ROOT=<the pyarrow folder of a wheel>.")
  else()
    message(STATUS "Arrow C++: none, so no Parquet")
  endif()
endif()
