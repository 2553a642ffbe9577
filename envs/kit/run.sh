#!/bin/sh
# Run a command in the kit's copy of the project, with the packages that the host lacks.
# Usage: kit/run COMMAND [ARGUMENT...]
set -eu
kit=$(cd "$(dirname "$0")" && pwd)
if [ ! -d "$kit/project" ]; then
	git -c advice.detachedHead=false clone -q "$kit/project.bundle" "$kit/project"
fi
export PATH="$kit/bin:$PATH" PYTHONPATH="$kit/site"
# Each job imports PyTorch and transformers: 5 s with their bytecode kept, 9 s without.
export PYTHONPYCACHEPREFIX="$kit/bytecode"
unset PYTHONDONTWRITEBYTECODE
cd "$kit/project"
exec "$@"
