"""HeteroLR at a host, who has features only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fate_flow.components.hetero_lr import messages
from fate_flow.components.hetero_lr.curvature import HostCurvature
from fate_flow.components.hetero_lr.party import HeteroLRParty
from fate_flow.components.hetero_lr.rows import Batch, TrainingRows
from fate_flow.components.hetero_lr.validation import HostValidation
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.masks import MaskPool
from fate_flow.crypto.paillier import PublicKey
from fate_flow.data.table import Table
from fate_flow.errors import DataError, ProtocolError

Floats = NDArray[np.float64]


class HeteroLRHost(HeteroLRParty):
    """Sends encrypted scores, gets encrypted residuals."""

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        self.check_parties()
        table = self.require_table(data)
        rows = TrainingRows(table, self.features_of(table))
        count = self.receive_classes()
        self.header = table.schema.header
        if count == 2:
            self.fit_binary(rows, validate)
        else:

            def fit_one(part: HeteroLRHost) -> None:
                part.fit_binary(rows, validate)

            self.fit_classes(range(count), fit_one)
        return None

    def fit_binary(self, rows: TrainingRows, validate: Table | None) -> None:
        """Fit one class against all others; the guest alone knows which.

        Args:
            rows: with features.
            validate: rows to validate with.
        """
        context, federation = self.context, self.context.federation
        key = self.keys.take(federation.receive(messages.PUBLIC_KEY, context.arbiter))
        batches = self._cut(rows, validate is not None)
        self.header = rows.table.schema.header
        self.weights = self.start_weights(rows.features)
        validation = HostValidation(self, rows.table, validate)
        curvature = HostCurvature(self) if self.param.optimizer == "sqn" else None
        with MaskPool(key) as masks:
            for iteration in range(self.param.max_iter):
                for index, batch in enumerate(batches):
                    self._train_batch(batch, key, masks, (iteration, index))
                    if curvature is not None:
                        curvature.after_update(batch, key, masks, (iteration, index))
                self.is_converged = bool(
                    federation.receive(messages.CONVERGE_FLAG, context.arbiter, (iteration,))
                )
                self.iterations = iteration + 1
                self.show_progress()
                if validation.stops_after(iteration) or self.is_converged:
                    break
        validation.restore_best()

    def _cut(self, rows: TrainingRows, has_eval: bool) -> list[Batch]:
        """The guest's batches.

        Raises:
            DataError: the guest has other rows, or only one side has eval data.
            ProtocolError: the guest cut other batches.
        """
        guest = self.context.guest
        info = messages.BatchInfo.from_payload(
            self.context.federation.receive(messages.BATCH_INFO, guest), guest
        )
        if info.rows != rows.count or info.ids != rows.digest:
            raise DataError(
                f"the ids of the {rows.count} rows of {self.context.party} are not those of the "
                f"{info.rows} rows of {guest}",
                remedy="Put an Intersection before HeteroLR at both parties, with "
                "sync_intersect_ids on",
            )
        if info.validate != has_eval:
            one, other = (
                (guest, self.context.party) if info.validate else (self.context.party, guest)
            )
            raise DataError(
                f"{one} has eval_data for HeteroLR and {other} has none",
                remedy="Name an eval_data table at every party, or at none",
            )
        batches = rows.batches(info.batch_size)
        if len(batches) != info.batch_num:
            raise ProtocolError(f"{guest} cut {info.batch_num} batches, not {len(batches)}")
        return batches

    def _train_batch(
        self, batch: Batch, key: PublicKey, masks: MaskPool, suffix: tuple[int, int]
    ) -> None:
        context, federation = self.context, self.context.federation
        features = batch.features
        scores = self.weights.scores(features)
        forward = CipherColumn.encrypt(scores, key, masks=masks)
        federation.send(messages.HOST_FORWARD, forward.to_arrow(), context.guest, suffix)
        # While the guest computes: the masks of this batch's gradient and the next scores.
        masks.prepare(len(features) + 2 + features.shape[1])
        if self.has_loss:
            self._send_loss_parts(scores, key, masks, suffix)
            masks.prepare(len(features) + features.shape[1])
        received = federation.receive(messages.FORE_GRADIENT, context.guest, suffix)
        residual = messages.read_column(received, key, batch.size, context.guest)
        gradient = residual.dot(batch.plan).add_plain(
            self.param.penalty_term.gradient(self.weights)
        )
        federation.send(
            messages.HOST_GRADIENT,
            gradient.rerandomise(masks).to_arrow(),
            context.arbiter,
            suffix,
        )
        masks.prepare(len(features))
        step = federation.receive(messages.HOST_OPTIM_GRADIENT, context.arbiter, suffix)
        self.apply(step, suffix[0])

    def _send_loss_parts(
        self, scores: Floats, key: PublicKey, masks: MaskPool, suffix: tuple[int, int]
    ) -> None:
        """E(Σ (w_h·x)²), and E(penalty) if there is one."""
        federation, guest = self.context.federation, self.context.guest
        squares = CipherColumn.encrypt(np.array([scores @ scores]), key, masks=masks)
        federation.send(messages.LOSS_INTERMEDIATE, squares.to_arrow(), guest, suffix)
        penalty = self.param.penalty_term.loss(self.weights)
        if penalty is not None:
            regular = CipherColumn.encrypt(np.array([penalty]), key, masks=masks)
            federation.send(messages.HOST_LOSS_REGULAR, regular.to_arrow(), guest, suffix)

    # -- prediction -----------------------------------------------------------------------

    def predict(self, data: Table | None, data_type: str) -> Table | None:
        table = self.require_table(data)
        if self.one_vs_rest is None:
            self.send_scores(table)
        else:
            for model in self.one_vs_rest.in_turn(self.context.federation):
                model.send_scores(table)
        return None

    def send_scores(self, data: Table) -> None:
        """w_h·x of every row to the guest, in clear as the protocol has it."""
        scores = self.weights.scores(self.features_of(data, self.header))
        self.context.federation.send(
            messages.HOST_PROB,
            messages.HostScores(messages.ids_digest(data.ids()), scores).to_payload(),
            self.context.guest,
        )
