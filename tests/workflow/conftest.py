"""Finished experiments, shared by the tests that only look at them."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from experiment import LINK_REPORTS, MODES, copy_project
from semgap.modes import POLICIES
from semgap.plumbing.tcp_sockets import free_port
from small_models import PROJECT, store_small_model


def at_the_same_time(*builds):
    """Do several things in threads; the first error is raised when all have ended."""
    with ThreadPoolExecutor() as pool:
        started = [pool.submit(build) for build in builds]
    for one in started:
        one.result()


@pytest.fixture(scope="session")
def experiments(tmp_path_factory):
    """A small experiment over each transport, built at the same time; one has link reports."""
    over_torch_rpc = copy_project(tmp_path_factory.mktemp("torch_rpc"))
    over_tcp = copy_project(tmp_path_factory.mktemp("tcp"))
    over_tcp.configure(
        workload={"repeats": 1},
        server={"transport": "tcp"},
        link={"max_message_bytes": 2_000_000, "rounds": 2, "round_trips": 100, "time_budget_s": 0},
    )
    at_the_same_time(
        over_torch_rpc.build, lambda: over_tcp.build("results/table.md", *LINK_REPORTS)
    )
    return {"torch_rpc": over_torch_rpc, "tcp": over_tcp}


@pytest.fixture(scope="session")
def finished(experiments):
    """A small experiment whose table is built; tests must leave it as it is."""
    return experiments["torch_rpc"]


@pytest.fixture(scope="session")
def over_tcp(experiments):
    """The same experiment over the other transport, with the reports on the link."""
    return experiments["tcp"]


@pytest.fixture(scope="session", params=["torch_rpc", "tcp"])
def each(request, experiments):
    """The experiment over each transport in turn."""
    return experiments[request.param]


@pytest.fixture(scope="session")
def extensions(finished, tmp_path_factory):
    """Two experiments with what docs/extend.md adds, built at the same time."""
    rows = finished.copy_to(tmp_path_factory.mktemp("rows"))
    modules = finished.copy_to(tmp_path_factory.mktemp("modules"))
    weights, _manifest = store_small_model("llama-grouped-query", tmp_path_factory.mktemp("model"))
    at_the_same_time(lambda: add_rows(rows), lambda: add_modules(modules, weights))
    return {"rows": rows, "modules": modules}


@pytest.fixture(scope="session")
def extended(extensions):
    """The experiment with rows and a placement added as docs/extend.md says, and further rows."""
    return extensions["rows"]


@pytest.fixture(scope="session")
def extended_further(extensions):
    """The experiment with one of everything else added as docs/extend.md says."""
    return extensions["modules"]


def add_rows(experiment):
    library = experiment.folder / "scripts" / "semgap"
    (mode,) = documented("A mode")
    placement, row = documented("A placement")
    (library / "placements" / "half_precision.py").write_text(placement)
    encoding, encoded_row = documented("An encoding")
    (library / "encodings" / "deflate.py").write_text(encoding)
    table = library / "modes.py"
    end = "\n)\n# fmt: on"
    assert end in table.read_text()
    table.write_text(table.read_text().replace(end, f"\n{mode}{row}{encoded_row}{end.lstrip()}"))
    added = ["delta", "token_only", "naive_with_deltas", "half", "deflated"]
    # The others wait for each reply, or send over tcp alone.
    added += [policy.mode for policy in POLICIES if policy.encoding or policy.mode == "op_sync"]
    experiment.configure(modes=[*MODES, *added], workload={"repeats": 1})
    benchmarks = {job for job in experiment.planned() if job.startswith("benchmark")}
    assert benchmarks == {f"benchmark:{mode}.1" for mode in added}
    experiment.build()


def add_modules(experiment, weights):
    for section, file in (
        ("A transport", "transport/pickled.py"),
        ("An engine", "engine/chunked.py"),
        ("A meter", "meters/page_faults.py"),
    ):
        (code,) = documented(section)
        (experiment.folder / "scripts" / "semgap" / file).write_text(code)
    (key,) = documented("A key of the configuration")
    with (experiment.folder / "scripts/semgap/inference/worker_settings.py").open("a") as section:
        section.write(key)
    report, line = documented("A report")
    analysis = experiment.folder / "scripts" / "semgap" / "analysis"
    (analysis / "reports" / "slowest.py").write_text(report)
    catalogue = (analysis / "catalogue.py").read_text()
    (analysis / "catalogue.py").write_text(
        catalogue.replace("REPORTS = {\n", f"REPORTS = {{\n{line}", 1)
    )
    (overlay,) = documented("A model", language="yaml")
    (experiment.folder / "config" / "my-model.yaml").write_text(overlay)
    shutil.copytree(weights, experiment.folder / "models" / "my-model")
    experiment.configure(
        modes=["local", "remote_cache", "delta"],
        workload={"repeats": 1},
        worker={"engine": "chunked", "nickname": "pad"},
        server={"transport": "pickled", "port": free_port("127.0.0.1")},
    )
    done = experiment.snakemake("--configfile", "config/default.yaml", "config/my-model.yaml")
    assert done.returncode == 0, done.stdout


def documented(section, language="python"):
    """The code in a section of docs/extend.md, block by block."""
    text = (PROJECT / "docs" / "extend.md").read_text()
    section_text = text[text.index(f"## {section}") :].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section_text, re.DOTALL)
