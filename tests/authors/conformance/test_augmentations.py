"""Every registered augmentation, a third party's included, keeps the contract of `Augmentation`."""

import importlib.util
import random
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from augkit.contracts.components import RecordsParameters
from augkit.contracts.registry import load_registry
from augkit.data.draws import Draws, sample_keys

N, HEIGHT, WIDTH = 12, 48, 64
IDS = tuple(f"sample-{i}" for i in range(N))


def draws(epoch=0, seed=5, ids=IDS):
    return Draws.on_device(seed, "batch", torch.from_numpy(sample_keys(ids)), epoch)


def blobs():
    """An ellipse per sample: masks float32 (N, 1, H, W), and grey images that are 0.25 outside and 0.75 inside."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ellipses = [((y - 20 - i) ** 2 / (90 + 8 * i) + (x - 24 - i) ** 2 / 260 < 1) for i in range(N)]
    masks = torch.from_numpy(np.array(ellipses)[:, None]).float()
    return (0.25 + 0.5 * masks).repeat(1, 3, 1, 1), masks


def pictures():
    """Smooth coloured images with the masks of `blobs`."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    phase = np.arange(3 * N).reshape(N, 3, 1, 1)
    images = 0.5 + 0.3 * np.sin(x / 9 + phase) * np.cos(y / 7 + 2 * phase)
    return torch.from_numpy(images.astype(np.float32)), blobs()[1]


# The checks: each takes an augmentation and raises AssertionError with what was found.


def check_shapes_types_and_ranges(augmentation, soft=False):
    """Shapes and dtypes are kept, images are finite and in 0..1, masks in {0, 1} (0..1 where `soft`)."""
    images, masks = pictures()
    two = torch.cat([masks, 1 - masks], dim=1)  # a label map of two classes that share no pixel
    for labels in (masks, two):
        changed, moved = augmentation(images, labels, draws())
        assert changed.shape == images.shape, f"images become {tuple(changed.shape)}"
        assert moved.shape == labels.shape, f"masks become {tuple(moved.shape)}"
        assert changed.dtype == moved.dtype == torch.float32, f"{changed.dtype}, {moved.dtype}; allowed: float32"
        assert torch.isfinite(changed).all(), "an image is not finite"
        assert 0 <= changed.min() <= changed.max() <= 1, f"images are {changed.min()} .. {changed.max()}"
        if soft:
            assert 0 <= moved.min() <= moved.max() <= 1, f"masks are {moved.min()} .. {moved.max()}"
        else:
            assert set(moved.unique().tolist()) <= {0.0, 1.0}, "masks are not 0 or 1"
        assert moved.sum(dim=1).max() <= 1 + 1e-6, "a pixel is in two classes"


def check_inputs_are_left_alone(augmentation):
    """The given tensors hold what they held."""
    images, masks = pictures()
    before = images.clone(), masks.clone()
    changed, moved = augmentation(images, masks, draws())
    changed.mul_(0.5)
    assert torch.equal(images, before[0]), "the given images were changed, or are returned in place of a copy"
    assert torch.equal(masks, before[1]), "the given masks were changed"
    del moved


def check_image_and_mask_move_together(augmentation):
    """Of an image that is the mask, both come back alike to within one pixel of the border."""
    images, masks = blobs()
    for epoch in range(3):
        changed, moved = augmentation(images, masks, draws(epoch))
        for image, mask in zip(changed.mean(1).numpy(), moved[:, 0].numpy() > 0.5, strict=True):
            if not 0 < mask.mean() < 1:
                continue
            middle = (image[mask].mean() + image[~mask].mean()) / 2
            apart = (image > middle) != mask
            border = ndimage.binary_dilation(mask, np.ones((3, 3))) & ~ndimage.binary_erosion(mask, np.ones((3, 3)))
            assert not (apart & ~border).any(), f"{(apart & ~border).sum()} pixels beyond the mask's border differ"


def check_what_hides_pixels_moves_nothing(augmentation):
    """For augmentations that only hide parts of the image: the mask is the same, and most pixels are too."""
    images, masks = pictures()  # so detailed that moved pixels differ nearly everywhere
    changed, moved = augmentation(images, masks, draws())
    assert torch.equal(moved, masks), "the masks changed"
    hidden = (changed != images).any(1).float().mean((1, 2))
    assert hidden.max() < 0.5, f"{hidden.max():.0%} of an image changed"


def check_a_batch_equals_its_samples_one_by_one(augmentation):
    """A sample's result depends on nothing else of its batch: not on its size, order, or the place in it."""
    images, masks = pictures()
    together = augmentation(images, masks, draws())
    order = [7, 2, 11, 0]
    some = augmentation(images[order], masks[order], draws()[torch.tensor(order)])
    for place, i in enumerate(order):
        alone = augmentation(images[i : i + 1], masks[i : i + 1], draws()[i : i + 1])
        for found in ((alone[0][0], alone[1][0]), (some[0][place], some[1][place])):
            apart = (found[0] - together[0][i]).abs().max()
            assert apart < 1e-5, f"sample {i} differs by {apart} from itself in the batch"
            assert torch.equal(found[1], together[1][i]), f"the mask of sample {i} differs from itself in the batch"


def check_the_order_of_a_batch_does_not_matter(augmentation):
    """For augmentations that blend samples: each sample's result depends on who is in the batch, not where."""
    images, masks = pictures()
    together = augmentation(images, masks, draws())
    order = torch.arange(N).flip(0)
    turned = augmentation(images[order], masks[order], draws()[order])
    for one, other in zip(together, turned, strict=True):
        assert torch.allclose(one[order], other, atol=1e-6), "another order of the batch gives other samples"


def check_epoch_and_seed_change_the_draw_and_nothing_else_does(augmentation):
    """The same key gives the same bits whatever global generators hold, and leaves these alone."""
    images, masks = pictures()

    def run(**key):
        return augmentation(images, masks, draws(**key))[0]

    first = run()
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    states = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    again = run()
    assert states == (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()), (  # noqa: NPY002
        "a global generator was used"
    )
    assert torch.equal(first, again), "the same key gives another result"
    assert not torch.equal(first, run(epoch=1)), "another epoch gives the same result"
    assert not torch.equal(first, run(seed=6)), "another seed gives the same result"


def check_parameters_are_recorded_per_sample(augmentation):
    """What is recorded is one plain number per sample and belongs to the sample."""
    recorded = augmentation.parameters(draws())
    alone = augmentation.parameters(draws()[4:5])
    assert recorded, "nothing is recorded"
    for name, values in recorded.items():
        assert values.shape == (N,), f"'{name}' is {tuple(values.shape)}; allowed: one per sample"
        assert torch.equal(alone[name][0], values[4]), f"'{name}' of a sample depends on its batch"


CHECKS = (
    check_shapes_types_and_ranges,
    check_inputs_are_left_alone,
    check_image_and_mask_move_together,
    check_a_batch_equals_its_samples_one_by_one,
    check_epoch_and_seed_change_the_draw_and_nothing_else_does,
    check_parameters_are_recorded_per_sample,
)


def soft_masks(augmentation):
    check_shapes_types_and_ranges(augmentation, soft=True)


INSTEAD = {
    ("mixup", check_shapes_types_and_ranges): (soft_masks, "its masks are the share of the foreground, 0..1"),
    ("mixup", check_image_and_mask_move_together): (soft_masks, "a blend of two masks has no one border"),
    ("mixup", check_a_batch_equals_its_samples_one_by_one): (
        check_the_order_of_a_batch_does_not_matter,
        "the partner is another sample of the batch; alone there is none",
    ),
    ("cutmix", check_a_batch_equals_its_samples_one_by_one): (
        check_the_order_of_a_batch_does_not_matter,
        "the partner is another sample of the batch; alone there is none",
    ),
    ("cutout", check_image_and_mask_move_together): (check_what_hides_pixels_moves_nothing, "hidden, not moved"),
    ("hair", check_image_and_mask_move_together): (check_what_hides_pixels_moves_nothing, "hidden, not moved"),
}
"""(augmentation, check) -> the check that holds instead, and why the general one cannot."""

EXAMPLES = {
    "albumentations": {
        "pipeline": [
            {"HorizontalFlip": {"p": 0.5}},
            {"Affine": {"rotate": [-90, 90], "scale": [0.8, 1.2], "p": 1.0}},
            {"RandomBrightnessContrast": {"p": 0.5}},
        ]
    },
    "torchvision": {
        "pipeline": [
            {"RandomHorizontalFlip": {"p": 0.5}},
            {"RandomRotation": {"degrees": 90, "fill": 0.25}},
            {"ColorJitter": {"brightness": 0.2}},
        ]
    },
}
"""Options of the components that cannot do without."""

REGISTRY = load_registry()


def example(name):
    if name in EXAMPLES and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install 'augkit[{name}]'")
    cls = REGISTRY.entries["augmentation", name].cls
    options = EXAMPLES.get(name, {})
    required = [f.name for f in fields(cls) if f.init and f.default is MISSING and f.default_factory is MISSING]
    if missing := set(required) - set(options):
        pytest.skip(f"no example of the options {sorted(missing)} of '{name}'")
    return cls(**options)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", REGISTRY.names("augmentation"))
def test_an_augmentation_keeps_the_contract(name, check):
    augmentation = example(name)
    if check is check_parameters_are_recorded_per_sample and not isinstance(augmentation, RecordsParameters):
        pytest.skip(f"'{name}' records no parameters, which it need not")
    check, _ = INSTEAD.get((name, check), (check, ""))
    check(augmentation)


def test_every_exception_names_a_registered_augmentation_and_a_reason():
    assert {name for name, _ in INSTEAD} <= set(REGISTRY.names("augmentation"))
    assert all(reason for _, reason in INSTEAD.values())


def test_the_documentation_has_a_row_for_every_augmentation_with_its_options():
    table = (Path(__file__).parents[3] / "docs" / "augmentation.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")}
    own = {
        name
        for (kind, name), entry in REGISTRY.entries.items()
        if kind == "augmentation" and entry.cls.__module__.startswith("augkit_")
    }
    assert set(rows) == own
    for name in own - {"classical-paper", "classical-strong"}:
        for field in fields(REGISTRY.entries["augmentation", name].cls):
            assert not field.init or f"`{field.name}" in rows[name], f"{name}.{field.name} is not documented"


# Planted faults: each is caught by its own check.


def flips_image_only(images, masks, own):
    return torch.where((own.uniform("x") < 0.5)[:, None, None, None], images.flip(3), images), masks


def shifts_mask_by_two(images, masks, own):
    return images * own.uniform("x", 0.5, 1)[:, None, None, None], masks.roll(2, 3)


def normalises_by_the_batch(images, masks, own):
    return (images * own.uniform("x", 0.5, 1)[:, None, None, None] / images.max()).clamp(0, 1), masks


def draws_by_position(images, masks, own):
    return images * torch.linspace(0.5, 1, len(images))[:, None, None, None], masks


def uses_the_global_generator(images, masks, own):
    return images * torch.rand(len(images), 1, 1, 1), masks


def ignores_the_epoch(images, masks, own):
    return images * 0.5, masks


def works_in_place(images, masks, own):
    return images.mul_(0.9), masks


def returns_the_input(images, masks, own):
    return images, masks


def leaves_the_range(images, masks, own):
    return images * 2, masks


def blurs_the_mask(images, masks, own):
    return images.clone(), (masks + masks.roll(1, 3)) / 2


def drops_the_second_class(images, masks, own):
    return images.clone(), masks[:, :1]


def returns_double(images, masks, own):
    return images.double(), masks


class RecordsTheBatch:
    def __call__(self, images, masks, own):
        return images, masks

    def parameters(self, own):
        return {"mean": own.uniform("x") - own.uniform("x").mean()}


FAULTS = [
    (flips_image_only, check_image_and_mask_move_together, "beyond the mask's border"),
    (shifts_mask_by_two, check_image_and_mask_move_together, "beyond the mask's border"),
    (normalises_by_the_batch, check_a_batch_equals_its_samples_one_by_one, "differs by"),
    (draws_by_position, check_a_batch_equals_its_samples_one_by_one, "differs by"),
    (draws_by_position, check_the_order_of_a_batch_does_not_matter, "another order"),
    (uses_the_global_generator, check_epoch_and_seed_change_the_draw_and_nothing_else_does, "global generator"),
    (ignores_the_epoch, check_epoch_and_seed_change_the_draw_and_nothing_else_does, "another epoch gives the same"),
    (works_in_place, check_inputs_are_left_alone, "were changed"),
    (returns_the_input, check_inputs_are_left_alone, "in place of a copy"),
    (leaves_the_range, check_shapes_types_and_ranges, "images are"),
    (blurs_the_mask, check_shapes_types_and_ranges, "masks are not 0 or 1"),
    (drops_the_second_class, check_shapes_types_and_ranges, "masks become"),
    (returns_double, check_shapes_types_and_ranges, "allowed: float32"),
    (flips_image_only, check_what_hides_pixels_moves_nothing, "of an image changed|masks changed"),
    (RecordsTheBatch(), check_parameters_are_recorded_per_sample, "depends on its batch"),
]


@pytest.mark.parametrize(("fault", "check", "message"), FAULTS)
def test_a_planted_fault_is_found(fault, check, message):
    with pytest.raises(AssertionError, match=message):
        check(fault)
