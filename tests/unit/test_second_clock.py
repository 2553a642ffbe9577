"""The capture's time stamps beside the client's clock: what no delay explains is refused."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from packets import Packet, pcap
from sample_runs import SECOND_NS, begin_of, phase, run, step
from semgap.analysis.evidence import Run
from semgap.analysis.gates.consistency import check_beside, check_consistency
from semgap.analysis.gates.timing import check_clocks, check_exchanges
from semgap.analysis.numbers.second_clock import clock_rows, exchanges_of
from semgap.analysis.reports.latency import clock_note, clock_warnings
from semgap.errors import MeasurementError
from semgap.pcap.reader import read_segments
from semgap.pcap.turns import Turn, Turns
from semgap.plumbing.clocks import read_clocks
from semgap.plumbing.tcp_sockets import SocketPair

STEP_NS = SECOND_NS // 2
MS = SECOND_NS // 1000
SIZES = {"setup": [(900, 20)], "prefill": [(100, 50)], "decode": [(20, 50), (20, 51)]}


def timed(name, begin_s, late_ns=0, **more):
    """A phase with a step for each of its sizes, each begun where the one before ended."""
    steps = tuple(
        replace(step(), begin_ns=begin_s * SECOND_NS + number * STEP_NS + late_ns)
        for number in range(len(SIZES[name]))
    )
    return phase(name, begin_s, steps=steps, **more)


def record_of(mode="semantic", repeat=1, **more):
    begin_s = begin_of(mode, repeat)
    phases = (
        timed("setup", begin_s + 10),
        timed("prefill", begin_s + 20),
        timed("decode", begin_s + 22),
    )
    return run(mode, repeat, **{"phases": phases, **more})


def exchange(begin_ns, up_bytes, down_bytes, shift_ns=0):
    """A request in the first fifth of a step, and its reply in the last."""
    up = (begin_ns + MS + shift_ns, begin_ns + 99 * MS + shift_ns)
    down = (begin_ns + 401 * MS + shift_ns, begin_ns + 499 * MS + shift_ns)
    return [Turn("up", *up, up_bytes), Turn("down", *down, down_bytes)]


def generation(begin_ns):
    sizes = [*SIZES["prefill"], *SIZES["decode"]]
    return [
        turn
        for number, size in enumerate(sizes)
        for turn in exchange(begin_ns + number * STEP_NS, *size)
    ]


def turns_of(record, shift_ns=0, rehearsals=2):
    """What the wire shows of a run: its setup, rehearsals, and what was measured."""
    begin_ns = record.phases[0].begin_ns
    found = exchange(begin_ns, *SIZES["setup"][0])
    for number in range(rehearsals):
        # A request of another kind before each.
        found += exchange(begin_ns + (1 + 3 * number) * SECOND_NS, 30, 30)
        found += generation(begin_ns + (2 + 3 * number) * SECOND_NS)
    for one in record.phases[1:]:
        for step_of, size in zip(one.steps, SIZES[one.name], strict=True):
            found += exchange(step_of.begin_ns, *size, shift_ns=shift_ns)
    return found


def check(record, turns):
    check_exchanges(Run(record, Path("rep1.json"), (), turns), exchanges_of(turns))


def test_an_honest_run_passes():
    record = record_of()
    check(record, turns_of(record))


def cut_short(record, steps):
    """A run whose first rehearsal took so long that it ended after so many decode steps."""
    first, second = record.rehearsals
    return replace(record, rehearsals=(replace(first, decode_steps=steps), second))


def test_a_rehearsal_that_ended_early_is_a_rehearsal():
    record = record_of()
    turns = turns_of(record)
    # The last exchange of the first rehearsal.
    second = record.phases[0].begin_ns + 3 * SECOND_NS
    cut = [turn for turn in turns if not second <= turn.begin_unix_ns < second + STEP_NS]
    assert len(cut) == len(turns) - 2
    check(cut_short(record, 1), cut)
    with pytest.raises(MeasurementError, match=r"2 rehearsals came .*, and 1 were on the wire"):
        check(record, cut)


def test_a_rehearsal_of_operators_that_ended_early_is_a_rehearsal():
    """Of a step's two exchanges, one carries the logits."""

    def of_two(begin_ns, up_bytes, down_bytes):
        first = [(begin_ns + MS, 8, "up"), (begin_ns + 20 * MS, 4, "down")]
        second = [(begin_ns + 40 * MS, up_bytes, "up"), (begin_ns + 450 * MS, down_bytes, "down")]
        return [
            Turn(direction, at_ns, at_ns + MS, size_bytes)
            for at_ns, size_bytes, direction in (*first, *second)
        ]

    plain = record_of()
    phases = tuple(
        replace(
            one, steps=tuple(replace(step_of, requests=2, round_trips=2) for step_of in one.steps)
        )
        for one in plain.phases
    )
    record = replace(plain, phases=phases)
    setup, *generated = record.phases
    turns = of_two(setup.begin_ns, *SIZES["setup"][0])
    sizes = [*SIZES["prefill"], *SIZES["decode"]]
    # The first rehearsal has one decode step less.
    for begin_ns, rehearsed in (
        (setup.begin_ns + 2 * SECOND_NS, sizes[:-1]),
        (setup.begin_ns + 5 * SECOND_NS, sizes),
    ):
        for number, size in enumerate(rehearsed):
            turns += of_two(begin_ns + number * STEP_NS, *size)
    for one in generated:
        for step_of, size in zip(one.steps, SIZES[one.name], strict=True):
            turns += of_two(step_of.begin_ns, *size)
    check(cut_short(record, 1), turns)
    extra = of_two(setup.begin_ns + 8 * SECOND_NS, *sizes[0])
    extra += of_two(setup.begin_ns + 8 * SECOND_NS + STEP_NS, *sizes[1])
    with pytest.raises(MeasurementError, match="2 rehearsals came before what was measured, and 3"):
        check(cut_short(record, 1), sorted([*turns, *extra], key=lambda turn: turn.begin_unix_ns))


def test_local_has_no_packets_and_passes():
    check(record_of("local"), [])


def with_decode(record, **changed):
    *before, decode = record.phases
    return replace(record, phases=(*before, replace(decode, **changed)))


def with_first_step(record, **changed):
    first, *others = record.phases[-1].steps
    return with_decode(record, steps=(replace(first, **changed), *others))


PLANTED = {
    "its clock is read late": (
        lambda: (
            with_first_step(
                record := record_of(), begin_ns=record.phases[-1].steps[0].begin_ns + 20 * MS
            ),
            turns_of(record),
        ),
        "the first packet was sent before the step began",
    ),
    "its clock is read early": (
        lambda: (record := record_of(), turns_of(record, shift_ns=20 * MS)),
        "the last packet came after the step had ended",
    ),
    "sending counts as computing": (
        lambda: (
            with_first_step(record := record_of(), send_s=0.05, worker_s=0.35),
            turns_of(record),
        ),
        "the worker had the request before it was sent",
    ),
    "computing counts as sending and receiving counts as computing": (
        lambda: (
            with_first_step(record := record_of(), worker_s=0.4, receive_s=0.0),
            turns_of(record),
        ),
        "the reply was sent before the worker had finished",
    ),
    "a step less": (
        lambda: (
            with_decode(record := record_of(), steps=record.phases[-1].steps[:1]),
            turns_of(record),
        ),
        "the phase decode has 1 steps of together 1 requests, and 2 requests were",
    ),
    "nothing on the wire": (lambda: (record_of(), []), "of together 1 requests, and 0 requests"),
    "a rehearsal more": (
        lambda: (record := record_of(), turns_of(record, rehearsals=3)),
        "2 rehearsals came before what was measured, and 3 were on the wire",
    ),
    "a rehearsal is recorded": (
        lambda: (
            record := record_of(),
            [*turns_of(record), *generation(record.phases[-1].begin_ns + 5 * SECOND_NS)],
        ),
        "after what it calls measured, 1 more generations were on the wire",
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_refused_a_run_that_the_wire_contradicts(planted):
    plant, said = PLANTED[planted]
    with pytest.raises(MeasurementError, match=said):
        check(*plant())


def test_after_meters_that_need_passes_of_their_own_more_generations_are_expected():
    record = record_of(runs_again=True)
    check(record, [*turns_of(record), *generation(record.phases[-1].begin_ns + 5 * SECOND_NS)])


def test_a_wall_clock_that_runs_at_another_rate_changes_nothing():
    """NTP slews it by up to 500 ppm: 0.25 ms in a step."""
    record = record_of()

    def slewed(one):
        more_ns = (one.end_ns - one.begin_ns) // 2000
        return replace(one, end_unix_ns=one.end_unix_ns + more_ns)

    faster = replace(record, phases=tuple(map(slewed, record.phases)))
    turns = [
        replace(
            turn,
            begin_unix_ns=turn.begin_unix_ns + (turn.begin_unix_ns - began_ns) // 2000,
            end_unix_ns=turn.end_unix_ns + (turn.end_unix_ns - began_ns) // 2000,
        )
        for turn in turns_of(record)
        for began_ns in (
            max(one.begin_ns for one in record.phases if one.begin_ns <= turn.begin_unix_ns),
        )
    ]
    check(faster, turns)
    rows = clock_rows([(faster, exchanges_of(turns))])
    assert [row.unnamed_s for row in rows] == pytest.approx([2e-3] * 3, abs=1e-6)


def rows_of(waits_ms):
    """Rows of modes whose steps each wait so long beside everything."""
    runs = []
    for mode, wait_ms in waits_ms.items():
        record = record_of(mode)
        phases = tuple(
            replace(
                one,
                steps=tuple(
                    replace(of, latency_s=of.latency_s + wait_ms / 1e3) for of in one.steps
                ),
            )
            for one in record.phases
        )
        waiting = replace(record, phases=phases)
        runs.append((waiting, exchanges_of(turns_of(record))))
    return clock_rows(runs)


def test_both_clocks_stand_beside_each_other():
    rows = rows_of({"naive": 0, "semantic": 0})
    assert [(row.phase, row.mode, row.steps) for row in rows] == [
        (phase_name, mode, steps)
        for mode in ("naive", "semantic")
        for phase_name, steps in (("setup", 1), ("prefill", 1), ("decode", 2))
    ]
    for row in rows:
        assert row.latency_s == 0.5
        assert row.wire_s == pytest.approx(0.498)
        assert row.unnamed_s == pytest.approx(0.002)
        # 50 µs, 1 % of a step, thrice what the transport takes at least, the reply on the wire.
        assert row.allowed_s == pytest.approx(50e-6 + 5e-3 + 6e-3 + 98e-3)
    assert list(clock_warnings(rows)) == []
    assert "0.4 % of a step" in clock_note(rows)
    check_clocks(rows)


def test_warned_of_a_mode_that_waits_in_the_client():
    rows = rows_of({"naive": 150, "semantic": 0})
    check_clocks(rows)
    assert list(clock_warnings(rows)) == []
    said = list(clock_warnings([replace(row, steps=5) for row in rows]))
    assert len(said) == 3
    assert said[-1].startswith("of naive's decode step, 650.000 ms by the client's clock, 152.000")


def test_refused_a_mode_that_waits_in_each_step():
    """One or two steps may all have waited for a busy machine."""
    rows = rows_of({"naive": 600, "semantic": 0})
    check_clocks(rows)
    with pytest.raises(
        MeasurementError, match=r"four steps of naive's setup took at least 602\.000"
    ):
        check_clocks([replace(row, steps=3) for row in rows])


def late(mode, late_ms):
    """Two repeats that wait before their first step."""
    for repeat in (1, 2):
        begin_s = begin_of(mode, repeat)
        decode = timed(
            "decode", begin_s + 22, late_ns=late_ms * MS, latency_s=1 + max(0, late_ms) / 1e3
        )
        record = record_of(mode, repeat)
        yield replace(record, phases=(*record.phases[:-1], decode))


def test_refused_a_wait_beside_the_steps_of_one_mode():
    with pytest.raises(
        MeasurementError, match=r"decode of local spends at least 20\.000 ms before the first step"
    ):
        check_beside([*late("local", 20), *late("semantic", 0)])
    with pytest.raises(MeasurementError, match=r"and 5\.000 ms are accepted"):
        check_beside([*late("local", 20), *late("semantic", 20)])
    check_beside([*late("local", 0), *late("semantic", 0)])


def test_a_mode_whose_worker_chooses_the_token_has_less_to_do_and_accuses_no_other():
    check_beside([*late("token_only", 0), *late("local", 2), *late("semantic", 2)])
    with pytest.raises(MeasurementError, match="decode of local spends"):
        check_beside([*late("delta", 0), *late("local", 2)])


def test_one_late_repeat_is_chance():
    check_beside([next(late("local", 20)), *late("local", 0), *late("semantic", 0)])


def test_refused_a_step_that_began_before_its_phase():
    (record, _) = late("local", -1)
    with pytest.raises(MeasurementError, match=r"has -1\.000 ms before the first step"):
        check_consistency([Run(record, Path("rep1.json"), ())])


def test_the_two_clocks_are_read_together():
    reading = read_clocks()
    assert 0 <= reading.bound_ns < SECOND_NS
    assert reading.unix_ns_at(reading.monotonic_ns + 5) == reading.unix_ns + 5


UP = SocketPair("127.0.0.1", 1000, "127.0.0.1", 2000)


@given(
    st.lists(
        st.tuples(
            *(st.booleans(), st.integers(1, 99), st.booleans(), st.integers(0, 150)),
            st.integers(0, 150),
        ),
        max_size=40,
    ),
    st.integers(40, 4000),
)
def test_turns_are_runs_of_new_payload_in_one_direction(tmp_path_factory, packets, chunk_bytes):
    """Whatever is sent again: a packet, parts of earlier ones alone or before what is new."""
    built, expected, sent = [], [], {True: 0, False: 0}
    for number, (is_up, size, is_sent_again, before, again) in enumerate(packets):
        ports = (1000, 2000) if is_up else (2000, 1000)
        before, again = (min(one, sent[is_up]) for one in (before, again))
        packet = Packet(
            src_port=ports[0],
            dst_port=ports[1],
            seq=sent[is_up] - before,
            payload_bytes=before + size,
            time_ns=10 * number,
        )
        older = dataclasses.replace(packet, seq=sent[is_up] - again, payload_bytes=again // 2)
        sent[is_up] += size
        built += [older, *[packet] * (2 if is_sent_again else 1)]
        direction = "up" if is_up else "down"
        if expected and expected[-1].direction == direction:
            before = expected.pop()
            size += before.payload_bytes
            begin_ns = before.begin_unix_ns
        else:
            begin_ns = 10 * number
        expected.append(Turn(direction, begin_ns, 10 * number, size))
    path = tmp_path_factory.mktemp("turns") / "capture"
    path.write_bytes(pcap([*built, *built[:3]]))
    turns = Turns([UP])
    for segments in read_segments(path, chunk_bytes):
        turns.add(segments)
    assert turns.found() == expected
