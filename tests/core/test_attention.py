"""What needs the operator, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from speechsense_watch.core.attention import Attention, Disk, FolderTrouble, Group, Snapshot, Standstill, attention
from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import OnUnknown
from speechsense_watch.core.verdict import PauseReason

SINCE = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
GB = 10**9


def group(state: State, reason: Reason | None = None, count: int = 1, *, folder: str = "calls", overdue: bool = False) -> Group:
    return Group(
        state=state, folder=folder, reason=reason, count=count, since=SINCE, first=12, message="It is GSM.", overdue=overdue
    )


def pause(reason: PauseReason, scope: str = "service", *, needs_operator: bool = True) -> Standstill:
    return Standstill(
        scope=scope, reason=reason, message="It said no", since=SINCE, next_probe_at=None, needs_operator=needs_operator
    )


def only(snapshot: Snapshot) -> Attention:
    lines = attention(snapshot)
    assert len(lines) == 1
    return lines[0]


def test_nothing_needs_the_operator_when_there_is_nothing() -> None:
    """An empty queue is no reason to look."""
    assert attention(Snapshot()) == ()


@pytest.mark.parametrize("state", [State.WAITING, State.READY, State.UPLOADING, State.COMMITTING, State.SKIPPED])
def test_waiting_never_counts(state: State) -> None:
    """What goes on by itself, or was left out on purpose, is never a line."""
    assert attention(Snapshot(groups=(group(state, Reason.METADATA_MISSING, overdue=True),))) == ()


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        (State.UNUSABLE, Reason.NOT_PCM, "unusable"),
        (State.REFUSED, Reason.SERVICE_REFUSED, "refused"),
        (State.REFUSED, Reason.GAVE_UP, "refused"),
        (State.LOST, Reason.VANISHED_BEFORE_UPLOAD, "lost"),
        (State.DONE, Reason.CHANGED_AFTER_UPLOAD, "changed_after_upload"),
    ],
)
def test_one_recording_is_shown_by_its_number(state: State, reason: Reason, code: str) -> None:
    """One recording that needs the operator is one line with the command that shows it."""
    line = only(Snapshot(groups=(group(state, reason),)))
    assert (line.code, line.count, line.since, line.do) == (code, 1, SINCE, "speechsense-watch show 12")
    assert line.what.startswith("1 recording of calls ")


def test_many_recordings_with_one_reason_are_one_line() -> None:
    """Their number, an example, what to do, and the command that lists them."""
    counts = {"my calls": {State.UNUSABLE: 12, State.DONE: 300}}
    line = only(Snapshot(groups=(group(State.UNUSABLE, Reason.NOT_PCM, 12, folder="my calls"),), counts=counts))
    assert line.count == 12
    assert line.what.startswith("12 recordings of my calls cannot be sent. Number 12, for example: It is GSM. Set the recorder")
    assert line.do == "speechsense-watch list --state unusable --folder 'my calls'"


def test_different_reasons_are_different_lines() -> None:
    """Nothing hides behind the most frequent reason."""
    groups = (group(State.UNUSABLE, Reason.NOT_PCM, 900), group(State.UNUSABLE, Reason.METADATA_NOT_JSON))
    assert [line.count for line in attention(Snapshot(groups=groups, counts={"calls": {State.DONE: 10_000}}))] == [900, 1]


@pytest.mark.parametrize(
    ("unusable", "others", "code"),
    [
        (5, {}, "folder_set_up"),
        (8, {State.DONE: 2}, "folder_set_up"),
        (8, {State.DONE: 1, State.WAITING: 500, State.SKIPPED: 500}, "folder_set_up"),
        (7, {State.DONE: 2}, "unusable"),
        (4, {}, "unusable"),
    ],
)
def test_a_folder_set_up_wrongly_is_told_as_that(unusable: int, others: Mapping[State, int], code: str) -> None:
    """When four fifths of at least five recordings fail for one reason, it is the folder and not its files."""
    snapshot = Snapshot(
        groups=(group(State.UNUSABLE, Reason.WRONG_CHANNELS, unusable),), counts={"calls": {State.UNUSABLE: unusable, **others}}
    )
    line = only(snapshot)
    assert line.code == code
    assert ("look at the folder's set-up" in line.what) is (code == "folder_set_up")


@pytest.mark.parametrize(
    ("policy", "overdue", "counts"),
    [
        (OnUnknown.RESEND, False, False),
        (OnUnknown.RESEND, True, True),
        (OnUnknown.HOLD, False, True),
        (OnUnknown.SEARCH, False, False),
        (OnUnknown.SEARCH, True, True),
        (None, False, True),
    ],
)
def test_an_unknown_outcome_counts_when_nobody_else_will_decide(*, policy: OnUnknown | None, overdue: bool, counts: bool) -> None:
    """Held ones, those of no folder, and those undecided for a day."""
    policies = {"calls": policy} if policy else {}
    lines = attention(Snapshot(groups=(group(State.UNCONFIRMED, Reason.OUTCOME_UNKNOWN, overdue=overdue),), policies=policies))
    assert [line.code for line in lines] == (["unconfirmed"] if counts else [])


@pytest.mark.parametrize(("overdue", "codes"), [(False, []), (True, ["filing_failed"])])
def test_filing_counts_once_it_has_failed_for_an_hour(*, overdue: bool, codes: list[str]) -> None:
    """A directory that is away for a minute is nobody's business."""
    lines = attention(Snapshot(groups=(group(State.UPLOADED, Reason.FILING_FAILED, overdue=overdue),)))
    assert [line.code for line in lines] == codes


@pytest.mark.parametrize("needs_operator", [True, False])
def test_only_a_pause_that_waiting_will_not_end_counts(*, needs_operator: bool) -> None:
    """An outage ends by itself, a refused key does not."""
    lines = attention(Snapshot(pauses=(pause(PauseReason.KEY_REFUSED, needs_operator=needs_operator),)))
    assert [(line.code, line.do) for line in lines] == (
        [("paused", "speechsense-watch check --online")] if needs_operator else []
    )
    assert all("All uploads stand still. It said no. Put a valid key in place" in line.what for line in lines)


def test_the_pause_of_a_connection_names_it() -> None:
    """Others go on; recordings refused in a row are listed, since there stands what the service said."""
    line = only(Snapshot(pauses=(pause(PauseReason.MANY_REFUSED, "conn-9"),)))
    assert "Uploads to connection conn-9 stand still" in line.what
    assert line.do == "speechsense-watch list --state ready"


def test_a_queue_that_cannot_be_written_is_a_matter_of_its_disk() -> None:
    """Not of the service."""
    pauses = (pause(PauseReason.QUEUE_NOT_WRITABLE),)
    assert only(Snapshot(pauses=pauses, disk=Disk("/var/lib/my queue", 80 * GB, 100 * GB))).do == "df -h '/var/lib/my queue'"


def test_a_pause_for_a_reason_of_another_version_is_told_all_the_same() -> None:
    """A newer daemon may know more reasons than this command."""
    told = Standstill(scope="service", reason="news", message="No.", since=None, next_probe_at=None, needs_operator=True)
    assert only(Snapshot(pauses=(told,))).what == "All uploads stand still. No."


def test_a_folder_that_is_away_and_directories_that_cannot_be_read() -> None:
    """Both keep recordings from being seen."""
    away = FolderTrouble(name="calls", path="/in", away="the folder does not exist", unreadable_directories=0)
    closed = FolderTrouble(name="more", path="/more", unreadable_directories=2)
    lines = attention(Snapshot(folders=(away, closed)))
    assert [(line.code, line.count) for line in lines] == [("folder_away", 1), ("directories_unreadable", 2)]
    assert lines[0].what == "The folder calls (/in) is away: the folder does not exist."


@pytest.mark.parametrize(
    ("links", "said"),
    [(1, "holds 1 link to a directory that no folder watches"), (2, "holds 2 links to directories that no folder watches")],
)
def test_links_to_directories_that_nobody_watches(links: int, said: str) -> None:
    """What lies below them is not seen, and nothing else tells of it."""
    (line,) = attention(Snapshot(folders=(FolderTrouble(name="calls", path="/in", linked_directories=links),)))
    assert (line.code, line.count, line.do) == ("linked_directories", links, "speechsense-watch check")
    assert said in line.what
    assert "[[folders]]" in line.what


@pytest.mark.parametrize(
    ("free", "total", "full"),
    [
        (99 * 10**6, 200 * 10**6, True),
        (3 * GB, 100 * GB, True),
        (5 * GB, 100 * GB, False),
        (101 * 10**6, 200 * 10**6, False),
        (200 * GB, 8000 * GB, False),
    ],
)
def test_a_disk_is_nearly_full_by_its_share_or_by_its_bytes(*, free: int, total: int, full: bool) -> None:
    """Under 100 MB, or under a twentieth where that is little: a twentieth of a big disk is plenty for a queue."""
    lines = attention(Snapshot(disk=Disk("/var/lib/my queue", free, total)))
    assert [line.do for line in lines] == (["df -h '/var/lib/my queue'"] if full else [])


def test_what_stops_everything_comes_first() -> None:
    """Pauses, folders and the disk before single recordings; lost ones before all others."""
    snapshot = Snapshot(
        groups=(group(State.UNUSABLE, Reason.NOT_PCM), group(State.LOST, Reason.VANISHED_BEFORE_UPLOAD)),
        pauses=(pause(PauseReason.KEY_REFUSED),),
        folders=(FolderTrouble(name="calls", path="/in", away="gone"),),
        disk=Disk("/", 1, GB),
    )
    assert [line.code for line in attention(snapshot)] == ["paused", "folder_away", "disk_nearly_full", "lost", "unusable"]


def test_files_that_no_rule_takes_and_a_folder_that_stays_silent() -> None:
    """Both look like peace and quiet."""
    lines = attention(
        Snapshot(
            folders=(
                FolderTrouble(name="calls", path="/in", unmatched=3, last_seen_at=SINCE),
                FolderTrouble(name="more", path="/more", silent_h=5.4, last_seen_at=SINCE),
            )
        )
    )
    assert [(line.code, line.count, line.since) for line in lines] == [("unmatched", 3, SINCE), ("no_recordings", 1, SINCE)]
    assert "3 files look like recordings and match no rule" in lines[0].what
    assert "for 5 hours of working time" in lines[1].what


def test_recordings_that_wait_for_a_source_need_the_operator_after_a_while() -> None:
    """Nothing of the folder is sent while its database refuses us; a restart of it is nobody's concern."""
    line = only(Snapshot(groups=(group(State.WAITING, Reason.SOURCE_UNREADABLE, 60, overdue=True),)))
    assert (line.code, line.count, line.do) == ("source_unreadable", 60, "speechsense-watch check")
    assert line.what.startswith("60 recordings of calls wait for what cannot be read.")
    assert attention(Snapshot(groups=(group(State.WAITING, Reason.SOURCE_UNREADABLE),))) == ()
    assert attention(Snapshot(groups=(group(State.WAITING, Reason.CALL_RECORD_MISSING, overdue=True),))) == ()


def test_look_ups_that_do_not_work_are_told_with_what_the_service_said() -> None:
    """What is unconfirmed would wait for ever, and nobody would know why."""
    lines = attention(Snapshot(look_ups={"eag1": "PERMISSION_DENIED: no role", "eag2": ""}))
    assert [(line.code, line.do) for line in lines] == [("look_up", "speechsense-watch check --online")]
    assert "eag1 does not work: PERMISSION_DENIED: no role." in lines[0].what


def test_orphans_count_until_they_are_dealt_with() -> None:
    """SpeechSense has no call to delete a talk."""
    since = datetime(2026, 3, 1, tzinfo=UTC)
    (line,) = attention(Snapshot(orphans=2, orphans_since=since))
    assert (line.code, line.count, line.since, line.do) == ("orphans", 2, since, "speechsense-watch orphans")
