"""What the tests of ``augkit paint`` share: a small run, and a server of its page."""

import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

PAINT_RECIPE = """\
name: small
seed: 3
dataset: {phantom: {train: 16, test: 4, size: 32}}
synthesize:
  - {generator: {texture: {}}, masks: {training: {}}, count: 6}
  - {generator: {noise: {}}, masks: {training: {}}, count: 6}
segmenter: {unet: {width: 4, steps: 4, batch_size: 4}}
"""


class Served:
    """The page's server in a thread of this process."""

    def __init__(self, studio, body_seconds=1.0):
        import uvicorn

        from augkit_paint import listening
        from augkit_paint.gate import Gate
        from augkit_paint.server import make_app

        self.studio = studio
        self._context = listening.listen(None)
        self.place = self._context.__enter__()
        self.address = self.place.address
        opened = Future()
        opened.set_result(studio)
        app = make_app(opened, self.place.hosts, self.place.token)
        assert isinstance(app, Gate)
        app.body_seconds = body_seconds
        self.server = uvicorn.Server(listening.settings(app))
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.place.socket]}, daemon=True)
        self._thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def close(self):
        """End the server."""
        self.server.should_exit = True
        self._thread.join(20)
        self._context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def painting_folder(tmp_path_factory):
    """A folder with a recipe and its run."""
    import augkit

    folder = tmp_path_factory.mktemp("paint")
    (folder / "small.yaml").write_text(PAINT_RECIPE)
    augkit.run(folder / "small.yaml", out=folder / "runs", device="cpu", observers=())
    return folder


@pytest.fixture
def open_paint(painting_folder, tmp_path):
    """Return a function that opens a studio as the command does."""
    from augkit_paint.opening import open_studio, read_recipes

    def open_it(*what, changes=(), size=None, seed=None, out=None):
        wanted = read_recipes([Path(one) for one in what], list(changes), size)
        out = out or painting_folder / "runs"
        return open_studio(wanted, seed, out, tmp_path / "drawings", "cpu", tmp_path / "scratch")

    return open_it


@pytest.fixture
def served(open_paint, painting_folder):
    """The page of the small run."""
    pytest.importorskip("starlette", reason="needs the extra paint")
    pytest.importorskip("uvicorn", reason="needs the extra paint")
    one = Served(open_paint(painting_folder / "small.yaml"))
    yield one
    one.close()
