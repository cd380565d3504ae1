"""The folders' part of the options table: [[folders]] with its own tables.

Values of `default` stand as they would in TOML. The keys that nobody should need come last.
"""

from __future__ import annotations

from speechsense_watch.config import kinds
from speechsense_watch.config.option import REQUIRED, Option
from speechsense_watch.core.rules import AfterUpload, ConnectionType, Detection, OnUnknown, Unfinished

# SpeechSense takes no longer value of a metadata key.
_VALUE_LIMIT_BYTES = 1024
_RELATIVE = 'a list of patterns below the folder such as ["2025/**", "*/sales-*"], relative and without ".."'

FOLDERS = (
    Option(
        section="folders",
        key="path",
        kind=kinds.absolute_path(),
        default=REQUIRED,
        example="/var/spool/asterisk/monitor",
        doc="The folder in which the recordings appear.",
    ),
    Option(
        section="folders",
        key="connection_id",
        kind=kinds.word("the id of a SpeechSense connection, without spaces", may_be_empty=False),
        default=REQUIRED,
        example="put-the-connection-id-here",
        doc="The SpeechSense connection that the calls go to; its page in the console shows the id.",
    ),
    Option(
        section="folders",
        key="start_from",
        kind=kinds.start(),
        default=REQUIRED,
        example="now",
        doc="Older calls are left alone, by the time of the audio file: `now` (when this folder was first watched), `all`, or "
        "a date such as 2025-04-01. A date without a zone is midnight in `time_zone`, or if that is empty in the machine's zone.",
    ),
    Option(
        section="folders",
        key="name",
        kind=kinds.folder_name(),
        default="",
        doc="What the folder is called in lists and logs; empty: the last part of `path`.",
    ),
    Option(
        section="folders",
        key="connection_type",
        kind=kinds.one_of(ConnectionType),
        default="two-channel",
        doc="As in the connection: it decides how many channels the audio has and which metadata keys are needed.",
    ),
    Option(
        section="folders",
        key="audio",
        kind=kinds.patterns('a list of at least one file name pattern such as ["*.wav"]', slashes=False, least=1),
        default=["*.wav"],
        doc="The names of audio files; capital or small letters are the same.",
    ),
    Option(
        section="folders",
        key="metadata",
        kind=kinds.metadata_pattern(),
        default="{stem}.json",
        doc='Where a call\'s metadata lies: "{stem}.json" is call.json for call.wav, "{name}.json" is call.wav.json, '
        '"meta/{stem}.json" is meta/call.json.',
    ),
    Option(
        section="folders",
        key="include",
        kind=kinds.patterns(_RELATIVE, slashes=True),
        default=[],
        doc="Only what fits one of these patterns below the folder is looked at; none: everything.",
    ),
    Option(
        section="folders",
        key="exclude",
        kind=kinds.patterns(_RELATIVE, slashes=True),
        default=[],
        doc="What fits one of these patterns below the folder is left out.",
    ),
    Option(
        section="folders",
        key="recursive",
        kind=kinds.flag(),
        default=True,
        doc="Whether the folders below are watched too.",
    ),
    Option(
        section="folders",
        key="time_zone",
        kind=kinds.time_zone(),
        default="",
        doc="The zone of dates that bear none; empty: a recording with such a date in its metadata is unusable.",
    ),
    Option(
        section="folders",
        key="after_upload",
        kind=kinds.one_of(AfterUpload),
        default="keep",
        doc="What is done with the files once SpeechSense has the call.",
    ),
    Option(
        section="folders",
        key="archive_to",
        kind=kinds.absolute_path(may_be_empty=True),
        default="",
        doc='Where the files go with after_upload = "archive", outside every watched folder.',
    ),
    Option(
        section="folders",
        key="min_duration",
        kind=kinds.duration("0s", "4h"),
        default="0s",
        doc="Shorter calls are not sent.",
    ),
    Option(
        section="folders",
        key="max_duration",
        kind=kinds.duration("1s", "4h"),
        default="4h",
        doc="Longer calls are reported and not sent; SpeechSense takes no more than 4 hours.",
    ),
    Option(
        section="folders",
        key="quiet_period",
        kind=kinds.duration("100ms", "1d"),
        default="10s",
        doc="How long both files must have been left untouched before a call counts as complete.",
    ),
    Option(
        section="folders",
        key="metadata_last",
        kind=kinds.flag(),
        default=False,
        doc="The recorder renames the metadata into place after the audio is final: then there is no quiet period.",
    ),
    Option(
        section="folders",
        key="on_unknown",
        kind=kinds.one_of(OnUnknown),
        default="resend",
        doc="What is done when nobody can say whether a call arrived: look it up in SpeechSense, send it again "
        "(rarely a double), or hold it for you to decide.",
        later={"search": "looking calls up in SpeechSense comes with a later version; until then it acts as `hold`"},
    ),
    Option(
        section="folders",
        key="recording_id_field",
        kind=kinds.word('a metadata key such as "recording_id", without spaces, or ""'),
        default="",
        doc="A key of type String, declared in the connection, that shall carry the recording's identity and number of the try.",
    ),
    Option(
        section="folders",
        key="metadata_rename",
        kind=kinds.text_table("SpeechSense's key as a text in quotes", limit_bytes=_VALUE_LIMIT_BYTES, may_be_empty=False),
        default={},
        example={"agent": "operator_name"},
        doc="The recorder's key = SpeechSense's key.",
        table=True,
    ),
    Option(
        section="folders",
        key="metadata_defaults",
        kind=kinds.text_table("a text in quotes", limit_bytes=_VALUE_LIMIT_BYTES),
        default={},
        example={"language": "ru-RU"},
        doc="Values for keys that a recording's metadata lacks.",
        table=True,
    ),
    Option(
        section="folders",
        key="unfinished",
        kind=kinds.one_of(Unfinished),
        default="report",
        doc="What is done after `abandon_after` with audio whose header was never finished.",
        rare=True,
        later={"repair": "repairing headers comes with a later version; until then it acts as `report`"},
    ),
    Option(
        section="folders",
        key="abandon_after",
        kind=kinds.duration("100ms", "365d"),
        default="1h",
        doc="How long an unfinished file may lie untouched before it is reported.",
        rare=True,
    ),
    Option(
        section="folders",
        key="detection",
        kind=kinds.one_of(Detection),
        default="auto",
        doc="How new files are noticed: by the kernel's events, by looking every `rescan_interval`, or whichever works.",
        rare=True,
    ),
    Option(
        section="folders",
        key="rescan_interval",
        kind=kinds.duration("100ms", "1d"),
        default="60s",
        doc="How often the whole folder is looked through.",
        rare=True,
    ),
    Option(
        section="folders",
        key="search_patience",
        kind=kinds.duration("1s", "7d"),
        default="10m",
        doc="How long a call must be looked for in vain before it counts as not arrived.",
        rare=True,
    ),
)

_SEARCH_PART = 'an id without spaces, or ""'

SEARCH = (
    Option(
        section="folders.search",
        key="organization_id",
        kind=kinds.word(_SEARCH_PART),
        default="",
        doc="The organization in which calls are looked up.",
    ),
    Option(
        section="folders.search",
        key="space_id",
        kind=kinds.word(_SEARCH_PART),
        default="",
        doc="The space in which calls are looked up.",
    ),
    Option(
        section="folders.search",
        key="project_id",
        kind=kinds.word(_SEARCH_PART),
        default="",
        doc="A project shows only part of the calls: leave it empty.",
        rare=True,
    ),
)
