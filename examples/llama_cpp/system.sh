#!/bin/sh
# llama.cpp with an experiment's weights, which are written as GGUF once.
#
#   system.sh MODEL      a folder of weights as transformers reads it
set -eu
here=$(dirname "$(realpath "$0")")
build=$(realpath "$here/../..")/build/llama.cpp
gguf="$build/$(basename "$(dirname "$(realpath "$1")")").gguf"
[ -f "$gguf" ] || python "$here/convert.py" "$build/source" "$1" "$gguf" >&2
exec "$build/system" "$gguf"
