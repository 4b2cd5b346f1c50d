"""What a plan shares, what it keeps apart, and what it refuses; nothing is trained here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from augkit.contracts.registry import Entry, Provider, Registry, load_registry
from augkit.errors import InputError, Problem
from augkit.planning.components import check_parts, check_recipes
from augkit.planning.plan import Plan, make_plan
from augkit.planning.recipe import load_recipes, read_recipes
from augkit.planning.tasks import DrawMasks, Stage, Synthesise
from augkit.store import Digests


@dataclass(frozen=True)
class Files:
    """A data set that is the files of a folder."""

    root: Path
    size: int = 8

    def sources(self) -> Sequence[Path]:
        if not self.root.is_dir():
            raise InputError(Problem(str(self.root), "is not a folder", "Correct the option root"))
        if (self.root / "bug").exists():
            raise RuntimeError("a bug")
        return sorted(self.root.iterdir())

    def load(self): ...


@dataclass(frozen=True)
class Drawn:
    size: int = 8

    def sources(self) -> Sequence[Path]:
        return ()

    def load(self): ...


@dataclass(frozen=True)
class Masks:
    count: int = 1

    def draw(self, masks, count, draws): ...


@dataclass(frozen=True)
class Model:
    width: int = 16
    depth: int = 2

    def fit(self, train, space): ...

    def open(self, folder, device): ...


@dataclass(frozen=True)
class Flip:
    probability: float = 0.5

    def __call__(self, images, masks, draws): ...


PROVIDER = Provider("acme", "augkit-acme", "1.0")
CLASSES = {
    ("dataset", "files"): Files,
    ("dataset", "drawn"): Drawn,
    ("mask source", "training"): Masks,
    ("mask source", "shapes"): Masks,
    ("generator", "painter"): Model,
    ("augmentation", "flip"): Flip,
    ("segmenter", "unet"): Model,
}
REGISTRY = Registry({(k, n): Entry(k, n, cls, PROVIDER) for (k, n), cls in CLASSES.items()}, ())

SYNTHESIZE = "synthesize:\n  - {generator: {painter: {}}, masks: {training: {}}, per_real: 1}\n"
RECIPES = {
    "noaug": "",
    "classicaug": "augment:\n  - flip: {}\n",
    "mask2lesionaug": SYNTHESIZE,
    "allaug": SYNTHESIZE + "augment:\n  - flip: {}\n",
}


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """Plan recipes given as name -> text after the common head."""
    monkeypatch.chdir(tmp_path)

    def plan(recipes: dict[str, str], *overrides: str, seeds=None, registry=REGISTRY, dataset="{drawn: {}}") -> Plan:
        files = []
        for name, rest in recipes.items():
            file = Path(f"{name}.yaml")
            text = rest if "dataset:" in rest else f"dataset: {dataset}\n{rest}"
            file.write_text(f"name: {name}\nsegmenter: {{unet: {{}}}}\n{text}")
            files.append(file)
        return make_plan(check_recipes(load_recipes(files, overrides), registry), seeds, Digests(tmp_path / "runs"))

    return plan


def one(planned, text: str, *overrides: str, **rest) -> dict[str, str]:
    """The fingerprint of each kind of stage of a recipe that has one of each."""
    plan = planned({"one": text}, *overrides, **rest)
    return {stage.address.kind: stage.address.fingerprint for stage in plan.stages()}


def differing(first: dict[str, str], second: dict[str, str]) -> set[str]:
    assert first.keys() == second.keys()
    return {kind for kind in first if first[kind] != second[kind]}


def of_kind(plan: Plan, kind: str) -> list[Stage]:
    return [stage for stage in plan.stages() if stage.address.kind == kind]


def test_four_arms_share_the_data_the_generator_the_masks_and_the_synthetic_images(planned):
    plan = planned(RECIPES)
    counts = {kind: len(of_kind(plan, kind)) for kind in ("dataset", "generator", "masks", "synthesis")}
    assert counts == {"dataset": 1, "generator": 1, "masks": 1, "synthesis": 1}
    assert len(of_kind(plan, "segmenter")) == len(of_kind(plan, "evaluation")) == 4
    arms = {arm.name: arm for arm in plan.arms}
    assert arms["allaug"].generators == arms["mask2lesionaug"].generators
    assert arms["allaug"].syntheses == arms["mask2lesionaug"].syntheses
    assert arms["noaug"].syntheses == ()


def test_an_arm_is_the_same_alone_and_in_company(planned):
    alone = {
        stage.address for stage in planned({"allaug": RECIPES["allaug"]}).stages() if stage.address.kind != "report"
    }
    assert alone <= {stage.address for stage in planned(RECIPES).stages()}


def test_every_stage_comes_after_its_inputs_once_and_the_report_comes_last(planned):
    plan = planned(RECIPES, seeds=[0, 1])
    stages = plan.stages()
    assert len(set(stages)) == len(stages)
    for position, stage in enumerate(stages):
        assert all(upstream in stages[:position] for upstream in stage.inputs.values()), stage.title
    assert stages[-1] == plan.report


def test_the_generator_is_given_the_data_only(planned):
    (generator,) = of_kind(planned(RECIPES), "generator")
    assert list(generator.inputs) == ["dataset"]


ALL = RECIPES["allaug"]
TRAINED = {"generator", "masks", "synthesis", "segmenter", "evaluation", "report"}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("segmenter.unet.width=8", {"segmenter", "evaluation", "report"}),
        ("augment.0.flip.probability=1", {"segmenter", "evaluation", "report"}),
        ("synthesize.0.masks.training.count=2", {"masks", "synthesis", "segmenter", "evaluation", "report"}),
        ("synthesize.0.per_real=2", {"masks", "synthesis", "segmenter", "evaluation", "report"}),
        ("synthesize.0.generator.painter.width=8", TRAINED - {"masks"}),
        ("dataset.drawn.size=16", TRAINED | {"dataset"}),
        ("seed=1", TRAINED),
    ],
)
def test_a_change_reaches_what_depends_on_it_and_nothing_else(planned, override, changed):
    assert differing(one(planned, ALL), one(planned, ALL, override)) == changed


def test_defaults_written_out_are_the_same_stages(planned):
    written = ["segmenter.unet.width=16", "augment.0.flip.probability=0.5", "dataset.drawn.size=8"]
    assert differing(one(planned, ALL), one(planned, ALL, *written)) == {"report"}


def test_name_comments_order_and_layout_do_not_matter(planned):
    first = planned({"one": ALL})
    second = planned({"other": "# words\naugment: [{flip: {}}]\n\n" + SYNTHESIZE})
    kept = [stage.address.fingerprint for stage in first.stages()[:-1]]
    assert kept == [stage.address.fingerprint for stage in second.stages()[:-1]]


def test_a_comment_changes_nothing_at_all(planned):
    assert one(planned, ALL) == one(planned, "# words\n" + ALL)


def test_another_version_of_a_plugin_is_another_stage(planned):
    entries = dict(REGISTRY.entries)
    entries["segmenter", "unet"] = replace(entries["segmenter", "unet"], provider=replace(PROVIDER, version="1.1"))
    assert differing(one(planned, ALL), one(planned, ALL, registry=Registry(entries, ()))) == {
        "segmenter",
        "evaluation",
        "report",
    }


def test_the_order_of_augmentations_matters(planned):
    first = one(planned, "augment:\n  - flip: {probability: 1}\n  - flip: {}\n")
    second = one(planned, "augment:\n  - flip: {}\n  - flip: {probability: 1}\n")
    assert differing(first, second) == {"segmenter", "evaluation", "report"}


def test_the_same_source_twice_gives_other_masks_and_images_the_second_time(planned):
    twice = SYNTHESIZE + "  - {generator: {painter: {}}, masks: {training: {}}, per_real: 1}\n"
    plan = planned({"one": twice})
    assert len(of_kind(plan, "generator")) == 1
    drawings = [stage.task for stage in of_kind(plan, "masks")]
    paintings = [stage.task for stage in of_kind(plan, "synthesis")]
    assert len(drawings) == len(paintings) == 2
    assert all(isinstance(task, DrawMasks) for task in drawings)
    assert all(isinstance(task, Synthesise) for task in paintings)
    assert drawings[0].seed != drawings[1].seed
    assert paintings[0].seed != paintings[1].seed
    assert paintings[0].prefix != paintings[1].prefix


def test_the_first_of_two_sources_is_the_same_as_when_it_is_alone(planned):
    other = SYNTHESIZE + "  - {generator: {painter: {}}, masks: {shapes: {}}, count: 5}\n"
    alone = of_kind(planned({"one": SYNTHESIZE}), "synthesis")
    assert alone[0] in of_kind(planned({"one": other}), "synthesis")


def test_seeds_give_arms_each_on_the_same_data(planned):
    plan = planned(RECIPES, seeds=[0, 1, 1, 2])
    assert [(arm.name, arm.seed) for arm in plan.arms] == [(name, seed) for seed in (0, 1, 2) for name in RECIPES]
    assert len({arm.dataset for arm in plan.arms}) == 1
    assert len(of_kind(plan, "generator")) == 3
    assert "unet · noaug · seed 2" in " ".join(stage.title for stage in plan.stages())


def test_seeds_replace_the_seed_of_the_recipe(planned):
    assert differing(one(planned, ALL, "seed=5"), one(planned, ALL, seeds=[5])) == set()
    assert planned({"one": ALL}, "seed=5").arms[0].seed == 5


def test_arms_on_different_data_are_refused(planned):
    recipes = {"a": "", "b": "dataset: {drawn: {size: 9}}\n", "c": "dataset: {files: {root: .}}\n"}
    with pytest.raises(InputError) as caught:
        planned(recipes)
    what = (
        "has another data set, other options of it, or another development_share or folds than 'a'; "
        "allowed: the same in every arm"
    )
    assert [str(problem) for problem in caught.value.problems] == [
        f"recipe '{name}': {what}. Run recipes on different data one at a time" for name in "bc"
    ]
    assert caught.value.exit_code == 2


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"aaaa")
    (folder / "b.png").write_bytes(b"bbbb")
    return folder


def test_the_bytes_of_the_data_matter_and_their_dates_do_not(planned, data):
    dataset = "{files: {root: data}}"
    first = one(planned, ALL, dataset=dataset)
    os.utime(data / "a.png", (1, 1))
    assert one(planned, ALL, dataset=dataset) == first
    (data / "a.png").write_bytes(b"aaab")
    assert differing(one(planned, ALL, dataset=dataset), first) == TRAINED | {"dataset"}


def test_a_file_that_is_renamed_or_added_is_other_data(planned, data):
    dataset = "{files: {root: data}}"
    first = one(planned, "", dataset=dataset)
    (data / "b.png").rename(data / "c.png")
    second = one(planned, "", dataset=dataset)
    (data / "d.png").write_bytes(b"")
    third = one(planned, "", dataset=dataset)
    assert len({first["dataset"], second["dataset"], third["dataset"]}) == 3


def test_a_data_file_that_cannot_be_read_is_told(planned, data):
    (data / "c.png").symlink_to(data / "nowhere")
    with pytest.raises(InputError) as caught:
        planned({"one": ""}, dataset="{files: {root: data}}")
    assert str(caught.value) == "data/c.png: cannot be read: No such file or directory"


def refused(planned, *arguments, **rest) -> list[str]:
    with pytest.raises(InputError) as caught:
        planned(*arguments, **rest)
    assert caught.value.exit_code == 2
    return [str(problem) for problem in caught.value.problems]


def test_problems_of_all_components_of_all_recipes_are_told_at_once(planned):
    recipes = {"a": SYNTHESIZE.replace("{painter: {}}", "{painter: {widht: 1}}"), "b": "augment:\n  - flop: {}\n"}
    assert refused(planned, recipes, "segmenter.unet.depth=x", dataset="{files: {root: nowhere}}") == [
        "a.yaml:3: nowhere: is not a folder. Correct the option root",
        "a.yaml:5: painter has no option 'widht'. Did you mean 'width'?",
        "--set segmenter.unet.depth=x: unet.depth: found the text 'x'; allowed: a whole number",
        "b.yaml:3: nowhere: is not a folder. Correct the option root",
        "b.yaml:5: no augmentation is called 'flop'. Did you mean 'flip'?",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file system holds no such name")
def test_files_whose_names_are_not_utf8_are_refused_by_name(planned, data):
    for name in (b"M\xfcller.png", b"M\xfcnch.png"):
        Path(os.fsdecode(os.fsencode(data) + b"/" + name)).touch()
    with pytest.raises(InputError) as caught:
        planned({"one": ""}, dataset=f"{{files: {{root: {data}}}}}")
    assert str(caught.value) == (
        rf"one.yaml:3: {data}/M\xfcller.png: the name is not UTF-8 (2 such files); allowed: file names in UTF-8. "
        "Rename images and masks alike, as 'convmv -r -f latin1 -t utf8 --notest FOLDER' does"
    )


def test_a_name_that_no_file_can_have_is_told_in_a_line(planned):
    with pytest.raises(InputError) as caught:
        planned({"one": ""}, dataset=f"{{files: {{root: {'d' * 5000}}}}}")
    assert str(caught.value) == (
        f"one.yaml:3: {'d' * 160}…: cannot be read: File name too long. "
        "Asked for by dataset 'files' of augkit-acme 1.0 (acme)"
    )


def test_a_data_set_with_a_bug_is_told_with_its_plugin(planned, data):
    (data / "bug").touch()
    assert refused(planned, {"one": ""}, dataset="{files: {root: data}}") == [
        "one.yaml:3: dataset 'files' failed to list its files: RuntimeError: a bug. Provided by augkit-acme 1.0 (acme)"
    ]


def test_the_components_of_a_recipe_with_a_broken_structure_are_checked_too(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("nam: x\ndataset: {files: {root: nowhere}}\nsegmenter: {unte: {}}\naugment: [flip: {p: 1}]\n")
    reading = read_recipes([file])
    assert [str(problem) for problem in check_parts(reading.parts, REGISTRY)] == [
        f"{file}:2: nowhere: is not a folder. Correct the option root",
        f"{file}:4: flip has no option 'p'. Allowed: probability",
        f"{file}:3: no segmenter is called 'unte'. Did you mean 'unet'?",
    ]


def test_synthetic_samples_are_named_by_their_source_and_not_by_fingerprints(tmp_path):
    shipped = Path(__file__).parents[2] / "recipes" / "allaug.yaml"
    names = set()
    for width in (8, 16):
        recipes = load_recipes([shipped], [f"synthesize.0.generator.mask2lesion-spade.width={width}"])
        arm = make_plan(check_recipes(recipes, load_registry()), None, Digests(tmp_path)).arms[0]
        names |= {stage.task.prefix for stage in arm.syntheses}
    assert names == {"mask2lesion-spade-training-0"}
