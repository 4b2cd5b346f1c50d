"""What ``augkit paint`` paints, keeps and says, without a browser."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Future
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import augkit
from augkit import Channel, Format, ImageSet, InputError
from augkit.data.stored import read_image_set
from augkit.images import as_shown, encode_png
from augkit.store import seal
from augkit_controls import Noise
from augkit_paint import listening
from augkit_paint.likeness import Likeness
from augkit_paint.studio import Generator
from augkit_paint.workers import SupersededError, Worker
from tests.samples import lesions, workspace

RUN = "from augkit.cli import main; main()"


def ask(served, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", served.place.port, timeout=60)
    connection.request("GET" if body is None else "POST", f"/{served.place.token}/{path}", body)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    assert answer.status == 200, data
    return answer, data


def pixels(data):
    return np.asarray(Image.open(BytesIO(data)))


def synthesis(folder, recipe, **how):
    """The images that a run of a recipe stores, by generator, and what they were drawn from."""
    (arm,) = augkit.load_recipe(recipe).plan(out=folder / "runs", **how).arms
    return {
        stage.address.label.partition("-")[0]: read_image_set(folder / "runs" / "synthesis" / stage.address.name)
        for stage in arm.syntheses
    }


def test_the_bytes_shown_are_those_that_a_run_stores_for_this_mask_and_key(served, painting_folder):
    stored = synthesis(painting_folder, painting_folder / "small.yaml")
    for i, name in enumerate(("texture", "noise")):
        for number in (0, 3, 5):
            mask = np.asarray(stored[name].masks[number]).astype(np.uint8).tobytes()
            answer, data = ask(served, f"paint?generator={i}&numbers={number}", mask)
            assert answer.getheader("x-exact") == "1"
            assert np.array_equal(pixels(data), stored[name].images[number])
            _, data = ask(served, f"paint?generator={i}&numbers={number},{number + 1}&draft=1", mask)
            assert np.array_equal(pixels(data)[:32], stored[name].images[number]), "in a strip, too"


@pytest.mark.slow
def test_the_bytes_of_a_network_are_those_of_a_run_too(painting_folder, open_paint, tmp_path):
    recipe = tmp_path / "gan.yaml"
    recipe.write_text(
        "name: gan\nseed: 1\ndataset: {phantom: {train: 16, test: 4, size: 32}}\nsynthesize:\n"
        "  - {generator: {mask2lesion: {width: 4, epochs: 1, decay_epochs: 0}}, masks: {training: {}}, count: 40}\n"
        "segmenter: {unet: {width: 4, steps: 2, batch_size: 4}}\n"
    )
    augkit.run(recipe, out=tmp_path / "runs", device="cpu", observers=())
    studio = open_paint(recipe, out=tmp_path / "runs")
    stored = synthesis(tmp_path, recipe)["mask2lesion"]
    one = studio.generator(0)
    for number in (0, 17, 39):
        painted = studio.paint(one, np.asarray(stored.masks[number]), [number])
        assert painted.exact
        assert np.array_equal(painted.images[0], stored.images[number])


def test_the_recipe_lines_of_an_appended_drawing_paint_its_very_bytes(served, painting_folder, tmp_path, monkeypatch):
    mask = np.zeros((32, 32), np.uint8)
    mask[5:20, 7:28] = 1
    mask[3, 3] = 1
    _, shown = ask(served, "paint?generator=0&numbers=4", mask.tobytes())
    _, answer = ask(served, "append?generator=0&number=4", mask.tobytes())
    done = json.loads(answer)
    assert Path(done["file"]).read_bytes() == encode_png(mask.astype(np.bool_))
    assert np.array_equal(pixels((tmp_path / "drawings" / "painted" / "0001.png").read_bytes()), pixels(shown))
    (line,) = (tmp_path / "drawings" / "drawings.jsonl").read_text().splitlines()
    assert json.loads(line) == {"file": "0001.png", "generator": "texture", "seed": 3, "number": 4}
    _, lines = ask(served, "recipe?generator=0&number=4")
    assert lines.decode() == done["recipe"]
    whole = {**yaml.safe_load((painting_folder / "small.yaml").read_text()), **yaml.safe_load(lines)}
    (tmp_path / "again.yaml").write_text(yaml.safe_dump({**whole, "name": "again"}))
    augkit.run(tmp_path / "again.yaml", out=painting_folder / "runs", device="cpu", observers=())
    stored = synthesis(painting_folder, tmp_path / "again.yaml")["texture"]
    assert np.array_equal(stored.masks[4], mask.astype(np.bool_))
    assert np.array_equal(stored.images[4], pixels(shown))


def test_drawings_are_numbered_on_and_an_empty_one_is_refused(served, tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20] = 1
    (tmp_path / "drawings").mkdir()
    (tmp_path / "drawings" / "0007.png").write_bytes(b"somebody's")
    _, answer = ask(served, "append?generator=1&number=0", mask.tobytes())
    assert Path(json.loads(answer)["file"]).name == "0008.png"
    with pytest.raises(AssertionError, match="is of one level only"):
        ask(served, "append?generator=1&number=0", bytes(1024))


def test_the_page_is_told_what_there_is(served):
    facts = json.loads(ask(served, "state")[1])
    assert [one["name"] for one in facts["generators"]] == ["texture", "noise"]
    assert facts["sources"][0]["name"] == "training"
    assert [one["name"] for one in facts["sources"] if one["weights"]] == ["pca"]
    assert facts["segmenter"] == {"name": "unet", "real_only": False}
    start = np.frombuffer(base64.b64decode(facts["start"]), np.uint8).reshape(32, 32)
    train = served.studio.train
    assert any(np.array_equal(start, mask) for mask in np.asarray(train.masks)), "it begins with a training mask"


def test_masks_come_from_sources_and_weights(served):
    names = json.loads(ask(served, "weights?source=2")[1])
    assert json.loads(ask(served, "state")[1])["sources"][2]["name"] == "pca"
    mean = ask(served, "mask?source=2&weights=" + ",".join("0" * len(names)))[1]
    moved = ask(served, "mask?source=2&weights=" + ",".join(["2.5", *"0" * (len(names) - 1)]))[1]
    assert len(mean) == 1024
    assert 0 < sum(mean) < sum(moved)
    assert ask(served, "mask?source=0&number=3")[1] != ask(served, "mask?source=0&number=4")[1]


def test_an_image_is_judged(served):
    mask = np.asarray(served.studio.train.masks[2]).astype(np.uint8)
    facts = json.loads(ask(served, "judge?generator=0&numbers=0", mask.tobytes())[1])
    assert 0 <= facts["adherence"] <= 1
    assert len(base64.b64decode(facts["found"])) == 1024
    assert facts["nearest"]["id"].startswith("phantom-train-")
    assert facts["alike"]["overlap"] == 1
    assert not facts["alike"]["unlike"]
    chess = np.indices((32, 32)).sum(0) // 2 % 2
    facts = json.loads(ask(served, "judge?generator=0&numbers=0", chess.astype(np.uint8).tobytes())[1])
    assert facts["alike"]["unlike"]


def test_likeness_does_not_depend_on_the_place_of_a_mask():
    train = lesions(12)
    alike = Likeness(train.masks, train.format)
    moved = np.roll(train.masks[0], 5, axis=1)
    assert alike.of(moved).overlap > 0.97
    line = np.zeros((32, 32), np.bool_)
    line[16] = True
    assert alike.of(line).unlike


def test_a_file_becomes_a_mask_of_the_pages_size(served):
    mask = np.zeros((64, 96), np.bool_)
    mask[20:50, 30:60] = True
    found = json.loads(ask(served, "load?as=mask", encode_png(mask))[1])
    cells = np.frombuffer(base64.b64decode(found["mask"]), np.uint8).reshape(32, 32)
    assert np.array_equal(cells, mask[1::2, 1::3])
    assert found["remark"] == "The file has 96 x 64 pixels; the nearest ones are taken for 32 x 32."
    _, data = ask(served, "load?as=picture", encode_png(np.full((1500, 3000, 3), 90, np.uint8)))
    assert pixels(data).shape == (500, 1000, 3)
    kept = ask(served, "file", cells.tobytes())[1]
    assert json.loads(ask(served, "load?as=mask", kept)[1]) == {"mask": found["mask"], "remark": ""}


# Several classes, and other pixels than RGB


CT = Format("int16", (Channel("ct", "ct", -100, 200),), ("liver", "spleen"))


@pytest.fixture
def ct_folder(tmp_path):
    """An imported generator of CT images with two classes."""
    masks = np.arange(4 * 16 * 16).reshape(4, 16, 16).astype(np.uint8) % 3
    images = masks[..., None].astype(np.int16) * 100 - 50
    ids = tuple("abcd")
    folder = tmp_path / "ct"
    folder.mkdir()
    Noise().fit(ImageSet(ids, images, masks, ids, ("real",) * 4, CT), workspace(folder))
    seal(folder, {"generator": "noise"})
    return folder


def test_several_classes_and_other_pixels_are_painted_and_shown_through_their_window(ct_folder, open_paint):
    studio = open_paint(ct_folder, size=24)
    facts = studio.facts()
    assert [one["name"] for one in facts["labels"]] == ["background", "liver", "spleen"]
    assert len({one["colour"] for one in facts["labels"]}) == 3
    assert (facts["width"], facts["appends"], facts["training"]) == (24, False, 0)
    mask = studio.mask_of(bytes(i % 3 for i in range(24 * 24)))
    painted = studio.paint(studio.generator(0), mask, [0])
    assert painted.images.dtype == np.int16
    shown = studio.shown(painted.images)
    assert np.array_equal(shown, as_shown(painted.images, CT))
    assert shown.shape == (1, 24, 24, 3)
    assert studio.start.shape == (24, 24)
    with pytest.raises(InputError, match=r"found the label 3; allowed: 0, 1, 2"):
        studio.mask_of(bytes([3] * 24 * 24))
    with pytest.raises(InputError, match=r"the mask source folder takes one class; found 2\. Save the pair instead"):
        studio.append(studio.generator(0), mask, 0)
    assert "takes one class" in studio.lines(studio.generator(0), 0)


# Opening


def test_a_generator_that_is_not_trained_is_listed_with_the_command_that_trains_it(open_paint, painting_folder):
    text = (painting_folder / "small.yaml").read_text()
    recipe = painting_folder / "more.yaml"
    recipe.write_text(text.replace("{noise: {}}", "{mask2lesion: {width: 4}}"))
    studio = open_paint(recipe)
    first, second = studio.facts()["generators"]
    assert (first["name"], first["trained"]) == ("texture", True)
    assert (second["name"], second["title"], second["trained"]) == ("mask2lesion", "mask2lesion (width 4)", False)
    assert second["command"] == f"augkit run {recipe} --out {painting_folder / 'runs'}"
    assert studio.untrained() == [f"Not trained yet: mask2lesion (width 4). Run: {second['command']}"]
    with pytest.raises(InputError, match=r"generator 'mask2lesion': is not trained yet\. Run: augkit run"):
        studio.generator(1)


def test_without_any_trained_generator_it_says_how_to_train(open_paint, painting_folder, tmp_path):
    with pytest.raises(InputError) as refused:
        open_paint(painting_folder / "small.yaml", seed=5)
    assert str(refused.value).startswith("augkit paint: generator 'texture' is not trained yet. Run: augkit run ")
    assert "--seeds 5" in str(refused.value)
    plain = tmp_path / "plain.yaml"
    plain.write_text("name: plain\ndataset: {phantom: {train: 4, test: 2, size: 32}}\nsegmenter: {unet: {steps: 1}}\n")
    with pytest.raises(InputError, match=r"plain\.yaml: has no generator; allowed: a recipe with at least one source"):
        open_paint(plain)
    with pytest.raises(InputError, match="augkit paint: has no generator"):
        open_paint(changes=["synthesize=[]"])


def test_a_generators_folder_is_opened_with_its_training_images(open_paint, painting_folder):
    (folder,) = (painting_folder / "runs" / "generator").glob("noise-*")
    studio = open_paint(folder)
    assert studio.train is not None
    assert studio.size == (32, 32)
    assert [one.part.name for one in studio.generators] == ["noise"]
    assert studio.masks[0].name == "training"
    both = open_paint(painting_folder / "small.yaml", folder)
    assert [one.part.name for one in both.generators] == ["texture", "noise"], "each once"


def test_what_does_not_fit_together_is_refused(open_paint, painting_folder, ct_folder):
    (folder,) = (painting_folder / "runs" / "generator").glob("noise-*")
    with pytest.raises(InputError, match=r"--size 64: the training images have 32 x 32 pixels; allowed: that size"):
        open_paint(folder, size=64)
    studio = open_paint(folder, ct_folder)
    with pytest.raises(InputError, match=r"paints 1 channel \(ct -100..200; int16\) and 2 classes .*; allowed: 8-bit"):
        studio.paint(studio.generator(1), studio.start, [0])
    with pytest.raises(InputError, match="--set seed=1: found no recipe; allowed with one"):
        open_paint(folder, changes=["seed=1"])
    with pytest.raises(InputError, match="is no generator's folder"):
        open_paint(painting_folder)


def test_a_segmenter_of_real_images_alone_is_preferred(painting_folder, open_paint):
    text = (painting_folder / "small.yaml").read_text()
    plain = painting_folder / "plain.yaml"
    begin, end = text.index("synthesize"), text.index("segmenter")
    plain.write_text(text[:begin].replace("small", "plain") + text[end:])
    augkit.run(plain, out=painting_folder / "runs", device="cpu", observers=())
    assert open_paint(painting_folder / "small.yaml").segmenter.real_only


# Work


def test_work_of_a_lane_is_superseded_and_the_newest_is_done_first():
    worker = Worker("test")
    begun, order = Future(), []
    first = worker.submit("a", lambda: begun.result(10))
    while worker._waiting:
        time.sleep(0.01)
    stale = worker.submit("b", lambda: order.append("stale"))
    other = worker.submit("c", lambda: order.append("other"))
    newest = worker.submit("b", lambda: order.append("newest"))
    begun.set_result(None)
    for future in (first, other, newest):
        future.result(10)
    assert order == ["newest", "other"]
    assert isinstance(stale.exception(1), SupersededError)


def test_a_failure_of_some_work_is_told_and_the_worker_goes_on():
    worker = Worker("test")
    with pytest.raises(SystemExit):
        worker.submit("a", lambda: sys.exit(3)).result(10)
    assert worker.submit("a", lambda: 5).result(10) == 5


def test_a_slow_network_paints_drafts_and_exact_images_when_asked(open_paint, painting_folder, monkeypatch):
    studio = open_paint(painting_folder / "small.yaml")
    one = studio.generator(0)
    monkeypatch.setattr(Generator, "_milliseconds", lambda self, painter, mask, draft: 30.0 if draft else 1 / 0)
    draft = studio.paint(one, studio.start, [0], draft=True)
    assert not draft.exact
    assert one.exact_milliseconds == min(30.0, draft.milliseconds) * 32, "too slow to be tried for its time"
    exact = studio.paint(one, studio.start, [0])
    assert exact.exact
    assert one.exact_milliseconds == exact.milliseconds, "it learns from what it paints"


# The command


def started(folder, *arguments, **environment):
    """Start the command; returns the process and its address when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "paint", "--no-browser", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    while not lines or not lines[-1].startswith("Ready"):
        line = process.stdout.readline()
        assert line, process.stderr.read()
        lines.append(line.strip())
    return process, lines[0].rpartition(" ")[2]


def test_ctrl_c_ends_it_at_once_also_while_it_paints(painting_folder, tmp_path):
    process, address = started(tmp_path, painting_folder / "small.yaml", "--out", painting_folder / "runs")
    port, token = int(address.split(":")[2].split("/")[0]), address.split("/")[3]
    busy = socket.create_connection(("127.0.0.1", port))
    busy.sendall(f"POST /{token}/paint?generator=0&numbers=0 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode())
    busy.sendall(b"Content-Length: 1024\r\n\r\n" + bytes(1024))
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    busy.close()
    assert (process.returncode, err) == (0, "")
    assert out.endswith("Ended.\n")
    assert time.monotonic() - began < 15  # a second where the machine has nothing else to do


@pytest.mark.slow
def test_nothing_but_the_command_paints_phantoms(tmp_path):
    process, address = started(tmp_path)
    connection = http.client.HTTPConnection(address.split("/")[2], timeout=60)
    connection.request("GET", f"/{address.split('/')[3]}/state")
    facts = json.loads(connection.getresponse().read())
    connection.close()
    assert [one["name"] for one in facts["generators"]] == ["texture"]
    assert facts["training"] == 60
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert (tmp_path / "runs" / "generator").is_dir()
    assert not (tmp_path / "drawings").exists()


def test_a_port_that_somebody_holds_ends_with_two_and_a_sentence(augkit):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        code, out, err = augkit("paint", "--no-browser", "--port", str(port))
    assert (code, out) == (2, "")
    assert err == (
        f"--port {port}: cannot be used: another program holds it; allowed: a free port. "
        "Leave --port out, and a free one is taken\n"
    )


def test_no_free_port_ends_with_two_and_a_sentence(augkit, monkeypatch):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        monkeypatch.setattr(listening, "FIRST_PORT", held.getsockname()[1])
        monkeypatch.setattr(listening, "PORTS", 1)
        code, _, err = augkit("paint", "--no-browser")
        assert code == 2
        assert err.startswith(
            f"augkit paint: none of the ports {listening.FIRST_PORT} to {listening.FIRST_PORT} is free"
        )
    with listening.listen(None) as place:
        assert place.address.startswith(f"http://127.0.0.1:{listening.FIRST_PORT}/")
        assert len(place.token) >= 32


def test_a_recipe_that_is_wrong_and_a_folder_that_holds_none_end_with_two_and_a_sentence(augkit, tmp_path):
    (tmp_path / "r.yaml").write_text("name: r\ndataset: {phantm: {}}\n")
    code, _, err = augkit("paint", "--no-browser", "r.yaml")
    assert code == 2
    assert "r.yaml:2: no dataset is called 'phantm'. Did you mean 'phantom'?" in err
    code, out, err = augkit("paint", "--no-browser", ".")
    assert (code, out) == (2, "")
    assert err == (
        ".: is no generator's folder (it has no artifact.json); allowed: such as runs/generator/mask2lesion-...\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.yaml"]


def test_without_the_extra_it_says_how_to_install_it(augkit, monkeypatch):
    monkeypatch.setattr(listening, "find_spec", lambda name: None if name == "uvicorn" else object())
    assert augkit("paint") == (
        2,
        "",
        "augkit paint: needs uvicorn, which is not installed. pip install 'augkit[paint]'\n",
    )


def test_where_there_is_no_browser_the_address_is_there_to_be_opened(monkeypatch):
    def none():
        raise listening.webbrowser.Error("could not locate runnable browser")

    with listening.listen(None) as place:
        monkeypatch.setattr(listening.webbrowser, "get", none)
        assert not place.open_browser()
        monkeypatch.setattr(listening.webbrowser, "get", lambda: listening.webbrowser.GenericBrowser("lynx"))
        assert not place.open_browser(), "it would take this terminal"
