"""What is shipped beside the program agrees with it: the pinned packages, the unit, the image."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from speechsense_watch import __version__
from speechsense_watch.core.rules import UploadRules

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REQUIREMENT_FILES = ("requirements.txt", "requirements-build.txt", "requirements-dev.txt")
PIN = re.compile(r"(?m)^([a-z0-9-]+)(?:\[([a-z0-9,-]+)\])?==(\S+)(?: ; .+?)?((?: \\\n +--hash=sha256:[0-9a-f]{64})+)$")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pins_of(name: str) -> dict[str, str]:
    return {package: version for package, _extras, version, _hashes in PIN.findall(text_of(name))}


def extras_of(name: str) -> dict[str, set[str]]:
    return {package: set(filter(None, extras.split(","))) for package, extras, _version, _hashes in PIN.findall(text_of(name))}


def names_in(requirements: list[object]) -> set[str]:
    return {re.split(r"[<>=!~ \[]", each)[0].lower() for each in requirements if isinstance(each, str)}


def unit_value(key: str) -> str:
    found = re.findall(rf"(?m)^{key}=(.*)$", text_of("systemd/speechsense-watch.service"))
    assert len(found) == 1, f"{key}= stands {len(found)} times in the unit"
    return str(found[0])


@pytest.mark.parametrize("name", REQUIREMENT_FILES)
def test_requirement_files_are_pins_with_hashes_and_nothing_else(name: str) -> None:
    """No address, no path, no unpinned package: whoever installs decides where from, and gets exactly these bytes."""
    assert pins_of(name)
    assert PIN.sub("", text_of(name)).strip() == ""


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("requirements.txt", PROJECT["project"]["dependencies"]),
        ("requirements-build.txt", PROJECT["build-system"]["requires"]),
        ("requirements-dev.txt", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]),
    ],
)
def test_everything_the_project_asks_for_is_pinned(name: str, wanted: list[object]) -> None:
    """A dependency added to pyproject.toml without `make lock` is noticed."""
    assert names_in(wanted) <= pins_of(name).keys()


def test_users_run_what_the_tests_ran_with() -> None:
    """The files for running and building are cuttings of the one for development."""
    tested = pins_of("requirements-dev.txt").items()
    assert pins_of("requirements.txt").items() <= tested
    assert pins_of("requirements-build.txt").items() <= tested


@pytest.mark.parametrize("name", REQUIREMENT_FILES)
def test_a_pin_names_the_extras_that_other_packages_want(name: str) -> None:
    """pip before 24 takes `package[extra]` for something unpinned next to a pin without the extra, and stops as soon as a newer
    release is out: a fresh clone then cannot be set up.
    """
    pinned = extras_of(name)
    for package in pinned:
        try:
            wanted = metadata.requires(package) or []
        except metadata.PackageNotFoundError:
            continue  # pinned for another platform
        for other, extras in re.findall(r"(?m)^([\w.-]+)\[([^\]]+)\](?!.*extra ==)", "\n".join(wanted)):
            assert set(extras.split(",")) <= pinned[other.lower().replace("_", "-")], f"{package} wants {other}[{extras}]"


def test_one_version_everywhere() -> None:
    """Package, program and image label name the same version, and the changelog has an entry for it."""
    assert PROJECT["project"]["version"] == __version__
    assert f"\nARG VERSION={__version__}\n" in text_of("Dockerfile")
    assert f"\n## [{__version__}]" in text_of("CHANGELOG.md")


def test_systemd_waits_longer_for_the_end_than_the_daemon_may_take() -> None:
    """A stop within the default grace period is never cut short by SIGKILL."""
    assert float(unit_value("TimeoutStopSec")) >= UploadRules().shutdown_grace_s + 10


def test_only_a_configuration_error_keeps_the_daemon_down() -> None:
    """systemd starts it again for ever, but not with a file that only a person can mend (sysexits.h: EX_CONFIG)."""
    assert unit_value("Restart") == "always"
    assert unit_value("StartLimitIntervalSec") == "0"
    assert unit_value("RestartPreventExitStatus") == "78"
