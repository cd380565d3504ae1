"""One scan of a folder, from its first directory to its last: which places are looked at, and in which order.

It is a generator, so that its folder's turn may end after each look and the scan goes on where it stopped.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from speechsense_watch.core import pairing
from speechsense_watch.core.known import Known
from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.kept import Kept
from speechsense_watch.places import Places, Seen
from speechsense_watch.ports import OnRecord, Queue, Stale
from speechsense_watch.recording import Reader
from speechsense_watch.scan import Listing, Scan

# So many names are sorted and asked for at a time.
SLICE = 500


def below(path: str, directory: str) -> bool:
    """Whether the path is that directory or lies in it; '' is the root."""
    return not directory or path == directory or path.startswith(f"{directory}/")


def _name(path: str) -> str:
    return path[path.rfind("/") + 1 :]


def place_to_look_at(rules: Folder, known: Known) -> str:
    """The audio's path; of a row that has only its metadata, the likeliest one."""
    if known.audio_path is None and (candidates := pairing.audio_paths(rules, known.path)):
        return candidates[0]
    return known.path


@dataclass(slots=True)
class Sweep:
    """The scans of one folder. `look` has a place examined, and sees to what follows from it."""

    rules: Folder
    places: Places
    scan: Scan
    kept: Kept
    on_record: OnRecord
    queue: Queue
    look: Callable[[str], Seen]
    # The same of a place of which nothing is on record, read by this reader.
    look_at_new: Callable[[str, Reader], Seen]
    # Whether the turn lasts.
    goes_on: Callable[[], bool]
    # Whether the place is to be looked at soon anyway: of what grows or waits for its call record each has an appointment.
    expected: Callable[[str], bool]
    # Names in the directory that is being looked through.
    _present: frozenset[str] = field(default_factory=frozenset)

    def run(self, *, first: bool) -> Iterator[None]:
        """Goes on by one look, or by some hundred glances, at a time. The `first` one lists everything."""
        for listing in self.scan.walk(anew=first):
            if listing is not None:
                yield from self._look_through(listing)
            yield
        yield from self._look_for_lost_directories(first=first)
        if not first:
            yield from self._look_at(self.kept.young())
            yield from self._look_at(self.kept.next_of_round())
        yield from self._look_at_released()

    # --- one directory -------------------------------------------------------------------------

    def _look_through(self, listing: Listing) -> Iterator[None]:
        listing.directory.left_alone = listing.directory.unmatched = 0
        self._present = frozenset(listing.names)
        rest, vanished = set(listing.names), False
        for rows in self.on_record.right_in(listing.path):
            vanished |= not self._present.issuperset(row[0] for row in rows)
            for names in self.kept.as_before(listing.path, rows, self._present):
                rest.difference_update(names)
                yield
        yield from self._look_at_names(listing, list(rest))
        if vanished:
            yield from self._look_for_vanished(listing.path)

    def _look_at_names(self, listing: Listing, rest: Sequence[str]) -> Iterator[None]:
        for start in range(0, len(rest), SLICE):
            audio, metadata = self._sorted(listing, rest[start : start + SLICE])
            yield from self._look_at_audio(listing, audio)
            yield from self._look_at_metadata(metadata)

    def _sorted(self, listing: Listing, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """The audio that the rules take, and where the audio of metadata would lie that has none beside it."""
        audio: list[str] = []
        elsewhere: list[str] = []
        for name in names:
            path = f"{listing.path}/{name}" if listing.path else name
            # The directory itself is one that the scan enters.
            if pairing.is_audio(self.rules, path) and pairing.chosen(self.rules, path):
                audio.append(path)
            elif pairing.lies_beside_its_audio(self.rules, name, self._present):
                continue
            elif candidates := pairing.audio_paths(self.rules, path):
                elsewhere.extend(self._waiting_for(candidates, listing))
            elif pairing.unmatched(self.rules, path):
                listing.directory.unmatched += 1
        return audio, elsewhere

    def _waiting_for(self, candidates: Sequence[str], listing: Listing) -> Sequence[str]:
        """The audio places this metadata may complete: those beside it are looked at for their own sake."""
        for candidate in candidates:
            parent, _, name = candidate.rpartition("/")
            if parent == listing.path and name in self._present:
                return ()
        return [candidate for candidate in candidates if pairing.takes(self.rules, candidate)][:1]

    def _look_at_audio(self, listing: Listing, paths: Sequence[str]) -> Iterator[None]:
        known = self.on_record.at(paths)
        fresh = [path for path in paths if path not in known]
        # In a directory with years of calls nearly all are older than `start_from`, so they are judged together.
        old = self.places.left_alone(listing.path, [_name(path) for path in fresh])
        listing.directory.left_alone += len(old)
        yield from self._look_at_new(listing, [path for path in fresh if _name(path) not in old])
        yield from self._look_at(self.kept.asking([each for each in known.values() if self._may_have_changed(each, listing)]))

    def _look_at_new(self, listing: Listing, paths: Sequence[str]) -> Iterator[None]:
        """Of these nothing is on record. Many at once, as long as the turn lasts: then their directory is let go of."""
        # Metadata that came first may have a row of its own.
        beside = [pairing.metadata_path(self.rules, path) for path in paths]
        waiting = self.on_record.at([path for path in beside if path is not None])
        rest = deque(zip(paths, beside, strict=True))
        while rest:
            with self.places.near(listing.path) as near:
                more = True
                while more and rest:
                    path, metadata = rest.popleft()
                    seen = self.look(path) if metadata in waiting else self.look_at_new(path, near)
                    listing.directory.left_alone += seen.left_alone
                    more = self.goes_on()
            yield

    def _may_have_changed(self, known: Known, listing: Listing) -> bool:
        """Of audio that waits for metadata beside it the listing tells whether that has come."""
        if known.state is not State.WAITING or known.reason is not Reason.METADATA_MISSING:
            return True
        beside = pairing.metadata_path(self.rules, known.path, lambda path: _name(path) in self._present)
        return beside is None or posixpath.dirname(beside) != listing.path or _name(beside) in self._present

    def _look_at_metadata(self, audio_paths: Sequence[str]) -> Iterator[None]:
        """By the places of its audio, which is not here: elsewhere, or not there yet."""
        known = self.on_record.at(audio_paths)
        for path in audio_paths:
            if path not in known:
                self.look(path)
                yield
        yield from self._look_at(self.kept.asking(list(known.values())))

    def _look_at(self, asking: Iterable[list[Known]]) -> Iterator[None]:
        for some in asking:
            for known in some:
                place = place_to_look_at(self.rules, known)
                if known.state is State.WAITING and self.expected(place):
                    continue
                self.look(place)
                yield
            yield

    # --- what is not there any more --------------------------------------------------------------

    def _look_for_vanished(self, directory: str) -> Iterator[None]:
        for paths in self.on_record.thought_there(directory):
            for known in self.on_record.at([path for path in paths if _name(path) not in self._present]).values():
                self.look(place_to_look_at(self.rules, known))
                yield
            yield

    def _look_for_lost_directories(self, *, first: bool) -> Iterator[None]:
        lost = set(self.scan.forgotten)
        self.scan.forgotten.clear()
        if first:
            unseen = set(self.on_record.directories()) - self.scan.directories.keys()
            # What lies below a directory that cannot be entered is not lost, nobody can see it.
            lost |= {each for each in unseen if not any(below(each, closed) for closed in self.scan.troubles)}
        self._present = frozenset()
        for directory in lost:
            yield from self._look_for_vanished(directory)

    def _look_at_released(self) -> Iterator[None]:
        for duplicate in self.queue.released_duplicates():
            if duplicate.place.folder == self.rules.name:
                with suppress(Stale):  # a command was quicker
                    self.places.release(duplicate)
                self.look(duplicate.place.path)
                yield
