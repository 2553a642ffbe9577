"""How the cost grows: what was measured at a sweep's points, and what its law says of others."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.analysis.numbers.numbers import PHASES
from semgap.analysis.reports.columns import ABSENT, significant
from semgap.analysis.scaling.findings import NEAR, Findings
from semgap.analysis.scaling.law import Held
from semgap.analysis.scaling.points import Link, Point, Shape
from semgap.plumbing.markup import escaped_markdown, markdown_table

# Links that cannot be had on one machine: rate (Gbit/s) and round trip (ms).
LINKS = {
    "10 Gbit/s, 0.1 ms": Link(10, 0.1),
    "100 Gbit/s, 0.02 ms": Link(100, 0.02),
    "400 Gbit/s, 0.005 ms": Link(400, 0.005),
    "NVLink, 3,600 Gbit/s, 0.005 ms": Link(3600, 0.005),
}
_ROUND_TRIPS_MS = (0.005, 0.1, 1.0, 10.0)
_LAW = """\
    step    = compute + message + bytes × max(wire ÷ rate, host) + round trips × round trip
    compute = bytes read × memory + operations × processor + more
"""
_FAR = 0.1


def scaling_markdown(found: Findings, shapes: Sequence[Shape]) -> str:
    """The report; ``shapes`` are other models that the law is asked about."""
    return "\n".join(_parts(found, shapes))


def _parts(found: Findings, shapes: Sequence[Shape]) -> Iterator[str]:
    experiments = len({point.experiment for point in found.points})
    yield (
        f"# How the cost grows: {escaped_markdown(found.name)}\n\n"
        f"{experiments} experiments with {found.shape.name} on {found.machine}; equal prompts were "
        "answered with the same tokens at all of them. `explorer.html` computes any other point.\n"
    )
    for phase in PHASES:
        yield f"## {phase.capitalize()}, measured: latency of a step (ms)\n"
        yield _measured(found, phase)
    yield "## Decode, by arithmetic: content that crosses with a step (MB)\n"
    yield _content(found)
    yield "![Latency of a decode step: measured and by the law](scaling.svg)\n"
    yield f"## The law\n\n{_LAW}"
    yield _constants(found)
    yield _per_place(found)
    yield "## How far it is off\n"
    yield from _errors(found)
    ideal = replace(found, law=found.law.with_ideal_hosts())
    yield (
        f"## Computed: from which rate on a decode step is within {100 * (NEAR - 1):.0f} % of "
        "Local's (Gbit/s)\n\nHere and below, hosts keep up with any wire: other software than "
        "this, more connections. That favours what moves most.\n"
    )
    yield _crossover(ideal, shapes)
    yield (
        f"## Computed: latency of a decode step after {found.prompts[-1]:,} tokens (ms), other "
        "models and links\n"
    )
    yield _elsewhere(ideal, shapes)
    yield "## Computed: when shipping the weights once has paid\n"
    yield from _break_even(found)


def _measured(found: Findings, phase: str) -> str:
    by_experiment: dict[str, dict[str, Point]] = {}
    for point in found.points:
        if point.phase == phase:
            by_experiment.setdefault(point.experiment, {})[point.mode] = point
    rows = []
    for points in by_experiment.values():
        any_point = next(iter(points.values()))
        rate, round_trip_ms, _burst = any_point.link
        asked = ("as it is" if rate is None else f"{rate:g}", f"{round_trip_ms:g}")
        cells = (_ms(points[mode].latency_s) if mode in points else ABSENT for mode in found.labels)
        rows.append([*asked, str(any_point.prompt_tokens), *cells])
    header = ("Rate (Gbit/s)", "Delay (ms)", "Prompt", *_titles(found))
    return f"{markdown_table(header, rows)}\n"


def _content(found: Findings) -> str:
    rows = []
    for tokens in found.prompts:
        loads = (found.load("decode", mode, found.shape, tokens) for mode in found.labels)
        rows.append([f"{tokens:,}", *(significant(load.crossing_bytes / 1e6) for load in loads)])
    return f"{markdown_table(('After tokens', *_titles(found)), rows)}\n"


def _constants(found: Findings) -> str:
    law = found.law
    rows = [
        ["memory", _inverse(law.memory_s_per_byte, 1e9, "GB/s")],
        ["processor", _inverse(law.compute_s_per_flop, 1e12, "TFLOP/s")],
        ["message", f"{_ms(law.message_s)} ms ({_ms(law.in_process_s)} ms where nothing crosses)"],
        ["wire", f"{law.wire_bytes_per_byte:.3f} bytes per byte"],
        ["host", _inverse(law.host_s_per_byte, 1e9, "GB/s")],
    ]
    return f"{markdown_table(('Constant', 'Fitted'), rows)}\n"


def _per_place(found: Findings) -> str:
    rows = [
        [
            escaped_markdown(found.labels[mode].text),
            phase,
            f"{1e3 * found.law.more_compute_s[mode, phase]:.2f}",
            f"{found.law.round_trips[mode, phase]:.1f}" if mode != BASELINE_MODE else ABSENT,
        ]
        for mode, phase in found.law.more_compute_s
    ]
    header = ("Mode", "Phase", "More (ms)", "Round trips")
    return (
        f"{markdown_table(header, rows, text_columns=2)}\n\nA request and its reply are one round "
        "trip; more are those of a connection that had been silent and starts slowly.\n"
    )


def _errors(found: Findings) -> Iterator[str]:
    if not found.held:
        yield "There are too few points to leave one out.\n"
        return
    by_place: dict[tuple[str, str], list[Held]] = {}
    for one in found.held:
        by_place.setdefault(one.point.place, []).append(one)
    rows = [
        [
            escaped_markdown(found.labels[mode].text),
            phase,
            str(len(held)),
            *(
                f"{100 * function(abs(getattr(one, error)) for one in held):.1f}"
                for error in ("error", "error_beside_compute")
                for function in (median, max)
            ),
        ]
        for (mode, phase), held in by_place.items()
    ]
    yield (
        "Each experiment is compared with the law of all others. The last two columns take the "
        "compute that was measured there: what is left is the network's.\n"
    )
    header = (
        *("Mode", "Phase", "Points", "Median error (%)", "Largest (%)"),
        *("Median, its compute given (%)", "Largest, its compute given (%)"),
    )
    yield f"{markdown_table(header, rows, text_columns=2)}\n"
    far = [one for one in found.held if abs(one.error) > _FAR]
    for one in far:
        point = one.point
        yield (
            f"- {point.experiment}, {point.mode}, {point.phase}: {_ms(point.latency_s)} ms "
            f"measured, {_ms(one.computed_s)} ms by the law: {_reason(one)}."
        )
    if not far:
        yield f"No point is off by more than {100 * _FAR:.0f} %."
    yield ""


def _reason(one: Held) -> str:
    """Why a point is far from the law."""
    if abs(one.error_beside_compute) <= _FAR:
        computed_s = one.computed_s - one.with_its_compute_s + one.point.compute_s
        return (
            f"it computed for {_ms(one.point.compute_s)} ms, where the others say "
            f"{_ms(computed_s)} ms"
        )
    if one.point.link.rate_gbit is None:
        moved = one.point.load.crossing_bytes
        seen, expected = (
            significant(moved / 1e9 / (latency_s - one.point.compute_s))
            for latency_s in (one.point.latency_s, one.with_its_compute_s)
        )
        return f"without a rate, its bytes went at {seen} GB/s, the others say {expected}"
    beside = (
        _ms(latency_s - one.point.compute_s)
        for latency_s in (one.point.latency_s, one.with_its_compute_s)
    )
    return "beside its compute it took {} ms, where the others say {} ms".format(*beside)


def _crossover(found: Findings, shapes: Sequence[Shape]) -> str:
    rows = []
    for shape in (found.shape, *shapes):
        for mode in found.remote:
            rates = (
                found.rate_from_which_near(mode, shape, found.prompts[-1], round_trip_ms)
                for round_trip_ms in _ROUND_TRIPS_MS
            )
            cells = ("at none" if rate is None else significant(rate) for rate in rates)
            rows.append([shape.name, escaped_markdown(found.labels[mode].text), *cells])
    header = ("Model", "Mode", *(f"{value:g} ms" for value in _ROUND_TRIPS_MS))
    return f"{markdown_table(header, rows, text_columns=2)}\n"


def _break_even(found: Findings) -> Iterator[str]:
    """After how many steps a mode that ships weights at start-up has made up for it."""
    for other in (mode for mode in found.remote if found.policies[mode].weights == "inline"):
        for mode in (mode for mode in found.remote if found.policies[mode].weights != "inline"):
            name, link = next(iter(LINKS.items()))
            wire_s = 8e-9 * found.law.wire_bytes_per_byte / (link.rate_gbit or math.inf)
            shipped_s = found.shape.weights_bytes * max(wire_s, found.law.host_s_per_byte)
            step_s, other_s = (
                found.step_s((one, "decode"), found.shape, found.prompts[-1], link)
                for one in (mode, other)
            )
            label, other_label = (escaped_markdown(found.labels[one].text) for one in (mode, other))
            if other_s > step_s:
                yield (
                    f"- {label}: over {name}, shipping the weights once takes {_ms(shipped_s)} ms. "
                    f"Each decode step then saves {_ms(other_s - step_s)} ms beside {other_label}, "
                    f"so it has paid after {math.ceil(shipped_s / (other_s - step_s))}."
                )
    yield ""


def _elsewhere(found: Findings, shapes: Sequence[Shape]) -> str:
    rows = []
    for shape in (found.shape, *shapes):
        for name, link in LINKS.items():
            steps = (
                found.step_s((mode, "decode"), shape, found.prompts[-1], link)
                for mode in found.labels
            )
            rows.append([shape.name, name, *map(_ms, steps)])
    return f"{markdown_table(('Model', 'Link', *_titles(found)), rows, text_columns=2)}\n"


def _titles(found: Findings) -> Iterator[str]:
    return (escaped_markdown(label.text) for label in found.labels.values())


def _inverse(seconds: float, each: float, unit: str) -> str:
    return f"1 ÷ {significant(1 / (each * seconds))} {unit}" if seconds else "0"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.3g}" if seconds < 1 else f"{1e3 * seconds:,.0f}"
