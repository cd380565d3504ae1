"""core.pairing: which names belong together, and when a file has been left alone."""

from __future__ import annotations

import dataclasses
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.model import Sighting
from speechsense_watch.core.pairing import (
    OLD_AT_FIRST_SIGHT_S,
    Track,
    audio_paths,
    chosen,
    excluded,
    follow,
    ignored,
    is_audio,
    lies_beside_its_audio,
    looks_like_audio,
    metadata_path,
    quiet_left_s,
    takes,
    unmatched,
)
from speechsense_watch.core.rules import Folder


def folder(
    metadata: str = "{stem}.json",
    audio: tuple[str, ...] = ("*.wav",),
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
) -> Folder:
    return Folder(
        path="/calls",
        connection_id="c",
        start_from="all",
        name="calls",
        metadata=metadata,
        audio=audio,
        include=include,
        exclude=exclude,
    )


# --- pairs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "audio", "metadata"),
    [
        ("{stem}.json", "call.wav", "call.json"),
        ("{stem}.json", "2026/03/01/call.wav", "2026/03/01/call.json"),
        ("{stem}.json", "a.b.c.wav", "a.b.c.json"),
        ("{stem}.json", "CALL.WAV", "CALL.json"),
        ("{name}.json", "call.wav", "call.wav.json"),
        ("{name}.json", "CALL.WAV", "CALL.WAV.json"),
        ("meta/{stem}.json", "in/call.wav", "in/meta/call.json"),
        ("{stem}-meta.json", "call.wav", "call-meta.json"),
        ("{stem}/{stem}.json", "call.wav", "call/call.json"),
        ("{stem}/{name}.json", "call.wav", "call/call.wav.json"),
        ("{stem}.json", "{name}.wav", "{name}.json"),
        ("{name}.json", "{stem}.wav", "{stem}.wav.json"),
        ("{stem}.json", "a\nb \udcff.wav", "a\nb \udcff.json"),
        ("{stem}.json", "[x]*.wav", "[x]*.json"),
    ],
)
def test_the_metadata_of_an_audio_and_back(pattern: str, audio: str, metadata: str) -> None:
    """What the pattern says and nothing else; whichever half comes first leads to the other."""
    assert metadata_path(folder(pattern), audio) == metadata
    assert audio in audio_paths(folder(pattern), metadata)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{stem}.json", "call.xml"),
        ("{stem}.json", ".json"),
        ("{stem}.json", ".call.json"),
        ("{stem}.json", "call.json.tmp"),
        ("meta/{stem}.json", "META/call.json"),
        ("{name}.json", "call.json"),
        ("{name}.json", "call.txt.json"),
        ("meta/{stem}.json", "call.json"),
        ("meta/{stem}.json", "in/meta/deeper/call.json"),
        ("{stem}/{stem}.json", "one/two.json"),
        ("{name}", "call.wav"),
        ("{stem}/{name}.txt", "other/call.wav.txt"),
        ("{stem}.js.n", "call.json"),
    ],
)
def test_what_is_no_metadatas_name_leads_to_no_audio(pattern: str, path: str) -> None:
    """An audio is never its own metadata, and a name that is still being written is nobody's."""
    assert "call.wav" not in audio_paths(folder(pattern), path)
    assert audio_paths(folder(pattern), path) == ()


def test_the_likeliest_audio_comes_first() -> None:
    """As the rules write it, then in lower and upper case; a pattern that is no plain ending names none."""
    rules = folder(audio=("*.Wav", "*.mp3", "rec-?.*"))
    assert audio_paths(rules, "d/call.json") == ("d/call.Wav", "d/call.wav", "d/call.WAV", "d/call.mp3", "d/call.MP3")


SIMPLE = st.sampled_from(["{stem}.json", "{name}.json", "meta/{stem}.json", "{stem}.meta.json", "{stem}/{name}.txt"])
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1, max_size=12).filter(
    lambda name: not name.startswith(".")
)


@given(pattern=SIMPLE, directories=st.lists(NAMES, max_size=3), stem=NAMES, ending=st.sampled_from([".wav", ".WAV", ".mp3"]))
def test_every_audio_is_found_from_its_metadata(pattern: str, directories: list[str], stem: str, ending: str) -> None:
    """Whatever bytes its name is made of."""
    rules = folder(pattern, ("*.wav", "*.mp3"))
    path = posixpath.join(*directories, stem + ending)
    assert is_audio(rules, path)
    metadata = metadata_path(rules, path)
    assert metadata is not None
    assert ignored(metadata) or path in audio_paths(rules, metadata)


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "unfinished"),
    [
        ("call.wav", False),
        ("a.tmp.wav", False),
        ("partial.wav", False),
        (".call.wav", True),
        ("call.wav~", True),
        ("call.wav.tmp", True),
        ("call.wav.TMP", True),
        ("call.wav.part", True),
        ("call.wav.partial", True),
        ("call.wav.filepart", True),
        ("call.wav.crdownload", True),
        (".call.json.swp", True),
        ("call.json.swp", True),
    ],
)
@pytest.mark.parametrize("directory", ["", "2026/", ".hidden/"])
def test_names_of_unfinished_files_are_ignored(directory: str, name: str, *, unfinished: bool) -> None:
    """By their last part alone: they are looked at when they get their real names."""
    assert ignored(directory + name) == unfinished
    assert is_audio(folder(audio=("*",)), directory + name) != unfinished


@pytest.mark.parametrize(
    ("patterns", "path", "audio"),
    [
        (("*.wav",), "call.wav", True),
        (("*.wav",), "deep/er/CALL.WAV", True),
        (("*.WAV",), "call.wav", True),
        (("*.wav",), "call.wave", False),
        (("*.wav",), "wav", False),
        (("rec-??.wav",), "a/rec-01.wav", True),
        (("rec-??.wav",), "a/rec-001.wav", False),
        (("in/*.wav",), "in/call.wav", True),
        (("in/*.wav",), "out/call.wav", False),
        (("in/*.wav",), "x/in/call.wav", False),
        (("*.mp3", "*.wav"), "call.wav", True),
        ((), "call.wav", False),
    ],
)
def test_audio_is_what_the_rules_say(patterns: tuple[str, ...], path: str, *, audio: bool) -> None:
    """Without regard to case; a pattern with a slash is held against the path below the root, else against the name."""
    assert is_audio(folder(audio=patterns), path) == audio


@pytest.mark.parametrize(
    ("include", "exclude", "path", "through"),
    [
        ((), (), "a/b.wav", True),
        (("in/*",), (), "in/b.wav", True),
        (("in/*",), (), "IN/b.wav", True),
        (("in/*",), (), "in/deep/b.wav", True),
        (("in/*",), (), "out/b.wav", False),
        ((), ("*/test/*",), "a/test/b.wav", False),
        ((), ("*/TEST/*",), "a/test/b.wav", False),
        ((), ("test-*",), "a/test-1.wav", True),
        (("in/*",), ("in/private*",), "in/private/b.wav", False),
        (("a", "in/*"), ("x", "y"), "in/b.wav", True),
        (("**/*.wav",), (), "b.wav", True),
        (("**/*.wav",), (), "a/b.wav", True),
        (("**/*.wav",), (), "a/b/c.wav", True),
        (("**/*.wav",), (), "b.mp3", False),
        (("2026/**/in-*.wav",), (), "2026/in-1.wav", True),
        (("2026/**/in-*.wav",), (), "2026/01/31/in-1.wav", True),
        (("2026/**/in-*.wav",), (), "2026/01/out-1.wav", False),
        (("2026/**/in-*.wav",), (), "2025/in-1.wav", False),
        (("2026/**",), (), "2026/01/b.wav", True),
        (("**/**/b.wav",), (), "b.wav", True),
        (("**/a/**/b.wav",), (), "a/b.wav", True),
        (("**/a/**/b.wav",), (), "x/a/y/z/b.wav", True),
        (("**/a/**/b.wav",), (), "x/b.wav", False),
        (("x**/b.wav",), (), "x/b.wav", True),
        (("x**/b.wav",), (), "b.wav", False),
        (("*/stereo/*",), (), "stereo/b.wav", False),
        (("*/stereo/*",), (), "a/b/stereo/c/b.wav", True),
        (("*/*.wav",), (), "b.wav", False),
        ((), ("**/test/*",), "test/b.wav", False),
        ((), ("**/test",), "test", False),
        ((), ("**/",), "b.wav", True),
    ],
)
def test_include_and_exclude_choose_by_path(
    include: tuple[str, ...], exclude: tuple[str, ...], path: str, *, through: bool
) -> None:
    """Below the root, without regard to case; what is excluded stays out whatever is included."""
    rules = folder(include=include, exclude=exclude)
    assert chosen(rules, path) == through
    assert not (excluded(rules, path) and chosen(rules, path))


@pytest.mark.parametrize(
    ("path", "worth"), [("a.mp3", True), ("A.GSM", True), ("a.wav49", True), (".a.mp3", False), ("a.txt", False), ("mp3", False)]
)
def test_a_name_people_would_call_a_recording_is_known(path: str, *, worth: bool) -> None:
    """By its ending."""
    assert looks_like_audio(path) == worth


@pytest.mark.parametrize(
    ("include", "exclude", "path", "counts"),
    [
        ((), (), "a.mp3", True),
        ((), (), "a.wav", False),
        ((), (), "a.txt", False),
        ((), (), ".a.mp3", False),
        (("2025/**",), (), "2026/a.wav", True),
        (("2025/**",), (), "2025/a.wav", False),
        (("2025/**",), (), "2026/a.json", False),
        (("2025/**",), (), "2026/a.mp3", True),
        ((), ("*.mp3",), "a.mp3", False),
        ((), ("old/*",), "old/a.wav", False),
        (("2025/**",), ("2026/*",), "2026/a.wav", False),
    ],
)
def test_what_no_rule_takes_is_counted(include: tuple[str, ...], exclude: tuple[str, ...], path: str, *, counts: bool) -> None:
    """`status` says how many of them there are; not what `exclude` leaves out, that was said on purpose."""
    assert unmatched(folder(include=include, exclude=exclude), path) == counts


@pytest.mark.parametrize(
    ("audio", "name", "beside"),
    [
        (("*.wav",), "call.json", True),
        (("*.WAV",), "call.json", True),
        (("*.wav",), "other.json", False),
        (("*.wav",), "call.mp3", False),
        (("*.wav",), "call.wav", False),
        (("*.wav",), "call.wav.json", False),
        (("call*",), "call.json", False),
    ],
)
def test_a_quick_word_on_metadata(audio: tuple[str, ...], name: str, *, beside: bool) -> None:
    """Most of it lies beside its audio under the same name, and a directory may hold a million of them."""
    assert lies_beside_its_audio(folder(audio=audio), name, {"call.wav", "call.WAV"}) == beside


# --- quiet -------------------------------------------------------------------------------------

WALL_NS = 1_800_000_000_000_000_000
YOUNG_NS = WALL_NS - 60 * 10**9
OLD_NS = WALL_NS - int((OLD_AT_FIRST_SIGHT_S + 1) * 1e9)


def sighting(at: float, *, size: int = 100, mtime_ns: int = YOUNG_NS, ctime_ns: int = YOUNG_NS, inode: int = 1) -> Sighting:
    return Sighting(inode=inode, size=size, mtime_ns=mtime_ns, ctime_ns=ctime_ns, at=at)


def test_a_file_is_quiet_when_it_looked_the_same_for_the_whole_period() -> None:
    """By our own looks: the first only begins the period."""
    track = follow(None, sighting(100.0), WALL_NS, local=True)
    assert (track.first, track.since, quiet_left_s(track, 10.0)) == (100.0, 100.0, 10.0)
    track = follow(track, sighting(104.0), WALL_NS, local=True)
    assert quiet_left_s(track, 10.0) == 6.0
    track = follow(track, sighting(110.0), WALL_NS, local=True)
    assert quiet_left_s(track, 10.0) == 0.0
    track = follow(track, sighting(999.0), WALL_NS, local=True)
    assert (track.first, track.since, quiet_left_s(track, 10.0)) == (100.0, 100.0, 0.0)


@pytest.mark.parametrize(
    "changed", [sighting(109.0, size=101), sighting(109.0, mtime_ns=YOUNG_NS + 1), sighting(109.0, inode=2)], ids=str
)
def test_a_change_begins_the_period_anew(changed: Sighting) -> None:
    """Of the size, the time or the file itself; since when the path is known stays."""
    track = follow(follow(None, sighting(100.0), WALL_NS, local=True), changed, WALL_NS, local=True)
    assert (track.first, track.since, quiet_left_s(track, 10.0)) == (100.0, 109.0, 10.0)


@pytest.mark.parametrize(
    ("mtime_ns", "ctime_ns", "local", "old"),
    [
        (OLD_NS, OLD_NS, True, True),
        (OLD_NS, OLD_NS, False, False),  # the times of a remote file system are another machine's
        (YOUNG_NS, OLD_NS, True, False),
        (OLD_NS, YOUNG_NS, True, False),  # `cp -p` and `touch -d` do not fool ctime
        (WALL_NS + 10**12, OLD_NS, True, False),
    ],
)
def test_an_old_file_needs_no_second_look(mtime_ns: int, ctime_ns: int, *, local: bool, old: bool) -> None:
    """Where both its times are over an hour old at first sight and can be believed."""
    track = follow(None, sighting(5.0, mtime_ns=mtime_ns, ctime_ns=ctime_ns), WALL_NS, local=local)
    assert track.old == old
    assert quiet_left_s(track, 10.0) == (0.0 if old else 10.0)
    again = follow(track, sighting(6.0, mtime_ns=mtime_ns, ctime_ns=ctime_ns), WALL_NS, local=local)
    assert again.old == old
    assert not follow(track, sighting(6.0, size=7), WALL_NS, local=local).old


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 3)), min_size=1, max_size=12), st.floats(0, 30))
def test_quiet_is_counted_from_the_last_change(looks: list[tuple[float, int]], period_s: float) -> None:
    """Whatever the looks, and however far between."""
    now, last_change, last_size, track = 1000.0, 1000.0, 0, None
    for passed_s, size in looks:
        now += passed_s
        last_change = last_change if size == last_size else now
        last_size = size
        track = follow(track, sighting(now, size=size), WALL_NS, local=True)
    assert isinstance(track, Track)
    assert quiet_left_s(track, period_s) == pytest.approx(max(0.0, last_change + period_s - now))


def test_the_nearest_folder_owns_a_file() -> None:
    """What another folder watches below this one's root is left to it, whatever it says of it."""
    outer = dataclasses.replace(folder("{stem}.json", ("*.wav",)), inner=("sales", "day/night"))
    assert takes(outer, "call.wav")
    assert takes(outer, "salesroom/call.wav")
    assert takes(outer, "day/call.wav")
    assert not takes(outer, "sales/call.wav")
    assert not takes(outer, "sales/2026/call.wav")
    assert not takes(outer, "day/night/call.wav")
