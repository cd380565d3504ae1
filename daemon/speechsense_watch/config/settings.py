"""What the configuration file comes to: values, and the error that tells everything wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from speechsense_watch.core.rules import Folder, UploadRules


class Auth(StrEnum):
    """How calls prove who they are."""

    API_KEY = "api-key"
    IAM_TOKEN = "iam-token"  # noqa: S105 - the name of a method
    SERVICE_ACCOUNT = "service-account"
    VM_METADATA = "vm-metadata"
    NONE = "none"


class LogFormat(StrEnum):
    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechSense:
    """The service and how to prove to it who calls. Files are absolute paths, empty when not given."""

    endpoint: str = "api.speechsense.yandexcloud.net:443"
    auth: Auth = Auth.API_KEY
    api_key_file: str = "/etc/speechsense-watch/api-key"
    iam_token_file: str = ""
    service_account_key_file: str = ""
    iam_endpoint: str = "iam.api.cloud.yandex.net:443"
    ca_file: str = ""
    plaintext: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """Where the queue lies (absolute), for how long finished rows keep their details, and whether it may lie there at all."""

    path: str = "/var/lib/speechsense-watch/queue.db"
    history_s: float = 90 * 86400.0
    allow_network_file_system: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    format: LogFormat = LogFormat.AUTO
    level: LogLevel = LogLevel.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One configuration file, valid as a whole. `warnings` are sentences, each with its place in the file."""

    path: Path
    speechsense: SpeechSense
    queue: QueueSettings
    upload: UploadRules
    log: LogSettings
    folders: tuple[Folder, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing wrong: `place` is a key with its line, an environment variable, or the file itself."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used; `problems` is never empty and holds all that was found."""

    def __init__(self, problems: tuple[ConfigProblem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)
