"""Reports of a task: in order, each once, through restarts of the site's API server."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from fate_flow.entities import Party
from fate_flow.errors import FateFlowError
from fate_flow.runtime import reporting
from fate_flow.runtime.reporting import JobOverError, Reporter, SiteClient, SiteUnreachableError

Answer = tuple[int, Any]
OK: Answer = (200, {"retcode": 0, "retmsg": "success"})


class Site:
    """An API server that stores reports as the real one does, and answers as it is told.

    Attributes:
        script: answers of the next requests; then every request is stored.
        lose: numbers of requests (from 0) whose answer is lost after they were stored.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self.script: list[Answer] = []
        self.lose: set[int] = set()
        self.last = -1
        self._requests = 0
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(
                    self.rfile.read(int(self.headers["Content-Length"])),
                    parse_constant=lambda name: pytest.fail(f"{name} is not JSON"),
                )
                site.tokens.add(self.headers["Authorization"])
                status, answer = site.take(body)
                if status == 0:
                    self.connection.close()
                    return
                data = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, body: dict[str, Any]) -> Answer:
        number, self._requests = self._requests, self._requests + 1
        if self.script:
            return self.script.pop(0)
        self.bodies.append(body)
        if body["number"] > self.last:
            self.last = body["number"]
            self.events += body["events"]
        return (0, None) if number in self.lose else OK

    def client(self, give_up: float = 20.0) -> SiteClient:
        return SiteClient(f"http://127.0.0.1:{self.port}", "the-token", give_up)

    def points(self) -> list[Any]:
        return [p for e in self.events if e["kind"] == "metrics" for p in e["points"]]


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "BATCH_SECONDS", 0.02)


def reporter_of(site: Site, *, give_up: float = 20.0, try_number: int = 1) -> Reporter:
    return Reporter(site.client(give_up), Party("guest", 9999), try_number)


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_everything_arrives_in_order_with_the_token(site: Site) -> None:
    reporter = reporter_of(site)
    reporter.start()
    reporter.status("running", attempt=3)
    for number in range(50):
        reporter.metrics("train", "loss", [(number, number / 10)], {"metric_type": "LOSS"})
        reporter.progress(number / 50, f"iteration {number}")
    reporter.data_view(table_name="t", table_count_actual=np.int64(7))
    reporter.status("success", attempt=3)
    reporter.close()
    assert site.points() == [[number, number / 10] for number in range(50)]
    statuses = [(e["status"], e["attempt"]) for e in site.events if e["kind"] == "status"]
    assert statuses == [("running", 3), ("success", 3)]
    assert site.events[-1]["kind"] == "progress" or site.events[-1]["kind"] == "status"
    assert {"table_name": "t", "table_count_actual": 7} in [e.get("columns") for e in site.events]
    assert site.tokens == {"Bearer the-token"}
    numbers = [body["number"] for body in site.bodies]
    assert numbers == sorted(set(numbers))


def test_metrics_are_sent_while_the_task_works(site: Site) -> None:
    reporter = reporter_of(site)
    reporter.start()
    reporter.metrics("train", "loss", [(0, 0.69)])
    _until(lambda: site.points() == [[0, 0.69]])
    reporter.waiting_for("waiting for host 10000")
    _until(lambda: any(e.get("waiting_for") == "waiting for host 10000" for e in site.events))
    reporter.waiting_for(None)
    _until(lambda: site.events[-1].get("waiting_for") == "")
    reporter.close()


def test_status_returns_when_it_is_stored(site: Site) -> None:
    reporter = reporter_of(site)
    reporter.metrics("train", "loss", [(0, 1.0)])
    reporter.status("success")
    assert [e["kind"] for e in site.events] == ["metrics", "status"]
    reporter.close()


def test_a_server_that_is_away_for_seconds_loses_nothing(site: Site) -> None:
    reporter = reporter_of(site)
    reporter.start()
    reporter.metrics("train", "loss", [(0, 0.0)])
    _until(lambda: len(site.points()) == 1)
    site.stop()
    for number in range(1, 20):
        reporter.metrics("train", "loss", [(number, 0.0)])
    threading.Timer(1.5, site.start).start()
    reporter.status("success")
    assert [point[0] for point in site.points()] == list(range(20))
    reporter.close()


def test_an_error_of_the_server_is_tried_again(site: Site) -> None:
    site.script = [(500, {"retcode": 500}), (503, b"busy"), (502, b"")]
    reporter = reporter_of(site)
    reporter.metrics("train", "loss", [(0, 0.0)])
    reporter.flush()
    assert len(site.points()) == 1
    reporter.close()


def test_a_batch_whose_answer_was_lost_is_stored_once(site: Site) -> None:
    site.lose = {0, 2}
    reporter = reporter_of(site)
    for number in range(4):
        reporter.metrics("train", "loss", [(number, 0.0)])
        reporter.flush()
    assert [point[0] for point in site.points()] == [0, 1, 2, 3]
    assert len(site.bodies) == 6
    reporter.close()


def test_a_batch_that_was_given_up_keeps_its_number(site: Site) -> None:
    """It may have been stored although no answer came: with a new number it would be twice."""
    site.lose = {0}
    reporter = reporter_of(site, give_up=0.01)
    reporter.metrics("train", "loss", [(0, 0.0)])
    with pytest.raises(SiteUnreachableError):
        reporter.flush()
    reporter.metrics("train", "loss", [(1, 0.0)])
    reporter.flush()
    assert [point[0] for point in site.points()] == [0, 1]
    reporter.close()


def test_a_site_that_stays_away_is_given_up_with_a_reason(site: Site) -> None:
    site.stop()
    reporter = reporter_of(site, give_up=0.3)
    began = time.monotonic()
    with pytest.raises(SiteUnreachableError, match=r"does not answer \(ConnectionError\)") as error:
        reporter.status("running")
    assert time.monotonic() - began < 5
    assert "service status" in str(error.value)
    reporter.close()


def test_a_job_that_is_over(site: Site) -> None:
    site.script = [(200, {"retcode": 100, "retmsg": "job is over: failed"})] * 100
    reporter = reporter_of(site)
    with pytest.raises(JobOverError, match="job is over: failed"):
        reporter.status("running")
    reporter.start()
    _until(lambda: isinstance(reporter.broken, JobOverError))
    reporter.close()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((200, {"retcode": 100, "retmsg": "the token has expired"}), "the token has expired"),
        ((403, {"retcode": 100, "retmsg": "not yours"}), "not yours"),
        ((404, b"<html>"), "HTTP 404, not JSON"),
        ((200, {}), "refused"),
    ],
)
def test_a_refusal_is_an_error_with_the_sites_text(site: Site, answer: Answer, text: str) -> None:
    site.script = [answer]
    with pytest.raises(FateFlowError, match=text):
        site.client().post("/report", {"number": 1, "events": []})


def test_numbers_that_json_has_not_are_sent_by_name(site: Site) -> None:
    reporter = reporter_of(site)
    values = [float("nan"), math.inf, -math.inf, np.float64("nan"), np.float32(0.5)]
    reporter.metrics("train", "loss", list(enumerate(values)), {"best": float("nan")})
    reporter.data_view(table_count_actual=np.array([1.0, np.nan]))
    reporter.progress(float("nan"), "dividing by zero")
    reporter.flush()
    names = ["NaN", "Infinity", "-Infinity", "NaN", 0.5]
    assert [value for _, value in site.points()] == names
    assert site.events[0]["meta"] == {"best": "NaN"}
    assert site.events[-1] == {"kind": "progress", "message": "dividing by zero"}
    reporter.close()


def test_arrays_and_nested_values_are_plain(site: Site) -> None:
    reporter = reporter_of(site)
    reporter.metrics("n", "m", [(np.int64(1), {"a": np.arange(2), "b": (np.float64(1.5),)})])
    reporter.flush()
    assert site.points() == [[1, {"a": [0, 1], "b": [1.5]}]]
    reporter.close()


def test_what_cannot_be_json_is_refused_at_once(site: Site) -> None:
    with pytest.raises((FateFlowError, TypeError)):
        site.client().post("/report", {"number": 1, "events": [float("nan")]})


def test_many_points_go_in_several_batches(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "MAX_EVENTS", 10)
    reporter = reporter_of(site)
    for number in range(35):
        reporter.metrics("n", "m", [(number, 0)])
    reporter.flush()
    assert [len(body["events"]) for body in site.bodies] == [10, 10, 10, 5]
    assert [point[0] for point in site.points()] == list(range(35))
    reporter.close()


def test_a_later_try_has_higher_numbers(site: Site) -> None:
    for try_number in (1, 2, 3):
        reporter = reporter_of(site, try_number=try_number)
        reporter.status("running")
        reporter.close()
    numbers = [body["number"] for body in site.bodies]
    assert numbers == sorted(numbers)
    assert len({number // 1_000_000_000 for number in numbers}) == 3


def test_a_proxy_of_the_machine_is_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    site.client().post("/report", {"number": 1, "events": []})


@pytest.mark.parametrize(
    ("status", "expected"), [("success", True), ("running", False), ("", False)]
)
def test_what_an_earlier_process_reported(site: Site, status: str, expected: bool) -> None:
    site.script = [(200, {"retcode": 0, "data": {"status": status}})]
    assert reporter_of(site).has_succeeded() is expected
