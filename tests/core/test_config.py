"""config: from a TOML file to rules, or to everything that is wrong with it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from speechsense_watch.config import (
    DEFAULT_PATH,
    Auth,
    Config,
    ConfigError,
    ConfigProblem,
    LogFormat,
    LogLevel,
    find,
    load,
    loads,
)
from speechsense_watch.core.rules import AfterUpload, ConnectionType, Detection, OnUnknown, Order, SearchScope

FILE = Path("/etc/speechsense-watch/config.toml")
FOLDER = '[[folders]]\npath = "/spool/calls"\nconnection_id = "eag1"\nstart_from = "all"\n'


def read(text: str, environ: Mapping[str, str] | None = None) -> Config:
    return loads(text, FILE, environ or {})


def problems(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, environ)
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def machine_in_omsk() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Omsk"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


# --- what is right ---------------------------------------------------------------------------


def test_three_keys_of_a_folder_are_enough() -> None:
    """All the rest has defaults; the folder is called by the last part of its path."""
    config = read(FOLDER)
    assert config.path == FILE
    assert config.warnings == ()
    assert config.speechsense.endpoint == "api.speechsense.yandexcloud.net:443"
    assert config.upload.concurrency == 4
    (folder,) = config.folders
    assert (folder.path, folder.connection_id, folder.start_from, folder.name) == (
        "/spool/calls",
        "eag1",
        "all",
        "calls",
    )


def test_every_key_reaches_its_rule() -> None:
    """Durations become seconds, sizes bytes, words members of their lists."""
    config = read("""
        [speechsense]
        endpoint = "[::1]:9000"
        auth = "iam-token"
        api_key_file = ""
        iam_token_file = "/run//token/"
        ca_file = "/etc/ca.pem"
        [queue]
        path = "/data/queue.db"
        history = "2d"
        [upload]
        concurrency = 2
        order = "oldest"
        bandwidth = "2MiB/s"
        stream_above = "0B"
        chunk_size = "64KiB"
        retry_initial = "500ms"
        retry_max = "1.5m"
        give_up_after = "2h"
        shutdown_grace = "0s"
        [log]
        format = "json"
        level = "debug"
        [[folders]]
        path = "/spool/./calls/"
        connection_id = "eag1"
        start_from = 2025-04-01T10:00:00+03:00
        name = "Отдел продаж"
        connection_type = "single-channel"
        audio = ["*.wav", "*.WAVE"]
        metadata = "meta/{name}.json"
        include = ["2025/**"]
        exclude = ["tmp/*"]
        recursive = false
        quiet_period = "1s"
        metadata_last = true
        rescan_interval = "2s"
        detection = "polling"
        time_zone = "Europe/Moscow"
        min_duration = "5s"
        max_duration = "1h"
        abandon_after = "30m"
        after_upload = "archive"
        archive_to = "/archive"
        on_unknown = "hold"
        recording_id_field = "recording_id"
        search = { organization_id = "o", space_id = "s" }
        search_patience = "20m"
        metadata_rename.agent = "operator_name"
        [folders.metadata_defaults]
        "язык" = "ru-RU"
    """)
    assert config.warnings == ()
    assert config.speechsense.auth is Auth.IAM_TOKEN
    assert (config.speechsense.endpoint, config.speechsense.iam_token_file) == ("[::1]:9000", "/run/token")
    assert (config.queue.path, config.queue.history_s) == ("/data/queue.db", 172800.0)
    upload = config.upload
    assert (upload.order, upload.bandwidth_bytes_per_s, upload.stream_above_bytes) == (Order.OLDEST, 2 * 2**20, 0)
    assert (upload.chunk_size_bytes, upload.retry_initial_s, upload.retry_max_s) == (65536, 0.5, 90.0)
    assert (upload.give_up_after_s, upload.shutdown_grace_s) == (7200.0, 0.0)
    assert (config.log.format, config.log.level) == (LogFormat.JSON, LogLevel.DEBUG)
    (folder,) = config.folders
    assert (folder.path, folder.name) == ("/spool/calls", "Отдел продаж")
    assert folder.start_from == datetime(2025, 4, 1, 7, tzinfo=UTC)
    assert (folder.connection_type, folder.detection) == (ConnectionType.SINGLE_CHANNEL, Detection.POLLING)
    assert (folder.audio, folder.metadata) == (("*.wav", "*.WAVE"), "meta/{name}.json")
    assert (folder.include, folder.exclude, folder.recursive) == (("2025/**",), ("tmp/*",), False)
    assert (folder.quiet_period_s, folder.metadata_last, folder.rescan_interval_s) == (1.0, True, 2.0)
    assert (folder.min_duration_s, folder.max_duration_s, folder.abandon_after_s) == (5.0, 3600.0, 1800.0)
    assert (folder.after_upload, folder.archive_to) == (AfterUpload.ARCHIVE, "/archive")
    assert (folder.on_unknown, folder.recording_id_field) == (OnUnknown.HOLD, "recording_id")
    assert (folder.search, folder.search_patience_s) == (SearchScope("o", "s", ""), 1200.0)
    assert folder.metadata_rename == {"agent": "operator_name"}
    assert folder.metadata_defaults == {"язык": "ru-RU"}


@pytest.mark.parametrize(
    ("written", "zone", "expected"),
    [
        ('"now"', "", "now"),
        ('"all"', "", "all"),
        ("2025-04-01", "Europe/Moscow", datetime(2025, 3, 31, 21, tzinfo=UTC)),
        ("2025-04-01T12:00:00", "Europe/Moscow", datetime(2025, 4, 1, 9, tzinfo=UTC)),
        ("2025-04-01", "", datetime(2025, 3, 31, 18, tzinfo=UTC)),
        ('"2025-04-01"', "Europe/Moscow", datetime(2025, 3, 31, 21, tzinfo=UTC)),
        ('"2025-04-01 09:30"', "", datetime(2025, 4, 1, 3, 30, tzinfo=UTC)),
        ("2025-04-01T00:00:00Z", "Europe/Moscow", datetime(2025, 4, 1, tzinfo=UTC)),
    ],
)
def test_start_from_is_a_word_or_a_moment(machine_in_omsk: None, written: str, zone: str, expected: object) -> None:
    """A date without a zone is taken in the folder's time zone, else in the machine's (UTC+6 here)."""
    text = FOLDER.replace('"all"', written) + f'time_zone = "{zone}"\n'
    assert read(text).folders[0].start_from == expected


# --- what is wrong ---------------------------------------------------------------------------

DURATION = 'expected a duration such as "10s" or "15m", got '
PATH = 'expected an absolute path such as "/var/spool/calls", without "..", got '
PATTERN = (
    'expected a name beside the audio such as "{stem}.json" (call.json for call.wav), "{name}.json" (call.wav.json) '
    'or "meta/{stem}.json": relative, without "..", with {stem} or {name} in its last part; or "" for none, got '
)
START = 'expected "now", "all" or a date such as 2025-04-01 or 2025-04-01T09:00:00+03:00, got '
ZONE = 'expected the name of a time zone such as "Europe/Moscow"'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("quiet_period = 10", DURATION + "10"),
        ('quiet_period = "10 s"', DURATION + '"10 s"'),
        ('quiet_period = "-1s"', DURATION + '"-1s"'),
        ('quiet_period = "٣s"', DURATION + '"٣s"'),
        ('quiet_period = "0s"', 'expected a duration from "100ms" to "1d", got "0s"'),
        ('max_duration = "5h"', 'expected a duration from "1s" to "4h", got "5h"'),
        ('recursive = "yes"', 'expected true or false, without quotes, got "yes"'),
        ("recursive = 1", "expected true or false, without quotes, got 1"),
        ('detection = "inotify"', 'expected one of "auto", "events", "polling", got "inotify"'),
        ("detection = true", 'expected one of "auto", "events", "polling", got true'),
        ('archive_to = "../old"', PATH.replace(", got", ' (or "" for none), got') + '"../old"'),
        ('archive_to = "/a/../b"', PATH.replace(", got", ' (or "" for none), got') + '"/a/../b"'),
        ('audio = "*.wav"', 'expected a list of at least one file name pattern such as ["*.wav"], got "*.wav"'),
        ("audio = [1]", 'expected a list of at least one file name pattern such as ["*.wav"], got [1]'),
        ("metadata = 1", PATTERN + "1"),
        ("time_zone = 3", 'expected the name of a time zone such as "Europe/Moscow", or "", got 3'),
        ("name = {}", 'expected a name such as "sales", without "/" and spaces around it, got {}'),
        ("min_duration = 2025-01-01", DURATION + "2025-01-01"),
        ("zzz = 1", "unknown key in [[folders]]; `speechsense-watch check --sample` shows all that there are"),
        ("audio = []", 'expected a list of at least one file name pattern such as ["*.wav"], got []'),
        ('audio = ["a/*.wav"]', 'expected a list of at least one file name pattern such as ["*.wav"], got ["a/*.wav"]'),
        (
            'exclude = ["/tmp"]',
            (
                'expected a list of patterns below the folder such as ["2025/**", "*/sales-*"], '
                'relative and without "..", got ["/tmp"]'
            ),
        ),
        ('metadata = "call.json"', PATTERN + '"call.json"'),
        ('metadata = "../{stem}.json"', PATTERN + '"../{stem}.json"'),
        ('metadata = "/meta/{stem}.json"', PATTERN + '"/meta/{stem}.json"'),
        ('metadata = "{stem}/a.json"', PATTERN + '"{stem}/a.json"'),
        ('metadata = "{stam}{stem}.json"', PATTERN + '"{stam}{stem}.json"'),
        ('metadata = "{stem}.wav"', "names files that `audio` takes for recordings; give them another ending"),
        ('metadata = "{name}"', "names files that `audio` takes for recordings; give them another ending"),
        ('time_zone = "Moscow"', ZONE + ' (did you mean "Europe/Moscow"?), got "Moscow"'),
        ('time_zone = "Europe/Moskow"', ZONE + ' (did you mean "Europe/Moscow"?), got "Europe/Moskow"'),
        ('time_zone = "../etc/passwd"', ZONE + ', got "../etc/passwd"'),
        ('time_zone = "Europe"', ZONE + ', got "Europe"'),
        ('name = "a/b"', 'expected a name such as "sales", without "/" and spaces around it, got "a/b"'),
        ('name = "a\\u0007"', 'expected a name such as "sales", without "/" and spaces around it, got "a\\u0007"'),
        ('min_duration = "2h"\nmax_duration = "1h"', "expected a duration of at most `max_duration`"),
        ('abandon_after = "5s"', "expected a duration of at least `quiet_period`"),
        ('after_upload = "archive"', '"archive" needs `archive_to` as well'),
        (
            'archive_to = "/spool/calls/old"\nafter_upload = "archive"',
            "lies inside the watched folder /spool/calls: what is archived would be found as new",
        ),
        (
            'on_unknown = "search"',
            '"search" needs `recording_id_field` and `search.organization_id` and `search.space_id` as well',
        ),
        (
            'search = "org"',
            'expected a table such as { organization_id = "...", space_id = "..." }, got "org"',
        ),
        ('recording_id_field = "a b"', 'expected a metadata key such as "recording_id", without spaces, or "", got "a b"'),
        ('quite_period = "10s"', "unknown key in [[folders]]; did you mean `quiet_period`?"),
        ("concurrency = 8", "does not belong here but under [upload]"),
    ],
)
def test_a_bad_line_of_a_folder_is_told_with_its_line_and_what_was_expected(line: str, problem: str) -> None:
    """Place, expectation and what was found: enough to mend the line without a manual."""
    (told,) = problems(FOLDER + line)
    place, _, message = told.partition("): ")
    assert message == problem
    key = line.partition(" = ")[0]
    last = 4 + line.count("\n") + 1
    assert place in {f"folders[1].{key} (line {number}" for number in range(5, last + 1)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[speechsense]\nendpoint = "api.example.org"', "expected host and port such as {endpoint}, got {got}"),
        ('[speechsense]\nendpoint = "api.example.org:0"', "expected host and port such as {endpoint}, got {got}"),
        ('[speechsense]\nendpoint = "api.example.org:65536"', "expected host and port such as {endpoint}, got {got}"),
        (
            '[speechsense]\nendpoint = "https://api.example.org:443"',
            "expected host and port alone, without http:// or https://, such as {endpoint}, got {got}",
        ),
        ('[speechsense]\niam_endpoint = "iam.example.org"', "expected host and port such as {endpoint}, got {got}"),
        ('[queue]\npath = "queue.db"', PATH + "{got}"),
        ('[queue]\npath = "/spool/calls/queue.db"', "lies inside the watched folder /spool/calls; the daemon never writes there"),
        ('[queue]\nhistory = "1s"', 'expected a duration from "1h" to "36500d", got {got}'),
        ("[upload]\nconcurrency = 0", "expected a whole number from 1 to 64, without quotes, got {got}"),
        ("[upload]\nconcurrency = true", "expected a whole number from 1 to 64, without quotes, got {got}"),
        ("[upload]\nconcurrency = 2.5", "expected a whole number from 1 to 64, without quotes, got {got}"),
        ('[upload]\nchunk_size = "4MiB"', 'expected a size from "1KiB" to "4095KiB", got {got}'),
        ('[upload]\nchunk_size = "4MB"', 'expected a size such as "512KiB" or "4MiB", got {got}'),
        ('[upload]\nstream_above = "123MiB"', 'expected a size from "0B" to "122MiB", got {got}'),
        ('[upload]\nretry_initial = "16m"', "expected a duration of at most `retry_max`"),
        ('[upload]\nbandwidth = "1MiB"', 'expected a bandwidth such as "1MiB/s", or "" for no limit, got {got}'),
        ('[upload]\nbandwidth = "0B/s"', 'expected "" for no limit, or at least "1KiB/s", got {got}'),
        ('[upload]\nleast_rate = ""', 'expected a bandwidth such as "1MiB/s", got {got}'),
        ('[upload]\nleast_rate = "10B/s"', 'expected at least "1KiB/s", got {got}'),
        ('[log]\nlevel = "loud"', 'expected one of "debug", "info", "warning", "error", got {got}'),
    ],
)
def test_a_bad_line_of_the_daemons_own_sections_is_told_likewise(text: str, problem: str) -> None:
    """The place is section and key, with the line."""
    section, line = text.split("\n")
    key, _, got = line.partition(" = ")
    expected = problem.replace("{got}", got).replace("{endpoint}", '"api.speechsense.yandexcloud.net:443"')
    assert problems(text + "\n" + FOLDER) == [f"{section.strip('[]')}.{key} (line 2): {expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["folders: there is no [[folders]] block, so nothing would be watched; add one"]),
        (
            "[folders]\npath = '/a'",
            ["folders (line 1): expected [[folders]] with two brackets, for there may be many; got [folders]"],
        ),
        ("folders = 3", ["folders (line 1): expected blocks [[folders]], got 3"]),
        ("upload = 3\n" + FOLDER, ["upload (line 1): expected a section [upload], got 3"]),
        (
            "[zzz]\n" + FOLDER,
            ["zzz (line 1): unknown section; expected one of [speechsense], [queue], [upload], [log], [[folders]]"],
        ),
        (FOLDER.replace('"all"', "07:30:00"), ["folders[1].start_from (line 4): " + START + "07:30:00"]),
        ("[uplaod]\n" + FOLDER, ["uplaod (line 1): unknown section; did you mean [upload]?"]),
        ("concurrency = 3\n" + FOLDER, ["concurrency (line 1): does not belong here but under [upload]"]),
        (
            "[[folders]]\n",
            [
                'folders[1].path (line 1): is missing: expected an absolute path such as "/var/spool/calls", without ".."',
                "folders[1].connection_id (line 1): is missing: expected the id of a SpeechSense connection, without spaces",
                (
                    'folders[1].start_from (line 1): is missing: expected "now", "all" or a date such as 2025-04-01 '
                    "or 2025-04-01T09:00:00+03:00"
                ),
            ],
        ),
        (
            FOLDER.replace('"eag1"', '""'),
            ['folders[1].connection_id (line 3): expected the id of a SpeechSense connection, without spaces, got ""'],
        ),
        (
            FOLDER.replace('"/spool/calls"', '"/"'),
            ["folders[1].path (line 2): expected a folder for recordings, got the root of the whole system"],
        ),
        (
            FOLDER.replace('"all"', '"yesterday"'),
            [
                (
                    'folders[1].start_from (line 4): expected "now", "all" or a date such as 2025-04-01 '
                    'or 2025-04-01T09:00:00+03:00, got "yesterday"'
                )
            ],
        ),
        (FOLDER.replace('"all"', "0001-01-01"), ["folders[1].start_from (line 4): expected a date from 1970 on, got 0001-01-01"]),
        (
            FOLDER + FOLDER.replace('"/spool/calls"', '"/spool//calls/"'),
            ["folders[2].path (line 6): is watched already by folders[1]"],
        ),
        (
            FOLDER + FOLDER.replace('"/spool/calls"', '"/other/calls"'),
            ['folders[2].name (line 5): the name "calls" is taken by folders[1]: give each folder a `name` of its own'],
        ),
        (
            FOLDER + 'after_upload = "archive"\narchive_to = "/b/old"\n' + FOLDER.replace("/spool/calls", "/b"),
            ["folders[1].archive_to (line 6): lies inside the watched folder /b: what is archived would be found as new"],
        ),
        (
            FOLDER + "[folders.metadata_defaults]\nlanguage = 7\n",
            ["folders[1].metadata_defaults.language (line 6): expected a text in quotes, got 7"],
        ),
        (
            FOLDER + "[folders.metadata_defaults]\nrecursive = false\n",
            [
                (
                    "folders[1].metadata_defaults.recursive (line 6): expected a text in quotes, got false; `recursive` is also "
                    "a key of [[folders]]; if that is meant, move the line above [folders.metadata_defaults]"
                )
            ],
        ),
        (
            FOLDER + "[folders.metadata_defaults]\nnote = '" + "я" * 513 + "'\n",
            [
                (
                    "folders[1].metadata_defaults.note (line 6): expected at most 1024 bytes (a Cyrillic letter is two), "
                    "got a text of 1026 bytes"
                )
            ],
        ),
        (
            FOLDER + "metadata_rename = ['a']\n",
            ['folders[1].metadata_rename (line 5): expected a table [folders.metadata_rename] of texts, got ["a"]'],
        ),
        (
            FOLDER + "[folders.metadata_rename]\nagent = ''\n",
            ["folders[1].metadata_rename.agent (line 6): expected SpeechSense's key as a text in quotes, got a text of 0 bytes"],
        ),
        (
            FOLDER + "search = { organisation_id = 'o' }\n",
            ["folders[1].search.organisation_id (line 5): unknown key in [folders.search]; did you mean `organization_id`?"],
        ),
    ],
)
def test_what_is_wrong_with_the_whole_is_told_at_its_place(text: str, expected: list[str]) -> None:
    """Sections, required keys, and folders that get in each other's way."""
    assert problems(text) == expected


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    """One run of `check` is enough to mend everything; what follows from another mistake is not told."""
    text = (
        '[upload]\nretry_max = "soon"\nretry_initial = "1h"\nconcurency = 3\n[log]\nlevel = "loud"\n'
        + FOLDER.replace('connection_id = "eag1"\n', "")
        + FOLDER.replace("/spool/calls", "calls")
    )
    assert [told.partition(":")[0] for told in problems(text)] == [
        "upload.retry_max (line 2)",
        "upload.concurency (line 4)",
        "log.level (line 6)",
        "folders[1].connection_id (line 7)",
        "folders[2].path (line 11)",
    ]


@pytest.mark.parametrize("key", ["api_key", "iam_token", "API-KEY", "token", "password"])
@pytest.mark.parametrize("section", ["[speechsense]", "[upload]", ""])
def test_a_secret_in_the_file_is_refused_and_not_repeated(section: str, key: str) -> None:
    """The message explains the key files and never shows what was written."""
    (told,) = problems(f'{section}\n{key} = "AQVNtopsecret"\n' + FOLDER)
    assert "a secret never stands in this file" in told
    assert "`api_key_file`" in told
    assert "AQVN" not in told


def test_a_secret_given_as_the_name_of_its_file_is_not_repeated() -> None:
    """Whoever puts the key itself after api_key_file is told so without showing it."""
    (told,) = problems('[speechsense]\napi_key_file = "AQVNtopsecret"\n' + FOLDER)
    assert told.startswith("speechsense.api_key_file (line 2): expected an absolute path")
    assert "AQVN" not in told


def test_files_may_lie_beside_the_configuration() -> None:
    """What is relative counts from its directory, wherever the program was started."""
    config = read(
        '[speechsense]\nca_file = "certs/./ca.pem"\n'
        + FOLDER
        + 'operators = "operators.csv"\n[folders.cdr]\ncsv = "Master.csv"\n'
        + FOLDER.replace("calls", "more")
        + 'operators = "/srv/operators.csv"\n'
    )
    assert config.speechsense.ca_file == "/etc/speechsense-watch/certs/ca.pem"
    assert [folder.operators for folder in config.folders] == ["/etc/speechsense-watch/operators.csv", "/srv/operators.csv"]
    assert [folder.cdr.csv for folder in config.folders] == ["/etc/speechsense-watch/Master.csv", ""]


def test_a_relative_configuration_has_a_directory_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--config config.toml` is where one stands."""
    monkeypatch.chdir(tmp_path)
    config = loads(FOLDER + 'operators = "operators.csv"\n', Path("config.toml"), {})
    assert config.folders[0].operators == f"{tmp_path}/operators.csv"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'operators = "../operators.csv"',
            (
                'expected an absolute path such as "/etc/speechsense-watch/operators.csv", or one relative to the directory of '
                'this file, without ".." (or "" for none), got "../operators.csv"'
            ),
        ),
        (
            'cdr = { mysql_password_file = "tops3cret" }',
            (
                'expected an absolute path such as "/etc/speechsense-watch/cdr-password", without ".." (or "" for none), '
                "got something else (not repeated here, it might be a secret)"
            ),
        ),
        ('cdr = { encoding = "utf-16" }', 'expected the name of an encoding such as "utf-8" or "windows-1251", got "utf-16"'),
        ('cdr = { encoding = "zzz" }', 'expected the name of an encoding such as "utf-8" or "windows-1251", got "zzz"'),
    ],
)
def test_what_a_source_may_not_be(line: str, expected: str) -> None:
    """A path out of that directory, what may be a secret instead of the name of its file, what cannot be told from ASCII."""
    (told,) = problems(FOLDER + line + "\n")
    assert told.partition(": ")[2] == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[upload]\norder = newest\n", "line 2, column 9: this is not TOML (Invalid value)"),
        ("[upload]\norder = \n", "line 2, column 9: this is not TOML (Invalid value)"),
        ("a = 1\na = 2\n", "line 2, column 6: this is not TOML (Cannot overwrite a value)"),
        ('a = "open', "end of the file: this is not TOML (Unterminated string)"),
        ("a = " + "9" * 5000, "end of the file: this is not TOML (a value that cannot be read)"),
        ("a = " + "[" * 100_000, "nests tables or lists too deeply"),
    ],
)
def test_a_text_that_is_not_toml_is_one_problem_with_its_line(text: str, problem: str) -> None:
    """The parser stops at the first such place, so there is one problem."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    (told,) = caught.value.problems
    assert told.place == str(FILE)
    assert told.message.startswith(problem)


# --- what deserves a warning -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            '[speechsense]\nplaintext = true\nendpoint = "10.0.0.5:9000"\n' + FOLDER,
            "speechsense.plaintext (line 2): calls and key go to 10.0.0.5 without encryption",
        ),
        ('[speechsense]\nauth = "none"\n' + FOLDER, "speechsense.auth (line 2): api.speechsense.yandexcloud.net will refuse"),
        ('[speechsense]\nauth = "none"\nendpoint = "8.8.8.8:443"\n' + FOLDER, "speechsense.auth (line 2): 8.8.8.8 will"),
        (
            '[speechsense]\nplaintext = true\nendpoint = "[::1]:1"\nca_file = "/ca"\n' + FOLDER,
            "speechsense.ca_file (line 4): has no effect, because `plaintext` is true",
        ),
        (FOLDER + 'search_patience = "5m"', 'folders[1].search_patience (line 5): less than "10m"'),
        (
            FOLDER + 'connection_type = "single-channel"\nswap_channels_when = {direction_outgoing = "true"}',
            'folders[1].swap_channels_when (line 6): has no effect, because connection_type = "single-channel"',
        ),
        (
            FOLDER + 'metadata = ""',
            "folders[1].metadata (line 5): is empty, and neither `file_name` nor [folders.cdr] says anything of a call",
        ),
        (
            FOLDER + 'metadata = ""\nfile_name = "3cx"\nmetadata_last = true',
            "folders[1].metadata_last (line 7): has no effect, because `metadata` is empty",
        ),
        (FOLDER + 'archive_to = "/old"', 'folders[1].archive_to (line 5): has no effect, because after_upload = "keep"'),
        (
            FOLDER + '[folders.metadata_defaults]\nafter_upload = "delete"',
            "folders[1].metadata_defaults.after_upload (line 6): `after_upload` is also a key of [[folders]]",
        ),
        (
            FOLDER + '[folders.metadata_rename]\nsearch = "client_name"',
            "folders[1].metadata_rename.search (line 6): `search` is also a key of [[folders]]",
        ),
        (
            FOLDER + 'recording_id_field = "id"\n[folders.metadata_rename]\nuuid = "id"',
            "folders[1].recording_id_field (line 5): `id` is also set from the metadata",
        ),
        (FOLDER.replace("eag1", "put-the-connection-id-here"), "folders[1].connection_id (line 3): still as in the sample"),
    ],
)
def test_what_is_allowed_but_doubtful_is_warned_about(text: str, warning: str) -> None:
    """A warning has its place and does not keep the daemon from starting."""
    (told,) = read(text).warnings
    assert told.startswith(warning)


@pytest.mark.parametrize(
    "text",
    [
        FOLDER + "recursive = false\n" + FOLDER.replace("/spool/calls", "/spool/calls/sub"),
        FOLDER + 'metadata_last = true\nabandon_after = "5s"',
        FOLDER + FOLDER.replace("/spool/calls", "/spool/calls2"),
        FOLDER + 'after_upload = "archive"\narchive_to = "/spool/calls-sent"',
    ],
)
def test_what_only_looks_doubtful_is_not_warned_about(text: str) -> None:
    """A quiet period that is not waited for, a subfolder that is not watched twice, a path that begins alike."""
    assert read(text).warnings == ()


@pytest.mark.parametrize("endpoint", ["localhost:9000", "127.0.0.2:9000", "[::1]:9000"])
def test_rehearsing_on_loopback_without_tls_and_key_needs_no_warning(endpoint: str) -> None:
    """Nothing leaves the machine."""
    text = f'[speechsense]\nplaintext = true\nauth = "none"\nendpoint = "{endpoint}"\n' + FOLDER
    assert read(text).warnings == ()


IAM = '[speechsense]\nauth = "service-account"\nplaintext = true\nendpoint = "localhost:1"\niam_endpoint = "{}"\n' + FOLDER


def test_a_service_accounts_proof_leaves_this_machine_only_encrypted() -> None:
    """Whoever sees it can get a token for it; Yandex Cloud's own IAM is asked by TLS whatever `plaintext` says."""
    (problem,) = problems(IAM.format("10.0.0.5:443"))
    assert "speechsense.iam_endpoint" in problem
    assert "would go there without encryption" in problem
    for endpoint in ("127.0.0.1:443", "localhost:443", "iam.api.cloud.yandex.net:443"):
        assert read(IAM.format(endpoint)).warnings == ()


# --- the environment -------------------------------------------------------------------------


def test_the_environment_replaces_scalars_of_the_daemons_sections() -> None:
    """Numbers and words are read as they would be in the file; a wrong value there no longer matters."""
    environ = {
        "SPEECHSENSE_WATCH_SPEECHSENSE__ENDPOINT": "localhost:1",
        "SPEECHSENSE_WATCH_SPEECHSENSE__PLAINTEXT": "true",
        "SPEECHSENSE_WATCH_QUEUE__PATH": "/data/q.db",
        "SPEECHSENSE_WATCH_UPLOAD__CONCURRENCY": "2",
        "SPEECHSENSE_WATCH_UPLOAD__BANDWIDTH": "",
        "SPEECHSENSE_WATCH_LOG__LEVEL": "error",
        "SPEECHSENSE_WATCH_CONFIG": "/x",
        "HOME": "/root",
    }
    config = read('[upload]\nconcurrency = "many"\nbandwidth = "1MiB/s"\n' + FOLDER, environ)
    assert (config.speechsense.endpoint, config.speechsense.plaintext) == ("localhost:1", True)
    assert (config.queue.path, config.log.level) == ("/data/q.db", LogLevel.ERROR)
    assert (config.upload.concurrency, config.upload.bandwidth_bytes_per_s) == (2, None)


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("UPLOAD__CONCURRENCY", "many", 'expected a whole number from 1 to 64, without quotes, got "many"'),
        ("UPLOAD__CONCURRENCY", "0", "expected a whole number from 1 to 64, without quotes, got 0"),
        ("SPEECHSENSE__PLAINTEXT", "maybe", 'expected true or false, without quotes, got "maybe"'),
        ("UPLOAD__CONCURENCY", "2", "stands for no setting; did you mean SPEECHSENSE_WATCH_UPLOAD__CONCURRENCY?"),
        ("XYZ__ABC", "2", "stands for no setting"),
        ("UPLOAD__CHUNK_SIZE", "8MiB", 'expected a size from "1KiB" to "4095KiB", got "8MiB"'),
        ("FOLDERS__PATH", "/a", "folders can be set in the file only"),
        (
            "SPEECHSENSE__API_KEY",
            "AQVNtopsecret",
            (
                "a secret is not given this way: put it into a file named by `api_key_file` or `iam_token_file`, "
                "or into SPEECHSENSE_API_KEY or SPEECHSENSE_IAM_TOKEN"
            ),
        ),
    ],
)
def test_a_bad_variable_is_told_by_its_name(variable: str, value: str, problem: str) -> None:
    """The place is the variable, not a line of the file that is innocent."""
    environ = {f"SPEECHSENSE_WATCH_{variable}": value}
    assert problems(FOLDER, environ) == [f"SPEECHSENSE_WATCH_{variable} (environment): {problem}"]


# --- the file --------------------------------------------------------------------------------


def test_the_file_is_found_by_option_then_environment_then_in_etc() -> None:
    """An empty variable counts as none."""
    environ = {"SPEECHSENSE_WATCH_CONFIG": "/b.toml"}
    assert find("/a.toml", environ) == Path("/a.toml")
    assert find(None, environ) == Path("/b.toml")
    assert find(None, {"SPEECHSENSE_WATCH_CONFIG": ""}) == find(None, {}) == DEFAULT_PATH


def test_a_file_is_loaded_with_its_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    """Some editors leave both behind."""
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xef\xbb\xbf" + FOLDER.replace("\n", "\r\n").encode())
    assert load(file, {}).folders[0].name == "calls"
    file.write_bytes((FOLDER + "recursive = 1\n").replace("\n", "\r\n").encode())
    with pytest.raises(ConfigError, match=r"folders\[1\]\.recursive \(line 5\)"):
        load(file, {})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no such file; `speechsense-watch check --sample` prints one to begin with"),
        ("directory", "is a directory: name the file in it"),
        (b"a = 1\nb = '\xff'\n", "line 2 is not UTF-8: save the file in that encoding"),
        (b"#" * (2**20 + 1), "is larger than 1 MiB: is it the right file?"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_advice(tmp_path: Path, content: bytes | str | None, problem: str) -> None:
    """The place is the file itself."""
    file = tmp_path / "config.toml"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        file.mkdir()
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    (told,) = caught.value.problems
    assert told.place == str(file)
    assert told.message.startswith(problem)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (PermissionError(13, "Permission denied"), "this user may not read it: try again with `sudo`"),
        (OSError(5, "Input/output error"), "cannot be read: Input/output error"),
    ],
)
def test_a_refused_read_is_told_with_advice(monkeypatch: pytest.MonkeyPatch, error: OSError, problem: str) -> None:
    """Where the right to read is missing, `sudo` is the answer."""

    def refuse(path: Path, mode: str) -> None:
        raise error

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError) as caught:
        load(FILE, {})
    assert caught.value.problems[0].message.startswith(problem)


def test_the_error_reads_as_one_line_a_problem() -> None:
    """What a log or a terminal shows of it."""
    error = ConfigError((ConfigProblem("a (line 1)", "wrong"), ConfigProblem("b (line 2)", "too")))
    assert str(error) == "a (line 1): wrong\nb (line 2): too"


def test_a_folder_inside_another_one_owns_what_lies_in_it() -> None:
    """The outer one knows which directories are not its own."""
    text = "".join(
        f'[[folders]]\nname = "{name}"\npath = "{path}"\nconnection_id = "c"\nstart_from = "all"\n'
        for name, path in (("a", "/spool"), ("b", "/spool/sales"), ("c", "/spool/sales/night"), ("d", "/spool2"))
    )
    inner = {folder.name: folder.inner for folder in loads(text, FILE, {}).folders}
    assert inner == {"a": ("sales", "sales/night"), "b": ("night",), "c": (), "d": ()}


def test_a_path_that_finds_nothing_in_any_xml_is_told_with_its_line() -> None:
    """Else every recording of the folder would lack that key, and nobody would know why."""
    text = (
        '[[folders]]\npath = "/in"\nconnection_id = "c"\nstart_from = "all"\nmetadata_format = "xml"\nmetadata = "{stem}.xml"\n'
        '[folders.metadata_paths]\n"call/agent/@id" = "operator_id"\n"call//start" = "date"\n'
    )
    (problem,) = problems(text)
    assert problem.startswith(
        "folders[1].metadata_paths.call//start (line 9): expected a path to an element or an attribute; this"
    )
