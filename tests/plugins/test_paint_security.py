"""Attacks on the page of ``augkit paint``: what another page, another user or a careless program could try."""

import http.client
import json
import socket
import struct
import time
import zlib

import numpy as np
import pytest

from augkit.images import encode_png
from augkit_paint.gate import MOST_BYTES

MASK = bytes([0] * 16 * 32 + [1] * 16 * 32)


class Client:
    """Speaks HTTP as it likes."""

    def __init__(self, served):
        self.port = served.place.port
        self.token = served.place.token

    def ask(self, method="GET", path="state", body=None, token=None, **headers):
        """Return status, headers and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        prefix = self.token if token is None else token
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/{prefix}/{path}" if prefix else f"/{path}", body, names)
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def paint(self, numbers="0", body=MASK, **headers):
        """Ask for images."""
        return self.ask("POST", f"paint?generator=0&numbers={numbers}", body, **headers)


@pytest.fixture
def client(served):
    return Client(served)


def test_the_page_and_its_images_are_there_for_who_has_the_address(client):
    status, headers, body = client.ask(path="")
    assert status == 200
    assert b"augkit paint" in body
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    status, headers, body = client.paint()
    assert (status, headers["content-type"], body[:4]) == (200, "image/png", b"\x89PNG")
    assert client.ask(Host=f"localhost:{client.port}")[0] == 200


def test_1_without_the_token_nothing_is_told(client):
    for path in ("", "state", "paint.js", "paint?generator=0&numbers=0"):
        status, _, body = client.ask(path=path, token="")
        assert status == 403
        assert json.loads(body)["error"].startswith("The token is missing or wrong")


def test_2_a_wrong_token_is_as_good_as_none(client):
    for token in ("x", client.token[:-1], client.token + "x", client.token.upper(), "..", "%00"):
        assert client.ask(token=token)[0] == 403


def test_3_a_foreign_name_that_leads_here_is_refused(client):
    for host in ("evil.example", f"evil.example:{client.port}", "127.0.0.1", f"127.0.0.1:{client.port}.evil.example"):
        status, _, body = client.ask(Host=host)
        assert status == 421
        assert b"address that augkit paint printed" in body


def test_4_another_page_cannot_post(client):
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{client.port}", "http://127.0.0.1:1"):
        status, headers, body = client.paint(Origin=origin)
        assert (status, json.loads(body)) == (403, {"error": "Requests of other pages are refused."})
        assert not [name for name in headers if name.lower().startswith("access-control")]
    assert client.paint(Sec_Fetch_Site="cross-site")[0] == 403
    assert client.paint(Origin=f"http://127.0.0.1:{client.port}", Sec_Fetch_Site="same-origin")[0] == 200


def test_5_no_other_origin_is_ever_allowed_by_a_preflight(client):
    status, headers, _ = client.ask("OPTIONS", Origin="http://evil.example", Access_Control_Request_Method="POST")
    assert status == 403
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert client.ask("PUT")[0] == 405
    assert client.ask("DELETE")[0] == 405


def test_6_a_path_in_a_name_leads_nowhere(client, served, tmp_path):
    for path in ("../gate.py", "..%2fgate.py", "static/paint.js", "/etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "gate.py"):
        assert client.ask(path=path)[0] in (403, 404), path
    status, _, _ = client.ask("POST", "append?generator=0&number=0&file=../../evil.png&page=../x", MASK)
    assert status == 400
    assert client.ask("POST", "append?generator=0&number=0&file=../../evil.png", MASK)[0] == 200
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["0001.png", "0001.png"]
    assert all(path.is_relative_to(tmp_path / "drawings") for path in tmp_path.rglob("*.png"))


def test_7_an_oversized_body_is_refused_before_it_is_read(client):
    status, _, body = client.ask("POST", "load?as=mask", b"x", Content_Length=str(MOST_BYTES + 1))
    assert (status, json.loads(body)["error"]) == (413, "The body is larger than 8 MB.")


def test_8_an_oversized_body_without_a_length_is_cut_off(client):
    place = socket.create_connection(("127.0.0.1", client.port), timeout=30)
    head = f"POST /{client.token}/load?as=mask HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n"
    place.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
    answer = b""
    try:
        for _ in range(20):
            place.sendall(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
        answer = place.recv(1000)
    except (BrokenPipeError, ConnectionResetError):
        answer = answer or b"cut off"
    place.close()
    assert b"413" in answer or answer == b"cut off"
    assert client.ask()[0] == 200


def png(width, height, rows):
    """A PNG of grey pixels whose pixels are whatever was compressed."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_9_a_decompression_bomb_is_refused_by_its_header(client):
    bomb = png(60_000, 60_000, zlib.compress(bytes(1 << 20)))
    for kind in ("mask", "picture"):
        began = time.monotonic()
        status, _, body = client.ask("POST", f"load?as={kind}", bomb)
        assert status == 400
        assert json.loads(body)["error"].startswith(f"the {kind}: has 60000 x 60000 pixels; allowed: ")
        assert time.monotonic() - began < 20
    assert client.ask("POST", "load?as=mask", png(5000, 4000, b""))[0] == 400


def test_10_ten_thousand_strokes_in_a_queue_are_one_picture(served):
    one = served.studio.generator(0)
    mask = served.studio.mask_of(MASK)
    one.worker.submit("opening", lambda: served.studio.paint(one, mask, [0])).result(60)
    painted = []

    def work(number):
        painted.append(number)
        return served.studio.paint(one, mask, [number])

    one.worker.submit("slow", lambda: time.sleep(0.5))
    futures = [one.worker.submit("page", lambda number=number: work(number)) for number in range(10_000)]
    last = futures[-1].result(30)
    assert last.images.shape == (1, 32, 32, 3)
    assert 9_999 in painted
    assert len(painted) < 100
    answered = [future for future in futures if future.done()]
    assert len(answered) == 10_000
    assert sum(future.exception() is not None for future in futures) == 10_000 - len(painted)


def test_11_a_slow_client_hurts_nobody_and_is_sent_away(client):
    slow = [socket.create_connection(("127.0.0.1", client.port), timeout=30) for _ in range(50)]
    for i, place in enumerate(slow):
        head = f"POST /{client.token}/paint?generator=0&numbers=0 HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n"
        place.sendall(head.encode() + (b"Content-Length: 1024\r\n\r\n\x00" if i % 2 else b""))
    began = time.monotonic()
    assert client.paint()[0] == 200
    assert time.monotonic() - began < 20
    assert b" 408 " in slow[1].recv(200)
    for place in slow:
        place.close()


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("paint?generator=9&numbers=0", MASK, "generator: found 9; allowed: 0 to 1"),
        ("paint?generator=-1&numbers=0", MASK, "generator: found '-1'; allowed: a whole number from 0"),
        ("paint?generator=0&numbers=1,x", MASK, "numbers: found '1,x'; allowed: one to 8 whole numbers from 0"),
        ("paint?generator=0&numbers=" + ",".join("0" * 9), MASK, "allowed: one to 8 whole numbers"),
        ("paint?generator=0&numbers=99999999999999999999", MASK, "allowed: one to 8 whole numbers"),
        (
            "paint?generator=0&numbers=0",
            MASK[:-1],
            "mask: found 1023 bytes; allowed: 1024, a label for each of 32",
        ),
        ("paint?generator=0&numbers=0", MASK[:-1] + b"\x02", "mask: found the label 2; allowed: 0, 1"),
        ("paint?generator=0&numbers=0&page=<script>", MASK, "page: found '<script>'; allowed: up to 32 letters"),
        ("load?as=mask", b"GIF89a", "the mask: "),
        ("load?as=mask", encode_png(np.arange(1024, dtype=np.uint16).reshape(32, 32)), "the mask: holds 1024 levels"),
        ("load?as=picture", b"<svg onload=alert(1)>", "the picture: is no image that can be read"),
        ("load?as=picture", b"", "the picture: is empty (0 bytes)"),
    ],
)
def test_12_nonsense_is_answered_by_a_sentence_and_nothing_breaks(client, path, body, said):
    status, headers, answer = client.ask("POST", path, body)
    assert status == 400
    assert said in json.loads(answer)["error"]
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"


def test_it_listens_on_this_machine_alone(served):
    assert served.place.socket.getsockname()[0] == "127.0.0.1"
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in others:
        if not address.startswith("127."):
            with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
                socket.create_connection((address, served.place.port), timeout=1)
