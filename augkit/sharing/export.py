"""Write a synthetic set for other programs: as images and masks, as nnU-Net's raw data, or as COCO.

Everything is written into a hidden folder beside the target and gets its name by one rename, so the target holds the
whole export or nothing. Equal artifacts and options give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from augkit.contracts.components import NATIVE_SIZE, TRAINING_SIZE, HasNativePairs
from augkit.contracts.rules import format_of
from augkit.data.draws import Draws
from augkit.data.folds import DEVELOPMENT
from augkit.data.formats import Format as PixelFormat
from augkit.data.stored import read_drawn_masks, read_image_set, read_quality, read_splits
from augkit.errors import InputError, Problem
from augkit.planning.components import CheckedRecipe
from augkit.planning.tasks import Stage, Synthesise
from augkit.report.verdict.scores import DEVELOPMENT_IMAGES, TEST_IMAGES
from augkit.running.engine import Engine
from augkit.running.session import Session
from augkit.sharing.card import data_card, manifest_csv
from augkit.sharing.files import Export, Format, ImageFormat, Progress, Sink, SyntheticSet
from augkit.sharing.layouts import LAYOUTS
from augkit.sharing.zips import is_plain
from augkit.store import (
    MANIFEST,
    check_place,
    draft_beside,
    find_damage,
    named_by,
    publish_whole,
    read_json,
    remove_folder,
    seal,
)

_ELSEWHERE = "Choose another folder, or move this one away"


def gather_export(recipe: CheckedRecipe, seed: int | None, session: Session, size: str = TRAINING_SIZE) -> Export:
    """Return what a recipe makes with a seed, or with its own, from artifacts that are built if need be.

    Of folds, what the generator of the first one makes; its test images are held out.

    size: of real images, `TRAINING_SIZE` or `NATIVE_SIZE`; the latter as `check_size` allows it.
    """
    seed = recipe.recipe.seed if seed is None else seed
    supply, qualities = session.plan_supply(recipe, seed), session.plan_quality([recipe], [seed])
    selections = supply.selected
    session.build([*selections, *qualities])
    engine = session.engine
    document = yaml.safe_dump({**recipe.recipe.document, "seed": seed}, sort_keys=False, allow_unicode=True)
    sources = tuple(_source(selected, quality, engine) for selected, quality in zip(selections, qualities, strict=True))
    real = read_splits(engine.artifact(qualities[0].inputs["dataset"]))
    folds = recipe.recipe.folds
    development = recipe.recipe.development_share or (folds and folds.of == DEVELOPMENT)
    held_out = DEVELOPMENT_IMAGES if development else TEST_IMAGES
    if folds is not None:
        held_out += f" of fold {supply.fold} of {folds.count}"
    native = recipe.dataset.instance if size == NATIVE_SIZE else None
    return Export(recipe.recipe.name, document, seed, sources, real, held_out, native)


def _source(selected: Stage, quality: Stage, engine: Engine) -> SyntheticSet:
    generator, synthesis = quality.inputs["generator"], quality.inputs["synthesis"]
    task = synthesis.makes
    assert isinstance(task, Synthesise)
    painted, samples = (read_image_set(engine.artifact(stage)) for stage in (synthesis, selected))
    places = _places(samples.ids, painted.ids)
    records = read_drawn_masks(engine.artifact(synthesis.inputs["masks"])).records
    judged = read_quality(engine.artifact(quality))
    rows = _places(samples.ids, judged.per_image["ids"])
    return SyntheticSet(
        samples=samples,
        painted=len(painted),
        records=records if len(samples) == len(painted) else [records[place] for place in places],
        keys=np.asarray(Draws.of(task.seed, "synthesis", np.asarray(places, np.int64)).keys),
        quality=judged.record,
        per_image={
            name: [None if row < 0 else values[row] for row in rows] for name, values in judged.per_image.items()
        },
        hashes={"generator": generator.address.fingerprint, "synthesis": selected.address.fingerprint},
        real_pixels=getattr(task.generator, "pixels", "painted") == "real",
    )


def _places(names: Sequence[str], among: Sequence[Any]) -> list[int]:
    """Return where each name stands among others; -1 where it does not."""
    place_of = {name: place for place, name in enumerate(among)}
    return [place_of.get(name, -1) for name in names]


def write_export(
    export: Export, target: Path, layout: Format, image_format: ImageFormat, progress: Progress = lambda done, of: None
) -> bool:
    """Write the export to `target`; returns False where the same export is there already.

    Raises `InputError` where `target` holds anything else, or where the layout does not allow the image format.
    """
    check_target(target, layout, image_format)
    _check_ids(export)
    pixels = export.real.train.format
    if image_format == "webp" and not pixels.rgb:
        what = f"found webp for {pixels}; allowed: png, with which other images than 8-bit RGB keep their numbers"
        raise InputError(Problem("--image-format", what))
    identity = _identity(export, layout, image_format)
    if _is_there(target, identity):
        return False
    work = draft_beside(target)
    with named_by("--to"):
        try:
            sink = Sink(work, progress)
            files, digests = LAYOUTS[layout](export, sink, image_format)
            if pixels != PixelFormat():
                sink.json("format.json", pixels.facts())
            sink.pieces("manifest.csv", manifest_csv(export, files, digests))
            sink.text("README.md", data_card(export, layout, image_format))
            seal(work, identity, sink.written)
            publish_whole(work, target)
        finally:
            remove_folder(work)
    return True


def _check_ids(export: Export) -> None:
    """Refuse ids of samples that augkit did not make, as a changed store may hold: they become names of files."""
    for source in export.sources:
        strange = [name for name in source.samples.ids if not is_plain(name)]
        if strange:
            what = f"has an image called {strange[0][:80]!r}; allowed: letters, digits, '_', '.', '-'"
            where = f"synthesis {source.hashes['synthesis'][:12]}"
            raise InputError(Problem(where, what, "augkit did not write this: remove its folder, and it is made again"))


def check_target(target: Path, layout: str, image_format: str) -> None:
    """Refuse early what `write_export` would refuse after an hour of training."""
    if layout == "nnunet" and image_format != "png":
        what = f"found {image_format}; allowed with --format nnunet: png, because nnU-Net reads no lossless WebP"
        raise InputError(Problem("--image-format", what))
    check_place(target, "--to")
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise InputError(Problem(f"--to {target}", "holds other files; allowed: a new or empty folder", _ELSEWHERE))


def check_size(size: str, layout: str, recipe: CheckedRecipe) -> None:
    """Refuse early a size of real images that the layout or the data set has not."""
    if size == NATIVE_SIZE and layout != "nnunet":
        what = f"found native; allowed with --format {layout}: training, because it holds synthetic images only"
        raise InputError(Problem("--size", what))
    if size == NATIVE_SIZE and not isinstance(recipe.dataset.instance, HasNativePairs):
        what = f"found native; allowed with the data set '{recipe.dataset.name}': training"
        raise InputError(Problem("--size", what, "It has no image files whose size real cases could have"))


def check_pixels(layout: str, recipe: CheckedRecipe) -> None:
    """Refuse early NIfTI files that cannot be written."""
    format = format_of(recipe.dataset.instance)
    if layout == "nnunet" and format.dtype != "uint8" and find_spec("nibabel") is None:
        what = f"found {format}, which is written as NIfTI by the package nibabel; it is not installed"
        raise InputError(Problem("--format", what, "Run: pip install 'augkit[nifti]'"))


def _identity(export: Export, layout: Format, image_format: ImageFormat) -> dict[str, Any]:
    hashes = [dict(source.hashes) for source in export.sources]
    options = {"layout": layout, "image_format": image_format, "name": export.name, "seed": export.seed}
    options["size"] = NATIVE_SIZE if export.native else TRAINING_SIZE
    return {"export": {**options, "recipe": export.recipe, "sources": hashes}}


def _is_there(target: Path, identity: Mapping[str, Any]) -> bool:
    """Tell whether the very export is there; raise where the target cannot take it."""
    if not (target / MANIFEST).is_file():
        return False
    try:
        sealed = read_json(target / MANIFEST).get("export")
    except (OSError, ValueError, AttributeError):
        sealed = None
    if sealed != identity["export"]:
        kind = "another export" if sealed else "other files"
        raise InputError(Problem(f"--to {target}", f"holds {kind}; allowed: a new or empty folder", _ELSEWHERE))
    damage = find_damage(target)
    if damage:
        what = f"holds this export, but it was changed: {', '.join(damage[:3])}"
        raise InputError(Problem(f"--to {target}", what, _ELSEWHERE))
    return True
