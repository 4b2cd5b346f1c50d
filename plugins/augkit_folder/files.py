"""Which files of a data folder belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from augkit import InputError, Problem
from augkit.images import Pair, match_pairs
from augkit_folder.listing import contents_of, list_files, nothing_to_read


def check_places(root: Path, images: str, masks: str, groups: Path | None) -> None:
    """Raise one `InputError` that names every folder or file that is missing."""
    problems = []
    if not root.is_dir():
        problems.append(Problem(str(root), "is not a folder", "Correct the option root"))
    else:
        for option, name in (("images", images), ("masks", masks)):
            if not (root / name).is_dir():
                there = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir())[:8]) or "none"
                hint = f"Write the right one in the option {option}; folders there: {there}"
                problems.append(Problem(str(root / name), "is not a folder", hint))
    if groups is not None and not groups.is_file():
        problems.append(Problem(str(groups), "is not a file", "Correct the option groups"))
    if problems:
        raise InputError(*problems)


def match_files(images: Path, masks: Path, suffix: str) -> tuple[list[Pair], list[Problem]]:
    """Return the pairs, sorted by id, and what does not fit together.

    A mask belongs to an image when its stem is the image's stem followed by `suffix`. When that matches nothing, there
    is one problem, which proposes the suffix that would match, instead of one per file.
    """
    image_files = list_files(images)
    mask_files = list_files(masks)
    empty = [folder for folder, files in ((images, image_files), (masks, mask_files)) if not files]
    if empty:
        return [], [nothing_to_read(contents_of(folder)) for folder in empty]
    stems = {path.stem for path in mask_files}
    if not any(path.stem + suffix in stems for path in image_files):
        return [], [_nothing_matches(image_files, mask_files, suffix)]
    ours = [path for path in mask_files if path.stem.endswith(suffix)]
    pairs, problems = match_pairs(
        ((path.stem, path) for path in image_files), ((path.stem.removesuffix(suffix), path) for path in ours)
    )
    strange = (path for path in mask_files if not path.stem.endswith(suffix))
    what = f"does not end in '{suffix}', the option mask_suffix"
    return pairs, problems + [Problem(str(path), what, "Rename or remove it") for path in strange]


def _nothing_matches(images: Sequence[Path], masks: Sequence[Path], suffix: str) -> Problem:
    folder = str(masks[0].parent)
    wanted = f"{images[0].stem}{suffix}"
    what = f"none of {len(images)} images has a mask: {images[0].name} needs one named {wanted} with any ending"
    better, matches = _best_suffix([path.stem for path in images], [path.stem for path in masks])
    if matches:
        return Problem(folder, what, f"Write 'mask_suffix: \"{better}\"', with which {matches} images have one")
    return Problem(folder, what, f"The first mask there is {masks[0].name}; rename the masks or set mask_suffix")


def _best_suffix(images: Iterable[str], masks: Sequence[str]) -> tuple[str, int]:
    """Return what most masks have after their image's stem, and how many."""
    known = set(images)
    # An image's stem may itself be the start of another one, so every way to cut a mask's stem counts.
    ends = Counter(mask[at:] for mask in masks for at in range(1, len(mask) + 1) if mask[:at] in known)
    return max(ends.items(), key=lambda item: (item[1], -len(item[0])), default=("", 0))
