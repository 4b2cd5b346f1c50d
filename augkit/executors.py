"""Building stages on other machines: a door for plugins that bring executors.

A plugin's hook `augkit_executors` names classes that are a `Cluster`. Its executor starts workers with
`worker_command` and `Site.environment` where their machine is (`WorkerProcess` speaks to one), or with
``--unit FILE.json`` where it can only start whole jobs, and passes on what they say.
"""

from augkit.contracts.executor import Cluster, Detachable, Executor, Resources, Said, Site, Unit
from augkit.running.elsewhere.process import WorkerProcess, start_out_of_reach, worker_command

__all__ = [
    "Cluster",
    "Detachable",
    "Executor",
    "Resources",
    "Said",
    "Site",
    "Unit",
    "WorkerProcess",
    "start_out_of_reach",
    "worker_command",
]
