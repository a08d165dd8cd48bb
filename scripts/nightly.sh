#!/usr/bin/env bash
# scripts/nightly.sh OUT: what is too long for every run of the tests: all suites of integration tests on threads, the original's on
# processes as well, and the full matrices of schedules, layouts and checkpoints. An hour or two on two cores.
set -uo pipefail
root="$(realpath "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..")"
out="$(realpath -m "${1:?usage: scripts/nightly.sh OUT}")"
status=0
suite() {
  local name="$1"
  shift
  "$root/scripts/run_integration_tests.sh" "$out/$name" "$@" || status=1
}
mkdir -p "$out"
for name in features models h100 flux ft composition; do
  suite "$name" --test_suite "$name"
done
suite layouts --test_suite layouts --ngpu 16
suite features_gloo --comm gloo
suite layouts_gloo --test_suite layouts --comm gloo --ngpu 4
TITAN_PIPELINE_MATRIX=full TITAN_TENSOR_MATRIX=full TITAN_CHECKPOINT_MATRIX=full TITAN_EXPERT_MATRIX=full "$root/scripts/run_tests.sh" \
  'Integration\.(pipeline|tensor|checkpoint_matrix|expert)|ExpertLayouts|DeepSeekLayouts' || status=1
exit "$status"
