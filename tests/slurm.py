"""A real Slurm of one node in a folder of its own: munged, slurmctld and slurmd, started and ended in a second or two.

All of them, and the jobs that they start, are children of a keeper, which is this file run as a program. It listens to
the tests through a pipe; when that ends, for whatever reason, it ends everything below it and removes the folder.
"""

from __future__ import annotations

import ctypes
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
SECONDS = 30
NODE = "n1"


def missing():
    """Return why there can be no Slurm here; nothing where there can."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    absent = [name for name in PROGRAMS if shutil.which(name, path=places) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: slurmctld slurmd slurm-client munge)"
    return "" if os.getuid() == 0 else "slurmd starts jobs as root only"


class Slurm:
    """One cluster; `environment` leads the programs of Slurm to it."""

    def __init__(self, **other) -> None:
        """`other` is what its configuration has other than usual."""
        self.folder = Path(mkdtemp(prefix="augkit-slurm-"))  # short, for the path of a socket
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        self._keeper = subprocess.Popen(
            [sys.executable, "-S", __file__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            self._write(other)
            self._commands = {
                "munged": [
                    *("munged", "--foreground", "--force", f"--key-file={self.folder}/key"),
                    *(f"--{name}={self.folder}/munge.{name}" for name in ("socket", "pid-file", "seed-file")),
                ],
                "slurmctld": ["slurmctld", "-D"],
                "slurmd": ["slurmd", "-D", "-N", NODE],
            }
            self.start("munged")
            self._wait(lambda: (self.folder / "munge.socket").exists(), "munged does not answer")
            self.start("slurmctld")
            self.start("slurmd")
            self._wait(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"), "no node is idle")
        except BaseException:
            self.close()
            raise

    def start(self, name):
        """Start a daemon."""
        self._tell({"start": name, "command": self._commands[name], "environment": self.environment})

    def kill(self, name):
        """End a daemon at once, as a machine that breaks does."""
        self._tell({"kill": name})

    def ask(self, *command):
        """Return what a command of Slurm prints, whether or not it succeeds."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def queue(self):
        """Return name, state and node of every job that has not ended."""
        lines = self.ask("squeue", "-h", "-r", "-o", "%j %T %N").splitlines()
        return [tuple(line.split(" ")) for line in lines]

    def empty(self):
        """Cancel all jobs and wait until they are gone."""
        self.ask("scancel", "-u", getpass.getuser())
        self._wait(lambda: not self.queue() and "idle" in self.ask("sinfo", "-h", "-o", "%T"), "jobs do not end")

    def close(self):
        """End everything and remove the folder."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        self._keeper.wait(SECONDS)
        self._keeper.stdout.close()

    def _tell(self, order):
        self._keeper.stdin.write(json.dumps(order) + "\n")
        self._keeper.stdin.flush()
        assert self._keeper.stdout.readline() == "done\n"

    def _wait(self, is_so, otherwise):
        deadline = time.monotonic() + SECONDS
        while not is_so():
            logs = "\n".join(file.read_text()[-2000:] for file in sorted(self.folder.glob("*.log")))
            assert time.monotonic() < deadline, f"{otherwise}\n{logs}"
            time.sleep(0.1)

    def _write(self, other):
        (self.folder / "key").touch(mode=0o600)
        (self.folder / "key").write_bytes(os.urandom(64))
        (self.folder / "state").mkdir()
        host, user = socket.gethostname().partition(".")[0], getpass.getuser()
        facts = {
            "ClusterName": "augkit",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmUser": user,
            "SlurmdUser": user,
            "SlurmctldPort": free_port(),
            "AuthType": "auth/munge",
            # The least that is allowed; a job that was requeued waits as long before it begins again.
            "AuthInfo": f"socket={self.folder}/munge.socket,cred_expire=5",
            "StateSaveLocation": self.folder / "state",
            "SlurmdSpoolDir": self.folder / "spool",
            "SlurmctldPidFile": self.folder / "slurmctld.pid",
            "SlurmdPidFile": self.folder / "slurmd.pid",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "AccountingStorageType": "accounting_storage/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "MpiDefault": "none",
            "ReturnToService": 2,
            "SchedulerParameters": "bf_interval=1,sched_interval=1",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_CPU_Memory",
            "KillWait": 20,
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            "MinJobAge": 60,
            "NodeName": f"{NODE} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=2 RealMemory=4000",
            **other,
        }
        lines = [f"{name}={value}\n" for name, value in facts.items()]
        for name, tier in (("gpu", 1), ("urgent", 2), ("main", 1)):
            lines.append(f"PartitionName={name} Nodes={NODE} Default=YES MaxTime=60 PriorityTier={tier} State=UP\n")
        (self.folder / "slurm.conf").write_text("".join(lines))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


# The keeper


def keep(folder):
    """Start and end daemons as told; when nobody tells any more, end all that runs below this process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    adopt_orphans = 36  # PR_SET_CHILD_SUBREAPER: what slurmd leaves behind becomes a child of this process
    ctypes.CDLL(None).prctl(adopt_orphans, 1, 0, 0, 0)
    running = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            environment = {**os.environ, **order["environment"]}
            environment["PATH"] = environment.get("PATH", "") + os.pathsep + "/usr/sbin"
            with (folder / f"{order['start']}.log").open("a") as log:
                running[order["start"]] = subprocess.Popen(
                    order["command"],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=restore_signals,
                )
        else:
            running[order["kill"]].kill()
            running[order["kill"]].wait()
        sys.stdout.write("done\n")
        sys.stdout.flush()
    end_all_below()
    shutil.rmtree(folder, ignore_errors=True)


def restore_signals():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def end_all_below():
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for child in children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:  # there are none
            return


def children():
    """Return the processes whose parent is this one."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            number, _, rest = file.read_text().rpartition(")")
            if int(rest.split()[1]) == os.getpid():
                found.append(int(number.split()[0]))
    return found


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
