"""The agreement of sites under every kind of bad luck: 10,000 schedules drawn from seeds.

A schedule has 2 to 4 sites, a home among them, tasks that succeed, fail or are tried again,
people who stop the job at any site, and a network that loses, doubles, delays and overtakes
messages; sites crash between storing and sending, and start again from what they had stored.
Then the faults end, and all sites must agree within a bounded time. The decisions are those of
:mod:`fate_flow.jobs.agreement`, which the database layer uses too.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from fate_flow.entities import JobStatus, TaskStatus
from fate_flow.jobs import agreement
from fate_flow.jobs.agreement import Decision, Proposal, Take

SCHEDULES = int(os.environ.get("FATE_FLOW_TEST_SCHEDULES") or 10_000)
PARTS = 20
STEPS = 60
#: Rounds in which everything is delivered, after the last fault, until all must agree.
QUIET_ROUNDS = 12
COMPONENTS = ("intersection_0", "hetero_lr_0")


@dataclass
class Message:
    sender: int
    receiver: int
    kind: str
    version: int
    body: dict[str, Any]


@dataclass
class Site:
    """What one site has stored; everything else is lost in a crash.

    Attributes:
        tasks: statuses, those of other sites as far as they were told.
        outbox: (receiver, kind) -> newest snapshot that was not acknowledged.
        started: whether its part runs.
        history: statuses the job had here.
    """

    number: int
    approval: str = ""
    status: JobStatus = JobStatus.WAITING
    tasks: dict[tuple[str, str], str] = field(default_factory=dict)
    version: int = 0
    seen: dict[int, int] = field(default_factory=dict)
    proposal: Proposal | None = None
    outbox: dict[tuple[int, str], Message] = field(default_factory=dict)
    started: bool = False
    history: list[JobStatus] = field(default_factory=list)

    def become(self, status: JobStatus) -> None:
        self.status = status
        self.history.append(status)


class Schedule:
    """One run of the protocol under the choices that a seed makes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        count = self.random.randint(2, 4)
        self.sites = [Site(number) for number in range(count)]
        for site in self.sites[1:]:
            if self.random.random() < 0.1:
                site.approval = "asked"
        self.needed = [
            (component, str(site.number)) for component in COMPONENTS for site in self.sites
        ]
        self.network: list[Message] = []
        self.loss = self.random.choice((0.0, 0.1, 0.4))
        self.may_fail = self.random.random() < 0.4
        self.may_stop = self.random.random() < 0.4
        self.has_stopped = False

    @property
    def home(self) -> Site:
        return self.sites[0]

    # -- what happens at a site ------------------------------------------------------------

    def start_at_home(self) -> None:
        """All sites have a place and their people's yes (asked synchronously)."""
        ready = all(
            agreement.may_start(site.status, site.approval) and site.proposal is None
            for site in self.sites
        )
        if ready and not self.home.started and self.home.status is JobStatus.WAITING:
            self.home.started = True
            for site in self.sites[1:]:
                self.put(self.home, site, "start", 1, {})

    def work(self, site: Site) -> None:
        """One task of the site moves on."""
        if not site.started or site.status.is_terminal or site.proposal is not None:
            return
        for component in COMPONENTS:
            key = (component, str(site.number))
            status = site.tasks.get(key)
            if status == TaskStatus.SUCCESS.value:
                continue
            if status is None:
                site.tasks[key] = TaskStatus.RUNNING.value
                if site is self.home:
                    self.run(site)
            elif self.may_fail and self.random.random() < 0.1:
                site.tasks[key] = TaskStatus.FAILED.value
                self.end(site, Proposal(JobStatus.FAILED, f"{key} failed"))
                return
            else:
                site.tasks[key] = TaskStatus.SUCCESS.value
            self.tell(site)
            self.seal()
            return

    def run(self, site: Site) -> None:
        if site.status is JobStatus.WAITING:
            site.become(JobStatus.RUNNING)

    def end(self, site: Site, proposal: Proposal) -> None:
        """A site wants the job to end."""
        if site.status.is_terminal or site.proposal is not None:
            return
        if site is self.home:
            self.decide(proposal)
        else:
            site.proposal = proposal
            self.tell(site)

    def decide(self, proposal: Proposal | None) -> None:
        decision: Decision | None = agreement.decide(
            self.home.status, self.needed, self.home.tasks, proposal
        )
        if decision is not None:
            self.home.become(decision.status)
            for site in self.sites[1:]:
                self.home.outbox.pop((site.number, "start"), None)
            self.tell(self.home)

    def seal(self) -> None:
        if self.home.started:
            self.decide(None)

    # -- what sites tell each other ----------------------------------------------------------

    def put(
        self, sender: Site, receiver: Site, kind: str, version: int, body: dict[str, Any]
    ) -> None:
        message = Message(sender.number, receiver.number, kind, version, body)
        sender.outbox[receiver.number, kind] = message

    def tell(self, site: Site) -> None:
        site.version += 1
        if site is self.home:
            body = {"status": site.status, "tasks": dict(site.tasks)}
            for other in self.sites[1:]:
                self.put(site, other, "state", site.version, body)
        else:
            mine = {k: v for k, v in site.tasks.items() if k[1] == str(site.number)}
            body = {"tasks": mine, "proposal": site.proposal}
            self.put(site, self.home, "report", site.version, body)

    def take(self, message: Message) -> None:
        site = self.sites[message.receiver]
        {"start": self._start, "state": self._state, "report": self._report}[message.kind](
            site, message
        )

    def _start(self, site: Site, message: Message) -> None:
        if agreement.may_start(site.status, site.approval) and site.proposal is None:
            site.started = True

    def _state(self, site: Site, message: Message) -> None:
        status: JobStatus = message.body["status"]
        take = agreement.take_state(site.status, site.seen.get(0, -1), message.version, status)
        if take is Take.NOTHING:
            return
        site.seen[0] = message.version
        for key, reported in message.body["tasks"].items():
            if key[1] != str(site.number) and agreement.task_update(site.tasks.get(key), reported):
                site.tasks[key] = reported
        if take is Take.END:
            site.become(status)
        elif status is JobStatus.RUNNING:
            self.run(site)

    def _report(self, home: Site, message: Message) -> None:
        if not agreement.is_news(home.seen.get(message.sender, -1), message.version):
            return
        home.seen[message.sender] = message.version
        if home.status.is_terminal:
            self.tell(home)
            return
        changed = False
        for key, reported in message.body["tasks"].items():
            if agreement.task_update(home.tasks.get(key), reported):
                home.tasks[key] = reported
                changed = True
                if reported == TaskStatus.RUNNING.value:
                    self.run(home)
        if message.body["proposal"] is not None:
            self.decide(message.body["proposal"])
        elif changed:
            self.tell(home)
            self.seal()

    # -- the network ---------------------------------------------------------------------------

    def send_all(self, site: Site) -> None:
        self.network.extend(site.outbox.values())

    def deliver(self, message: Message, *, is_acknowledged: bool) -> None:
        self.take(message)
        sender = self.sites[message.sender]
        place = (message.receiver, message.kind)
        kept = sender.outbox.get(place)
        if is_acknowledged and kept is not None and kept.version == message.version:
            del sender.outbox[place]

    def fault_step(self) -> None:
        choice = self.random.random()
        site = self.random.choice(self.sites)
        if choice < 0.15:
            self.start_at_home()
        elif choice < 0.5:
            self.work(site)
        elif choice < 0.65:
            self.send_all(site)
        elif choice < 0.92:
            self._one_message()
        elif choice < 0.95:
            # A crash: what was under way is lost, what was stored is not.
            self.network = [m for m in self.network if m.sender != site.number]
        elif choice < 0.97 and site.approval == "asked":
            self._answer(site)
        elif self.may_stop and not self.has_stopped and self.random.random() < 0.3:
            self.has_stopped = True
            self.end(site, Proposal(JobStatus.FAILED, "stopped by request", is_stop=True))

    def _one_message(self) -> None:
        if not self.network:
            return
        # Any of them: messages overtake each other.
        index = self.random.randrange(len(self.network))
        message = self.network[index]
        fate = self.random.random()
        if fate < self.loss:
            del self.network[index]
        elif fate < self.loss + 0.1:
            self.deliver(message, is_acknowledged=False)  # and will come once more
        else:
            del self.network[index]
            self.deliver(message, is_acknowledged=self.random.random() > self.loss)

    def _answer(self, site: Site) -> None:
        if self.random.random() < 0.7:
            site.approval = "approved"
        else:
            site.approval = "refused"
            self.end(site, Proposal(JobStatus.CANCELED, "refused"))

    def quiet_round(self) -> None:
        for site in self.sites:
            if site.approval == "asked":
                self._answer(site)
        self.start_at_home()
        for site in self.sites:
            self.work(site)
            self.network = list(site.outbox.values())
            for message in self.network:
                self.deliver(message, is_acknowledged=True)
        self.network = []

    def run_all(self) -> None:
        for _ in range(self.random.randint(5, STEPS)):
            self.fault_step()
            self.check()
        for _ in range(QUIET_ROUNDS):
            self.quiet_round()
            self.check()

    # -- what must always hold -------------------------------------------------------------------

    def check(self) -> None:
        ended = {site.status for site in self.sites if site.status.is_terminal}
        assert len(ended) <= 1, "two sites have different ends"
        for site in self.sites:
            terminal = [status for status in site.history if status.is_terminal]
            assert len(terminal) <= 1, f"site {site.number} ended twice: {site.history}"
            assert not (site.started and site.approval in ("asked", "refused")), "ran without a yes"
        if self.home.status is JobStatus.SUCCESS:
            for site in self.sites:
                mine = [key for key in self.needed if key[1] == str(site.number)]
                assert agreement.all_succeeded(mine, site.tasks), "success without the tasks"

    def check_end(self) -> None:
        states = [site.status for site in self.sites]
        assert all(status.is_terminal for status in states), f"not all have ended: {states}"
        left = {site.number: list(site.outbox) for site in self.sites if site.outbox}
        assert not left, f"messages that nobody took: {left}"


def _run(seeds: Iterator[int]) -> dict[JobStatus, int]:
    ends: dict[JobStatus, int] = {}
    for seed in seeds:
        schedule = Schedule(seed)
        try:
            schedule.run_all()
            schedule.check_end()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None
        ends[schedule.home.status] = ends.get(schedule.home.status, 0) + 1
    return ends


@pytest.mark.parametrize("part", range(PARTS))
def test_sites_agree_whatever_happens(part: int) -> None:
    size = SCHEDULES // PARTS
    ends = _run(iter(range(part * size, (part + 1) * size)))
    # All kinds of ends must have been seen, or nothing was tried.
    assert {JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELED} <= ends.keys()


@pytest.mark.parametrize(
    "broken",
    [
        {"take_state": lambda current, seen, version, status: Take.END},
        # Each of the two makes up for the other.
        {"is_news": lambda seen, version: True, "task_update": lambda current, reported: True},
        {"all_succeeded": lambda needed, tasks: bool(tasks)},
        {"may_start": lambda current, approval: True},
    ],
    ids="-".join,
)
def test_the_simulation_finds_a_broken_rule(
    monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any]
) -> None:
    for name, rule in broken.items():
        monkeypatch.setattr(agreement, name, rule)
    with pytest.raises(AssertionError, match="seed"):
        _run(iter(range(5000)))
