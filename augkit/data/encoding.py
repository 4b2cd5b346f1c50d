"""Images and masks as the bytes of a file."""

from __future__ import annotations

import gzip
import struct
import zlib
from importlib import import_module
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_PNG_MARK = b"\x89PNG\r\n\x1a\n"

_PNG_FILTER_UP = 2


def encode_png(array: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.bool_]) -> bytes:
    """Return a PNG file of uint8 (H, W, 3) RGB, uint8 or uint16 (H, W) grey, or bool (H, W) written as 0 and 255.

    Every row is stored as its difference from the row above and run-length coded. Pillow tries five filters per row
    and searches for repeats: a third of the speed, for files of dermoscopy images 2 % smaller.
    """
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    deep = array.dtype == np.uint16 and array.ndim == 2
    if not deep and (array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,))):
        allowed = "uint8 (H, W, 3), uint8 (H, W), uint16 (H, W) or bool (H, W)"
        raise ValueError(f"found {array.dtype} {array.shape}; allowed: {allowed}")
    height, width = array.shape[:2]
    flat = array.astype(">u2").view(np.uint8) if deep else array.reshape(height, -1)
    rows = np.empty((height, flat.shape[1] + 1), np.uint8)
    rows[:, 0] = _PNG_FILTER_UP
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 16 if deep else 8, 2 if array.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packer.compress(rows.data) + packer.flush()), (b"IEND", b""))
    return _PNG_MARK + b"".join(_png_chunk(kind, content) for kind, content in chunks)


def encode_nifti(plane: NDArray[Any], spacing: tuple[float, float]) -> bytes:
    """Return a NIfTI file (.nii.gz) of one axial slice (H, W), the patient's right on its left, the front at its top.

    spacing: height and width of a pixel in mm.
    """
    nibabel: Any = import_module("nibabel")
    height, width = spacing
    volume = np.asarray(plane).T[::-1, ::-1, None]
    image = nibabel.Nifti1Image(volume, np.diag([width, height, 1.0, 1.0]))
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), 6, mtime=0)


def encode_tiff(array: NDArray[Any]) -> bytes:
    """Return a TIFF file of (H, W, C): uint8, uint16, int16 or float32, one page, uncompressed."""
    from tifffile import imwrite

    file = BytesIO()
    pixels = array[..., 0] if array.shape[-1] == 1 else array
    imwrite(file, pixels, photometric="minisblack", planarconfig="contig", metadata=None, software=False)
    return file.getvalue()


def encode_webp(image: NDArray[np.uint8]) -> bytes:
    """Return a lossless WebP file of uint8 (H, W, 3) RGB."""
    file = BytesIO()
    Image.fromarray(image).save(file, "WEBP", lossless=True, method=0, quality=0)
    return file.getvalue()


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
