"""Which names an archived pair gets."""

from __future__ import annotations

import pytest

from speechsense_watch.core.archive import choose_target


@pytest.mark.parametrize(
    ("audio", "metadata", "taken", "expected"),
    [
        ("a.wav", "a.json", set(), ("/arc/a.wav", "/arc/a.json")),
        ("2026/03/a.wav", "2026/03/a.json", set(), ("/arc/2026/03/a.wav", "/arc/2026/03/a.json")),
        ("a.wav", "a.json", {"/arc/a.wav"}, ("/arc/a.1.wav", "/arc/a.1.json")),
        ("a.wav", "a.json", {"/arc/a.json"}, ("/arc/a.1.wav", "/arc/a.1.json")),
        ("a.wav", "a.json", {"/arc/a.wav", "/arc/a.1.json"}, ("/arc/a.2.wav", "/arc/a.2.json")),
        ("a.wav", "a.wav.json", {"/arc/a.wav"}, ("/arc/a.1.wav", "/arc/a.1.wav.json")),
        ("x/a.wav", "x/meta/a.json", {"/arc/x/a.wav"}, ("/arc/x/a.1.wav", "/arc/x/meta/a.1.json")),
        ("in.7.wav", "in.7.json", {"/arc/in.7.wav"}, ("/arc/in.7.1.wav", "/arc/in.7.1.json")),
        ("a.wav", "manifest.csv", {"/arc/a.wav"}, ("/arc/a.1.wav", "/arc/manifest.1.csv")),
        ("plain", "plain.json", {"/arc/plain"}, ("/arc/plain.1", "/arc/plain.1.json")),
        ("a.wav", "a10.json", {"/arc/a.wav"}, ("/arc/a.1.wav", "/arc/a10.1.json")),
    ],
)
def test_both_halves_keep_their_path_and_get_the_same_number(
    audio: str, metadata: str, taken: set[str], expected: tuple[str, str]
) -> None:
    """A pair keeps its path below the archive; where either name is taken, both get the lowest number that is free."""
    assert choose_target("/arc/", audio, metadata, taken.__contains__) == expected


def test_a_recording_without_a_metadata_file_gets_one_target() -> None:
    """Nothing is looked for, moved or counted as taken where there is no second file."""
    assert choose_target("/arc", "2026/a.wav", None, {"/arc/2026/a.wav"}.__contains__) == ("/arc/2026/a.1.wav", None)
