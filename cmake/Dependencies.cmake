# Third-party libraries. Each is used by one room only (docs/design.md, "Doors").
find_package(Threads REQUIRED)
find_package(tomlplusplus REQUIRED)   # config
find_package(CLI11 REQUIRED)          # config
find_package(spdlog REQUIRED)         # tools
find_package(nlohmann_json REQUIRED)  # base (json), and whoever parses JSON files
find_package(OpenSSL REQUIRED COMPONENTS Crypto)  # base: SHA-256 with the CPU's own instructions
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)  # text/tokenizer: Unicode regular expressions, JIT-compiled
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)  # text/tokenizer: Unicode normalisation
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)  # text/sources: .zst
find_package(ZLIB REQUIRED)                               # text/sources: .gz, formats/torch_archive: CRC-32
option(TITAN_SENTENCEPIECE "Read SentencePiece models, where libsentencepiece is found" ON)
find_library(TITAN_SENTENCEPIECE_LIBRARY sentencepiece)   # text/tokenizer: SentencePiece models
find_path(TITAN_SENTENCEPIECE_HEADERS sentencepiece_processor.h)
if(TITAN_SENTENCEPIECE AND TITAN_SENTENCEPIECE_LIBRARY AND TITAN_SENTENCEPIECE_HEADERS)
  set(TITAN_HAVE_SENTENCEPIECE ON)
else()
  message(STATUS "libsentencepiece: none, so no SentencePiece models")
endif()
if(TITAN_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
