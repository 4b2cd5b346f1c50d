"""The report of a run: Table 1, pictures, densities, cases, curves, costs, recipes and where it all came from.

`write_report` leaves one HTML page that needs no network and no script, the same numbers for machines (report.json),
every score (per_image.csv), and every picture as a file. The page describes; it states no verdict on the arms.
"""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from numpy.typing import NDArray

from augkit import figures
from augkit.contracts import ImageSet
from augkit.evidence import ArmEvidence, Evidence, check_evidence
from augkit.figures import DARK, EITHER, LIGHT, PREDICTION, TRUTH, Form, Line, Look, Row, Tile
from augkit.metrics import METRICS
from augkit.statistics import ArmScores, summarise
from augkit.store import explained, write_bytes, write_json, write_text
from augkit.tables import (
    DENSITY_METRICS,
    Table,
    Values,
    difference_rows,
    duration,
    metric_title,
    per_arm_rows,
    quantile_rows,
    signed,
    table_rows,
    warning_lines,
)

CASES = 3
"""Images per group of segmentation cases."""

GALLERY = 6
"""Samples per synthetic source."""


def write_report(evidence: Evidence, folder: Path) -> None:
    """Write report.html, report.json, per_image.csv and figures/ into `folder`.

    Raises ValueError where the arms were not scored on the images of ``evidence.test``.
    """
    check_evidence(evidence)
    with explained(folder):
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    page = _page(evidence)
    for picture in page.pictures():
        for name, data in picture.files():
            write_bytes(folder / "figures" / name, data)
    write_text(folder / "per_image.csv", _per_image(evidence.arms))
    write_json(folder / "report.json", _summary(evidence))
    write_text(folder / "report.html", _template().render(page=page, evidence=evidence, prediction=PREDICTION))


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
class Page:
    """Everything the template prints, ready to print."""

    sentence: str
    seed_sentence: str
    warnings: tuple[str, ...]
    table: Table
    differences: Table
    empties: str
    sources: tuple[Source, ...]
    density: Picture
    quantiles: Table
    case_rule: str
    case_table: Table
    cases: tuple[CaseGroup, ...]
    curves: tuple[Curves, ...]
    composition: Table
    costs: Table

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture once."""
        yield from (source.picture for source in self.sources)
        yield self.density
        yield from (group.picture for group in self.cases)
        yield from (curves.picture for curves in self.curves)


def _page(evidence: Evidence) -> Page:
    arms = [arm.scores for arm in evidence.arms]
    names = [arm.arm for arm in arms]
    cases = tuple(_cases(evidence))
    return Page(
        sentence=_sentence(evidence),
        seed_sentence=_seed_sentence(arms),
        warnings=warning_lines({arm.scores.arm: arm.warnings for arm in evidence.arms}),
        table=table_rows(arms),
        differences=difference_rows(arms),
        empties=_empties(evidence),
        sources=tuple(_source(i, *found, evidence.train) for i, found in enumerate(_synthetic(evidence.arms), 1)),
        density=_density(arms),
        quantiles=quantile_rows(arms),
        case_rule=_case_rule(arms),
        case_table=[["group", "image", *_case_columns(arms)], *(row for group in cases for row in group.rows)],
        cases=cases,
        curves=tuple(_curves(i, *stage) for i, stage in enumerate(_trainings(evidence.arms).items(), 1)),
        composition=per_arm_rows(names, [arm.training_images for arm in evidence.arms], str),
        costs=per_arm_rows(names, [arm.seconds for arm in evidence.arms], duration),
    )


# Words.


def _sentence(evidence: Evidence) -> str:
    names = [arm.scores.arm for arm in evidence.arms]
    totals = sorted({sum(arm.training_images.values()) for arm in evidence.arms})
    seeds = sorted({len(arm.scores.seeds) for arm in evidence.arms})
    was = "was" if len(names) == 1 else "were each"
    return (
        f"{_counted(len(names), 'arm')} ({_listed(names)}) {was} trained with {_range(seeds, 'seed')} on "
        f"{_range(totals, 'training sample')} and scored on "
        f"{'the same ' if len(names) > 1 else ''}{_counted(len(evidence.test), 'test image')}."
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


def _case_rule(arms: Sequence[ArmScores]) -> str:
    what = "Dice" if len(arms) == 1 else f"the Dice difference of {arms[-1].arm} to {arms[0].arm}"
    return (
        f"Chosen by rule, not by eye: the first, the middle and the last of the test images, "
        f"put in the order of {what} with the first seed ({arms[0].seeds[0]})."
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _range(counts: Sequence[int], noun: str) -> str:
    low, high = counts[0], counts[-1]
    return _counted(low, noun) if low == high else f"{low} to {_counted(high, noun)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


# For machines.


def _summary(evidence: Evidence) -> Mapping[str, object]:
    return {
        "title": evidence.title,
        "order": [arm.scores.arm for arm in evidence.arms],
        "arms": {arm.scores.arm: _arm_summary(arm) for arm in evidence.arms},
        "provenance": dict(evidence.provenance),
    }


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
        "seeds": [int(seed) for seed in arm.scores.seeds],
        "seed_means": {metric: values[metric].mean(axis=1).tolist() for metric in METRICS},
        "training_images": {origin: int(count) for origin, count in arm.training_images.items()},
        "seconds": {stage: float(seconds) for stage, seconds in arm.seconds.items()},
        "warnings": list(arm.warnings),
    }


def _per_image(arms: Sequence[ArmEvidence]) -> str:
    """Return CSV text: one row per arm, seed and image, with every digit of every metric."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image_id", "arm", "seed", *METRICS])
    for arm in (arm.scores for arm in arms):
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


def _density(arms: Sequence[ArmScores]) -> Picture:
    panels = {
        metric_title(metric): {arm.arm: arm.values[metric].mean(axis=0) for arm in arms} for metric in DENSITY_METRICS
    }

    def draw(look: Look, columns: int, form: Form) -> bytes:
        return figures.densities(panels, look, columns, form)

    alt = "Densities of Dice, sensitivity and specificity over the test images, one line per arm"
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


def _case_columns(arms: Sequence[ArmScores]) -> list[str]:
    shown = _ends(arms)
    return [*(f"Dice {arm.arm}" for arm in shown), *(["difference"] if len(shown) > 1 else [])]


def _ends(arms: Sequence[ArmScores]) -> list[ArmScores]:
    return [arms[0], arms[-1]] if len(arms) > 1 else [arms[0]]


def _cases(evidence: Evidence) -> Iterator[CaseGroup]:
    arms = [arm.scores for arm in evidence.arms]
    dice = {arm.arm: arm.values["dice"][0] for arm in arms}
    single = len(arms) == 1
    values = dice[arms[0].arm] if single else dice[arms[-1].arm] - dice[arms[0].arm]
    for group, index in choose_cases(values).items():
        notes = {arm: [f"Dice {scores[i]:.3f}" for i in index] for arm, scores in dice.items()}
        notes[""] = [evidence.test.ids[i] if single else signed(values[i]) for i in index]
        predictions = {arm.scores.arm: arm.predictions[index] for arm in evidence.arms}
        drawn = figures.cases(evidence.test.images[index], evidence.test.masks[index], predictions, notes, EITHER)
        heading = _case_heading(group, single, len(values))
        picture = Picture(f"cases-{group}", f"{heading}: test images with the true and each arm's outline", drawn)
        yield CaseGroup(heading, picture, [[heading, *_case_row(evidence, int(i), dice, values)] for i in index])


def _case_row(evidence: Evidence, index: int, dice: Mapping[str, Values], values: Values) -> list[str]:
    shown = [f"{dice[arm.arm][index]:.4f}" for arm in _ends([arm.scores for arm in evidence.arms])]
    return [evidence.test.ids[index], *shown, *([signed(values[index])] if len(shown) > 1 else [])]


def _case_heading(group: str, single: bool, images: int) -> str:
    if images < 3:
        return "All test images"
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


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("augkit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:48] or "unnamed"
