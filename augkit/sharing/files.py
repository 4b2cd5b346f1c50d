"""What an export is made of, and the folder that is filled with it by several threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import HasNativePairs
from augkit.data import formats
from augkit.data.arrays import Images, ImageSet, Masks, Record, Splits
from augkit.data.encoding import encode_png, encode_tiff, encode_webp
from augkit.report.verdict.scores import TEST_IMAGES
from augkit.store import FileFacts, write_json, write_text, write_unflushed

Format = Literal["folder", "nnunet", "coco"]
ImageFormat = Literal["png", "webp"]

_RUN = 64
"""Samples that one thread writes at a time."""


@dataclass(frozen=True)
class SyntheticSet:
    """One synthetic set and what is known of it.

    painted:    how many images were painted; the recipe's ``min_adherence`` may have left some out.
    records:    what the mask source says of each mask.
    keys:       int64 (N,), of the draws that each image was painted with.
    quality:    the content of ``quality.json``.
    per_image:  the content of ``images.json``.
    hashes:     fingerprints of the generator and of the synthetic set.
    real_pixels: whether the images are made of pixels of the training images, as their generator declares.
    """

    samples: ImageSet
    painted: int
    records: Sequence[Record]
    keys: NDArray[np.int64]
    quality: Mapping[str, Any]
    per_image: Mapping[str, Sequence[Any]]
    hashes: Mapping[str, str]
    real_pixels: bool = False


@dataclass(frozen=True)
class Export:
    """What is exported: synthetic sets, the real data they come from, and the recipe as text.

    held_out: what the test split of the real data holds, as in `Design.scored_on`.
    native:   the data set where real cases are written at the size of their own files; None for that of `real`.
    """

    name: str
    recipe: str
    seed: int
    sources: tuple[SyntheticSet, ...]
    real: Splits
    held_out: str = TEST_IMAGES
    native: HasNativePairs | None = None


Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Encoder:
    """How files are encoded: images as PNG or lossless WebP, masks always as PNG with this foreground level.

    PNG holds 8-bit grey and RGB and 16-bit grey; other images are TIFF. Label maps keep their numbers.
    """

    image_format: ImageFormat
    foreground: int = 255

    def image(self, image: Images) -> bytes:
        """Return the file of one image, (H, W, C)."""
        if self.image_format == "webp":
            return encode_webp(image)
        if not _fits_png(image.dtype.name, image.shape[-1]):
            return encode_tiff(image)
        return encode_png(image if image.shape[-1] == 3 else image[..., 0])

    def mask(self, mask: Masks) -> bytes:
        """Return the file of one mask, bool or labels (H, W)."""
        return encode_png(mask.astype(np.uint8) * np.uint8(self.foreground) if mask.dtype == np.bool_ else mask)


def ending_of(format: formats.Format, image_format: ImageFormat) -> str:
    """Return the ending of image files, as `Encoder` writes them: ``png``, ``tif`` or ``webp``."""
    return image_format if image_format == "webp" or _fits_png(format.dtype, len(format.channels)) else "tif"


def _fits_png(dtype: str, channels: int) -> bool:
    return (dtype, channels) in {("uint8", 1), ("uint8", 3), ("uint16", 1)}


class Sink:
    """A folder that is being filled; many threads write into it, and its files are counted and hashed.

    written: size and hash of each sample's files.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.written: dict[Path, FileFacts] = {}
        self._progress = progress

    def write_samples(self, samples: ImageSet, place: Callable[[int], tuple[str, str]], encode: Encoder) -> list[str]:
        """Write image and mask of every sample to the two relative paths that `place` gives; returns image SHA-256s."""

        def write(begin: int) -> list[str]:
            run = range(begin, min(begin + _RUN, len(samples)))
            return [self._write(samples.images[i], samples.masks[i], place(i), encode) for i in run]

        pool = ThreadPoolExecutor(os.cpu_count() or 1)
        digests: list[str] = []
        try:
            for part in pool.map(write, range(0, len(samples), _RUN)):
                digests += part
                self._progress(len(digests), len(samples))
        finally:
            pool.shutdown(cancel_futures=True)
        return digests

    def write_pairs(
        self, pairs: Iterable[tuple[Images, Masks]], places: Sequence[tuple[str, str]], encode: Encoder
    ) -> None:
        """Write images and masks, each of its own size, of which a few are held at a time, to these relative paths."""
        threads = os.cpu_count() or 1
        waiting: deque[Future[str]] = deque()
        pool = ThreadPoolExecutor(threads)
        try:
            for done, ((image, mask), place) in enumerate(zip(pairs, places, strict=True), 1):
                waiting.append(pool.submit(self._write, image, mask, place, encode))
                if len(waiting) > 2 * threads:
                    waiting.popleft().result()
                self._progress(done, len(places))
            for one in waiting:
                one.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def text(self, name: str, content: str) -> None:
        """Write a text file."""
        write_text(self.folder / name, content)

    def json(self, name: str, content: object) -> None:
        """Write a JSON file."""
        write_json(self.folder / name, content)

    def _write(self, image: Images, mask: Masks, places: tuple[str, str], encode: Encoder) -> str:
        for place, data in zip(places, (encode.image(image), encode.mask(mask)), strict=True):
            path = self.folder / place
            self.written[path] = write_unflushed(path, data)
        return str(self.written[self.folder / places[0]]["sha256"])
