"""The table for a paper, as LaTeX sets it."""

import subprocess

import pytest

from judges import needs
from sample_table import LABELS, rendered
from semgap.analysis.reports.table import latex
from semgap.policy import Label

SPECIAL = Label(r"a|b & c % $ # _x_ ~ ^ {y} \z \\ <f> \" ` -- ±é")


@needs("pdflatex")
@pytest.mark.parametrize("labels", [LABELS, {**LABELS, "naive": SPECIAL}], ids=["own", "special"])
def test_the_latex_table_compiles(tmp_path, labels):
    document = (
        r"\documentclass{article}\usepackage{booktabs}\newcommand{\sys}{System}"
        r"\begin{document}" + latex(rendered(labels)) + r"\end{document}"
    )
    (tmp_path / "paper.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
