"""The five kinds of component, and executors: the one table of what each is called, implements and speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from augkit.contracts.components import (
    Augmentation,
    ChecksFormat,
    ChecksFrame,
    ChecksMasks,
    Dataset,
    DrawsParts,
    Frame,
    Generator,
    HasCounts,
    HasFormat,
    HasFrame,
    HasNativeMasks,
    HasNativePairs,
    HasRemarks,
    HasWeights,
    MaskSource,
    Predictor,
    Segmenter,
    Synthesizer,
    Workspace,
)
from augkit.contracts.executor import Cluster, Detachable, Executor, Resources, Said, Site, Unit
from augkit.data.arrays import DrawnMasks, ImageSet, Splits
from augkit.data.draws import Draws
from augkit.data.formats import Channel, Format, Takes
from augkit.errors import InputError, Problem


@dataclass(frozen=True)
class Kind:
    """One kind of component.

    name:       as people say it and as it is registered: ``mask source``.
    hook:       the hook that registers it.
    methods:    what a class of it must have.
    vocabulary: the classes that its author needs to know, the protocol first.
    starts_as:  what the component of a new package does.
    """

    name: str
    hook: str
    methods: tuple[str, ...]
    vocabulary: tuple[type[Any], ...]
    starts_as: str

    @property
    def slug(self) -> str:
        """The name in file names and on the command line: ``mask-source``."""
        return self.name.replace(" ", "-")

    @property
    def noun(self) -> str:
        """The name in a sentence."""
        return "data set" if self.name == "dataset" else self.name

    @property
    def contract(self) -> str:
        """The class of `augkit.testing` that holds it to its contract: ``MaskSourceContract``."""
        return "".join(word.capitalize() for word in self.name.split()) + "Contract"


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "dataset",
            "augkit_datasets",
            ("sources", "load"),
            (
                Dataset,
                HasFrame,
                Frame,
                HasFormat,
                Format,
                Channel,
                HasNativeMasks,
                HasNativePairs,
                HasRemarks,
                HasCounts,
                Splits,
                ImageSet,
            ),
            "Draw dark discs on bright, noisy ground.",
        ),
        Kind(
            "mask source",
            "augkit_mask_sources",
            ("draw",),
            (MaskSource, Takes, ChecksFrame, Frame, DrawsParts, HasWeights, DrawnMasks, Workspace, Draws),
            "Draw discs as large as the training masks.",
        ),
        Kind(
            "generator",
            "augkit_generators",
            ("fit", "open"),
            (Generator, Takes, ChecksFrame, Frame, Synthesizer, Workspace, Draws),
            "Paint lesion and skin in the training images' mean colours, with noise.",
        ),
        Kind(
            "augmentation",
            "augkit_augmentations",
            ("__call__",),
            (Augmentation, Takes, ChecksFormat, ChecksFrame, ChecksMasks, Frame, Draws),
            "Mirror half of the samples and darken them a little.",
        ),
        Kind(
            "segmenter",
            "augkit_segmenters",
            ("fit", "open"),
            (Segmenter, Takes, ChecksFrame, Frame, Predictor, Workspace),
            "Call everything foreground that is darker than a learnt level.",
        ),
    )
}
"""Every kind of component by its name."""

EXECUTOR = Kind(
    "executor",
    "augkit_executors",
    ("start",),
    (Cluster, Site, Executor, Detachable, Unit, Resources, Said),
    "Build stages in threads of this process.",
)
"""No part of a recipe: its options are in a file of the user's."""


def kind_named(text: str) -> Kind:
    """Return the kind that a person means: ``mask-source`` is a mask source. Raises `InputError`."""
    kind = KINDS.get(text.replace("-", " "))
    if kind is None:
        allowed = ", ".join(one.slug for one in KINDS.values())
        raise InputError(Problem("--kind", f"found '{text}'; allowed: {allowed}"))
    return kind
