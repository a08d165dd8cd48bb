#!/usr/bin/env bash
# Installs what titan_train is built with, and nothing that is there already:
#   - Debian packages, through apt-get (as root, or with a sudo that asks no password);
#   - LibTorch, from the `torch` wheel with its NVIDIA parts, and Arrow C++, from the `pyarrow` wheel, into a virtual environment in
#     the per-user cache.
# When nothing is missing it touches neither network nor disk. An active Python environment with the right torch, or Torch_DIR,
# is used instead of the wheel in the cache.
set -euo pipefail

readonly kTorchVersion=2.11.0
readonly kArrowVersion=26.0.1 # of the `pyarrow` wheel, whose C++ libraries read Parquet
# `transformers` and `safetensors` read and write the Llamas that ours is compared with (20 MB to fetch, 140 MB on disk). Pinned: other
# versions round otherwise and save other files. `torchao` (25 MB) is asked for its float8 and MXFP8 products.
readonly kTestPackages=(numpy tokenizers sentencepiece tensorboard wandb transformers==5.23.0 safetensors==0.8.0 torchao==0.16.0)
readonly kOldestCompiler=12

cache="${TITAN_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set: set it, or TITAN_CACHE}/.cache}/titan_train}"
# One environment for each pair of versions, so that another version is installed beside what programs run with.
venv="$cache/python-$kTorchVersion-$kArrowVersion"
if [[ -e "$cache/python/.installed-torch-$kTorchVersion" ]] &&
  { [[ -e "$cache/python/.installed-arrow-$kArrowVersion" ]] || ! compgen -G "$cache/python/.installed-arrow-*" >/dev/null; }; then
  venv="$cache/python" # has these versions under a name without them
fi

usage() {
  cat <<EOF
usage: scripts/bootstrap.sh [--tests] [--fuzz]   install what is missing (for the Python tests, for the fuzz preset)
       scripts/bootstrap.sh --print-torch-root   the \`torch\` folder that is built against
       scripts/bootstrap.sh --print-arrow-root   the \`pyarrow\` folder that is built against; nothing when there is none
       scripts/bootstrap.sh --print-python       the Python that the tests use
       scripts/bootstrap.sh --print-cache        the per-user cache (TITAN_CACHE moves it)
EOF
}

say() { echo "bootstrap: $*" >&2; }

# One line per need: the command or <header> that shows it is met; its Debian package; what it is for.
system_needs() {
  cat <<'EOF'
g++                            g++                  compiling
make                           make                 compiling
cmake                          cmake                configuring the build
ninja                          ninja-build          running the build
ccache                         ccache               building again in seconds
ld.lld                         lld                  linking fast
pkg-config                     pkg-config           finding PCRE2
git                            git                  the commit in --version
python3                        python3              fetching LibTorch, and the tests
<toml++/toml.h>                libtomlplusplus-dev  reading configs
<CLI/CLI.hpp>                  libcli11-dev         the command line
<spdlog/spdlog.h>              libspdlog-dev        logging
<nlohmann/json.hpp>            nlohmann-json3-dev   tokenizer.json, data and metrics
<openssl/evp.h>                libssl-dev           SHA-256
<zlib.h>                       zlib1g-dev           compressed data
<zstd.h>                       libzstd-dev          compressed data
<utf8proc.h>                   libutf8proc-dev      Unicode normalisation of tokenizers
<pcre2posix.h>                 libpcre2-dev         regular expressions of tokenizers
<sentencepiece_processor.h>    libsentencepiece-dev SentencePiece models
<gloo/config.h>                libgloo-dev          process groups on CPUs
<gtest/gtest.h>                libgtest-dev         the tests
<gmock/gmock.h>                libgmock-dev         the tests
EOF
  if [[ $with_fuzz ]]; then
    echo 'clang++ clang fuzzing'
  fi
}

# The lines of system_needs that this machine does not meet. The compiler itself says which headers it finds.
missing_needs() {
  local need package purpose headers=""
  while read -r need package purpose; do
    case "$need" in
      \<*) headers+="#if !__has_include($need)"$'\n'"$need $package $purpose"$'\n'"#endif"$'\n' ;;
      *) command -v "$need" >/dev/null || echo "$need $package $purpose" ;;
    esac
  done < <(system_needs)
  if command -v g++ >/dev/null; then
    g++ -w -x c++ -E -P - <<<"$headers"
  else
    grep -v '^#' <<<"$headers"
  fi
  if ! torch_root >/dev/null && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    echo 'ensurepip python3-venv fetching LibTorch'
  fi
}

# A command that runs its arguments as root without asking, or nothing.
as_root() {
  if [[ $EUID == 0 ]]; then
    echo env
  elif sudo -n true 2>/dev/null; then
    echo sudo -n
  fi
}

install_system_packages() {
  local missing packages root
  missing="$(missing_needs)"
  [[ -n "$missing" ]] || return 0
  mapfile -t packages < <(awk '{print $2}' <<<"$missing" | sort -u)
  if ! command -v apt-get >/dev/null; then
    report_missing "$missing" "Install them with this system's package manager (the names are Debian's), then run this again."
  fi
  root="$(as_root)"
  if [[ -z "$root" ]]; then
    report_missing "$missing" "Run this first:  sudo apt-get install ${packages[*]}"
  fi
  say "installing ${packages[*]}"
  $root apt-get -q update >&2
  $root env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends --no-upgrade "${packages[@]}" >&2 </dev/null
}

report_missing() {
  say "these are missing:"
  awk '{need = $1; package = $2; $1 = $2 = ""; printf "  %-28s %-22s%s\n", need, package, $0}' <<<"$1" >&2
  say "$2"
  exit 1
}

check_compiler() {
  local version
  version="$("${CXX:-g++}" -dumpversion)"
  if [[ "${CXX:-g++}" == *g++* ]] && ((${version%%.*} < kOldestCompiler)); then
    say "g++ $kOldestCompiler or newer is needed, found $version. Install one and name it: CXX=g++-$kOldestCompiler."
    exit 1
  fi
}

# Prints the folder of the right torch under the Python prefix $1, if it is there.
torch_under() {
  local root
  for root in "$1"/lib/python3*/site-packages/torch; do
    if [[ -r "$root/version.py" ]] && grep -q "^__version__ = '${kTorchVersion}[+']" "$root/version.py"; then
      echo "$root"
      return 0
    fi
  done
  return 1
}

# Who sets Torch_DIR wants that LibTorch and no other.
check_torch_dir() {
  if [[ -n "${Torch_DIR:-}" && ! -r "$Torch_DIR/TorchConfig.cmake" ]]; then
    say "Torch_DIR is '$Torch_DIR', where there is no TorchConfig.cmake. Set it to <torch>/share/cmake/Torch of LibTorch $kTorchVersion, or" \
      "unset it: then the active environment's is used, or one in $cache."
    exit 1
  fi
}

# The torch to build against: Torch_DIR, else the active environment's, else the cache's once its installation was completed.
torch_root() {
  local prefix
  if [[ -n "${Torch_DIR:-}" ]]; then
    (cd "$Torch_DIR/../../.." && pwd)
    return
  fi
  for prefix in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}"; do
    if [[ -n "$prefix" ]] && torch_under "$prefix"; then
      return 0
    fi
  done
  [[ -x "$venv/bin/python" && -e "$(stamp torch)" ]] && torch_under "$venv"
}

# The Python of the environment that the torch we build against is in, if it is in one.
torch_python() {
  local root prefix
  root="$(torch_root)" || return 1
  prefix="${root%/lib/python3*}"
  [[ -x "$prefix/bin/python" ]] && echo "$prefix/bin/python"
}

# The Python for the tests: torch's own, else the cache's, else the system's, which only runs those that need no packages.
test_python() {
  torch_python && return
  if [[ -x "$venv/bin/python" ]]; then
    echo "$venv/bin/python"
  else
    command -v python3
  fi
}

# A file that exists once `pip` has finished installing $1 into the cache; an interrupted installation leaves none. Other packages or
# versions have another file.
stamp() {
  local name="$1"
  case "$name" in
    torch) name+="-$kTorchVersion" ;;
    arrow) name+="-$kArrowVersion" ;;
    tests) name+="-$(IFS=-; echo "${kTestPackages[*]}")" ;;
  esac
  echo "$venv/.installed-$name"
}

# The folder of Arrow C++: in the environment of the torch we build against. An environment that is not ours may lack it; then there
# is no Parquet.
arrow_root() {
  local root
  root="$(torch_root)" && root="$(dirname "$root")/pyarrow"
  [[ -e "$root/include/arrow/api.h" ]] && echo "$root"
}

pip_install() {
  local what="$1" quiet=--quiet
  shift
  if [[ -t 2 ]]; then
    quiet=""
  fi
  # shellcheck disable=SC2086 # no argument at all when not quiet
  "$venv/bin/python" -m pip install --disable-pip-version-check --no-input $quiet "$@" >&2
  touch "$(stamp "$what")"
}

install_torch() {
  if torch_root >/dev/null; then
    return 0
  fi
  say "installing LibTorch $kTorchVersion, once per user: about 5 GB in $venv"
  make_environment_anew
}

# Replaces $venv by one with torch, which is made beside it and gets the name when it is whole. Programs may run with what has the
# name: they keep the files that they have open, and find the same versions under the same names.
make_environment_anew() {
  local final="$venv" venv="$venv.new"
  rm -rf "$venv" "$final.old"
  python3 -m venv "$venv"
  pip_install torch "torch==$kTorchVersion"
  # Its own scripts name the folder that they were made in.
  { grep -rlIF "${venv##*/}" "$venv/bin" "$venv/pyvenv.cfg" || true; } | while read -r script; do
    sed -i "s|${venv##*/}|${final##*/}|g" "$script"
  done
  if [[ -e "$final" ]]; then
    mv -T "$final" "$final.old"
  fi
  mv -T "$venv" "$final"
  rm -rf "$final.old"
}

# It goes into our own environment only.
is_arrow_missing() { [[ "$(torch_python)" == "$venv/bin/python" && ! -e "$(stamp arrow)" ]]; }

install_arrow() {
  is_arrow_missing || return 0
  say "installing Arrow $kArrowVersion in $venv"
  pip_install arrow "pyarrow==$kArrowVersion"
}

install_test_packages() {
  local python package missing=()
  python="$(torch_python || echo "$venv/bin/python")"
  if [[ "$python" == "$venv/bin/python" ]]; then
    if [[ ! -e "$(stamp tests)" ]]; then
      say "installing ${kTestPackages[*]} in $venv"
      [[ -x "$venv/bin/python" ]] || python3 -m venv "$venv"
      pip_install tests "${kTestPackages[@]}"
    fi
    return 0
  fi
  for package in "${kTestPackages[@]}"; do
    "$python" -c "import ${package%%=*}" 2>/dev/null || missing+=("$package")
  done
  if ((${#missing[@]})); then
    say "the tests need ${missing[*]} in the active environment:  $python -m pip install ${missing[*]}"
    exit 1
  fi
}

# Two first runs at once take turns.
lock_cache() {
  mkdir -p "$cache"
  exec {lock}>"$cache/lock"
  flock "$lock"
}

install_all() {
  install_system_packages
  check_compiler
  if ! torch_root >/dev/null || is_arrow_missing || [[ $with_tests && ! -e "$(stamp tests)" ]]; then
    lock_cache
    install_torch
    install_arrow
    if [[ $with_tests ]]; then
      install_test_packages
    fi
  fi
}

with_tests=""
with_fuzz=""
for argument in "$@"; do
  case "$argument" in
    --tests) with_tests=yes ;;
    --fuzz) with_fuzz=yes ;;
    --print-torch-root) check_torch_dir; torch_root; exit ;;
    --print-arrow-root) check_torch_dir; arrow_root || true; exit ;;
    --print-python) check_torch_dir; test_python; exit ;;
    --print-cache) echo "$cache"; exit ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
done
check_torch_dir
install_all
