"""What crosses between guest and hosts of a selection.

``host_select_cols``, suffix ``plan``   host -> guest: the filters that need both sides, in order
``result_left_cols``, suffix ``plan``   guest -> hosts: the same of the guest
``host_select_cols``, suffix k          host -> guest: candidates of the filter at position k,
                                        under anonymous names (``host.<index>``)
``result_left_cols``, suffix k          guest -> host: the names that stay

Information values stay at the guest; a host learns which of its columns stay.
"""

from __future__ import annotations

HOST_COLUMNS = "host_select_cols"
LEFT_COLUMNS = "result_left_cols"
PLAN = "plan"
