#!/bin/sh
# A program, the one that this file is called as, with the libraries that were packed beside it.
root=$(cd "$(dirname "$0")/../root" && pwd)
libraries=$(find "$root" -name "*.so*" -exec dirname {} + | sort -u | paste -sd:)
program=$(find "$root" -path "*bin/*" -name "$(basename "$0")" -type f)
LD_LIBRARY_PATH=$libraries exec "$program" "$@"
