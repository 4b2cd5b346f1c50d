"""The skeleton that all pages share: its colours, its contents, its templates."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

import augkit
from augkit.report.skeleton import with_contents

TEMPLATES = Path(augkit.__file__).parent / "report" / "templates"
STYLE = (TEMPLATES / "style.css.j2").read_text("utf-8")
WORDS, PAPERS = ("ink", "soft", "accent", "good", "warn"), ("paper", "panel")


def colours(scheme):
    """Return the colours of the style sheet by name; those of dark pages replace some of the light ones."""
    light, dark = (block for block in re.findall(r":root \{(.*?)\}", STYLE, re.S))
    found = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", light))
    return found | dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", dark)) if scheme == "dark" else found


def luminance(colour):
    """Return the relative luminance of WCAG 2.2."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_of_every_colour_can_be_read_on_every_paper(scheme):
    found = colours(scheme)
    ratios = {}
    for words, paper in product(WORDS, PAPERS):
        ends = sorted((luminance(found[words]) + 0.05, luminance(found[paper]) + 0.05))
        ratios[words, paper] = ends[1] / ends[0]
    assert {pair: round(ratio, 2) for pair, ratio in ratios.items() if ratio < 4.5} == {}


def test_dark_pages_have_their_own_words_and_papers():
    light, dark = colours("light"), colours("dark")
    assert [name for name in (*WORDS, *PAPERS) if light[name] == dark[name]] == []


def test_the_style_sheet_loads_nothing_and_names_each_word_colour_once():
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    outside = re.sub(r":root \{.*?\}", "", STYLE, flags=re.S)
    assert set(re.findall(r"#[0-9a-f]{6}", outside)) <= {"#ffffff", "#101014"}  # under a plot, and around an outline


def test_every_page_stands_on_the_one_skeleton():
    for page in ("report", "comparison", "search"):
        assert (TEMPLATES / f"{page}.html.j2").read_text("utf-8").startswith('{% extends "base.html.j2" %}')
    assert [file.name for file in TEMPLATES.iterdir() if "<html" in file.read_text("utf-8")] == ["base.html.j2"]


def test_contents_are_the_sections_of_a_page_with_an_anchor_each():
    found = with_contents(Markup('<h2>Scores &amp; more</h2><h3>no</h3><h2 id="mine">Mine</h2><h2>Scores more</h2>'))
    assert found.entries == (("scores-more", "Scores &amp; more"), ("mine", "Mine"), ("scores-more-2", "Scores more"))
    anchors = re.findall(r'<h2 id="(.*?)">', found.body)
    assert anchors == [anchor for anchor, _ in found.entries]
    assert "<h3>no</h3>" in found.body
