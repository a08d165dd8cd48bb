# cmake -P script of Version.cmake: fills TEMPLATE into SOURCE with RELEASE and the commit of CLONE.
set(TITAN_VERSION "${RELEASE}")
execute_process(
  COMMAND git rev-parse --short HEAD
  WORKING_DIRECTORY "${CLONE}" OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(commit)
  string(APPEND TITAN_VERSION "+${commit}")
endif()
configure_file("${TEMPLATE}" "${SOURCE}" @ONLY)
