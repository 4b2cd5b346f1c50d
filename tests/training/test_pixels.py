import numpy as np
import pytest
import torch

from augkit import Channel, Format, ImageSet
from augkit.data.formats import in_unit
from augkit.training import Batches, segmentation_loss
from augkit.training.pixels import as_stored, as_tensor, in_unit_range, one_hot


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_pixels_of_every_type_arrive_in_their_window_and_come_back(dtype):
    format = Format(dtype, (Channel("a", "other", 10, 210), Channel("b", "grey", 0, 100)))
    rng = np.random.default_rng(0)
    top = 60_000 if dtype == "uint16" else 255
    images = rng.integers(0, top, (2, 4, 5, 2)).astype(dtype)
    unit = in_unit_range(images, format, "cpu")
    assert unit.shape == (2, 2, 4, 5)
    np.testing.assert_allclose(unit.permute(0, 2, 3, 1).numpy(), in_unit(images, format), atol=1e-6)
    low, high = format.windows
    np.testing.assert_allclose(as_stored(unit, format), np.clip(images, low, high), atol=1e-4)
    assert as_stored(unit, format).dtype == dtype


def test_8_bit_pixels_come_back_as_they_were():
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    assert (as_stored(in_unit_range(images, Format(), "cpu"), Format()) == images).all()


def test_labels_become_one_mask_per_class_and_ignored_pixels_have_none():
    labels = as_tensor(np.array([[[0, 1, 3, 255]]], np.uint8))
    assert one_hot(labels, 3)[0, :, 0].tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert one_hot(labels, 3, background=True)[0, -1, 0].tolist() == [1, 0, 0, 0]


def test_batches_of_any_format_hold_its_channels_and_classes():
    format = Format("uint16", (Channel("grey", "grey", 0, 65535),), ("a", "b"), ignore=True)
    images = np.full((4, 16, 16, 1), 65535, np.uint16)
    labels = np.zeros((4, 16, 16), np.uint8)
    labels[:, 0, 0], labels[:, 0, 1] = 2, 255
    names = tuple("abcd")
    batch = Batches(ImageSet(names, images, labels, names, ("real",) * 4, format), 2, 0, "cpu").at(0)
    assert batch.images.shape == (2, 1, 16, 16)
    assert float(batch.images.min()) == 1
    assert batch.masks.shape == (2, 3, 16, 16)  # two classes, and the background
    seen = batch.augmented(lambda images, masks, draws: (images, masks), ignore=True)
    assert seen.masks.shape == (2, 2, 16, 16)
    assert seen.counts[0, 0, 0, :3].tolist() == [1, 0, 1]


def test_the_loss_over_classes_is_the_cross_entropy_of_labels():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 5, 5), torch.randint(0, 4, (2, 5, 5))
    masks = torch.stack([labels == k for k in (1, 2, 3)], dim=1).float()
    wanted = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(segmentation_loss(logits, masks, "bce"), wanted)
    counts = torch.ones(2, 1, 5, 5)
    torch.testing.assert_close(segmentation_loss(logits, masks, "bce", counts), wanted)


def test_pixels_that_do_not_count_change_no_loss_over_classes():
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 4, 4)
    masks = torch.zeros(1, 2, 4, 4)
    counts = torch.ones(1, 1, 4, 4)
    counts[..., 0] = 0
    changed = logits.clone()
    changed[..., 0] += 5
    for kind in ("bce", "bce_dice"):
        one, other = (segmentation_loss(each, masks, kind, counts) for each in (logits, changed))
        torch.testing.assert_close(one, other)


def test_pixels_are_rounded_and_kept_within_their_range():
    images = torch.tensor([-3.0, 0.4, 0.6, 254.6, 300.0, 7.0]).view(1, 3, 1, 2) / 255
    pixels = as_stored(images, Format())
    assert (pixels.shape, pixels.dtype) == ((1, 1, 2, 3), np.uint8)
    assert pixels.tolist() == [[[[0, 1, 255], [0, 255, 7]]]]


def test_windows_that_a_prediction_asked_for_first_serve_a_training():
    format = Format("int16", (Channel("ct", "ct", -77, 133),))
    images = np.full((1, 2, 2, 1), 28, np.int16)
    with torch.inference_mode():
        in_unit_range(images, format, "cpu")
    weight = torch.ones(1, requires_grad=True)
    (in_unit_range(images, format, "cpu") * weight).sum().backward()
    assert float(weight.grad) == pytest.approx(2)
