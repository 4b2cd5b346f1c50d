"""The parts of a recipe, to play with: its training images, generators, mask sources and segmenter.

Nothing is trained for that unless it is asked for; what a run has trained is found and opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import Frame, HasWeights, MaskSource, Segmenter, SilentLog, Workspace
from augkit.contracts.registry import Registry, load_registry
from augkit.contracts.rules import check_array, check_labels, check_masks, check_scores, contract, refusal_of
from augkit.data.arrays import DrawnMasks, Images, ImageSet, Masks
from augkit.data.draws import Draws, derive_seed
from augkit.data.formats import Format, as_shown, decided
from augkit.data.resizing import shrink_images
from augkit.data.stored import read_image_set
from augkit.errors import InputError
from augkit.face.painting import Painter, component_of, generator
from augkit.planning.alone import build_with
from augkit.planning.components import CheckedRecipe, Component, used_sources
from augkit.planning.tasks import DrawMasks, Stage, Supply, Synthesise, TrainSegmenter
from augkit.running.session import Session
from augkit.store import MANIFEST, read_json

_SIDE = 16
"""Pixels at which images are compared."""


@dataclass(frozen=True)
class GeneratorPart:
    """A generator, trained or not.

    name, options: as a recipe has them.
    seed:    of the draws of its synthetic images: image number n of a run is drawn from this seed and n.
    folder:  of the trained one; None where there is none yet.
    """

    name: str
    options: Mapping[str, Any]
    seed: int
    folder: Path | None

    def open(self, device: str = "auto") -> Painter:
        """Return the trained generator; its bytes are verified. Raises `InputError`."""
        assert self.folder is not None, "it is not trained"
        return generator(self.folder, device)


@dataclass(frozen=True)
class MaskPart:
    """A mask source.

    seed:   of its draws: mask number n of a run is drawn from this seed and n.
    masks:  training masks (N, H, W) of the format, from which it draws.
    """

    name: str
    options: Mapping[str, Any]
    seed: int
    source: MaskSource
    masks: Masks
    format: Format

    @property
    def has_weights(self) -> bool:
        """Whether masks can be shaped by weights."""
        return isinstance(self.source, HasWeights)

    def draw(self, number: int, folder: Path) -> Masks:
        """Return one mask (H, W), drawn alone; a source that learns keeps its model in `folder`."""
        draws = Draws.of(self.seed, "masks", np.array([number], dtype=np.int64))
        with contract(f"mask source '{self.name}'"):
            drawn: DrawnMasks = self.source.draw(self.masks, 1, draws, self._space(folder))
            check_masks(drawn, 1, self.masks.shape, self.format)
        return np.asarray(drawn.masks[0])

    def weights(self, folder: Path) -> tuple[str, ...]:
        """Return what each weight of the source changes; nothing for a source without weights."""
        if not isinstance(self.source, HasWeights):
            return ()
        return tuple(str(name) for name in self.source.weights(self.masks, self._space(folder)))

    def shaped(self, weights: Sequence[float], folder: Path) -> Masks:
        """Return the mask (H, W) that a source with weights shapes by them."""
        assert isinstance(self.source, HasWeights), "it has no weights"
        with contract(f"mask source '{self.name}'"):
            mask = np.asarray(self.source.shaped(self.masks, weights, self._space(folder)))
            check_array(mask, "mask ", "bool" if self.format.binary else "uint8", self.masks.shape[1:])
            check_labels(mask[None], self.format)
        return mask

    def _space(self, folder: Path) -> Workspace:
        folder.mkdir(parents=True, exist_ok=True)
        return Workspace(folder, self.seed, "cpu", SilentLog())


@dataclass(frozen=True)
class SegmenterPart:
    """A trained segmenter. real_only: whether it learned from real images alone, without augmentation."""

    name: str
    segmenter: Segmenter
    folder: Path
    real_only: bool
    format: Format

    def open(self, device: str = "auto") -> Callable[[Images], Masks]:
        """Return a function that finds masks (N, H, W) in images (N, H, W, C) of the format."""
        from augkit.training.precision import choose_device, reproducible

        predict = self.segmenter.open(self.folder, choose_device(device))
        classes = len(self.format.classes)

        def find(images: Images) -> Masks:
            with contract(f"segmenter '{self.name}'"), reproducible():
                scores = check_scores(predict(images), images.shape, classes)
            return np.stack([decided(one, self.format) for one in scores])

        return find


@dataclass(frozen=True)
class Parts:
    """What a recipe with a seed is made of.

    name:       of the recipe.
    train:      its training images.
    generators: each once, in the recipe's order.
    masks:      its mask sources, each once, then the others that are installed and take its masks without an option.
    segmenter:  the trained one that judges images best; None where none is trained.
    compared:   whether the recipe names a segmenter, so that ``augkit run`` takes it.
    """

    name: str
    seed: int
    train: ImageSet
    generators: tuple[GeneratorPart, ...]
    masks: tuple[MaskPart, ...]
    segmenter: SegmenterPart | None = None
    compared: bool = field(default=True)

    def nearest(self, picture: NDArray[np.uint8]) -> tuple[int, float]:
        """Return the place of the training image that a picture, uint8 (H, W, 3), is nearest to, and how near.

        That is the root mean square difference of colours at 16 x 16 pixels, 0..255, in any of eight turns and mirrors.
        """
        from augkit.quality.memorisation import nearest_in_pixels

        found = nearest_in_pixels(picture[None], self._shrunk)
        return int(found.index[0]), float(found.distance[0])

    @cached_property
    def _shrunk(self) -> NDArray[np.uint8]:
        return shrink_images(as_shown(np.asarray(self.train.images), self.train.format), _SIDE)


def parts_of(checked: CheckedRecipe, session: Session, seed: int | None, train: bool, registry: Registry) -> Parts:
    """Return the parts of a recipe; its data set is read if need be, and with `train` its generators are trained."""
    supply = session.plan_supply(checked, seed)
    session.build([supply.training, *(supply.generators if train else ())])
    real = read_image_set(session.engine.artifact(supply.training) / "train")
    own = {_key(part): part for part in _own_masks(checked, supply, real)}
    others = other_masks({name for name, _ in own}, supply.seed, np.asarray(real.masks), real.format, registry)
    return Parts(
        supply.name,
        supply.seed,
        real,
        tuple({_key(part): part for part in _generators(checked, supply, session)}.values()),
        (*own.values(), *others),
        _judge(checked, supply.seed, session, real.format),
        checked.segmenter is not None,
    )


def part_of_folder(folder: Path, seed: int = 0) -> tuple[GeneratorPart, ImageSet | None]:
    """Return the generator in a folder, and its training images where the store around it has them.

    folder: such as ``runs/generator/mask2lesion-0f3a9c2d41be``, or what ``augkit generator import`` made.
    seed:   of a recipe; the images are those of a recipe with this seed. Raises `InputError`.
    """
    generator(folder, "cpu")  # whatever is wrong with it is told now
    manifest = read_json(folder / MANIFEST)
    name, options = component_of(manifest, folder)
    if "identity" not in manifest:
        options = {"weights": str(folder)}
    part = GeneratorPart(name, options, derive_seed(seed, "synthesis", "0"), folder)
    inputs = manifest.get("identity", {}).get("inputs", [])
    found = [
        place for print_ in inputs[:1] for place in folder.absolute().parents[1].glob(f"dataset/*-{print_[:12]}/train")
    ]
    return part, read_image_set(found[0]) if found else None


def other_masks(
    without: set[str], seed: int, masks: Masks, format: Format, registry: Registry | None = None
) -> tuple[MaskPart, ...]:
    """Return the installed mask sources that need no option and take masks (N, H, W) of a format."""
    registry = registry or load_registry()
    found = []
    for name in registry.names("mask source"):
        try:
            source = build_with(registry.entries["mask source", name], {}, name)
        except InputError:
            continue
        if name not in without and not refusal_of(source, Frame(*masks.shape[1:]), format):
            found.append(MaskPart(name, {}, derive_seed(seed, "masks", "0"), source, masks, format))
    return tuple(found)


def _key(part: GeneratorPart | MaskPart) -> tuple[str, str]:
    return part.name, repr(part.options)


def _own_masks(checked: CheckedRecipe, supply: Supply, real: ImageSet) -> list[MaskPart]:
    parts = []
    for written, stage in zip(_written(checked), supply.syntheses, strict=True):
        task = stage.inputs["masks"].makes
        assert isinstance(task, DrawMasks)
        ((name, options),) = written["masks"].items()
        parts.append(MaskPart(name, options or {}, task.seed, task.masks, np.asarray(real.masks), real.format))
    return parts


def _generators(checked: CheckedRecipe, supply: Supply, session: Session) -> list[GeneratorPart]:
    parts = []
    for written, stage in zip(_written(checked), supply.syntheses, strict=True):
        task = stage.makes
        assert isinstance(task, Synthesise)
        trained = stage.inputs["generator"]
        folder = session.store.path(trained.address) if session.engine.has(trained) else None
        ((name, options),) = written["generator"].items()
        parts.append(GeneratorPart(name, options or {}, task.seed, folder))
    return parts


def _written(checked: CheckedRecipe) -> list[Any]:
    """Return the sources that make images as the recipe has them."""
    document: Any = checked.recipe.document.get("synthesize") or []
    return [one for one, source in zip(document, checked.sources, strict=True) if source in used_sources(checked)]


def _judge(checked: CheckedRecipe, seed: int, session: Session, format: Format) -> SegmenterPart | None:
    """Return the trained segmenter of real images alone, else that of the recipe, else none."""
    component: Component | None = checked.segmenter
    if component is None:
        return None
    candidates: list[tuple[Stage, bool]] = []
    if used_sources(checked):
        qualities = session.plan_quality([checked], [seed])
        candidates += [(stage.inputs["segmenter"], True) for stage in qualities[:1]]
    candidates += [(arm.segmenter, _is_plain(arm.segmenter)) for arm in session.plan([checked], [seed]).arms]
    for stage, real_only in candidates:
        if session.engine.has(stage):
            folder = session.engine.artifact(stage)
            return SegmenterPart(component.name, component.instance, folder, real_only, format)
    return None


def _is_plain(stage: Stage) -> bool:
    task = stage.task
    assert isinstance(task, TrainSegmenter)
    return len(stage.inputs) == 1 and not task.augment
