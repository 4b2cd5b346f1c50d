"""The recipes that come with augkit: which there are, what each is for, and copying them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from augkit.errors import InputError, Problem, did_you_mean
from augkit.store import write_text


def shipped_recipes() -> Mapping[str, Path]:
    """Return name -> file, such as ``isic2017/allaug``, sorted, those in sub-folders last."""
    folder = _folder()
    files = sorted(folder.rglob("*.yaml"), key=lambda file: (len(file.parts), file))
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def find_recipe(file: Path) -> Path:
    """Return `file`, or the shipped recipe of this name where there is no such file: ``allaug``, ``isic2017/noaug``.

    A name that ends in ``.yaml`` is a file's: somebody's own recipe that is missing must not be another one.
    """
    return file if file.exists() else shipped_recipes().get(file.as_posix(), file)


def name_of_shipped(file: Path) -> Path:
    """Return the name by which a shipped recipe is found from any folder; another file as it is."""
    return next((Path(name) for name, path in shipped_recipes().items() if path == file), file)


def purpose(file: Path) -> str:
    """Return the first line of a recipe's opening comment."""
    return file.read_text(encoding="utf-8").split("\n")[0].lstrip("# ")


def copy_recipes(name: str, target: Path) -> tuple[Path, ...]:
    """Copy a shipped recipe, or all of a folder such as ``isic2017``, into `target`; returns the new files.

    Raises `InputError` for a name that is not shipped, and where a file of that name is there already.
    """
    recipes = shipped_recipes()
    wanted = name.removesuffix(".yaml").rstrip("/")
    chosen = [file for key, file in recipes.items() if key == wanted or key.startswith(f"{wanted}/")]
    if not chosen:
        folders = {key.rpartition("/")[0] for key in recipes} - {""}
        hint = did_you_mean(wanted, [*recipes, *folders])
        raise InputError(Problem(name or "''", "no shipped recipe or folder of recipes has this name", hint))
    copies = {target / file.name: file for file in chosen}
    there = [copy for copy in copies if copy.exists()]
    if there:
        what = "is there already; allowed: a folder without it"
        raise InputError(*(Problem(str(copy), what, "Choose another folder, or remove it") for copy in there))
    for copy, file in copies.items():
        write_text(copy, file.read_text(encoding="utf-8"))
    return tuple(copies)


def _folder() -> Path:
    """Return where the recipes lie: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"
