"""The time line shows a step that was really taken, in full, and the same each time."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from consistent_runs import LABELS, changed, honest, of_phase
from records import TILING, phase, run, step
from semgap.time_line import plot_time_lines, time_lines, typical_step

RECORDS = [each.record for each in honest().runs]


def steps_of(*latencies_s):
    return tuple(msgspec.structs.replace(step(), latency_s=each) for each in latencies_s)


def decode_of(steps):
    whole = msgspec.structs.replace(phase("decode", 16), steps=steps)
    return msgspec.structs.replace(run("naive"), phases=(phase("prefill", 14), whole))


def test_the_typical_step_is_that_of_median_latency_over_all_repeats():
    repeats = [decode_of(steps_of(0.9, 0.1, 0.4)), decode_of(steps_of(0.8, 0.2))]
    assert typical_step(repeats, "decode").latency_s == 0.4


def test_of_two_in_the_middle_the_shorter_is_typical():
    # No step took the 0.35 s in their middle.
    repeats = [decode_of(steps_of(0.9, 0.1)), decode_of(steps_of(0.4, 0.3))]
    assert typical_step(repeats, "decode").latency_s == 0.3


def test_a_typical_step_is_one_of_its_phase():
    record = decode_of(steps_of(0.2, 0.3, 0.4))
    assert typical_step([record], "prefill") is record.phases[0].steps[0]
    assert typical_step([record], "decode") is record.phases[1].steps[1]


def bars_of(axes):
    """From and to of each bar in milliseconds, row by row from the top, in drawing order."""
    rows = {}
    for bar in axes.patches:
        row = round(bar.get_y() + bar.get_height() / 2)
        rows.setdefault(row, []).append((bar.get_x(), bar.get_x() + bar.get_width()))
    return [rows[row] for row in sorted(rows)]


def test_the_bars_of_a_mode_are_its_latency_without_gap_or_overlap():
    for axes, name in zip(time_lines(RECORDS, LABELS).axes, ("prefill", "decode"), strict=True):
        assert axes.get_title().startswith(name.capitalize())
        assert axes.yaxis_inverted()
        for mode, bars in zip(LABELS, bars_of(axes), strict=True):
            of_mode = [record for record in RECORDS if record.mode == mode]
            shown = typical_step(of_mode, name)
            assert len(bars) == 8
            assert bars[0][0] == 0.0
            for (_, end_ms), (begin_ms, _) in pairwise(bars):
                assert begin_ms == pytest.approx(end_ms)
            assert bars[-1][1] == pytest.approx(shown.latency_s * 1e3)
            tiles_ms = [getattr(shown, tile) * 1e3 for tile in TILING]
            widths_ms = [end_ms - begin_ms for begin_ms, end_ms in bars]
            # The worker's handler is drawn as two bars, its pass and the rest.
            handler_ms = widths_ms[4] + widths_ms[5]
            assert [*widths_ms[:4], handler_ms, *widths_ms[6:]] == pytest.approx(tiles_ms)
            assert widths_ms[4] == pytest.approx(shown.compute_s * 1e3)


def test_modes_are_named_in_their_order_and_spans_in_the_legend():
    labels = {"semantic": r"Framework-Level (\sys)", "local": "Local"}
    figure = time_lines(RECORDS, labels)
    for axes in figure.axes:
        ticks = [tick.get_text() for tick in axes.get_yticklabels()]
        assert ticks == ["Framework-Level (sys)", "Local"]
        assert len(bars_of(axes)) == 2
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "client serialises",
        "client sends",
        "worker queues",
        "host to device",
        "compute",
        "worker, other",
        "device to host",
        "client receives",
    ]


def test_the_figure_is_the_same_each_time_it_is_drawn(tmp_path):
    files = [tmp_path / "time-line.svg", tmp_path / "time-line.png"]
    plot_time_lines(RECORDS, LABELS, files)
    first = [file.read_bytes() for file in files]
    plot_time_lines(RECORDS, LABELS, files)
    assert [file.read_bytes() for file in files] == first
    assert b"<svg" in first[0]
    assert first[1].startswith(b"\x89PNG")


def test_other_runs_give_another_figure(tmp_path):
    slower = changed(
        honest(),
        "naive",
        1,
        of_phase(
            "prefill",
            steps=lambda steps: tuple(
                msgspec.structs.replace(each, latency_s=0.3, receive_s=0.0) for each in steps
            ),
        ),
    )
    files = [tmp_path / "one.svg", tmp_path / "other.svg"]
    plot_time_lines(RECORDS, LABELS, files[:1])
    plot_time_lines([each.record for each in slower.runs], LABELS, files[1:])
    assert files[0].read_bytes() != files[1].read_bytes()
