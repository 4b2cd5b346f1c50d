"""Where a head is, and whether anything answers there; known without Ray."""

from __future__ import annotations

import ipaddress
import re
import socket

from augkit import InputError, Problem

CONNECT_SECONDS = 5.0
"""How long a head may take to answer."""

_ADDRESS = re.compile(r"(\[?[\w.:-]+?\]?):(\d{1,5})")


def check_address(address: str, where: str) -> None:
    """Raise `InputError` for what is no address of a head, and where none answers; `where` named it."""
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found[2]) < 65536:
        what = f"found '{address}'; allowed: HOST:PORT of the head, as in 10.0.0.1:6379"
        raise InputError(Problem(where, what, "`ray start --head` prints it"))
    if said := refusal(address):
        hint = "Start one with `ray start --head`, or leave the address out for a head on this machine alone"
        raise InputError(Problem(where, f"no head answers at {address}: {said}", hint))


def refusal(address: str) -> str:
    """Return why nothing answers at ``HOST:PORT``; empty where something does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def is_loopback(host: str) -> bool:
    """Tell whether a numeric address is reached from its own machine alone."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback
