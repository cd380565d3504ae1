"""edge.iam: when a token is renewed, what is shown meanwhile, and that nobody waits for it."""

from __future__ import annotations

import io
import itertools
import json
import threading
from collections.abc import Iterator

import pytest
import structlog

from speechsense_watch.config import LogFormat, LogLevel
from speechsense_watch.edge.iam import Renewing, Token
from speechsense_watch.edge.secret import AuthError, number_of
from speechsense_watch.log import configure
from speechsense_watch.ports import CredentialError, CredentialPending, Key
from support.manual_clock import ManualClock

HOUR = 3600.0


class ScriptedMint:
    """Keeps `iam.Mint`: gives the tokens t1, t2, ... unless `trouble` or `no_key` says why not; `hold` keeps it waiting."""

    source = "a test"
    warnings = ("a: chmod",)

    def __init__(self) -> None:
        self.key = "key"
        self.no_key = ""
        self.trouble = ""
        self.fault: Exception | None = None
        self.lifetime_s = 12 * HOUR
        self.fetches = 0
        self.takes_s = 0.0
        self.clock: ManualClock | None = None
        self.hold: threading.Event | None = None

    def look(self) -> object:
        if self.no_key:
            raise AuthError(self.no_key)
        return self.key

    def fetch(self) -> Token:
        self.fetches += 1
        trouble, number, hold = self.trouble, self.fetches, self.hold
        if hold is not None:
            assert hold.wait(60)
        if self.clock is not None:
            self.clock.advance(self.takes_s)
        if self.fault is not None:
            raise self.fault
        if trouble:
            raise AuthError(trouble)
        return Token(f"t{number}", self.lifetime_s)


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.mint = ScriptedMint()
        self.news = 0
        self.log = io.StringIO()
        configure(LogFormat.JSON, LogLevel.DEBUG, self.log, isatty=False)
        self.tokens = Renewing(self.mint, self.clock.monotonic, lambda: 1.0, self._more)

    def _more(self) -> None:
        self.news += 1

    def shown(self, after_s: float = 0.0) -> str:
        """The token that is shown after so many seconds, when whatever that began has ended; empty while there is none."""
        self.clock.advance(after_s)
        try:
            ((name, value),) = self.tokens.headers()
        except CredentialPending:
            return ""
        finally:
            self.settle()
        assert name == "authorization"
        return value.removeprefix("Bearer ")

    def settle(self) -> None:
        """Whatever was begun has ended, and has told whoever waits."""
        for thread in threading.enumerate():
            if thread.name == "iam-token":
                thread.join(60)
                assert not thread.is_alive()

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield Bench()
    structlog.reset_defaults()


def test_the_first_token_is_on_its_way_and_whoever_waits_is_told(bench: Bench) -> None:
    """The port's word for "not yet", which is no trouble."""
    with pytest.raises(CredentialPending):
        bench.tokens.headers()
    bench.settle()
    assert bench.news == 1
    assert bench.shown() == "t1"


def test_asking_never_waits_for_iam(bench: Bench) -> None:
    """Neither for the first token nor for a renewal, and no second question is asked meanwhile."""
    bench.mint.hold = first = threading.Event()
    for _ in range(3):
        with pytest.raises(CredentialPending):
            bench.tokens.headers()
    first.set()
    bench.settle()
    bench.mint.hold = second = threading.Event()
    bench.clock.advance(2 * HOUR)
    for _ in range(3):
        assert bench.tokens.headers() == (("authorization", "Bearer t1"),)
    second.set()
    bench.settle()
    assert (bench.shown(), bench.mint.fetches) == ("t2", 2)


def test_who_has_to_wait_for_a_token_waits_until_it_is_there_and_no_longer_than_said(bench: Bench) -> None:
    """A command asks once and then wants to know."""
    bench.mint.hold = hold = threading.Event()
    with pytest.raises(CredentialPending):
        bench.tokens.headers()
    bench.tokens.settle(0.0)
    with pytest.raises(CredentialPending):
        bench.tokens.headers()
    hold.set()
    bench.tokens.settle(60)
    assert bench.tokens.headers() == (("authorization", "Bearer t1"),)


@pytest.mark.parametrize(
    ("lives_s", "renewed_after_s"),
    [(12 * HOUR, HOUR), (3 * HOUR, HOUR), (HOUR, HOUR / 2), (600.0, 300.0), (40.0, 30.0), (90 * 24 * HOUR, HOUR)],
)
def test_a_token_is_renewed_hourly_or_when_half_its_life_is_over(bench: Bench, lives_s: float, renewed_after_s: float) -> None:
    """Whichever comes first; the one before goes on being used until the next is there."""
    bench.mint.lifetime_s = lives_s
    bench.shown()
    assert (bench.shown(renewed_after_s - 0.5), bench.mint.fetches) == ("t1", 1)
    assert (bench.shown(0.5), bench.mint.fetches) == ("t1", 2)
    assert bench.shown() == "t2"


def test_a_token_lives_from_the_question_on_and_never_over_twelve_hours(bench: Bench) -> None:
    """How long the answer took counts."""
    bench.mint.clock, bench.mint.takes_s, bench.mint.lifetime_s = bench.clock, 20.0, 99 * HOUR
    bench.shown()
    bench.mint.trouble, bench.mint.takes_s = "away", 0.0
    assert bench.shown(12 * HOUR - 21) == "t1"
    with pytest.raises(AuthError, match="away"):
        bench.shown(1)


def test_while_the_renewal_fails_the_old_token_is_used_as_long_as_it_is_valid(bench: Bench) -> None:
    """And each failure is in the log with the time of the next try; then uploads stand still for the reason."""
    bench.shown()
    bench.mint.trouble = "IAM cannot be reached."
    bench.shown(HOUR)
    for _ in range(200):
        assert bench.shown(180) == "t1"
    told = [json.loads(line) for line in bench.log.getvalue().splitlines()][1]
    assert (told["event"], told["message"], told["again_in_s"]) == ("auth_failed", "IAM cannot be reached.", 5)
    assert told["token_valid_for_s"] == 11 * HOUR
    with pytest.raises(CredentialError, match=r"IAM cannot be reached\."):
        bench.shown(2 * HOUR)
    bench.mint.trouble = ""
    bench.clock.advance(301)
    with pytest.raises(CredentialError):
        bench.tokens.headers()
    bench.settle()
    assert bench.shown() == f"t{bench.mint.fetches}"


def test_a_failing_renewal_is_tried_again_ever_more_seldom(bench: Bench) -> None:
    """5 s, 10 s, ... up to 5 minutes: about 12 questions an hour in the end."""
    bench.mint.trouble = "away"
    at = []
    for second in range(3600):
        before = bench.mint.fetches
        with pytest.raises(CredentialError):
            bench.tokens.headers()
        bench.settle()
        if bench.mint.fetches != before:
            at.append(second)
        bench.clock.advance(1)
    waits = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert waits[:7] == [5, 10, 20, 40, 80, 160, 300]
    assert set(waits[7:]) == {300}


def test_a_renewal_that_could_not_be_begun_is_begun_another_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread was to be had at that moment; that is no renewal under way."""

    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError):
            bench.tokens.headers()
    bench.shown()
    assert bench.shown() == "t1"


def test_a_refused_token_is_renewed_at_once(bench: Bench) -> None:
    """Whoever was refused need not wait for an hour to pass."""
    bench.shown()
    bench.clock.advance(120)
    bench.tokens.refused()
    bench.settle()
    assert (bench.shown(), bench.news) == ("t2", 2)


def test_refusals_make_no_tight_loop(bench: Bench) -> None:
    """A service that refuses every token makes for one question a minute at most, however often it refuses."""
    bench.shown()
    for _ in range(600):
        bench.clock.advance(1)
        bench.tokens.headers()
        bench.tokens.refused()
        bench.tokens.refused()
        bench.settle()
    assert bench.mint.fetches == 11


def test_refusals_do_not_hurry_a_renewal_that_fails(bench: Bench) -> None:
    """It has its own pace."""
    bench.shown()
    bench.mint.trouble = "away"
    bench.shown(HOUR)
    for _ in range(4):
        bench.clock.advance(1)
        bench.tokens.refused()
        bench.settle()
    assert bench.mint.fetches == 2


def test_another_key_makes_another_token_at_once(bench: Bench) -> None:
    """Even while the old one's renewal is put off; the old token is used until the new one is there."""
    bench.shown()
    bench.mint.trouble = "IAM refused the key."
    for _ in range(20):
        bench.shown(HOUR / 2)
    bench.mint.trouble, bench.mint.key = "", "another"
    before = bench.mint.fetches
    assert bench.shown(1) == "t1"
    assert bench.shown() == f"t{before + 1}"


@pytest.mark.parametrize("trouble", ["IAM refused the key.", ""])
def test_a_key_that_changes_during_the_question_is_asked_for_again(bench: Bench, trouble: str) -> None:
    """What the old one brings, a refusal or a token, is not the last word."""
    bench.mint.hold = threading.Event()
    bench.mint.trouble = trouble
    with pytest.raises(CredentialPending):
        bench.tokens.headers()
    bench.mint.key, bench.mint.trouble = "another", ""
    bench.clock.advance(1)
    with pytest.raises(CredentialPending):
        bench.tokens.headers()
    bench.mint.hold.set()
    bench.settle()
    assert bench.shown() == ("" if trouble else "t1")
    assert bench.shown() == "t2"


def test_without_a_key_the_sentence_says_what_to_do_and_a_valid_token_goes_on_being_used(bench: Bench) -> None:
    """Nothing is asked of IAM; whoever asks is told, the log only while nobody else would be; when the key is back it is used
    within a second.
    """
    bench.mint.no_key = "There is no key: put it there."
    for _ in range(5):
        with pytest.raises(AuthError, match="put it there"):
            bench.shown(1)
    assert (bench.mint.fetches, bench.events()) == (0, [])
    bench.mint.no_key = ""
    assert bench.shown(1) == ""
    assert bench.shown() == "t1"
    bench.mint.no_key = "There is no key: put it there."
    assert bench.shown(3 * HOUR) == bench.shown(1) == "t1"
    assert bench.events() == ["auth_refreshed", "auth_failed"]
    with pytest.raises(AuthError, match="put it there"):
        bench.shown(10 * HOUR)


def test_a_look_begins_no_renewal_and_tells_what_is_known(bench: Bench) -> None:
    """Nothing is wrong before a token has been asked for, nor when one has expired overnight."""
    bench.mint.no_key = "There is no key: put it there."
    assert bench.tokens.look() == Key(trouble="There is no key: put it there.", warnings=("a: chmod",))
    bench.mint.no_key = ""
    bench.clock.advance(1)
    assert bench.tokens.look() == Key(warnings=("a: chmod",))
    assert bench.mint.fetches == 0
    bench.shown()
    assert bench.tokens.look().number == number_of(bench.tokens.headers()) != 0
    bench.clock.advance(13 * HOUR)
    assert bench.tokens.look() == Key(warnings=("a: chmod",))
    assert bench.mint.fetches == 1


def test_an_idle_daemon_asks_for_nothing(bench: Bench) -> None:
    """A renewal begins when a token is asked for; after a night the old one is renewed before it is shown."""
    bench.shown()
    bench.clock.advance(13 * HOUR)
    assert bench.mint.fetches == 1
    assert bench.shown() == ""
    assert bench.shown() == "t2"


def test_no_token_is_in_a_log_or_a_repr(bench: Bench) -> None:
    """Each renewal is told by its source and how long it is good for."""
    bench.shown()
    bench.shown(2 * HOUR)
    assert bench.events() == ["auth_refreshed", "auth_refreshed"]
    assert "t1" not in bench.log.getvalue() + repr(bench.tokens) + repr(bench.tokens._token)
    assert json.loads(bench.log.getvalue().splitlines()[0])["valid_for_s"] == 12 * HOUR


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_ours_is_told_too_and_ends(bench: Bench) -> None:
    """Else the daemon would stand still and say that a token is on its way."""
    bench.mint.fault = ArithmeticError("a secret")
    assert bench.shown() == ""
    with pytest.raises(AuthError, match=r"^No IAM token can be had, by a fault in this program \(ArithmeticError\)\.$"):
        bench.tokens.headers()
    assert bench.events() == ["auth_failed"]
    bench.mint.fault = None
    with pytest.raises(AuthError):
        bench.shown(5)
    assert bench.shown() == "t2"
