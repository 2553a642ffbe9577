#!/bin/sh
# Builds the container of the unpacked artifact as far as a machine without a registry of images can:
# on a minimal Debian of its own, by buildah, without a kernel feature beyond chroot. Then measures.
# Usage (as root, after `make artifact`): container.sh SUITE FOLDER
set -eu
suite=$1 folder=$2
project=$(cd "$(dirname "$0")/../.." && pwd)
. "$project/tests/fresh/this_host.sh"
PATH="$PATH:/usr/sbin:/sbin"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
store="--root $folder/images --runroot $folder/run"
mkdir -p "$folder"
trap 'rm -rf --one-file-system "$folder"' EXIT

debootstrap --variant=minbase "$suite" "$folder/debian" > "$folder/log" 2>&1 || {
	tail -n 3 "$folder/log" >&2
	exit 1
}
# This host's names, certificates and its settings for apt and pip.
cp -L /etc/resolv.conf "$folder/debian/etc/"
for path in /etc/apt/apt.conf.d /etc/ssl/certs /usr/local/share/ca-certificates; do
	mkdir -p "$folder/debian$path"
	cp -rL "$path/." "$folder/debian$path/"
done
mkdir -p "$folder/debian/root/.config/pip"
pip_conf > "$folder/debian/root/.config/pip/pip.conf"
volumes=$(for path in $(pip_paths); do
	test -e "$folder/debian$path" || echo "--volume=$path:$path:ro"
done)
# shellcheck disable=SC2086 # several options
{
	base=$(buildah $store from scratch)
	buildah $store add -q "$base" "$folder/debian" / > /dev/null
	buildah $store commit -q "$base" base > /dev/null
	rm -rf "$folder/debian"
	buildah $store build -q $volumes --build-arg BASE=localhost/base \
		-f "$project/envs/container/Containerfile" -t semgap "$project/build/artifact/semgap"
	made=$(buildah $store from --cap-add=CAP_NET_RAW,CAP_NET_ADMIN localhost/semgap)
	buildah $store run --cap-add=CAP_NET_RAW,CAP_NET_ADMIN "$made" -- make table
}
