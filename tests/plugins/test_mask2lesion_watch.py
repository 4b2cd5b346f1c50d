from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from augkit.errors import InterruptedRunError, Problem
from augkit.metrics import GRID_SHOWS
from augkit.store import read_json
from augkit_mask2lesion.generator import Mask2Lesion
from augkit_mask2lesion.health import judge, try_out
from augkit_mask2lesion.learner import PixToPix
from augkit_mask2lesion.networks import UnetGenerator
from augkit_mask2lesion.presets import Spade
from augkit_mask2lesion.spade import linear
from augkit_mask2lesion.watch import Alarm, sampled_epochs, shown_samples
from samples import Log, image_draws, image_set, lesions, workspace

HEALTHY = {
    "width": 8,
    "norm": "instance",
    "patch_layers": 1,
    "epochs": 30,
    "decay_epochs": 0,
    "batch_size": 4,
    "learning_rate": 2e-3,
    "adversarial": "lsgan",
}
QUICK = {**HEALTHY, "width": 4, "epochs": 7, "sample_every": 1}


def fit(folder, **options):
    space = workspace(folder)
    Mask2Lesion(**options).fit(lesions(12), space)
    return read_json(folder / "health.json"), space.log.notes


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


# Health


def test_a_healthy_training_is_ok_and_says_nothing(tmp_path):
    space = workspace(tmp_path)
    Spade(width=8, patch_layers=1, style=4, epochs=20, decay_epochs=10, learning_rate=2e-3).fit(coloured(24, 32), space)
    health = read_json(tmp_path / "health.json")
    assert health["state"] == "ok", health
    assert health["sentences"] == space.log.notes == []
    assert health["values"]["diversity"] > 0.2
    assert health["values"]["l1_after"] < health["values"]["l1_first"]
    assert health["values"]["grid"] < 2


def test_a_generator_that_does_not_learn_has_collapsed(tmp_path):
    health, said = fit(tmp_path, **{**QUICK, "learning_rate": 1e-8})
    assert health["state"] == "collapsed"
    assert health["sentences"] == said
    assert any(sentence.startswith("The generator has collapsed: it does not learn; what it") for sentence in said)


def test_a_generator_of_constant_output_has_collapsed(tmp_path, monkeypatch):
    forward = UnetGenerator.forward
    monkeypatch.setattr(UnetGenerator, "forward", lambda *inputs: forward(*inputs) * 1e-4 + 0.3)
    health, said = fit(tmp_path, **QUICK)
    assert health["state"] == "collapsed"
    assert "has collapsed: the painted images are flat: their pixels spread over 0.0% of the range" in said[0]
    assert "it paints nearly the same image for every mask, with 0.0% of the real images' variety" in said[1]


def pictures(seed, spread):
    noise = np.random.Generator(np.random.Philox(key=seed)).normal(0, spread, (6, 16, 16, 3))
    return (128 + noise).clip(0, 255).astype(np.uint8)


def row(step, l1, right=0.6):
    return {"step": float(step), "D": 0.6, "G": 0.8, "L1": l1, "D right": right}


FINE = {"grid": 1.0, "one_mask": 0.7, "style": 0.6}
GOOD = [row(25 * i, 0.5 - 0.004 * i) for i in range(1, 41)]


def test_a_good_history_with_varied_images_is_ok():
    health = judge(GOOD, [pictures(0, 30), pictures(1, 30)], pictures(2, 30), FINE)
    assert (health.state, health.sentences) == ("ok", ())
    assert health.values["d_right"] == pytest.approx(0.6)
    assert health.values["diversity"] == pytest.approx(1, abs=0.1)


def test_one_image_for_every_mask_is_a_collapse_even_if_it_is_no_flat_one():
    same = np.repeat(pictures(3, 30)[:1], 6, axis=0)
    health = judge(GOOD, [pictures(0, 30), same], pictures(2, 30), FINE)
    assert health.state == "collapsed"
    assert [sentence.partition(",")[0] for sentence in health.sentences] == [
        "The generator has collapsed: it paints nearly the same image for every mask"
    ]


def test_a_discriminator_that_is_right_at_the_end_has_won_and_one_that_was_right_before_has_not():
    won = [row(25 * i, 0.5 - 0.004 * i, 0.6 if i <= 30 else 0.99) for i in range(1, 41)]
    lost = [row(25 * i, 0.5 - 0.004 * i, 1.0 if i <= 30 else 0.9) for i in range(1, 41)]
    rows, real = [pictures(0, 30), pictures(1, 30)], pictures(2, 30)
    assert judge(lost, rows, real, FINE).state == "ok"
    health = judge(won, rows, real, FINE)
    assert health.state == "weak"
    assert health.sentences[0].startswith("The discriminator has won: it judges 99.0% of the patches rightly")


def with_loss(low, steps=1000):
    """A history whose discriminator loss is 0.04 where `low` says so, and 0.2 elsewhere."""
    return [{**row(n, 0.5 - 0.00004 * n), "D": 0.04 if low(n) else 0.2} for n in range(25, steps + 1, 25)]


@pytest.mark.parametrize(
    ("low", "state"),
    [
        (lambda step: step > 300, "weak"),
        (lambda step: step > 300 and step != 600, "ok"),
        (lambda step: step > 525, "ok"),
    ],
    ids=["on end", "with a break", "too short"],
)
def test_a_discriminator_loss_below_a_twentieth_for_500_steps_on_end_means_that_it_has_won(low, state):
    health = judge(with_loss(low), [pictures(0, 30), pictures(1, 30)], pictures(2, 30), FINE)
    assert health.state == state
    if state == "weak":
        said = "The discriminator has won: its loss stayed below 0.05 for 700 steps, so the generator learns little"
        assert health.sentences[0].startswith(said)


def test_the_run_is_told_at_once_and_once_that_the_discriminator_seems_to_have_won():
    log = Log()
    alarm = Alarm(log)
    for one in with_loss(lambda step: step > 300, steps=5000):
        alarm.progress(int(one["step"]), 5000, one)
    assert log.notes == [
        "step 800: the discriminator's loss has been below 0.05 for 500 steps; "
        "it seems to have won, and the images may stop improving"
    ]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            {"grid": 2.5},
            "The painted images show a grid: they have 2.5 times the energy of real ones at periods of 2, 4 or 8 "
            "pixels. To do: upsample: nearest, as mask2lesion-spade has it.",
        ),
        (
            {"one_mask": 0.03},
            "The images of one mask are nearly the same: under different keys they differ by 3.0% of what real images "
            "differ by. To do: the preset mask2lesion-spade, which has style codes.",
        ),
        (
            {"style": 0.01},
            "The style code is ignored: another code changes an image by 1.0% of what real images differ by. "
            "To do: more epochs, or a smaller lambda_kl.",
        ),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_a_grid_equal_images_of_one_mask_and_an_ignored_style_are_told(fault, sentence):
    health = judge(GOOD, [pictures(0, 30), pictures(1, 30)], pictures(2, 30), {**FINE, **fault})
    assert (health.state, health.sentences) == ("weak", (sentence,))
    assert health.values | fault == health.values


# Trials of finished generators, some of them with planted faults


def of_colours(masks, draws):
    """Smooth lesions, the colours of which come from the key alone."""
    colours = draws.uniform("colours", 60, 220, shape=(2, 3)).astype(int)
    return np.where(masks[..., None], colours[:, 0, None, None], colours[:, 1, None, None]).astype(np.uint8)


def coloured(n=24, size=64):
    plain = lesions(n, size)
    return image_set(of_colours(plain.masks, image_draws(n)), plain.masks)


def tried(paint, restyled=None, samples=None):
    return try_out(paint, restyled, samples or coloured(), 3)


def test_a_painter_of_varied_images_without_a_grid_passes_its_trial():
    found = tried(of_colours, lambda masks, draws: of_colours(masks, draws.fork("other")))
    assert found["grid"] == pytest.approx(1, abs=0.2)
    assert found["one_mask"] == pytest.approx(1, abs=0.2)
    assert found["style"] == pytest.approx(1, abs=0.2)


def test_a_checkerboard_of_two_grey_levels_is_a_grid():
    board = 2 * (np.indices((64, 64)).sum(0) % 2).astype(np.uint8)[..., None]
    assert tried(lambda masks, draws: of_colours(masks, draws) + board)["grid"] > GRID_SHOWS


def test_a_painter_that_knows_one_image_for_each_mask_is_found():
    found = tried(lambda masks, draws: of_colours(masks, image_draws(1)[np.zeros(len(masks), int)]))
    assert found["one_mask"] == 0.0
    assert found["style"] is None


def test_a_style_code_that_is_ignored_is_found():
    found = tried(of_colours, of_colours)
    assert found["style"] == 0.0
    assert found["one_mask"] > 0.5


def test_variety_is_not_asked_for_where_real_images_have_none():
    found = tried(of_colours, of_colours, lesions(12, 64))
    assert found["one_mask"] is found["style"] is None


def test_a_trained_generator_that_ignores_its_style_code_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("augkit_mask2lesion.spade.linear", lambda codes, weight: 0 * linear(codes, weight))
    space = workspace(tmp_path)
    Spade(width=4, style=4, patch_layers=1, epochs=7, decay_epochs=0, sample_every=0).fit(coloured(), space)
    health = read_json(tmp_path / "health.json")
    assert health["values"]["style"] == 0.0
    assert (
        "The style code is ignored: another code changes an image by 0.0% of what real images differ by. To do: more "
        "epochs, or a smaller lambda_kl."
    ) in health["sentences"]
    assert set(health["sentences"]) <= set(space.log.notes)


def test_an_l1_that_does_not_fall_is_told():
    flat = [row(25, 0.4), *(row(25 * i, 0.45) for i in range(2, 41))]
    health = judge(flat, [pictures(0, 30), pictures(1, 30)], pictures(2, 30), FINE)
    assert health.state == "weak"
    assert (
        "did not fall: 0.4500 on average after the first tenth of the steps, 0.4000 at the start" in health.sentences[0]
    )


def test_what_cannot_be_measured_is_not_judged():
    one = np.full((1, 8, 8, 3), 90, np.uint8)
    health = judge([], [one], one, {"grid": None, "one_mask": None, "style": None})
    assert health.state == "ok"
    assert health.values == {
        "diversity": None,
        "contrast": 0.0,
        "change": None,
        "d_right": None,
        "d_low": None,
        "l1_first": None,
        "l1_after": None,
        "grid": None,
        "one_mask": None,
        "style": None,
    }


# Samples


def test_ten_rows_are_painted_and_always_the_last_epoch():
    assert sampled_epochs(200, None, 2000) == tuple(range(20, 201, 20))
    assert sampled_epochs(25, None, 50) == (3, 6, 9, 12, 15, 18, 21, 24, 25)
    assert sampled_epochs(3, None, 50) == (1, 2, 3)
    assert sampled_epochs(100, 30, 2) == (30, 60, 90, 100)
    assert sampled_epochs(100, 0, 2) == (100,)


def test_short_epochs_are_sampled_less_often_so_that_watching_stays_cheap():
    assert sampled_epochs(40, None, 2) == (10, 20, 30, 40)
    assert sampled_epochs(7, None, 1) == (7,)


def test_shown_masks_are_spread_over_the_training_set():
    assert shown_samples(lesions(12)).ids == ("s0", "s1", "s3", "s4", "s6", "s7", "s9", "s11")
    assert shown_samples(lesions(3)).ids == ("s0", "s1", "s2")


def test_rows_of_one_size_show_how_the_same_masks_improve(tmp_path):
    fit(tmp_path, **QUICK)
    names = [f"epoch-{epoch:04d}.png" for epoch in range(1, 8)]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == names
    rows = [np.asarray(Image.open(tmp_path / "samples" / name)) for name in names]
    assert {row.shape for row in rows} == {(32, 8 * 32, 3)}
    assert all(not np.array_equal(one, other) for one, other in pairwise(rows))
    strip = np.asarray(Image.open(tmp_path / "progress.png"))
    assert strip.shape[0] == 9 * 32
    real = np.concatenate(list(shown_samples(lesions(12)).images), axis=1)
    assert np.array_equal(strip[32:64, -8 * 32 :], real)
    assert np.array_equal(strip[-32:, -8 * 32 :], rows[-1])
    with Image.open(tmp_path / "progress.gif") as animation:
        assert animation.n_frames == 7
        assert animation.size == (strip.shape[1], 3 * 32)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_watching_does_not_change_the_bits_of_the_training(norm, tmp_path):
    for every in (0, 1):
        fit(tmp_path / f"{every}", **{**QUICK, "norm": norm, "sample_every": every})
    never, always = files(tmp_path / "0"), files(tmp_path / "1")
    assert len([name for name in never if name.startswith("samples")]) == 1
    assert len([name for name in always if name.startswith("samples")]) == 7
    for name in ("generator.safetensors", "history.json", "samples/epoch-0007.png"):
        assert never[name] == always[name], name


def test_an_interrupted_training_ends_with_the_same_samples_and_health(tmp_path, monkeypatch):
    fit(tmp_path / "whole", **QUICK)
    monkeypatch.setattr("augkit.training.loop.CHECKPOINT_SECONDS", 0.0)
    original = PixToPix.step
    for stop in (2, 3, 10, 20):

        def step(self, number, stop=stop):
            if number == stop:
                raise InterruptedRunError(Problem("test", "stopped"))
            return original(self, number)

        with monkeypatch.context() as patch:
            patch.setattr(PixToPix, "step", step)
            with pytest.raises(InterruptedRunError):
                fit(tmp_path / "parts", **QUICK)
    fit(tmp_path / "parts", **QUICK)
    whole, parts = files(tmp_path / "whole"), files(tmp_path / "parts")
    kept = [name for name in whole if not name.startswith("checkpoints")]
    assert {"progress.png", "progress.gif", "health.json", "samples/epoch-0001.png"} <= set(kept)
    for name in kept:
        assert whole[name] == parts[name], name


def test_the_generator_is_in_training_again_after_it_was_painted_with(tmp_path, monkeypatch):
    seen = []
    original = PixToPix.step

    class Spy(PixToPix):
        def step(self, number):
            seen.append(self.generator.training)
            return original(self, number)

    monkeypatch.setattr("augkit_mask2lesion.training.PixToPix", Spy)
    fit(tmp_path, **QUICK)
    assert seen == [True] * 21
