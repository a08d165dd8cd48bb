#!/usr/bin/env bash
# scripts/run_integration_tests.sh OUT [OPTIONS...]: installs and builds what is missing, then runs a suite of integration tests (the
# original's features by default), each in a folder below OUT, which must be empty. At the end a table, and OUT/junit.xml for CI.
#
#   --test_suite NAME   features, models, h100, flux, ft (the original's), composition, layouts, or a TOML file of your own
#   --test_name NAME    one test, with those that it is compared with
#   --ngpu K            leave out tests of more than K ranks; 8
#   --comm local|gloo   ranks as threads of one process, or as processes
#   --config_path TOML  what is trained; tests/integration/suite/base_config.toml has the original's sizes, for GPUs with --comm gloo
#   --part I/N          every N-th test, from the I-th on
#
# What a suite is made of: tests/integration/suite/README.md
set -euo pipefail
root="$(realpath "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..")"
cd "$root"
scripts/bootstrap.sh --tests
scripts/build.sh release titan_train
TITAN_TRAIN="$(realpath "${TITAN_BUILD:-build}/release/titan_train")"
python="$(scripts/bootstrap.sh --print-python)"
export TITAN_TRAIN
cd "$OLDPWD" # paths in arguments are the caller's
exec "$python" -B "$root/tests/integration/suite/run_suite.py" "$@"
