"""Recipes + registry -> a frozen plan: components, stages, seeds, and the fingerprint of every artifact.

A stage's fingerprint covers its component's options, provider and code, its seed, its inputs' fingerprints and what the
code that does its task does (`augkit.contracts.code`). Equal stages of several arms or seeds are one stage, which is
how arms share a generator.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from augkit.contracts.code import core_code
from augkit.contracts.components import NATIVE_SIZE
from augkit.data.draws import derive_seed
from augkit.errors import InputError, Problem
from augkit.planning.components import CheckedRecipe, CheckedSource, Component, used_sources
from augkit.planning.tasks import (
    Arm,
    DrawMasks,
    Evaluate,
    HoldOutDevelopment,
    JudgeQuality,
    LoadDataset,
    SelectAdherent,
    Stage,
    Synthesise,
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
    TakeShare: "running/stages/dataset",
    TrainGenerator: "running/stages/generator",
    DrawMasks: "running/stages/masks",
    Synthesise: "running/stages/synthesis",
    SelectAdherent: "running/stages/selection",
    TrainSegmenter: "running/stages/segmenter",
    Evaluate: "running/stages/evaluation",
    JudgeQuality: "running/stages/quality",
    WriteReport: "running/stages/report",
}
"""The core module that does each task: what it does, with all that it imports, is part of its artifacts' names."""

COPIES = "quality/copies"
"""Counts only where a recipe excludes copies."""


@dataclass(frozen=True)
class Plan:
    """Everything a run will do; `report` is its last stage and reaches all others."""

    arms: tuple[Arm, ...]
    report: Stage

    def stages(self) -> tuple[Stage, ...]:
        """Return every stage once, inputs before the stages that use them."""
        return in_order((self.report,))


def make_plan(recipes: Sequence[CheckedRecipe], seeds: Sequence[int] | None, digests: Digests) -> Plan:
    """Return the plan of several arms; `seeds` replaces the recipes' own seeds.

    Arms stand in the order of the paper's Table 1: plain, classical, synthetic, both; then as given.
    """
    recipes = sorted(recipes, key=lambda checked: (bool(checked.sources), bool(checked.augment)))
    chosen: Sequence[int | None] = tuple(dict.fromkeys(seeds)) if seeds else (None,)
    several = len(recipes) > 1, len(chosen) > 1
    arms = tuple(_arm(recipe, seed, *several, digests) for seed in chosen for recipe in recipes)
    _refuse_different_data(arms)
    quality, unjudged = _judged(recipes, chosen[0], arms, several[1], digests)
    return Plan(arms, _report(arms, quality, unjudged))


def make_quality(recipes: Sequence[CheckedRecipe], seeds: Sequence[int] | None, digests: Digests) -> tuple[Stage, ...]:
    """Return one stage per synthetic source and seed that judges its images; sources in several arms once.

    The images are judged with the recipe's segmenter trained without augmentation on real images: the very artifact of
    the plain arm.
    """
    plain_only = [recipe for recipe in recipes if not used_sources(recipe)]
    if plain_only:
        what = "has no synthetic images; allowed: at least one source under 'synthesize'"
        raise InputError(*(Problem(checked.recipe.file, what) for checked in plain_only))
    chosen: Sequence[int | None] = tuple(dict.fromkeys(seeds)) if seeds else (None,)
    found = [_quality_stages(recipe, seed, len(chosen) > 1, digests) for seed in chosen for recipe in recipes]
    return tuple(dict.fromkeys(stage for stages in found for stage in stages))


def make_selections(recipe: CheckedRecipe, seed: int | None, digests: Digests) -> tuple[Stage, ...]:
    """Return the synthetic sets that a recipe's segmenter is given, one per stage of `make_quality`."""
    return _arm(recipe, seed, False, False, digests).selected


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
        if all(stage.inputs[3] in trained for stage in found):
            stages |= dict.fromkeys(found)
        else:
            unjudged.append(recipe.recipe.name)
    return tuple(stages), tuple(unjudged)


def _quality_stages(
    recipe: CheckedRecipe, seed: int | None, several_seeds: bool, digests: Digests
) -> tuple[Stage, ...]:
    """Return one stage per synthetic source of a recipe."""
    arm = _arm(recipe, seed, False, several_seeds, digests)
    plain = _arm(_plain(recipe), seed, False, several_seeds, digests)
    sources = zip(used_sources(recipe), arm.syntheses, strict=True)
    return tuple(_quality(recipe, source, arm, plain, synthesis, digests) for source, synthesis in sources)


def _plain(checked: CheckedRecipe) -> CheckedRecipe:
    return replace(checked, recipe=replace(checked.recipe, real_images=True), sources=(), augment=())


def _quality(
    recipe: CheckedRecipe, source: CheckedSource, arm: Arm, plain: Arm, synthesis: Stage, digests: Digests
) -> Stage:
    seed = derive_seed(arm.seed, "quality")
    judging = JudgeQuality(source.generator.instance, recipe.segmenter.instance, seed)
    parts = [source.generator, recipe.segmenter]
    identity = _identity(parts, digests, seed)
    inputs = [arm.training, synthesis.inputs[1], synthesis, plain.segmenter]
    note = synthesis.title.removeprefix(f"synthesis {synthesis.address.label}")
    return _stage("quality", note, inputs, judging, identity, synthesis.address.label)


def _arm(checked: CheckedRecipe, chosen: int | None, several_arms: bool, several_seeds: bool, digests: Digests) -> Arm:
    recipe = checked.recipe
    seed = recipe.seed if chosen is None else chosen
    shared = f" · seed {seed}" if several_seeds else ""
    own = (f" · {recipe.name}" if several_arms else "") + shared
    loading = LoadDataset(checked.dataset.instance, recipe.exclude_copies)
    excluding = {"exclude_copies": core_code(COPIES)} if recipe.exclude_copies else {}
    loaded = _stage("dataset", "", [], loading, _identity([checked.dataset], digests) | excluding)
    dataset = _development(recipe.development_share, recipe.exclude_copies, excluding, loaded)
    if recipe.training_share != 1:
        shared = f" · {recipe.training_share:g} of training groups{shared}"
    training_set = _share(recipe.training_share, derive_seed(seed, "share"), shared, dataset)
    sources = used_sources(checked)
    generators: list[Stage] = []
    syntheses: list[Stage] = []
    for i, source in enumerate(sources):
        # The same source twice in one recipe must not give the same images twice.
        twin = sum(_origin(earlier) == _origin(source) for earlier in sources[:i])
        generator, synthesis = _source_stages(source, seed, twin, shared, training_set, digests)
        generators.append(generator)
        syntheses.append(synthesis)
    selected = tuple(
        _selected(source, synthesis, checked, seed, shared, digests)
        for source, synthesis in zip(sources, syntheses, strict=True)
    )
    segmenter_seed = derive_seed(seed, "segmenter")
    augment = tuple((component.name, component.instance) for component in checked.augment)
    training = TrainSegmenter(checked.segmenter.instance, augment, segmenter_seed, recipe.real_images)
    parts = [checked.segmenter, *checked.augment]
    identity = _identity(parts, digests, segmenter_seed) | {"real": recipe.real_images}
    segmenter = _stage("segmenter", own, [training_set, *selected], training, identity)
    scoring, parts = Evaluate(checked.segmenter.instance), [checked.segmenter]
    if recipe.score_at == NATIVE_SIZE:
        scoring = Evaluate(checked.segmenter.instance, (checked.dataset.name, checked.dataset.instance))
        parts = [checked.segmenter, checked.dataset]
    evaluation = _stage("evaluation", own, [dataset, segmenter], scoring, _identity(parts, digests))
    return Arm(
        recipe.name, seed, recipe.document, dataset, training_set, tuple(generators), tuple(syntheses), selected,
        segmenter, evaluation, recipe.real_images, recipe.sweep, recipe.score_at
    )  # fmt: skip


def _development(share: float, exclude_copies: bool, excluding: Mapping[str, Any], loaded: Stage) -> Stage:
    """Return the stage whose test split is cut from the training images; the data set itself for none."""
    if share == 0:
        return loaded
    identity = {"components": loaded.identity["components"], "development_share": share, **excluding}
    note = f" · {share:g} of training groups to score on"
    return _stage("dataset", note, [loaded], HoldOutDevelopment(share, exclude_copies), identity)


def _share(share: float, seed: int, note: str, dataset: Stage) -> Stage:
    """Return the stage that leaves a share of the training groups; the data set itself for all of them."""
    if share == 1:
        return dataset
    identity = {"share": share, "seed": seed}
    return _stage("dataset", note, [dataset], TakeShare(share, seed), identity, dataset.address.label)


def _source_stages(
    source: CheckedSource, seed: int, twin: int, note: str, dataset: Stage, digests: Digests
) -> tuple[Stage, Stage]:
    """Return the generator's stage and the stage that paints with it."""
    fit_seed = derive_seed(seed, "generator")
    fitting = TrainGenerator(source.generator.instance, fit_seed)
    generator = _stage("generator", note, [dataset], fitting, _identity([source.generator], digests, fit_seed))
    mask_seed = derive_seed(seed, "masks", str(twin))
    drawing = DrawMasks(source.masks.instance, mask_seed, source.per_real, source.count)
    amount = {"per_real": source.per_real, "count": source.count}
    masks = _stage("masks", note, [dataset], drawing, _identity([source.masks], digests, mask_seed) | amount)
    paint_seed = derive_seed(seed, "synthesis", str(twin))
    label = f"{source.generator.name}-{source.masks.name}"
    # Draws belong to sample ids, so these must not change with a fingerprint: an edited comment would train anew.
    prefix = f"{label}-{twin}{'-shuffled' if source.shuffled else ''}"
    painting = Synthesise(source.generator.instance, paint_seed, _origin(source), prefix, source.shuffled)
    identity = _identity([source.generator], digests, paint_seed) | {"prefix": prefix, "shuffled": source.shuffled}
    return generator, _stage("synthesis", note, [dataset, generator, masks], painting, identity, label)


def _selected(
    source: CheckedSource, synthesis: Stage, checked: CheckedRecipe, seed: int, note: str, digests: Digests
) -> Stage:
    """Return the stage that keeps what follows its mask, by the judgement of the recipe's plain arm; or all of it."""
    if source.min_adherence == 0:
        return synthesis
    judge = _arm(_plain(checked), seed, False, False, digests).segmenter
    selecting = SelectAdherent(checked.segmenter.instance, source.min_adherence)
    identity = _identity([checked.segmenter], digests) | {"min_adherence": source.min_adherence}
    note = f" of {source.min_adherence:g} adherence{note}"
    return _stage("synthesis", note, [synthesis, judge], selecting, identity, synthesis.address.label)


def _identity(parts: Sequence[Component], digests: Digests, seed: int | None = None) -> dict[str, Any]:
    return {"components": [part.identity(digests) for part in parts], "seed": seed}


def _origin(source: CheckedSource) -> str:
    shuffled = " shuffled" if source.shuffled else ""
    return f"{source.generator.name}/{source.masks.name}{shuffled}"


def _report(arms: tuple[Arm, ...], quality: tuple[Stage, ...], unjudged: tuple[str, ...]) -> Stage:
    names = list(dict.fromkeys(arm.name for arm in arms))
    title = "+".join(names)
    label = title if len(title) <= 60 else f"{len(names)}-arms"
    if isinstance(arms[0].dataset.task, HoldOutDevelopment):
        title, label = f"{title} (development split)", f"{label}-development"
    inputs = dict.fromkeys(
        stage
        for arm in arms
        for stage in (
            *in_order((arm.training,)),
            *arm.generators,
            *arm.syntheses,
            *arm.selected,
            arm.segmenter,
            arm.evaluation,
        )
    )
    identity = {
        "arms": [[arm.name, {**arm.document, "seed": arm.seed}, arm.sweep and asdict(arm.sweep)] for arm in arms],
        "unjudged": unjudged,
    }
    writing = WriteReport(title, arms, quality, unjudged)
    return _stage("report", "", (*inputs, *quality), writing, identity, label)


def _stage(
    kind: str, note: str, inputs: Sequence[Stage], task: Task, identity: Mapping[str, Any], label: str = ""
) -> Stage:
    """Return a stage, labelled by its first component unless `label` says otherwise; `note` is for people only."""
    everything = {
        "schema": SCHEMA,
        "kind": kind,
        "code": core_code(CODE[type(task)], without=frozenset({COPIES})),
        "inputs": [stage.address.fingerprint for stage in inputs],
        **identity,
    }
    label = label or identity["components"][0]["name"]
    text = json.dumps(everything, sort_keys=True, allow_nan=False)
    address = Address(kind, label, hashlib.sha256(text.encode()).hexdigest())
    return Stage(address, f"{kind} {label}{note}", tuple(inputs), task, everything)


def _refuse_different_data(arms: Sequence[Arm]) -> None:
    """Arms are compared image by image, so they must read the same data and be scored at one size."""
    first = arms[0]
    resized = dict.fromkeys(arm.name for arm in arms if arm.score_at != first.score_at)
    if resized:
        what = f"has another score_at than '{first.name}'; allowed: the same in every arm"
        raise InputError(*(Problem(f"recipe '{name}'", what) for name in resized))
    others = dict.fromkeys(arm.name for arm in arms if arm.dataset != first.dataset)
    if others:
        what = (
            f"has another data set, other options of it, or another development_share than '{first.name}'; "
            "allowed: the same in every arm"
        )
        hint = "Run recipes on different data one at a time"
        raise InputError(*(Problem(f"recipe '{name}'", what, hint) for name in others))
