"""Weight of evidence and information value of binned columns.

For bin i with e_i events of E and n_i non-events of N:
WOE_i = ln((e_i / E) / (n_i / N)) and IV = sum_i (e_i / E - n_i / N) * WOE_i
(Siddiqi, Credit Risk Scorecards, 2006, chapter 6). A bin that lacks one class gets
an adjustment added to both of its counts, so that the logarithm exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fate_flow.ml.binning import CountArray
from fate_flow.ml.quantile import FloatArray


@dataclass(frozen=True)
class InformationValue:
    """What the labels say about the bins of one column; all arrays have shape (bins,).

    Attributes:
        events, non_events: counts, int64.
        event_rates, non_event_rates: share of the column's events and non-events, after
            adjustment.
        woe: weight of evidence per bin.
        iv: contribution of each bin.
    """

    events: CountArray
    non_events: CountArray
    event_rates: FloatArray
    non_event_rates: FloatArray
    woe: FloatArray
    iv: FloatArray

    @property
    def total(self) -> float:
        """Information value of the column."""
        return float(self.iv.sum())

    @property
    def is_monotonic(self) -> bool:
        """The weight of evidence never rises, or never falls, from bin to bin."""
        steps = np.diff(self.woe)
        return bool((steps >= 0).all() or (steps <= 0).all())


def information_value(
    events: np.ndarray[Any, Any], non_events: np.ndarray[Any, Any], adjustment: float
) -> InformationValue:
    """WOE and IV from counts.

    Args:
        events, non_events: integer counts, shape (bins,).
        adjustment: added to both counts of a bin where one of them is zero; > 0.
    """
    events = np.asarray(events, dtype=np.int64)
    non_events = np.asarray(non_events, dtype=np.int64)
    lacking = np.where((events == 0) | (non_events == 0), adjustment, 0.0)
    # A table with one class only has a total of zero; dividing by 1 keeps the rate at
    # the adjustment itself.
    event_rates = (events + lacking) / max(int(events.sum()), 1)
    non_event_rates = (non_events + lacking) / max(int(non_events.sum()), 1)
    woe = np.log(event_rates / non_event_rates)
    return InformationValue(
        events=events,
        non_events=non_events,
        event_rates=event_rates,
        non_event_rates=non_event_rates,
        woe=woe,
        iv=(event_rates - non_event_rates) * woe,
    )
