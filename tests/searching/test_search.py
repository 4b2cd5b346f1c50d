"""A search from end to end: it goes on after a stop, ends in an answer, and refuses what it cannot do."""

import json
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from augkit.cli import app
from augkit.errors import InputError
from augkit.planning.loading import load_checked
from augkit.running.session import How, Session
from augkit.searching import search as searching
from augkit.searching.field import read_field
from augkit.searching.leave import best_recipe, folder_of, leave, record_of, table_of
from augkit.searching.scheme import choose_scheme
from augkit.searching.words import advice, could_see, race_sentence, verdict
from augkit.store import Store

NOTHING = """name: nothing
dataset: {phantom: {train: 20, test: 12, size: 32}}
segmenter: {unet: {width: 2, steps: 2, batch_size: 2}}
"""
PAPER = NOTHING.replace("name: nothing", "name: paper") + "augment: [{classical-paper: {}}]\n"
NOISE = PAPER.replace("name: paper", "name: noise") + (
    "synthesize: [{generator: {noise: {}}, masks: {training: {}}, per_real: 1}]\n"
)


@pytest.fixture
def files(tmp_path):
    """Three candidates."""
    texts = {"nothing": NOTHING, "paper": PAPER, "noise": NOISE}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return [tmp_path / f"{name}.yaml" for name in texts]


def search(files, out, budget=3600.0, tell=lambda text: None):
    """Return a search of these recipes, with four seeds to confirm."""
    field = read_field(files, [], [], "cpu")
    return searching.Search(field, Session(How(out)), 1, budget, range(4), "data", tell)


@pytest.fixture
def short(monkeypatch):
    """Races of two blocks."""
    monkeypatch.setattr(searching, "LAST", 2)


@pytest.mark.slow
def test_a_search_that_was_stopped_goes_on_and_ends_as_one_that_was_not(files, tmp_path, short):
    def stop(text):
        if text.startswith("block 1"):
            raise KeyboardInterrupt

    stopped = search(files, tmp_path / "runs", tell=stop)
    scheme = stopped.choose_scheme()
    with pytest.raises(KeyboardInterrupt):
        stopped.run(scheme)
    heard = []
    outcome = search(files, tmp_path / "runs", tell=heard.append).run(scheme)
    again = search(files, tmp_path / "runs").run(scheme)
    assert record_of(again) == record_of(outcome)
    assert [line.split(" (")[0] for line in heard if line.startswith("block")] == ["block 1", "block 2"]

    # What it found: a winner of the race, confirmed with new seeds on images that the race never scored.
    scored = {image for one in outcome.rounds for image in one.block.images}
    assert outcome.ended == "2 blocks are the most that a race has"
    assert {one.seed for one in outcome.rounds} == {1000}
    assert len(table_of(outcome)) == 4
    assert "3 candidates raced over 2 of at most 12 blocks, 6 trainings, in" in race_sentence(outcome)
    if outcome.report is not None:
        assert not scored.intersection(outcome.report.arms[0].image_ids)
        assert outcome.report.arms[0].seeds == (0, 1, 2, 3)
        assert len(outcome.report.comparison["contrasts"]) == 1
        assert verdict(outcome)[1].startswith(f"{outcome.winner.recipe.name} vs {outcome.control.recipe.name}: ")

    # What it leaves.
    folder = folder_of(Store(tmp_path / "runs"), outcome.field, scheme, "my data")
    leave(outcome, folder, "my data")
    assert folder.name.startswith("my-data-")
    ((best,), _) = load_checked([folder / "best.yaml"])
    assert best.recipe.name == outcome.best.recipe.name
    assert best.recipe.folds is None
    assert best_recipe(outcome).startswith(f"# {best.recipe.name}: best of a search\n# augkit run best.yaml\n")
    page = (folder / "search.html").read_text()
    assert 'src="http' not in page
    for text in (advice(outcome), "Which augmentation for my data?", *could_see(outcome)[:1]):
        assert text in page.replace("&#39;", "'")
    record = json.loads((folder / "search.json").read_text())
    assert set(record["rounds"][0]["dice"]) == {"nothing", "paper", "noise"}


def test_a_time_too_short_for_one_block_is_refused_with_what_would_be_enough(files, tmp_path):
    for file in files:
        file.write_text(file.read_text().replace("steps: 2", "steps: 200000"))
    short_of_time = search(files, tmp_path / "runs", budget=60.0)
    with pytest.raises(InputError, match=r"--minutes: found 1 min 00 s; one block of all 3 candidates takes about .*"):
        short_of_time.run(short_of_time.choose_scheme())
    assert not (tmp_path / "runs" / "segmenter").exists()


def test_too_few_seeds_for_a_verdict_are_refused_before_anything_trains(files, tmp_path):
    few = searching.Search(read_field(files, [], [], "cpu"), Session(How(tmp_path)), 1, 60.0, [0, 1], "data", print)
    with pytest.raises(
        InputError, match=r"--seeds: found 2; allowed: 4 or more, as fewer give no verdict\. As in .*0..5"
    ):
        few.run(choose_scheme(12, 20, False, "data"))


def test_a_folder_that_another_search_holds_is_refused_at_once(tmp_path):
    folder = tmp_path / "search" / "data-0123"
    code = (
        "import sys, time; from pathlib import Path; from augkit.store import Store\n"
        f"with Store(Path({str(tmp_path)!r})).hold(Path({str(folder)!r})):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        began = time.monotonic()
        said = r"data-0123: is held by process .* Wait until it has ended, or choose"
        with pytest.raises(InputError, match=said), Store(tmp_path).hold(folder):
            pass
        assert time.monotonic() - began < 30
        other.kill()
    with Store(tmp_path).hold(folder):  # a killed process holds nothing
        pass


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "augkit search: found neither of --hours and --minutes; allowed: one of them, as in --hours 2"),
        (["--hours", "1", "--minutes", "5"], "augkit search: found both of --hours and --minutes"),
        (["--minutes", "5", "--seeds", "998..1005"], "--seeds 998..1005: found seeds of the race, 1000..1011; allowed"),
    ],
)
def test_bad_options_are_refused_before_anything_is_read(options, said, tmp_path):
    done = CliRunner().invoke(app, ["search", str(tmp_path / "nothing"), *options])
    assert done.exit_code == 2
    assert said in done.output
