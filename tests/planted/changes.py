"""Changes to the files of an experiment that was measured honestly; files.yaml names them."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np


def copy_of_a_repeat(folder: Path) -> None:
    for file in [*folder.glob("runs/naive/rep1*"), *folder.glob("traffic/naive/rep1*")]:
        shutil.copy(file, file.with_name(file.name.replace("rep1", "rep2")))


def swapped_modes(folder: Path) -> None:
    for kind in ("runs", "traffic"):
        one, other, aside = (folder / kind / name for name in ("naive", "remote_cache", "aside"))
        one.rename(aside)
        other.rename(one)
        aside.rename(other)


def earlier_configuration(folder: Path) -> None:
    _record(folder, "naive", lambda run: run["settings"]["workload"].update(rehearsals_at_most=1))


def flipped_bit(folder: Path) -> None:
    (file,) = (folder / "small-model" / "weights").glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def weights_of_another_model(folder: Path) -> None:
    flipped_bit(folder)
    (file,) = (folder / "small-model" / "weights").glob("*.safetensors")
    manifest = folder / "model" / "manifest.json"
    described = json.loads(manifest.read_text(encoding="utf-8"))
    described["files"][-1]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    described["fingerprint"] = "0" * 64
    manifest.write_text(json.dumps(described), encoding="utf-8")


def other_logits(folder: Path) -> None:
    _shift(folder / "runs" / "naive" / "rep1.logits.npy")


def other_capture(folder: Path) -> None:
    captures = folder / "runs" / "naive"
    shutil.copy(captures / "rep2.pcap", captures / "rep1.pcap")


def more_traffic(folder: Path) -> None:
    file = folder / "traffic" / "naive" / "rep1.csv"
    header, *rows = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines()]
    at = header.index("payload_bytes")
    rows[-1][at] = str(int(rows[-1][at]) + 1_000_000)
    file.write_text("\n".join(map(",".join, [header, *rows])) + "\n", encoding="utf-8")


def earlier_packets(folder: Path) -> None:
    file = folder / "traffic" / "semantic" / "rep1.turns.csv"
    header, *rows = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines()]
    moved = [
        [way, *(str(int(stamp) - 5_000_000) for stamp in (begin, end)), size]
        for way, begin, end, size in rows
    ]
    file.write_text("\n".join(map(",".join, [header, *moved])) + "\n", encoding="utf-8")


def shorter_latency(folder: Path) -> None:
    _record(folder, "semantic", lambda run: run["phases"][-1].update(latency_s=1e-4))


def other_token(folder: Path) -> None:
    _record(folder, "semantic", lambda run: run["token_ids"].__setitem__(1, 7))


def other_expected_logits(folder: Path) -> None:
    _shift(folder / "model" / "expected.logits.npy")


def clock_that_was_set(folder: Path) -> None:
    def later(run) -> None:
        run["phases"][-1]["end_unix_ns"] += 100_000_000

    _record(folder, "naive", later)


def _record(folder: Path, mode: str, change: Callable[[dict], None]) -> None:
    """Change the record of a mode's first repeat."""
    file = folder / "runs" / mode / "rep1.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    change(record)
    file.write_text(json.dumps(record), encoding="utf-8")


def _shift(file: Path) -> None:
    """Let each logit be that of the token before."""
    np.save(file, np.roll(np.load(file), 1, axis=1))
