"""Joining a Ray cluster, or starting a head for one run, and what nodes there are."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import ray

from augkit import InputError, Problem
from augkit_ray.address import is_loopback, refusal

STORE_BYTES = 75 * 2**20
"""Memory for objects that Ray keeps; pixels never pass through it. The least that it takes."""


SAVING = {"RAY_kill_child_processes_on_worker_exit": "0"}
"""In the environment of an actor: its worker outlives it for the moment in which it saves its state."""


class Head:
    """The head of a cluster that this process has joined.

    environment: what actors need in theirs that nodes do not give them; Ray starts such ones a few seconds later.
    """

    def __init__(self, address: str, environment: Mapping[str, str]) -> None:
        self.address = address
        self.environment = environment

    def is_gone(self) -> bool:
        """Tell whether nothing answers at the head's address."""
        return bool(refusal(self.address))

    def room(self, threads: int, gpus: float) -> int:
        """Return how many workers of so many CPUs and such a share of a GPU the nodes have room for together."""
        return sum(_room(node["Resources"], threads, gpus) for node in _nodes() if node["Alive"])

    def largest(self) -> str:
        """Return what the node with the most CPUs has."""
        alive: list[dict[str, float]] = [node["Resources"] for node in _nodes() if node["Alive"]]
        most = max(alive, key=lambda node: node.get("CPU", 0.0), default={})
        return f"{most.get('CPU', 0):g} CPUs and {most.get('GPU', 0):g} GPUs"

    def leave(self) -> None:
        """Leave the cluster, and end a head that was started for this run; takes 5 s where it is gone."""
        with _quiet():
            ray.shutdown()


def _nodes() -> list[dict[str, Any]]:
    ask: Any = ray.nodes  # whose answer has no type
    found: list[dict[str, Any]] = ask()
    return found


def join(address: str, where: str, threads: int, workers: int, gpus: float) -> Head:
    """Join the cluster at an address, or start a head here where that is empty; raise `InputError` where that fails.

    where:   what named the address, for messages.
    threads: of each worker, of which a head that is started takes at least `workers`.
    """
    if not address:
        return _start_head(max(threads * workers, _cores()))
    with _explained(address, where), _own_signals(), _quiet():
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=False)
    head = Head(address, SAVING)
    _check_token(head, where)
    return _with_room(head, threads, gpus)


def _start_head(cpus: int) -> Head:
    os.environ.update(SAVING)
    with _explained("", "--executor ray"), _own_signals(), _quiet():
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            configure_logging=False,
        )
    return Head(ray.get_runtime_context().gcs_address, {})


def _with_room(head: Head, threads: int, gpus: float) -> Head:
    if head.room(threads, gpus):
        return head
    largest = head.largest()
    head.leave()
    share = f" and {gpus:g} of a GPU" if gpus else ""
    what = f"no node of the cluster at {head.address} has {threads} CPUs{share}; the largest has {largest}"
    raise InputError(
        Problem("--executor ray", what, "Lower --threads or 'gpus', or join larger nodes with `ray start`")
    )


def _room(node: dict[str, float], threads: int, gpus: float) -> int:
    by_cpu = int(node.get("CPU", 0) // threads)
    if not gpus:
        return by_cpu
    each = int(1 / gpus + 1e-9) * int(node.get("GPU", 0)) if gpus <= 1 else int(node.get("GPU", 0) // gpus)
    return min(by_cpu, each)


def _check_token(head: Head, where: str) -> None:
    """Refuse a cluster that anybody on the network can use."""
    open_to = [node["NodeManagerAddress"] for node in _nodes() if not is_loopback(node["NodeManagerAddress"])]
    if open_to and os.environ.get("RAY_AUTH_MODE") != "token":
        head.leave()
        what = f"the cluster can be reached at {open_to[0]} without a token, so everybody there can run code on it"
        hint = "Set RAY_AUTH_MODE=token here and wherever `ray start` is called, and one RAY_AUTH_TOKEN for all"
        raise InputError(Problem(where, what, hint))


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what this process does on SIGTERM; Ray would replace it by an end without a word."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _explained(address: str, where: str) -> Iterator[None]:
    """Turn what Ray says of a cluster that cannot be joined into a sentence with what to do."""
    try:
        yield
    except KeyboardInterrupt:
        _leave()
        raise
    except Exception as error:  # Ray raises many kinds
        _leave()
        what, hint = _reason(str(error), type(error).__name__, address)
        raise InputError(Problem(where, what, hint)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what compiled code says while it tries to connect from the terminal; what matters becomes a sentence."""
    before, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nothing)


def _leave() -> None:
    with suppress(Exception):
        ray.shutdown()


def _reason(text: str, kind: str, address: str) -> tuple[str, str]:
    versions: list[Any] = re.findall(r"Ray: (\S+)\s+Python: (\S+)", text)
    if "ersion mismatch" in text and len(versions) == 2:
        (theirs, their_python), (ours, our_python) = versions
        what = (
            f"the cluster at {address} runs Ray {theirs} with Python {their_python}, and this process Ray {ours} with "
            f"Python {our_python}; they have to be the same"
        )
        return what, "Install the same versions on every machine, and start the cluster anew"
    if kind in ("AuthenticationError", "ConnectionError") or "unauthenticated" in text.lower():
        what = f"the cluster at {address} answers, and does not let this process in"
        hint = "Set RAY_AUTH_MODE and RAY_AUTH_TOKEN as where it was started, and run the command on one of its nodes"
        return what, hint
    if "local raylet" in text.lower() or "node_ip_address" in text.lower() or "no node" in text.lower():
        what = f"this machine is no node of the cluster at {address}"
        return what, f"Run the command on one of its nodes, or join with `ray start --address={address}`"
    where = f"the cluster at {address} cannot be joined" if address else "no head can be started on this machine"
    said = text.strip().partition("\n")[0].rstrip(".")
    return f"{where}: {kind}: {said}", "Ray's logs are in the folder `ray` of the one for temporary files"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
