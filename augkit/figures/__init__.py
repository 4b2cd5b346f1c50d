"""Pictures of a run: galleries with mask outlines, score densities, differences, training curves; a door for plugins.

Arrays in, the bytes of a PNG or SVG out; nothing is written here. Equal input gives equal bytes, whatever a user's
matplotlib settings are. Backgrounds are transparent: a `Look` says on which paper the ink has to be read. Plots are as
wide as a column or a page of a paper, with letters of the size that journals ask for.
"""

from augkit.figures.classes import (
    CLASSES,
    PREDICTION,
    TRUTH,
    Tile,
    class_colour,
    class_legend,
    found_in,
    mask_picture,
    mask_tile,
    outlined,
)
from augkit.figures.differences import Effect, Pair, effects, paired
from augkit.figures.lettering import legible, shorten
from augkit.figures.lines import GRID, Line, curves, densities, density, line_plot
from augkit.figures.looks import COLUMN, DARK, DASHES, DPI, EITHER, LIGHT, PAGE, Form, Look, Values, darkened
from augkit.figures.tiles import Row, cases, gallery, packed

__all__ = [
    "CLASSES",
    "COLUMN",
    "DARK",
    "DASHES",
    "DPI",
    "EITHER",
    "GRID",
    "LIGHT",
    "PAGE",
    "PREDICTION",
    "TRUTH",
    "Effect",
    "Form",
    "Line",
    "Look",
    "Pair",
    "Row",
    "Tile",
    "Values",
    "cases",
    "class_colour",
    "class_legend",
    "curves",
    "darkened",
    "densities",
    "density",
    "effects",
    "found_in",
    "gallery",
    "legible",
    "line_plot",
    "mask_picture",
    "mask_tile",
    "outlined",
    "packed",
    "paired",
    "shorten",
]
