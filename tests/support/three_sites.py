"""Three sites in namespaces that run one job after the other, and what is asserted after each.

The moments at which tests hurt them are random; the seed is printed
(``FATE_FLOW_TEST_SEED`` repeats it).
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fate_flow.cli import demo_data
from fate_flow.entities import Party
from tests.support.live_jobs import ARBITER, GUEST, HOST, NAMESPACE, lr_job, weights
from tests.support.site_net import NetSite, SiteNet

COMPONENT = "hetero_lr_0"
ITERATIONS = 12
#: For a job that is disturbed, from its submission.
SECONDS = 400.0
#: From the end of the last fault to the state that all agree on, once the job can go on.
AGREE_SECONDS = 30.0
SEED = int(os.environ.get("FATE_FLOW_TEST_SEED") or random.SystemRandom().randrange(10**6))


@dataclass
class Federation:
    """Guest's, host's and arbiter's sites.

    Attributes:
        expected: weights of an undisturbed run.
    """

    net: SiteNet
    guest: NetSite
    host: NetSite
    arbiter: NetSite
    expected: dict[str, float]

    @classmethod
    def undisturbed(
        cls, net: SiteNet, guest: NetSite, host: NetSite, arbiter: NetSite, folder: Path
    ) -> Federation:
        """Upload to running sites that know each other; run the job once for its weights."""
        files = demo_data.write(folder / "data")
        guest.upload(files.guest, NAMESPACE, "guest")
        host.upload(files.host, NAMESPACE, "host")
        made = cls(net, guest, host, arbiter, {})
        job_id = guest.finish(*disturbed_job(), timeout=SECONDS)
        made.agree(job_id, "success", AGREE_SECONDS)
        made.expected = made.weights(job_id)
        assert len(made.expected) == 31, "30 features and the intercept"
        return made

    @property
    def sites(self) -> tuple[NetSite, NetSite, NetSite]:
        return self.guest, self.host, self.arbiter

    def of(self, party: Party) -> NetSite:
        return next(site for site in self.sites if party in site.parties)

    def losses(self, job_id: str) -> list[Any]:
        found = self.arbiter.client.all_metrics(job_id, COMPONENT, ARBITER.role, ARBITER.party_id)
        points: list[Any] = found.get("train", {}).get("loss", {}).get("data", [])
        return points

    def in_the_middle(self) -> str:
        """A job whose HeteroLR has begun to iterate, at a random iteration; its id."""
        job_id = self.guest.submit(*disturbed_job())
        wanted = random.Random(f"{SEED}{job_id}").randint(1, ITERATIONS // 2)
        print(f"seed {SEED}, job {job_id}: hurt after iteration {wanted}")
        self.guest.wait_until(
            f"iteration {wanted}", lambda: len(self.losses(job_id)) >= wanted, 240
        )
        return job_id

    def agree(self, job_id: str, status: str, seconds: float) -> None:
        """All sites show one terminal state for all parties, and so does their Airflow."""
        deadline = time.monotonic() + seconds
        run = {"success" if status == "success" else "failed"}
        while True:
            seen = {
                site.name: (_states(site, job_id), set(site.run_states(f"fate_flow_{job_id}")))
                for site in self.sites
            }
            if all(states == {status} and runs <= run for states, runs in seen.values()):
                break
            assert time.monotonic() < deadline, f"{seen}\n" + "\n".join(
                f"{site.name}: {site.why(job_id)}" for site in self.sites
            )
            time.sleep(0.3)

    def weights(self, job_id: str) -> dict[str, float]:
        """Each party's weights, from its own site."""
        mine = weights(self.guest, job_id, parties=(GUEST,))
        return mine | weights(self.host, job_id, parties=(HOST,))

    def same_result(self, job_id: str) -> None:
        found = self.weights(job_id)
        assert found.keys() == self.expected.keys()
        for name, value in self.expected.items():
            assert found[name] == pytest.approx(value, abs=1e-6), name

    def succeeds(self, job_id: str, seconds: float = SECONDS) -> None:
        self.guest.must_succeed(job_id, seconds)
        self.agree(job_id, "success", AGREE_SECONDS)
        self.same_result(job_id)
        self.nothing_left(job_id)

    def nothing_left(self, job_id: str) -> None:
        for site in self.sites:
            site.nothing_left(job_id, 20.0)
            query = "SELECT count(*) FROM ff_outbox WHERE job_id = ?"
            # A site that was away is tried every few seconds.
            site.wait_until(
                f"no message of {site.name} that nobody took",
                functools.partial(_is_empty, site, query, job_id),
                20.0,
            )


def _is_empty(site: NetSite, query: str, job_id: str) -> bool:
    return site.select(query, job_id) == [(0,)]


def disturbed_job() -> tuple[dict[str, Any], dict[str, Any]]:
    """Long enough to be hurt in; each iteration changes the weights."""
    return lr_job(max_iter=ITERATIONS, early_stop="weight_diff", tol=0.0)


def _states(site: NetSite, job_id: str) -> set[str]:
    with contextlib.suppress(Exception):
        return {row["f_status"] for row in site.client.query_jobs(job_id=job_id)}
    return {"does not answer"}
