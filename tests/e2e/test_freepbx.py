"""A FreePBX tree as it really is: names, Master.csv, unanswered calls, a transfer that grows on; not one metadata file."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
    # The queue call: the first agent did not answer, the second one did.
    line("1773045900.301", "79035550011", "600", ("PJSIP/mts-1", "Local/201@from-queue-1;1"), "ext-queues", 0)
    + line("1773045900.301", "79035550011", "600", ("PJSIP/mts-1", "Local/203@from-queue-2;1"), "ext-queues", 30)
    + line("1773045123.265", "79161234567", "201", ("PJSIP/mts-3", "PJSIP/201-4"), "from-did-direct", 61, '""Петров"" <7916>')
    + line("1773046800.310", "202", "0079161112233", ("PJSIP/202-5", "PJSIP/mts-6"), "from-internal", 20)
    + line("1773047700.320", "201", "202", ("PJSIP/201-7", "PJSIP/202-8"), "from-internal", 10)
    + line("1773050400.350", "201", "79169998877", ("PJSIP/201-9", "PJSIP/mts-10"), "from-internal", 10)
    + line("1773048600.330", "79164443322", "201", ("PJSIP/mts-11", "PJSIP/201-12"), "from-did-direct", 15)
    + line("1773048600.330", "79164443322", "202", ("PJSIP/mts-11", "PJSIP/202-14"), "from-did-direct", 95)
)


# Only the table names the recording; FreePBX has the directory by the date.
RECORDINGS = {
    path.rpartition("-")[2].removesuffix(".wav"): path.rpartition("/")[2]
    for path in (ANSWERED_IN, QUEUE, OUT, INTERNAL, STEREO, TRANSFER)
}


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "service") as service:
        yield service


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
            mariadb.fill(server, RECORDS, RECORDINGS)
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


def test_every_call_has_the_right_operator_and_nothing_half_is_sent(rig: Rig, standin: StandIn) -> None:
    """Mono and stereo, in and out, through a queue, transferred, unanswered, and one that no rule takes."""
    sent = {
        path: write(rig, path, pcm(seconds=1, channels=2 if path is STEREO else 1, seed=seed))
        for seed, path in enumerate((ANSWERED_IN, QUEUE, OUT, INTERNAL, STEREO))
    }
    write(rig, UNANSWERED, pcm(seconds=0, channels=1))
    write(rig, WIDE, pcm(seconds=1, channels=1, rate_hz=16000))
    grown = pcm(seconds=3, channels=1, seed=7)
    # Opened again by the transfer, as Asterisk does it: the header is at 0, what was recorded before is there.
    write(rig, TRANSFER, grown[:4] + bytes(4) + grown[8:40] + bytes(4) + grown[44:16044])
    rig.start()
    wait_for(lambda: _done(rig) >= 5, 30, "all but the transfer are done")
    wait_for(lambda: rig.jobs()[TRANSFER].reason is Reason.HEADER_UNFINISHED, 20)
    assert len(standin.talks()) == 5
    sent[TRANSFER] = write(rig, TRANSFER, grown)
    wait_for(lambda: _done(rig) >= 6, 30, "all six are done")
    talks = {talk.sha256: talk.fields for talk in standin.talks()}
    by_path = {path: job for path, job in rig.jobs().items() if job.audio}
    assert {job.audio.sha256 for job in by_path.values() if job.audio and job.talk_id} == set(talks)

    def who(path: str) -> tuple[str, str, str, str, str]:
        job = by_path[path.removeprefix(f"{DAY}/stereo/") if path is STEREO else path]
        assert job.audio is not None
        assert job.audio.stamp.size == len(sent[path])
        fields = talks[job.audio.sha256]
        keys = ("operator_id", "operator_name", "client_id", "client_name", "direction_outgoing")
        return tuple(fields.get(key, "") for key in keys)  # type: ignore[return-value]

    assert who(ANSWERED_IN) == ("201", "Анна", "79161234567", "Петров", "false")
    assert who(QUEUE) == ("agent-3", "Вера", "79035550011", "unknown", "false")
    assert who(OUT) == ("202", "202", "0079161112233", "unknown", "true")
    assert who(INTERNAL) == ("201", "Анна", "202", "unknown", "true")
    assert who(STEREO) == ("201", "Анна", "79169998877", "unknown", "true")
    assert who(TRANSFER) == ("202", "202", "79164443322", "unknown", "false")
    empty = rig.jobs()[UNANSWERED]
    assert (empty.state, empty.reason) == (State.SKIPPED, Reason.NO_AUDIO)
    assert WIDE not in rig.jobs()
    assert len(standin.talks()) == 6
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
    assert "[folders.cdr], 2 lines" in said
    assert "table of operators" in said
    assert "agent-3" in said


def test_from_init_to_talks(rig: Rig, standin: StandIn, server: str) -> None:
    """What `init` writes is all that is needed: a trial of three, the word, then the rest."""
    calls = {
        f"{DAY}/out-0079161112233-202-20260309-1200{n:02}-17730468{n:02}.310.wav": pcm(seconds=1, channels=1, seed=n)
        for n in range(5)
    }
    for path, data in calls.items():
        write(rig, path, data)
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
    records = "".join(
        line(f"17730468{n:02}.310", "202", "0079161112233", ("PJSIP/202-5", "PJSIP/mts-6"), "from-internal", 20) for n in range(5)
    )
    if server:
        mariadb.fill(server, records, {path.rpartition("-")[2].removesuffix(".wav"): path.rpartition("/")[2] for path in calls})
        options |= {"--cdr-mysql-user": mariadb.USER, "--cdr-mysql-socket": server}
        rig.environ["SPEECHSENSE_CDR_PASSWORD"] = mariadb.PASSWORD
    else:
        (rig.directory / "Master.csv").write_text(records)
        options["--cdr-csv"] = str(rig.directory / "Master.csv")
    code, said = rig.init("--plaintext", *(word for pair in options.items() for word in pair))
    assert code == 0, said
    # An hour of waiting is not for a test.
    text = rig.config_path.read_text()
    rig.config_path.write_text(text.replace('quiet_period = "60s"', 'quiet_period = "1s"\nrescan_interval = "1s"'))
    (etc / "operators.csv").write_text("extension,id,name\n202,,Вера\n")
    rig.start(configure=False)
    wait_for(lambda: _done(rig) == 3 and len(rig.states()) == 5, 30, "the trial is sent")
    assert rig.call("approve", "freepbx")[0] == 0
    wait_for(lambda: _done(rig) == 5, 30, "the rest is sent")
    talks = standin.talks()
    assert {talk.fields["operator_name"] for talk in talks} == {"Вера"}
    assert {talk.fields["date"] for talk in talks} == {"2026-03-09T11:32:03+03:00"}
    assert len(talks) == 5
