"""Pictures of what a recipe feeds the segmenter, before anything long runs, and the paper's Figure 3."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from augkit.contracts.components import Augment, Synthesizer
from augkit.contracts.manners import contained
from augkit.contracts.registry import Registry
from augkit.contracts.rules import check_images, contract, format_of, takes_of
from augkit.data.arrays import DrawnMasks, Images, ImageSet, Masks, Record
from augkit.data.draws import ArrayDraws, Draws
from augkit.data.formats import IGNORED, Format, as_shown
from augkit.data.stored import read_drawn_masks, read_format, read_image_set
from augkit.errors import AugkitError, InputError, Problem, said_by
from augkit.figures import Row, Tile, class_legend, gallery, mask_tile, outlined
from augkit.planning.components import CheckedRecipe
from augkit.planning.recipe import Recipe, Reference, Source
from augkit.planning.tasks import Stage, Supply, Synthesise
from augkit.running.engine import Engine
from augkit.store import whole_folder, write_bytes, write_text
from augkit.training.pipeline import Checked
from augkit.training.replay import Replay, replay

SHOWN = 8
"""Samples per panel."""

VARIANTS = 4
"""Epochs of classical variants shown under each real image."""


MOST_LETTERS = 14
"""Letters that fit under a picture."""


@dataclass(frozen=True)
class Panel:
    """One picture of a page: a title, one sentence, and a PNG; none where the sentence says why there is no picture."""

    stem: str
    title: str
    sentence: str
    png: bytes | None

    @property
    def url(self) -> str:
        """The picture as a data URL; empty for none."""
        return "" if self.png is None else f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def preview(supply: Supply, engine: Engine) -> list[Panel]:
    """Return the panels of one recipe: real pairs, what each source draws and paints, and classical variants.

    The data set and the masks are built if need be, and the run will use them; a generator is never trained here.
    """
    train = read_image_set(engine.artifact(supply.training) / "train")
    panels = [data_panel(train, supply.fold)]
    panels += [_source_panel(stage, f"source-{i}", train.format, engine) for i, stage in enumerate(supply.syntheses, 1)]
    if supply.augment:
        panels.append(augment_panel(train, supply.augment, supply.augment_seed))
    return panels


def figure_3_recipe(checked: CheckedRecipe, registry: Registry) -> tuple[Recipe, tuple[str, ...], tuple[str, ...]]:
    """Return the recipe with the mask sources of the paper's Figure 3 for its first generator, and their panels.

    Last come the sentences about panels that are left out, whose mask source does not take the data set's format.
    """
    recipe, format = checked.recipe, format_of(checked.dataset.instance)
    if not recipe.synthesize:
        what = "has no generator; allowed: a recipe with at least one source under 'synthesize'"
        raise InputError(Problem(recipe.file, what))
    rows: Any = yaml.safe_load(resources.files("augkit.running").joinpath("templates/figure3.yaml").read_text("utf-8"))
    generator = recipe.synthesize[0].generator
    sources, panels, left_out = [], [], []
    for row in rows:
        ((name, options),) = row["masks"].items()
        if takes_of(registry.entries["mask source", name].cls).refuses(format):
            left_out.append(f"left out: {row['panel']}; the mask source {name} does not take {format}")
            continue
        panels.append(row["panel"])
        masks = Reference(name, options, f"Figure 3 {row['panel']}", {})
        sources.append(Source(generator, masks, None, row["count"], recipe.file))
    return replace(recipe, synthesize=tuple(sources)), tuple(panels), tuple(dict.fromkeys(left_out))


def figure_3(supply: Supply, panels: Sequence[str], engine: Engine) -> tuple[list[Panel], list[str]]:
    """Return Figure 3 (a) to (e) for a trained generator; `panels` names the panel of each source.

    Besides, the sentences about panels whose mask source refuses the training masks: not all of them are one shape.
    """
    if not engine.has(supply.generators[0]):
        what = f"{supply.generators[0].title} is not trained yet"
        raise InputError(Problem(f"recipe '{supply.name}'", what, "Run 'augkit run' with the same recipe first"))
    format = read_format(engine.artifact(supply.training) / "train")
    found, left_out = [], []
    for title in dict.fromkeys(panels):
        syntheses = [stage for stage, panel in zip(supply.syntheses, panels, strict=True) if panel == title]
        try:
            drawn = [_drawn(stage, engine) for stage in syntheses]
        except InputError as error:
            left_out.append(f"left out: {title}; {error.problems[0]}")
            continue
        together = DrawnMasks(
            np.concatenate([one.masks for one in drawn]), tuple(record for one in drawn for record in one.records)
        )
        paint, seed = _painter(syntheses[0], format, engine)
        stem = f"figure3{title[1]}"
        found.append(masks_panel(stem, title, together, format, paint, seed, len(together.masks)))
    return found, left_out


def masks_panel(
    stem: str, title: str, drawn: DrawnMasks, format: Format, paint: Synthesizer | None, seed: int, most: int = SHOWN
) -> Panel:
    """Return drawn masks with what is recorded of each, and below them what `paint` makes of them."""
    masks, total = np.asarray(drawn.masks[:most]), len(drawn.masks)
    what = f"All {total} masks" if most >= total else f"The first {most} of {total} masks"
    images = None if paint is None else paint(masks, Draws.of(seed, "synthesis", np.arange(len(masks))))
    rows = []
    for begin in range(0, len(masks), SHOWN):
        part = slice(begin, begin + SHOWN)
        notes = [_note(record) for record in drawn.records[part]]
        rows.append(Row("masks", tuple(mask_tile(m, format, n) for m, n in zip(masks[part], notes, strict=False))))
        if images is not None:
            rows.append(Row("synthetic images", _outlined(images[part], masks[part], format)))
    after = "; 'augkit run' trains the generator" if paint is None else ", and what the trained generator paints"
    return Panel(stem, title, f"{what}{after}.", gallery(rows, legend=class_legend(format)))


def _source_panel(synthesis: Stage, stem: str, format: Format, engine: Engine) -> Panel:
    task = synthesis.makes
    assert isinstance(task, Synthesise)
    return masks_panel(stem, task.origin, _drawn(synthesis, engine), format, *_painter(synthesis, format, engine))


def _drawn(synthesis: Stage, engine: Engine) -> DrawnMasks:
    folder = engine.artifact(synthesis.inputs["masks"])
    return read_drawn_masks(folder)


def _painter(synthesis: Stage, format: Format, engine: Engine) -> tuple[Synthesizer | None, int]:
    """Return the trained generator of a synthesis, None where there is none, and the seed of its draws."""
    task, generator = synthesis.makes, synthesis.inputs["generator"]
    assert isinstance(task, Synthesise)
    if not engine.has(generator):
        return None, task.seed

    def paint(masks: Masks, draws: ArrayDraws) -> Images:
        with engine.asking(synthesis), contract("the generator"):
            painted = task.generator.open(engine.artifact(generator), engine.device)(masks, draws)
            return check_images(painted, masks.shape, format)

    return paint, task.seed


def augment_panel(train: ImageSet, augment: Sequence[tuple[str, Augment]], seed: int) -> Panel:
    """Return real training pairs and what the segmenter sees of them in the first epochs, with what was drawn.

    Where an augmentation fails, the sentence says which and how, and there is no picture.
    """
    some, title = train.take(range(min(SHOWN, len(train)))), "Classical variants of real pairs"
    rows = _variants(some, augment, seed)
    if isinstance(rows, BaseException):
        return Panel("augment", title, _failure(some, augment, seed, rows), None)
    after = ", ".join(name for name, _ in augment)
    sentence = f"The same pairs in the first epochs, after {after}; exactly what training will use, and what was drawn."
    return Panel("augment", title, sentence, gallery(rows, text=0.08, legend=class_legend(some.format)))


def _variants(some: ImageSet, augment: Sequence[tuple[str, Augment]], seed: int) -> list[Row] | BaseException:
    """Return the pairs and what becomes of them, or what was raised; augmentations are held to their contract."""
    rows = [_real_row(some)]
    try:
        with contained():
            replay([(name, Checked(name, one)) for name, one in augment], some, seed, 0)
            for epoch in range(VARIANTS):
                drawn = replay(augment, some, seed, epoch)
                notes = ["\n".join(_drawn_lines([name for name, _ in augment], one)) for one in drawn.parameters]
                tiles = zip(_outlined(drawn.images, _cut(drawn, some.format), some.format), notes, strict=True)
                rows.append(Row(f"epoch {epoch}", tuple(replace(tile, note=note) for tile, note in tiles)))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit included
        return error
    return rows


def _failure(some: ImageSet, augment: Sequence[tuple[str, Augment]], seed: int, error: BaseException) -> str:
    """Return in one sentence which augmentation failed and how: the first one without which all goes well."""
    name, failed = augment[-1]
    for count in range(1, len(augment)):
        if isinstance(again := _variants(some, augment[:count], seed), BaseException):
            (name, failed), error = augment[count - 1], again
            break
    package = getattr(failed, "__module__", type(failed).__module__).partition(".")[0]
    how = "it broke its " if isinstance(error, AugkitError) else f"{type(error).__name__}: "
    return f"No picture: augmentation '{name}' of {package} failed: {how}{said_by(error)}"


def _cut(again: Replay, format: Format) -> Masks:
    """Return the masks of replayed samples as masks of their format."""
    if format.binary:
        return again.masks > 0.5
    shares = again.masks[:, None] if again.masks.ndim == 3 else again.masks
    labels = np.where(shares.max(axis=1) > 0.5, shares.argmax(axis=1) + 1, 0).astype(np.uint8)
    if format.ignore and again.counts is not None:
        labels[again.counts < 0.5] = IGNORED
    return labels


def _drawn_lines(names: Sequence[str], parameters: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line per value that was drawn, below the name of its augmentation where there are several.

    What changes nothing (false, 0, a factor of 1) is left out, and so is that something was applied at all.
    """
    lines: list[str] = []
    for name, drawn in zip(names, parameters, strict=True):
        found = [
            key if value is True else f"{key} {value:.3g}"
            for key, value in drawn.items()
            if key != "applied" and (value is True or value not in (0, 1))
        ]
        lines += [f"{name}:", *found] if found and len(names) > 1 else found
    return lines


def data_panel(train: ImageSet, fold: int | None = None) -> Panel:
    """Return some real training pairs; `fold`: the one that all of the page is about."""
    some = train.take(range(min(SHOWN, len(train))))
    what = "" if train.format == Format() else f"; {train.format}"
    of = "" if fold is None else f", when fold {fold} is tested, as all of this page"
    sentence = f"{len(train)} training images of {some.size[0]}×{some.size[1]} pixels{what}; the first ones{of}."
    return Panel("data", "Real training pairs", sentence, gallery([_real_row(some)], legend=class_legend(some.format)))


def write_page(title: str, panels: Sequence[Panel], folder: Path) -> None:
    """Write one PNG per panel and ``index.html``, which holds them all and opens offline."""
    environment = Environment(loader=PackageLoader("augkit.running"), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("preview.html.j2").render(title=title, panels=panels)
    with whole_folder(folder) as draft:
        for panel in panels:
            if panel.png is not None:
                write_bytes(draft / f"{panel.stem}.png", panel.png)
        write_text(draft / "index.html", page)


def _real_row(samples: ImageSet) -> Row:
    return Row("real", _outlined(samples.images, samples.masks, samples.format))


def _outlined(images: Images, masks: Masks, format: Format) -> tuple[Tile, ...]:
    shown = as_shown(images, format)
    return tuple(outlined(image, mask, format) for image, mask in zip(shown, masks, strict=True))


def _note(record: Record) -> str:
    """Return the first words of what is recorded of a mask, short enough to stand under its picture."""
    telling = sorted(record.items(), key=lambda item: item[0] == "parent")
    words = [word for key, value in telling if (word := _word(key, value))]
    two = ", ".join(words[:2])
    return two if len(two) <= MOST_LETTERS else words[0]


def _word(key: str, value: object) -> str:
    if isinstance(value, bool):
        return key if value else ""
    if isinstance(value, (int, float)):
        return f"{key} {value:.3g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        some = [f"{one:+.2f}" for one in value if one] or ["0"]
        return f"{key} {' '.join(some)}" if len(some) <= 2 else ""
    return str(value)
