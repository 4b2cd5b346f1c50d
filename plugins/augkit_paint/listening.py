"""A place of this machine's own to listen at, a browser, and the server itself."""

from __future__ import annotations

import errno
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from augkit import InputError, Problem

if TYPE_CHECKING:
    import uvicorn

    from augkit_paint.gate import App
    from augkit_paint.studio import Studio

HOST = "127.0.0.1"
FIRST_PORT, PORTS = 8765, 50
"""Where a free port is looked for."""


@dataclass(frozen=True)
class Listening:
    """A socket that listens on this machine alone, and the secret of the page."""

    socket: socket.socket
    token: str

    @property
    def port(self) -> int:
        """The port."""
        port: int = self.socket.getsockname()[1]
        return port

    @property
    def address(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, str]:
        """What a browser may call this place."""
        return f"{HOST}:{self.port}", f"localhost:{self.port}"

    def open_browser(self) -> bool:
        """Open the page in a browser of its own window; return whether there is one."""
        try:
            controller = webbrowser.get()
        except webbrowser.Error:
            return False
        if type(controller) is webbrowser.GenericBrowser:  # one that would take this terminal, such as lynx
            return False
        threading.Thread(target=controller.open, args=(self.address,), daemon=True).start()
        return True


def require_extra() -> None:
    """Raise `InputError` where the libraries of the extra are not installed."""
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        what = f"needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise InputError(Problem("augkit paint", what, "pip install 'augkit[paint]'"))


@contextmanager
def listen(port: int | None) -> Iterator[Listening]:
    """Yield a listening socket at a port, or at a free one. Raises `InputError` where there is none."""
    reason = ""
    ports = range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else [port]
    for one in ports:
        # With its protocol named, asyncio sends without waiting for more (TCP_NODELAY), which saves 40 ms of a stroke.
        place = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((HOST, one))
            place.listen(128)
        except OSError as error:
            place.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EPERM):
                raise
            reason = "another program holds it" if error.errno == errno.EADDRINUSE else "it is not for everybody"
            continue
        with place:
            yield Listening(place, secrets.token_urlsafe(24))
        return
    if port is not None:
        hint = "Leave --port out, and a free one is taken"
        raise InputError(Problem(f"--port {port}", f"cannot be used: {reason}; allowed: a free port", hint))
    what = f"none of the ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free"
    raise InputError(Problem("augkit paint", what, "Name a free one with --port"))


def serve(opening: Callable[[], Studio], listening: Listening) -> None:
    """Answer until Ctrl-C, which ends at once whatever is being painted.

    opening: makes the studio while the page is loaded already; what it raises ends the server and is raised.
    """
    import uvicorn

    from augkit_paint.server import make_app

    studio: Future[Studio] = Future()
    server = uvicorn.Server(settings(make_app(studio, listening.hosts, listening.token)))

    def prepare() -> None:
        try:
            studio.set_result(opening())
        except BaseException as error:  # a plugin may raise anything; the main thread tells it
            studio.set_exception(error)
            server.should_exit = True

    threading.Thread(target=prepare, name="opening", daemon=True).start()
    server.run(sockets=[listening.socket])
    if studio.done():
        studio.result()


def settings(app: App) -> uvicorn.Config:
    """Return how uvicorn serves the page."""
    import uvicorn

    return uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=0,
    )
