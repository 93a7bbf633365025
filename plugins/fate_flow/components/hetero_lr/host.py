"""HeteroLR at a host, who has features only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fate_flow.components.hetero_lr import messages
from fate_flow.components.hetero_lr.party import MATRIX_BITS, HeteroLRParty
from fate_flow.components.hetero_lr.validation import HostValidation
from fate_flow.crypto.bucket_products import DotPlan
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.masks import MaskPool
from fate_flow.crypto.paillier import PublicKey
from fate_flow.data.table import Table
from fate_flow.errors import DataError, ProtocolError
from fate_flow.ml.batches import batch_slices

Floats = NDArray[np.float64]


class HeteroLRHost(HeteroLRParty):
    """Sends encrypted scores, gets encrypted residuals."""

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        context, federation = self.context, self.context.federation
        self.check_parties()
        table = self.require_table(data)
        features = self.features_of(table)
        self.check_classes(federation.receive(messages.AGGREGATE_CLASSES, context.guest))
        key = PublicKey.from_payload(federation.receive(messages.PUBLIC_KEY, context.arbiter))
        batches = self._cut(table, features, validate is not None)
        self.header = table.schema.header
        self.weights = self.start_weights(features)
        validation = HostValidation(self, table, validate)
        with MaskPool(key) as masks:
            for iteration in range(self.param.max_iter):
                for index, (batch, plan) in enumerate(batches):
                    self._train_batch(batch, plan, key, masks, (iteration, index))
                self.is_converged = bool(
                    federation.receive(messages.CONVERGE_FLAG, context.arbiter, (iteration,))
                )
                self.iterations = iteration + 1
                self.show_progress()
                if validation.stops_after(iteration) or self.is_converged:
                    break
        validation.restore_best()
        return None

    def _cut(self, table: Table, features: Floats, has_eval: bool) -> list[tuple[Floats, DotPlan]]:
        """The guest's batches: features, and features ÷ n ready for products.

        Raises:
            DataError: the guest has other rows, or only one side has eval data.
            ProtocolError: the guest cut other batches.
        """
        guest = self.context.guest
        info = messages.BatchInfo.from_payload(
            self.context.federation.receive(messages.BATCH_INFO, guest), guest
        )
        if info.rows != table.count or info.ids != messages.ids_digest(table.ids()):
            raise DataError(
                f"the ids of the {table.count} rows of {self.context.party} are not those of the "
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
        slices = batch_slices(table.count, info.batch_size)
        if len(slices) != info.batch_num:
            raise ProtocolError(f"{guest} cut {info.batch_num} batches, not {len(slices)}")
        return [
            (features[rows], DotPlan(features[rows] / (rows.stop - rows.start), MATRIX_BITS))
            for rows in slices
        ]

    def _train_batch(
        self,
        features: Floats,
        plan: DotPlan,
        key: PublicKey,
        masks: MaskPool,
        suffix: tuple[int, int],
    ) -> None:
        context, federation = self.context, self.context.federation
        scores = self.weights.scores(features)
        forward = CipherColumn.encrypt(scores, key, masks=masks)
        federation.send(messages.HOST_FORWARD, forward.to_arrow(), context.guest, suffix)
        # While the guest computes: the masks of this batch's gradient and the next scores.
        masks.prepare(len(features) + 2 + plan.shape[1])
        if self.has_loss:
            self._send_loss_parts(scores, key, masks, suffix)
            masks.prepare(len(features) + plan.shape[1])
        residual = CipherColumn.from_arrow(
            federation.receive(messages.FORE_GRADIENT, context.guest, suffix), key
        )
        if len(residual) != len(features):
            raise ProtocolError(f"the guest sent {len(residual)} residuals, not {len(features)}")
        gradient = residual.dot(plan).add_plain(self.param.penalty_term.gradient(self.weights))
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
        self.send_scores(self.require_table(data))
        return None

    def send_scores(self, data: Table) -> None:
        """w_h·x of every row to the guest, in clear as the protocol has it."""
        scores = self.weights.scores(self.features_of(data, self.header))
        self.context.federation.send(
            messages.HOST_PROB,
            messages.HostScores(messages.ids_digest(data.ids()), scores).to_payload(),
            self.context.guest,
        )
