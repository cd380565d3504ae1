"""200 recordings against a TalkService built on Yandex's own servicer classes, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speechsense_watch.core.model import State
from support.rig import FIELDS, Rig
from support.waiting import wait_for
from support.wavs import pcm
from support.yandex_sdk import yandex_sdk

PAIRS = 200


@pytest.fixture
def yandex(tmp_path: Path) -> Iterator[int]:
    """The port it listens on."""
    script = Path(__file__).parent.parent / "support" / "yandex_service.py"
    line = [sys.executable, "-W", "ignore", str(script), str(yandex_sdk()), str(tmp_path)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


def talks(directory: Path) -> list[dict[str, Any]]:
    path = directory / "talks.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_200_pairs_arrive_whole_and_once(tmp_path: Path, yandex: int) -> None:
    """Audio byte for byte, fields as in the files, a talk id each; `list --json` tells them, a restart sends nothing."""
    with Rig(tmp_path, yandex) as rig:
        rig.upload["stream_above"] = "40KiB"
        rig.start()
        expected = {}
        for number in range(PAIRS):
            fields = {**FIELDS, "client_id": f"{number:06}", "client_name": f"Клиент {number}"}
            audio = rig.drop(f"call-{number:03}", pcm(seconds=1 + number % 2, seed=number), fields)
            expected[f"{number:06}"] = (hashlib.sha256(audio).hexdigest(), {**fields, "direction_outgoing": "true"})
        wait_for(lambda: rig.read(lambda queue: queue.counts())[State.DONE] == PAIRS, 50, "all are done")
        arrived = talks(tmp_path)
        assert len(arrived) == PAIRS
        assert {talk["fields"]["client_id"]: (talk["sha256"], talk["fields"]) for talk in arrived} == expected
        assert all(talk["wav"] and talk["connection_id"] == "conn-1" for talk in arrived)
        assert len({talk["headers"]["x-client-request-id"] for talk in arrived}) == PAIRS
        code, said = rig.call("list", "--limit", "0", "--json")
        assert code == 0
        listed = [json.loads(line) for line in said.splitlines()]
        by_id = {talk["talk_id"]: talk for talk in arrived}
        assert len(listed) == PAIRS
        for job in listed:
            assert job["state"] == "done"
            assert by_id[job["talk_id"]]["sha256"] == job["audio"]["sha256"]
            assert by_id[job["talk_id"]]["fields"] == job["fields"]
        assert rig.stop() == 0
        rig.start()
        rig.drop("one-more", pcm(seconds=1, seed=9999))
        wait_for(lambda: rig.read(lambda queue: queue.counts())[State.DONE] == PAIRS + 1, 30)
        assert len(talks(tmp_path)) == PAIRS + 1
