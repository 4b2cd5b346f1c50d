"""Flow: a mask-conditioned rectified flow that turns noise into an image of a given mask."""

from collections.abc import Mapping

from augkit import Generator, hookimpl
from augkit_flow.generator import DistilledFlow, Flow


@hookimpl
def augkit_generators() -> Mapping[str, type[Generator]]:
    """Register the flow and its student, which paints at once."""
    return {"flow": Flow, "flow-distilled": DistilledFlow}
