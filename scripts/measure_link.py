#!/usr/bin/env python3
"""Measure what transports, plain sockets and well-kept libraries move over one link."""

from pathlib import Path
from typing import Annotated

from semgap.linkbench.link_settings import LinkJob
from semgap.pipeline.cli import run_script


def measure(
    settings: Annotated[LinkJob, "the link, and how to measure it"],
    times: Annotated[Path, "writes time samples (CSV)"],
    wire: Annotated[Path, "writes captured bytes (CSV)"],
    facts: Annotated[Path, "writes where it was (JSON)"],
) -> None:
    import logging

    from semgap.plumbing.exclusive import alone_on_this_machine

    with alone_on_this_machine(logging.getLogger("semgap").warning):
        from semgap.linkbench.measure import measure_link
        from semgap.linkbench.rates import TimeSample, WireSample
        from semgap.plumbing.files import write_record, write_rows

        time_samples, wire_samples, link_facts = measure_link(settings, scratch=times.parent)
    write_rows(times, TimeSample, time_samples)
    write_rows(wire, WireSample, wire_samples)
    write_record(facts, link_facts)


if __name__ == "__main__":
    run_script(measure)
