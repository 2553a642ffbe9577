#!/bin/sh
# Gather what goes into an archive such as Zenodo's, from the present commit.
# Usage: build.sh ARCHIVE
# It holds the sources with the recorded results, COMMIT, the locks with hashes, and
# ro-crate-metadata.json: what was run, for machines (a Provenance Run RO-Crate).
set -eu
archive=$1
envs=$(cd "$(dirname "$0")/.." && pwd)
project=$(dirname "$envs")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
copy=$work/semgap
mkdir "$copy"

git -C "$project" diff --quiet HEAD || echo "artifact: what is not committed is not in it" >&2
git -C "$project" archive HEAD | tar -x -C "$copy"
git -C "$project" rev-parse HEAD > "$copy/COMMIT"

hashed() {
	uv pip compile -q --universal --python-version 3.11 --no-deps --generate-hashes \
		--no-header --no-annotate --no-emit-index-url "$1"
}
for set in current gpu-host; do
	hashed "$copy/envs/lock-$set.txt" > "$copy/envs/hashes-$set.txt"
	# An index of CPU wheels has a torch of its own.
	torch=$(grep -oE '^torch==[0-9.]+' "$copy/envs/lock-$set.txt")
	echo "$torch+cpu" > "$work/cpu.txt"
	if hashed "$work/cpu.txt" > "$work/cpu-hashes.txt" 2> /dev/null; then
		grep -oE -- '--hash=[^ ]+' "$work/cpu-hashes.txt" | while read -r hash; do
			sed -i "/^torch==/a\\    $hash \\\\" "$copy/envs/hashes-$set.txt"
		done
	fi
done

PYTHONPATH=$project/scripts python -m semgap.maintain.crate "$copy"
mkdir -p "$(dirname "$archive")"
XZ_OPT=-T0 tar --sort=name --owner=0 --group=0 --numeric-owner \
	--mtime="$(git -C "$project" log -1 --format=%cI)" -C "$work" -cJf "$archive" semgap
echo "$archive: $(($(stat -c %s "$archive") / 1000000)) MB"
