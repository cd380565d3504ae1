"""How the daemon is started here: `python -m torture.launcher run --config ...`.

The program is the real one. Before it begins, its ports are made to pass points, at one of which it may have been told to
die, and the safeguards named in the plan are taken from it.
"""

from __future__ import annotations

import os

from speechsense_watch.cli import main
from torture import hurry, passing, safeguards
from torture.points import Plan, Points

if __name__ == "__main__":
    plan = Plan.from_environ(os.environ)
    if plan.hurried:
        hurry.up()
    safeguards.take_away(plan.without)
    passing.install(Points(plan))
    main()
