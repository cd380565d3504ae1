"""A FreePBX tree as it really is: names, Master.csv, unanswered calls, a transfer that grows on; not one metadata file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.standin import StandIn
from support import mariadb
from support.rig import Rig
from support.waiting import wait_for
from support.wavs import pcm

DAY = "2026/03/09"
ANSWERED_IN = f"{DAY}/in-74950000000-79161234567-20260309-113203-1773045123.265.wav"
QUEUE = f"{DAY}/q-600-79035550011-20260309-114500-1773045900.301.wav"
PICKED_UP = f"{DAY}/q-600-79035550022-20260309-131000-1773051000.360.wav"
GROUP = f"{DAY}/rg-500-79035550033-20260309-132640-1773052000.370.wav"
OUT = f"{DAY}/out-0079161112233-202-20260309-120000-1773046800.310.wav"
INTERNAL = f"{DAY}/exten-202-201-20260309-121500-1773047700.320.wav"
STEREO = f"{DAY}/stereo/out-79169998877-201-20260309-130000-1773050400.350.wav"
TRANSFER = f"{DAY}/in-74950000000-79164443322-20260309-123000-1773048600.330.wav"
UNANSWERED = f"{DAY}/exten-203-79167778899-20260309-124500-1773049500.340.wav"
WIDE = f"{DAY}/in-74950000000-79160001122-20260309-125000-1773049800.345.wav16"


def line(unique_id: str, src: str, dst: str, channels: tuple[str, str], context: str, talked_s: int, clid: str = "") -> str:
    disposition = "ANSWERED" if talked_s else "NO ANSWER"
    cells = ("", src, dst, context, clid or f'""{src}"" <{src}>', *channels, "Dial", "x", "2026-03-09 11:32:03", "", "")
    quoted = ",".join(f'"{cell}"' for cell in cells)
    return f'{quoted},{talked_s + 5},{talked_s},"{disposition}","DOCUMENTATION","{unique_id}",""\n'


RECORDS = (
    # The queue call: the first agent did not answer, the second one did; then the ways to them, longer than the talk.
    line("1773045900.301", "79035550011", "600", ("PJSIP/mts-1", "Local/201@from-queue-1;1"), "ext-queues", 0)
    + line("1773045900.301", "79035550011", "600", ("PJSIP/mts-1", "Local/203@from-queue-2;1"), "ext-queues", 30)
    + line("1773045900.302", "79035550011", "201", ("Local/201@from-queue-1;2", "PJSIP/201-2"), "from-internal", 0)
    + line("1773045900.304", "79035550011", "203", ("Local/203@from-queue-2;2", "PJSIP/203-4"), "from-internal", 31)
    # A queue's call that somebody else picked up: Master.csv has no way to tell which line belongs to it.
    + line("1773051000.360", "79035550022", "600", ("PJSIP/mts-15", "Local/207@from-queue-5;1"), "ext-queues", 30)
    + line("1773051000.361", "79035550022", "207", ("Local/207@from-queue-5;2", "PJSIP/202-17"), "from-internal", 29)
    # A ring group, of which the third phone was picked up, after a menu that answered at once and for longer.
    + line("1773052000.370", "79035550033", "s", ("PJSIP/mts-18", ""), "ivr-1", 90)
    + line("1773052000.370", "79035550033", "500", ("PJSIP/mts-18", "PJSIP/201-19"), "ext-group", 0)
    + line("1773052000.370", "79035550033", "500", ("PJSIP/mts-18", "PJSIP/203-20"), "ext-group", 45)
    + line("1773045123.265", "79161234567", "201", ("PJSIP/mts-3", "PJSIP/201-4"), "from-did-direct", 61, '""Петров"" <7916>')
    + line("1773046800.310", "202", "0079161112233", ("PJSIP/202-5", "PJSIP/mts-6"), "from-internal", 20)
    + line("1773047700.320", "201", "202", ("PJSIP/201-7", "PJSIP/202-8"), "from-internal", 10)
    + line("1773050400.350", "201", "79169998877", ("PJSIP/201-9", "PJSIP/mts-10"), "from-internal", 10)
    # An attended transfer: the second agent spoke for longer; their consultation has a recording of its own and is left out here.
    + line("1773048600.330", "79164443322", "201", ("PJSIP/mts-11", "PJSIP/201-12"), "from-did-direct", 15)
    + line("1773048600.330", "79164443322", "202", ("PJSIP/mts-11", "PJSIP/202-14"), "from-did-direct", 95)
    + line("1773048600.333", "201", "202", ("PJSIP/201-13", "PJSIP/202-14"), "from-internal", 200)
)


# Only the table names the recording; FreePBX has the directory by the date.
RECORDINGS = {
    path.rpartition("-")[2].removesuffix(".wav"): path.rpartition("/")[2]
    for path in (ANSWERED_IN, QUEUE, PICKED_UP, GROUP, OUT, INTERNAL, STEREO, TRANSFER)
} | {"1773048600.333": "exten-202-201-20260309-123010-1773048600.333.wav"}
# And which lines belong to one conversation.
LINKED = {
    "1773045900.302": "1773045900.301",
    "1773045900.304": "1773045900.301",
    "1773051000.361": "1773051000.360",
    "1773048600.333": "1773048600.330",
}
# Who is who: operator's id and name, client's number and name, is it outgoing.
WHO = {
    ANSWERED_IN: ("201", "Анна", "79161234567", "Петров", "false"),
    QUEUE: ("agent-3", "Вера", "79035550011", "unknown", "false"),
    GROUP: ("agent-3", "Вера", "79035550033", "unknown", "false"),
    OUT: ("202", "202", "0079161112233", "unknown", "true"),
    INTERNAL: ("201", "Анна", "202", "unknown", "true"),
    STEREO: ("201", "Анна", "79169998877", "unknown", "true"),
    TRANSFER: ("202", "202", "79164443322", "unknown", "false"),
}


def expected(path: str, server: str) -> tuple[str, str, str, str, str]:
    if path is PICKED_UP:
        operator = "202" if server else "207"
        return operator, operator, "79035550022", "unknown", "false"
    return WHO[path]


@pytest.fixture(params=["csv", pytest.param("mysql", marks=pytest.mark.skipif(not mariadb.HAVE_IT, reason="no MariaDB here"))])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The socket of a MariaDB that has the call records, empty where they are in Master.csv."""
    if request.param == "csv":
        yield ""
        return
    with mariadb.call_records() as socket:
        yield socket


@pytest.fixture
def rig(tmp_path: Path, standin: StandIn, server: str) -> Iterator[Rig]:
    (tmp_path / "operators.csv").write_text("extension,id,name\n201,,Анна\n203,agent-3,Вера\n")
    (tmp_path / "Master.csv").write_text(RECORDS, encoding="utf-8")
    with Rig(tmp_path, standin.port) as rig:
        common = (
            'metadata = ""\nfile_name = "freepbx"\ntime_zone = "Europe/Moscow"\n'
            f'operators = "{tmp_path}/operators.csv"\nstart_from = "all"\nrescan_interval = "1s"\n'
        )
        records = f'csv = "{tmp_path}/Master.csv"\n'
        if server:
            (tmp_path / "password").write_text(mariadb.PASSWORD)
            mariadb.fill(server, RECORDS, RECORDINGS, LINKED)
            user, password = f'mysql_user = "{mariadb.USER}"\n', f'mysql_password_file = "{tmp_path}/password"\n'
            records = f'mysql_socket = "{server}"\n{user}{password}'
        tables = (
            f'[folders.cdr]\n{records}wait = "1h"\n[folders.metadata_defaults]\nlanguage = "ru-RU"\nclient_name = "unknown"\n'
        )
        rig.rules = {"quiet_period": "1s", "connection_type": "single-channel", "exclude": ["*/stereo/*"]}
        second = (
            f'[[folders]]\nname = "stereo"\npath = "{rig.folder}/{DAY}/stereo"\nconnection_id = "conn-2"\nquiet_period = "1s"\n'
        )
        rig.tables = common + tables + second + common + tables
        yield rig


def write(rig: Rig, path: str, data: bytes) -> bytes:
    target = rig.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return data


def who(fields: Mapping[str, str]) -> tuple[str, ...]:
    keys = ("operator_id", "operator_name", "client_id", "client_name", "direction_outgoing")
    return tuple(fields.get(key, "") for key in keys)


def test_every_call_has_the_right_operator_and_nothing_half_is_sent(rig: Rig, standin: StandIn, server: str) -> None:
    """Mono and stereo, in and out, through queues and groups, transferred, unanswered, and one that no rule takes."""
    at_once = (ANSWERED_IN, QUEUE, PICKED_UP, GROUP, OUT, INTERNAL, STEREO)
    sent = {
        path: write(rig, path, pcm(seconds=1, channels=2 if path is STEREO else 1, seed=seed))
        for seed, path in enumerate(at_once)
    }
    write(rig, UNANSWERED, pcm(seconds=0, channels=1))
    write(rig, WIDE, pcm(seconds=1, channels=1, rate_hz=16000))
    grown = pcm(seconds=3, channels=1, seed=77)
    # Opened again by the transfer, as Asterisk does it: the header is at 0, what was recorded before is there.
    write(rig, TRANSFER, grown[:4] + bytes(4) + grown[8:40] + bytes(4) + grown[44:16044])
    rig.start()
    wait_for(lambda: _done(rig) >= len(at_once), 30, "all but the transfer are done")
    wait_for(lambda: rig.jobs()[TRANSFER].reason is Reason.HEADER_UNFINISHED, 20)
    assert len(standin.talks()) == len(at_once)
    sent[TRANSFER] = write(rig, TRANSFER, grown)
    wait_for(lambda: _done(rig) > len(at_once), 30, "all are done")
    talks = {talk.sha256: talk.fields for talk in standin.talks()}
    for path, data in sent.items():
        assert who(talks[sha256(data).hexdigest()]) == expected(path, server), path
    assert len(talks) == len(sent)
    empty = rig.jobs()[UNANSWERED]
    assert (empty.state, empty.reason) == (State.SKIPPED, Reason.NO_AUDIO)
    assert WIDE not in rig.jobs()
    folders = json.loads(rig.call("status", "--json")[1])["folders"]
    assert [(folder["name"], folder["unmatched"]) for folder in folders] == [("in", 1), ("stereo", 0)]
    assert rig.stop() == 0


def _done(rig: Rig) -> int:
    return sum(job.state is State.DONE for job in rig.jobs().values())


def test_check_shows_what_would_be_sent_and_why(rig: Rig) -> None:
    """Before anything runs: every rule that had a hand in it, and no value is needed to find the mistake."""
    write(rig, QUEUE, pcm(seconds=1, channels=1))
    rig.configure()
    code, said = rig.call("check", "--file", str(rig.folder / QUEUE))
    assert code == 0, said
    assert "`file_name`" in said
    assert "[folders.cdr], " in said
    assert "table of operators" in said
    assert "agent-3" in said


def test_check_tells_what_comes_of_a_call_without_its_record(rig: Rig) -> None:
    """That it would be waited for, how long, and why it would not be sent then."""
    path = f"{DAY}/in-74950000000-79169999999-20260309-140000-1773054000.999.wav"
    write(rig, path, pcm(seconds=1, channels=1))
    rig.configure()
    code, said = rig.call("check", "--file", str(rig.folder / path))
    assert code == 78
    said = " ".join(said.split())
    assert "It would wait (wait): The exchange's call record has not come." in said
    assert "Without it, after 1 h, it would not be sent (unusable): The metadata lacks `operator_name`, `operator_id`" in said


def test_from_init_to_talks(rig: Rig, standin: StandIn, server: str) -> None:
    """What `init` writes is all that is needed: a trial of three, the word, then the rest; every operator is right."""
    calls = (ANSWERED_IN, QUEUE, PICKED_UP, GROUP, OUT, INTERNAL, TRANSFER)
    sent = {path: write(rig, path, pcm(seconds=1, channels=1, seed=seed)) for seed, path in enumerate(calls)}
    write(rig, UNANSWERED, pcm(seconds=0, channels=1))
    (rig.directory / "units").mkdir()
    etc = rig.directory / "etc"
    rig.config_path = etc / "config.toml"
    options = {
        "--recorder": "freepbx",
        "--path": str(rig.folder),
        "--connection-id": "conn-1",
        "--connection-type": "single-channel",
        "--start-from": "all",
        "--time-zone": "Europe/Moscow",
        "--bandwidth": "-",
        "--endpoint": f"127.0.0.1:{standin.port}",
        "--etc": str(etc),
        "--units": str(rig.directory / "units"),
        "--queue": str(rig.queue_path),
    }
    if server:
        options |= {"--cdr-mysql-user": mariadb.USER, "--cdr-mysql-socket": server}
        rig.environ["SPEECHSENSE_CDR_PASSWORD"] = mariadb.PASSWORD
    else:
        options["--cdr-csv"] = str(rig.directory / "Master.csv")
    code, said = rig.init("--plaintext", *(word for pair in options.items() for word in pair))
    assert code == 0, said
    # A minute of waiting is not for a test.
    text = rig.config_path.read_text()
    rig.config_path.write_text(text.replace('quiet_period = "60s"', 'quiet_period = "1s"\nrescan_interval = "1s"'))
    (etc / "operators.csv").write_text((rig.directory / "operators.csv").read_text())
    rig.start(configure=False)
    wait_for(lambda: OUT in rig.states(), 20)
    said = rig.call("show", str(rig.folder / OUT))[1]
    assert "in no file of its own" in said
    wait_for(lambda: _done(rig) == 3 and len(rig.states()) == len(calls) + 1, 30, "the trial is sent")
    assert rig.call("approve", "freepbx")[0] == 0
    wait_for(lambda: _done(rig) == len(calls), 30, "the rest is sent")
    talks = {talk.sha256: talk.fields for talk in standin.talks()}
    for path, data in sent.items():
        assert who(talks[sha256(data).hexdigest()]) == expected(path, server), path
    assert {fields["date"] for fields in talks.values()} == {"2026-03-09T11:32:03+03:00"}
    assert len(standin.talks()) == len(calls)
