"""A report in a real Chromium: on a phone and on a large screen, in the dark, by keyboard, on paper."""

import base64
import re
from dataclasses import replace

import pytest

from augkit import figures
from augkit.figures import Row, Tile
from augkit.report.evidence import Section
from augkit.report.page import write_report
from tests.chromium import Chromium, found
from tests.report.test_page import evidence, samples

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(found() is None, reason="no Chromium is installed (Debian: apt-get install chromium)"),
]

VISIBLE = "[...document.querySelectorAll('img.plot')].filter((one) => one.offsetParent).map((one) => one.className)"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    one = Chromium(tmp_path_factory.mktemp("downloads"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A report of four arms and four seeds, with a section as that about quality."""
    folder = tmp_path_factory.mktemp("report")
    table = [
        ["measure", "synthetic", "real, held out", "reads"],
        *([f"m{i}", "0.1", "0.2", "words " * 6] for i in range(15)),
    ]
    png = figures.gallery([Row("a", (Tile(samples(1, "x").images[0]),) * 8)])
    section = Section("Quality", ("Said.",), (("KID.", table),), (("kid", "pairs of images", png),), words=1)
    history = {"segmenter unet": [{"step": float(i), "loss": 1.0 / i} for i in range(1, 30)]}
    whole = replace(evidence(seeds=range(4)), sections=(section,))
    write_report(replace(whole, arms=tuple(replace(arm, history=history) for arm in whole.arms)), folder)
    return (folder / "report.html").as_uri()


@pytest.fixture
def page(chromium, address):
    chromium.errors.clear()
    chromium.resize(1280, 800)
    chromium.prefer("light")
    chromium.open("about:blank")
    chromium.open(address)
    yield chromium
    assert chromium.errors == []


@pytest.mark.parametrize("width", [360, 768, 1280, 2560])
def test_nothing_but_tables_and_galleries_is_wider_than_the_window(page, width):
    page.resize(width, 900)
    assert page.see("document.documentElement.scrollWidth") <= width
    page.see("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert page.see("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('.scroll')].some((one) => one.scrollWidth > one.clientWidth)"
    assert page.see(wide) == (width < 1280)


@pytest.mark.parametrize(("width", "scheme", "shown"), [
    (360, "light", "plot narrow light"), (360, "dark", "plot narrow dark"),
    (1280, "light", "plot wide light"), (1280, "dark", "plot wide dark"),
])  # fmt: skip
def test_one_variant_of_every_plot_is_seen(page, width, scheme, shown):
    page.resize(width, 800)
    page.prefer(scheme)
    assert page.see(VISIBLE) == [shown] * 4


def test_contents_lie_above_on_small_screens_and_beside_on_large_ones(page):
    box = "document.querySelector('{}').getBoundingClientRect()"
    beside = f"{box.format('nav')}.right <= {box.format('main')}.left"
    assert page.see(beside)
    page.resize(768, 800)
    assert not page.see(beside)
    page.see("scrollTo(0, 3000)")
    assert page.see(f"{box.format('nav')}.top") == 0


def test_the_keyboard_reaches_the_report_its_contents_tables_and_folds(page):
    seen = []
    while True:
        page.key("Tab")
        seen.append(page.see("document.activeElement.className || document.activeElement.tagName"))
        if seen[-1] == "BODY":
            break
        assert page.see("getComputedStyle(document.activeElement).outlineStyle") != "none", seen[-1]
    assert seen[0] == "skip"
    assert {"A", "scroll", "SUMMARY"} <= set(seen)
    page.see("document.querySelector('.skip').focus()")
    page.key("Enter")
    page.wait("document.activeElement.id === 'report'")


def test_a_dark_report_is_printed_light_on_at_most_six_pages_without_folds_and_galleries(page):
    page.prefer("dark")
    printed = base64.b64decode(page.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 6
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.call("Emulation.setEmulatedMedia", media="print", features=dark)
    assert page.see(VISIBLE) == ["plot wide light"] * 4
    assert (
        page.see(
            "[...document.querySelectorAll('details, nav, img:not(.plot)')].filter((one) => one.offsetParent).length"
        )
        == 0
    )
    assert page.see("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.call("Emulation.setEmulatedMedia", media="", features=[])
