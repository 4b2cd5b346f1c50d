"""The report of a run: the verdict, Table 1, pictures, densities, cases, curves, costs, and how to get it all again.

`write_report` leaves one HTML page that needs no network and no script, the same numbers for machines (report.json),
every score (per_image.csv), every picture as a file, and the recipes it came from.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from numpy.typing import NDArray

from augkit import figures
from augkit.amounts import duration
from augkit.comparison import Comparison, compare, comparison_record, signed
from augkit.contracts import NATIVE_SIZE, ImageSet
from augkit.curves import Curve, curve_figure, curves_of, write_curves
from augkit.evidence import ArmEvidence, Evidence, Section, check_evidence
from augkit.figures import DARK, EITHER, LIGHT, PREDICTION, TRUTH, Form, Line, Look, Row, Tile
from augkit.metrics import METRICS
from augkit.statistics import TEST_IMAGES, ArmScores, Design, summarise
from augkit.store import explained, write_bytes, write_json, write_text
from augkit.tables import (
    DENSITY_METRICS,
    Table,
    Values,
    contrast_rows,
    difference_rows,
    exploratory_rows,
    metric_rows,
    metric_title,
    per_arm_rows,
    quantile_rows,
    table_rows,
    table_title,
    unadjusted_rows,
    warning_lines,
)

CASES = 3
"""Images per group of segmentation cases."""

GALLERY = 6
"""Samples per synthetic source."""


def write_report(evidence: Evidence, folder: Path) -> None:
    """Write report.html, report.json, per_image.csv, figures/ and recipes/ into `folder`.

    Raises ValueError where the arms were not scored on the images of ``evidence.test``.
    """
    check_evidence(evidence)
    with explained(folder):
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    comparison = compare([arm.scores for arm in evidence.arms])
    swept = curves_of(evidence.sweep)
    page = _page(evidence, comparison, swept)
    write_pictures(folder, page.pictures())
    for name, recipe in _recipe_files(evidence.arms).items():
        write_text(folder / "recipes" / name, recipe)
    write_text(folder / "per_image.csv", per_image([arm.scores for arm in evidence.arms]))
    write_json(folder / "report.json", _summary(evidence, comparison))
    write_curves(swept, folder)
    page_text = template("report.html.j2").render(page=page, evidence=evidence, prediction=PREDICTION)
    write_text(folder / "report.html", page_text)


def write_pictures(folder: Path, pictures: Iterable[Picture]) -> None:
    """Write the files of pictures into ``folder/figures``."""
    for picture in pictures:
        for name, data in picture.files():
            write_bytes(folder / "figures" / name, data)


def choose_cases(values: Values, count: int = CASES) -> Mapping[str, NDArray[np.int64]]:
    """Return which images to show, by rank alone: ``highest``, ``median`` and ``lowest``, `count` indices each.

    values: float64 (N,). The groups share no image; with fewer than three images there is one group, ``highest``.
    """
    order = np.argsort(-values, kind="stable").astype(np.int64)
    if len(order) < 3:
        return {"highest": order}
    count = min(count, len(order) // 3)
    start = (len(order) - count) // 2
    return {"highest": order[:count], "median": order[start : start + count], "lowest": order[::-1][:count]}


# Pictures: what the page shows and what goes into figures/.


@dataclass(frozen=True)
class Picture:
    """A picture in its variants; `dark`, `narrow` and `narrow_dark` may be empty.

    stem: file name without ending; alt: what it shows, for readers who do not see it.
    """

    stem: str
    alt: str
    png: bytes
    dark: bytes = b""
    narrow: bytes = b""
    narrow_dark: bytes = b""
    svg: bytes = b""

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and bytes of each file that is kept beside the page."""
        yield f"{self.stem}.png", self.png
        if self.svg:
            yield f"{self.stem}.svg", self.svg

    def sources(self) -> Iterator[tuple[str, str]]:
        """Yield (media query, data URL) of the variants, the most specific first."""
        narrow, dark = "(max-width: 700px)", "(prefers-color-scheme: dark)"
        variants = ((f"{narrow} and {dark}", self.narrow_dark), (narrow, self.narrow), (dark, self.dark))
        yield from ((media, _data_url(data)) for media, data in variants if data)

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return _data_url(self.png)

    @property
    def width(self) -> int:
        """The width on the page in CSS pixels: line plots at their size in inches, galleries pixel by pixel."""
        pixels = int.from_bytes(self.png[16:20], "big")
        return pixels * 96 // figures.DPI if self.svg else pixels


@dataclass(frozen=True)
class Source:
    """A synthetic source: its origin, the arms that use it, whether real images are shown, and some samples."""

    origin: str
    arms: str
    paired: bool
    picture: Picture


@dataclass(frozen=True)
class CaseGroup:
    """Images chosen by rank: a heading, the picture, and one row of text per image."""

    heading: str
    picture: Picture
    rows: Table


@dataclass(frozen=True)
class Curves:
    """The training curves of one stage."""

    stage: str
    picture: Picture


@dataclass(frozen=True)
class Verdicts:
    """The findings of a comparison: (verdict, sentence) of each contrast, remarks, their picture and tables.

    picture is None where no contrast has a value; a table without rows is its header.
    """

    sentences: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    picture: Picture | None
    contrasts: Table
    unadjusted: Table
    exploratory: Table
    margin: float


@dataclass(frozen=True)
class Extra:
    """A section that another stage contributed."""

    title: str
    text: tuple[str, ...]
    tables: tuple[tuple[str, Sequence[Sequence[str]]], ...]
    pictures: tuple[Picture, ...]
    words: int


@dataclass(frozen=True)
class Page:
    """Everything the template prints, ready to print."""

    sentence: str
    scored_on: str
    scope: str
    resolution: str
    verdicts: Verdicts
    seed_sentence: str
    warnings: tuple[str, ...]
    table_title: str
    table: Table
    other_metrics: Table
    differences: Table
    empties: str
    sources: tuple[Source, ...]
    extras: tuple[Extra, ...]
    sweep: Picture | None
    density: Picture
    quantiles: Table
    case_rule: str
    case_table: Table
    cases: tuple[CaseGroup, ...]
    curves: tuple[Curves, ...]
    composition: Table
    costs: Table
    command: str

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture once."""
        if self.verdicts.picture is not None:
            yield self.verdicts.picture
        yield from (source.picture for source in self.sources)
        yield from (picture for extra in self.extras for picture in extra.pictures)
        if self.sweep is not None:
            yield self.sweep
        yield self.density
        yield from (group.picture for group in self.cases)
        yield from (curves.picture for curves in self.curves)


def _page(evidence: Evidence, comparison: Comparison, swept: Sequence[Curve]) -> Page:
    arms = [arm.scores for arm in evidence.arms]
    names = [arm.arm for arm in arms]
    pair = _case_pair(arms, comparison)
    cases = tuple(_cases(evidence, pair))
    return Page(
        sentence=_sentence(evidence),
        scored_on=arms[0].design.scored_on,
        scope=scope(arms[0].design),
        resolution=resolution(arms[0].design),
        verdicts=verdicts(comparison),
        seed_sentence=_seed_sentence(arms),
        warnings=warning_lines({arm.scores.arm: arm.warnings for arm in evidence.arms}),
        table_title=table_title(arms[0].design),
        table=table_rows(arms),
        other_metrics=metric_rows(arms),
        differences=difference_rows(arms),
        empties=_empties(evidence),
        sources=tuple(_source(i, *found, evidence.train) for i, found in enumerate(_synthetic(evidence.arms), 1)),
        extras=tuple(_extra(section) for section in evidence.sections),
        sweep=_sweep(swept),
        density=density(arms),
        quantiles=quantile_rows(arms),
        case_rule=_case_rule(pair),
        case_table=[["group", "image", *_case_columns(pair)], *(row for group in cases for row in group.rows)],
        cases=cases,
        curves=tuple(_curves(i, *stage) for i, stage in enumerate(_trainings(evidence.arms).items(), 1)),
        composition=per_arm_rows(names, [arm.training_images for arm in evidence.arms], str),
        costs=per_arm_rows(names, [arm.seconds for arm in evidence.arms], duration),
        command=_command(evidence),
    )


def verdicts(comparison: Comparison) -> Verdicts:
    """Return what a page shows of a comparison."""
    return Verdicts(
        tuple((finding.verdict, finding.sentence) for finding in comparison.findings),
        comparison.remarks,
        _effects(comparison),
        contrast_rows(comparison),
        unadjusted_rows(comparison),
        exploratory_rows(comparison),
        comparison.margin,
    )


def _effects(comparison: Comparison) -> Picture | None:
    rows = []
    for finding in comparison.findings:
        dice = finding.estimates.get("dice")
        interval = None if dice is None else (dice.mean, dice.low, dice.high)
        if finding.by_seed:
            rows.append(figures.Effect(finding.contrast.name, finding.by_seed, interval))
    if not rows:
        return None

    def draw(look: Look, columns: int, form: Form) -> bytes:
        return figures.effects(rows, comparison.margin, "difference in mean Dice", look, columns, form)

    alt = "Dice differences of the planned contrasts: each seed, the mean and its 95 % interval"
    return _lines_picture("effects", alt, len(rows) + 1, draw)


def _sweep(curves: Sequence[Curve]) -> Picture | None:
    """Return the curves of all sweeps, one panel per swept path; None without a sweep."""
    if not curves:
        return None

    def draw(look: Look, columns: int, form: Form) -> bytes:
        return curve_figure(curves, look, columns, form)

    alt = "Mean Dice over what was swept, one line per recipe, with its band over seeds"
    return _lines_picture("curves", alt, len({curve.path for curve in curves}), draw)


def _extra(section: Section) -> Extra:
    pictures = tuple(Picture(_slug(stem), alt, png) for stem, alt, png in section.pictures)
    return Extra(section.title, section.text, section.tables, pictures, section.words)


def _recipe_files(arms: Sequence[ArmEvidence]) -> Mapping[str, str]:
    """Return file name -> the resolved recipe, in the order of the arms."""
    return {f"{i}-{_slug(arm.scores.arm)}.yaml": arm.recipe for i, arm in enumerate(arms, 1)}


def _command(evidence: Evidence) -> str:
    files = " ".join(f"recipes/{name}" for name in _recipe_files(evidence.arms))
    seeds = dict.fromkeys(seed for arm in evidence.arms for seed in arm.scores.seeds)
    return f"augkit run {files} --seeds {','.join(map(str, seeds))}"


# Words.


def _sentence(evidence: Evidence) -> str:
    names = [arm.scores.arm for arm in evidence.arms]
    totals = sorted({sum(arm.training_images.values()) for arm in evidence.arms})
    seeds = sorted({len(arm.scores.seeds) for arm in evidence.arms})
    image = evidence.arms[0].scores.design.scored_on.removesuffix("s")
    was = "was" if len(names) == 1 else "were each"
    return (
        f"{_counted(len(names), 'arm')} ({_listed(names)}) {was} trained with {_range(seeds, 'seed')} on "
        f"{_range(totals, 'training sample')} and scored on "
        f"{'the same ' if len(names) > 1 else ''}{_counted(len(evidence.test), image)}."
    )


def resolution(design: Design) -> str:
    """Return at which size masks were compared."""
    if design.score_at == NATIVE_SIZE:
        return (
            "Scores are taken at native size: a segmenter's scores are interpolated linearly to the size of each mask "
            "file and cut at 0.5 there. Pictures show training size."
        )
    return "Scores are taken at training size: images and masks were resized before training, and compared so."


def scope(design: Design) -> str:
    """Return what a reader must know of scores that are not on the test images; '' for those that are."""
    if design.scored_on == TEST_IMAGES:
        return ""
    return (
        "All scores are on a development split: training images that no arm was trained on. The test images were not "
        "scored. Settings that are chosen here look better here than they are; score the chosen ones once on the "
        "test images, with development_share: 0."
    )


def _seed_sentence(arms: Sequence[ArmScores]) -> str:
    if any(len(arm.seeds) == 1 for arm in arms):
        return "With one seed, a difference between arms cannot be told from the luck of one training."
    return (
        "Seed SD is the standard deviation of an arm's mean Dice over its trainings; "
        "a difference between arms of that size can be the luck of training."
    )


def _empties(evidence: Evidence) -> str:
    """Count the masks for which some metric is a convention, not a ratio."""
    true = int((~evidence.test.masks.any(axis=(1, 2))).sum())
    found = [(arm.scores.arm, int((~arm.predictions.any(axis=(1, 2))).sum())) for arm in evidence.arms]
    listed = ", ".join(f"{arm} {count}" for arm, count in found if count) or "none"
    return f"Empty true masks: {true or 'none'}. Empty predicted masks (first seed): {listed}."


def _case_rule(pair: Sequence[ArmScores]) -> str:
    images = pair[0].design.scored_on
    what = "Dice" if len(pair) == 1 else f"the Dice difference of {pair[-1].arm} to {pair[0].arm}"
    return (
        f"Chosen by rule, not by eye: the first, the middle and the last of the {images}, "
        f"put in the order of {what} with the first seed ({pair[0].seeds[0]})."
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _range(counts: Sequence[int], noun: str) -> str:
    low, high = counts[0], counts[-1]
    return _counted(low, noun) if low == high else f"{low} to {_counted(high, noun)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


# For machines.


def _summary(evidence: Evidence, comparison: Comparison) -> Mapping[str, object]:
    return {
        "title": evidence.title,
        "comparison": comparison_record(comparison),
        "order": [arm.scores.arm for arm in evidence.arms],
        "arms": {arm.scores.arm: _arm_summary(arm) for arm in evidence.arms},
        "test": {"images": len(evidence.test), "sha256": _digest(evidence.test)},
        "sections": {section.title: dict(section.record) for section in evidence.sections},
        "command": _command(evidence),
        "artifacts": [list(artifact) for artifact in evidence.artifacts],
        "provenance": dict(evidence.provenance),
    }


def _digest(samples: ImageSet) -> str:
    """Return a SHA-256 of names and pixels, by which two reports know that they scored the same images."""
    digest = hashlib.sha256(json.dumps([samples.ids, samples.images.shape]).encode())
    digest.update(np.ascontiguousarray(samples.images).data)
    digest.update(np.ascontiguousarray(samples.masks).data)
    return digest.hexdigest()


def _arm_summary(arm: ArmEvidence) -> Mapping[str, object]:
    values = arm.scores.values
    summaries = {metric: summarise(values[metric]) for metric in METRICS}
    return {
        "metrics": {
            metric: {
                "mean": summary.mean,
                "standard_error": summary.standard_error,
                "images": summary.images,
                "seed_sd": summary.seed_sd,
            }
            for metric, summary in summaries.items()
        },
        "design": asdict(arm.scores.design),
        "seeds": [int(seed) for seed in arm.scores.seeds],
        "seed_means": {metric: values[metric].mean(axis=1).tolist() for metric in METRICS},
        "training_images": {origin: int(count) for origin, count in arm.training_images.items()},
        "seconds": {stage: float(seconds) for stage, seconds in arm.seconds.items()},
        "warnings": list(arm.warnings),
    }


def per_image(arms: Sequence[ArmScores]) -> str:
    """Return CSV text: one row per arm, seed and image, with every digit of every metric."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image_id", "arm", "seed", *METRICS])
    for arm in arms:
        columns = np.stack([arm.values[metric] for metric in METRICS], axis=-1).tolist()
        for seed, rows in zip(arm.seeds, columns, strict=True):
            writer.writerows([name, arm.arm, seed, *row] for name, row in zip(arm.image_ids, rows, strict=True))
    return text.getvalue()


# Synthetic sources.


def _synthetic(arms: Sequence[ArmEvidence]) -> list[tuple[str, ImageSet, list[str]]]:
    """Return (origin, samples, arms) of each source, one that several arms share only once."""
    found: list[tuple[str, ImageSet, list[str]]] = []
    for arm in arms:
        for origin, samples in arm.synthetic:
            shared = next((users for name, other, users in found if name == origin and _equal(other, samples)), None)
            if shared is None:
                found.append((origin, samples, [arm.scores.arm]))
            else:
                shared.append(arm.scores.arm)
    return [item for item in found if len(item[1])]


def _equal(a: ImageSet, b: ImageSet) -> bool:
    return a.ids == b.ids and np.array_equal(a.images, b.images)


def _source(number: int, origin: str, samples: ImageSet, arms: Sequence[str], train: ImageSet) -> Source:
    partners = [_partner(samples, i, train) for i in range(len(samples))]
    shown = sorted(range(len(samples)), key=lambda i: partners[i] is None)[:GALLERY]
    rows = [
        Row("mask given to the generator", tuple(Tile(figures.mask_picture(samples.masks[i])) for i in shown)),
        Row("real image of the same group, with its own mask", tuple(_real(partners[i], train) for i in shown)),
        Row("synthetic image, with the mask it was given", tuple(_outlined(samples, i) for i in shown)),
    ]
    paired = any(partners[i] is not None for i in shown)
    if not paired:
        del rows[1]
    alt = f"{len(shown)} samples of {origin}: mask, real image and synthetic image"
    picture = Picture(f"synthetic-{number}-{_slug(origin)}", alt, figures.gallery(rows, EITHER))
    return Source(origin, _listed(arms), paired, picture)


def _partner(samples: ImageSet, index: int, train: ImageSet) -> int | None:
    """Return the training sample of the same group, preferably with the very mask, that a synthetic one belongs to."""
    same = [i for i, group in enumerate(train.groups) if group == samples.groups[index]]
    equal = [i for i in same if np.array_equal(train.masks[i], samples.masks[index])]
    return next(iter([*equal, *same]), None)


def _real(index: int | None, train: ImageSet) -> Tile:
    return Tile(None, note="not among those read") if index is None else _outlined(train, index)


def _outlined(samples: ImageSet, index: int) -> Tile:
    return Tile(samples.images[index], ((samples.masks[index], TRUTH),))


# Densities, cases and curves.


def density(arms: Sequence[ArmScores]) -> Picture:
    """Return the densities of Figure 5: one panel per metric, one line per arm, scores averaged over seeds."""
    panels = {
        metric_title(metric): {arm.arm: arm.values[metric].mean(axis=0) for arm in arms} for metric in DENSITY_METRICS
    }

    def draw(look: Look, columns: int, form: Form) -> bytes:
        return figures.densities(panels, look, columns, form)

    images = arms[0].design.scored_on
    alt = f"Densities of Dice, sensitivity and specificity over the {images}, one line per arm"
    return _lines_picture("densities", alt, len(panels), draw)


def _lines_picture(stem: str, alt: str, panels: int, draw: Callable[[Look, int, Form], bytes]) -> Picture:
    """Return a line plot in its variants; one panel looks the same on narrow and wide screens."""
    return Picture(
        stem,
        alt,
        draw(LIGHT, 3, "png"),
        dark=draw(DARK, 3, "png"),
        narrow=draw(LIGHT, 1, "png") if panels > 1 else b"",
        narrow_dark=draw(DARK, 1, "png") if panels > 1 else b"",
        svg=draw(LIGHT, 3, "svg"),
    )


def _case_pair(arms: Sequence[ArmScores], comparison: Comparison) -> list[ArmScores]:
    """Return control and arm of the primary contrast; without one, the first and the last arm; or the only one."""
    if comparison.findings:
        primary = comparison.findings[0].contrast
        return [primary.minus[0], primary.plus[0]]
    return [arms[0], arms[-1]] if len(arms) > 1 else [arms[0]]


def _case_columns(pair: Sequence[ArmScores]) -> list[str]:
    return [*(f"Dice {arm.arm}" for arm in pair), *(["difference"] if len(pair) > 1 else [])]


def _cases(evidence: Evidence, pair: Sequence[ArmScores]) -> Iterator[CaseGroup]:
    dice = {arm.scores.arm: arm.scores.values["dice"][0] for arm in evidence.arms}
    single = len(pair) == 1
    values = dice[pair[0].arm] if single else dice[pair[-1].arm] - dice[pair[0].arm]
    for group, index in choose_cases(values).items():
        notes = {arm: [f"Dice {scores[i]:.3f}" for i in index] for arm, scores in dice.items()}
        notes[""] = [evidence.test.ids[i] if single else signed(values[i]) for i in index]
        predictions = {arm.scores.arm: arm.predictions[index] for arm in evidence.arms}
        drawn = figures.cases(evidence.test.images[index], evidence.test.masks[index], predictions, notes, EITHER)
        scored_on = pair[0].design.scored_on
        heading = _case_heading(group, single, len(values), scored_on)
        picture = Picture(f"cases-{group}", f"{heading}: {scored_on} with the true and each arm's outline", drawn)
        rows = [
            [heading, evidence.test.ids[i], *(f"{dice[arm.arm][i]:.4f}" for arm in pair)]
            + ([] if single else [signed(values[i])])
            for i in index
        ]
        yield CaseGroup(heading, picture, rows)


def _case_heading(group: str, single: bool, images: int, scored_on: str) -> str:
    if images < 3:
        return f"All {scored_on}"
    if group == "median":
        return "Around the median"
    if single:
        return "Best Dice" if group == "highest" else "Worst Dice"
    return "Gains most" if group == "highest" else "Loses most"


@dataclass(frozen=True)
class Training:
    """The recorded rows of one training, the arms that share it, and the place of the first of them."""

    arms: list[str]
    order: int
    rows: Sequence[Mapping[str, float]]


def _trainings(arms: Sequence[ArmEvidence]) -> Mapping[str, list[Training]]:
    """Return stage label -> its trainings, one that several arms share only once."""
    stages: dict[str, list[Training]] = {}
    for order, arm in enumerate(arms):
        for label, rows in arm.history.items():
            known = stages.setdefault(label, [])
            same = next((training for training in known if list(training.rows) == list(rows)), None)
            if same is not None:
                same.arms.append(arm.scores.arm)
            elif any(key != "step" for row in rows for key in row):
                known.append(Training([arm.scores.arm], order, rows))
    return {label: trainings for label, trainings in stages.items() if trainings}


def _curves(number: int, stage: str, trainings: Sequence[Training]) -> Curves:
    names = dict.fromkeys(key for training in trainings for row in training.rows for key in row if key != "step")
    panels = {name: [_line(training, name) for training in trainings] for name in names}

    def draw(look: Look, columns: int, form: Form) -> bytes:
        return figures.curves(panels, look, columns, form)

    stem, alt = f"curves-{number}-{_slug(stage)}", f"Training curves of {stage}"
    return Curves(stage, _lines_picture(stem, alt, len(panels), draw))


def _line(training: Training, name: str) -> Line:
    points = [(row["step"], row[name]) for row in training.rows if name in row]
    x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return Line(_listed(training.arms), training.order, x, y)


# The page.


def template(name: str) -> Template:
    """Return one of the package's templates; names and texts of users are escaped."""
    environment = Environment(
        loader=PackageLoader("augkit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:48] or "unnamed"
