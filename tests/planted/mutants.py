"""The planted errors: what each spoils, what is made again under it, and the check it meets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tampering
from experiment import Experiment
from semgap.checks.catalogue import Check


@dataclass(frozen=True)
class Mutant:
    """One planted error.

    Attributes:
        title: as docs/checks.md names it.
        check: the first check that must find it.
        error: what is planted into the processes (see ``plant/errors/``); empty where files are
            tampered with instead.
        measured: the mode whose last repeat is measured again under the error.
        counted: the mode whose last repeat's capture is counted again under the error.
        tampered: changes the finished experiment's files.
        also: other checks that must find it too.
        captured: whether it needs a capture to be seen, or to be planted at all.
    """

    title: str
    check: Check
    error: str = ""
    measured: str = ""
    counted: str = ""
    tampered: Callable[[Experiment], None] | None = None
    also: frozenset[Check] = frozenset()
    captured: bool = False


_BY_BYTES = frozenset({Check.CONTENT, Check.THREE_COUNTS})

MUTANTS = (
    Mutant(
        "naive keeps the weights after the first step",
        Check.CONTENT,
        error="weights_kept",
        measured="naive",
        also=_BY_BYTES,
    ),
    Mutant(
        "naive drops the KV cache and decodes from nothing",
        Check.SAME_ANSWER,
        error="kv_cache_dropped",
        measured="naive",
        also=_BY_BYTES,
    ),
    Mutant(
        "remote_cache keeps the KV cache on the worker",
        Check.CONTENT,
        error="kv_cache_kept",
        measured="remote_cache",
        also=_BY_BYTES,
    ),
    Mutant(
        "semantic sends the KV cache with each step",
        Check.CONTENT,
        error="kv_cache_sent",
        measured="semantic",
        also=_BY_BYTES,
    ),
    Mutant(
        "weights cross as float64 and are cast back",
        Check.CONTENT,
        error="weights_doubled",
        measured="naive",
        also=_BY_BYTES,
    ),
    Mutant(
        "one mode returns the logits of all positions",
        Check.CONTENT,
        error="all_logits_returned",
        measured="semantic",
        also=_BY_BYTES,
    ),
    Mutant(
        "tensors go through shared memory, past the socket",
        Check.THREE_COUNTS,
        error="shared_memory",
        measured="naive",
    ),
    Mutant(
        "one mode computes with two layers' weights exchanged",
        Check.SAME_ANSWER,
        error="weights_of_another_layer",
        measured="remote_cache",
    ),
    Mutant(
        "a reference ID of another generation is accepted",
        Check.SAME_ANSWER,
        error="reference_id_of_another_generation",
        measured="semantic",
    ),
    Mutant(
        "one mode gets a shorter prompt",
        Check.SAME_WORKLOAD,
        error="prompt_shortened",
        measured="local",
    ),
    Mutant(
        "one mode decodes a step less",
        Check.SAME_WORKLOAD,
        error="decode_step_left_out",
        measured="local",
    ),
    Mutant(
        "one mode skips the warm-up",
        Check.SAME_WORKLOAD,
        error="warm_up_skipped",
        measured="local",
    ),
    Mutant(
        "a run with other settings is mixed in",
        Check.SAME_SETUP,
        tampered=tampering.measure_with_another_step,
    ),
    Mutant(
        "a repeat is a copy of another one",
        Check.OWN_MEASUREMENT,
        tampered=tampering.copy_a_repeat,
    ),
    Mutant(
        "loading the model is part of the prefill",
        Check.PARTS_ADD_UP,
        error="model_loaded_in_prefill",
        measured="local",
    ),
    Mutant(
        "the client sleeps 1 s between two steps",
        Check.PARTS_ADD_UP,
        error="sleep_between_steps",
        measured="local",
    ),
    Mutant(
        "the worker sleeps 0.5 s after each pass",
        Check.PARTS_ADD_UP,
        error="sleep_in_the_worker",
        measured="semantic",
    ),
    Mutant(
        "each pass sleeps 0.5 s",
        Check.COMPUTE_CLOCK,
        error="sleep_in_the_pass",
        measured="local",
    ),
    Mutant(
        "the latency contains imports and start-up",
        Check.PARTS_ADD_UP,
        error="start_up_in_the_latency",
        measured="local",
    ),
    Mutant(
        "the wall clock is set forward by 1 s in a phase",
        Check.CLOCKS,
        error="clock_stepped",
        measured="semantic",
    ),
    Mutant(
        "the clock is read before the device has finished",
        Check.COMPUTE_CLOCK,
        error="clock_read_too_early",
        measured="semantic",
    ),
    Mutant(
        "the worker's processor time is reported as 0",
        Check.UTILISATION,
        error="utilisation_is_zero",
        measured="local",
    ),
    Mutant(
        "the kernel's counters are read of no socket",
        Check.THREE_COUNTS,
        error="kernel_counts_nothing",
        measured="semantic",
        captured=True,
    ),
    Mutant(
        "tcpdump listens to another port",
        Check.CAPTURE_CONTROL,
        error="capture_of_another_port",
        measured="local",
        captured=True,
    ),
    Mutant(
        "the capture starts late",
        Check.CAPTURE_CONTROL,
        error="capture_started_late",
        measured="local",
        captured=True,
    ),
    Mutant(
        "the capture stops early",
        Check.CAPTURE_CONTROL,
        error="capture_stopped_early",
        measured="local",
        captured=True,
    ),
    Mutant(
        "the kernel drops packets before tcpdump reads them",
        Check.CAPTURE_DROPS,
        error="packets_dropped",
        measured="local",
        captured=True,
    ),
    Mutant(
        "the capture file loses its last packets",
        Check.CAPTURE_COMPLETE,
        tampered=tampering.cut_off_last_packets,
        captured=True,
    ),
    Mutant(
        "counting loses every tenth segment",
        Check.CAPTURE_CONTROL,
        error="segments_lost",
        counted="naive",
        captured=True,
    ),
    Mutant(
        "counting swaps up and down",
        Check.THREE_COUNTS,
        error="directions_swapped",
        counted="remote_cache",
        captured=True,
    ),
    Mutant(
        "counting looks at one direction only",
        Check.THREE_COUNTS,
        error="one_direction_counted",
        counted="semantic",
        captured=True,
    ),
    Mutant(
        "the size of the capture file is taken for the bytes",
        Check.THREE_COUNTS,
        error="size_of_the_file",
        counted="naive",
        captured=True,
    ),
    Mutant(
        "the standard deviation divides by n",
        Check.PUBLISHED,
        error="deviation_of_the_population",
    ),
    Mutant(
        "the smallest value is taken for the mean",
        Check.PUBLISHED,
        error="best_of_the_repeats",
    ),
    Mutant(
        "bytes are divided by GiB and called GB",
        Check.PUBLISHED,
        error="gibibytes",
    ),
    Mutant(
        "modes stand under each other's labels",
        Check.PUBLISHED,
        error="rows_exchanged",
    ),
    Mutant(
        "a comparison of labels that do not exist is NaN",
        Check.PUBLISHED,
        error="test_of_nothing",
    ),
)
