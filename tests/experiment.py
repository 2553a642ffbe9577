"""A small experiment in a copy of the project, run by Snakemake as a user would."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from patience import PATIENCE_S
from plans import dry_run
from semgap.plumbing.tcp_sockets import free_port
from small_models import ARCHITECTURES, PROJECT

PROMPT_TOKENS = 8
DECODE_STEPS = 3
REPEATS = 2
MODES = ("local", "naive", "remote_cache", "semantic")
LINK_REPORTS = ("results/tiny/transport.md", "results/tiny/overhead.md")


@dataclass(frozen=True)
class Experiment:
    """A copy of the project with a configuration of its own."""

    folder: Path

    @property
    def results(self):
        return self.folder / "results" / "tiny"

    @property
    def config_file(self):
        return self.folder / "config" / "default.yaml"

    @property
    def config(self):
        return yaml.safe_load(self.config_file.read_text())

    @property
    def repeats(self):
        return range(1, self.config["workload"]["repeats"] + 1)

    def configure(self, **sections):
        """Change keys of sections of the configuration."""
        config = self.config
        for section, values in sections.items():
            if isinstance(values, dict):
                config.setdefault(section, {}).update(values)
            else:
                config[section] = values
        self.config_file.write_text(yaml.safe_dump(config))

    def snakemake(self, *arguments, targets=("results/table.md",)):
        """Run Snakemake to its end; returns the finished process with its output as text."""
        return subprocess.run(
            self.command(*arguments, targets=targets),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=10 * PATIENCE_S,
        )

    def command(self, *arguments, targets=("results/table.md",)):
        return [sys.executable, "-m", "snakemake", "--cores", "1", *arguments, "--", *targets]

    def build(self, *targets):
        """Build the targets, or the table; fail with all that was said if that fails."""
        done = self.snakemake(targets=targets or ("results/table.md",))
        assert done.returncode == 0, done.stdout + self.ends_of_logs()
        return done.stdout

    def ends_of_logs(self, lines=15):
        """The last lines of every log, the latest log last."""
        logs = sorted(self.results.rglob("*.log"), key=lambda path: path.stat().st_mtime_ns)
        return "".join(
            f"\n--- {path.relative_to(self.folder)}\n"
            + "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
            for path in logs
        )

    def planned(self, *targets):
        """What ``snakemake -n`` would run: rule names, those with a mode as rule:mode.repeat."""
        return dry_run(self.folder, "--", *(targets or ("results/table.md",))).jobs - {"all"}

    def copy_to(self, folder):
        """The experiment and its results, as Snakemake knows them, in another folder."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Experiment(folder)

    def record(self, mode, repeat):
        return json.loads((self.results / "runs" / mode / f"rep{repeat}.json").read_text())


def copy_project(folder):
    """Copy what git tracks or would track, and configure a small experiment."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    experiment = Experiment(folder)
    experiment.configure(
        experiment="tiny",
        model={"name": "tiny", "architecture": ARCHITECTURES["gptj"]},
        workload={
            "prompt_tokens": PROMPT_TOKENS,
            "decode_steps": DECODE_STEPS,
            "repeats": REPEATS,
            "rehearsals_at_most": 1,
        },
        worker={"compute_threads": 1},
        server={"port": free_port("127.0.0.1")},
    )
    return experiment
