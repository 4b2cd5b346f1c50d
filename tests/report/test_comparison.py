from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from augkit.metrics import METRICS
from augkit.report.tables import contrast_rows, exploratory_rows, unadjusted_rows
from augkit.report.verdict.comparison import compare, compare_external, comparison_record, foresee
from augkit.report.verdict.contrasts import plan_contrasts
from augkit.report.verdict.finding import NO_VERDICT, signed
from augkit.report.verdict.inference import holm
from augkit.report.verdict.scores import ArmScores, Design, external_images

PLAIN = Design("phantom #1", "unet #2")
AUGMENT, SYNTHESIS = "geometry #3", "mask2lesion/training × 1 #4"


def arm(name, augment="", synthesis="", shift=0.0, seeds=range(6), images=150, noise=0.01, key=0, segmenter="unet #2"):
    """Return an arm whose every score is 0.7 plus `shift`, plus noise by seed and image."""
    design = replace(PLAIN, augment=augment, synthesis=synthesis, segmenter=segmenter)
    random = np.random.Generator(np.random.Philox(key or sum(map(ord, name))))
    table = (
        0.7 + shift + noise * random.normal(size=(len(seeds), images)) + noise / 5 * random.normal(size=(len(seeds), 1))
    )
    ids = tuple(f"i{i}" for i in range(images))
    return ArmScores(name, ids, tuple(seeds), dict.fromkeys(METRICS, table), design)


def four(gain=0.0, seeds=range(6), **options):
    """Return the paper's arms under names that say nothing; synthesis gains `gain` only with augmentation."""
    return [
        arm("p", seeds=seeds, **options),
        arm("q", AUGMENT, seeds=seeds, **options),
        arm("r", "", SYNTHESIS, seeds=seeds, **options),
        arm("s", AUGMENT, SYNTHESIS, shift=gain, seeds=seeds, **options),
    ]


def verdicts(comparison):
    return {finding.contrast.name: finding.verdict for finding in comparison.findings}


def test_the_contrasts_of_the_papers_arms_are_found_whatever_their_names_and_order():
    for arms in (four(), four()[::-1]):
        planned = plan_contrasts(arms)
        assert [one.name for one in planned.contrasts] == ["s vs q", "r vs p", "interaction: (s vs q) − (r vs p)"]
        assert planned.without_control == ()


FEW_SEEDS = (
    "2 trainings per arm are too few to separate an arm from the luck of its trainings. "
    "Train at least 4 seeds, better 6: --seeds 0..5."
)
FEW_IMAGES = "9 test images are too few to say anything about others; at least 10 are needed."


@pytest.mark.parametrize(
    ("seeds", "images", "said"),
    [
        (range(4), 10, ()),
        (range(2), 10, (FEW_SEEDS,)),
        (range(2), 9, (FEW_SEEDS, FEW_IMAGES)),
        (range(4), 9, (FEW_IMAGES,)),
        (range(4), 0, ()),
        (range(2), 0, (FEW_SEEDS,)),
    ],
)
def test_that_no_verdict_can_come_is_foreseen_without_scores_and_images_may_be_unknown(seeds, images, said):
    arms = four(seeds=seeds, images=images)
    assert foresee([replace(arm, values={}) for arm in arms]) == said
    if images:
        assert (set(verdicts(compare(arms)).values()) == {NO_VERDICT}) == bool(said)


def test_nothing_is_foreseen_where_one_contrast_can_have_a_verdict_or_none_is_planned():
    arms = [arm("p"), arm("q", AUGMENT, seeds=[0]), arm("r", "", SYNTHESIS)]
    assert foresee(arms) == ()
    assert foresee(arms[:1]) == ()
    assert foresee(arms[:2]) == (
        "One training per arm cannot separate an arm from the luck of its training. "
        "Train at least 4 seeds, better 6: --seeds 0..5.",
    )


def test_trainings_that_differ_in_more_than_their_data_are_remarked_on():
    plain, painted = arm("p"), arm("r", "", SYNTHESIS)
    alike = {"device": ("cpu",), "precision": ("float32",), "optimiser steps": ("6300",)}
    others = {"device": ("cpu",), "precision": ("float32", "bfloat16"), "optimiser steps": ("12600",)}
    assert compare([replace(plain, conditions=alike), replace(painted, conditions=alike)]).remarks == ()
    assert compare([replace(plain, conditions=alike), painted]).remarks == ()
    assert compare([replace(plain, conditions=alike), replace(painted, conditions=others)]).remarks == (
        "The trainings differ in precision: float32 (p), float32 and bfloat16 (r). A difference between arms may come "
        "from that.",
        "The trainings differ in optimiser steps: 6300 (p), 12600 (r). A difference between arms may come from that.",
    )


def test_six_arms_have_a_control_each_and_an_interaction_where_both_effects_exist():
    other = "mask2lesion/pca × 2 #5"
    planned = plan_contrasts([*four(), arm("t", "", other), arm("u", "colour #6", SYNTHESIS)])
    assert [one.name for one in planned.contrasts] == [
        "s vs q", "r vs p", "t vs p", "interaction: (s vs q) − (r vs p)"
    ]  # fmt: skip
    assert planned.without_control == ("u",)


@pytest.mark.parametrize("part", ["data", "segmenter", "augment"])
def test_an_arm_that_differs_in_more_than_synthesis_is_no_control(part):
    control, treated = four()[1], four()[3]
    control = replace(control, design=replace(control.design, **{part: "other #9"}))
    comparison = compare([control, treated])
    assert comparison.findings == ()
    assert comparison.remarks == (
        "s: no verdict. Its control is not among the arms: "
        "the same data, augmentation and segmenter without synthetic images.",
    )


def test_arms_that_differ_in_neither_images_nor_augmentation_get_no_verdict():
    other = arm("t", "colour #6")
    comparison = compare([four()[1], other])
    assert comparison.findings == ()
    assert comparison.remarks[0].startswith("No two arms differ in nothing but synthetic images or classical augm")


def test_classical_augmentation_has_verdicts_that_are_adjusted_among_themselves():
    p, q, r, s = four(0.1)
    loss = arm("t", "colour #6", shift=-0.1)
    alone = compare([p, q, r, s])
    comparison = compare([p, q, loss, r, s])
    assert verdicts(comparison) == verdicts(alone) | {"t vs p": "harms"}
    found, before = ({one.contrast.name: one for one in each.findings} for each in (comparison, alone))
    assert found["s vs q"].p == before["s vs q"].p
    assert found["t vs p"].p == pytest.approx(2 * compare([p, loss]).findings[0].p)
    assert found["t vs p"].sentence.startswith("t vs p: harms. With classical augmentation (colour), mean Dice changed")
    assert "(Holm, 2 contrasts)" in found["t vs p"].sentence
    assert "(Holm, 3 contrasts)" in found["s vs q"].sentence
    sentence = compare([p, arm("t", "colour #6", noise=0.2)]).findings[0].sentence
    assert "t vs p: no evidence that classical augmentation (colour) helps or harms" in sentence


def test_an_interaction_is_the_difference_of_the_two_effects():
    p, q, r, s = four(0.1)
    contrast = plan_contrasts([p, q, r, s]).contrasts[2]
    expected = (s.values["dice"] - q.values["dice"]) - (r.values["dice"] - p.values["dice"])
    np.testing.assert_allclose(contrast.table("dice"), expected, atol=1e-15)


@pytest.mark.parametrize(
    ("gain", "verdict", "interaction"),
    [
        (0.1, "helps", "positive interaction"),
        (-0.1, "harms", "negative interaction"),
        (0.0, "equivalent", "equivalent"),
    ],
)
def test_a_gain_helps_a_loss_harms_and_nothing_is_equivalent(gain, verdict, interaction):
    assert verdicts(compare(four(gain))) == {
        "s vs q": verdict,
        "r vs p": "equivalent",
        "interaction: (s vs q) − (r vs p)": interaction,
        "q vs p": "equivalent",
    }


def test_a_difference_that_is_real_but_smaller_than_the_margin_is_equivalent_and_does_not_read_as_help():
    finding = compare(four(0.004, noise=0.002)).findings[0]
    assert finding.p < 0.05
    assert finding.verdict == "equivalent"
    assert "A difference of 0.01 or more is ruled out. A smaller difference is there, and too small to count." in (
        finding.sentence
    )
    assert "help" not in finding.sentence


def test_too_much_noise_is_no_evidence_and_says_what_could_have_been_missed():
    finding = compare(four(0.0, noise=0.2)).findings[0]
    assert finding.verdict == "no evidence"
    assert finding.sentence.startswith(
        "s vs q: no evidence that synthetic images (mask2lesion/training × 1) help or harm."
    )
    assert "This is not evidence of no effect: a true difference below " in finding.sentence
    assert f"{finding.detectable:.4f}" in finding.sentence


def test_a_sentence_carries_its_interval_its_p_its_sample_and_its_scope():
    sentence = compare(four(0.1)).findings[0].sentence
    assert sentence.startswith(
        "s vs q: helps. With synthetic images (mask2lesion/training × 1), mean Dice changed by +0."
    )
    for part in ("95 % interval +", "p < 0.001 (Holm, 3 contrasts)", "6 trainings per arm", "150 test images"):
        assert part in sentence
    assert sentence.endswith("This holds for this data set, segmenter and training budget.")


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([0], "One training per arm cannot separate an arm from the luck of its training."),
        ([0, 1], "2 trainings per arm are too few to separate an arm from the luck of its trainings."),
    ],
)
def test_fewer_than_three_seeds_give_no_verdict_however_large_the_difference(seeds, words):
    comparison = compare(four(0.25, seeds=seeds, noise=0.001))
    assert set(verdicts(comparison).values()) == {"no verdict"}
    for finding in comparison.findings:
        assert words in finding.sentence
        assert "help" not in finding.sentence
        assert "0.25" not in finding.sentence
        assert (finding.p, finding.estimates) == (None, {})
    assert set(contrast_rows(comparison)[1][2:7]) == {"–"}


def test_tests_that_decide_nothing_are_shown_apart():
    comparison = compare(four(0.1))
    assert [len(row) for row in contrast_rows(comparison)] == [8] * 5
    assert unadjusted_rows(comparison)[0] == ["contrast", "p", "t test over seeds", "sign flip over seeds"]
    assert unadjusted_rows(comparison)[1][3] == "0.031"
    assert len(unadjusted_rows(compare(four(seeds=[0])))) == 1


def in_folds(arms, folds=5):
    return [replace(one, folds=np.arange(len(one.image_ids)) % folds) for one in arms]


def test_with_folds_sentences_say_how_many_and_what_the_verdict_holds_for():
    (treated, *_) = compare(in_folds(four(0.1, seeds=range(3)))).findings
    assert treated.verdict == "helps"
    assert "3 seeds × 5 folds per arm, 150 test images" in treated.sentence
    assert treated.sentence.endswith(
        "This holds for this segmenter and training budget on data of this kind and amount, if other data change a "
        "training no more than another seed does."
    )


@pytest.mark.parametrize(
    ("folds", "seeds", "words"),
    [
        (5, [0], "One seed of 5 folds cannot separate an arm from the luck of its trainings. Train at least 2 seeds of "
         "5 folds, better 3: --seeds 0..2."),
        (2, [0, 1], "2 seeds × 2 folds per arm are too few to separate an arm from the luck of its trainings. Train at "
         "least 3 seeds of 2 folds, better 6: --seeds 0..5."),
        (20, [0], "Train at least 2 seeds of 20 folds: --seeds 0..1."),
        (5, [0, 1], ""),
        (2, [0, 1, 2], ""),
    ],
)  # fmt: skip
def test_how_many_seeds_a_verdict_needs_depends_on_the_folds(folds, seeds, words):
    arms = in_folds(four(0.1, seeds=seeds), folds)
    said = foresee([replace(one, values={}) for one in arms])
    assert (words in said[0]) if words else said == ()
    assert (verdicts(compare(arms))["s vs q"] == "no verdict") == bool(words)


def test_before_images_are_counted_folds_are_known_by_their_names():
    arms = [replace(one, values={}, image_ids=(), folds=np.arange(5)) for one in four(seeds=[0, 1])]
    assert foresee(arms) == ()


def test_few_images_give_no_verdict():
    finding = compare(four(0.25, images=9)).findings[0]
    assert finding.verdict == "no verdict"
    assert "9 test images are too few to say anything about others; at least 10 are needed." in finding.sentence


def test_seeds_are_paired_and_those_of_one_arm_alone_are_left_out():
    control = arm("q", AUGMENT, seeds=(5, 1, 0, 2))
    treated = arm("s", AUGMENT, SYNTHESIS, seeds=(0, 1, 2, 9))
    comparison = compare([control, treated])
    contrast = comparison.findings[0].contrast
    assert contrast.seeds == (0, 1, 2)
    expected = treated.values["dice"][:3] - control.values["dice"][[2, 1, 3]]
    np.testing.assert_array_equal(contrast.table("dice"), expected)
    assert comparison.remarks == ("s vs q: seeds that only some of its arms have are left out (5, 9).",)


def test_arms_without_a_common_seed_have_no_verdict():
    comparison = compare([arm("q", AUGMENT, seeds=(0,)), arm("s", AUGMENT, SYNTHESIS, seeds=(1,))])
    assert "The arms have no seed in common." in comparison.findings[0].sentence
    assert comparison.findings[0].by_seed == ()


def test_p_values_are_adjusted_for_all_planned_contrasts():
    comparison = compare(four(0.003))
    raw = [finding.estimates["dice"].p for finding in comparison.findings]
    adjusted = [finding.p for finding in comparison.findings]
    assert adjusted[int(np.argmin(raw))] == pytest.approx(3 * min(raw))
    assert all(a >= b for a, b in zip(adjusted, raw, strict=True))


def test_verdicts_and_intervals_never_contradict_each_other():
    for gain in np.linspace(-0.012, 0.012, 9):
        for finding in compare(four(gain, noise=0.015, images=40)).findings:
            dice = finding.estimates["dice"]
            if finding.verdict in ("helps", "positive interaction"):
                assert dice.low > 0
            if finding.verdict in ("harms", "negative interaction"):
                assert dice.high < 0
            if finding.verdict == "equivalent":
                assert dice.low > -0.01
                assert dice.high < 0.01


def test_other_metrics_are_exploratory():
    comparison = compare(four(0.1))
    rows = exploratory_rows(comparison)
    assert len(rows) == 1 + 4 * (len(METRICS) - 1)
    assert "dice" not in {row[1].lower() for row in rows}


def test_the_record_is_json_with_everything():
    record = json.loads(json.dumps(comparison_record(compare(four(0.1))), allow_nan=False))
    first = record["contrasts"][0]
    assert (first["plus"], first["minus"], first["verdict"], first["seeds"]) == (["s"], ["q"], "helps", list(range(6)))
    assert set(first["metrics"]) == set(METRICS)
    assert len(first["difference_by_seed"]) == 6
    assert first["metrics"]["dice"]["low"] > 0
    assert first["metrics"]["dice"]["flip_p"] == 2 / 64


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01234, "+0.0123"),
        (-0.004, "−0.0040"),
        (-4.8e-5, "−0.0000"),
        (4.8e-5, "+0.0000"),
        (-0.0, "+0.0000"),
        (-1e-17, "+0.0000"),
    ],
)
def test_a_difference_keeps_its_sign_where_its_digits_are_zero(value, text):
    assert signed(value) == text


def on_set(name, **options):
    """Return the paper's arms as they score on an external set."""
    return [
        replace(arm, design=replace(arm.design, scored_on=external_images(name))) for arm in four(gain=0.02, **options)
    ]


def test_p_of_external_sets_is_adjusted_over_all_of_them_and_over_no_contrast_on_test_images():
    sets = {"near": on_set("near", images=40, key=3), "far": on_set("far", images=30, key=4)}
    found = compare_external(sets)
    together = [finding for one in found.values() for finding in one.findings if finding.contrast.name != "q vs p"]
    assert [finding.p for finding in together] == holm([finding.estimates["dice"].p for finding in together])
    assert "(Holm, 6 contrasts), 6 trainings per arm, 40 external near images)" in found["near"].findings[0].sentence
    (classical,) = (finding for finding in found["far"].findings if finding.contrast.name == "q vs p")
    assert "(Holm, 2 contrasts), 6 trainings per arm, 30 external far images)" in classical.sentence
    assert "(Holm, 3 contrasts)" in compare(four(gain=0.02)).findings[0].sentence
    alone = compare_external({"near": sets["near"]})["near"]
    assert [finding.estimates for finding in alone.findings] == [
        finding.estimates for finding in found["near"].findings
    ]


def test_groups_of_an_external_set_are_called_so_whatever_its_name():
    design = replace(PLAIN, scored_on=external_images("images-of-images"), score_per="group")
    assert design.scored == "external images-of-images groups"
    assert design.external
    assert not PLAIN.external
