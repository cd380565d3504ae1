"""The uploader: takes what is due, sends it, and carries out what the answers mean.

`step()` is the whole story on one screen. It never blocks: attempts run on worker threads (`Attempts`), their ends come back
through a queue in memory and are judged and recorded here, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

from speechsense_watch.ahead import MOST_AHEAD, Ahead
from speechsense_watch.attempt import Ended, Whole
from speechsense_watch.awaiting import Awaiting
from speechsense_watch.core import edges, lifecycle
from speechsense_watch.core.lifecycle import Backoff
from speechsense_watch.core.model import Job, Place, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder, OnUnknown, UploadRules
from speechsense_watch.core.taking import BIG_ABOVE_BYTES, Hands, is_big, probe_turn
from speechsense_watch.core.traffic import SERVICE, Moment, Pause, Traffic
from speechsense_watch.core.verdict import OWN_TROUBLE, Kind, Outcome, PauseReason, judge
from speechsense_watch.ends import End, Ends
from speechsense_watch.holding import Holding, Room
from speechsense_watch.log import Event, Log
from speechsense_watch.pausing import Pausing, as_json
from speechsense_watch.picking import Picking
from speechsense_watch.ports import (
    NO_NOTE,
    Chance,
    ChannelState,
    Clock,
    InHand,
    Key,
    Queue,
    QueueTrouble,
    Selection,
    Service,
    Stale,
)

LONGEST_REST_S = 60.0
AT_LEAST_REST_S = 0.5
NOT_REACHABLE_REST_S = 5.0
# While the key is lacking or refused another one is looked for so often: it costs a look at a file.
LOOK_FOR_KEY_S = 2.0
NO_PROBE_REST_S = 5.0
STORAGE_AGAIN_S = 5.0

HandBack = Callable[[Ended | Whole], None]
# Starts an attempt on a worker; `probe` asks for a stream with its last piece held back.
Start = Callable[[Job, bool, HandBack], None]
ROOT_AWAY_REST_S = 30.0
BROKE_OFF_REST_S = 60.0
OWNERS_EVERY_S = 60.0
# Nothing of ours is ever put off for longer, unless `retry_max` is.
NEVER_FARTHER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the uploader asks of those around it: to be woken, that a place be looked at, whether a process still lives, that a
    note is taken of what it has in hand, and what key or token there is.
    """

    wake: Callable[[], None]
    look: Callable[[Place], None]
    owner_alive: Callable[[str], bool]
    in_hand: InHand = NO_NOTE
    key: Callable[[], Key] = Key
    # Whether a recording is small and quickly read, so that it may be read ahead: `Start` hands it back as a Whole then, and
    # `send` sends it when there is a place for it.
    quick: Callable[[Job], bool] = lambda _job: False
    send: Callable[[Sequence[Whole], HandBack], None] = lambda _wholes, _hand_back: None
    # That this one will be next: what takes long and leaves no trace may be done already.
    foresee: Callable[[Job], None] = lambda _job: None


class Uploader:
    """One per process. Everything here runs on the loop's thread, except `hand_back`."""

    def __init__(
        self,
        queue: Queue,
        service: Service,
        start: Start,
        clock: Clock,
        chance: Chance,
        log: Log,
        surroundings: Surroundings,
    ) -> None:
        self._queue = queue
        self.service = service
        self._start = start
        self._clock = clock
        self._chance = chance
        self._log = log
        self._wake = surroundings.wake
        self._look = surroundings.look
        self._owner_alive = surroundings.owner_alive
        self._note = surroundings.in_hand
        self._key = surroundings.key
        self._quick = surroundings.quick
        self._send = surroundings.send
        self._foresee = surroundings.foresee
        # The big one that is next is known, and will be until one is begun.
        self._next_is_foreseen = False
        self._next_owners_at = 0.0
        # Folders whose root is away, until when they are left alone (monotonic seconds).
        self._away: dict[str, float] = {}
        self._resting: dict[int, float] = {}
        self._ended: SimpleQueue[Ended | Whole] = SimpleQueue()
        self._ends = Ends(queue, clock, chance, log)
        # Jobs whose refusal has still to be taken back.
        self._taken_back: list[int] = []
        self._in_work: dict[int, Job] = {}
        # Those of them that are read ahead.
        self._ahead = Ahead()
        self._rules = UploadRules()
        self._folders: Mapping[str, Folder] = {}
        self.traffic = Traffic(self._rules.concurrency, self._rules.retry_max_s)
        self._pausing = Pausing(self.traffic, self._moment, log)
        self._holding = Holding(queue, clock)
        self._room = Room()
        self._awaiting = Awaiting(queue, clock)
        self.stopping = False
        # How many were accepted, how many of them are still to be filed, and of how many the outcome is unknown.
        self.accepted = self.unfiled = self.doubtful = 0
        # How often a queue that could not be written could be again; when that is believed at the earliest (monotonic seconds).
        self.storage_back = 0
        self._writable_from = 0.0

    def configure(self, rules: UploadRules, folders: Mapping[str, Folder]) -> None:
        """Takes new rules over; pauses stay."""
        self._rules, self._folders = rules, folders
        self._holding.configure(folders)
        self._ends.configure(rules, folders)
        self.traffic.concurrency, self.traffic.retry_max_s = rules.concurrency, rules.retry_max_s
        self.traffic.keep_only({folder.connection_id for folder in folders.values()})

    def take_last_ends(self) -> None:
        """At the end, when the loop has ended: what attempts still handed back is recorded. Raises QueueTrouble."""
        self._take_ends()

    def recover(self) -> int:
        """What nobody is working on any more but is in flight gets its honest state. Returns how many there were."""
        return self._recover(frozenset(), None)

    def recover_at_start(self) -> int:
        """The same after an earlier process. If that did not end by itself but died, what it had in hand is counted one death
        more, be it that it was still being read.
        """
        left = self._note.left()
        recovered = self._recover(left or frozenset(), None if left == frozenset() else self._ends.backoff)
        self._note.holds(())
        return recovered

    def ended_well(self) -> None:
        """The process ends by itself: whatever is still in flight then died of nothing."""
        self._note.holds(())

    def _recover(self, read: frozenset[int], died: Backoff | None) -> int:
        left = [job for job in self._queue.in_states((State.UPLOADING, State.COMMITTING), 1_000_000) if job.owner is None]
        left += [job for job in map(self._queue.job, sorted(read)) if job is not None and job.state is State.READY]
        for job in left:
            self._queue.apply(lifecycle.recovered(job, self._clock.now(), died=died))
            if job.id in read:
                # One death counts once, should this start come to no end.
                read -= {job.id}
                self._note.holds(read)
        return len(left)

    def clock_was_set(self) -> None:
        """What was put off by the clock as it was is looked at with the next step. May be called from any thread."""
        self._next_owners_at = 0.0
        self._wake()

    def step(self) -> float:
        """Everything that is due now is under way or done; returns the seconds until there may be more. While the queue cannot be
        written nothing is begun, and the ends of what was under way stay in hand. Raises QueueTrouble only when it is fatal.
        """
        try:
            return self._step()
        except QueueTrouble as trouble:
            if trouble.fatal:
                raise
            self._unwritable(str(trouble))
            return STORAGE_AGAIN_S

    def _step(self) -> float:
        self._pausing.mind_key(self._key())
        self._take_ends()
        if self.stopping:
            self._lay_aside(lambda _job: True)
            return 0.2 if self._in_work else LONGEST_REST_S
        if not self._can_record():
            return STORAGE_AGAIN_S
        self._look_after_the_forgotten()
        self._settle_unconfirmed()
        self._room = self._holding.room(self._in_work.values())
        self._forget_unused()
        if not self._reachable():
            self._publish()
            # A connection that comes wakes the loop; a credential that is put in place does not.
            return NOT_REACHABLE_REST_S if self._has_work() else self._rest()
        self._begin_probes()
        self._send_ahead()
        self._begin_due()
        self._publish()
        return self._rest()

    @property
    def busy(self) -> int:
        return len(self._in_work)

    @property
    def unwritable(self) -> bool:
        """Whether nothing is sent because the queue cannot be written."""
        pause = self.traffic.pauses.get(SERVICE)
        return pause is not None and pause.reason is PauseReason.QUEUE_NOT_WRITABLE

    def hand_back(self, ended: Ended | Whole) -> None:
        """Called on whatever thread when an attempt is over, or as far as it goes ahead."""
        self._ended.put(ended)
        self._wake()

    def _can_record(self) -> bool:
        """Whether what is begun now can be written down, and how it ends as well. A pause for want of that ends with it, but no
        sooner than some seconds later: a queue may take one write and refuse the next.
        """
        self._queue.make_ready()
        if not self.unwritable:
            return True
        if self._clock.monotonic() < self._writable_from:
            return False
        self._pausing.over(PauseReason.QUEUE_NOT_WRITABLE)
        self.storage_back += 1
        return True

    def _unwritable(self, message: str) -> None:
        self._writable_from = self._clock.monotonic() + STORAGE_AGAIN_S
        self._pausing.pause_for(PauseReason.QUEUE_NOT_WRITABLE, message)

    # --- ends --------------------------------------------------------------------------------

    def _take_ends(self) -> None:
        """What cannot be recorded stays in hand, first in line, until it is."""
        while True:
            while self._taken_back:
                self._reinstate(self._taken_back[0])
                del self._taken_back[0]
            self._sort_out()
            ends = self._ends.in_hand
            if not ends:
                return
            self._ends.record_together()
            while ends:
                self._take(ends[0])
                self._in_work.pop(ends[0].ended.job.id, None)
                del ends[0]
            self._note.holds(self._in_work)

    def _sort_out(self) -> None:
        """What was handed back is over, or read ahead."""
        with suppress(Empty):
            while True:
                match self._ended.get_nowait():
                    case Whole() as whole:
                        self._ahead.read(whole)
                    case ended:
                        self._ahead.over(ended.job.id)
                        self._ends.in_hand.append(End(ended))

    def _take(self, end: End) -> None:
        ended, outcome = end.ended, end.ended.outcome
        if outcome is None:
            self._nothing_sent(ended)
            return
        job, verdict, moment = self._ends.row_of(end, outcome), judge(outcome), self._moment()
        self._tell(job, outcome, verdict.kind)
        if verdict.kind is Kind.CHANGED:
            self._look(job.place)
        self.accepted += verdict.kind is Kind.ACCEPTED
        self.unfiled += job.state is State.UPLOADED
        self.doubtful += verdict.kind is Kind.UNKNOWN
        if verdict.pause is PauseReason.QUEUE_NOT_WRITABLE:
            self._writable_from = moment.monotonic + STORAGE_AGAIN_S
        if self._pausing.was_another_key(outcome, verdict):
            self.traffic.forget_probe(job.id)
            return
        with self._pausing.told(ended.job.fields):
            self._taken_back += self.traffic.ended(job.id, job.connection_id, verdict, moment, outcome.retry_after_s)

    def _nothing_sent(self, ended: Ended) -> None:
        self.traffic.forget_probe(ended.job.id)
        job = self._queue.job(ended.job.id)
        if ended.broke_off:
            # In a way nobody foresaw: not at once again.
            self._resting[ended.job.id] = self._clock.monotonic() + BROKE_OFF_REST_S
        # Broken off with the claim on disk, or a claim that failed and is on disk all the same.
        self._ends.leave_nothing_in_flight(job)
        if job is not None and job.state is State.UPLOADED:
            self.unfiled += 1  # adopted from the journal
        if job is not None and job.reason is Reason.FORGOTTEN:
            self._log.info(Event.RECORDING_SKIPPED, job=job.id, folder=job.place.folder, reason=job.reason)
        if ended.look_again:
            self._look(ended.job.place)
        if ended.root_away:
            self._away[ended.job.place.folder] = self._clock.monotonic() + ROOT_AWAY_REST_S
        if ended.trouble is not None:
            if ended.trouble.fatal:
                raise ended.trouble
            self._unwritable(str(ended.trouble))

    def _reinstate(self, job_id: int) -> None:
        job = self._queue.job(job_id)
        if job is not None and job.state is State.REFUSED:
            # A refused probe goes to the back, so that the next probe is another recording.
            self._apply(lifecycle.reinstated(job, self._clock.now()))

    def _settle_unconfirmed(self) -> None:
        now = self._clock.now()
        for job in self._queue.to_resend(now, self._resending()):
            self._apply(lifecycle.resent(job, now))

    def _resending(self) -> frozenset[str]:
        """The folders whose rules have a recording sent again when its answer was lost."""
        return frozenset(name for name, folder in self._folders.items() if folder.on_unknown is OnUnknown.RESEND)

    def _look_after_the_forgotten(self) -> None:
        """Once a minute: rows of `upload` commands whose process has ended without finishing them, and tries put off to a time
        that only a clock that was ahead can have named.
        """
        if self._clock.monotonic() < self._next_owners_at:
            return
        self._next_owners_at = self._clock.monotonic() + OWNERS_EVERY_S
        now = self._clock.now()
        self._queue.bring_near(now + max(timedelta(seconds=self._rules.retry_max_s), NEVER_FARTHER), now)
        for job in self._queue.in_states((State.COMMITTING,)):
            if job.owner is not None and not self._owner_alive(job.owner):
                self._apply(lifecycle.recovered(job, self._clock.now()))

    # --- beginnings --------------------------------------------------------------------------

    def _reachable(self) -> bool:
        """Whether an attempt may begin: connecting, name and TLS failures touch no job."""
        if not self._in_work and not self._has_work():
            self.service.idle()
            return False
        channel = self.service.channel()
        if channel.state is ChannelState.READY:
            self.traffic.channel_ready(self._moment())
            return True
        if channel.state is ChannelState.FAILED:
            self._pausing.pause_for(channel.reason, channel.message)
        return False

    def _has_work(self) -> bool:
        return self._picking.any_due(self._choice())

    @property
    def _hands(self) -> Hands:
        places = self._rules.concurrency
        let_off = self._awaiting.let_off([job_id for job_id in self._in_work if job_id not in self._ahead], places)
        return Hands(self._in_work.values(), places + let_off, len(self._ahead), min(places, MOST_AHEAD))

    @property
    def _picking(self) -> Picking:
        return Picking(self._queue, self._clock, self._rules.order)

    def _choice(self, paused: frozenset[str] = frozenset()) -> Selection:
        now = self._clock.monotonic()
        self._away = {folder: until for folder, until in self._away.items() if until > now}
        self._resting = {job: until for job, until in self._resting.items() if until > now}
        folders = frozenset(self._folders) - self._away.keys() - self._room.paused
        without = frozenset(self._in_work) | self._resting.keys()
        return Selection(folders - self._room.full, without, paused, again=folders & self._room.full)

    def _begin_probes(self) -> None:
        now = self._clock.monotonic()
        scopes = [SERVICE] if SERVICE in self.traffic.pauses else list(self.traffic.pauses)
        for scope in scopes:
            beside = self._takes_long(scope)
            if (beside or self.traffic.probe_due(scope, now)) and (job := self._candidate(scope, small=beside)):
                self.traffic.probes[scope] = job.id
                self._take_in_hand(job)
                self._note.holds(self._in_work)
                self._start(job, True, self.hand_back)

    def _takes_long(self, scope: str) -> bool:
        """A four-hour call may be hours on its way: a probe that is still being sent holds up no small one, which is tried beside
        it. Of what was sent whole the answer is waited for: there may be no answers.
        """
        free = self._hands.free > 0
        probe = self.traffic.probes.get(scope)
        return free and probe is not None and self._awaiting.still_sending(probe)

    def _candidate(self, scope: str, *, small: bool = False) -> Job | None:
        """A recording to probe with: of that connection, or of any that does not pause itself, another than last time."""
        if scope == SERVICE:
            paused = frozenset(self.traffic.pauses)
            return self._longest_untouched(paused, small=small) or self._longest_untouched(frozenset(), small=small)
        return self._longest_untouched(self._connections - {scope}, small=small)

    @property
    def _connections(self) -> frozenset[str]:
        return frozenset(folder.connection_id for folder in self._folders.values())

    def _longest_untouched(self, without: frozenset[str], *, small: bool) -> Job | None:
        choice = replace(self._choice(without), most_bytes=BIG_ABOVE_BYTES if small else None)
        return min(self._picking.probes(choice, self._hands), key=probe_turn, default=None)

    def _begin_due(self) -> None:
        if SERVICE in self.traffic.pauses or not self._hands.room:
            return
        paused = frozenset(self.traffic.pauses)
        if self._begin_each(self._picking.next(self._choice(paused), self._hands)) and self._hands.room:
            # Behind the big ones there may be others.
            self._begin_each(self._picking.next(self._choice(paused), self._hands))
        self._look_ahead(paused)

    def _look_ahead(self, paused: frozenset[str]) -> None:
        """While there is no place for a big one, the next of them is hashed. It is not in hand: its header is not looked into."""
        if self._next_is_foreseen or not any(map(is_big, self._in_work.values())) or self._hands.most_bytes is None:
            return
        if (job := self._picking.next_big(self._choice(paused))) is not None:
            self._next_is_foreseen = True
            self._foresee(job)

    def _begin_each(self, jobs: Sequence[Job]) -> bool:
        """Whether some were held back because there is no place for big ones."""
        held_back, begun = False, []
        for job in jobs:
            hands = self._hands
            if not self._room.admits(job):
                continue  # one before it took the last place of its folder's trial
            if job.failing_s >= self._rules.give_up_after_s:
                self._apply(lifecycle.gave_up(job, self._clock.now()))
            elif hands.admits(job, ahead=self._quick(job)):
                self._take_in_hand(job)
                if self._quick(job):
                    self._ahead.begin(job)
                begun.append(job)
            elif hands.free:
                held_back = True
            else:
                break  # what is read ahead does not pass one that waits for a place
        if begun:
            # One note for all, before the first of them is read.
            self._note.holds(self._in_work)
        for job in begun:
            self._start(job, False, self.hand_back)
        return held_back

    def _send_ahead(self) -> None:
        """What was read ahead goes where there are places; not to where a pause has come meanwhile."""
        self._lay_aside(lambda job: not self.traffic.pauses.keys().isdisjoint((SERVICE, job.connection_id)))
        self._lay_aside(lambda job: job.place.folder in self._room.paused)
        if wholes := self._ahead.take(self._hands.free):
            self._send(wholes, self.hand_back)

    def _lay_aside(self, which: Callable[[Job], bool]) -> None:
        """Of these nothing is on record: they are as ready as before."""
        for whole in self._ahead.lay_aside(which):
            self._in_work.pop(whole.job.id, None)

    def _take_in_hand(self, job: Job) -> None:
        self._in_work[job.id] = job
        self._next_is_foreseen &= not is_big(job)
        self._room = self._room.after(job)

    # --- the rest ----------------------------------------------------------------------------

    def _apply(self, change: edges.Change) -> None:
        try:
            self._queue.apply(change)
        except Stale:
            return

    def _moment(self) -> Moment:
        return Moment(self._clock.now(), self._clock.monotonic(), self._chance())

    def _rest(self) -> float:
        """Seconds until a backoff, a probe or a look at the channel is due; a wake comes for everything else."""
        waits = [LONGEST_REST_S]
        if (probe := self.traffic.next_probe_at()) is not None:
            wait_s = probe - self._clock.monotonic()
            # One that is overdue found no recording to try; most that come wake the loop.
            waits.append(wait_s if wait_s > 0 else NO_PROBE_REST_S)
        if self._pausing.awaits_key:
            waits.append(LOOK_FOR_KEY_S)
        if SERVICE not in self.traffic.pauses and self._hands.room and (due := self._next_due()):
            waits.append((due - self._clock.now()) / timedelta(seconds=1))
        # What is due and could not be begun waits for a connection; that wakes the loop when it comes.
        return max(min(waits), AT_LEAST_REST_S)

    def _next_due(self) -> datetime | None:
        return self._picking.next_due(self._choice(frozenset(self.traffic.pauses)), self._hands, self._resending())

    def _forget_unused(self) -> None:
        """Connections that no folder names any more and nothing goes to: a late refusal may have paused one."""
        for scope, pause in list(self.traffic.pauses.items()):
            if scope != SERVICE and scope not in self._connections and not self._will_be_tried(pause):
                self.traffic.lift(scope)

    def _publish(self) -> None:
        """Pauses for `status`; the queue writes only what changed."""
        pauses = self.traffic.pauses.values()
        self._queue.set_runtime("paused", [as_json(pause, tried=self._will_be_tried(pause)) for pause in pauses])

    def _will_be_tried(self, pause: Pause) -> bool:
        """At its time; else with the recording that comes next."""
        if pause.reason in OWN_TROUBLE:
            return False  # it ends with its cause
        others = frozenset() if pause.scope == SERVICE else self._connections - {pause.scope}
        return pause.scope in self.traffic.probes or self._picking.any_due(self._choice(others))

    def _tell(self, job: Job, outcome: Outcome, kind: Kind) -> None:
        self._log.info(
            Event.ATTEMPT_FINISHED,
            job=job.id,
            verdict=kind,
            code=outcome.halt or outcome.code,
            state=job.state,
            talk_id=job.talk_id,
            bytes=outcome.bytes_sent,
            server_request_id=outcome.server_request_id,
        )
