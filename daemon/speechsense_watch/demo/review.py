"""Did everything end as it should? Each difference is a sentence; none of them is the demo's success."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechsense_watch.core.model import Job
from speechsense_watch.demo.pbx import Taped
from speechsense_watch.demo.scene import Call
from speechsense_watch.demo.words import times
from speechsense_watch.standin import StoredTalk


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was found at the end, by each side's own account. `jobs`, `taped` and `audio` go by the calls' names."""

    cast: Sequence[Call]
    jobs: Mapping[str, Job]
    taped: Mapping[str, Taped]
    audio: Mapping[str, Path]
    talks: Sequence[StoredTalk]


def differences(facts: Facts) -> list[str]:
    """What is not as it should be, a sentence each; empty when all is well. Raises OSError for unreadable audio."""
    talks = {talk.talk_id: talk for talk in facts.talks}
    found: list[str] = []
    for call in facts.cast:
        job = facts.jobs.get(call.name)
        if job is None:
            found.append(f"{call.name}: the daemon has no record of it.")
            continue
        found.extend(_of_job(call, job))
        found.extend(_of_files(call, facts))
        if call.is_sent and job.talk_id:
            found.extend(_of_talk(call, facts.taped[call.name], talks.get(job.talk_id)))
    return found + list(_of_all(facts))


def _of_job(call: Call, job: Job) -> Iterator[str]:
    if (job.state, job.reason) != (call.ends, call.reason):
        got = " ".join(filter(None, (job.state, f"({job.reason})" if job.reason else "", job.message)))
        due = " ".join(filter(None, (call.ends, f"({call.reason})" if call.reason else "")))
        yield f"{call.name}: it should have ended as {due}, but it is {got}."
    if job.attempts != call.refusals:
        yield f"{call.name}: it should have failed {times(call.refusals)}, but did {times(job.attempts)}."
    if job.possible_duplicate:
        yield f"{call.name}: it may have been sent twice."


def _of_files(call: Call, facts: Facts) -> Iterator[str]:
    if hashlib.sha256(facts.audio[call.name].read_bytes()).hexdigest() != facts.taped[call.name].audio_sha256:
        yield f"{call.name}: its audio is not what the exchange wrote any more."


def _of_talk(call: Call, taped: Taped, talk: StoredTalk | None) -> Iterator[str]:
    if talk is None:
        yield f"{call.name}: the service does not know its talk id."
        return
    if hashlib.sha256(talk.audio_path.read_bytes()).hexdigest() != taped.audio_sha256:
        yield f"{call.name}: the service has other audio than the exchange recorded."
    if talk.fields != taped.fields:
        yield f"{call.name}: the service has other metadata than the exchange wrote."
    if talk.how != call.how:
        yield f"{call.name}: it should have been sent as {call.how}, but came as {talk.how}."


def _of_all(facts: Facts) -> Iterator[str]:
    sent = Counter(talk.sha256 for talk in facts.talks)
    for call in facts.cast:
        count = sent.pop(facts.taped[call.name].audio_sha256, 0) if call.name in facts.taped else 0
        if count != call.is_sent:
            yield f"{call.name}: the service should have it {times(call.is_sent)}, but has it {times(count)}."
    if stray := sent.total():
        yield f"The service has {stray} more than the exchange recorded."
