"""Times that are made for days are made for seconds here, and limits of the real service that a storm would exhaust are raised.

Nothing of this takes a safeguard away: the order of things stays, and so does how many looks it takes to be sure.
"""

from __future__ import annotations

from speechsense_watch import attempt, confirmer
from speechsense_watch.core import lookup, quota
from torture.points import replace

_AS_MUCH = 100


def up() -> None:
    replace(attempt, "PROBE_HOLD_S", 0.3)
    replace(lookup, "FIRST_LOOK_S", 0.3)
    replace(confirmer, "AFTER_TROUBLE_S", 1.0)
    replace(confirmer, "NOT_REACHABLE_REST_S", 1.0)
    replace(quota, "READING", {seconds: talks * _AS_MUCH for seconds, talks in quota.READING.items()})
