"""A headless Chromium, driven through the DevTools protocol: for tests and pictures of pages."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --disable-default-apps "
    "--disable-extensions --disable-sync --mute-audio --hide-scrollbars "
    "--remote-debugging-port=0 --remote-allow-origins=*"
).split()
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowDown": 40, "ArrowUp": 38, " ": 32, "/": 191}
TEXTS = {"Enter": "\r", " ": " ", "/": "/"}


def missing() -> str | None:
    """What a browser needs and this machine lacks, or None."""
    try:
        import websocket  # noqa: F401
    except ImportError:
        return "websocket-client is not installed"
    return None if _program() else "no Chromium is installed"


def _program() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Tab:
    """One page of the browser. Calls wait for the answer, at most `seconds`."""

    def __init__(self, socket: Any, seconds: float = 10.0) -> None:
        self.socket, self.seconds, self._number = socket, seconds, 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol; its result. Raises RuntimeError if it is refused."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") != self._number:
                self.events.append(answer)
                continue
            if "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            result: dict[str, Any] = answer["result"]
            return result

    def evaluate(self, code: str) -> Any:
        """The value of an expression of JavaScript; promises are awaited."""
        found = self.send(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{code}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait(self, code: str) -> None:
        """Waits until an expression is true. Raises TimeoutError."""
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            if self.evaluate(f"Boolean({code})"):
                return
            time.sleep(0.02)
        raise TimeoutError(f"{code} did not become true within {self.seconds} s")

    def open(self, address: str) -> None:
        """Loads a page, and waits for it."""
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=address)
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def press(self, key: str, times: int = 1, shift: bool = False) -> None:
        """Presses a key as a person does."""
        code = {"key": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": 8 if shift else 0}
        text = {"text": TEXTS[key]} if key in TEXTS else {}
        for _ in range(times):
            self.send("Input.dispatchKeyEvent", type="keyDown", **code, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", **code)

    def type(self, text: str) -> None:
        """Writes text into what has the focus."""
        self.send("Input.insertText", text=text)

    def size(self, width: int, height: int, dark: bool = False, scale: float = 1) -> None:
        """Sets the window in CSS pixels, and the colour scheme that the reader prefers."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        clip: Mapping[str, Any] = {}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            area = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            clip = {"captureBeyondViewport": True, "clip": area}
        shot = self.send("Page.captureScreenshot", format="png", **clip)
        return base64.b64decode(shot["data"])

    def faults(self) -> list[str]:
        """What the console, the page and the content security policy complained about so far."""
        self.evaluate("1")  # events sent so far are read
        found = []
        for event in self.events:
            part = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(part["exceptionDetails"]))
            elif event.get("method") == "Log.entryAdded" and part["entry"]["level"] == "error":
                found.append(f"{part['entry']['text']} {part['entry'].get('url', '')}")
        return found


@contextmanager
def browser(seconds: float = 20.0) -> Iterator[Callable[[], Tab]]:
    """A Chromium that ends with the block, with all its processes; the call opens a page.

    Raises RuntimeError if it does not start within `seconds`.
    """
    import websocket

    program, sockets = _program(), []
    if program is None:
        raise RuntimeError("no Chromium is installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # its own group, so that all of it can be ended
        )
        try:
            port = _port(Path(folder) / "DevToolsActivePort", process, seconds)

            def tab() -> Tab:
                asked = Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
                with urlopen(asked, timeout=seconds) as answer:
                    address = json.load(answer)["webSocketDebuggerUrl"]
                sockets.append(websocket.create_connection(address, timeout=seconds))
                return Tab(sockets[-1])

            yield tab
        finally:
            for socket in sockets:
                socket.close()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=seconds)


def _port(file: Path, process: subprocess.Popen[bytes], seconds: float) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError, ValueError, IndexError):
            return int(file.read_text().split()[0])
        time.sleep(0.02)
    raise RuntimeError(f"Chromium did not start within {seconds} s (exit code {process.poll()})")
