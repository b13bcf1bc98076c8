#!/bin/sh
# Installs what building (`tools/setup.sh build`) or checking (`tools/setup.sh check`) needs and
# this machine lacks. Debian 12 and its relatives; does nothing when all is there.
#
# The one list of packages: when needed, package, and a command that succeeds where it is present.
set -eu

packages() {
  cat <<'LIST'
build gcc             command -v gcc
build libc6-dev       echo '#include <stdlib.h>' | gcc -E - -o /dev/null
build cmake           command -v cmake
build ninja-build     command -v ninja
build libdnnl-dev     echo '#include <dnnl.h>' | gcc -E - -o /dev/null
build libjansson-dev  echo '#include <jansson.h>' | gcc -E - -o /dev/null
build libssl-dev      echo '#include <openssl/evp.h>' | gcc -E - -o /dev/null
build libpng-dev      echo '#include <png.h>' | gcc -E - -o /dev/null
build libjpeg-dev     printf '#include <stdio.h>\n#include <jpeglib.h>' | gcc -E - -o /dev/null
build libwebp-dev     echo '#include <webp/encode.h>' | gcc -E - -o /dev/null
build zlib1g-dev      echo '#include <zlib.h>' | gcc -E - -o /dev/null
build libutf8proc-dev echo '#include <utf8proc.h>' | gcc -E - -o /dev/null
build libsnappy-dev   echo '#include <snappy-c.h>' | gcc -E - -o /dev/null
build libzstd-dev     echo '#include <zstd.h>' | gcc -E - -o /dev/null
build liblz4-dev      echo '#include <lz4.h>' | gcc -E - -o /dev/null
build libarchive-dev  echo '#include <archive.h>' | gcc -E - -o /dev/null
build libcsv-dev      echo '#include <csv.h>' | gcc -E - -o /dev/null
build libcurl4-openssl-dev echo '#include <curl/curl.h>' | gcc -E - -o /dev/null
build libsqlite3-dev  echo '#include <sqlite3.h>' | gcc -E - -o /dev/null
build libpopt-dev     echo '#include <popt.h>' | gcc -E - -o /dev/null
check g++             command -v g++
check pkg-config      command -v pkg-config
check clang           command -v clang
check clang-format    command -v clang-format
check clang-tidy      command -v clang-tidy && command -v run-clang-tidy
check libomp-dev      echo '#include <omp.h>' | clang -fopenmp -E - -o /dev/null
check cppcheck        command -v cppcheck
long  libopenblas-openmp-dev  ls /usr/lib/*/openblas-openmp/libopenblas.so
long  valgrind        command -v valgrind
LIST
}

wanted=${1:-build}
case $wanted in
  build) tiers=build ;;
  check) tiers='build check' ;;
  long) tiers='build check long' ;;
  *) echo "usage: tools/setup.sh [build|check|long]" >&2; exit 2 ;;
esac

missing=
for tier in $tiers; do
  missing="$missing $(packages | while read -r when package probe; do
    [ "$when" = "$tier" ] || continue
    sh -c "$probe" >/dev/null 2>&1 || echo "$package"
  done | tr '\n' ' ')"
done
missing=$(echo $missing) # one space between names
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "Missing: $missing (Debian's names). Install them with this system's package manager." >&2
  exit 1
fi
install="apt-get install -y --no-install-recommends $missing"
if [ "$(id -u)" = 0 ]; then
  as_root=
elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
  as_root='sudo'
else
  echo "Missing: $missing. As root, run:" >&2
  echo "  apt-get update && $install" >&2
  exit 1
fi

echo "Installing: $missing"
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive $install >/tmp/bdpo-setup.$$ 2>&1 || {
  cat /tmp/bdpo-setup.$$ >&2
  exit 1
}
rm -f /tmp/bdpo-setup.$$
