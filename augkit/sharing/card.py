"""What an export says of itself: a row for every image, and a data card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version

from augkit.data.formats import Format as PixelFormat
from augkit.data.tables import csv_pieces
from augkit.quality.features import NAME
from augkit.report.quality import HEADER, quality_rows
from augkit.sharing.files import SAMPLES_PER_TAR, Encoder, Export, Format, ImageFormat, SyntheticSet

COLUMNS = (
    "id", "image", "mask", "generator", "mask_source", "generator_hash", "synthesis_hash", "seed", "key", "mask_from",
    "adherence", "nearest_real", "nearest_real_pixels", f"nearest_real_{NAME}", "suspicious", "pixels", "sha256",
)  # fmt: skip


def manifest_csv(export: Export, places: Sequence[tuple[str, str]], digests: Sequence[str]) -> Iterator[str]:
    """Yield one row per synthetic image under `COLUMNS`, in the order of the sources, some rows at a time."""
    return csv_pieces(COLUMNS, _rows(export, places, digests))


def _rows(export: Export, places: Sequence[tuple[str, str]], digests: Sequence[str]) -> Iterator[list[str]]:
    files = iter(zip(places, digests, strict=True))
    for source in export.sources:
        for i in range(len(source.samples)):
            (image, mask), digest = next(files)
            yield [source.samples.ids[i], image, mask, *facts_of(export, source, i), digest]


def facts_of(export: Export, source: SyntheticSet, i: int) -> list[str]:
    """Return what is told of an image between its files and its hash in `COLUMNS`; '' for what was not judged."""
    generator, _, mask_source = source.samples.origins[i].partition("/")
    parent = source.records[i].get("parent")
    known = source.per_image
    judged = known["nearest_real"][i] is not None
    return [
        generator,
        mask_source,
        source.hashes["generator"],
        source.hashes["synthesis"],
        str(export.seed),
        f"{int(source.keys[i]) % 2**64:016x}",
        export.real.train.ids[parent] if isinstance(parent, int) else "",
        f"{known['adherence'][i]:.4f}" if "adherence" in known and judged else "",
        known["nearest_real"][i] if judged else "",
        f"{known['nearest_real_pixels'][i]:.2f}" if judged else "",
        f"{known[f'nearest_real_{NAME}'][i]:.4f}" if judged else "",
        ("yes" if known["suspicious"][i] else "no") if judged else "",
        "real" if source.real_pixels else "painted",
    ]


def data_card(export: Export, layout: Format, image_format: ImageFormat) -> str:
    """Return the README.md of an export."""
    total = sum(len(source.samples) for source in export.sources)
    parts = [
        f"# {export.name}: {total} synthetic images with masks",
        f"Made by augkit {version('augkit')} from the recipe below, seed {export.seed}. {what_pixels_are(export)}",
        "## What is here",
        _contents(export, layout, image_format),
        f"{'Synthetic images' if export.native else 'Images'} are {_pixels(export)}, lossless. "
        "`manifest.csv` has a row per synthetic image; "
        "`artifact.json` has the SHA-256 of every file.",
        _table(("source", "images", "generator hash"), [_source_row(source) for source in export.sources]),
        "## How it was made",
        f"The generator was trained on {len(export.real.train)} real training images and saw nothing else; "
        f"{len(export.real.validation)} validation and {len(export.real.test)} {export.held_out} were held out. Image "
        "i is decided by the generator's weights, its mask and the column `key`.",
        f"```yaml\n{export.recipe.strip()}\n```",
        "## Quality",
        f"{_adherence(export)} `nearest_real` is the nearest training image, in any turn or mirror; its distance is "
        f"the root mean square difference in grey levels at 16 x 16 pixels{_as_shown(export)}. "
        "`suspicious` marks images that are nearer "
        "to a training image than 99 % of unseen real images are, and nearer by that much than to an unseen one, so "
        "not merely smooth: look at them before publishing.",
        *(_quality(source) for source in export.sources),
        "## Limits",
        _limits(export, layout),
        "## Licence",
        "> To be filled in by whoever publishes this folder: the licence and citation of the real data that the "
        "generator was trained on, and whether it allows derived images to be shared.",
    ]
    return "\n\n".join(parts) + "\n"


def _pixels(export: Export) -> str:
    """Return what the files of images hold."""
    (height, width), format = export.real.train.size, export.real.train.format
    if format.rgb:
        return f"RGB, {width} x {height} pixels, 8 bits"
    channels = ", ".join(str(one) for one in format.channels)
    told = f"{len(format.channels)} channel{'' if len(format.channels) == 1 else 's'} ({channels})"
    return f"{told} of {format.dtype}, {width} x {height} pixels"


def _label_words(export: Export, inside: int) -> str:
    """Return which number in a mask file means what."""
    format = export.real.train.format
    if format.binary:
        name = "foreground" if inside == 255 else format.classes[0]
        return f"0 background, {inside} {name}"
    named = ["0 background", *(f"{k} {name}" for k, name in enumerate(format.classes, 1))]
    ignored = len(format.classes) + 1 if inside == 1 else 255
    return ", ".join([*named, *([f"{ignored} ignored"] if format.ignore else [])])


def what_pixels_are(export: Export) -> str:
    """Return what the pixels of the synthetic images are, by source where these differ."""
    real = sorted({source.samples.origins[0] for source in export.sources if source.real_pixels})
    painted = sorted({source.samples.origins[0] for source in export.sources} - set(real))
    sentences = []
    if real:
        sentences.append(
            f"Images of {', '.join(real)} are made of pixels of the real training images, which are patients': "
            "whoever may not have the originals may not have these."
        )
    if painted:
        whose = f"of {', '.join(painted)}" if real else "with a synthetic id"
        sentences.append(f"Images {whose} are no photographs: each was painted by a generator for a given mask.")
    return " ".join(sentences)


def _as_shown(export: Export) -> str:
    return "" if export.real.train.format.rgb else ", of images as they are shown: 0 to 255 within their windows"


def _adherence(export: Export) -> str:
    if all("adherence" in source.quality for source in export.sources):
        return (
            "`adherence` is the Dice of the mask with what a segmenter trained on real images alone finds in the image."
        )
    return "`adherence` is empty: the recipe names no segmenter, so whether images follow their masks was not judged."


def _contents(export: Export, layout: Format, image_format: ImageFormat) -> str:
    told = "" if export.real.train.format == PixelFormat() else " `format.json` tells channels and classes."
    ending = Encoder(image_format, pixels=export.real.train.format).ending
    if layout == "folder":
        return f"`images/<id>.{ending}` and `masks/<id>.png` ({_label_words(export, 255)}).{told}"
    if layout == "webdataset":
        return (
            f"`data-<number>.tar`, each with up to {SAMPLES_PER_TAR} samples one after the other: `<id>.{ending}`, "
            f"`<id>.mask.png` ({_label_words(export, 255)}) and `<id>.json`, which has what `manifest.csv` has of it; "
            f"in `manifest.csv`, `data-000000.tar/<id>.{ending}` is a file in that tar.{told}"
        )
    if layout == "coco":
        masks = "" if export.real.train.format.binary else f" ({_label_words(export, 255)})"
        return (
            f"`images/<id>.{ending}`, `masks/<id>.png`{masks}, and "
            "`annotations/instances_train.json` in COCO's format: one annotation per "
            "connected piece of a mask, as uncompressed run lengths."
            f"{told}"
        )
    real = export.real
    own = "the data set's validation split" if len(real.validation) else "folds of the real training images"
    return (
        "`Dataset900_…` is nnU-Net v2 raw data; copy it into `nnUNet_raw` (rename it for another number) and its "
        "`splits_final.json` into `nnUNet_preprocessed/Dataset900_…` after planning. Training cases are "
        f"{len(real.train) + len(real.validation)} real (`real_…`, by id in `cases.csv`) and the synthetic ones; "
        f"`imagesTs` holds the {len(real.test)} real {export.held_out}. Validation cases are {own} and always real. "
        + (
            "Labels are 0 and 1."
            if export.real.train.format.rgb and export.real.train.format.binary
            else f"Labels are {_label_words(export, 1)}."
        )
        + (" Real cases are their files' own pixels, upright, with their files' own masks." if export.native else "")
    )


def _limits(export: Export, layout: Format) -> str:
    limits = [
        "* Whether these images help a segmenter is not told by any number above; compare arms with and without them.",
        "* They show what the generator learned from its training images, with their biases and their gaps.",
        "* Train with them; never evaluate on them.",
    ]
    if export.native is not None:
        limits.append(
            "* Real cases have the size of their own files and synthetic ones the size that the generator paints at. "
            "nnU-Net takes a pixel for a pixel, so one structure is larger in the former: paint as near to the size of "
            "the files as the recipe's `size` allows."
        )
    if layout == "nnunet":
        limits.append(
            "* The generator has seen every real training image, so scores on folds of these are optimistic. Only "
            "`imagesTs` and a validation split of the data set were never seen by it."
        )
    return "\n".join(limits)


def _source_row(source: SyntheticSet) -> tuple[str, ...]:
    return source.samples.origins[0], str(len(source.samples)), f"`{source.hashes['generator'][:12]}`"


def _quality(source: SyntheticSet) -> str:
    left_out = source.painted - len(source.samples)
    all_of_them = f"Of all {source.painted} images that were painted; `min_adherence` left out {left_out} of them.\n\n"
    table = _table(HEADER, quality_rows(source.quality))
    return f"### {source.samples.origins[0]}\n\n{all_of_them if left_out else ''}{table}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.strip().replace("|", "\\|") for cell in line) + " |" for line in lines)
