"""HeteroLR at the guest, who has the labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fate_flow.components.hetero_lr import messages
from fate_flow.components.hetero_lr.curvature import GuestCurvature
from fate_flow.components.hetero_lr.party import MAXIMUM_CLASSES, HeteroLRParty
from fate_flow.components.hetero_lr.rows import MATRIX_BITS, Batch, TrainingRows
from fate_flow.components.hetero_lr.validation import GuestValidation
from fate_flow.components.one_vs_rest import AGGREGATE_CLASSES, choose_class, integer_classes
from fate_flow.components.predictions import binary_details, write_predictions
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.masks import MaskPool
from fate_flow.crypto.paillier import PublicKey
from fate_flow.data.table import Table
from fate_flow.errors import DataError, UnsupportedError
from fate_flow.ml.glm import (
    LABEL_FACTOR,
    SCORE_FACTOR,
    LinearWeights,
    sigmoid,
    taylor_loss,
    taylor_residual,
)

Floats = NDArray[np.float64]
Suffix = tuple[int, int]


class HeteroLRGuest(HeteroLRParty):
    """Joins the scores of all parties with the labels, under encryption."""

    has_intercept = True

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        context = self.context
        self.check_parties()
        table = self.require_table(data)
        rows = TrainingRows(table, self.features_of(table))
        labels, classes = self._labels(table)
        context.federation.send(AGGREGATE_CLASSES, len(classes), [*context.hosts, context.arbiter])
        self.header = table.schema.header
        if len(classes) == 2:
            self.fit_binary(rows, labels, validate)
        else:

            def fit_one(part: HeteroLRGuest) -> None:
                part.fit_binary(rows, labels, validate)

            self.fit_classes(classes, fit_one)
        return None

    def fit_binary(self, rows: TrainingRows, labels: Floats, validate: Table | None) -> None:
        """Fit the positive class against all others.

        Args:
            rows: with features.
            labels: shape (n,).
            validate: rows to validate with.
        """
        context, federation = self.context, self.context.federation
        key = self.keys.take(federation.receive(messages.PUBLIC_KEY, context.arbiter))
        batches = rows.batches(self.param.batch_size)
        info = messages.BatchInfo(
            batch_size=self.param.batch_size,
            batch_num=len(batches),
            rows=rows.count,
            ids=rows.digest,
            validate=validate is not None,
        )
        federation.send(messages.BATCH_INFO, info.to_payload(), [*context.hosts, context.arbiter])
        self.header = rows.table.schema.header
        self.weights = self.start_weights(rows.features)
        signs = np.where(labels == self.positive_class, 1.0, -1.0)
        validation = GuestValidation(self, rows.table, validate)
        curvature = GuestCurvature(self) if self.param.optimizer == "sqn" else None
        with MaskPool(key) as masks:
            for iteration in range(self.param.max_iter):
                for index, batch in enumerate(batches):
                    suffix = (iteration, index)
                    self._train_batch(batch, signs[batch.rows], key, masks, suffix, rows.count)
                    if curvature is not None:
                        curvature.after_update(batch, key, masks, suffix)
                self.is_converged = bool(
                    federation.receive(messages.CONVERGE_FLAG, context.arbiter, (iteration,))
                )
                self.iterations = iteration + 1
                self.show_progress()
                if validation.stops_after(iteration) or self.is_converged:
                    break
        validation.restore_best()

    def _train_batch(
        self,
        batch: Batch,
        signs: Floats,
        key: PublicKey,
        masks: MaskPool,
        suffix: Suffix,
        rows: int,
    ) -> None:
        """One update; ``signs`` are the labels of the batch as −1 and +1."""
        federation, context = self.context.federation, self.context
        masks.prepare(batch.size + batch.features.shape[1] + 2)
        own = self.weights.scores(batch.features)
        joint = self.sum_of_hosts(messages.HOST_FORWARD, key, batch.size, suffix)
        residual = taylor_residual(own, signs)
        fore_gradient = joint.scale(SCORE_FACTOR).add_plain(residual).rerandomise(masks)
        federation.send(messages.FORE_GRADIENT, fore_gradient.to_arrow(), context.hosts, suffix)
        penalty = self.param.penalty_term.gradient(self.weights)
        gradient = self.mean_product(batch, joint, residual, penalty).rerandomise(masks)
        federation.send(messages.GUEST_GRADIENT, gradient.to_arrow(), context.arbiter, suffix)
        if self.has_loss:
            self._send_loss(batch, signs, joint, own, masks, suffix, rows)
        step = federation.receive(messages.GUEST_OPTIM_GRADIENT, context.arbiter, suffix)
        self.apply(step, suffix[0])

    def sum_of_hosts(
        self, variable: str, key: PublicKey, size: int, suffix: Suffix
    ) -> CipherColumn:
        """The sum of what all hosts send for ``size`` rows."""
        federation, hosts = self.context.federation, self.context.hosts
        columns = [
            messages.read_column(federation.receive(variable, host, suffix), key, size, host)
            for host in hosts
        ]
        joint = columns[0]
        for column in columns[1:]:
            joint = joint.add(column)
        return joint

    def mean_product(
        self, batch: Batch, joint: CipherColumn, plain: Floats, penalty: Floats
    ) -> CipherColumn:
        """E(Xᵀd ÷ n + penalty), d = ¼·joint + plain: hosts' share encrypted, the rest in clear.

        The intercept, if one is fitted, is the last column of X.
        """
        own = batch.features.T @ plain / batch.size
        product = joint.dot(batch.plan).scale(SCORE_FACTOR)
        if self.weights.fit_intercept:
            own = np.append(own, plain.mean())
            total = joint.sum().scale(SCORE_FACTOR).scale(1 / batch.size, bits=53)
            product = CipherColumn.concat([product, total])
        return product.add_plain(own + penalty)

    def _send_loss(
        self,
        batch: Batch,
        signs: Floats,
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
        factors = own / (4 * rows) + LABEL_FACTOR * signs / rows
        loss = joint.dot(factors[:, None], bits=MATRIX_BITS)
        squares = federation.receive(messages.LOSS_INTERMEDIATE, host, suffix)
        loss = loss.add(
            messages.read_column(squares, joint.key, 1, host).scale(1 / (8 * rows), bits=53)
        )
        plain = taylor_loss(float(signs @ own), float(own @ own), rows)
        penalty = self.param.penalty_term.loss(self.weights)
        if penalty is not None:
            regular = federation.receive(messages.HOST_LOSS_REGULAR, host, suffix)
            loss = loss.add(messages.read_column(regular, joint.key, 1, host))
            plain += penalty
        federation.send(
            messages.LOSS,
            [loss.add_plain(np.array([plain])).rerandomise(masks).to_arrow()],
            self.context.arbiter,
            suffix,
        )

    def _labels(self, data: Table) -> tuple[Floats, tuple[int, ...]]:
        """Labels, shape (n,), and the different ones, ascending.

        Raises:
            DataError: no label, only one class, two that are not 0 and 1 (or −1 and 1), or
                more that are not whole numbers.
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
        if len(classes) > 2:
            if len(classes) > MAXIMUM_CLASSES:
                raise DataError(f"{where} has {len(classes)} different labels", remedy=remedy)
            return numbers, integer_classes(classes, where)
        if classes[1] != 1 or classes[0] not in (0, -1):
            raise DataError(
                f"the labels of {where} are {classes[0]:g} and {classes[1]:g}", remedy=remedy
            )
        return numbers, (int(classes[0]), 1)

    def select_stepwise(self, data: Table | None) -> Table | None:
        _, classes = self._labels(self.require_table(data))
        if len(classes) > 2:
            raise UnsupportedError(
                f"stepwise selection works with two classes, the labels have {len(classes)}",
                remedy="Set stepwise_param.need_stepwise to false",
            )
        return super().select_stepwise(data)

    def fit_null(self, data: Table) -> float | None:
        """The intercept with the least Taylor loss, 2·mean y; 0 where none is fitted."""
        super().fit_null(data)
        labels, _ = self._labels(data)
        mean = float(np.where(labels == self.positive_class, 1.0, -1.0).mean())
        has_intercept = self.param.init_param.fit_intercept
        intercept = 2 * mean if has_intercept else 0.0
        self.weights = LinearWeights(np.empty(0), intercept, has_intercept)
        return taylor_loss(mean * intercept, intercept**2, 1)

    # -- prediction -----------------------------------------------------------------------

    def predict(self, data: Table | None, data_type: str) -> Table | None:
        table = self.require_table(data)
        if self.one_vs_rest is None:
            score = self.probabilities(table)
            result = (score > self.param.predict_param.threshold).astype(np.int64)
            details = binary_details(score)
        else:
            models = self.one_vs_rest.in_turn(self.context.federation)
            scores = np.column_stack([model.probabilities(table) for model in models])
            result, score, details = choose_class(scores, self.one_vs_rest.classes)
        return write_predictions(
            self.context,
            table,
            result,
            score,
            details,
            data_type,
            integer_classes=self.one_vs_rest is not None,
        )

    def probabilities(self, data: Table) -> Floats:
        """P(positive class) of each row, shape (n,), with the scores that the hosts send.

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
