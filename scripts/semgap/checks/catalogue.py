"""The checks that stand before every published number: names, what each asserts, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec


class Check(StrEnum):
    """Names of checks, as messages and reports give them."""

    CAPTURE_DROPS = "capture-drops"
    CAPTURE_COMPLETE = "capture-complete"
    CAPTURE_CONTROL = "capture-control"
    OWN_MEASUREMENT = "own-measurement"
    SAME_SETUP = "same-setup"
    SAME_WORKLOAD = "same-workload"
    SAME_ANSWER = "same-answer"
    CONTENT = "content"
    THREE_COUNTS = "three-counts"
    PARTS_ADD_UP = "parts-add-up"
    CLOCKS = "clocks"
    COMPUTE_CLOCK = "compute-clock"
    UTILISATION = "utilisation"
    PUBLISHED = "published"


class Explanation(msgspec.Struct, frozen=True):
    """What a check asserts, and what to do when it fails."""

    asserts: str
    remedy: str


class Finding(msgspec.Struct, frozen=True):
    """Something that a check found to be wrong.

    Attributes:
        where: the run, phase and step, as far as they are known.
        what: what was expected and what was found.
    """

    check: Check
    where: str
    what: str


_AGAIN = "Delete that run's file under runs/ to measure it again"

EXPLANATIONS: Mapping[Check, Explanation] = MappingProxyType(
    {
        Check.CAPTURE_DROPS: Explanation(
            "tcpdump says that the kernel dropped no packet",
            "Run again on a less busy machine; only this job is repeated.",
        ),
        Check.CAPTURE_COMPLETE: Explanation(
            "a capture file holds as many packets as tcpdump says it wrote",
            "Delete the capture and run again: only that repeat is measured again.",
        ),
        Check.CAPTURE_CONTROL: Explanation(
            "a capture shows every byte that was sent on purpose before the first and after the "
            "last phase",
            "Delete the capture and run again: only that repeat is measured again.",
        ),
        Check.OWN_MEASUREMENT: Explanation(
            "each run was measured by a job of its own: mode and repeat are those of its file, "
            "session, start, connections and times are no other run's",
            f"{_AGAIN}; do not copy results.",
        ),
        Check.SAME_SETUP: Explanation(
            "all runs have the configuration, model, machine and versions that the experiment has "
            "now",
            "Results of different set-ups do not mix: delete the experiment's runs/ folder and "
            "measure all of them again.",
        ),
        Check.SAME_WORKLOAD: Explanation(
            "every run processed the experiment's prompt, took the configured number of steps, and "
            "each pass attended to the tokens it should",
            f"{_AGAIN}; if it happens again, that mode runs another workload.",
        ),
        Check.SAME_ANSWER: Explanation(
            "tokens and logits of every step of every run are those of `local`, within the "
            "tolerance of the policy",
            f"{_AGAIN}; if it happens again, the mode is not what it claims to be.",
        ),
        Check.CONTENT: Explanation(
            "the tensors that client and worker exchanged have exactly the bytes, by semantic "
            "class, that policy and model shape predict",
            f"{_AGAIN}; if it happens again, the mode is not what it claims to be.",
        ),
        Check.THREE_COUNTS: Explanation(
            "bytes by phase and direction agree between the prediction, the capture, and the "
            "kernel's counters, within 0.5 % and 1 KB a step",
            "traffic.md shows which instrument disagrees where. "
            f"{_AGAIN}; if it happens again, look into that instrument.",
        ),
        Check.PARTS_ADD_UP: Explanation(
            "a phase takes as long as its steps, a step as long as its spans, and the worker's "
            "handlers as long as their passes, but for 2 % and 0.1 s a phase",
            f"{_AGAIN}; if it happens again, the phase contains what is no step.",
        ),
        Check.CLOCKS: Explanation(
            "no span is negative, and wall clock and monotonic clock agree on the length of each "
            "phase",
            f"{_AGAIN}, while nothing sets the machine's clock.",
        ),
        Check.COMPUTE_CLOCK: Explanation(
            "a pass is not said to take less time than the processor or the GPU demonstrably "
            "worked for it, nor ten times as long",
            f"{_AGAIN}; if it happens again, a clock was read before the device had finished, or a "
            "pass waits for something.",
        ),
        Check.UTILISATION: Explanation(
            "the worker's processor time contains that of its passes, and a GPU's kernel time was "
            "recorded wherever a GPU computed",
            f"{_AGAIN}; if it happens again, a meter reads nothing.",
        ),
        Check.PUBLISHED: Explanation(
            "every cell of the rendered table is what an independent calculation from the run "
            "records and the counts gives, and no figure is missing or not a number",
            "The analysis is wrong: report it; nothing is published from it.",
        ),
    }
)
