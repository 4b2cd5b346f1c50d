"""The options of Mask2Lesion, and the files of its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from augkit import AtLeast, Frame, Within

Norm = Literal["batch", "instance", "none"]
Dropout = Literal["lua", "torch_port", "none"]
Adversarial = Literal["vanilla", "lsgan", "hinge"]
MaskResample = Literal["nearest", "bicubic"]
OutResize = Literal["nearest", "area"]

WEIGHTS = "generator.safetensors"
FACTS = "generator.json"

SIZES = (32, 64, 128, 256)
"""Sides at which the networks work, in pixels."""


@dataclass(frozen=True)
class Mask2LesionOptions:
    """Conditional GAN after Abhishek & Hamarneh 2019; the defaults are the paper's text, read with pix2pix's code.

    Images must be square with a side of 32, 64, 128 or 256 pixels, unless `size` is set.

    width:        filters of the first layer of both networks (ngf, ndf).
    norm:         ``batch`` (the paper's text), ``instance`` (its released command) or ``none``.
    dropout:      ``lua``: in the three innermost decoder blocks, as in the first release of pix2pix; ``torch_port``:
                  one block further out, as in its PyTorch release; ``none``: no noise at all.
    mask_channels: 1, or 3 equal ones, as the released command has it.
    patch_layers: 1, 2, 3, 4 give discriminator patches of 16, 34, 70, 142 pixels.
    size:         side at which both networks work, 128 or 256; null for the data's own. Images are brought there and
                  back, squeezing those that are not square.
    epochs:       epochs at the full learning rate.
    decay_epochs: further epochs while it falls linearly to zero.
    batch_size:   images per step; with ``norm: batch`` anything but 1 is another model than the paper's.
    learning_rate: of both Adam optimisers, betas 0.5 and 0.999.
    adversarial:  loss on logits: ``vanilla`` (non-saturating cross-entropy), ``lsgan`` (squares) or ``hinge``.
    lambda_l1:    weight of the mean absolute difference to the real image.
    jitter:       enlarge to 286/256 and crop at random, as pix2pix does.
    flip:         mirror half of the training pairs.
    mask_resample: how masks change size: ``nearest`` keeps them binary, ``bicubic`` softens their edges, as the
                  released command does.
    out_resize:   how synthetic images return from `size` to the data's size.
    sample_every: epochs between two rows of ``progress.png``; null for at most ten, 0 for the last one only.
    reduction:    how several processes add their gradients: ``fast``, or ``ordered``, which cuts every batch into four
                  parts and gives the same bits for 1, 2 and 4 processes.
    weights:      a generator to be used instead of training one: a folder that ``augkit generator import`` or a
                  training left, or a file: augkit's ``generator.safetensors`` with its ``generator.json`` beside it,
                  or pix2pix's ``latest_net_G.pth``. The file then decides width, norm, dropout layout, mask channels
                  and size; training options are not used.
    """

    width: Annotated[int, Within(4, 256)] = 64
    norm: Norm = "batch"
    dropout: Dropout = "lua"
    mask_channels: Literal[1, 3] = 1
    patch_layers: Annotated[int, Within(1, 4)] = 3
    size: Literal[128, 256] | None = None
    epochs: Annotated[int, AtLeast(0)] = 100
    decay_epochs: Annotated[int, AtLeast(0)] = 100
    batch_size: Annotated[int, AtLeast(1)] = 1
    learning_rate: Annotated[float, AtLeast(1e-8)] = 2e-4
    adversarial: Adversarial = "vanilla"
    lambda_l1: Annotated[float, AtLeast(0)] = 100.0
    jitter: bool = True
    flip: bool = True
    mask_resample: MaskResample = "nearest"
    out_resize: OutResize = "nearest"
    sample_every: Annotated[int, AtLeast(0)] | None = None
    reduction: Literal["fast", "ordered"] = "fast"
    weights: Path | None = None

    def __post_init__(self) -> None:
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("epochs and decay_epochs are both 0; allowed: at least one epoch")

    def weights_file(self) -> Path | None:
        """Return the file that `weights` means, which need not exist; None where a generator is to be trained."""
        if self.weights is None:
            return None
        place = self.weights.expanduser()
        return place / WEIGHTS if place.is_dir() else place

    def check_frame(self, frame: Frame) -> None:
        """Refuse images at whose size the networks cannot work; those of `weights` resize what they are given."""
        if self.weights is not None:
            return
        if self.size is None and (frame.height not in SIZES or frame.width != frame.height):
            allowed = ", ".join(map(str, SIZES))
            raise ValueError(
                f"found images of {frame}; allowed: squares with a side of {allowed} pixels, or the option size, to "
                "which images are brought"
            )
        side = self.size or frame.height
        if side // 2**self.patch_layers <= 2:
            raise ValueError(
                f"patch_layers: found {self.patch_layers}, which leaves no patch of images of {side} pixels; allowed: "
                f"up to {side.bit_length() - 3}"
            )
