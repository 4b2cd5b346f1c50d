"""Training Mask2Lesion, or taking a generator that was trained elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from augkit import ArrayDraws, Format, Images, ImageSet, InputError, Masks, Problem, Workspace
from augkit.training import PAINTING_BATCH, read_format, train
from augkit_mask2lesion.checkpoint import describe, import_checkpoint
from augkit_mask2lesion.health import try_out
from augkit_mask2lesion.learner import PixToPix
from augkit_mask2lesion.options import Mask2LesionOptions
from augkit_mask2lesion.painter import Painter, open_painter, save_generator
from augkit_mask2lesion.watch import Alarm, Watch, Watched, sampled_epochs, shown_samples


def fit(options: Mask2LesionOptions, samples: ImageSet, space: Workspace) -> None:
    """Train, or import, and write the generator's weights, its samples and its health."""
    file = options.weights_file()
    if file is None:
        _train(options, samples, space)
    else:
        _import(file, options, samples, space)


def _train(options: Mask2LesionOptions, samples: ImageSet, space: Workspace) -> None:
    learner = PixToPix(options, samples, space)
    shown = shown_samples(samples)

    def paint(masks: Masks, draws: ArrayDraws) -> Images:
        return _painter(learner, options, shown, space.device, len(shown))(masks, draws)

    watch = Watch(paint, shown, space)
    epochs = sampled_epochs(options.epochs + options.decay_epochs, options.sample_every, learner.steps_per_epoch)
    rows = {epoch * learner.steps_per_epoch: f"epoch-{epoch:04d}" for epoch in epochs}
    _tell_coarseness(learner.size, samples, space)
    train(Watched(learner, watch, rows), replace(space, log=Alarm(space.log)), learner.steps)
    save_generator(*learner.trained(samples), samples.format, space.folder, {})
    painter = _painter(learner, options, samples, space.device, PAINTING_BATCH)
    watch.conclude(list(rows.values()), try_out(painter, painter.restyled(), samples, space.seed))


def _painter(learner: PixToPix, options: Mask2LesionOptions, samples: ImageSet, device: str, batch: int) -> Painter:
    """Return what the learner paints with now, with the styles of `samples`."""
    network, architecture = learner.trained(samples)
    choices = options.mask_resample, options.out_resize, device, batch
    return Painter(network, architecture, samples.format, *choices)


def _import(file: Path, options: Mask2LesionOptions, samples: ImageSet, space: Workspace) -> None:
    facts = import_checkpoint(file, space.folder)
    _refuse_others(read_format(space.folder), samples.format, file)
    for sentence in describe(facts):
        space.log.note(sentence)
    _tell_coarseness(facts["size"], samples, space)
    shown = shown_samples(samples)
    choices = options.dropout, options.mask_resample, options.out_resize, options.style_from
    watch = Watch(open_painter(space.folder, *choices, space.device, len(shown)), shown, space)
    watch.paint("imported")
    painter = open_painter(space.folder, *choices, space.device)
    watch.conclude(["imported"], try_out(painter, painter.restyled(), samples, space.seed))


def _refuse_others(painted: Format, wanted: Format, file: Path) -> None:
    """Refuse a generator of other images or classes than the data set's; it may have learnt other windows."""
    kinds = [(one.dtype, [c.meaning for c in one.channels], one.binary or one.classes) for one in (painted, wanted)]
    if kinds[0] != kinds[1] or painted.ignore != wanted.ignore:
        what = f"is a generator of {painted}; the data set has {wanted}"
        raise InputError(Problem(str(file), what, "Use weights that were trained on such images, or train: no weights"))


def _tell_coarseness(size: int, samples: ImageSet, space: Workspace) -> None:
    if max(samples.size) > size:
        sides = f"{samples.size[0]} x {samples.size[1]}"
        what = f"synthetic images are painted at {size} x {size} pixels and enlarged to {sides}"
        space.log.note(f"{what}; they are coarser than the real ones, which a segmenter may notice")
