"""Yandex's SDK in a folder of its own, as the standard to measure our .proto files by.

It must never come into the project's environment: its `yandex` package is a regular one and would hide ours.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from support.wire_dump import Wire

TESTS = Path(__file__).resolve().parents[1]
REQUIREMENTS = TESTS / "yandex-sdk.txt"
VERSION = "0.413.0"
CHILD = """\
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from support.wire_dump import wire_of
json.dump(wire_of(sys.argv[2:]), sys.stdout)
"""


class SdkMissingError(Exception):
    """The package could not be had; the message says why."""


def yandex_sdk() -> Path:
    """The folder with the SDK, installed there on first use and kept beside the environment's own packages.

    Raises SdkMissingError when pip cannot install it: then nothing was compared, which is a failure and no reason to skip.
    """
    home = Path(sys.prefix) / f"yandex-sdk-{VERSION}"
    if not home.is_dir():
        _install(home)
    return home


def _install(home: Path) -> None:
    try:
        scratch = Path(tempfile.mkdtemp(prefix=f"{home.name}.", dir=home.parent))
    except OSError as trouble:
        raise SdkMissingError(f"{home.parent} cannot be written, so there is no place for yandexcloud: {trouble}") from trouble
    try:
        _pip_install(scratch)
        scratch.rename(home)
    except OSError:
        # Another run of the tests was faster.
        if not home.is_dir():
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _pip_install(target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--no-compile", "--require-hashes", "--target", str(target), "-r", str(REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SdkMissingError(f"pip could not install yandexcloud {VERSION} (is a package index in reach?):\n{done.stderr}")


def wire_of_yandex(modules: list[str]) -> Wire:
    """What the SDK's `modules` declare, told by a child process that sees the SDK and not our stubs."""
    path = [str(yandex_sdk()), str(TESTS), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    # -I and -S: neither the environment's .pth files nor PYTHONPATH may bring our `yandex` into the child.
    command = [sys.executable, "-I", "-S", "-c", CHILD, json.dumps(path), *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SdkMissingError(f"Yandex's modules do not load:\n{done.stderr}")
    wire: Wire = json.loads(done.stdout)
    return wire
