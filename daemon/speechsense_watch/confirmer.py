"""The confirmer: finds out by look-up what became of recordings whose answer was lost (`on_unknown = "search"`).

`step()` asks one question at most and carries out what its answer shows; what it shows is decided by `core.lookup`. It may
block for the seconds that this takes. Nothing is asked while there is no connection, nor beyond what `core.quota` grants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from speechsense_watch.core import lifecycle
from speechsense_watch.core.beacons import Beacons
from speechsense_watch.core.edges import Change, IllegalEdge
from speechsense_watch.core.lookup import BLIND_AFTER_S, Absent, Batch, Checked, Found, Inquiry, Orphan, Ruling
from speechsense_watch.core.model import Job
from speechsense_watch.core.quota import Quota
from speechsense_watch.core.rules import Folder, OnUnknown
from speechsense_watch.core.turns import Turns
from speechsense_watch.core.verdict import Code
from speechsense_watch.log import Event, Log
from speechsense_watch.ports import ChannelState, Clock, Doubts, Queue, Searching, SearchTrouble, Stale
from speechsense_watch.subjects import Subject, cases_of, subject_of

LONGEST_REST_S = 60.0
AT_LEAST_REST_S = 0.5
# Thousands may be in doubt after a loss, for days: reading and judging them takes at most a twentieth of the time.
REST_AFTER_LOOK = 19
NOT_REACHABLE_REST_S = 5.0
# What the service asks for is waited for within these.
AFTER_TROUBLE_S, LONGEST_AFTER_TROUBLE_S = 60.0, 3600.0
# So many talks are read at once, by a Get that takes 100, to stay below what may be read in a second.
GET_AT_ONCE = 10
# The key that was tried is not one that the service knows, or not one that it heeds.
_NOT_THIS_KEY = frozenset({Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.OUT_OF_RANGE})
# A filter that is heeded answers with few talks more than it was asked for.
_HEEDED = 3
_RUNTIME, _RUNTIME_QUOTA = "look_ups", "look_ups:quota"


@dataclass(slots=True)
class _Question:
    """A batch on its way: `keys` that have still to be asked for, talks of which is still `to_fetch` what they carry."""

    subject: Subject
    inquiry: Inquiry
    batch: Batch
    keys: list[str]
    to_fetch: list[str] = field(default_factory=list)
    # Talk ids by key, and the recording ids that the talks carry.
    answers: dict[str, Sequence[str]] = field(default_factory=dict)
    carried: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return not self.keys and not self.to_fetch


class Confirmer:
    """One per process; runs on its loop's thread."""

    def __init__(self, queue: Queue, doubts: Doubts, service: Searching, clock: Clock, log: Log) -> None:
        self._queue = queue
        self._doubts = doubts
        self.service = service
        self._clock = clock
        self._log = log
        self._quota = Quota()
        self._go_on_with_quota()
        self._inquiries: dict[Subject, Inquiry] = {}
        self._trouble: dict[Subject, str] = {}
        self._folders: dict[Subject, dict[str, Folder]] = {}
        self._turns: dict[Subject, Turns] = {}
        self._remembered: Mapping[str, object] = {}
        self._next_look_at_queue = 0.0
        self._question: _Question | None = None
        self.stopping = False
        # How many were settled either way: the filer and the uploader have work then.
        self.settled = 0

    @property
    def needed(self) -> bool:
        """Whether any folder is looked up for."""
        return bool(self._folders)

    def configure(self, folders: Mapping[str, Folder]) -> None:
        """Takes new rules over; what was found out so far about a connection that is still looked up stays."""
        grouped: dict[Subject, dict[str, Folder]] = defaultdict(dict)
        for name, folder in folders.items():
            if folder.on_unknown is OnUnknown.SEARCH:
                grouped[subject_of(folder)][name] = folder
        self._folders, self._question = dict(grouped), None
        self._turns = {subject: self._turns.get(subject) or Turns() for subject in grouped}
        remembered = self._queue.runtime().get(_RUNTIME)
        self._remembered = remembered if isinstance(remembered, dict) else {}
        self._next_look_at_queue = 0.0

    def step(self) -> float:
        """One question is asked, if one is due and may be; returns the seconds until there may be more to do."""
        if self.stopping or not self._folders:
            return LONGEST_REST_S
        if self._question is not None and self.service.channel().state is not ChannelState.READY:
            return NOT_REACHABLE_REST_S
        if self._question is not None:
            return self._go_on(self._question)
        now = self._clock.monotonic()
        if now < self._next_look_at_queue:
            return self._next_look_at_queue - now  # woken oftener than that: the news can wait so long
        self._look_at_queue()
        due = min(
            ((at, subject) for subject, each in self._inquiries.items() if (at := each.next_at()) is not None), default=None
        )
        if due is None:
            return LONGEST_REST_S
        at, subject = due
        if at > now:
            return min(max(at - now, AT_LEAST_REST_S), LONGEST_REST_S)
        inquiry = self._inquiries[subject]
        if (batch := inquiry.batch(now)) is None:
            return AT_LEAST_REST_S
        self._question = _Question(subject, inquiry, batch, list(inquiry.keys(subject.name)))
        return 0.0

    # --- what there is to find out ---------------------------------------------------------------

    def _look_at_queue(self) -> None:
        now = self._clock.monotonic()
        cases = cases_of(self._folders, self._doubts, self._clock.now(), self._turns)
        # Where nothing is sent or in doubt any more there is nothing to find out.
        self._inquiries = {subject: inquiry for subject, inquiry in self._inquiries.items() if subject in cases}
        for subject, case in cases.items():
            inquiry = self._inquiries.setdefault(subject, self._new_inquiry(subject))
            inquiry.patience_s = max(folder.search_patience_s for folder in case.folders.values())
            inquiry.take_in(case.doubts, case.checks, (), now)
            if inquiry.wants_known or inquiry.measure_due(now):
                inquiry.take_in(case.doubts, case.checks, self._doubts.known(subject.connection_id, subject.name), now)
        needed_s = max((each.needed_s for each in self._inquiries.values()), default=0.0)
        for turns in self._turns.values():
            turns.go_on(now, needed_s)
        then = self._clock.monotonic()
        self._next_look_at_queue = then + max(AT_LEAST_REST_S, REST_AFTER_LOOK * (then - now))

    def _new_inquiry(self, subject: Subject) -> Inquiry:
        kept = self._remembered.get(subject.connection_id)
        lags, prefix = (kept.get("lags"), kept.get("prefix")) if isinstance(kept, dict) else ((), "")
        return Inquiry(
            patience_s=0.0,
            beacons=Beacons([float(lag) for lag in lags] if isinstance(lags, list) else []),
            prefix=prefix if isinstance(prefix, str) else "",
        )

    # --- asking ------------------------------------------------------------------------------

    def _go_on(self, question: _Question) -> float:
        """One more call to the service, as far as the quota grants it, or the ruling once all is answered."""
        cost = min(len(question.to_fetch), GET_AT_ONCE) or 1
        if question.complete:
            self._question = None
            self._rule(question)
            return 0.0
        if (wait_s := self._quota.wait_s(self._clock.monotonic(), cost)) > 0:
            return min(wait_s, LONGEST_REST_S)
        self._spend(cost)
        try:
            if question.to_fetch:
                self._fetch(question)
            else:
                self._search(question)
        except SearchTrouble as trouble:
            self._question = None
            if trouble.code in _NOT_THIS_KEY:
                question.inquiry.prefix = ""  # one that had worked is not held on to
            wait_s = min(max(AFTER_TROUBLE_S, trouble.retry_after_s or 0.0), LONGEST_AFTER_TROUBLE_S)
            question.inquiry.failed(question.batch, self._clock.monotonic(), wait_s)
            self._tell_trouble(question.subject, trouble)
            return AT_LEAST_REST_S
        return 0.0

    def _spend(self, cost: int) -> None:
        """On record before it is asked: a process that dies over and over stays within the quota. Raises QueueTrouble."""
        now = self._clock.monotonic()
        self._quota.spend(now, cost)
        self._queue.set_runtime(_RUNTIME_QUOTA, {"at": self._clock.now().isoformat(), "spent": self._quota.spent(now)})

    def _go_on_with_quota(self) -> None:
        match self._queue.runtime().get(_RUNTIME_QUOTA):
            case {"at": str(at), "spent": [*spent]}:
                # A clock that was put back since makes it no earlier than now.
                ago_s = max(0.0, (self._clock.now() - datetime.fromisoformat(at)).total_seconds())
                self._quota.go_on([int(n) for n in spent], self._clock.monotonic() - ago_s)

    def _search(self, question: _Question) -> None:
        """By the next key. Raises SearchTrouble, for a key that is not known only when it was the last one."""
        subject, batch, key = question.subject, question.batch, question.keys.pop(0)
        try:
            talk_ids = self.service.search(subject.scope, subject.connection_id, key, batch.ids)
        except SearchTrouble as trouble:
            if trouble.code not in _NOT_THIS_KEY or (not question.keys and not question.answers):
                raise
            return
        if len(talk_ids) > _HEEDED * len(batch.ids):
            talk_ids = ()  # everything there is: the filter was not heeded
        question.answers[key] = talk_ids
        # Of those that we know it need not be asked what they carry.
        question.carried |= {talk_id: batch.known[talk_id] for talk_id in talk_ids if talk_id in batch.known}
        question.to_fetch += [talk_id for talk_id in talk_ids if talk_id not in (*question.carried, *question.to_fetch)]

    def _fetch(self, question: _Question) -> None:
        """What the next talks carry. Raises SearchTrouble."""
        part, question.to_fetch = question.to_fetch[:GET_AT_ONCE], question.to_fetch[GET_AT_ONCE:]
        subject = question.subject
        question.carried |= self.service.values_of(subject.scope, subject.connection_id, part, subject.name)

    def _rule(self, question: _Question) -> None:
        subject, inquiry = question.subject, question.inquiry
        self._trouble.pop(subject, None)
        for ruling in inquiry.answered(question.batch, self._found(question), self._clock.monotonic()):
            self._carry_out(ruling, subject)
        self._tell_blindness(subject, inquiry)
        self._publish()

    def _found(self, question: _Question) -> Mapping[str, Sequence[str]]:
        """Talk ids by the recording ids they carry.

        A talk that was not asked for, or whose field cannot be read yet: the filter may not have been heeded. What such an
        answer holds is true all the same, but it proves nothing of what it does not hold, so the known talks in it do not count.
        """
        found: dict[str, list[str]] = defaultdict(list)
        batch, carried = question.batch, question.carried
        for key, talk_ids in question.answers.items():
            heeded = carried.keys() >= set(talk_ids) and all(carried[talk_id] in batch.ids for talk_id in talk_ids)
            if heeded and any(talk_id in batch.known for talk_id in talk_ids):
                question.inquiry.key_worked(key, question.subject.name)
            for talk_id in talk_ids:
                name = carried.get(talk_id)
                if name is not None and talk_id not in found[name] and (heeded or talk_id not in batch.known):
                    found[name].append(talk_id)
        return found

    # --- what was found out ----------------------------------------------------------------------

    def _carry_out(self, ruling: Ruling, subject: Subject) -> None:
        job = self._queue.job(ruling.job_id)
        if job is None:
            return
        now = self._clock.now()
        match ruling:
            case Found(talk_id=talk_id, recording_id=recording_id, doubled=doubled):
                if recording_id.rpartition("-")[0] != job.uid:
                    return  # another recording came to its place while we asked
                if self._apply(lambda: lifecycle.confirmed(job, talk_id, now, doubled=doubled)):
                    self._log.info(Event.LOOKED_UP, job=job.id, found=True, talk_id=talk_id, recording_id=recording_id)
            case Absent(claims=claims, looks=looks, seconds=seconds):
                if job.claims != claims:
                    return  # sent again while we asked: this is another doubt
                detail = f"{looks} looks over {seconds:.0f} s did not find it, and found talks that were sent after it."
                if self._apply(lambda: lifecycle.shown_absent(job, now, detail)):
                    self._log.info(Event.LOOKED_UP, job=job.id, found=False, looks=looks, over_s=round(seconds))
            case Orphan():
                self._orphan(job, subject, ruling)
            case Checked(doubled=doubled):
                self._apply(lambda: lifecycle.looked_after(job, now, "Its other tries were looked for.", doubled=doubled))

    def _apply(self, edge: Callable[[], Change]) -> bool:
        with suppress(Stale, IllegalEdge):  # somebody else has decided meanwhile
            self._queue.apply(edge())
            self.settled += 1
            return True
        return False

    def _orphan(self, job: Job, subject: Subject, orphan: Orphan) -> None:
        if orphan.talk_id == job.talk_id:
            return
        fresh = self._doubts.add_orphan(
            job.id, subject.connection_id, orphan.talk_id, orphan.recording_id, self._clock.now(), whole=orphan.whole
        )
        if fresh:
            self._log.warning(
                Event.ORPHAN_FOUND, job=job.id, talk_id=orphan.talk_id, recording_id=orphan.recording_id, whole=orphan.whole
            )

    # --- telling -----------------------------------------------------------------------------

    def _tell_trouble(self, subject: Subject, trouble: SearchTrouble) -> None:
        if self._trouble.get(subject) != str(trouble):
            self._trouble[subject] = str(trouble)
            self._log.warning(Event.LOOK_UP_FAILED, connection=subject.connection_id, message=str(trouble))
            self._publish()

    def _tell_blindness(self, subject: Subject, inquiry: Inquiry) -> None:
        if inquiry.blind_s(self._clock.monotonic()) > BLIND_AFTER_S:
            self._trouble[subject] = (
                f"Search shows no talk that is known to exist: is `{subject.name}` declared as a String key of the connection?"
            )

    def _publish(self) -> None:
        """For `status`, and for the next start; the queue writes only what changed."""
        told = {
            subject.connection_id: {
                "lags": [round(lag, 1) for lag in inquiry.beacons.lags],
                "prefix": inquiry.prefix,
                "trouble": self._trouble.get(subject, ""),
            }
            for subject, inquiry in self._inquiries.items()
        }
        self._queue.set_runtime(_RUNTIME, told)
