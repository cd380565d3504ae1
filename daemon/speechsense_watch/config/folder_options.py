"""The folders' part of the options table: [[folders]] with its own tables.

Values of `default` stand as they would in TOML. The keys that nobody should need come last.
"""

from __future__ import annotations

from speechsense_watch.config import kinds
from speechsense_watch.config.option import REQUIRED, Option
from speechsense_watch.core.rules import (
    AfterUpload,
    ConnectionType,
    Detection,
    MetadataFormat,
    OnUnknown,
    TooLong,
    Unfinished,
)

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
        '"meta/{stem}.json" is meta/call.json. Empty: in no file, but in the names or the call records (`file_name`, `cdr`).',
    ),
    Option(
        section="folders",
        key="metadata_format",
        kind=kinds.one_of(MetadataFormat),
        default="json",
        doc="How metadata files are written; XML needs [folders.metadata_paths].",
    ),
    Option(
        section="folders",
        key="file_name",
        kind=kinds.file_name(),
        default="",
        doc="What the names of the audio files tell: `freepbx`, `3cx`, or a regular expression with named groups for the whole "
        "name without its ending, such as '(?P<operator_id>[0-9]+)_(?P<client_id>[^_]+)_.*'.",
    ),
    Option(
        section="folders",
        key="extensions",
        kind=kinds.number_pattern(),
        default="[0-9]{2,5}",
        doc="Which numbers are extensions of the house, as a regular expression for the whole number: `file_name` and call "
        "records take whoever has one for the operator. Make it narrow, such as '[0-9]{3}', where outside numbers are short.",
    ),
    Option(
        section="folders",
        key="operators",
        kind=kinds.absolute_path("/etc/speechsense-watch/operators.csv", may_be_empty=True, beside=True),
        default="",
        doc="A CSV table of people with the columns extension, id and name: whoever has the extension that stands in "
        "`operator_id`. A name that is lacking is the extension.",
    ),
    Option(
        section="folders",
        key="include",
        kind=kinds.patterns(_RELATIVE, slashes=True),
        default=[],
        doc="Only what fits one of these patterns below the folder is looked at; none: everything. `*` stands for anything, "
        '"/" too, and `**/` for any folders or none: "**/in-*.wav". `status` counts recordings that none of them fits.',
    ),
    Option(
        section="folders",
        key="exclude",
        kind=kinds.patterns(_RELATIVE, slashes=True),
        default=[],
        doc="What fits one of these patterns below the folder is left out, links to other folders among it.",
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
        key="trial",
        kind=kinds.whole_number(0, 1000),
        default=0,
        doc="So many recordings are sent first, and again after each change of what is sent (connection, metadata, channels); "
        "the rest waits until you have looked at their talks and typed `speechsense-watch approve NAME`. 0: no trial.",
    ),
    Option(
        section="folders",
        key="quiet_alarm",
        kind=kinds.duration("0s", "30d"),
        default="0s",
        doc="`status` needs you when no recording has come for so much of the working time; 0s: never.",
    ),
    Option(
        section="folders",
        key="working_time",
        kind=kinds.working_time(),
        default="",
        doc="When calls are to be expected, by `time_zone` (or the machine's zone): `Mon-Fri 09:00-18:00`; empty: always.",
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
        key="unfinished",
        kind=kinds.one_of(Unfinished),
        default="report",
        doc="What is done after `abandon_after` with audio whose header was never finished, because the recorder was killed: "
        "it is reported, or sent with a header made after its size; the file itself stays as it is.",
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
        key="swap_channels_when",
        kind=kinds.text_table("a text in quotes", limit_bytes=_VALUE_LIMIT_BYTES),
        default={},
        example={"direction_outgoing": "true"},
        doc="Left and right are exchanged where a call has these values, for recorders whose channels follow the leg that is "
        "recorded; the file itself stays as it is.",
        table=True,
    ),
    Option(
        section="folders",
        key="metadata_drop",
        kind=kinds.keys(),
        default=[],
        doc="SpeechSense's keys that are not sent.",
    ),
    Option(
        section="folders",
        key="too_long",
        kind=kinds.one_of(TooLong),
        default="refuse",
        doc="What is done with values of over 1,024 bytes, which SpeechSense does not take (a Cyrillic letter is two): the "
        "recording is reported, or the value is cut.",
    ),
    Option(
        section="folders",
        key="metadata_rename",
        kind=kinds.text_table("SpeechSense's key as a text in quotes", limit_bytes=_VALUE_LIMIT_BYTES, may_be_empty=False),
        default={},
        example={"agent": "operator_name"},
        doc="The recorder's key = SpeechSense's key. A column of the call records is sent only when it is renamed here.",
        table=True,
    ),
    Option(
        section="folders",
        key="metadata_values",
        kind=kinds.text_table("a text in quotes", limit_bytes=_VALUE_LIMIT_BYTES),
        default={},
        example={"direction_outgoing": {"Ingress": "false", "Egress": "true"}},
        doc="For one of SpeechSense's keys: the recorder's value = the value to be sent. Others stay as they are.",
        table=True,
        tables=True,
    ),
    Option(
        section="folders",
        key="metadata_constants",
        kind=kinds.text_table("a text in quotes", limit_bytes=_VALUE_LIMIT_BYTES),
        default={},
        example={"office": "north"},
        doc="Keys that always have this value, whatever a recording says.",
        table=True,
    ),
    Option(
        section="folders",
        key="metadata_paths",
        kind=kinds.text_table("a key in quotes", limit_bytes=_VALUE_LIMIT_BYTES, may_be_empty=False),
        default={},
        example={"call/agent": "operator_id"},
        doc="For metadata in XML: the path of an element, or of an attribute after @, = the key.",
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
        doc="The organization in which calls are looked up; Yandex Cloud Center shows its id under its name.",
    ),
    Option(
        section="folders.search",
        key="space_id",
        kind=kinds.word(_SEARCH_PART),
        default="",
        doc="The space in which calls are looked up, that of the connection; its page in SpeechSense shows the id.",
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

_IDENTIFIER = 'a name of letters, digits and "_"'

CDR = (
    Option(
        section="folders.cdr",
        key="csv",
        kind=kinds.absolute_path("/var/log/asterisk/cdr-csv/Master.csv", may_be_empty=True, beside=True),
        default="",
        doc="The file to which Asterisk writes its call records, such as /var/log/asterisk/cdr-csv/Master.csv.",
    ),
    Option(
        section="folders.cdr",
        key="columns",
        kind=kinds.keys(),
        default=[],
        doc="The file's columns in their order; none: Asterisk's own, or those that its first line names.",
    ),
    Option(
        section="folders.cdr",
        key="encoding",
        kind=kinds.encoding(),
        default="utf-8",
        doc='The file\'s encoding, such as "windows-1251"; values that are no text in it are left out.',
    ),
    Option(
        section="folders.cdr",
        key="mysql_host",
        kind=kinds.word('a host name, or ""'),
        default="",
        doc="The machine with the database, instead of a file.",
    ),
    Option(
        section="folders.cdr",
        key="mysql_port",
        kind=kinds.whole_number(1, 65535),
        default=3306,
        doc="Its port.",
    ),
    Option(
        section="folders.cdr",
        key="mysql_socket",
        kind=kinds.absolute_path("/run/mysqld/mysqld.sock", may_be_empty=True),
        default="",
        doc="The database's socket on this machine, instead of `mysql_host`.",
    ),
    Option(
        section="folders.cdr",
        key="mysql_user",
        kind=kinds.word('a user name, or ""'),
        default="",
        doc="A user who may do nothing but read the table.",
    ),
    Option(
        section="folders.cdr",
        key="mysql_password_file",
        kind=kinds.absolute_path("/etc/speechsense-watch/cdr-password", may_be_empty=True, hide=True),
        default="",
        doc="A file with that user's password, which only the service's user may read.",
    ),
    Option(
        section="folders.cdr",
        key="mysql_database",
        kind=kinds.identifier(_IDENTIFIER),
        default="asteriskcdrdb",
        doc="The database; FreePBX's by default.",
    ),
    Option(
        section="folders.cdr",
        key="mysql_table",
        kind=kinds.identifier(_IDENTIFIER),
        default="cdr",
        doc="The table in it.",
    ),
    Option(
        section="folders.cdr",
        key="wait",
        kind=kinds.duration("0s", "7d"),
        default="5m",
        doc="How long a finished recording waits for its call record before it goes on without.",
    ),
)
