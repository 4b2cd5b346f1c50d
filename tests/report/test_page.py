from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from augkit import figures
from augkit.data.arrays import ImageSet
from augkit.data.draws import Draws, sample_keys
from augkit.errors import StageError
from augkit.figures import Row, Tile
from augkit.metrics import METRICS, TABLE_1, confusion, scores, surface_distance
from augkit.planning.sweep import SweepPoint
from augkit.report.evidence import ArmEvidence, Evidence, Section
from augkit.report.page import write_report
from augkit.report.pictures.samples import choose_cases
from augkit.report.tables import difference_rows, recorded_warnings, table_rows
from augkit.report.verdict.scores import ArmScores, Design, Summary, summarise

SIZE = 32

DESIGNS = {
    "noaug": Design("d", "s"),
    "classicaug": Design("d", "s", "geometry"),
    "mask2lesionaug": Design("d", "s", "", "mask2lesion/training × 1 #1234"),
    "allaug": Design("d", "s", "geometry", "mask2lesion/training × 1 #1234"),
}


def numbers(ids: Sequence[str], stream: str, name: str, shape: tuple[int, ...] = ()) -> NDArray[Any]:
    return np.asarray(Draws.of(1, stream, sample_keys(ids)).uniform(name, shape=shape))


def samples(count: int, prefix: str, origin: str = "real") -> ImageSet:
    ids = tuple(f"{prefix}-{i:03d}" for i in range(count))
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    radii = 0.15 + 0.2 * numbers(ids, prefix, "radius")
    masks = np.hypot(x, y)[None] < radii[:, None, None]
    images = np.where(masks[..., None], np.uint8(90), np.uint8(200)).repeat(3, axis=-1)
    return ImageSet(ids, images, masks, ids, (origin,) * count)


def predicted(test: ImageSet, arm: str, seed: int) -> NDArray[Any]:
    """Return the true masks moved to the right by up to 9 pixels, differently for each arm, seed and image."""
    moves = (numbers(test.ids, f"{arm}-{seed}", "move") * 10).astype(int)
    return np.stack([np.roll(mask, move, axis=1) for mask, move in zip(test.masks, moves, strict=True)])


def arm_evidence(
    test: ImageSet,
    name: str,
    seeds: Sequence[int] = (0,),
    synthetic: tuple[tuple[str, ImageSet], ...] = (),
) -> ArmEvidence:
    predictions = [predicted(test, name, seed) for seed in seeds]
    found = [dict(scores(confusion(masks, test.masks))) for masks in predictions]
    for one, masks in zip(found, predictions, strict=True):
        one["nsd"] = surface_distance(masks, test.masks)
    values = {metric: np.stack([one[metric] for one in found]) for metric in METRICS}
    history = {"segmenter unet": [{"step": float(i), "loss": 1.0 / (i + len(name))} for i in range(1, 30)]}
    return ArmEvidence(
        ArmScores(name, test.ids, tuple(seeds), values, DESIGNS.get(name, Design())),
        predictions[0],
        synthetic,
        history,
        {"real": 20, **{origin: len(drawn) for origin, drawn in synthetic}},
        f"name: {name}\n",
        {"segmenter unet": 61.0},
    )


def evidence(
    names: Sequence[str] = ("noaug", "classicaug", "mask2lesionaug", "allaug"),
    images: int = 12,
    seeds: Sequence[int] = (0,),
) -> Evidence:
    train, test = samples(8, "train"), samples(images, "test")
    drawn = ImageSet(
        tuple(f"synthetic-{i}" for i in range(8)),
        train.images[::-1].copy(),
        train.masks,
        train.groups,
        ("mask2lesion/training",) * 8,
    )
    sources = dict.fromkeys(("mask2lesionaug", "allaug"), (("mask2lesion/training", drawn),))
    arms = tuple(arm_evidence(test, name, seeds, sources.get(name, ())) for name in names)
    return Evidence("Arms on phantoms", arms, train, test, {"augkit": "0.1.0", "device": "cpu"})


def page_of(found: Evidence, folder: Path) -> str:
    write_report(found, folder)
    return (folder / "report.html").read_text()


def text_of(page: str) -> str:
    """Return what a reader sees, spaces collapsed."""
    pieces: list[str] = []

    class Text(HTMLParser):
        def handle_data(self, data: str) -> None:
            pieces.append(data)

    Text().feed(re.sub(r"<style>.*?</style>", "", page, flags=re.S))
    return " ".join(" ".join(pieces).split())


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evidence, Path]:
    folder = tmp_path_factory.mktemp("four") / "report"
    found = evidence()
    write_report(found, folder)
    return found, folder


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evidence, Path]:
    folder = tmp_path_factory.mktemp("two")
    found = evidence(("a", "b"), seeds=(3, 5))
    write_report(found, folder)
    return found, folder


def test_the_report_is_a_page_numbers_scores_and_pictures(four: tuple[Evidence, Path]) -> None:
    found = {path.relative_to(four[1]).as_posix() for path in four[1].rglob("*") if path.is_file()}
    assert found == {
        "report.html",
        "report.json",
        "origin.json",
        "per_image.csv",
        "recipes/1-noaug.yaml",
        "recipes/2-classicaug.yaml",
        "recipes/3-mask2lesionaug.yaml",
        "recipes/4-allaug.yaml",
        "figures/table1.md",
        "figures/table1.tex",
        "figures/synthetic-1-mask2lesion-training.png",
        "figures/cases-highest.png",
        "figures/cases-median.png",
        "figures/cases-lowest.png",
        *(
            f"figures/{width}{plot}.{form}"
            for plot in ("effects", "densities", "paired", "curves-1-segmenter-unet")
            for width in ("", "column/")
            for form in ("png", "svg")
        ),
    }


def test_the_page_needs_no_network_and_no_script(four: tuple[Evidence, Path]) -> None:
    page = (four[1] / "report.html").read_text()
    assert not re.findall(r'(?:src|href|srcset)="(?!data:image/(?:webp|svg\+xml);base64,|#)', page)
    assert "<script" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_the_page_is_well_formed(four: tuple[Evidence, Path]) -> None:
    opened: list[str] = []

    class Nesting(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in {"meta", "img", "source"}:
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Nesting().feed((four[1] / "report.html").read_text())
    assert opened == []


def test_the_page_is_under_five_megabytes(four: tuple[Evidence, Path]) -> None:
    assert (four[1] / "report.html").stat().st_size < 5_000_000


def test_every_section_is_in_the_contents_and_every_link_leads_somewhere(four: tuple[Evidence, Path]) -> None:
    page = (four[1] / "report.html").read_text()
    contents = re.search(r'<nav aria-label="Contents">(.*?)</nav>', page, re.S)
    assert contents is not None
    assert re.findall(r'<a href="#(.*?)">(.*?)</a>', contents[1]) == re.findall(r'<h2 id="(.*?)">(.*?)</h2>', page)
    anchors = re.findall(r'\bid="(.*?)"', page)
    assert len(set(anchors)) == len(anchors)
    assert set(re.findall(r'href="#(.*?)"', page)) <= set(anchors)


def test_the_page_can_be_heard_and_walked_through_without_a_mouse(four: tuple[Evidence, Path]) -> None:
    page = (four[1] / "report.html").read_text()
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))
    images = re.findall(r"<img [^>]*>", page)
    assert [image[:80] for image in images if not re.search(r' alt="[^"]{8,}"', image)] == []
    for landmark in ('<html lang="en">', '<main id="report"', '<a class="skip" href="#report">'):
        assert page.count(landmark) == 1
    scrolled = re.findall(r'<div class="scroll"[^>]*>', page)
    assert [one for one in scrolled if not re.search(r' tabindex="0" role="region" aria-label="[^"]+"', one)] == []
    assert [head for head in re.findall(r"<th\b[^>]*>", page) if " scope=" not in head] == []


def test_galleries_are_folded_and_plots_are_not(four: tuple[Evidence, Path]) -> None:
    page = (four[1] / "report.html").read_text()
    open_to_see = re.sub(r"<details>.*?</details>", "", page, flags=re.S)
    assert "image/webp" in page
    assert "image/webp" not in open_to_see
    assert open_to_see.count("image/svg+xml") == page.count("image/svg+xml") == 16


def test_table_1_is_kept_for_a_paper_with_intervals(two_seeds: tuple[Evidence, Path]) -> None:
    found, folder = two_seeds
    latex, text = ((folder / "figures" / f"table1.{form}").read_text() for form in ("tex", "md"))
    for arm in found.arms:
        mean = summarise(arm.scores.values["dice"])
        low, high = re.findall(rf"\| {arm.scores.arm} \| {re.escape(str(mean))} \[(.*?), (.*?)\]", text)[0]
        assert 0 <= float(low) < mean.mean < float(high) <= 1
        assert f"{arm.scores.arm} & {str(mean).replace('±', '$' + chr(92) + 'pm$')}" in latex
        assert f"[{low}, {high}]" in latex
    assert "95 % interval over images and trainings" in text
    assert latex.count("{") == latex.count("}")


def test_names_are_spelt_for_latex_and_markdown(tmp_path: Path) -> None:
    page_of(evidence(("a_b & 50%", "x|y")), tmp_path)
    latex, text = ((tmp_path / "figures" / f"table1.{form}").read_text() for form in ("tex", "md"))
    assert "a\\_b \\& 50\\% & " in latex
    assert "| x\\|y | " in text
    assert "95 % interval over images, for these trainings" in text


def test_the_parts_of_the_page_come_in_order(four: tuple[Evidence, Path]) -> None:
    headings = re.findall(r"<h[12][^>]*>(.*?)</h[12]>", (four[1] / "report.html").read_text())
    assert headings == [
        "Do synthetic images (mask2lesion) and classical augmentation (geometry) help s on d?",
        "Verdict",
        "Scores",
        "Synthetic images",
        "Distribution over the test images",
        "Segmentation cases",
        "Training curves",
        "Training samples",
        "Cost",
        "Reproduce",
    ]


def test_the_page_says_what_was_compared(four: tuple[Evidence, Path]) -> None:
    text = text_of((four[1] / "report.html").read_text())
    assert "Do synthetic images (mask2lesion) and classical augmentation (geometry) help s on d?" in text
    assert (
        "A segmenter, s, was trained for each arm with one seed (0): noaug on real images; classicaug on real images, "
        "transformed by geometry; mask2lesionaug on real images and synthetic ones (mask2lesion/training × 1); allaug "
        "on real images and synthetic ones (mask2lesion/training × 1), transformed by geometry."
    ) in text
    assert "averaged over the 12 test images, at training size." in text


def test_one_seed_is_said_to_be_too_few_for_a_verdict(
    four: tuple[Evidence, Path], two_seeds: tuple[Evidence, Path]
) -> None:
    sentence = "With one seed, a difference between arms cannot be told from the luck of one training."
    assert sentence in text_of((four[1] / "report.html").read_text())
    assert sentence not in text_of((two_seeds[1] / "report.html").read_text())


def test_the_verdict_comes_first_in_full_sentences_and_in_the_record(tmp_path: Path) -> None:
    found = evidence(("mine", "other"), images=30, seeds=range(4))
    shared = Design("d", "s", "geometry")
    designs = {"mine": shared, "other": replace(shared, synthesis="gan/training × 1 #12")}
    moved = {metric: values * 0.5 for metric, values in found.arms[0].scores.values.items()}
    arms = tuple(
        replace(arm, scores=replace(arm.scores, design=designs[arm.scores.arm], values=values))
        for arm, values in zip(found.arms, (moved, found.arms[1].scores.values), strict=True)
    )
    page = page_of(replace(found, arms=arms), tmp_path)
    (contrast,) = json.loads((tmp_path / "report.json").read_text())["comparison"]["contrasts"]
    assert contrast["verdict"] == "helps"
    text = text_of(page)
    assert contrast["sentence"] in text
    assert text.index(contrast["sentence"]) < text.index("Table 1")
    assert '<li class="helps">' in page


def test_one_seed_gives_no_verdict(four: tuple[Evidence, Path]) -> None:
    text = text_of((four[1] / "report.html").read_text())
    assert "allaug vs classicaug: no verdict. One training per arm cannot separate an arm from the luck" in text
    assert "helps" not in text.partition("How to read this")[0]


def test_other_stages_add_sections_with_words_tables_pictures_and_a_record(tmp_path: Path) -> None:
    found = evidence(("a",), images=1)
    png = figures.gallery([Row("", (Tile(samples(1, "x").images[0]),))])
    table = [["source", "KID"], ["<gan>", "0.1"]]
    section = Section("Synthesis quality", ("Said.",), (("KID.", table),), (("../kid", "pairs", png),), {"kid": 0.1})
    page = page_of(replace(found, sections=(section,)), tmp_path)
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert headings.index("Synthesis quality") == headings.index("Synthetic images") + 1
    assert "Said." in text_of(page)
    assert "<gan> 0.1" in text_of(page)
    assert (tmp_path / "figures/kid.png").read_bytes() == png
    assert json.loads((tmp_path / "report.json").read_text())["sections"] == {"Synthesis quality": {"kid": 0.1}}


def test_everything_needed_to_run_it_again_is_there(tmp_path: Path) -> None:
    found = replace(evidence(("a b", "ü"), images=1, seeds=(4, 2)), artifacts=(("dataset x", "dataset/x-0123"),),
                    provenance={"device": "cpu", "threads": "2", "precision": "float32"})  # fmt: skip
    text = text_of(page_of(found, tmp_path))
    command = (
        "augkit run recipes/1-a-b.yaml recipes/2-unnamed.yaml --seeds 4,2 --device cpu --precision float32 --threads 2"
    )
    assert command in text
    assert "dataset x dataset/x-0123" in text
    record = json.loads((tmp_path / "report.json").read_text())
    assert (record["command"], record["artifacts"]) == (command, [["dataset x", "dataset/x-0123"]])
    assert (tmp_path / "recipes/2-unnamed.yaml").read_text() == "name: ü\n"


def test_the_caption_of_the_densities_says_that_they_are_truncated(four: tuple[Evidence, Path]) -> None:
    assert "truncated at 0 and 1 and not renormalised" in text_of((four[1] / "report.html").read_text())


def test_cases_are_named_with_their_dice_and_difference(four: tuple[Evidence, Path]) -> None:
    found, folder = four
    first, last = (found.arms[i].scores.values["dice"][0] for i in (1, -1))
    text = text_of((folder / "report.html").read_text())
    assert "Chosen by rule, not by eye" in text
    for index in np.concatenate(list(choose_cases(last - first).values())):
        change = f"{last[index] - first[index]:+.4f}".replace("-", "−")
        assert f"{found.test.ids[index]} {first[index]:.4f} {last[index]:.4f} {change}" in text


def test_a_source_that_two_arms_share_is_shown_once(four: tuple[Evidence, Path]) -> None:
    text = text_of((four[1] / "report.html").read_text())
    assert text.count("Used by") == 1
    assert "Used by mask2lesionaug, allaug." in text


def test_plots_are_there_for_narrow_and_for_dark_screens(four: tuple[Evidence, Path]) -> None:
    page = (four[1] / "report.html").read_text()
    found = re.findall(r'<img class="plot ([a-z ]*)" src="([^"]*)"', page)
    variants = ["wide light", "wide dark", "narrow light", "narrow dark"]
    assert [variant for variant, _ in found] == variants * 4
    assert len({picture for _, picture in found}) == 16


def gallery_of(train: ImageSet, drawn: ImageSet, folder: Path) -> NDArray[np.uint8]:
    """Return the picture of a synthetic source, uint8 (H, W, 3)."""
    found = replace(evidence(("a",), images=1), train=train)
    arm = replace(found.arms[0], synthetic=((drawn.origins[0], drawn),), history={})
    write_report(replace(found, arms=(arm,)), folder)
    picture = next((folder / "figures").glob("synthetic-1-*.png"))
    return np.asarray(Image.open(picture).convert("RGB"))


def test_a_synthetic_image_stands_below_the_real_image_that_has_its_mask(tmp_path: Path) -> None:
    train, drawn = samples(2, "train"), samples(1, "drawn", "m/training")
    blue, green = np.array([0, 0, 250], np.uint8), np.array([0, 250, 0], np.uint8)
    train = replace(
        train, images=np.stack([np.full_like(train.images[0], c) for c in (blue, green)]), groups=("p",) * 2
    )
    picture = gallery_of(train, replace(drawn, masks=train.masks[1:], groups=("p",)), tmp_path)
    assert (picture == green).all(axis=-1).any()
    assert not (picture == blue).all(axis=-1).any()


def test_a_synthetic_image_of_no_training_sample_stands_without_a_real_one(tmp_path: Path) -> None:
    train, drawn = samples(2, "train"), samples(1, "drawn", "m/shapes")
    with_real = gallery_of(train, replace(drawn, groups=("train-000",)), tmp_path / "with")
    without = gallery_of(train, drawn, tmp_path / "without")
    assert without.shape[0] * 3 == with_real.shape[0] * 2


def test_the_losses_of_all_arms_are_one_plot_and_a_shared_training_is_one_line(tmp_path: Path) -> None:
    found = evidence(("a", "b"), images=1)
    rows = [{"step": 1.0, "loss": 0.5}, {"step": 2.0, "loss": 0.4}]
    arms = tuple(
        replace(arm, history={"generator gan · seed 0": rows, f"segmenter unet · {arm.scores.arm} · seed 0": loss})
        for arm, loss in zip(found.arms, (rows, [{"step": 1.0, "loss": 0.3}]), strict=True)
    )
    page = page_of(replace(found, arms=arms), tmp_path)
    assert re.findall(r'alt="(Training curves of .*?)"', page)[::4] == [
        "Training curves of generator gan: loss over the steps, one line per training (a, b)",
        "Training curves of segmenter unet: loss over the steps, one line per training (a, b)",
    ]
    legends = [
        (tmp_path / f"figures/curves-{name}.svg").read_text() for name in ("1-generator-gan", "2-segmenter-unet")
    ]
    assert ["<!-- a, b -->" in svg for svg in legends] == [True, False]
    assert "<!-- a -->" in legends[1]
    assert "<!-- b -->" in legends[1]


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StageError, match=r"taken: cannot be written: .*Choose another folder with --out"):
        write_report(evidence(("a",), images=1), tmp_path / "taken")


def test_equal_evidence_gives_equal_bytes(four: tuple[Evidence, Path], tmp_path: Path) -> None:
    write_report(four[0], tmp_path)
    for path in (path for path in four[1].rglob("*") if path.is_file()):
        assert (tmp_path / path.relative_to(four[1])).read_bytes() == path.read_bytes(), path.name


def test_the_json_has_every_number_of_every_arm(two_seeds: tuple[Evidence, Path]) -> None:
    found, folder = two_seeds
    record = json.loads((folder / "report.json").read_text())
    assert record["title"] == "Arms on phantoms"
    assert record["order"] == ["a", "b"]
    assert record["provenance"] == {"augkit": "0.1.0", "device": "cpu"}
    arm, values = record["arms"]["b"], found.arms[1].scores.values
    summary = summarise(values["dice"])
    assert arm["metrics"]["dice"] == {
        "mean": summary.mean,
        "standard_error": summary.standard_error,
        "images": 12,
        "seed_sd": summary.seed_sd,
    }
    assert set(arm["metrics"]) == set(arm["seed_means"]) == set(METRICS)
    assert arm["seed_means"]["jaccard"] == values["jaccard"].mean(axis=1).tolist()
    assert (arm["seeds"], arm["training_images"], arm["seconds"]) == ([3, 5], {"real": 20}, {"segmenter unet": 61.0})


def test_the_json_holds_every_number_of_table_1(four: tuple[Evidence, Path], two_seeds: tuple[Evidence, Path]) -> None:
    for found, folder in (four, two_seeds):
        arms = json.loads((folder / "report.json").read_text())["arms"]
        for arm in found.arms:
            recorded = {metric: Summary(**arms[arm.scores.arm]["metrics"][metric]) for metric in TABLE_1}
            assert recorded == {metric: summarise(arm.scores.values[metric]) for metric in TABLE_1}


def test_the_seed_sd_of_one_seed_is_null(four: tuple[Evidence, Path]) -> None:
    record = json.loads((four[1] / "report.json").read_text())
    assert record["arms"]["noaug"]["metrics"]["dice"]["seed_sd"] is None


def test_the_csv_has_one_row_per_arm_seed_and_image_with_every_digit(two_seeds: tuple[Evidence, Path]) -> None:
    found, folder = two_seeds
    with (folder / "per_image.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = ["image_id", "arm", "seed", "dice", "accuracy", "sensitivity", "specificity"]
    assert list(rows[0]) == [*expected, "jaccard", "thresholded_jaccard", "nsd"]
    assert len(rows) == 2 * 2 * 12
    for row in rows:
        arm = found.arms["ab".index(row["arm"])].scores
        place = (arm.seeds.index(int(row["seed"])), arm.image_ids.index(row["image_id"]))
        assert all(float(row[metric]) == arm.values[metric][place] for metric in METRICS)


def test_table_1_has_the_papers_columns_and_the_arms_in_order() -> None:
    arms = [arm.scores for arm in evidence(("z", "a")).arms]
    rows = table_rows(arms)
    assert rows[0] == ["arm", "Dice", "accuracy", "sensitivity", "specificity"]
    assert [row[0] for row in rows[1:]] == ["z", "a"]
    assert rows[1][1:] == [str(summarise(arms[0].values[metric])) for metric in METRICS[:4]]


def test_table_1_has_the_seed_sd_of_dice_where_there_is_one() -> None:
    test = samples(5, "test")
    rows = table_rows([arm_evidence(test, "a", (0, 1, 2)).scores, arm_evidence(test, "b").scores])
    spread = summarise(arm_evidence(test, "a", (0, 1, 2)).scores.values["dice"]).seed_sd
    assert rows[0][1:3] == ["Dice", "seed SD"]
    assert [row[2] for row in rows[1:]] == [f"{spread:.4f}", "–"]


def test_one_test_image_has_no_standard_error() -> None:
    rows = table_rows([arm_evidence(samples(1, "test"), "a").scores])
    assert all(re.fullmatch(r"[01]\.\d{4}", cell) for cell in rows[1][1:])


def test_differences_are_paired_by_image_and_averaged_over_seeds() -> None:
    ids = ("i", "j", "k", "l")
    first = ArmScores("a", ids, (0,), {"dice": np.array([[0.5, 0.5, 0.5, 0.5]])})
    other = ArmScores("b", ids, (0, 1), {"dice": np.array([[0.4, 0.5, 0.7, 0.8], [0.4, 0.5, 0.9, 1.0]])})
    header, row = difference_rows([first, other])
    assert header == ["arm", "mean", "25 %", "median", "75 %", "images higher", "equal", "lower"]
    assert row == ["b", "+0.1500", "−0.0250", "+0.1500", "+0.3250", "2", "1", "1"]


def test_cases_are_the_ends_and_the_middle_of_the_ranking() -> None:
    found = choose_cases(np.array([0.0, 8.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0, 4.0]), 2)
    assert {group: index.tolist() for group, index in found.items()} == {
        "highest": [1, 3],
        "median": [7, 8],
        "lowest": [0, 2],
    }


@pytest.mark.parametrize("images", range(1, 14))
def test_no_image_is_shown_as_two_cases(images: int) -> None:
    index = np.concatenate(list(choose_cases(np.zeros(images)).values()))
    assert len(set(index.tolist())) == len(index) == min(9, images if images < 3 else images // 3 * 3)


def test_one_arm_shows_its_best_median_and_worst_images(tmp_path: Path) -> None:
    page = page_of(evidence(("noaug",)), tmp_path)
    assert re.findall(r"<h3>(.*?)</h3>", page)[:3] == ["Best Dice", "Around the median", "Worst Dice"]
    assert "Dice difference" not in page
    assert "No arm uses synthetic images." in page


def test_names_with_html_characters_are_shown_and_not_run(tmp_path: Path) -> None:
    name = "<script>alert('x')</script> & $co$"
    found = evidence((name, "b"))
    arms = (replace(found.arms[0], recipe="note: </pre><img src=x>\n"), found.arms[1])
    page = page_of(replace(found, arms=arms), tmp_path)
    assert "<script" not in page
    assert "<img src=x>" not in page
    assert name in text_of(page)


def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    found = evidence(("a",))
    drawn = samples(3, "drawn", "../../x")
    arm = replace(found.arms[0], synthetic=(("../../x", drawn),), history={"../y": [{"step": 1.0, "loss": 1.0}]})
    write_report(replace(found, arms=(arm,)), tmp_path / "report")
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert (tmp_path / "report/figures/synthetic-1-x.png").is_file()
    assert (tmp_path / "report/figures/curves-1-y.svg").is_file()


def test_one_test_image_is_enough_for_a_report(tmp_path: Path) -> None:
    text = text_of(page_of(evidence(("a", "b"), images=1), tmp_path))
    assert "averaged over the 1 test image, at training size." in text
    assert "All test images" in text


def test_equal_scores_and_empty_predictions_are_reported(tmp_path: Path) -> None:
    found = evidence(("a", "b"))
    empty = np.zeros_like(found.test.masks)
    empties = {**scores(confusion(empty, found.test.masks)), "nsd": surface_distance(empty, found.test.masks)}
    values = {name: value[None] for name, value in empties.items()}
    arms = tuple(replace(arm, predictions=empty, scores=replace(arm.scores, values=values)) for arm in found.arms)
    text = text_of(page_of(replace(found, arms=arms), tmp_path))
    assert "Empty true masks: none. Empty predicted masks (first seed): a 12, b 12." in text
    assert "b +0.0000 +0.0000 +0.0000 +0.0000 0 12 0" in text


def test_twelve_arms_and_six_seeds_fit_on_a_page(tmp_path: Path) -> None:
    names = [f"arm-{i}" for i in range(12)]
    text = text_of(page_of(evidence(names, images=6, seeds=range(6)), tmp_path))
    assert "12 arms" in text
    assert "trained for each arm with 6 seeds (0 to 5)" in text
    assert "seed SD" in text


def test_a_training_without_records_has_no_curves(tmp_path: Path) -> None:
    found = evidence(("a",))
    arm = replace(found.arms[0], history={"segmenter unet": [], "generator": [{"step": 1.0}]})
    assert "No training was recorded." in page_of(replace(found, arms=(arm,)), tmp_path)


def test_values_recorded_only_now_and_then_have_a_curve_too(tmp_path: Path) -> None:
    found = evidence(("a",))
    rows = [
        {"step": 1.0, "loss": 0.5},
        {"step": 2.0, "loss": 0.4, "validation": 0.7},
        {"step": 3.0, "loss": float("nan")},
    ]
    write_report(replace(found, arms=(replace(found.arms[0], history={"s": rows}),)), tmp_path)
    svg = (tmp_path / "figures/curves-1-s.svg").read_text()
    assert "<!-- loss -->" in svg
    assert "<!-- validation -->" in svg


def test_scores_of_other_images_are_refused(tmp_path: Path) -> None:
    found = evidence(("a",))
    other = replace(found, test=samples(12, "other"))
    with pytest.raises(ValueError, match="arm a: the scored images are not the test images; allowed: equal ids in"):
        write_report(other, tmp_path)
    assert not any(tmp_path.iterdir())


def test_predictions_of_another_size_are_refused(tmp_path: Path) -> None:
    found = evidence(("a",))
    arm = replace(found.arms[0], predictions=found.arms[0].predictions[:5])
    with pytest.raises(
        ValueError, match=r"arm a: predictions are \(5, 32, 32\); allowed: \(12, 32, 32\), as the masks"
    ):
        write_report(replace(found, arms=(arm,)), tmp_path)


def test_scores_that_lack_a_seed_are_refused(tmp_path: Path) -> None:
    found = evidence(("a",))
    arm = replace(found.arms[0], scores=replace(found.arms[0].scores, seeds=(0, 1)))
    with pytest.raises(ValueError, match=r"arm a: dice is \(1, 12\); allowed: \(2, 12\), one per seed and test image"):
        write_report(replace(found, arms=(arm,)), tmp_path)


@pytest.mark.parametrize("names", [(), ("a", "a")])
def test_arms_need_names_of_their_own(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allowed: at least one, each with its own name"):
        write_report(evidence(names), tmp_path)


def test_a_generator_s_warnings_mark_the_arms_that_used_it(tmp_path):
    found = evidence(("noaug", "<gan>aug", "allaug"))
    warned = tuple(
        replace(arm, warnings=("generator gan: The generator has collapsed.",)) if arm.scores.arm != "noaug" else arm
        for arm in found.arms
    )
    write_report(replace(found, arms=warned), tmp_path)
    line = "<gan>aug, allaug: generator gan: The generator has collapsed."
    assert (
        "&lt;gan&gt;aug, allaug: generator gan: The generator has collapsed." in (tmp_path / "report.html").read_text()
    )
    assert recorded_warnings(json.loads((tmp_path / "report.json").read_text())) == (line,)


def test_the_page_and_the_record_say_how_many_steps_every_arm_was_trained(tmp_path: Path) -> None:
    found = evidence(("noaug", "allaug"))
    steps = ("6300", "12600")
    arms = tuple(
        replace(arm, scores=replace(arm.scores, conditions={"optimiser steps": (n,), "precision": ("float32",)}))
        for arm, n in zip(found.arms, steps, strict=True)
    )
    page = text_of(page_of(replace(found, arms=arms), tmp_path))
    assert (
        "How the segmenters were trained. arm optimiser steps precision noaug 6300 float32 allaug 12600 float32" in page
    )
    assert "The trainings differ in optimiser steps: 6300 (noaug), 12600 (allaug)." in page
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["arms"]["allaug"]["conditions"] == {"optimiser steps": ["12600"], "precision": ["float32"]}


def test_a_sweep_is_shown_as_a_curve_in_the_page_and_kept_as_files(tmp_path: Path) -> None:
    found = evidence(("few-1", "few-2"), seeds=(3, 5))
    recipes = [f"name: few-{i}\nsynthesize:\n- per_real: {i}\n" for i in (1, 2)]
    arms = (replace(arm, recipe=recipe) for arm, recipe in zip(found.arms, recipes, strict=True))
    found = replace(found, arms=tuple(arms))
    places = (SweepPoint("few", "synthesize.0.per_real", float(i)) for i in (1, 2))
    swept = tuple(zip(places, (arm.scores for arm in found.arms), strict=True))
    page = page_of(replace(found, sweep=swept), tmp_path)
    assert '<h2 id="curves">Curves</h2>' in page
    assert "Mean Dice over what was swept, one line per recipe, with its band over seeds: a 95 % interval" in text_of(
        page
    )
    assert (tmp_path / "figures" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "figures" / "curves.svg").read_text().startswith("<?xml")
    assert (tmp_path / "curves.csv").is_file()
    (kept,) = (tmp_path / "recipes").iterdir()
    assert yaml.safe_load(kept.read_text()) == {
        "name": "few", "synthesize": [{"per_real": 1}], "sweep": {"synthesize.0.per_real": [1, 2]}
    }  # fmt: skip
    without = page_of(found, tmp_path / "without")
    assert '<h2 id="curves">Curves</h2>' not in without
    assert not (tmp_path / "without" / "curves.csv").exists()
