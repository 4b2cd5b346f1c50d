"""What segmenters share that train by descent; the plugins' own tests train with it."""

import numpy as np
import pytest
import torch

from augkit import Format
from augkit.training import Budget, colour_statistics, segmentation_loss


def test_colour_statistics_are_those_of_the_images():
    images = np.random.Generator(np.random.Philox(3)).integers(0, 256, (5, 7, 9, 3), dtype=np.uint8)
    mean, std = colour_statistics(images, Format())
    assert np.allclose(mean[:, 0, 0].numpy(), images.reshape(-1, 3).mean(0) / 255, atol=1e-6)
    assert np.allclose(std[:, 0, 0].numpy(), images.reshape(-1, 3).std(0) / 255, atol=1e-6)


def test_images_of_one_colour_do_not_divide_by_zero():
    _, std = colour_statistics(np.full((2, 4, 4, 3), 90, np.uint8), Format())
    assert torch.equal(std, torch.full((3, 1, 1), 1 / 255))


@pytest.mark.parametrize("kind", ["bce", "bce_dice"])
def test_the_loss_takes_soft_masks_and_is_least_where_the_scores_are_right(kind):
    """Mixup makes masks the share of the foreground."""
    soft = torch.full((2, 1, 8, 8), 0.3)
    soft[:, :, :4] = 0.8
    right = segmentation_loss(torch.logit(soft), soft, kind)
    for wrong in (torch.logit(soft) + 0.5, torch.logit(soft) * 0.5, torch.zeros_like(soft)):
        assert segmentation_loss(wrong, soft, "bce") > segmentation_loss(torch.logit(soft), soft, "bce")
    assert torch.isfinite(right)
    blended = 0.7 * segmentation_loss(torch.zeros_like(soft), torch.ones_like(soft), "bce") + 0.3 * segmentation_loss(
        torch.zeros_like(soft), torch.zeros_like(soft), "bce"
    )
    assert torch.isclose(segmentation_loss(torch.zeros_like(soft), torch.full_like(soft, 0.7), "bce"), blended)


@pytest.mark.parametrize(("images", "steps"), [(8, 6), (9, 9)])
def test_epochs_are_rounded_up_to_whole_batches_and_steps_are_not_touched(images, steps):
    assert Budget.of("epochs", 5, 3, 4, images) == Budget("epochs", steps, 4, images)
    assert Budget.of("steps", 5, 3, 4, images) == Budget("steps", 5, 4, images)


def test_a_budget_says_how_many_epochs_its_steps_are():
    facts = Budget("steps", 5, 4, 12).facts()
    assert facts == {"budget": "steps", "steps": 5, "batch_size": 4, "images": 12, "epochs": 1.667}


@pytest.mark.parametrize("kind", ["bce", "bce_dice"])
def test_pixels_that_do_not_count_do_not_change_the_loss(kind):
    generator = torch.Generator().manual_seed(0)
    logits, masks = torch.randn((2, 1, 8, 8), generator=generator), torch.ones((2, 1, 8, 8))
    masks[:, :, :, :4] = 0
    counts = torch.zeros_like(masks)
    counts[:, :, 2:6] = 1
    kept = segmentation_loss(logits[:, :, 2:6], masks[:, :, 2:6], kind)
    assert torch.isclose(segmentation_loss(logits, masks * counts, kind, counts), kept)
    assert torch.isclose(
        segmentation_loss(logits, masks, kind, torch.ones_like(masks)), segmentation_loss(logits, masks, kind)
    )
    assert torch.isfinite(segmentation_loss(logits, masks * 0, kind, torch.zeros_like(masks)))
