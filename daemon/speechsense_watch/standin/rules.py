"""What one stand-in demands and how it behaves, as chosen by whoever starts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import grpc

from speechsense_watch.standin.checks import Connection, Refused


@dataclass(frozen=True, slots=True)
class Rules:
    """The defaults let everybody in and take every connection for a two-channel one.

    `keys`: the API keys and tokens that are let in; empty for all, and for none given.
    `connections`: by id; None for any. `index_lag_s`: how long after its upload a talk stays out of sight for Search and
    Get. `key_prefix`: what comes before a field's name in the key of a filter; under other keys nothing is found.
    `max_message_bytes`: the largest message that is taken at all. `connection_age_s`: after this a connection is told to go
    away (GOAWAY), and calls that are under way on it then are cut off after as long again; 0 for never.
    """

    keys: frozenset[str] = frozenset()
    connections: Mapping[str, Connection] | None = None
    index_lag_s: float = 0.0
    key_prefix: str = "userMeta."
    max_message_bytes: int = 128 * 2**20
    connection_age_s: float = 0.0

    def connection(self, connection_id: str) -> Connection:
        """Raises Refused when there is none with this id."""
        if self.connections is None:
            return Connection()
        if connection_id not in self.connections:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"there is no connection {connection_id}")
        return self.connections[connection_id]
