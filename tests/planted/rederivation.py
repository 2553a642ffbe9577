"""Every cell of the table and every claim once more, from runs/ and traffic/, by code of its own.

Nothing of the project is imported, and where the two could share a mistake the way is another one:
moments by NumPy, quantiles by scipy.stats, files by json and csv.
"""

import csv
import json
import re
from pathlib import Path

import numpy as np
import yaml
from scipy import stats

PHASES = ("prefill", "decode")
SPANS = (
    *("placement_s", "serialise_s", "send_s", "host_to_device_s", "queue_s"),
    *("worker_s", "device_to_host_s", "receive_s", "compute_s"),
)
# By arithmetic on the model's shape: tests of the prediction have it in full.
NOT_DERIVED = {"expected_network_bytes"}


class Experiment:
    """What was measured: numbers by phase, mode and quantity, one per repeat in their order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: dict[tuple[str, int], dict] = {}
        self.values: dict[tuple[str, str, str], dict[int, float]] = {}
        for file in sorted(folder.glob("runs/*/*.json")):
            record = json.loads(file.read_text(encoding="utf-8"))
            repeat = int(file.stem.removeprefix("rep"))
            self.records[file.parent.name, repeat] = record
            traffic = rows_of(folder / "traffic" / file.parent.name / f"{file.stem}.csv")
            turns = rows_of(folder / "traffic" / file.parent.name / f"{file.stem}.turns.csv")
            for phase in record["phases"]:
                numbers = {**of_phase(phase), **of_traffic(phase["name"], traffic)}
                wire = on_the_wire(phase, turns)
                if wire:
                    numbers["wire_latency_s"] = sum(wire)
                for name, value in numbers.items():
                    place = (phase["name"], file.parent.name, name)
                    self.values.setdefault(place, {})[repeat] = value

    def of(self, phase: str, mode: str, quantity: str) -> dict[int, float]:
        return self.values.get((phase, mode, quantity), {})


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def of_phase(phase: dict) -> dict[str, float]:
    steps, latency_s = phase["steps"], phase["latency_s"]
    numbers = {
        "latency_s": latency_s,
        "latency_per_step_s": latency_s / max(len(steps), 1),
        "steps": len(steps),
        "worker_cpu_busy_s": phase["worker_cpu_s"],
        "tensor_up_bytes": sum(sum(step["up_bytes"].values()) for step in steps),
        "tensor_down_bytes": sum(sum(step["down_bytes"].values()) for step in steps),
        **{span: float(np.sum([step[span] for step in steps])) for span in SPANS},
    }
    if phase["name"] == "decode":
        each_s = [step["latency_s"] for step in steps]
        numbers["step_latency_p50_s"], numbers["step_latency_p99_s"] = np.quantile(
            each_s, [0.5, 0.99]
        )
        numbers["tokens_per_s"] = len(steps) / latency_s
    for readings in phase["readings"].values():
        numbers.update(readings)
    busy = {name: value for name, value in numbers.items() if name.endswith("_busy_s")}
    for name, value in busy.items():
        numbers[name.replace("_busy_s", "_percent")] = value / latency_s * 100
    return numbers


def of_traffic(phase: str, traffic: list[dict[str, str]]) -> dict[str, float]:
    both = {row["direction"]: row for row in traffic if row["phase"] == phase}
    numbers = {f"network_{name}_bytes": float(row["payload_bytes"]) for name, row in both.items()}
    numbers["network_bytes"] = sum(numbers.values())
    for name in ("retransmitted_bytes", "frame_bytes"):
        if all(row[name] for row in both.values()):
            numbers[f"network_{name}"] = sum(float(row[name]) for row in both.values())
    return numbers


def on_the_wire(phase: dict, turns: list[dict[str, str]]) -> list[float]:
    """How long each request and its reply took, by the packets' stamps alone."""
    found, asked_ns = [], None
    for turn in turns:
        begin_ns, end_ns = int(turn["begin_unix_ns"]), int(turn["end_unix_ns"])
        if turn["direction"] == "up":
            inside = phase["begin_unix_ns"] <= begin_ns < phase["end_unix_ns"]
            asked_ns = begin_ns if inside else None
        elif asked_ns is not None:
            found.append((end_ns - asked_ns) / 1e9)
    return found


def differences(folder: Path, claims: Path) -> list[str]:
    """What is published in a folder and does not follow from what was measured."""
    measured = Experiment(folder)
    return [
        *of_table_csv(measured, folder / "table.csv"),
        *of_table(measured, folder / "table.md"),
        *of_claims(measured, folder / "claims.csv", claims),
    ]


def of_table_csv(measured: Experiment, file: Path):
    for row in rows_of(file):
        phase, mode = row["phase"], row["mode"]
        names = {name.removeprefix("mean_") for name in row if name.startswith("mean_")}
        known = {name for _, _, name in measured.values}
        for name in sorted(names - NOT_DERIVED - known):
            yield f"table.csv has {name}, which nothing measured"
        for name in sorted(names & known):
            values = list(measured.of(phase, mode, name).values())
            wanted = {"mean": np.mean(values) if values else None, "std": None}
            if len(values) > 1:
                wanted["std"] = np.std(values, ddof=1)
            for statistic, value in wanted.items():
                said = row[f"{statistic}_{name}"]
                # A wall clock that is being set right runs at another rate.
                share = 1e-3 if name == "wire_latency_s" else 1e-9
                if not same(said, value, share):
                    yield (
                        f"table.csv, {phase} of {mode}: {statistic} of {name} is "
                        f"{said or 'empty'}, from the runs it is {value}"
                    )
        repeats = len(measured.of(phase, mode, "latency_s"))
        if row["n"] != str(repeats):
            yield f"table.csv, {phase} of {mode}: n is {row['n']}, there are {repeats} runs"


def same(said: str, value: float | None, share: float = 1e-9) -> bool:
    if value is None or said == "":
        return (value is None) == (said == "")
    # Differences of clocks are far below a nanosecond where they should be zero.
    return abs(float(said) - value) <= max(share * abs(value), 1e-9)


def of_table(measured: Experiment, file: Path):
    """The cells as a reader sees them, each to its last digit."""
    labels = {row["label"]: row["mode"] for row in rows_of(file.with_suffix(".csv"))}
    text = file.read_text(encoding="utf-8").replace("\\\\", "\\")
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    expected = json.loads((file.parent / "built_from.json").read_text(encoding="utf-8"))[
        "expectation"
    ]["labels"]
    in_order = [(phase, mode) for phase in PHASES for mode in expected]
    shown = [(row[0].lower(), labels.get(row[1])) for row in cells[2:]]
    if shown != in_order:
        yield f"table.md has the rows {shown}, and {in_order} were asked for"
        return
    if cells[0][2:] != ["Latency (s)", "Network (GB)", "GPU Util (%)", "Latency Std Dev (s)"]:
        yield f"table.md has the columns {cells[0]}"
    for phase, label, latency, network, utilisation, deviation in cells[2:]:
        place = (phase.lower(), labels[label])
        if expected[place[1]]["text"] != label:
            yield f"table.md calls {place[1]} '{label}'"
        seconds = list(measured.of(*place, "latency_s").values())
        crossed = list(measured.of(*place, "network_bytes").values())
        busy = list(measured.of(*place, "gpu_kernel_percent").values())
        std = np.std(seconds, ddof=1) if len(seconds) > 1 else None
        for what, said, value in (
            ("latency", latency.partition("±")[0], np.mean(seconds)),
            ("latency's deviation", latency.partition("±")[2], std),
            ("traffic", network, np.mean(crossed) / 1e9),
            ("utilisation", utilisation, np.mean(busy) if busy else None),
            ("deviation", deviation, std),
        ):
            if not shows(said, value):
                yield (
                    f"table.md, {place[0]} of {place[1]}: the {what} is '{said.strip()}', from the "
                    f"runs it is {value}"
                )


def shows(said: str, value: float | None) -> bool:
    """Whether a number as printed is a value rounded to its last digit."""
    said = said.strip()
    if value is None:
        return said in ("", "–")
    number = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:e([+-]\d+))?", said)
    if number is None:
        return False
    unit = 10.0 ** (int(number[3] or 0) - len(number[2] or ""))
    return abs(float(said) - value) <= 0.5001 * unit


def of_claims(measured: Experiment, file: Path, claims: Path):
    rows = {(row["claim"], row["phase"]): row for row in rows_of(file)}
    manifest = json.loads((file.parent / "model" / "manifest.json").read_text(encoding="utf-8"))
    wanted = {}
    for claim in yaml.safe_load(claims.read_text(encoding="utf-8"))["claims"]:
        has_gpu = any(record["machine"]["gpu"] for record in measured.records.values())
        too_small = manifest["parameters"] < claim.get("min_parameters", 0)
        if too_small or (claim.get("on_gpu") and not has_gpu):
            wanted[claim["id"], ""] = None
            continue
        for phase in claim.get("phases") or [{"growth": "decode"}.get(claim["kind"], "")]:
            wanted[claim["id"], phase] = of_claim(claim, phase, measured, manifest)
    if rows.keys() != wanted.keys():
        yield f"claims.csv judges {sorted(rows)}, config/claims.yaml has {sorted(wanted)}"
        return
    for (claim, phase), found in wanted.items():
        row = rows[claim, phase]
        if found is None:
            if row["verdict"] != "NOT APPLICABLE":
                yield f"claims.csv, {claim}: {row['verdict']}, though it speaks of other machines"
            continue
        verdict, bounds, seen = found
        if verdict != row["verdict"]:
            yield f"claims.csv, {claim} {phase}: {row['verdict']}, from the runs it is {verdict}"
        said = {name: row[name] for name in ("at_least", "at_most", "seen", "low", "high")}
        for (name, text), value in zip(said.items(), (*bounds, *seen), strict=True):
            if not same(text, value, share=1e-6):
                yield (
                    f"claims.csv, {claim} {phase}: {name} is {text or 'empty'}, from the runs and "
                    f"config/claims.yaml it is {value}"
                )


def of_claim(claim: dict, phase: str, measured: Experiment, manifest: dict):
    """Verdict, bounds, and what was seen with its interval."""
    at_least, at_most = claim.get("at_least"), claim.get("at_most")
    if claim["kind"] == "ratio":
        own, other = (
            measured.of(phase, claim[which], claim["quantity"]) for which in ("mode", "over")
        )
        rounds = sorted(set(own) & set(other))
        logs = np.log([own[one] / other[one] for one in rounds])
        low, high = stats.t.interval(0.95, len(logs) - 1, np.mean(logs), stats.sem(logs))
        intervals, seen = [(np.exp(low), np.exp(high))], np.exp(np.mean(logs))
    else:
        values, least = exact(claim, phase, measured, manifest)
        intervals, seen = [(value, value) for value in values], np.mean(values)
        at_least = at_least if least is None else max(at_least or 0.0, least)
    lows, highs = zip(*intervals, strict=True)
    outcomes = {outcome(low, high, at_least, at_most) for low, high in intervals}
    order = ("FAIL", "NOT SUPPORTED BY THIS DATA", "PASS")
    verdict = next(one for one in order if one in outcomes)
    return verdict, (at_least, at_most), (seen, min(lows), max(highs))


def outcome(low, high, at_least, at_most) -> str:
    least = -np.inf if at_least is None else at_least
    most = np.inf if at_most is None else at_most
    if least <= low and high <= most:
        return "PASS"
    return "FAIL" if high < least or low > most else "NOT SUPPORTED BY THIS DATA"


def exact(claim: dict, phase: str, measured: Experiment, manifest: dict):
    """Numbers that do not scatter, and a bound that follows from the model's shape."""
    if claim["kind"] == "answers":
        (of_local, *_) = (
            record["token_ids"] for (mode, _), record in measured.records.items() if mode == "local"
        )
        return [
            sum(a != b for a, b in zip(record["token_ids"], of_local, strict=True))
            for record in measured.records.values()
        ], None
    if claim["kind"] == "growth":
        per_token = sum(one["bytes_per_position"] for one in manifest["kv_cache"])
        grown = []
        for (mode, _), record in measured.records.items():
            if mode == claim["mode"]:
                moved = [
                    sum(step["up_bytes"].values()) + sum(step["down_bytes"].values())
                    for step in record["phases"][-1]["steps"]
                ]
                grown += list(np.diff(moved) / per_token)
        return grown, None
    own = measured.of(phase, claim["mode"], "network_bytes").values()
    if "over" not in claim:
        return list(own), None
    other = measured.of(phase, claim["over"], "network_bytes").values()
    predicted = {
        row["mode"]: float(row["mean_expected_network_bytes"])
        for row in rows_of(measured.folder / "table.csv")
        if row["phase"] == phase
    }
    least = claim.get("min_of_predicted", 0) * predicted[claim["mode"]] / predicted[claim["over"]]
    return [one / two for one in own for two in other], least
