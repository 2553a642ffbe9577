#!/bin/sh
# Install a program with Debian's packages where that is possible; say what follows where it is not.
# Usage: ensure-program.sh PROGRAM "PACKAGES" "WHAT FOLLOWS WITHOUT IT"
PATH="$PATH:/usr/sbin:/sbin"
command -v "$1" > /dev/null && exit 0
if [ "$(id -u)" = 0 ]; then run=; elif sudo -n true 2> /dev/null; then run="sudo -n"; else run=false; fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # several packages, and a command of none or two words
if ! { $run apt-get update -qq && $run apt-get install -y -qq --no-install-recommends $2; } \
	> /dev/null 2>&1; then
	echo "$1 is not installed and cannot be installed here: $3" >&2
fi
