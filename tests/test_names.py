"""Names from outside that decide a path: of recipes, arms, samples, plugins, members of archives, files on the disk.

Each of these names is tried at each door that takes one. What that leads to is heard from Python's audit events and
seen on the disk: nothing outside of the folder is written, and the name is used as it is or refused in a sentence.
"""

import csv
import json
import os
import stat
import tempfile
import zipfile
from contextlib import chdir
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from warnings import catch_warnings

import numpy as np
import pytest
from PIL import Image

from augkit import ImageSet, Splits
from augkit.authors.conformance.writes import writes_outside
from augkit.authors.scaffold import write_package
from augkit.contracts.kinds import KINDS
from augkit.contracts.registry import load_registry
from augkit.contracts.rules import check_splits, contract
from augkit.data.stored import read_splits, write_splits
from augkit.errors import ContractError, InputError
from augkit.planning.controls import write_controls
from augkit.planning.recipe import is_name, load_recipes
from augkit.planning.shipped import copy_recipes
from augkit.report.recorded import read_report
from augkit.running.cache import collect
from augkit.sharing.export import write_export
from augkit.sharing.share import pack, write_shared
from augkit.sharing.weights import import_weights
from augkit.sharing.zips import opened
from augkit.store import Store, find_damage, read_json, seal, write_bytes, write_json
from augkit.store.probes import join
from augkit_coco import Coco
from samples import checked_recipes, lesions
from sharing.test_export import example
from sharing.test_reproduction import report
from sharing.test_weights import Plain, registry

REGISTRY = load_registry()

NAMES = {
    "up": "../x",
    "up twice": "../../x",
    "up thrice": "../../../x",
    "in and up": "a/../../x",
    "in and far up": "a/../../../../x",
    "up by itself": "..",
    "here": ".",
    "three points": "...",
    "empty": "",
    "a blank": " ",
    "absolute": "OUTSIDE/x",
    "absolute, two strokes": "/OUTSIDE/x",
    "a folder": "sub/x",
    "a folder's": "x/",
    "by a link": "link/x",
    "a link": "link",
    "by a link and up": "link/../x",
    "a link to a file": "file-link",
    "home": "~",
    "in home": "~/x",
    "somebody's home": "~root/x",
    "a process": "/proc/self/cwd/../x",
    "a device": "/dev/stdout",
    "an address": "file:///x",
    "a variable": "$HOME/x",
    "Windows, up": "..\\x",
    "Windows, in and up": "a\\..\\..\\x",
    "Windows, a drive": "C:\\x",
    "Windows, of a drive": "C:x",
    "Windows, a drive with a stroke": "C:/x",
    "Windows, a share": "\\\\host\\share\\x",
    "Windows, a raw path": "\\\\?\\C:\\x",
    "Windows, a stream": "x:y",
    "Windows, a console": "CON",
    "Windows, a console's end": "conout$",
    "Windows, nothing": "nul.png",
    "Windows, a port": "com1",
    "Windows, a port with an ending": "LPT9.tar.gz",
    "Windows, a raised number": "COM¹",
    "Windows, marks": 'a?*<>|"b',
    "a point behind": "x.",
    "points behind": "x...",
    "a blank behind": "x ",
    "a blank before": " x",
    "nought": "a\0b",
    "up, nought": "../x\0.png",
    "300 characters": "x" * 300,
    "300 bytes of 150 letters": "ä" * 150,
    "5000 characters": "/".join(["x" * 49] * 100),
    "right to left": "x\u202egnp.exe",
    "a mark of direction": "a\u200eb",
    "an isolate": "a\u2066b",
    "no width": "a\u200bb",
    "a byte order mark": "\ufeffx",
    "a line": "a\nb",
    "two lines": "a\r\nb",
    "a tabulator": "a\tb",
    "a terminal's code": "\x1b[31mx\x07",
    "a deleted letter": "\x7fx",
    "percent, up": "%2e%2e%2fx",
    "percent, half": "..%2fx",
    "percent, nought": "x%00",
    "percent, overlong": "%c0%ae%c0%ae/x",
    "wide points": "．．／x",
    "leaders": "‥/x",
    "half a letter": "a\ud800b",
    "no UTF-8": "a\udcffb",
    "composed": "é",
    "decomposed": "e\u0301",
    "hidden": ".x",
    "hidden below": ".git/config",
    "an option": "-rf",
    "an option with a value": "--out=x",
    "a command": "$(touch x)",
    "commands": "x; touch y",
    "a pipe": "|touch x",
    "a formula": "=1+1",
    "a template": "{{7*7}}",
    "a page": "<script>x</script>",
    "a manifest": "artifact.json",
    "a manifest in capitals": "ARTIFACT.JSON",
}
"""OUTSIDE stands for a folder outside."""


# Doors: each takes a name and the folder to write into


def recipe_file(name, out, text):
    """Write the recipe as a stranger would; a text can spell what a file in UTF-8 cannot hold."""
    (out / "r.yaml").write_text(text.replace("NAME", json.dumps(name)))
    return out / "r.yaml"


DEMO = (
    "name: demo\ndataset: {d: {}}\nsegmenter: {s: {}}\n"
    "synthesize: [{generator: {g: {}}, masks: {m: {}}, per_real: 1}]\n"
)


def name_of_a_recipe(name, out):
    (recipe,) = load_recipes([recipe_file(name, out, DEMO.replace("demo", "NAME"))])
    write_controls(recipe, out / "controls")
    write_export(replace(example(), name=recipe.name), out / "nnunet", "nnunet", "png")


def name_by_set(name, out):
    load_recipes([recipe_file("demo", out, DEMO)], [f"name={name}"])


def name_of_an_external_set(name, out):
    (recipe,) = load_recipes([recipe_file(name, out, f"{DEMO}external: {{NAME: {{d: {{}}}}}}\n")])
    assert list(recipe.external) == [name]


def file_of_a_recipe(name, out):
    load_recipes([out / name])


@cache
def shared_report():
    """The files of a report, as they are packed."""
    with tempfile.TemporaryDirectory() as folder:
        return pack(report(Path(folder) / "r"), pictures=False).files


def good_report(folder):
    for name, data in shared_report().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def arm_of_a_report(name, out):
    folder = good_report(out / "noaug-1")
    record = read_json(folder / "report.json")
    write_json(folder / "report.json", record | {"order": [name], "arms": {name: record["arms"]["noaug"]}})
    file = folder / "per_image.csv"
    with file.open(newline="") as stream:
        rows = [row | {"arm": name} for row in csv.DictReader(stream)]
    with file.open("w", newline="", errors="replace") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)
    seal(folder, {})
    assert is_name(read_report(folder).arms[0].arm)


def external_set_of_a_report(name, out):
    folder = good_report(out / "noaug-1")
    write_json(folder / "report.json", read_json(folder / "report.json") | {"external": {name: {}}})
    seal(folder, {})
    read_report(folder)


def recipe_of_a_report(name, out):
    folder = good_report(out / "noaug-1")
    origin = read_json(folder / "origin.json")
    origin["recipes"] = [{"file": name, "written": "", "changes": []}]
    (folder / "origin.json").write_text(json.dumps(origin))
    seal(folder, {})
    pack(folder, pictures=False)


def folder_of_a_report(name, out):
    """What is packed from a folder of any name can be unpacked again."""
    folder = good_report(out / "reports" / name)
    write_shared(pack(folder, pictures=False), out / "shared.zip")
    with opened(out / "shared.zip") as unpacked:
        read_report(unpacked)


def archive(out, *entries):
    """A zip of a report in the folder `r`, to which entries are added."""
    with zipfile.ZipFile(out / "a.zip", "w") as packed:
        for file, data in shared_report().items():
            packed.writestr(f"r/{file}", data)
        with catch_warnings(action="ignore"):  # of names that are there twice
            for entry, data in entries:
                packed.writestr(entry, data)
    with opened(out / "a.zip") as folder:
        read_report(folder)


def spelt(name):
    """Return an entry of a zip that has this very name, which `ZipInfo` itself would mend."""
    entry = zipfile.ZipInfo("x")
    entry.filename = name.encode("utf-8", "replace").decode()
    return entry


def member(name, out):
    archive(out, (spelt(name), b"x"))


def member_below(name, out):
    archive(out, (spelt(f"r/{name}"), b"x"))


def link_and_what_is_in_it(name, out):
    """A link by this name, then a file that would be written through it."""
    entry = spelt(f"r/{name}")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive(out, (entry, b"../../../outside"), (spelt(f"r/{name}/x"), b"x"))


def hard_link_of_a_name(name, out):
    """A link to a file elsewhere by a plain name, then a file of the same name."""
    entry = zipfile.ZipInfo("r/plain")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive(out, (entry, os.fsencode(name.encode("utf-8", "replace"))), (zipfile.ZipInfo("r/Plain"), b"x"))


def id_of_a_sample(name, out, layout):
    """As a changed store could hold it: augkit's own ids are plain."""
    export = example(count=2)
    (source,) = export.sources
    samples = replace(source.samples, ids=(name, "plain"))
    write_export(replace(export, sources=(replace(source, samples=samples),)), out / "export", layout, "png")
    assert find_damage(out / "export") == []


def ids_exported_as_a_folder(name, out):
    id_of_a_sample(name, out, "folder")


def ids_exported_as_coco(name, out):
    id_of_a_sample(name, out, "coco")


def ids_exported_for_nnunet(name, out):
    id_of_a_sample(name, out, "nnunet")


def ids_exported_as_webdataset(name, out):
    id_of_a_sample(name, out, "webdataset")


def ids_of_real_images(name, out):
    """They stand in tables and records, and name no file."""
    train = lesions(4, 32)
    real = replace(train, ids=(name, *train.ids[1:]), groups=(name, *train.groups[1:]))
    splits = Splits(real, ImageSet.empty((32, 32)), replace(lesions(2, 32), ids=("t1", "t2"), groups=("t1", "t2")))
    with contract("a data set"):
        check_splits(splits)
    write_splits(out / "artifact", splits)
    assert read_splits(out / "artifact").train.ids == real.ids
    write_export(replace(example(count=2), real=splits), out / "export", "nnunet", "png")


def label_of_an_artifact(name, out):
    """In a manifest of another name than its folder's; what is removed lies in the store."""
    folder = out / "runs/dataset/phantom-0123456789ab"
    folder.mkdir(parents=True)
    seal(folder, {"kind": name, "label": name, "fingerprint": "0123456789ab" * 5, "identity": {"inputs": []}})
    store = Store(out / "runs")
    assert list(store.published()) == []
    assert collect(store, 0.0, unfinished=True, dry=False) == []


def place_of_an_export(name, out):
    write_export(example(count=2), out / "to" / name, "folder", "png")
    assert_nothing_but(out / "to" / name, out)


@dataclass(frozen=True)
class Copying(Plain):
    @staticmethod
    def import_weights(file, folder):
        write_bytes(folder / "own.bin", file.read_bytes())
        return []


def place_of_weights(name, out):
    file = out / "latest_net_G.pth"
    file.write_bytes(b"1")
    import_weights(file, out / "to" / name, "copying", registry(copying=Copying))
    assert_nothing_but(out / "to" / name, out)


def assert_nothing_but(place, out):
    """Whoever names a place gets it, also one outside; nothing else in the folder is new."""
    place = place.resolve()
    assert find_damage(place) == []
    new = [path for path in (out / "to").rglob("*") if path != place and path not in place.parents]
    assert all(place in path.parents for path in new)


def name_of_a_plugin(name, out):
    write_package(name, KINDS["mask source"], out, REGISTRY)


def shipped_recipe(name, out):
    copy_recipes(name, out)


def code_of_a_probe(name, out):
    (out / ".augkit-probe-").mkdir()
    join(out, name, patience=0.0)


def as_png(pixels):
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


IMAGE = as_png(np.full((32, 32, 3), 90, np.uint8))
MASK = as_png(np.pad(np.full((12, 12), 255, np.uint8), 10))


def image_of_a_coco_file(name, out):
    (out / "images").mkdir()
    names = [name, *(f"case{i}.png" for i in range(5))]
    for plain in names[1:]:
        (out / "images" / plain).write_bytes(IMAGE)
    images = [{"id": i, "file_name": one, "height": 32, "width": 32} for i, one in enumerate(names)]
    square = [[8, 8, 20, 8, 20, 20, 8, 20]]
    regions = [{"id": i, "image_id": i, "category_id": 1, "segmentation": square} for i in range(len(names))]
    content = {"images": images, "annotations": regions, "categories": [{"id": 1, "name": "lesion"}]}
    (out / "annotations.json").write_text(json.dumps(content))
    Coco(root=out, size=32, test_fraction=0.4).load()


def pairs(root, *names):
    for part, data in (("images", IMAGE), ("masks", MASK)):
        (root / part).mkdir(parents=True)
        for name in (*(f"case{i}" for i in range(5)), *names):
            (root / part / f"{name}.png").write_bytes(data)
    return root


def read(out, **options):
    """Load a data set by a recipe that a stranger wrote; `name` may stand in any option."""
    dataset = {"folder": {"size": 32, "test_fraction": 0.4, **options}}
    text = json.dumps({"name": "demo", "dataset": dataset, "segmenter": {"unet": {}}})
    (recipe,) = checked_recipes(out, text, registry=REGISTRY)
    write_splits(out / "artifact", recipe.dataset.instance.load())


def root_of_a_data_set(name, out):
    read(out, root=name)


def folder_of_images(name, out):
    read(out, root=str(pairs(out / "d")), images=name)


def file_of_groups(name, out):
    read(out, root=str(pairs(out / "d")), groups=name)


def id_in_a_file_of_groups(name, out):
    rows = [("id", "group"), *((f"case{i}", name if i == 0 else f"p{i}") for i in range(5)), (name, name)]
    with (out / "groups.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        csv.writer(stream).writerows([[cell.replace("\ud800", "?") for cell in row] for row in rows])
    read(out, root=str(pairs(out / "d")), groups=str(out / "groups.csv"))


def file_of_an_image(name, out):
    read(out, root=str(pairs(out / "d", name)))
    real = read_splits(out / "artifact")
    write_export(replace(example(count=2), real=real), out / "export", "nnunet", "png")


DOORS = [
    name_of_a_recipe, name_by_set, name_of_an_external_set, file_of_a_recipe, arm_of_a_report,
    external_set_of_a_report, recipe_of_a_report, folder_of_a_report, member, member_below, link_and_what_is_in_it,
    hard_link_of_a_name, ids_exported_as_a_folder, ids_exported_as_coco, ids_exported_for_nnunet,
    ids_exported_as_webdataset, ids_of_real_images, label_of_an_artifact, place_of_an_export, place_of_weights,
    name_of_a_plugin, shipped_recipe, code_of_a_probe, image_of_a_coco_file, root_of_a_data_set, folder_of_images,
    file_of_groups, id_in_a_file_of_groups, file_of_an_image,
]  # fmt: skip

ON_DISK = {folder_of_a_report, file_of_an_image}
"""Doors that take the name of a file that is there; not every name can be one."""

CHOSEN = {place_of_an_export, place_of_weights}
"""Doors at which somebody says where to write, and may say so of any place. No argument holds a nought."""


def fits(name, door):
    if door in CHOSEN:
        return "\0" not in name and "\ud800" not in name
    is_file_name = name not in ("", ".", "..") and not set(name) & {"/", "\0", "\ud800"}
    return door not in ON_DISK or (is_file_name and len(os.fsencode(name)) < 240)


@dataclass(frozen=True)
class Arena:
    """A folder to write into, and to be in, with links that lead out of it to what must stay as it is."""

    folder: Path

    @property
    def inside(self):
        return self.folder / "inside"

    @property
    def out(self):
        return self.inside / "out"

    @property
    def outside(self):
        return self.folder / "outside"

    def make(self):
        for place in (self.out, self.inside / "temporary", self.outside, self.folder / "home"):
            place.mkdir(parents=True)
        (self.outside / "file").write_text("mine")
        (self.out / "link").symlink_to(self.outside)
        (self.out / "file-link").symlink_to(self.outside / "file")

    def around(self):
        """What lies around the inside: kind, size and time of each path, but for the folders that name it."""
        tops = [top for place in (self.folder.parent, self.folder) for top in place.iterdir()]
        parts = (self.outside, self.folder / "home")
        paths = [*tops, self.inside, *(path for part in parts for path in part.rglob("*"))]
        return {path: (facts.st_mode, facts.st_size, facts.st_mtime_ns) for path in paths if (facts := path.lstat())}


def wrong_at(door, name, arena):
    """Try a name at a door; return what was wrong, "" for nothing."""
    before = arena.around()
    said = ""
    with chdir(arena.out), writes_outside(arena.inside) as strays:
        try:
            door(name, arena.out)
        except (InputError, ContractError) as error:  # the latter blames a plugin
            if not all(problem.where and problem.what for problem in error.problems):
                said = f"no sentence: {error}"
        except Exception as error:  # whatever it is, it would be a traceback
            said = f"{type(error).__name__}: {error}"
    if door not in CHOSEN and strays:
        said += f" wrote {strays}"
    if door not in CHOSEN and arena.around() != before:
        said += " changed what lies around"
    if (arena.outside / "file").read_text() != "mine" or list((arena.inside / "temporary").iterdir()):
        said += " changed a file of others, or left something"
    return said


@pytest.mark.parametrize("described", NAMES)
def test_a_hostile_name_is_used_or_refused_at_every_door_and_leads_to_no_write_outside(
    described, tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    wrong = {}
    for number, door in enumerate(DOORS):
        arena = Arena(tmp_path / str(number) / "arena")
        arena.make()
        monkeypatch.setenv("HOME", str(arena.folder / "home"))
        monkeypatch.setattr(tempfile, "tempdir", str(arena.inside / "temporary"))
        name = NAMES[described].replace("OUTSIDE", str(arena.outside))
        if fits(name, door) and (said := wrong_at(door, name, arena)):
            wrong[door.__name__] = said
    assert wrong == {}


NEVER = {
    *(file_of_a_recipe, shipped_recipe, image_of_a_coco_file, root_of_a_data_set, folder_of_images, file_of_groups),
    *(external_set_of_a_report, recipe_of_a_report, code_of_a_probe),  # there is nothing of this name
    *(member, member_below, link_and_what_is_in_it, hard_link_of_a_name),  # a report has no such file
}
"""Doors at which nothing is made of a name."""


def test_a_plain_name_is_used_so_that_a_hostile_one_is_refused_for_what_it_is(tmp_path):
    refused = set()
    for door in DOORS:
        arena = Arena(tmp_path / door.__name__ / "arena")
        arena.make()
        try:
            with chdir(arena.out):
                door("good-1", arena.out)
        except (InputError, ContractError):
            refused.add(door)
    assert refused == NEVER
