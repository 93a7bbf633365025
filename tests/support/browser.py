"""A headless Chromium, driven through chromedriver's HTTP protocol (W3C WebDriver)."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from fastapi import FastAPI

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Browser:
    """One window.

    Args:
        folder: an empty folder for the browser's profile.
    """

    def __init__(self, folder: Path) -> None:
        chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
        driver = shutil.which("chromedriver")
        if chromium is None or driver is None:
            pytest.skip("needs Chromium and chromedriver")
        self._http = requests.Session()
        self._http.trust_env = False
        self._process = subprocess.Popen(
            [driver, f"--port={(port := free_port())}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._base = f"http://127.0.0.1:{port}"
        options = {"binary": chromium, "args": [*FLAGS, f"--user-data-dir={folder}"]}
        wanted = {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": options,
        }
        session = self._start({"capabilities": {"alwaysMatch": wanted}})
        self._base += f"/session/{session['sessionId']}"

    def _start(self, body: Any) -> Any:
        end = time.monotonic() + 60
        while True:
            try:
                return self._call("post", "/session", body)
            except requests.ConnectionError:
                assert time.monotonic() < end, "chromedriver does not start"
                time.sleep(0.1)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, self._base + path, json=body, timeout=60)
        value = answer.json()["value"]
        assert answer.ok, value
        return value

    def open(self, url: str) -> None:
        self._call("post", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a script returns."""
        return self._call("post", "/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, script: str, *arguments: Any, seconds: float = 20.0) -> Any:
        """Run a script until it returns something true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script, *arguments)):
            text = self.run("return document.body.innerText.slice(0, 1500)")
            assert time.monotonic() < end, f"not in {seconds} s: {script}\nthe page says:\n{text}"
            time.sleep(0.05)
        return value

    def key(self, name: str) -> None:
        """Press and release one key (``Tab``, ``Enter``, ``ArrowRight``)."""
        code = {"Tab": "\ue004", "Enter": "\ue007", "ArrowRight": "\ue014"}[name]
        strokes = [{"type": kind, "value": code} for kind in ("keyDown", "keyUp")]
        self._call(
            "post", "/actions", {"actions": [{"type": "key", "id": "k", "actions": strokes}]}
        )

    def resize(self, width: int, height: int = 900) -> None:
        self._call("post", "/window/rect", {"width": width, "height": height})

    def complaints(self) -> list[str]:
        """Errors of the console since the last call: failed scripts, violated policies."""
        entries = self._call("post", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def close(self) -> None:
        try:
            self._call("delete", "")
        except (requests.RequestException, AssertionError):
            pass
        finally:
            self._process.terminate()
            self._process.wait(10)


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """A server of the app in a thread of this process; its address."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=free_port(), log_level="warning", lifespan="off"
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{config.port}"
    finally:
        running.should_exit = running.force_exit = True
        thread.join()
