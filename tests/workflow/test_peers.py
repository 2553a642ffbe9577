"""Systems of somebody else's in a whole experiment: one that works, and others that fail alone."""

import csv
import shutil

import pytest
import yaml

from conftest import documented
from experiment import DECODE_STEPS
from judges import needs

BROKEN = {
    "crash": "import sys; sys.exit(3)",
    "nonsense": "input(); print('hello', flush=True); input()",
    "hang": "import time; time.sleep(1000)",
}

pytestmark = needs("tcpdump")


@pytest.fixture(scope="module")
def peers(finished, tmp_path_factory):
    """The experiment with the system of docs/extend.md, a wrong one, and broken ones."""
    experiment = finished.copy_to(tmp_path_factory.mktemp("peers"))
    own = experiment.folder / "my_system.py"
    shutil.copyfile(experiment.folder / "examples" / "own_system" / "system.py", own)
    (text,) = documented("A system of somebody else's", language="yaml")
    systems = yaml.safe_load(text)["systems"]
    wrong = own.read_text().replace("int(LOGITS[-1].argmax())", "0")
    (experiment.folder / "wrong.py").write_text(wrong)
    server = ["python", "wrong.py", "serve", "{host}", "{port}"]
    systems["wrong"] = {"label": "wrong", "command": ["python", "wrong.py"], "server": server}
    for name, program in BROKEN.items():
        command = ["python", "-c", program]
        timeout_s = 2 if name == "hang" else 100
        systems[name] = {"label": name, "command": command, "reply_timeout_s": timeout_s}
    experiment.configure(systems=systems)
    tables = [experiment.results / name for name in ("table.md", "summary.csv")]
    before = [table.read_bytes() for table in tables]
    experiment.build("results/table.md", "results/tiny/peers.md")
    assert [table.read_bytes() for table in tables] == before
    return experiment


def test_the_system_of_the_documentation_is_a_row(peers):
    text = (peers.results / "peers.md").read_text()
    assert text.count("| *My System*") == 3
    with (peers.results / "peers.csv").open(newline="") as file:
        rows = {(row["phase"], row["system"]): row for row in csv.DictReader(file)}
    own, semantic = rows["decode", "mine"], rows["decode", "semantic"]
    assert float(own["round_trips"]) == float(semantic["round_trips"]) == 1
    # Both are PyTorch RPC with one token up and its logits down.
    assert abs(float(own["network_bytes"]) - float(semantic["network_bytes"])) < 2048 * DECODE_STEPS
    assert float(own["logit_difference"]) <= float(own["logit_tolerance"])
    assert "Largest difference of a logit from Local's" in text
    assert "weights once (1.0" in own["on_the_wire"]
    assert "weights once (1.0" in semantic["on_the_wire"]
    assert "weights with each step" in rows["decode", "naive"]["on_the_wire"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong", "token 0 instead of"),
        ("crash", "exited with status 3 when it was asked 'describe'"),
        ("nonsense", "answered 'describe' with 'hello', which is no reply"),
        ("hang", "did not answer 'describe' within 2 s"),
    ],
)
def test_a_broken_system_fails_alone_with_a_message(peers, name, said):
    text = (peers.results / "peers.md").read_text()
    failed = text.partition("## Failed")[2]
    (line,) = (line for line in failed.splitlines() if line.startswith(f"- *{name}*"))
    assert said in line
    assert f"| *{name}*" not in text


def test_nothing_is_measured_again_and_what_changed_is(peers):
    assert peers.planned("results/tiny/peers.md") == set()
    systems = peers.config["systems"]
    judged = systems | {"mine": systems["mine"] | {"label": "Mine", "logit_tolerance": 0.5}}
    peers.configure(systems=judged)
    assert peers.planned("results/tiny/peers.md") == {"report_systems"}
    peers.configure(systems=systems)
    program = peers.folder / "my_system.py"
    program.write_text(program.read_text() + "\n")
    planned = peers.planned("results/tiny/peers.md")
    assert planned == {"measure_system", "report_systems"}
