"""A program that breaks the protocol is told from one that keeps it, with the reason."""

import json
import sys
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patience import PATIENCE_S
from semgap.errors import ExternalSystemError
from semgap.plumbing.processes import has_ended
from semgap.systems import line_protocol as line
from semgap.systems.line_protocol import started_adapter

HONEST = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)["do"]
    print(json.dumps({"describe": {"name": "x", "protocol": 1}, "prefill": {"token": 7}}[asked]))
    sys.stdout.flush()
"""


def asked(program, *requests, timeout_s=PATIENCE_S):
    """The last reply of a Python program."""
    with started_adapter([sys.executable, "-c", program], timeout_s) as adapter:
        for request, reply_type in requests:
            reply = adapter.ask(request, reply_type)
    return reply


PREFILL = (line.Prefill((1, 2)), line.Token)


def test_replies_are_read_line_by_line():
    describe = (line.Describe(), line.Described)
    assert asked(HONEST, describe, PREFILL, PREFILL) == line.Token(7)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit(3)", "exited with status 3 when it was asked 'prefill'"),
        ("import os; os.kill(os.getpid(), 11)", "died of SIGSEGV"),
        ("input(); print('Loading model …', flush=True); input()", "'Loading model …', which is"),
        ("input(); print('{\"token\": -1}', flush=True); input()", "which is no reply: Expected"),
        ("input(); print('{}', flush=True); input()", "missing required field `token`"),
        (
            'input(); print(\'{"error": "no memory"}\', flush=True); input()',
            "refused 'prefill': no",
        ),
        ("input(); import os; os.close(1); os.close(2); input()", "closed its output"),
        ("input(); raise ValueError('of mine')", "It said last: ValueError: of mine"),
    ],
)
def test_a_program_that_breaks_the_protocol_is_told(program, said):
    with pytest.raises(ExternalSystemError) as raised:
        asked(program, PREFILL)
    assert said in str(raised.value)


def test_a_program_that_hangs_is_ended_with_what_it_started():
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "print(json := '{\"token\": %d}' % child.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    with (
        pytest.raises(ExternalSystemError, match=r"did not answer 'prefill' within 0\.5 s"),
        started_adapter([sys.executable, "-c", program], PATIENCE_S) as adapter,
    ):
        child = adapter.ask(*PREFILL).token
        adapter.timeout_s = 0.5
        adapter.ask(*PREFILL)
    deadline_s = time.monotonic() + PATIENCE_S
    while not has_ended(child):
        assert time.monotonic() < deadline_s


def test_a_program_that_is_not_there_is_named():
    with (
        pytest.raises(ExternalSystemError, match="'no-such-program x' cannot be started"),
        started_adapter(["no-such-program", "x"], 1),
    ):
        pass


@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1), min_size=1
    )
)
def test_logits_cross_as_they_are(logits):
    text = json.dumps({"logits": logits})
    assert msgspec.json.decode(text, type=line.GivenLogits).logits == logits


def test_requests_are_what_the_document_shows():
    assert json.loads(msgspec.json.encode(line.Prefill((1, 2)))) == {
        "do": "prefill",
        "tokens": [1, 2],
    }
    assert json.loads(msgspec.json.encode(line.Describe())) == {"do": "describe", "protocol": 1}
