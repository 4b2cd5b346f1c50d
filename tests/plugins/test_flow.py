import subprocess
import sys

import numpy as np
import pytest
import torch

from augkit import Draws, Format, Frame
from augkit.contracts.registry import load_registry
from augkit_flow.generator import Flow
from augkit_flow.network import FlowNetwork
from augkit_flow.painter import Painter
from augkit_flow.spectrum import Spectrum, cosines
from augkit_flow.training import FlowLearner
from samples import image_draws, image_set, workspace

TINY = {"width": 8, "steps": 4, "batch_size": 4, "learning_rate": 1e-2, "solver_steps": 2}


def samples(n=8, size=(32, 32)):
    y, x = np.mgrid[: size[0], : size[1]]
    masks = np.array([(y - 10 - i % 11) ** 2 + (x - 10 - i % 7) ** 2 < 40 + 4 * i for i in range(n)])
    return image_set(np.where(masks[..., None], [200, 40, 40], [40, 40, 200]), masks)


@pytest.mark.parametrize(
    "options",
    [{}, {"solver": "euler", "guidance": 3.0}, {"solver": "exponential"}],
    ids=["heun", "euler with guidance", "exponential"],
)  # fmt: skip
def test_an_image_depends_only_on_its_mask_and_key_whatever_the_batch(options, tmp_path):
    generator, train = Flow(**TINY, **options), samples(70)
    generator.fit(train.take(range(8)), workspace(tmp_path))
    paint, draws, n = generator.open(tmp_path, "cpu"), image_draws(70), 70
    together = paint(train.masks, draws)
    assert together.dtype == np.uint8
    assert together.shape == train.images.shape
    for size in (1, 7, 64):
        cuts = [slice(begin, begin + size) for begin in range(0, n if size > 1 else 3, size)]
        parts = np.concatenate([paint(train.masks[cut], draws[cut]) for cut in cuts])
        assert np.array_equal(parts, together[: len(parts)]), f"batches of {size}"
    order = np.argsort(Draws.of(1, "order", np.arange(n)).bits("order"))
    assert np.array_equal(paint(train.masks[order], draws[order]), together[order])


def test_another_key_gives_clearly_another_image_of_the_same_mask(tmp_path):
    generator = Flow(**TINY)
    generator.fit(samples(), workspace(tmp_path))
    masks = np.repeat(samples(1).masks, 2, axis=0)
    first, second = generator.open(tmp_path, "cpu")(masks, image_draws(2)).astype(float)
    assert np.abs(first - second).mean() > 3


def test_a_briefly_trained_flow_paints_red_inside_the_mask_and_blue_outside(tmp_path):
    generator = Flow(**{**TINY, "steps": 120, "batch_size": 8, "solver_steps": 4, "learning_rate": 3e-3})
    generator.fit(samples(16), workspace(tmp_path))
    unseen = np.zeros((2, 32, 32), bool)
    unseen[0, 4:14, 14:28] = unseen[1, 16:30, 6:20] = True
    painted = generator.open(tmp_path, "cpu")(unseen, image_draws(2)).astype(int)
    redder = painted[..., 0] > painted[..., 2]
    for mask, found in zip(unseen, redder, strict=True):
        assert 2 * (mask & found).sum() / (mask.sum() + found.sum()) > 0.8


@pytest.mark.slow
def test_masks_that_fill_the_frame_and_none_decide_the_colour_of_the_whole_image(tmp_path):
    rng = np.random.Generator(np.random.Philox(3))
    y, x = np.mgrid[:32, :32]
    masks = np.array([(y - 16) ** 2 + (x - 16) ** 2 < radius**2 for radius in rng.uniform(4, 30, 24)])
    colours = np.where(masks[..., None], [200, 40, 40], [40, 40, 200])
    images = colours + rng.normal(0, 25, (24, 1, 1, 3)) + rng.normal(0, 10, (24, 32, 32, 3))
    generator = Flow(width=8, steps=300, batch_size=8, learning_rate=3e-3, solver="exponential", solver_steps=8)
    generator.fit(image_set(images.clip(0, 255).astype(np.uint8), masks), workspace(tmp_path))
    paint = generator.open(tmp_path, "cpu")
    full, none = (paint(np.full((16, 32, 32), filled), image_draws(16)).astype(int) for filled in (True, False))
    # Without times near noise, 0.89 and 0.37: what colour an image has is decided there.
    assert (full[..., 0] > full[..., 2]).mean() > 0.9
    assert (none[..., 0] < none[..., 2]).mean() > 0.6


def test_guidance_and_solver_are_chosen_when_opening_and_change_the_image(tmp_path):
    Flow(**TINY).fit(samples(), workspace(tmp_path))
    others = [Flow(**TINY, guidance=4.0), Flow(**TINY, solver="euler"), Flow(**TINY, solver="exponential")]
    plain, *changed = (flow.open(tmp_path, "cpu")(samples(2).masks, image_draws(2)) for flow in [Flow(**TINY), *others])
    assert not any(np.array_equal(plain, images) for images in changed)


def test_the_exponential_solver_is_exact_in_one_step_where_images_are_gaussian():
    network = FlowNetwork(8, (32, 32), Format()).eval()
    network.spectrum.power.copy_(torch.linspace(4, 0.01, 1024).view(32, 32).expand(3, -1, -1))
    masks, noise = torch.zeros(2, 1, 32, 32), Draws(torch.arange(2)).normal("noise", shape=(3, 32, 32))
    exact = network.spectrum._invert(network.spectrum._transform(noise) * network.spectrum.power.sqrt())
    with torch.inference_mode():
        for steps in (1, 3):
            found = Painter(network, "exponential", steps, 1.0, "cpu").paint(noise, masks)
            assert torch.allclose(found, exact, atol=1e-4), steps
        assert not torch.allclose(Painter(network, "heun", 3, 1.0, "cpu").paint(noise, masks), exact, atol=0.1)


def test_the_exponential_solver_integrates_what_is_linear_in_time_exactly():
    spectrum = Spectrum(16, 16, Format())
    spectrum.power.fill_(1.0)
    carry = lambda now, then: ((then**2 + (1 - then) ** 2) / (now**2 + (1 - now) ** 2)) ** 0.5  # noqa: E731
    fine = np.linspace(0.5, 0.9, 4001)
    middle = (fine[1:] + fine[:-1]) / 2
    expected = carry(0.5, 0.9) * 2 + (carry(middle, 0.9) * (1 + 3 * middle)).sum() * (fine[1] - fine[0])
    ones = torch.ones(1, 3, 16, 16)
    slopes = [(time, (1 + 3 * time) * ones) for time in (0.2, 0.5)]
    assert torch.allclose(spectrum.advance(2 * ones, slopes, 0.5, 0.9), expected * ones, atol=1e-4)


@pytest.mark.slow
def test_an_untrained_flow_paints_noise_with_the_spectrum_of_the_training_images():
    rng = np.random.Generator(np.random.Philox(0))
    x = np.arange(32)
    waves = 40 * np.cos(np.pi / 32 * (x + 0.5) * rng.integers(0, 6, (200, 1, 1))) * rng.normal(0, 1, (200, 1, 1))
    images = np.clip(120 + waves[..., None] + rng.normal(0, 2, (200, 32, 32, 3)), 0, 255).astype(np.uint8)
    network = FlowNetwork(8, (32, 32), Format())
    network.spectrum.measure(images)
    masks = np.zeros((200, 32, 32), bool)
    painted = Painter(network.eval(), "heun", 16, 1.0, "cpu")(masks, image_draws(200))
    assert abs(painted.mean() - images.mean()) < 2
    assert painted.std() == pytest.approx(images.std(), rel=0.15)
    assert np.diff(painted.astype(float), axis=1).std() < 0.3 * painted.std()


def test_the_linear_guess_is_the_expectation_of_image_and_velocity():
    spectrum = Spectrum(16, 16, Format())
    power = torch.linspace(4, 0.01, 256).view(16, 16).expand(3, -1, -1)
    spectrum.power.copy_(power)
    draws = Draws(torch.arange(4000))
    noise, coefficients = (draws.normal(name, shape=(3, 16, 16)) for name in ("noise", "image"))
    images = spectrum._invert(coefficients * power.sqrt())
    for t in (0.1, 0.5, 0.9):
        time = torch.full((1, 1, 1, 1), t)
        image, velocity, deviation = spectrum.guess(t * images + (1 - t) * noise, time)
        missed = images - noise - velocity
        assert float(missed.std()) == pytest.approx(float(deviation), rel=0.01)
        assert abs(float((missed * velocity).mean())) < 0.01  # what is left is orthogonal to the guess
        assert abs(float(((images - image) * image).mean())) < 0.01


def test_the_cosine_transform_is_orthonormal_and_knows_a_constant():
    matrix = cosines(24)
    assert torch.allclose(matrix @ matrix.T, torch.eye(24), atol=1e-5)
    assert torch.allclose(matrix @ torch.ones(24), torch.eye(24)[0] * 24**0.5, atol=1e-5)


def test_colours_return_from_their_axes():
    spectrum = Spectrum(32, 32, Format())
    spectrum.measure(samples().images)
    there = torch.from_numpy(samples().images).permute(0, 3, 1, 2).float() / 255
    assert torch.allclose(spectrum.restore(spectrum.normalise(there)), there, atol=1e-5)


@pytest.mark.slow
def test_a_training_stopped_at_any_step_ends_in_the_same_weights(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = Flow(**{**TINY, "steps": 5})
    options.fit(samples(), workspace(whole))
    stop_after(3, options, parts)
    options.fit(samples(), workspace(parts))
    for name in ("flow.safetensors", "flow.json"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


def stop_after(steps, options, folder):
    """Train in a process of its own that is asked to stop after some steps."""
    code = (
        "import os, signal, sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from importlib.util import module_from_spec, spec_from_file_location\n"
        f"spec = spec_from_file_location('flow_tests', {__file__!r})\n"
        "tests = module_from_spec(spec); spec.loader.exec_module(tests)\n"
        "step = tests.FlowLearner.step\n"
        "def stopping(self, number):\n"
        f"    if number == {steps - 1}: os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return step(self, number)\n"
        "tests.FlowLearner.step = stopping\n"
        f"tests.{options!r}.fit(tests.samples(), tests.workspace(tests.Path({str(folder)!r})))\n"
    ).replace("tests.Path", "__import__('pathlib').Path")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "interrupted; the state is saved" in done.stderr, done.stderr
    assert not (folder / "flow.safetensors").exists()


def test_a_flow_opens_in_a_fresh_process_and_paints_the_same_bytes(tmp_path):
    generator = Flow(**TINY)
    generator.fit(samples(), workspace(tmp_path / "flow"))
    np.save(tmp_path / "masks.npy", samples(3).masks)
    here = generator.open(tmp_path / "flow", "cpu")(samples(3).masks, image_draws(3))
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import numpy as np, torch; from pathlib import Path; from augkit import Draws\n"
        "from augkit_flow.generator import Flow\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        f"folder = Path({str(tmp_path)!r})\n"
        f"paint = {generator!r}.open(folder / 'flow', 'cpu')\n"
        "images = paint(np.load(folder / 'masks.npy'), Draws.of(0, 'synthesis', np.arange(3)))\n"
        "np.save(folder / 'images.npy', images)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert np.array_equal(np.load(tmp_path / "images.npy"), here)


def test_one_training_image_and_sides_that_differ_are_enough(tmp_path):
    train = samples(1, (32, 48))
    generator = Flow(**{**TINY, "steps": 1})
    generator.fit(train, workspace(tmp_path))
    assert generator.open(tmp_path, "cpu")(train.masks, image_draws(1)).shape == (1, 32, 48, 3)


def test_images_of_other_sides_than_multiples_of_16_are_refused():
    with pytest.raises(ValueError, match="found images of 40 x 32 pixels; allowed: sides that are multiples of 16"):
        Flow().check_frame(Frame(32, 40))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"width": 20}, "width is 20; allowed: multiples of 8"),
        ({"guidance": 2.0, "mask_dropout": 0.0}, "guidance above 1 only with mask_dropout above 0"),
    ],
)
def test_options_that_cannot_work_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Flow(**options)


def test_hidden_masks_are_zero_and_as_frequent_as_the_option_says(tmp_path):
    learner = FlowLearner(Flow(**TINY, mask_dropout=0.3, flip=False), samples(), workspace(tmp_path))
    draws = Draws(torch.arange(2000))
    masks = learner._some_hidden(torch.ones(2000, 1, 32, 32), draws)
    assert float((masks == 0).float().mean()) == pytest.approx(0.3, abs=0.03)
    assert set(masks.unique().tolist()) == {0.0, 1.0}


def test_the_average_follows_the_weights_and_is_what_is_kept(tmp_path):
    learner = FlowLearner(Flow(**TINY), samples(), workspace(tmp_path))
    start = learner.average.network.head.weight.clone()
    learner.step(0)
    share = min(0.999, 1 / 10)
    expected = share * start + (1 - share) * learner.network.head.weight
    assert torch.allclose(learner.average.network.head.weight, expected, atol=1e-6)


def test_flow_is_registered_as_a_generator():
    assert load_registry().entries["generator", "flow"].cls is Flow
