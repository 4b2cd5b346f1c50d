from dataclasses import replace

import numpy as np
import pytest
import torch

import augkit
from augkit import Channel, Format
from augkit.data.formats import class_masks
from augkit.data.stored import read_image_set
from augkit.errors import InputError
from augkit.face.augmenting import Augmenter
from augkit.planning.tasks import TrainSegmenter


@pytest.fixture
def pairs():
    generator = np.random.Generator(np.random.PCG64(1))
    images = generator.integers(0, 256, (6, 16, 20, 3), np.uint8)
    return images, images[..., 0] > 128


STRONG = augkit.augmentation("classical-strong: {}")


def test_arrays_come_back_as_arrays_and_those_given_stay_as_they_were(pairs):
    images, masks = pairs
    before = images.copy(), masks.copy()
    changed, moved = STRONG(images, masks, seed=1)
    assert (changed.dtype, changed.shape, moved.dtype, moved.shape) == (np.uint8, images.shape, np.bool_, masks.shape)
    assert not np.array_equal(changed, images)
    assert np.array_equal(images, before[0])
    assert np.array_equal(masks, before[1])


def test_tensors_give_the_same_pixels_as_arrays(pairs):
    images, masks = pairs
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2) / 255, torch.from_numpy(masks)[:, None].float()
    changed, moved = STRONG(*tensors, seed=1)
    arrays, cut = STRONG(images, masks, seed=1)
    assert np.abs((changed * 255).permute(0, 2, 3, 1).numpy() - arrays).max() <= 1
    assert np.array_equal(moved[:, 0].numpy() > 0.5, cut)


def test_a_sample_gets_the_same_whatever_the_batch_and_another_thing_in_another_epoch(pairs):
    images, masks = pairs
    names = list("abcdef")
    whole, _ = STRONG(images, masks, seed=1, epoch=3, ids=names)
    part, _ = STRONG(images[[4, 1]], masks[[4, 1]], seed=1, epoch=3, ids=["e", "b"])
    later, _ = STRONG(images, masks, seed=1, epoch=4, ids=names)
    assert np.array_equal(part, whole[[4, 1]])
    assert not np.array_equal(later, whole)


def test_with_the_seed_and_ids_of_a_run_it_is_what_that_run_trains_on(folder, result):
    study = augkit.load_recipe(folder / "classic.yaml")
    task = study.plan(out=folder / "runs").arms[0].segmenter.task
    assert isinstance(task, TrainSegmenter)
    train = read_image_set(next((folder / "runs" / "dataset").iterdir()) / "train")
    again = augkit.replay(study, sample=[0, 1, 2], epoch=5, out=folder / "runs")
    images, _ = STRONG(train.images[:3], train.masks[:3], seed=task.seed, epoch=5, ids=train.ids[:3])
    assert np.array_equal(images, again.images)


def test_several_are_named_as_in_a_recipe_and_as_python_values(pairs):
    text = augkit.augmentation("[{geometry: {flip: both}}, {colour: {}}]")
    values = augkit.augmentation([{"geometry": {"flip": "both"}}, {"colour": {}}])
    assert text == values
    assert [name for name, _ in text.augment] == ["geometry", "colour"]
    assert np.array_equal(text(*pairs)[0], values(*pairs)[0])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("elastik: {}", "augmentation: no augmentation is called 'elastik'. Did you mean 'elastic'?"),
        ("geometry: {flop: both}", "augmentation geometry: geometry has no option 'flop'"),
        ("geometry: 3", "augmentation geometry: found 3; allowed: a mapping of options"),
        ("geometry", "augmentation: found 'geometry'; allowed: a name with options"),
        ("[", "augmentation: not YAML"),
    ],
)
def test_what_a_recipe_could_not_name_is_refused_in_the_same_words(text, told):
    with pytest.raises(InputError) as caught:
        augkit.augmentation(text)
    assert str(caught.value.problems[0]).startswith(told)


def test_wrong_arrays_are_refused(pairs):
    images, masks = pairs
    with pytest.raises(InputError, match=r"images: found float64 .* allowed: uint8 \(N, H, W, 3\)"):
        STRONG(images / 255, masks)
    with pytest.raises(InputError, match="found 6 images, 5 masks and 6 ids; allowed: one of each per sample"):
        STRONG(images, masks[:5])


TENSORS = torch.zeros(2, 3, 16, 16), torch.zeros(2, 1, 16, 16)


@pytest.mark.parametrize(
    ("images", "masks", "told"),
    [
        (TENSORS[0] + 255, TENSORS[1], ["images: found values up to 255; allowed: 0..1. Divide by 255"]),
        (TENSORS[0].byte(), TENSORS[1], ["images: found uint8 (2, 3, 16, 16); allowed: float32 (N, 3, H, W) in 0..1"]),
        (TENSORS[0], TENSORS[1].bool(), ["masks: found bool (2, 1, 16, 16); allowed: float32 (N, K, H, W)"]),
        (TENSORS[0], TENSORS[1][:, 0], ["masks: found float32 (2, 16, 16); allowed: float32 (N, K, H, W)"]),
        (TENSORS[0].double(), TENSORS[1], ["images: found float64 (2, 3, 16, 16); allowed: float32 (N, 3, H, W)"]),
        (TENSORS[0].permute(0, 2, 3, 1), TENSORS[1], ["images: found float32 (2, 16, 16, 3)", "masks: found"]),
        (
            TENSORS[0],
            TENSORS[1][..., :8],
            ["masks: found float32 (2, 1, 16, 8); allowed: float32 (N, K, H, W), as large"],
        ),
        (
            np.zeros((2, 16, 16, 3), np.uint8),
            TENSORS[1],
            ["masks: found float32 (2, 1, 16, 16); allowed: bool (N, H, W)"],
        ),
        (np.zeros((2, 16, 16, 4), np.uint8), np.zeros((2, 16, 16), bool), ["images: found uint8 (2, 16, 16, 4)"]),
        (np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 8, 8), bool), ["masks: found bool (2, 8, 8); allowed: bool"]),
        ([1, 2], [1, 2], ["images: found list; allowed: float32 (N, 3, H, W) in 0..1 as a torch tensor", "masks:"]),
    ],
)
def test_whatever_is_no_batch_of_either_form_is_refused_in_a_sentence(images, masks, told):
    with pytest.raises(InputError) as caught:
        STRONG(images, masks)
    assert len(caught.value.problems) == len(told)
    for problem, beginning in zip(caught.value.problems, told, strict=True):
        assert str(problem).startswith(beginning)


class Pairs(torch.utils.data.Dataset):
    """Somebody's data set."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        image = torch.full((3, 16, 16), index / 10)
        image[:, :8] += 0.3
        return image, (image[:1] > 0.4).float()


def test_tensors_of_other_channels_go_through_what_takes_them_and_are_refused_by_what_does_not():
    images, masks = torch.rand(3, 1, 16, 16), torch.zeros(3, 2, 16, 16)
    masks[:, 0, 4:8, 4:8], masks[:, 1, 8:12, 4:8] = 1, 1
    format = Format("float32", (Channel("grey", "grey", 0, 1),), ("a", "b"))
    changed, moved = augkit.augmentation("classical-strong: {}", format)(images, masks)
    assert changed.shape == images.shape
    assert moved.shape == masks.shape
    with pytest.raises(InputError) as caught:
        augkit.augmentation([{"geometry": {}}, {"hair": {}}, {"colour": {}}], format)
    hair, colour = map(str, caught.value.problems)
    assert hair.startswith(
        "augmentation hair: takes 3 channels of red, green, blue with any number of classes; found 1"
    )
    assert "augmentation colour: saturation 0.2 and hue 5 change colours, and these are none: 1 channel" in colour


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_data_loader_a_sample_keeps_its_draws_in_any_order_with_any_number_of_workers(workers):
    samples = STRONG.over(Pairs(), seed=7)
    samples.epoch = 2
    wanted = {i: samples[i][0] for i in range(6)}
    loader = torch.utils.data.DataLoader(samples, batch_size=4, num_workers=workers, sampler=[5, 3, 1, 0, 2, 4])
    images = torch.cat([batch for batch, _ in loader])
    for place, index in enumerate([5, 3, 1, 0, 2, 4]):
        assert torch.equal(images[place], wanted[index])
    samples.epoch = 3
    assert not torch.equal(samples[0][0], wanted[0])


CT = Format("int16", (Channel("ct", "ct", -100, 155),), ("liver", "spleen"))


def mirrored(images, masks, draws):
    return images.flip(3), masks.flip(3)


@pytest.mark.parametrize("ignore", [False, True])
def test_arrays_of_another_format_come_back_as_they_were_given(ignore):
    generator = np.random.Generator(np.random.PCG64(1))
    images = generator.integers(-100, 156, (3, 8, 10, 1), np.int16)
    labels = generator.integers(0, 3, (3, 8, 10), np.uint8)
    if ignore:
        labels[:, 0] = 255
    changed, moved = Augmenter((("mirrored", mirrored),), replace(CT, ignore=ignore))(images, labels)
    assert changed.dtype == np.int16
    assert np.array_equal(changed, images[:, :, ::-1])
    assert np.array_equal(moved, labels[:, :, ::-1])
    if not ignore:
        tensors = torch.rand(3, 1, 8, 10), torch.from_numpy(class_masks(labels, 2)).float()
        image, mask = Augmenter((("mirrored", mirrored),), CT)(*tensors)
        assert torch.equal(image, tensors[0].flip(3))
        assert torch.equal(mask, tensors[1].flip(3))


def test_arrays_of_another_format_than_told_are_refused_and_so_is_what_does_not_take_it():
    augment = Augmenter((("mirrored", mirrored),), CT)
    told = r"images: found int16 \(2, 8, 8, 3\); allowed: int16 \(N, H, W, 1\) .*\n.*allowed: uint8 \(N, H, W\)"
    with pytest.raises(InputError, match=told):
        augment(np.zeros((2, 8, 8, 3), np.int16), np.zeros((2, 8, 8), np.bool_))
    with pytest.raises(
        InputError, match=r"augmentation hair: takes 3 channels .* with any number of classes; found 1 channel"
    ):
        augkit.augmentation("hair: {}", CT)
