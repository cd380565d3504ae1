"""The configuration: one TOML file, overrides from the environment, and everything wrong with it told at once.

`load` gives a `Config` or raises `ConfigError`. All of it comes from one table of options (`options`), which also
makes the commented sample and `docs/configuration.md`.
"""

from speechsense_watch.config.document import reference, sample
from speechsense_watch.config.kinds import bytes_of, seconds_of
from speechsense_watch.config.loading import DEFAULT_PATH, find, load, loads, without_file
from speechsense_watch.config.settings import (
    Auth,
    Config,
    ConfigError,
    ConfigProblem,
    LogFormat,
    LogLevel,
    LogSettings,
    QueueSettings,
    SpeechSense,
)

__all__ = [
    "DEFAULT_PATH",
    "Auth",
    "Config",
    "ConfigError",
    "ConfigProblem",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "QueueSettings",
    "SpeechSense",
    "bytes_of",
    "find",
    "load",
    "loads",
    "reference",
    "sample",
    "seconds_of",
    "without_file",
]
