"""The answer in plain words, contrasts that somebody asks for, the ranking, and cautions about scores."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augkit.errors import InputError
from augkit.metrics import METRICS
from augkit.report.tables import ranking_rows
from augkit.report.verdict.comparison import Comparison, compare, comparison_record
from augkit.report.verdict.contrasts import plan_contrasts
from augkit.report.verdict.scores import ArmScores, Design, external_images

DATA, UNET = "phantom #1", "unet #2"
GEOMETRY, GAN, TEXTURE = "geometry #3", "mask2lesion/training × 1 #4", "texture/elastic × 2 #5"


def arm(
    name: str,
    synthesis: str = "",
    augment: str = "",
    shift: float = 0.0,
    seeds: Sequence[int] = range(6),
    images: int = 150,
    luck: float = 0.002,
    folds: int = 0,
) -> ArmScores:
    """An arm that scores 0.7 plus `shift`, plus luck of each training and of each of its images."""
    random = np.random.Generator(np.random.Philox(sum(map(ord, name))))
    table = 0.7 + shift + 0.01 * random.normal(size=(len(seeds), images)) + luck * random.normal(size=(len(seeds), 1))
    places = np.arange(images) % folds if folds else np.zeros(0, np.int64)
    ids, design = tuple(f"i{i}" for i in range(images)), Design(DATA, UNET, augment, synthesis, folds=folds)
    return ArmScores(name, ids, tuple(seeds), dict.fromkeys(METRICS, table), design, folds=places)


def sources(*shifts: float, **options: object) -> list[ArmScores]:
    """A plain arm, one with a GAN and one with textures, which gain so much."""
    first, second = shifts
    return [arm("plain", **options), arm("gan", GAN, shift=first, **options),
            arm("texture", TEXTURE, shift=second, **options)]  # type: ignore[arg-type]  # fmt: skip


def words(comparison: Comparison) -> str:
    return comparison.answer.sentence


def test_what_helps_and_what_harms_is_said_with_its_numbers_and_control() -> None:
    found = compare(sources(0.1, -0.1))
    assert found.answer.verdict == "helps"
    helps, harms = words(found).split(". ")
    assert helps.startswith("gan helps, compared with plain (+0.1")
    assert "Dice, 95 % interval +0.09" in helps
    assert harms.startswith("texture harms, compared with plain (−0.")
    assert found.answer.settle == ""


def test_where_nothing_is_shown_the_answer_says_which_effects_could_not_be_seen_and_what_would_settle_it() -> None:
    found = compare(sources(0.0, 0.0, luck=0.02), margin=0.01)
    assert found.answer.verdict == "no evidence"
    largest = max(finding.detectable or 0 for finding in found.findings)
    assert words(found) == (
        f"Nothing tried is shown to help; effects below {largest:.3f} Dice could not be seen reliably."
    )
    assert found.answer.settle.startswith("To settle whether there is an effect of 0.01 Dice: ")
    assert found.answer.settle.endswith(" seeds.")


def test_one_contrast_without_evidence_names_both_arms() -> None:
    found = compare([arm("plain", luck=0.02), arm("gan", GAN, luck=0.02)])
    assert words(found).startswith("gan is not shown to help or harm, compared with plain; effects below 0.0")


def test_what_is_equal_is_said_to_be() -> None:
    assert words(compare(sources(0.0, 0.0))) == "Equal within ±0.01 Dice: gan and plain; texture and plain."


@pytest.mark.parametrize(
    ("seeds", "images", "sentence", "settle"),
    [
        (
            (0,),
            60,
            "No answer yet: one training per arm cannot separate an arm from the luck of its training.",
            "Train at least 4 seeds, better 6: --seeds 0..5.",
        ),
        (
            range(4),
            9,
            "No answer yet: 9 test images are too few to say anything about others.",
            "At least 10 are needed.",
        ),
    ],
)
def test_without_a_verdict_the_answer_says_why_and_what_to_do(
    seeds: Sequence[int], images: int, sentence: str, settle: str
) -> None:
    found = compare(sources(0.0, 0.0, seeds=seeds, images=images))
    assert (words(found), found.answer.settle) == (sentence, settle)


def test_one_recipe_alone_has_no_words_for_several() -> None:
    one, six = compare([arm("mine", seeds=(0,))]), compare([arm("mine")])
    assert one.answer.title == "mine: how well unet does on phantom"
    assert words(one) == "Mean Dice is 0.699 over 150 test images."
    assert one.answer.settle == "One training may be lucky: --seeds 0..5 trains six, and tells how far they differ."
    assert words(six) == "Mean Dice is 0.699 over 150 test images and 6 trainings, which differ by 0.002 (SD)."
    assert (six.answer.settle, six.remarks, six.ranking) == ("", (), None)


def test_arms_of_which_none_is_a_control_get_the_option_that_compares_them() -> None:
    found = compare(sources(0.0, 0.0)[1:])
    assert words(found) == "No answer: no arm has its control among the arms."
    assert found.answer.settle.startswith("To compare two arms all the same: --contrast ARM:ARM.")


def test_an_answer_on_an_external_set_says_so() -> None:
    there = [replace(one, design=replace(one.design, scored_on=external_images("clinic"))) for one in sources(0.1, 0.0)]
    assert words(compare(there)).startswith("On the external clinic images: gan helps")


@pytest.mark.parametrize(
    ("arms", "title"),
    [
        ([arm("a"), arm("b", "", GEOMETRY)], "Does classical augmentation (geometry) help unet on phantom?"),
        (sources(0.0, 0.0), "Do synthetic images (mask2lesion and texture) help unet on phantom?"),
        (
            [arm("a"), arm("b", GAN), arm("c", "", GEOMETRY)],
            "Do synthetic images (mask2lesion) and classical augmentation (geometry) help unet on phantom?",
        ),
        ([arm("a"), arm("b")], "a and b compared on phantom"),
        (
            [arm("a"), *(arm(f"b{i}", f"g{i}/training × 1 #{i}") for i in range(6))],
            "Do synthetic images (6 sources) help unet on phantom?",
        ),
    ],
)
def test_the_title_says_what_was_studied(arms: Sequence[ArmScores], title: str) -> None:
    assert compare(arms).answer.title == title


# Contrasts that somebody asks for


def test_two_sources_are_compared_on_request_and_adjusted_with_the_others() -> None:
    arms = sources(0.03, 0.0)
    without, asked = compare(arms), compare(arms, asked=[("gan", "texture")])
    assert [one.contrast.name for one in asked.findings] == ["gan vs plain", "texture vs plain", "gan vs texture"]
    found = asked.findings[2]
    assert found.verdict == "better"
    assert found.sentence.startswith("gan vs texture: better. Mean Dice differs by +0.0")
    assert "(Holm, 3 contrasts)" in found.sentence
    assert asked.findings[1].p >= without.findings[1].p  # type: ignore[operator]
    assert "gan is better than texture (+0.0" in words(asked)
    assert compare(arms, asked=[("texture", "gan")]).findings[2].verdict == "worse"


def test_a_contrast_that_is_planned_anyway_is_not_planned_twice() -> None:
    for pair in (("gan", "plain"), ("plain", "gan")):
        assert len(compare(sources(0.0, 0.0), asked=[pair]).findings) == 2
    assert len(plan_contrasts(sources(0.0, 0.0), [("gan", "texture"), ("texture", "gan")]).contrasts) == 3


def test_a_contrast_without_evidence_is_said_of_both() -> None:
    arms = sources(0.0, 0.0, luck=0.02)
    assert words(compare(arms, asked=[("gan", "texture")])).startswith(
        "Nothing tried is shown to help; gan and texture are not shown to differ; effects below 0."
    )


def test_arms_that_differ_in_more_are_compared_and_remarked_on() -> None:
    other = arm("other", TEXTURE)
    other = replace(other, design=replace(other.design, segmenter="nnunet #9"))
    found = compare([arm("plain"), arm("gan", GAN), other], asked=[("gan", "other")])
    assert "gan vs other: they differ in segmenter, too, and the difference may come from that." in found.remarks


@pytest.mark.parametrize(
    ("pair", "problem"),
    [
        (("gan", "textur"), "--contrast gan:textur: no arm is called 'textur'; allowed: two of plain, gan, texture"),
        (
            ("gan", "gan"),
            "--contrast gan:gan: is an arm and itself; allowed: two different ones of plain, gan, texture",
        ),
    ],
)
def test_unknown_arms_are_refused_with_what_is_allowed(pair: tuple[str, str], problem: str) -> None:
    with pytest.raises(InputError) as error:
        compare(sources(0.0, 0.0), asked=[pair])
    assert [str(one) for one in error.value.problems] == [problem]


# The ranking


def ranks(comparison: Comparison) -> list[tuple[str, int, int]]:
    assert comparison.ranking is not None
    return [(place.arm, place.best, place.worst) for place in comparison.ranking.places]


@pytest.mark.parametrize("folds", [0, 5])
def test_arms_that_are_surely_apart_have_one_rank_each(folds: int) -> None:
    found = compare(sources(0.1, 0.05, folds=folds))
    assert ranks(found) == [("gan", 1, 1), ("texture", 2, 2), ("plain", 3, 3)]
    assert found.ranking is not None
    assert found.ranking.sentence == "gan is the best of the 3 arms."
    header, first, second, _ = ranking_rows(found.ranking)
    assert header == ["arm", "mean Dice", "rank", "to the first", "95 % interval, all at once"]
    assert (first[2:], second[2]) == (["1", "–", "–"], "2")
    assert second[3].startswith("−0.0")


def test_arms_that_may_be_equal_share_their_ranks() -> None:
    found = compare(sources(0.0, 0.001, luck=0.02))
    assert {(best, worst) for _, best, worst in ranks(found)} == {(1, 3)}
    assert found.ranking is not None
    assert found.ranking.sentence.startswith("Any of the 3 arms may be the best; ")


def test_a_ranking_is_wider_than_a_planned_contrast() -> None:
    found = compare(sources(0.02, 0.0, luck=0.01))
    assert found.ranking is not None
    behind = next(place.behind for place in found.ranking.places if place.arm == "plain")
    dice = next(one for one in found.findings if one.contrast.name == "gan vs plain").estimates["dice"]
    assert behind[2] - behind[1] > dice.high - dice.low


@pytest.mark.parametrize("options", [{"seeds": range(3)}, {"images": 9}])
def test_too_few_seeds_or_images_are_not_ranked(options: dict[str, object]) -> None:
    assert compare(sources(0.1, 0.0, **options)).ranking is None


def test_the_record_has_the_answer_the_ranking_and_the_cautions() -> None:
    record = comparison_record(compare(sources(0.1, 0.05, images=20)))
    assert record["answer"]["sentence"].startswith("gan helps, compared with plain")
    assert record["ranking"]["sentence"] == "gan is the best of the 3 arms."
    assert [place["arm"] for place in record["ranking"]["places"]] == ["gan", "texture", "plain"]
    assert len(record["cautions"]) == 1


# Cautions


def test_a_healthy_comparison_is_quiet() -> None:
    assert compare(sources(0.0, 0.0)).cautions == ()


def test_few_images_are_told_with_what_to_do() -> None:
    (line,) = compare(sources(0.0, 0.0, images=40)).cautions
    assert line == (
        "Only 40 test images: a single one that fails moves mean Dice by 0.025. To do: test every image once, with "
        "--set folds=5."
    )
    (line,) = compare(sources(0.0, 0.0, images=40, folds=5)).cautions
    assert line.endswith("To do: annotate more.")


def test_trainings_of_one_recipe_alone_that_were_not_alike_are_told() -> None:
    one = replace(sources(0.0, 0.0)[0], conditions={"CPU instructions": ("AVX512", "DEFAULT"), "device": ("cpu",)})
    (line,) = compare([one]).cautions
    assert line.startswith("The trainings differ in CPU instructions: AVX512 and DEFAULT. To do: train all of them")


def test_trainings_that_differ_by_more_than_the_margin_are_told_once_for_all_arms() -> None:
    arms = sources(0.0, 0.0, luck=0.03)
    (line,) = compare(arms).cautions
    assert line.startswith(
        "Trainings of one recipe differ by more than the margin of 0.01 Dice (SD over seeds: plain 0.0"
    )
    assert ", gan 0.0" in line
    assert line.endswith("To do: train longer, that is with more steps, or with more seeds.")
    assert compare(arms, margin=0.1).cautions == ()


_spec = importlib.util.spec_from_file_location("verdict", Path(__file__).parents[2] / "benchmarks" / "verdict.py")
assert _spec is not None
assert _spec.loader is not None
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)


@pytest.mark.parametrize(("seeds", "folds"), [(6, 1), (3, 5)])
def test_all_intervals_of_a_ranking_hold_at_once_in_most_studies_and_ranks_with_them(seeds: int, folds: int) -> None:
    found = benchmark.rank_rates(5, "same mean", 0.01, 0.01, 3, seeds, folds, 60)
    assert found["an interval misses"] <= 0.1, "of 60 simulations; in 500 it is below 0.06"
    assert found["a rank misses"] <= found["an interval misses"]
