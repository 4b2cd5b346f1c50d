"""What colours and frequencies alone tell: the best linear guess of the velocity, and how far it can be off.

The path is x_t = (1 - t) noise + t image. Images are rotated to the principal axes of their colours and scaled to
variance 1 on average; then the cosine transform (DCT-II, orthonormal) makes their coefficients nearly uncorrelated,
with a power P that falls steeply with frequency, while noise has power 1 everywhere. For Gaussian coefficients the
expectation of image and velocity image - noise given x_t, and the velocity's variance, are

    t P / S x_t,    (t P - (1 - t)) / S x_t,    P / S,    S = t^2 P + (1 - t)^2.

A network that adds to this guess, scaled by the root of that variance, starts as a Wiener filter and need not learn
that fine grain is mostly noise. This is the preconditioning of Karras et al. 2022 (arXiv:2206.00364, section 5), which
knows one variance for the whole image, per frequency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from augkit import Format, Images
from augkit.images import in_unit
from augkit.training import in_unit_range

_FLOOR = 1e-6
_CHUNK = 256
_NODES = 8


class Spectrum(nn.Module):
    """Statistics of training images of one size; buffers only, which are part of the weights.

    mean:  float32 (C, 1, 1), the mean colour in 0..1. axes: (C, C), rows are colour axes over the common deviation.
    power: float32 (C, H, W), the mean square of each coefficient.
    """

    mean: Tensor
    axes: Tensor
    power: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, height: int, width: int, format: Format) -> None:
        """`format`: of the images."""
        super().__init__()
        self.format = format
        channels = len(format.channels)
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("axes", torch.eye(channels))
        self.register_buffer("power", torch.ones(channels, height, width))
        self.register_buffer("rows", cosines(height))
        self.register_buffer("columns", cosines(width))

    def measure(self, images: Images) -> None:
        """Set the statistics to those of images (N, H, W, C) of the format."""
        mean, covariance = _colour_moments(images, self.format)
        variances, axes = np.linalg.eigh(covariance)
        deviation = max(math.sqrt(float(variances.mean())), 1 / 255)  # images of one colour
        self.mean.copy_(torch.from_numpy(mean)[:, None, None])
        self.axes.copy_(torch.from_numpy(axes.T / deviation))
        power = torch.zeros_like(self.power, dtype=torch.float64)
        for begin in range(0, len(images), _CHUNK):
            part = in_unit_range(images[begin : begin + _CHUNK], self.format, "cpu")
            power += self._transform(self.normalise(part)).double().square().sum(0)
        self.power.copy_((power / len(images)).clamp_min(_FLOOR))

    def normalise(self, images: Tensor) -> Tensor:
        """Return images 0..1, (N, C, H, W), as coordinates along the colour axes."""
        return torch.einsum("ac,nchw->nahw", self.axes, images - self.mean)

    def restore(self, x: Tensor) -> Tensor:
        """Return the images 0..1 whose coordinates are x."""
        return torch.einsum("ca,nahw->nchw", torch.linalg.inv(self.axes), x) + self.mean

    def guess(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the best linear guesses of image and velocity, and the deviation of the latter, (N, 1, 1, 1).

        x: float32 (N, C, H, W) at times t, (N, 1, 1, 1) in 0..1, or (1, 1, 1, 1) for all.
        """
        total = t**2 * self.power + (1 - t) ** 2
        coefficients = self._transform(x) / total
        image = self._invert(coefficients * (t * self.power))
        velocity = self._invert(coefficients * (t * self.power - (1 - t)))
        return image, velocity, (self.power / total).mean((1, 2, 3), keepdim=True).sqrt()

    def colour(self, noise: Tensor) -> Tensor:
        """Return what the flow would make of noise, float32 (N, C, H, W), normal, were images Gaussian."""
        return self._invert(self._transform(noise) * self.power.sqrt())

    def advance(self, x: Tensor, slopes: Sequence[tuple[float, Tensor]], now: float, then: float) -> Tensor:
        """Return x at time `then`: what the linear guess of the velocity does to it exactly, and the rest integrated.

        slopes: of this and perhaps the step before, the time and by how much the velocity there, (N, 3, H, W), is off
                the linear guess; between them it is taken as linear in time (Adams & Bashforth).

        An exponential integrator, as Zhang & Chen 2022 (arXiv:2204.13902) have for a linear part of one number.
        """
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        half = (then - now) / 2
        carried = [half * w * self._carry(now + half * (1 + n), then) for n, w in zip(nodes, weights, strict=True)]
        constant = torch.stack(carried).sum(0)
        moved = self._carry(now, then) * self._transform(x)
        time, slope = slopes[-1]
        moved = moved + constant * self._transform(slope)
        if len(slopes) > 1:
            before, other = slopes[-2]
            rising = torch.stack([part * half * (1 + n) for part, n in zip(carried, nodes, strict=True)]).sum(0)
            moved = moved + rising * self._transform((slope - other) / (time - before))
        return self._invert(moved)

    def _carry(self, now: float, then: float) -> Tensor:
        """Return by how much each coefficient grows from a time to another where all is Gaussian, (3, H, W)."""
        totals = [t**2 * self.power + (1 - t) ** 2 for t in (now, then)]
        return (totals[1] / totals[0]).sqrt()

    def _transform(self, x: Tensor) -> Tensor:
        return self.rows @ x @ self.columns.T

    def _invert(self, coefficients: Tensor) -> Tensor:
        return self.rows.T @ coefficients @ self.columns


def cosines(size: int) -> Tensor:
    """Return the orthonormal DCT-II, float32 (size, size): row k holds frequency k."""
    k, n = torch.arange(size, dtype=torch.float64)[:, None], torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * (n + 0.5) * k) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def _colour_moments(images: Images, format: Format) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (C,) and covariance (C, C) of the colours, float64, in 0..1."""
    channels = len(format.channels)
    total, products = np.zeros(channels), np.zeros((channels, channels))
    for begin in range(0, len(images), _CHUNK):
        pixels = np.asarray(images[begin : begin + _CHUNK]).reshape(-1, channels)
        part = pixels / 255.0 if format.bytes_to_unit else in_unit(pixels, format).astype(np.float64)
        total += part.sum(0)
        products += part.T @ part
    count = images.size // channels
    mean = total / count
    return mean, products / count - np.outer(mean, mean)
