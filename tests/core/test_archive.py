"""Which names an archived pair gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.archive import choose_target, free_name, partner_target


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


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."}
)


@given(stem=NAMES, directory=st.lists(NAMES, max_size=2), taken=st.integers(0, 12), named_after=st.booleans())
def test_after_a_restart_the_partners_name_follows_from_the_audios(
    stem: str, directory: list[str], taken: int, *, named_after: bool
) -> None:
    """The metadata's target is a function of the audio's, so the queue need remember only one of them."""
    below = "/".join([*directory, ""])
    audio, metadata = f"{below}{stem}.wav", f"{below}{stem}.wav.json" if named_after else f"{below}{stem}.json"
    used = {f"/arc/{free_name(audio, stem, number)}" for number in range(taken)}
    chosen = choose_target("/arc", audio, metadata, used.__contains__)
    assert chosen[0] not in used
    assert partner_target(chosen[0], audio, metadata) == chosen[1]
