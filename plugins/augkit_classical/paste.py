"""Objects of another sample of the batch, pasted into a sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from augkit import ANYTHING, Draws, Masks, Within, shows
from augkit_classical.mixing import partners
from augkit_classical.pasting.plan import TRIES, Plan

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Paste:
    """Paste objects of another sample of the batch, cut out by their mask: copy-paste (Ghiasi et al. 2021).

    As in TumorCP (Yang et al. 2021) each object is changed by itself. An object is a connected piece of the
    foreground, all classes of a label map together, so that a tumour comes with its organ; one that the frame cuts
    is not taken. It is turned and scaled about its middle, recoloured to the ground that it comes to lie on and
    placed where it fits: wholly in the frame, hiding little, on ground that is not too unlike its own. Of 16 places
    that are drawn the first that fits is taken. Where none does, the other sample has no object, or a mask fills
    the frame, nothing is pasted. The mask is exactly where an object's pixels have more than half of the weight.

    count:       most objects that a sample gets; how many there are is drawn, 1 or more, and is at most as many as
                 the other sample has.
    rotate:      largest rotation of an object in degrees, either way.
    scale:       smallest and largest magnification of an object.
    margin:      how far the ground that an object brings along fades outside its outline, as a share of the image's
                 shorter side; 0 cuts hard, more than 0 fades over one pixel or more.
    match:       how far an object is recoloured, 0 to 1: at 1 the mean of the ring of ground around it becomes that of
                 the ring around its new place, and its contrast follows their spreads by a quarter at most.
    hide:        largest share of the foreground of a sample that objects may hide.
    probability: how often a sample gets objects.
    """

    count: Annotated[int, Within(1, 16)] = 3
    rotate: Annotated[float, Within(0, 180)] = 180.0
    scale: tuple[float, float] = (0.8, 1.25)
    margin: Annotated[float, Within(0, 0.05)] = 0.015
    match: Annotated[float, Within(0, 1)] = 1.0
    hide: Annotated[float, Within(0, 1)] = 0.05
    probability: Annotated[float, Within(0, 1)] = 0.5
    takes = replace(ANYTHING, ignore=False)  # with ignored pixels the background is a class, and would be an object

    def __post_init__(self) -> None:
        if not 0.2 <= self.scale[0] <= self.scale[1] <= 5:
            raise ValueError(f"scale is {list(self.scale)}; allowed: 0.2 <= smallest <= largest <= 5")

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return images and masks with pasted objects; masks stay exactly 0 or 1."""
        if images.device.type == "cpu":
            from augkit_classical.pasting.host import paste
        else:
            from augkit_classical.pasting.device import paste

        return paste(images, masks, self._plan(draws, min(images.shape[2:])))

    def takes_stored_pixels(self) -> bool:
        """Return true; the answer is float32."""
        return True

    def parameters(self, draws: Draws[Tensor]) -> Mapping[str, Tensor]:
        """Return how many objects each sample is to get, and the turn in degrees and the magnification of each.

        Fewer are pasted where the other sample has fewer, or no place fits.
        """
        wanted, _, turn, size = self._drawn(draws)
        return {
            "wanted": wanted,
            **{f"turn {i + 1}": turn[:, i] for i in range(self.count)},
            **{f"size {i + 1}": size[:, i] for i in range(self.count)},
        }

    def check_masks(self, masks: Masks) -> None:
        """Refuse training masks of which nothing could ever be pasted."""
        from augkit_classical.pasting.cutting import has_object

        if not any(has_object(shows(mask)) for mask in masks):
            full = sum(bool(shows(mask).all()) for mask in masks)
            raise ValueError(
                f"found nothing to paste in {len(masks)} training masks, of which {full} fill the frame; allowed: "
                "masks with an object that the frame does not cut and that has ground around it"
            )

    def _drawn(self, draws: Draws[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return how many, int64 (N,), the first one, (N,), and turn and size, (N, count); 0 and 1 where none is."""
        import torch

        chance, many, first = draws.uniforms(("applied", "pasted", "first")).unbind(1)
        wanted = (1 + (many * self.count).long()) * (chance < self.probability)
        there = torch.arange(self.count, device=wanted.device) < wanted[:, None]
        turn = draws.uniform("turn", -self.rotate, self.rotate, (self.count,)) * there
        low, high = (math.log(value) for value in self.scale)
        return wanted, first, turn, torch.exp(draws.uniform("size", low, high, (self.count,)) * there)

    def _plan(self, draws: Draws[Tensor], side: int) -> Plan:
        import torch

        wanted, first, turn, size = self._drawn(draws)
        places = draws.uniform("place", shape=(self.count, TRIES, 2))
        margin = max(1, round(self.margin * side)) if self.margin > 0 else 0
        donors = partners(draws)
        wanted = wanted * (donors != torch.arange(len(donors), device=donors.device))  # one alone has no partner
        return Plan(donors, wanted, first, turn, size, places, margin, self.hide, self.match)
