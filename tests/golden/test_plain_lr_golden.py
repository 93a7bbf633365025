"""The algorithm in the clear gives the recorded weights and losses of FATE 1.4."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.breast import golden_run, joined_breast
from tests.support.plain_lr import fit_plain


@pytest.mark.parametrize("name", ["lr_adam_-1_L2", "lr_sgd_-1_L1", "lr_sgd_-1_L2"])
def test_weights_and_losses_are_the_recorded_ones(name: str) -> None:
    golden = golden_run(name)
    data = joined_breast()
    fit = fit_plain(
        [data.host, data.guest],
        data.labels,
        [np.zeros(20), np.zeros(11)],
        optimizer=golden["optimizer"],
        penalty=golden["penalty"],
    )
    for role, weights, header in (
        ("host", fit.weights[0], data.host_header),
        ("guest", fit.weights[1], data.guest_header),
    ):
        wanted = [golden[role]["weight"][column] for column in header]
        np.testing.assert_allclose(weights, wanted, atol=1e-12)
    assert fit.intercept == pytest.approx(golden["guest"]["intercept"], abs=1e-12)
    wanted_losses = [value for _, value in golden["loss"]["train"]["loss"]["data"]]
    np.testing.assert_allclose(fit.losses, wanted_losses, atol=1e-12)
