"""Losses as TensorBoard shows them: one curve per stage in ``runs/tensorboard/``."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from augkit import events, hookimpl

if TYPE_CHECKING:
    from tensorboard.summary import Writer


class TensorBoard:
    """Writes every value that a stage reports; needs the extra ``augkit[tensorboard]``."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._writers: dict[str, Writer] = {}

    @hookimpl
    def augkit_event(self, event: events.Event) -> None:
        """Write the values of one event."""
        match event:
            case events.RunStarted():
                _ = _writer_class()  # where it is missing, that is told at the beginning
                self._folder = event.root / "tensorboard" / time.strftime("%Y%m%d-%H%M%S")
            case events.StageAdvanced():
                for name, value in event.values.items():
                    self._writer(event.stage).add_scalar(name, value, event.step)
            case events.StageFinished():
                self._close(event.stage)
            case events.RunFinished():
                for stage in list(self._writers):
                    self._close(stage)

    def _writer(self, stage: str) -> Writer:
        if self._folder is None:
            raise RuntimeError(f"{stage} advanced before its run began")
        if stage not in self._writers:
            name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stage)
            self._writers[stage] = _writer_class()(str(self._folder / name))
        return self._writers[stage]

    def _close(self, stage: str) -> None:
        if stage in self._writers:
            self._writers.pop(stage).close()


def _writer_class() -> type[Writer]:
    try:
        from tensorboard import summary
    except ImportError as error:
        raise ImportError(f"{error}; pip install 'augkit[tensorboard]'") from error
    writer: type[Writer] = summary.Writer
    return writer


observer = TensorBoard()
