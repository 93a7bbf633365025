"""k-fold cross validation of a learner on vertically split data.

The guest splits its rows and tells the hosts which ids stand in which part. For each fold k
all parties fit on the training part (flow ``train.<k>``, the test part as validation data)
and score both parts (``predict_train.<k>``, ``predict_validate.<k>``); the guest evaluates
them as ``train_fold_<k>`` and ``validate_fold_<k>``. Nothing of it is kept but the metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fate_flow.components.common_params import CrossValidationParam
from fate_flow.components.evaluation.component import Evaluation
from fate_flow.components.evaluation.params import EvaluateParam
from fate_flow.components.learner import FitScope, Learner, Share, in_flow
from fate_flow.data.table import SID, Table, TableStore
from fate_flow.errors import DataError, ProtocolError
from fate_flow.ml.evaluation import TRAINING_METRICS
from fate_flow.ml.folds import k_folds
from fate_flow.runtime.context import TaskContext, TaskInputs

#: guest → hosts, suffix (flow,): a table of the ids of the training and of the test rows.
TRAIN_SID = "train_sid"
TEST_SID = "test_sid"


def cross_validate(learner: Learner[Any], data: Table | None) -> None:
    """Fit, score and evaluate every fold.

    Args:
        learner: unfitted, and so it stays.
        data: rows to split; None at a party without data.

    Raises:
        DataError: fewer rows than folds, or a host lacks rows of the guest.
    """
    param: CrossValidationParam = learner.param.cv_param
    federation, is_guest = learner.context.federation, learner.context.party.role == "guest"
    for fold, (train, test) in enumerate(_folds(learner, data, param)):
        scope = FitScope(loss=(f"loss.{fold}", str(fold)), data_set=f"fold_{fold}.")
        part = learner.part(Share.of("fold", fold, param.n_splits), scope)
        with in_flow(federation, f"train.{fold}"):
            part.fit(train, test)
        for kind, rows in (("train", train), ("validate", test)):
            with in_flow(federation, f"predict_{kind}.{fold}"):
                scores = part.predict(rows, kind)
            if is_guest and scores is not None:
                evaluate_predictions(
                    part.context, f"{kind}_fold_{fold}", scores, part.evaluation_type
                )


def _folds(
    learner: Learner[Any], data: Table | None, param: CrossValidationParam
) -> Iterator[tuple[Table | None, Table | None]]:
    """Training and test rows of each fold at this party; at most one fold is stored."""
    role = learner.context.party.role
    if role == "arbiter":
        yield from [(None, None)] * param.n_splits
        return
    table = learner.require_table(data)
    splits = _draw(learner.context, table, param) if role == "guest" else _receive(learner, param)
    store = TableStore(Path(learner.context.work_dir) / "folds")
    for train, test in splits:
        yield _rows(store, table, "train", train), _rows(store, table, "test", test)
        for name in ("train", "test"):
            store.drop("folds", name)


def _draw(
    context: TaskContext, table: Table, param: CrossValidationParam
) -> Iterator[tuple[pa.Array, pa.Array]]:
    """At the guest: the ids of each fold, which the hosts are told."""
    ids = table.ids()
    folds = k_folds(len(ids), param.n_splits, shuffle=param.shuffle, seed=param.random_seed)
    for fold, (train, test) in enumerate(folds):
        parts = ids.take(pa.array(train)), ids.take(pa.array(test))
        for name, part in zip((TRAIN_SID, TEST_SID), parts, strict=True):
            context.federation.send(name, pa.table({SID: part}), context.hosts, (f"train.{fold}",))
        yield parts


def _receive(
    learner: Learner[Any], param: CrossValidationParam
) -> Iterator[tuple[pa.Array, pa.Array]]:
    """At a host: the ids of each fold, as the guest says."""
    context = learner.context
    for fold in range(param.n_splits):
        parts = []
        for name in (TRAIN_SID, TEST_SID):
            keys = context.federation.receive(name, context.guest, (f"train.{fold}",))
            if (
                not isinstance(keys, pa.Table)
                or keys.column_names != [SID]
                or not pa.types.is_string(keys.schema.field(SID).type)
                or keys.column(SID).null_count
            ):
                raise ProtocolError(f"{context.guest} sent no readable {name}")
            parts.append(keys.column(SID).combine_chunks())
        yield parts[0], parts[1]


def _rows(store: TableStore, table: Table, name: str, ids: pa.Array) -> Table:
    part = store.select("folds", name, table, ids)
    if part.count != len(ids):
        raise DataError(
            f"table {table.name} lacks {len(ids) - part.count} of the {len(ids)} rows of a fold",
            remedy="Put an Intersection before it at all parties, with sync_intersect_ids on",
        )
    return part


def evaluate_predictions(context: TaskContext, name: str, table: Table, kind: str) -> None:
    """Report the short default metrics of a table of predictions as data set ``name``.

    Binary metrics are left out, with a warning, when the rows are all of one class.
    """
    if kind == "binary" and len(pc.unique(table.arrow(["label"]).column("label"))) < 2:
        context.log.warning("all rows of %s have the same label, it is not evaluated", name)
        return
    conf = {**EvaluateParam.defaults(), "eval_type": kind, "metrics": list(TRAINING_METRICS[kind])}
    inputs = TaskInputs(data={name: {"data": table}})
    Evaluation(replace(context, parameters=conf, inputs=inputs)).run()
