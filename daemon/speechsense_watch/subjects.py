"""What look-ups are about: connections, and what the queue holds of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from speechsense_watch.core.lookup import Check, Doubt
from speechsense_watch.core.rules import Folder, SearchScope
from speechsense_watch.core.turns import Turns
from speechsense_watch.ports import Doubts


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """What one inquiry is about: a connection, where it is looked for, and the field that carries the recording's id."""

    connection_id: str
    organization_id: str
    space_id: str
    project_id: str
    name: str

    @property
    def scope(self) -> SearchScope:
        return SearchScope(self.organization_id, self.space_id, self.project_id)


@dataclass(slots=True)
class Case:
    """What the queue holds that an inquiry is about, and the folders it is of."""

    folders: dict[str, Folder] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)


def subject_of(folder: Folder) -> Subject:
    scope = folder.search
    return Subject(folder.connection_id, scope.organization_id, scope.space_id, scope.project_id, folder.recording_id_field)


def cases_of(
    folders: Mapping[Subject, Mapping[str, Folder]], queue: Doubts, now: datetime, turns: Mapping[Subject, Turns]
) -> Mapping[Subject, Case]:
    """With those of connections that a folder had before, which may be another folder's now: what was sent there is looked for
    there. `turns` tell whose turn it is where there are too many, and are told who is looked for now. Raises QueueTrouble.
    """
    found: dict[Subject, Case] = defaultdict(Case)
    for subject, own in folders.items():
        turn = turns[subject]
        doubts, checks = queue.doubts(own, now, subject.name, turn.after, turn.most), queue.checks(own)
        turn.stretch = [doubt.position for each in doubts.values() for doubt in each]
        for connection_id in {subject.connection_id, *doubts, *checks}:
            case = found[replace(subject, connection_id=connection_id)]
            case.folders |= own
            case.doubts += doubts.get(connection_id, ())
            case.checks += checks.get(connection_id, ())
    return found
