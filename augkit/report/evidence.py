"""What a report is made from, and the check that it belongs together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from augkit.data.arrays import ImageSet, Masks
from augkit.planning.recipe import Written
from augkit.planning.sweep import SweepPoint
from augkit.report.arms import scored_ids
from augkit.report.origin import Origin
from augkit.report.summary.study import Study
from augkit.report.summary.synthetic import Said
from augkit.report.verdict.contrasts import Asked
from augkit.report.verdict.scores import ArmScores


@dataclass(frozen=True)
class ArmEvidence:
    """What one arm left behind.

    scores:          every metric, float64 (S, N).
    predictions:     of the first seed, as the test masks are, in their order.
    synthetic:       (origin such as ``mask2lesion/training``, some samples) of the first seed; () for none.
    history:         stage label -> rows ``{"step": ..., loss names ...}`` of the first seed.
    training_images: origin -> number of training samples.
    recipe:          the resolved recipe as YAML text.
    written:         the same before it was resolved; None where there was no file.
    seconds:         stage label -> seconds it took to build.
    warnings:        what is wrong with the arm's generators or segmenters, one sentence each.
    """

    scores: ArmScores
    predictions: Masks
    synthetic: tuple[tuple[str, ImageSet], ...]
    history: Mapping[str, Sequence[Mapping[str, float]]]
    training_images: Mapping[str, int]
    recipe: str
    seconds: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    written: Written | None = None


@dataclass(frozen=True)
class Section:
    """A part of the report that another stage contributes: words, tables, pictures, and the same as plain values.

    title:    its heading on the page and its key in report.json.
    text:     paragraphs.
    tables:   (caption, rows of text with the header first).
    words:    how many of the last columns of the tables are words and no numbers.
    pictures: (name of the file without ending, what it shows, the bytes of a PNG); names are unique in a report.
    record:   plain values for JSON.
    lead:     a sentence of `subject` in parts, which comes first; the rest is then folded beneath it.
    terms:    (word, what it means), for those that the tables use.
    """

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[tuple[str, Sequence[Sequence[str]]], ...] = ()
    pictures: tuple[tuple[str, str, bytes], ...] = ()
    record: Mapping[str, object] = field(default_factory=dict)
    words: int = 0
    subject: str = ""
    lead: tuple[Said, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class External:
    """What the segmenters of the arms found in an external set.

    test:        all its samples but those that were left out.
    scores:      of every arm, in the order of the arms, as `ArmEvidence` has them.
    predictions: likewise.
    left_out:    ids of its images that are copies of training or validation images.
    remarks:     what its data set says of itself as a whole, in sentences.
    """

    name: str
    test: ImageSet
    scores: tuple[ArmScores, ...]
    predictions: tuple[Masks, ...]
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What a report is made from.

    arms:       at least one; all scored on the same images.
    train:      some real training samples.
    test:       all test samples, in the order of the scores; of their groups where these are scored.
    provenance: versions, device, threads and the like, as text.
    artifacts:  (title of a stage, the folder of its artifact, which names its fingerprint).
    sections:   what other stages add; shown after the synthetic images.
    costs:      rows of text, the header first: what stages were estimated to take and took; () for no estimate.
    sweep:      the arms that are points of a curve, with their places on it.
    origin:     what the scores come from.
    external:   the external sets, all scored with the same segmenters.
    study:      what was studied, for the paragraph of methods.
    contrasts:  those that somebody asked for besides the planned ones.
    """

    title: str
    arms: tuple[ArmEvidence, ...]
    train: ImageSet
    test: ImageSet
    provenance: Mapping[str, str]
    artifacts: tuple[tuple[str, str], ...] = ()
    sections: tuple[Section, ...] = ()
    costs: Sequence[Sequence[str]] = ()
    sweep: tuple[tuple[SweepPoint, ArmScores], ...] = ()
    origin: Origin = field(default_factory=Origin)
    external: tuple[External, ...] = ()
    study: Study = field(default_factory=Study)
    contrasts: Asked = ()

    def on(self, external: External) -> Evidence:
        """Return what there is of an external set in place of the test images."""
        places = {scores.arm: point for point, scores in self.sweep}
        return replace(
            self,
            test=external.test,
            arms=tuple(
                replace(arm, scores=scores, predictions=found)
                for arm, scores, found in zip(self.arms, external.scores, external.predictions, strict=True)
            ),
            sweep=tuple((places[scores.arm], scores) for scores in external.scores if scores.arm in places),
            external=(),
        )


def check_evidence(evidence: Evidence) -> None:
    """Refuse scores, masks and images that do not belong together; pictures of the wrong image would go unnoticed."""
    names = [arm.scores.arm for arm in evidence.arms]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"arms are {names}; allowed: at least one, each with its own name")
    for arm in evidence.arms:
        _check_arm(arm, evidence.test)
    for external in evidence.external:
        check_evidence(evidence.on(external))


def _check_arm(arm: ArmEvidence, test: ImageSet) -> None:
    where, scores = f"arm {arm.scores.arm}", arm.scores
    if scores.image_ids != scored_ids(test, scores.design):
        raise ValueError(f"{where}: the scored images are not the test images; allowed: equal ids in equal order")
    if arm.predictions.shape != test.masks.shape:
        raise ValueError(f"{where}: predictions are {arm.predictions.shape}; allowed: {test.masks.shape}, as the masks")
    expected = (len(scores.seeds), len(scores.image_ids))
    for metric in scores.metrics:
        if scores.values[metric].shape != expected:
            raise ValueError(
                f"{where}: {metric} is {scores.values[metric].shape}; allowed: {expected}, one per seed and test image"
            )
