"""What the headers of NIfTI files say: size, place in space, numbers. No voxel is read here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from augkit import InputError, Problem
from augkit.images import PixelType

if TYPE_CHECKING:
    from types import ModuleType

Trusted = Literal["both", "qform", "sform"]
"""Which of a file's two affines is used; ``both`` have to agree."""

ENDINGS = (".nii.gz", ".nii")

TOLERANCE = 0.05
"""Of a voxel: how far the corners of two volumes may lie apart at one place. Headers hold rounded numbers."""

_UNITS = {"meter": 1000.0, "micron": 0.001}
"""To mm; files that name no unit mean mm."""

_COMPLEX = "holds complex numbers; allowed: real numbers"
_COLOUR = "holds colours, several numbers per voxel; allowed: one number per voxel"


@dataclass(frozen=True)
class Header:
    """What is known of a volume before its voxels are read.

    shape:  of the three axes in the order of the file.
    extra:  axes of length 1 that the file has besides, and axes that it lacks as a negative number.
    affine: float64 (4, 4), from voxels to mm in RAS+.
    stored: the type of the numbers in the file; a voxel's value is number * slope + inter.
    placed: whether the file says where the volume lies; the affine is the format's default where it does not.
    """

    path: Path
    shape: tuple[int, int, int]
    extra: int
    affine: NDArray[np.float64]
    stored: np.dtype[Any]
    slope: float
    inter: float
    placed: bool

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Length of a voxel along each axis of the file, in mm."""
        lengths: NDArray[np.float64] = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return lengths

    @property
    def scaled(self) -> bool:
        """Whether values are other numbers than those stored."""
        return (self.slope, self.inter) != (1.0, 0.0)

    @property
    def pixel_type(self) -> PixelType:
        """The smallest type that holds every value the file could hold, by its type of numbers, slope and intercept."""
        if self.stored.kind not in "iu":
            return "float32"
        if not self.scaled and self.stored.name in ("uint8", "uint16"):
            return "uint8" if self.stored.name == "uint8" else "uint16"
        whole = float(self.slope).is_integer() and float(self.inter).is_integer()
        limits = np.iinfo(self.stored)
        ends = [number * self.slope + self.inter for number in (int(limits.min), int(limits.max))]
        fits = min(ends) >= -32768 and max(ends) <= 32767
        return "int16" if whole and fits else "float32"


def common_type(types: Sequence[PixelType]) -> PixelType:
    """Return the smallest type that holds all values of all these types."""
    found = set(types)
    if len(found) == 1:
        return types[0]
    return "int16" if found == {"uint8", "int16"} else "uint16" if found == {"uint8", "uint16"} else "float32"


def nibabel() -> ModuleType:
    """Return the library that reads NIfTI; `InputError` where it is not installed."""
    try:
        import nibabel as library
    except ImportError:
        what = "reading NIfTI needs the package nibabel, which is not installed"
        raise InputError(Problem("nifti", what, "Run: pip install 'augkit[nifti]'")) from None
    return library


def ending_of(path: Path) -> str:
    """Return ``.nii.gz`` or ``.nii``, or '' for another file."""
    return next((ending for ending in ENDINGS if path.name.endswith(ending)), "")


def read_header(path: Path, trusted: Trusted, labels: bool = False) -> Header:
    """Return what the header says; `InputError` for what is no volume of real numbers at one place.

    labels: whether the file holds labels, for the hint.
    """
    library = nibabel()
    try:
        image = library.load(path)
    except FileNotFoundError:
        raise InputError(Problem(str(path), "is not a file", "Correct the recipe, or put it there")) from None
    except (OSError, EOFError, ValueError, library.filebasedimages.ImageFileError) as error:
        raise InputError(Problem(str(path), f"cannot be read as NIfTI ({_line(error)})", "Save it anew")) from error
    except library.spatialimages.HeaderDataError as error:
        raise InputError(Problem(str(path), f"has a damaged header ({_line(error)})", "Save it anew")) from error
    if not isinstance(image, library.Nifti1Image):
        raise InputError(Problem(str(path), f"is {type(image).__name__}; allowed: NIfTI", "Convert it to NIfTI"))
    return _checked(path, image, trusted, labels)


def _checked(path: Path, image: Any, trusted: Trusted, labels: bool) -> Header:
    header = image.header
    stored = header.get_data_dtype()
    if stored.kind not in "iuf":
        what = _COMPLEX if stored.kind == "c" else _COLOUR
        raise InputError(Problem(str(path), what, "Save one number per voxel, such as the magnitude"))
    shape = tuple(int(side) for side in image.shape)
    if 0 in shape or not shape:
        raise InputError(Problem(str(path), f"has the size {_sizes(shape)}, no voxel; allowed: at least one"))
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        what = f"has {len(shape)} axes of {_sizes(shape)}; allowed: 3"
        hint = (
            "If it holds the probability of each class, save the number of the largest one as labels"
            if labels
            else "If it is a time series, save the volume that the labels were drawn on; of channels, a file each"
        )
        raise InputError(Problem(str(path), what, hint))
    _check_length(path, image)
    affine, placed = _affine(path, header, trusted)
    x, y, z = (*shape, 1, 1)[:3]
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        what = f"has an affine that is no place in space ({affine[:3].round(4).tolist()})"
        raise InputError(Problem(str(path), what, "Save it anew with the scanner's"))
    proxy = image.dataobj
    extra = len(image.shape) - 3
    return Header(path, (x, y, z), extra, affine, stored, float(proxy.slope), float(proxy.inter), placed)


def _check_length(path: Path, image: Any) -> None:
    """Refuse an uncompressed file that ends too early; of a compressed one only reading tells."""
    if ending_of(path) != ".nii":
        return
    proxy = image.dataobj
    needed = int(proxy.offset) + int(np.prod(image.shape)) * image.header.get_data_dtype().itemsize
    found = path.stat().st_size
    if found < needed:
        what = f"ends too early: found {found} bytes; its header asks for {needed}"
        raise InputError(Problem(str(path), what, "Copy it again"))


def _affine(path: Path, header: Any, trusted: Trusted) -> tuple[NDArray[np.float64], bool]:
    """Return the affine in mm and whether the file has one."""
    sform, s_code = header.get_sform(coded=True)
    try:
        qform, q_code = header.get_qform(coded=True)
    except ValueError as error:
        if trusted == "both" and s_code == 0:
            raise InputError(Problem(str(path), f"has a damaged qform ({_line(error)})")) from error
        qform, q_code = None, 0
    factor = np.diag([*[_UNITS.get(header.get_xyzt_units()[0], 1.0)] * 3, 1.0])
    shape = (*header.get_data_shape(), 1, 1)[:3]
    if trusted == "both" and s_code and q_code and (told := _differences(qform, sform, shape, "qform", "sform")):
        what = f"says two places (codes {int(q_code)} and {int(s_code)}): {told}; allowed: one"
        hint = "Write which one is right: 'affine: qform' or 'affine: sform'"
        raise InputError(Problem(str(path), what, hint))
    chosen = {"both": (sform, s_code), "sform": (sform, s_code), "qform": (qform, q_code)}[trusted]
    if not chosen[1] and trusted == "both":
        chosen = (qform, q_code)
    if not chosen[1]:
        if trusted != "both":
            raise InputError(Problem(str(path), f"has no {trusted} (its code is 0)", "Leave out the option affine"))
        return factor @ header.get_base_affine(), False
    return factor @ chosen[0], True


def unlike(image: Header, other: Header, name: str, other_name: str) -> str:
    """Return in what two volumes lie apart, with both values; '' where they are at one place."""
    if image.shape != other.shape:
        return f"size {_sizes(image.shape)} in {name}, {_sizes(other.shape)} in {other_name}"
    return _differences(image.affine, other.affine, image.shape, name, other_name)


def _differences(
    one: NDArray[np.float64], two: NDArray[np.float64], shape: Sequence[int], first: str, second: str
) -> str:
    corners = np.array([(*corner, 1.0) for corner in product(*((0, side - 1) for side in shape))]).T
    apart = np.sqrt((((one - two) @ corners)[:3] ** 2).sum(axis=0)).max()
    if apart <= TOLERANCE * min(_lengths(one).min(), _lengths(two).min()):
        return ""
    told = []
    for what, values in (
        ("origin", (one[:3, 3], two[:3, 3])),
        ("spacing", (_lengths(one), _lengths(two))),
        ("direction", (one[:3, :3] / _lengths(one), two[:3, :3] / _lengths(two))),
    ):
        if not np.allclose(*values, rtol=1e-4, atol=1e-4):
            told.append(f"{what} {_numbers(values[0])} in {first}, {_numbers(values[1])} in {second}")
    return "; ".join(told) or f"corners that are {apart:.3g} mm apart in {first} and {second}"


def _lengths(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.maximum(np.sqrt((affine[:3, :3] ** 2).sum(axis=0)), 1e-12)
    return lengths


def _numbers(values: NDArray[np.float64]) -> str:
    if values.ndim == 2:
        return "[" + ", ".join(_numbers(row) for row in values) + "]"
    return "[" + ", ".join(f"{value + 0.0:.5g}" for value in values.round(5)) + "]"


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
