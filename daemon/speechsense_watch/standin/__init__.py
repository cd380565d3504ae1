"""A stand-in for SpeechSense, for rehearsals, the demo and tests: real gRPC on loopback, memory on disk.

It takes what the real service is documented to take and refuses the rest, so that nothing has to be paid for to see
how the daemon behaves; and it fails in every way that can be ordered of it (see `faults`).

    server      StandIn: start, stop, ask; `serve` for the command line
    service     one call: let in, strike, check, store, answer
    checks      what Yandex's guides demand of an upload
    reading     Search and Get
    faults      what shall go wrong, and when
    late        what is stored after its client was told otherwise
    storage     audio files and fsynced ledgers;  calls  the list of calls
"""

from speechsense_watch.standin.calls import CallRecord
from speechsense_watch.standin.checks import Connection
from speechsense_watch.standin.faults import Fault
from speechsense_watch.standin.rules import Rules
from speechsense_watch.standin.server import StandIn, serve
from speechsense_watch.standin.storage import StandInError, StoredTalk

__all__ = ["CallRecord", "Connection", "Fault", "Rules", "StandIn", "StandInError", "StoredTalk", "serve"]
