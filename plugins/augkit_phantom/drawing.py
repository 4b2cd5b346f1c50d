"""From draws to pictures: tissue, light, what lies on the skin, lens and sensor, in the order light passes them."""

import numpy as np

from augkit import ArrayDraws, Images, Masks
from augkit_phantom import artefacts, camera
from augkit_phantom.fields import Plane
from augkit_phantom.shape import outline
from augkit_phantom.skin import DERMIS, HAEMOGLOBIN, MELANIN, Tissue, tissue

_CHUNK_PIXELS = 16 * 64 * 64
"""Pixels drawn at once: planes of this size stay in the processor's cache."""


def draw(draws: ArrayDraws, size: int) -> tuple[Images, Masks]:
    """Return images uint8 (N, S, S, 3) and masks bool (N, S, S); image i depends only on sample i of the draws."""
    count = max(1, _CHUNK_PIXELS // (size * size))
    images = np.empty((len(draws), size, size, 3), np.uint8)
    masks = np.empty((len(draws), size, size), np.bool_)
    for start in range(0, len(draws), count):
        part = slice(start, start + count)
        images[part], masks[part] = _draw(draws[part], size)
    return images, masks


def _draw(draws: ArrayDraws, size: int) -> tuple[Images, Masks]:
    lesion = outline(draws.fork("shape"), size)
    images = reflect(tissue(draws, lesion))
    artefacts.add_ink(images, draws.fork("ink"))
    artefacts.add_gel(images, draws.fork("gel"))
    artefacts.add_hair(images, draws.fork("hair"))
    artefacts.add_sticker(images, draws.fork("sticker"))
    camera.add_light(images, draws.fork("light"))
    artefacts.add_ruler(images, draws.fork("ruler"))
    camera.add_vignette(images, draws.fork("vignette"))
    images = camera.blur(images, draws.fork("lens"))
    camera.add_noise(images, draws.fork("sensor"))
    pixels = np.clip(images * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    return np.moveaxis(pixels, 1, 3), lesion.masks


def reflect(layers: Tissue) -> Plane:
    """Return the light that comes back, float32 (N, 3, S, S): Beer-Lambert absorption under two scatterers."""
    out = np.empty((len(layers.melanin), 3, *layers.melanin.shape[1:]), np.float32)
    for channel, (bare, melanin, blood) in enumerate(zip(DERMIS, MELANIN, HAEMOGLOBIN, strict=True)):
        light = bare * np.exp(-melanin * layers.melanin - blood * layers.blood)
        light += layers.veil * ((0.36, 0.39, 0.47)[channel] - light) * 0.7
        light += layers.white * ((0.90, 0.82, 0.80)[channel] - light) * 0.5
        out[:, channel] = light
    return out
