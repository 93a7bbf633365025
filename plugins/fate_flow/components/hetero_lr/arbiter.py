"""HeteroLR at the arbiter, who has the key and no data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fate_flow.components.common_params import SAFE_KEY_LENGTH
from fate_flow.components.hetero_lr import messages
from fate_flow.components.hetero_lr.curvature import ArbiterCurvature
from fate_flow.components.hetero_lr.party import HeteroLRParty
from fate_flow.components.hetero_lr.validation import ArbiterValidation
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.paillier import PrivateKey
from fate_flow.data.table import Table
from fate_flow.entities import Party
from fate_flow.errors import ProtocolError
from fate_flow.ml.convergence import ConvergenceTest
from fate_flow.ml.optimizers import Optimizer, make_optimizer
from fate_flow.ml.quasi_newton import QuasiNewton
from fate_flow.models.proto.lr_model_meta_pb2 import LRModelMeta
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam

Floats = NDArray[np.float64]

_LOSS_META = {"name": "train", "metric_type": "LOSS", "unit_name": "iters"}


class HeteroLRArbiter(HeteroLRParty):
    """Decrypts gradients, turns them into steps, decides when to stop."""

    #: Its meta says what was asked for, though it has no weights.
    has_intercept = True

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        self.check_parties()
        count = self.receive_classes()
        if count == 2:
            self.fit_binary()
        else:
            self.fit_classes(range(count), HeteroLRArbiter.fit_binary)
        return None

    def fit_binary(self) -> None:
        """Drive the fit of one class against all others."""
        context, federation = self.context, self.context.federation
        others = [context.guest, *context.hosts]
        if not self.keys.is_made:
            self._warn()
        key = self.keys.make(self.param.encrypt_param.key_length)
        federation.send(messages.PUBLIC_KEY, key.public.to_payload(), others)
        info = messages.BatchInfo.from_payload(
            federation.receive(messages.BATCH_INFO, context.guest), context.guest
        )
        optimizer, curvature = self._optimizer()
        convergence = ConvergenceTest(self.param.early_stop, self.param.tol)
        validation = ArbiterValidation(self)
        for iteration in range(self.param.max_iter):
            loss, moved = self._iterate(iteration, info.batch_num, key, optimizer, curvature)
            self.is_converged = convergence.is_converged(loss, moved)
            federation.send(messages.CONVERGE_FLAG, self.is_converged, others, (iteration,))
            self.iterations = iteration + 1
            self._log_loss(iteration, loss)
            if validation.stops_after(iteration) or self.is_converged:
                break

    def _optimizer(self) -> tuple[Optimizer, ArbiterCurvature | None]:
        param = self.param
        if param.optimizer != "sqn":
            return make_optimizer(param.optimizer, param.rate), None
        optimizer = QuasiNewton(param.rate, param.sqn_param.memory_M)
        return optimizer, ArbiterCurvature(self, optimizer)

    def _log_loss(self, iteration: int, loss: float | None) -> None:
        self.loss = loss
        self.show_progress(loss)
        if loss is not None and self.scope.loss is not None:
            name, curve = self.scope.loss
            meta = {**_LOSS_META, "curve_name": curve}
            self.context.tracker.metrics("train", name, [(iteration, loss)], meta)

    def _warn(self) -> None:
        length = self.param.encrypt_param.key_length
        if length < SAFE_KEY_LENGTH:
            self.context.log.warning(
                "the Paillier key has %d bits; use %d (encrypt_param.key_length) to protect "
                "real data",
                length,
                SAFE_KEY_LENGTH,
            )
        mode = self.param.encrypted_mode_calculator_param.mode
        if mode != "strict":
            self.context.log.warning(
                "encrypted_mode_calculator_param.mode %s is read as strict: every value is "
                "encrypted afresh",
                mode,
            )

    def _iterate(
        self,
        iteration: int,
        batches: int,
        key: PrivateKey,
        optimizer: Optimizer,
        curvature: ArbiterCurvature | None,
    ) -> tuple[float | None, Floats]:
        """One pass over all batches: mean of their losses, sum of their steps."""
        losses: list[float] = []
        moved: Floats = np.zeros(1)
        for index in range(batches):
            suffix = (iteration, index)
            step = self._step(key, optimizer, suffix)
            moved = moved + step
            if self.has_loss:
                losses.append(self._loss(key, suffix))
            if curvature is not None:
                curvature.after_update(step, key, suffix)
        return (float(np.mean(losses)) if losses else None), moved

    def _step(self, key: PrivateKey, optimizer: Optimizer, suffix: tuple[int, int]) -> Floats:
        """The step of one batch, [hosts in party order, guest]; each party gets its own part."""
        federation, context = self.context.federation, self.context
        names = [
            *(
                (host, messages.HOST_GRADIENT, messages.HOST_OPTIM_GRADIENT)
                for host in context.hosts
            ),
            (context.guest, messages.GUEST_GRADIENT, messages.GUEST_OPTIM_GRADIENT),
        ]
        parts = [self.decrypt(key, name, party, suffix) for party, name, _ in names]
        step = optimizer.step(np.concatenate(parts), suffix[0])
        ends = np.cumsum([len(part) for part in parts])[:-1]
        for (party, _, answer), part in zip(names, np.split(step, ends), strict=True):
            federation.send(answer, part, party, suffix)
        return step

    def decrypt(self, key: PrivateKey, name: str, party: Party, suffix: tuple[int, int]) -> Floats:
        """What a party sent, in clear."""
        received = self.context.federation.receive(name, party, suffix)
        return CipherColumn.from_arrow(received, key.public).decrypt(key)

    def _loss(self, key: PrivateKey, suffix: tuple[int, int]) -> float:
        received = self.context.federation.receive(messages.LOSS, self.context.guest, suffix)
        if not isinstance(received, list) or len(received) != 1:
            raise ProtocolError("the guest did not send one loss")
        (loss,) = CipherColumn.from_arrow(received[0], key.public).decrypt(key)
        return float(loss)

    # -- the arbiter has no part in predictions and no weights ------------------------------

    def predict(self, data: Table | None, data_type: str) -> Table | None:
        return None

    def _restore(self, meta: LRModelMeta, stored: LRModelParam) -> None:
        return None

    def _param(self) -> LRModelParam:
        return LRModelParam()
