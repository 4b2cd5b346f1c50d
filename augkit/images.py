"""Reading people's image files: a door for plugins that bring data sets."""

from augkit.data.encoding import encode_png
from augkit.data.pairs import Pair, load_splits, match_pairs
from augkit.data.reading import SUFFIXES, read_drawing, read_image, read_mask, unreadable
from augkit.data.resizing import average_resize

__all__ = [
    "SUFFIXES",
    "Pair",
    "average_resize",
    "encode_png",
    "load_splits",
    "match_pairs",
    "read_drawing",
    "read_image",
    "read_mask",
    "unreadable",
]
