"""What becomes of recordings when everything goes wrong, in simulated time: hundreds of thousands of them, and every policy.

`python tests/model/simulate.py [--recordings N] [--seed S]`. The look-up gets N recordings, holding and resending a third of
that each, every naive way of delivering and the slow index a tenth. Prints a table of what was lost, doubled, held and left
behind, then whether the checker sees each safeguard that is taken away. Ends with 1 when a promise was not kept, when a naive
policy came out as well as ours, or when a safeguard was not missed. The same seed gives the same figures.
"""

from __future__ import annotations

import argparse
import sys
import time

from support.simulation.figures import HEAVY, HEAVY_AND_MEASURED, Tally, bites, heading, line, play
from support.simulation.policies import HOLD, NAIVE, RESEND, SEARCH


def main(recordings: int, seed: int) -> int:
    began = time.process_time()
    failures: list[str] = []
    say(heading())
    for policy, share in ((SEARCH, 1), (HOLD, 3), (RESEND, 3)):
        tally = show(play(policy, recordings // share, seed))
        failures += [f"{policy.name}: {broken}" for broken in tally.broken_promises]
        if policy is SEARCH:
            faults = tally.faults
    for policy in NAIVE:
        tally = show(play(policy, recordings // 10, seed))
        if not tally.lost and not tally.doubled:
            failures.append(f"{policy.name}: neither lost nor doubled anything, so the faults were too mild")
    # No promise: with an index this slow only a longer patience helps, and how slow it is is measured only as it goes.
    for faults_met, name in ((HEAVY, "search, index lag 5 min median"), (HEAVY_AND_MEASURED, "  the same, measured before")):
        slow = show(play(SEARCH, recordings // 10, seed, faults_met), name)
        failures += [f"slow index: {what}" for what, how_many in (("lost", slow.lost), ("wrong ids", slow.wrong_ids)) if how_many]
    say("\nfaults met by search: " + ", ".join(f"{n} {what}" for what, n in sorted(faults.items())))
    failures += show_teeth(seed)
    say(f"\n{time.process_time() - began:.0f} s of CPU")
    for failure in failures:
        say(f"FAILED {failure}")
    return 1 if failures else 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def show(tally: Tally, name: str = "") -> Tally:
    say(line(tally, name))
    return tally


def show_teeth(seed: int) -> list[str]:
    found = bites(seed)
    say(f"\nsafeguards taken away and missed: {sum(bool(bite.seen) for bite in found)} of {len(found)}")
    for bite in found:
        say(f"  {bite.policy.name:<24} {', '.join(bite.seen) or 'NOT MISSED'} (within {bite.recordings} recordings)")
    return [f"{bite.policy.name}: nobody noticed" for bite in found if not bite.seen]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recordings", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    sys.exit(main(chosen.recordings, chosen.seed))
