"""One recipe with one seed and one fold -> what its segmenter learns from, and the stages of its arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from augkit.contracts.code import core_code
from augkit.contracts.components import NATIVE_SIZE, DrawsParts
from augkit.data.draws import derive_seed
from augkit.data.folds import ALL, DEVELOPMENT
from augkit.planning.components import CheckedRecipe, CheckedSource, Component, Identified, used_sources
from augkit.planning.divisions import cuts_of
from augkit.planning.document import Value
from augkit.planning.shards import in_shards
from augkit.planning.tasks import (
    COPIES,
    Arm,
    DrawMasks,
    Evaluate,
    HoldOutDevelopment,
    LoadDataset,
    PoolExternal,
    SelectAdherent,
    Stage,
    Supply,
    Synthesise,
    TakeFold,
    TakeShare,
    TrainGenerator,
    TrainSegmenter,
    make_stage,
)
from augkit.store import Digests


@dataclass(frozen=True)
class Case:
    """One recipe with one seed and one fold.

    chosen:        the seed; None for the recipe's own.
    fold:          None for the data set's own splits.
    several_arms:  whether stages of other recipes are planned with it, from which titles tell its own;
    several_seeds: whether those of other seeds are.
    """

    checked: CheckedRecipe
    digests: Digests
    chosen: int | None = None
    fold: int | None = None
    several_arms: bool = False
    several_seeds: bool = False

    @property
    def seed(self) -> int:
        """The seed, which the fold does not change."""
        return self.checked.recipe.seed if self.chosen is None else self.chosen

    @property
    def luck(self) -> int:
        """The seed from which those of its trainings are made: a fold's are trainings of their own."""
        return self.seed if self.fold is None else derive_seed(self.seed, f"fold {self.fold}")

    @property
    def document(self) -> Mapping[str, Value]:
        """The resolved recipe with the seed."""
        return {**self.checked.recipe.document, "seed": self.seed}

    @property
    def note(self) -> str:
        """What tells its stages from those of other seeds and folds, for people."""
        seed = f" · seed {self.seed}" if self.several_seeds else ""
        return seed + ("" if self.fold is None else f" · fold {self.fold}")

    def plain(self) -> Case:
        """Return the same without synthetic images and augmentations."""
        recipe = replace(self.checked.recipe, real_images=True)
        return replace(self, checked=replace(self.checked, recipe=recipe, sources=(), augment=()), several_arms=False)

    def identified(self, *parts: Component) -> tuple[Identified, ...]:
        """Return components with what names them."""
        return tuple(part.identify(self.digests) for part in parts)


def folds_of(checked: CheckedRecipe) -> tuple[int | None, ...]:
    """Return the folds that a recipe trains and scores; None for the data set's own splits."""
    return (None,) if checked.recipe.folds is None else checked.recipe.folds.only


def supply_of(case: Case) -> Supply:
    """Return what a recipe has a segmenter learn from."""
    recipe, note = case.checked.recipe, case.note
    dataset = _dataset(case)
    if recipe.training_share != 1:
        note = f" · {recipe.training_share:g} of training groups{note}"
    training_set = _share(recipe.training_share, derive_seed(case.luck, "share"), note, dataset)

    # The synthetic images. The same source twice in one recipe must not give the same images twice.
    sources = used_sources(case.checked)
    twins = [sum(_origin(earlier) == _origin(source) for earlier in sources[:i]) for i, source in enumerate(sources)]
    syntheses = tuple(
        _synthesis(case, source, twin, note, training_set) for source, twin in zip(sources, twins, strict=True)
    )
    selected = tuple(
        _selected(case, source, synthesis, note) for source, synthesis in zip(sources, syntheses, strict=True)
    )

    # The augmentations, which take their draws from the seed that a segmenter begins with.
    augment = tuple((component.name, component.instance) for component in case.checked.augment)
    augment_seed = derive_seed(case.luck, "segmenter")
    return Supply(
        recipe.name,
        case.seed,
        recipe.document,
        dataset,
        training_set,
        syntheses,
        selected,
        augment,
        augment_seed,
        case.fold,
    )


def arm_of(case: Case) -> Arm:
    """Return the supply with the segmenter that learns from it and its scores; the recipe names a segmenter."""
    recipe, chosen_segmenter = case.checked.recipe, case.checked.segmenter
    assert chosen_segmenter is not None
    supply = supply_of(case)
    note = (f" · {recipe.name}" if case.several_arms else "") + case.note

    # The segmenter.
    training = TrainSegmenter(chosen_segmenter.instance, supply.augment, supply.augment_seed, recipe.real_images)
    parts = case.identified(chosen_segmenter, *case.checked.augment)
    inputs = {"dataset": supply.training, **{f"synthesis {i}": stage for i, stage in enumerate(supply.selected, 1)}}
    facts = {"seed": supply.augment_seed, "real": recipe.real_images}
    segmenter = make_stage("segmenter", note, inputs, training, parts, case.document, facts)

    # Its scores.
    evaluation = _evaluation(case, case.checked.dataset, supply.dataset, segmenter, note)
    external = {
        name: _evaluation(case, data, pooled, segmenter, f"{note} · external {name}")
        for name, data, pooled in _external(case, supply.dataset)
    }
    return Arm(
        **vars(supply),
        segmenter=segmenter,
        evaluation=evaluation,
        real_images=recipe.real_images,
        sweep=recipe.sweep,
        score_at=recipe.score_at,
        score_per=recipe.score_per,
        written=recipe.written,
        external=external,
    )


def _dataset(case: Case) -> Stage:
    """Return the data as it is read, with development images or a fold in place of the test split."""
    recipe = case.checked.recipe
    # What is a copy of an image of the data set's own test split may be trained on where a fold is tested.
    first = recipe.exclude_copies and (recipe.folds is None or recipe.folds.of == DEVELOPMENT)
    loading = LoadDataset(case.checked.dataset.instance, first)
    excluding = {"exclude_copies": core_code(COPIES)} if recipe.exclude_copies else {}
    read = case.identified(case.checked.dataset)
    loaded = make_stage("dataset", "", {}, loading, read, case.document, excluding if first else {})
    if recipe.folds is not None and case.fold is not None:
        return _fold(TakeFold(recipe.folds.count, case.fold, recipe.folds.of, recipe.exclude_copies), excluding, loaded)
    return _development(recipe.development_share, recipe.exclude_copies, excluding, loaded)


def _fold(task: TakeFold, excluding: Mapping[str, Any], loaded: Stage) -> Stage:
    """Return the stage whose test split is a fold."""
    facts = {"folds": task.folds, "fold": task.fold, "of": task.of, **excluding}
    of = "" if task.of == ALL else " of the development samples"
    note = f" · fold {task.fold} of {task.folds}{of}"
    return make_stage("dataset", note, {"dataset": loaded}, task, loaded.components, loaded.document, facts)


def _development(share: float, exclude_copies: bool, excluding: Mapping[str, Any], loaded: Stage) -> Stage:
    """Return the stage whose test split is cut from the training images; the data set itself for none."""
    if share == 0:
        return loaded
    facts = {"development_share": share, **excluding}
    note = f" · {share:g} of training groups to score on"
    task = HoldOutDevelopment(share, exclude_copies)
    return make_stage("dataset", note, {"dataset": loaded}, task, loaded.components, loaded.document, facts)


def _share(share: float, seed: int, note: str, dataset: Stage) -> Stage:
    """Return the stage that leaves a share of the training groups; the data set itself for all of them."""
    if share == 1:
        return dataset
    facts = {"share": share, "seed": seed}
    task = TakeShare(share, seed)
    return make_stage("dataset", note, {"dataset": dataset}, task, (), dataset.document, facts, dataset.address.label)


def _synthesis(case: Case, source: CheckedSource, twin: int, note: str, dataset: Stage) -> Stage:
    """Return the stage that paints with a generator, which is one of its inputs, as the masks are.

    A large set is made in shards, and its masks, too, where their source draws parts of them. A set that is shuffled is
    not: any mask of all may become that of any image.
    """
    document = case.document
    cuts = () if source.shuffled else cuts_of(source.count, source.shard)
    fit_seed = derive_seed(case.luck, "generator")
    painter = case.identified(source.generator)
    fitting = TrainGenerator(source.generator.instance, fit_seed)
    generator = make_stage("generator", note, {"dataset": dataset}, fitting, painter, document, {"seed": fit_seed})

    mask_seed = derive_seed(case.luck, "masks", str(twin))
    drawing = DrawMasks(source.masks.instance, mask_seed, source.per_real, source.count)
    facts = {"seed": mask_seed, "per_real": source.per_real, "count": source.count}
    drawer = case.identified(source.masks)
    masks = make_stage("masks", note, {"dataset": dataset}, drawing, drawer, document, facts)
    masks_of = [masks] * len(cuts)
    if cuts and isinstance(source.masks.instance, DrawsParts):
        masks = in_shards(
            masks,
            cuts,
            [{"dataset": dataset}] * len(cuts),
            lambda kind, part, needed, task, place: make_stage(
                kind, f"{part}{note}", needed, task, drawer, document, {**facts, **place}
            ),
        )
        masks_of = list(masks.shards)

    paint_seed = derive_seed(case.luck, "synthesis", str(twin))
    label = f"{source.generator.name}-{source.masks.name}"
    # Draws belong to sample ids, so these must not change with a fingerprint: other code would train anew.
    prefix = f"{label}-{twin}{'-shuffled' if source.shuffled else ''}"
    painting = Synthesise(source.generator.instance, paint_seed, _origin(source), prefix, source.shuffled)
    inputs = {"dataset": dataset, "generator": generator, "masks": masks}
    painted = {"seed": paint_seed, "prefix": prefix, "shuffled": source.shuffled}
    whole = make_stage("synthesis", note, inputs, painting, painter, document, painted, label)
    if not cuts:
        return whole
    return in_shards(
        whole,
        cuts,
        [{**inputs, "masks": drawn} for drawn in masks_of],
        lambda kind, part, needed, task, place: make_stage(
            kind, f"{part}{note}", needed, task, painter, document, {**painted, **place}, label
        ),
    )


def _selected(case: Case, source: CheckedSource, synthesis: Stage, note: str) -> Stage:
    """Return the stage that keeps what follows its mask, by the judgement of the recipe's plain arm; or all of it."""
    if source.min_adherence == 0:
        return synthesis
    segmenter = case.checked.segmenter
    assert segmenter is not None  # a recipe with min_adherence and without one was refused
    judge = arm_of(case.plain()).segmenter
    selecting = SelectAdherent(segmenter.instance, source.min_adherence)
    facts = {"min_adherence": source.min_adherence}
    note = f" of {source.min_adherence:g} adherence{note}"
    inputs, label = {"synthesis": synthesis, "segmenter": judge}, synthesis.address.label
    parts = case.identified(segmenter)
    return make_stage("synthesis", note, inputs, selecting, parts, synthesis.document, facts, label)


def _evaluation(case: Case, data: Component, dataset: Stage, segmenter: Stage, note: str) -> Stage:
    """Return the stage that scores a segmenter on a data set, whose native masks are those of `data`."""
    component = case.checked.segmenter
    assert component is not None
    scoring, scored = Evaluate(component.instance), [component]
    if case.checked.recipe.score_at == NATIVE_SIZE:
        scoring = Evaluate(component.instance, (data.name, data.instance))
        scored = [component, data]
    inputs = {"dataset": dataset, "segmenter": segmenter}
    return make_stage("evaluation", note, inputs, scoring, case.identified(*scored), case.document)


def _external(case: Case, dataset: Stage) -> Iterator[tuple[str, Component, Stage]]:
    """Yield each external set: its name, its data set, and the stage that pools its samples.

    Copies are looked for among all that the data set has to train on, which with folds is everything, so that every
    share of it and every fold is scored on the same images. Where settings are looked for on development images,
    external sets stay as unseen as the test images.
    """
    folds = case.checked.recipe.folds
    if case.checked.recipe.development_share or (folds is not None and folds.of == DEVELOPMENT):
        return
    if folds is not None:
        dataset = dataset.inputs["dataset"]
    for name, data in case.checked.external.items():
        reading, read = LoadDataset(data.instance), case.identified(data)
        loaded = make_stage("dataset", f" · external {name}", {}, reading, read, case.document)
        inputs = {"external": loaded, "dataset": dataset}
        facts = {"name": name, **({"all_trained": True} if folds is not None else {})}
        task = PoolExternal(name, folds is not None)
        pooled = make_stage("dataset", " · external set", inputs, task, (), case.document, facts, name)
        yield name, data, pooled


def _origin(source: CheckedSource) -> str:
    shuffled = " shuffled" if source.shuffled else ""
    return f"{source.generator.name}/{source.masks.name}{shuffled}"
