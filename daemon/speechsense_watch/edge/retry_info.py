"""How long a service asks its clients to wait, in the two ways in which it may say so."""

from __future__ import annotations

import math
from collections.abc import Mapping

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status


def retry_after_s(trailing: Mapping[str, str | bytes]) -> float | None:
    """Seconds the service asked us to wait, the longer of two pleas; infinite when it asked not to be tried again; None when it
    asked for nothing. Whoever acts by it bounds it.
    """
    found = [wait_s for wait_s in (_pushback_s(trailing), _retry_info_s(trailing)) if wait_s is not None]
    return max(found, default=None)


def _pushback_s(trailing: Mapping[str, str | bytes]) -> float | None:
    """GRFC A6: `grpc-retry-pushback-ms`, milliseconds; a negative number, and whatever is none, means: do not try again."""
    value = trailing.get("grpc-retry-pushback-ms")
    if not isinstance(value, str) or not value:
        return None
    digits = value.isascii() and value.isdigit() and len(value) < 16
    return int(value) / 1000 if digits else math.inf


def _retry_info_s(trailing: Mapping[str, str | bytes]) -> float | None:
    """google.rpc.RetryInfo in `grpc-status-details-bin` (google/rpc/error_details.proto): at least this long."""
    value = trailing.get("grpc-status-details-bin")
    if not isinstance(value, bytes):
        return None
    info = RetryInfo()
    try:
        found = [float(info.retry_delay.ToNanoseconds()) for detail in Status.FromString(value).details if detail.Unpack(info)]
    except DecodeError:
        return None
    return max((nanoseconds / 1e9 for nanoseconds in found if nanoseconds > 0), default=None)
