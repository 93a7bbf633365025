"""One-vs-rest: a classifier of several classes from one binary model per class.

The guest tells all parties how many classes its labels have; with more than two, each
party fits one part per class, class i against all others in flow
``<flow>_one_vs_rest_<i>``, and scores with all of them likewise. Only the guest knows
which class the i-th is; it chooses the class with the highest score.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from fate_flow.components.learner import L, Share, in_flow
from fate_flow.errors import DataError
from fate_flow.runtime.context import Federation

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: guest → hosts, arbiter, no suffix: number of different labels.
AGGREGATE_CLASSES = "aggregate_classes"


@dataclass(frozen=True)
class OneVsRest(Generic[L]):
    """The models of all classes.

    Attributes:
        classes: at the guest the labels, ascending; elsewhere 0, 1, 2, …
        models: one per class.
    """

    classes: tuple[int, ...]
    models: Sequence[L]

    def in_turn(self, federation: Federation) -> Iterator[L]:
        """Every model, with the federation in its flow while it is at work."""
        outer = federation.flow
        for index, model in enumerate(self.models):
            with in_flow(federation, _flow(outer, index)):
                yield model


def _flow(outer: str, index: int) -> str:
    return f"{outer}_one_vs_rest_{index}"


def class_parts(learner: L, count: int) -> Iterator[tuple[int, L]]:
    """An unfitted part for every class, with the federation in its flow until the next one.

    No loss is logged; validations in training are named ``one_vs_rest_<i>.<name>``.
    """
    federation = learner.context.federation
    outer, scope = federation.flow, learner.scope
    for index in range(count):
        name = f"{scope.data_set}one_vs_rest_{index}."
        part = learner.part(
            Share.of("class", index, count), replace(scope, loss=None, data_set=name)
        )
        with in_flow(federation, _flow(outer, index)):
            yield index, part


def integer_classes(classes: Floats, where: str) -> tuple[int, ...]:
    """Different labels, ascending, as integers.

    Raises:
        DataError: a label is not a whole number.
    """
    broken = classes[classes != np.rint(classes)]
    if len(broken):
        raise DataError(
            f"{where} has {len(classes)} different labels and {broken[0]:g} is one of them; "
            "several classes are told apart by whole numbers",
            remedy="Number the classes, or use a regression for a label that is a quantity",
        )
    return tuple(int(label) for label in classes)


def stored_classes(texts: Sequence[str], models: int) -> tuple[int, ...]:
    """The classes of a stored model.

    Raises:
        DataError: not whole numbers, or not one per model.
    """
    try:
        classes = tuple(int(text) for text in texts)
    except ValueError:
        classes = ()
    if len(classes) < 3 or len(classes) != models or len(set(classes)) != models:
        raise DataError(
            f"the one-vs-rest model is damaged: {models} models for the classes "
            f"{', '.join(texts) or '(none)'}"
        )
    return classes


def choose_class(scores: Floats, classes: Sequence[int]) -> tuple[Ints, Floats, list[str]]:
    """The class of each row, from the scores of all models, shape (n, k).

    Returns:
        class with the highest score (of equal ones the first), its score, and the JSON text
        ``{class: score, …}``.
    """
    best = np.argmax(scores, axis=1)
    result = np.asarray(classes, dtype=np.int64)[best]
    top: Floats = scores[np.arange(len(scores)), best]
    names = [json.dumps(str(label)) for label in classes]
    details = [
        "{" + ", ".join(f"{n}: {s!r}" for n, s in zip(names, row, strict=True)) + "}"
        for row in scores.tolist()
    ]
    return result, top, details
