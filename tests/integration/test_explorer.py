"""The page of a sweep, in a browser: its numbers are the law's, at any size, by keys and ears."""

import itertools
from dataclasses import replace

import pytest

from browser import browser
from judges import needs
from recorded import sweep_of
from semgap.analysis.scaling.explorer import explorer
from semgap.analysis.scaling.findings import findings_of
from semgap.analysis.scaling.points import Link
from semgap.analysis.scaling.shapes import read_shapes
from small_models import PROJECT

pytestmark = needs("chromium")

SHAPES = read_shapes(PROJECT / "config" / "models" / "shapes.yaml")
ROWS = """
[...document.querySelectorAll("tbody tr")].map((row) => [row.dataset.mode,
  ...[...row.querySelectorAll("td")].map((cell) =>
    cell.dataset.value === "" ? null : Number(cell.dataset.value))])
"""


@pytest.fixture(scope="module")
def found():
    return findings_of("links", sweep_of("mini-links"))


@pytest.fixture(scope="module")
def address(found, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "explorer.html"
    file.write_text(explorer(found, SHAPES), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def afresh(page, address):
    """Open a page that is not open: another fragment of the same one would load nothing."""
    page.open("about:blank")
    page.open(address)


def test_its_numbers_are_the_laws(page, address, found):
    models = (0, found.shape), (4, SHAPES[3])
    asked = itertools.product(models, (0.25, 40), (0.1, 30), (128, 8192), (1, 8), (0, 1))
    for (model, shape), rate, delay_ms, tokens, sequences, ideal in asked:
        afresh(
            page,
            f"{address}#model={model}&rate={rate}&roundTrip={delay_ms}&context={tokens}"
            f"&sequences={sequences}&tokens=50&ideal={ideal}",
        )
        law = replace(found, law=found.law.with_ideal_hosts()) if ideal else found
        rows = {mode: numbers for mode, *numbers in page.run(ROWS)}
        assert rows.keys() == found.labels.keys()
        link = Link(rate, delay_ms)

        def step_s(mode, phase, law=law, at=(shape, tokens, link, sequences)):
            return law.step_s((mode, phase), *at)

        for mode, (decode_s, ratio, moved, prefill_s, all_s, near_from) in rows.items():
            assert decode_s == pytest.approx(step_s(mode, "decode"), rel=1e-9)
            assert prefill_s == pytest.approx(step_s(mode, "prefill"), rel=1e-9)
            assert ratio == pytest.approx(decode_s / step_s("local", "decode"), rel=1e-9)
            assert all_s == pytest.approx(prefill_s + 49 * decode_s, rel=1e-9)
            if mode != "local":
                assert moved == found.load("decode", mode, shape, tokens, sequences).crossing_bytes
                expected = law.rate_from_which_near(mode, shape, tokens, delay_ms, sequences)
                assert near_from == (expected if expected is None else pytest.approx(expected))
        assert list(rows) == sorted(rows, key=lambda mode: rows[mode][0]), "the fastest is first"


@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_and_asks_nobody(page, address, width):
    page.said.clear()
    page.asked.clear()
    page.open(address, width)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("document.querySelectorAll('svg path').length") == 4
    boxes = page.run(
        "[...document.querySelectorAll('input, select')].map((one) => one.getBoundingClientRect())"
        ".map((box) => [box.left, box.right, box.height])"
    )
    assert all(left >= 0 and right <= width and height >= 16 for left, right, height in boxes)
    assert page.said == []
    assert {one.split("#")[0] for one in page.asked if not one.startswith("data:")} == {address}


def test_measured_points_are_shown_where_they_were_measured(page, address):
    dots = "document.querySelectorAll('circle.measured').length"
    afresh(page, f"{address}#model=0&roundTrip=0.1&context=128")
    assert page.run(dots) >= 4 * 4
    afresh(page, f"{address}#model=1")
    assert page.run(dots) == 0


def test_keys_alone_move_it_and_it_is_read_aloud(page, address):
    afresh(page, f"{address}#rate=1&model=0")
    heard = page.heard()
    names = {name for role, name in heard if role in ("slider", "combobox", "Combobox", "checkbox")}
    for knob in ("Model", "Rate of the link", "Round trip", "Tokens before", "Hosts keep up"):
        assert any(name.startswith(knob) for name in names), (knob, heard)
    before = page.run("[document.getElementById('said').textContent, location.hash]")
    page.press("Tab", 9)
    page.press("Tab", 9)
    assert page.run("document.activeElement.id") == "rate"
    page.press("ArrowRight", 39)
    after = page.run("[document.getElementById('said').textContent, location.hash]")
    assert "Over 1 Gbit/s" in before[0]
    assert "Over 1.12 Gbit/s" in after[0]
    assert "rate=1.12" in after[1]
    assert page.run("document.getElementById('rate').getAttribute('aria-valuetext')") == (
        "1.12 Gbit/s"
    )
    assert any("Over 1.12 Gbit/s" in name for _role, name in page.heard())
