"""A Ray cluster of two nodes on this machine, as `ray start` makes it, and what runs on them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

STARTING_SECONDS = 120
QUIET = ("--disable-usage-stats",)


def free_port():
    with socket.socket() as one:
        one.bind(("", 0))
        return one.getsockname()[1]


def processes():
    """Process id -> (parent's id, command line) of everything that runs."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        state, parent = stat.rpartition(")")[2].split()[:2]
        if state != "Z":
            found[int(folder.name)] = int(parent), words
    return found


def below(pid, word):
    """Processes that a process started, or these, whose command line has a word."""
    everything, found, inside = processes(), [], {pid}
    while True:
        more = {one for one, (parent, _) in everything.items() if parent in inside} - inside
        if not more:
            return sorted(found)
        inside |= more
        found += [one for one in more if word in everything[one][1]]


class Node:
    """One `ray start`, and what it started."""

    def __init__(self, words, environment):
        command = [Path(sys.executable).with_name("ray"), "start", "--block", "--num-cpus=1"]
        self.process = subprocess.Popen(
            [*command, "--object-store-memory=78643200", *words],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def find(self, word):
        return below(self.process.pid, word)

    def kill(self, word):
        """End what it started for good, as a machine does that loses its power."""
        for pid in self.find(word):
            os.kill(pid, signal.SIGKILL)

    def end(self):
        started = below(self.process.pid, "")
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for pid in started:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


class TwoNodes:
    """A head and another node, with one CPU each; whoever has the token may use them."""

    def __init__(self, site, other=(), both=(), head=(*QUIET, "--include-dashboard=false"), node=QUIET):
        """`other` and `both` are put into the environment of nodes; `head` and `node` are options."""
        self.folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # sockets have short paths
        self.token = "5" * 64
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AUGKIT_"))}
        secured = {
            "RAY_worker_niceness": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
        }
        self.environment = {**clean, "PYTHONPATH": path, **secured}
        of_nodes = {**self.environment, **dict(both)}
        port = free_port()
        words = ["--head", f"--port={port}", f"--temp-dir={self.folder}", *head]
        self.head = Node(words, of_nodes)
        if not self.answers(port):
            self.head.end()
            pytest.skip("Ray's head does not start on this machine")
        self.environment["RAY_ADDRESS"] = of_nodes["RAY_ADDRESS"] = f"127.0.0.1:{port}"
        for _ in range(3):  # on a busy machine a node may give up waiting for its own parts
            self.other = Node([f"--address=127.0.0.1:{port}", *node], {**of_nodes, **dict(other)})
            if self.has_both_nodes():
                return
            self.other.end()
        self.head.end()
        pytest.skip("Ray's second node does not start on this machine")

    def has_both_nodes(self):
        deadline = time.monotonic() + STARTING_SECONDS
        code = "import os, ray; ray.init(os.environ['RAY_ADDRESS']); print(sum(n['Alive'] for n in ray.nodes()))"
        while time.monotonic() < deadline and self.other.process.poll() is None:
            done = subprocess.run([sys.executable, "-c", code], env=self.environment, capture_output=True, check=False)
            if done.stdout.split()[-1:] == [b"2"]:
                return True
            time.sleep(2)
        return False

    def answers(self, port):
        deadline = time.monotonic() + STARTING_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0 or one.connect_ex((socket.gethostname(), port)) == 0:
                    return True
            time.sleep(0.2)
        return False

    def workers(self):
        return [*self.head.find("augkit.running.worker"), *self.other.find("augkit.running.worker")]

    def end(self):
        self.other.end()
        self.head.end()
        shutil.rmtree(self.folder, ignore_errors=True)
