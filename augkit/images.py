"""Image and mask files <-> arrays; the only place that opens image files.

A file is used exactly as it was meant or refused by name. An image is turned upright by its EXIF orientation and
becomes RGB. A mask keeps the numbers it was saved with: its grey levels or palette indices are read, never converted to
grey, because a conversion turns the palette indices 0, 1, 2 into colours such as 0, 38, 75.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from augkit.contracts import ImageSet, Splits
from augkit.errors import AugkitError, InputError, Problem

Resize = Literal["nearest", "area"]
"""How an image becomes smaller: `nearest` picks one source pixel, `area` averages; a mask is always `nearest`."""

MAX_PIXELS = 64_000_000
"""The largest width x height that is decoded; dermoscopy originals reach 30 million pixels."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
"""File-name endings of the formats that can be read, in lower case."""

# The format classes are called directly, not through `Image.open`: that one warns about large images, and a warning can
# only be made an error by changing filters that all threads share.
_READERS: Mapping[str, Callable[[BinaryIO, str], ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}

_SIGNATURES = (
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("TIFF", 0, b"II*\0"),
    ("TIFF", 0, b"MM\0*"),
    ("TIFF", 0, b"II+\0"),
    ("TIFF", 0, b"MM\0+"),
    ("BMP", 0, b"BM"),
    ("WEBP", 8, b"WEBP"),
    ("GIF", 0, b"GIF8"),
    ("DICOM", 128, b"DICM"),
    ("JPEG 2000", 4, b"jP  "),
    ("HEIF or AVIF", 4, b"ftyp"),
    ("ZIP", 0, b"PK\x03\x04"),
    ("Git LFS pointer", 0, b"version https://git-lfs"),
    ("HTML", 0, b"<!DOCTYPE"),
    ("HTML", 0, b"<html"),
)

_TIFF_BITS_PER_SAMPLE = 258
_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_PNG_FILTER_UP = 2


class Pair(NamedTuple):
    """An image file and its mask file.

    id:    the sample's unique name.
    group: the patient or lesion the sample comes from; empty means that the id is the group.
    """

    id: str
    image: Path
    mask: Path
    group: str = ""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return an image file as uint8 (H, W, 3), 0..255, RGB, upright.

    Grey, palette and fully opaque alpha images are accepted; ICC profiles are ignored. Raises `InputError` for
    everything whose 8-bit RGB values would be a guess: 16 bits, CMYK, transparent pixels, several pages.
    """
    image = _decode_8_bit(path)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if not _is_opaque(image):
            raise _refusal(path, "has transparent pixels; allowed: opaque images", "Save it on its background, as RGB")
    return np.asarray(image.convert("RGB"))


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Return a mask file as bool (H, W), upright: true where the level or palette index is not 0.

    A file may hold 0 and one other level, at any bit depth, or one level only (nothing or everything is foreground).
    Raises `InputError` for more levels, for colours and for JPEG, whose compression invents levels.
    """
    file = _decode(path)
    if file.image.format == "JPEG":
        what = "is a JPEG, which blurs the edge of a mask; allowed: PNG, TIFF, BMP or lossless WEBP"
        raise _refusal(path, what, "Export the mask again in one of these; converting this file does not undo the blur")
    levels = _levels(path, file)
    mask: NDArray[np.bool_] = levels != 0
    foreground = levels.ravel()[mask.argmax()]
    if (mask & (levels != foreground)).any():
        what = f"holds {_spell_levels(levels)}; allowed in a mask: 0 (background) and one other level (foreground)"
        raise _refusal(path, what, "Save the structure to segment as 255 on 0; if a resize blurred the edge, redo it")
    if file.image.mode == "P":
        _refuse_white_background(path, file.image, int(foreground))
    return mask


def read_drawing(path: Path) -> NDArray[np.float32]:
    """Return a drawing as float32 (H, W), its brightness from 0 (black) to 1 (white), upright.

    Brightness is the luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, of the drawing laid on white paper: what is
    transparent is white. Raises `InputError` for 16 bits, CMYK and several pages.
    """
    drawing = _decode_8_bit(path).convert("RGBA")
    paper = Image.new("RGBA", drawing.size, "white")
    luma = Image.alpha_composite(paper, drawing).convert("L")
    return np.asarray(luma).astype(np.float32) / np.float32(255)


def average_resize(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return float32 (height, width) from float32 (H, W): the mean of what lies under an output pixel (PIL's BOX)."""
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BOX))


def upsample_scores(scores: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return float32 (height, width) from float32 (H, W), interpolated linearly between pixel centres (PIL's BILINEAR).

    Where a side gets shorter, the mean of what lies under an output pixel is taken, weighted by a triangle.
    """
    return np.asarray(Image.fromarray(scores).resize((width, height), Image.Resampling.BILINEAR))


def resize_image(image: NDArray[np.uint8], size: int, how: Resize) -> NDArray[np.uint8]:
    """Return uint8 (size, size, 3) from uint8 (H, W, 3), squeezing the aspect ratio.

    nearest: output pixel o shows source pixel floor((o + 0.5) * L / size), the pixel under its centre. This is PIL's
             NEAREST (which at an exact tie may take the pixel before), so SciPy's former
             `imresize(..., interp="nearest")`, which the Mask2Lesion paper (Abhishek & Hamarneh 2019) used.
    area:    the mean of the source pixels under an output pixel (PIL's BOX), so that fine texture does not alias.
    """
    method = Image.Resampling.NEAREST if how == "nearest" else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize((size, size), method))


def resize_mask(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Return bool (size, size) from bool (H, W): `nearest` as for images, so that both show the same source pixel."""
    small = Image.fromarray(mask.view(np.uint8)).resize((size, size), Image.Resampling.NEAREST)
    return np.asarray(small).astype(np.bool_)


def shrink_images(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return uint8 (N, size, size, 3) from uint8 (N, H, W, 3), each resized as `resize_image` does with ``area``."""
    small = np.empty((len(images), size, size, 3), np.uint8)
    for i, image in enumerate(images):
        small[i] = resize_image(image, size, "area")
    return small


def encode_png(array: NDArray[np.uint8] | NDArray[np.bool_]) -> bytes:
    """Return a PNG file of uint8 (H, W, 3) RGB, uint8 (H, W) grey, or bool (H, W) written as 0 and 255.

    Every row is stored as its difference from the row above and run-length coded. Pillow tries five filters per row
    and searches for repeats: a third of the speed, for files of dermoscopy images 2 % smaller.
    """
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise ValueError(f"found {array.dtype} {array.shape}; allowed: uint8 (H, W, 3), uint8 (H, W) or bool (H, W)")
    height, width = array.shape[:2]
    flat = array.reshape(height, -1)
    rows = np.empty((height, flat.shape[1] + 1), np.uint8)
    rows[:, 0] = _PNG_FILTER_UP
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if array.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packer.compress(rows.data) + packer.flush()), (b"IEND", b""))
    return _PNG_MARK + b"".join(_png_chunk(kind, content) for kind, content in chunks)


def encode_webp(image: NDArray[np.uint8]) -> bytes:
    """Return a lossless WebP file of uint8 (H, W, 3) RGB."""
    file = BytesIO()
    Image.fromarray(image).save(file, "WEBP", lossless=True, method=0, quality=0)
    return file.getvalue()


def match_pairs(
    images: Iterable[tuple[str, Path]], masks: Iterable[tuple[str, Path]]
) -> tuple[list[Pair], list[Problem]]:
    """Return the pairs of equal id, sorted by id, and a problem for every file without partner or with a double."""
    problems: list[Problem] = []
    image_of = _by_id(images, "image", problems)
    mask_of = _by_id(masks, "mask", problems)
    for name in sorted(image_of.keys() - mask_of.keys()):
        problems.append(Problem(str(image_of[name]), f"no mask has the id {name}", "Add the mask or remove the image"))
    for name in sorted(mask_of.keys() - image_of.keys()):
        problems.append(Problem(str(mask_of[name]), f"no image has the id {name}", "Add the image or remove the mask"))
    return [Pair(name, image_of[name], mask_of[name]) for name in sorted(image_of.keys() & mask_of.keys())], problems


def unreadable(paths: Iterable[Path]) -> list[Problem]:
    """Return what is wrong with the headers of image files; no pixel is decoded, so this is fast and not the whole."""
    problems: list[Problem] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                _open(path, file)
        except InputError as error:
            problems += error.problems
        except Exception as error:  # a damaged header can make a decoder raise anything
            problems += _damaged(path, error).problems
    return problems


def load_pairs(pairs: Sequence[Pair], size: int, resize: Resize, problems: Iterable[Problem] = ()) -> ImageSet:
    """Return the pairs, resized to size x size, in the order given; every origin is ``real``.

    Every file is read even when some are bad. Raises one `InputError` with `problems`, which the caller has found
    before, and those of every bad file.
    """
    images = np.empty((len(pairs), size, size, 3), np.uint8)
    masks = np.empty((len(pairs), size, size), np.bool_)

    def load(index: int) -> tuple[Problem, ...]:
        try:
            image, mask = _read_pair(pairs[index])
        except InputError as error:
            return error.problems
        images[index], masks[index] = resize_image(image, size, resize), resize_mask(mask, size)
        return ()

    found = [*problems, *_repeated_ids(pairs)]
    with ThreadPoolExecutor(_threads()) as pool:
        for more in pool.map(load, range(len(pairs))):
            found += more
    if found:
        raise InputError(*found)
    groups = tuple(pair.group or pair.id for pair in pairs)
    return ImageSet(tuple(pair.id for pair in pairs), images, masks, groups, ("real",) * len(pairs))


def load_splits(
    train: Sequence[Pair],
    validation: Sequence[Pair],
    test: Sequence[Pair],
    size: int,
    resize: Resize,
    problems: Iterable[Problem] = (),
) -> Splits:
    """Return the three splits as `load_pairs` does, reporting the bad files of all three at once."""
    samples = load_pairs([*train, *validation, *test], size, resize, problems)
    ends = (0, len(train), len(train) + len(validation), len(samples))
    return Splits(*(_part(samples, slice(start, stop)) for start, stop in pairwise(ends)))


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _refusal(path: Path, what: str, hint: str = "") -> InputError:
    return InputError(Problem(str(path), what, hint))


def _decode_8_bit(path: Path) -> Image.Image:
    """Return the decoded, upright image if its values can be made 8-bit RGB, perhaps with transparency."""
    file = _decode(path)
    image: Image.Image = file.image
    if file.bits > 8:
        what = f"is a {file.bits}-bit image; allowed: 8 bits per channel"
        raise _refusal(path, what, "Scale it to 0..255 yourself: which range is black and white is your choice")
    if image.mode == "CMYK":
        what = "is a CMYK image, whose colours depend on a printing profile; allowed: RGB, grey or palette"
        raise _refusal(path, what, "Save it as RGB")
    if image.mode not in ("1", "L", "P", "RGB", "LA", "PA", "RGBA"):
        raise _refusal(path, f"has the pixel mode {image.mode}; allowed: 8-bit RGB, grey or palette", "Save it as RGB")
    return image


class _Decoded(NamedTuple):
    image: ImageFile
    bits: int
    """Bits per channel in the file: the decoder cuts 16-bit colour down to 8 without a word."""


def _decode(path: Path) -> _Decoded:
    """Return the decoded, upright image."""
    if not path.is_file():
        raise _refusal(path, "is not a file" if path.exists() else "does not exist")
    try:
        with path.open("rb") as file:
            image = _open(path, file)
            bits = _bits(image)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
    except (AugkitError, MemoryError):
        raise
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise _damaged(path, error) from error
    return _Decoded(image, bits)


def _damaged(path: Path, error: Exception) -> InputError:
    what = f"cannot be decoded ({type(error).__name__}: {error})"
    return _refusal(path, what, "The file is damaged or incomplete; copy or download it again")


def _open(path: Path, file: BinaryIO) -> ImageFile:
    """Return the image with its header read and checked, and no pixel decoded."""
    head = file.read(160)
    file.seek(0)
    if not head:
        raise _refusal(path, "is empty (0 bytes)", "Copy or download it again")
    kind = next((name for name, at, mark in _SIGNATURES if head[at : at + len(mark)] == mark), "unknown")
    if kind not in _READERS:
        raise _refusal(path, f"is no image that can be read (content: {kind}); allowed: {', '.join(_READERS)}")
    image = _READERS[kind](file, str(path))
    if image.width * image.height > MAX_PIXELS:
        what = f"has {image.width} x {image.height} pixels; allowed: {MAX_PIXELS // 1_000_000} million"
        raise _refusal(path, what, "Shrink it first")
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise _refusal(path, f"holds {pages} pages or frames; allowed: one", "Save the one that is meant")
    return image


def _bits(image: ImageFile) -> int:
    """Return the bits per channel of an image whose pixels are not decoded yet."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, 1)
        return max(bits) if isinstance(bits, tuple) else int(bits)
    deep = image.format == "PNG" and any(";16" in str(tile.args) for tile in image.tile)
    return 16 if deep else 8


def _is_opaque(image: Image.Image) -> bool:
    return image.getchannel("A").getextrema()[0] == 255


def _levels(path: Path, file: _Decoded) -> NDArray[Any]:
    """Return the levels or palette indices as they were saved, an integer or bool array (H, W)."""
    image, bits = file
    if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        return np.asarray(image)
    if image.mode not in ("RGB", "LA", "RGBA") or bits > 8:
        what = f"has the pixel mode {image.mode} at {bits} bits; allowed in a mask: integer grey or palette"
        raise _refusal(path, what, "Save it as 8-bit grey, 255 on 0")
    if image.mode.endswith("A") and not _is_opaque(image):
        what = "has transparent pixels, so its levels and its transparency may disagree; allowed: an opaque mask"
        raise _refusal(path, what, "Save it as 8-bit grey, 255 on 0")
    first, *others = (np.asarray(image.getchannel(name)) for name in image.getbands() if name != "A")
    if not all(np.array_equal(first, other) for other in others):
        what = "is a colour image, such as a superpixel map or an overlay; allowed in a mask: grey or palette"
        raise _refusal(path, what, "Give the binary mask instead")
    return first


def _spell_levels(levels: NDArray[Any]) -> str:
    found = np.unique(levels)
    some = ", ".join(str(int(level)) for level in found[:6])
    return f"{len(found)} levels ({some}{', ...' if len(found) > 6 else ''})"


def _refuse_white_background(path: Path, image: ImageFile, foreground: int) -> None:
    """Refuse a palette that paints index 0 in a colour and the foreground black: one of the two is the wrong way."""
    colours = image.getpalette() or []
    background = colours[:3]
    if foreground and any(background) and not any(colours[3 * foreground : 3 * foreground + 3]):
        what = f"paints index 0 as {tuple(background)} and index {foreground} black: which of them is the background?"
        raise _refusal(path, what, "Save it as 8-bit grey, 255 on 0")


def _by_id(files: Iterable[tuple[str, Path]], kind: str, problems: list[Problem]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in files:
        if name in found:
            what = f"is a second {kind} with the id {name}, beside {found[name].name}"
            problems.append(Problem(str(path), what, "Remove one of the two"))
        found.setdefault(name, path)
    return found


def _repeated_ids(pairs: Sequence[Pair]) -> list[Problem]:
    first: dict[str, Path] = {}
    again = [pair for pair in pairs if first.setdefault(pair.id, pair.image) != pair.image]
    return [
        Problem(str(pair.image), f"the id {pair.id} is already taken by {first[pair.id]}", "Remove one of the two")
        for pair in again
    ]


def _read_pair(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return image and mask of equal size; raises the problems of both files together."""
    try:
        image = read_image(pair.image)
    except InputError as error:
        raise InputError(*error.problems, *_mask_problems(pair.mask)) from error
    mask = read_mask(pair.mask)
    if mask.shape != image.shape[:2]:
        sizes = f"is {_spell_size(mask)} pixels, its image {pair.image.name} is {_spell_size(image)} (turned upright)"
        raise _refusal(pair.mask, f"{sizes}; allowed: equal sizes", "Export the mask at the size of the upright image")
    return image, mask


def _mask_problems(path: Path) -> tuple[Problem, ...]:
    try:
        read_mask(path)
    except InputError as error:
        return error.problems
    return ()


def _spell_size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"


def _threads() -> int:
    """Return how many files to decode at once; decoding frees the GIL, and eight large originals are memory enough."""
    return min(8, max(2, os.cpu_count() or 2))


def _part(samples: ImageSet, where: slice) -> ImageSet:
    """Return a run of samples as views: a copy would double the memory of a large data set."""
    return ImageSet(
        samples.ids[where],
        samples.images[where],
        samples.masks[where],
        samples.groups[where],
        samples.origins[where],
    )
