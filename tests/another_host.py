"""An SSH server in a joined network: as another machine that has the project."""

import contextlib
import subprocess
import sys
from pathlib import Path

from patience import PATIENCE_S
from running_server import wait_for_listener
from semgap.server.endpoint import SshTarget
from small_models import PROJECT

AHEAD_S = 86400
# What another machine forks has another clock.
AHEAD = ("unshare", "--time", "--monotonic", str(AHEAD_S))
_RUN_FOLDER = Path("/run/sshd")


def served_over(target, project):
    """The configuration's section ``server`` for a worker there, where a copy of the project is."""
    reached = {
        "destination": target.destination,
        "project": str(project),
        "python": target.python,
        "options": list(target.options),
    }
    return {"transport": "tcp", "host": target.destination, "launch": "ssh", "ssh": reached}


@contextlib.contextmanager
def ssh_host(link, folder, *before):
    """Run an SSH server at the far end of a link; yields how it is reached, by a new key."""
    for name in ("host", "user"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(made, check=True)
    config = folder / "sshd_config"
    config.write_text(f"""\
ListenAddress {link.far}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
""")
    host_key = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(f"{link.far} {host_key}")
    made_here = not _RUN_FOLDER.exists()
    _RUN_FOLDER.mkdir(exist_ok=True)
    sshd = [*link.there, *before, "/usr/sbin/sshd", "-D", "-e", "-f", str(config)]
    with (
        (folder / "sshd.log").open("wb") as log,
        subprocess.Popen(sshd, stdout=log, stderr=log) as process,
    ):
        try:
            wait_for_listener(link.far, 22)
            options = (
                *("-F", "none", "-i", str(folder / "user")),
                *("-o", f"UserKnownHostsFile={folder}/known_hosts"),
            )
            yield SshTarget(link.far, str(PROJECT), sys.executable, options)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
            if made_here:
                _RUN_FOLDER.rmdir()
