"""What the camera adds: uneven light, exposure and colour, the dark edge of the optics, blur and noise.

Every function changes or returns images float32 (N, 3, S, S), display-referred 0..1.
"""

import numpy as np

from augkit import ArrayDraws
from augkit_phantom.fields import Plane, grid, log_uniform, planes, step
from augkit_phantom.layers import having, paint


def add_light(images: Plane, draws: ArrayDraws) -> None:
    """Light the scene unevenly, then apply the camera's exposure, white balance and contrast."""
    x, y = grid(images.shape[-1])
    slope = draws.normal("slope", 0.0, 0.11, shape=(2,))
    fall = planes(np.abs(draws.normal("falloff", 0.0, 0.5)))
    lamp = 1.0 + planes(slope[:, 0]) * (x - 0.5) * 2 + planes(slope[:, 1]) * (y - 0.5) * 2
    lamp -= fall * (np.square(x - 0.5) + np.square(y - 0.5))
    gain = np.exp(draws.normal("balance", 0.0, 0.05, shape=(3,)) + draws.normal("exposure", -0.08, 0.13)[:, None])
    gain *= np.exp(draws.normal("cast", 0.0, 0.07)[:, None] * np.array([1.0, 0.0, -1.2], np.float32))
    images *= gain[:, :, None, None]
    images *= lamp[:, None]
    grey = planes(draws.normal("haze", 0.0, 0.10))[:, None]
    images += grey * (0.62 - images)


def add_vignette(images: Plane, draws: ArrayDraws) -> None:
    """Cut the frame by the round, dark edge of the dermatoscope; squashed frames make it taller than wide."""
    where = having(draws, "vignette", 0.38)
    edge, size = draws[where], images.shape[-1]
    x, y = grid(size)
    shift = edge.normal("shift", 0.0, 0.015, shape=(2,))
    half = log_uniform(edge, "radius", 0.49, 0.68)
    wide, tall = planes(half), planes(half * edge.uniform("tall", 1.0, 1.3))
    u, v = np.square((x - 0.5 - planes(shift[:, 0])) / wide), np.square((y - 0.5 - planes(shift[:, 1])) / tall)
    out = np.sqrt(u + v + planes(edge.uniform("barrel", 0.0, 0.9)) * u * v) - 1.0
    sharp = planes(log_uniform(edge, "sharp", 12.0, 60.0))
    colour = edge.uniform("black", 0.02, 0.16)[:, None] * edge.uniform("tint", 0.8, 1.2, shape=(3,))
    paint(images, where, step(out * sharp - 0.5), colour)


def blur(images: Plane, draws: ArrayDraws) -> Plane:
    """Return the images through a lens: a separable three-tap kernel, its width drawn per image and grown with size."""
    size = images.shape[-1]
    for k in range(max(1, size // 64)):
        side = draws.uniform(f"blur {k}", 0.0, 0.22)[:, None, None, None]
        for axis in (2, 3):
            images = _three_taps(images, side, axis)
    return images


def _three_taps(images: Plane, side: Plane, axis: int) -> Plane:
    """Return images convolved with (side, 1 - 2 side, side) along an axis; the border is repeated."""
    flat = np.moveaxis(images, axis, 2)
    out = flat * (1.0 - 2.0 * side)
    out[:, :, 1:] += side * flat[:, :, :-1]
    out[:, :, :-1] += side * flat[:, :, 1:]
    out[:, :, :1] += side * flat[:, :, :1]
    out[:, :, -1:] += side * flat[:, :, -1:]
    return np.moveaxis(out, 2, axis)


def add_noise(images: Plane, draws: ArrayDraws) -> None:
    """Add sensor noise: triangular, 0.4 to 2.5 % of full scale, half of it grey."""
    size = images.shape[-1]
    bits = draws.bits("sensor", (size, size))
    amount = planes(log_uniform(draws, "noise", 0.004, 0.022) / np.float32(104.5))
    grey = ((bits & 255) + ((bits >> 8) & 255) - 255).astype(np.float32)
    for channel in range(3):
        own = (bits >> (16 + 16 * channel)) & 65535
        images[:, channel] += amount * (0.7 * grey + 0.7 * ((own & 255) + (own >> 8) - 255).astype(np.float32))
