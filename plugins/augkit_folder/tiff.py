"""TIFF files by way of tifffile, which keeps the numbers of 16-bit colours and of any number of channels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit import InputError, Problem

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

MAX_PIXELS = 64_000_000
"""The largest width x height that is decoded."""

_PAGES_NAMED = 6
_WHITE_IS_ZERO, _RGB, _PALETTE = 0, 2, 3
_PHOTOMETRIC = {0: "MINISWHITE", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
_ALPHA = (1, 2)


class TiffFacts(NamedTuple):
    """What the header of a TIFF file says of its one image.

    size:     width and height.
    colours:  whether its three channels are red, green and blue.
    """

    dtype: np.dtype[Any]
    channels: int
    size: tuple[int, int]
    colours: bool


def is_tiff(path: Path) -> bool:
    """Tell by the name whether a file is a TIFF file."""
    return path.suffix.lower() in (".tif", ".tiff")


def tiff_facts(path: Path) -> TiffFacts:
    """Return what the header says. Raises `InputError` for several pages, 0 as white, alpha, palettes and CMYK."""
    with _opened(path) as file:
        return _facts(path, file, _one_image(path, file))


def read_tiff(path: Path) -> NDArray[Any]:
    """Return the pixels (H, W, C), with the numbers that the file has. Raises `InputError` as `tiff_facts` does."""
    with _opened(path) as file:
        page = _one_image(path, file)
        facts = _facts(path, file, page)
        pixels = _decoded(path, file, page)
    if pixels.ndim == 3 and file.series[0].axes in ("SYX", "CYX"):
        pixels = np.moveaxis(pixels, 0, -1)
    return np.ascontiguousarray(pixels.reshape(*facts.size[::-1], facts.channels))


def read_tiff_labels(path: Path) -> NDArray[Any]:
    """Return a label map (H, W), integer or float, with the numbers that the file has, whichever of them is white."""
    with _opened(path) as file:
        page = _one_image(path, file)
        if page.samplesperpixel != 1:
            what = f"has {page.samplesperpixel} channels; allowed in a label map: one"
            raise InputError(Problem(str(path), what, "Save the labels as numbers, in one channel"))
        _check_size(path, page)
        return _decoded(path, file, page).reshape(page.imagelength, page.imagewidth)


def _opened(path: Path) -> TiffFile:
    try:
        from tifffile import TiffFile
    except ImportError:
        hint = "Install it by 'pip install augkit[tiff]'"
        raise InputError(Problem(str(path), "is a TIFF file, which needs the package tifffile", hint)) from None
    try:
        return TiffFile(path)
    except Exception as error:  # a damaged header can make a decoder raise anything
        raise _damaged(path, error) from error


def _one_image(path: Path, file: TiffFile) -> TiffPage:
    """Return the page that the image is in, the only one unless the file says that its pages are channels."""
    try:
        series, pages = file.series, len(file.pages)
        page: TiffPage = file.pages.first
        axes, levels = series[0].axes, len(series[0].levels)
        sizes = [_spell(file.pages[index]) for index in range(min(pages, _PAGES_NAMED))]
    except Exception as error:
        raise _damaged(path, error) from error
    channels = axes == "CYX" and (file.is_imagej or file.is_ome) and len(series) == 1
    if levels > 1 or (pages > 1 and not channels):
        named = ", ".join(f"{number} ({size})" for number, size in enumerate(sizes, 1))
        more = ", ..." if pages > _PAGES_NAMED else ""
        what = f"holds {max(pages, levels)} pages or frames: {named}{more}; allowed: one"
        hint = "Save the one that is meant: they may be slices, channels, times, or smaller copies of the first"
        raise InputError(Problem(str(path), what, hint))
    turned = page.tags.get("Orientation")
    if turned is not None and int(turned.value) != 1:
        what = f"is to be turned by its orientation tag ({int(turned.value)}); allowed: upright images"
        raise InputError(Problem(str(path), what, "Save it upright, and its mask alike"))
    return page


def _facts(path: Path, file: TiffFile, page: TiffPage) -> TiffFacts:
    kind = int(page.photometric)
    dtype = file.series[0].dtype
    if dtype is None or page.bitspersample == 1:
        what = "is a 1-bit image" if page.bitspersample == 1 else "holds numbers that cannot be read"
        raise InputError(Problem(str(path), f"{what}; allowed: 8 or 16 bits, or float32"))
    if kind == _WHITE_IS_ZERO:
        what = "says that 0 is white and the largest number black (MINISWHITE); allowed: 0 as black"
        hint = "Turn its numbers over and save it as MINISBLACK, or as PNG"
        raise InputError(Problem(str(path), what, hint))
    if kind not in (1, _RGB):
        what = f"holds {_PHOTOMETRIC.get(kind, f'colours of kind {kind}')} pixels; allowed: grey or RGB"
        raise InputError(Problem(str(path), what, "Save it as grey or RGB"))
    if any(int(extra) in _ALPHA for extra in page.extrasamples):
        raise InputError(Problem(str(path), "has an alpha channel; allowed: opaque images", "Save it without"))
    _check_size(path, page)
    channels = file.series[0].shape[0] if len(file.pages) > 1 else page.samplesperpixel
    return TiffFacts(np.dtype(dtype).newbyteorder("="), channels, (page.imagewidth, page.imagelength), kind == _RGB)


def _check_size(path: Path, page: TiffPage) -> None:
    if page.imagewidth * page.imagelength > MAX_PIXELS:
        what = f"has {page.imagewidth} x {page.imagelength} pixels; allowed: {MAX_PIXELS // 1_000_000} million"
        raise InputError(Problem(str(path), what, "Shrink it first"))


def _decoded(path: Path, file: TiffFile, page: TiffPage) -> NDArray[Any]:
    try:
        pixels = file.asarray()
    except Exception as error:
        if "imagecodecs" in str(error):
            from tifffile import COMPRESSION

            what = f"is compressed by {COMPRESSION(page.compression).name}, which needs the package imagecodecs"
            hint = "Install it by 'pip install augkit[tiff]', or save the file uncompressed"
            raise InputError(Problem(str(path), what, hint)) from error
        raise _damaged(path, error) from error
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _spell(page: Any) -> str:
    return f"{page.imagewidth} x {page.imagelength}"


def _damaged(path: Path, error: Exception) -> InputError:
    what = f"cannot be decoded ({type(error).__name__}: {error})"
    return InputError(Problem(str(path), what, "The file is damaged or incomplete; copy or download it again"))
