import pytest

from augkit import InputError
from augkit.contracts.executor import Site, Unit
from augkit.contracts.precision import VARIABLE
from augkit.planning.cluster import Elsewhere
from augkit.running.elsewhere import nodes
from augkit.running.elsewhere.workers import Workers
from augkit.store import read_json
from augkit.training import precision


@pytest.fixture
def order(tmp_path, monkeypatch):
    """What a node is told to build, being of this name and having these parts."""

    def make(host, mixed=False, wanted=None, **parts):
        monkeypatch.setattr(nodes.socket, "gethostname", lambda: host)
        monkeypatch.setattr(nodes, "hardware", lambda device: parts)
        file = None if mixed else tmp_path / "nodes" / "run.json"
        return Site(tmp_path, "cpu", "float32", 1, None, "run", wanted or nodes.versions(), file).order(
            Unit({}, "f", "t")
        )

    return make


def test_the_first_node_notes_what_it_is_and_others_that_are_alike_may_build(order, tmp_path):
    for host in ("n1", "n2", "n1"):
        nodes.check_node(order(host, instructions="AVX512", gpu="H100"))
    assert read_json(tmp_path / "nodes" / "run.json") == {"node": "n1", "instructions": "AVX512", "gpu": "H100"}
    assert [file.name for file in (tmp_path / "nodes").iterdir()] == ["run.json"]


def test_a_node_with_other_parts_refuses_and_names_both(order):
    nodes.check_node(order("n1", instructions="AVX512", gpu="H100"))
    with pytest.raises(InputError) as caught:
        nodes.check_node(order("n2", instructions="AVX2", gpu="A100"))
    assert str(caught.value) == (
        "node n2: has CPU instructions AVX2 where node n1 has AVX512 and GPU A100 where node n1 has H100, so its "
        "numbers would differ; nothing was built on it. Use nodes that are alike, or --mixed-nodes to have both in one "
        "comparison, which the report then says"
    )
    nodes.check_node(order("n2", mixed=True, instructions="AVX2", gpu="A100"))


def test_a_node_with_another_version_refuses_before_it_notes_anything(order, tmp_path):
    wanted = {**nodes.versions(), "torch": "1.0"}
    with pytest.raises(
        InputError, match=r"^node n1: has torch \S+ where the run has 1\.0, so its numbers would differ"
    ):
        nodes.check_node(order("n1", wanted=wanted, instructions="AVX2"))
    assert not (tmp_path / "nodes").exists()


def test_a_processor_is_known_by_what_torch_uses_of_it():
    assert set(nodes.hardware("cpu")) == {"instructions"}
    assert nodes.hardware("cpu")["instructions"] not in ("", "DEFAULT")


class Farm:
    """A cluster that keeps what it was asked to start for."""

    threads = 3

    def start(self, site):
        self.site = site
        return self


@pytest.mark.parametrize(("native", "settled"), [(True, "bfloat16"), (False, "float32")])
def test_auto_precision_is_settled_by_the_driver_and_kept_by_a_node_whose_own_would_be_another(
    tmp_path, monkeypatch, native, settled
):
    for name in (VARIABLE, "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    farm = Farm()
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda device: native)
    Workers(tmp_path, None, None, Elsewhere("farm", farm), lambda: None).start("cpu", "run")
    sent = farm.site.environment()
    assert (sent[VARIABLE], sent["OMP_NUM_THREADS"]) == (settled, "3")
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda device: not native)  # the node's
    assert precision.choose_precision("cpu") != settled
    monkeypatch.setenv(VARIABLE, sent[VARIABLE])
    assert precision.choose_precision("cpu") == settled
