#!/usr/bin/env bash
# scripts/gpu_first_hour.sh OUT [--only 1,2,5] [--limit SECONDS]
# What to run first on a machine with a GPU: thirteen experiments in rising order, each with a verdict, and a table of them at the end.
# One that fails does not stop the others. OUT gets a folder for each, with logs, metrics and everything else its runs wrote, and
# OUT/summary.txt. Needs no network, no build and no Python beside a built titan_train. The exit status is the number of those that failed.
#
#   --only 1,2,5      these experiments alone
#   --limit 120       seconds that each run of the program may take
#   TITAN_PROGRAM     the program; by default build/release/titan_train. Its test programs are in tests/ beside it
#   TITAN_DEVICE=cpu  rehearses on a CPU those that can be; the others are SKIPPED
# shellcheck disable=SC2317 # experiments are called by number
set -uo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." || exit

usage() { sed -n '2,/TITAN_DEVICE/s/^# \{0,1\}//p' scripts/gpu_first_hour.sh >&2; exit 2; }

out=""
only="1,2,3,4,5,6,7,8,9,10,11,12,13"
limit=120
while (($#)); do
  case "$1" in
    --only) only="${2:-}"; shift 2 || usage ;;
    --limit) limit="${2:-}"; shift 2 || usage ;;
    -*) usage ;;
    *) [[ -z "$out" ]] || usage; out="$1"; shift ;;
  esac
done
[[ -n "$out" && "$only" =~ ^[0-9]+(,[0-9]+)*$ && "$limit" =~ ^[0-9]+$ ]] || usage
mkdir -p "$out" || exit 2
out="$(realpath "$out")"
program="$(realpath "${TITAN_PROGRAM:-${TITAN_BUILD:-build}/release/titan_train}")"
if [[ ! -x "$program" ]]; then
  echo "gpu_first_hour.sh: no program at $program: build it (scripts/build.sh release titan_train), or name it in TITAN_PROGRAM" >&2
  exit 2
fi
device="${TITAN_DEVICE:-cuda}"
export PYTORCH_ALLOC_CONF="${PYTORCH_ALLOC_CONF:-expandable_segments:True}"

# The debug model at a size that a CPU can follow, with the same numbers every time.
readonly kSmall=(--job.config_file configs/llama3/debug_model_cpu.toml --training.steps=3 --lr_scheduler.total_steps=40 --metrics.log_freq=1)
readonly kFloat=(--training.mixed_precision_param=float32)
readonly kHalf=(--training.mixed_precision_param=bfloat16)
readonly kTitles=(""
  "versions"
  "three steps against the CPU"
  "FSDP, HSDP and DDP over ranks that share the GPU"
  "attention within documents: varlen against the mask"
  "deterministic, twice"
  "checkpoint while training goes on, and resume"
  "a one-rank NCCL group with every collective"
  "CPU offload"
  "profiler and memory snapshot"
  "tokens/s and MFU of 1B and 8B, eager"
  "our kernels against LibTorch's operators"
  "low precision: casts, and products where the GPU has them"
  "CUDA graphs: the same bits, tokens/s with and without")
folder="" # of this experiment

# train NAME ARGUMENTS...: runs the program, its dump folder being $folder/NAME and its output $folder/NAME.log.
train() {
  local name="$1"
  shift
  echo "+ ${NGPU:+NGPU=$NGPU }$program $* --job.dump_folder=$folder/$name" >>"$folder/$name.log"
  timeout -k 10 "$limit" "$program" "$@" --job.dump_folder="$folder/$name" >>"$folder/$name.log" 2>&1
  local status=$?
  ((status == 0)) || complain "$name ended with status $status: $(last_words "$name")"
  return "$status"
}

last_words() {
  if [[ -s "$folder/$1.log" ]]; then
    grep -a '^titan_train: ' "$folder/$1.log" | tail -n 1 | cut -c 1-300
  fi
}

# Into a file: some who complain are in a subshell.
complain() { echo "$*" >>"$folder/complaints"; }

# metric NAME KEY: one line for each logged step of a run.
metric() { sed -n "s/.*\"$2\": \\([^,}]*\\).*/\\1/p" "$folder/$1/metrics.jsonl" 2>/dev/null; }

# close_losses BOUND NAME NAME: complains where losses differ by more than this share; prints the largest.
close_losses() {
  local bound="$1" worst
  worst="$(paste <(metric "$2" loss) <(metric "$3" loss) | awk '
    NF != 2 || $1 !~ /^[0-9]/ || $2 !~ /^[0-9]/ || $1 == 0 { bad = 1; exit }
    { d = ($1 - $2) / $1; if (d < 0) d = -d; if (d > worst) worst = d }
    END { if (bad || NR == 0) print "none"; else printf "%.1e", worst }')"
  if [[ "$worst" == none ]]; then
    complain "$2 and $3 have no losses to compare"
  elif ! awk "BEGIN { exit !($worst <= $bound) }"; then
    complain "losses of $2 and $3 differ by $worst of them, more than $bound"
  fi
  echo "$worst"
}

# seed_checkpoint ARGUMENTS...: initial weights that every device loads; each draws others by itself.
seed_checkpoint() {
  train seed "${kSmall[@]}" "$@" --training.device=cpu --checkpoint.enable --checkpoint.create_seed_checkpoint || return
  from_seed=(--checkpoint.enable --checkpoint.load_only "--checkpoint.initial_load_path=$folder/seed/checkpoint/step-0")
}

# hashes NAME STEP: of the weights.
hashes() { grep -h "\"step\":$2,\"name\":\"[^\"]*weight\"" "$folder/$1/hashes.jsonl" 2>/dev/null; }

same_weights() {
  local first second
  first="$(hashes "$1" "$3")"
  second="$(hashes "$2" "$3")"
  [[ -n "$first" ]] || complain "$1 wrote no hashes of step $3"
  [[ "$first" == "$second" ]] || complain "weights of $1 and $2 differ at step $3"
}

experiment_1() {
  timeout 60 "$program" --version >"$folder/version.log" 2>&1 || complain "--version failed"
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi >"$folder/nvidia-smi.log" 2>&1 || complain "nvidia-smi failed"
    nvidia-smi topo -m >>"$folder/nvidia-smi.log" 2>&1
  fi
  grep -q '^GPU 0: ' "$folder/version.log" || complain "no GPU: $(grep '^driver' "$folder/version.log")"
  ! grep -q '(loaded: ' "$folder/version.log" || complain "not the libraries it was built with: $(grep '(loaded: ' "$folder/version.log" | paste -sd ';')"
  figure="$(grep -E '^(GPU 0|driver|CUDA|cuDNN|NCCL|LibTorch)' "$folder/version.log" | paste -sd ';' | sed 's/;/; /g')"
}

experiment_2() {
  local float half
  seed_checkpoint || return
  train cpu "${kSmall[@]}" "${from_seed[@]}" "${kFloat[@]}" --training.device=cpu
  train float32 "${kSmall[@]}" "${from_seed[@]}" "${kFloat[@]}" --training.device="$device"
  train bfloat16 "${kSmall[@]}" "${from_seed[@]}" "${kHalf[@]}" --training.device="$device"
  float="$(close_losses 1e-4 cpu float32)"
  half="$(close_losses 1e-2 cpu bfloat16)"
  figure="losses differ by $float of them in float32 (bound 1e-4), $half in bfloat16 (1e-2)"
}

experiment_3() {
  local layout replicate shard worst
  seed_checkpoint || return
  export NGPU=4
  for layout in fsdp:1:4 hsdp:2:2 ddp:4:1; do
    IFS=: read -r layout replicate shard <<<"$layout"
    for where in cpu "$device"; do
      train "$layout-$where-run" "${kSmall[@]}" "${from_seed[@]}" "${kFloat[@]}" --training.device="$where" --training.local_batch_size=1 \
        --comm.mode=local_tensor --parallelism.data_parallel_replicate_degree="$replicate" --parallelism.data_parallel_shard_degree="$shard" \
        --activation_checkpoint.mode=selective --activation_checkpoint.selective_ac_option=op
    done
    worst="$(close_losses 1e-4 "$layout-cpu-run" "$layout-$device-run")"
    figure+="${figure:+, }$layout $worst"
  done
  unset NGPU
  figure="losses differ from the CPU's by (bound 1e-4): $figure"
}

experiment_4() {
  local model=(--model.flavor=debugmodel_varlen_attn) worst
  seed_checkpoint "${model[@]}" || return
  train masked "${kSmall[@]}" "${model[@]}" "${from_seed[@]}" "${kFloat[@]}" --training.device=cpu
  train packed "${kSmall[@]}" "${model[@]}" "${from_seed[@]}" "${kHalf[@]}" --training.device="$device"
  worst="$(close_losses 1e-2 masked packed)"
  figure="losses differ by $worst of them (bound 1e-2)"
}

experiment_5() {
  local name
  for name in first second; do
    train "$name" "${kSmall[@]}" "${kHalf[@]}" --training.device="$device" --training.steps=10 --debug.deterministic --debug.seed=42 --debug.log_hashes \
      --activation_checkpoint.mode=selective --activation_checkpoint.selective_ac_option=op
  done
  same_weights first second 10
  [[ "$(metric first loss)" == "$(metric second loss)" ]] || complain "losses differ"
  figure="losses and all weights of 10 steps equal bit for bit"
}

experiment_6() {
  local job=("${kSmall[@]}" "${kHalf[@]}" --training.device="$device" --training.steps=8 --debug.deterministic --debug.seed=42 --debug.log_hashes
    --checkpoint.enable --checkpoint.interval=4 --checkpoint.last_save_model_only=false --checkpoint.async_mode=async_with_pinned_mem)
  train run "${job[@]}" || return
  cp -r "$folder/run" "$folder/resumed"
  rm -rf "$folder/resumed/checkpoint/step-8" "$folder/resumed/hashes.jsonl"
  train resumed "${job[@]}"
  same_weights run resumed 8
  figure="weights of step 8 equal bit for bit after a start from step 4; $(grep -ao 'training waited.*' "$folder/run.log" | tail -n 1)"
}

# gpu_tests PROGRAM FILTER: runs tests that a GPU is needed for; how many passed is the figure.
gpu_tests() {
  local test="${program%/*}/tests/$1"
  if [[ ! -x "$test" ]]; then
    complain "no $test: build it (scripts/build.sh release $1), or put it there"
    return
  fi
  NCCL_DEBUG=WARN timeout -k 10 "$limit" "$test" --gtest_filter="$2" >"$folder/test.log" 2>&1 || complain "$(grep -a -m 1 -A 3 'Failure' "$folder/test.log" | paste -sd ' ')"
  figure="$(grep -ac '^\[       OK' "$folder/test.log") tests passed"
  local skipped
  skipped="$(grep -a -m 1 -A 1 'Skipped' "$folder/test.log" | tail -n 1)"
  case "$skipped" in
    "") ;;
    *"need a GPU of compute capability"*) figure+="; not tried: $skipped" ;;
    *) complain "skipped: $skipped" ;;
  esac
}

experiment_7() { gpu_tests nccl_backend_test '*OneRank*'; }

experiment_8() {
  local job=("${kSmall[@]}" "${kFloat[@]}" --comm.mode=local_tensor --parallelism.data_parallel_shard_degree=2 --training.local_batch_size=2) worst
  seed_checkpoint || return
  export NGPU=2
  train kept "${job[@]}" "${from_seed[@]}" --training.device="$device"
  train offloaded "${job[@]}" "${from_seed[@]}" --training.device="$device" --training.enable_cpu_offload
  unset NGPU
  worst="$(close_losses 1e-4 kept offloaded)"
  figure="losses differ by $worst of them (bound 1e-4), peak memory $(metric kept memory_max_active_gib | tail -n 1) GiB kept, $(
    metric offloaded memory_max_active_gib | tail -n 1) GiB offloaded"
}

experiment_9() {
  local trace kernels snapshot
  train run "${kSmall[@]}" "${kHalf[@]}" --training.device="$device" --training.steps=6 --profiling.enable_profiling --profiling.profile_freq=5 \
    --profiling.enable_memory_snapshot
  trace="$(find "$folder/run" -name '*trace*.json*' -type f | head -n 1)"
  snapshot="$(find "$folder/run" -name '*.pickle' | head -n 1)"
  kernels="$(grep -aoc '"cat": "kernel"' "${trace:-/dev/null}")"
  [[ -n "$trace" ]] || complain "no trace was written"
  ((kernels > 0)) || complain "the trace has no kernel of the GPU"
  [[ -n "$snapshot" && -s "$snapshot" ]] || complain "no memory snapshot was written"
  figure="$kernels kernels in the trace, snapshot of $(stat -c %s "${snapshot:-/dev/null}") bytes"
}

# speed NAME ARGUMENTS...: adds a run's steady tokens/s and MFU to the figure.
speed() {
  local name="$1"
  shift
  train "$name" --job.config_file configs/llama3/llama3_8b.toml --model.hf_assets_path=tests/assets/tokenizer --training.dataset=c4_test \
    --training.device="$device" --profiling.no-enable_profiling --metrics.no-enable_tensorboard --metrics.log_freq=5 --training.steps=15 "$@" || return
  figure+="${figure:+; }$name $(metric "$name" tps | tail -n 1 | cut -d. -f1) tokens/s, MFU $(metric "$name" mfu | tail -n 1 | cut -c 1-5) %, peak $(
    metric "$name" memory_max_active_gib | tail -n 1 | cut -c 1-5) GiB"
}

# What fits into 80 GB: the 1B as it is trained; the 8B as its config has it, but with weights and AdamW's state in bfloat16 (72 GiB in all),
# which is no way to train it and multiplies the same matrices.
experiment_10() {
  speed 1B --model.flavor=1B --training.seq_len=4096 --training.local_batch_size=4
  speed 1B-full-ac --model.flavor=1B --training.seq_len=4096 --training.local_batch_size=4 --activation_checkpoint.mode=full
  speed 8B-bf16-states --training.dtype=bfloat16
}

# The same numbers, the same bits twice, and no more time than LibTorch's operators take (by 5 %, for noise).
experiment_11() {
  gpu_tests cuda_kernels_test 'KernelsOnGpu.*'
  figure+="; times of LibTorch's by ours: $(sed -n 's/^speed: //p' "$folder/test.log" 2>/dev/null | paste -sd ';' | sed 's/;/, /g')"
}

experiment_12() { gpu_tests quantization_test 'Float8OnGpu.*:MXOnGpu.*'; }

# The interface alone; then steps of two microbatches, whose second adds to the gradients in a graph of its own: losses, norms and weights with graphs and without.
# Then the speed of a model that waits for the host: it must not become slower (by 5 %, for noise).
experiment_13() {
  local name without with
  gpu_tests cuda_kernels_test 'GraphsOnGpu.*'
  local tests="$figure"
  local exact=("${kSmall[@]}" "${kHalf[@]}" --training.device="$device" --training.steps=12 --training.local_batch_size=1 --training.global_batch_size=2
    --activation_checkpoint.mode=none --debug.deterministic --debug.seed=42 --debug.log_hashes)
  train without "${exact[@]}"
  train with "${exact[@]}" --compile.cuda_graphs
  [[ -n "$(metric without loss)" && "$(metric without loss)" == "$(metric with loss)" ]] || complain "losses differ, or there are none"
  [[ "$(metric without grad_norm)" == "$(metric with grad_norm)" ]] || complain "gradient norms differ"
  same_weights without with 12
  for name in without with; do
    train "$name-timed" "${kSmall[@]}" "${kHalf[@]}" --training.device="$device" --training.steps=60 --metrics.log_freq=20 --compile.enable \
      --activation_checkpoint.mode=none "$([[ "$name" == with ]] && echo --compile.cuda_graphs || echo --compile.no-cuda_graphs)"
  done
  without="$(metric without-timed tps | tail -n 1 | cut -d. -f1)"
  with="$(metric with-timed tps | tail -n 1 | cut -d. -f1)"
  ((${with:-0} > 0 && 100 * ${with:-0} >= 95 * ${without:-0})) || complain "replayed steps are slower"
  figure="$tests; losses, norms and all weights of 12 steps equal bit for bit; debug model $without tokens/s without, $with with graphs, peak memory $(
    metric without-timed memory_max_reserved_gib | tail -n 1) and $(metric with-timed memory_max_reserved_gib | tail -n 1) GiB reserved"
}

# Experiments that a CPU cannot rehearse.
needs_gpu() { [[ " 1 7 9 10 11 12 13 " == *" $1 "* ]]; }

rows=()
failed=0
for number in ${only//,/ }; do
  title="${kTitles[number]:-}"
  if [[ -z "$title" ]]; then
    echo "gpu_first_hour.sh: there is no experiment $number" >&2
    exit 2
  fi
  figure=""
  from_seed=()
  folder="$out/$number"
  rm -rf "$folder"
  mkdir -p "$folder"
  : >"$folder/complaints"
  started=$SECONDS
  echo "== $number. $title"
  if [[ "$device" == cpu ]] && needs_gpu "$number"; then
    verdict=SKIP
    figure="needs a GPU"
  else
    "experiment_$number"
    mapfile -t failures <"$folder/complaints"
    verdict=PASS
    if ((${#failures[@]})); then
      verdict=FAIL
      failed=$((failed + 1))
      figure="$(printf '%s; ' "${failures[@]}")$figure"
    fi
  fi
  row="$(printf '%-4s %2d  %-52s %4d s  %s' "$verdict" "$number" "$title" $((SECONDS - started)) "$figure")"
  echo "$row"
  rows+=("$row")
  printf '%s\n' "${rows[@]}" >"$out/summary.txt"
done
echo
echo "== Summary ($out/summary.txt)"
cat "$out/summary.txt"
exit "$failed"
