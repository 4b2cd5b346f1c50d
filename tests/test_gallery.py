"""The reports in docs/gallery: small, without a network, and as today's reports are built."""

import importlib
import os
import re
import sys
from pathlib import Path

import pytest

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
SMALLER = {
    "phantom": ["dataset.phantom.train=12", "dataset.phantom.test=12", "dataset.phantom.size=32"],
    "nuclei": ["dataset.folder.size=32"],
    "isic2017-64": ["dataset.isic.size=32", "training_share=0.02"],
}


@pytest.fixture
def build(monkeypatch):
    """The script, imported as running it does."""
    monkeypatch.syspath_prepend(GALLERY)
    yield importlib.import_module("build")
    for name in ("build", "packing"):
        sys.modules.pop(name, None)


def stored(name):
    return (GALLERY / f"{name}.html").read_text(encoding="utf-8")


def test_the_gallery_is_small_and_complete(build):
    assert {file.stem for file in GALLERY.glob("*.html")} == set(build.DATA) == set(SMALLER)
    assert sum(file.stat().st_size for file in GALLERY.glob("*.html")) < 1_500_000


@pytest.mark.parametrize("name", SMALLER)
def test_a_page_of_the_gallery_needs_no_network_and_names_no_place_of_a_machine(name):
    page = stored(name)
    assert not re.findall(r'(?:src|href|srcset)="(?!data:image/webp;base64,|#)', page)
    assert "<script" not in page
    assert not re.search(r"/(?:home|root|tmp|work)/", page)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SMALLER)
def test_a_page_of_the_gallery_is_built_as_reports_are_today(name, build, tmp_path):
    if name != "phantom" and not os.environ.get("AUGKIT_DATA"):
        pytest.skip("AUGKIT_DATA is not set: the images of this report are not here")
    smaller = [*SMALLER[name], "segmenter.unet.width=2"]
    report = build.train(name, tmp_path, smaller, steps=2, epochs=1)
    packing = importlib.import_module("packing")
    today = packing.structure((report / "report.html").read_text(encoding="utf-8"))
    assert packing.structure(stored(name)) == today, f"run python docs/gallery/build.py {name}"
    assert packing.structure(packing.packed(report)) == today
