"""The page of ``augkit paint`` in a real Chromium: what somebody with a mouse, a finger or a keyboard does."""

import json
import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from augkit.images import encode_png
from tests.chromium import Chromium, found

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(found() is None, reason="no Chromium is installed (Debian: apt-get install chromium)"),
]

CELLS = """(() => { const kept = JSON.parse(sessionStorage.getItem(Object.keys(sessionStorage)[0]));
    return kept && atob(kept.cells).split('').map((c) => c.charCodeAt(0)); })()"""
IMAGE = """(() => { const c = document.getElementById('image');
    const pixels = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    return Array.from(pixels).reduce((hash, value) => (hash * 31 + value) | 0, 7); })()"""
PAINTED = "document.body.dataset.painted !== undefined && document.body.dataset.painted"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    one = Chromium(tmp_path_factory.mktemp("downloads"))
    yield one
    one.close()


@pytest.fixture
def page(chromium, served):
    """The page, opened anew, with a first picture."""
    chromium.errors.clear()
    chromium.resize(1300, 900)
    chromium.prefer("light")
    chromium.open(served.address)
    chromium.see("sessionStorage.clear()")
    chromium.open("about:blank")
    chromium.open(served.address)
    chromium.wait(PAINTED)
    rested(chromium)
    yield chromium
    errors = list(chromium.errors)
    chromium.open("about:blank")
    assert errors == []


def cells(page):
    return np.array(page.see(CELLS), np.uint8).reshape(32, 32)


def rested(page):
    """Wait until all that was asked for is shown."""
    page.wait("document.body.dataset.rested === document.body.dataset.version")


def newly_painted(page, before):
    page.wait(f"document.body.dataset.painted > {before}")
    rested(page)


def shown(page):
    return page.see(f"Number({PAINTED})"), page.see(IMAGE)


def text(page, selector):
    return page.see(f"document.querySelector({json.dumps(selector)}).textContent")


def test_a_stroke_is_painted_while_it_is_drawn_and_undone_and_redone(page):
    mask, (version, image) = cells(page), shown(page)
    assert mask.any(), "the page never begins empty"
    page.drag("#mask", (0.1, 0.1), (0.5, 0.12), (0.9, 0.1))
    newly_painted(page, version)
    drawn = cells(page)
    assert drawn[3, 3:28].all()
    assert shown(page)[1] != image
    assert " ms, of which painting " in text(page, "#pace")
    assert "the bytes of a run" in text(page, "#pace")
    page.click("#undo")
    newly_painted(page, shown(page)[0])
    assert np.array_equal(cells(page), mask)
    page.see("document.querySelector('#mask').blur()")
    page.drag("#undo", (-2.0, -0.2), (-2.1, -0.2))  # the pointer away from the canvases, whose ring is drawn
    page.key("z", control=True, shift=True)
    page.wait(f"({CELLS}).join() === '{','.join(map(str, drawn.ravel()))}'")


def test_strokes_work_on_the_image_and_the_eraser_and_fill_do_what_they_say(page):
    page.click("#clear")
    page.drag("#image", (0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2))
    ring = cells(page)
    assert ring.any()
    assert not ring[16, 16]
    page.click('input[value="fill"]')
    page.click("#mask")
    filled = cells(page)
    assert filled[16, 16]
    assert not filled[0, 0]
    page.click('input[value="eraser"]')
    page.drag("#mask", (0.5, 0.3), (0.5, 0.7))
    assert not cells(page)[16, 16]
    rested(page)


def test_generators_keys_and_views_change_what_is_shown(page):
    version, first = shown(page)
    page.click('input[name="generator"][value="1"]')
    newly_painted(page, version)
    assert text(page, "#painted-by") == "Image, by noise"
    version, second = shown(page)
    assert second != first
    page.click('input[name="generator"][value="0"]')
    newly_painted(page, version)
    version, again = shown(page)
    assert again == first, "the same mask and key are the same picture"
    page.click("#again")
    newly_painted(page, version)
    assert page.see("document.getElementById('number').value") == "1"
    assert page.see("document.querySelectorAll('#strip button').length") == 4
    assert page.see("document.querySelector('#strip [aria-pressed=true]').title") == "image 1"
    page.click("#strip button:first-child")
    newly_painted(page, shown(page)[0])
    assert shown(page)[1] == first
    page.click('input[name="view"][value="mask"]')
    mask = shown(page)[1]
    assert mask != first
    x, y = page.place("#compare", 0.5, 0.5)
    page.mouse("mousePressed", x, y)
    assert shown(page)[1] not in (mask, first)
    page.mouse("mouseReleased", x, y)
    assert shown(page)[1] == mask


def test_sources_and_sliders_bring_masks(page):
    before = cells(page)
    page.click('[data-source="training"]')
    page.wait(f"({CELLS}).join() !== '{','.join(map(str, before.ravel()))}'")
    page.click('[data-source="pca"]')
    page.wait("!document.getElementById('weights').hidden")
    drawn = cells(page)
    page.see(
        "(() => { const s = document.querySelector('#weights input'); s.value = 2.5;"
        " s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')); })()"
    )
    page.wait(f"({CELLS}).join() !== '{','.join(map(str, drawn.ravel()))}'")
    assert text(page, "#weights output") == "2.5"
    page.click("#undo")
    page.wait(f"({CELLS}).join() === '{','.join(map(str, drawn.ravel()))}'")
    rested(page)


def test_it_says_honestly_how_good_the_image_is(page):
    assert "The recipe's segmenter finds the mask in the image to " in text(page, "#adherence")
    assert "Like training masks" in text(page, "#alike")
    assert "Nearest training image: phantom-train-" in text(page, "#nearest-said")
    assert page.see("document.getElementById('nearest').width") == 32
    page.click("#clear")
    page.drag("#mask", (0.05, 0.5), (0.95, 0.5))
    newly_painted(page, 0)
    page.wait("document.getElementById('alike').textContent.startsWith('Unlike any training mask')")
    assert page.see("document.getElementById('alike').className") == "warn"
    rested(page)


def test_the_pair_is_saved_appended_and_its_recipe_lines_are_copied(page, served, tmp_path, tmp_path_factory):
    drawn = cells(page)
    downloads = next(path for path in tmp_path_factory.getbasetemp().iterdir() if path.name.startswith("downloads"))
    page.click("#save")
    files = [downloads / "texture-0-image.png", downloads / "texture-0-mask.png"]
    deadline = time.monotonic() + 30
    while not all(file.is_file() and file.stat().st_size for file in files):
        assert time.monotonic() < deadline
        page.see("1")
        time.sleep(0.05)
    image, mask = (np.asarray(Image.open(BytesIO(file.read_bytes()))) for file in files)
    assert np.array_equal(mask, drawn * 255)
    studio = served.studio
    painted = studio.paint(studio.generator(0), drawn.astype(np.bool_), [0])
    assert np.array_equal(image, painted.images[0])
    page.click("#append")
    page.wait("document.getElementById('say').textContent.startsWith('Appended as')")
    assert (tmp_path / "drawings" / "0001.png").read_bytes() == files[1].read_bytes()
    page.click("#copy")
    page.wait("document.getElementById('say').textContent.startsWith('Recipe lines copied')")
    lines = page.see("navigator.clipboard.readText()")
    assert lines == text(page, "#lines")
    assert "- generator: {texture: {}}\n" in lines


def test_masks_and_pictures_are_loaded(page, tmp_path):
    wanted = np.zeros((32, 32), np.bool_)
    wanted[4:20, 10:30] = True
    (tmp_path / "mask.png").write_bytes(encode_png(wanted))
    (tmp_path / "photo.png").write_bytes(encode_png(np.full((40, 60, 3), 200, np.uint8)))
    page.give_file("#load-mask", tmp_path / "mask.png")
    page.wait(f"({CELLS}).join() === '{','.join(map(str, wanted.astype(int).ravel()))}'")
    page.give_file("#load-picture", tmp_path / "photo.png")
    page.wait("!document.getElementById('drop-picture').hidden")
    page.click("#drop-picture")
    rested(page)


def test_a_file_that_is_no_mask_is_told(page, tmp_path):
    noise = np.arange(32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    (tmp_path / "photo.png").write_bytes(encode_png(noise))
    before = cells(page)
    page.give_file("#load-mask", tmp_path / "photo.png")
    said = page.wait("document.getElementById('say').textContent")
    assert said.startswith("the mask: is a colour image")
    assert np.array_equal(cells(page), before)
    page.errors[:] = [error for error in page.errors if "400" not in error]


def test_a_reload_finds_drawing_key_and_generator_again(page, served):
    page.drag("#mask", (0.2, 0.9), (0.8, 0.9))
    page.click('input[name="generator"][value="1"]')
    page.click("#again")
    rested(page)
    kept, image = cells(page), shown(page)[1]
    page.open(served.address)
    page.wait(PAINTED)
    rested(page)
    assert np.array_equal(cells(page), kept)
    assert page.see("document.getElementById('number').value") == "1"
    assert text(page, "#painted-by") == "Image, by noise"
    assert shown(page)[1] == image


def test_the_keyboard_alone_draws_and_switches(page):
    page.click("#clear")
    page.see("document.activeElement.blur()")
    for _ in range(40):
        page.key("Tab")
        if page.see("document.activeElement.id") == "mask":
            break
    assert page.see("document.activeElement.id") == "mask"
    page.key("[", times=30)
    page.key("ArrowLeft", shift=True)
    page.key(" ")
    page.key("ArrowRight", times=16)
    page.key(" ")
    drawn = cells(page)
    assert drawn[15:17, 8:24].any(axis=0).all()
    assert drawn.sum() <= 4 * 18
    page.key("ArrowDown", shift=True)
    page.key("e")
    assert page.see("document.querySelector('input[name=tool]:checked').value") == "eraser"
    page.key("g")
    page.wait("document.getElementById('painted-by').textContent === 'Image, by noise'")
    page.key("a")
    page.wait("document.getElementById('number').value === '1'")
    page.key("z")
    page.wait(f"({CELLS}).every((label) => label === 0)")
    page.key("b")
    page.key("Enter")
    page.wait(f"({CELLS}).every((label) => label === 1)")
    rested(page)


def test_a_finger_draws_on_a_phone_and_nothing_is_wider_than_360_pixels(page):
    page.resize(360, 740, touch=True)
    page.click("#clear")
    page.swipe("#image", (0.2, 0.5), (0.5, 0.5), (0.8, 0.5))
    assert cells(page)[16, 8:25].all()
    assert page.see("document.documentElement.scrollWidth") <= 360
    small = page.see(
        "[...document.querySelectorAll('button, .choice, .button')].filter((e) => e.offsetParent"
        " && !e.closest('#strip') && e.getBoundingClientRect().height < 34).map((e) => e.textContent)"
    )
    assert small == [], "large enough for a finger"
    rested(page)


@pytest.mark.parametrize("width", [360, 800, 1300, 2560])
def test_nothing_is_cut_off_at_any_width(page, width):
    page.resize(width, 900)
    assert page.see("document.documentElement.scrollWidth") <= width
    left, _, wide, high = page.middle("#image")
    assert left >= 0
    assert abs(wide - high) <= 2
    assert wide >= 300


CONTRAST = """(() => {
    const light = (c) => { const [r, g, b] = c.match(/[0-9.]+/g).map(Number).map((v) => v / 255)
        .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
        if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
    return [...document.querySelectorAll('h1, h2, p, span, button:not(:disabled), small, summary, .button')]
        .filter((e) => e.offsetParent && e.textContent.trim() && !e.closest('[hidden]')).map((e) => {
            const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
            return [e.textContent.trim().slice(0, 30), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]; })
        .filter(([, ratio]) => ratio < 4.5); })()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_in_light_and_dark(page, scheme):
    page.prefer(scheme)
    dark = page.see("matchMedia('(prefers-color-scheme: dark)').matches")
    assert dark == (scheme == "dark")
    assert page.see(CONTRAST) == []


def test_the_page_asks_nobody_but_this_server(page, served):
    names = page.see("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(names) > 5
    assert [name for name in names if not name.startswith((served.address, "blob:"))] == []
    blocked = page.see(
        "new Promise((done) => {"
        " document.addEventListener('securitypolicyviolation', (e) => done(e.effectiveDirective));"
        " const s = document.createElement('script'); s.textContent = 'window.evil = 1'; document.head.append(s); })"
    )
    assert blocked.startswith("script-src")
    assert page.see("window.evil === undefined")
    page.errors.clear()


def test_it_says_when_the_server_has_ended(page, served):
    served.close()
    page.drag("#mask", (0.2, 0.2), (0.4, 0.4))
    page.wait("document.getElementById('say').textContent.startsWith('augkit paint has ended.')")
    page.errors.clear()
