"""Methods in one paragraph, what makes a training worth little, and how good synthetic images are in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from augkit.metrics import METRICS
from augkit.report.summary.study import Study, methods
from augkit.report.summary.synthetic import in_words, sentence
from augkit.report.summary.training import still_falls, weak_judge
from augkit.report.verdict.scores import ArmScores, Design

STUDY = Study(
    "phantom",
    {"train": 200, "validation": 0, "test": 30},
    ("64 × 64", "RGB"),
    "unet (width 8, steps 1500)",
    {"clinic": 40},
    "2026-11-27",
    {"augkit": "0.1.0", "torch": "2.13.0", "python": "3.12.1", "device": "cpu", "precision": "float32"},
)


def arm(name: str, seeds: tuple[int, ...] = (0, 1), folds: int = 0, **design: str) -> ArmScores:
    ids, shape = tuple(f"i{i}" for i in range(30)), (len(seeds), 30)
    places = np.arange(30) % folds if folds else np.zeros(0, np.int64)
    found = Design("phantom #1", "unet #2", folds=folds, **design)
    conditions = {"optimiser steps": ("1500",)}
    return ArmScores(name, ids, seeds, dict.fromkeys(METRICS, np.full(shape, 0.5)), found, conditions, folds=places)


def test_methods_name_data_training_scores_statistics_and_software() -> None:
    arms = [arm("plain"), arm("mine", synthesis="gan/training × 1 #3", augment="geometry #4")]
    assert methods([STUDY], arms, 0.01) == (
        "Data: phantom, 200 training and 30 test images of 64 × 64 pixels (RGB). A segmenter, unet (width 8, steps"
        " 1500), was trained for each arm with 2 seeds (0 to 1), 1,500 optimiser steps each: plain on real images;"
        " mine on real images and synthetic ones (gan/training × 1), transformed by geometry. The outcome is the "
        "Dice coefficient of each image, averaged over the 30 test images, at training size. The same segmenters "
        "were scored on external images, on which nothing was trained or chosen: clinic (40 images). Planned "
        "contrasts were compared by a two-way random-effects test over images and seeds (Hillis 2007) and 95 % "
        "intervals of a bootstrap that draws both (Owen 2007), with p adjusted by Holm's method; differences "
        "within ±0.01 Dice count as equal. Computed on 2026-11-27 with augkit 0.1.0, torch 2.13.0, Python 3.12.1 "
        "(cpu, float32)."
    )


def test_methods_of_one_recipe_have_no_words_for_several_and_compare_nothing() -> None:
    told = methods([STUDY], [arm("plain", seeds=(7,))], 0.01)
    assert "A segmenter, unet (width 8, steps 1500), was trained with one seed (7), 1,500 optimiser steps: on " in told
    assert "each arm" not in told
    assert "contrasts" not in told


def test_methods_with_folds_say_that_every_image_is_tested_once() -> None:
    study = replace(STUDY, images={"images": 30})
    told = methods([study], [arm("plain", folds=5), arm("mine", folds=5, augment="geometry #4")], 0.02)
    assert told.startswith("Data: phantom, 30 images of 64 × 64 pixels (RGB), each tested once in 5 folds.")
    assert "with 2 seeds (0 to 1) in each of 5 folds" in told
    assert "data sets of this size" in told


def test_methods_of_several_reports_name_all_dates_and_versions() -> None:
    later = replace(STUDY, date="2026-12-01", software=STUDY.software | {"torch": "2.14.0"})
    told = methods([STUDY, later], [arm("plain"), arm("mine", augment="geometry #4")], 0.01)
    assert "Computed between 2026-11-27 and 2026-12-01 with augkit 0.1.0, torch 2.13.0 and 2.14.0, Python" in told


def test_methods_say_what_is_known_where_a_report_has_no_facts() -> None:
    told = methods([Study()], [arm("plain")], 0.01)
    assert told.startswith("A segmenter, unet, was trained with 2 seeds (0 to 1)")


# Trainings


def segmenter(**options: object) -> Any:
    return SimpleNamespace(components=(SimpleNamespace(name="unet", options=options),))


def history(*losses: float) -> list[dict[str, float]]:
    return [{"step": 25.0 * i, "loss": loss} for i, loss in enumerate(losses, 1)]


def test_a_loss_that_has_flattened_is_quiet() -> None:
    flat = history(*(0.3 + np.exp(-np.arange(40) / 5)))
    assert list(still_falls(flat, segmenter(steps=1000))) == []
    assert list(still_falls([], segmenter())) == list(still_falls(flat[:1], segmenter())) == []


def test_a_loss_that_was_looked_at_once_before_the_end_says_nothing() -> None:
    assert list(still_falls([{"step": 25, "loss": 1.0}, {"step": 30, "loss": 0.9}], segmenter(steps=30))) == []


def test_a_loss_that_still_falls_is_told_with_twice_the_steps() -> None:
    (line,) = still_falls(history(*np.linspace(1.3, 0.5, 12)), segmenter(steps=300, budget="steps"))
    assert line == (
        "The loss still falls at the end of training: the segmenter could have learnt more. To do: train longer, as "
        "with --set segmenter.unet.steps=600."
    )
    (line,) = still_falls(history(1.3, 1.17, 1.13), segmenter(steps=60, budget="epochs"))
    assert line.endswith("To do: train longer.")


def test_a_loss_that_never_fell_is_told() -> None:
    (line,) = still_falls(history(0.5, 0.6, 0.7, 0.7), segmenter(steps=100))
    assert line.startswith("The loss of the segmenter did not fall: it has learnt nothing. To do: ")


def test_only_a_weak_judge_is_told() -> None:
    assert list(weak_judge(quality(real=0.85))) == []
    assert list(weak_judge({"features": "handcrafted"})) == []
    (line,) = weak_judge(quality(real=0.56))
    assert "it finds the masks of real images with Dice 0.56 only, so adherence says little. To do: train it" in line


# Synthetic images


def quality(
    dice: float = 0.84, real: float = 0.85, kid: float = 0.3, varies: float = 0.7, grid: float | None = 1.0,
    suspicious: float = 0.01,
) -> Mapping[str, Any]:  # fmt: skip
    return {
        "origin": "gan/training",
        "features": "handcrafted",
        "adherence": {"dice": dice, "held_out": real, "shuffled_masks": 0.25},
        "kid_handcrafted": {"value": kid, "error": 0.01, "held_out": 0.0, "held_out_error": 0.01},
        "diversity": {"handcrafted": varies, "real_handcrafted": 1.0, "pixels": 10.0},
        "grid": {"value": grid, "held_out": 1.0},
        "memorisation": {"suspicious_share": suspicious, "held_out_share": 0.01},
    }


def test_good_images_are_praised_with_their_numbers() -> None:
    assert sentence(quality()) == (
        "gan/training: follow their masks (Dice 0.84, real images 0.85), look close to real (KID 0.30 against 0), vary "
        "(images of one mask differ by 70 % of what real ones do), are no copies of training images."
    )
    assert {said.kind for said in in_words(quality())} == {"good"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"dice": 0.5}, "do not follow their masks (Dice 0.50, real images 0.85)"),
        ({"kid": 44.0}, "do not look real (KID 44 against 0)"),
        ({"varies": 0.1}, "hardly vary (images of one mask differ by 10 % of what real ones do)"),
        ({"grid": 3.5}, "show a grid of pixels (3.5, real images 1)"),
        ({"suspicious": 0.27}, "repeat training images too closely (27 % suspicious, real 1 %)"),
    ],
)
def test_each_fault_is_a_warning_in_words_and_the_only_one(fault: Mapping[str, float], words: str) -> None:
    assert [said.text for said in in_words(quality(**fault)) if said.kind == "warn"] == [words]


def test_what_is_in_between_is_neither_good_nor_a_warning() -> None:
    told = [said.text.partition(" (")[0] for said in in_words(quality(dice=0.75, kid=1.0, varies=0.4)) if not said.kind]
    assert told == ["follow their masks roughly", "can be told from real ones", "vary little"]


def test_what_was_not_measured_is_not_said() -> None:
    few = {name: value for name, value in quality(grid=None).items() if not name.startswith(("adherence", "kid"))}
    assert sentence(few) == (
        "gan/training: vary (images of one mask differ by 70 % of what real ones do), are no copies of training images."
    )
