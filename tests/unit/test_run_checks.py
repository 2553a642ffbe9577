"""Each check finds the one thing that is wrong, where it is, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from consistent_runs import (
    CAPTURED,
    MANIFEST,
    changed,
    found_in,
    honest,
    of_phase,
    of_record,
    of_run,
    of_step,
    of_traffic,
    plus,
)
from semgap.checks.catalogue import EXPLANATIONS, Check, Finding
from semgap.checks.counts import count_rows
from semgap.checks.registry import run_checks
from semgap.policy import TensorClass
from semgap.records import ClockOffset, Clocks, Host, Versions

HONEST = honest()
ON_GPU = honest(gpu=True)
SECOND_NS = 1_000_000_000


def findings_of(evidence):
    return run_checks(evidence, count_rows(evidence))


def logits_with(step, token, value):
    def edit(logits):
        other = logits.copy()
        other[step, token] = value
        return other

    return of_run(logits=edit)


def of_class(direction, tensor_class, amount):
    """An edit of what a step says to have moved of one class."""
    return {direction: lambda sizes: {**sizes, tensor_class: sizes.get(tensor_class, 0) + amount}}


def of_policy(**values):
    return of_record(policy=lambda policy: msgspec.structs.replace(policy, **values))


def like(mode, repeat, *fields):
    """An edit that takes fields of the record of another run."""
    other = found_in(HONEST, mode, repeat).record
    return of_record(**{field: getattr(other, field) for field in fields})


def with_latencies_of(mode, repeat):
    other = {phase.name: phase for phase in found_in(HONEST, mode, repeat).record.phases}

    def edit(phases):
        return tuple(
            msgspec.structs.replace(
                phase, steps=other[phase.name].steps, latency_s=other[phase.name].latency_s
            )
            for phase in phases
        )

    return of_record(phases=edit)


@pytest.mark.parametrize(
    "evidence",
    [HONEST, ON_GPU, honest(captured=False)],
    ids=["on a CPU", "on a GPU", "without captures"],
)
def test_nothing_is_found_in_an_honest_experiment(evidence):
    assert findings_of(evidence) == []


def test_every_check_is_explained():
    assert set(EXPLANATIONS) == set(Check)


# Check; the run that is changed; the change; where it is found; what is said of it, the value that
# was found first.
ALONE = {
    "a file holds another mode": (
        Check.OWN_MEASUREMENT,
        ("naive", 2),
        of_record(mode="semantic"),
        "naive, repeat 2",
        "its file holds semantic, repeat 2",
    ),
    "a file holds another repeat": (
        Check.OWN_MEASUREMENT,
        ("semantic", 2),
        of_record(repeat=1),
        "semantic, repeat 2",
        "its file holds semantic, repeat 1",
    ),
    "a session twice": (
        Check.OWN_MEASUREMENT,
        ("semantic", 2),
        like("semantic", 1, "session_id"),
        "semantic, repeat 2",
        "has the session of semantic, repeat 1",
    ),
    "the same connections twice": (
        Check.OWN_MEASUREMENT,
        ("naive", 1),
        like("local", 1, "control"),
        "naive, repeat 1",
        "has the connections of local, repeat 1",
    ),
    "the same latencies twice": (
        Check.OWN_MEASUREMENT,
        ("semantic", 2),
        with_latencies_of("semantic", 1),
        "semantic, repeat 2",
        "has the latencies of semantic, repeat 1",
    ),
    "a run that began while another was measured": (
        Check.OWN_MEASUREMENT,
        ("naive", 1),
        # The run before it, local 1, ends after 1,410 s.
        of_record(started_unix_ns=1_409 * SECOND_NS),
        "naive, repeat 1",
        "began before local, repeat 1 had ended",
    ),
    "another experiment": (
        Check.SAME_SETUP,
        ("naive", 1),
        of_record(experiment="other"),
        "naive, repeat 1",
        "measured with the experiment other, not test",
    ),
    "another transport": (
        Check.SAME_SETUP,
        ("naive", 2),
        of_record(transport="torch_rpc"),
        "naive, repeat 2",
        "measured with the transport torch_rpc, not tcp",
    ),
    "local over a network": (
        Check.SAME_SETUP,
        ("local", 2),
        of_record(transport="tcp"),
        "local, repeat 2",
        "measured with the transport tcp, not in_process",
    ),
    "another device": (
        Check.SAME_SETUP,
        ("semantic", 1),
        of_record(device="cuda:0"),
        "semantic, repeat 1",
        "measured with the device cuda:0, not cpu",
    ),
    "other decode steps": (
        Check.SAME_SETUP,
        ("semantic", 1),
        of_record(decode_steps=4),
        "semantic, repeat 1",
        "measured with the decode steps 4, not 3",
    ),
    "other steps to warm up": (
        Check.SAME_SETUP,
        ("semantic", 1),
        of_record(warmup_decode_steps=0),
        "semantic, repeat 1",
        "measured with the warmup decode steps 0, not 1",
    ),
    "other logits to keep": (
        Check.SAME_SETUP,
        ("semantic", 1),
        of_record(logits_to_keep=0),
        "semantic, repeat 1",
        "measured with the logits to keep 0, not 1",
    ),
    "another model": (
        Check.SAME_SETUP,
        ("local", 1),
        of_record(model_fingerprint="g"),
        "local, repeat 1",
        "measured with the model fingerprint g, not f",
    ),
    "other threads": (
        Check.SAME_SETUP,
        ("semantic", 2),
        of_record(compute_threads=1),
        "semantic, repeat 2",
        "measured with the compute threads 1, not 2",
    ),
    "another torch": (
        Check.SAME_SETUP,
        ("semantic", 2),
        of_record(versions=Versions("3.11", "2.11", "5.23")),
        "semantic, repeat 2",
        "torch='2.11', transformers='5.23'), not Versions(python='3.11', torch='2.13'",
    ),
    "another machine": (
        Check.SAME_SETUP,
        ("semantic", 2),
        of_record(host=Host("host2", "6.0", "a processor", 2, 8_000_000_000, "")),
        "semantic, repeat 2",
        "Host(name='host2'",
    ),
    "another interface": (
        Check.SAME_SETUP,
        ("naive", 2),
        of_record(capture=msgspec.structs.replace(CAPTURED, interface="eth0")),
        "naive, repeat 2",
        "captured on the interface eth0, not lo",
    ),
    "a policy that keeps what the mode sends": (
        Check.SAME_SETUP,
        ("naive", 2),
        of_policy(kv_cache="worker"),
        "naive, repeat 2",
        "measured under a policy whose kv_cache is worker, not client",
    ),
    "a policy that tolerates more": (
        Check.SAME_SETUP,
        ("semantic", 1),
        of_policy(logit_tolerance=0.5),
        "semantic, repeat 1",
        "measured under a policy whose logit_tolerance is 0.5, not 0.0",
    ),
    "a longer prompt": (
        Check.SAME_WORKLOAD,
        ("naive", 1),
        of_record(prompt_tokens=6),
        "naive, repeat 1",
        "a prompt of 6 tokens with the digest",
    ),
    "another prompt": (
        Check.SAME_WORKLOAD,
        ("naive", 1),
        of_record(prompt_sha256="0" * 64),
        "naive, repeat 1",
        "a prompt of 5 tokens with the digest 000000000000… instead of 5 with ",
    ),
    "a shorter context": (
        Check.SAME_WORKLOAD,
        ("remote_cache", 2),
        of_step("decode", 3, context_tokens=7),
        "remote_cache, repeat 2, decode",
        "passes over contexts of [6, 7, 7] tokens instead of [6, 7, 8]",
    ),
    "no warm-up of the prompt": (
        Check.SAME_WORKLOAD,
        ("local", 1),
        of_step("warmup", 1, context_tokens=1),
        "local, repeat 1, warmup",
        "passes over contexts of [1, 6] tokens instead of [5, 6]",
    ),
    "a logit": (
        Check.SAME_ANSWER,
        ("naive", 2),
        logits_with(2, 0, 0.25),
        "naive, repeat 2, step 2",
        "a logit differs by 0.25 from local, repeat 1; the policy tolerates 0",
    ),
    "a token": (
        Check.SAME_ANSWER,
        ("semantic", 1),
        of_record(token_ids=(3, 1, 5, 1)),
        "semantic, repeat 1, step 2",
        "token 5 instead of 4",
    ),
    "fewer passes": (
        Check.SAME_ANSWER,
        ("semantic", 1),
        of_run(logits=lambda logits: logits[:3]),
        "semantic, repeat 1",
        "logits of shape (3, 10) instead of (4, 10)",
    ),
    "fewer tokens": (
        Check.SAME_ANSWER,
        ("semantic", 1),
        of_record(token_ids=(3, 1, 4)),
        "semantic, repeat 1",
        "3 tokens beside logits of 4 passes",
    ),
    "weights that were not sent": (
        Check.CONTENT,
        ("naive", 1),
        of_step("decode", 2, **of_class("up_bytes", TensorClass.WEIGHTS, -24)),
        "naive, repeat 1, decode up",
        "3,048 B of weights instead of 3,072 B",
    ),
    "a KV cache that did not return": (
        Check.CONTENT,
        ("remote_cache", 1),
        of_step("prefill", 1, **of_class("down_bytes", TensorClass.KV_CACHE, -400)),
        "remote_cache, repeat 1, prefill down",
        "0 B of kv cache instead of 400 B",
    ),
    "a KV cache that crossed": (
        Check.CONTENT,
        ("semantic", 2),
        of_step("decode", 1, **of_class("up_bytes", TensorClass.KV_CACHE, 80)),
        "semantic, repeat 2, decode up",
        "80 B of kv cache instead of 0 B",
    ),
    "tokens of half the size": (
        Check.CONTENT,
        ("semantic", 2),
        of_step("warmup", 1, **of_class("up_bytes", TensorClass.TOKENS, -20)),
        "semantic, repeat 2, warmup up",
        "28 B of tokens instead of 48 B",
    ),
    "logits of all positions": (
        Check.CONTENT,
        ("local", 2),
        of_step("prefill", 1, **of_class("down_bytes", TensorClass.LOGITS, 160)),
        "local, repeat 2, prefill down",
        "200 B of logits instead of 40 B",
    ),
    "weights that were shipped twice": (
        Check.CONTENT,
        ("remote_cache", 2),
        of_step("setup", 1, **of_class("up_bytes", TensorClass.WEIGHTS, 1024)),
        "remote_cache, repeat 2, setup up",
        "2,048 B of weights instead of 1,024 B",
    ),
    # Decode of semantic moves 378 B up in 3 messages (24 B of tokens, 110 + 8 B of framing each):
    # 0.5 % and 3,000 B are 3,001.89 B.
    "a kernel that counts more": (
        Check.THREE_COUNTS,
        ("semantic", 1),
        of_phase("decode", socket_up_bytes=plus(3_002)),
        "semantic, repeat 1, decode up",
        "the prediction 378 B, the capture 378 B, the kernel 3,380 B: the kernel stands alone "
        "(tolerance 3,002 B)",
    ),
    "a capture that misses bytes": (
        Check.THREE_COUNTS,
        ("naive", 2),
        of_traffic("decode", "up", payload_bytes=2_000),
        "naive, repeat 2, decode up",
        "the prediction 5,370 B, the capture 2,000 B, the kernel 5,370 B: the capture stands alone "
        "(tolerance 3,027 B)",
    ),
    "a byte of local": (
        Check.THREE_COUNTS,
        ("local", 1),
        of_phase("prefill", socket_down_bytes=1),
        "local, repeat 1, prefill down",
        "the prediction 0 B, the capture 0 B, the kernel 1 B: the kernel stands alone "
        "(tolerance 0 B)",
    ),
    "a phase longer than its steps": (
        Check.PARTS_ADD_UP,
        ("semantic", 1),
        of_phase("decode", latency_s=plus(0.5)),
        "semantic, repeat 1, decode",
        "are not in the parts (the phase beyond its steps)",
    ),
    "steps longer than their spans": (
        Check.PARTS_ADD_UP,
        ("semantic", 1),
        of_step("prefill", 1, receive_s=plus(-0.115)),
        "semantic, repeat 1, prefill",
        "are not in the parts (its steps beyond their spans)",
    ),
    "spans longer than their steps": (
        Check.PARTS_ADD_UP,
        ("semantic", 1),
        of_step("prefill", 1, receive_s=plus(0.115)),
        "semantic, repeat 1, prefill",
        "-115.0 ms of 529.3 ms are not in the parts (its steps beyond their spans)",
    ),
    "a handler longer than its pass": (
        Check.PARTS_ADD_UP,
        ("naive", 1),
        of_step("prefill", 1, worker_s=plus(0.12), receive_s=plus(-0.12)),
        "naive, repeat 1, prefill",
        "are not in the parts (its handlers beyond their passes)",
    ),
    "a wall clock that was set forward": (
        Check.CLOCKS,
        ("naive", 1),
        of_phase("decode", end_unix_ns=plus(250_000_000)),
        "naive, repeat 1, decode",
        "10.250 s long by the wall clock, 10.000 s by the monotonic one",
    ),
    "a wall clock that was set back during setup": (
        Check.CLOCKS,
        ("naive", 1),
        of_phase("setup", end_unix_ns=plus(-3_000_000_000)),
        "naive, repeat 1, setup",
        "7.000 s long by the wall clock, 10.000 s by the monotonic one",
    ),
    "a phase before the one before": (
        Check.CLOCKS,
        ("remote_cache", 2),
        of_phase("decode", begin_unix_ns=plus(-95 * SECOND_NS), end_unix_ns=plus(-95 * SECOND_NS)),
        "remote_cache, repeat 2, decode",
        "began before what comes before it had ended",
    ),
    "a negative span": (
        Check.CLOCKS,
        ("remote_cache", 2),
        of_step("decode", 2, send_s=-0.003, receive_s=plus(0.103)),
        "remote_cache, repeat 2, decode step 2",
        "the span 'client sends' lasted -3.000 ms",
    ),
    "a pass longer than its handler": (
        Check.CLOCKS,
        ("remote_cache", 2),
        of_step("warmup", 1, compute_s=plus(0.003)),
        "remote_cache, repeat 2, warmup step 1",
        "the span 'worker, other' lasted -1.000 ms",
    ),
    "a latency longer than its window": (
        Check.CLOCKS,
        ("local", 1),
        of_phase("setup", latency_s=10.25),
        "local, repeat 1, setup",
        "a latency of 10.250 s in a window of 10.000 s",
    ),
    # A pass of 0.205 s on 2 threads, beside which one may receive: at most 0.677 s.
    "a clock read before the pass had ended": (
        Check.COMPUTE_CLOCK,
        ("local", 2),
        of_step("prefill", 1, compute_cpu_s=0.7),
        "local, repeat 2, prefill",
        "0.700 s of processor time in passes said to take 0.205 s",
    ),
    "a pass in which nothing worked": (
        Check.COMPUTE_CLOCK,
        ("local", 2),
        of_step("prefill", 1, compute_cpu_s=0.0),
        "local, repeat 2, prefill",
        "passes said to take 0.205 s, of which nothing worked for more than 0.000 s",
    ),
    "a worker that took no processor time": (
        Check.UTILISATION,
        ("semantic", 2),
        of_phase("decode", worker_cpu_s=0.0),
        "semantic, repeat 2, decode",
        "0.000 s of the worker's processor time, 0.",
    ),
    "passes that took more than the worker": (
        Check.UTILISATION,
        ("semantic", 2),
        of_phase("prefill", worker_cpu_s=0.2),
        "semantic, repeat 2, prefill",
        "0.200 s of the worker's processor time, 0.312 s in its passes alone",
    ),
}
# Some changes need a second one, so that nothing else is wrong.
BESIDE = {
    "a clock read before the pass had ended": of_phase("prefill", worker_cpu_s=0.8),
}


@pytest.mark.parametrize("name", ALONE)
def test_one_change_is_found_by_its_check_alone(name):
    check, run, edit, where, what = ALONE[name]
    evidence = changed(HONEST, *run, edit, BESIDE.get(name, lambda same: same))
    (finding,) = findings_of(evidence)
    assert (finding.check, finding.where) == (check, where)
    assert what in finding.what


@pytest.mark.parametrize(
    ("check", "edit", "where", "what"),
    [
        (
            Check.COMPUTE_CLOCK,
            # A pass of 0.208 s.
            of_phase("prefill", kernel_s=0.3),
            "semantic, repeat 2, prefill",
            "0.300 s of time of GPU kernels in passes said to take 0.208 s",
        ),
        (
            Check.UTILISATION,
            of_phase("decode", kernel_s=None),
            "semantic, repeat 2, decode",
            "no GPU kernel was seen on a GPU that computed",
        ),
        (
            Check.UTILISATION,
            of_phase("decode", kernel_s=0.0),
            "semantic, repeat 2, decode",
            "no GPU kernel was seen on a GPU that computed",
        ),
    ],
)
def test_a_gpu_whose_meters_are_wrong(check, edit, where, what):
    (finding,) = findings_of(changed(ON_GPU, "semantic", 2, edit))
    assert finding == Finding(check, where, what)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_logit_that_is_no_number(value):
    found = findings_of(changed(HONEST, "local", 2, logits_with(0, 0, value)))
    assert {(each.check, each.where) for each in found} == {
        (Check.SAME_ANSWER, "local, repeat 2, step 0")
    }
    said = f"a logit differs by {value} from local, repeat 1; the policy tolerates 0"
    assert found[0].what == said


def test_a_copied_run_has_all_that_is_its_own_twice():
    copied = replace(found_in(HONEST, "semantic", 1), repeat=2)
    evidence = changed(HONEST, "semantic", 2, lambda _run: copied)
    said = [(found.check, found.where, found.what) for found in findings_of(evidence)]
    own = Check.OWN_MEASUREMENT, "semantic, repeat 2"
    assert said == [
        (*own, "its file holds semantic, repeat 1"),
        *(
            (*own, f"has the {what} of semantic, repeat 1")
            for what in ("session", "start", "connections", "phases", "latencies")
        ),
        (*own, "began before semantic, repeat 1 had ended"),
    ]


def test_a_setup_that_changed_between_runs_is_named_at_each_that_differs():
    evidence = changed(HONEST, "local", 1, of_record(compute_threads=4))
    assert {(found.check, found.where) for found in findings_of(evidence)} == {
        (Check.SAME_SETUP, each.name) for each in HONEST.runs if each.name != "local, repeat 1"
    }


def test_a_configuration_that_changed_since_is_found_in_every_run():
    evidence = replace(HONEST, manifest=msgspec.structs.replace(MANIFEST, fingerprint="g"))
    found = findings_of(evidence)
    assert [(each.check, each.where) for each in found] == [
        (Check.SAME_SETUP, each.name) for each in HONEST.runs
    ]


def test_tokens_that_the_logits_do_not_say():
    # In the reference and all other runs alike, so that no comparison between runs shows it.
    evidence = HONEST
    for each in HONEST.runs:
        evidence = changed(evidence, each.mode, each.repeat, of_record(token_ids=(3, 1, 4, 99)))
    assert [(found.check, found.where, found.what) for found in findings_of(evidence)] == [
        (
            Check.SAME_ANSWER,
            f"{each.name}, step 3",
            "token 99 where the logits are highest for 1",
        )
        for each in HONEST.runs
    ]


def test_a_reference_without_all_its_tokens():
    first, *others = findings_of(changed(HONEST, "local", 1, of_record(token_ids=(3, 1, 4))))
    assert (first.where, first.what) == ("local, repeat 1", "3 tokens beside logits of 4 passes")
    assert {found.what for found in others} == {"4 tokens instead of 3"}


@pytest.mark.parametrize(("difference", "found"), [(0.5, 0), (0.5 + 2**-20, 1)])
def test_a_logit_may_differ_by_the_tolerance_of_the_policy(monkeypatch, difference, found):
    tolerant = of_policy(logit_tolerance=0.5)
    evidence = changed(HONEST, "naive", 1, tolerant, logits_with(1, 0, difference))
    policy = found_in(evidence, "naive", 1).record.policy
    by_mode = {run.mode: run.record.policy for run in HONEST.runs} | {"naive": policy}
    monkeypatch.setattr("semgap.checks.setups.policy_of", by_mode.__getitem__)
    evidence = changed(evidence, "naive", 2, tolerant)
    assert [each.check for each in findings_of(evidence)] == [Check.SAME_ANSWER] * found


@pytest.mark.parametrize(("beyond_s", "found"), [(-1e-6, 0), (1e-6, 1)])
@pytest.mark.parametrize("name", ["phase", "spans"])
def test_parts_may_leave_out_their_share_and_the_slack(name, beyond_s, found):
    """All but 2 % of the phase and 0.1 s is in the parts."""
    prefill = found_in(HONEST, "semantic", 1).record.phases[2]
    (step,) = prefill.steps
    if name == "phase":
        # left out = 0.02 · (steps + left out) + 0.1
        steps_s = step.latency_s + step.choose_s
        left_out_s = (0.02 * steps_s + 0.1) / 0.98
        edit = of_phase("prefill", latency_s=steps_s + left_out_s + beyond_s)
    else:
        left_out_s = 0.02 * prefill.latency_s + 0.1
        edit = of_step("prefill", 1, receive_s=plus(-left_out_s - beyond_s))
    evidence = changed(HONEST, "semantic", 1, edit)
    assert [each.check for each in findings_of(evidence)] == [Check.PARTS_ADD_UP] * found


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("beyond_ns", "found"), [(-1000, 0), (1000, 1)])
def test_a_slewed_clock_is_no_step(sign, beyond_ns, found):
    # 500 ppm of 10 s and 5 ms.
    edit = of_phase("decode", end_unix_ns=plus(sign * (10_000_000 + beyond_ns)))
    evidence = changed(HONEST, "semantic", 1, edit)
    assert [each.check for each in findings_of(evidence)] == [Check.CLOCKS] * found


@pytest.mark.parametrize(
    ("worker_boot", "send_s", "found"),
    [
        ("boot", -0.000_09, 0),
        ("boot", -0.000_11, 1),
        # 1 ms and 1 ms of uncertainty, and a drift of 2 ms, beside 0.1 ms.
        ("another", -0.004_09, 0),
        ("another", -0.004_11, 1),
    ],
)
def test_spans_between_two_machines_are_as_uncertain_as_their_clocks(worker_boot, send_s, found):
    clocks = Clocks(
        "boot", worker_boot, 0, ClockOffset(3_000_000, 1_000_000), ClockOffset(5_000_000, 1_000_000)
    )
    evidence = changed(
        HONEST,
        "semantic",
        1,
        of_record(clocks=clocks),
        of_step("decode", 1, send_s=send_s, receive_s=plus(0.1 - send_s)),
    )
    assert [each.check for each in findings_of(evidence)] == [Check.CLOCKS] * found
