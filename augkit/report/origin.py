"""Where a report's numbers come from, in origin.json: enough to compute them again, and to say why others differ.

The record has the recipes, the seeds, and for every stage of every arm its options, the hashes of the files it read and
of the code that made it, the circumstances that decide bits, and the hash of what came out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from augkit.data.stored import PLACES
from augkit.errors import InputError, Problem
from augkit.planning.tasks import Arm, Files, HoldOutDevelopment, Stage, TakeFold, TakeShare, in_order

ORIGIN = "origin.json"

_COMMON = ("schema", "kind", "code", "inputs", "components")
"""Parts of a stage's identity that every stage has; what else there is belongs to its task."""

_READING = ("data set", "development images", "fold", "training share", "masks", "external set")
"""Beginnings of the roles that compute nothing on a device."""

_CIRCUMSTANCES = ("device", "gpu", "precision", "threads", "processes", "instructions")
"""What decides bits besides versions."""


@dataclass(frozen=True)
class Part:
    """A component of a stage, as `Identified.facts` has it."""

    name: str
    options: dict[str, Any]
    files: str
    provider: str
    source: str


@dataclass(frozen=True)
class Made:
    """A stage, with all that its bytes depend on.

    code:        hash of what the core does for it.
    facts:       what it depends on besides its components, such as its seed.
    environment: versions, device, precision, threads; empty where they are not known.
    content:     SHA-256 of what came out; '' where it is not known.
    """

    title: str
    code: str
    components: tuple[Part, ...]
    facts: dict[str, Any]
    environment: dict[str, str | int]
    content: str = ""


@dataclass(frozen=True)
class OfArm:
    """The stages of one arm with one seed, in one fold if any: role, as ``synthesis 1`` -> place in `Origin.stages`."""

    arm: str
    seed: int
    stages: dict[str, int]
    fold: int | None = None


@dataclass(frozen=True)
class OfRecipe:
    """A recipe in the folder of a report: resolved, as it was written ('' for none), and what ``--set`` changed."""

    file: str
    written: str = ""
    changes: tuple[str, ...] = ()


Run = tuple[str, int, "int | None"]
"""Arm, seed, and fold if any."""


@dataclass(frozen=True)
class Origin:
    """Where a report's numbers come from.

    seeds: with which every recipe was run; None where each had its own.
    files: digest of a component's files -> (name, SHA-256) of each.
    contrasts: names of two arms each, which were compared besides the planned ones.
    """

    arms: tuple[OfArm, ...] = ()
    stages: tuple[Made, ...] = ()
    files: dict[str, Files] | None = None
    recipes: tuple[OfRecipe, ...] = ()
    seeds: tuple[int, ...] | None = None
    contrasts: tuple[tuple[str, str], ...] = ()

    def runs(self) -> dict[Run, Mapping[str, Made]]:
        """Return (arm, seed, fold) -> role -> stage."""
        return {
            (one.arm, one.seed, one.fold): {role: self.stages[place] for role, place in one.stages.items()}
            for one in self.arms
        }

    @property
    def environment(self) -> Mapping[str, str | int]:
        """The circumstances of the first segmenter, which the command of a report names."""
        return next((stages["segmenter"].environment for stages in self.runs().values()), {})


def origin_of(
    arms: Sequence[Arm], files: Mapping[str, Files], known: Callable[[Stage], tuple[Mapping[str, Any], str]]
) -> Origin:
    """Return the origin of some arms, without recipes.

    known: returns environment and content of a stage, as in `Made`.
    """
    stages: dict[Stage, int] = {}
    found = []
    for arm in arms:
        roles = {role: stages.setdefault(stage, len(stages)) for role, stage in _roles(arm)}
        found.append(OfArm(arm.name, arm.seed, roles, arm.fold))
    made = tuple(_made(stage, *known(stage)) for stage in stages)
    return Origin(tuple(found), made, dict(files), (), seeds_of([(one.arm, one.seed) for one in found]))


def content_of(manifest: Mapping[str, Any]) -> str:
    """Return the digest of an artifact's files, whenever and wherever it was made."""
    facts = [[name, facts["sha256"]] for name, facts in sorted(manifest["files"].items()) if name != PLACES]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def seeds_of(runs: Sequence[tuple[str, int]]) -> tuple[int, ...] | None:
    """Return the seeds that every arm was run with; None where recipes had their own."""
    seeds: dict[str, dict[int, None]] = {}
    for arm, seed in runs:
        seeds.setdefault(arm, {})[seed] = None
    first, *others = map(list, seeds.values())
    return tuple(first) if all(other == first for other in others) else None


def origin_text(origin: Origin, recipes: Sequence[OfRecipe]) -> str:
    """Return the content of origin.json."""
    record = asdict(replace(origin, recipes=tuple(recipes)))
    for arm in record["arms"]:
        if arm["fold"] is None:
            del arm["fold"]
    if not origin.contrasts:
        del record["contrasts"]
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def read_origin(folder: Path) -> Origin:
    """Return the origin of a report; `InputError` where there is none, or none that was written by augkit."""
    try:
        found = TypeAdapter(Origin).validate_json((folder / ORIGIN).read_bytes())
        for one in found.recipes:
            for name in (one.file, one.written) if one.written else (one.file,):
                if not _is_recipe(folder, Path(name)):
                    raise ValueError(f"no recipe is called {name!r}")
        if not found.recipes or not found.arms or not all("segmenter" in stages for stages in found.runs().values()):
            raise ValueError("no recipe, arm or segmenter")
    except FileNotFoundError:
        what, hint = (
            f"has no {ORIGIN}, so it does not say how it was made",
            "Run its recipes again: the report is rebuilt",
        )
        raise InputError(Problem(str(folder), what, hint)) from None
    except (ValidationError, ValueError, IndexError, RecursionError) as error:
        what = f"{ORIGIN} was not written by this version of augkit ({str(error).splitlines()[0]})"
        raise InputError(Problem(str(folder), what)) from None
    return found


def _is_recipe(folder: Path, name: Path) -> bool:
    if name.is_absolute() or ".." in name.parts or name.suffix != ".yaml":
        return False
    try:
        return (folder / name).is_file()
    except OSError:  # the name is too long to be one
        return False


def _roles(arm: Arm) -> Iterator[tuple[str, Stage]]:
    """Yield what part each stage has in an arm, in the order in which they are built."""
    for stage in in_order((arm.dataset, arm.training)):
        names = {HoldOutDevelopment: "development images", TakeFold: "fold", TakeShare: "training share"}
        yield names.get(type(stage.task), "data set"), stage
    for i, (synthesis, selected) in enumerate(zip(arm.syntheses, arm.selected, strict=True), 1):
        yield f"generator {i}", synthesis.inputs["generator"]
        yield f"masks {i}", synthesis.inputs["masks"]
        yield f"synthesis {i}", synthesis
        if selected is not synthesis:
            yield f"selection {i}", selected
    yield "segmenter", arm.segmenter
    yield "evaluation", arm.evaluation
    for name, scores in arm.external.items():
        pooled = scores.inputs["dataset"]
        yield f"external set {name}", pooled.inputs["external"]
        yield f"external set {name} without copies", pooled
        yield f"evaluation on {name}", scores


def _made(stage: Stage, environment: Mapping[str, Any], content: str) -> Made:
    identity = stage.identity
    parts = tuple(Part(**facts) for facts in identity["components"])
    facts = {name: value for name, value in identity.items() if name not in _COMMON}
    return Made(stage.title, identity["code"], parts, facts, dict(environment), content)


# What differs between two of them


KINDS = ("data", "recipe", "seeds", "code", "versions", "circumstances")


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    kind: one of `KINDS`; circumstances are device, precision, threads and the like.
    arms: the arms in which it does; () for all.
    """

    kind: str
    what: str
    arms: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}" + (f" (in {', '.join(self.arms)})" if self.arms else "")


def differences(first: Origin, second: Origin) -> tuple[Difference, ...]:
    """Return what differs between two origins and can be why scores do, by kind; values are first's and second's.

    Of reports without a common arm, data and circumstances are compared: their recipes differ by design.
    """
    found: dict[tuple[str, str], dict[str, None]] = {}
    ours, theirs = first.runs(), second.runs()
    seeds, other_seeds = _seeds(ours), _seeds(theirs)
    names = [name for name in seeds if name in other_seeds]
    for name in names:
        if seeds[name] != other_seeds[name]:
            found.setdefault(("seeds", f"{_listed(seeds[name])} → {_listed(other_seeds[name])}"), {})[name] = None
    for name, mine, other, alike in _pairs(ours, theirs, names):
        for difference in _between(mine, other, alike, bool(name), first.files or {}, second.files or {}):
            found.setdefault(difference, {})[name] = None
    every = set(names) or {""}
    listed = [Difference(*key, () if set(arms) >= every else tuple(arms)) for key, arms in found.items()]
    return tuple(sorted(listed, key=lambda one: KINDS.index(one.kind)))


_Runs = Mapping[Run, Mapping[str, Made]]


def _seeds(runs: _Runs) -> dict[str, list[int]]:
    seeds: dict[str, dict[int, None]] = {}
    for arm, seed, _ in runs:
        seeds.setdefault(arm, {})[seed] = None
    return {arm: list(found) for arm, found in seeds.items()}


def _folds(runs: _Runs, name: str, seed: int) -> dict[int | None, Mapping[str, Made]]:
    """Return the folds of an arm with a seed, and the stages of each; None for no folds."""
    return {fold: stages for (arm, of, fold), stages in runs.items() if (arm, of) == (name, seed)}


def _pairs(
    ours: _Runs, theirs: _Runs, names: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Made], Mapping[str, Made], bool]]:
    """Yield (arm, its stages in both, whether with one seed); the arm is '' where there is no common one.

    Stages are of one fold, and of the first ones where the folds differ.
    """
    for name in names:
        seeds, other_seeds = _seeds(ours)[name], _seeds(theirs)[name]
        common = [seed for seed in seeds if seed in other_seeds]
        for seed, other_seed in [(seed, seed) for seed in common] or [(seeds[0], other_seeds[0])]:
            mine, other = _folds(ours, name, seed), _folds(theirs, name, other_seed)
            shared_folds = [fold for fold in mine if fold in other]
            for fold, other_fold in [(fold, fold) for fold in shared_folds] or [(next(iter(mine)), next(iter(other)))]:
                yield name, mine[fold], other[other_fold], bool(common) and fold == other_fold
    if not names and ours and theirs:
        shared = ("data set", "development images", "fold", "segmenter", "evaluation")
        first, second = (
            {role: stage for role, stage in next(iter(runs.values())).items() if role in shared}
            for runs in (ours, theirs)
        )
        yield "", first, second, False


def first_divergence(first: Origin, second: Origin) -> str:
    """Return the earliest stages whose results differ, in words; '' where none is known to."""
    found: dict[int, list[str]] = {}
    theirs = second.runs()
    for run, mine in first.runs().items():
        for place, (role, stage) in enumerate(mine.items()):
            other = theirs.get(run, {}).get(role)
            if other is not None and stage.content and other.content and stage.content != other.content:
                found.setdefault(0 if role == "data set" else place, []).append(stage.title)
                break
    return ", ".join(dict.fromkeys(found[min(found)])) if found else ""


def _between(
    first: Mapping[str, Made],
    second: Mapping[str, Made],
    same_seed: bool,
    same_arm: bool,
    files: Mapping[str, Files],
    others: Mapping[str, Files],
) -> Iterator[tuple[str, str]]:
    """Yield (kind, what) of everything that differs between two arms."""
    for role in dict.fromkeys((*first, *second)):
        mine, other = first.get(role), second.get(role)
        if mine is None or other is None:
            yield "recipe", f"{role}: {'none' if mine is None else 'one'} → {'none' if other is None else 'one'}"
            continue
        if mine.code != other.code:
            yield "code", f"what augkit does for the {role.rstrip(' 0123456789')}"
        names, other_names = ([part.name for part in one.components] for one in (mine, other))
        if names != other_names and same_arm:
            yield "recipe", f"{role}: {' '.join(names)} → {' '.join(other_names)}"
        for part, twin in zip(mine.components, other.components, strict=False):
            if part.name == twin.name and (same_arm or part is mine.components[0]):
                yield from _of_part(part, twin, files, others)
        for name in dict.fromkeys((*mine.facts, *other.facts)):
            a, b = mine.facts.get(name, "none"), other.facts.get(name, "none")
            if a != b and name == "exclude_copies" and "none" not in (a, b):
                yield "code", "how copies are found"
            elif a != b and (same_seed or name != "seed") and same_arm:
                yield "recipe", f"{role}: {name}" + ("" if name == "exclude_copies" else f" {_short(a)} → {_short(b)}")
        yield from _of_environment(mine.environment, other.environment, role.startswith(_READING))


def _of_part(
    part: Part, twin: Part, files: Mapping[str, Files], others: Mapping[str, Files]
) -> Iterator[tuple[str, str]]:
    if part.files != twin.files:
        yield "data", f"{part.name}: {_files_in_words(files.get(part.files), others.get(twin.files))}"
    for name in dict.fromkeys((*part.options, *twin.options)):
        a, b = part.options.get(name, "none"), twin.options.get(name, "none")
        if a != b:
            yield "recipe", f"{part.name}.{name} {_short(a)} → {_short(b)}"
    if part.provider != twin.provider:
        yield "versions", f"{part.name}: {part.provider} → {twin.provider}"
    if part.source != twin.source:
        yield "code", f"what {part.name} does"


def _of_environment(
    first: Mapping[str, str | int], second: Mapping[str, str | int], reads_only: bool
) -> Iterator[tuple[str, str]]:
    for name, value in first.items():
        other = second.get(name, value)
        if value != other and not (reads_only and name in _CIRCUMSTANCES):
            yield "circumstances" if name in _CIRCUMSTANCES else "versions", f"{name} {value} → {other}"


def _files_in_words(first: Files | None, second: Files | None) -> str:
    if not first or not second:
        return "other files"
    a, b = dict(first), dict(second)
    kinds = {
        "changed": [name for name in a if name in b and a[name] != b[name]],
        "missing": [name for name in a if name not in b],
        "new": [name for name in b if name not in a],
    }
    told = [f"{len(names)} {kind}, such as {names[0]}" for kind, names in kinds.items() if names]
    return f"of {len(a)} files {'; '.join(told)}" if told else "the same files in another order"


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _short(value: object) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 80 else text[:80] + "…"
