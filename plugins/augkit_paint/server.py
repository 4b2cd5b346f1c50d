"""The addresses of the page: what is asked for, by whom it is done, what comes back."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from importlib import resources
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from augkit import InputError, Masks, Problem
from augkit.images import encode_png
from augkit_paint.files import load_mask, load_picture
from augkit_paint.gate import App, Gate
from augkit_paint.workers import SupersededError

if TYPE_CHECKING:
    from augkit_paint.studio import Painted, Studio

_FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "paint.css": ("paint.css", "text/css; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    **{name: (name, "text/javascript; charset=utf-8") for name in ("paint.js", "board.js", "drawing.js", "server.js")},
}
"""Everything that is served from the package, by its path; no other file is."""

_PAGE = re.compile("[a-z0-9]{1,32}")
_MOST_NUMBERS = 8
_LARGEST_NUMBER = 2**53


def make_app(studio: Future[Studio], hosts: Iterable[str], token: str) -> App:
    """Return the application behind its gate; the page is there before the studio is, and waits for it."""
    site = _Site(studio)
    routes = [
        Route("/state", site.state),
        Route("/mask", site.mask),
        Route("/weights", site.weights),
        Route("/training", site.training),
        Route("/recipe", site.recipe),
        Route("/file", site.file, methods=["POST"]),
        Route("/paint", site.paint, methods=["POST"]),
        Route("/judge", site.judge, methods=["POST"]),
        Route("/load", site.load, methods=["POST"]),
        Route("/append", site.append, methods=["POST"]),
        *(Route(f"/{path}", _served(*file)) for path, file in _FILES.items()),
    ]
    handlers: dict[Any, Any] = {404: _not_found, 405: _not_found}
    return Gate(Starlette(routes=routes, exception_handlers=handlers), hosts, token)


def _served(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    data = resources.files("augkit_paint").joinpath("static", name).read_bytes()

    async def serve(request: Request) -> Response:
        return Response(data, media_type=kind)

    return serve


async def _not_found(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "There is no such thing on this page."}, 404)


def _told(handler: Callable[[_Site, Request], Awaitable[Response]]) -> Callable[[_Site, Request], Awaitable[Response]]:
    """Turn what goes wrong into a sentence."""

    async def answer(site: _Site, request: Request) -> Response:
        try:
            await asyncio.shield(asyncio.wrap_future(site._opening))
            return await handler(site, request)
        except SupersededError as error:
            return JSONResponse({"error": str(error)}, 409)
        except InputError as error:
            return JSONResponse({"error": " ".join(str(problem) for problem in error.problems)}, 400)
        except Exception as error:  # a plugin may raise anything
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 500)

    return answer


class _Site:
    def __init__(self, studio: Future[Studio]) -> None:
        self._opening = studio

    @_told
    async def state(self, request: Request) -> Response:
        """Return what the page needs to know, and the mask that it begins with."""
        studio = self._studio
        start = await self._at_desk("state", lambda: studio.start)
        return JSONResponse({**studio.facts(), "start": _text(start)})

    @_told
    async def mask(self, request: Request) -> Response:
        """Return a mask that a source draws for a number, or shapes by weights."""
        studio, source = self._studio, _number(request, "source")
        if "weights" in request.query_params:
            weights = _floats(request.query_params["weights"])
            found = await self._at_desk(f"{_page(request)} mask", lambda: studio.shaped(source, weights))
        else:
            number = _number(request, "number")
            found = await self._at_desk(f"{_page(request)} mask", lambda: studio.draw(source, number))
        return Response(_bytes(found), media_type="application/octet-stream")

    @_told
    async def weights(self, request: Request) -> Response:
        """Return the names of a source's weights; finding them may take a while."""
        studio, source = self._studio, _number(request, "source")
        return JSONResponse(await self._at_desk(f"{_page(request)} weights", lambda: studio.weights(source)))

    @_told
    async def training(self, request: Request) -> Response:
        """Return a training image."""
        return _png(self._studio.training_picture(_number(request, "place")))

    @_told
    async def recipe(self, request: Request) -> Response:
        """Return the lines of a recipe that paint this."""
        studio, number = self._studio, _number(request, "number")
        one = studio.generator(_number(request, "generator"))
        return Response(studio.lines(one, number), media_type="text/plain")

    @_told
    async def file(self, request: Request) -> Response:
        """Return a mask as a file: 0 and 255 for one class, labels for several."""
        return _png(self._studio.mask_of(await request.body()))

    @_told
    async def paint(self, request: Request) -> Response:
        """Return the images of some numbers for a mask, one below the other."""
        painted = await self._painted(request)
        pictures = self._studio.shown(painted.images)
        one = self._studio.generator(_number(request, "generator"))
        answer = _png(pictures.reshape(-1, *pictures.shape[2:]))
        answer.headers["x-milliseconds"] = f"{painted.milliseconds:.1f}"
        answer.headers["x-exact"] = "1" if painted.exact else "0"
        answer.headers["x-exact-milliseconds"] = f"{one.exact_milliseconds:.0f}"
        return answer

    @_told
    async def judge(self, request: Request) -> Response:
        """Return what speaks for and against an image."""
        studio = self._studio
        mask = studio.mask_of(await request.body())
        painted = await self._painted(request)
        work = studio.judge_worker.submit(_page(request), lambda: studio.judge(mask, painted.images[0]))
        facts = await asyncio.wrap_future(work)
        if "found" in facts:
            facts["found"] = _text(facts["found"])
        return JSONResponse(facts)

    @_told
    async def load(self, request: Request) -> Response:
        """Return the mask, or the picture, in a file."""
        studio, data = self._studio, await request.body()
        if request.query_params.get("as") == "picture":
            picture = await self._at_desk(f"{_page(request)} load", lambda: load_picture(data))
            return _png(picture)
        found, remark = await self._at_desk(
            f"{_page(request)} load", lambda: load_mask(data, studio.size, studio.format)
        )
        return JSONResponse({"mask": _text(found), "remark": remark})

    @_told
    async def append(self, request: Request) -> Response:
        """Append mask and image to the folder of drawings."""
        studio, number = self._studio, _number(request, "number")
        one, mask = studio.generator(_number(request, "generator")), studio.mask_of(await request.body())
        file = await self._at_desk(f"{_page(request)} append", lambda: studio.append(one, mask, number))
        return JSONResponse({"file": str(file), "recipe": studio.lines(one, number)})

    async def _painted(self, request: Request) -> Painted:
        studio = self._studio
        mask = studio.mask_of(await request.body())
        numbers = _numbers(request)
        one = studio.generator(_number(request, "generator"))
        draft = request.query_params.get("draft") == "1"
        lane = f"{_page(request)} {request.url.path} {draft} {len(numbers)}"
        return await asyncio.wrap_future(one.worker.submit(lane, lambda: studio.paint(one, mask, numbers, draft)))

    @property
    def _studio(self) -> Studio:
        return self._opening.result(0)

    async def _at_desk(self, lane: str, work: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self._studio.desk.submit(lane, work))


def _page(request: Request) -> str:
    """Return the name by which a page calls itself, so that it supersedes its own work and nobody else's."""
    name = request.query_params.get("page", "0")
    if not _PAGE.fullmatch(name):
        raise InputError(Problem("page", f"found '{name[:40]}'; allowed: up to 32 letters and digits"))
    return name


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 17 and int(text) < _LARGEST_NUMBER):
        raise InputError(Problem(name, f"found '{text[:40]}'; allowed: a whole number from 0"))
    return int(text)


def _numbers(request: Request) -> list[int]:
    parts = request.query_params.get("numbers", "").split(",")
    good = [p for p in parts if p.isascii() and p.isdecimal() and len(p) < 17 and int(p) < _LARGEST_NUMBER]
    if len(good) != len(parts) or len(parts) > _MOST_NUMBERS:
        what = f"found '{','.join(parts)[:40]}'; allowed: one to {_MOST_NUMBERS} whole numbers from 0"
        raise InputError(Problem("numbers", what))
    return [int(part) for part in good]


def _floats(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")][:1000]
    except ValueError:
        raise InputError(Problem("weights", f"found '{text[:40]}'; allowed: numbers with commas between")) from None


def _bytes(mask: Masks) -> bytes:
    """Return the labels of a mask (H, W), row by row."""
    return mask.astype("uint8").tobytes()


def _text(mask: Masks) -> str:
    return b64encode(_bytes(mask)).decode()


def _png(picture: Any) -> Response:
    return Response(encode_png(picture), media_type="image/png")
