#!/bin/sh
# Installs what is missing, builds with warnings as errors, and runs the full check.
# The last line is "N passed, N failed, N skipped".
set -eu
cd "$(dirname "$0")"
tools/setup.sh check
exec tools/check.sh full
