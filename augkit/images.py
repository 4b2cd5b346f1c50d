"""Reading people's image files: a door for plugins that bring data sets."""

from augkit.data.encoding import encode_png
from augkit.data.pairs import Pair, load_splits, match_pairs, read_pair_mask, unfit_pairs
from augkit.data.reading import (
    BLURRED,
    SUFFIXES,
    TWO_LEVELS,
    read_drawing,
    read_header,
    read_image,
    read_mask,
)
from augkit.data.remarks import turned_apart
from augkit.data.resizing import average_resize
from augkit.errors import sum_up

__all__ = [
    "BLURRED",
    "SUFFIXES",
    "TWO_LEVELS",
    "Pair",
    "average_resize",
    "encode_png",
    "load_splits",
    "match_pairs",
    "read_drawing",
    "read_header",
    "read_image",
    "read_mask",
    "read_pair_mask",
    "sum_up",
    "turned_apart",
    "unfit_pairs",
]
