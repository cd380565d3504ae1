"""The daemon's own part of the options table: [speechsense], [queue], [upload], [log].

Values of `default` stand as they would in TOML. Within a section the keys that nobody should need come last.
"""

from __future__ import annotations

from speechsense_watch.config import kinds
from speechsense_watch.config.option import Option
from speechsense_watch.config.settings import Auth, LogFormat, LogLevel
from speechsense_watch.core.rules import MOST_AT_A_TIME, Order

# One message with a chunk must stay below the 4 MiB that a gRPC server takes by default (grpc: max_receive_message_length).
_LARGEST_CHUNK = "4095KiB"
# The service documents less than 128 MB for one message; 122 MiB are 127.9 MB, metadata included.
_LARGEST_MESSAGE = "122MiB"

SPEECHSENSE = (
    Option(
        section="speechsense",
        key="endpoint",
        kind=kinds.endpoint(),
        default="api.speechsense.yandexcloud.net:443",
        example="api.speechsense.yandexcloud.net:443",
        doc="Host and port of SpeechSense.",
    ),
    Option(
        section="speechsense",
        key="auth",
        kind=kinds.one_of(Auth),
        default="api-key",
        example="api-key",
        doc="What is shown to the service: an API key (its scope must be `yc.speech-sense.use`), an IAM token that others renew, "
        "IAM tokens got with a service account's key or from the metadata service of a Yandex Cloud machine, or nothing.",
    ),
    Option(
        section="speechsense",
        key="api_key_file",
        kind=kinds.absolute_path("/etc/speechsense-watch/api-key", may_be_empty=True, hide=True),
        default="/etc/speechsense-watch/api-key",
        example="/etc/speechsense-watch/api-key",
        doc="A file that holds the API key and nothing else; nobody but root and the service may read it.",
    ),
    Option(
        section="speechsense",
        key="iam_token_file",
        kind=kinds.absolute_path("/etc/speechsense-watch/iam-token", may_be_empty=True, hide=True),
        default="",
        doc='A file that holds the IAM token, for auth = "iam-token"; whoever renews it writes it anew, it is read again then.',
    ),
    Option(
        section="speechsense",
        key="service_account_key_file",
        kind=kinds.absolute_path("/etc/speechsense-watch/service-account-key", may_be_empty=True, hide=True),
        default="",
        doc='A file with a service account\'s authorized key (JSON, as Yandex Cloud hands it out), for auth = "service-account".',
    ),
    Option(
        section="speechsense",
        key="iam_endpoint",
        kind=kinds.endpoint(),
        default="iam.api.cloud.yandex.net:443",
        doc='Host and port of IAM, for auth = "service-account". Yandex Cloud\'s own is always asked by TLS; for another one '
        "`ca_file` and `plaintext` count, and without TLS it must be on this machine.",
        rare=True,
    ),
    Option(
        section="speechsense",
        key="ca_file",
        kind=kinds.absolute_path("/etc/speechsense-watch/ca.pem", may_be_empty=True, beside=True),
        default="",
        doc="Certificates (PEM) of a private authority that signed the endpoint's; empty: those this machine trusts.",
        rare=True,
    ),
    Option(
        section="speechsense",
        key="plaintext",
        kind=kinds.flag(),
        default=False,
        doc="No TLS at all: only for an endpoint on this machine or on your own premises.",
        rare=True,
    ),
)

QUEUE = (
    Option(
        section="queue",
        key="path",
        kind=kinds.absolute_path(),
        default="/var/lib/speechsense-watch/queue.db",
        example="/var/lib/speechsense-watch/queue.db",
        doc="The queue's file, on a local disk and outside every watched folder. Its journal and lock lie beside it.",
    ),
    Option(
        section="queue",
        key="history",
        kind=kinds.duration("1h", "36500d"),
        default="90d",
        doc="After this a finished recording loses its fields, events and attempts. That it was sent is known for as long as its "
        "file lies in the folder, and three years longer.",
    ),
    Option(
        section="queue",
        key="allow_network_file_system",
        kind=kinds.flag(),
        default=False,
        doc="Take a queue that lies on NFS, SMB or another file system that this machine does not hold alone. It may be damaged.",
        rare=True,
    ),
)

UPLOAD = (
    Option(
        section="upload",
        key="concurrency",
        kind=kinds.whole_number(1, MOST_AT_A_TIME),
        default=4,
        doc="How many recordings are sent at the same time.",
    ),
    Option(
        section="upload",
        key="order",
        kind=kinds.one_of(Order),
        default="newest",
        doc="Which recordings go first when many wait.",
    ),
    Option(
        section="upload",
        key="bandwidth",
        kind=kinds.bandwidth(),
        default="",
        doc='The most that all uploads together may take of the line, such as "1MiB/s"; empty: no limit.',
    ),
    Option(
        section="upload",
        key="give_up_after",
        kind=kinds.duration("1s"),
        default="14d",
        doc="How long a recording's own failures may go on; time in which the service as a whole is away does not count.",
        rare=True,
    ),
    Option(
        section="upload",
        key="retry_initial",
        kind=kinds.duration("10ms", "1d"),
        default="5s",
        doc="The first pause after a failure; it doubles from try to try, with chance in it.",
        rare=True,
    ),
    Option(
        section="upload",
        key="retry_max",
        kind=kinds.duration("10ms", "1d"),
        default="15m",
        doc="The longest pause between two tries.",
        rare=True,
    ),
    Option(
        section="upload",
        key="shutdown_grace",
        kind=kinds.duration("0s", "1h"),
        default="20s",
        doc="How long uploads that are nearly through may go on when the daemon is told to stop.",
        rare=True,
    ),
    Option(
        section="upload",
        key="stream_above",
        kind=kinds.size("0B", _LARGEST_MESSAGE),
        default="3MiB",
        doc='Larger files are sent in pieces, smaller ones in one message; "0B" sends all in pieces.',
        rare=True,
    ),
    Option(
        section="upload",
        key="chunk_size",
        kind=kinds.size("1KiB", _LARGEST_CHUNK),
        default="1MiB",
        doc="The largest size of the pieces, for a line that has shown to be quick; `least_rate` and `bandwidth` make them "
        "smaller, so that the line is never blocked.",
        rare=True,
    ),
    Option(
        section="upload",
        key="least_rate",
        kind=kinds.bandwidth(may_be_empty=False),
        default="8KiB/s",
        doc="The slowest line that is to be lived with, shared by all uploads under way; an upload that is slower all the way is "
        "ended and tried again.",
        rare=True,
    ),
)

LOG = (
    Option(
        section="log",
        key="format",
        kind=kinds.one_of(LogFormat),
        default="auto",
        doc="`auto` writes for people on a terminal, else JSON.",
    ),
    Option(
        section="log",
        key="level",
        kind=kinds.one_of(LogLevel),
        default="info",
        doc="The least important lines that are still written.",
    ),
)
