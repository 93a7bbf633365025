"""The service command against the real processes of a site."""

from __future__ import annotations

import json
import urllib.request

import pytest

from tests.support.service import RunningSite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def _get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status, answer.read().decode()


def test_all_processes_are_healthy(running_site: RunningSite) -> None:
    done = running_site.run("service", "status", "--json")
    report = json.loads(done.stdout)
    names = {process["name"] for process in report["processes"]}
    assert done.returncode == 0
    assert report["healthy"] is True
    assert names == {"supervisor", "gateway", "api-server", "scheduler"}
    assert all(process["memory"] > 0 for process in report["processes"])
    assert next(p for p in report["processes"] if p["name"] == "gateway")["port"] == (
        running_site.grpc_port
    )


def test_status_for_people_names_each_process(running_site: RunningSite) -> None:
    done = running_site.run("service", "status")
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()[1:]} == {
        "supervisor",
        "gateway",
        "api-server",
        "scheduler",
    }
    assert all(line.endswith("ok") for line in done.stdout.splitlines()[1:])


def test_ui_api_and_plugin_answer_on_one_port(running_site: RunningSite) -> None:
    assert json.loads(_get(f"{running_site.url}/v1/internal/health")[1])["ready"] is True
    assert _get(f"{running_site.url}/")[0] == 200
    health = json.loads(_get(f"{running_site.url}/api/v2/monitor/health")[1])
    assert health["scheduler"]["status"] == "healthy"
    assert health["metadatabase"]["status"] == "healthy"


def test_a_second_start_finds_the_site_running(running_site: RunningSite) -> None:
    before = running_site.service("scheduler")["pid"]
    assert "running already" in running_site.start()
    assert running_site.service("scheduler")["pid"] == before


def test_another_site_on_the_same_ports_is_refused_by_name(
    running_site: RunningSite, tmp_path: object
) -> None:
    other = RunningSite.make(running_site.home.parent / "other")
    settings = other.home / "fate_flow.yaml"
    text = settings.read_text().replace(str(other.http_port), str(running_site.http_port))
    settings.write_text(text.replace(str(other.grpc_port), str(running_site.grpc_port)))
    done = other.run("service", "start")
    assert done.returncode == 1
    assert f"HTTP_PORT {running_site.http_port}" in done.stderr
    assert f"GRPC_PORT {running_site.grpc_port}" in done.stderr
    assert f"pid {running_site.service('gateway')['pid']}" in done.stderr
    assert other.processes() == []


def test_check_knows_that_the_site_runs(running_site: RunningSite) -> None:
    done = running_site.run("check")
    assert done.returncode == 0, done.stdout
    assert "the site is running" in done.stdout


def test_demo_trains_a_model(running_site: RunningSite) -> None:
    done = running_site.run("demo", "--plain", timeout=840)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = dict(
        line.split(maxsplit=1) for line in done.stdout.splitlines() if len(line.split()) > 1
    )
    assert float(lines["AUC"]) == pytest.approx(0.988, abs=0.005)
    assert float(lines["KS"]) == pytest.approx(0.893, abs=0.02)
    losses = [float(text) for text in lines["loss"].split(" (")[0].split(", ")]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(0.319, abs=0.002)
    assert "arbiter-10000#guest-9999#host-10000#model" in done.stdout
