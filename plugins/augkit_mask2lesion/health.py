"""Whether a training went well, judged from its history, from what it painted of the same masks, and by a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from augkit import ArrayDraws, Draws, Format, Images, ImageSet, Synthesizer, sample_keys
from augkit.images import in_unit
from augkit.metrics import GRID_SHOWS, grid

LEAST_DIVERSITY = 0.05
LEAST_CONTRAST = 0.01
LEAST_CHANGE = 0.001
LEAST_OF_ONE_MASK = 0.25
LEAST_STYLE = 0.05
WON = 0.98
BEATEN_LOSS = 0.05
BEATEN_STEPS = 500
EARLY = 0.1

MASKS = 16
"""Training masks that are painted."""

KEYS = 4
"""Images of each."""

_REAL = 256

_LEAST_SPREAD = 2.0
"""Grey levels by which real images' mean colours have to spread before a generator is asked for varied images."""

_START = "To do: more epochs, or a smaller learning_rate."
_HOLD = "To do: a smaller discriminator_rate, or diffaugment."
_UPSAMPLE = "To do: upsample: nearest, as mask2lesion-spade has it."
_STYLE = "To do: the preset mask2lesion-spade, which has style codes."
_USE = "To do: more epochs, or a smaller lambda_kl."

State = Literal["ok", "weak", "collapsed"]
_ORDER: tuple[State, ...] = ("ok", "weak", "collapsed")


@dataclass(frozen=True)
class Health:
    """The judgement: the worst finding's state, one sentence per finding, and what they are based on.

    values: ``diversity``, how much images of different masks differ, relative to the real ones; ``contrast``, the
            spread of pixels within an image, 0..1; ``change``, the mean difference of the first row to the last, 0..1;
            ``d_right``, the share of patches judged rightly in the last quarter; ``d_low``, the most steps on end with
            a discriminator loss below 0.05; ``l1_first`` and ``l1_after``, the first logged L1 and its mean after a
            tenth of the steps; ``grid``, how much energy lies where upsampling leaves traces, about 1 in real images
            (`augkit.metrics.grid`); ``one_mask``, how far images of one mask are apart under different keys, and
            ``style``, how far a changed style code alone moves an image, both relative to how far real images are
            apart. None where there is nothing to measure, such as variety where real images have none.
    """

    state: State
    sentences: tuple[str, ...]
    values: Mapping[str, float | None]


def judge(
    history: Sequence[Mapping[str, float]], rows: Sequence[Images], real: Images, trial: Mapping[str, float | None]
) -> Health:
    """Return the health of a training.

    history: what the training loop logged, oldest first; may be empty for imported weights.
    rows:    uint8 (M, H, W, 3), pictures painted of the same M masks at several times, oldest first; one or more.
    real:    uint8 (M, H, W, 3), pictures of the real images of these masks.
    trial:   ``grid``, ``one_mask`` and ``style``, as `try_out` finds them.
    """
    values = {**_measure_rows(rows, real), **_measure_history(history), **trial}
    findings = [*_collapses(values, _contrast(real)), *_weaknesses(values), *_flaws(trial)]
    states: list[State] = ["ok", *(state for state, _ in findings)]
    return Health(max(states, key=_ORDER.index), tuple(sentence for _, sentence in findings), values)


def try_out(paint: Synthesizer, restyled: Synthesizer | None, samples: ImageSet, seed: int) -> dict[str, float | None]:
    """Return what painting some training masks under several keys shows; see `Health`.

    restyled: the same generator with other styles for the same draws; None where there are no style codes.
    """
    chosen = samples.take(_evenly(len(samples), MASKS))
    masks = np.repeat(np.asarray(chosen.masks), KEYS, axis=0)
    draws = _draws(chosen, seed)
    painted = _levels(paint(masks, draws), samples.format)
    real = _levels(np.asarray(samples.images[_evenly(len(samples), _REAL)]), samples.format)
    between = _apart(real[_evenly(len(real), MASKS * KEYS)][None])
    varied = real.mean((1, 2)).std(0).mean() >= _LEAST_SPREAD

    def share(within: float) -> float | None:
        return within / between if varied else None

    other = None if restyled is None else _levels(restyled(masks[::KEYS], draws[::KEYS]), samples.format)
    return {
        "grid": grid(painted, real),
        "one_mask": share(_apart(painted.reshape(len(chosen), KEYS, *painted.shape[1:]))),
        "style": None if other is None else share(_apart(np.stack([painted[::KEYS], other], axis=1))),
    }


def _levels(images: Images, format: Format) -> NDArray[Any]:
    """Return images (N, H, W, C) in 0..255, the windows of other numbers than bytes."""
    return images if format.bytes_to_unit else in_unit(images, format) * np.float32(255)


def _measure_rows(rows: Sequence[Images], real: Images) -> dict[str, float | None]:
    first, last = rows[0].astype(np.float64), rows[-1].astype(np.float64)
    varies = float(real.std(axis=0).mean())
    return {
        "diversity": float(last.std(axis=0).mean()) / varies if varies > 0 else None,
        "contrast": _contrast(rows[-1]),
        "change": float(np.abs(last - first).mean() / 255) if len(rows) > 1 else None,
    }


def _contrast(images: Images) -> float:
    return float(images.std(axis=(1, 2)).mean() / 255)


def _measure_history(history: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    end = history[-1]["step"] if history else 0
    late = [row["D right"] for row in history if row["step"] > 0.75 * end]
    after = [row["L1"] for row in history[1:] if row["step"] > EARLY * end]
    return {
        "d_right": _mean(late),
        "d_low": _longest_low(history),
        "l1_first": history[0]["L1"] if history else None,
        "l1_after": _mean(after),
    }


def _longest_low(history: Sequence[Mapping[str, float]]) -> float | None:
    longest = began = 0.0
    for row in history:
        began = began if row["D"] < BEATEN_LOSS else row["step"]
        longest = max(longest, row["step"] - began)
    return longest if history else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _collapses(values: Mapping[str, float | None], real_contrast: float) -> list[tuple[State, str]]:
    diversity, contrast, change = values["diversity"], values["contrast"], values["change"]
    found: list[tuple[State, str]] = []
    if contrast is not None and contrast < LEAST_CONTRAST <= real_contrast:
        what = f"the painted images are flat: their pixels spread over {contrast:.1%} of the range, those of the real"
        found.append(("collapsed", f"The generator has collapsed: {what} images over {real_contrast:.1%}. {_START}"))
    if diversity is not None and diversity < LEAST_DIVERSITY:
        what = "it paints nearly the same image for every mask, with"
        found.append(
            ("collapsed", f"The generator has collapsed: {what} {diversity:.1%} of the real images' variety. {_START}")
        )
    if change is not None and change < LEAST_CHANGE:
        what = f"what it paints changed by {change:.2%} of the range since the first sample"
        found.append(("collapsed", f"The generator has collapsed: it does not learn; {what}. {_START}"))
    return found


def _weaknesses(values: Mapping[str, float | None]) -> list[tuple[State, str]]:
    right, low, first, after = values["d_right"], values["d_low"], values["l1_first"], values["l1_after"]
    found: list[tuple[State, str]] = []
    if right is not None and right > WON:
        what = f"it judges {right:.1%} of the patches rightly in the last quarter, so the generator learns only from L1"
        found.append(("weak", f"The discriminator has won: {what}. {_HOLD}"))
    elif low is not None and low >= BEATEN_STEPS:
        what = f"its loss stayed below {BEATEN_LOSS} for {low:.0f} steps, so the generator learns little from it"
        found.append(("weak", f"The discriminator has won: {what}. {_HOLD}"))
    if first is not None and after is not None and after >= first:
        what = f"{after:.4f} on average after the first tenth of the steps, {first:.4f} at the start"
        found.append(("weak", f"The L1 distance to the real images did not fall: {what}. {_START}"))
    return found


def _flaws(trial: Mapping[str, float | None]) -> list[tuple[State, str]]:
    """Return what is wrong with the images of a generator that may have learnt well otherwise."""
    traces, one_mask, style = trial["grid"], trial["one_mask"], trial["style"]
    found: list[tuple[State, str]] = []
    if traces is not None and traces > GRID_SHOWS:
        what = f"they have {traces:.1f} times the energy of real ones at periods of 2, 4 or 8 pixels"
        found.append(("weak", f"The painted images show a grid: {what}. {_UPSAMPLE}"))
    if one_mask is not None and one_mask < LEAST_OF_ONE_MASK:
        what = f"under different keys they differ by {one_mask:.1%} of what real images differ by"
        found.append(("weak", f"The images of one mask are nearly the same: {what}. {_STYLE}"))
    if style is not None and style < LEAST_STYLE:
        what = f"another code changes an image by {style:.1%} of what real images differ by"
        found.append(("weak", f"The style code is ignored: {what}. {_USE}"))
    return found


def _draws(samples: ImageSet, seed: int) -> ArrayDraws:
    """Return the draws of `KEYS` images for each sample."""
    return Draws.of(seed, "trial", np.repeat(sample_keys(samples.ids), KEYS), np.tile(np.arange(KEYS), len(samples)))


def _evenly(total: int, most: int) -> NDArray[np.int64]:
    count = min(total, most)
    return np.linspace(0, total - 1, count).astype(np.int64)


def _apart(groups: NDArray[Any]) -> float:
    """Return the mean root mean square difference of the pairs within groups, in grey levels: (G, M, H, W, C)."""
    i, j = np.triu_indices(groups.shape[1], 1)
    if not len(i):
        return 0.0
    flat = groups.reshape(*groups.shape[:2], -1).astype(np.float32)
    return float(np.mean([np.sqrt(np.square(one[i] - one[j]).mean(1)).mean() for one in flat]))
