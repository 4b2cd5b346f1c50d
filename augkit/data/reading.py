"""Image and mask files <-> arrays; the only place that opens image files.

A file is used exactly as it was meant or refused by name. An image is turned upright by its EXIF orientation and
becomes RGB. A mask keeps the numbers it was saved with: its grey levels or palette indices are read, never converted to
grey, because a conversion turns the palette indices 0, 1, 2 into colours such as 0, 38, 75.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from augkit.data.orientation import orientation_of, upright_size
from augkit.data.wholeness import damage_of
from augkit.errors import AugkitError, InputError, Problem

MAX_PIXELS = 64_000_000
"""The largest width x height that is decoded; dermoscopy originals reach 30 million pixels."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")
"""File-name endings of the formats that can be read, in lower case."""

# The format classes are called directly, not through `Image.open`: that one warns about large images, and a warning can
# only be made an error by changing filters that all threads share.
_READERS: Mapping[str, Callable[[BinaryIO, str], ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
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

TWO_LEVELS = "allowed in a mask: 0 (background) and one other level (foreground)"
"""What the refusal of a mask with more levels says, so that a data set that can cut levels knows it."""

BLURRED = "is a JPEG, which blurs the edge of a mask; allowed: PNG, TIFF, BMP, GIF or lossless WEBP"
"""What the refusal of a JPEG mask says, for the same reason."""

_EXPORT_AGAIN = "Export the mask again in one of these; converting this file does not undo the blur"

_COPY_AGAIN = "The file is damaged or incomplete; copy or download it again"

_GREY_WITHIN = 32
"""How far the channels of a JPEG may differ where it was saved from grey."""

_TIFF_BITS_PER_SAMPLE = 258
_TIFF_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return an image file as uint8 (H, W, 3), 0..255, RGB, upright.

    Grey, palette and fully opaque alpha images are accepted; ICC profiles are ignored. Raises `InputError` for
    everything whose 8-bit RGB values would be a guess: 16 bits, CMYK, transparent pixels, several pages.
    """
    image = _decode_8_bit(path)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if not _is_opaque(image):
            raise refusal(path, "has transparent pixels; allowed: opaque images", "Save it on its background, as RGB")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))  # of a large one, each copy counts


def read_mask(path: Path, threshold: int | None = None) -> NDArray[np.bool_]:
    """Return a mask file as bool (H, W), upright: true where the level or palette index is not 0.

    A file may hold 0 and one other level, at any bit depth, or one level only (nothing or everything is foreground).
    Raises `InputError` for more levels, for colours and for JPEG, whose compression invents levels, unless `threshold`,
    1 to 255, says from which grey level on they are foreground. Files with 0 and one other level are never cut.
    """
    file = _decode(path)
    if file.image.format == "JPEG":
        if threshold is not None:
            return _cut(_jpeg_levels(path, file.image), threshold)
        raise refusal(path, BLURRED, _EXPORT_AGAIN)
    levels = _levels(path, file)
    mask: NDArray[np.bool_] = levels != 0
    foreground = levels.ravel()[mask.argmax()]
    if (mask & (levels != foreground)).any():
        # From 1 on, every level is foreground, whatever the bits: numbered objects, say. A half is that of 8 bits.
        if threshold == 1 or (threshold is not None and levels.dtype == np.uint8 and file.image.mode != "P"):
            return _cut(levels, threshold)
        what = f"holds {_spell_levels(levels)}; {TWO_LEVELS}"
        raise refusal(path, what, "Save the structure to segment as 255 on 0; if a resize blurred the edge, redo it")
    if file.image.mode == "P":
        _refuse_white_background(path, file.image, int(foreground))
    return mask


def read_levels(path: Path) -> NDArray[Any]:
    """Return the grey levels or palette indices of a file as it has them, integer or bool (H, W), upright.

    Raises `InputError` for colours, transparent pixels and numbers that are not whole, as `read_mask` does.
    """
    return _levels(path, _decode(path))


def read_drawing(path: Path) -> NDArray[np.float32]:
    """Return a drawing as float32 (H, W), its brightness from 0 (black) to 1 (white), upright.

    Brightness is the luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, of the drawing laid on white paper: what is
    transparent is white. Raises `InputError` for 16 bits, CMYK and several pages.
    """
    drawing = _decode_8_bit(path).convert("RGBA")
    paper = Image.new("RGBA", drawing.size, "white")
    luma = Image.alpha_composite(paper, drawing).convert("L")
    return np.asarray(luma).astype(np.float32) / np.float32(255)


class Header(NamedTuple):
    """What an image file tells of itself: its format, mode and bits per channel.

    size:        width and height of the upright image.
    orientation: by which it is turned upright, 1 to 8 as in EXIF; 1 is upright as it is stored.
    """

    format: str
    mode: str
    bits: int
    size: tuple[int, int]
    orientation: int


def read_header(path: Path) -> Header:
    """Return the header of an image file. Raises `InputError` as reading does.

    No pixel is decoded, so this is fast, but for a PNG with text behind its pixels.
    """
    if not _is_file(path):
        raise _absent(path)
    try:
        with path.open("rb") as file:
            image = _open(path, file)
            kind, mode, bits = image.format or "", image.mode, _bits(image)
            orientation = orientation_of(image, file)
            return Header(kind, mode, bits, upright_size(image, orientation), orientation)
    except (AugkitError, MemoryError):
        raise
    except Exception as error:  # a damaged header can make a decoder raise anything
        raise _damaged(path, error) from error


class _Room:
    """Pixels that may be decoded at one time."""

    def __init__(self, pixels: int) -> None:
        self._most = self._free = pixels
        self._changed = threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        pixels = min(pixels, self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


_room = _Room(MAX_PIXELS)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Wait until there is memory to decode an image, its masks included, beside those that other threads decode.

    Together they have `MAX_PIXELS` at most. What is no image that can be read takes no room.
    """
    pixels = 0
    with suppress(InputError):
        width, height = read_header(path).size
        pixels = width * height
    with _room.of(pixels):
        yield


def check_image(path: Path) -> Header:
    """Return the header of an image. Raises `InputError` for what `read_image` refuses, as far as the header tells."""
    header = read_header(path)
    _check_8_bit(path, header.mode, header.bits)
    return header


def check_mask(path: Path, threshold: int | None = None) -> Header:
    """Return the header of a mask. Raises `InputError` for what `read_mask` refuses, as far as the header tells."""
    header = read_header(path)
    if header.format == "JPEG" and threshold is None:
        raise refusal(path, BLURRED, _EXPORT_AGAIN)
    return header


def refusal(path: Path, what: str, hint: str = "") -> InputError:
    """Return the error that refuses a file."""
    return InputError(Problem(str(path), what, hint))


def _decode_8_bit(path: Path) -> Image.Image:
    """Return the decoded, upright image if its values can be made 8-bit RGB, perhaps with transparency."""
    file = _decode(path)
    image: Image.Image = file.image
    _check_8_bit(path, image.mode, file.bits)
    return image


def _check_8_bit(path: Path, mode: str, bits: int) -> None:
    if bits > 8:
        what = f"is a {bits}-bit image; allowed: 8 bits per channel"
        raise refusal(path, what, "Scale it to 0..255 yourself: which range is black and white is your choice")
    if mode == "CMYK":
        what = "is a CMYK image, whose colours depend on a printing profile; allowed: RGB, grey or palette"
        raise refusal(path, what, "Save it as RGB")
    if mode not in ("1", "L", "P", "RGB", "LA", "PA", "RGBA"):
        raise refusal(path, f"has the pixel mode {mode}; allowed: 8-bit RGB, grey or palette", "Save it as RGB")


class _Decoded(NamedTuple):
    image: ImageFile
    bits: int
    """Bits per channel in the file: the decoder cuts 16-bit colour down to 8 without a word."""


def _decode(path: Path) -> _Decoded:
    """Return the decoded, upright image."""
    if not _is_file(path):
        raise _absent(path)
    try:
        with path.open("rb") as file:
            image = _open(path, file)
            bits = _bits(image)
            if damage := damage_of(image.format or "", file):
                raise refusal(path, f"is damaged: {damage}", _COPY_AGAIN)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
    except (AugkitError, MemoryError):
        raise
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise _damaged(path, error) from error
    return _Decoded(image, bits)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _absent(path: Path) -> InputError:
    try:
        path.exists()
    except OSError as error:  # such as a name that is too long
        return refusal(path, f"cannot be read: {error.strerror}")
    if path.is_symlink() and not path.exists():
        what = f"is a link to {path.readlink()}, which does not exist"
        return refusal(path, what, "Copy the files themselves, or make the link lead to them")
    if not path.exists():
        return refusal(path, "does not exist")
    return refusal(path, "is not a file" if path.is_dir() else "is not a file but a pipe or device")


def _damaged(path: Path, error: Exception) -> InputError:
    what = f"cannot be decoded ({type(error).__name__}: {error})"
    return refusal(path, what, _COPY_AGAIN)


def _open(path: Path, file: BinaryIO) -> ImageFile:
    """Return the image with its header read and checked, and no pixel decoded."""
    head = file.read(160)
    file.seek(0)
    if not head:
        raise refusal(path, "is empty (0 bytes)", "Copy or download it again")
    kind = next((name for name, at, mark in _SIGNATURES if head[at : at + len(mark)] == mark), "unknown")
    if kind == "Git LFS pointer":
        raise refusal(path, "is a Git LFS pointer, not the image itself", "Fetch the images with 'git lfs pull'")
    if kind not in _READERS:
        raise refusal(path, f"is no image that can be read (content: {kind}); allowed: {', '.join(_READERS)}")
    image = _READERS[kind](file, str(path))
    if image.width * image.height > MAX_PIXELS:
        what = f"has {image.width} x {image.height} pixels; allowed: {MAX_PIXELS // 1_000_000} million"
        raise refusal(path, what, "Shrink it first")
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise refusal(path, f"holds {pages} pages or frames; allowed: one", "Save the one that is meant")
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
        return _as_stored(image)
    if image.mode not in ("RGB", "LA", "RGBA") or bits > 8:
        what = f"has the pixel mode {image.mode} at {bits} bits; allowed in a mask: integer grey or palette"
        raise refusal(path, what, "Save it as 8-bit grey, 255 on 0")
    if image.mode.endswith("A") and not _is_opaque(image):
        what = "has transparent pixels, so its levels and its transparency may disagree; allowed: an opaque mask"
        raise refusal(path, what, "Save it as 8-bit grey, 255 on 0")
    first, *others = (np.asarray(image.getchannel(name)) for name in image.getbands() if name != "A")
    if not all(np.array_equal(first, other) for other in others):
        what = "is a colour image, such as a superpixel map or an overlay; allowed in a mask: grey or palette"
        raise refusal(path, what, "Give the binary mask instead")
    return first


def _cut(levels: NDArray[Any], threshold: int) -> NDArray[np.bool_]:
    foreground: NDArray[np.bool_] = levels >= threshold
    return foreground


def _jpeg_levels(path: Path, image: ImageFile) -> NDArray[np.uint8]:
    """Return the grey levels of a JPEG; refuse one in colour."""
    if image.mode not in ("L", "RGB"):
        raise refusal(path, f"has the pixel mode {image.mode}; allowed in a mask: grey", "Save it as 8-bit grey")
    channels = np.atleast_3d(np.asarray(image))
    if (np.ptp(channels, axis=2) > _GREY_WITHIN).any():
        what = "is a colour image, such as a superpixel map or an overlay; allowed in a mask: grey"
        raise refusal(path, what, "Give the binary mask instead")
    return np.asarray(image.convert("L"))


def _as_stored(image: ImageFile) -> NDArray[Any]:
    """Return a grey or palette image's numbers as the file has them.

    A TIFF may say that 0 is white (PhotometricInterpretation WhiteIsZero, as ImageJ writes for an inverting look-up
    table and scanners for text). The decoder then turns 1 and 8 bits over, so that they look right; deeper ones it
    leaves.
    """
    levels = np.asarray(image)
    if image.mode in ("1", "L") and isinstance(image, TiffImagePlugin.TiffImageFile):
        return ~levels if image.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO else levels
    return levels


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
        raise refusal(path, what, "Save it as 8-bit grey, 255 on 0")
