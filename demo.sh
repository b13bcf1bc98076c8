#!/bin/sh
# Installs what is missing, builds, and trains the small example network.
set -eu
cd "$(dirname "$0")"
tools/setup.sh build
export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"
cmake --preset release >/dev/null
cmake --build --preset release --target train_shapes bdpo_cli
exec build/release/train_shapes "$@"
