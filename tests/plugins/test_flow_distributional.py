import numpy as np
import pytest
import torch

from augkit import Draws, Format
from augkit.contracts.registry import load_registry
from augkit.training.checkpoints import State
from augkit_flow.adversary import Discriminator, Seen, deceive, discriminate, penalty, shifted
from augkit_flow.generator import DistributionalFlow
from augkit_flow.network import DistributionalNetwork
from augkit_flow.painter import DistributionalPainter
from augkit_flow.scoring import EnergyScore, _bands
from augkit_flow.spectrum import Spectrum
from augkit_flow.training import DistributionalLearner
from samples import image_draws, image_set, workspace

TINY = {"width": 8, "steps": 2, "adversarial_steps": 3, "batch_size": 4, "learning_rate": 1e-2}


def samples(n=8, size=(32, 32)):
    y, x = np.mgrid[: size[0], : size[1]]
    masks = np.array([(y - 10 - i % 11) ** 2 + (x - 10 - i % 7) ** 2 < 40 + 4 * i for i in range(n)])
    return image_set(np.where(masks[..., None], [200, 40, 40], [40, 40, 200]), masks)


@pytest.mark.parametrize("solver_steps", [1, 3])
def test_an_image_depends_only_on_its_mask_and_key_whatever_the_batch(solver_steps, tmp_path):
    generator, train = DistributionalFlow(**TINY, solver_steps=solver_steps), samples(34)
    generator.fit(train.take(range(8)), workspace(tmp_path))
    paint, draws = generator.open(tmp_path, "cpu"), image_draws(34)
    together = paint(train.masks, draws)
    assert together.dtype == np.uint8
    assert together.shape == train.images.shape
    for cut in (slice(1), slice(30, 34), slice(3, 20)):
        assert np.array_equal(paint(train.masks[cut], draws[cut]), together[cut])
    order = np.argsort(Draws.of(1, "order", np.arange(34)).bits("order"))
    assert np.array_equal(paint(train.masks[order], draws[order]), together[order])


@pytest.mark.slow
def test_a_briefly_trained_network_paints_red_inside_the_mask_and_blue_outside(tmp_path):
    options = {**TINY, "steps": 300, "adversarial_steps": 30, "batch_size": 8, "learning_rate": 3e-3}
    DistributionalFlow(**options).fit(samples(16), workspace(tmp_path))
    unseen = np.zeros((2, 32, 32), bool)
    unseen[0, 4:14, 14:28] = unseen[1, 16:30, 6:20] = True
    for solver_steps in (1, 3):
        generator = DistributionalFlow(**options, solver_steps=solver_steps)
        painted = generator.open(tmp_path, "cpu")(unseen, image_draws(2)).astype(int)
        redness = painted[..., 0] - painted[..., 2]  # 160 inside and -160 outside, were it perfect
        for mask, found in zip(unseen, redness, strict=True):
            assert found[mask].mean() - found[~mask].mean() > 100, solver_steps


@pytest.mark.slow
def test_a_mask_that_fills_the_frame_is_told_from_one_that_is_empty(tmp_path):
    masks = np.repeat([True, False], 8)[:, None, None] & np.ones((32, 32), bool)
    train = image_set(np.where(masks[..., None], [200, 40, 40], [40, 40, 200]), masks)
    generator = DistributionalFlow(**{**TINY, "steps": 100, "adversarial_steps": 20, "learning_rate": 3e-3})
    generator.fit(train, workspace(tmp_path))
    full, empty = generator.open(tmp_path, "cpu")(masks[7:9], image_draws(2)).astype(int)
    assert (full[..., 0] > full[..., 2]).mean() > 0.9
    assert (empty[..., 0] < empty[..., 2]).mean() > 0.9


def test_an_untrained_network_paints_noise_with_the_colours_and_spectrum_of_the_training_images():
    rng = np.random.Generator(np.random.Philox(0))
    x = np.arange(32)
    waves = 40 * np.cos(np.pi / 32 * (x + 0.5) * rng.integers(0, 6, (200, 1, 1))) * rng.normal(0, 1, (200, 1, 1))
    images = np.clip(120 + waves[..., None] + rng.normal(0, 2, (200, 32, 32, 3)), 0, 255).astype(np.uint8)
    network = DistributionalNetwork(8, (32, 32), Format()).eval()
    network.spectrum.measure(images)
    for steps in (1, 2):
        painted = DistributionalPainter(network, steps, "cpu")(np.zeros((200, 32, 32), bool), image_draws(200))
        assert abs(painted.mean() - images.mean()) < 0.1 * images.std()
        assert painted.std() == pytest.approx(images.std(), rel=0.1)
        assert np.diff(painted.astype(float), axis=1).std() == pytest.approx(
            np.diff(images.astype(float), axis=1).std(), rel=0.1
        )


def test_linear_statistics_draw_images_of_the_right_expectation_and_deviation():
    spectrum = Spectrum(16, 16, Format())
    power = torch.linspace(4, 0.01, 256).view(16, 16).expand(3, -1, -1)
    spectrum.power.copy_(power)
    draws = Draws(torch.arange(4000))
    noise, coefficients, other = (draws.normal(name, shape=(3, 16, 16)) for name in ("noise", "image", "other"))
    images = spectrum._invert(coefficients * power.sqrt())
    for t in (0.0, 0.5, 0.9):
        time = torch.full((1, 1, 1, 1), t)
        expected, drawn, deviation = spectrum.draw(t * images + (1 - t) * noise, other, time)
        assert float((drawn - expected).std()) == pytest.approx(float(deviation), rel=0.01)
        assert float((images - expected).std()) == pytest.approx(float(deviation), rel=0.01)
        assert float(drawn.std()) == pytest.approx(float(images.std()), rel=0.01)


def test_the_energy_score_is_least_for_draws_of_the_images_own_distribution():
    images = torch.from_numpy(np.random.Generator(np.random.Philox(1)).integers(0, 256, (256, 16, 16, 3)))
    score = EnergyScore(Spectrum(16, 16, Format()), images.to(torch.uint8).numpy(), "cpu")
    draws = Draws(torch.arange(256))

    def of(deviation):
        one, two, real = (draws.normal(name, shape=(3, 16, 16)) for name in ("one", "two", "real"))
        return float(score([deviation * one, deviation * two], real))

    right = of(1.0)
    assert right < of(0.0) - 0.05  # every draw the mean
    assert right < of(0.5) - 0.01
    assert right < of(2.0) - 0.05


def test_octaves_add_up_to_the_image():
    images = Draws(torch.arange(2)).normal("image", shape=(3, 32, 48))
    *parts, total = _bands(images)
    for part in reversed(parts):
        total = part + torch.nn.functional.interpolate(total, scale_factor=2)
    assert torch.allclose(total, images, atol=1e-5)


def judge_of(real, masks):
    """A discriminator that has learnt to tell `real` images from ones half as bright, and its history."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        judge = Discriminator(8, Format())
    optimizer = torch.optim.Adam(judge.parameters(), 1e-3)
    seen, rights = Seen(real, masks, lambda images: images), []
    for _ in range(30):
        loss, right = discriminate(judge, seen, [real / 2])
        optimizer.zero_grad()
        (loss + penalty(judge, seen)).backward()
        optimizer.step()
        rights.append(float(right))
    return judge, seen, rights


def test_the_discriminator_learns_to_tell_draws_from_images_and_they_to_deceive_it():
    draws = Draws(torch.arange(8))
    real, other = (draws.normal(name, shape=(3, 16, 16)) for name in ("real", "other"))
    judge, seen, rights = judge_of(real, torch.ones(8, 1, 16, 16))
    assert rights[-1] > 0.9 > rights[0]
    good, bad = (deceive(judge, seen, [scale * real, scale * other]) for scale in (1, 0.5))
    assert float(good.detach()) < float(bad.detach()) - 0.1


def test_the_penalty_is_that_of_the_gradient_at_images():
    draws = Draws(torch.arange(2))
    seen = Seen(draws.normal("real", shape=(3, 16, 16)), torch.ones(2, 1, 16, 16), lambda images: images)
    judge = Discriminator(8, Format())
    found = float(penalty(judge, seen).detach())
    with torch.no_grad():
        for layer in (judge.near, judge.far):
            layer.weight *= 3
    assert float(penalty(judge, seen).detach()) == pytest.approx(9 * found, rel=1e-4)


def test_images_and_masks_are_shifted_alike_by_whole_pixels_at_most_an_eighth_of_a_side():
    draws = Draws(torch.arange(64))
    images = draws.normal("image", shape=(2, 16, 32))
    view = shifted(draws, (16, 32))
    moved, seen = view(images), set()
    for image, after in zip(images, moved, strict=True):
        fits = [
            (y, x)
            for y in range(-2, 3)
            for x in range(-4, 5)
            if torch.equal(torch.roll(image, (-y, -x), (1, 2))[:, 2:-2, 4:-4], after[:, 2:-2, 4:-4])
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) > 20
    assert torch.equal(view(images[:, :1]), moved[:, :1])


def test_the_last_steps_begin_at_the_average_and_only_they_know_the_discriminator(tmp_path):
    learner = DistributionalLearner(DistributionalFlow(**TINY), samples(), workspace(tmp_path))
    assert learner.steps == 5
    assert [set(learner.step(number)) for number in range(2)] == [{"energy score"}] * 2
    average = [parameter.clone() for parameter in learner.average.network.parameters()]
    seen = learner.step(2)
    assert set(seen) == {"energy score", "discriminator right"}
    assert 0 <= float(seen["discriminator right"]) <= 1
    moved = [
        float((now - before).abs().max().detach())
        for now, before in zip(learner.network.parameters(), average, strict=True)
    ]
    # Adam moves a weight by its rate at most in its first step: three tenths of the option.
    assert 0 < max(moved) <= 1.01 * 0.3 * TINY["learning_rate"]


def test_without_such_steps_the_score_alone_is_learnt(tmp_path):
    options = DistributionalFlow(**{**TINY, "adversarial_steps": 0})
    learner = DistributionalLearner(options, samples(), workspace(tmp_path))
    assert learner.steps == 2
    assert set(learner.networks) == {"flow", "average"}


def test_steps_done_again_from_a_checkpoint_have_the_same_bits(tmp_path):
    options = DistributionalFlow(**TINY)
    for stopped_after in (1, 3):  # before the discriminator and beside it
        whole = DistributionalLearner(options, samples(), workspace(tmp_path / f"whole {stopped_after}"))
        stopped = State(whole, "cpu")
        for number in range(stopped_after):
            whole.step(number)
        kept = stopped.tensors(), stopped.facts()
        continued = DistributionalLearner(options, samples(), workspace(tmp_path / f"parts {stopped_after}"))
        State(continued, "cpu").restore(*kept)
        for number in range(stopped_after, whole.steps):
            whole.step(number)
            continued.step(number)
        for name, tensor in continued.average.network.state_dict().items():
            assert torch.equal(tensor, whole.average.network.state_dict()[name]), name


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"noise_share": 0.0}, "noise_share is 0; allowed: above 0, because painting begins at noise"),
        (
            {"noise_share": 1.0, "solver_steps": 2},
            "solver_steps is 2 and noise_share is 1; allowed: more than one",
        ),
    ],
)
def test_options_that_cannot_work_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        DistributionalFlow(**options)


def test_it_is_registered_as_a_generator():
    assert load_registry().entries["generator", "flow-distributional"].cls is DistributionalFlow
