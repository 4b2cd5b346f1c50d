"""What an export is made of, and the folder that is filled with it by several threads."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import HasNativePairs
from augkit.data.arrays import Images, ImageSet, Masks, Record, Splits
from augkit.data.encoding import encode_nifti, encode_png, encode_tiff, encode_webp
from augkit.data.formats import IGNORED
from augkit.data.formats import Format as PixelFormat
from augkit.report.verdict.scores import TEST_IMAGES
from augkit.store import FileFacts, tar_unflushed, write_json, write_pieces, write_text, write_unflushed

Format = Literal["folder", "nnunet", "coco", "webdataset"]
ImageFormat = Literal["png", "webp"]

SAMPLES_PER_TAR = 8192
"""Of a WebDataset: those of a shard of ours, so that each is read once."""

_RUN = 64
"""Samples that one thread writes at a time."""


@dataclass(frozen=True)
class SyntheticSet:
    """One synthetic set and what is known of it.

    painted:    how many images were painted; the recipe's ``min_adherence`` may have left some out.
    records:    what the mask source says of each mask.
    keys:       int64 (N,), of the draws that each image was painted with.
    quality:    the content of ``quality.json``.
    per_image:  the content of ``images.json``, by the image's place in `samples`; None for images that were not judged.
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

    held_out: what the test split of the real data holds, as in `Design.scored_on`; of folds, with which one.
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
    """How files are encoded.

    image_format: of images that are RGB. Grey ones of 8 and 16 bits are PNG, other ones TIFF, or NIfTI where `volumes`
                  says so.
    foreground:   the level of masks of one class. Label maps keep their numbers, but for `ignored`.
    pixels:       what the images are.
    volumes:      whether images and masks are NIfTI files of one slice each.
    ignored:      the number that stands for pixels that do not count.
    spacing:      in mm, of samples that say none.
    """

    image_format: ImageFormat
    foreground: int = 255
    pixels: PixelFormat = field(default_factory=PixelFormat)
    volumes: bool = False
    ignored: int = IGNORED
    spacing: tuple[float, float] = (1.0, 1.0)

    @property
    def ending(self) -> str:
        """What names of images end with, behind the point."""
        if self.volumes:
            return "nii.gz"
        return self.image_format if self.pixels.rgb else "png" if _fits_png(self.pixels) else "tif"

    def files(
        self, image: Images, mask: Masks, places: tuple[str, str], spacing: NDArray[np.float32] | None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of the files of one sample: its image or its channels, then its mask.

        image: (H, W, C); mask: (H, W), as `ImageSet` has them. The path of an image of several channels has ``_0000``.
        """
        size = self.spacing
        if spacing is not None and np.isfinite(spacing).all():
            size = float(spacing[0]), float(spacing[1])
        if self.pixels.rgb:
            yield places[0], encode_png(image) if self.image_format == "png" else encode_webp(image)
        elif not (self.volumes or _fits_png(self.pixels)):
            yield places[0], encode_tiff(image)
        else:
            for channel in range(image.shape[2]):
                path = places[0].replace("_0000.", f"_{channel:04d}.") if channel else places[0]
                yield path, self._plane(image[..., channel], size)
        yield places[1], self._plane(self._levels(mask), size)

    def _plane(self, plane: NDArray[Any], spacing: tuple[float, float]) -> bytes:
        if self.volumes:
            return encode_nifti(plane, spacing)
        return encode_png(plane)

    def _levels(self, mask: Masks) -> NDArray[np.uint8]:
        if mask.dtype == np.bool_:
            return mask.astype(np.uint8) * np.uint8(self.foreground)
        return np.where(mask == IGNORED, np.uint8(self.ignored), mask)


def _fits_png(pixels: PixelFormat) -> bool:
    return (pixels.dtype, len(pixels.channels)) in {("uint8", 1), ("uint8", 3), ("uint16", 1)}


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
            return [self._write(samples.images[i], samples.masks[i], _of(samples, i), place(i), encode) for i in run]

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
        self,
        pairs: Iterable[tuple[Images, Masks, NDArray[np.float32] | None]],
        places: Sequence[tuple[str, str]],
        encode: Encoder,
    ) -> None:
        """Write images and masks, each of its own size and spacing, a few at a time, to these relative paths."""
        threads = os.cpu_count() or 1
        waiting: deque[Future[str]] = deque()
        pool = ThreadPoolExecutor(threads)
        try:
            for done, ((image, mask, spacing), place) in enumerate(zip(pairs, places, strict=True), 1):
                waiting.append(pool.submit(self._write, image, mask, spacing, place, encode))
                if len(waiting) > 2 * threads:
                    waiting.popleft().result()
                self._progress(done, len(places))
            for one in waiting:
                one.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def write_tar(
        self, name: str, count: int, sample: Callable[[int], Sequence[tuple[str, bytes]]], done: int, of: int
    ) -> list[str]:
        """Write a tar file of the files, name and content, that `sample` gives of each of `count` samples, in order.

        Returns the SHA-256 of each sample's first file. done, of: how many samples of all were written before.
        """
        threads = os.cpu_count() or 1
        waiting: deque[Future[Sequence[tuple[str, bytes]]]] = deque()
        digests: list[str] = []
        pool = ThreadPoolExecutor(threads)
        path = self.folder / name
        try:
            with tar_unflushed(path) as (add, facts):
                for i in range(count):
                    waiting.append(pool.submit(sample, i))
                    while waiting and (len(waiting) > 4 * threads or i + 1 == count):
                        files = waiting.popleft().result()
                        for member, data in files:
                            add(member, data)
                        digests.append(hashlib.sha256(files[0][1]).hexdigest())
                        self._progress(done + len(digests), of)
            self.written[path] = facts()
        finally:
            pool.shutdown(cancel_futures=True)
        return digests

    def pieces(self, name: str, content: Iterable[str]) -> None:
        """Write a text file that is never whole in memory."""
        write_pieces(self.folder / name, content)

    def text(self, name: str, content: str) -> None:
        """Write a text file."""
        write_text(self.folder / name, content)

    def json(self, name: str, content: object) -> None:
        """Write a JSON file."""
        write_json(self.folder / name, content)

    def _write(
        self,
        image: Images,
        mask: Masks,
        spacing: NDArray[np.float32] | None,
        places: tuple[str, str],
        encode: Encoder,
    ) -> str:
        for place, data in encode.files(image, mask, places, spacing):
            path = self.folder / place
            self.written[path] = write_unflushed(path, data)
        return str(self.written[self.folder / places[0]]["sha256"])


def _of(samples: ImageSet, i: int) -> NDArray[np.float32] | None:
    return None if samples.spacing is None else samples.spacing[i]
