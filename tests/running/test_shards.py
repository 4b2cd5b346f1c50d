"""Synthetic sets in shards: the bytes of the whole, however they are cut, and whatever befalls them on the way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import augkit
from augkit.contracts import events
from augkit.data.joined import Joined
from augkit.data.stored import read_drawn_masks, read_image_set, read_shards
from augkit.errors import InputError
from augkit.planning.plan import make_plan, make_supply
from augkit.planning.tasks import Gather
from augkit.running.cache import collect
from augkit.running.engine import Engine
from augkit.store import Digests, Store
from samples import Watcher, checked_recipes

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

SEVEN = 7 * 256 - 100
RECIPE = """\
name: arm
dataset: {phantom: {train: 12, test: 4, size: 32}}
synthesize:
  - {generator: {noise: {}}, masks: MASKS, count: COUNT, shard: 256}
segmenter: {unet: {width: 2, steps: 3, batch_size: 2}}
"""


@pytest.fixture
def supply(tmp_path):
    def make(shard=256, masks="{shapes: {}}", count=SEVEN, more=""):
        text = RECIPE.replace("MASKS", masks).replace("COUNT", str(count)) + more
        (checked,) = checked_recipes(tmp_path, text, changes=[f"synthesize.0.shard={shard}"])
        return make_supply(checked, None, Digests(tmp_path / "runs"))

    return make


def synthesis_of(made):
    return made.syntheses[0]


def plain(samples):
    return samples.ids, samples.groups, samples.origins, samples.images[:].tobytes(), samples.masks[:].tobytes()


@pytest.mark.parametrize("masks", ["{shapes: {}}", "{training: {}}", "{combine: {mix: [{shapes: {}}]}}"])
def test_one_three_and_seven_shards_give_the_bytes_and_the_name_of_the_whole(tmp_path, supply, masks):
    found, names = [], []
    for shard, shards in ((7 * 256, 0), (3 * 256, 3), (256, 7)):
        stage = synthesis_of(supply(shard, masks))
        engine = Engine(Store(tmp_path / f"runs-{shards}"), "cpu")
        samples = read_image_set(engine.artifact(stage))
        drawn = read_drawn_masks(engine.artifact(stage.inputs["masks"]))
        assert len(stage.shards) == shards
        assert isinstance(samples.images, Joined) == bool(shards)
        found.append((plain(samples), drawn.masks[:].tobytes(), list(drawn.records)))
        names.append((stage.address, stage.inputs["masks"].address))
    assert found[1] == found[0]
    assert found[2] == found[0]
    assert len(set(names)) == 1


def test_masks_are_cut_where_their_source_draws_parts_and_drawn_at_once_otherwise(supply):
    parted, whole = synthesis_of(supply()), synthesis_of(supply(masks="{combine: {mix: [{shapes: {}}]}}"))
    assert [shard.inputs["masks"] for shard in parted.shards] == list(parted.inputs["masks"].shards)
    assert {shard.inputs["masks"] for shard in whole.shards} == {whole.inputs["masks"]}
    assert not whole.inputs["masks"].shards


@pytest.mark.parametrize("count", [255, 256])
def test_what_fits_into_one_shard_is_one_stage(supply, count):
    stage = synthesis_of(supply(count=count))
    assert not stage.shards
    assert not isinstance(stage.task, Gather)


def test_a_shuffled_set_is_made_at_once(tmp_path, supply):
    stage = make_supply(
        checked_recipes(tmp_path, RECIPE.replace("MASKS", "{shapes: {}}").replace("COUNT", "600, pair: shuffled"))[0],
        None,
        Digests(tmp_path / "runs"),
    ).syntheses[0]
    assert not stage.shards


def test_a_set_that_is_there_is_used_however_it_was_cut(tmp_path, supply):
    store = Store(tmp_path / "runs")
    before = plain(read_image_set(Engine(store, "cpu").artifact(synthesis_of(supply(256)))))
    told = Watcher()
    after = Engine(store, "cpu", told).artifact(synthesis_of(supply(512)))
    assert plain(read_image_set(after)) == before
    assert told.events == []


def test_a_segmenter_trains_on_shards_as_on_the_whole(tmp_path, supply):
    weights, addresses = [], []
    for shard in (7 * 256, 256):
        text = RECIPE.replace("MASKS", "{shapes: {}}").replace("COUNT", "600").replace("shard: 256", f"shard: {shard}")
        (arm,) = make_plan(checked_recipes(tmp_path, text), None, Digests(tmp_path / "runs")).arms
        folder = Engine(Store(tmp_path / f"runs-{shard}"), "cpu").artifact(arm.segmenter)
        weights.append((folder / "unet.safetensors").read_bytes())
        addresses.append(arm.segmenter.address)
    assert weights[0] == weights[1]
    assert addresses[0] == addresses[1]


def test_a_selection_of_a_set_in_shards_lists_what_it_keeps(tmp_path, monkeypatch):
    monkeypatch.setattr("augkit.running.stages.selection.dice", lambda found, asked, classes: asked.mean(axis=(1, 2)))
    kept = []
    for shard in (1024, 256):
        text = RECIPE.replace("MASKS", "{shapes: {}}").replace("COUNT", "600, min_adherence: 0.1")
        (checked,) = checked_recipes(tmp_path, text, changes=[f"synthesize.0.shard={shard}"])
        (selected,) = make_supply(checked, None, Digests(tmp_path / "runs")).selected
        kept.append(
            (read_image_set(folder := Engine(Store(tmp_path / f"s-{shard}"), "cpu").artifact(selected)), folder)
        )
    (whole, _), (listed, folder) = kept
    assert 0 < len(listed) < 600
    assert plain(listed) == plain(whole)
    assert sorted(path.name for path in folder.iterdir()) == [
        "adherence.json", "artifact.json", "kept.npy", "places.json", "shards.json"
    ]  # fmt: skip


# What befalls them


def finished(told):
    return [event.stage for event in told.of(events.StageFinished)]


def test_a_changed_shard_is_made_again_and_no_other(tmp_path, supply):
    stage, store = synthesis_of(supply()), Store(tmp_path / "runs")
    before = plain(read_image_set(Engine(store, "cpu").artifact(stage)))
    file = store.path(stage.shards[2].address) / "images.npy"
    data = bytearray(file.read_bytes())
    data[5000] ^= 1
    file.write_bytes(data)
    told = Watcher()
    assert plain(read_image_set(Engine(store, "cpu", told).artifact(stage))) == before
    assert finished(told) == [stage.shards[2].title]
    assert "images.npy does not have the bytes that were written" in told.of(events.StageNoted)[0].text


def test_a_lost_shard_of_a_set_that_was_cut_otherwise_leads_to_the_shards_of_the_plan(tmp_path, supply):
    store = Store(tmp_path / "runs")
    fine, coarse = synthesis_of(supply(256)), synthesis_of(supply(1024))
    before = plain(read_image_set(Engine(store, "cpu").artifact(fine)))
    store.discard(store.path(fine.shards[0].address))
    told = Watcher()
    folder = Engine(store, "cpu", told).artifact(coarse)
    assert plain(read_image_set(folder)) == before
    assert read_shards(folder).places == tuple(shard.address for shard in coarse.shards)
    assert finished(told)[-1] == coarse.title


def hide(store, *stages):
    """Take artifacts out of sight, as those of another host are for a while; returns what brings one back."""
    moves = [(store.root / f"hidden {number}", store.path(stage.address)) for number, stage in enumerate(stages)]
    for hidden, folder in moves:
        folder.rename(hidden)
    return lambda: Path.rename(*moves.pop())


@pytest.mark.parametrize("cut", [256, 512])
def test_shards_that_another_host_made_are_waited_for_and_not_made_again(tmp_path, supply, monkeypatch, cut):
    store, waited = Store(tmp_path / "runs"), []
    made, planned = synthesis_of(supply(256)), synthesis_of(supply(cut))
    before = plain(read_image_set(Engine(store, "cpu").artifact(made)))
    appear = hide(store, made.shards[1], made.shards[4])
    monkeypatch.setattr("time.sleep", lambda seconds: waited.append(seconds) or appear())
    told = Watcher()
    engine = Engine(store, "cpu", told)
    engine.expect([planned])
    assert plain(read_image_set(engine.artifact(planned))) == before
    assert len(waited) == 2
    assert told.events == []


def test_shards_that_never_come_into_sight_are_told_and_made_again(tmp_path, supply, monkeypatch):
    monkeypatch.setattr("augkit.store.artifacts.SEEN_SECONDS", 0.05)
    stage, store = synthesis_of(supply()), Store(tmp_path / "runs")
    before = plain(read_image_set(Engine(store, "cpu").artifact(stage)))
    hide(store, stage.shards[1])
    told = Watcher()
    engine = Engine(store, "cpu", told)
    engine.expect([stage])
    assert plain(read_image_set(engine.artifact(stage))) == before
    assert finished(told) == [stage.shards[1].title]
    note, *_ = [event.text for event in told.of(events.StageNoted)]
    assert note == f"{store.path(stage.shards[1].address)} was built elsewhere, but is not seen here; it is built again"


def test_a_run_that_is_interrupted_continues_behind_its_last_shard(tmp_path, supply):
    stage, store, done = synthesis_of(supply()), Store(tmp_path / "runs"), []

    def interrupt(event):
        if isinstance(event, events.StageFinished):
            done.append(event.stage)
            if event.stage == stage.shards[3].title:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Engine(store, "cpu", interrupt).artifact(stage)
    told = Watcher()
    Engine(store, "cpu", told).artifact(stage)
    assert not set(done) & set(finished(told))
    assert [title for title in finished(told) if title.startswith("synthesis-shard")] == [
        shard.title for shard in stage.shards[4:]
    ]


BUILD = """
import sys
from pathlib import Path
from augkit.contracts.registry import load_registry
from augkit.planning.components import check_recipes
from augkit.planning.recipe import load_recipes
from augkit.running.session import How, Session

session = Session(How(Path(sys.argv[2])))
(checked,) = check_recipes(load_recipes([Path(sys.argv[1])]), load_registry())
(folder,) = session.build(session.plan_supply(checked).syntheses)
print(folder)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills a process by a signal")
def test_a_run_that_is_killed_among_its_shards_continues_to_the_same_bytes(tmp_path):
    recipe, script = tmp_path / "arm.yaml", tmp_path / "build.py"
    recipe.write_text(RECIPE.replace("MASKS", "{shapes: {}}").replace("COUNT", "5000"))
    script.write_text(BUILD)
    root = Path(augkit.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'plugins'}"}

    def build(out):
        command = [sys.executable, script, recipe, tmp_path / out]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    shards = tmp_path / "killed" / "synthesis-shard"
    with build("killed") as killed:
        deadline = time.monotonic() + 240
        while len(list(shards.glob("*"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
    some = {path.name: path.stat().st_ctime_ns for path in shards.iterdir()}
    assert 3 <= len(some) < 20
    made = []
    for out in ("killed", "whole"):
        with build(out) as process:
            made.append(plain(read_image_set(Path(process.communicate()[0].strip()))))
    assert {name: (shards / name).stat().st_ctime_ns for name in some} == some
    assert made[0] == made[1]


def test_a_collection_keeps_the_shards_that_a_run_reads_however_it_was_cut(tmp_path, supply):
    text = RECIPE.replace("MASKS", "{shapes: {}}").replace("COUNT", "600")
    (plan,) = [make_plan(checked_recipes(tmp_path, text), None, Digests(tmp_path / "runs"))]
    store = Store(tmp_path / "runs")
    Engine(store, "cpu").run(plan)
    orphan = synthesis_of(supply(512, count=600)).shards[0]
    Engine(store, "cpu").artifact(orphan)
    gone = collect(store, older_than=0, unfinished=False, dry=False)
    assert sorted(item.kind for item in gone) == ["masks-shard", "synthesis-shard"]
    assert {item.path for item in gone} == {store.path(orphan.address), store.path(orphan.inputs["masks"].address)}
    assert len(read_image_set(store.path(plan.arms[0].syntheses[0].address))) == 600


def test_what_the_disk_cannot_hold_is_refused_before_anything_is_written(tmp_path, supply, monkeypatch):
    monkeypatch.setattr("augkit.planning.shards.free_bytes", lambda path: 10**6)
    with pytest.raises(InputError) as error:
        Engine(Store(tmp_path / "runs"), "cpu").build([synthesis_of(supply(count=5000))])
    assert error.value.exit_code == 2
    assert str(error.value) == (
        f"{tmp_path / 'runs'}: shards of synthetic sets need 25.6 MB, and 1.0 MB are free. "
        "Lower count, free some space, or choose another folder with --out"
    )
    assert not (tmp_path / "runs").exists()


def test_an_estimate_tries_one_shard_for_all(tmp_path):
    from augkit.running.estimate import estimate_plan

    text = RECIPE.replace("MASKS", "{shapes: {}}").replace("COUNT", "600")
    plan = make_plan(checked_recipes(tmp_path, text), None, Digests(tmp_path / "runs"))
    store = Store(tmp_path / "runs")
    found = estimate_plan(plan, store, Engine(store, "cpu"))
    synthesis = plan.arms[0].syntheses[0]
    assert found[synthesis].seconds == 0
    assert len({found[shard] for shard in synthesis.shards}) == 1
    assert found[synthesis.shards[0]].disk > 256 * 32 * 32 * 4
