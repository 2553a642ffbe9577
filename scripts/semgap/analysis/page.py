"""All reports and figures of an experiment as one page that needs nothing beside it."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
nav a { margin-right: 1rem; white-space: nowrap; }
.scrolls { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
th, td { border-bottom: 1px solid #8886; padding: .25rem .6rem; vertical-align: top; }
figure { display: inline-block; vertical-align: top; margin: 1rem 1rem 1rem 0; width: 26rem; }
figure, figure img { max-width: 100%; } figure img { width: 100%; }
figcaption { font-size: .9rem; }
@media (max-width: 40rem) { table { font-size: .66rem; } th, td { padding: .2rem .2rem; } }
@media (prefers-color-scheme: dark) { figure img { filter: invert(.9) hue-rotate(180deg); } }
.from { font-size: .85rem; opacity: .75; }
code { overflow-wrap: anywhere; } td[style*="right"], td code { white-space: nowrap; }
"""


@dataclass(frozen=True)
class Section:
    """A part of the page, from files of the experiment's folder.

    Attributes:
        title: its heading; a file's own is left out where it says the same.
        files: Markdown is rendered, SVG embedded; each with a caption, which a figure shows.
        said: what is said before them, as Markdown.
    """

    title: str
    files: Sequence[tuple[Path, str]]
    said: str = ""


def page(title: str, sections: Sequence[Section]) -> str:
    """HTML without a script and without a reference to any other file."""
    render = MarkdownIt("commonmark").enable("table")
    links = " ".join(
        f'<a href="#s{number}">{html.escape(section.title)}</a>'
        for number, section in enumerate(sections)
    )
    parts = [
        f'<section id="s{number}"><h2>{html.escape(section.title)}</h2>'
        + str(render.render(section.said))
        + "".join(_part(*one, section.title, render) for one in section.files)
        + "</section>"
        for number, section in enumerate(sections)
    ]
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<nav>{links}</nav>
{"".join(parts)}
</body>
</html>
"""


def _part(file: Path, caption: str, title: str, render: MarkdownIt) -> str:
    source = f'<p class="from">From <code>{html.escape(str(file))}</code></p>'
    if file.suffix == ".svg":
        content = base64.b64encode(file.read_bytes()).decode()
        said = html.escape(caption)
        return (
            f'<figure><img alt="{said or html.escape(title)}" '
            f'src="data:image/svg+xml;base64,{content}"><figcaption>{said}{source}</figcaption>'
            "</figure>"
        )
    body = _lowered(str(render.render(file.read_text(encoding="utf-8"))))
    return body.removeprefix(f"<h3>{html.escape(title)}</h3>") + source


def _lowered(body: str) -> str:
    """Headings below the section's own, and tables that scroll by themselves."""
    for level in (4, 3, 2, 1):
        body = body.replace(f"<h{level}>", f"<h{level + 2}>")
        body = body.replace(f"</h{level}>", f"</h{level + 2}>")
    body = body.replace("<table>", '<div class="scrolls"><table>')
    return body.replace("</table>", "</table></div>")
