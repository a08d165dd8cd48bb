#!/usr/bin/env bash
# scripts/build.sh [PRESET [TARGET...]]: configures when that is needed and builds (preset release, all targets).
# Everything it prints goes to stderr. TITAN_BUILD moves the build folders, which are build/<preset> otherwise.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

preset="${1:-release}"
targets=("${@:2}")
folder="${TITAN_BUILD:-build}/$preset"

# The build remembers the torch it was configured with; another one (an activated environment, say) configures it anew.
configure() {
  local root
  root="$(scripts/bootstrap.sh --print-torch-root)"
  if [[ ! -e "$folder/build.ninja" ]] || ! grep -qxF "TITAN_TORCH_ROOT:PATH=$root" "$folder/CMakeCache.txt"; then
    cmake --preset "$preset" -B "$folder" "-DTITAN_TORCH_ROOT=$root" >&2
  fi
}

if ! mkdir -p "$folder" 2>/dev/null || [[ ! -w "$folder" ]]; then
  echo "build.sh: cannot write to $folder: name a folder for builds with TITAN_BUILD" >&2
  exit 1
fi
CCACHE_DIR="${CCACHE_DIR:-$(scripts/bootstrap.sh --print-cache)/ccache}"
export CCACHE_DIR
configure
# Not ninja's own default of two jobs more than cores: one job over LibTorch's headers takes 1 GB.
ninja -C "$folder" -j "$(env -u OMP_NUM_THREADS nproc)" "${targets[@]}" >&2
