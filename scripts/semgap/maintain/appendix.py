"""The artifact appendix that committees ask for, two pages of LaTeX, made of docs/artifact.md.

Usage: appendix.py OUT
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from semgap.plumbing.markup import escaped_latex

PROJECT = Path(__file__).parents[3]
# Which sections, and of their tables which columns, by their numbers; others are left out.
_SECTIONS: Mapping[str, Sequence[Sequence[int]]] = {
    "In short": [(0, 1)],
    "Needed": [],
    "Getting started (10 minutes, of which 3 human)": [],
    "Experiments": [(0, 1, 2, 3), (0, 1, 3, 5)],
    "Claims, and what was seen": [(0, 1, 3, 5)],
    "Limits": [],
}
# A cell with more characters is broken into lines.
_LONG = 33
# Characters that pdflatex's fonts lack.
_WITHOUT_FONT = {"×": r"$\times$", "÷": r"$\div$", "–": "--", "“": "``", "”": "''", "…": r"\dots{}"}
_PREAMBLE = r"""\documentclass[9pt,twocolumn]{extarticle}
\usepackage[a4paper,margin=14mm,columnsep=6mm]{geometry}
\usepackage{booktabs,tabularx}
\usepackage[hyphens]{url}
\setlength{\parindent}{0pt}\setlength{\parskip}{2pt}\setlength{\tabcolsep}{2pt}
\newcolumntype{Y}{>{\raggedright\arraybackslash}X}
\makeatletter\def\verbatim@font{\ttfamily\scriptsize}\makeatother
\newcommand{\heading}[1]{\par\medskip\textbf{#1}\par}
\sloppy\raggedbottom\pagestyle{empty}
\begin{document}\small
"""


def appendix(document: str, cited: dict[str, str]) -> str:
    """The appendix as a LaTeX document.

    Args:
        document: docs/artifact.md.
        cited: CITATION.cff, for title and abstract.
    """
    parts = [
        _PREAMBLE,
        rf"{{\large\textbf{{Artifact appendix: {_text(cited['title'])}}}}}" "\n\n",
        f"{_text(cited['abstract'])}\n\n",
    ]
    for title, section in _sections(document):
        if title in _SECTIONS:
            parts += [rf"\heading{{{_text(title)}}}" "\n", *_blocks(section, _SECTIONS[title])]
    parts.append("\\end{document}\n")
    return "".join(parts)


def _sections(document: str) -> Iterator[tuple[str, str]]:
    for part in document.split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        yield title, text


def _blocks(text: str, columns: Sequence[Sequence[int]]) -> Iterator[str]:
    """LaTeX code of a section's paragraphs, lists, commands and tables."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    tables = iter(columns)
    rows: list[list[str]] = []
    in_cell = False
    for token in tokens:
        match token.type:
            case "bullet_list_open":
                yield "\\begin{itemize}\\setlength{\\itemsep}{0pt}\\setlength{\\parskip}{0pt}\n"
            case "bullet_list_close":
                yield "\\end{itemize}\n"
            case "list_item_open":
                yield "\\item "
            case "table_open":
                rows = []
            case "tr_open":
                rows.append([])
            case "th_open" | "td_open":
                in_cell = True
            case "th_close" | "td_close":
                in_cell = False
            case "inline" if in_cell:
                rows[-1].append(_inline(token))
            case "inline":
                yield f"{_inline(token)}\n\n"
            case "code_block" | "fence":
                yield f"\\begin{{verbatim}}\n{token.content}\\end{{verbatim}}\n"
            case "table_close":
                if (chosen := next(tables, None)) is not None:
                    yield _table([[row[index] for index in chosen] for row in rows])


def _table(rows: Sequence[Sequence[str]]) -> str:
    """As wide as a column of the page: columns with long cells share what the others leave."""
    longest = [
        max(len(cell.replace(r"\texttt{", "")) for cell in column)
        for column in zip(*rows, strict=True)
    ]
    widths = "".join("Y" if length > _LONG else "l" for length in longest)
    lines = " \\\\\n".join(" & ".join(row) for row in rows)
    return (
        f"\n{{\\scriptsize\\begin{{tabularx}}{{\\columnwidth}}{{{widths}}}\n{lines} \\\\\n"
        "\\end{tabularx}}\n\n"
    )


def _inline(token: Token) -> str:
    """LaTeX code of a line of text; links are their texts."""
    parts = []
    for child in token.children or ():
        match child.type:
            case "code_inline":
                parts.append(rf"\texttt{{{_text(child.content)}}}")
            case "softbreak":
                parts.append(" ")
            case "em_open" | "strong_open":
                parts.append(r"\emph{")
            case "em_close" | "strong_close":
                parts.append("}")
            case "text":
                parts.append(_text(child.content))
    return "".join(parts)


def _text(text: str) -> str:
    escaped = escaped_latex(text)
    for character, code in _WITHOUT_FONT.items():
        escaped = escaped.replace(character, code)
    return escaped


if __name__ == "__main__":
    described = (PROJECT / "docs" / "artifact.md").read_text(encoding="utf-8")
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    Path(sys.argv[1]).write_text(appendix(described, citation), encoding="utf-8")
