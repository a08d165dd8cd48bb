#!/usr/bin/env bash
# Trains: installs and builds what is missing, then runs titan_train. Arguments go to it (--section.field=value); its commands tokenize
# and plot come first. Paths in arguments are relative to the clone.
#
#   NGPU=1 NNODES=1   ranks of a node and nodes
#   LOG_RANK=0        ranks whose output is shown
#   CONFIG_FILE       the TOML to train from; by default the Llama 3 debug model, sized for a GPU where one is visible
#   COMM_MODE         passed on as --comm.mode
set -euo pipefail
root="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

NGPU="${NGPU:-1}"
NNODES="${NNODES:-1}"
export LOG_RANK="${LOG_RANK:-0}"
export PYTORCH_ALLOC_CONF="${PYTORCH_ALLOC_CONF:-expandable_segments:True}"

gpu_visible() {
  [[ ! "${CUDA_VISIBLE_DEVICES-0}" =~ ^(|-1)$ ]] || return 1
  [[ -e /dev/nvidiactl || -e /dev/dxg ]] || return 1
  [[ "$(PATH="$PATH:/sbin" ldconfig -p)" == *libcuda.so.1* ]]
}

default_config() {
  if gpu_visible; then
    echo configs/llama3/debug_model.toml
  else
    echo configs/llama3/debug_model_cpu.toml
  fi
}

if [[ "$NGPU" != 1 || "$NNODES" != 1 ]]; then
  echo "run_train.sh: not available in this build yet: more than one rank (NGPU=$NGPU, NNODES=$NNODES)" >&2
  exit 2
fi

arguments=()
case "${1:-}" in
  tokenize | plot) arguments+=("$1"); shift ;;
esac
if [[ "${arguments[*]}" == plot ]]; then
  : # draws runs, whatever their configs
elif [[ -n "${CONFIG_FILE:-}" ]]; then
  # The run starts in the clone, whose configs name their data relative to it; the caller's own file is found from where they are.
  if [[ -e "$CONFIG_FILE" ]]; then
    CONFIG_FILE="$(realpath -s "$CONFIG_FILE")"
  fi
  arguments+=(--job.config_file "$CONFIG_FILE")
elif [[ " $* " != *" --job.config_file"* ]]; then
  arguments+=(--job.config_file "$(default_config)")
fi
arguments+=("$@")
if [[ -n "${COMM_MODE:-}" ]]; then
  arguments+=("--comm.mode=$COMM_MODE")
fi

cd "$root"
scripts/bootstrap.sh
scripts/build.sh release titan_train
export TITAN_EXEC_TIME="${EPOCHREALTIME/,/.}"
exec "${TITAN_BUILD:-build}/release/titan_train" "${arguments[@]}"
