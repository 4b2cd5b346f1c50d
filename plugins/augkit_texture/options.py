"""The options of the texture generator, and the files of its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from augkit import AtLeast

LIBRARY = "library.safetensors"
FACTS = "library.json"


@dataclass(frozen=True)
class TextureOptions:
    """The skin of one training image and the lesion of another, brought into the shape of the mask.

    A lesion is kept as what it does to the skin around it: the optical density that it adds, the logarithm of the
    skin without it over the image (Beer-Lambert: densities add, so a lesion can move to skin of another colour).
    It is zero where the skin begins, which leaves no seam, and it fades as the donor's own border does. Objects
    brighter than what surrounds them, such as nuclei under fluorescence, are handled on the negative.

    Images are of light, RGB or grey, of 8 or 16 bits, which are kept in 256 levels of the window; masks are of one
    class. Other numbers, such as Hounsfield units, are no light that densities would dim.

    Nothing is trained, so this is the zero-cost rival of a learnt generator. Every pixel comes from training images: a
    synthetic image can show a patient's skin, and sets that must not be published must not be painted from either.

    donors:  training images that are kept, chosen at random; memory and disk grow with it.
    choices: a lesion's donor is one of this many, those most alike in size, shape and skin; of as many skins, drawn at
             random, the one whose own lesion is best hidden is taken. More choices vary lesions more.
    hair:    keep the hair of the skin, drawn over the lesion; false removes it. Grey images have none.
    """

    donors: Annotated[int, AtLeast(1)] = 256
    choices: Annotated[int, AtLeast(1)] = 12
    hair: bool = True
