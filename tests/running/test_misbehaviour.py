"""Twelve ways in which a plugin may misbehave in a run, for each of five kinds: the run ends, and names the plugin."""

import os
import sys
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from augkit import DrawnMasks, Draws
from augkit.contracts.manners import Settings
from augkit.contracts.registry import Provider
from augkit.errors import AugkitError
from augkit.store import Store
from running.test_stages import (
    SEEN,
    FakeComponent,
    FakeDataset,
    FakeEntry,
    FakeGenerator,
    FakeMasks,
    FakeSegmenter,
    good_images,
    good_masks,
    good_scores,
    good_splits,
    plan_of,
    run,
)

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@dataclass(frozen=True)
class FakeAugmentation:
    answer: object = field(default=None, compare=False)

    def __call__(self, images, masks, draws):
        return self.answer(images, masks, draws)


def good_pair(images, masks, draws):
    return images.clone(), masks.clone()


def learning_from_batches(train, space):
    """What a segmenter does with the recipe's augmentations."""
    draws = Draws.of(0, "batch", np.arange(4))
    SEEN["segmenter"][2](torch.rand(4, 3, 8, 8), torch.ones(4, 1, 8, 8), Draws(torch.from_numpy(draws.keys)))


def with_dataset(answer):
    return {"dataset": FakeDataset(answer), "sources": []}


def with_masks(answer):
    return {"sources": [(FakeGenerator(), FakeMasks(answer), 1.0, None)]}


def with_generator(answer):
    return {"sources": [(FakeGenerator(answer), FakeMasks(), 2.0, None)]}


def with_augmentation(answer):
    entry = FakeEntry("augmentation", "fake", FakeAugmentation, Provider("fake", "augkit-fake", "1.2"))
    augment = [FakeComponent(entry, FakeAugmentation(answer))]
    return {"sources": [], "augment": augment, "segmenter": FakeSegmenter(fitting=learning_from_batches)}


def with_segmenter(answer):
    return {"sources": [], "segmenter": FakeSegmenter(answer)}


KINDS = {
    "dataset": (with_dataset, good_splits),
    "mask source": (with_masks, good_masks),
    "generator": (with_generator, good_images),
    "augmentation": (with_augmentation, good_pair),
    "segmenter": (with_segmenter, good_scores),
}
"""How a run has a component of this kind that answers so, and a good answer."""


def before(act):
    """The component does something first, and then answers well."""
    return lambda good: lambda *given: (act(), good(*given))[1]


def instead(act):
    return lambda good: lambda *given: act()


def raises():
    raise KeyError("no such thing")


def uses_global_randomness():
    np.random.seed(3)  # noqa: NPY002 - it is what must not be done
    torch.rand(1)


def changed_in_place(good):
    def answer(*given):
        if not given:  # a data set is given nothing: its splits share a patient
            splits = good()
            return replace(splits, test=replace(splits.test, groups=splits.train.groups[:4]))
        given[0][0] = 1
        return good(*given)

    return answer


def after(changes):
    """What the component returns is changed, each kind of answer in its own way."""

    def misbehaving(good):
        def answer(*given):
            returned = good(*given)
            return next(change(returned) for kind, change in changes.items() if isinstance(returned, kind))

        return answer

    return misbehaving


def of_splits(change):
    return lambda splits: replace(splits, train=change(splits.train))


OTHER_TYPES = after(
    {
        DrawnMasks: lambda drawn: replace(drawn, masks=drawn.masks.astype(np.float32)),
        np.ndarray: lambda values: values.astype(np.float64),
        tuple: lambda pair: (pair[0].double(), pair[1]),
        object: of_splits(lambda train: replace(train, images=train.images.astype(np.int64))),
    }
)
ONE_FEWER = after(
    {
        DrawnMasks: lambda drawn: replace(drawn, masks=drawn.masks[1:]),
        np.ndarray: lambda values: values[1:],
        tuple: lambda pair: (pair[0][1:], pair[1][1:]),
        object: of_splits(lambda train: replace(train, ids=train.ids[1:])),
    }
)
OUT_OF_RANGE = after(
    {
        DrawnMasks: lambda drawn: replace(drawn, masks=np.zeros_like(drawn.masks)),
        np.ndarray: lambda values: np.minimum(values, 1) if values.dtype == np.uint8 else values - 2,
        tuple: lambda pair: (pair[0] * 255, pair[1]),
        object: of_splits(lambda train: replace(train, groups=tuple(range(len(train))))),
    }
)

MISBEHAVIOURS = {
    "raises": (instead(raises), "KeyError"),
    "calls sys.exit": (instead(lambda: sys.exit(0)), "SystemExit"),
    "calls os._exit": (instead(lambda: os._exit(0)), r"it called os\._exit\(0\)"),
    "returns nothing": (instead(lambda: None), "returned None|returned a NoneType|returned nothing"),
    "returns another dtype": (OTHER_TYPES, "float|int64"),
    "returns one sample fewer": (ONE_FEWER, r"\(\d|records|ids|images"),
    "leaves the range": (OUT_OF_RANGE, "values in|empty masks|scale the images|text"),
    "changes its input": (changed_in_place, "changed the images|read-only|has group"),
    "uses global randomness": (before(uses_global_randomness), "used the global random generator"),
    "changes the number of threads": (before(lambda: torch.set_num_threads(3)), "threads from 1 to 3"),
    "changes the default dtype": (before(lambda: torch.set_default_dtype(torch.float64)), "default dtype from float32"),
    "changes the working folder": (before(lambda: os.chdir("/")), "changed the working folder to /"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS)
def test_a_plugin_that_misbehaves_ends_the_run_by_its_name_and_nothing_of_it_is_kept(
    tmp_path, monkeypatch, kind, misbehaviour
):
    monkeypatch.chdir(tmp_path)
    runs_with, good = KINDS[kind]
    misbehaving, said = MISBEHAVIOURS[misbehaviour]
    settings = Settings.now()
    with pytest.raises(AugkitError, match=said) as caught:
        run(tmp_path / "runs", **runs_with(misbehaving(good)))
    text = str(caught.value)
    assert "augkit-fake 1.2 (fake)" in text, text
    assert "\n" not in text
    now = Settings.now()
    assert settings.changes(now) == settings.used_generators(now) == []
    plan = plan_of(tmp_path / "runs", **runs_with(misbehaving(good)))
    assert not Store(tmp_path / "runs").has(plan.arms[0].evaluation.address)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_that_behaves_is_let_through(tmp_path, kind):
    runs_with, good = KINDS[kind]
    arm = run(tmp_path, **runs_with(good))
    assert Store(tmp_path).has(arm.evaluation.address)
