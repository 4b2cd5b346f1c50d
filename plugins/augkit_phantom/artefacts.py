"""What lies on the skin: hair, ink, rulers, gel bubbles, stickers.

Every function changes or returns images float32 (N, 3, S, S), display-referred 0..1.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from augkit import ArrayDraws
from augkit_phantom.fields import OCTAVES, Plane, Values, grid, log_uniform, octave, planes, step
from augkit_phantom.layers import having, paint
from augkit_phantom.strokes import cover


def _pick(draws: ArrayDraws, name: str, colours: Sequence[tuple[float, float, float]]) -> Values:
    """Return (N, 3): one of the colours, slightly varied."""
    table = np.array(colours, np.float32)
    return table[draws.integers(name, 0, len(table))] * draws.uniform(f"{name} shade", 0.8, 1.2)[:, None]


def add_ink(images: Plane, draws: ArrayDraws) -> None:
    """Draw a surgeon's purple marker: a broken ring or a few thick lines."""
    where = having(draws, "ink", 0.05)
    ink, size = draws[where], images.shape[-1]
    t = np.linspace(0.0, 1.0, 3 * size, dtype=np.float32)
    turn = (
        ink.uniform("turn", 0.0, 6.28, shape=(3,))[:, :, None]
        + ink.uniform("arc", 0.4, 1.6, shape=(3,))[:, :, None] * t
    )
    away = ink.uniform("away", 0.28, 0.48)[:, None, None] * (1 + 0.06 * np.sin(9 * turn))
    points = np.stack([0.5 + away * np.cos(turn), 0.5 + away * np.sin(turn)], axis=-1).reshape(-1, len(t), 2)
    owner = np.repeat(np.arange(len(ink)), 3)
    width = np.repeat(ink.uniform("width", 0.012, 0.03), 3)[:, None] + 0 * points[..., 0]
    alpha = cover(points, width, owner, len(ink), size)
    alpha *= 0.6 + 0.25 * step(octave(ink, "patchy", OCTAVES[2], size))
    paint(images, where, alpha, _pick(ink, "colour", [(0.36, 0.22, 0.58), (0.25, 0.22, 0.55)]))


def add_hair(images: Plane, draws: ArrayDraws, most: int = 32) -> None:
    """Draw hairs: long curved ones in the grain of the skin, or short stubble; dark, brown or fair."""
    where = having(draws, "hair", 0.42)
    hair, size = draws[where], images.shape[-1]
    count = 1 + hair.uniform("count") * hair.uniform("density") * most
    owner, slot = np.nonzero(np.arange(most) < count[:, None])

    def each(name: str, low: float, high: float) -> Values:
        return hair.uniform(name, low, high, shape=(most,))[owner, slot][:, None]

    stubble = hair.boolean("stubble", 0.18)[owner][:, None]
    t = np.linspace(0.0, 1.0, 2 * size, dtype=np.float32)
    length = np.where(stubble, each("short", 0.05, 0.16), each("long", 0.3, 1.3))
    spread = hair.uniform("spread", 0.15, 1.5)[owner][:, None]
    heading = hair.uniform("grain", 0.0, 6.28)[owner][:, None] + spread * each("heading", -1.0, 1.0)
    heading = heading + length * (each("curl", -1.6, 1.6) * t + each("hook", -1.5, 1.5) * t * t)
    ahead = length / np.float32(2 * size)
    x = each("x", -0.1, 1.1) + np.cumsum(np.cos(heading) * ahead, axis=1)
    y = each("y", -0.1, 1.1) + np.cumsum(np.sin(heading) * ahead, axis=1)
    width = hair.uniform("width", 0.005, 0.011)[owner][:, None] * each("taper", 0.7, 1.2) * (1.0 - 0.55 * t)
    alpha = cover(np.stack([x, y], axis=-1), width, owner, len(hair), size)
    alpha *= planes(hair.uniform("opacity", 0.55, 0.95))
    colours = [(0.13, 0.09, 0.08), (0.16, 0.11, 0.08), (0.33, 0.2, 0.12), (0.82, 0.72, 0.58)]
    paint(images, where, alpha, _pick(hair, "colour", colours))


def add_ruler(images: Plane, draws: ArrayDraws, ticks: int = 21) -> None:
    """Draw a millimetre scale along one side of the frame: a base line, ticks, every fifth longer."""
    where = having(draws, "ruler", 0.25)
    ruler, size = draws[where], images.shape[-1]
    pitch = ruler.uniform("pitch", 0.018, 0.045)[:, None, None]
    along = (np.arange(ticks, dtype=np.float32) - ruler.uniform("start", 0, 12)[:, None])[..., None] * pitch
    tall = np.where(np.arange(ticks) % 5 == 0, 2.0, 1.0).astype(np.float32)[:, None] * pitch
    t = np.linspace(0.0, 1.0, max(8, size // 5), dtype=np.float32)
    tick_x, tick_y = along + 0 * t, tall * t
    base_t = np.linspace(0.0, 1.0, 2 * size, dtype=np.float32)
    first, last = along[:, :1], along[:, -1:]
    base_x, base_y = first + (last - first) * base_t, 0 * base_t + 0 * first
    side, tilt = ruler.integers("side", 0, 4), ruler.normal("tilt", 0.0, 0.12)
    inset = ruler.uniform("inset", 0.03, 0.17)
    width = ruler.uniform("width", 0.006, 0.012)
    alpha = np.zeros((len(ruler), size, size), np.float32)
    for x, y in ((tick_x, tick_y), (base_x, base_y)):
        points = _at_side(x, y, side, tilt, inset).reshape(-1, x.shape[-1], 2)
        owner = np.repeat(np.arange(len(ruler)), x.shape[1])
        np.maximum(alpha, cover(points, width[owner][:, None] + 0 * points[..., 0], owner, len(ruler), size), out=alpha)
    paint(images, where, alpha * planes(ruler.uniform("opacity", 0.5, 0.9)), np.full((len(ruler), 3), 0.1, np.float32))


def _at_side(x: Plane, y: Plane, side: NDArray[np.int64], tilt: Values, inset: Values) -> Values:
    """Return points (M, K, P, 2): x along and y across a scale, laid at one of the four sides of the frame."""
    angle = planes((tilt + side * (np.pi / 2)).astype(np.float32))
    across = y + planes(inset) - 0.5
    px = 0.5 + x * np.cos(angle) - across * np.sin(angle)
    py = 0.5 + x * np.sin(angle) + across * np.cos(angle)
    return np.stack([px, py], axis=-1)


def add_sticker(images: Plane, draws: ArrayDraws) -> None:
    """Lay a coloured round sticker across one side of the frame."""
    where = having(draws, "sticker", 0.05)
    sticker, size = draws[where], images.shape[-1]
    x, y = grid(size)
    turn = sticker.uniform("turn", 0.0, 6.28)
    radius = sticker.uniform("radius", 0.12, 0.3)
    away = radius * sticker.uniform("shown", 0.2, 0.8) + 0.5
    dx, dy = x - planes(0.5 + away * np.cos(turn)), y - planes(0.5 + away * np.sin(turn))
    edge = step((planes(radius) - np.sqrt(dx * dx + dy * dy)) * 120.0)
    edge *= 1.0 - 0.04 * octave(sticker, "weave", OCTAVES[2], size)
    colours = [(0.95, 0.6, 0.12), (0.12, 0.45, 0.8), (0.45, 0.78, 0.7), (0.85, 0.25, 0.3), (0.92, 0.85, 0.2)]
    paint(images, where, np.clip(edge, 0, 1), np.minimum(_pick(sticker, "colour", colours), 1.0))


def add_gel(images: Plane, draws: ArrayDraws, most: int = 5) -> None:
    """Draw bubbles of the immersion gel: a bright and dark ring with a highlight, and wet glints."""
    where = having(draws, "gel", 0.18)
    gel, size = draws[where], images.shape[-1]
    x, y = grid(size)
    light = np.zeros((len(gel), size, size), np.float32)
    for k in range(most):
        bubble = gel.fork(f"bubble {k}")
        there = planes(bubble.boolean("there", 0.6).astype(np.float32))
        at = bubble.uniform("at", 0.0, 1.0, shape=(2,))
        radius = planes(log_uniform(bubble, "radius", 0.012, 0.09))
        dx, dy = x - planes(at[:, 0]), y - planes(at[:, 1])
        off = (np.sqrt(dx * dx + dy * dy) - radius) / (0.006 + 0.12 * radius)
        lit = 0.6 + 0.5 * (dx + dy) / (np.abs(dx) + np.abs(dy) + 1e-3)
        spot = ((dx + 0.45 * radius) ** 2 + (dy + 0.45 * radius) ** 2) / (0.05 * radius * radius + 4e-5)
        light += there * (0.30 * lit * np.exp(-off * off) - 0.13 * np.exp(-np.square(off + 2.2)) + 0.5 * np.exp(-spot))
    glints = planes(gel.uniform("glints", 0.0, 0.5)) * step((octave(gel, "glint", OCTAVES[2], size) - 2.9) * 3.0)
    images[where] += (light + glints)[:, None]
