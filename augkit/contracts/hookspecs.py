"""The hooks a plugin implements, and `hookimpl` to mark an implementation.

A plugin is a module (or object) named by an entry point in the group ``augkit``. The registration hooks take no
argument and return a mapping from a name, as recipes or the command line use it, to a component class or a function;
they are called once, when the registry is built. A name that two plugins provide is an error that names both.
"""

from collections.abc import Callable, Mapping

import pluggy

from augkit.contracts.components import Augmentation, Dataset, Generator, MaskSource, Segmenter
from augkit.contracts.events import Event
from augkit.contracts.executor import Cluster

GROUP = "augkit"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def augkit_datasets() -> Mapping[str, type[Dataset]]:  # type: ignore[empty-body]
    """Return data sets: recipe name -> class."""


@hookspec
def augkit_mask_sources() -> Mapping[str, type[MaskSource]]:  # type: ignore[empty-body]
    """Return mask sources: recipe name -> class."""


@hookspec
def augkit_generators() -> Mapping[str, type[Generator]]:  # type: ignore[empty-body]
    """Return generators: recipe name -> class."""


@hookspec
def augkit_augmentations() -> Mapping[str, type[Augmentation]]:  # type: ignore[empty-body]
    """Return augmentations: recipe name -> class."""


@hookspec
def augkit_segmenters() -> Mapping[str, type[Segmenter]]:  # type: ignore[empty-body]
    """Return segmenters: recipe name -> class."""


@hookspec
def augkit_executors() -> Mapping[str, type[Cluster]]:  # type: ignore[empty-body]
    """Return places where stages can be built: the word after ``--executor`` -> class.

    The module is imported whenever plugins are listed, so `Cluster.start` imports what is slow, and says which extra to
    install where that is missing.
    """


@hookspec
def augkit_commands() -> Mapping[str, Callable[..., object]]:  # type: ignore[empty-body]
    """Return commands: the word after ``augkit`` on the command line -> function.

    typer makes a command of the function: its parameters are the arguments and options, its docstring is the help, of
    which ``augkit --help`` shows the first line. An `InputError` that it raises is told in its sentences, exit code 2.
    The module is imported whenever ``augkit --help`` is asked for, so the function imports what is slow when it is
    called.
    """


@hookspec
def augkit_event(event: Event) -> None:
    """Watch the runs that name the plugin with ``--observer``: progress displays, log files, TensorBoard.

    Called in the run's own process, in a thread of the observer's own, one event after another. While an observer is
    slow, `StageAdvanced` events are dropped for it, no others. One that raises is reported once and not called again;
    one that is still busy 5 s after the run is left behind. None can harm the run.
    """
