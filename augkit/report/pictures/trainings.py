"""Training curves: every loss of every arm, in one plot for each kind of stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from augkit import figures
from augkit.figures import Form, Line
from augkit.report.evidence import ArmEvidence
from augkit.report.pictures.picture import Picture, plotted, slug


@dataclass(frozen=True)
class Curves:
    """The training curves of one kind of stage, such as ``segmenter unet``, of all arms."""

    stage: str
    picture: Picture


def training_curves(arms: Sequence[ArmEvidence]) -> tuple[Curves, ...]:
    """Return the curves of every kind of stage that recorded some, those that several arms share only once."""
    return tuple(_curves(i, *stage) for i, stage in enumerate(_trainings(arms).items(), 1))


@dataclass(frozen=True)
class _Training:
    """The recorded rows of one training, its stage, the arms that share it, and its place among the lines."""

    stage: str
    arms: list[str]
    order: int
    rows: Sequence[Mapping[str, float]]

    @property
    def name(self) -> str:
        return ", ".join(self.arms)


def _trainings(arms: Sequence[ArmEvidence]) -> Mapping[str, list[_Training]]:
    """Return kind of stage -> its trainings, one that several arms share only once.

    The title of a stage begins with its kind; arm and seed follow after a dot.
    """
    kinds: dict[str, list[_Training]] = {}
    for order, arm in enumerate(arms):
        for stage, rows in arm.history.items():
            known = kinds.setdefault(stage.partition(" · ")[0], [])
            same = next((training for training in known if list(training.rows) == list(rows)), None)
            if same is not None:
                same.arms.append(arm.scores.arm)
            elif any(key != "step" for row in rows for key in row):
                second = any(arm.scores.arm in training.arms for training in known)
                known.append(_Training(stage, [arm.scores.arm], order + len(arms) if second else order, rows))
    return {kind: trainings for kind, trainings in kinds.items() if trainings}


def _curves(number: int, kind: str, trainings: Sequence[_Training]) -> Curves:
    values = dict.fromkeys(key for training in trainings for row in training.rows for key in row if key != "step")
    names = [training.name for training in trainings]
    alone = [
        name if names.count(name) == 1 else f"{name}: {one.stage}" for name, one in zip(names, trainings, strict=True)
    ]
    panels = {
        value: [_line(name, training, value) for name, training in zip(alone, trainings, strict=True)]
        for value in values
    }

    def draw(columns: int, form: Form) -> bytes:
        return figures.curves(panels, columns=columns, form=form)

    alt = f"Training curves of {kind}: {', '.join(values)} over the steps, one line per training ({', '.join(alone)})"
    return Curves(kind, plotted(f"curves-{number}-{slug(kind)}", alt, draw))


def _line(name: str, training: _Training, value: str) -> Line:
    points = [(row["step"], row[value]) for row in training.rows if value in row]
    x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return Line(name, training.order, x, y)
