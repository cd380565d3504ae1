"""A simulated life of the daemon: the real decisions of `core`, everything else in memory and in simulated time.

    service.py   the service: what it stored is the truth that the end is held against
    rows.py      the queue: job rows as values, numbered events, tries; what a crash leaves
    fate.py      what goes wrong with which try, drawn from the recording's own number
    checker.py   what may have become of a recording by all that the daemon was told, and whether its end is one of that
    policies.py  the three that the daemon offers, the naive ones, and the protocol with one safeguard taken away
    daemon.py    the daemon: claims, attempts, ends, crashes; looking.py its look-ups
    world.py     one life from its first recording to the last; figures.py what came of many

The same seed gives the same life, whatever ran before it.
"""
