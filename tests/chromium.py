"""A real Chromium without a window, driven by its own protocol over a pipe: no driver, no network, no other library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60


def found():
    """Return the program, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One browser with one page."""

    def __init__(self, downloads: Path) -> None:
        self._home = TemporaryDirectory(prefix="augkit-chromium-", ignore_cleanup_errors=True)
        to_child, to_browser = os.pipe()
        from_browser, from_child = os.pipe()
        command = [
            found(), "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--disable-gpu",
            "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb",
            f"--user-data-dir={self._home.name}", "about:blank",
        ]  # fmt: skip

        def take_pipes():
            # Far away from the places to fill, so that neither is overwritten.
            reading, writing = os.dup(to_child) + 0, os.dup(from_child) + 0
            high = [os.dup2(reading, 103), os.dup2(writing, 104)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            command, preexec_fn=take_pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_child)
        os.close(from_child)
        self._out, self._in = to_browser, from_browser
        self._buffer, self._number, self._session = b"", 0, None
        self.errors: list[str] = []
        (target,) = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])

    def call(self, method, **parameters):
        """Call a method of the protocol and return its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._hear(answer)

    def _next(self, deadline, method):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"Chromium does not answer {method}"
            more = os.read(self._in, 1 << 16)
            assert more, "Chromium ended"
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def _hear(self, event):
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"]["text"])

    def see(self, code):
        """Return the value of some JavaScript, awaited."""
        answer = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, code, seconds=40):
        """Return the value of some JavaScript as soon as it is true."""
        deadline = time.monotonic() + seconds
        while not (value := self.see(code)):
            assert time.monotonic() < deadline, f"not so after {seconds} s: {code}"
            time.sleep(0.03)
        return value

    def open(self, address):
        """Open an address and wait until it is loaded."""
        self.call("Page.navigate", url=address)
        self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(address)}")

    def resize(self, width, height, touch=False):
        """Show the page in a window of this size; `touch` makes it a phone's."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)

    def prefer(self, scheme):
        """Let the page be ``light`` or ``dark``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def middle(self, selector):
        """Return the place of an element's middle in the window, scrolled into view."""
        code = f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: 'center'}});
            const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; }})()"""
        left, top, width, height = self.see(code)
        return left, top, width, height

    def place(self, selector, x, y):
        """Return the place in the window of a share of an element's width and height."""
        left, top, width, height = self.middle(selector)
        return left + x * width, top + y * height

    def mouse(self, kind, x, y, button="left"):
        """Send an event of the mouse."""
        buttons = 0 if kind == "mouseReleased" else 1
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=buttons, clickCount=1)

    def click(self, selector):
        """Click an element."""
        x, y = self.place(selector, 0.5, 0.5)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def drag(self, selector, *places):
        """Draw a stroke through places, shares of the element's width and height."""
        points = [self.place(selector, *place) for place in places]
        self.mouse("mousePressed", *points[0])
        for point in points[1:]:
            self.mouse("mouseMoved", *point)
        self.mouse("mouseReleased", *points[-1])

    def swipe(self, selector, *places):
        """Draw a stroke with a finger."""
        points = [self.place(selector, *place) for place in places]
        for i, (x, y) in enumerate(points):
            kind = "touchMove" if i else "touchStart"
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, key, times=1, shift=False, control=False):
        """Press and release a key."""
        codes = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowUp": 38, "ArrowDown": 40, "Tab": 9, "Enter": 13, " ": 32}
        facts = {"key": key, "modifiers": 8 * shift + 2 * control, "windowsVirtualKeyCode": codes.get(key, 0)}
        if len(key) == 1 and not control:
            facts["text"] = key
        for _ in range(times):
            self.call("Input.dispatchKeyEvent", type="keyDown" if "text" in facts else "rawKeyDown", **facts)
            self.call("Input.dispatchKeyEvent", type="keyUp", **{k: v for k, v in facts.items() if k != "text"})

    def give_file(self, selector, file):
        """Choose a file in an element."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def screenshot(self, file, whole=False):
        """Write what is seen as PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(file).write_bytes(base64.b64decode(answer["data"]))

    def close(self):
        """End the browser."""
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)
        self._home.cleanup()
