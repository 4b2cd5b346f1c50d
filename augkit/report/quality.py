"""The quality of a synthetic set as a table for people: each number, what held-out real images get, what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from augkit.metrics import GRID_SHOWS
from augkit.report.evidence import Section
from augkit.report.summary.synthetic import in_words

HEADER = ("measure", "synthetic", "real, held out", "reads")

Row = tuple[str, str, str, str]


def quality_rows(record: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a ``quality.json``, under `HEADER`; without those of adherence where nothing judged it."""
    rows = [
        *(_adherence(record["adherence"]) if "adherence" in record else ()),
        *_distribution(record),
        *_grid(record["grid"]),
        *_diversity(record["diversity"], record["features"]),
        *_memorisation(record["memorisation"], record["features"]),
    ]
    return [(measure, _minus(synthetic), _minus(real), reads) for measure, synthetic, real, reads in rows]


PICTURES = {
    "adherence": "Masks from followed worst to followed best, with what the segmenter found",
    "closest": "Synthetic and held-out images nearest to a training image, beside it",
    "diversity": "Some masks, each painted with several draws",
}
"""File stem of a picture of `augkit.quality.judge.judge` -> what it shows."""


TERMS = (
    ("adherence", "how well the outline that was asked for is found again in the painted image, from 0 to 1"),
    (
        "KID",
        "kernel inception distance, here of other features: how far two sets of images are apart; 0 is one kind",
    ),
    ("density, coverage", "whether painted images lie where real ones do, and whether they lie everywhere there"),
    ("SWD", "sliced Wasserstein distance between small patches of two sets, at several sizes of the image"),
    ("diversity", "how far the images are apart that are painted for one and the same mask"),
    ("suspicious", "so near to a training image as hardly any unseen real image is"),
)
"""Words of the table, and what they mean."""


AS_SHOWN = (
    "Distances are between images as they are shown: each channel's window as grey levels 0 to 255, of more than three "
    "channels the first three. Grids are looked for in every channel."
)
"""What a report says of images that are not 8-bit RGB."""


def quality_section(
    number: int, record: Mapping[str, Any], arms: Mapping[str, str], pictures: Mapping[str, bytes], folds: bool = False
) -> Section:
    """Return what a report shows of a ``quality.json``.

    number: tells the sections of a report apart.
    arms:   who uses the images -> which of them it keeps, in words; '' for all.
    folds:  whether the images are those of one fold of several.
    """
    counts, users = record["images"], ", ".join(arms)
    kept = "".join(f"; {arm} {what}" for arm, what in arms.items() if what)
    first = "the first seed and fold" if folds else "the first seed"
    chosen = f", evenly chosen of {counts['painted']}" if "painted" in counts else ""
    text = (
        f"{counts['synthetic']} synthetic images of {first}{chosen}, used by {users}{kept}. All are judged against "
        f"{counts['training']} training images and {counts['held_out']} real images that no generator has seen. "
        "Adherence is the Dice of a mask with what the segmenter that was trained on real images alone finds in the "
        f"image painted for it. Distances between sets are on {record['features']} features, so they compare with no "
        "others.",
        *([AS_SHOWN] if "shown_as" in record else []),
        "None of these numbers tells whether the images help; the verdict does.",
    )
    table = ("Quality of the synthetic images, beside what held-out real images get.", [HEADER, *quality_rows(record)])
    shown = tuple(
        (f"quality-{number}-{stem}", words, pictures[stem]) for stem, words in PICTURES.items() if stem in pictures
    )
    title, lead = f"Quality of {record['origin']} ({users})", in_words(record)
    return Section(title, text, (table,), shown, record, 1, record["origin"], lead, TERMS)


def unjudged_section(arms: Sequence[str]) -> Section:
    """Return what a report says of arms whose synthetic images it cannot judge without another training."""
    text = (
        f"Not judged: {', '.join(arms)}. Judging takes a segmenter that was trained on real images without "
        "augmentation, and no arm here is that. 'augkit quality' with the same recipe trains it and tells adherence, "
        "distances to real images, diversity and memorisation; or run the arms together with one that has neither "
        "'synthesize' nor 'augment'."
    )
    return Section("Quality of the synthetic images", (text,))


def _adherence(found: Mapping[str, float]) -> list[Row]:
    ceiling = f"{found['held_out']:.3f} ± {found['held_out_error']:.3f}"
    return [
        (
            "mask adherence (Dice)",
            f"{found['dice']:.3f} ± {found['error']:.3f}",
            ceiling,
            "above real: easier than photos; below: off the mask",
        ),
        ("  with shuffled masks", f"{found['shuffled_masks']:.3f}", "", "what ignoring the mask would get"),
        ("  5th percentile", f"{found['percentile_5']:.3f}", "", "the images that follow worst"),
    ]


def _distribution(record: Mapping[str, Any]) -> list[Row]:
    if "swd_patches" not in record:  # too few images
        return []
    features = record["features"]
    kid = record[f"kid_{features}"]
    value, floor = (f"{kid[a]:.3f} ± {kid[b]:.3f}" for a, b in (("value", "error"), ("held_out", "held_out_error")))
    rows = [(f"kid_{features}", value, floor, "lower; real is the floor")]
    for name in ("density", "coverage"):
        pair = record[f"{name}_{features}"]
        rows.append((f"{name}_{features}", f"{pair['value']:.3f}", f"{pair['held_out']:.3f}", "near real is best"))
    for side, pair in record["swd_patches"].items():
        name = f"swd_patches at {side} pixels"
        rows.append((name, f"{pair['value']:.3f}", f"{pair['held_out']:.3f}", "lower; real is the floor"))
    return rows


def _grid(found: Mapping[str, float | None]) -> list[Row]:
    """Return the row of `augkit.metrics.grid`; none for images too small to have one."""
    if found["value"] is None:
        return []
    return [("grid", f"{found['value']:.2f}", f"{found['held_out']:.2f}", f"above {GRID_SHOWS:g}: a pattern of pixels")]


def _diversity(found: Mapping[str, float], features: str) -> list[Row]:
    real = f"{found[f'real_{features}']:.3f}"
    return [
        (f"diversity of one mask, {features}", f"{found[features]:.3f}", real, "0: the mask decides everything"),
        ("diversity of one mask, grey levels", f"{found['pixels']:.2f}", "", "root mean square between draws"),
    ]


def _memorisation(found: Mapping[str, float], features: str) -> list[Row]:
    own, chance = found["nearest_is_own_image_share"], found["nearest_is_own_image_chance"]
    ratio, real = (
        f"{found[f'{whose}ratio_pixels']:.2f} / {found[f'{whose}ratio_{features}']:.2f}" for whose in ("", "held_out_")
    )
    share = " / ".join(_percent(found[f"nearest_is_training_share_{kind}"]) for kind in ("pixels", features))
    z = f"{found['copying_z_pixels']:+.1f} / {found[f'copying_z_{features}']:+.1f}"
    suspicious = _percent(found["suspicious_share"]), _percent(found["held_out_share"])
    by_chance = f"{_percent(found['nearest_is_training_chance'])} by chance"
    kinds = f"pixels / {features}"
    rows = [
        (f"nearest training / nearest unseen image, {kinds}", ratio, real, "smaller: nearer to what was learnt from"),
        ("nearest real image is a training image", share, by_chance, "more: copying"),
        ("  z of that", z, "0", "above 3: copying, or unseen images of another kind"),
        ("suspicious images", *suspicious, "more than real: copying; look at them"),
    ]
    if found["drawn_from_training_masks"]:
        row = "nearest is the mask's own image", _percent(own), f"{_percent(chance)} by chance", "near 100 %: copying"
        rows.append(row)
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _minus(number: str) -> str:
    """Return a number with a minus sign in place of the hyphen."""
    return number.replace("-", "−")
