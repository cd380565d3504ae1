"""The hook for FreeSWITCH under a real Lua: events in, metadata files out."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.wavs import pcm

HOOK = Path(__file__).parents[2] / "contrib" / "freeswitch" / "speechsense-record.lua"
LUA = next((found for name in ("lua", "lua5.4", "lua5.3", "lua5.2", "lua5.1", "luajit") if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(LUA is None, reason="no Lua on this machine")

# FreeSWITCH, as far as the hook knows it: a consumer that has these events and then ends.
FREESWITCH = """
local events = {%s}
freeswitch = {
  consoleLog = function(level, line) io.stderr:write(line) end,
  EventConsumer = function(name)
    assert(name == "RECORD_STOP")
    return {pop = function() local first = table.remove(events, 1)
      return first and {getHeader = function(_, header)
        if first.odd then error(first.odd) end
        return first[header] end} end}
  end,
}
"""


def hooked(*events: Mapping[str, str]) -> str:
    """What it complained of."""
    assert LUA is not None
    tables = ", ".join("{" + ", ".join(f"[{_lua(k)}] = {_lua(v)}" for k, v in event.items()) + "}" for event in events)
    script = FREESWITCH % tables + f"dofile({_lua(str(HOOK))})"
    done = subprocess.run([LUA, "-"], input=script, capture_output=True, text=True, check=True)
    return done.stderr


def _lua(value: str) -> str:
    return '"' + "".join(f"\\{byte:03}" for byte in value.encode()) + '"'


def event(recording: Path, **variables: str) -> dict[str, str]:
    headers = {"Record-File-Path": str(recording), "Caller-Caller-ID-Number": "+79161234567", "Caller-Destination-Number": "201"}
    return headers | {f"variable_{name}": value for name, value in variables.items()}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a.b.wav"
    path.write_bytes(pcm())
    return path


def test_a_finished_recording_gets_its_metadata(recording: Path) -> None:
    """All that a two-channel connection asks for."""
    assert hooked(event(recording, speechsense_operator="201", speechsense_outgoing="false", start_epoch="1773040860")) == ""
    assert json.loads(recording.with_name("a.b.json").read_text()) == {
        "operator_id": "201",
        "operator_name": "201",
        "client_id": "+79161234567",
        "client_name": "+79161234567",
        "direction_outgoing": "false",
        "date": "2026-03-09T07:21:00Z",
        "language": "ru-RU",
    }
    assert sorted(path.name for path in recording.parent.iterdir()) == ["a.b.json", "a.b.wav"]


def test_of_an_outgoing_call_the_client_is_who_was_called(recording: Path) -> None:
    """Unless the dialplan says who it is."""
    hooked(event(recording, speechsense_operator="201", speechsense_outgoing="true"))
    assert json.loads(recording.with_name("a.b.json").read_text())["client_id"] == "201"
    hooked(event(recording, speechsense_operator="201", speechsense_outgoing="true", speechsense_client="+7495"))
    assert json.loads(recording.with_name("a.b.json").read_text())["client_id"] == "+7495"


@pytest.mark.parametrize("nasty", ['"; os.execute("touch pwned")', "\\", "a\nb\0c\x7f", "$(touch pwned)", "Пётр «200»", "%s%n"])
def test_whatever_a_caller_calls_himself_is_a_text(recording: Path, nasty: str) -> None:
    """It comes out as it went in, and nothing is run."""
    hooked(event(recording, speechsense_operator="201", speechsense_client_name=nasty))
    assert json.loads(recording.with_name("a.b.json").read_text())["client_name"] == nasty
    assert not list(recording.parent.glob("**/pwned"))


def test_what_is_not_ours_is_left_alone(recording: Path, tmp_path: Path) -> None:
    """No operator, a file that FreeSWITCH deleted since nobody spoke, another format, an event without a path."""
    other = tmp_path / "voicemail.mp3"
    other.write_bytes(b"x")
    complaints = hooked(
        event(recording),
        event(tmp_path / "deleted.wav", speechsense_operator="201"),
        event(other, speechsense_operator="201"),
        {"variable_speechsense_operator": "201"},
    )
    assert complaints == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.b.wav", "voicemail.mp3"]


def test_metadata_that_cannot_be_put_in_place_is_told_without_a_number(recording: Path) -> None:
    """The next call is served all the same."""
    (recording.parent / "a.b.json" / "x").mkdir(parents=True)
    second = recording.with_name("second.wav")
    second.write_bytes(pcm())
    complaints = hooked(event(recording, speechsense_operator="201"), event(second, speechsense_operator="201"))
    assert complaints == "speechsense-record: the metadata cannot be put in place\n"
    assert second.with_suffix(".json").exists()
    assert not (recording.parent / ".a.b.wav.json").exists()


@pytest.mark.parametrize("began", ["1773040860", "1773040860.5", "1773040860.999999"])
def test_the_date_may_have_a_fraction(recording: Path, began: str) -> None:
    """Whole seconds are enough of it."""
    assert hooked(event(recording, speechsense_operator="201", start_epoch=began)) == ""
    assert json.loads(recording.with_name("a.b.json").read_text())["date"] == "2026-03-09T07:21:00Z"


@pytest.mark.parametrize("began", ["yesterday", "1e400", "-1", "nan", "0x7f", " 17", "1.7.3", "0", "9" * 400, ""])
def test_what_is_no_time_is_now(recording: Path, began: str) -> None:
    """Without a date the call could not be sent."""
    before = datetime.now(UTC).replace(microsecond=0)
    assert hooked(event(recording, speechsense_operator="201", start_epoch=began)) == ""
    date = datetime.fromisoformat(json.loads(recording.with_name("a.b.json").read_text())["date"])
    # A clock that is being set may go back by a moment.
    assert before - timedelta(seconds=5) <= date <= datetime.now(UTC) + timedelta(seconds=5)


def test_one_odd_event_harms_no_other_recording(recording: Path) -> None:
    """It is told, without a number or a name; those after it get their metadata."""
    second = recording.with_name("second.wav")
    second.write_bytes(pcm())
    complaints = hooked(event(recording) | {"odd": "79161234567"}, event(second, speechsense_operator="201"))
    assert complaints == "speechsense-record: a recording gets no metadata: its event is not as it should be\n"
    assert sorted(path.name for path in recording.parent.iterdir()) == ["a.b.wav", "second.json", "second.wav"]


def test_a_long_name_is_no_trouble(tmp_path: Path) -> None:
    """Names end at 255 bytes, and the metadata's has five with the dot."""
    recording = tmp_path / f"{'7' * 250}.wav"
    recording.write_bytes(pcm())
    assert hooked(event(recording, speechsense_operator="201")) == ""
    assert recording.with_suffix(".json").exists()
