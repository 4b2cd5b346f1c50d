"""Who may speak with the page's server, and how much: address, token, origin, size and time of every request."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

MOST_BYTES = 8 * 1024 * 1024
"""Of the body of a request."""

BODY_SECONDS = 10.0
"""In which a body has to be there."""

HEADERS = (
    (b"content-security-policy", (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)  # fmt: skip
"""Of every answer. No address of another origin is ever allowed to read one."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class _RefusedError(Exception):
    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Gate:
    """Lets requests through whose host, token, origin, method and body are as they should be.

    hosts: what may stand in the header ``Host``, such as ``127.0.0.1:8765``. A name of somebody else's that leads here
           (DNS rebinding) does not.
    token: the first part of every path.
    """

    body_seconds = BODY_SECONDS

    def __init__(self, app: App, hosts: Iterable[str], token: str) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._token = token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            inner = self._checked(scope)
            body = await self._body(scope, receive)
        except _RefusedError as refused:
            await _answer(send, refused.status, str(refused))
            return

        async def given() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in dict(HEADERS)]
                message = {**message, "headers": [*kept, *HEADERS]}
            await send(message)

        await self._app(inner, given, guarded)

    def _checked(self, scope: Message) -> Message:
        """Return the scope with the path behind the token, or refuse it."""
        headers = _single(scope["headers"])
        host = headers.get("host", "")
        if host not in self._hosts:
            raise _RefusedError(421, "This page answers to the address that augkit paint printed alone.")
        token, slash, path = scope["path"].removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self._token.encode()) or not slash:
            raise _RefusedError(403, "The token is missing or wrong: open the address that augkit paint printed.")
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            raise _RefusedError(403, "Requests of other pages are refused.")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise _RefusedError(403, "Requests of other pages are refused.")
        if scope["method"] not in ("GET", "POST"):
            raise _RefusedError(405, "Allowed: GET and POST.")
        return {**scope, "path": f"/{path}", "raw_path": f"/{path}".encode(), "root_path": ""}

    async def _body(self, scope: Message, receive: Receive) -> bytes:
        length = _single(scope["headers"]).get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            raise _RefusedError(413, f"The body is larger than {MOST_BYTES // 1024**2} MB.")
        try:
            return await asyncio.wait_for(_read(receive), self.body_seconds)
        except TimeoutError:
            raise _RefusedError(408, f"The body was not there after {self.body_seconds:g} s.") from None


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _RefusedError(400, "The connection ended.")
        size += len(message.get("body", b""))
        if size > MOST_BYTES:
            raise _RefusedError(413, f"The body is larger than {MOST_BYTES // 1024**2} MB.")
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _single(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by their names; a doubled one has both values, which no rule allows."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.decode("latin-1").lower()
        found[key] = f"{found[key]}, {value.decode('latin-1')}" if key in found else value.decode("latin-1")
    return found


async def _answer(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
