"""A Slurm of Debian's packages on this machine: a controller and some nodes, while a test runs."""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from patience import PATIENCE_S
from semgap.plumbing.processes import die_with_parent
from semgap.plumbing.tcp_sockets import free_port

NODES = ("node1", "node2")
CONFIGURATION = """\
ClusterName=semgap
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=20
MinJobAge=300
KillWait=5
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Cluster:
    """A running cluster, which only processes in its mount namespace see."""

    folder: Path
    inside: list[str]  # before a command that shall see it
    nodes: dict[str, subprocess.Popen]

    def ask(self, *command):
        done = subprocess.run([*self.inside, *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def states(self):
        """The state of each node."""
        asked = [*self.inside, "sinfo", "--noheader", "--Node", "--format=%N %T"]
        # The controller may not answer yet.
        lines = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()
        return dict(line.split() for line in lines)

    def lose(self, node, job):
        """Let a node stop in the middle of a job, and wait until the controller has seen it."""
        self.nodes[node].kill()
        # What would tell the controller goes before what it would tell of.
        of_slurm = [one for one in psutil.process_iter() if f"slurmstepd: [{job}." in _title(one)]
        for process in (*of_slurm, *psutil.process_iter()):
            with contextlib.suppress(psutil.Error):
                if process in of_slurm or process.environ().get("SLURM_JOB_ID") == job:
                    process.kill()
        self.wait_until(lambda: "down" in self.states()[node])

    def wait_until(self, condition):
        deadline_s = time.monotonic() + 2 * PATIENCE_S
        log = self.folder / "slurmctld.log"
        while not condition():
            assert time.monotonic() < deadline_s, log.read_text()[-3000:]
            time.sleep(0.2)


def _title(process):
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


@contextlib.contextmanager
def slurm_cluster(folder):
    """Start munge, a controller and the nodes in a folder, as root; all end with the block."""
    with contextlib.ExitStack() as stack:
        # Slurm's programs find no address to listen at where loopback's is the only one.
        address = ["ip", "address", "add", "10.231.78.1/32", "dev", "lo"]
        subprocess.run(address, check=True)
        stack.callback(subprocess.run, [*address[:2], "del", *address[3:]])
        inside = _mounted(folder, stack)
        _start_munge(folder, stack)
        text = CONFIGURATION.format(
            host=socket.gethostname(), folder=folder, controller_port=free_port("127.0.0.1")
        )
        for name in NODES:
            port = free_port("127.0.0.1")
            text += f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 "
            text += f"Port={port} CPUs={os.cpu_count()} RealMemory=4000 State=UNKNOWN\n"
            (folder / name).mkdir()
        (folder / "etc" / "slurm.conf").write_text(text)
        (folder / "state").mkdir()
        _start(stack, [*inside, "slurmctld", "-D"])
        nodes = {name: _start(stack, [*inside, "slurmd", "-D", "-N", name]) for name in NODES}
        cluster = Cluster(folder, inside, nodes)
        cluster.wait_until(lambda: set(cluster.states().values()) == {"idle"})
        yield cluster


def _mounted(folder, stack):
    """Lay the folder's configuration where all programs of Slurm look, for those in a namespace.

    The executor hands no variable of Slurm's on, so SLURM_CONF does not reach its jobs.
    """
    (folder / "etc").mkdir()
    mount = f"mount --bind {folder}/etc /etc/slurm && echo mounted && exec sleep infinity"
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", mount],
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,
    )
    stack.callback(holder.wait)
    stack.callback(holder.kill)
    assert holder.stdout.readline() == b"mounted\n"
    return ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]


def _start(stack, command):
    process = subprocess.Popen(
        command,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def _start_munge(folder, stack):
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    files = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid"}
    files |= {"log-file": folder / "munge.log", "seed-file": folder / "munge.seed"}
    options = [f"--{name}={file}" for name, file in files.items()]
    _start(stack, ["munged", "--foreground", "--force", *options])
