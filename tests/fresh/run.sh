#!/bin/sh
# The README's first commands on a machine that has nothing: a minimal Debian in a folder, a clean
# clone of the present commit, an ordinary user who may use sudo.
# Usage (as root): run.sh SUITE FOLDER      such as bookworm; the folder is removed afterwards
# This host's names, certificates and its settings for apt and pip are lent to it.
set -eu
suite=$1 folder=$2
project=$(cd "$(dirname "$0")/../.." && pwd)
if [ "${SEMGAP_FRESH:-}" != mounted ]; then
	# Mounts go with their namespace, however this ends.
	trap 'rm -rf --one-file-system "$folder" "$folder.log"' EXIT
	SEMGAP_FRESH=mounted unshare --mount --pid --fork --mount-proc "$0" "$@"
	exit
fi

. "$project/tests/fresh/this_host.sh"
PATH="$PATH:/usr/sbin:/sbin"
debootstrap --variant=minbase --include=python3,python3-venv,make,git,sudo,ca-certificates \
	"$suite" "$folder" > "$folder.log" 2>&1 || { tail -n 3 "$folder.log" >&2; exit 1; }
for kind in proc sys dev; do
	mount --rbind "/$kind" "$folder/$kind"
done

lend() { # paths of this host, as they are
	for path in "$@"; do
		test -e "$path" || continue
		mkdir -p "$folder$(dirname "$path")"
		if [ -d "$path" ]; then
			mkdir -p "$folder$path"
			mount --bind -o ro "$path" "$folder$path"
		else
			cp -L "$path" "$folder$path"
		fi
	done
}
lend /etc/resolv.conf /etc/hosts /etc/apt/apt.conf.d /etc/ssl/certs
for path in $(pip_paths); do
	test -e "$folder$path" || lend "$path"
done

chroot "$folder" useradd --create-home --shell /bin/sh reviewer
echo "reviewer ALL=(ALL) NOPASSWD: ALL" > "$folder/etc/sudoers.d/reviewer"
home=$folder/home/reviewer
mkdir -p "$home/.config/pip"
pip_conf > "$home/.config/pip/pip.conf"
git clone -q "$project" "$home/semgap"
chroot "$folder" chown -R reviewer: /home/reviewer

as_reviewer() {
	chroot "$folder" env -i HOME=/home/reviewer USER=reviewer LOGNAME=reviewer TERM=dumb \
		PATH=/usr/local/bin:/usr/bin:/bin su reviewer -s /bin/sh -c "cd ~/semgap && $1"
}
as_reviewer "python3 --version && make table && make verify"
