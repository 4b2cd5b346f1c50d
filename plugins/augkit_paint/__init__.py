"""``augkit paint``: draw a mask in a browser, and a trained generator paints it while it is drawn."""

from collections.abc import Callable, Mapping

from augkit import hookimpl
from augkit_paint.command import paint


@hookimpl
def augkit_commands() -> Mapping[str, Callable[..., object]]:
    """Add the command."""
    return {"paint": paint}
