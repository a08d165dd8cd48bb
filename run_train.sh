#!/usr/bin/env bash
# Trains: installs and builds what is missing, then runs titan_train. Arguments go to it (--section.field=value); its commands (tokenize,
# generate, convert, schedule, profile, plot) come first. Paths in arguments are relative to the clone. docs/launch.md has more on several ranks.
#
#   NGPU=1            ranks of this machine (TorchTitan's script says 8): more than one are started by torchrun, or by titan_train
#                     itself where there is no Python
#   NNODES=1          machines; each runs this script, with MASTER_ADDR and MASTER_PORT (or RDZV_ENDPOINT) naming the first of them
#   LOG_RANK=0        ranks of this machine whose output is shown: 0,1
#   TITAN_JOB_SECRET  of several machines: what only this job's ranks know, the same on every machine (docs/launch.md)
#   MAX_RESTARTS=0    how often torchrun starts all ranks anew when one fails
#   LOG_DIR           where torchrun keeps what each rank printed, by default outputs/torchrun
#   CONFIG_FILE       the TOML to train from; by default the Llama 3 debug model, sized for a GPU where the program finds one
#   COMM_MODE         fake_backend or local_tensor: NGPU ranks in one process; one step, if --training.steps says nothing else
set -euo pipefail
root="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

NGPU="${NGPU:-1}"
NNODES="${NNODES:-1}"
export LOG_RANK="${LOG_RANK:-0}"
export PYTORCH_ALLOC_CONF="${PYTORCH_ALLOC_CONF:-expandable_segments:True}"

# Sized for what the program would train on: only it knows which GPUs it can use. One that it cannot use it refuses, and says why.
default_config() {
  if [[ "$("$program" --version)" == *$'\nauto device: cpu'* ]]; then
    echo configs/llama3/debug_model_cpu.toml
  else
    echo configs/llama3/debug_model.toml
  fi
}

refuse() {
  echo "run_train.sh: $*" >&2
  exit 2
}

for name in NGPU NNODES; do
  [[ "${!name}" =~ ^[1-9][0-9]{0,6}$ ]] || refuse "$name must be a whole number of at least 1, not '${!name}'"
done
[[ "${MAX_RESTARTS:=0}" =~ ^[0-9]{1,6}$ ]] || refuse "MAX_RESTARTS must be a whole number, not '$MAX_RESTARTS'"
[[ "$LOG_RANK" =~ ^[0-9]+(,[0-9]+)*$ ]] || refuse "LOG_RANK must be a list of ranks such as 0,1, not '$LOG_RANK'"

# Whether these arguments train; the rest is for one process, however many ranks there are.
trains() {
  local argument
  [[ ! "${1:-}" =~ ^(tokenize|generate|convert|schedule|plot)$ ]] || return 1
  for argument in "$@"; do
    case "${argument//_/-}" in
      -h | --help | --help-markdown | --version | --check | --print-config | --show-lr | --estimate | --show-plan | --completion*) return 1 ;;
    esac
  done
}

# Where the machines meet.
rendezvous_endpoint() {
  local endpoint="${RDZV_ENDPOINT:-${MASTER_ADDR:-}:${MASTER_PORT:-}}"
  if [[ "$NNODES" == 1 ]]; then
    echo this machine
  elif [[ "$endpoint" =~ ^(localhost|127\.[0-9.]*|\[?::1]?)(:[0-9]*)?$ ]]; then
    refuse "$NNODES machines cannot meet at $endpoint, which is each machine itself: name the first one"
  elif [[ "$endpoint" == :* || "$endpoint" == *: ]]; then
    refuse "NNODES=$NNODES machines need a place to meet: set MASTER_ADDR to a name of the first machine that all can reach, and" \
      "MASTER_PORT to a free port there (or RDZV_ENDPOINT=host:port), the same on every machine"
  else
    echo "$endpoint"
  fi
}

# The command that starts this machine's ranks, in `launcher`, or the argument that makes titan_train do it.
choose_launcher() {
  local endpoint="$1" python
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(threads_of_a_rank)}"
  python="$(scripts/bootstrap.sh --print-python)"
  if [[ -x "${python%/*}/torchrun" ]]; then
    launcher=("$python" -m torch.distributed.run --nnodes="$NNODES" --nproc_per_node="$NGPU" --max-restarts="$MAX_RESTARTS"
      --rdzv_backend c10d --rdzv_id="${RDZV_ID:-titan_train}" --local-ranks-filter "$LOG_RANK"
      --role rank --tee 3 --log-dir "${LOG_DIR:-outputs/torchrun}" --signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR2,SIGXCPU)
    if [[ "$NNODES" == 1 ]]; then
      meet_on_this_machine
    else
      launcher+=(--rdzv_endpoint="$endpoint")
    fi
    launcher+=(--no-python)
  elif [[ "$NNODES" == 1 ]]; then
    arguments+=("--nproc=$NGPU")
  else
    refuse "several machines need torchrun, which is not beside this LibTorch; srun and mpirun need no Python (docs/launch.md)"
  fi
}

# torchrun's own store would listen on every interface. So it meets itself in a file, which has no name and ends with it, and
# rank 0 serves the ranks at the loopback address, where they tell strangers by a secret.
meet_on_this_machine() {
  local file meeting
  file="$(mktemp)"
  exec {meeting}<>"$file"
  rm "$file"
  launcher+=(--rdzv_endpoint="/dev/fd/$meeting" --rdzv_conf store_type=file --local-addr 127.0.0.1)
  export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
  export TITAN_JOB_SECRET="${TITAN_JOB_SECRET:-$(</proc/sys/kernel/random/uuid)}"
}

threads_of_a_rank() {
  local threads=$(($(nproc) / NGPU))
  echo $((threads > 0 ? threads : 1))
}

# TorchTitan's script runs the Python module that this names.
if [[ "${TRAIN_FILE:-torchtitan.train}" != torchtitan.train ]]; then
  echo "run_train.sh: TRAIN_FILE=$TRAIN_FILE is not run: there is one program for all models, and --model.name chooses one" >&2
fi

program="${TITAN_BUILD:-build}/release/titan_train"
arguments=()
place_of_default=""
case "${1:-}" in
  tokenize | generate | convert | schedule | profile | plot) arguments+=("$1"); shift ;;
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
  arguments+=(--job.config_file "")
  place_of_default=$((${#arguments[@]} - 1))
fi
if [[ -n "${COMM_MODE:-}" && "${arguments[*]}" != plot ]]; then
  echo "Running with comm_mode=$COMM_MODE" >&2
  export NGPU LOCAL_RANK=0
  arguments+=("--comm.mode=$COMM_MODE")
fi
arguments+=("$@")
endpoint=""
if trains "${arguments[@]}" && [[ -z "${COMM_MODE:-}" && "$NGPU x $NNODES" != "1 x 1" ]]; then
  endpoint="$(rendezvous_endpoint)"
fi

cd "$root"
scripts/bootstrap.sh
scripts/build.sh release titan_train
if [[ -n "$place_of_default" ]]; then
  arguments[place_of_default]="$(default_config)"
fi
launcher=()
if [[ -n "$endpoint" ]]; then
  choose_launcher "$endpoint"
fi
export TITAN_EXEC_TIME="${EPOCHREALTIME/,/.}"
exec "${launcher[@]}" "$program" "${arguments[@]}"
