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
        if frame.height % MULTIPLE or frame.width % MULTIPLE:
            raise ValueError(f"found images of {frame}; allowed: sides that are multiples of {MULTIPLE} pixels")


@dataclass(frozen=True)
class DistilledOptions(FlowOptions):
    """Flow in one evaluation: a second network learns to paint at once what `flow` paints in many steps.

    First a flow is trained, exactly as `flow` is; then it paints training masks, and a student learns which image each
    noise and mask become, by the distance of patches in octaves of frequency (knowledge distillation: Luhman & Luhman
    2021, arXiv:2101.02388). The student alone is kept. The same key gives nearly the image that `flow` would paint, a
    little softer. Sides of the images must be multiples of 16 pixels; they may have any channels and classes.

    width:         channels of the flow at half resolution, a multiple of 8; doubled at a quarter, four-fold below.
    steps:         of the flow's training.
    batch_size:    images per step, of both.
    learning_rate: the peak, of both: reached after a short rise, it falls to zero along a cosine. AdamW, betas 0.9 and
                   0.99.
    ema:           the average of the weights that paints keeps this share of itself at every step, less at first.
    flip:          mirror half of the training pairs left to right, and half top to bottom.
    mask_dropout:  share of training pairs whose mask is hidden from the flow, so that `guidance` knows the image
                   without a mask.
    guidance:      1 paints with the mask as learnt; above 1 the student learns images that exaggerate what the mask
                   changes (classifier-free guidance, Ho & Salimans 2022, arXiv:2207.12598), and paints no slower.
    solver:        by which the flow paints for the student, as of `flow`.
    solver_steps:  its steps, from noise to image.
    student_width: channels of the student at half resolution; painting takes the time of one evaluation.
    student_steps: of its training. Every pair is used four times.
    """

    solver: Solver = "exponential"
    solver_steps: Annotated[int, Within(1, 200)] = 8
    student_width: Annotated[int, Within(8, 384)] = 96
    student_steps: Annotated[int, AtLeast(1)] = 50_000
