"""The table for a paper, as LaTeX sets it."""

from __future__ import annotations

import subprocess

from judges import needs
from sample_table import rendered
from semgap.table import latex


@needs("pdflatex")
def test_the_latex_table_compiles(tmp_path):
    document = (
        r"\documentclass{article}\usepackage{booktabs}\newcommand{\sys}{System}"
        r"\begin{document}" + latex(*rendered()) + r"\end{document}"
    )
    (tmp_path / "paper.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
