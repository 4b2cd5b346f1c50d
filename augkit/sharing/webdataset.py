"""Synthetic sets as tar files of samples, as WebDataset reads them: one after the other, and never whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from augkit.sharing.card import COLUMNS, facts_of
from augkit.sharing.files import SAMPLES_PER_TAR, Encoder, Export, ImageFormat, Sink, SyntheticSet

_TOLD = COLUMNS[3:-1]


def write_webdataset(export: Export, sink: Sink, image_format: ImageFormat) -> tuple[list[tuple[str, str]], list[str]]:
    """Write ``data-000000.tar`` and so on, each with up to `SAMPLES_PER_TAR` samples of one source.

    A sample is ``<id>.png``, ``<id>.mask.png`` with a mask of 0 and 255 or of labels, and ``<id>.json``. What stands
    before the first point of a name tells samples apart, so points in an id are written as ``_``.
    """
    encode = Encoder(image_format, pixels=export.real.train.format)
    total, number = sum(len(source.samples) for source in export.sources), 0
    places: list[tuple[str, str]] = []
    digests: list[str] = []
    for source in export.sources:
        for begin in range(0, len(source.samples), SAMPLES_PER_TAR):
            tar = f"data-{number:06d}.tar"
            keys = [name.replace(".", "_") for name in source.samples.ids[begin : begin + SAMPLES_PER_TAR]]

            def sample(
                i: int, source: SyntheticSet = source, begin: int = begin, keys: Sequence[str] = keys
            ) -> list[tuple[str, bytes]]:
                return _files(export, source, begin + i, keys[i], encode)

            digests += sink.write_tar(tar, len(keys), sample, len(digests), total)
            places += [(f"{tar}/{key}.{encode.ending}", f"{tar}/{key}.mask.png") for key in keys]
            number += 1
    return places, digests


def _files(export: Export, source: SyntheticSet, i: int, key: str, encode: Encoder) -> list[tuple[str, bytes]]:
    samples = source.samples
    spacing = None if samples.spacing is None else samples.spacing[i]
    names = f"{key}.{encode.ending}", f"{key}.mask.png"
    told: dict[str, Any] = dict(zip(_TOLD, facts_of(export, source, i), strict=True))
    told["id"] = samples.ids[i]
    if spacing is not None:
        told["spacing"] = [None if value != value else round(float(value), 6) for value in spacing]  # NaN is no JSON
    text = json.dumps(told, sort_keys=True, allow_nan=False).encode()
    return [*encode.files(samples.images[i], samples.masks[i], names, None), (f"{key}.json", text)]
