"""After a change, exactly the invalidated steps run again: expected sets, written out by hand."""

import contextlib
import os
import shutil

import pytest

from expected_jobs import (
    ALL_RUNS,
    ANALYSIS,
    CHECKED,
    EVERYTHING,
    FROM_MANIFEST,
    FROM_PROMPT,
    MODES,
    REMOTE,
    REMOTE_RUNS,
    REPEATS,
    TABLE,
    TRAFFIC,
    VERIFIED,
    PlansOfCode,
    compared,
    differences,
    edited,
    measured,
)
from semgap.pipeline.config import config_schema

# The active transport is torch_rpc.
OF_TCP = [
    f"semgap/transport/{name}.py"
    for name in (
        "tcp",
        "tcp_parts/cuda_memory",
        "tcp_parts/host_memory",
        "tcp_parts/tcp_frames",
        "tcp_parts/tcp_stream",
    )
]
OF_THE_DOCTOR = [
    f"semgap/doctor/{name}.py"
    for name in ("__init__", "check", "experiment", "host", "network", "packages")
]
OF_MAINTENANCE = [
    f"semgap/maintain/{name}.py"
    for name in (
        "appendix",
        "archive",
        "crate",
        "faults",
        "readme_parts",
        "reference_results",
        "scan_models",
    )
]
OF_A_SWEEP = [
    f"semgap/analysis/scaling/{name}.py"
    for name in (
        *("explorer", "figure", "findings", "law", "points", "publish"),
        *("report", "shapes"),
    )
]
OF_THE_LINK = [
    f"semgap/linkbench/{name}.py"
    for name in (
        "link_settings",
        "measure",
        "rates",
        "report",
        "wire",
        "contenders/__init__",
        "contenders/gloo",
        "contenders/iperf3",
        "contenders/plain_sockets",
        "contenders/through_transport",
        "contenders/zeromq",
    )
]

MODULES = {
    "aggregate.py": ANALYSIS,
    "benchmark.py": ALL_RUNS,
    "check_device.py": set(),
    "check_model.py": CHECKED,
    "describe_model.py": FROM_MANIFEST,
    "doctor.py": set(),
    "document_config.py": set(),
    "download_model.py": set(),
    "download_package.py": set(),
    "make_prompt.py": FROM_PROMPT,
    "measure_system.py": set(),
    "report_systems.py": set(),
    "measure_link.py": set(),
    "parse_capture.py": TRAFFIC,
    "render_report.py": set(),
    "render_table.py": TABLE,
    "report_link.py": set(),
    "report_overhead.py": set(),
    "precise.py": set(),
    "rpc_server.py": REMOTE_RUNS,
    "status.py": set(),
    "sweep.py": set(),
    "store_weights.py": EVERYTHING,
    "verify.py": set(),
    "verify_weights.py": VERIFIED | ANALYSIS,
    "semgap/measurement/job.py": ALL_RUNS,
    "semgap/pipeline/cli.py": EVERYTHING | TRAFFIC,
    "semgap/inference/client.py": ALL_RUNS,
    "semgap/pipeline/config.py": set(),
    "semgap/plumbing/tcp_sockets.py": {"rpc_server"} | ALL_RUNS,
    "semgap/plumbing/files.py": EVERYTHING | TRAFFIC,
    "semgap/pipeline/fingerprint.py": REMOTE_RUNS,
    "semgap/pipeline/sweep.py": set(),
    "semgap/state.py": {"rpc_server"} | CHECKED | ALL_RUNS,
    "semgap/plumbing/markup.py": ANALYSIS,
    "semgap/modes.py": set(),
    "semgap/errors.py": set(),
    "semgap/policy.py": {"rpc_server"} | ALL_RUNS,
    "semgap/plumbing/processes.py": EVERYTHING,
    "semgap/model/prompt.py": FROM_PROMPT,
    "semgap/protocol.py": {"rpc_server"} | ALL_RUNS,
    "semgap/placements/__init__.py": {"rpc_server"} | ALL_RUNS,
    "semgap/placements/delta.py": set(),
    "semgap/placements/inline.py": ALL_RUNS,
    "semgap/placements/resident.py": measured("local", "remote_cache", "semantic"),
    "semgap/encodings/__init__.py": {"rpc_server"} | ALL_RUNS,
    "semgap/encodings/content_addressed.py": set(),
    "semgap/encodings/fp8.py": set(),
    "semgap/encodings/zstd.py": set(),
    "semgap/plumbing/versions.py": {"rpc_server"} | ALL_RUNS,
    "semgap/server/control.py": {"rpc_server"} | ALL_RUNS,
    "semgap/model/manifest.py": EVERYTHING,
    "semgap/model/model_settings.py": EVERYTHING,
    "semgap/server/endpoint.py": {"rpc_server"} | ALL_RUNS,
    "semgap/measurement/job_settings.py": ALL_RUNS,
    "semgap/measurement/run_record.py": ALL_RUNS,
    "semgap/inference/steps.py": ALL_RUNS,
    "semgap/measurement/phases.py": ALL_RUNS,
    "semgap/measurement/run_files.py": ALL_RUNS,
    "semgap/measurement/subject.py": ALL_RUNS,
    "semgap/plumbing/usage.py": {"rpc_server"} | ALL_RUNS,
    "semgap/server/program.py": REMOTE_RUNS,
    "semgap/systems/external_system.py": set(),
    "semgap/systems/line_protocol.py": set(),
    "semgap/systems/system_run.py": set(),
    "semgap/systems/system_settings.py": set(),
    "semgap/analysis/figures/peers.py": set(),
    "semgap/analysis/numbers/peers.py": set(),
    "semgap/analysis/reports/peers.py": set(),
    "semgap/plumbing/statistics.py": ANALYSIS,
    "semgap/plumbing/yaml_files.py": ANALYSIS,
    "semgap/plumbing/limits.py": EVERYTHING,
    "semgap/plumbing/exclusive.py": {"rpc_server"} | ALL_RUNS,
    "semgap/meters/cpu_throttling.py": ALL_RUNS,
    "semgap/progress/__init__.py": set(),
    "draw_figures.py": set(),
    "semgap/plumbing/provenance.py": {"rpc_server"} | ALL_RUNS,
    "semgap/meters/machine_cpu.py": ALL_RUNS,
    "semgap/inference/worker_settings.py": {"rpc_server"} | ALL_RUNS,
    "semgap/inference/worker.py": {"rpc_server"} | ALL_RUNS,
    "semgap/measurement/tcpdump.py": ALL_RUNS,
    "semgap/measurement/yardstick.py": ALL_RUNS,
    "semgap/meters/client_cpu.py": ALL_RUNS,
    "semgap/meters/__init__.py": {"rpc_server"} | ALL_RUNS,
    "semgap/meters/gpu_kernels.py": ALL_RUNS,
    "semgap/meters/gpu_memory_read.py": ALL_RUNS,
    "semgap/meters/gpu_samples.py": ALL_RUNS,
    "semgap/meters/client_sockets.py": ALL_RUNS,
    "semgap/meters/gpu_dmon.py": ALL_RUNS,
    "semgap/meters/gpu_energy.py": ALL_RUNS,
    "semgap/meters/gpu_state.py": ALL_RUNS,
    "semgap/meters/processor_speed.py": ALL_RUNS,
    "semgap/plumbing/nvml.py": {"rpc_server"} | ALL_RUNS,
    "semgap/engine/__init__.py": {"rpc_server"} | CHECKED | ALL_RUNS,
    "semgap/engine/eager.py": CHECKED | ALL_RUNS,
    "semgap/engine/graph.py": set(),
    "semgap/engine/graph_parts/static_memory.py": set(),
    "semgap/engine/graph_parts/static_pass.py": set(),
    "semgap/engine/graph_parts/decode_kernels.py": set(),
    "semgap/engine/graph_parts/fused_gptj.py": set(),
    "semgap/engine/graph_parts/fused_llama.py": set(),
    "semgap/engine/graph_parts/triton_kernels.py": set(),
    "semgap/execution/__init__.py": ALL_RUNS,
    "semgap/execution/forward_pass.py": ALL_RUNS,
    "semgap/execution/per_operation.py": set(),
    "semgap/execution/pipelined_operations.py": set(),
    "semgap/execution/recorded_operations.py": set(),
    "semgap/inference/forwarding.py": set(),
    "semgap/inference/operands.py": {"rpc_server"} | ALL_RUNS,
    "semgap/plumbing/registry.py": {"rpc_server"} | ALL_RUNS,
    "semgap/pcap/reader.py": TRAFFIC,
    "semgap/pcap/traffic_window.py": TRAFFIC,
    "semgap/pcap/turns.py": TRAFFIC,
    "semgap/plumbing/clocks.py": ALL_RUNS,
    "semgap/inference/agreement.py": CHECKED,
    "semgap/inference/link.py": ALL_RUNS,
    "semgap/model/cache_form.py": CHECKED | FROM_MANIFEST,
    "semgap/model/causal_lm.py": CHECKED | FROM_MANIFEST,
    "semgap/model/description.py": FROM_MANIFEST,
    "semgap/model/device.py": {"rpc_server"} | ALL_RUNS,
    "semgap/model/hub.py": set(),
    "semgap/model/package.py": set(),
    "semgap/model/text.py": FROM_PROMPT,
    "semgap/model/sources.py": EVERYTHING,
    "semgap/model/skeleton.py": EVERYTHING,
    "semgap/model/weights.py": EVERYTHING,
    "semgap/server/lifecycle.py": REMOTE_RUNS,
    "semgap/server/network_namespace.py": REMOTE_RUNS,
    "semgap/server/relay.py": REMOTE_RUNS,
    "semgap/server/ssh.py": {"rpc_server"} | ALL_RUNS,
    "semgap/server/supervisor.py": REMOTE_RUNS,
    "semgap/server/worker_process.py": REMOTE_RUNS,
    "semgap/progress/runs.py": set(),
    "semgap/session/__init__.py": ALL_RUNS,
    "semgap/session/in_process.py": measured("local"),
    "semgap/session/server.py": measured(*REMOTE),
    "semgap/transport/__init__.py": {"rpc_server"} | ALL_RUNS,
    "semgap/transport/torch_rpc.py": REMOTE_RUNS,
    "semgap/analysis/catalogue.py": ANALYSIS,
    "semgap/analysis/evidence.py": ANALYSIS,
    "semgap/analysis/expectation.py": ANALYSIS,
    "semgap/analysis/publish.py": ANALYSIS,
    "semgap/analysis/claims/__init__.py": ANALYSIS,
    "semgap/analysis/claims/evaluation.py": ANALYSIS,
    "semgap/analysis/gates/belonging.py": ANALYSIS,
    "semgap/analysis/gates/consistency.py": ANALYSIS,
    "semgap/analysis/gates/correctness.py": ANALYSIS,
    "semgap/analysis/gates/counting.py": ANALYSIS,
    "semgap/analysis/gates/timing.py": ANALYSIS,
    "semgap/analysis/gates/verification.py": set(),
    "semgap/analysis/numbers/comparison.py": ANALYSIS,
    "semgap/analysis/numbers/counts.py": ANALYSIS,
    "semgap/analysis/numbers/ladder.py": TABLE,
    "semgap/analysis/numbers/numbers.py": ANALYSIS,
    "semgap/analysis/numbers/prediction.py": ANALYSIS,
    "semgap/analysis/numbers/run_order.py": ANALYSIS,
    "semgap/analysis/numbers/budget.py": ANALYSIS,
    "semgap/analysis/numbers/same_work.py": ANALYSIS,
    "semgap/analysis/numbers/second_clock.py": ANALYSIS,
    "semgap/analysis/numbers/summary.py": ANALYSIS,
    "semgap/analysis/numbers/traffic.py": TRAFFIC,
    "semgap/analysis/numbers/versus.py": set(),
    "semgap/analysis/reports/claims.py": TABLE,
    "semgap/analysis/reports/ladder.py": TABLE,
    "semgap/analysis/reports/latency.py": TABLE,
    "semgap/analysis/reports/columns.py": TABLE,
    "semgap/analysis/reports/link.py": TABLE,
    "semgap/analysis/reports/statistics.py": TABLE,
    "semgap/analysis/reports/notes.py": TABLE,
    "semgap/analysis/reports/overhead.py": set(),
    "semgap/analysis/page.py": set(),
    "semgap/analysis/reports/provenance.py": TABLE,
    "semgap/analysis/reports/table.py": TABLE,
    "semgap/analysis/reports/traffic.py": TABLE,
    "semgap/analysis/reports/versus.py": set(),
    "semgap/analysis/reports/warnings.py": TABLE,
    "semgap/analysis/figures/modes.py": set(),
    "semgap/analysis/figures/__init__.py": set(),
    "semgap/analysis/figures/time_line.py": set(),
    "semgap/analysis/figures/traffic.py": set(),
    "semgap/analysis/figures/claims.py": set(),
    "semgap/analysis/figures/ladder.py": set(),
    "semgap/analysis/figures/order.py": set(),
    "semgap/analysis/figures/overhead.py": set(),
    "semgap/analysis/reports/modes.py": TABLE,
    "compare_recorded.py": set(),
    **{module: set() for module in OF_TCP},
    **{module: set() for module in OF_THE_LINK},
    **{module: set() for module in OF_THE_DOCTOR},
    **{module: set() for module in OF_MAINTENANCE},
    **{module: set() for module in OF_A_SWEEP},
}

KEYS = {
    "model.name": ("other", EVERYTHING),
    "model.hub.repo": ("owner/name", set()),
    "model.hub.revision": ("0" * 40, set()),
    "model.package.name": ("a-model", set()),
    "model.package.version": ("1.0", set()),
    "model.package.file": ("a_model/model.gguf", set()),
    "model.package.sha256": ("0" * 64, set()),
    "model.folder": ("elsewhere", set()),
    "model.architecture.n_layer": (3, EVERYTHING),
    "model.seed": (1, EVERYTHING),
    "model.dtype": ("bfloat16", EVERYTHING),
    "workload.prompt_tokens": (9, FROM_PROMPT),
    "workload.prompt_seed": (1, FROM_PROMPT),
    # A seeded model takes no text.
    "workload.prompt_text": (None, set()),
    "workload.prompt_file": (None, set()),
    "workload.decode_steps": (4, FROM_PROMPT),
    "workload.rehearsals_at_most": (2, ALL_RUNS),
    "workload.rehearsals_agree_ratio": (1.5, ALL_RUNS),
    "workload.back_to_back_s": (1, ALL_RUNS),
    "workload.logits_to_keep": (0, ALL_RUNS),
    "workload.repeats": (
        {"local": 1, "naive": 2, "remote_cache": 1, "semantic": 2},
        measured("naive", repeats=[2]),
    ),
    "workload.stopping": ({"within_percent": 5, "at_most": 9}, ANALYSIS),
    "workload.order_seed": (1, set()),
    "modes": (["local", "semantic"], VERIFIED | ANALYSIS),
    "labels": ({"naive": "Blind"}, ANALYSIS),
    # They have files of their own, which no table is built from.
    "systems": ({"own": {"label": "Own", "command": ["own"]}}, set()),
    "worker.device": ("cuda", {"rpc_server"} | ALL_RUNS),
    "worker.engine": ("other", {"rpc_server"} | CHECKED | ALL_RUNS),
    "worker.compute_threads": (2, {"rpc_server"} | ALL_RUNS),
    "server.host": ("127.0.0.2", REMOTE_RUNS),
    "server.port": (29999, REMOTE_RUNS),
    "server.launch": ("external", REMOTE_RUNS),
    # Only where a link is made, as root.
    "server.link.rate_gbit": (None, set()),
    "server.link.mtu": (None, set()),
    "server.link.round_trip_ms": (None, set()),
    # Only where there is another machine.
    "server.ssh": (None, set()),
    "server.transport": ("tcp", REMOTE_RUNS),
    "server.idle_timeout_s": (10, REMOTE_RUNS),
    "server.start_timeout_s": (10, REMOTE_RUNS),
    "server.step_timeout_s": (10, REMOTE_RUNS),
    "server.client_poll_s": (0.001, REMOTE_RUNS),
    "capture.use": ("off", ALL_RUNS),
    "capture.interface": ("any", ALL_RUNS),
    "capture.interface_address": ("127.0.0.2", ALL_RUNS),
    "link.max_message_bytes": (2_000_000, set()),
    "link.rounds": (1, set()),
    "link.time_budget_s": (1, set()),
    "link.round_trips": (100, set()),
}


@contextlib.contextmanager
def another_engine(experiment):
    """The engine ``other``, for as long as the block lasts."""
    engines = experiment.folder / "scripts" / "semgap" / "engine"
    (engines / "other.py").write_text((engines / "eager.py").read_text())
    try:
        yield
    finally:
        (engines / "other.py").unlink()


def set_key(experiment, key, value):
    section, _, rest = key.partition(".")
    if not rest:
        experiment.configure(**{section: value})
        return
    values = experiment.config.get(section, {})
    *parents, last = rest.split(".")
    inner = values
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[last] = value
    experiment.configure(**{section: values})


def leaves(schema, prefix=""):
    """The configuration's keys, without those that hold others."""
    for name, described in schema["properties"].items():
        if "properties" in described:
            yield from leaves(described, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.fixture(scope="module")
def plans_of_code(finished):
    return PlansOfCode(finished)


def test_nothing_runs_again_without_a_change(finished):
    assert finished.planned() == set()
    output = finished.build()
    assert "Nothing to be done" in output


REWORDED = [
    ("semgap/pipeline/cli.py", "write all that is logged", "write whatever is logged"),
    ("store_weights.py", "writes this folder", "makes this folder"),
    ("benchmark.py", "writes the run record, last", "writes the record of the run, last"),
    (
        "semgap/errors.py",
        "class ClaimError",
        "class OtherError(SemgapError): ...\n\n\nclass ClaimError",
    ),
    ("semgap/model/sources.py", "wrote %s", "has written %s"),
    ("semgap/measurement/job_settings.py", "Steps of one token after", "Steps of a token after"),
]


def test_rewording_runs_nothing_again(finished):
    with contextlib.ExitStack() as edits:
        for name, old, new in REWORDED:
            file = finished.folder / "scripts" / name
            text = file.read_text()
            assert old in text, name
            edits.enter_context(edited(file, text.replace(old, new)))
        assert finished.planned() == set()


def test_every_module_and_key_is_covered(finished):
    scripts = finished.folder / "scripts"
    packages = {path for path in scripts.rglob("*.py") if path.read_text() == ""}
    files = {str(path.relative_to(scripts)) for path in set(scripts.rglob("*.py")) - packages}
    assert files == set(MODULES)
    assert {key.partition(".n_layer")[0] for key in KEYS} == set(leaves(config_schema())) - {
        "experiment",  # another name is another folder of results
        "model.weights",  # each kind of source has tests of its own
    }


@pytest.mark.parametrize("module", MODULES)
def test_a_change_of_code(plans_of_code, module):
    assert compared(plans_of_code.after(module), MODULES[module]) == (set(), set())


ERROR_TEXTS = {
    "The server hung up.": "server/control.py",
    "is missing or does not have the": "model/weights.py",
    "The session is closed.": "transport/torch_rpc.py",
    "tcpdump is not installed.": "measurement/tcpdump.py",
    "The session has no model yet.": "inference/worker.py",
}


def test_rewording_and_touching_change_nothing(finished):
    """Comments, docstrings, and what errors say."""
    texts = {}
    for path in (finished.folder / "scripts").rglob("*.py"):
        if old := path.read_text():
            reworded = old.replace('"""', '"""Or: ', 1).replace(
                'description="', 'description="Or: '
            )
            texts[path] = f"# A remark.\n{reworded}\n"
    for text, module in ERROR_TEXTS.items():
        path = finished.folder / "scripts" / "semgap" / module
        assert text in texts[path]
        texts[path] = texts[path].replace(text, f"{text} Or so.")
    with contextlib.ExitStack() as stack:
        for path, text in texts.items():
            stack.enter_context(edited(path, text))
        for path in (finished.folder / "workflow").rglob("*.smk"):
            path.touch()
        assert finished.planned() == set()


@pytest.mark.parametrize("key", KEYS)
def test_a_change_of_the_configuration(finished, key):
    value, expected = KEYS[key]
    with another_engine(finished), edited(finished.config_file, finished.config_file.read_text()):
        set_key(finished, key, value)
        assert differences(finished, expected) == (set(), set())


def test_a_changed_claim_is_judged_anew_and_nothing_measured(finished):
    path = finished.folder / "config" / "claims.yaml"
    with edited(path, path.read_text().replace("at_most: 1.5", "at_most: 1.6")):
        assert differences(finished, ANALYSIS) == (set(), set())
    assert finished.planned() == set()


def test_a_new_record_is_compared_with_and_nothing_measured(finished):
    comparison = "results/tiny/versus-reference.md"
    finished.build(comparison)
    records = finished.folder / "results" / "reference"
    shutil.copytree(records / "mini-tcp", records / "mini-again")
    try:
        assert finished.planned() == set()
        assert finished.planned(comparison) == {"compare_recorded"}
    finally:
        shutil.rmtree(records / "mini-again")
    assert finished.planned() == set()


def test_a_new_row_of_the_policy_table_reruns_no_old_mode(finished):
    path = finished.folder / "scripts" / "semgap" / "modes.py"
    row = '    Policy("other", Label("O"), WorkerPlace.SERVER, "resident", "inline"),\n'
    with edited(path, path.read_text().replace(")\n# fmt: on", f"{row})\n# fmt: on", 1)):
        assert finished.planned() == set()
        with edited(finished.config_file, finished.config_file.read_text()):
            repeats = {**REPEATS, "other": 1}
            finished.configure(modes=[*MODES, "other"], workload={"repeats": repeats})
            assert differences(finished, measured("other", repeats=[1])) == (set(), set())


def test_a_changed_row_reruns_its_own_mode(finished):
    path = finished.folder / "scripts" / "semgap" / "modes.py"
    text = path.read_text().replace(
        'Label("Semantic-Blind (Naive)")', 'Label("Semantic-Blind (Naive, changed)")'
    )
    with edited(path, text):
        assert differences(finished, ANALYSIS) == (set(), set())
    text = path.read_text()
    unchanged, naive, rest = text.partition('weights="inline", kv_cache="inline"')
    changed = f"{unchanged}{naive}, logit_tolerance=0.1{rest}"
    with edited(path, changed):
        assert differences(finished, measured("naive")) == (set(), set())


def test_a_deleted_result_is_made_again_alone(finished):
    path = finished.results / "runs" / "semantic" / "rep2.json"
    text, status = path.read_text(), path.stat()
    path.unlink()
    try:
        assert finished.planned() == measured("semantic", repeats=[2])
    finally:
        path.write_text(text)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert finished.planned() == set()


def test_a_vanished_server_invalidates_nothing(finished):
    (finished.results / "server" / "run-time.json").unlink()
    assert finished.planned() == set()
