"""Pictures of what a recipe feeds the segmenter, before anything long runs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from augkit.contracts import Augment, DrawnMasks, Images, ImageSet, Masks, Record, Synthesizer
from augkit.draws import Draws, sample_keys
from augkit.engine import Engine
from augkit.figures import TRUTH, Row, Tile, gallery, mask_picture
from augkit.plan import Arm, Stage, Synthesise, TrainSegmenter
from augkit.stages import compose, read_image_set
from augkit.store import read_array, read_json, write_bytes, write_text

SHOWN = 8
"""Samples per panel."""

VARIANTS = 4
"""Epochs of classical variants shown under each real image."""


@dataclass(frozen=True)
class Panel:
    """One picture of a page: a title, one sentence, and a PNG."""

    stem: str
    title: str
    sentence: str
    png: bytes

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def preview(arm: Arm, engine: Engine) -> list[Panel]:
    """Return the panels of one arm: real pairs, what each source draws and paints, and classical variants.

    The data set and the masks are built if need be, and the run will use them; a generator is never trained here.
    """
    train = read_image_set(engine.artifact(arm.dataset) / "train")
    panels = [data_panel(train)]
    panels += [_source_panel(stage, f"source-{i}", engine) for i, stage in enumerate(arm.syntheses, 1)]
    task = arm.segmenter.task
    assert isinstance(task, TrainSegmenter)
    if task.augment:
        names = [name for name, _ in task.augment]
        panels.append(augment_panel(train, compose(task.augment), names, task.seed))
    return panels


def _source_panel(synthesis: Stage, stem: str, engine: Engine) -> Panel:
    _, generator, masks = synthesis.inputs
    task = synthesis.task
    assert isinstance(task, Synthesise)
    folder = engine.artifact(masks)
    drawn = DrawnMasks(read_array(folder / "masks.npy"), tuple(read_json(folder / "records.json")))
    paint = task.generator.open(engine.artifact(generator), engine.device) if engine.has(generator) else None
    return masks_panel(stem, task.origin, drawn, paint, task.seed)


def masks_panel(stem: str, title: str, drawn: DrawnMasks, paint: Synthesizer | None, seed: int) -> Panel:
    """Return drawn masks with what is recorded of each, and below them what `paint` makes of them."""
    masks = np.asarray(drawn.masks[:SHOWN])
    notes = [_note(record) for record in drawn.records[:SHOWN]]
    rows = [Row("masks", tuple(Tile(mask_picture(m), note=note) for m, note in zip(masks, notes, strict=True)))]
    sentence = f"The first of {len(drawn.masks)} masks. No generator is trained yet for them; 'augkit run' does that."
    if paint is not None:
        images = paint(masks, Draws.of(seed, "synthesis", np.arange(len(masks))))
        rows.append(Row("synthetic images", _outlined(images, masks)))
        sentence = f"The first of {len(drawn.masks)} masks, and what the trained generator paints for them."
    return Panel(stem, title, sentence, gallery(rows))


def augment_panel(train: ImageSet, augment: Augment, names: Sequence[str], seed: int) -> Panel:
    """Return real training pairs and what the segmenter sees of them in the first epochs."""
    import torch

    some = train.take(range(min(SHOWN, len(train))))
    images = torch.from_numpy(np.ascontiguousarray(some.images.transpose(0, 3, 1, 2))).float() / 255
    masks = torch.from_numpy(np.array(some.masks)[:, None]).float()
    rows = [Row("real", _outlined(some.images, some.masks))]
    for epoch in range(VARIANTS):
        draws = Draws.on_device(seed, "batch", torch.from_numpy(sample_keys(some.ids)), epoch)
        changed, moved = augment(images, masks, draws)
        pixels = (changed * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        rows.append(Row(f"epoch {epoch}", _outlined(pixels, moved[:, 0].numpy() > 0.5)))
    sentence = f"The same pairs in the first epochs, after {', '.join(names)}; exactly what training will use."
    return Panel("augment", "Classical variants of real pairs", sentence, gallery(rows))


def data_panel(train: ImageSet) -> Panel:
    """Return some real training pairs."""
    some = train.take(range(min(SHOWN, len(train))))
    sentence = f"{len(train)} training images of {some.size[0]}×{some.size[1]} pixels; the first ones."
    return Panel("data", "Real training pairs", sentence, gallery([Row("real", _outlined(some.images, some.masks))]))


def write_page(title: str, panels: Sequence[Panel], folder: Path) -> None:
    """Write one PNG per panel and ``index.html``, which holds them all and opens offline."""
    for panel in panels:
        write_bytes(folder / f"{panel.stem}.png", panel.png)
    environment = Environment(loader=PackageLoader("augkit"), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("preview.html.j2").render(title=title, panels=panels)
    write_text(folder / "index.html", page)


def _outlined(images: Images, masks: Masks) -> tuple[Tile, ...]:
    return tuple(Tile(image, ((mask, TRUTH),)) for image, mask in zip(images, masks, strict=True))


def _note(record: Record) -> str:
    """Return the first words of what is recorded of a mask, to stand under its picture."""
    words = [f"{key} {value:.3g}" for key, value in record.items() if isinstance(value, float)]
    words += [f"{key} {value}" for key, value in record.items() if isinstance(value, (str, int))]
    return ", ".join(words[:2])
