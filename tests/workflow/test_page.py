"""The report as a reviewer opens it: offline, on a phone or a desk, in light and dark."""

import html
import json
import re
import subprocess
from html.parser import HTMLParser

import pytest

from judges import needs
from patience import PATIENCE_S
from semgap.analysis.catalogue import FIGURES

SIZES = {"phone": (390, 844), "desk": (1440, 900)}
# Blink's numbers for prefers-color-scheme.
SCHEMES = {"dark": 0, "light": 1}
# Written into the page by the test alone: what is laid out, as the browser sees it.
PROBE = """
<script>
addEventListener("load", () => {
  const wide = [...document.querySelectorAll("section table, figure img")];
  const seen = wide.map((one) => {
    const box = one.getBoundingClientRect();
    return {
      tag: one.tagName,
      width: box.width,
      height: box.height,
      natural: one.naturalWidth ?? 1,
      inside: one.tagName !== "IMG" || box.right <= innerWidth,
    };
  });
  const style = getComputedStyle(document.body);
  parent.document.body.dataset.probe = JSON.stringify({
    width: innerWidth,
    overflow: document.documentElement.scrollWidth - innerWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    ink: style.color,
    asked: performance.getEntriesByType("resource").map((one) => one.name)
      .filter((name) => !name.startsWith("data:") && !name.startsWith("blob:")),
    seen,
  });
});
</script>
"""


@pytest.fixture(scope="module")
def page(finished):
    finished.build("report")
    return finished.folder / "results" / "report.html"


def framed(text, width, height):
    """A page in a frame of that size: a browser's window cannot be as narrow as a phone."""
    size = f'width="{width}" height="{height}" style="border: 0"'
    return f'<body style="margin: 0"><iframe {size} srcdoc="{html.escape(text)}"></iframe></body>'


def opened(text, folder, *flags, size=None):
    """What a browser makes of a page, and what its console says."""
    probed = folder / "probed.html"
    # The last one: scripts may speak of it.
    before, end, after = text.rpartition("</body>")
    text = f"{before}{PROBE}{end}{after}"
    probed.write_text(framed(text, *size) if size else text)
    done = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *(f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr"),
            *("--virtual-time-budget=5000", *flags, "--dump-dom", probed.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    written = re.search(r'data-probe="([^"]*)"', done.stdout)[1]
    found = json.loads(html.unescape(written))
    # The browser's own pages speak, too, of a slow machine for example.
    said = [
        line
        for line in done.stderr.splitlines()
        if ":CONSOLE:" in line and "source: chrome://" not in line
    ]
    return done.stdout, found, said


class References(HTMLParser):
    """What a page refers to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, _tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href")]


def test_the_page_has_every_report_and_figure(page, finished):
    text = page.read_text()
    for title in (
        "What was found",
        "What is claimed",
        "What was run, and what the data support",
        "Where the time goes",
        "What crosses",
        "Where the numbers come from",
        "The link",
    ):
        assert f"<h2>{title}</h2>" in text
    reports = (
        "found",
        "notes",
        "modes",
        "claims",
        "versus-reference",
        "traffic",
        "stats",
        "provenance",
    )
    for file in (f"{name}.md" for name in reports):
        assert f"From <code>results/tiny/{file}</code>" in text
    assert "snakemake --cores 1 results/tiny/link.html" in text
    # Each row of the table, as it stands there.
    first = (finished.results / "table.md").read_text().splitlines()[2]
    cells = [cell.strip() for cell in first.strip("|").split("|")]
    assert all(f">{cell}</td>" in text for cell in cells)
    assert text.count("data:image/svg+xml;base64,") == text.count("</figcaption>") == len(FIGURES)
    references = References()
    references.feed(text)
    assert all(one.startswith(("#", "data:")) for one in references.found)
    # What was found comes before how, and one page is the experiment's and the last one's.
    assert text.index("Latency (s)") < text.index("<figure>") < text.index("Farthest apart")
    assert (finished.results / "report.html").read_text() == text
    for name in FIGURES:
        for form in ("svg", "pdf", "png"):
            assert (finished.results / "figures" / f"{name}.{form}").stat().st_size > 1000


@needs("chromium")
@pytest.mark.parametrize(("width", "scheme"), [("phone", "dark"), ("desk", "light")])
def test_a_browser_shows_tables_and_figures_and_asks_nobody(page, width, scheme, tmp_path):
    _document, found, said = opened(
        page.read_text(),
        tmp_path,
        "--window-size=1500,1000",
        f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
        size=SIZES[width],
    )
    assert found["width"] == SIZES[width][0]
    assert said == found["asked"] == []
    assert found["overflow"] <= 0
    assert found["dark"] == (scheme == "dark")
    lightness = sum(map(int, re.findall(r"\d+", found["ink"])[:3]))
    assert (lightness > 380) == (scheme == "dark")
    tags = [one["tag"] for one in found["seen"]]
    assert tags.count("IMG") == len(FIGURES)
    assert tags.count("TABLE") >= 8
    for one in found["seen"]:
        assert min(one["width"], one["height"], one["natural"]) > 0, one
        assert one["inside"], one


@needs("chromium")
def test_the_browser_would_tell_of_a_request_and_an_error(tmp_path):
    bad = '<body><img src="http://127.0.0.1:1/x.png"><script>throw Error("no")</script></body>'
    _document, found, said = opened(bad, tmp_path)
    assert found["asked"] == ["http://127.0.0.1:1/x.png"]
    assert any("Uncaught Error: no" in line for line in said)
