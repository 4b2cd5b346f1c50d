"""What a mask source has to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from augkit.authors.conformance.bench import CONDUCT, Bench, answers_to
from augkit.authors.conformance.toy import draw_masks, draws_of, formats_taken
from augkit.contracts.components import DrawsParts
from augkit.contracts.rules import (
    BreachError,
    check_dtype,
    check_filled,
    check_is_drawn,
    check_labels,
    check_masks,
    check_records,
    check_same,
    check_shape,
)
from augkit.data.arrays import DrawnMasks, Masks
from augkit.data.formats import Format

COUNT = 9
"""Masks that are drawn."""

WHOLE = "return from draw_part() what draw() returns there, or leave it out"
KEYED = "make mask i depend only on the training masks and sample i of the draws"
USABLE = "returns_drawn_masks, returns_bool, returns_count_masks, masks_are_filled and labels_are_known"


class MaskSourceBench(Bench):
    """A mask source with 12 training masks."""

    noun: ClassVar[str] = "mask source"

    @staticmethod
    def formats(component: Any) -> Sequence[Format]:
        """Return the formats that differ in their masks; a mask source sees no images."""
        different: dict[tuple[int, bool], Format] = {}
        for one in formats_taken(component):
            different.setdefault((len(one.classes), one.ignore), one)
        return list(different.values())

    @cached_property
    def real(self) -> Masks:
        """The training masks, bool (12, H, W), or label maps uint8."""
        return draw_masks(12, "train", format=self.format)

    @property
    def dtype(self) -> str:
        """What masks are."""
        return str(self.real.dtype)

    @property
    def wanted(self) -> tuple[int, ...]:
        """The shape of the masks that are asked for."""
        return (COUNT, *self.real.shape[1:])

    def drawn(self, name: str = "draw()", index: Sequence[int] = tuple(range(COUNT)), folder: str = "masks") -> Any:
        """Return whatever draw() returns for some of the samples."""
        space, real, draws = self.space(folder), self.real, draws_of(COUNT, "masks")[list(index)]
        draw = self.component.draw
        return self.once(name, lambda: draw(real, len(index), draws, space), space.folder, masks=real)

    def masks(self) -> DrawnMasks:
        """Return the masks, where they are masks."""
        drawn: DrawnMasks = self.drawn()
        answers_to(lambda: check_masks(drawn, COUNT, self.real.shape, self.format), USABLE)
        return drawn

    def exercise(self) -> None:
        """Draw."""
        self.drawn()


def returns_drawn_masks(bench: MaskSourceBench) -> None:
    """The answer is augkit.DrawnMasks: masks and records."""
    check_is_drawn(bench.drawn())


def returns_bool(bench: MaskSourceBench) -> None:
    """Masks are bool; label maps are uint8, as those of the training masks."""
    answers_to(lambda: check_is_drawn(bench.drawn()), "returns_drawn_masks")
    check_dtype(bench.drawn().masks, "masks ", bench.dtype, bench.wanted)


def returns_count_masks(bench: MaskSourceBench) -> None:
    """There are as many masks as were asked for, of the training masks' size."""
    answers_to(lambda: check_is_drawn(bench.drawn()), "returns_drawn_masks")
    check_shape(np.asarray(bench.drawn().masks), "masks ", bench.dtype, bench.wanted)


def masks_are_filled(bench: MaskSourceBench) -> None:
    """Every mask has foreground."""
    answers_to(lambda: check_is_drawn(bench.drawn()), "returns_drawn_masks")
    answers_to(lambda: check_dtype(bench.drawn().masks, "masks ", bench.dtype, bench.wanted), "returns_bool")
    check_filled(bench.drawn())


def labels_are_known(bench: MaskSourceBench) -> None:
    """Label maps hold 0, the numbers of the classes and, where training masks do, 255 for what does not count."""
    answers_to(lambda: check_is_drawn(bench.drawn()), "returns_drawn_masks")
    answers_to(lambda: check_dtype(bench.drawn().masks, "masks ", bench.dtype, bench.wanted), "returns_bool")
    check_labels(bench.drawn().masks, bench.format)


def records_are_json(bench: MaskSourceBench) -> None:
    """There is one record per mask, of text and finite numbers; a parent is the index of a training mask."""
    answers_to(lambda: check_is_drawn(bench.drawn()), "returns_drawn_masks")
    check_records(bench.drawn(), len(bench.drawn().masks), len(bench.real))


def same_key_same_bytes(bench: MaskSourceBench) -> None:
    """The same masks and keys give the same bytes in another folder."""
    first = bench.masks()
    second = bench.drawn("draw() in another folder", folder="masks elsewhere")
    check_same(first.masks, second.masks, "in another folder", KEYED)
    _compare_records(first, second)


def keeps_no_state(bench: MaskSourceBench) -> None:
    """A second call in the same folder gives the same bytes as the first."""
    first = bench.masks()
    second = bench.drawn("draw() again")
    check_same(first.masks, second.masks, "between two equal calls", KEYED)
    _compare_records(first, second)


def keyed(bench: MaskSourceBench) -> None:
    """Mask i depends only on the training masks and sample i: not on how many are drawn, nor on their order."""
    masks = bench.masks().masks
    for when, index in {"alone": (4,), "in a shuffled batch": (5, 2, 8, 0, 7, 3, 1, 6, 4)}.items():
        part: DrawnMasks = bench.drawn(f"draw() {when}", index, f"masks {when}")
        wanted = (len(index), *bench.wanted[1:])
        answers_to(lambda part=part, wanted=wanted: check_shape(part.masks, "", "", wanted), USABLE)  # type: ignore[misc]
        check_same(masks[list(index)], part.masks, when, KEYED)


def parts_make_the_whole(bench: MaskSourceBench) -> None:
    """A source that draws parts returns in each, in a folder of its own, the masks that it draws at once."""
    source = bench.component
    if not isinstance(source, DrawsParts):
        return
    whole = bench.masks()
    for start, stop in ((0, 4), (4, 5), (5, COUNT)):
        what, space = f"draw_part() of {start} to {stop - 1}", bench.space(f"masks from {start}")
        part = bench.once(
            what,
            lambda start=start, stop=stop, space=space: source.draw_part(  # type: ignore[misc]
                bench.real, COUNT, start, stop, draws_of(COUNT, "masks"), space
            ),
            space.folder,
            masks=bench.real,
        )
        check_masks(part, stop - start, bench.real.shape, bench.format)
        check_same(whole.masks[start:stop], part.masks, f"in a part, {start} to {stop - 1}", WHOLE)
        _compare_records(DrawnMasks(whole.masks[start:stop], whole.records[start:stop]), part)


def _compare_records(first: DrawnMasks, second: DrawnMasks) -> None:
    changed = [i for i, (one, other) in enumerate(zip(first.records, second.records, strict=True)) if one != other]
    if changed:
        raise BreachError("returned other records for the same masks", KEYED, changed[0])


CHECKS: Sequence[Callable[[MaskSourceBench], None]] = (
    *CONDUCT,
    returns_drawn_masks,
    returns_bool,
    returns_count_masks,
    masks_are_filled,
    labels_are_known,
    records_are_json,
    same_key_same_bytes,
    keeps_no_state,
    keyed,
    parts_make_the_whole,
)
"""The checks of a mask source."""
