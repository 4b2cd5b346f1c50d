"""Recipes + registry -> a frozen plan: components, stages, seeds, and the fingerprint of every artifact.

A stage's fingerprint covers its component's options, provider and code, its seed, its inputs' fingerprints and what the
code that does its task does (`augkit.contracts.code`). Equal stages of several arms or seeds are one stage, which is
how arms share a generator.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from augkit.contracts.code import CORE, core_code
from augkit.contracts.components import NATIVE_SIZE, DrawsParts
from augkit.data.draws import derive_seed
from augkit.data.folds import ALL, DEVELOPMENT
from augkit.errors import InputError, Problem
from augkit.planning.components import CheckedRecipe, CheckedSource, Component, Identified, used_sources
from augkit.planning.cuts import cuts_of
from augkit.planning.document import Value
from augkit.planning.shards import in_shards
from augkit.planning.tasks import (
    Arm,
    DrawMasks,
    Evaluate,
    Files,
    HoldOutDevelopment,
    JudgeQuality,
    LoadDataset,
    PoolExternal,
    SelectAdherent,
    Stage,
    Supply,
    Synthesise,
    TakeFold,
    TakeShare,
    Task,
    TrainGenerator,
    TrainSegmenter,
    WriteReport,
    in_order,
)
from augkit.store import SCHEMA, Address, Digests

CODE: Mapping[type[Task], str] = {
    LoadDataset: "running/stages/dataset",
    HoldOutDevelopment: "running/stages/dataset",
    TakeFold: "running/stages/dataset",
    TakeShare: "running/stages/dataset",
    PoolExternal: "running/stages/external",
    TrainGenerator: "running/stages/generator",
    DrawMasks: "running/stages/masks",
    Synthesise: "running/stages/synthesis",
    SelectAdherent: "running/stages/selection",
    TrainSegmenter: "running/stages/segmenter",
    Evaluate: "running/stages/evaluation",
    JudgeQuality: "running/stages/quality",
    WriteReport: "running/stages/report",
}
"""The core module that does each task: what it does, with all that it imports, is part of its artifacts' names.

A `Gather` has none of its own: what it lists has the name that it has where it is made at once.
"""

COPIES = "quality/copies"
"""Counts for a data set only where a recipe excludes copies."""


@dataclass(frozen=True)
class Plan:
    """Everything a run will do; `report` is its last stage and reaches all others."""

    arms: tuple[Arm, ...]
    report: Stage

    def stages(self) -> tuple[Stage, ...]:
        """Return every stage once, inputs before the stages that use them."""
        return in_order((self.report,))

    def __str__(self) -> str:
        return "\n".join(stage.title for stage in self.stages())


def make_plan(
    recipes: Sequence[CheckedRecipe],
    seeds: Sequence[int] | None,
    digests: Digests,
    contrasts: Sequence[tuple[str, str]] = (),
) -> Plan:
    """Return the plan of several arms; `seeds` replaces the recipes' own seeds.

    contrasts: names of two arms each, which the report compares besides those that are planned anyway.

    Arms stand in the order of the paper's Table 1: plain, classical, synthetic, both; then as given.
    """
    without = [checked for checked in recipes if checked.segmenter is None]
    if without:
        what, hint = "names no segmenter, and arms are compared by theirs", "Add one, as in 'segmenter: {unet: {}}'"
        raise InputError(*(Problem(checked.recipe.file, what, hint) for checked in without))

    # The arms, each seed after the other, and of an arm and a seed each fold.
    recipes = sorted(recipes, key=lambda checked: (bool(checked.sources), bool(checked.augment)))
    chosen: Sequence[int | None] = tuple(dict.fromkeys(seeds)) if seeds else (None,)
    several = len(recipes) > 1, len(chosen) > 1
    arms = tuple(
        _arm(recipe, seed, fold, *several, digests) for seed in chosen for recipe in recipes for fold in _folds(recipe)
    )
    _refuse_different_data(arms)

    # What the report shows besides their scores: the quality of their synthetic images.
    quality, unjudged = _judged(recipes, chosen[0], arms, several[1], digests)
    return Plan(arms, _report(arms, quality, unjudged, tuple(contrasts), digests))


def make_quality(recipes: Sequence[CheckedRecipe], seeds: Sequence[int] | None, digests: Digests) -> tuple[Stage, ...]:
    """Return one stage per synthetic source and seed that judges its images; sources in several arms once.

    The images are judged with the recipe's segmenter trained without augmentation on real images: the very artifact of
    the plain arm. Where the recipe names no segmenter, all is judged but whether images follow their masks. Of folds,
    the first one's images are judged, against the samples that it tests.
    """
    plain_only = [recipe for recipe in recipes if not used_sources(recipe)]
    if plain_only:
        what = "has no synthetic images; allowed: at least one source under 'synthesize'"
        raise InputError(*(Problem(checked.recipe.file, what) for checked in plain_only))
    chosen: Sequence[int | None] = tuple(dict.fromkeys(seeds)) if seeds else (None,)
    found = [_quality_stages(recipe, seed, len(chosen) > 1, digests) for seed in chosen for recipe in recipes]
    return tuple(dict.fromkeys(stage for stages in found for stage in stages))


def everything_of(recipe: CheckedRecipe, digests: Digests) -> tuple[Stage, ...]:
    """Return every stage that a recipe with its own seed can have part in but for reports; for who has one to build."""
    quality = _quality_stages(recipe, None, False, digests)
    if recipe.segmenter is None:
        supplies = [_supply(recipe, None, fold, False, digests) for fold in _folds(recipe)]
        return in_order((*(stage for one in supplies for stage in (one.training, *one.selected)), *quality))
    arms = [_arm(recipe, None, fold, False, False, digests) for fold in _folds(recipe)]
    return in_order((*(stage for arm in arms for stage in (arm.evaluation, *arm.external.values())), *quality))


def make_supply(recipe: CheckedRecipe, seed: int | None, digests: Digests) -> Supply:
    """Return what a recipe has a segmenter learn from; its synthetic sets are those that `make_quality` judges."""
    return _supply(recipe, seed, _folds(recipe)[0], False, digests)


def _folds(checked: CheckedRecipe) -> tuple[int | None, ...]:
    """Return the folds that a recipe trains and scores; None for the data set's own splits."""
    return (None,) if checked.recipe.folds is None else checked.recipe.folds.only


def _luck(seed: int, fold: int | None) -> int:
    """Return the seed from which those of a fold's trainings are made: they are trainings of their own."""
    return seed if fold is None else derive_seed(seed, f"fold {fold}")


def _judged(
    recipes: Sequence[CheckedRecipe], seed: int | None, arms: Sequence[Arm], several_seeds: bool, digests: Digests
) -> tuple[tuple[Stage, ...], tuple[str, ...]]:
    """Return the stages that judge synthetic images with a segmenter the arms train anyway, and who has none.

    Points of a curve are left out: they show one source many times.
    """
    trained = {arm.segmenter for arm in arms}
    stages: dict[Stage, None] = {}
    unjudged: list[str] = []
    for recipe in recipes:
        if not used_sources(recipe) or recipe.recipe.sweep is not None:
            continue
        found = _quality_stages(recipe, seed, several_seeds, digests)
        if all(stage.inputs["segmenter"] in trained for stage in found):
            stages |= dict.fromkeys(found)
        else:
            unjudged.append(recipe.recipe.name)
    return tuple(stages), tuple(unjudged)


def _quality_stages(
    recipe: CheckedRecipe, seed: int | None, several_seeds: bool, digests: Digests
) -> tuple[Stage, ...]:
    """Return one stage per synthetic source of a recipe."""
    fold = _folds(recipe)[0]
    supply = _supply(recipe, seed, fold, several_seeds, digests)
    plain = None if recipe.segmenter is None else _arm(_plain(recipe), seed, fold, False, several_seeds, digests)
    judge = None if plain is None else plain.segmenter
    sources = zip(used_sources(recipe), supply.syntheses, strict=True)
    return tuple(_quality(recipe, source, supply, judge, synthesis, digests) for source, synthesis in sources)


def _plain(checked: CheckedRecipe) -> CheckedRecipe:
    return replace(checked, recipe=replace(checked.recipe, real_images=True), sources=(), augment=())


def _quality(
    recipe: CheckedRecipe,
    source: CheckedSource,
    supply: Supply,
    judge: Stage | None,
    synthesis: Stage,
    digests: Digests,
) -> Stage:
    seed = derive_seed(_luck(supply.seed, supply.fold), "quality")
    segmenter = recipe.segmenter
    judging = JudgeQuality(source.generator.instance, segmenter.instance if segmenter else None, seed)
    parts = _identified([source.generator, *([segmenter] if segmenter else [])], digests)
    inputs = {"dataset": supply.training, "generator": synthesis.inputs["generator"], "synthesis": synthesis}
    if judge is not None:
        inputs["segmenter"] = judge
    note = synthesis.title.removeprefix(f"synthesis {synthesis.address.label}")
    return _stage("quality", note, inputs, judging, parts, synthesis.document, {"seed": seed}, synthesis.address.label)


def _supply(
    checked: CheckedRecipe, chosen: int | None, fold: int | None, several_seeds: bool, digests: Digests
) -> Supply:
    recipe = checked.recipe
    own_seed = recipe.seed if chosen is None else chosen
    seed = _luck(own_seed, fold)
    document = {**recipe.document, "seed": own_seed}
    shared = _note(own_seed if several_seeds else None, fold)

    # The data: as it is read, with development images or a fold in place of the test split, and a share of what is
    # trained on. What is a copy of an image of the data set's own test split may be trained on where a fold is tested.
    first = recipe.exclude_copies and (recipe.folds is None or recipe.folds.of == DEVELOPMENT)
    loading = LoadDataset(checked.dataset.instance, first)
    excluding = {"exclude_copies": core_code(COPIES)} if recipe.exclude_copies else {}
    read = _identified([checked.dataset], digests)
    loaded = _stage("dataset", "", {}, loading, read, document, excluding if first else {})
    dataset = _development(recipe.development_share, recipe.exclude_copies, excluding, loaded)
    if recipe.folds is not None and fold is not None:
        dataset = _fold(TakeFold(recipe.folds.count, fold, recipe.folds.of, recipe.exclude_copies), excluding, loaded)
    if recipe.training_share != 1:
        shared = f" · {recipe.training_share:g} of training groups{shared}"
    training_set = _share(recipe.training_share, derive_seed(seed, "share"), shared, dataset)

    # The synthetic images. The same source twice in one recipe must not give the same images twice.
    sources = used_sources(checked)
    twins = [sum(_origin(earlier) == _origin(source) for earlier in sources[:i]) for i, source in enumerate(sources)]
    syntheses = tuple(
        _synthesis(source, seed, twin, shared, training_set, document, digests)
        for source, twin in zip(sources, twins, strict=True)
    )
    selected = tuple(
        _selected(source, synthesis, checked, own_seed, fold, shared, digests)
        for source, synthesis in zip(sources, syntheses, strict=True)
    )

    # The augmentations, which take their draws from the seed that a segmenter begins with.
    augment = tuple((component.name, component.instance) for component in checked.augment)
    augment_seed = derive_seed(seed, "segmenter")
    return Supply(
        recipe.name,
        own_seed,
        recipe.document,
        dataset,
        training_set,
        syntheses,
        selected,
        augment,
        augment_seed,
        fold,
    )


def _arm(
    checked: CheckedRecipe,
    chosen: int | None,
    fold: int | None,
    several_arms: bool,
    several_seeds: bool,
    digests: Digests,
) -> Arm:
    recipe, chosen_segmenter = checked.recipe, checked.segmenter
    assert chosen_segmenter is not None
    supply = _supply(checked, chosen, fold, several_seeds, digests)
    document = {**recipe.document, "seed": supply.seed}
    own = (f" · {recipe.name}" if several_arms else "") + _note(supply.seed if several_seeds else None, fold)

    # The segmenter.
    training = TrainSegmenter(chosen_segmenter.instance, supply.augment, supply.augment_seed, recipe.real_images)
    parts = _identified([chosen_segmenter, *checked.augment], digests)
    inputs = {"dataset": supply.training, **{f"synthesis {i}": stage for i, stage in enumerate(supply.selected, 1)}}
    facts = {"seed": supply.augment_seed, "real": recipe.real_images}
    segmenter = _stage("segmenter", own, inputs, training, parts, document, facts)

    # Its scores.
    evaluation = _evaluation(checked, checked.dataset, supply.dataset, segmenter, own, document, digests)
    external = {
        name: _evaluation(checked, data, pooled, segmenter, f"{own} · external {name}", document, digests)
        for name, data, pooled in _external(checked, supply.dataset, document, digests)
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


def _note(seed: int | None, fold: int | None) -> str:
    """Return what tells a stage from those of other seeds and folds, for people."""
    return ("" if seed is None else f" · seed {seed}") + ("" if fold is None else f" · fold {fold}")


def _fold(task: TakeFold, excluding: Mapping[str, Any], loaded: Stage) -> Stage:
    """Return the stage whose test split is a fold."""
    facts = {"folds": task.folds, "fold": task.fold, "of": task.of, **excluding}
    of = "" if task.of == ALL else " of the development samples"
    note = f" · fold {task.fold} of {task.folds}{of}"
    return _stage("dataset", note, {"dataset": loaded}, task, loaded.components, loaded.document, facts)


def _evaluation(
    checked: CheckedRecipe,
    data: Component,
    dataset: Stage,
    segmenter: Stage,
    note: str,
    document: Mapping[str, Value],
    digests: Digests,
) -> Stage:
    """Return the stage that scores a segmenter on a data set, whose native masks are those of `data`."""
    assert checked.segmenter is not None
    scoring, scored = Evaluate(checked.segmenter.instance), [checked.segmenter]
    if checked.recipe.score_at == NATIVE_SIZE:
        scoring = Evaluate(checked.segmenter.instance, (data.name, data.instance))
        scored = [checked.segmenter, data]
    inputs = {"dataset": dataset, "segmenter": segmenter}
    return _stage("evaluation", note, inputs, scoring, _identified(scored, digests), document)


def _external(
    checked: CheckedRecipe, dataset: Stage, document: Mapping[str, Value], digests: Digests
) -> Iterator[tuple[str, Component, Stage]]:
    """Yield each external set: its name, its data set, and the stage that pools its samples.

    Copies are looked for among all that the data set has to train on, which with folds is everything, so that every
    share of it and every fold is scored on the same images. Where settings are looked for on development images,
    external sets stay as unseen as the test images.
    """
    folds = checked.recipe.folds
    if checked.recipe.development_share or (folds is not None and folds.of == DEVELOPMENT):
        return
    if folds is not None:
        dataset = dataset.inputs["dataset"]
    for name, data in checked.external.items():
        loaded = _stage(
            "dataset", f" · external {name}", {}, LoadDataset(data.instance), _identified([data], digests), document
        )
        inputs = {"external": loaded, "dataset": dataset}
        facts = {"name": name, **({"all_trained": True} if folds is not None else {})}
        task = PoolExternal(name, folds is not None)
        pooled = _stage("dataset", " · external set", inputs, task, (), document, facts, name)
        yield name, data, pooled


def _development(share: float, exclude_copies: bool, excluding: Mapping[str, Any], loaded: Stage) -> Stage:
    """Return the stage whose test split is cut from the training images; the data set itself for none."""
    if share == 0:
        return loaded
    facts = {"development_share": share, **excluding}
    note = f" · {share:g} of training groups to score on"
    task = HoldOutDevelopment(share, exclude_copies)
    return _stage("dataset", note, {"dataset": loaded}, task, loaded.components, loaded.document, facts)


def _share(share: float, seed: int, note: str, dataset: Stage) -> Stage:
    """Return the stage that leaves a share of the training groups; the data set itself for all of them."""
    if share == 1:
        return dataset
    facts = {"share": share, "seed": seed}
    task = TakeShare(share, seed)
    return _stage("dataset", note, {"dataset": dataset}, task, (), dataset.document, facts, dataset.address.label)


def _synthesis(
    source: CheckedSource,
    seed: int,
    twin: int,
    note: str,
    dataset: Stage,
    document: Mapping[str, Value],
    digests: Digests,
) -> Stage:
    """Return the stage that paints with a generator, which is one of its inputs, as the masks are.

    A large set is made in shards, and its masks, too, where their source draws parts of them. A set that is shuffled is
    not: any mask of all may become that of any image.
    """
    cuts = () if source.shuffled else cuts_of(source.count, source.shard)
    fit_seed = derive_seed(seed, "generator")
    painter = _identified([source.generator], digests)
    fitting = TrainGenerator(source.generator.instance, fit_seed)
    generator = _stage("generator", note, {"dataset": dataset}, fitting, painter, document, {"seed": fit_seed})

    mask_seed = derive_seed(seed, "masks", str(twin))
    drawing = DrawMasks(source.masks.instance, mask_seed, source.per_real, source.count)
    facts = {"seed": mask_seed, "per_real": source.per_real, "count": source.count}
    drawer = _identified([source.masks], digests)
    masks = _stage("masks", note, {"dataset": dataset}, drawing, drawer, document, facts)
    masks_of = [masks] * len(cuts)
    if cuts and isinstance(source.masks.instance, DrawsParts):
        masks = in_shards(
            masks,
            cuts,
            [{"dataset": dataset}] * len(cuts),
            lambda kind, part, needed, task, place: _stage(
                kind, f"{part}{note}", needed, task, drawer, document, {**facts, **place}
            ),
        )
        masks_of = list(masks.shards)

    paint_seed = derive_seed(seed, "synthesis", str(twin))
    label = f"{source.generator.name}-{source.masks.name}"
    # Draws belong to sample ids, so these must not change with a fingerprint: other code would train anew.
    prefix = f"{label}-{twin}{'-shuffled' if source.shuffled else ''}"
    painting = Synthesise(source.generator.instance, paint_seed, _origin(source), prefix, source.shuffled)
    inputs = {"dataset": dataset, "generator": generator, "masks": masks}
    painted = {"seed": paint_seed, "prefix": prefix, "shuffled": source.shuffled}
    whole = _stage("synthesis", note, inputs, painting, painter, document, painted, label)
    if not cuts:
        return whole
    return in_shards(
        whole,
        cuts,
        [{**inputs, "masks": drawn} for drawn in masks_of],
        lambda kind, part, needed, task, place: _stage(
            kind, f"{part}{note}", needed, task, painter, document, {**painted, **place}, label
        ),
    )


def _selected(
    source: CheckedSource,
    synthesis: Stage,
    checked: CheckedRecipe,
    seed: int,
    fold: int | None,
    note: str,
    digests: Digests,
) -> Stage:
    """Return the stage that keeps what follows its mask, by the judgement of the recipe's plain arm; or all of it."""
    if source.min_adherence == 0:
        return synthesis
    segmenter = checked.segmenter
    assert segmenter is not None  # a recipe with min_adherence and without one was refused
    judge = _arm(_plain(checked), seed, fold, False, False, digests).segmenter
    selecting = SelectAdherent(segmenter.instance, source.min_adherence)
    parts = _identified([segmenter], digests)
    facts = {"min_adherence": source.min_adherence}
    note = f" of {source.min_adherence:g} adherence{note}"
    inputs = {"synthesis": synthesis, "segmenter": judge}
    return _stage("synthesis", note, inputs, selecting, parts, synthesis.document, facts, synthesis.address.label)


def _identified(parts: Sequence[Component], digests: Digests) -> tuple[Identified, ...]:
    return tuple(part.identify(digests) for part in parts)


def _origin(source: CheckedSource) -> str:
    shuffled = " shuffled" if source.shuffled else ""
    return f"{source.generator.name}/{source.masks.name}{shuffled}"


def _report(
    arms: tuple[Arm, ...],
    quality: tuple[Stage, ...],
    unjudged: tuple[str, ...],
    contrasts: tuple[tuple[str, str], ...],
    digests: Digests,
) -> Stage:
    names = list(dict.fromkeys(arm.name for arm in arms))
    title = "+".join(names)
    label = title if len(title) <= 60 else f"{len(names)}-arms"
    if isinstance(arms[0].dataset.task, HoldOutDevelopment):
        title, label = f"{title} (development split)", f"{label}-development"
    folding = arms[0].dataset.task
    if isinstance(folding, TakeFold):
        of, short = (" of the development split", "-development") if folding.of == DEVELOPMENT else ("", "")
        title, label = f"{title} ({folding.folds} folds{of})", f"{label}-{folding.folds}-folds{short}"
    stages = dict.fromkeys(
        stage
        for arm in arms
        for stage in (
            *in_order((arm.training,)),
            *arm.generators,
            *arm.syntheses,
            *arm.selected,
            arm.segmenter,
            arm.evaluation,
            *arm.external_stages,
        )
    )
    facts = {
        "arms": [[arm.name, {**arm.document, "seed": arm.seed}, arm.sweep and asdict(arm.sweep)] for arm in arms],
        "unjudged": unjudged,
        **({"contrasts": contrasts} if contrasts else {}),
    }
    writing = WriteReport(title, arms, quality, unjudged, _files_of(arms, digests), contrasts)
    inputs = {f"{stage.address.kind}/{stage.address.name}": stage for stage in (*stages, *quality)}
    return _stage("report", "", inputs, writing, (), None, facts, label)


def _files_of(arms: Sequence[Arm], digests: Digests) -> Mapping[str, Files]:
    """Return `WriteReport.files`: two reports are to say which file differs, and not only that one does."""
    scored = [stage for arm in arms for stage in (arm.evaluation, *arm.external.values())]
    parts = [part for stage in in_order(scored) for part in stage.components if part.files]
    paths = {part.files: part.component.files for part in parts}
    return {digest: digests.each(files) for digest, files in paths.items()}


def _stage(
    kind: str,
    note: str,
    inputs: Mapping[str, Stage],
    task: Task,
    components: tuple[Identified, ...],
    document: Mapping[str, Value] | None,
    facts: Mapping[str, Any] = MappingProxyType({}),
    label: str = "",
) -> Stage:
    """Return a stage, labelled by its first component unless `label` says otherwise.

    note:  for people only.
    facts: what its artifact depends on besides its components, its inputs and the code that does the task.
    """
    identity = {
        "schema": SCHEMA,
        "kind": kind,
        "code": code_of(type(task)),
        "inputs": [stage.address.fingerprint for stage in inputs.values()],
        "components": [component.facts() for component in components],
        **facts,
    }
    label = label or components[0].name
    text = json.dumps(identity, sort_keys=True, allow_nan=False)
    address = Address(kind, label, hashlib.sha256(text.encode()).hexdigest())
    return Stage(address, f"{kind} {label}{note}", inputs, task, components, document, identity)


def code_of(task: type[Task], root: Path = CORE) -> str:
    """Return the hash of the code that does a kind of task; `root` is the folder of the core."""
    module = CODE[task]
    return core_code(module, root, frozenset({COPIES}) if module == CODE[LoadDataset] else frozenset())


def _refuse_different_data(arms: Sequence[Arm]) -> None:
    """Arms are compared image by image, so they must read the same data and be scored in one way."""
    first = arms[0]
    for key in ("score_at", "score_per"):
        unlike = dict.fromkeys(arm.name for arm in arms if getattr(arm, key) != getattr(first, key))
        if unlike:
            what = f"has another {key} than '{first.name}'; allowed: the same in every arm"
            raise InputError(*(Problem(f"recipe '{name}'", what) for name in unlike))
    read: dict[str, dict[Stage, None]] = {}
    for arm in arms:
        read.setdefault(arm.name, {})[arm.dataset] = None
    others = [name for name, datasets in read.items() if datasets != read[first.name]]
    if others:
        what = (
            f"has another data set, other options of it, or another development_share or folds than '{first.name}'; "
            "allowed: the same in every arm"
        )
        hint = "Run recipes on different data one at a time"
        raise InputError(*(Problem(f"recipe '{name}'", what, hint) for name in others))
    wanted = _sets(first)
    differing = {arm.name: _sets(arm) for arm in arms if _sets(arm) != wanted}
    if differing:
        listed = ", ".join(wanted) or "none"
        what = f"than '{first.name}' ({listed}); allowed: the same in every arm, with the same options"
        raise InputError(
            *(
                Problem(f"recipe '{name}'", f"has other external sets ({', '.join(sets) or 'none'}) {what}")
                for name, sets in differing.items()
            )
        )


def _sets(arm: Arm) -> Mapping[str, Stage]:
    """Return name -> pooled samples of each external set, by name."""
    return {name: arm.external[name].inputs["dataset"] for name in sorted(arm.external)}
