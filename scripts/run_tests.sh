#!/usr/bin/env bash
# scripts/run_tests.sh [all|quick|NAME-REGEX] [CTEST ARGUMENTS...]: installs and builds what is missing, then runs tests: all of them
# (the default), those that together take less than three minutes on two cores (unit tests in one process for each program, no whole
# runs), or those whose names match. TITAN_PRESET chooses the build (release, debug, asan, tsan, fuzz).
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

preset="${TITAN_PRESET:-release}"
needs=(--tests)
if [[ "$preset" == fuzz ]]; then
  needs+=(--fuzz)
fi
tests=()
case "${1:--}" in
  -*) ;;
  all) shift ;;
  quick)
    tests=(-C Quick -LE '^(long|single)$')
    shift
    ;;
  *)
    tests=(-R "$1")
    shift
    ;;
esac

scripts/bootstrap.sh "${needs[@]}"
scripts/build.sh "$preset"
exec ctest --test-dir "${TITAN_BUILD:-build}/$preset" -j "$(nproc)" --output-on-failure --no-tests=error "${tests[@]}" "$@"
