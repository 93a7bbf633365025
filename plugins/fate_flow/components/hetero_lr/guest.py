"""HeteroLR at the guest, who has the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fate_flow.components.hetero_lr import messages
from fate_flow.components.hetero_lr.party import MATRIX_BITS, HeteroLRParty
from fate_flow.components.hetero_lr.validation import GuestValidation
from fate_flow.components.predictions import binary_details, write_predictions
from fate_flow.crypto.bucket_products import DotPlan
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.masks import MaskPool
from fate_flow.crypto.paillier import PublicKey
from fate_flow.data.table import Table
from fate_flow.errors import DataError, ProtocolError
from fate_flow.ml.batches import batch_slices
from fate_flow.ml.glm import (
    LABEL_FACTOR,
    SCORE_FACTOR,
    sigmoid,
    taylor_loss,
    taylor_residual,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Batch:
    """Rows of one batch, cut once for all iterations.

    Attributes:
        features: shape (n, d).
        signs: labels as −1 and +1, shape (n,).
        plan: features ÷ n, ready for products with ciphertexts.
    """

    features: Floats
    signs: Floats
    plan: DotPlan

    @property
    def size(self) -> int:
        return len(self.signs)


class HeteroLRGuest(HeteroLRParty):
    """Joins the scores of all parties with the labels, under encryption."""

    has_intercept = True

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        context, federation = self.context, self.context.federation
        self.check_parties()
        table = self.require_table(data)
        features = self.features_of(table)
        signs = self._signs(table)
        others = [*context.hosts, context.arbiter]
        federation.send(messages.AGGREGATE_CLASSES, 2, others)
        key = PublicKey.from_payload(federation.receive(messages.PUBLIC_KEY, context.arbiter))
        batches = self._cut(features, signs)
        info = messages.BatchInfo(
            batch_size=self.param.batch_size,
            batch_num=len(batches),
            rows=table.count,
            ids=messages.ids_digest(table.ids()),
            validate=validate is not None,
        )
        federation.send(messages.BATCH_INFO, info.to_payload(), others)
        self.header = table.schema.header
        self.weights = self.start_weights(features)
        validation = GuestValidation(self, table, validate)
        with MaskPool(key) as masks:
            for iteration in range(self.param.max_iter):
                for index, batch in enumerate(batches):
                    self._train_batch(batch, key, masks, (iteration, index), table.count)
                self.is_converged = bool(
                    federation.receive(messages.CONVERGE_FLAG, context.arbiter, (iteration,))
                )
                self.iterations = iteration + 1
                self.show_progress()
                if validation.stops_after(iteration) or self.is_converged:
                    break
        validation.restore_best()
        return None

    def _cut(self, features: Floats, signs: Floats) -> list[_Batch]:
        return [
            _Batch(
                features[rows], signs[rows], DotPlan(features[rows] / len(signs[rows]), MATRIX_BITS)
            )
            for rows in batch_slices(len(signs), self.param.batch_size)
        ]

    def _train_batch(
        self, batch: _Batch, key: PublicKey, masks: MaskPool, suffix: tuple[int, int], rows: int
    ) -> None:
        federation, hosts = self.context.federation, self.context.hosts
        masks.prepare(batch.size + batch.features.shape[1] + 2)
        own = self.weights.scores(batch.features)
        forwards = [
            _column(federation.receive(messages.HOST_FORWARD, host, suffix), key, batch.size, host)
            for host in hosts
        ]
        joint = forwards[0]
        for forward in forwards[1:]:
            joint = joint.add(forward)
        residual = taylor_residual(own, batch.signs)
        fore_gradient = joint.scale(SCORE_FACTOR).add_plain(residual).rerandomise(masks)
        federation.send(messages.FORE_GRADIENT, fore_gradient.to_arrow(), hosts, suffix)
        self._send_gradient(batch, joint, residual, masks, suffix)
        if self.has_loss:
            self._send_loss(batch, joint, own, masks, suffix, rows)
        step = federation.receive(messages.GUEST_OPTIM_GRADIENT, self.context.arbiter, suffix)
        self.apply(step, suffix[0])

    def _send_gradient(
        self,
        batch: _Batch,
        joint: CipherColumn,
        residual: Floats,
        masks: MaskPool,
        suffix: tuple[int, int],
    ) -> None:
        """E(Xᵀd ÷ n + penalty): the hosts' share of d under encryption, the rest in clear."""
        plain = batch.features.T @ residual / batch.size
        gradient = joint.dot(batch.plan).scale(SCORE_FACTOR)
        if self.weights.fit_intercept:
            plain = np.append(plain, residual.mean())
            total = joint.sum().scale(SCORE_FACTOR).scale(1 / batch.size, bits=53)
            gradient = CipherColumn.concat([gradient, total])
        plain = plain + self.param.penalty_term.gradient(self.weights)
        self.context.federation.send(
            messages.GUEST_GRADIENT,
            gradient.add_plain(plain).rerandomise(masks).to_arrow(),
            self.context.arbiter,
            suffix,
        )

    def _send_loss(
        self,
        batch: _Batch,
        joint: CipherColumn,
        own: Floats,
        masks: MaskPool,
        suffix: tuple[int, int],
        rows: int,
    ) -> None:
        """E(loss of the batch), divided by the rows of the whole table.

        With u = own + host: Σ y·u ÷ 2N and Σ u² ÷ 8N are linear in the host's scores but
        for Σ host², which the host sends.
        """
        federation, host = self.context.federation, self.context.hosts[0]
        factors = own / (4 * rows) + LABEL_FACTOR * batch.signs / rows
        loss = joint.dot(factors[:, None], bits=MATRIX_BITS)
        squares = federation.receive(messages.LOSS_INTERMEDIATE, host, suffix)
        loss = loss.add(_column(squares, joint.key, 1, host).scale(1 / (8 * rows), bits=53))
        plain = taylor_loss(float(batch.signs @ own), float(own @ own), rows)
        penalty = self.param.penalty_term.loss(self.weights)
        if penalty is not None:
            regular = federation.receive(messages.HOST_LOSS_REGULAR, host, suffix)
            loss = loss.add(_column(regular, joint.key, 1, host))
            plain += penalty
        federation.send(
            messages.LOSS,
            [loss.add_plain(np.array([plain])).rerandomise(masks).to_arrow()],
            self.context.arbiter,
            suffix,
        )

    def _signs(self, data: Table) -> Floats:
        """Labels as −1 and +1.

        Raises:
            DataError: no label, other labels than 0 and 1 (or −1 and 1), or only one class.
            UnsupportedError: more than two classes.
        """
        where = f"table {data.name} of {self.context.party}"
        remedy = "HeteroLR needs labels 0 and 1: look at label_name and label_type of DataIO"
        labels = data.labels()
        if labels.dtype.kind not in "iufb":
            raise DataError(f"the labels of {where} are texts, not numbers", remedy=remedy)
        numbers: Floats = labels.astype(np.float64)
        if np.isnan(numbers).any():
            raise DataError(
                f"{int(np.isnan(numbers).sum())} of {len(numbers)} rows of {where} have no label",
                remedy=remedy,
            )
        classes = np.unique(numbers)
        if len(classes) == 1:
            raise DataError(
                f"all {len(numbers)} rows of {where} have the label {classes[0]:g}; "
                "a classifier needs rows of both classes",
                remedy="Look at the label column, and at the rows the intersection left over",
            )
        self.check_classes(len(classes))
        if classes[1] != 1 or classes[0] not in (0, -1):
            raise DataError(
                f"the labels of {where} are {classes[0]:g} and {classes[1]:g}", remedy=remedy
            )
        return np.where(numbers == 1, 1.0, -1.0)

    # -- prediction -----------------------------------------------------------------------

    def predict(self, data: Table | None, data_type: str) -> Table | None:
        table = self.require_table(data)
        probability = self.probabilities(table)
        result = (probability > self.param.predict_param.threshold).astype(np.int64)
        details = binary_details(probability)
        return write_predictions(self.context, table, result, probability, details, data_type)

    def probabilities(self, data: Table) -> Floats:
        """P(label 1) of each row, shape (n,), with the scores that the hosts send.

        Raises:
            DataError: a host scored other rows.
        """
        scores = self.weights.scores(self.features_of(data, self.header))
        digest = messages.ids_digest(data.ids())
        for host in self.context.hosts:
            answer = messages.HostScores.from_payload(
                self.context.federation.receive(messages.HOST_PROB, host), host
            )
            if answer.ids != digest or len(answer.scores) != data.count:
                raise DataError(
                    f"{host} scored {len(answer.scores)} rows whose ids are not those of the "
                    f"{data.count} rows of {self.context.party}",
                    remedy="Put an Intersection before HeteroLR, with sync_intersect_ids on",
                )
            scores = scores + answer.scores
        return sigmoid(scores)


def _column(batch: object, key: PublicKey, size: int, sender: object) -> CipherColumn:
    column = CipherColumn.from_arrow(batch, key)
    if len(column) != size:
        raise ProtocolError(f"{sender} sent {len(column)} ciphertexts, {size} were due")
    return column
