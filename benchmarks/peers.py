"""Which peers can be measured here: a wheel that does not import is a line in a table, not the end of a benchmark."""

import importlib
from collections.abc import Mapping


def absent(peers: Mapping[str, str]) -> dict[str, str]:
    """Return the peers that do not import here, and why, in one line each.

    peers: name in the table -> the module that is needed of it. What importing raises is not only ImportError: a wheel
           that was built for another NumPy raises AttributeError, SystemError or ValueError.
    """
    reasons = {}
    for name, module in peers.items():
        try:
            importlib.import_module(module)
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            reasons[name] = f"does not import: {type(error).__name__}: {said}".removesuffix(": ")
    return reasons


def tell(reasons: Mapping[str, str]) -> None:
    """Print one line for each peer that `absent` found."""
    for name, reason in reasons.items():
        print(f"{name}: {reason}", flush=True)
