"""What the loops need from the world, and nothing about how the world does it.

Every protocol here is kept by one module of `edge/` and, in tests, by a double or the real thing. Foreign errors are turned into
the values and the few exceptions named here; nothing above an edge sees an `OSError`, a `sqlite3.Error` or a `grpc.RpcError`.
"""

from speechsense_watch.ports.files import (
    Entries,
    Files,
    FileTrouble,
    FileTroubleKind,
    Hint,
    OpenFile,
    Root,
    Watch,
    WatchHealth,
    WatchState,
)
from speechsense_watch.ports.filing import Filed, FilesChanged, Filing, FilingResult, FilingTrouble
from speechsense_watch.ports.in_hand import NO_NOTE, InHand
from speechsense_watch.ports.on_record import OnRecord
from speechsense_watch.ports.queue import Arrival, Queue, QueueTrouble, Selection, Stale, Tried, UidTaken
from speechsense_watch.ports.searching import Doubts, Searching, SearchTrouble
from speechsense_watch.ports.service import (
    Channel,
    ChannelState,
    CredentialError,
    CredentialPending,
    Credentials,
    Halted,
    Key,
    OnEnd,
    Service,
    Talk,
)
from speechsense_watch.ports.sources import NO_SOURCES, CallRecords, People, Sources, SourceTrouble
from speechsense_watch.ports.time import Chance, Clock, Touches, Waiting, Wake

__all__ = [
    "NO_NOTE",
    "NO_SOURCES",
    "Arrival",
    "CallRecords",
    "Chance",
    "Channel",
    "ChannelState",
    "Clock",
    "CredentialError",
    "CredentialPending",
    "Credentials",
    "Doubts",
    "Entries",
    "FileTrouble",
    "FileTroubleKind",
    "Filed",
    "Files",
    "FilesChanged",
    "Filing",
    "FilingResult",
    "FilingTrouble",
    "Halted",
    "Hint",
    "InHand",
    "Key",
    "OnEnd",
    "OnRecord",
    "OpenFile",
    "People",
    "Queue",
    "QueueTrouble",
    "Root",
    "SearchTrouble",
    "Searching",
    "Selection",
    "Service",
    "SourceTrouble",
    "Sources",
    "Stale",
    "Talk",
    "Touches",
    "Tried",
    "UidTaken",
    "Waiting",
    "Wake",
    "Watch",
    "WatchHealth",
    "WatchState",
]
