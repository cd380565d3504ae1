"""Files that stay where they are once there is a row about them: are they still what the row says?

Nothing tells of a file that is rewritten in place where events do not reach or were lost: its directory stays as it was. So
what is young is glanced at with every scan, everything else in a slow round that comes by each file within a day, and all
that lies in a directory whenever that is listed anew.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from speechsense_watch.core import pairing
from speechsense_watch.core.known import Known, Row, asks_for_a_look, files_of, in_other_hands, names_of, told_by_files
from speechsense_watch.core.model import Glance, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.ports import Clock, Files, FileTrouble, FileTroubleKind, OnRecord

# What was uploaded so lately is still worth a look with each scan; of what stopped, people mend in the week after.
UPLOADED_LATELY = timedelta(hours=1)
STOPPED_LATELY = timedelta(days=7)
ROUND_S = 86400.0
# The round's share of a scan: a folder of that many recordings is wholly glanced at each time, and whatever interval and number
# would ask for more does not get it.
_LEAST_SHARE, _MOST_SHARE = 1_000, 40_000
# So many are glanced at before whoever asks may turn to other work: on a slow share a glance takes a millisecond.
_TOGETHER = 100
_COMPARED_TOGETHER = 250
_MOST_REMEMBERED = 10_000

_Halves = tuple[Known, Glance | None, Glance | None]


@dataclass(slots=True)
class Kept:
    """The files of one folder that have a row."""

    rules: Folder
    files: Files
    on_record: OnRecord
    clock: Clock
    _at: str = ""
    _round_at: float | None = None
    # What asked for a look before and was left as it is: a change after the upload, a file that was only touched.
    _judged: dict[str, _Halves] = field(default_factory=dict)

    def forget(self) -> None:
        """Whatever was judged may be judged again."""
        self._judged.clear()

    def young(self) -> Iterator[list[Known]]:
        now = self.clock.now()
        yield from self.asking(self.on_record.young(now - UPLOADED_LATELY, now - STOPPED_LATELY))

    def next_of_round(self) -> Iterator[list[Known]]:
        """Some further ones, so many that the round takes a day."""
        now = self.clock.monotonic()
        passed_s = now - self._round_at if self._round_at is not None else 0.0
        self._round_at = now
        share = math.ceil(self.on_record.count() * passed_s / ROUND_S)
        share = min(max(share, _LEAST_SHARE), _MOST_SHARE)
        rows = self.on_record.after(self._at, share)
        self._at = rows[-1].path if len(rows) == share else ""
        # What waits has its own appointments, and what comes to an empty place changes its directory.
        yield from self.asking([known for known in rows if known.state is not State.WAITING and not known.gone])

    def as_before(self, directory: str, rows: Sequence[Row], present: Container[str]) -> Iterator[Iterable[str]]:
        """Names in this directory that need no closer look, since they are what these rows say; some at a time. Of several rows
        at one place nothing is said.
        """
        if len({row[0] for row in rows}) < len(rows):
            times = Counter(row[0] for row in rows)
            rows = [row for row in rows if times[row[0]] == 1]
        yield names_of(in_other_hands(rows))
        rows = told_by_files(rows)
        for start in range(0, len(rows), _COMPARED_TOGETHER):
            part = rows[start : start + _COMPARED_TOGETHER]
            with suppress(FileTrouble):  # looked at closely, it is told
                if unlike := set(self.files.unlike(directory, files_of(part, present))):
                    part = [row for row in part if row[0] not in unlike and row[5] not in unlike]
                yield names_of(part)

    def asking(self, rows: Sequence[Known]) -> Iterator[list[Known]]:
        """Those that need a closer look, some at a time."""
        for start in range(0, len(rows), _TOGETHER):
            part = rows[start : start + _TOGETHER]
            glances = self._glances(part)
            yield [known for known in part if self._asks(known, glances)]

    def _asks(self, known: Known, glances: Mapping[str, Glance | None]) -> bool:
        audio, metadata = known.audio_path or known.path, known.metadata_path
        if known.state is State.WAITING:
            return True
        if audio not in glances or (metadata is not None and metadata not in glances):
            return False  # their directory cannot be searched now, which a scan tells
        halves = (known, glances[audio], glances[metadata] if metadata is not None else None)
        # Once, and then by appointment: the record that it lacks may come within a day.
        lacking = self.rules.cdr.wanted and known.reason is Reason.METADATA_KEY_LACKING
        if not (lacking or asks_for_a_look(*halves)) or self._judged.get(known.path) == halves:
            return False
        if not pairing.takes(self.rules, known.path):
            return False
        if glances[audio] is not None:
            if len(self._judged) >= _MOST_REMEMBERED:
                self._judged.clear()
            self._judged[known.path] = halves
        return True

    def _glances(self, rows: Sequence[Known]) -> dict[str, Glance | None]:
        """By path, None for what is not there; without those whose directory cannot be searched."""
        wanted: dict[str, list[str]] = {}
        for known in rows:
            for path in (known.audio_path or known.path, known.metadata_path):
                if path is not None:
                    directory, _, name = path.rpartition("/")
                    wanted.setdefault(directory, []).append(name)
        found: dict[str, Glance | None] = {}
        for directory, names in wanted.items():
            try:
                seen = self.files.glances(directory, names)
            except FileTrouble as trouble:
                if trouble.kind is not FileTroubleKind.GONE:
                    continue
                seen = {}
            found |= {f"{directory}/{name}" if directory else name: seen.get(name) for name in names}
        return found
