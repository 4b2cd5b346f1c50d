"""The options of the flow, and the files of its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from augkit import AtLeast, Frame, Within

Solver = Literal["euler", "heun", "exponential"]

WEIGHTS = "flow.safetensors"
FACTS = "flow.json"

MULTIPLE = 16
"""Sides of an image must be multiples of this many pixels: patches of 2 are halved three times."""


@dataclass(frozen=True)
class FlowOptions:
    """Rectified flow in pixel space, conditioned on the mask; each key is another image of the same mask.

    A network learns the velocity that carries Gaussian noise to images along straight lines (Liu et al. 2022,
    arXiv:2209.03003; Lipman et al. 2022, arXiv:2210.02747); painting follows it from noise of the sample's own key.
    Sides of the images must be multiples of 16 pixels. They may have any channels of any numbers, which are learnt and
    painted within their windows, and any classes.

    width:         channels at half resolution, a multiple of 8; doubled at a quarter, four-fold below.
    steps:         of training.
    batch_size:    images per step.
    learning_rate: the peak: reached after a short rise, it falls to zero along a cosine. AdamW, betas 0.9 and 0.99.
    ema:           the average of the weights that paints keeps this share of itself at every step, less at first.
    flip:          mirror half of the training pairs left to right, and half top to bottom.
    mask_dropout:  share of training pairs whose mask is hidden, so that `guidance` knows the image without a mask.
    guidance:      1 paints with the mask as learnt; above 1 exaggerates what the mask changes (classifier-free
                   guidance, Ho & Salimans 2022, arXiv:2207.12598) at twice the time.
    solver:        ``euler`` evaluates the network once per step, ``heun`` twice, with a smaller error; ``exponential``
                   once, solves what colours and frequencies alone tell exactly, and needs about 8 steps.
    solver_steps:  from noise to image, shorter at both ends; with ``exponential`` near noise only.
    """

    width: Annotated[int, Within(8, 256)] = 64
    steps: Annotated[int, AtLeast(1)] = 50_000
    batch_size: Annotated[int, AtLeast(1)] = 32
    learning_rate: Annotated[float, AtLeast(1e-8)] = 1e-3
    ema: Annotated[float, Within(0, 0.99999)] = 0.999
    flip: bool = True
    mask_dropout: Annotated[float, Within(0, 0.9)] = 0.1
    guidance: Annotated[float, Within(1, 20)] = 1.0
    solver: Solver = "heun"
    solver_steps: Annotated[int, Within(1, 200)] = 16

    def __post_init__(self) -> None:
        if self.width % 8:
            raise ValueError(f"width is {self.width}; allowed: multiples of 8")
        if self.guidance > 1 and self.mask_dropout == 0:
            raise ValueError(
                f"guidance is {self.guidance} and mask_dropout is 0; allowed: guidance above 1 only with mask_dropout "
                "above 0, which teaches the image without a mask"
            )

    def check_frame(self, frame: Frame) -> None:
        """Refuse images that cannot be cut into patches and halved."""
        _check_sides(frame)


@dataclass(frozen=True)
class DistributionalOptions:
    """Flow in one to four steps: a network that draws the whole image at once instead of following a velocity.

    It learns what an image could be, given its mask and a point on the line from noise to it, by drawing several
    images and descending on their energy score (De Bortoli et al. 2025, arXiv:2502.02483), here of patches in octaves
    of frequency. Such images are soft, so on request it also deceives a discriminator in its last steps, as a GAN
    does, whose features are scored, too. One evaluation paints an image; further ones return to a point of the line
    and draw from there. It is told how much of the frame each class covers. Sides of the images must be multiples of 16
    pixels; they may have any channels and classes.

    width:         channels at half resolution; doubled at a quarter, four-fold below.
    steps:         of training by the score.
    adversarial_steps: further ones beside a discriminator, each of them twice as long. Images are sharper and nearer to
                   real ones, and may show dark clumps that no mask asks for: look at them.
    batch_size:    images per step.
    learning_rate: the peak: reached after a short rise, it falls to zero along a cosine. AdamW, betas 0.9 and 0.99.
                   Beside the discriminator, whose rate is twice as large, it is 0.3 of it, with betas 0 and 0.99.
    ema:           the average of the weights that paints keeps this share of itself at every step, less at first.
    flip:          mirror half of the training pairs left to right, and half top to bottom.
    samples:       images drawn for each pair; a step takes as much longer.
    noise_share:   share of training pairs whose image is drawn from noise alone, as the first evaluation draws it; 1
                   trains a network that needs no others.
    solver_steps:  evaluations of the network, at points evenly apart, the first at noise.
    """

    width: Annotated[int, Within(8, 256)] = 64
    steps: Annotated[int, AtLeast(1)] = 50_000
    batch_size: Annotated[int, AtLeast(1)] = 32
    learning_rate: Annotated[float, AtLeast(1e-8)] = 1e-3
    ema: Annotated[float, Within(0, 0.99999)] = 0.999
    flip: bool = True
    adversarial_steps: Annotated[int, AtLeast(0)] = 0
    samples: Annotated[int, Within(2, 16)] = 2
    noise_share: Annotated[float, Within(0, 1)] = 0.3
    solver_steps: Annotated[int, Within(1, 16)] = 1

    def __post_init__(self) -> None:
        if self.noise_share == 0:
            raise ValueError("noise_share is 0; allowed: above 0, because painting begins at noise")
        if self.noise_share == 1 and self.solver_steps > 1:
            raise ValueError(
                f"solver_steps is {self.solver_steps} and noise_share is 1; allowed: more than one step only with "
                "noise_share below 1, which teaches the points after noise"
            )

    def check_frame(self, frame: Frame) -> None:
        """Refuse images that cannot be cut into patches and halved."""
        _check_sides(frame)


def _check_sides(frame: Frame) -> None:
    if frame.height % MULTIPLE or frame.width % MULTIPLE:
        raise ValueError(f"found images of {frame}; allowed: sides that are multiples of {MULTIPLE} pixels")
