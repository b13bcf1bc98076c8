#!/bin/sh
# Installs a build into a scratch folder and builds an example against it with pkg-config alone, as
# a user of the library would. Argument: the build directory.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build/release}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/usr" >/dev/null
for header in include/bdpo/*.h; do
  [ -f "$scratch/usr/include/bdpo/$(basename "$header")" ] ||
    { echo "not installed: $header"; exit 1; }
done
PKG_CONFIG_PATH=$(dirname "$(find "$scratch/usr" -name bdpo.pc)")
export PKG_CONFIG_PATH
cat >"$scratch/user.c" <<'C'
#include <bdpo/types.h>
#include <stdio.h>
int main(void)
{
    return puts(bdpo_status_text(BDPO_OK)) < 0;
}
C
for source in "$scratch/user.c" examples/*.c; do
  [ -f "$source" ] || continue
  # shellcheck disable=SC2046
  gcc -std=c17 -Wall -D_POSIX_C_SOURCE=200809L "$source" -o "$scratch/user" \
    $(pkg-config --define-prefix --cflags --libs bdpo)
done
