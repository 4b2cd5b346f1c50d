"""Reading people's image files: a door for plugins that bring data sets.

8-bit images with binary masks are pairs of files (`Pair`); everything else is slices (`Series`) of a `Format`, whose
numbers become 0..1 and pictures here, and which a component that keeps images writes beside them.
"""

from augkit.data.encoding import encode_png
from augkit.data.formats import GREY, IGNORED, RGB, PixelType, as_shown, class_masks, from_unit, in_unit
from augkit.data.pairs import Pair, load_splits, match_pairs, read_pair_mask, unfit_pairs
from augkit.data.reading import (
    BLURRED,
    SUFFIXES,
    TWO_LEVELS,
    check_mask,
    read_drawing,
    read_header,
    read_image,
    read_levels,
    read_mask,
)
from augkit.data.remarks import turned_apart
from augkit.data.resizing import average_resize
from augkit.data.series import (
    Series,
    Slice,
    load_series,
    native_slices,
    rgb_format,
    shown_as_rgb,
)
from augkit.data.splits import Parts, draw_splits, empty_splits, fraction_faults, read_groups
from augkit.data.stored import read_format, write_format
from augkit.errors import sum_up

__all__ = [
    "BLURRED",
    "GREY",
    "IGNORED",
    "RGB",
    "SUFFIXES",
    "TWO_LEVELS",
    "Pair",
    "Parts",
    "PixelType",
    "Series",
    "Slice",
    "as_shown",
    "average_resize",
    "check_mask",
    "class_masks",
    "draw_splits",
    "empty_splits",
    "encode_png",
    "fraction_faults",
    "from_unit",
    "in_unit",
    "load_series",
    "load_splits",
    "match_pairs",
    "native_slices",
    "read_drawing",
    "read_format",
    "read_groups",
    "read_header",
    "read_image",
    "read_levels",
    "read_mask",
    "read_pair_mask",
    "rgb_format",
    "shown_as_rgb",
    "sum_up",
    "turned_apart",
    "unfit_pairs",
    "write_format",
]
