"""Generators trained elsewhere: pix2pix's PyTorch checkpoints, and augkit's own.

In pix2pix every block of the U-Net holds the next one as an element of a list: the outermost block is [convolution,
block, ReLU, deconvolution, tanh]; a middle one [leaky ReLU, convolution, norm, block, ReLU, deconvolution, norm] and
perhaps dropout; the innermost [leaky ReLU, convolution, ReLU, deconvolution, norm]. Hence names such as
``model.model.1.model.3.model.1.weight``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augkit import Format, InputError, Problem
from augkit.store import read_json
from augkit.training import read_bytes, read_format, read_tensors
from augkit_mask2lesion.architecture import Architecture, read_architecture
from augkit_mask2lesion.options import FACTS, FORMAT, SIZES, WIDEST, Norm
from augkit_mask2lesion.painter import save_generator

Facts = dict[str, Any]
Tensors = Mapping[str, Tensor]

_ROOT = "model.model"
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def import_checkpoint(file: Path, folder: Path) -> Facts:
    """Read a generator's weights and write them into `folder` as augkit's own; return what was found.

    file:   pix2pix's ``latest_net_G.pth``, which paints 8-bit RGB for masks of one class; or augkit's
            ``generator.safetensors`` with ``generator.json`` beside it, and ``format.json`` if it paints anything else.
    folder: becomes what `Mask2Lesion.open` reads.

    The facts are the architecture's and ``imported``: the file's name, its SHA-256, its format, how many running
    averages were left out, and what it paints if that is not 8-bit RGB with one class. Raises `InputError` for a file
    that is no such generator, naming every tensor that is missing, unknown, of another shape or not finite.
    """
    data = read_bytes(file)
    tensors = {name.removeprefix("module."): value for name, value in read_tensors(data, file).items()}
    is_pix2pix = f"{_ROOT}.0.weight" in tensors
    format = Format() if is_pix2pix else _own_format(file)
    architecture = _pix2pix_architecture(tensors, file) if is_pix2pix else _own_architecture(tensors, file, format)
    names = pix2pix_names(architecture) if is_pix2pix else {name: name for name in _shapes(architecture)}
    unused = sorted(tensors.keys() - set(names.values()))
    averages = [name for name in unused if name.endswith(_STATISTICS)]
    problems = _differences(tensors, architecture, names) + _unknown(unused, averages)
    if problems:
        raise InputError(*(Problem(str(file), what) for what in problems))
    network = architecture.build()
    state = {ours: tensors[theirs] for ours, theirs in names.items()}
    network.load_state_dict(_with_skips_last(state) if is_pix2pix else state)
    imported: dict[str, str | int] = {
        "file": file.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "format": "pix2pix (PyTorch)" if is_pix2pix else "augkit",
        "running averages left out": len(averages),
    }
    if format != Format():
        imported["paints"] = str(format)
    save_generator(network, architecture, format, folder, {"imported": imported})
    return {**architecture.facts(), "imported": imported}


def describe(facts: Facts) -> list[str]:
    """Return what a person should know about an imported generator, in sentences."""
    imported = facts["imported"]
    sentences = [
        f"uses {imported['file']} ({imported['format']}): {facts['size']} pixels, width {facts['width']}, "
        f"{facts['norm']} normalisation, {facts['mask_channels']} mask channels; nothing is trained"
    ]
    if "paints" in imported:
        sentences.append(f"it paints {imported['paints']}")
    if facts["style"]:
        styles = f"{facts['style']} numbers, of {facts['styles']} images it was trained on"
        sentences.append(f"it paints with style codes of {styles}")
    if imported["format"] != "augkit":
        layout = "dropout is taken to be where the PyTorch release has it, which the file does not say"
        sentences.append(f"{layout}; it stays on at synthesis, unless the option dropout is none")
    if facts["norm"] == "batch":
        sentences.append(
            "batch normalisation uses each image's own statistics, as pix2pix does; running averages are not"
        )
    return sentences


def pix2pix_names(architecture: Architecture) -> dict[str, str]:
    """Return augkit's name of every tensor -> pix2pix's."""
    downs = architecture.size.bit_length() - 1
    places: dict[str, str] = {}
    prefix = _ROOT
    for level in range(downs):
        middle = 0 < level < downs - 1
        places |= {f"down.{level}": f"{prefix}.{1 if level else 0}", f"down_norm.{level}": f"{prefix}.2"}
        places[f"up.{downs - 1 - level}"] = f"{prefix}.{5 if middle else 3}"
        places[f"up_norm.{downs - 1 - level}"] = f"{prefix}.{6 if middle else 4}"
        prefix = f"{prefix}.{3 if level else 1}.model"
    named = {}
    for name in _shapes(architecture):
        place, _, kind = name.rpartition(".")
        named[name] = f"{places[place]}.{kind}"
    return named


def _pix2pix_architecture(tensors: Tensors, file: Path) -> Architecture:
    """Return the architecture that names and shapes tell; dropout leaves no trace and is taken to be the release's."""
    levels = _levels(tensors)
    shape = tuple(tensors[f"{_ROOT}.0.weight"].shape)
    out = tensors.get(f"{_ROOT}.3.weight", torch.empty(0))
    problems = []
    if 2**levels not in SIZES:
        allowed = ", ".join(map(str, SIZES))
        pixels = 2**levels if levels < 20 else f"2^{levels}"
        problems.append(f"halves images {levels} times, for {pixels} pixels; allowed: {allowed}")
    if len(shape) != 4 or shape[1] not in (1, 3) or shape[2:] != (4, 4):
        problems.append(f"{_ROOT}.0.weight is {shape}; allowed: (width, 1 or 3 mask channels, 4, 4)")
    elif not 1 <= shape[0] <= WIDEST:
        problems.append(f"{_ROOT}.0.weight is {shape}; allowed: a width up to {WIDEST}")
    if out.ndim != 4 or out.shape[1] != 3:
        problems.append(f"{_ROOT}.3.weight is {tuple(out.shape)}; allowed: (2 x width, 3 colours, 4, 4)")
    if problems:
        raise InputError(
            *(Problem(str(file), what, "Is it a pix2pix generator from mask to RGB?") for what in problems)
        )
    norm: Norm = "batch" if f"{_ROOT}.1.model.2.weight" in tensors else "instance"
    return Architecture(2**levels, shape[0], norm, shape[1], "torch_port")


def _levels(tensors: Tensors) -> int:
    levels, prefix = 1, f"{_ROOT}.1.model."
    while any(name.startswith(prefix) for name in tensors):
        levels, prefix = levels + 1, f"{prefix}3.model."
    return levels


def _own_format(file: Path) -> Format:
    """Return what augkit's weights paint, which a file beside them tells where it is not 8-bit RGB with one class."""
    try:
        return read_format(file.parent)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"cannot be read ({type(error).__name__}); it says which images the weights beside it paint"
        hint = "Copy it from the folder of the generator"
        raise InputError(Problem(str(file.with_name(FORMAT)), what, hint)) from error


def _own_architecture(tensors: Tensors, file: Path, format: Format) -> Architecture:
    """Return the architecture that the file beside augkit's weights tells."""
    if not {"down.0.weight", "decoder.start"} & tensors.keys():
        what = f"is no generator that is known; it begins with {', '.join(sorted(tensors)[:3]) or 'nothing'}"
        hint = "Allowed: pix2pix's latest_net_G.pth with a U-Net (not latest_net_D.pth), or augkit's own"
        raise InputError(Problem(str(file), what, hint))
    beside = file.with_name(FACTS)
    try:
        found = read_architecture(read_json(beside), format)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"cannot be read ({type(error).__name__}); it says what the weights beside it belong to"
        raise InputError(Problem(str(beside), what, "Copy it from the folder of the generator, too")) from error
    return found


def _shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = architecture.build()
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _differences(tensors: Tensors, architecture: Architecture, names: Mapping[str, str]) -> list[str]:
    problems = []
    for ours, shape in _shapes(architecture).items():
        theirs = names[ours]
        if theirs not in tensors:
            problems.append(f"{theirs} is missing; expected {shape}")
        elif tuple(tensors[theirs].shape) != shape:
            problems.append(f"{theirs} is {tuple(tensors[theirs].shape)}; expected {shape}")
        elif not torch.isfinite(tensors[theirs]).all():
            problems.append(f"{theirs} has values that are not finite")
    return problems


def _unknown(unused: Sequence[str], averages: Sequence[str]) -> list[str]:
    return [f"{name} has no place in the generator" for name in unused if name not in averages]


def _with_skips_last(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights for a decoder that joins (decoded, skipped); pix2pix's PyTorch release has them in reverse."""
    changed = dict(state)
    for name, value in state.items():
        if name.startswith("up.") and name.endswith(".weight") and name != "up.0.weight":
            skipped, decoded = value.chunk(2)
            changed[name] = torch.cat([decoded, skipped])
    return changed
