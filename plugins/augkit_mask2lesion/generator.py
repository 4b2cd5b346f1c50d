"""The `mask2lesion` component; torch is imported when it trains or is opened, not when a recipe is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from augkit import ANYTHING, ImageSet, InputError, Problem, Synthesizer, Workspace
from augkit.store import read_json
from augkit_mask2lesion.options import FACTS, FORMAT, Mask2LesionOptions

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True)
class Mask2Lesion(Mask2LesionOptions):  # noqa: D101 - what it is stands beside its options
    __doc__ = Mask2LesionOptions.__doc__
    takes = ANYTHING

    def sources(self) -> Sequence[Path]:
        """Return the files of `weights`, if any; `InputError` where there is none of that name or kind."""
        file = self.weights_file()
        if file is None:
            return ()
        if not file.is_file():
            hint = "Correct the option weights; a relative path starts at the current folder"
            raise InputError(Problem(str(file), "is not a file", hint))
        if file.suffix not in CHECKPOINT_SUFFIXES:
            what = f"is no file of weights; allowed: a file ending in {', '.join(CHECKPOINT_SUFFIXES)}, or a folder"
            raise InputError(Problem(str(file), what, "Correct the option weights"))
        self._check_style(file)
        beside = [file.with_name(FACTS), file.with_name(FORMAT)] if file.suffix == ".safetensors" else []
        return [file, *(one for one in beside if one.is_file())]

    def _check_style(self, file: Path) -> None:
        """Raise `InputError` where a style code is wanted of a generator that has none, such as each of pix2pix's."""
        beside = file.with_name(FACTS)
        has_facts = file.suffix == ".safetensors" and beside.is_file()
        if self.style and not (read_json(beside).get("style") if has_facts else file.suffix == ".safetensors"):
            what = f"is a generator without a style code, and style is {self.style}; allowed: one trained with a style"
            raise InputError(Problem(str(file), what, "Use it with style: 0, or with mask2lesion"))

    @staticmethod
    def import_weights(file: Path, folder: Path) -> Sequence[str]:
        """Write pix2pix's generator, or augkit's own, into `folder`; `InputError` names every tensor that differs."""
        from augkit_mask2lesion.checkpoint import describe, import_checkpoint

        return describe(import_checkpoint(file, folder))

    def fit(self, train: ImageSet, space: Workspace) -> None:
        """Train generator and discriminator on the pairs, or import `weights`; keep the generator and its health."""
        from augkit_mask2lesion.training import fit

        if file := self.weights_file():
            self._check_style(file)
        fit(self, train, space)

    def open(self, folder: Path, device: str) -> Synthesizer:
        """Return the painter."""
        from augkit_mask2lesion.painter import open_painter

        return open_painter(folder, self.dropout, self.mask_resample, self.out_resize, self.style_from, device)
