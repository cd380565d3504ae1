"""The note that tells other machines that a folder on a network file system is worked: `.speechsense-watch`, one line of JSON.

Only there; in a folder on a disk of this machine nothing is ever written (see edge.claims). Recordings never begin with a dot.
While it is written it has a name of its own for each daemon.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Lock

from speechsense_watch.core.shared_claim import MOST_EVERY_S, RENEWED_EVERY_S, Known, Note, Standing, judge, patience_s
from speechsense_watch.edge.atomic import write_whole

NAME = ".speechsense-watch"
_MOST_BYTES = 4096
# Somebody else may have ended.
_LOOK_AGAIN_S = 10.0


@dataclass(slots=True)
class _Share:
    every_s: float
    lock: Lock = field(default_factory=Lock)
    known: Known = field(default_factory=Known)
    written: Note | None = None
    look_at: float = 0.0
    said: str = ""


class SharedClaims:
    """Of one process. `owner` stays the same when it is started again, `session` does not."""

    def __init__(self, owner: str, session: str, host: str, monotonic: Callable[[], float]) -> None:
        self._mine = Note(owner, session, host, 0, RENEWED_EVERY_S)
        self._monotonic = monotonic
        self._lock = Lock()
        self._shares: dict[Path, _Share] = {}

    def hold(self, root: Path, every_s: float) -> str:
        """Empty when this folder may be worked, and then others are told so; otherwise who works it. To be asked at least every
        `every_s`. Where no note can be written nothing is refused but what another's note forbids. May be called from any thread.
        """
        with self._lock:
            share = self._shares.setdefault(root, _Share(every_s))
        with share.lock:
            now = self._monotonic()
            if now >= share.look_at:
                share.every_s = min(max(every_s, RENEWED_EVERY_S), MOST_EVERY_S)
                share.said = self._look(root, share, now)
            return share.said

    def keep_only(self, roots: Collection[Path]) -> None:
        """The notes in every other folder are gone, so that nobody has to wait."""
        with self._lock:
            for root in self._shares.keys() - set(roots):
                share = self._shares.pop(root)
                # Only ours: somebody may have the folder by now.
                found = _read(root)
                if share.written is not None and found is not None and found.session == self._mine.session:
                    with suppress(OSError):
                        (root / NAME).unlink()

    def _look(self, root: Path, share: _Share, now: float) -> str:
        aside = root / f"{NAME}-{self._mine.owner}.tmp"
        # Left by an earlier start that died as it wrote; by this name nobody but us writes. Each time: the share may have been
        # away at the start, and nothing can be written where it lies.
        with suppress(OSError):
            aside.unlink()
        found = _read(root)
        standing, share.known = judge(found, self._mine, share.known, now)
        if found is None or standing is Standing.OURS:
            beat = share.written.beat + 1 if share.written is not None else 1
            share.written = replace(self._mine, beat=beat, every_s=share.every_s)
            with suppress(OSError):
                write_whole(root / NAME, _text_of(share.written), mode=0o644, aside=aside)
            # A little early: those who ask by the minute shall renew it by the minute.
            share.look_at = now + 0.75 * RENEWED_EVERY_S
            return ""
        share.look_at = now + _LOOK_AGAIN_S
        if standing is Standing.THEIRS:
            return f"on the machine {found.host}"
        minutes = round(patience_s(found) / 60)
        return f"perhaps: one on the machine {found.host} had it last; whether that goes on shows within {minutes} minutes"


def _text_of(note: Note) -> bytes:
    return json.dumps(asdict(note)).encode("ascii") + b"\n"


def _read(root: Path) -> Note | None:
    """None as well for what is no note: anybody who may write there may have put it there, a pipe that is never written too."""
    try:
        descriptor = os.open(root / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        told = json.loads(os.read(descriptor, _MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    finally:
        os.close(descriptor)
    return _note_of(told)


def _note_of(told: object) -> Note | None:
    if not isinstance(told, dict):
        return None
    texts = [told.get(key) for key in ("owner", "session", "host")]
    beat, every_s = told.get("beat"), told.get("every_s")
    if type(beat) is not int or not isinstance(every_s, int | float) or not every_s < float("inf"):
        return None
    owner, session, host = (text if isinstance(text, str) else "" for text in texts)
    if not (owner and session):
        return None
    return Note(owner, session, _harmless(host), beat, float(every_s))


def _harmless(host: str) -> str:
    """Fit to be shown: a name as hosts have it, or none."""
    kept = "".join(character for character in host[:64] if character.isascii() and (character.isalnum() or character in "-._"))
    return kept or "without a name"
