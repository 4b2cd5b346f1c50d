from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw

from augkit import InputError
from augkit.data.reading import read_drawing
from augkit.data.resizing import average_resize
from augkit_masks.drawn import Drawn
from samples import mask_draws, workspace

REAL = np.zeros((3, 32, 48), np.bool_)


def draw(source, count, folder, masks=REAL, seed=0):
    return source.draw(masks, count, mask_draws(count, seed), workspace(folder))


def disc(size=(480, 320), box=(100, 60, 300, 220), mode="L", paper=255, ink=0, width=0):
    image = Image.new(mode, size, paper)
    pen = ImageDraw.Draw(image)
    if width:
        pen.ellipse(box, outline=ink, width=width)
    else:
        pen.ellipse(box, fill=ink)
    return image


DISC = np.pi * 100 * 80 / (480 * 320)
"""The share of the frame that the disc covers."""


def only(folder, image, name="a.png", **options):
    image.save(folder / name)
    return draw(Drawn(folder, **options), 1, folder).masks[0]


def test_a_drawing_is_read_as_brightness_on_white_paper(tmp_path):
    pixels = [(0, 0, 0, 255), (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255), (9, 9, 9, 0), (0, 0, 0, 51)]
    Image.fromarray(np.array([pixels], np.uint8)).save(tmp_path / "a.png")
    brightness = read_drawing(tmp_path / "a.png")
    assert brightness.dtype == np.float32
    assert np.allclose(brightness, [[0, 0.299, 0.587, 0.114, 1, 0.8]], atol=0.004)


def test_resizing_averages_what_lies_under_a_pixel():
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert average_resize(values, 1, 2).tolist() == [[6.5, 8.5]]


def test_dark_ink_on_light_paper_is_foreground(tmp_path):
    mask = only(tmp_path, disc())
    assert mask.shape == (32, 48)
    assert mask.mean() == pytest.approx(DISC, rel=0.03)
    assert mask[14, 20]
    assert not mask[0, 0]


def test_light_ink_on_dark_paper_is_foreground_when_asked_for(tmp_path):
    assert only(tmp_path, disc(paper=0, ink=255), ink="light").mean() == pytest.approx(DISC, rel=0.03)


@pytest.mark.parametrize(
    ("mode", "paper", "ink"),
    [
        ("RGB", (255, 255, 255), (200, 0, 0)),
        ("RGB", (255, 240, 200), (0, 90, 0)),
        ("RGBA", (0, 0, 0, 0), (0, 0, 120, 255)),
        ("RGBA", (0, 0, 0, 0), (0, 0, 0, 200)),
        ("LA", (0, 0), (0, 255)),
        ("P", 255, 0),
        ("1", 1, 0),
    ],
)
def test_coloured_and_transparent_drawings_are_judged_by_their_brightness_on_white(mode, paper, ink, tmp_path):
    image = disc(mode="L", paper=255, ink=0).convert("P") if mode == "P" else disc(mode=mode, paper=paper, ink=ink)
    assert only(tmp_path, image).mean() == pytest.approx(DISC, rel=0.03)


def test_an_anti_aliased_edge_and_jpeg_noise_do_not_change_the_area(tmp_path):
    soft = disc((1920, 1280), (400, 240, 1200, 880)).resize((480, 320), Image.Resampling.BOX)
    assert only(tmp_path, soft, "a.jpg").mean() == pytest.approx(DISC, rel=0.03)


def test_an_outline_is_filled_when_asked_for(tmp_path):
    outline = disc(width=4)
    filled = only(tmp_path, outline, fill=True)
    assert filled[14, 20]
    assert filled.mean() == pytest.approx(DISC, rel=0.03)
    assert not only(tmp_path, outline, threshold=0.9)[14, 20]


def test_an_outline_of_one_pixel_is_still_closed_when_filled(tmp_path):
    assert only(tmp_path, disc(width=1), fill=True).mean() == pytest.approx(DISC, rel=0.04)


def test_thin_lines_are_lost_at_one_half_and_survive_near_the_brightness_of_the_paper(tmp_path):
    with pytest.raises(InputError, match="has no dark ink at 48 x 32 pixels; allowed: some foreground"):
        only(tmp_path, disc(width=3))
    assert only(tmp_path, disc(width=3), threshold=0.9).sum() > 60


def test_each_drawing_is_used_equally_often_and_named_in_its_record(tmp_path):
    for i, radius in enumerate((40, 80, 120)):
        disc(box=(240 - radius, 160 - radius, 240 + radius, 160 + radius)).save(tmp_path / f"{i}.png")
    drawn = draw(Drawn(tmp_path), 8, tmp_path)
    used = Counter(record["file"] for record in drawn.records)
    assert sorted(used.values()) == [2, 3, 3]
    areas = {record["file"]: int(mask.sum()) for mask, record in zip(drawn.masks, drawn.records, strict=True)}
    assert areas["0.png"] < areas["1.png"] < areas["2.png"]
    assert all("parent" not in record for record in drawn.records)


def test_a_photograph_taken_sideways_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    disc(box=(100, 60, 160, 120)).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif)
    disc(box=(100, 60, 160, 120)).save(tmp_path / "b.png")
    drawn = draw(Drawn(tmp_path), 2, tmp_path)
    assert (drawn.masks[0] ^ drawn.masks[1]).sum() <= 3


def test_every_bad_drawing_is_named_at_once(tmp_path):
    disc().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    Image.new("L", (20, 20), 255).save(tmp_path / "c.png")
    Image.new("L", (20, 20), 0).save(tmp_path / "d.png")
    disc(mode="CMYK", paper=(0, 0, 0, 0), ink=(0, 0, 0, 255)).save(tmp_path / "e.tif")
    with pytest.raises(InputError) as error:
        draw(Drawn(tmp_path), 1, tmp_path)
    said = {problem.where.rsplit("/", 1)[1]: problem.what for problem in error.value.problems}
    assert sorted(said) == ["b.png", "c.png", "d.png", "e.tif"]
    assert said["c.png"] == "has no dark ink at 48 x 32 pixels; allowed: some foreground"
    assert said["d.png"] == "is dark ink all over at 48 x 32 pixels; allowed: some background"


def test_the_drawings_are_listed_in_order_and_other_files_are_not(tmp_path):
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert [path.name for path in Drawn(tmp_path).sources()] == ["a.JPG", "b.png"]


@pytest.mark.parametrize(("name", "words"), [("none", "is not a folder"), ("", "holds no file ending in .png, .jpg")])
def test_a_missing_folder_and_one_without_drawings_are_refused(name, words, tmp_path):
    with pytest.raises(InputError, match=words):
        Drawn(tmp_path / name).sources()


def test_the_log_says_what_the_drawings_cover(tmp_path):
    disc().save(tmp_path / "a.png")
    space = workspace(tmp_path)
    Drawn(tmp_path).draw(REAL, 1, mask_draws(1), space)
    assert space.log.notes == ["1 drawings, covering 16.5% .. 16.5% of the frame"]
