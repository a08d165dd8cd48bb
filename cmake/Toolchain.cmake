# The build types, the sanitizers, and faster tools where they are installed.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
set(CMAKE_CXX_FLAGS_SANITIZE "-O1 -g1 -fno-omit-frame-pointer")

set(TITAN_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize= (address,undefined or thread)")
if(TITAN_SANITIZE)
  # vptr is off: it asks for the type information of every class LibTorch keeps to itself.
  add_compile_options("-fsanitize=${TITAN_SANITIZE}" -fno-sanitize=vptr -fno-sanitize-recover=undefined)
  add_link_options("-fsanitize=${TITAN_SANITIZE}")
endif()

if(NOT TITAN_SANITIZE)
  # What a library lacks shows when it is linked, not in the middle of a run. (Sanitizers keep their own symbols in the program.)
  add_link_options(-Wl,-z,defs)
endif()

find_program(TITAN_LLD ld.lld)
if(TITAN_LLD)
  add_link_options(-fuse-ld=lld)
endif()

find_program(TITAN_CCACHE ccache)
if(TITAN_CCACHE)
  # The sloppiness and -fpch-preprocess are what ccache needs to see through a precompiled header; the base folder lets
  # another clone hit the same entries.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      "${CMAKE_COMMAND}" -E env "CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime"
      "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" "${TITAN_CCACHE}")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-fpch-preprocess)
  endif()
endif()
