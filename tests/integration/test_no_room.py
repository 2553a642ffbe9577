"""A full disk is named by the job that met it, and nothing half-written is left."""

import errno
import os
import subprocess
import sys

import pytest

from judges import needs
from semgap.errors import NoSpaceError
from semgap.measurement.tcpdump import capture, send_probe
from semgap.plumbing.files import write_atomically
from small_models import PROJECT

WRITE = """
import pathlib, typing
from semgap.pipeline.cli import run_script
from semgap.plumbing.files import write_atomically
def write(file: typing.Annotated[pathlib.Path, "writes this file"]):
    write_atomically(file, bytes(10_000_000))
run_script(write)
"""


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for 256 KB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path])
    if mounted.returncode != 0:
        pytest.skip("mounting is not permitted")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def script(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WRITE, *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "scripts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@needs("tcpdump", "mount")
def test_a_capture_that_found_no_room_fails_its_job(small_disk):
    with capture("lo", small_disk / "run.pcap") as running:
        for _ in range(100):
            send_probe("127.0.0.1")
        with pytest.raises(NoSpaceError, match=f"No space left in '{small_disk}'"):
            running.stop()


@needs("mount")
def test_a_record_that_found_no_room_leaves_nothing(small_disk):
    with pytest.raises(NoSpaceError, match=f"No space left in '{small_disk}'") as raised:
        write_atomically(small_disk / "record.json", bytes(1_000_000))
    assert raised.value.__cause__.errno == errno.ENOSPC
    assert list(small_disk.iterdir()) == []


@needs("mount")
def test_a_log_without_room_hides_nothing(small_disk):
    (small_disk / "filler").write_bytes(bytes(256 * 1024))
    done = script("--file", small_disk / "file", "--log", small_disk / "job.log")
    assert done.returncode == 1
    assert f"ERROR: No space left in '{small_disk}'. Make room" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    done = script("--file", tmp_path / "x", "--log", tmp_path / "file" / "job.log")
    assert done.returncode == 1
    assert "job.log' cannot be written: " in done.stdout
    assert "Traceback" not in done.stdout
