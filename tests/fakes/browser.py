"""A browser that a test drives as a person would, with keys: Debian's chromium, over the pipe of its own protocol."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE = 60.0  # seconds
CODES = {"ArrowLeft": 37, "ArrowRight": 39, "Backspace": 8, "Enter": 13}


class Browser:
    """One page in a browser without a window."""

    def __init__(self, folder: Path, width: int = 1100, height: int = 900):
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        words = [
            BROWSER,
            *options,
            f"--window-size={width},{height}",
            f"--user-data-dir={folder}",
            "--remote-debugging-pipe",
            "about:blank",
        ]
        command = ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash", *words]
        self._process = subprocess.Popen(command, pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read), os.close(to_write)
        self._numbers, self._unread, self._session = itertools.count(1), b"", None
        target = next(one for one in self._call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        os.close(self._read), os.close(self._write)

    def open(self, address: str) -> None:
        """Go to a page."""
        self._call("Page.navigate", url=address)

    def run(self, script: str) -> object:
        """The value of an expression in the page, awaited."""
        said = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def wait(self, script: str) -> object:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + PATIENCE
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"never true: {script}; the page says: {self.run('document.body.innerText')}"
            time.sleep(0.02)
        return value

    def press(self, key: str) -> None:
        """Press and release a key."""
        about = {
            "key": key,
            "windowsVirtualKeyCode": CODES.get(key, ord(key[0].upper())),
            "code": key if key in CODES else f"Key{key.upper()}",
        }
        text = {"text": key} if len(key) == 1 else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", **about, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", **about)

    def resize(self, width: int, height: int) -> None:
        """Give the page another size, in CSS pixels."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)

    def picture(self, path: Path) -> None:
        """Keep what is seen as PNG."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _call(self, method: str, **parameters: object) -> dict:
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        os.write(self._write, json.dumps({"id": number, "method": method, "params": parameters, **session}).encode() + b"\0")
        while True:
            message = json.loads(self._message())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def _message(self) -> bytes:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._read], [], [], PATIENCE)
            assert ready, "the browser does not answer"
            part = os.read(self._read, 2**20)
            assert part, "the browser has ended"
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        return message
