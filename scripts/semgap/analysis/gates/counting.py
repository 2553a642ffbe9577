"""The gate for bytes: content to the byte, and three counts of what crossed that agree."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from semgap.analysis.numbers.counts import BETWEEN_COUNTS_BYTES, PREDICTION, CountRow
from semgap.errors import MeasurementError
from semgap.measurement.run_record import RunRecord
from semgap.policy import TensorClass, WorkerPlace


def check_counts(rows: Iterable[CountRow], record_file: Path) -> None:
    """Check that all counts of a run agree: two that count the same within 1 KB a phase, and each
    with the prediction within what is not known of the framing.

    Raises:
        MeasurementError: names the one that the others contradict.
    """
    for row in rows:
        if not _agree(row.taken, row):
            raise _disagreement(row, record_file)


def check_content(record: RunRecord, rows: Sequence[CountRow], record_file: Path) -> None:
    """Check that the content of each semantic class that crossed is what must cross, to the byte.

    Where client and worker are one process, nothing at all may cross.

    Raises:
        MeasurementError: names class, phase and direction.
    """
    if record.policy.worker is WorkerPlace.IN_PROCESS:
        for row in rows:
            if row.captured_bytes:
                raise MeasurementError(
                    f"In the phase {row.phase} of {record.name}, {row.captured_bytes} bytes went "
                    f"{row.direction}, though its worker is in the client's process.",
                    f"Something in this process uses the network. Delete '{record_file}' and run "
                    "again.",
                )
        return
    phases = {phase.name: phase for phase in record.phases}
    for row in rows:
        for tensor_class in TensorClass:
            moved = sum(
                getattr(step, f"{row.direction}_bytes").get(tensor_class, 0)
                for step in phases[row.phase].steps
            )
            must: int = getattr(row, f"{tensor_class}_bytes")
            if moved != must:
                raise MeasurementError(
                    f"In the phase {row.phase} of {record.name}, {moved} bytes of {tensor_class} "
                    f"went {row.direction}; its policy and the model's shape say {must}.",
                    f"A placement moved something else than it says (setup_bytes, crossing), or "
                    f"'{record_file}' was changed: delete it and run again.",
                )


def _disagreement(row: CountRow, record_file: Path) -> MeasurementError:
    taken = row.taken
    wrong = [
        name
        for name in taken
        if len(taken) > 2 and _agree({one: size for one, size in taken.items() if one != name}, row)
    ]
    accused = f"the odd one out is {wrong[0]}" if len(wrong) == 1 else "they disagree"
    said = ", ".join(f"{name} says {size}" for name, size in taken.items())
    again = f"Delete '{record_file}' and run again: only that repeat is measured again."
    formula = (
        "Correct the formula of its placements (setup_bytes, crossing), the transport's FRAMING or "
        "the model's description: the wire is as the kernel and the capture say."
    )
    return MeasurementError(
        f"Of the bytes {row.direction} in the phase {row.phase} of {row.mode}, repeat "
        f"{row.repeat}, {said}; {accused} (accepted are {row.framing_tolerance_bytes:.0f} bytes "
        f"from {PREDICTION}, and {BETWEEN_COUNTS_BYTES} between the other two).",
        formula if wrong == [PREDICTION] else again,
    )


def _agree(taken: Mapping[str, int], row: CountRow) -> bool:
    return all(
        abs(taken[one] - taken[other])
        <= (row.framing_tolerance_bytes if PREDICTION in (one, other) else BETWEEN_COUNTS_BYTES)
        for one, other in combinations(taken, 2)
    )
