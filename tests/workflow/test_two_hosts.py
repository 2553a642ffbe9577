"""The whole table between two hosts: over SSH, and over a link that is made; nothing stays."""

import csv
import os
import signal
import subprocess

import pytest

from another_host import AHEAD, served_over, ssh_host
from expected_jobs import edited
from experiment import copy_project
from judges import needs
from networks import joined_network, needs_a_network
from patience import PATIENCE_S
from test_faults import ends_empty, start, wait_for_log

over_ssh = needs("sshd", "ssh", "ssh-keygen", "tcpdump")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """An experiment whose server is on another machine, and that machine's copy of the project."""
    here, there = (copy_project(tmp_path_factory.mktemp(name)) for name in ("here", "there"))
    with joined_network() as link, ssh_host(link, tmp_path_factory.mktemp("ssh"), *AHEAD) as target:
        here.configure(workload={"repeats": 1}, server=served_over(target, there.folder))
        here.build()
        yield here, there


def network_bytes(experiment):
    with (experiment.results / "summary.csv").open(newline="") as file:
        return {
            (row["phase"], row["mode"]): row["mean"]
            for row in csv.DictReader(file)
            if row["quantity"] == "network_bytes"
        }


@over_ssh
@needs_a_network
def test_the_table_over_ssh_has_the_bytes_of_the_one_over_loopback(hosts, over_tcp):
    here, _there = hosts
    assert network_bytes(here) == network_bytes(over_tcp)


@over_ssh
@needs_a_network
def test_the_record_has_both_machines_and_the_notes_say_so(hosts):
    here, _there = hosts
    record = here.record("semantic", 1)
    assert record["worker_host"]["machine"]["cores"] > 0
    assert record["clocks"]["offset_ns"] == pytest.approx(86400e9, abs=1e9)
    notes = (here.results / "table.md").read_text()
    assert "the client is on another machine" in notes
    assert "two hosts and the network between them" in notes
    assert "Link: the network between the two machines; through the transport" in notes


@over_ssh
@needs_a_network
def test_local_is_measured_where_the_workers_are(hosts):
    here, there = hosts
    assert here.record("local", 1) == there.record("local", 1)
    assert not (there.results / "runs" / "semantic").exists()


@over_ssh
@needs_a_network
def test_refused_a_server_of_other_code(hosts):
    here, there = hosts
    (here.results / "runs" / "semantic" / "rep1.json").unlink()
    changed = there.folder / "scripts" / "semgap" / "placements" / "resident.py"
    with edited(changed, changed.read_text() + "CHANGED = True\n"):
        done = here.snakemake()
    assert done.returncode != 0
    assert "has other code than the one that measures. Bring both to the same" in done.stdout
    here.build()


def interfaces():
    listed = subprocess.run(["ip", "-o", "link"], stdout=subprocess.PIPE, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if "semgap" in line]


def end_while_measuring(experiment, how):
    """Measure a repeat of semantic again, and end the run while the worker is there."""
    (experiment.results / "runs" / "semantic" / "rep1.json").unlink(missing_ok=True)
    (experiment.results / "logs" / "benchmark" / "semantic.rep1.log").unlink(missing_ok=True)
    process = start(experiment)
    wait_for_log(process, experiment, "semantic.rep1", "the worker builds the model")
    if how == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, how)
    process.communicate(timeout=5 * PATIENCE_S)
    assert process.returncode != 0


@over_ssh
@needs_a_network
def test_survived_the_end_of_a_run_over_ssh_and_nothing_stays(hosts):
    here, there = hosts
    for how in (signal.SIGINT, signal.SIGKILL):
        end_while_measuring(here, how)
        assert ends_empty(here.folder)
        assert ends_empty(there.folder)


@needs("tc", "tcpdump")
@needs_a_network
def test_survived_the_end_of_a_run_over_a_link_and_nothing_stays(over_tcp, tmp_path):
    experiment = over_tcp.copy_to(tmp_path)
    link = {"rate_gbit": 1, "round_trip_ms": 2}
    experiment.configure(server={"host": "10.231.80.2", "launch": "namespace", "link": link})
    for how in (signal.SIGINT, signal.SIGKILL):
        end_while_measuring(experiment, how)
        assert ends_empty(experiment.folder)
        assert not interfaces()
    experiment.build()
    assert "a round trip takes 2 ms" in (experiment.results / "table.md").read_text()
    assert network_bytes(experiment) == network_bytes(over_tcp)
    assert ends_empty(experiment.folder)
    assert not interfaces()
