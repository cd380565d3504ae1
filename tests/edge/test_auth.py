"""edge.auth: where the key comes from, when it is read again, and what is said when there is none."""

from __future__ import annotations

import grp
import io
import os
import pwd
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from speechsense_watch.config import Auth, LogFormat, LogLevel, SpeechSense
from speechsense_watch.edge.auth import FixedCredentials
from speechsense_watch.edge.secret import AuthError
from speechsense_watch.log import configure
from speechsense_watch.ports import CredentialError
from support.manual_clock import ManualClock

KEY = "AQVNtopsecret"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure(LogFormat.JSON, LogLevel.DEBUG, stream, isatty=False)
    yield stream
    structlog.reset_defaults()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "api-key"


def write(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """A new file renamed into place, as careful tools do."""
    new = path.with_suffix(".new")
    new.write_bytes(content.encode() if isinstance(content, str) else content)
    new.chmod(mode)
    new.replace(path)


def credentials(
    clock: ManualClock, *, key_file: Path | str = "", environ: dict[str, str] | None = None, auth: Auth = Auth.API_KEY
) -> FixedCredentials:
    settings = SpeechSense(auth=auth, api_key_file=str(key_file), iam_token_file=str(key_file))
    return FixedCredentials(settings, environ or {}, clock.monotonic)


def header(made: FixedCredentials) -> str:
    ((name, value),) = made.headers()
    assert name == "authorization"
    return value


@pytest.mark.parametrize(
    ("auth", "name", "variable", "prefix"),
    [
        (Auth.API_KEY, "api-key", "SPEECHSENSE_API_KEY", "Api-Key"),
        (Auth.IAM_TOKEN, "iam-token", "SPEECHSENSE_IAM_TOKEN", "Bearer"),
    ],
)
def test_the_first_source_that_exists_wins(
    clock: ManualClock, tmp_path: Path, auth: Auth, name: str, variable: str, prefix: str
) -> None:
    """systemd's credential, then the configured file, then the environment."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    file = tmp_path / "file"
    environ = {"CREDENTIALS_DIRECTORY": str(directory), variable: "third"}
    made = credentials(clock, key_file=file, environ=environ, auth=auth)
    assert (header(made), made.source) == (f"{prefix} third", f"${variable}")
    write(file, "second\n")
    clock.advance(1)
    assert (header(made), made.source) == (f"{prefix} second", str(file))
    write(directory / name, "first\n")
    clock.advance(1)
    assert (header(made), made.source) == (f"{prefix} first", str(directory / name))
    (directory / name).unlink()
    file.unlink()
    clock.advance(1)
    assert header(made) == f"{prefix} third"


def test_without_authentication_there_is_no_header_and_nothing_is_looked_for(clock: ManualClock, tmp_path: Path) -> None:
    """A key that lies around is not sent to a service that needs none."""
    made = credentials(clock, key_file=tmp_path, environ={"SPEECHSENSE_API_KEY": KEY}, auth=Auth.NONE)
    assert made.headers() == ()


@pytest.mark.parametrize("content", [KEY, KEY + "\n", KEY + "\r\n", f"  {KEY}\t\n\n"])
def test_space_around_the_key_is_left_out(clock: ManualClock, key_file: Path, content: str) -> None:
    """Editors end a file with a newline; in a header it would look like a service that is away."""
    write(key_file, content)
    assert header(credentials(clock, key_file=key_file)) == f"Api-Key {KEY}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: put the API key there."),
        (b" \n", "is empty: put the API key there."),
        (b"id: 1\nsecret: topsecret\n", "has more than one line."),
        (
            b'{"id": "topsecret"}',
            'is JSON, no API key. If it is the key file of a service account, set `auth = "service-account"`',
        ),
        (b"Api-Key topsecret", "has a space, a control or a non-English character."),
        (b"topsecret\x00", "has a space, a control or a non-English character."),
        ("topsecretключ".encode(), "has a space, a control or a non-English character."),
        (b"\xef\xbb\xbftopsecret", "has a space, a control or a non-English character."),
        (b"topsecret" * 5000, "is too long for an API key: is it the right file?"),
    ],
)
@pytest.mark.parametrize("by_file", [True, False])
def test_a_source_that_holds_no_key_is_an_error_and_never_passed_over(
    clock: ManualClock, key_file: Path, content: bytes, message: str, *, by_file: bool
) -> None:
    """The message names the source and what to do, never what was found there."""
    environ = {"SPEECHSENSE_API_KEY": os.fsdecode(content) if not by_file else "older"}
    if by_file:
        write(key_file, content)
    with pytest.raises(AuthError) as caught:
        credentials(clock, key_file=key_file, environ=environ).headers()
    told = str(caught.value)
    assert message in told
    assert (str(key_file) if by_file else "$SPEECHSENSE_API_KEY") in told
    assert "topsecret" not in told


def test_no_source_at_all_is_told_with_all_places(clock: ManualClock, key_file: Path) -> None:
    """The port's error, so that whoever sends pauses and says it."""
    environ = {"CREDENTIALS_DIRECTORY": "/run/credentials/x"}
    with pytest.raises(CredentialError) as caught:
        credentials(clock, key_file=key_file, environ=environ).headers()
    assert str(caught.value) == (
        f"There is no API key: neither /run/credentials/x/api-key nor {key_file} nor $SPEECHSENSE_API_KEY exists. "
        f"To mend it, put it into {key_file}."
    )
    with pytest.raises(AuthError, match="name a file that holds it as `iam_token_file`"):
        credentials(clock, auth=Auth.IAM_TOKEN).headers()


def test_a_changed_file_is_read_again_but_looked_at_once_a_second_at_most(
    clock: ManualClock, key_file: Path, log: io.StringIO
) -> None:
    """A renewed token is used by the next attempt; a busy daemon does not stat the file for each."""
    write(key_file, "one")
    made = credentials(clock, key_file=key_file)
    assert header(made) == "Api-Key one"
    write(key_file, "two")
    clock.advance(0.99)
    assert header(made) == "Api-Key one"
    assert log.getvalue() == ""
    clock.advance(0.01)
    assert header(made) == "Api-Key two"
    assert '"event": "auth_refreshed"' in log.getvalue()
    assert "two" not in log.getvalue()


def test_an_unchanged_file_is_not_read_again(
    clock: ManualClock, key_file: Path, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    """Inode, size and mtime tell."""
    write(key_file, KEY)
    made = credentials(clock, key_file=key_file)
    made.headers()
    opened: list[str] = []
    real_open = os.open

    def counting(path: str, flags: int) -> int:
        opened.append(path)
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", counting)
    clock.advance(5)
    made.headers()
    assert opened == []
    made.refused()
    made.headers()
    assert opened == [str(key_file)]
    clock.advance(5)
    made.headers()
    assert opened == [str(key_file)]
    assert log.getvalue() == ""


@pytest.mark.parametrize("change", ["inode", "size", "mtime"])
def test_each_mark_of_a_change_is_enough(clock: ManualClock, key_file: Path, change: str) -> None:
    """However the file is written, the new key is found."""
    write(key_file, "one")
    made = credentials(clock, key_file=key_file)
    assert header(made) == "Api-Key one"
    seen = key_file.stat()
    if change == "inode":
        write(key_file, "two")
        os.utime(key_file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    else:
        key_file.write_text("two" if change == "mtime" else "three")
        later_ns = seen.st_mtime_ns + (1 if change == "mtime" else 0)
        os.utime(key_file, ns=(seen.st_atime_ns, later_ns))
    clock.advance(1)
    assert header(made) in {"Api-Key two", "Api-Key three"}


def test_a_refused_key_is_read_again_at_once_even_if_the_file_looks_the_same(clock: ManualClock, key_file: Path) -> None:
    """Same size, same inode, same mtime: only reading tells."""
    write(key_file, "one")
    made = credentials(clock, key_file=key_file)
    made.headers()
    seen = key_file.stat()
    key_file.write_text("two")
    os.utime(key_file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    clock.advance(1)
    assert header(made) == "Api-Key one"
    made.refused()
    assert header(made) == "Api-Key two"


def test_an_error_stands_until_the_next_look_and_passes_when_the_source_is_mended(clock: ManualClock, key_file: Path) -> None:
    """Nobody has to restart anything."""
    write(key_file, KEY)
    made = credentials(clock, key_file=key_file)
    made.headers()
    write(key_file, "")
    clock.advance(1)
    for _ in range(2):
        with pytest.raises(AuthError, match="is empty"):
            made.headers()
    write(key_file, "new")
    with pytest.raises(AuthError, match="is empty"):
        made.headers()
    clock.advance(1)
    assert header(made) == "Api-Key new"


def test_a_changed_variable_is_noticed(clock: ManualClock) -> None:
    """A test's or a wrapper's environment may change; the process's own does not."""
    environ = {"SPEECHSENSE_API_KEY": "one"}
    made = credentials(clock, environ=environ)
    assert header(made) == "Api-Key one"
    environ["SPEECHSENSE_API_KEY"] = "two"
    clock.advance(1)
    assert header(made) == "Api-Key two"


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_a_source_that_is_no_file_is_an_error_and_never_blocks(clock: ManualClock, key_file: Path, kind: str) -> None:
    """A FIFO nobody writes to would hold the daemon for ever."""
    if kind == "directory":
        key_file.mkdir()
    else:
        os.mkfifo(key_file)
    with pytest.raises(AuthError, match="it is not a regular file"):
        credentials(clock, key_file=key_file).headers()


def test_a_path_through_a_file_counts_as_absent(clock: ManualClock, key_file: Path) -> None:
    """ENOTDIR is as good as ENOENT."""
    write(key_file, KEY)
    made = credentials(clock, key_file=key_file / "deeper", environ={"SPEECHSENSE_API_KEY": "other"})
    assert header(made) == "Api-Key other"


def test_a_link_to_the_key_is_followed(clock: ManualClock, tmp_path: Path) -> None:
    """Container platforms mount secrets as links and turn them over to renew."""
    (tmp_path / "real").write_text(KEY)
    (tmp_path / "link").symlink_to("real")
    assert header(credentials(clock, key_file=tmp_path / "link")) == f"Api-Key {KEY}"


def test_a_key_that_may_not_be_read_tells_user_and_groups(
    clock: ManualClock, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And how to give the right, and it does not fall through to an older key."""
    write(key_file, KEY)

    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "getgroups", lambda: [os.getegid(), 4_000_000])
    with pytest.raises(AuthError) as caught:
        credentials(clock, key_file=key_file, environ={"SPEECHSENSE_API_KEY": "older"}).headers()
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    told = str(caught.value)
    assert f"in {key_file} may not be read by user {user} (groups: {group}, 4000000)" in told
    assert f"sudo chgrp GROUP {key_file}; sudo chmod 0640 {key_file}" in told


def test_a_user_without_a_name_is_told_by_number(clock: ManualClock, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container there may be no entry for the user."""
    write(key_file, KEY)

    def refuse(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_001)
    made = credentials(clock, key_file=key_file)
    with pytest.raises(AuthError, match="by user 4000001"):
        made.headers()


def test_any_other_trouble_with_the_file_is_told(clock: ManualClock, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of the system."""
    write(key_file, KEY)

    def fail(path: str, flags: int) -> int:
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(AuthError, match=r"api-key cannot be read: Input/output error\."):
        credentials(clock, key_file=key_file).headers()


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True)])
def test_a_key_file_open_to_everybody_is_warned_about(clock: ManualClock, key_file: Path, mode: int, *, warned: bool) -> None:
    """The key still works."""
    write(key_file, KEY, mode)
    made = credentials(clock, key_file=key_file)
    assert made.warnings == ()
    made.headers()
    expected = f"{key_file}: everybody on this machine may get at the API key: `sudo chmod o= {key_file}` mends it."
    assert made.warnings == ((expected,) if warned else ())


def test_no_repr_shows_the_key(clock: ManualClock, key_file: Path) -> None:
    """Whatever a debugger or a traceback prints."""
    write(key_file, KEY)
    made = credentials(clock, key_file=key_file)
    made.headers()
    assert repr(made) == f"FixedCredentials(auth='api-key', source='{key_file}')"
    assert made._key
    assert KEY not in repr(made._key)
    assert KEY not in repr(made._key.secret)


def test_many_threads_may_ask_at_once(clock: ManualClock, key_file: Path) -> None:
    """Each gets the key."""
    write(key_file, KEY)
    made = credentials(clock, key_file=key_file)
    got: list[str] = []

    def ask() -> None:
        for _ in range(50):
            made.refused()
            got.append(header(made))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [f"Api-Key {KEY}"] * 200
