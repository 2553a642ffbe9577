#!/bin/sh
# llama.cpp with this experiment's weights, which are written as GGUF once, in their own precision.
#
#   system.sh MODEL      a folder of weights as transformers reads it
set -eu
build=$(realpath "$(dirname "$0")/../..")/build/llama.cpp
gguf="$build/$(basename "$(dirname "$(realpath "$1")")").gguf"
if ! [ -f "$gguf" ]; then
	dtype=$(sed -n 's/.*"\(torch_\)\{0,1\}dtype": "\(.*\)".*/\2/p' "$1/config.json" | head -n 1)
	case $dtype in
	float16) type=f16 ;;
	bfloat16) type=bf16 ;;
	*) type=f32 ;;
	esac
	python "$build/source/convert_hf_to_gguf.py" "$1" --outtype $type --outfile "$gguf.part" >&2
	mv "$gguf.part" "$gguf"
fi
exec "$build/system" "$gguf"
