"""The options of Mask2Lesion, and the files of its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from augkit import AtLeast, Frame, Takes, Within

Norm = Literal["batch", "instance", "none"]
Dropout = Literal["lua", "torch_port", "none"]
Adversarial = Literal["vanilla", "lsgan", "hinge"]
MaskResample = Literal["nearest", "bicubic"]
OutResize = Literal["nearest", "area"]
Network = Literal["unet", "spade"]
Upsample = Literal["transposed", "nearest"]
StyleFrom = Literal["training", "prior"]
DiffAugment = Literal["translation", "mirror", "cutout", "colour"]

WEIGHTS = "generator.safetensors"
WIDEST = 256
LONGEST_STYLE = 256
FACTS = "generator.json"
FORMAT = "format.json"

SIZES = (32, 64, 128, 256)
"""Sides at which the networks work, in pixels."""


@dataclass(frozen=True)
class Mask2LesionOptions:
    """Conditional GAN after Abhishek & Hamarneh 2019; the defaults are the paper's text, read with pix2pix's code.

    Images must be square with a side of 32, 64, 128 or 256 pixels, unless `size` is set. They may have any channels of
    any numbers: both networks work on the windows of the channels, and paint within them. Of several classes each has a
    mask channel of its own; where pixels may be ignored the background has one, too, so that these are in none.

    width:        filters of the first layer of both networks (ngf, ndf).
    norm:         ``batch`` (the paper's text), ``instance`` (its released command) or ``none``; of both networks, but
                  the network ``spade`` has a norm of its own, and there it is the discriminator's.
    dropout:      of ``unet``. ``lua``: in the three innermost decoder blocks, as in the first release of pix2pix;
                  ``torch_port``: one block further out, as in its PyTorch release; ``none``: no noise at all.
    mask_channels: 1, or 3 equal ones, as the released command has it. Several classes have one each in any case.
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
    network:      what paints. ``unet``: pix2pix's. ``spade``: a decoder whose norms see the mask at every scale (Park
                  et al. 2019, arXiv:1903.07291), and noise with it, so that it has no dropout.
    upsample:     how a decoder enlarges. ``transposed``: 4x4 transposed convolutions, as pix2pix does, which can leave
                  grids; ``nearest``: pixels repeated, then a 3x3 convolution (Odena et al. 2016), which does not.
    style:        length of a style code, for ``spade``; 0 for none. An encoder finds the code of each training image,
                  with which its mask can be painted again, or another mask in its colours (as in BicycleGAN, Zhu et al.
                  2017, arXiv:1711.11586). Half of each batch is painted with its own codes, half with others'. The
                  training images' codes are kept with the weights.
    style_from:   the code of a synthetic image, drawn from its key: ``training``, that of a training image, with the
                  spread that the encoder gives it, or ``prior``, a standard normal one.
    lambda_kl:    weight of the codes' divergence from the standard normal, in nats. Larger: better images from
                  ``prior``, and codes that say less.
    lambda_features: weight of the mean absolute difference of the discriminator's features from those of the real
                  image (feature matching; Wang et al. 2018, arXiv:1711.11585).
    lambda_r1:    weight of the penalty on the discriminator's gradients at real pairs, taken at every sixteenth step
                  (R1; Mescheder et al. 2018, arXiv:1801.04406).
    spectral_norm: divide the discriminator's filters by their spectral norms (Miyato et al. 2018, arXiv:1802.05957).
    diffaugment:  how real and painted pairs are changed before the discriminator sees them, so that it does not learn
                  a small set by heart (Zhao et al. 2020, arXiv:2006.10738): ``translation`` by up to an eighth of the
                  side, ``mirror`` in both directions, ``cutout`` of a square of half the side, and ``colour``, which
                  is for RGB images whose colours mean nothing.
    discriminator_rate: the discriminator's learning rate as a multiple of the generator's (two time scales; Heusel et
                  al. 2017, arXiv:1706.08500).
    ema:          the average of the generator's weights that paints keeps this share of itself at every step, less at
                  first (Yazıcı et al. 2019, arXiv:1806.04498); 0 paints with the last weights.
    sample_every: epochs between two rows of ``progress.png``; null for at most ten, 0 for the last one only.
    reduction:    how several processes add their gradients: ``fast``, or ``ordered``, which cuts every batch into four
                  parts and gives the same bits for 1, 2 and 4 processes.
    weights:      a generator to be used instead of training one: a folder that ``augkit generator import`` or a
                  training left, or a file: augkit's ``generator.safetensors`` with its ``generator.json`` beside it,
                  or pix2pix's ``latest_net_G.pth``, which is for 8-bit RGB with one class. The file then decides
                  width, norm, dropout layout, mask channels and size; training options are not used.
    """

    width: Annotated[int, Within(4, WIDEST)] = 64
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
    network: Network = "unet"
    upsample: Upsample = "transposed"
    style: Annotated[int, Within(0, LONGEST_STYLE)] = 0
    style_from: StyleFrom = "training"
    lambda_kl: Annotated[float, AtLeast(0)] = 0.01
    lambda_features: Annotated[float, AtLeast(0)] = 0.0
    lambda_r1: Annotated[float, AtLeast(0)] = 0.0
    spectral_norm: bool = False
    diffaugment: tuple[DiffAugment, ...] = ()
    discriminator_rate: Annotated[float, AtLeast(1e-8)] = 1.0
    ema: Annotated[float, Within(0, 0.99999)] = 0.0
    reduction: Literal["fast", "ordered"] = "fast"
    weights: Path | None = None

    def __post_init__(self) -> None:
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("epochs and decay_epochs are both 0; allowed: at least one epoch")
        if self.style and self.network == "unet":
            what = f"style is {self.style} and network is unet, which has no place for a style code"
            raise ValueError(f"{what}; allowed: a style above 0 only with network spade")
        least = 8 if self.reduction == "ordered" else 2
        if self.style and self.batch_size < least:
            what = f"style is {self.style} and batch_size {self.batch_size}, with reduction {self.reduction}"
            raise ValueError(f"{what}; allowed: at least {least}, so that images can exchange their style codes")
        if self.weights is not None and Path(self.weights).suffix in (".pth", ".pt"):
            object.__setattr__(self, "takes", Takes())
        elif "colour" in self.diffaugment and self.weights is None:
            object.__setattr__(self, "takes", Takes(dtypes=None, classes=None, ignore=True))

    def weights_file(self) -> Path | None:
        """Return the file that `weights` means, which need not exist; None where a generator is to be trained."""
        if self.weights is None:
            return None
        place = Path(self.weights).expanduser()
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
