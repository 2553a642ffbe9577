"""A small experiment in a copy of the project, run by Snakemake as a user would."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from small_models import ARCHITECTURES, PROJECT

PROMPT_TOKENS = 8
DECODE_STEPS = 3
REPEATS = 2
LINK_REPORTS = ("results/tiny/transport.md", "results/tiny/overhead.md")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@dataclass(frozen=True)
class Experiment:
    """A copy of the project with a configuration of its own."""

    folder: Path

    @property
    def results(self):
        return self.folder / "results" / "tiny"

    @property
    def config_file(self):
        return self.folder / "config" / "config.yaml"

    @property
    def config(self):
        return yaml.safe_load(self.config_file.read_text())

    def configure(self, **sections):
        """Change keys of sections of the configuration."""
        config = self.config
        for section, values in sections.items():
            if isinstance(values, dict):
                config[section].update(values)
            else:
                config[section] = values
        self.config_file.write_text(yaml.safe_dump(config))

    def snakemake(self, *arguments, targets=("results/table.md",), timeout_s=240):
        """Run Snakemake to its end; returns the finished process with its output as text."""
        return subprocess.run(
            self.command(*arguments, targets=targets),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
        )

    def command(self, *arguments, targets=("results/table.md",)):
        return [sys.executable, "-m", "snakemake", "--cores", "1", *arguments, "--", *targets]

    def build(self, *targets):
        """Build the targets, or the table; fail with Snakemake's output if that fails."""
        done = self.snakemake(targets=targets or ("results/table.md",))
        assert done.returncode == 0, done.stdout
        return done.stdout

    def planned(self, *targets):
        """What ``snakemake -n`` would run: rule names, those with a mode as rule:mode.repeat."""
        done = self.snakemake("-n", "--quiet", "progress", targets=targets or ("results/table.md",))
        assert done.returncode == 0, done.stdout
        return planned_jobs(done.stdout)

    def record(self, mode, repeat):
        return json.loads((self.results / "runs" / mode / f"rep{repeat}.json").read_text())


_MESSAGES = {
    "Storing the weights": "store_weights",
    "Describing the model": "describe_model",
    "Choosing a prompt": "prompt",
    "Starting the server": "rpc_server",
    "Measuring the link": "measure_link",
    "Measuring": "benchmark",
    "Counting the bytes of": "parse_capture",
    "Verifying all runs": "verify",
    "Summarising and comparing": "aggregate",
    "Holding the claims": "check_claims",
    "Comparing with recorded": "compare_with_reference",
    "Rendering the table": "experiment_table",
    "Drawing a step": "time_line",
    "Recording where the table": "describe_table",
    "Writing down the configuration": "record_config",
    "Publishing the table": "active_table",
    "Reporting on the link": "report_link",
    "Reporting where": "report_overhead",
    "Downloading": "download_model",
}


def planned_jobs(output):
    """The jobs that Snakemake's output announces."""
    jobs = set()
    for text in re.findall(r"^Job \d+: (.+)$", output, re.MULTILINE):
        rule = next(rule for message, rule in _MESSAGES.items() if text.startswith(message))
        run = re.search(r"(\w+), repeat (\d+)$", text)
        jobs.add(f"{rule}:{run[1]}.{run[2]}" if run else rule)
    return jobs


def copy_project(folder, port):
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
        },
        worker={"compute_threads": 1},
        server={"port": port},
    )
    return experiment
