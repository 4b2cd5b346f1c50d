import json
import re
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from augkit import DrawnMasks, ImageSet, Splits
from augkit.contracts.registry import Entry, Provider
from augkit.data.draws import Draws
from augkit.data.stored import read_image_set, write_image_set
from augkit.errors import AugkitError, ContractError, DivergedError, InputError, Problem, StageError
from augkit.metrics import METRICS, surface_distance
from augkit.planning.components import CheckedRecipe, CheckedSource, Component, Identified
from augkit.planning.plan import Plan, make_plan, make_quality
from augkit.planning.recipe import Recipe, Reference
from augkit.planning.tasks import in_order
from augkit.report.arms import design_of, read_scores
from augkit.report.gather import _finds_nothing
from augkit.report.tables import table_title
from augkit.running.engine import Engine
from augkit.starting import Terminated
from augkit.store import Digests, Store, read_array, read_json, write_json
from augkit.training.batches import Batches
from augkit.training.pipeline import Checked, Pipeline

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
SIZE = 8


def make_set(name, n, origin="real"):
    numbers = np.random.Generator(np.random.Philox(key=len(name)))
    images = numbers.integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    masks = numbers.uniform(size=(n, SIZE, SIZE)) < 0.4
    ids = tuple(f"{name}-{i}" for i in range(n))
    return ImageSet(ids, images, masks, tuple(f"patient-{name}-{i // 2}" for i in range(n)), (origin,) * n)


def good_splits():
    return Splits(make_set("train", 6), make_set("validation", 2), make_set("test", 4))


def good_masks(masks, count, draws, space):
    parents = draws.integers("parent", 0, len(masks))
    return DrawnMasks(np.asarray(masks)[parents], tuple({"parent": int(p)} for p in parents))


def good_images(masks, draws):
    return np.broadcast_to(draws.integers("grey", 0, 256)[:, None, None, None], (*masks.shape, 3)).astype(np.uint8)


def good_scores(images):
    return (images[:, None, :, :, 0] / 255).astype(np.float32)


# Components whose answers are given by the test; what they were shown is in `SEEN`.

SEEN: dict[str, object] = {}


@dataclass(frozen=True)
class FakeDataset:
    answer: Callable[..., object] = field(default=good_splits, compare=False)
    files: tuple[Path, ...] = ()

    def sources(self):
        return self.files

    def load(self):
        return self.answer()


@dataclass(frozen=True)
class FakeMasks:
    answer: Callable[..., object] = field(default=good_masks, compare=False)

    def draw(self, masks, count, draws, space):
        SEEN["masks"] = masks
        return self.answer(masks, count, draws, space)


@dataclass(frozen=True)
class FakeGenerator:
    answer: Callable[..., object] = field(default=good_images, compare=False)
    fitting: Callable[..., object] = field(default=lambda train, space: None, compare=False)

    def fit(self, train, space):
        SEEN["generator"] = train
        self.fitting(train, space)
        write_json(space.folder / "weights.json", [1])

    def open(self, folder, device):
        SEEN["generator folder"] = sorted(path.name for path in folder.iterdir())
        return self.answer


@dataclass(frozen=True)
class FakeSegmenter:
    answer: Callable[..., object] = field(default=good_scores, compare=False)
    fitting: Callable[..., object] = field(default=lambda train, space: None, compare=False)

    def fit(self, train, validation, augment, space):
        SEEN["segmenter"] = train, validation, augment
        self.fitting(train, space)
        write_json(space.folder / "weights.json", [2])

    def open(self, folder, device):
        return self.answer


@dataclass(frozen=True)
class PickySegmenter(FakeSegmenter):
    def check_frame(self, frame):
        raise ValueError(f"found images of {frame}; allowed: others")


KINDS = {
    FakeDataset: "dataset",
    FakeMasks: "mask source",
    FakeGenerator: "generator",
    FakeSegmenter: "segmenter",
    PickySegmenter: "segmenter",
}


@dataclass(frozen=True)
class FakeEntry(Entry):
    def source_hash(self):
        return "source"


def component(instance, name="fake"):
    kind = KINDS[type(instance)]
    entry = FakeEntry(kind, name, type(instance), Provider(name, "augkit-fake", "1.2"))
    return FakeComponent(entry, instance)


@dataclass(frozen=True)
class FakeComponent(Component):
    def identify(self, digests):
        files = digests.of(self.instance.sources()) if hasattr(self.instance, "sources") else ""
        return Identified(self, {}, files, "source")


def checked(dataset=None, sources=None, segmenter=None, augment=(), name="arm"):
    nowhere = Reference("fake", {}, "recipe.yaml:1", {})
    recipe = Recipe("recipe.yaml", name, 0, nowhere, (), (), nowhere, {"name": name, "seed": 0})
    if sources is None:
        sources = [(FakeGenerator(), FakeMasks(), 1.0, None)]
    found = tuple(CheckedSource(component(g), component(m), per_real, count) for g, m, per_real, count in sources)
    return CheckedRecipe(
        recipe, component(dataset or FakeDataset()), found, tuple(augment), component(segmenter or FakeSegmenter())
    )


def plan_of(folder, **parts):
    """Return a plan that ends with the evaluation: a report needs nothing of what is tested here."""
    plan = make_plan([checked(**parts)], None, Digests(folder))
    return Plan(plan.arms, plan.arms[0].evaluation)


def run(folder, **parts):
    SEEN.clear()
    plan = plan_of(folder, **parts)
    Engine(Store(folder), "cpu").run(plan)
    return plan.arms[0]


def folder_of(folder, stage):
    return Store(folder).open(stage.address)


# What an arm is


def design(seed=None, **parts):
    return design_of(make_plan([checked(**parts)], None if seed is None else [seed], Digests(Path("unused"))).arms[0])


def test_a_design_names_the_components_and_their_amounts_and_knows_no_seed_and_no_name():
    found = design(name="one")
    assert [part.partition(" #")[0] for part in (found.data, found.segmenter, found.augment, found.synthesis)] == [
        "fake", "fake", "", "fake/fake × 1"
    ]  # fmt: skip
    assert found == design(seed=5, name="two")
    assert design(sources=[]).synthesis == ""
    assert design(sources=[(FakeGenerator(), FakeMasks(), None, 9)]).synthesis.startswith("fake/fake · 9 #")


def test_designs_differ_where_amounts_differ_only_in_digits_that_are_not_shown():
    shares = [(FakeGenerator(), FakeMasks(), share, None) for share in (1.0, 1.0 + 1e-9)]
    one, other = (design(sources=[share]) for share in shares)
    assert one.synthesis.partition(" #")[0] == other.synthesis.partition(" #")[0]
    assert one != other
    assert replace(one, synthesis="") == replace(other, synthesis="") == design(sources=[])


def test_data_without_copies_of_test_images_are_other_data():
    recipe = checked()
    without = replace(recipe, recipe=replace(recipe.recipe, exclude_copies=True))
    found = [design_of(make_plan([one], None, Digests(Path("unused"))).arms[0]) for one in (recipe, without)]
    assert found[0].data != found[1].data
    assert "without copies of test images" in found[1].data
    assert replace(found[0], data="") == replace(found[1], data="")


@pytest.mark.parametrize(("empty", "warned"), [(0, False), (1, False), (2, True), (4, True)])
def test_a_segmenter_that_finds_nothing_in_half_of_the_images_is_warned_of(tmp_path, empty, warned):
    def answer(images):
        found = good_scores(images)
        found[:empty] = 0
        return found

    arm = run(tmp_path, segmenter=FakeSegmenter(answer))
    folders = {arm.evaluation: folder_of(tmp_path, arm.evaluation)}
    sentences = list(_finds_nothing([arm, replace(arm, seed=3)], folders))
    assert len(sentences) == warned
    assert all(
        "that show something, with seed 0, 3, and a comparison with it says little. To do: train it longer" in sentence
        for sentence in sentences
    )


# What a run with honest components does


def test_artifacts_hold_what_the_components_returned(tmp_path):
    arm = run(tmp_path)
    splits = good_splits()
    for name in ("train", "validation", "test"):
        stored, given = read_image_set(folder_of(tmp_path, arm.dataset) / name), getattr(splits, name)
        assert (stored.ids, stored.groups, stored.origins) == (given.ids, given.groups, given.origins)
        assert (stored.images == given.images).all()
        assert (stored.masks == given.masks).all()
    evaluation = folder_of(tmp_path, arm.evaluation)
    predictions = read_array(evaluation / "predictions.npy")
    assert (predictions == (splits.test.images[..., 0] > 127)).all()
    assert (read_array(evaluation / "counts.npy").sum(axis=2) == SIZE * SIZE).all()
    scores = read_scores([arm], splits.test, lambda stage: folder_of(tmp_path, stage))
    assert (scores.arm, scores.seeds, scores.values["dice"].shape) == ("arm", (0,), (1, 4))
    assert scores.values["nsd"][0].tolist() == surface_distance(predictions, splits.test.masks).tolist()
    assert tuple(scores.values) == METRICS


def test_nothing_is_kept_of_a_stage_whose_files_changed_while_it_was_made(tmp_path):
    file = tmp_path / "masks.csv"
    file.write_text("as planned")
    arm = run(tmp_path / "calm", dataset=FakeDataset(files=(file,)))
    assert folder_of(tmp_path / "calm", arm.dataset).is_dir()

    def changing():
        file.write_text("changed meanwhile")
        return good_splits()

    plan = plan_of(tmp_path / "runs", dataset=FakeDataset(changing, (file,)))
    with pytest.raises(StageError, match="FakeDataset: files that it reads were changed since the run began; nothing"):
        Engine(Store(tmp_path / "runs"), "cpu").run(plan)
    assert not Store(tmp_path / "runs").has(plan.arms[0].dataset.address)


def test_predictions_and_synthesis_are_made_with_deterministic_algorithms_as_training_is(tmp_path):
    modes = []

    def painted(masks, draws):
        modes.append((torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32))
        return good_images(masks, draws)

    def found(images):
        modes.append((torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32))
        return good_scores(images)

    run(tmp_path, sources=[(FakeGenerator(painted), FakeMasks(), 1.0, None)], segmenter=FakeSegmenter(found))
    assert set(modes) == {(True, False)}
    assert len(modes) >= 4
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_build_of_single_stages_is_on_record_until_it_ends(tmp_path):
    seen = []

    def watched(train, space):
        seen.extend(json.loads(file.read_text())["stages"] for file in (tmp_path / ".augkit/runs").iterdir())

    plan = plan_of(tmp_path, sources=[(FakeGenerator(fitting=watched), FakeMasks(), 1.0, None)])
    (synthesis,) = plan.arms[0].syntheses
    Engine(Store(tmp_path), "cpu").build([synthesis])
    assert seen == [[stage.address.fingerprint for stage in in_order([synthesis])]]
    assert list((tmp_path / ".augkit/runs").iterdir()) == []


def test_a_generator_and_a_mask_source_see_the_training_split_only(tmp_path):
    run(tmp_path)
    train = good_splits().train
    assert SEEN["generator"].ids == train.ids
    assert (SEEN["generator"].images == train.images).all()
    assert (SEEN["masks"] == train.masks).all()


def test_a_segmenter_sees_training_validation_and_synthetic_samples_and_never_a_test_image(tmp_path):
    arm = run(tmp_path)
    train, validation, _ = SEEN["segmenter"]
    synthetic = read_image_set(folder_of(tmp_path, arm.syntheses[0]))
    assert train.ids == (*good_splits().train.ids, *synthetic.ids)
    assert validation.ids == good_splits().validation.ids
    assert not set(train.ids + validation.ids) & set(good_splits().test.ids)
    assert set(train.groups) == set(good_splits().train.groups)


def test_synthetic_samples_have_unique_ids_and_the_group_of_the_mask_they_came_from(tmp_path):
    without_parent = FakeMasks(
        lambda masks, count, draws, space: DrawnMasks(np.ones((count, 8, 8), bool), ({},) * count)
    )
    sources = [
        (FakeGenerator(), FakeMasks(), 1.0, None),
        (FakeGenerator(), FakeMasks(), None, 5),
        (FakeGenerator(), without_parent, None, 300),
    ]
    arm = run(tmp_path, sources=sources)
    sets = [read_image_set(folder_of(tmp_path, stage)) for stage in arm.syntheses]
    assert [len(one) for one in sets] == [6, 5, 300]
    ids = [name for one in sets for name in one.ids]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(good_splits().train.ids)
    groups = good_splits().train.groups
    records = read_json(folder_of(tmp_path, arm.syntheses[1].inputs["masks"]) / "records.json")
    assert sets[1].groups == tuple(groups[record["parent"]] for record in records)
    assert sets[2].groups == sets[2].ids
    assert set(sets[0].origins) == {"fake/fake"}


def test_a_source_and_its_shuffled_twin_have_other_ids(tmp_path):
    recipe = checked()
    (source,) = recipe.sources
    both = replace(recipe, sources=(source, replace(source, shuffled=True)))
    first, second = make_plan([both], None, Digests(tmp_path)).arms[0].syntheses
    assert first.task.prefix != second.task.prefix


def test_the_same_source_twice_gives_other_masks_and_other_images(tmp_path):
    source = (FakeGenerator(), FakeMasks(), None, 40)
    arm = run(tmp_path, sources=[source, source])
    first, second = (read_image_set(folder_of(tmp_path, stage)) for stage in arm.syntheses)
    assert not set(first.ids) & set(second.ids)
    assert (first.images != second.images).any()
    assert first.groups != second.groups
    assert arm.generators[0] == arm.generators[1]


@pytest.mark.parametrize(
    ("per_real", "count", "expected"), [(1.0, None, 6), (0.5, None, 3), (0.01, None, 1), (2.4, None, 14), (None, 9, 9)]
)
def test_the_number_of_synthetic_images_is_a_share_of_the_training_set_or_a_count(tmp_path, per_real, count, expected):
    arm = run(tmp_path, sources=[(FakeGenerator(), FakeMasks(), per_real, count)])
    assert len(read_image_set(folder_of(tmp_path, arm.syntheses[0]))) == expected


def test_an_image_does_not_depend_on_the_size_of_the_chunk_it_is_painted_in(tmp_path, monkeypatch):
    arm = run(tmp_path / "a", sources=[(FakeGenerator(), FakeMasks(), None, 23)])
    monkeypatch.setattr("augkit.running.stages.synthesis.CHUNK", 5)
    run(tmp_path / "b", sources=[(FakeGenerator(), FakeMasks(), None, 23)])
    first, second = (read_image_set(folder_of(tmp_path / name, arm.syntheses[0])) for name in "ab")
    assert (first.images == second.images).all()
    assert len(np.unique(first.images[:, 0, 0, 0])) > 15


def test_what_a_training_keeps_for_continuing_is_not_part_of_the_artifact(tmp_path):
    def leave_checkpoints(train, space):
        write_json(space.folder / "checkpoints" / "000000010" / "state.json", {})

    def learn_masks(masks, count, draws, space):
        leave_checkpoints(masks, space)
        return good_masks(masks, count, draws, space)

    arm = run(
        tmp_path,
        sources=[(FakeGenerator(fitting=leave_checkpoints), FakeMasks(learn_masks), 1.0, None)],
        segmenter=FakeSegmenter(fitting=leave_checkpoints),
    )
    for stage in (arm.generators[0], arm.segmenter):
        names = sorted(path.name for path in folder_of(tmp_path, stage).iterdir())
        assert names == ["artifact.json", "weights.json"]
    masks = arm.syntheses[0].inputs["masks"]
    names = sorted(path.name for path in folder_of(tmp_path, masks).iterdir())
    assert names == ["artifact.json", "masks.npy", "records.json"]


def test_a_validation_split_may_be_empty(tmp_path):
    splits = replace(good_splits(), validation=ImageSet.empty((SIZE, SIZE)))
    run(tmp_path, dataset=FakeDataset(lambda: splits))
    assert len(SEEN["segmenter"][1]) == 0


def test_augmentations_are_applied_in_order_and_each_has_its_own_draws():
    heard = []

    def remember(images, masks, draws):
        heard.append(draws.uniform("angle").tolist())
        return images + 1, masks

    def double(images, masks, draws):
        heard.append(draws.uniform("angle").tolist())
        return images * 2, masks

    draws = Draws.of(0, "s", np.arange(3))
    images, masks = Pipeline([("a", remember), ("a", remember), ("b", double)])(np.zeros(3), np.ones(3), draws)
    assert images.tolist() == [4, 4, 4]
    assert masks.tolist() == [1, 1, 1]
    assert heard[0] != heard[1] != heard[2] != heard[0]
    assert Pipeline([])(images, masks, draws) == (images, masks)


def test_pixels_become_floats_where_the_first_augmentation_needs_them():
    heard = []

    @dataclass(frozen=True)
    class Hears:
        stored: bool

        def takes_stored_pixels(self):
            return self.stored

        def __call__(self, images, masks, draws):
            heard.append((images.dtype, masks.dtype))
            return images, masks

    def plain(images, masks, draws):
        heard.append((images.dtype, masks.dtype))
        return images / 2, masks

    kinds = {"stored": Hears(True), "first": Checked("first", Hears(True)), "plain": plain, "late": Hears(True)}
    pipeline = Pipeline(list(kinds.items()))
    batch = Batches(make_set("train", 3), 2, 0, "cpu").at(0)
    images, masks, counts = batch.augmented(pipeline)
    batch.augmented(pipeline)
    small, large = (torch.uint8,) * 2, (torch.float32,) * 2
    assert heard == [small, large, large, large, large, small, small, large, large]
    assert torch.equal(images, batch.images / 2)
    assert torch.equal(masks, batch.masks)
    assert all(torch.equal(*pair) for pair in zip(batch.augmented(plain)[:2], (images, masks), strict=True))
    assert counts is None
    assert batch.augmented(Pipeline([]))[0].dtype == torch.float32


def test_a_stored_set_is_read_back_as_it_was_and_cannot_be_changed(tmp_path):
    samples = make_set("train", 3)
    write_image_set(tmp_path / "deep" / "set", samples)
    stored = read_image_set(tmp_path / "deep" / "set")
    assert stored.ids == samples.ids
    for array in (stored.images, stored.masks):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


# What a component must not do


def changed(part, **values):
    """Return the splits with some fields of one part replaced."""
    splits = good_splits()
    return replace(splits, **{part: replace(getattr(splits, part), **values)})


def masks_with(change):
    def answer(masks, count, draws, space):
        return change(good_masks(masks, count, draws, space))

    return {"sources": [(FakeGenerator(), FakeMasks(answer), 1.0, None)]}


def dataset_with(make):
    return {"dataset": FakeDataset(make)}


def generator_with(answer):
    return {"sources": [(FakeGenerator(answer), FakeMasks(), 1.0, None)]}


def segmenter_with(answer):
    return {"segmenter": FakeSegmenter(answer)}


def first_empty(drawn):
    drawn.masks[1] = False
    return drawn


def with_record(**record):
    return lambda drawn: replace(drawn, records=(record, *drawn.records[1:]))


def one_value(value):
    def answer(images):
        scores = good_scores(images)
        scores[1, 0, 2, 3] = value
        return scores

    return answer


BREACHES = {
    "splits: none": (
        dataset_with(lambda: None),
        "dataset fake: contract: the data set returned a NoneType; return augkit.Splits. Provided by",
    ),
    "splits: a tuple": (dataset_with(lambda: (1, 2)), "the data set returned a tuple; return augkit.Splits"),
    "splits: no training images": (
        dataset_with(lambda: replace(good_splits(), train=ImageSet.empty((8, 8)))),
        "the data set has 0 training and 4 test samples; return at least one of each",
    ),
    "splits: no test images": (
        dataset_with(lambda: replace(good_splits(), test=ImageSet.empty((8, 8)))),
        "the data set has 6 training and 0 test samples; return at least one of each",
    ),
    "splits: two sizes": (
        dataset_with(lambda: replace(good_splits(), validation=ImageSet.empty((16, 16)))),
        "has different image sizes: 8 x 8 in train, 16 x 16 in validation, 8 x 8 in test; return one size for",
    ),
    "splits: a shared group": (
        dataset_with(lambda: changed("test", groups=("a", "b", "patient-train-1", "c"))),
        "has group 'patient-train-1' in train and test; put each group in one split only",
    ),
    "splits: a group shared with validation": (
        dataset_with(lambda: changed("validation", groups=("patient-train-0", "b"))),
        "has group 'patient-train-0' in train and validation; put each group in one split only",
    ),
    "splits: a shared id": (
        dataset_with(lambda: changed("test", ids=("a", "b", "train-3", "c"))),
        "has id 'train-3' in train and test; put each id in one split only",
    ),
    "splits: ids that are numbers": (
        dataset_with(lambda: changed("test", ids=(1, 2, 3, 4))),
        "has id 1 in test, which is a int; return text",
    ),
    "splits: float images": (
        dataset_with(lambda: changed("train", images=np.zeros((6, 8, 8, 3), np.float32))),
        "ValueError in augkit-fake 1.2 (fake): images are float32 (6, 8, 8, 3); allowed: uint8 (N, H, W, 3)",
    ),
    "splits: masks of numbers": (
        dataset_with(lambda: changed("train", masks=np.zeros((6, 8, 8), np.uint8))),
        "ValueError in augkit-fake 1.2 (fake): masks are uint8 (6, 8, 8); allowed: bool (6, 8, 8), as the images",
    ),
    "splits: too few groups": (
        dataset_with(lambda: changed("train", groups=("a",))),
        "6 ids, 6 images, 1 groups, 6 origins; allowed: one of each per sample",
    ),
    "splits: twice the same id": (dataset_with(lambda: changed("train", ids=("a",) * 6)), "ids are not unique"),
    "masks: none": (
        masks_with(lambda drawn: None),
        "masks fake: contract: the mask source returned a NoneType; return augkit.DrawnMasks",
    ),
    "masks: an array": (
        masks_with(lambda drawn: drawn.masks),
        "the mask source returned bool (6, 8, 8); return augkit.DrawnMasks",
    ),
    "masks: a list": (
        masks_with(lambda drawn: replace(drawn, masks=drawn.masks.tolist())),
        "the mask source returned masks a list; return bool (6, 8, 8)",
    ),
    "masks: numbers": (
        masks_with(lambda drawn: replace(drawn, masks=drawn.masks.astype(np.uint8))),
        "the mask source returned masks uint8 0..1 (6, 8, 8); return bool (6, 8, 8)",
    ),
    "masks: too few": (
        masks_with(lambda drawn: replace(drawn, masks=drawn.masks[:5])),
        "the mask source returned masks bool (5, 8, 8); return bool (6, 8, 8)",
    ),
    "masks: another size": (
        masks_with(lambda drawn: replace(drawn, masks=drawn.masks[:, :4])),
        "the mask source returned masks bool (6, 4, 8); return bool (6, 8, 8)",
    ),
    "masks: an empty one": (
        masks_with(first_empty),
        "the mask source returned 1 empty masks of 6, the first for sample 1; return masks with foreground",
    ),
    "masks: too few records": (
        masks_with(lambda drawn: replace(drawn, records=drawn.records[:2])),
        "the mask source returned 2 records; return one per mask, 6",
    ),
    "masks: a record that is no JSON": (
        masks_with(with_record(area=np.int64(3))),
        "returned record 0, which cannot be written (Object of type int64 is not JSON serializable); return text",
    ),
    "masks: a record that is not a number": (
        masks_with(with_record(area=float("nan"))),
        "returned record 0, which cannot be written (Out of range",
    ),
    "masks: a parent that is not there": (
        masks_with(with_record(parent=6)),
        "returned record 0 with parent 6; write an int in 0 .. 5, or no parent",
    ),
    "masks: a negative parent": (
        masks_with(with_record(parent=-1)),
        "returned record 0 with parent -1; write an int in 0 .. 5",
    ),
    "masks: a parent that is no index": (
        masks_with(with_record(parent=2.0)),
        "returned record 0 with parent 2.0; write an int in 0 .. 5",
    ),
    "masks: a parent that is true": (
        masks_with(with_record(parent=True)),
        "returned record 0 with parent True; write an int in 0 .. 5",
    ),
    "images: floats": (
        generator_with(lambda masks, draws: np.zeros((6, 8, 8, 3))),
        "synthesis fake-fake: contract: the generator returned float64 0..0 (6, 8, 8, 3); return uint8 0..255 (6, 8,",
    ),
    "images: channels first": (
        generator_with(lambda masks, draws: np.zeros((6, 3, 8, 8), np.uint8)),
        "the generator returned uint8 0..0 (6, 3, 8, 8); return uint8 0..255 (6, 8, 8, 3)",
    ),
    "images: too few": (
        generator_with(lambda masks, draws: np.zeros((1, 8, 8, 3), np.uint8)),
        "the generator returned uint8 0..0 (1, 8, 8, 3); return uint8 0..255 (6, 8, 8, 3)",
    ),
    "images: a list": (generator_with(lambda masks, draws: []), "the generator returned a list; return uint8"),
    "scores: doubles": (
        segmenter_with(lambda images: good_scores(images).astype(np.float64)),
        "evaluation fake: contract: the segmenter returned float64 0.003922..0.9961 (4, 1, 8, 8); return float32 0..1",
    ),
    "scores: no channel": (
        segmenter_with(lambda images: good_scores(images)[:, 0]),
        "the segmenter returned float32 0.003922..0.9961 (4, 8, 8); return float32 0..1 (4, 1, 8, 8)",
    ),
    "scores: not a number": (
        segmenter_with(one_value(np.nan)),
        "the segmenter returned values that are not finite for sample test-1; return 0..1, finite",
    ),
    "scores: infinite": (
        segmenter_with(one_value(np.inf)),
        "values that are not finite for sample test-1; return 0..1, finite",
    ),
    "scores: logits": (segmenter_with(one_value(-3.5)), "the segmenter returned values in -3.5 .. "),
    "scores: above one": (segmenter_with(one_value(1.5)), ".. 1.5 for sample test-1; return 0..1, finite"),
}


def test_a_size_that_the_data_set_did_not_tell_is_refused_when_the_stage_begins(tmp_path):
    told = "segmenter 'fake': found images of 8 x 8 pixels; allowed: others. Choose other images or another component"
    with pytest.raises(AugkitError, match=told):
        run(tmp_path, segmenter=PickySegmenter())
    assert "segmenter" not in SEEN


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_of_contract_says_where_what_was_found_and_what_to_return(tmp_path, capfd, breach):
    parts, expected = BREACHES[breach]
    with pytest.raises(StageError) as caught:
        run(tmp_path, **parts)
    text = str(caught.value)
    assert expected in text
    stage = {
        "splits": "dataset fake",
        "masks": "masks fake",
        "images": "synthesis fake-fake",
        "scores": "evaluation fake",
    }
    assert text.startswith(stage[breach.partition(":")[0]])
    assert "\n" not in text
    assert ("Provided by augkit-fake 1.2 (fake)" in text) == (": contract: " in text)
    assert caught.value.exit_code == 1
    assert capfd.readouterr() == ("", "")


@dataclass(frozen=True)
class FakeAugmentation:
    answer: Callable[..., object] = field(compare=False)

    def __call__(self, images, masks, draws):
        return self.answer(images, masks, draws)


KINDS[FakeAugmentation] = "augmentation"


def augmented_with(answer):
    """A recipe whose segmenter augments one batch of grey images, with the augmentation ``wobble`` after a good one."""

    def fitting(train, space):
        draws = Draws.on_device(0, "batch", torch.arange(6))
        SEEN["segmenter"][2](torch.full((6, 3, 8, 8), 0.5), torch.ones(6, 1, 8, 8), draws)

    steps = (
        (FakeAugmentation(lambda images, masks, draws: (images, masks)), "good"),
        (FakeAugmentation(answer), "wobble"),
    )
    return {
        "augment": [component(instance, name) for instance, name in steps],
        "segmenter": FakeSegmenter(fitting=fitting),
    }


def counting(answer, change):
    """The answer, changed by the number of calls before it."""
    calls = []

    def count(*arguments):
        calls.append(1)
        return change(answer(*arguments), len(calls) - 1)

    return count


def drawing_globally(answer):
    def draw(*arguments):
        np.random.random()  # noqa: NPY002
        return answer(*arguments)

    return draw


def writing_on(images, masks, draws):
    images[2] = 0
    return images.clone(), masks


GLOBALLY = "used the global random generator of numpy.random; take every random number from the draws or the seed"

BREACHES_OF_CONDUCT = {
    "a data set that draws globally": (dataset_with(drawing_globally(good_splits)), f"the data set {GLOBALLY}"),
    "masks that are drawn globally": (
        {"sources": [(FakeGenerator(), FakeMasks(drawing_globally(good_masks)), 1.0, None)]},
        f"the mask source {GLOBALLY}",
    ),
    "a generator that draws globally": (generator_with(drawing_globally(good_images)), f"the generator {GLOBALLY}"),
    "a generator that keeps a state": (
        generator_with(counting(good_images, lambda images, calls: images // 2 + 9 * calls)),
        "the generator changed 6 of 6 answers in another batch, the first for sample fake-fake-0-000000; make a",
    ),
    "a generator that paints in 0..1": (
        {"sources": [(FakeGenerator(lambda *given: good_images(*given) // 255), FakeMasks(), None, 9)]},
        "the generator returned uint8 0..0 (9, 8, 8, 3); scale the images to 0..255",
    ),
    "a segmenter that draws globally": (segmenter_with(drawing_globally(good_scores)), f"the segmenter {GLOBALLY}"),
    "a segmenter that keeps a state": (
        segmenter_with(counting(good_scores, lambda scores, calls: scores / (1 + calls))),
        "the segmenter changed 4 of 4 answers in another batch, the first for sample test-0; make a sample's answer",
    ),
    "an augmentation that draws globally": (
        augmented_with(drawing_globally(lambda images, masks, draws: (images, masks))),
        f"augmentation 'wobble' {GLOBALLY}",
    ),
    "an augmentation that keeps a state": (
        augmented_with(
            counting(lambda images, masks, draws: images, lambda images, n: (images / (1 + n), images[:, :1] * 2))
        ),
        "augmentation 'wobble' changed 6 of 6 answers between two equal calls, the first for sample 0; make a sample's",
    ),
    "an augmentation that writes on its input": (
        augmented_with(writing_on),
        "augmentation 'wobble' changed the images that it was given for sample 2; work on a copy",
    ),
    "an augmentation of another shape": (
        augmented_with(lambda images, masks, draws: (images[:, :, :4], masks)),
        "augmentation 'wobble' returned images float32 0.5..0.5 (6, 3, 4, 8); return float32 (6, 3, 8, 8)",
    ),
    "an augmentation that leaves 0..1": (
        augmented_with(lambda images, masks, draws: (images * 4, masks)),
        "augmentation 'wobble' returned image values in 2 .. 2 for sample 0; return 0..1, finite",
    ),
    "an augmentation that makes no numbers": (
        augmented_with(lambda images, masks, draws: (images, masks * float("nan"))),
        "augmentation 'wobble' returned masks values that are not finite for sample 0; return 0..1, finite",
    ),
    "an augmentation whose masks leave 0..1": (
        augmented_with(lambda images, masks, draws: (images, masks * 4)),
        "augmentation 'wobble' returned mask values in 4 .. 4 for sample 0; return 0..1, finite",
    ),
}


@pytest.mark.parametrize("breach", BREACHES_OF_CONDUCT)
def test_the_first_samples_of_a_run_tell_what_a_plugin_does_besides(tmp_path, breach):
    parts, expected = BREACHES_OF_CONDUCT[breach]
    with pytest.raises(ContractError) as caught:
        run(tmp_path, **parts)
    assert f": contract: {expected}" in str(caught.value)
    provider = "wobble" if "augmentation" in breach else "fake"
    assert str(caught.value).endswith(f"Provided by augkit-fake 1.2 ({provider})")


def raising(error):
    def answer(*arguments):
        raise error

    return answer


class Panic(BaseException):
    """Native extensions raise such things."""


PLACES = {
    "dataset fake": lambda answer: {"dataset": FakeDataset(answer)},
    "masks fake": lambda answer: {"sources": [(FakeGenerator(), FakeMasks(answer), 1.0, None)]},
    "generator fake": lambda answer: {"sources": [(FakeGenerator(fitting=answer), FakeMasks(), 1.0, None)]},
    "synthesis fake-fake": lambda answer: {"sources": [(FakeGenerator(answer), FakeMasks(), 1.0, None)]},
    "segmenter fake": lambda answer: {"segmenter": FakeSegmenter(fitting=answer)},
    "evaluation fake": lambda answer: {"segmenter": FakeSegmenter(answer)},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("no such kernel\nline two"), "RuntimeError"),
        (SystemExit(0), "SystemExit"),
        (Panic("index out of bounds"), "Panic"),
        (MemoryError("cannot allocate"), "the memory is used up"),
    ],
)
def test_whatever_a_plugin_raises_is_told_in_one_sentence_with_the_traceback_in_a_file(
    tmp_path, capfd, place, error, said
):
    with pytest.raises(StageError) as caught:
        run(tmp_path, **PLACES[place](raising(error)))
    text = str(caught.value)
    assert text.startswith(f"{place}: {said}")
    assert "\n" not in text
    assert caught.value.exit_code == 1
    head, _, file = text.partition(". The traceback is in ")
    if place != "evaluation fake":
        assert f"{said} in augkit-fake 1.2 (fake): {str(error).partition(chr(10))[0]}" in head
    traceback = (tmp_path / ".augkit/errors" / file.rpartition("/")[2]).read_text()
    assert "in answer" in traceback
    assert str(error) in traceback
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells how much a process had taken")
def test_an_odd_failure_near_the_limit_of_memory_says_that_memory_may_have_been_missing(tmp_path):
    error = OSError("could not get source code")
    with pytest.raises(StageError, match="could not get source code") as caught:
        run(tmp_path, dataset=FakeDataset(raising(error)))
    assert "memory" not in str(caught.value)
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = re.search(r"VmPeak:\s*(\d+)", Path("/proc/self/status").read_text())
    resource.setrlimit(resource.RLIMIT_AS, (int(taken[1]) * 1024 + 2**26, before[1]))
    try:
        with pytest.raises(
            StageError, match=r"source code\. The memory may be used up: this process had taken"
        ) as told:
            run(tmp_path, dataset=FakeDataset(raising(error)))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert "Lower batch_size or width" in str(told.value)


def test_a_gpu_without_memory_is_told_with_what_to_do(tmp_path):
    import torch

    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. If reserved memory is large, see")
    with pytest.raises(StageError) as caught:
        run(tmp_path, **PLACES["segmenter fake"](raising(error)))
    told = "the memory of the GPU is used up in augkit-fake 1.2 (fake): CUDA out of memory. Tried to allocate 2.00 GiB"
    what_to_do = "Lower batch_size or width, or run fewer jobs side by side. The traceback is in "
    assert str(caught.value).startswith(f"segmenter fake: {told}. {what_to_do}")


def test_a_cpu_without_memory_is_told_with_what_was_asked_for_and_what_to_do(tmp_path):
    with pytest.raises(StageError) as caught:
        run(tmp_path, **PLACES["segmenter fake"](lambda *given: torch.empty(2**50)))
    told = "the memory is used up in augkit-fake 1.2 (fake): you tried to allocate 4503599627370496 bytes"
    what_to_do = "Lower batch_size or width, or run fewer jobs side by side. The traceback is in "
    assert str(caught.value).startswith(f"segmenter fake: {told}. {what_to_do}")


@pytest.mark.parametrize(
    "place", ["masks fake", "generator fake", "synthesis fake-fake", "segmenter fake", "evaluation fake"]
)
def test_inputs_cannot_be_changed_by_a_plugin(tmp_path, place):
    def scribble(first, *others):
        for array in (first.images, first.masks) if isinstance(first, ImageSet) else (first,):
            array[0] = 1

    with pytest.raises(StageError, match=f"^{place}: ValueError.*(read-only|not writeable)"):
        run(tmp_path, **PLACES[place](scribble))


@pytest.mark.parametrize("end", [KeyboardInterrupt, Terminated])
def test_a_signal_while_a_plugin_works_is_no_fault_of_the_plugin(tmp_path, end):
    with pytest.raises(end):
        run(tmp_path, dataset=FakeDataset(raising(end())))
    assert not (tmp_path / ".augkit/errors").exists()


class OwnError(InputError):
    """An error of a plugin that is made in its own way."""

    def __init__(self, file, line):
        super().__init__(Problem(f"{file}:{line}", "is broken", "Mend it"))


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError(Problem("a.png", "is no image", "Remove it"), Problem("b.png", "is empty")), 2,
         "dataset fake: a.png: is no image. Remove it\ndataset fake: b.png: is empty"),
        (DivergedError(Problem("step 3 of 9", "loss is infinite")), 4, "dataset fake: step 3 of 9: loss is infinite"),
        (OwnError("list.csv", 7), 2, "dataset fake: list.csv:7: is broken. Mend it"),
    ],
)  # fmt: skip
def test_an_explained_failure_keeps_its_kind_and_code_and_gets_the_stage(tmp_path, error, code, text):
    with pytest.raises(type(error)) as caught:
        run(tmp_path, dataset=FakeDataset(raising(error)))
    assert caught.value.exit_code == code
    assert str(caught.value) == text
    assert "\n".join(str(problem) for problem in caught.value.problems) == text
    assert not (tmp_path / ".augkit/errors").exists()


def test_a_failed_stage_publishes_nothing_and_the_next_run_continues_after_the_others(tmp_path):
    with pytest.raises(StageError):
        run(tmp_path, **PLACES["segmenter fake"](raising(RuntimeError("x"))))
    kinds = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert kinds == {"dataset", "generator", "masks", "synthesis"}
    run(tmp_path)
    assert set(SEEN) == {"segmenter"}


def test_an_error_file_that_cannot_be_written_does_not_hide_the_error(tmp_path):
    Store(tmp_path).make_private("errors").write_text("in the way")
    with pytest.raises(StageError, match=r"RuntimeError in augkit-fake 1\.2"):
        run(tmp_path, dataset=FakeDataset(raising(RuntimeError("x"))))
    assert not (tmp_path / "dataset").exists()


# Copies across splits


def test_on_request_no_component_sees_the_training_copy_of_an_evaluation_image(tmp_path):
    def leaking():
        splits = good_splits()
        images = splits.train.images.copy()
        images[2] = splits.test.images[1]
        return replace(splits, train=replace(splits.train, images=images))

    dataset = FakeDataset(leaking)
    run(tmp_path / "all", dataset=dataset)
    assert "train-2" in SEEN["generator"].ids
    recipe = checked(dataset=dataset)
    excluding = replace(recipe, recipe=replace(recipe.recipe, exclude_copies=True))
    arm = make_plan([excluding], None, Digests(tmp_path)).arms[0]
    Engine(Store(tmp_path), "cpu").run(Plan((arm,), arm.evaluation))
    assert SEEN["generator"].ids == ("train-0", "train-1", "train-3", "train-4", "train-5")
    assert "train-2" not in SEEN["segmenter"][0].ids
    stored = folder_of(tmp_path, arm.dataset)
    assert read_json(stored / "excluded.json") == ["train-2"]
    assert len(read_image_set(stored / "test")) == 4


def test_a_recipe_that_excludes_nothing_keeps_the_address_of_its_data_set(tmp_path):
    recipe = checked()
    plain = make_plan([recipe], None, Digests(tmp_path)).arms[0].dataset
    excluding = replace(recipe, recipe=replace(recipe.recipe, exclude_copies=True))
    assert "exclude_copies" not in plain.identity
    assert make_plan([excluding], None, Digests(tmp_path)).arms[0].dataset.address != plain.address


# The quality of synthetic images


def test_quality_is_judged_with_the_segmenter_of_the_plain_arm_and_a_generator_that_saw_training_images_only(tmp_path):
    recipe = checked()
    (stage,) = make_quality([recipe], None, Digests(tmp_path))
    plain = make_plan([replace(recipe, sources=(), augment=())], None, Digests(tmp_path)).arms[0]
    assert stage.inputs["segmenter"] == plain.segmenter
    SEEN.clear()
    (folder,) = Engine(Store(tmp_path), "cpu").build([stage])
    splits = good_splits()
    assert SEEN["generator"].ids == splits.train.ids
    assert SEEN["segmenter"][0].ids == splits.train.ids
    shown = SEEN["generator"].images
    for hidden in (splits.test, splits.validation):
        assert not any((image == other).all() for image in hidden.images for other in shown)
    record = read_json(folder / "quality.json")
    assert record["origin"] == "fake/fake"
    assert record["images"] == {"training": 6, "held_out": 6, "held_out_copies_left_out": 0, "synthetic": 6}
    assert len(read_json(folder / "images.json")["ids"]) == 6
    assert {path.name for path in folder.glob("*.png")} == {"adherence.png", "closest.png", "diversity.png"}


def test_a_source_that_several_arms_share_is_judged_once(tmp_path):
    stages = make_quality([checked(name="a"), checked(name="b")], [0, 1], Digests(tmp_path))
    assert len(stages) == 2
    assert [stage.title for stage in stages] == ["quality fake-fake · seed 0", "quality fake-fake · seed 1"]


def test_a_recipe_without_synthetic_images_cannot_be_judged(tmp_path):
    what = "has no synthetic images; allowed: at least one source under 'synthesize'"
    with pytest.raises(InputError, match=what):
        make_quality([checked(sources=[])], None, Digests(tmp_path))


# Masks of which none shows anything


def emptied(samples, places=slice(None)):
    masks = np.array(samples.masks)
    masks[places] = False
    return replace(samples, masks=masks)


def test_training_and_test_masks_without_any_foreground_are_refused_together_and_nothing_is_kept(tmp_path):
    whole = good_splits()
    empty = Splits(emptied(whole.train), whole.validation, emptied(whole.test))
    with pytest.raises(InputError) as caught:
        run(tmp_path, dataset=FakeDataset(lambda: empty))
    assert [problem.what for problem in caught.value.problems] == [
        "none of the 6 shows anything; allowed: at least one with foreground",
        "none of the 4 shows anything; allowed: at least one with foreground",
    ]
    assert [problem.where.partition(": ")[2] for problem in caught.value.problems] == ["training masks", "test masks"]
    assert caught.value.exit_code == 2
    assert not (tmp_path / "dataset").exists()


def test_test_images_that_show_nothing_are_counted_beside_the_mean(tmp_path):
    whole = good_splits()
    dataset = FakeDataset(lambda: Splits(whole.train, whole.validation, emptied(whole.test, [1])))
    arm = run(tmp_path, dataset=dataset)
    test = read_image_set(folder_of(tmp_path, arm.dataset) / "test")
    scores = read_scores([arm], test, lambda stage: folder_of(tmp_path, stage))
    assert scores.empty == 1
    assert table_title(scores) == (
        "Mean ± standard error over the test images; 1 of 4 show nothing, and finding nothing there scores 1"
    )
