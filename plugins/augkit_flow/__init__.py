"""Flow: a mask-conditioned rectified flow that turns noise into an image of a given mask."""

from collections.abc import Mapping

from augkit import Generator, hookimpl
from augkit_flow.generator import DistributionalFlow, Flow


@hookimpl
def augkit_generators() -> Mapping[str, type[Generator]]:
    """Register the flow and the one that needs few steps."""
    return {"flow": Flow, "flow-distributional": DistributionalFlow}
