#!/bin/sh
# Gather what a GPU host without internet lacks into one archive.
# Usage: build.sh ARCHIVE PYTHON_VERSION "PACKAGES THAT THE HOST HAS"
# The archive holds: the project at its present commit, the packages of lock-gpu-host.txt that the
# host lacks and pytest, for Linux on x86-64; Debian's tcpdump and iproute2 with their libraries; and
# `run`.
set -eu
archive=$1 python=$2 host_has=$3
envs=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kit=$work/kit
mkdir -p "$kit/bin" "$kit/root" "$work/debs"

git -C "$envs" diff --quiet HEAD || echo "kit: what is not committed is not in it" >&2
git -C "$envs" bundle create -q "$kit/project.bundle" HEAD

has=$(echo "$host_has" | tr ' ' '|')
{
	grep -vE "^($has)==" "$envs/lock-gpu-host.txt"
	grep -E "^(hypothesis|iniconfig|pluggy|pytest|pytest-timeout|sortedcontainers)==" \
		"$envs/lock-test.txt"
} > "$work/requirements.txt"
uv pip install -q --no-deps --target "$kit/site" --python-version "$python" \
	--python-platform x86_64-manylinux_2_28 -r "$work/requirements.txt"
# Solvers for other machines.
find "$kit"/site/pulp/solverdir/cbc/* -prune ! -name linux -exec rm -rf {} +
find "$kit"/site/pulp/solverdir/cbc/linux/* -prune ! -name i64 -exec rm -rf {} +

# What they are linked with, without the C library, which every host has.
libraries=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
	--no-breaks --no-replaces --no-enhances tcpdump iproute2 | grep -E "^lib" |
	grep -vE "^lib(c6|gcc-s1)$" | sort -u)
# shellcheck disable=SC2086 # a list of packages
(cd "$work/debs" && apt-get download -qq tcpdump iproute2 $libraries 2> "$work/apt.log") || {
	cat "$work/apt.log" >&2
	exit 1
}
for deb in "$work"/debs/*.deb; do
	dpkg -x "$deb" "$kit/root"
done
rm -rf "$kit/root/usr/share" "$kit/root/etc" "$kit/root/lib/systemd"

cp "$envs/kit/run.sh" "$kit/run"
chmod +x "$kit/run"
for program in tcpdump ip tc; do
	cp "$envs/kit/packed.sh" "$kit/bin/$program"
	chmod +x "$kit/bin/$program"
done
mkdir -p "$(dirname "$archive")"
XZ_OPT=-T0 tar -C "$work" -cJf "$archive" kit
size_mb=$(($(stat -c %s "$archive") / 1000000))
echo "$archive: $size_mb MB"
if [ "$size_mb" -gt 60 ]; then
	echo "kit: above 60 MB; name more packages that the host has (KIT_HOST_HAS)" >&2
	exit 1
fi
