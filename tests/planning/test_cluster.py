from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from augkit import InputError, Within
from augkit.contracts.registry import Entry, Fault, Provider, Registry
from augkit.planning.cluster import Elsewhere, check_detachable, find_executor, own_file


@dataclass(frozen=True)
class Farm:
    """A place."""

    threads: Annotated[int, Within(1, 8)] = 2
    queue: str = "short"

    def start(self, site):
        return None


PROVIDER = Provider("farm", "augkit-farm", "1.0")
REGISTRY = Registry({("executor", "farm"): Entry("executor", "farm", Farm, PROVIDER)}, ())


@pytest.fixture
def find(tmp_path, monkeypatch):
    """Look for an executor with the user's own file, and another one, having these texts."""

    def look(name, own=None, other=None, mixed=False, detach=False, registry=REGISTRY):
        for file, text in ((own_file(), own), (Path("other.yaml"), other)):
            if text is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        return find_executor(name, None if other is None else Path("other.yaml"), mixed, detach, registry)

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return look


def problems(find, *arguments, **options):
    with pytest.raises(InputError) as caught:
        find(*arguments, **options)
    return [str(problem) for problem in caught.value.problems]


def test_options_come_from_the_users_own_file_or_the_one_that_is_named(find):
    assert find("farm") == Elsewhere("farm", Farm())
    assert find("farm", "farm: {threads: 4}").cluster == Farm(threads=4)
    found = find("farm", "farm: {threads: 4}", "farm:\n  queue: long\n", mixed=True)
    assert found == Elsewhere("farm", Farm(queue="long"), Path("other.yaml"), mixed_nodes=True)
    assert found.options() == ["--executor farm", "--cluster other.yaml", "--mixed-nodes"]
    assert find("farm", "farm:\n").cluster == Farm(), "an empty section"
    assert find("farm", "").cluster == Farm(), "an empty file"


def test_workers_of_this_machine_need_no_place(find):
    assert find("local") is None
    assert find("local", "farm: {threads: nine}") is None, "its file does not matter then"


def test_everything_that_is_wrong_with_a_file_is_told_at_once_with_its_line(find):
    text = "farm:\n  threads: 9\n  que: long\nrat: {}\nlocal: {jobs: 2}\n"
    assert problems(find, "farm", other=text) == [
        "other.yaml:2: farm.threads: found 9; allowed: 8 or less",
        "other.yaml:3: farm has no option 'que'. Did you mean 'queue'?",
        "other.yaml:4: no executor is called 'rat'. Allowed: farm",
        "other.yaml:5: 'local' has no options; allowed: --jobs and --threads",
    ]
    assert problems(find, "farm", other="- farm\n") == [
        "other.yaml:1: found no mapping; allowed: a section for each executor, such as 'slurm:'"
    ]
    assert problems(find, "farm", other="farm: fast\n") == [
        "other.yaml:1: found no mapping; allowed: options of executor 'farm'"
    ]


def test_a_file_or_an_executor_that_is_not_there_is_named(find, tmp_path):
    with pytest.raises(InputError, match=r"^--cluster none.yaml: no such file\. Without this option it is "):
        find_executor("farm", Path("none.yaml"), False, False, REGISTRY)
    assert problems(find, "fram") == ["--executor: no executor is called 'fram'. Did you mean 'farm'?"]
    broken = Registry({}, (Fault(PROVIDER, "ImportError: no farming"),))
    assert problems(find, "farm", registry=broken) == [
        "--executor farm: executor 'farm' is not usable: ImportError: no farming. Provided by augkit-farm 1.0 (farm)"
    ]


def test_options_for_other_machines_are_refused_on_this_one(find):
    assert problems(find, "local", other="farm: {}", mixed=True, detach=True) == [
        "--cluster other.yaml: is not read for workers on this machine. Add --executor NAME",
        "--mixed-nodes: is for other machines than this one. Add --executor NAME",
        "--detach: is for other machines than this one. Add --executor NAME",
    ]


def test_only_what_outlives_the_run_can_be_left_to_itself():
    with pytest.raises(InputError, match="--detach: executor 'farm' ends its workers with the run"):
        check_detachable(Elsewhere("farm", Farm(), detach=True), object())
    check_detachable(Elsewhere("farm", Farm()), object())
