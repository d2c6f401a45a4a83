"""A headless Chromium driven over its debugging pipe: real mouse events on a page that lies in a file."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
]


class Browser:
    """One page; ``errors`` has what went wrong on it, ``requests`` all that it asked for."""

    def __init__(self, folder, width=1400, height=1300):
        self.folder, self.errors, self.requests = Path(folder), [], []
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()

        def pipes():  # Chromium reads from descriptor 3 and writes to 4
            a, b = os.dup(to_read), os.dup(to_write)
            os.dup2(a, 3)
            os.dup2(b, 4)

        profile = f"--user-data-dir={self.folder / 'profile'}"
        command = [CHROMIUM, *_FLAGS, profile, f"--window-size={width},{height}", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, preexec_fn=pipes, close_fds=False, **quiet)
        os.close(to_read)
        os.close(to_write)
        self._buffer, self._number, self._session = b"", 0, None
        target = self._page()
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def _page(self):
        for _ in range(100):
            pages = [t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page"]
            if pages:
                return pages[0]["targetId"]
            time.sleep(0.1)
        raise TimeoutError("Chromium has no page")

    def send(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._receive()
            if found.get("id") == self._number:
                assert "error" not in found, found["error"]
                return found["result"]
            self._note(found)

    def _receive(self, limit=60):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], limit)
            if not ready:
                raise TimeoutError("Chromium does not answer")
            self._buffer += os.read(self._read, 1 << 16)
        line, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(line)

    def _note(self, event):
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def open(self, path):
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.folder))
        self.send("Page.navigate", url=Path(path).resolve().as_uri())
        self.until("document.body && document.body.dataset.ready === 'true'")
        self.settle()

    def run(self, expression):
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression, limit=30):
        end = time.monotonic() + limit
        while not self.run(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression}: {self.errors}")
            time.sleep(0.05)

    def settle(self):
        """Until two frames were drawn after what was asked for."""
        frames = "requestAnimationFrame(() => requestAnimationFrame(() => done(1)))"
        self.run(f"new Promise(done => setTimeout(() => {frames}, 60))")

    def box(self, selector):
        return self.run(
            f"(() => {{ const b = document.querySelector({selector!r}).getBoundingClientRect();"
            " return {x: b.x, y: b.y, width: b.width, height: b.height}; })()"
        )

    def mouse(self, kind, x, y, buttons=1, **extra):
        button = "none" if kind == "mouseMoved" and not buttons else "left"
        event = {"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1, **extra}
        self.send("Input.dispatchMouseEvent", **event)

    def drag(self, points, shift=False):
        extra = {"modifiers": 8 if shift else 0}
        self.mouse("mouseMoved", *points[0], buttons=0, **extra)
        self.mouse("mousePressed", *points[0], **extra)
        for point in points[1:]:
            self.mouse("mouseMoved", *point, **extra)
        self.mouse("mouseReleased", *points[-1], buttons=0, **extra)
        self.settle()

    def click(self, x, y):
        self.drag([(x, y)])

    def click_on(self, selector):
        self.run(f"document.querySelector({selector!r}).scrollIntoView({{block: 'nearest'}})")
        box = self.box(selector)
        self.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def screenshot(self, path):
        found = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def close(self):
        try:
            self.send("Browser.close")
        except (OSError, TimeoutError, AssertionError):
            self._process.terminate()
        self._process.wait(20)
        os.close(self._read)
        os.close(self._write)
