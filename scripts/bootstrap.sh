#!/usr/bin/env bash
set -euo pipefail
[[ "${1:-}" == --print-torch-root ]]
for root in "${TITAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/titan_train}"/python/lib/python3*/site-packages/torch; do
  echo "$root"
done
