"""Watching a training: the same masks painted every few epochs, and a judgement at the end.

What is painted is a function of the step: rows are files, so an interrupted training leaves those it had and makes the
rest. Painting draws from keys of its own and changes neither networks nor optimisers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from augkit import Draws, Images, ImageSet, Log, Masks, Synthesizer, Workspace, sample_keys
from augkit.images import IGNORED, as_shown, encode_png, read_image
from augkit.store import read_json, write_bytes, write_json
from augkit.training import Learner
from augkit_mask2lesion.health import BEATEN_LOSS, BEATEN_STEPS, Health, judge

SHOWN = 8
"""Training masks that are painted."""

TILE = 128
"""Largest side of a picture in a row, in pixels."""

HEALTH = "health.json"
_ROWS = 10
_STEPS_PER_ROW = 20
"""A row costs up to half a step, and watching is to cost less than a twentieth of the training."""

_MARGIN = 56
_FRAME_MS = 600


def sampled_epochs(epochs: int, every: int | None, steps: int) -> tuple[int, ...]:
    """Return the epochs, 1-based and of `steps` steps, after which a row is painted; the last one always."""
    if every is None:
        every = max(math.ceil(epochs / _ROWS), math.ceil(_STEPS_PER_ROW / steps))
    return (*(range(every, epochs, every) if every else ()), epochs)


def shown_samples(samples: ImageSet) -> ImageSet:
    """Return up to `SHOWN` samples, evenly spaced."""
    return samples.take(np.linspace(0, len(samples) - 1, min(SHOWN, len(samples))).astype(np.int64))


class Watch:
    """Paints rows into ``samples/`` and makes of them ``progress.png``, ``progress.gif`` and ``health.json``."""

    def __init__(self, painter: Synthesizer, samples: ImageSet, space: Workspace) -> None:
        """`samples`: those to show, see `shown_samples`."""
        self._painter = painter
        self._samples = samples
        self._space = space
        self._draws = Draws.of(space.seed, "watch", sample_keys(samples.ids))

    def paint(self, name: str) -> None:
        """Write the row ``samples/<name>.png``: the masks as the generator paints them now, side by side."""
        painted = self._painter(np.asarray(self._samples.masks), self._draws)
        write_bytes(self._file(name), encode_png(_side_by_side(_tiles(as_shown(painted, self._samples.format)))))

    def conclude(self, names: Sequence[str], trial: Mapping[str, float | None]) -> Health:
        """Assemble the rows, judge them, the history and the trial, tell every finding.

        names: of the rows, oldest first. trial: see `augkit_mask2lesion.health.try_out`.
        """
        rows = {name: read_image(self._file(name)) for name in names if self._file(name).is_file()}
        format = self._samples.format
        masks = _mask_tiles(self._samples.labels, len(format.classes))
        real = _tiles(as_shown(np.asarray(self._samples.images), format))
        above = {"mask": _side_by_side(masks), "real": _side_by_side(real)}
        write_bytes(self._space.folder / "progress.png", encode_png(_sheet({**above, **rows})))
        frames = [_sheet({**above, name: row}) for name, row in rows.items()]
        write_bytes(self._space.folder / "progress.gif", encode_gif(frames))
        health = judge(self._history(), [_apart(row, len(real)) for row in rows.values()], real, trial)
        write_json(self._space.folder / HEALTH, vars(health))
        for sentence in health.sentences:
            self._space.log.note(sentence)
        return health

    def _file(self, name: str) -> Path:
        return self._space.folder / "samples" / f"{name}.png"

    def _history(self) -> list[Mapping[str, float]]:
        file = self._space.folder / "history.json"
        history: list[Mapping[str, float]] = read_json(file) if file.is_file() else []
        return history


class Alarm:
    """A log that says at once, not only at the end, that the discriminator seems to have won; it says it once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._began: int | None = None
        self._said = False

    def progress(self, step: int, total: int, values: Mapping[str, float]) -> None:
        """Pass the values on, and sound the alarm when the discriminator's loss has been low for long."""
        self._log.progress(step, total, values)
        if self._began is None or values["D"] >= BEATEN_LOSS:
            self._began = step
        if not self._said and step - self._began >= BEATEN_STEPS:
            self._said = True
            what = f"the discriminator's loss has been below {BEATEN_LOSS} for {BEATEN_STEPS} steps"
            self.note(f"step {step}: {what}; it seems to have won, and the images may stop improving")

    def note(self, text: str) -> None:
        """Pass the sentence on."""
        self._log.note(text)


class Watched:
    """A learner after some of whose steps a row is painted."""

    def __init__(self, learner: Learner, watch: Watch, rows: Mapping[int, str]) -> None:
        """`rows`: the number of steps done -> the row's name."""
        self.networks: Mapping[str, nn.Module] = learner.networks
        self.optimizers: Mapping[str, torch.optim.Optimizer] = learner.optimizers
        self._learner = learner
        self._watch = watch
        self._rows = rows

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Do the learner's step `number`."""
        values = self._learner.step(number)
        if number + 1 in self._rows:
            self._watch.paint(self._rows[number + 1])
        return values


def encode_gif(frames: Sequence[Images]) -> bytes:
    """Return an endless animation of uint8 (H, W, 3) frames of one size."""
    first, *others = (Image.fromarray(frame).quantize(256, Image.Quantize.FASTOCTREE) for frame in frames)
    buffer = BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=_FRAME_MS, loop=0)
    return buffer.getvalue()


def _tiles(images: Images) -> Images:
    """Return uint8 (M, h, w, 3): every n-th pixel, so that no side is above `TILE`."""
    step = math.ceil(max(images.shape[1:3]) / TILE)
    return images[:, ::step, ::step]


def _mask_tiles(labels: Masks, classes: int) -> Images:
    """Return the background black, the last class white, and the others between; what is ignored is black, too."""
    grey = np.zeros(256, np.uint8)
    grey[: classes + 1] = np.linspace(0, 255, classes + 1)
    grey[IGNORED] = 0
    return _tiles(np.repeat(grey[labels][..., None], 3, axis=3))


def _side_by_side(tiles: Images) -> Images:
    return np.concatenate(list(tiles), axis=1)


def _apart(row: Images, count: int) -> Images:
    """Return (M, h, w, 3) from one row: the inverse of `_side_by_side`."""
    return np.stack(np.split(row, count, axis=1))


def _sheet(rows: Mapping[str, Images]) -> Images:
    """Return the rows below each other, each with its name in the margin."""
    return np.concatenate([np.concatenate([_label(name, row.shape[0]), row], axis=1) for name, row in rows.items()])


def _label(name: str, height: int) -> Images:
    picture = Image.new("RGB", (_MARGIN, height), "white")
    text = name.removeprefix("epoch-").lstrip("0")
    ImageDraw.Draw(picture).text((_MARGIN - 4, height // 2), text, fill="black", anchor="rm")
    return np.asarray(picture)
