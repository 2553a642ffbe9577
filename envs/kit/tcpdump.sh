#!/bin/sh
# tcpdump with the libraries that were packed beside it.
root=$(cd "$(dirname "$0")/../root" && pwd)
libraries=$(find "$root" -name "*.so*" -exec dirname {} + | sort -u | paste -sd:)
LD_LIBRARY_PATH=$libraries exec "$root/usr/bin/tcpdump" "$@"
