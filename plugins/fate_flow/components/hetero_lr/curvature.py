"""The quasi-Newton part of a fit with optimizer ``sqn``, at all three roles.

After every L-th update but the first such one, with Δw the change of the mean weights over
the last L updates (suffix (iteration, batch)):

    guest   → hosts      SQN_SAMPLE_INDEX    positions of the sample's rows in the batch
    host    → guest      HOST_SQN_FORWARDS   E(Δw_h·x) of the sample
    guest   → hosts      FORWARD_HESS        E(d), d = ¼(Δw_g·x + Δb + Σ_h Δw_h·x)
    each    → arbiter    GUEST_/HOST_HESS_VECTOR   E(Σ x·d ÷ m + α·Δw), its part of y = ∇²F·Δw

The arbiter sees y in clear, as it sees gradients, and knows Δw as the sum of its own steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fate_flow.components.hetero_lr import messages
from fate_flow.components.hetero_lr.rows import Batch, mean_plan
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.masks import MaskPool
from fate_flow.crypto.paillier import PrivateKey, PublicKey
from fate_flow.errors import ProtocolError
from fate_flow.ml.glm import SCORE_FACTOR, LinearWeights
from fate_flow.ml.quasi_newton import MeanChange, QuasiNewton, SampleDraw

if TYPE_CHECKING:
    from fate_flow.components.hetero_lr.arbiter import HeteroLRArbiter
    from fate_flow.components.hetero_lr.guest import HeteroLRGuest
    from fate_flow.components.hetero_lr.host import HeteroLRHost

Floats = NDArray[np.float64]
Suffix = tuple[int, int]

#: Binary exponent of Δw·x: the changes shrink as the fit converges, their products must not
#: drown in rounding.
FORWARD_EXPONENT = 80


class GuestCurvature:
    """Draws the sample and joins the products of all parties."""

    def __init__(self, guest: HeteroLRGuest) -> None:
        param = guest.param.sqn_param
        self._guest = guest
        self._change = MeanChange(param.update_interval_L)
        self._draw = SampleDraw(param.sample_size, param.random_seed)

    def after_update(self, batch: Batch, key: PublicKey, masks: MaskPool, suffix: Suffix) -> None:
        """Take the new weights; send this party's part of y when a pair is due."""
        guest, federation = self._guest, self._guest.context.federation
        change = self._change.add(guest.weights.vector())
        if change is None:
            return
        delta = LinearWeights.from_vector(change, guest.weights.fit_intercept)
        rows, hosts = self._draw.rows(batch.size), guest.context.hosts
        federation.send(messages.SQN_SAMPLE_INDEX, rows, hosts, suffix)
        sample = sampled(batch, rows)
        joint = guest.sum_of_hosts(messages.HOST_SQN_FORWARDS, key, sample.size, suffix)
        own = SCORE_FACTOR * delta.scores(sample.features)
        forward = joint.scale(SCORE_FACTOR).add_plain(own).rerandomise(masks)
        federation.send(messages.FORWARD_HESS, forward.to_arrow(), hosts, suffix)
        product = guest.mean_product(sample, joint, own, guest.param.penalty_term.gradient(delta))
        federation.send(
            messages.GUEST_HESS_VECTOR,
            product.rerandomise(masks).to_arrow(),
            guest.context.arbiter,
            suffix,
        )


class HostCurvature:
    """Sends its products under encryption."""

    def __init__(self, host: HeteroLRHost) -> None:
        self._host = host
        self._change = MeanChange(host.param.sqn_param.update_interval_L)

    def after_update(self, batch: Batch, key: PublicKey, masks: MaskPool, suffix: Suffix) -> None:
        """Take the new weights; send this party's part of y when a pair is due."""
        host, context = self._host, self._host.context
        change = self._change.add(host.weights.vector())
        if change is None:
            return
        delta = LinearWeights.from_vector(change, host.weights.fit_intercept)
        sample = sampled(batch, self._rows(batch.size, suffix))
        forward = CipherColumn.encrypt(
            delta.scores(sample.features), key, exponent=FORWARD_EXPONENT, masks=masks
        )
        context.federation.send(
            messages.HOST_SQN_FORWARDS, forward.to_arrow(), context.guest, suffix
        )
        received = context.federation.receive(messages.FORWARD_HESS, context.guest, suffix)
        joint = messages.read_column(received, key, sample.size, context.guest)
        product = joint.dot(sample.plan).add_plain(host.param.penalty_term.gradient(delta))
        context.federation.send(
            messages.HOST_HESS_VECTOR,
            product.rerandomise(masks).to_arrow(),
            context.arbiter,
            suffix,
        )

    def _rows(self, size: int, suffix: Suffix) -> NDArray[np.int64]:
        """The guest's sample: ascending positions, as many as configured.

        A smaller sample would show the arbiter the products of single rows.
        """
        context, wanted = self._host.context, self._host.param.sqn_param.sample_size
        rows = context.federation.receive(messages.SQN_SAMPLE_INDEX, context.guest, suffix)
        if (
            not isinstance(rows, np.ndarray)
            or rows.dtype != np.int64
            or rows.shape != (min(wanted, size),)
            or rows[0] < 0
            or rows[-1] >= size
            or (np.diff(rows) <= 0).any()
        ):
            raise ProtocolError(
                f"{context.guest} did not send {min(wanted, size)} rows of a batch of {size}"
            )
        return rows


class ArbiterCurvature:
    """Decrypts y and gives the pair to the optimiser."""

    def __init__(self, arbiter: HeteroLRArbiter, optimizer: QuasiNewton) -> None:
        self._arbiter = arbiter
        self._optimizer = optimizer
        self._change = MeanChange(arbiter.param.sqn_param.update_interval_L)
        self._moved: Floats | float = 0.0

    def after_update(self, step: Floats, key: PrivateKey, suffix: Suffix) -> None:
        """Take a step, laid out [hosts in party order, guest]; learn from a pair when due."""
        self._moved = self._moved - step
        change = self._change.add(np.asarray(self._moved))
        if change is None:
            return
        arbiter = self._arbiter
        names = [(host, messages.HOST_HESS_VECTOR) for host in arbiter.context.hosts]
        names.append((arbiter.context.guest, messages.GUEST_HESS_VECTOR))
        product = np.concatenate(
            [arbiter.decrypt(key, name, party, suffix) for party, name in names]
        )
        if product.shape != change.shape:
            raise ProtocolError(
                f"the parties sent {len(product)} numbers of a Hessian product, "
                f"{len(change)} were due"
            )
        if not self._optimizer.learn(change, product):
            arbiter.note("a curvature pair was passed over: the weights hardly move")


def sampled(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    """Some rows of a batch, as a batch."""
    if len(rows) == batch.size:
        return batch
    features = batch.features[rows]
    return Batch(batch.rows, features, mean_plan(features))
