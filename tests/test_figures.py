from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import gaussian_kde

from augkit import figures
from augkit.data.formats import Channel, Format
from augkit.figures import DARK, GRID, LIGHT, PREDICTION, TRUTH, Line, Look, Row, Tile


def pixels(png: bytes) -> NDArray[Any]:
    return np.array(Image.open(BytesIO(png)).convert("RGBA"), dtype=np.uint8)


def rgb(colour: str) -> NDArray[Any]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def shows(png: bytes, colour: str) -> bool:
    """Tell whether some opaque pixel is close to a colour."""
    picture = pixels(png).astype(int)
    near = np.abs(picture[..., :3] - rgb(colour)).max(axis=-1) < 12
    return bool((near & (picture[..., 3] > 200)).any())


def scores(n: int = 150, name: float = 0.0) -> NDArray[Any]:
    return np.asarray(np.clip(0.8 + 0.2 * np.sin(np.arange(n) * (1.7 + name)), 0, 1))


def square(size: int = 64) -> NDArray[Any]:
    mask = np.zeros((size, size), np.bool_)
    mask[size // 4 : size // 2, size // 4 : size // 2] = True
    return mask


def test_the_density_is_the_gaussian_kernel_density_of_scipy() -> None:
    values = scores()
    found = figures.density(values)
    assert found is not None
    np.testing.assert_allclose(found, np.asarray(gaussian_kde(values)(GRID)), rtol=1e-10)


def test_the_density_is_cut_off_at_one_and_not_scaled_up() -> None:
    values = np.linspace(0.9, 1.0, 50)
    found = figures.density(values)
    assert found is not None
    assert found[-1] > 1
    assert 0.9 < np.trapezoid(found, GRID) < 0.95


@pytest.mark.parametrize("values", [np.array([0.5]), np.full(20, 0.7), np.array([0.7, 0.7001, 0.7])])
def test_scores_that_are_too_alike_have_no_density(values: NDArray[np.float64]) -> None:
    assert figures.density(values) is None


def test_equal_scores_are_drawn_as_a_line_at_their_value() -> None:
    ends = [figures.densities({"Dice": {"a": np.full(5, value)}}) for value in (0.2, 0.8)]
    blue = [np.abs(pixels(png)[80:, :, :3].astype(int) - rgb(LIGHT.palette[0])).max(axis=-1) < 12 for png in ends]
    left, right = (np.nonzero(found.sum(axis=0) > 100)[0].mean() for found in blue)
    assert right - left == pytest.approx(0.6 * (figures.PAGE - 0.68) * figures.DPI, abs=2)


def test_four_arms_differ_in_dashes_and_not_only_in_colour() -> None:
    grey = Look("#333333", "#dddddd", ("#333333",) * 7)
    drawn = []
    for order in range(4):
        line = Line("arm", order, np.linspace(0, 1, 50), np.linspace(0, 1, 50))
        drawn.append(figures.line_plot({"Dice": [line]}, ("x", "y"), grey))
    assert len(set(drawn)) == 4


def test_twelve_arms_have_a_line_of_their_own() -> None:
    line = [Line("arm", order, np.linspace(0, 1, 50), np.linspace(0, 1, 50)) for order in range(12)]
    assert len({figures.line_plot({"Dice": [one]}, ("x", "y")) for one in line}) == 12


def test_the_legend_of_many_arms_takes_room_above_the_panels() -> None:
    few, many = ({"Dice": {f"arm {i}": scores(30) for i in range(n)}} for n in (1, 12))
    assert pixels(figures.densities(many)).shape[0] > pixels(figures.densities(few)).shape[0] + 40


def test_panels_stand_side_by_side_or_one_below_the_other() -> None:
    panels = {metric: {"a": scores()} for metric in ("Dice", "sensitivity", "specificity")}
    wide, narrow = (pixels(figures.densities(panels, LIGHT, columns)).shape for columns in (3, 1))
    assert wide[1] == pytest.approx(figures.PAGE * figures.DPI, abs=1)
    assert narrow[1] == pytest.approx(figures.COLUMN * figures.DPI, abs=1)
    assert narrow[0] > 2.5 * wide[0]


@pytest.mark.parametrize("form", ["png", "svg"])
def test_equal_input_gives_equal_bytes(form: figures.Form) -> None:
    panels = {"Dice": {"a": scores(), "b": scores(150, 0.3)}}
    assert figures.densities(panels, form=form) == figures.densities(panels, form=form)


def test_a_users_matplotlib_settings_neither_matter_nor_change() -> None:
    panels = {"Dice": {"a": scores()}}
    plain = figures.densities(panels)
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30, "lines.linewidth": 9}):
        assert figures.densities(panels) == plain
        assert matplotlib.rcParams["font.size"] == 30
        assert matplotlib.rcParams["text.parse_math"] is True


def test_names_are_drawn_as_they_are_spelt() -> None:
    panels = {"Dice": {"$x_1$ <b> & %": scores()}}
    assert b"$x_1$ &lt;b&gt; &amp; %" in figures.densities(panels, form="svg")


def test_dark_and_light_differ_in_ink_and_have_no_background() -> None:
    panels = {"Dice": {"a": scores()}}
    light, dark = figures.densities(panels, LIGHT), figures.densities(panels, DARK)
    assert pixels(light)[0, 0, 3] == pixels(dark)[0, 0, 3] == 0
    assert shows(dark, DARK.ink)
    assert shows(dark, DARK.palette[0])
    assert not shows(light, DARK.palette[0])


def test_a_long_training_is_drawn_as_the_means_of_neighbouring_steps() -> None:
    x = np.arange(1500, dtype=np.float64)
    noisy = figures.curves({"loss": [Line("a", 0, x, 1 + np.tile([-0.5, 0.5], 750))]})
    flat = figures.curves({"loss": [Line("a", 0, x, np.full(1500, 1.0))]})
    assert noisy == flat


def test_one_recorded_step_is_drawn_as_a_point() -> None:
    one = figures.curves({"loss": [Line("a", 0, np.array([5.0]), np.array([0.5]))]})
    none = figures.curves({"loss": [Line("a", 0, np.array([5.0]), np.array([np.nan]))]})
    blue = [
        (np.abs(pixels(png)[60:, :, :3].astype(int) - rgb(LIGHT.palette[0])).max(-1) < 12).sum() for png in (one, none)
    ]
    assert blue[0] > blue[1]


def test_a_64_pixel_image_is_shown_three_times_as_wide_and_not_smoothed() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[::2, ::2] = 255
    found = pixels(figures.gallery([Row("", (Tile(image),))]))[:192, :192]
    assert set(np.unique(found[..., :3])) == {0, 255}
    np.testing.assert_array_equal(found[::3, ::3, :3], image)


def test_a_label_of_many_words_is_not_cut_however_few_tiles_it_has() -> None:
    label = "all 5 images, worst first: asked for (white), found by a segmenter of real images (blue)"
    tile = Tile(np.zeros((32, 32, 3), np.uint8))
    found = pixels(figures.gallery([Row(label, (tile,))]))
    ink = np.flatnonzero((found[:30, :, 3] > 0).any(axis=0))
    assert 700 < ink[-1] < found.shape[1] - 2


@pytest.mark.parametrize(("side", "shown"), [(32, 192), (64, 192), (128, 256), (256, 256), (1000, 256)])
def test_tiles_of_every_size_are_readable_and_not_huge(side: int, shown: int) -> None:
    image = np.full((side, side, 3), 255, np.uint8)
    png = figures.gallery([Row("", (Tile(image),) * 4)])
    assert (pixels(png)[shown // 2, :, 3] > 0).sum() == 4 * shown


def test_images_that_are_not_square_keep_their_shape() -> None:
    image = np.full((48, 64, 3), 255, np.uint8)
    opaque = pixels(figures.gallery([Row("", (Tile(image),))]))[..., 3] > 0
    assert (opaque.any(axis=1).sum(), opaque.any(axis=0).sum()) == (144, 192)


def test_outlines_are_drawn_where_the_mask_ends() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    found = pixels(figures.gallery([Row("", (Tile(image, ((square(), TRUTH),)),))]))[:192, :192, :3].astype(int)
    white = found.min(axis=-1) > 240
    rows = np.nonzero(white.any(axis=1))[0]
    assert rows[0] == pytest.approx(48, abs=3)
    assert rows[-1] == pytest.approx(96, abs=3)
    assert not white[60:84, 60:84].any()


def test_an_outline_that_reaches_the_edge_of_the_image_is_closed() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    full = np.ones((64, 64), np.bool_)
    png = figures.gallery([Row("above", (Tile(image, ((full, TRUTH),)),))])
    assert shows(png, TRUTH)


def test_an_empty_mask_has_no_outline() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    empty = np.zeros((64, 64), np.bool_)
    assert figures.gallery([Row("", (Tile(image, ((empty, TRUTH),)),))]) == figures.gallery([Row("", (Tile(image),))])


def test_cases_show_the_true_and_the_predicted_outline_of_every_arm() -> None:
    images = np.full((2, 64, 64, 3), 128, np.uint8)
    truth = np.stack([square()] * 2)
    found = np.roll(truth, 12, axis=2)
    notes = {"": ["one", "two"], "a": ["x", "y"], "b": ["x", "y"]}
    both = figures.cases(images, truth, {"a": found, "b": found}, notes, LIGHT)
    one = figures.cases(images, truth, {"a": found}, notes, LIGHT)
    assert shows(one, TRUTH)
    assert shows(one, PREDICTION)
    assert pixels(both).shape[0] > 1.3 * pixels(one).shape[0]


@pytest.mark.parametrize(
    ("text", "length", "expected"), [("short", 5, "short"), ("ISIC_0012345", 8, "ISIC…345"), ("abc", 1, "a…c")]
)
def test_long_names_lose_their_middle(text: str, length: int, expected: str) -> None:
    assert figures.shorten(text, length) == expected


def test_importing_the_report_loads_neither_torch_nor_matplotlib() -> None:
    code = "import sys, augkit.report.page; print([m for m in ('torch', 'matplotlib', 'scipy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def effect(name: str = "a vs b", interval: tuple[float, float, float] | None = (0.02, -0.01, 0.05)) -> figures.Effect:
    return figures.Effect(name, (0.01, 0.02, 0.03), interval)


def test_effects_show_the_interval_and_without_a_verdict_none() -> None:
    with_interval = figures.effects([effect()], 0.01, "difference")
    assert shows(with_interval, LIGHT.palette[0])
    assert not shows(figures.effects([effect(interval=None)], 0.01, "difference"), LIGHT.palette[0])
    assert shows(figures.effects([effect()], 0.01, "difference", DARK), DARK.palette[0])


def test_effects_grow_with_their_number_and_shrink_on_narrow_screens() -> None:
    one, three = (pixels(figures.effects([effect()] * count, 0.01, "difference")) for count in (1, 3))
    narrow = pixels(figures.effects([effect()], 0.01, "difference", columns=1))
    assert three.shape[0] > one.shape[0]
    assert narrow.shape[1] == pytest.approx(figures.COLUMN * figures.DPI, abs=1)
    assert one.shape[1] == pytest.approx(figures.PAGE * figures.DPI, abs=1)


def test_a_long_name_of_an_effect_is_shortened() -> None:
    svg = figures.effects([effect("x" * 300)], 0.01, "difference", form="svg").decode()
    assert "x…x" in svg


NAMES = ["\u56fe\u50cf_00", "caf\u00e9 \u0394", "\U0001f9ea", "two\twords", "M\udcfcller", "plain_00"]


def test_letters_that_the_font_lacks_are_drawn_as_their_codes():
    spelt = ["\\u56fe\\u50cf_00", "caf\u00e9 \u0394", "\\U0001f9ea", "two\\twords", "M\\udcfcller", "plain_00"]
    assert [figures.legible(name) for name in NAMES] == spelt


@pytest.mark.filterwarnings("error")
def test_names_in_any_script_are_drawn_without_a_warning():
    tile = Tile(np.zeros((64, 64, 3), np.uint8))
    for name in NAMES:
        figures.gallery([Row(name, (Tile(tile.image, note=name),))])
        figures.effects([figures.Effect(name, (0.1,), None)], 0.01, name)
        figures.curves({name: [Line(name, 0, np.arange(3.0), np.arange(3.0))]})


CT = Format("int16", (Channel("ct", "ct", -100, 300),), ("liver", "spleen", "tumour"), ignore=True)


def labels(size: int = 64) -> NDArray[Any]:
    """Two neighbours, one beside them, and pixels that do not count in a corner."""
    found = np.zeros((size, size), np.uint8)
    found[8:30, 8:24], found[8:30, 24:40], found[36:50, 10:50] = 1, 2, 3
    found[-8:, -16:] = 255
    return found


def test_each_class_has_its_colour_in_the_picture_and_in_the_legend() -> None:
    image = np.full((64, 64, 3), 40, np.uint8)
    drawn = figures.gallery([Row("", (figures.outlined(image, labels(), CT),))], LIGHT, legend=figures.class_legend(CT))
    alone = figures.gallery([Row("", (figures.outlined(image, labels(), CT),))], LIGHT)
    for label in (1, 2, 3):
        assert shows(alone, figures.class_colour(label))
        assert shows(pixels_above(drawn, 40), figures.class_colour(label))
    assert not shows(alone, TRUTH)
    assert not shows(alone, figures.class_colour(4))
    assert [name for name, _ in figures.class_legend(CT)] == ["liver", "spleen", "tumour", "ignored"]
    assert figures.class_legend(Format()) == ()


def pixels_above(png: bytes, row: int) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels(png)[:row]).save(file, "PNG")
    return file.getvalue()


def test_a_legend_of_many_long_names_fills_several_lines_and_stays_on_the_page() -> None:
    names = tuple(f"a structure of the brain, {i}" for i in range(40))
    many = Format("uint8", CT.channels, names)
    tile = Tile(np.zeros((64, 64, 3), np.uint8))
    short, long = (
        pixels(figures.gallery([Row("", (tile,))], LIGHT, legend=figures.class_legend(some))) for some in (CT, many)
    )
    assert short.shape[1] == long.shape[1]
    assert len(long) > len(short) + 300
    assert not long[:, -2:, 3].any()  # nothing is cut off at the right


def test_pixels_that_do_not_count_are_hatched_in_images_and_masks() -> None:
    image = np.full((64, 64, 3), 40, np.uint8)
    for tile in (figures.outlined(image, labels(), CT), figures.mask_tile(labels(), CT)):
        found = pixels(figures.gallery([Row("", (tile,))]))[172:190, 150:190, :3]
        assert {tuple(colour) for colour in found.reshape(-1, 3).tolist()} == {(70, 70, 70), (150, 150, 150)}


def test_cases_of_several_classes_have_the_true_ones_in_a_row_of_their_own() -> None:
    images = np.zeros((1, 64, 64, 1), np.int16)
    truth = labels()[None]
    notes = {"": ["x"], "a": ["y"]}
    drawn = figures.cases(images, truth, {"a": np.zeros_like(truth)}, notes, LIGHT, CT)
    of_one = figures.cases(np.zeros((1, 64, 64, 3), np.uint8), truth == 1, {"a": truth == 2}, notes, LIGHT)
    assert shows(drawn, figures.class_colour(1))
    assert not shows(drawn, PREDICTION)
    assert len(pixels(drawn)) > len(pixels(of_one)) + 192


def test_the_closest_two_class_colours_are_as_far_apart_to_colour_blind_eyes_as_the_closest_of_okabe_and_ito() -> None:
    first, all_of_them = closest_to_any_eyes(figures.CLASSES[:7]), closest_to_any_eyes(figures.CLASSES)
    assert all_of_them == first > 15


def linear(colours: Sequence[str]) -> NDArray[Any]:
    """Return linear sRGB (N, 3) of ``#rrggbb``."""
    values = np.array([rgb(colour) for colour in colours]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def closest_to_any_eyes(colours: Sequence[str]) -> float:
    """Return the distance in CIELAB of the two colours that are closest to normal, protan or deutan eyes."""
    # Viénot, Brettel & Mollon 1999, as matrices of linear RGB: nothing missing, no red cones, no green cones.
    red = [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]
    green = [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]
    seen = [lab(np.clip(linear(colours) @ np.array(eyes).T, 0, 1)) for eyes in (np.eye(3), red, green)]
    return float(np.min([np.linalg.norm(a - b, axis=-1) for one in seen for a, b in combinations(one, 2)]))


PAPERS = [(LIGHT, "#ffffff"), (DARK, "#15171b")]


@pytest.mark.parametrize(("look", "paper"), PAPERS, ids=["light", "dark"])
def test_any_two_line_colours_are_apart_to_colour_blind_eyes(look: Look, paper: str) -> None:
    assert closest_to_any_eyes(look.palette) > 20


@pytest.mark.parametrize(("look", "paper"), PAPERS, ids=["light", "dark"])
def test_two_lines_of_equal_dashes_differ_in_grey(look: Look, paper: str) -> None:
    lightness = lab(linear(look.palette))[:, 0]
    pairs = [(a, b) for a, b in combinations(range(7), 2) if a % len(figures.DASHES) == b % len(figures.DASHES)]
    assert len(pairs) == 3
    assert min(abs(lightness[a] - lightness[b]) for a, b in pairs) > 20


@pytest.mark.parametrize(("look", "paper"), PAPERS, ids=["light", "dark"])
def test_every_line_stands_out_from_its_paper(look: Look, paper: str) -> None:
    shares = [0.2126, 0.7152, 0.0722]
    on, lines = linear([paper]) @ shares + 0.05, linear(look.palette) @ shares + 0.05
    assert np.maximum(lines / on, on / lines).min() >= 3


def test_a_plot_drawn_for_light_paper_becomes_the_one_for_dark_paper() -> None:
    panels = {"Dice": {name: scores(30, i) for i, name in enumerate("abcdefg")}}
    light, dark = (figures.densities(panels, look, form="svg") for look in (LIGHT, DARK))
    # Shapes are named by a hash of how they look.
    changed, drawn = (re.sub(rb"\b[mp][0-9a-f]{10}\b", b"", one) for one in (figures.darkened(light), dark))
    assert light != dark
    assert changed == drawn


def test_words_in_an_svg_are_outlines_so_that_no_font_is_needed() -> None:
    svg = figures.densities({"Dice": {"a": scores()}}, form="svg")
    assert b"<text" not in svg
    assert b"<!-- Dice -->" in svg


def test_the_seeds_of_a_sweep_are_rings_around_their_mean() -> None:
    x, seeds = np.array([0.0, 1.0]), np.array([[0.2, 0.4], [0.6, 0.8]])
    band = (seeds[0], seeds[1])
    line, ringed = (Line("a", 0, x, seeds.mean(axis=0), band, points) for points in (None, seeds))
    without, drawn = (figures.line_plot({"p": [one]}, ("x", "y"), form="svg").count(b"<use") for one in (line, ringed))
    assert drawn == without + seeds.size


def pair(plus: Any, minus: Any) -> figures.Pair:
    return figures.Pair("b vs a", np.asarray(minus, np.float64), np.asarray(plus, np.float64))


def test_every_image_is_a_point_of_its_pair() -> None:
    svg = figures.paired([pair(scores(60), scores(60, 0.4))], "Dice", form="svg")
    assert Counter(re.findall(rb'<use xlink:href="#(m[0-9a-f]{10})"', svg)).most_common(1)[0][1] == 60


def test_the_points_of_very_many_images_are_one_picture_in_the_svg() -> None:
    few, many = (figures.paired([pair(scores(n), scores(n, 0.4))], "Dice", form="svg") for n in (400, 4000))
    assert b"data:image/png" not in few
    assert b"data:image/png" in many
    assert len(many) < 150_000


def test_equal_scores_of_one_image_are_a_pair_too() -> None:
    assert shows(figures.paired([pair([0.5], [0.5])], "Dice"), LIGHT.palette[1])


def lab(linear: NDArray[Any]) -> NDArray[Any]:
    """Return CIELAB of linear sRGB under D65."""
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ matrix.T / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
