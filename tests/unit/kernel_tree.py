"""Made trees of the kernel's file systems, for machines that the tests do not run on."""

from __future__ import annotations

# Only what every machine has. The process runs on core 1.
BARE = {
    "proc/stat": "cpu  1000 100 300 9000 500 20 80 50 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n",
    "proc/self/stat": "7 (a name) R) S "
    + " ".join(str(field) for field in range(4, 39))
    + " 1 0 0\n",
    "proc/sys/kernel/random/boot_id": "boot\n",
}

SERVER = {
    **BARE,
    "proc/loadavg": "1.50 0.80 0.30 2/300 1234\n",
    "proc/pressure/cpu": (
        "some avg10=0.10 avg60=0.20 avg300=0.30 total=2500000\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    ),
    "proc/cpuinfo": (
        "processor\t: 0\nmodel name\t: Fast CPU @ 3.00GHz\nflags\t\t: fpu sse\n\n"
        "processor\t: 1\nmodel name\t: another\nflags\t\t: fpu hypervisor\n"
    ),
    "proc/meminfo": "MemTotal:       1000 kB\nMemFree:        10 kB\n",
    "proc/self/cgroup": "0::/job.slice/run.scope\n",
    "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 none rw,ns\n",
    "proc/sys/net/ipv4/tcp_congestion_control": "cubic\n",
    "proc/sys/net/ipv4/tcp_rmem": "4096\t131072\t6291456\n",
    "proc/sys/net/ipv4/tcp_wmem": "4096\t16384\t4194304\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 5\n",
    "sys/fs/cgroup/job.slice/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/job.slice/cpu.stat": "usage_usec 5\nnr_throttled 3\nthrottled_usec 250000\n",
    "sys/fs/cgroup/job.slice/run.scope/cpu.max": "max 100000\n",
    "sys/fs/cgroup/job.slice/run.scope/cpu.stat": (
        "usage_usec 5\nnr_throttled 1\nthrottled_usec 500000\n"
    ),
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "2\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "5\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "2900000\n",
    "sys/devices/system/cpu/cpu1/cpufreq/base_frequency": "3000000\n",
    "sys/devices/system/cpu/cpu1/cpufreq/cpuinfo_max_freq": "3800000\n",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "1\n",
    "sys/devices/system/cpu/smt/active": "1\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "sys/devices/system/node/node0/cpulist": "0\n",
    "sys/devices/system/node/node1/cpulist": "1\n",
    "sys/class/net/eth7/mtu": "9000\n",
    "sys/class/net/eth7/speed": "100000\n",
    "sys/bus/pci/drivers/fastnic/module": "",
}


def make_tree(root, files):
    """Write a tree of files below ``root`` and return it."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def make_server(root):
    """A tree of a machine that shows all that is asked for."""
    make_tree(root, SERVER)
    device = root / "sys/class/net/eth7/device"
    device.mkdir()
    (device / "driver").symlink_to(root / "sys/bus/pci/drivers/fastnic")
    return root
