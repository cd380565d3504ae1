"""What the user chose, as values: the rules of a folder and of uploading.

`config` builds these from the TOML file; everything below the configuration sees only them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from speechsense_watch.core.extensions import DEFAULT as EXTENSIONS
from speechsense_watch.core.patience import SHARERS, Patience

# The largest `concurrency`.
MOST_AT_A_TIME = 64


class ConnectionType(StrEnum):
    TWO_CHANNEL = "two-channel"
    SINGLE_CHANNEL = "single-channel"


class Detection(StrEnum):
    AUTO = "auto"
    EVENTS = "events"
    POLLING = "polling"


class Unfinished(StrEnum):
    REPORT = "report"
    REPAIR = "repair"


class MetadataFormat(StrEnum):
    JSON = "json"
    XML = "xml"


class TooLong(StrEnum):
    REFUSE = "refuse"
    CUT = "cut"


class AfterUpload(StrEnum):
    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"


class OnUnknown(StrEnum):
    SEARCH = "search"
    RESEND = "resend"
    HOLD = "hold"


class Order(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"


@dataclass(frozen=True, slots=True)
class SearchScope:
    organization_id: str = ""
    space_id: str = ""
    project_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecordRules:
    """Where the exchange's call records (CDR) are: a CSV that grows, or a MySQL or MariaDB table. `wait_s` is how long a
    finished recording waits for its record. Files are absolute; `columns` empty: Asterisk's own. `encoding` is that of the CSV.
    """

    csv: str = ""
    columns: tuple[str, ...] = ()
    encoding: str = "utf-8"
    mysql_host: str = ""
    mysql_port: int = 3306
    mysql_socket: str = ""
    mysql_user: str = ""
    mysql_password_file: str = ""
    mysql_database: str = "asteriskcdrdb"
    mysql_table: str = "cdr"
    wait_s: float = 300.0

    @property
    def wanted(self) -> bool:
        return bool(self.csv or self.mysql_host or self.mysql_socket)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A watched directory tree with its rules. `path` is absolute; times are seconds."""

    path: str
    connection_id: str
    start_from: datetime | Literal["now", "all"]
    name: str
    connection_type: ConnectionType = ConnectionType.TWO_CHANNEL
    audio: tuple[str, ...] = ("*.wav",)
    metadata: str = "{stem}.json"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    recursive: bool = True
    quiet_period_s: float = 10.0
    metadata_last: bool = False
    rescan_interval_s: float = 60.0
    detection: Detection = Detection.AUTO
    time_zone: str = ""
    min_duration_s: float = 0.0
    max_duration_s: float = 4 * 3600.0
    # Fields that all must have these values for left and right to be exchanged; none: never.
    swap_channels_when: Mapping[str, str] = field(default_factory=dict)
    unfinished: Unfinished = Unfinished.REPORT
    abandon_after_s: float = 3600.0
    after_upload: AfterUpload = AfterUpload.KEEP
    archive_to: str = ""
    on_unknown: OnUnknown = OnUnknown.RESEND
    recording_id_field: str = ""
    search: SearchScope = field(default_factory=SearchScope)
    search_patience_s: float = 600.0
    # Metadata from elsewhere than a file beside the audio; `metadata` empty: there is none.
    metadata_format: MetadataFormat = MetadataFormat.JSON
    metadata_paths: Mapping[str, str] = field(default_factory=dict)
    file_name: str = ""
    extensions: str = EXTENSIONS
    cdr: CallRecordRules = field(default_factory=CallRecordRules)
    operators: str = ""
    # What becomes of it, in the order in which it acts.
    # After so many seconds of working time without a recording something is wrong; 0: never.
    quiet_alarm_s: float = 0.0
    working_time: str = ""
    # How many recordings are sent by new rules before the operator has looked at their talks; 0: no trial.
    trial: int = 0
    metadata_rename: Mapping[str, str] = field(default_factory=dict)
    metadata_drop: tuple[str, ...] = ()
    metadata_values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    metadata_constants: Mapping[str, str] = field(default_factory=dict)
    too_long: TooLong = TooLong.REFUSE
    metadata_defaults: Mapping[str, str] = field(default_factory=dict)
    # Directories below the root that other folders of the configuration watch: the nearest one owns a file. Not a key.
    inner: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRules:
    """How recordings are sent. `bandwidth_bytes_per_s` is None for no limit."""

    concurrency: int = 4
    order: Order = Order.NEWEST
    bandwidth_bytes_per_s: int | None = None
    stream_above_bytes: int = 3 * 2**20
    chunk_size_bytes: int = 2**20
    retry_initial_s: float = 5.0
    retry_max_s: float = 900.0
    give_up_after_s: float = 14 * 86400.0
    shutdown_grace_s: float = 20.0
    least_rate_bytes_per_s: int = 8 * 1024

    @property
    def patience(self) -> Patience:
        return Patience(least_bytes_per_s=self.least_rate_bytes_per_s, sharers=max(SHARERS, 2 * self.concurrency))
