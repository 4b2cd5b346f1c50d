"""Control generators: they know less than a real one, or nothing new, so that a benefit can be traced to its cause."""

from collections.abc import Mapping

from augkit import Generator, hookimpl
from augkit_controls.noise import Noise
from augkit_controls.repeat import Repeat


@hookimpl
def augkit_generators() -> Mapping[str, type[Generator]]:
    """Register the controls."""
    return {"noise": Noise, "repeat": Repeat}
