"""Optimizer sqn of HeteroLR, encrypted, against the same procedure in the clear."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fate_flow.components.hetero_lr.curvature import HostCurvature
from fate_flow.errors import ProtocolError
from fate_flow.federation.codec import decode
from tests.support.hetero_lr import ARBITER, GUEST, HOSTS, losses_of
from tests.support.plain_lr import PlainSqn
from tests.unit.components.test_hetero_lr import TOLERANCE, Example

HOST = HOSTS[0]


@pytest.mark.parametrize("penalty", ["L1", "L2", None])
@pytest.mark.parametrize(
    ("batch_size", "sample_size"), [(-1, 5000), (20, 12)], ids=["whole", "samples"]
)
def test_weights_and_losses_are_those_of_the_procedure_in_the_clear(
    tmp_path: Path, penalty: str | None, batch_size: int, sample_size: int
) -> None:
    example = Example(tmp_path)
    settings: dict[str, Any] = {"penalty": penalty, "batch_size": batch_size, "max_iter": 9}
    numbers = {"update_interval_L": 2, "memory_M": 2, "sample_size": sample_size, "random_seed": 7}
    sqn = PlainSqn(2, 2, sample_size, 7)
    run = example.run(**settings, optimizer="sqn", sqn_param=numbers)
    plain = example.plain(**settings, sqn=sqn)
    assert len(sqn.pairs) == 2
    example.compare(run, plain)
    np.testing.assert_allclose(losses_of(run), plain.losses, rtol=0, atol=TOLERANCE)


def test_several_hosts(tmp_path: Path) -> None:
    example = Example(tmp_path, hosts=2)
    settings: dict[str, Any] = {"early_stop": "weight_diff", "max_iter": 8}
    run = example.run(**settings, optimizer="sqn", sqn_param={"update_interval_L": 2})
    example.compare(run, example.plain(**settings, sqn=PlainSqn(2)))


def test_it_gets_further_than_gradient_descent(tmp_path: Path) -> None:
    example = Example(tmp_path)
    settings: dict[str, Any] = {"max_iter": 12, "decay": 0.0, "learning_rate": 0.5}
    newton = example.run(**settings, optimizer="sqn")
    assert losses_of(newton)[-1] < example.plain(**settings).losses[-1] - 0.002


def test_messages_are_the_protocols_and_encrypted(tmp_path: Path) -> None:
    run = Example(tmp_path).run(
        max_iter=6, optimizer="sqn", sqn_param={"update_interval_L": 2, "sample_size": 20}
    )
    names = {
        ("sqn_sample_index", GUEST, HOST),
        ("host_sqn_forwards", HOST, GUEST),
        ("forward_hess", GUEST, HOST),
        ("guest_hess_vector", GUEST, ARBITER),
        ("host_hess_vector", HOST, ARBITER),
    }
    records = [r for r in run.mailbox.records if (r.variable, r.sender, r.receiver) in names]
    assert Counter(r.tag for r in records) == {"fit.3.0": 5, "fit.5.0": 5}
    sizes = {r.variable: len(decode(r.data)) for r in records}
    assert sizes["host_sqn_forwards"] == sizes["forward_hess"] == 20
    seen: set[bytes] = set()
    for record in records:
        if record.variable != "sqn_sample_index":
            cells = set(decode(record.data).column(0).to_pylist())
            assert not cells & seen
            seen |= cells


@pytest.mark.parametrize(
    "rows",
    [
        [0, 1, 2],
        np.arange(2),
        np.array([0, 1, 1]),
        np.array([0, 1, 10]),
        np.array([-1, 1, 2]),
        np.array([0.0, 1.0, 2.0]),
    ],
)
def test_a_host_refuses_another_sample_than_was_configured(rows: Any) -> None:
    class Guest:
        guest = GUEST

        class federation:
            @staticmethod
            def receive(*_: Any) -> Any:
                return rows

    class Host:
        context = Guest

        class param:
            class sqn_param:
                sample_size = 3
                update_interval_L = 2

    curvature = HostCurvature(Host)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="guest 9999 did not send 3 rows of a batch of 10"):
        curvature._rows(10, (0, 0))
