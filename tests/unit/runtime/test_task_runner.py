"""The frame around a task: attempts, and which error leads to what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fate_flow.data.table import Table
from fate_flow.entities import Party, Placement
from fate_flow.errors import (
    AttemptSupersededError,
    DataError,
    FederationTimeoutError,
    GatewayUnreachableError,
    PeerFailedError,
    ProtocolError,
)
from fate_flow.federation.failures import JobCanceledError, TaskReplacedError
from fate_flow.federation.identity import SiteIdentity
from fate_flow.runtime import registry, task_runner
from fate_flow.runtime.component import TaskOutput
from fate_flow.runtime.inputs import output_address
from fate_flow.runtime.registry import ModuleSpec
from fate_flow.runtime.reporting import JobOverError, SiteUnreachableError
from fate_flow.runtime.task_runner import TaskFailedError, work_folder
from tests.support.site import Site
from tests.unit.runtime.scripted import GUEST, HOST, JOB, Scripted, Session, World, scripted_world


@pytest.fixture
def world(site: Site, monkeypatch: pytest.MonkeyPatch) -> World:
    return scripted_world(site, monkeypatch)


def _raise(error: BaseException) -> Callable[[Scripted], Any]:
    def act(_: Scripted) -> None:
        raise error

    return act


def _nothing(_: Scripted) -> None:
    return None


def _left(world: World) -> list[Path]:
    folder = work_folder(world.site.settings)
    return list(folder.iterdir()) if folder.exists() else []


def test_a_task_that_succeeds(world: World) -> None:
    world.execute(_nothing)
    assert world.reporter.words == ["running", "success"]
    assert world.session is not None
    assert world.session.closed
    assert world.reporter.closed
    assert Scripted.seen[0][0] == 0
    assert _left(world) == []


def test_peers_that_restart_lead_to_a_new_attempt_in_this_process(world: World) -> None:
    world.joins = [0, 1, 4]
    superseded = AttemptSupersededError("host 10000 was started again")
    world.finishes = [superseded, None]
    world.execute(_raise(superseded), _nothing, _nothing)
    assert [(e["status"], e["attempt"]) for e in world.reporter.statuses] == [
        ("running", 0),
        ("running", 1),
        ("running", 4),
        ("success", 4),
    ]
    assert [attempt for attempt, _ in Scripted.seen] == [0, 1, 4]
    assert len({folder for _, folder in Scripted.seen}) == 3, "each attempt begins empty"
    assert _left(world) == []


def test_a_component_that_was_complete_is_not_computed_again(world: World) -> None:
    world.complete = True
    world.execute()
    assert world.reporter.words == ["success"]
    assert Scripted.seen == []


def test_a_task_whose_success_airflow_has_not_heard_of_does_not_wait_for_peers(
    world: World,
) -> None:
    """Its worker was killed after the task had reported: the peers have gone, their work done."""
    world.reporter.succeeded = True
    world.execute(try_number=2)
    assert world.reporter.words == []
    assert Scripted.seen == []
    assert world.session is not None
    assert world.session.closed
    world.reporter.succeeded = False
    world.execute(_nothing, try_number=2)
    assert world.reporter.words == ["running", "success"]


def test_a_later_try_of_a_job_that_is_over(world: World) -> None:
    world.reporter.raises = [JobOverError("job is over: failed")]
    with pytest.raises(TaskFailedError, match="job is over"):
        world.execute(try_number=2)
    assert world.reporter.words == []


def test_endless_restarts_are_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_runner, "MAX_ATTEMPTS", 3)
    superseded = AttemptSupersededError("again")
    with pytest.raises(TaskFailedError, match="given up after 3 attempts"):
        world.execute(*[_raise(superseded)] * 3)
    assert world.reporter.statuses[-1]["final"] is True


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataError("no label column"), r"script_0 \(Scripted\) at guest 9999: no label column"),
        (ValueError("no such number"), r"at guest 9999: ValueError: no such number"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (MemoryError(), "MemoryError"),
        (ProtocolError("host sent 3 columns"), "host sent 3 columns"),
        (FederationTimeoutError("waited 3600 s for host 10000"), "waited 3600 s for host 10000"),
    ],
)
def test_a_component_that_raises_fails_the_job_and_tells_its_peers(
    world: World, error: BaseException, text: str
) -> None:
    with pytest.raises(TaskFailedError, match=text):
        world.execute(_raise(error))
    (failure,) = [e for e in world.reporter.statuses if e["status"] == "failed"]
    assert failure["final"] is True
    assert failure["error"].startswith("script_0 (Scripted) at guest 9999: ")
    assert world.session is not None
    assert world.session.told == [failure["error"]]
    assert world.session.closed
    assert _left(world) == []


def test_the_site_is_told_before_the_peers(world: World) -> None:
    order: list[str] = []
    world.reporter.status = lambda status, **_: order.append(status)  # type: ignore[method-assign]
    original = Session.finish

    def finish(self: Session, error: str | None = None) -> None:
        order.append("peers" if error else "finish")
        original(self, error)

    pytest.MonkeyPatch().setattr(Session, "finish", finish)
    try:
        with pytest.raises(TaskFailedError):
            world.execute(_raise(DataError("x")))
    finally:
        Session.finish = original  # type: ignore[method-assign]
    assert order == ["running", "failed", "peers"]


def test_results_that_cannot_be_stored_are_a_reason_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(task_runner._AttemptLoop, "_store", full)
    with pytest.raises(TaskFailedError, match="No space left on device"):
        world.execute(_nothing)
    assert world.reporter.statuses[-1]["final"] is True
    assert world.session is not None
    assert world.session.told


@pytest.mark.parametrize(
    "error",
    [FederationTimeoutError("host 10000 did not join"), ProtocolError("others name other parties")],
)
def test_a_barrier_that_fails_is_a_reason_too(world: World, error: Exception) -> None:
    world.joins = [error]
    with pytest.raises(TaskFailedError, match=str(error)):
        world.execute()
    assert world.reporter.statuses == [
        {
            "status": "failed",
            "attempt": 0,
            "error": f"script_0 (Scripted) at guest 9999: {error}",
            "final": True,
        }
    ]


def test_a_peers_failure_is_passed_on_as_it_is(world: World) -> None:
    error = PeerFailedError("script_0 (Scripted) at host 10000: no rows")
    with pytest.raises(TaskFailedError, match="at host 10000: no rows"):
        world.execute(_raise(error))
    failure = world.reporter.statuses[-1]
    assert (failure["error"], failure["final"]) == (str(error), True)
    assert world.session is not None
    assert world.session.told == [], "the peer knows"


@pytest.mark.parametrize(
    "error",
    [GatewayUnreachableError("the gateway is away"), SiteUnreachableError("the API is away")],
)
def test_a_site_that_is_away_fails_this_try_only(world: World, error: Exception) -> None:
    with pytest.raises(type(error)):
        world.execute(_raise(error))
    failure = world.reporter.statuses[-1]
    assert (failure["status"], failure["final"]) == ("failed", False)
    assert world.session is not None
    assert world.session.told == []


@pytest.mark.parametrize(
    "error",
    [
        JobOverError("job is over: failed"),
        JobCanceledError("stopped by request"),
        TaskReplacedError("another process runs guest 9999"),
    ],
)
def test_nothing_is_said_where_all_is_known(world: World, error: Exception) -> None:
    with pytest.raises(TaskFailedError, match=str(error)):
        world.execute(_raise(error))
    assert world.reporter.words == ["running"]
    assert world.session is not None
    assert world.session.told == []
    assert _left(world) == []


def test_an_accident_around_the_component_fails_this_try_only_and_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_session(*_: Any, **__: Any) -> None:
        raise OSError("no file descriptor is left")

    monkeypatch.setattr(task_runner, "GatewaySession", no_session)
    with pytest.raises(OSError, match="descriptor"):
        world.execute(_nothing)
    (failure,) = world.reporter.statuses
    assert (failure["status"], failure["final"]) == ("failed", False)
    assert "script_0 (Scripted) at guest 9999: OSError: no file descriptor" in failure["error"]


def test_a_job_that_is_over_at_the_first_report(world: World) -> None:
    world.reporter.raises = [JobOverError("job is over: failed")]
    with pytest.raises(TaskFailedError, match="job is over"):
        world.execute(_nothing)
    assert Scripted.seen == []


def test_a_failure_that_cannot_be_reported_still_reaches_the_peers(world: World) -> None:
    def harm(_: Scripted) -> None:
        world.reporter.raises = [SiteUnreachableError("away")]
        raise DataError("no rows")

    with pytest.raises(TaskFailedError, match="no rows"):
        world.execute(harm)
    assert world.session is not None
    assert world.session.told == ["script_0 (Scripted) at guest 9999: no rows"]


def test_a_module_that_is_not_installed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._MODULES, "Scripted", ModuleSpec("Scripted", {}))
    with pytest.raises(TaskFailedError, match="no program of module Scripted for the role guest"):
        world.execute()
    (failure,) = world.reporter.statuses
    assert failure["final"] is True
    assert world.reporter.closed


def test_a_party_alone_meets_nobody(world: World) -> None:
    world.execute(_nothing, parties=(GUEST,))
    assert world.session is None
    assert world.reporter.words == ["running", "success"]

    def talk(component: Scripted) -> None:
        component.context.federation.send("x", 1, HOST)

    with pytest.raises(TaskFailedError, match="exchanges nothing, but tried to send x"):
        world.execute(talk, parties=(GUEST,))


def test_folders_of_a_killed_process_are_removed_by_the_next(world: World) -> None:
    root = work_folder(world.site.settings)
    mine = root / f"task.{JOB}.script_0.guest_9999.killed"
    others = root / f"task.{JOB}.script_0.host_10000.alive"
    for folder in (mine, others):
        folder.mkdir(parents=True)
    world.execute(_nothing)
    assert not mine.exists()
    assert others.exists()


def test_the_output_stands_where_the_next_component_looks(world: World) -> None:
    import pyarrow as pa

    from fate_flow.data.table import SID, TableKind, TableSchema

    def put(namespace: str, name: str) -> Callable[[Scripted], TaskOutput]:
        def act(component: Scripted) -> TaskOutput:
            rows = pa.table({SID: ["a", "b"], "x0": [1.0, 2.0]})
            schema = TableSchema(TableKind.INSTANCES, "id", ("x0",), None)
            table: Table = component.context.tables.put(namespace, name, rows, schema)
            return TaskOutput(table)

        return act

    address = output_address(JOB, "script_0", GUEST)
    for place in (address, ("elsewhere", "t")):
        world.execute(put(*place))
        assert world.site.tables.open(*address).count == 2
        view = world.reporter.views[-1]
        assert (view["table_namespace"], view["table_name"]) == address
        assert view["table_count_actual"] == 2
        assert json.dumps(view)


def _placement(*local: Party, home: Party = GUEST) -> Placement:
    return Placement(
        local=frozenset(local),
        home=home,
        home_is_local=home in local,
        ticket="" if home in local else "the ticket",
        seal_keys={GUEST: "11" * 32, HOST: "22" * 32},
        sites={"bank-b": (HOST,)},
    )


def test_a_component_of_several_sites_meets_at_the_home(world: World) -> None:
    settings = world.site.settings
    SiteIdentity.create(settings, "bank-a")
    world.execute(_nothing, placement=_placement(GUEST, home=HOST))
    assert world.options["home"] == HOST
    assert world.options["ticket"] == "the ticket"
    assert world.options["patience"] == settings.PEER_PATIENCE
    assert world.options["sealer"].groups([HOST, GUEST]) == [(HOST,), (GUEST,)]
    assert world.options["tls"] == SiteIdentity.load(settings).tls()


def test_at_the_home_the_own_gateway_is_asked_and_values_are_sealed(world: World) -> None:
    SiteIdentity.create(world.site.settings, "bank-a")
    world.execute(_nothing, placement=_placement(GUEST))
    assert "home" not in world.options
    assert "ticket" not in world.options
    assert world.options["sealer"] is not None


def test_a_component_of_this_site_alone_meets_here(world: World) -> None:
    world.execute(_nothing, placement=_placement(GUEST, HOST))
    assert not {"home", "ticket", "sealer", "patience"} & world.options.keys()


def test_a_site_without_keys_says_so(world: World) -> None:
    with pytest.raises(TaskFailedError, match="no identity"):
        world.execute(_nothing, placement=_placement(GUEST))
    assert world.reporter.words == ["failed"]
    assert "fate_flow init" in world.reporter.statuses[0]["error"]
