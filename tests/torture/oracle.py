"""What must hold, as a set of what is allowed: after every kill, and when all is over.

After a kill the daemon is dead, so its queue stands still while the service may go on storing what it had received. Whatever
is stored now must therefore be covered by what the queue said then.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torture.evidence import Evidence, Row, Talk
from torture.recordings import Recording

# Who stands in one of these may have been stored by the service.
_COVERED = frozenset({"committing", "unconfirmed", "uploaded", "done"})
# Figures of which a zero says as much as any number.
_ALWAYS_TOLD = ("lost", "doubled", "doubled and marked", "held", "held though stored", "talk ids lost")


@dataclass(frozen=True, slots=True)
class Judgement:
    """`broken` are promises broken, in words; `counts` the figures of the issue."""

    broken: list[str]
    counts: Counter[str] = field(default_factory=Counter)


class Stored:
    """The service's talks by recording: whole ones, and orphans, whose bytes are no recording's."""

    def __init__(self, talks: Sequence[Talk], recordings: Sequence[Recording]) -> None:
        by_sha256 = {recording.sha256: recording for recording in recordings}
        self.whole: dict[str, list[Talk]] = defaultdict(list)
        self.by_id = {talk.talk_id: talk for talk in talks}
        self.orphans: list[Talk] = []
        for talk in talks:
            recording = by_sha256.get(talk.sha256)
            if recording is not None and recording.key == talk.key:
                self.whole[recording.key].append(talk)
            else:
                self.orphans.append(talk)


def after_a_kill(evidence: Evidence, stored: Stored, recordings: Sequence[Recording]) -> list[str]:
    """Promises broken already, though nothing has been sent twice yet."""
    if evidence.broken:
        return [f"the queue is damaged: {evidence.broken}"]
    broken = []
    for recording in recordings:
        row, whole = evidence.row_of(recording), stored.whole.get(recording.key, [])
        if whole and not _covered(row):
            broken.append(f"{recording.place} is stored, and the queue {_says(row)}")
        if row is not None and row.talk_id is not None:
            broken += _wrong_talk(recording, row, evidence, stored)
    return broken


def _covered(row: Row | None) -> bool:
    return row is not None and (row.state in _COVERED or row.possible_duplicate)


def _says(row: Row | None) -> str:
    return "knows nothing of it" if row is None else f"says {row.state}, without a doubt"


def _wrong_talk(recording: Recording, row: Row, evidence: Evidence, stored: Stored) -> list[str]:
    """The talk id on record is that of a whole talk of this recording, made by one of its tries that got to the commit mark."""
    talk = stored.by_id.get(row.talk_id or "")
    if talk is None:
        return [f"wrong talk id: {recording.place} has {row.talk_id}, which the service never stored"]
    if _cut_short(talk, recording, row) and talk.recording_id in evidence.committed:
        return []
    if talk.sha256 != recording.sha256:
        return [f"wrong talk id: {recording.place} has {row.talk_id}, whose audio is not the recording's"]
    if talk.other_fields != dict(recording.fields):
        return [f"wrong talk id: {recording.place} has {row.talk_id}, whose fields are not the recording's"]
    if talk.recording_id not in evidence.committed:
        return [f"wrong talk id: {recording.place} has {row.talk_id} of try {talk.recording_id}, which had no commit mark"]
    return []


def _cut_short(talk: Talk, recording: Recording, row: Row) -> bool:
    """The service took what a broken stream had brought for the whole. Had the last chunk been handed over before it broke, the
    try was at its commit mark, and what a look-up finds of it cannot be told from a whole talk by anything the service shows:
    only a service that checks the audio against its header is safe from that. It is counted, and told, but not held against us.
    What came as an answer is: a stream that is answered was ended by us.
    """
    return talk.key == recording.key and talk.size < recording.size and not row.accepted


def when_all_is_over(evidence: Evidence, stored: Stored, recordings: Sequence[Recording], policy: str) -> Judgement:
    """Everything is drained, nothing is wrong any more: the promise itself."""
    judgement = Judgement(after_a_kill(evidence, stored, recordings))
    for recording in recordings:
        _judge(judgement, recording, evidence.row_of(recording), stored, policy)
    _judge_ids(judgement, stored)
    _judge_journal(judgement, evidence)
    wrong = sum("wrong talk id" in each for each in judgement.broken)
    judgement.counts.update({"recordings": len(recordings), "orphans": len(stored.orphans), "wrong talk ids": wrong})
    judgement.counts.update(dict.fromkeys(_ALWAYS_TOLD, 0))
    return judgement


def _judge(judgement: Judgement, recording: Recording, row: Row | None, stored: Stored, policy: str) -> None:
    counts, broken = judgement.counts, judgement.broken
    whole = stored.whole.get(recording.key, [])
    state = row.state if row is not None else "no row"
    counts[f"in the end {state}"] += 1
    talk = stored.by_id.get(row.talk_id or "") if row is not None else None
    if not whole and talk is not None and row is not None and _cut_short(talk, recording, row):
        counts["cut short by the service past the mark"] += 1
    elif not whole and not (policy == "hold" and row is not None and state == "unconfirmed" and row.reason):
        # Every one of them was fit to be sent, and in the end nothing stood in its way.
        counts["lost"] += 1
        broken.append(f"lost: {recording.place} is not stored, and the queue says {state}")
    if state == "unconfirmed":
        counts["held"] += 1
        counts["held though stored"] += bool(whole)
        if policy != "hold":
            broken.append(f"held: {recording.place} is unconfirmed in the end, under {policy}")
    elif whole and (row is None or row.talk_id is None):
        counts["talk ids lost"] += 1
        broken.append(f"talk id lost: {recording.place} is stored, and the queue says {state}")
    if len(whole) > 1:
        marked = row is not None and row.possible_duplicate
        counts["doubled"] += 1
        counts["doubled and marked"] += marked
        if policy != "resend" or not marked:
            broken.append(f"doubled: {recording.place} is stored {len(whole)} times under {policy}, marked: {marked}")


def _judge_ids(judgement: Judgement, stored: Stored) -> None:
    """No two talks bear the same id of a try, be they orphans."""
    ids = Counter(talk.recording_id for talk in stored.by_id.values())
    again = sorted(each for each, count in ids.items() if count > 1)
    judgement.counts["ids of tries used twice"] = len(again)
    judgement.broken.extend(f"id of a try used twice: {each}" for each in again)


def _judge_journal(judgement: Judgement, evidence: Evidence) -> None:
    """Every talk id of the queue is in the journal, and no other."""
    known = {(row.uid or "", row.talk_id) for row in evidence.rows if row.talk_id is not None}
    lacking, false = known - evidence.journal, evidence.journal - known
    judgement.counts.update({"lacking in the journal": len(lacking), "false in the journal": len(false)})
    judgement.broken.extend(f"the journal lacks {talk_id}" for _, talk_id in sorted(lacking))
    judgement.broken.extend(f"the journal names {talk_id}, which the queue does not" for _, talk_id in sorted(false))


def longest_unconfirmed_s(events: Mapping[int, Sequence[tuple[int, str, str, str]]]) -> tuple[int, float]:
    """How many times an outcome was unknown, and the longest time until it was no more (seconds); what is held still does not
    count.
    """
    count, longest = 0, 0
    for told in events.values():
        since: int | None = None
        for at, event, came_from, became in told:
            count += event == "outcome_unknown"
            if since is not None and came_from == "unconfirmed" and became != "unconfirmed":
                longest, since = max(longest, at - since), None
            if became == "unconfirmed" and since is None:
                since = at
    return count, longest / 1e6
