#!/usr/bin/env bash
# scripts/run_tests.sh [NAME-REGEX] [CTEST ARGUMENTS...]: installs and builds what is missing, then runs the tests whose names
# match, by default all. TITAN_PRESET chooses the build (release, debug, asan, tsan, fuzz).
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

preset="${TITAN_PRESET:-release}"
needs=(--tests)
if [[ "$preset" == fuzz ]]; then
  needs+=(--fuzz)
fi
filter=()
if [[ $# -gt 0 && "$1" != -* ]]; then
  filter=(-R "$1")
  shift
fi

scripts/bootstrap.sh "${needs[@]}"
scripts/build.sh "$preset"
exec ctest --test-dir "${TITAN_BUILD:-build}/$preset" -j "$(nproc)" --output-on-failure --no-tests=error "${filter[@]}" "$@"
