"""What a run is made of: tasks, the stages that do them, and arms, all frozen.

A stage's fingerprint covers its component's options, provider and code, its seed, its inputs' fingerprints and what the
code that does its task does (`augkit.contracts.code`). Equal stages of several arms or seeds are one stage, which is
how arms share a generator.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from augkit.contracts.code import CORE, core_code
from augkit.contracts.components import (
    PER_IMAGE,
    TRAINING_SIZE,
    Augmentation,
    Dataset,
    Generator,
    HasNativeMasks,
    MaskSource,
    Segmenter,
)
from augkit.planning.divisions import Cut
from augkit.store import SCHEMA, Address

if TYPE_CHECKING:
    from augkit.planning.components import Identified
    from augkit.planning.document import Value
    from augkit.planning.recipe import Written
    from augkit.planning.sweep import SweepPoint


Files = tuple[tuple[str, str], ...]
"""(name below the folder that all of them are in, SHA-256) of some files."""


@dataclass(frozen=True)
class LoadDataset:
    """Read and check a data set; on request without images that have a copy in a later split."""

    dataset: Dataset
    exclude_copies: bool = False


@dataclass(frozen=True)
class HoldOutDevelopment:
    """Put `share` of the training groups in place of the test split; the same ones whatever the seed or the arm.

    Settings can then be looked for without the evaluation images. A smaller share is part of a larger one.
    """

    share: float
    exclude_copies: bool = False


@dataclass(frozen=True)
class TakeFold:
    """Test on fold `fold` of `folds`, and train and validate on the others; the same whatever the seed or the arm.

    of: whether the data set's own test samples are among them, as in `Folds`.
    """

    folds: int
    fold: int
    of: str
    exclude_copies: bool = False


@dataclass(frozen=True)
class TakeShare:
    """Leave `share` of the training groups; a smaller share of the same seed is part of a larger one."""

    share: float
    seed: int


@dataclass(frozen=True)
class PoolExternal:
    """Put all samples of an external data set together, without copies of images that a segmenter may learn from.

    all_trained: whether all samples of the data set may be learned from, as with folds, or not its test split.
    """

    name: str
    all_trained: bool = False


@dataclass(frozen=True)
class TrainGenerator:
    """Fit a generator on the training split; it is given nothing else."""

    generator: Generator
    seed: int


@dataclass(frozen=True)
class DrawMasks:
    """Draw the masks of one synthetic source; exactly one of `per_real` and `count` is set.

    cut: which of `count` masks, by a source that draws parts; None for all.
    """

    masks: MaskSource
    seed: int
    per_real: float | None
    count: int | None
    cut: Cut | None = None


@dataclass(frozen=True)
class Synthesise:
    """Paint an image for every drawn mask; `shuffled` then gives every image the mask of another one.

    cut: which of the masks; None for all.
    """

    generator: Generator
    seed: int
    origin: str
    prefix: str
    shuffled: bool = False
    cut: Cut | None = None


@dataclass(frozen=True)
class Gather:
    """List the shards of a set that is too large for one: the list stands for what `whole` would make."""

    whole: DrawMasks | Synthesise


@dataclass(frozen=True)
class SelectAdherent:
    """Keep the synthetic samples whose mask a segmenter trained on real images alone finds with this Dice or more."""

    segmenter: Segmenter
    min_adherence: float


@dataclass(frozen=True)
class TrainSegmenter:
    """Fit the segmenter on real (unless `real` is false) and synthetic samples with the recipe's augmentations."""

    segmenter: Segmenter
    augment: tuple[tuple[str, Augmentation], ...]
    seed: int
    real: bool = True


@dataclass(frozen=True)
class Evaluate:
    """Predict the test split and score it against its masks, or against the native ones of a named data set."""

    segmenter: Segmenter
    native: tuple[str, HasNativeMasks] | None = None


@dataclass(frozen=True)
class WriteReport:
    """Compare the arms of a plan, and show the quality of their synthetic images.

    quality:  the `JudgeQuality` stages of the first seed.
    unjudged: arms whose images no arm's segmenter can judge: none was trained on real images alone.
    files:    digest of a component's files, as in `Identified.files` -> (name, SHA-256) of each.
    contrasts: names of two arms each, which are compared besides those that are planned anyway.
    """

    title: str
    arms: tuple[Arm, ...]
    quality: tuple[Stage, ...] = ()
    unjudged: tuple[str, ...] = ()
    files: Mapping[str, Files] = field(default_factory=dict)
    contrasts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class JudgeQuality:
    """Judge a synthetic set with its generator and, if there is one, a segmenter that learned from real images only."""

    generator: Generator
    segmenter: Segmenter | None
    seed: int


Task = (
    LoadDataset
    | HoldOutDevelopment
    | TakeFold
    | TakeShare
    | PoolExternal
    | TrainGenerator
    | DrawMasks
    | Synthesise
    | Gather
    | SelectAdherent
    | TrainSegmenter
    | Evaluate
    | WriteReport
    | JudgeQuality
)


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
class Stage:
    """One artifact to be: what to do, on which inputs, at which address.

    inputs:     by the names that the task's function asks for: ``dataset``, ``generator``, ``masks``, ``segmenter``,
                ``synthesis``; where there are several synthetic sets, ``synthesis 1`` and so on; ``shard 1`` and so on
                of a set in shards; ``external``, the data set whose samples are pooled.
    components: what plugins bring to it.
    document:   the resolved recipe of an arm that has the stage, with its seed, from which it can be planned again
                elsewhere; None for a report, which belongs to no single arm.
    identity:   everything that the fingerprint covers, JSON-ready.
    """

    address: Address
    title: str
    inputs: Mapping[str, Stage]
    task: Task
    components: tuple[Identified, ...]
    document: Mapping[str, Value] | None
    identity: Mapping[str, Any]

    @property
    def makes(self) -> Task:
        """The task whose result the artifact is, whether it is done at once or in shards."""
        return self.task.whole if isinstance(self.task, Gather) else self.task

    @property
    def shards(self) -> tuple[Stage, ...]:
        """The stages that make the shards of a set in shards."""
        return tuple(stage for name, stage in self.inputs.items() if name.startswith("shard "))

    def __hash__(self) -> int:
        return hash(self.address)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stage) and self.address == other.address


@dataclass(frozen=True)
class Supply:
    """What one recipe with one seed has a segmenter learn from; there need not be a segmenter.

    dataset:      the splits; its test split is what an arm is scored on, development images if the recipe wants that.
    training:     what generators and segmenter see: `dataset` itself, or a share of its training groups.
    selected:     what the segmenter sees of each of `syntheses`: all of it, or the images that follow their masks.
    augment:      (name, component) of each augmentation, whose draws begin at `augment_seed`.
    fold:         the fold whose samples are the test split of `dataset`; None where a recipe has no folds.
    """

    name: str
    seed: int
    document: Mapping[str, Value]
    dataset: Stage
    training: Stage
    syntheses: tuple[Stage, ...]
    selected: tuple[Stage, ...]
    augment: tuple[tuple[str, Augmentation], ...]
    augment_seed: int
    fold: int | None

    @property
    def generators(self) -> tuple[Stage, ...]:
        """The trained generator of each of `syntheses`."""
        return tuple(stage.inputs["generator"] for stage in self.syntheses)


@dataclass(frozen=True)
class Arm(Supply):
    """A supply with the segmenter that learns from it and the scores of that.

    real_images: whether the segmenter trains on real images.
    sweep:       where the arm stands on a curve, if it does.
    score_at:    at which size it is scored.
    score_per:   what has one score, `PER_IMAGE` or `PER_GROUP`.
    written:     its recipe before it was resolved; None where there was no file.
    external:    name of an external set -> the scores of the same segmenter on it.
    """

    segmenter: Stage
    evaluation: Stage
    real_images: bool = True
    sweep: SweepPoint | None = None
    score_at: str = TRAINING_SIZE
    score_per: str = PER_IMAGE
    written: Written | None = None
    external: Mapping[str, Stage] = field(default_factory=dict)

    @property
    def external_stages(self) -> tuple[Stage, ...]:
        """What there is for external sets alone: of each the data set, its pooled samples, and their scores."""
        sets = [(scores.inputs["dataset"], scores) for scores in self.external.values()]
        return tuple(stage for pooled, scores in sets for stage in (pooled.inputs["external"], pooled, scores))


def in_order(stages: Sequence[Stage], has: Callable[[Stage], bool] = lambda stage: False) -> tuple[Stage, ...]:
    """Return these stages and all that they need, each once, inputs before the stages that use them.

    has: which stages need nothing any more; they are left out, with what only they would need.
    """
    ordered: dict[Stage, None] = {}

    def visit(stage: Stage) -> None:
        if stage not in ordered and not has(stage):
            for upstream in stage.inputs.values():
                visit(upstream)
            ordered[stage] = None

    for stage in stages:
        visit(stage)
    return tuple(ordered)


def longest_chain_first(stages: Sequence[Stage]) -> list[Stage]:
    """Return stages so that those come first that are part of the longest chain, in which each waits for the last.

    A generator then begins before the segmenters that need none, which can train while others wait for it.

    stages: in an order in which they could be built.
    """
    before, after = dict.fromkeys(stages, 0), dict.fromkeys(stages, 0)
    for stage in stages:
        before[stage] = max((before[needed] + 1 for needed in stage.inputs.values() if needed in before), default=0)
    for stage in reversed(stages):
        for needed in stage.inputs.values():
            if needed in after:
                after[needed] = max(after[needed], after[stage] + 1)
    return sorted(stages, key=lambda stage: -before[stage] - after[stage])


def make_stage(
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
