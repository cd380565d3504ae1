"""What root makes beside the queue of another user belongs to that user."""

from __future__ import annotations

import os
import pwd
from contextlib import closing
from pathlib import Path

import pytest

from speechsense_watch.edge.ownership import give_to_owner_of, give_to_user
from speechsense_watch.edge.queue import SqliteQueue

OTHER = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@as_root
def test_a_new_file_belongs_to_the_models_owner(tmp_path: Path) -> None:
    """Made empty, for its owner alone."""
    model, made = tmp_path / "queue.db", tmp_path / "queue.db.journal"
    model.touch()
    os.chown(model, OTHER, OTHER)
    give_to_owner_of(model, made)
    found = made.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777, found.st_size) == (OTHER, OTHER, 0o600, 0)


@as_root
def test_a_file_that_is_there_keeps_what_it_holds(tmp_path: Path) -> None:
    """Only its owner is put right."""
    model, there = tmp_path / "queue.db", tmp_path / "queue.db.journal"
    model.touch()
    os.chown(model, OTHER, OTHER)
    there.write_text("line\n")
    give_to_owner_of(model, there)
    assert there.read_text() == "line\n"
    assert there.stat().st_uid == OTHER


@as_root
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Whoever owns the directory cannot have root give him somebody else's file."""
    model, target, link = tmp_path / "queue.db", tmp_path / "secret", tmp_path / "queue.db.journal"
    model.touch()
    os.chown(model, OTHER, OTHER)
    target.touch()
    link.symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        give_to_owner_of(model, link)
    assert target.stat().st_uid == 0


@as_root
def test_sqlite_gives_its_own_files_to_the_databases_owner(tmp_path: Path) -> None:
    """The fact this relies on: -wal and -shm, made by root, can be opened by the daemon."""
    path = tmp_path / "queue.db"
    SqliteQueue(path).close()
    os.chown(path, OTHER, OTHER)
    with closing(SqliteQueue(path)) as queue:
        queue.set_runtime("daemon", {"pid": 1})
        owners = {file.name: file.stat().st_uid for file in tmp_path.iterdir() if file.name != "queue.db.journal"}
    assert owners == {"queue.db": OTHER, "queue.db-wal": OTHER, "queue.db-shm": OTHER}


@as_root
def test_a_directory_is_given_to_a_user_that_exists(tmp_path: Path) -> None:
    """A name that this machine does not know changes nothing."""
    give_to_user("no-such-user-here", tmp_path)
    assert tmp_path.stat().st_uid == 0
    give_to_user(pwd.getpwuid(OTHER).pw_name, tmp_path)
    assert tmp_path.stat().st_uid == OTHER


def test_without_being_root_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not root owns what he makes anyway."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    give_to_owner_of(tmp_path / "model", tmp_path / "made")
    give_to_user("root", tmp_path / "model")
    assert not (tmp_path / "made").exists()
