import numpy as np
import pytest
import torch

from augkit import Draws, ImageSet, Workspace
from augkit_mask2lesion.generator import Mask2Lesion
from augkit_mask2lesion.networks import PatchDiscriminator, UnetGenerator
from augkit_mask2lesion.training import PixToPix, _enlarge_and_crop

TINY = {"width": 4, "epochs": 1, "decay_epochs": 0, "batch_size": 4, "patch_layers": 1}


class SilentLog:
    def progress(self, step, total, values):
        pass

    def note(self, text):
        pass


def samples(n=8, size=32):
    y, x = np.mgrid[:size, :size]
    masks = np.array([(y - 16) ** 2 + (x - 10 - i) ** 2 < 60 for i in range(n)])
    images = np.where(masks[..., None], [120, 70, 50], [220, 180, 160]).astype(np.uint8)
    ids = tuple(f"s{i}" for i in range(n))
    return ImageSet(ids, images, masks, ids, ("real",) * n)


def workspace(folder):
    folder.mkdir(exist_ok=True)
    return Workspace(folder, 5, "cpu", SilentLog())


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("size", "norm", "channels", "count"),
    [
        (128, "batch", 1, 41_826_947),
        (128, "batch", 3, 41_828_995),
        (128, "instance", 1, 41_823_619),
        (128, "instance", 3, 41_825_667),
        (256, "batch", 1, 54_411_907),
        (256, "batch", 3, 54_413_955),
        (256, "instance", 1, 54_407_555),
        (256, "instance", 3, 54_409_603),
    ],
)
def test_the_generator_has_pix2pix_s_parameter_count(size, norm, channels, count):
    with torch.device("meta"):
        assert parameters(UnetGenerator(size, 64, norm, channels)) == count


@pytest.mark.parametrize(
    ("layers", "norm", "channels", "count"),
    [
        (3, "batch", 1, 2_766_657),
        (3, "batch", 3, 2_768_705),
        (3, "instance", 1, 2_765_761),
        (3, "instance", 3, 2_767_809),
        (2, "batch", 1, 664_385),
        (2, "batch", 3, 666_433),
    ],
)
def test_the_discriminator_has_pix2pix_s_parameter_count(layers, norm, channels, count):
    with torch.device("meta"):
        assert parameters(PatchDiscriminator(64, layers, norm, channels)) == count


@pytest.mark.parametrize(
    ("layers", "field", "map128", "map256"), [(1, 16, 62, 126), (2, 34, 30, 62), (3, 70, 14, 30), (4, 142, 6, 14)]
)
def test_the_discriminator_s_patches_have_the_published_sizes(layers, field, map128, map256):
    network = PatchDiscriminator(4, layers, "none", 1)
    for size, expected in ((128, map128), (256, map256)):
        image = torch.zeros(1, 3, size, size, requires_grad=True)
        logits = network(torch.zeros(1, 1, size, size), image)
        assert logits.shape == (1, 1, expected, expected)
        if expected > 10 or layers == 3:
            logits[0, 0, expected // 2, expected // 2].backward()
            seen = image.grad[0].abs().sum(0).nonzero()
            extent = (seen.max(0).values - seen.min(0).values + 1).tolist()
            assert max(extent) <= field
            if size == 256:
                assert extent == [field, field]


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_an_image_depends_only_on_its_mask_and_key_whatever_the_batch(norm, tmp_path):
    generator = Mask2Lesion(norm=norm, **TINY)
    train = samples(70)
    generator.fit(train, workspace(tmp_path))
    paint = generator.open(tmp_path, "cpu")
    draws = Draws.of(0, "synthesis", np.arange(70))
    together = paint(train.masks, draws)
    assert together.dtype == np.uint8
    assert together.shape == train.images.shape
    one_by_one = np.concatenate([paint(train.masks[i : i + 1], draws[i : i + 1]) for i in range(70)])
    sevens = np.concatenate([paint(train.masks[i : i + 7], draws[i : i + 7]) for i in range(0, 70, 7)])
    order = np.argsort(Draws.of(1, "order", np.arange(70)).bits("order"))
    shuffled = paint(train.masks[order], draws[order])
    assert np.array_equal(one_by_one, together)
    assert np.array_equal(sevens, together)
    assert np.array_equal(shuffled, together[order])


def test_dropout_stays_on_at_synthesis_so_another_key_gives_another_image(tmp_path):
    generator = Mask2Lesion(**TINY)
    generator.fit(samples(), workspace(tmp_path))
    paint = generator.open(tmp_path, "cpu")
    mask = samples(1).masks
    first, second = (paint(mask, Draws.of(0, "synthesis", np.array([key]))) for key in (0, 1))
    assert not np.array_equal(first, second)


def test_the_learning_rate_is_constant_and_then_falls_linearly_as_in_pix2pix(tmp_path):
    options = Mask2Lesion(width=4, epochs=100, decay_epochs=100, batch_size=8)
    learner = PixToPix(options, samples(8), workspace(tmp_path))
    assert learner.steps == 200
    rates = {}
    for epoch in (1, 100, 101, 200):
        learner._set_learning_rate(epoch - 1)
        rates[epoch] = learner.optimizers["G"].param_groups[0]["lr"] / 2e-4
    assert rates[1] == rates[100] == 1
    assert rates[101] == pytest.approx(100 / 101)
    assert rates[200] == pytest.approx(1 / 101)


def test_cropping_takes_image_and_mask_from_the_same_place():
    mask = torch.from_numpy(samples(16).masks[:, None]).float()
    images, masks = _enlarge_and_crop(mask.repeat(1, 3, 1, 1), mask, Draws.on_device(0, "batch", torch.arange(16)))
    assert images.shape == (16, 3, 32, 32)
    assert set(masks.unique().tolist()) <= {0.0, 1.0}
    disagreement = ((images[:, :1] > 0.5).float() != masks).float().mean()
    assert disagreement < 0.02
    assert not torch.equal(masks, mask)


def test_the_discriminator_is_not_changed_by_the_generator_s_update(tmp_path):
    learner = PixToPix(Mask2Lesion(norm="instance", **TINY), samples(), workspace(tmp_path))
    learner.step(0)
    gradients_of_d_step = [p.grad.clone() for p in learner.discriminator.parameters()]
    assert all(p.requires_grad for p in learner.discriminator.parameters())
    assert any(bool(g.abs().sum() > 0) for g in gradients_of_d_step)


def test_the_generator_learns_which_colour_is_inside_the_mask(tmp_path):
    generator = Mask2Lesion(
        width=8, norm="instance", patch_layers=1, epochs=40, decay_epochs=0, batch_size=4, learning_rate=2e-3
    )
    train = samples(8)
    generator.fit(train, workspace(tmp_path))
    painted = generator.open(tmp_path, "cpu")(train.masks, Draws.of(0, "synthesis", np.arange(8))).astype(int)
    inside, outside = painted[train.masks].mean(0), painted[~train.masks].mean(0)
    assert np.abs(inside - [120, 70, 50]).max() < 35
    assert np.abs(outside - [220, 180, 160]).max() < 35


def test_images_of_another_size_are_refused(tmp_path):
    odd = ImageSet(("a",), np.zeros((1, 48, 48, 3), np.uint8), np.ones((1, 48, 48), np.bool_), ("a",), ("real",))
    with pytest.raises(ValueError, match=r"images are \(48, 48\) pixels; mask2lesion needs square images of 32, 64"):
        Mask2Lesion(**TINY).fit(odd, workspace(tmp_path))
