#!/usr/bin/env bash
# scripts/nightly.sh OUT [PART...]: what is too long for every run of the tests, all of it or the parts that are named. OUT/PART.log has what
# each printed; at the end a table of seconds and outcomes. An hour or two on two cores that have nothing else to do.
#
#   features models h100 flux ft composition layouts   the suites of integration tests, on threads
#   features_gloo models_gloo layouts_gloo             on processes
#   pipelines tensors checkpoints contexts experts precisions   full matrices of tests of which every run takes a part
set -uo pipefail
root="$(realpath "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..")"
out="$(realpath -m "${1:?usage: scripts/nightly.sh OUT [PART...]}")"
shift
parts=(features models h100 flux ft composition layouts features_gloo models_gloo layouts_gloo
       pipelines tensors checkpoints contexts experts precisions)
[[ $# -gt 0 ]] && parts=("$@")
cd "$root" || exit 1
build="$(realpath -m "${TITAN_BUILD:-build}")/release"
export TITAN_TRAIN="$build/titan_train"

# A part goes on behind what fails in it.
failed=0
suite() {
  "$python" -B tests/integration/suite/run_suite.py "$out/$1" --test_suite "${1%_gloo}" "${@:2}" || failed=1
}
# Not by ctest: its limits are for the part that every run takes.
methods() {
  (cd tests/integration && OMP_NUM_THREADS=1 "$python" -B -m unittest "$@") || failed=1
}
program() {
  OMP_NUM_THREADS=1 "$build/tests/$1" --gtest_brief=1 "${@:2}" || failed=1
}
run() {
  case "$1" in
    layouts) suite layouts --ngpu 16 ;;
    layouts_gloo) suite layouts_gloo --comm gloo --ngpu 4 ;;
    features_gloo | models_gloo) suite "$1" --comm gloo ;;
    features | models | h100 | flux | ft | composition) suite "$1" ;;
    pipelines) TITAN_PIPELINE_MATRIX=full methods pipeline_parallel_test pipeline_checkpoint_test ;;
    tensors) TITAN_TENSOR_MATRIX=full methods tensor_parallel_test tensor_checkpoint_test ;;
    checkpoints) TITAN_CHECKPOINT_MATRIX=full methods checkpoint_matrix_test ;;
    contexts)
      export TITAN_CONTEXT_MATRIX=full
      program llama3_test '--gtest_filter=*Context*'
      program forecast_test '--gtest_filter=*Context*'
      methods context_parallel_test
      ;;
    experts)
      export TITAN_EXPERT_MATRIX=full TITAN_CHECKPOINT_MATRIX=full
      program deepseek_v3_test
      program expert_step_test
      program forecast_test '--gtest_filter=*Experts*'
      methods expert_parallel_test expert_checkpoint_test
      ;;
    precisions) TITAN_PRECISION_MATRIX=full methods low_precision_layouts_test ;;
    *)
      echo "nightly: there is no part '$1'"
      failed=1
      ;;
  esac
  return "$failed"
}

mkdir -p "$out"
scripts/bootstrap.sh --tests && scripts/build.sh release titan_train llama3_test deepseek_v3_test expert_step_test forecast_test || exit 1
python="$(scripts/bootstrap.sh --print-python)"
status=0
table=""
for part in "${parts[@]}"; do
  start=$SECONDS
  outcome=passed
  (run "$part") >"$out/$part.log" 2>&1 || { outcome=FAILED && status=1; }
  line="$(printf '%-14s %6d s  %s' "$part" "$((SECONDS - start))" "$outcome")"
  echo "$line"
  table+="$line"$'\n'
done
printf '\n%s' "$table"
exit "$status"
