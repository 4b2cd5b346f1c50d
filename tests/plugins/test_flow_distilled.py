import numpy as np
import pytest
import torch

from augkit import Draws, Format
from augkit.contracts.registry import load_registry
from augkit.training.checkpoints import State
from augkit_flow.distance import PatchDistance, octaves
from augkit_flow.distillation import _PAINTED, _USES, DistilledLearner
from augkit_flow.generator import DistilledFlow, Flow
from augkit_flow.network import StudentNetwork
from augkit_flow.painter import Painter, StudentPainter
from augkit_flow.spectrum import Spectrum
from augkit_flow.training import FlowLearner
from samples import image_draws, image_set, workspace

TINY = {
    "width": 8,
    "steps": 2,
    "solver_steps": 2,
    "student_width": 8,
    "student_steps": 3,
    "batch_size": 4,
    "learning_rate": 1e-2,
}


def samples(n=8, size=(32, 32)):
    y, x = np.mgrid[: size[0], : size[1]]
    masks = np.array([(y - 10 - i % 11) ** 2 + (x - 10 - i % 7) ** 2 < 40 + 4 * i for i in range(n)])
    return image_set(np.where(masks[..., None], [200, 40, 40], [40, 40, 200]), masks)


def test_an_image_depends_only_on_its_mask_and_key_whatever_the_batch(tmp_path):
    generator, train = DistilledFlow(**TINY), samples(34)
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
def test_a_student_paints_what_its_flow_paints_of_the_same_keys(tmp_path):
    train = samples(16)
    options = DistilledFlow(
        width=8, steps=200, student_width=8, student_steps=300, batch_size=8, learning_rate=3e-3, ema=0.99
    )
    learner = DistilledLearner(options, train, workspace(tmp_path))
    for number in range(500):
        learner.step(number)
    flow = Painter(learner.average.network, options.solver, options.solver_steps, 1.0, "cpu")
    unseen = np.zeros((32, 32, 32), bool)
    unseen[::2, 4:14, 14:28] = unseen[1::2, 16:30, 6:20] = True
    asked, given = (
        paint(unseen, image_draws(32)).astype(int) for paint in (flow, StudentPainter(learner.painting.network, "cpu"))
    )
    off = np.abs(given - asked).mean()
    others = np.abs(given - np.roll(asked, 2, axis=0)).mean()  # of the same mask and another key
    assert off < 0.8 * others
    redness = given[..., 0] - given[..., 2]  # 160 inside and -160 outside, were it perfect
    for mask, found in zip(unseen, redness, strict=True):
        assert found[mask].mean() - found[~mask].mean() > 100


def test_an_untrained_student_paints_noise_with_the_colours_and_spectrum_of_the_training_images():
    rng = np.random.Generator(np.random.Philox(0))
    x = np.arange(32)
    waves = 40 * np.cos(np.pi / 32 * (x + 0.5) * rng.integers(0, 6, (200, 1, 1))) * rng.normal(0, 1, (200, 1, 1))
    images = np.clip(120 + waves[..., None] + rng.normal(0, 2, (200, 32, 32, 3)), 0, 255).astype(np.uint8)
    network = StudentNetwork(8, (32, 32), Format()).eval()
    network.spectrum.measure(images)
    painted = StudentPainter(network, "cpu")(np.zeros((200, 32, 32), bool), image_draws(200))
    assert abs(painted.mean() - images.mean()) < 0.1 * images.std()
    assert painted.std() == pytest.approx(images.std(), rel=0.1)
    assert np.diff(painted.astype(float), axis=1).std() == pytest.approx(
        np.diff(images.astype(float), axis=1).std(), rel=0.1
    )


def test_coloured_noise_is_where_the_linear_flow_carries_noise():
    spectrum = Spectrum(16, 16, Format())
    spectrum.power.copy_(torch.linspace(4, 0.01, 256).view(16, 16).expand(3, -1, -1))
    noise = Draws(torch.arange(4)).normal("noise", shape=(3, 16, 16))
    carried = spectrum.advance(noise, [(0.0, torch.zeros_like(noise))], 0.0, 1.0)
    assert torch.allclose(spectrum.colour(noise), carried, atol=1e-5)


def test_a_hair_that_lies_a_pixel_off_is_nearer_than_none():
    images = torch.zeros(1, 3, 32, 32)
    images[..., 9] = 1.0
    distance = PatchDistance(Spectrum(32, 32, Format()), samples().images, "cpu")
    moved = float(distance(torch.roll(images, 1, 3), images))
    assert 0 < moved < float(distance(torch.roll(images, 12, 3), images))
    assert float(distance(images, images)) < 0.02


def test_octaves_add_up_to_the_image():
    images = Draws(torch.arange(2)).normal("image", shape=(3, 32, 48))
    *parts, total = octaves(images)
    for part in reversed(parts):
        total = part + torch.nn.functional.interpolate(total, scale_factor=2)
    assert torch.allclose(total, images, atol=1e-5)


def test_first_the_flow_is_trained_as_it_is_alone_and_then_the_student_only(tmp_path):
    learner = DistilledLearner(DistilledFlow(**TINY), samples(), workspace(tmp_path / "both"))
    alone = FlowLearner(
        Flow(width=8, steps=2, batch_size=4, learning_rate=1e-2), samples(), workspace(tmp_path / "one")
    )
    for number in range(2):
        assert set(learner.step(number)) == {"velocity error"}
        alone.step(number)
    untaught = [parameter.clone() for parameter in learner.student.parameters()]
    assert set(learner.step(2)) == {"distance to the flow"}
    for name, tensor in learner.average.network.state_dict().items():
        assert torch.equal(tensor, alone.average.network.state_dict()[name]), name
    assert not all(map(torch.equal, learner.student.parameters(), untaught))


def test_every_painted_pair_is_learnt_from_the_same_number_of_times_in_other_batches(tmp_path):
    learner = DistilledLearner(DistilledFlow(**TINY), samples(), workspace(tmp_path))
    lessons = [learner._lesson(number)[2] for number in range(_PAINTED * _USES)]
    keys, times = torch.cat(lessons).unique(return_counts=True)
    assert len(keys) == 4 * _PAINTED
    assert set(times.tolist()) == {_USES}
    assert len({tuple(lesson.sort().values.tolist()) for lesson in lessons}) > _PAINTED * (_USES - 1)
    following = learner._lesson(_PAINTED * _USES)[2]
    assert not torch.isin(following, keys).any()


def test_steps_done_again_from_a_checkpoint_have_the_same_bits(tmp_path):
    options = DistilledFlow(**TINY)
    for stopped_after in (1, 3):  # while the flow learns and while the student does
        whole = DistilledLearner(options, samples(), workspace(tmp_path / f"whole {stopped_after}"))
        stopped = State(whole, "cpu")
        for number in range(stopped_after):
            whole.step(number)
        kept = stopped.tensors(), stopped.facts()
        continued = DistilledLearner(options, samples(), workspace(tmp_path / f"parts {stopped_after}"))
        State(continued, "cpu").restore(*kept)
        for number in range(stopped_after, 5):
            whole.step(number)
            continued.step(number)
        for name, tensor in continued.painting.network.state_dict().items():
            assert torch.equal(tensor, whole.painting.network.state_dict()[name]), name


def test_guidance_without_masks_that_were_hidden_is_refused():
    with pytest.raises(ValueError, match="guidance above 1 only with mask_dropout above 0"):
        DistilledFlow(guidance=2.0, mask_dropout=0.0)


def test_it_is_registered_as_a_generator():
    assert load_registry().entries["generator", "flow-distilled"].cls is DistilledFlow
