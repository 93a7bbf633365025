"""Three sites on one machine: a job over mutual TLS, and one that waits for a yes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fate_flow.cli import demo, demo_sites
from fate_flow.cli.demo_sites import Member
from fate_flow.client import ApiError, FateFlowClient
from tests.support.service import clean_environment, fate_flow, free_ports, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Member], str]]:
    """The sites of the demo, running, and what the demo printed."""
    folder = tmp_path_factory.mktemp("demo") / "sites"
    http_port, grpc_port = _row_of_ports(), _row_of_ports()
    ports = ("--http-port", str(http_port), "--grpc-port", str(grpc_port))
    home = ("--home", str(folder))
    try:
        done = fate_flow("demo-sites", *home, *ports, "--plain", timeout=1200)
        assert done.returncode == 0, done.stdout + done.stderr
        yield demo_sites.members(folder, http_port, grpc_port), done.stdout
    finally:
        stopped = fate_flow("demo-sites", "--stop", *home)
        assert stopped.returncode == 0, stopped.stderr


def _row_of_ports() -> int:
    """Three free ports that follow each other."""
    for _ in range(100):
        (first,) = free_ports(1)
        if first < 65_000 and not any(_is_taken(first + more) for more in (1, 2)):
            return first
    raise AssertionError("no three free ports in a row")


def _is_taken(port: int) -> bool:
    from fate_flow.cli.processes import can_bind

    return bool(can_bind("127.0.0.1", port))


def _job() -> tuple[Any, Any]:
    folder = demo.example_folder(demo.EXAMPLE)
    return tuple(json.loads((folder / f"{name}.json").read_text()) for name in ("dsl", "conf"))  # type: ignore[return-value]


def _client(member: Member) -> FateFlowClient:
    return FateFlowClient(member.settings.http_url)


def _message(client: FateFlowClient, job_id: str) -> str:
    return str(client.query_jobs(job_id=job_id)[0].get("f_message", ""))


def test_the_job_of_three_sites_learns(sites: tuple[list[Member], str]) -> None:
    members, printed = sites
    assert printed.count("works in both directions") == 2
    assert printed.count("peer add") == 6
    auc = re.search(r"^AUC +([\d.]+)$", printed, re.M)
    assert auc is not None
    assert float(auc[1]) > 0.98
    assert "of 10 iterations" in printed
    assert all(member.settings.GATEWAY_TLS == "auto" for member in members)


def test_data_stays_where_it_is(sites: tuple[list[Member], str]) -> None:
    guest, host, arbiter = sites[0]
    for member, table in ((guest, "breast_guest"), (host, "breast_host"), (arbiter, None)):
        lying = {path.name for path in (member.settings.tables_dir / demo.NAMESPACE).glob("*")}
        assert lying == ({table} if table else set()), member.name
    (job,) = {str(row["f_job_id"]) for row in _client(arbiter).query_jobs(role="arbiter")}
    models = {path.name.split("#")[0] for path in host.settings.models_dir.glob("*#*")}
    assert "host" in models
    assert not models & {"guest", "arbiter"}
    assert _client(host).job_state(job).status.value == "success"


def test_a_job_waits_for_a_yes_and_may_be_refused(sites: tuple[list[Member], str]) -> None:
    guest, host, _ = sites[0]
    host.run("peer", "policy", "bank-a", "--approval", "ask")
    client = _client(guest)
    job = client.submit_job(*_job()).job_id

    def waiting() -> list[Any]:
        found: list[Any] = json.loads(host.run("job", "approvals", "--json"))
        return found

    (asked,) = wait_for(waiting, 60, "the job is shown to the host")
    assert asked["job_id"] == job
    assert asked["tables"] == [f"{demo.NAMESPACE}/breast_host"]
    assert client.job_state(job).status.value == "waiting"
    wait_for(lambda: "bank-b" in _message(client, job), 30, "the guest sees whom the job waits for")
    host.run("job", "refuse", job, "--reason", "no contract yet")
    wait_for(lambda: client.job_state(job).status.is_terminal, 60, "the guest hears of it")
    assert "no contract yet" in str(client.query_jobs(job_id=job)[0].get("f_reason"))
    second = client.submit_job(*_job()).job_id
    wait_for(waiting, 60, "the second job is shown")
    host.run("job", "approve", second)
    wait_for(lambda: client.job_state(second).status.is_terminal, 300, "the second job ends")
    assert client.job_state(second).status.value == "success"
    host.run("peer", "policy", "bank-a", "--tables", "other/*")
    with pytest.raises(ApiError, match=r"site bank-b: table .*breast_host"):
        client.submit_job(*_job())


def test_a_second_demo_finds_the_sites_running(sites: tuple[list[Member], str]) -> None:
    guest, host, _ = sites[0]
    host.run("peer", "policy", "bank-a", "--tables", "*", "--approval", "auto")
    assert clean_environment().get("FATE_FLOW_HOME") is None
    ports = ("--http-port", str(guest.http_port), "--grpc-port", str(guest.grpc_port))
    done = fate_flow("demo-sites", "--home", str(guest.home.parent), *ports, "--plain", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("there already") == 3
    assert "peer add" not in done.stdout


def test_homes_are_apart(sites: tuple[list[Member], str]) -> None:
    homes: list[Path] = [member.home for member in sites[0]]
    secrets = {(home / "conf" / "site_secret").read_text() for home in homes}
    authorities = {(home / "conf" / "identity" / "ca.pem").read_text() for home in homes}
    assert len(secrets) == len(authorities) == 3
