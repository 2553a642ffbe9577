"""What a table's numbers depend on: what runs share, and what differs between them."""

from msgspec.structs import replace

from sample_runs import PROVENANCE, run
from sample_table import recorded
from semgap.analysis.reports.provenance import provenance_markdown


def rows_of(text, heading):
    """Cells of the table under a heading."""
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_what_runs_share_is_said_once_and_what_differs_is_listed():
    changed = replace(PROVENANCE, dirty=True, packages={"torch": "2.13.0"})
    runs = [run("local"), run("semantic", provenance=changed)]
    shared = dict(rows_of(provenance_markdown(recorded(*runs)), "What the runs share"))
    assert shared["Commit"] == "0123456789abcdef"
    assert shared["Changed since the commit"] == "no; yes"
    assert shared["Clock source"] == "tsc"
    assert shared["Transport"] == "in\\_process; torch\\_rpc"
    assert shared["torch"] == "none; 2.13.0"
    assert shared["GPU"] == "none"
    assert "GPU partitioned" not in shared


def test_runs_stand_in_the_order_in_which_they_were_measured():
    later, earlier = run("semantic", 2), run("local", 1, logits_sha256="ab" * 32)
    rows = rows_of(provenance_markdown(recorded(later, earlier)), "Each run")
    assert [row[:3] for row in rows] == [
        ["1970-01-01 00:33:20", "local", "1"],
        ["1970-01-01 01:11:40", "semantic", "2"],
    ]
    assert [row[6] for row in rows] == ["`abababababab`", "–"]
