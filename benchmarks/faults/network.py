"""Two ranks on two hosts whose network delays, loses packets, is cut for a while or for good.

Hosts are network namespaces of Linux, which need no rights. Between them a third one hands on packets as bridges do,
but late, not all, or none: a process of ours, because not every kernel has ``tc netem``.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faults.inside import attempts_inside
from faults.ranks import RECIPE, different_weights, start, told

HOSTS = ("here", "there")
PORT = "29517"
FEW_STEPS = "--set=segmenter.unet.steps=24"
"""Each sends several messages and waits for the answers."""
SOL_PACKET, PACKET_VNET_HDR = 263, 15
"""Of Linux's <linux/if_packet.h>: packets come with what is still to be done to them, such as their checksums."""
LARGEST = 2**17
PATIENCE_SECONDS = 220.0
"""Ranks wait two minutes for each other; whoever takes so much longer hangs."""


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a network.

    delay:    seconds that a packet takes.
    loss:     share of packets that are lost.
    cut:      seconds for which it hands on nothing, once.
    survived: whether a training must end as if nothing had happened; otherwise it may also end with an error.
    """

    delay: float = 0.0
    loss: float = 0.0
    cut: float = 0.0
    survived: bool = True


TROUBLES = {
    "delay 200 ms": Trouble(delay=0.2),
    "5 % loss": Trouble(loss=0.05),
    "30 s cut": Trouble(cut=30.0),
    "cut for good": Trouble(cut=1e6, survived=False),
}


def attempts(quick: bool) -> Iterator[str]:
    """One training for each kind of trouble; the first alone if quick."""
    return attempts_inside("faults.network", *list(TROUBLES)[: 1 if quick else None])


def main() -> None:
    """Print a line for every kind of trouble that is named."""
    lay_cables()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny.yaml").write_text(RECIPE)
        if said := told(start(folder, "alone", [sys.executable], FEW_STEPS)):
            raise SystemExit(said)
        for title in sys.argv[1:]:
            wrong = troubled(folder, title.replace(" ", "-"), TROUBLES[title])
            print(f"{title}: {wrong}" if wrong else "", flush=True)


def lay_cables() -> None:
    """Make two hosts, 10.77.0.1 and 10.77.0.2, each with a cable whose other end lies here."""
    run("mount -t tmpfs none /run")
    run("mkdir /run/netns")
    for number, host in enumerate(HOSTS, 1):
        run(f"ip netns add {host}")
        run(f"ip link add to-{host} type veth peer name eth0 netns {host}")
        run(f"ip link set to-{host} up promisc on")
        run(f"ip -n {host} addr add 10.77.0.{number}/24 dev eth0")
        run(f"ip -n {host} link set eth0 up")
        run(f"ip -n {host} link set lo up")


def run(command: str) -> None:
    """Run a command of the system."""
    subprocess.run(command.split(), check=True)


def troubled(folder: Path, store: str, trouble: Trouble) -> str:
    """Train on both hosts over such a network; return what was wrong."""
    carrier = os.fork()
    if carrier == 0:
        try:
            carry(trouble, folder / store)
        finally:
            os._exit(1)
    try:
        ranks = [rank(folder, store, number) for number in range(2)]
        ends = [told(one, PATIENCE_SECONDS) for one in ranks]
    finally:
        os.kill(carrier, 9)
        os.waitpid(carrier, 0)
    if any("did not end" in end for end in ends):
        return " / ".join(ends)
    if trouble.survived or not any(ends):
        return " / ".join(end for end in ends if end) or different_weights(folder, store)
    return ""


def rank(folder: Path, store: str, number: int) -> subprocess.Popen[str]:
    """Start a rank on its host."""
    variables = {"RANK": str(number), "WORLD_SIZE": "2", "MASTER_ADDR": "10.77.0.1", "MASTER_PORT": PORT}
    python = ["ip", "netns", "exec", HOSTS[number], sys.executable]
    return start(folder, store, python, FEW_STEPS, GLOO_SOCKET_IFNAME="eth0", **variables)


def carry(trouble: Trouble, store: Path) -> None:
    """Hand on packets between the two cables, for ever; a cut begins once a checkpoint has been saved."""
    chance = np.random.Generator(np.random.Philox(key=3))
    ends = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) for _ in HOSTS]
    for end, host in zip(ends, HOSTS, strict=True):
        end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        end.bind((f"to-{host}", 0))
    under_way: deque[tuple[float, socket.socket, bytes]] = deque()
    healed = 0.0
    while True:
        for packet, sender in received(ends):
            if chance.random() >= trouble.loss:
                under_way.append((time.monotonic() + trouble.delay, ends[1 - ends.index(sender)], packet))
        if trouble.cut and not healed and any(store.glob(".augkit/work/segmenter-*/*/files/checkpoints/0*")):
            healed = time.monotonic() + trouble.cut
        while under_way and under_way[0][0] <= time.monotonic():
            _, receiver, packet = under_way.popleft()
            if time.monotonic() >= healed:
                receiver.send(packet)


def received(ends: Sequence[socket.socket]) -> Iterator[tuple[bytes, socket.socket]]:
    """Yield what came within a millisecond; what was sent from here is not yielded."""
    for end in select.select(ends, [], [], 0.001)[0]:
        packet, (_, _, kind, *_) = end.recvfrom(LARGEST)
        if kind != socket.PACKET_OUTGOING:
            yield packet, end


if __name__ == "__main__":
    main()
