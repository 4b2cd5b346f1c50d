"""How good synthetic images are in one sentence: whether they follow their masks, look real, vary, and are copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from augkit.metrics import GRID_SHOWS

GOOD, WARN, PLAIN = "good", "warn", ""

FOLLOWS, STRAYS = 0.9, 0.7
"""Of the way from what shuffled masks get to what real images get: from the first on, masks are followed, and below the
second they are not."""

CLOSE, FAR = 0.5, 1.5
"""KID above that of held-out real images: below the first, images look close to real, and from the second on they do
not. Side by side in docs/generators.md, `texture`, `flow` and `mask2lesion-spade` have 0.1 to 0.3, the paper's pix2pix,
whose images anyone tells from photographs, 2.3."""

VARIES, STILL = 0.5, 0.25
"""How far images of one mask are apart, as a share of how far real images are: from the first on they vary, and below
the second hardly, which is also where a generator's health says so."""

COPIES = 0.05
"""More suspicious images than among held-out real ones, by this share of all, are too many to be chance."""


@dataclass(frozen=True)
class Said:
    """A part of the sentence, and whether it is `GOOD`, a reason to `WARN`, or neither."""

    text: str
    kind: str


def in_words(record: Mapping[str, Any]) -> tuple[Said, ...]:
    """Return what a ``quality.json`` says of a source, in parts that a comma joins."""
    features = record["features"]
    return (
        *(_adherence(record["adherence"]) if "adherence" in record else ()),
        *(_realism(record[f"kid_{features}"]) if f"kid_{features}" in record else ()),
        *_variety(record["diversity"][features], record["diversity"][f"real_{features}"]),
        *_grid(record["grid"]["value"]),
        *_copies(record["memorisation"]),
    )


def sentence(record: Mapping[str, Any]) -> str:
    """Return the same as text."""
    return f"{record['origin']}: {', '.join(said.text for said in in_words(record))}."


def _adherence(found: Mapping[str, float]) -> Iterator[Said]:
    reach = found["held_out"] - found["shuffled_masks"]
    followed = (found["dice"] - found["shuffled_masks"]) / reach if reach > 0 else 0.0
    numbers = f"(Dice {found['dice']:.2f}, real images {found['held_out']:.2f})"
    if followed >= FOLLOWS:
        yield Said(f"follow their masks {numbers}", GOOD)
    elif followed >= STRAYS:
        yield Said(f"follow their masks roughly {numbers}", PLAIN)
    else:
        yield Said(f"do not follow their masks {numbers}", WARN)


def _realism(found: Mapping[str, float]) -> Iterator[Said]:
    excess = found["value"] - max(found["held_out"], 0.0)
    numbers = f"(KID {_number(found['value'])} against {_number(max(found['held_out'], 0.0))})"
    if excess < CLOSE:
        yield Said(f"look close to real {numbers}", GOOD)
    elif excess < FAR:
        yield Said(f"can be told from real ones {numbers}", PLAIN)
    else:
        yield Said(f"do not look real {numbers}", WARN)


def _variety(within: float, real: float) -> Iterator[Said]:
    if real <= 0:
        return
    share = within / real
    numbers = f"(images of one mask differ by {100 * share:.0f} % of what real ones do)"
    if share >= VARIES:
        yield Said(f"vary {numbers}", GOOD)
    elif share >= STILL:
        yield Said(f"vary little {numbers}", PLAIN)
    else:
        yield Said(f"hardly vary {numbers}", WARN)


def _grid(value: float | None) -> Iterator[Said]:
    if value is not None and value > GRID_SHOWS:
        yield Said(f"show a grid of pixels ({value:.1f}, real images 1)", WARN)


def _copies(found: Mapping[str, float]) -> Iterator[Said]:
    suspicious, real = found["suspicious_share"], found["held_out_share"]
    if suspicious > real + COPIES:
        yield Said(
            f"repeat training images too closely ({100 * suspicious:.0f} % suspicious, real {100 * real:.0f} %)", WARN
        )
    else:
        yield Said("are no copies of training images", GOOD)


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 10 or value == 0 else 1 if abs(value) >= 1 else 2
    return f"{value:.{digits}f}".replace("-", "−")
