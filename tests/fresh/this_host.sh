# What pip is told on this host, for a system that is made here; to be sourced.
settings=$(python3 -m pip config list 2> /dev/null || true)

pip_conf() { # pip.conf, whether another user's files or the environment say it
	echo "[global]"
	echo "$settings" | sed -nE "s/^[^.]+\.([a-z-]+)='(.*)'$/\1 = \2/p" | awk '!seen[$1]++'
}

pip_paths() { # what it looks at; an index in a folder may refer to what lies beside it
	echo "$settings" | grep -oE "(/[A-Za-z0-9._-]+)+" | while read -r path; do
		case $path in /*/*/*) path=$(dirname "$path") ;; esac
		test ! -e "$path" || echo "$path"
	done | sort -u
}
