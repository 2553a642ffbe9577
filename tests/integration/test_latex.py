"""The table for a paper, as LaTeX sets it."""

import re
import subprocess

import pytest
import yaml

from judges import needs
from sample_table import LABELS, rendered
from semgap.analysis.claims import load_claims
from semgap.analysis.reports.table import latex
from semgap.maintain.appendix import appendix
from semgap.policy import Label
from small_models import PROJECT

SPECIAL = Label(r"a|b & c % $ # _x_ ~ ^ {y} \z \\ <f> \" ` -- ±é")


@needs("pdflatex")
@pytest.mark.parametrize("labels", [LABELS, {**LABELS, "naive": SPECIAL}], ids=["own", "special"])
def test_the_latex_table_compiles(tmp_path, labels):
    document = (
        r"\documentclass{article}\usepackage{booktabs}\newcommand{\sys}{System}"
        r"\begin{document}" + latex(rendered(labels)) + r"\end{document}"
    )
    compiled(document, tmp_path)


def compiled(document, folder):
    """What LaTeX says of a document, which it must set."""
    (folder / "paper.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@needs("pdflatex")
def test_the_artifact_appendix_has_two_pages_at_most_with_each_claim_and_experiment(tmp_path):
    described = (PROJECT / "docs" / "artifact.md").read_text(encoding="utf-8")
    cited = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    document = appendix(described, cited)
    said = compiled(document, tmp_path)
    pages = re.search(r"Output written on paper.pdf \((\d) pages?,", said)
    assert 1 <= int(pages[1]) <= 2
    assert all(float(points) < 15 for points in re.findall(r"Overfull .hbox \(([0-9.]+)pt", said))
    for claim in load_claims(PROJECT / "config" / "claims.yaml"):
        assert re.search(rf"^{claim.id} & ", document, re.MULTILINE)
    assert set(re.findall(r"^\| (E\d+) \|", described, re.MULTILINE)) <= set(
        re.findall(r"^(E\d+) & ", document, re.MULTILINE)
    )
