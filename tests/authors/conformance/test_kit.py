"""The conformance kit finds planted faults, each by its own check, and nothing in components that have none."""

import importlib.util
import random
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from augkit import ANYTHING, Takes
from augkit.authors.conformance import KITS, try_component
from augkit.authors.conformance.toy import formats_taken
from augkit.authors.conformance.writes import writes_outside

spec = importlib.util.spec_from_file_location("augkit_planted_faults", Path(__file__).with_name("faults.py"))
assert spec is not None
assert spec.loader is not None
faults = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = faults
spec.loader.exec_module(faults)

FAULTS = {
    "generator": {
        "raises": ("raises_nothing", "your generator raised in painting: ZeroDivisionError: division by zero; return"),
        "hangs": ("answers_in_time", "your generator hung: painting took over 0.3 s; return sooner"),
        "wrong shape": (
            "returns_one_image_per_mask",
            "(9, 3, 32, 32); return uint8 0..255 (9, 32, 32, 3)",
        ),
        "wrong dtype": (
            "returns_uint8",
            "your generator returned float64 0.1961..0.8157 (9, 32, 32, 3); return uint8 0",
        ),
        "wrong range": (
            "uses_the_whole_range",
            "your generator returned uint8 0..0 (9, 32, 32, 3); scale the images to",
        ),
        "NaN": ("returns_uint8", "your generator returned float64 nan..nan (9, 32, 32, 3); return uint8 0..255"),
        "mutates its input": (
            "leaves_inputs_alone",
            "your generator changed the masks that it was given in painting for sample 0; work on a copy",
        ),
        "keeps state": (
            "keeps_no_state",
            "your generator changed 9 of 9 answers between two equal calls, the first for",
        ),
    },
    "mask source": {
        "raises": ("raises_nothing", "your mask source raised in draw(): ZeroDivisionError: division by zero; return"),
        "hangs": ("answers_in_time", "your mask source hung: draw() took over 0.3 s; return sooner"),
        "wrong shape": (
            "returns_count_masks",
            "your mask source returned masks bool (9, 16, 32); return bool (9, 32, 32)",
        ),
        "wrong dtype": (
            "returns_bool",
            "your mask source returned masks uint8 0..1 (9, 32, 32); return bool (9, 32, 32)",
        ),
        "wrong range": ("masks_are_filled", "returned 9 empty masks of 9, the first for sample 0; return masks with"),
        "NaN": ("records_are_json", "your mask source returned record 0, which cannot be written (Out of range"),
        "mutates its input": ("leaves_inputs_alone", "changed the masks that it was given in draw() for sample 0"),
        "keeps state": ("keeps_no_state", "your mask source changed 9 of 9 answers between two equal calls"),
    },
    "augmentation": {
        "raises": ("raises_nothing", "your augmentation raised in a call: ZeroDivisionError: division by zero; return"),
        "hangs": ("answers_in_time", "your augmentation hung: a call took over 0.3 s; return sooner"),
        "wrong shape": ("keeps_shapes", "(9, 3, 12, 32); return float32 (9, 3, 24, 32)"),
        "wrong dtype": ("keeps_dtypes", "your augmentation returned images float64 "),
        "wrong range": ("images_in_range", "your augmentation returned image values in "),
        "NaN": ("is_finite", "your augmentation returned images values that are not finite for sample 0; return 0..1"),
        "mutates its input": ("leaves_inputs_alone", "changed the images that it was given in a call for sample 0"),
        "keeps state": ("keeps_no_state", "your augmentation changed 9 of 9 answers between two equal calls"),
    },
    "segmenter": {
        "raises": (
            "raises_nothing",
            "your segmenter raised in predicting: ZeroDivisionError: division by zero; return",
        ),
        "hangs": ("answers_in_time", "your segmenter hung: predicting took over 0.3 s; return sooner"),
        "wrong shape": (
            "returns_one_score_per_pixel",
            "returned float32 0..0.8 (9, 32, 32); return float32 0..1 (9, 1, 32,",
        ),
        "wrong dtype": (
            "returns_float32",
            "your segmenter returned float64 0..0.8 (9, 1, 32, 32); return float32 0..1",
        ),
        "wrong range": (
            "scores_in_range",
            "your segmenter returned values in -5 .. 3 for sample 0; return 0..1, finite",
        ),
        "NaN": ("scores_are_finite", "your segmenter returned values that are not finite for sample 0; return 0..1"),
        "mutates its input": ("leaves_inputs_alone", "changed the images that it was given in predicting for sample 0"),
        "keeps state": (
            "keeps_no_state",
            "your segmenter changed 9 of 9 answers between two equal calls, the first for",
        ),
    },
    "dataset": {
        "raises": ("raises_nothing", "your data set raised in load(): ZeroDivisionError: division by zero; return"),
        "hangs": ("answers_in_time", "your data set hung: load() took over 0.3 s; return sooner"),
        "wrong shape": (
            "splits_have_samples_of_one_size",
            "your data set has different image sizes: 32 x 32 in train, 32 x 32 in validation, 64 x 64 in test; return",
        ),
        "wrong dtype": (
            "raises_nothing",
            "raised in load(): ValueError: images are float64 (8, 32, 32, 3); allowed: uint8",
        ),
        "wrong range": (
            "uses_the_whole_range",
            "your data set returned uint8 0..0 (8, 32, 32, 3); scale the images to",
        ),
        "NaN": (  # pixels are uint8 and have none; a missing cell of a table does
            "splits_share_nothing",
            "your data set has group nan in train, which is a float; return text",
        ),
        "mutates its input": ("leaves_inputs_alone", "toys.txt in load(); only read the user's files"),
        "keeps state": (
            "keeps_no_state",
            "your data set changed 8 of 8 answers when loaded again, the first for sample 0",
        ),
    },
}
"""Kind -> misbehaviour -> the check that finds it, and a part of what that says to the author."""

CALLS = {
    "generator": "painting",
    "mask source": "draw()",
    "augmentation": "a call",
    "segmenter": "predicting",
    "dataset": "load()",
}
NOUNS = {kind: "data set" if kind == "dataset" else kind for kind in FAULTS}
for kind, found in FAULTS.items():
    subject, call = f"your {NOUNS[kind]}", CALLS[kind]
    found["exits"] = ("never_exits", f"{subject} called sys.exit in {call}; raise an exception that says what is wrong")
    found["prints"] = ("prints_nothing", f"{subject} printed 'painting now' in {call}; say it with space.log.note")
    found["changes threads"] = ("leaves_threads_alone", f"{subject} changed the number of torch threads from ")
    for fault, module in (
        ("uses the global generator", "numpy.random"),
        ("uses torch's global generator", "torch"),
        ("uses the standard library's generator", "random"),
    ):
        text = f"{subject} used the global random generator of {module} in {call}; take every random number"
        found[fault] = ("leaves_global_randomness_alone", text)

MORE = {
    "generator": {
        "ignores the mask": ("follows_the_mask", "paints without regard to the mask: changes of 0 levels where masks"),
        "depends on the batch": (
            "batch_independent",
            "changed 1 of 1 answers alone, the first for sample 0; make image i",
        ),
    },
    "mask source": {
        "depends on the batch": ("keyed", "your mask source changed 1 of 1 answers alone"),
        "counts from the part": (
            "parts_make_the_whole",
            "your mask source changed 1 of 1 answers in a part, 4 to 4, the first for sample 0; return from",
        ),
        "writes elsewhere": (
            "writes_only_in_its_folder",
            "elsewhere.txt in draw(); write in the folder of the workspace",
        ),
    },
    "augmentation": {
        "moves the image only": ("image_and_mask_move_together", "your augmentation moved image and mask apart: "),
        "soft masks": (
            "masks_stay_binary",
            "mask values in 0 .. 0.7, not all 0 or 1 for sample 0; cut the masks at 0.5",
        ),
        "depends on the batch": ("batch_independent", "your augmentation changed 1 of 1 answers alone"),
        "leaves a thread running": (
            "leaves_threads_alone",
            "your augmentation left 1 threads running in a call; end your threads before you return, or keep them in a",
        ),
        "shifts the mask by two pixels": (
            "image_and_mask_move_together",
            "your augmentation moved image and mask apart: ",
        ),
        "hides half and moves the mask": (
            "hides_without_moving",
            "your augmentation moved a mask that its image no longer shows for sample 0; leave masks where they are",
        ),
        "hides nearly all": (
            "hides_without_moving",
            "% of an image that no longer shows its mask for sample",
        ),
        "blurs the mask": ("masks_stay_binary", "mask values in 0 .. 1, not all 0 or 1 for sample 0; cut the masks"),
        "drops the second class": (
            "keeps_shapes",
            "your augmentation returned masks float32 0..1 (9, 1, 24, 32); return float32 (9, 2, 24, 32)",
        ),
        "lets the classes grow": (
            "classes_stay_apart",
            "your augmentation put a pixel in two classes for sample 0; where masks have several classes, let one of",
        ),
        "works in place": ("leaves_inputs_alone", "changed the images that it was given in a call for sample 0"),
        "returns its input": (
            "returns_new_images",
            "your augmentation returned the images that it was given; return a copy where nothing changes",
        ),
        "reads the global seed": ("keeps_no_state", "your augmentation changed 9 of 9 answers between two equal calls"),
        "normalises by the batch": ("batch_independent", "your augmentation changed 1 of 1 answers alone"),
        "draws by position": ("batch_independent", "your augmentation changed 1 of 1 answers alone"),
        "ignores the epoch": (
            "epochs_differ",
            "your augmentation gave equal batches in two epochs; draw what changes from the draws",
        ),
        "tells parameters of the batch": (
            "parameters_are_keyed",
            "your augmentation changed 3 of 3 answers of the parameter 'light' in another batch, the first for sample",
        ),
        "tells one parameter for all": (
            "parameters_are_keyed",
            "() as 'light' of 9 samples; tell one number per sample",
        ),
        "takes stored pixels as floats": (
            "stored_pixels_change_alike",
            "your augmentation changed 9 of 9 answers for stored pixels, the first for sample 0; return what float32",
        ),
    },
    "segmenter": {
        "learns nothing": (
            "learns",
            "your segmenter reached Dice 0.00 on dark ellipses, and a guess without looking 0.",
        ),
        "says that it augments by itself": (
            "augments_its_batches",
            "your segmenter called augment in fit() though it augments with a mirror; leave it, or do not say so",
        ),
        "never augments": ("augments_its_batches", "your segmenter never called augment in fit(); apply it to every"),
        "refuses sizes without a word": (
            "sizes_are_refused_in_words",
            "your segmenter refused 31 x 33 pixels with 'no'; say what was found and what is allowed",
        ),
        "fails at sizes": (
            "sizes_are_refused_in_words",
            "your segmenter raised KeyError in check_frame() for 31 x 33 pixels; raise ValueError for a size",
        ),
        "depends on the batch": ("batch_independent", "your segmenter changed 1 of 1 answers alone"),
        "takes arrays only": (
            "takes_sets_in_shards",
            "your segmenter raised in fit() on a set in shards: AttributeError: arrays in shards have no 'mean'; index "
            "it, as in images[begin:end], or read all of it by np.asarray; use augkit.training.Batches, or images[b",
        ),
        "reads everything at once": (
            "takes_sets_in_shards",
            "your segmenter read all images of a set in shards at once in fit(); use augkit.training.Batches",
        ),
        "learns otherwise from shards": (
            "takes_sets_in_shards",
            "your segmenter left other files after fit() on the same set in shards: level.json; leave the order to",
        ),
    },
    "dataset": {
        "shares groups": (
            "splits_share_nothing",
            "has group 'toy-test-0' in train and test; put each group in one split",
        ),
        "tells another size": (
            "frame_is_the_images_size",
            "your data set told of images of 32 x 64 pixels and loaded some of 32 x 32 pixels; tell the size of load()",
        ),
        "gives one native mask less": (
            "native_masks_belong_to_their_ids",
            "your data set returned 3 native masks or images for 4 ids; return one per id, in order",
        ),
        "turns native masks": (
            "native_masks_belong_to_their_ids",
            "your data set returned a native mask that differs from its mask of load() in ",
        ),
        "resizes native images": (
            "native_images_fit_their_masks",
            "your data set returned uint8 31..213 (32, 32, 3) as a native image beside bool (96, 64)",
        ),
    },
}
"""Misbehaviours that only one kind knows."""

TWICE = {
    "augmentation": {
        "draws by position": ("order_independent", "answers in a shuffled batch, the first for sample 0; make sample"),
        "moves the image only": (
            "hides_without_moving",
            "% of an image that no longer shows its mask for sample",
        ),
    },
}
"""Misbehaviours that a second check finds by itself."""

PLANTED = [
    (kind, fault, *expected)
    for table in (FAULTS, MORE, TWICE)
    for kind, found in table.items()
    for fault, expected in found.items()
]


@pytest.fixture(autouse=True)
def in_one_process(monkeypatch):
    """Starting an interpreter for every fault would cost minutes; the components that have none are opened in one."""
    for module in ("generator", "segmenter"):
        monkeypatch.setattr(f"augkit.authors.conformance.{module}.ask_fresh_process", answer_here)


def answer_here(bench, fitted, arrays):
    """Open the component again in this process."""
    from augkit import Draws

    values = list(arrays.values())
    if "keys" in arrays:
        values[-1] = Draws(values[-1])
    opened = bench.opened()
    return bench.once("opening in a fresh process", lambda: opened(*values))


def component(kind, fault, folder):
    if kind == "dataset":
        (folder / "toys.txt").write_text("as it was")
        return faults.Toys(folder / "toys.txt", fault)
    return {"generator": faults.Painter, "mask source": faults.Squares, "augmentation": faults.Flip}.get(
        kind, faults.Dark
    )(fault)


def findings(kind, fault, folder):
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    faults.STATE["calls"] = 0
    try:
        return list(try_component(kind, component(kind, fault, folder), folder, 0.3 if fault == "hangs" else 60))
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        torch.set_num_threads(threads)


def test_twelve_misbehaviours_of_five_kinds_are_planted():
    twelve = {
        "raises", "hangs", "wrong shape", "wrong dtype", "wrong range", "NaN", "mutates its input",
        "uses the global generator", "keeps state", "prints", "exits", "changes threads",
    }  # fmt: skip
    assert set(FAULTS) == set(KITS)
    for found in FAULTS.values():
        assert twelve <= set(found)


OPTIONAL = {"hides_without_moving", "stored_pixels_change_alike", "health_is_readable", "resumes"}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_component_without_a_fault_passes_every_check(tmp_path, kind):
    found = findings(kind, "", tmp_path)
    assert [one.check for one in found] == [check.__name__ for check in KITS[kind].checks]
    assert [one for one in found if one.state == "failed"] == []
    skipped = {one.check for one in found if one.state == "skipped"}
    assert skipped <= {*OPTIONAL, "keeps_every_class"}


@pytest.mark.parametrize(
    ("kind", "fault", "check", "text"), PLANTED, ids=lambda value: str(value).replace(" ", "-")[:30]
)
def test_a_planted_fault_is_found_by_its_own_check_and_told_to_the_author(tmp_path, capsys, kind, fault, check, text):
    found = {one.check: one for one in findings(kind, fault, tmp_path)}
    assert found[check].state == "failed", found
    assert text in found[check].text
    also = {one.check for one in found.values() if one.state == "failed"} - {check}
    assert also <= CONSEQUENCES.get(fault, set()), found
    assert capsys.readouterr() == ("", "")


ANY = {
    "generator": (faults.AnyPainter, {
        "returns uint8 for int16": (
            "returns_uint8",
            "(9, 32, 32, 1); return int16 (9, 32, 32, 1); given 1 channel (ct -160..240; int16) and 3 classes",
        ),
        "returns 0..1 for other windows": (
            "uses_the_whole_range",
            "your generator returned int16 0..0 (9, 32, 32, 1); scale the images to -160..240; given 1 channel (ct -16",
        ),
    }),
    "mask source": (faults.AnySquares, {
        "draws an unknown label": (
            "labels_are_known",
            "your mask source returned the label 4 for sample 0; return 0 to 3; given 1 channel (ct -160..240; int16) "
            "and 3 classes (one, two, three)",
        ),
        "returns bool for label maps": (
            "returns_bool",
            "your mask source returned masks bool (9, 32, 32); return uint8 (9, 32, 32); given 1 channel (ct -160",
        ),
    }),
    "augmentation": (faults.AnyFlip, {
        "moves the second of three classes": (
            "classes_stay_apart",
            "; where masks have several classes, let one of them win each pixel; given 1 channel (ct -160..240; int16) "
            "and 3 classes (one, two, three)",
        ),
        "drops the second of three classes": (
            "keeps_every_class",
            "your augmentation lost the class 'two' in all 9 masks that show it; do with every class what is done with "
            "the first; given 1 channel (ct -160..240; int16) and 3 classes (one, two, three)",
        ),
        "works on channels 0 to 2": (
            "raises_nothing",
            "your augmentation raised in a call: IndexError: index 1 is out of bounds for dimension 1 with size 1; "
            "return an answer; given 1 channel (ct -160..240; int16) and 3 classes (one, two, three)",
        ),
    }),
    "segmenter": (faults.AnyDark, {
        "sums up above 1": (
            "scores_share_a_pixel",
            "your segmenter returned scores that sum up to 2.4 in a pixel; return shares of 1, as softmax does; given "
            "1 channel (ct -160..240; int16) and 3 classes (one, two, three)",
        ),
    }),
    "dataset": (faults.AnyToys, {
        "tells another format": (
            "tells_its_format",
            "your data set returned 1 channel (ct -100..300; int16) and 3 classes (one, two, three) where format() "
            "says 8-bit RGB and 1 class; say and return the same",
        ),
        "holds an unknown label": (
            "labels_are_known",
            "your data set returned the label 4 for sample 1; return 0 to 3",
        ),
    }),
}  # fmt: skip
"""Kind -> a component that takes anything, and misbehaviours that only other formats than 8-bit RGB bring to light."""


def findings_of(kind, cls, fault, folder):
    if kind == "dataset":
        (folder / "toys.txt").write_text("as it was")
        return list(try_component(kind, cls(folder / "toys.txt", fault), folder, 60))
    return list(try_component(kind, cls(fault), folder, 60))


@pytest.mark.parametrize("kind", ANY)
def test_a_component_that_takes_anything_is_tried_with_all_of_it(tmp_path, kind):
    found = findings_of(kind, ANY[kind][0], "", tmp_path)
    assert [one for one in found if one.state == "failed"] == []
    assert {one.check for one in found if one.state == "skipped"} <= OPTIONAL


@pytest.mark.parametrize(
    ("kind", "fault", "check", "text"),
    [(kind, fault, *expected) for kind, (_, table) in ANY.items() for fault, expected in table.items()],
    ids=lambda value: str(value).replace(" ", "-")[:30],
)
def test_a_fault_with_other_images_or_several_classes_is_found_by_its_own_check(tmp_path, kind, fault, check, text):
    found = {one.check: one for one in findings_of(kind, ANY[kind][0], fault, tmp_path)}
    assert found[check].state == "failed", found
    assert text in found[check].text
    also = {one.check for one in found.values() if one.state == "failed"} - {check}
    assert also <= CONSEQUENCES.get(fault, set()), found


def test_a_data_set_that_does_not_say_what_it_holds_is_found(tmp_path):
    found = {one.check: one for one in try_component("dataset", faults.SilentToys(), tmp_path)}
    assert found["tells_its_format"].text == (
        "your data set returned 1 channel (ct -100..300; int16) and 3 classes (one, two, three) and has no method "
        "format(); say before it is read what load() returns"
    )


SAID = {
    None: ["8-bit RGB and 1 class"],
    ANYTHING: [
        "8-bit RGB and 1 class",
        "1 channel (ct -160..240; int16) and 3 classes (one, two, three)",
        "1 channel (grey 100..40000; uint16) and 1 class",
        "2 channels (mr 0..900, mr -5..5; float32) and 2 classes (one, two) with ignored pixels",
    ],
    Takes(None, None, None): [
        "8-bit RGB and 1 class",
        "1 channel (ct -160..240; int16) and 1 class",
        "1 channel (grey 100..40000; uint16) and 1 class",
        "2 channels (mr 0..900, mr -5..5; float32) and 1 class",
    ],
    Takes(dtypes=None, classes=None, ignore=True): [
        "8-bit RGB and 1 class",
        "8-bit RGB and 3 classes (one, two, three)",
        "3 channels (red 0..4095, green 0..4095, blue 0..4095; uint16) and 1 class",
        "8-bit RGB and 1 class (foreground) with ignored pixels",
    ],
    Takes((1,), frozenset({"ct"}), frozenset({"int16"}), 8): [
        "1 channel (ct -160..240; int16) and 3 classes (one, two, three)",
    ],
}


@pytest.mark.parametrize("takes", SAID, ids=str)
def test_the_images_that_a_component_is_tried_with_follow_from_what_it_says_that_it_takes(takes):
    component = SimpleNamespace() if takes is None else SimpleNamespace(takes=takes)
    assert [str(format) for format in formats_taken(component)] == SAID[takes]


def test_an_executor_may_keep_its_threads_for_the_next_call(tmp_path):
    assert [one for one in findings("augmentation", faults.NO_FAULT, tmp_path) if one.state == "failed"] == []


def test_removing_a_folder_is_heard_where_it_lies(tmp_path):
    for folder in ("own/old", "other/old"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_text("x")
    with writes_outside(tmp_path / "own") as strays:
        shutil.rmtree(tmp_path / "own" / "old")
    assert strays == []
    with writes_outside(tmp_path / "own") as strays:
        shutil.rmtree(tmp_path / "other" / "old")
    assert strays == [str(tmp_path / "other" / "old" / "file"), str(tmp_path / "other" / "old")]


@pytest.mark.parametrize(
    ("writes", "stray"),
    [
        (lambda own: (own / "../other/file").write_text("x"), "own/../other/file"),
        (lambda own: (own / "link/file").write_text("x"), "own/link/file"),
        (lambda own: (own / "file-link").write_text("x"), "own/file-link"),
        (lambda own: (own / "file").rename(own.parent / "other/moved"), "other/moved"),
        (lambda own: (own.parent / "other/old").rename(own / "moved"), "other/old"),
        (lambda own: (own.parent / "other/new").symlink_to(own / "file"), "other/new"),
        (lambda own: (own.parent / "other/new").hardlink_to(own / "file"), "other/new"),
        (lambda own: (own / "new").symlink_to(own.parent / "other"), None),
        (lambda own: (own / "link").unlink(), None),
        (lambda own: (own / "file").rename(own / "moved"), None),
    ],
)
def test_what_leads_out_of_a_folder_is_heard_however_it_is_written(writes, stray, tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    for file in (own / "file", other / "old"):
        file.write_text("x")
    (own / "link").symlink_to(other)
    (own / "file-link").symlink_to(other / "old")
    with writes_outside(own) as strays:
        writes(own)
    assert strays == ([] if stray is None else [str(tmp_path / stray)])


APART = {"image_and_mask_move_together", "hides_without_moving"}

CONSEQUENCES = {
    "mutates its input": {
        "keeps_no_state",
        "opens_in_a_fresh_process",
        "writes_only_in_its_folder",
        "same_key_same_bytes",
        "batch_independent",
    },
    "keeps state": {
        "same_key_same_bytes",
        "order_independent",
        "batch_independent",
        "keyed",
        "opens_in_a_fresh_process",
        "parts_make_the_whole",
    },
    "depends on the batch": {"parts_make_the_whole"},
    "draws by position": {"order_independent", "batch_independent"},
    "returns its input": {"epochs_differ"},
    "moves the image only": APART,
    "shifts the mask by two pixels": APART,
    "hides half and moves the mask": APART,
    "hides nearly all": APART,
    "drops the second of three classes": APART,
    "moves the second of three classes": APART,
    "returns 0..1 for other windows": {"follows_the_mask"},
}
"""Faults that other checks cannot help noticing."""
