"""Somebody else's system through the job that measures modes: the same bytes, and how it fails."""

import sys
import time
from dataclasses import replace
from functools import partial

import pytest
from msgspec import structs

from judges import needs
from patience import PATIENCE_S
from running_server import running_server
from semgap.analysis.gates.correctness import RunResult
from semgap.analysis.numbers.peers import SystemEvidence, failure_of
from semgap.analysis.numbers.second_clock import exchanges_in, exchanges_of
from semgap.analysis.numbers.traffic import traffic_of_run, turns_of_run
from semgap.errors import ExternalSystemError, ServerError
from semgap.inference.worker_settings import WorkerSettings
from semgap.measurement.job import measure, run_benchmark
from semgap.measurement.job_settings import BenchmarkSettings, CaptureSettings, WorkloadSettings
from semgap.measurement.tcpdump import CaptureStatus
from semgap.model.prompt import seeded_prompt
from semgap.model.weights import map_weights
from semgap.modes import policy_of
from semgap.plumbing.processes import has_ended
from semgap.systems.external_system import opened_system
from semgap.systems.system_run import SystemRun
from semgap.systems.system_settings import SystemJob, SystemSettings
from small_models import PROJECT, store_small_model

PROMPT_TOKENS, DECODE_STEPS = 8, 3
BENCHMARK = BenchmarkSettings(
    experiment="systems",
    repeat=1,
    workload=WorkloadSettings(decode_steps=DECODE_STEPS, rehearsals_at_most=2),
    worker=WorkerSettings(compute_threads=1),
    capture=CaptureSettings(use="required"),
)
OWN = PROJECT / "examples" / "own_system" / "system.py"
PROGRAM = (sys.executable, str(OWN))
SERVER = (*PROGRAM, "serve", "{host}", "{port}")

pytestmark = needs("tcpdump")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return store_small_model("gptj", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def endpoint_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, "torch_rpc", BENCHMARK.worker) as file:
        yield file


def system(stored, endpoint_file, folder, command=PROGRAM, server=SERVER):
    """Record and logits of a system, and its evidence."""
    weights_folder, manifest = stored
    prompt = seeded_prompt(manifest, PROMPT_TOKENS, DECODE_STEPS, 0)
    settings = SystemSettings(label="Own", command=command, server=server)
    opened = partial(
        opened_system,
        job=SystemJob("own", settings.program, BENCHMARK),
        endpoint_file=endpoint_file,
        manifest=manifest,
        weights_folder=weights_folder,
        prompt_tokens=PROMPT_TOKENS,
    )
    capture = folder / "system.pcap"
    policy = settings.program.as_policy("own")
    record, logits = measure(opened, policy, BENCHMARK, "c", capture, manifest, prompt)
    return SystemEvidence(
        settings,
        SystemRun("own", 1, record),
        RunResult(record, logits),
        traffic_of_run(record, capture),
        turns_of_run(record, capture),
    )


def mode(name, stored, endpoint_file, folder):
    weights, manifest = map_weights(*stored), stored[1]
    prompt = seeded_prompt(manifest, PROMPT_TOKENS, DECODE_STEPS, 0)
    capture = folder / f"{name}.pcap"
    of_mode = policy_of(name), BENCHMARK, "c", capture, endpoint_file, manifest, prompt, weights
    record, logits = run_benchmark(*of_mode)
    return RunResult(record, logits), traffic_of_run(record, capture)


def test_the_example_moves_what_the_mode_moves(stored, endpoint_file, tmp_path):
    own = system(stored, endpoint_file, tmp_path)
    local, _nothing = mode("local", stored, endpoint_file, tmp_path)
    semantic, traffic = mode("semantic", stored, endpoint_file, tmp_path)
    assert failure_of(own, local) is None
    assert own.result.record.token_ids == semantic.record.token_ids
    for ours, theirs in zip(traffic, own.traffic, strict=True):
        assert (ours.phase, ours.direction) == (theirs.phase, theirs.direction)
        # A message of PyTorch RPC has about 1 KB around its tensors; setup has more messages.
        messages = 2 * len(stored[1].tensors) if ours.phase == "setup" else DECODE_STEPS
        assert abs(ours.payload_bytes - theirs.payload_bytes) <= 2048 * messages
    for phase in own.result.record.phases[1:]:
        window = phase.begin_unix_ns, phase.end_unix_ns
        assert len(exchanges_in(*window, exchanges_of(own.turns))) == len(phase.steps)
        programs = phase.readings["programs"]
        assert 0 < programs["program_cpu_busy_s"] < 60
        assert programs["program_held_bytes"] > 1e7
        assert programs["server_held_bytes"] > 1e7
        assert phase.worker_cpu_s > 0


def edited(folder, old, new):
    """The example with an error in it."""
    text = OWN.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file = folder / "broken.py"
    file.write_text(text.replace(old, new), encoding="utf-8")
    return (sys.executable, str(file))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("int(LOGITS[-1].argmax())", "int(LOGITS[-1].argmin())", "instead of"),
        ("output.logits[0, -1]", "(output.logits[0, -1] + 1e-3)", "a logit differs by 0.001"),
    ],
)
def test_a_system_that_computes_something_else_is_told(
    stored, endpoint_file, tmp_path, old, new, said
):
    program = edited(tmp_path, old, new)
    server = (*program, "serve", "{host}", "{port}")
    broken = system(stored, endpoint_file, tmp_path, program, server)
    local, _nothing = mode("local", stored, endpoint_file, tmp_path)
    assert said in failure_of(broken, local)


def test_a_system_that_hides_bytes_is_told(stored, endpoint_file, tmp_path):
    """What goes to a process that is not its server is not in the capture's sum, and is counted."""
    program = edited(
        tmp_path, "    LOGITS.append(rpc", "    hidden.send(bytes(100_000))\n    LOGITS.append(rpc"
    )
    text = (tmp_path / "broken.py").read_text(encoding="utf-8")
    listening = (
        "import subprocess\n"
        "sink = subprocess.Popen([sys.executable, '-c', 'import socket; s = socket.create_server"
        '(("127.0.0.1", 0)); print(s.getsockname()[1], flush=True); c = s.accept()[0]\\n'
        "while c.recv(65536): pass'], stdout=subprocess.PIPE, text=True, start_new_session=True)\n"
        "hidden = socket.create_connection(('127.0.0.1', int(sink.stdout.readline())))\n"
    )
    (tmp_path / "broken.py").write_text(
        text.replace('if __name__ == "__main__":\n', listening + 'if __name__ == "__main__":\n'),
        encoding="utf-8",
    )
    hiding = system(stored, endpoint_file, tmp_path, program)
    local, _nothing = mode("local", stored, endpoint_file, tmp_path)
    assert "not all of them are connections with its server" in failure_of(hiding, local)


@pytest.mark.parametrize(
    ("server", "error", "said"),
    [
        ((sys.executable, "-c", "raise SystemExit(4)"), ServerError, "exited with status 4"),
        (("no-such-server",), ServerError, "'no-such-server' cannot be started"),
    ],
)
def test_a_server_that_does_not_start_is_told(stored, endpoint_file, tmp_path, server, error, said):
    with pytest.raises(error) as raised:
        system(stored, endpoint_file, tmp_path, server=server)
    assert said in str(raised.value)


def test_a_server_that_ends_meanwhile_is_told(stored, endpoint_file, tmp_path):
    program = edited(
        tmp_path, "    output = Worker.model(", "    os._exit(5)\n    output = Worker.model("
    )
    server = (*program, "serve", "{host}", "{port}")
    with pytest.raises(ExternalSystemError) as raised:
        system(stored, endpoint_file, tmp_path, program, server)
    assert "exited with status 5" in str(raised.value)


# Answers without a model; each step makes a connection of its own and sends so many bytes.
BRIEF_BYTES = 100_000
BRIEF = f"""
import json, socket, sys
rows = []
for line in sys.stdin:
    request = json.loads(line)
    asked = request.pop("do")
    if asked == "describe":
        answer = {{"name": "brief", "protocol": 1}}
    elif asked == "setup":
        to = request["host"], request["port"]
        size = json.load(open(request["model"] + "/config.json"))["vocab_size"]
        answer = {{}}
    elif asked in ("prefill", "decode"):
        rows = [] if asked == "prefill" else rows
        rows.append([0.0] * size)
        with socket.create_connection(to) as brief:
            brief.sendall(bytes({BRIEF_BYTES}))
            brief.shutdown(socket.SHUT_WR)
            brief.recv(1)
        answer = {{"token": 0}}
    else:
        answer = {{"logits": rows}} if asked == "logits" else {{}}
    print(json.dumps(answer), flush=True)
"""
BRIEF_SERVER = """
import socket, subprocess, sys
child = subprocess.Popen(["sleep", "1000"])
open(sys.argv[3], "w").write(str(child.pid))
listening = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    one, _ = listening.accept()
    while one.recv(65536):
        pass
    one.sendall(b"x")
    one.close()
"""


def test_connections_that_come_and_go_within_a_phase_count_and_nothing_outlives_its_session(
    stored, endpoint_file, tmp_path
):
    server = (sys.executable, "-c", BRIEF_SERVER, "{host}", "{port}", str(tmp_path / "child"))
    brief = system(stored, endpoint_file, tmp_path, (sys.executable, "-c", BRIEF), server)
    up = {row.phase: row.payload_bytes for row in brief.traffic if row.direction == "up"}
    assert up == {"setup": 0, "prefill": BRIEF_BYTES, "decode": DECODE_STEPS * BRIEF_BYTES}
    # The kernel's counters went with the connections: that is no contradiction.
    assert failure_of(brief, brief.result) is None
    child = int((tmp_path / "child").read_text())
    deadline_s = time.monotonic() + PATIENCE_S
    while not has_ended(child):
        assert time.monotonic() < deadline_s


def test_without_a_capture_no_bytes_are_claimed(stored, endpoint_file, tmp_path):
    own = system(stored, endpoint_file, tmp_path)
    status = CaptureStatus(False, "tcpdump is not installed", "lo")
    record = structs.replace(own.result.record, capture=status)
    uncounted = replace(own, result=RunResult(record, own.result.logits))
    assert failure_of(own, own.result) is None
    said = failure_of(uncounted, own.result)
    assert said == "Its bytes are unknown: tcpdump is not installed"
