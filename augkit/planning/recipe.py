"""A document -> Recipe: the structure of a recipe, with the place of every part; knows no plugin.

A recipe with mistakes in its structure still gives those of its `Part`s that are whole, so that their options are
checked in the same pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from augkit.contracts.components import NATIVE_SIZE, PER_GROUP, PER_IMAGE, TRAINING_SIZE
from augkit.data.folds import ALL, DEVELOPMENT
from augkit.errors import InputError, Problem, did_you_mean
from augkit.planning.divisions import BATCH, FEWEST_FOLDS, FOLD_KEYS, MOST_FOLDS, MOST_SHARDS, SHARD, Folds
from augkit.planning.document import (
    Document,
    Steps,
    Unreadable,
    Value,
    apply_override,
    hint_for,
    parse_overrides,
    read_document,
    unused_override,
)
from augkit.planning.sweep import SweepPoint, expand_sweep


@dataclass(frozen=True)
class Reference:
    """A component named in a recipe: ``name: {options}``, and where each option stands."""

    name: str
    options: Mapping[str, Value]
    where: str
    places: Mapping[Steps, str]

    def place(self, path: Steps) -> str:
        """Return ``file:line`` of an option, or of the nearest thing around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.where)


@dataclass(frozen=True)
class Source:
    """One entry of `synthesize`: a generator, where its masks come from, and how many images.

    shuffled: every image gets the mask of another one, as a control.
    min_adherence: images in which a segmenter finds less of the mask than this Dice are left out; 0 keeps all.
    shard: images of a set of `count` that are made at a time, where there are more; changes nothing in them.
    """

    generator: Reference
    masks: Reference
    per_real: float | None
    count: int | None
    where: str
    shuffled: bool = False
    min_adherence: float = 0.0
    shard: int = SHARD


@dataclass(frozen=True)
class Written:
    """A recipe as somebody wrote it: the text of its file, and the changes that ``--set`` made to it."""

    text: str = ""
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A recipe as written; components are names and options, not yet checked against plugins.

    segmenter:         None for a recipe that only makes images; runs and comparisons need one.
    training_share:    of the training groups; generators and segmenter alike see only these.
    real_images:       whether the segmenter trains on real images; generators always do.
    sweep:             where the recipe stands on a curve, if it came from a sweep.
    development_share: of the training groups, to score on in place of the test images; 0 scores on these.
    score_at:          `TRAINING_SIZE`, or `NATIVE_SIZE`, which needs a data set that has native masks.
    score_per:         `PER_IMAGE` or `PER_GROUP`.
    written:           what `document` came from.
    folds:             in which every sample is tested once; None for the data set's own test split.
    external:          name -> a data set that nothing is trained or chosen on, to score the same segmenters on.
    """

    file: str
    name: str
    seed: int
    dataset: Reference
    synthesize: tuple[Source, ...]
    augment: tuple[Reference, ...]
    segmenter: Reference | None
    document: Mapping[str, Value]
    training_share: float = 1.0
    real_images: bool = True
    sweep: SweepPoint | None = None
    exclude_copies: bool = False
    development_share: float = 0.0
    score_at: str = TRAINING_SIZE
    score_per: str = PER_IMAGE
    written: Written = Written()
    folds: Folds | None = None
    external: Mapping[str, Reference] = field(default_factory=dict)


Part = tuple[str, Reference]
"""A component's kind, as in `augkit.contracts.kinds.KINDS`, and what the recipe says about it."""


@dataclass(frozen=True)
class Reading:
    """What could be made of some recipe files.

    recipes:  the recipes whose structure is right.
    parts:    the components named in the others.
    problems: everything that is wrong so far; options are not checked yet.
    """

    recipes: tuple[Recipe, ...]
    parts: tuple[Part, ...]
    problems: tuple[Problem, ...]


def load_recipes(files: Sequence[Path], overrides: Sequence[str] = ()) -> tuple[Recipe, ...]:
    """Read recipes and apply overrides. Raises `InputError` with the problems of all files at once."""
    reading = read_recipes(files, overrides)
    if reading.problems:
        raise InputError(*reading.problems)
    return reading.recipes


def read_recipes(files: Sequence[Path], overrides: Sequence[str] = ()) -> Reading:
    """Read recipes and apply overrides; raises nothing, so that what is whole can be checked further.

    An override applies to every recipe that has the thing it changes; one that applies to none is a problem.
    """
    problems: list[Problem] = []
    changes = parse_overrides(overrides, problems)
    documents = [document for file in files if (document := read_document(file, problems)) is not None]
    for change in changes:
        applied = [apply_override(document, change) for document in documents]
        # A file that could not be read may be the one that the override is for.
        if not any(applied) and len(documents) == len(files):
            problems.append(unused_override(documents, change))
    expanded = [point for document in documents for point in expand_sweep(document, problems)]
    drafts = [_Draft(document, sweep, problems, tuple(overrides)) for document, sweep in expanded]
    recipes = [draft.read() for draft in drafts]
    _refuse_equal_names(drafts)
    parts = [part for draft, recipe in zip(drafts, recipes, strict=True) if recipe is None for part in draft.parts]
    whole = tuple(recipe for recipe in recipes if recipe is not None)
    return Reading(whole, tuple(parts), tuple(dict.fromkeys(problems)))


def recipe_of(root: Value, file: str) -> Recipe:
    """Return the recipe of a tree of plain values, such as `Recipe.document`; `file` names it in messages."""
    problems: list[Problem] = []
    recipe = _Draft(Document(file, root, {}), None, problems).read()
    if recipe is None:
        raise InputError(*problems)
    return recipe


RECIPE_KEYS = (
    "name",
    "seed",
    "dataset",
    "external",
    "exclude_copies",
    "development_share",
    "folds",
    "training_share",
    "score_at",
    "score_per",
    "real_images",
    "synthesize",
    "augment",
    "segmenter",
    "sweep",
)
SOURCE_KEYS = ("generator", "masks", "per_real", "count", "shard", "pair", "min_adherence")
_COMPONENT = "one component as 'name: {options}'"
_NAMES = "up to 64 letters, digits, '_', '.', '-', beginning with a letter or digit"


class _Draft:
    """Reads the structure of one document, adding to `problems` and collecting the components that are whole."""

    def __init__(
        self, document: Document, sweep: SweepPoint | None, problems: list[Problem], changes: tuple[str, ...] = ()
    ) -> None:
        self.document = document
        self.changes = changes
        self.sweep = sweep
        self.problems = problems
        self.parts: list[Part] = []
        self.name = ""

    def read(self) -> Recipe | None:
        before = len(self.problems)
        root = self.document.root
        if not isinstance(root, dict):
            self._refuse((), root, f"a mapping with {', '.join(RECIPE_KEYS)}")
            return None
        self._refuse_unknown(root, RECIPE_KEYS, ())
        self.name = self._name(root)
        seed = self._seed(root)
        dataset = self._required("dataset", "dataset", root, ())
        external = self._external(root)
        exclude_copies = self._flag("exclude_copies", root, False)
        share, real_images = self._share(root), self._flag("real_images", root, True)
        development_share = self._development_share(root)
        folds = self._folds(root)
        score_at = self._one_of("score_at", root, (TRAINING_SIZE, NATIVE_SIZE))
        score_per = self._one_of("score_per", root, (PER_IMAGE, PER_GROUP))
        synthesize = [self._source(i, item) for i, item in enumerate(self._list("synthesize", root))]
        augment = [
            self._reference("augmentation", ("augment", i), item) for i, item in enumerate(self._list("augment", root))
        ]
        segmenter = self._required("segmenter", "segmenter", root, ()) if "segmenter" in root else None
        if not real_images and not any(source is None or source.per_real != 0 for source in synthesize):
            what = "real_images is false and nothing is synthesized; allowed: true, or a synthetic source"
            self.complain(("real_images",), what)
        if development_share and "folds" in root:
            what = "found with 'folds', which have development images of their own; allowed: one of the two"
            self.complain(("development_share",), what, f"As in 'folds: {{count: 5, of: {DEVELOPMENT}}}'")
        if "segmenter" not in root and any(source is not None and source.min_adherence for source in synthesize):
            what = "min_adherence needs a segmenter that judges the images, and the recipe names none"
            self.complain(("synthesize",), what, "Add 'segmenter: {name: {options}}', or leave min_adherence out")
        if len(self.problems) > before or dataset is None or (segmenter is None and "segmenter" in root):
            return None
        sources = tuple(source for source in synthesize if source is not None)
        steps = tuple(reference for reference in augment if reference is not None)
        if len(sources) < len(synthesize) or len(steps) < len(augment):
            return None
        return Recipe(
            self.document.file,
            self.name,
            seed,
            dataset,
            sources,
            steps,
            segmenter,
            root,
            share,
            real_images,
            self.sweep,
            exclude_copies,
            development_share,
            score_at,
            score_per,
            Written(self.document.text, self.changes),
            folds,
            external,
        )

    def complain(self, path: Steps, what: str, hint: str = "") -> None:
        self.problems.append(Problem(self.document.place(*path), what, hint))

    def _refuse(self, path: Steps, value: Value, allowed: str, hint: str = "") -> None:
        """Complain about a value, unless that was done when it was read."""
        if isinstance(value, Unreadable):
            return
        label = f"{path[-1]}: " if path and isinstance(path[-1], str) else ""
        self.complain(path, f"{label}found {_kind(value)}; allowed: {allowed}", hint)

    def _refuse_unknown(self, value: dict[str, Value], known: tuple[str, ...], path: Steps) -> None:
        for key in value:
            if key not in known:
                self.complain((*path, key), f"unknown key '{key}'", did_you_mean(key, known))

    def _name(self, root: dict[str, Value]) -> str:
        name = root.get("name")
        if is_name(name):
            return str(name)
        if "name" not in root:
            self.complain((), "'name' is missing", "As in 'name: allaug'")
        else:
            hint = f"Write name: '{name}'" if isinstance(name, (int, float, bool)) else "As in 'name: allaug'"
            if isinstance(name, str) and is_device(name):
                hint = "Windows keeps this name for a device"
            elif isinstance(name, str) and name.endswith("."):
                hint = "Windows takes the last '.' away"
            self._refuse(("name",), name, _NAMES, hint)
        return ""

    def _seed(self, root: dict[str, Value]) -> int:
        seed = root.get("seed", 0)
        if _is_whole(seed) and seed >= 0:
            return seed
        self._refuse(("seed",), seed, "a whole number, 0 or more", _number_hint(seed))
        return 0

    def _external(self, root: dict[str, Value]) -> Mapping[str, Reference]:
        sets = root.get("external", {})
        if not isinstance(sets, dict):
            as_in = "As in 'external: {other-clinic: {folder: {root: other_data}}}'"
            self._refuse(("external",), sets, "a mapping of names to data sets, '{}' for none", as_in)
            return {}
        found: dict[str, Reference] = {}
        spelt: dict[str, str] = {}
        for name, value in sets.items():
            path: Steps = ("external", name)
            if not is_name(name):
                self.complain(path, f"found the name '{name[:80]}' of an external set; allowed: {_NAMES}")
            elif (twin := spelt.setdefault(name.lower(), name)) != name:  # names are folders of a report
                self.complain(path, f"'{name}' and '{twin}' differ in capitals alone; allowed: names that are unlike")
            if (reference := self._reference("dataset", path, value)) is not None:
                found[name] = reference
        return found

    def _share(self, root: dict[str, Value]) -> float:
        share = root.get("training_share", 1)
        if _is_number(share) and 0 < share <= 1:
            return float(share)
        self._refuse(("training_share",), share, "0 < number <= 1", _number_hint(share))
        return 1.0

    def _development_share(self, root: dict[str, Value]) -> float:
        share = root.get("development_share", 0)
        if _is_number(share) and 0 <= share <= 0.5:
            return float(share)
        self._refuse(("development_share",), share, "0 for none, or 0 < number <= 0.5", _number_hint(share))
        return 0.0

    def _folds(self, root: dict[str, Value]) -> Folds | None:
        if "folds" not in root:
            return None
        said = root["folds"]
        parts: dict[str, Value] = said if isinstance(said, dict) else {"count": said}
        here: Steps = ("folds", "count") if isinstance(said, dict) else ("folds",)
        self._refuse_unknown(parts, FOLD_KEYS, ("folds",))
        count, of = parts.get("count"), parts.get("of", ALL)
        if of not in (ALL, DEVELOPMENT):
            self._refuse(("folds", "of"), of, f"{ALL}, or {DEVELOPMENT} to leave the test images alone")
        if "count" not in parts:
            self.complain(("folds",), "'count' is missing", "As in 'folds: {count: 5}'")
            return None
        if not _is_whole(count) or not FEWEST_FOLDS <= count <= MOST_FOLDS:
            allowed = f"a whole number {FEWEST_FOLDS} .. {MOST_FOLDS}, or {{count, of, only}}"
            self._refuse(here, count, allowed, _number_hint(count))
            return None
        only = parts.get("only", list(range(count)))
        chosen = [one for one in only if _is_whole(one) and 0 <= one < count] if isinstance(only, list) else []
        if not isinstance(only, list) or not chosen or len(set(chosen)) < len(only):
            self._refuse(("folds", "only"), only, f"a list of some of the folds 0 .. {count - 1}, each once")
            return None
        return Folds(count, tuple(sorted(chosen)), str(of))

    def _one_of(self, key: str, root: dict[str, Value], words: tuple[str, str]) -> str:
        """Return one of two words, the first where the recipe says nothing."""
        word = root.get(key, words[0])
        if word not in words:
            self._refuse((key,), word, " or ".join(words))
            return words[0]
        return str(word)

    def _flag(self, key: str, root: dict[str, Value], default: bool) -> bool:
        value = root.get(key, default)
        if not isinstance(value, bool):
            hint = hint_for(value, (bool,)) if isinstance(value, str) else ""
            self._refuse((key,), value, "true or false", hint)
            return default
        return value

    def _required(self, kind: str, key: str, value: dict[str, Value], path: Steps) -> Reference | None:
        if key in value:
            return self._reference(kind, (*path, key), value[key])
        self.complain(path, f"'{key}' is missing", f"Add '{key}: {{name: {{options}}}}'")
        return None

    def _list(self, key: str, root: dict[str, Value]) -> list[Value]:
        value = root.get(key, [])
        if isinstance(value, list):
            return value
        self._refuse((key,), value, "a list, '[]' for none")
        return []

    def _source(self, i: int, value: Value) -> Source | None:
        path: Steps = ("synthesize", i)
        if not isinstance(value, dict):
            self._refuse(path, value, f"a mapping with {', '.join(SOURCE_KEYS)}")
            return None
        self._refuse_unknown(value, SOURCE_KEYS, path)
        generator = self._required("generator", "generator", value, path)
        masks = self._required("mask source", "masks", value, path)
        per_real, count = self._amount(value, path)
        pair = value.get("pair", "own")
        if pair not in ("own", "shuffled"):
            self._refuse((*path, "pair"), pair, "own, or shuffled for a control")
        least = self._min_adherence(value, path, pair)
        shard = self._shard(value, count, path)
        if generator is None or masks is None:
            return None
        return Source(generator, masks, per_real, count, self.document.place(*path), pair == "shuffled", least, shard)

    def _min_adherence(self, source: dict[str, Value], path: Steps, pair: Value) -> float:
        least, here = source.get("min_adherence", 0), (*path, "min_adherence")
        if not (_is_number(least) and 0 <= least < 1):
            self._refuse(here, least, "0 <= number < 1, a Dice; 0 keeps every image", _number_hint(least))
            return 0.0
        if least and pair == "shuffled":
            self.complain(here, "shuffled masks fit no image; allowed: 'pair: own', or no 'min_adherence'")
        return float(least)

    def _shard(self, source: dict[str, Value], count: int | None, path: Steps) -> int:
        shard, here = source.get("shard", SHARD), (*path, "shard")
        if not (_is_whole(shard) and shard > 0 and shard % BATCH == 0):
            self._refuse(here, shard, f"a multiple of {BATCH}, the images that are painted together", "As in 8192")
            return SHARD
        if count is not None and count > shard * MOST_SHARDS:
            what = f"{count} images in shards of {shard} are {-(-count // shard)} shards; allowed: up to {MOST_SHARDS}"
            self.complain(here if "shard" in source else (*path, "count"), what, "Make shards larger, by 'shard'")
        return shard

    def _amount(self, source: dict[str, Value], path: Steps) -> tuple[float | None, int | None]:
        per_real, count = source.get("per_real"), source.get("count")
        if ("per_real" in source) == ("count" in source):
            found = "both 'per_real' and 'count'" if "count" in source else "neither 'per_real' nor 'count'"
            self.complain(path, f"found {found}; allowed: exactly one, as in 'per_real: 1.0' or 'count: 500'")
        elif "per_real" in source:
            if _is_number(per_real) and 0 <= per_real <= 1000:
                return float(per_real), None
            self._refuse(
                (*path, "per_real"), per_real, "0 <= number <= 1000, 0 to leave the source out", _number_hint(per_real)
            )
        elif _is_whole(count) and 0 < count <= 10**9:
            return None, count
        else:
            self._refuse((*path, "count"), count, "a whole number 1 .. 10^9", _number_hint(count))
        return None, None

    def _reference(self, kind: str, path: Steps, value: Value) -> Reference | None:
        if isinstance(value, str):
            self._refuse(path, value, _COMPONENT, f"Write '{value[:40]}: {{}}'")
            return None
        if isinstance(value, dict) and len(value) > 1:
            self.complain(path, f"found {len(value)} keys ({', '.join(list(value)[:5])}); allowed: {_COMPONENT}")
            return None
        if not isinstance(value, dict) or not value:
            self._refuse(path, value, _COMPONENT)
            return None
        ((name, options),) = value.items()
        inside = (*path, name)
        if not isinstance(options, dict):
            self._refuse(inside, options, "a mapping of options", f"Write '{name}: {{}}' for the defaults")
            return None
        places = self.document.places_below(inside, options)
        reference = Reference(name, options, self.document.place(*inside), places)
        self.parts.append((kind, reference))
        return reference


_DEVICES = frozenset(("CON", "PRN", "AUX", "NUL", *(f"{port}{i}" for port in ("COM", "LPT") for i in range(10))))
"""Names that no file has on Windows, whatever their ending (Microsoft, "Naming Files, Paths, and Namespaces")."""


def is_name(value: object) -> bool:
    """Tell whether a recipe, and so an arm, may be called this: it is safe in a path, a page and a terminal."""
    if not isinstance(value, str) or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value) is None:
        return False
    return not value.endswith(".") and not is_device(value)


def is_device(name: str) -> bool:
    """Tell whether Windows keeps this name, whatever its ending, for a device."""
    return name.partition(".")[0].upper() in _DEVICES


def _refuse_equal_names(drafts: Sequence[_Draft]) -> None:
    seen: dict[str, str] = {}
    for draft in drafts:
        if draft.name in seen:
            what = f"name '{draft.name}' is also that of {seen[draft.name]}; allowed: a different name per recipe"
            draft.complain(("name",), what)
        elif draft.name:
            seen[draft.name] = draft.document.file


def _is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Value) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _number_hint(value: Value) -> str:
    return hint_for(value, (int, float)) if isinstance(value, str) else ""


def _kind(value: Value) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, str):
        return f"the text '{value[:40]}'"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    return "a list" if isinstance(value, list) else "a mapping" if value else "an empty mapping"
