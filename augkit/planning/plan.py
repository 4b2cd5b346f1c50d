"""Recipes + registry -> a frozen plan: the stages of all arms, of the quality of their images, and of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from augkit.data.draws import derive_seed
from augkit.data.folds import DEVELOPMENT
from augkit.errors import InputError, Problem
from augkit.planning.arms import Case, arm_of, folds_of, supply_of
from augkit.planning.components import CheckedRecipe, CheckedSource, used_sources
from augkit.planning.tasks import (
    Arm,
    Files,
    HoldOutDevelopment,
    JudgeQuality,
    Stage,
    Supply,
    TakeFold,
    WriteReport,
    in_order,
    make_stage,
)
from augkit.store import Digests


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
    cases = [
        Case(recipe, digests, seed, fold, *several)
        for seed in chosen
        for recipe in recipes
        for fold in folds_of(recipe)
    ]
    arms = tuple(map(arm_of, cases))
    _refuse_different_data(arms)

    # What the report shows besides their scores: the quality of their synthetic images.
    first = [Case(recipe, digests, chosen[0], folds_of(recipe)[0], *several) for recipe in recipes]
    quality, unjudged = _judged(first, arms)
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
    cases = [
        Case(recipe, digests, seed, folds_of(recipe)[0], several_seeds=len(chosen) > 1)
        for seed in chosen
        for recipe in recipes
    ]
    return tuple(dict.fromkeys(stage for case in cases for stage in _quality_stages(case)))


def everything_of(recipe: CheckedRecipe, digests: Digests) -> tuple[Stage, ...]:
    """Return every stage that a recipe with its own seed can have part in but for reports; for who has one to build."""
    cases = [Case(recipe, digests, fold=fold) for fold in folds_of(recipe)]
    quality = _quality_stages(cases[0])
    if recipe.segmenter is None:
        supplies = map(supply_of, cases)
        return in_order((*(stage for one in supplies for stage in (one.training, *one.selected)), *quality))
    arms = map(arm_of, cases)
    return in_order((*(stage for arm in arms for stage in (arm.evaluation, *arm.external.values())), *quality))


def make_supply(recipe: CheckedRecipe, seed: int | None, digests: Digests) -> Supply:
    """Return what a recipe has a segmenter learn from; its synthetic sets are those that `make_quality` judges."""
    return supply_of(Case(recipe, digests, seed, folds_of(recipe)[0]))


def _judged(cases: Sequence[Case], arms: Sequence[Arm]) -> tuple[tuple[Stage, ...], tuple[str, ...]]:
    """Return the stages that judge synthetic images with a segmenter the arms train anyway, and who has none.

    Points of a curve are left out: they show one source many times.
    """
    trained = {arm.segmenter for arm in arms}
    stages: dict[Stage, None] = {}
    unjudged: list[str] = []
    for case in cases:
        if not used_sources(case.checked) or case.checked.recipe.sweep is not None:
            continue
        found = _quality_stages(case)
        if all(stage.inputs["segmenter"] in trained for stage in found):
            stages |= dict.fromkeys(found)
        else:
            unjudged.append(case.checked.recipe.name)
    return tuple(stages), tuple(unjudged)


def _quality_stages(case: Case) -> tuple[Stage, ...]:
    """Return one stage per synthetic source of a recipe."""
    supply = supply_of(case)
    judge = None if case.checked.segmenter is None else arm_of(case.plain()).segmenter
    sources = zip(used_sources(case.checked), supply.syntheses, strict=True)
    return tuple(_quality(case, source, supply, judge, synthesis) for source, synthesis in sources)


def _quality(case: Case, source: CheckedSource, supply: Supply, judge: Stage | None, synthesis: Stage) -> Stage:
    seed, segmenter = derive_seed(case.luck, "quality"), case.checked.segmenter
    judging = JudgeQuality(source.generator.instance, segmenter.instance if segmenter else None, seed)
    parts = case.identified(source.generator, *([segmenter] if segmenter else []))
    inputs = {"dataset": supply.training, "generator": synthesis.inputs["generator"], "synthesis": synthesis}
    if judge is not None:
        inputs["segmenter"] = judge
    label = synthesis.address.label
    note = synthesis.title.removeprefix(f"synthesis {label}")
    return make_stage("quality", note, inputs, judging, parts, synthesis.document, {"seed": seed}, label)


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
    return make_stage("report", "", inputs, writing, (), None, facts, label)


def _files_of(arms: Sequence[Arm], digests: Digests) -> Mapping[str, Files]:
    """Return `WriteReport.files`: two reports are to say which file differs, and not only that one does."""
    scored = [stage for arm in arms for stage in (arm.evaluation, *arm.external.values())]
    parts = [part for stage in in_order(scored) for part in stage.components if part.files]
    paths = {part.files: part.component.files for part in parts}
    return {digest: digests.each(files) for digest, files in paths.items()}


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
