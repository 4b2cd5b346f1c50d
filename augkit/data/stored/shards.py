"""Sets in shards: artifacts that hold no samples and list those of others, or some of these.

``shards.json`` says what each shard holds: how many samples, and the SHA-256 of its files. ``places.json`` says which
artifacts of the same store they are, which depends on how a set was cut; and ``kept.npy``, where not all samples
belong to the set, which of all do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.store import Address, read_array, read_json, write_array, write_json

PLACES = "places.json"
"""The one file of an artifact that says where something lies, and not what it is."""


@dataclass(frozen=True)
class Shards:
    """What a list lists.

    contents: of each shard its number of ``samples`` and its ``files``, name -> SHA-256.
    places:   the artifact of each.
    folders:  where that is.
    kept:     int64 (n,), which of all samples belong to the set, in order; None for all.
    """

    contents: Sequence[Mapping[str, Any]]
    places: Sequence[Address]
    folders: Sequence[Path]
    kept: NDArray[np.int64] | None = None


def write_shards(
    folder: Path, contents: Sequence[Mapping[str, Any]], places: Sequence[Address], kept: NDArray[np.int64] | None
) -> None:
    """Write a list, as `Shards` has it."""
    write_json(folder / "shards.json", list(contents))
    write_json(folder / PLACES, [[place.kind, place.label, place.fingerprint] for place in places])
    if kept is not None:
        write_array(folder / "kept.npy", kept)


def read_shards(folder: Path) -> Shards | None:
    """Return what an artifact lists; None where it holds its samples itself."""
    if not (folder / PLACES).is_file():
        return None
    places = read_places(folder)
    kept = folder / "kept.npy"
    return Shards(
        read_json(folder / "shards.json"),
        places,
        [folder.parents[1] / place.kind / place.name for place in places],
        np.array(read_array(kept)) if kept.is_file() else None,
    )


def read_places(folder: Path) -> tuple[Address, ...]:
    """Return the artifacts that an artifact lists and that its readers need; none where it holds everything itself."""
    file = folder / PLACES
    return tuple(Address(*place) for place in read_json(file)) if file.is_file() else ()
