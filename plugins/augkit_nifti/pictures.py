"""PNG, BMP and TIFF files as images with label maps, of 8 or 16 bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from augkit import Channel, Format, InputError, Problem, Splits
from augkit.images import GREY, RGB, PixelType, Series, Slice, load_series, rgb_format, shown_as_rgb, sum_up
from augkit_nifti.headers import common_type
from augkit_nifti.labels import Labelling
from augkit_nifti.splits import Part
from augkit_nifti.volumes import Case

_TYPES: dict[str, PixelType] = {"uint8": "uint8", "uint16": "uint16", "int16": "int16", "float32": "float32"}

_SIXTEEN_BIT_COLOUR = "is a PNG of 16-bit colour, of which 8 would be read; allowed: 8-bit colour, 8- or 16-bit grey"


@dataclass(frozen=True)
class Pictures:
    """Files of images and how they become samples.

    channels: as the description names them, without windows where these are found in the training pixels.
    as_rgb:   the window of the one channel that is shown as 8-bit RGB; None leaves pixels as they are.
    """

    cases: Sequence[Case]
    channels: tuple[Channel, ...]
    labelling: Labelling
    as_rgb: tuple[float, float] | None = None

    def problems(self) -> list[Problem]:
        """Return what headers tell is wrong; reading finds the rest."""
        missing = [path for case in self.cases for path in (*case.images, case.labels) if not path.is_file()]
        if missing:
            return [Problem(str(path), "is not a file") for path in missing]
        problems: list[Problem] = []
        for case in self.cases:
            try:
                bands = sum(_shape_and_type(path)[0][2] for path in case.images)
            except InputError as error:
                problems += error.problems
                continue
            if bands != len(self.channels):
                what = (
                    f"{case.id} has {bands} channels in {len(case.images)} files; allowed: {len(self.channels)}, as in "
                )
                problems.append(Problem(str(case.images[0]), f"{what}channel_names"))
        return problems

    def raw_format(self) -> Format:
        """Return the format of the files; raises `InputError` where a header cannot be used."""
        if problems := self.problems():
            raise InputError(*sum_up(problems))
        dtype = common_type([_shape_and_type(path)[1] for case in self.cases for path in case.images])
        channels = self.channels
        if dtype == "uint8":
            known = {one.meaning: one for one in (*RGB, *GREY)}
            channels = tuple(
                known[one.meaning] if one.low is None and one.meaning in known else one for one in channels
            )
        return Format(dtype, channels, self.labelling.names, self.labelling.ignores)

    def format(self) -> Format:
        """Return the format of what is read."""
        raw = self.raw_format()
        return raw if self.as_rgb is None else rgb_format(raw)

    def series(self, part: Part) -> list[Series]:
        """Return images to be read."""
        raw = self.raw_format()
        whole = [Series(case.labels, case.group, 1, partial(self._read, case, raw)) for case, _ in part]
        return whole if self.as_rgb is None else [shown_as_rgb(one, raw, *self.as_rgb) for one in whole]

    def load(self, parts: Sequence[Part], size: int, resize: Literal["nearest", "area"]) -> Splits:
        """Return train, validation and test."""
        return load_series([self.series(part) for part in parts], self.format(), size, resize)

    def remarks(self) -> list[str]:
        """Return nothing: what is wrong with pictures is refused."""
        return []

    def _read(self, case: Case, format: Format) -> Iterator[Slice]:
        values = _read(case.labels)
        if values.shape[2] != 1:
            what = f"holds {values.shape[2]} channels; allowed: one, the number of the class"
            raise InputError(Problem(str(case.labels), what, "Save labels as grey, not as colours"))
        labels = self.labelling.decode(values[..., 0], case.labels)
        images = [_read(path) for path in case.images]
        for path, image in zip(case.images, images, strict=True):
            if image.shape[:2] != labels.shape:
                (h, w), (rows, columns) = image.shape[:2], labels.shape
                what = f"is {columns} x {rows} pixels, its image {path.name} {w} x {h}; allowed: equal sizes"
                raise InputError(Problem(str(case.labels), what))
        yield Slice(case.id, np.concatenate(images, axis=-1).astype(format.dtype), labels)


def _shape_and_type(path: Path) -> tuple[tuple[int, int, int], PixelType]:
    """Return (height, width, channels) and type of an image; `InputError` for what is not read."""
    if path.suffix.lower() in (".tif", ".tiff"):
        import tifffile

        try:
            with tifffile.TiffFile(path) as file:
                series = file.series[0]
                shape, dtype, pages = tuple(series.shape), str(series.dtype), len(file.series)
        except (OSError, ValueError, IndexError, tifffile.TiffFileError) as error:
            raise InputError(Problem(str(path), f"cannot be read as TIFF ({error})", "Save it anew")) from error
        return _usable(path, shape, dtype, pages)
    mode, width, height = _pillow(path)
    bands, dtype = {"L": (1, "uint8"), "1": (1, "uint8"), "P": (1, "uint8"), "RGB": (3, "uint8")}.get(mode, (0, ""))
    if mode.startswith("I;16"):
        bands, dtype = 1, "uint16"
    if not bands:
        what = f"has pixels of the kind {mode}; allowed: grey of 8 or 16 bits, or RGB of 8 bits"
        raise InputError(Problem(str(path), what, "Save it without transparency"))
    return (height, width, bands), _TYPES[dtype]


def _pillow(path: Path) -> tuple[str, int, int]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode, (width, height), kind = image.mode, image.size, image.format
        start = path.open("rb")
        with start:
            head = start.read(26)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(Problem(str(path), f"cannot be read as an image ({error})", "Save it anew")) from error
    if kind == "PNG" and head[24] == 16 and head[25] != 0:
        raise InputError(Problem(str(path), _SIXTEEN_BIT_COLOUR, "Save channels as grey files, or as 8-bit colour"))
    return mode, width, height


def _usable(path: Path, shape: tuple[int, ...], dtype: str, pages: int) -> tuple[tuple[int, int, int], PixelType]:
    if pages > 1 or len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3):
        found = " x ".join(map(str, shape))
        what = f"holds {pages} images of {found}; allowed: one, (height, width) or (height, width, 3)"
        raise InputError(Problem(str(path), what, "Save slices or channels as files each"))
    if dtype not in _TYPES:
        raise InputError(Problem(str(path), f"has pixels of {dtype}; allowed: {', '.join(_TYPES)}", "Convert it"))
    return (shape[0], shape[1], 1 if len(shape) == 2 else 3), _TYPES[dtype]


def _read(path: Path) -> NDArray[Any]:
    """Return an image (height, width, channels)."""
    shape, _ = _shape_and_type(path)
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            import tifffile

            pixels = np.asarray(tifffile.imread(path))
        else:
            from PIL import Image

            with Image.open(path) as image:
                pixels = np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(Problem(str(path), f"is damaged ({error})", "Copy it again")) from error
    pixels = pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InputError(Problem(str(path), "holds a pixel that is no number; allowed: finite numbers"))
    return pixels.reshape(shape)
