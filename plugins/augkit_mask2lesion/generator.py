"""The `mask2lesion` component: options, and what its folder holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from augkit import AtLeast, ImageSet, Synthesizer, Within, Workspace

WEIGHTS = "generator.safetensors"
FACTS = "generator.json"


@dataclass(frozen=True)
class Mask2Lesion:
    """Conditional GAN after Abhishek & Hamarneh 2019; the defaults are the paper's text, read with pix2pix's code.

    Images must be square with a side of 32, 64, 128 or 256 pixels.

    width:        filters of the first layer of both networks (ngf, ndf).
    norm:         ``batch`` (the paper's text), ``instance`` (its released command) or ``none``.
    patch_layers: 1, 2, 3, 4 give discriminator patches of 16, 34, 70, 142 pixels.
    epochs:       epochs at the full learning rate.
    decay_epochs: further epochs while it falls linearly to zero.
    batch_size:   images per step; with ``norm: batch`` anything but 1 is another model than the paper's.
    learning_rate: of both Adam optimisers, betas 0.5 and 0.999.
    adversarial:  loss on the discriminator's logits: ``vanilla`` (non-saturating cross-entropy) or ``lsgan``.
    lambda_l1:    weight of the mean absolute difference to the real image.
    jitter:       enlarge to 286/256 and crop at random, as pix2pix does.
    flip:         mirror half of the training pairs.
    """

    width: Annotated[int, Within(4, 256)] = 64
    norm: Literal["batch", "instance", "none"] = "batch"
    patch_layers: Annotated[int, Within(1, 4)] = 3
    epochs: Annotated[int, AtLeast(0)] = 100
    decay_epochs: Annotated[int, AtLeast(0)] = 100
    batch_size: Annotated[int, AtLeast(1)] = 1
    learning_rate: Annotated[float, AtLeast(1e-8)] = 2e-4
    adversarial: Literal["vanilla", "lsgan"] = "vanilla"
    lambda_l1: Annotated[float, AtLeast(0)] = 100.0
    jitter: bool = True
    flip: bool = True

    def __post_init__(self) -> None:
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("epochs and decay_epochs are both 0; allowed: at least one epoch")

    def fit(self, train: ImageSet, space: Workspace) -> None:
        """Train generator and discriminator on the pairs and keep the generator's last weights."""
        from augkit_mask2lesion.training import fit

        fit(self, train, space)

    def open(self, folder: Path, device: str) -> Synthesizer:
        """Return the painter."""
        from augkit_mask2lesion.painter import Painter

        return Painter(self, folder, device)
