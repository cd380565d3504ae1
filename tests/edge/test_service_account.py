"""edge.service_account: from a key file to an IAM token, by a real IamTokenService, and what is said when there is none."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from speechsense_watch.config import Auth, SpeechSense
from speechsense_watch.core.verdict import Code
from speechsense_watch.edge.channel import Answer, Exchanged
from speechsense_watch.edge.iam import Token
from speechsense_watch.edge.secret import AuthError
from speechsense_watch.edge.service_account import NoAnswerError, ServiceAccount, _time_of, iam_of, parsed
from speechsense_watch.standin.certificates import certificates
from support.iam import ACCOUNT_ID, AUDIENCE, FIRST_LINE, KEY_ID, Iam, key_file, pem, rsa_key
from support.manual_clock import ManualClock
from support.rig import free_port
from support.sources import PACKAGE


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def iam(clock: ManualClock) -> Iterator[Iam]:
    with Iam() as iam:
        iam.script.now = clock.now
        yield iam


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "service-account-key"
    path.write_text(key_file())
    path.chmod(0o600)
    return path


def account(iam: Iam, file: Path | str, clock: ManualClock, environ: dict[str, str] | None = None) -> ServiceAccount:
    settings = SpeechSense(auth=Auth.SERVICE_ACCOUNT, service_account_key_file=str(file), iam_endpoint=iam.target, plaintext=True)
    return ServiceAccount(settings, environ or {}, clock)


def refusal(made: ServiceAccount) -> str:
    with pytest.raises(AuthError) as caught:
        made.fetch()
    told = str(caught.value)
    assert "PRIVATE KEY" not in told
    assert "eyJ" not in told
    return told


def test_a_key_file_makes_a_token(iam: Iam, file: Path, clock: ManualClock) -> None:
    """IAM itself has checked signature, kid, audience, issuer and times; the token lives for as long as it said."""
    assert account(iam, file, clock).fetch() == Token("t1.token1", 12 * 3600.0)
    (shown,) = iam.shown
    assert jwt.get_unverified_header(shown) == {"alg": "PS256", "kid": KEY_ID, "typ": "JWT"}
    claims = jwt.decode(
        shown, rsa_key(0).public_key(), ["PS256"], audience=AUDIENCE, options={"verify_exp": False, "verify_iat": False}
    )
    assert claims == {"iss": ACCOUNT_ID, "aud": AUDIENCE, "iat": claims["iat"], "exp": claims["iat"] + 3600}


def test_the_times_of_the_proof_leave_room_for_a_clock_that_is_a_little_wrong(iam: Iam, file: Path, clock: ManualClock) -> None:
    """5 minutes ahead, nearly an hour behind."""
    for minutes in (-54, 4):
        iam.script.now = lambda minutes=minutes: clock.now() - timedelta(minutes=minutes)  # type: ignore[misc]
        assert account(iam, file, clock).fetch().value


@pytest.mark.parametrize("first_line", ["", FIRST_LINE, "A line of text\r\n"])
def test_a_line_of_text_before_the_key_is_left_out(iam: Iam, file: Path, clock: ManualClock, first_line: str) -> None:
    """Yandex Cloud's own files have one."""
    file.write_text(key_file(first_line=first_line))
    assert account(iam, file, clock).fetch().value == "t1.token1"


def test_the_first_source_that_exists_wins(iam: Iam, file: Path, clock: ManualClock, tmp_path: Path) -> None:
    """systemd's credential, then the configured file; no variable of the environment, where children would inherit the key."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    environ = {"CREDENTIALS_DIRECTORY": str(directory), "SPEECHSENSE_SERVICE_ACCOUNT_KEY": key_file(key_id="third")}
    made = account(iam, file, clock, environ)
    assert (made.key().id, made.source) == (KEY_ID, str(file))
    (directory / "service-account-key").write_text(key_file(key_id="first"))
    assert (made.key().id, made.source) == ("first", f"{directory}/service-account-key")
    (directory / "service-account-key").unlink()
    file.unlink()
    told = refusal(made)
    assert told == (
        f"There is no service account's key: neither {directory}/service-account-key nor {file} exists. "
        f"To mend it, put it into {file}."
    )
    assert "name a file that holds it as `service_account_key_file`" in refusal(account(iam, "", clock))


def test_another_file_is_noticed(iam: Iam, file: Path, clock: ManualClock) -> None:
    """By inode, size and mtime."""
    made = account(iam, file, clock)
    before = made.look()
    assert made.look() == before
    file.write_text(key_file(key_id="another"))
    assert made.look() != before


EC_KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)
# An algorithm by its number that cryptography does not know: 1.2.643 are those of GOST.
GOST_KEY = f"""-----BEGIN PRIVATE KEY-----
{base64.b64encode(bytes.fromhex("302e020100300506032a850304220420") + bytes(32)).decode()}
-----END PRIVATE KEY-----
"""
WHOLE = {"id": "i", "service_account_id": "s", "private_key": "topsecret"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"AQVNtopsecret", "is not JSON with `id`, `service_account_id` and `private_key`"),
        (b"[" * 10_000, "is not JSON with"),
        (b"[]", "is not JSON with"),
        (b"\xff", "is not JSON with"),
        *((json.dumps({**WHOLE, key: value}).encode(), "is not JSON with") for key in WHOLE for value in (None, 1, "", " ")),
        *((json.dumps({k: v for k, v in WHOLE.items() if k != key}).encode(), "is not JSON with") for key in WHOLE),
        (json.dumps(WHOLE).encode(), "its `private_key` is no RSA key in PEM"),
        (json.dumps({**WHOLE, "private_key": "-----BEGIN PRIVATE KEY-----\ntopsecret"}).encode(), "is no RSA key in PEM"),
        (json.dumps({**WHOLE, "private_key": pem()[:-60]}).encode(), "is no RSA key in PEM"),
        (json.dumps({**WHOLE, "private_key": EC_KEY}).encode(), "is no RSA key in PEM"),
        (json.dumps({**WHOLE, "private_key": GOST_KEY}).encode(), "is no RSA key in PEM"),
    ],
)
def test_what_is_no_key_is_told_and_not_quoted(content: bytes, message: str) -> None:
    """With the command that makes one; neither the text nor its causes hold anything of the file."""
    with pytest.raises(AuthError) as caught:
        parsed(content, "/etc/key")
    told = str(caught.value)
    assert message in told
    assert "The service account's key in /etc/key" in told
    assert "yc iam key create" in told
    assert "topsecret" not in told
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_no_repr_shows_the_key(file: Path, iam: Iam, clock: ManualClock) -> None:
    """Nor a token."""
    key = account(iam, file, clock).key()
    assert repr(key) == f"AccountKey(id='{KEY_ID}', service_account_id='{ACCOUNT_ID}')"
    assert repr(account(iam, file, clock).fetch()) == "Token(lifetime_s=43200.0)"


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_key_open_to_everybody_is_warned_about(iam: Iam, file: Path, clock: ManualClock, mode: int, *, warned: bool) -> None:
    """As for other keys."""
    file.chmod(mode)
    made = account(iam, file, clock)
    made.key()
    expected = f"{file}: everybody on this machine may get at the service account's key: `sudo chmod o= {file}` mends it."
    assert made.warnings == ((expected,) if warned else ())


# --- the clock -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (timedelta(minutes=7), "7 minutes ahead"),
        (timedelta(hours=3), "3 hours ahead"),
        (timedelta(days=365), "365 days ahead"),
        (-timedelta(minutes=70), "70 minutes behind"),
        (-timedelta(days=2), "2 days behind"),
    ],
)
@pytest.mark.parametrize("dated", [True, False])
def test_a_wrong_clock_is_named(iam: Iam, file: Path, clock: ManualClock, ahead: timedelta, said: str, *, dated: bool) -> None:
    """By how much, when the answer has the server's time; else what this machine believes the time to be."""
    iam.script.now, iam.script.dated = lambda: clock.now() - ahead, dated
    told = refusal(account(iam, file, clock))
    assert f"IAM refused the service account's key {KEY_ID} (UNAUTHENTICATED: " in told
    if dated:
        assert told.endswith(f"This machine's clock is {said}: set it right.")
    else:
        assert told.endswith("Check this machine's clock (it says 2026-03-01 09:00 UTC) and whether the key still exists.")


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND])
def test_a_key_that_was_deleted_is_named_when_the_clock_is_right(
    iam: Iam, file: Path, clock: ManualClock, code: grpc.StatusCode
) -> None:
    """What IAM says is told, but for the proof that it quotes."""
    iam.script.code, iam.script.dated = code, True
    iam.script.message = "JWT eyJhbGciOiJQUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln-_ is of no key"
    told = refusal(account(iam, file, clock))
    assert f"({code.name}: JWT [hidden] is of no key)" in told
    assert told.endswith("This machine's clock is right, so check whether the key still exists.")


def test_a_key_of_somebody_else_is_refused(iam: Iam, file: Path, clock: ManualClock) -> None:
    """IAM's own word comes through."""
    file.write_text(key_file(1))
    assert "Signature verification failed" in refusal(account(iam, file, clock))


def test_a_lifetime_is_counted_by_the_servers_clock_where_it_is_known(iam: Iam, file: Path, clock: ManualClock) -> None:
    """What `expires_at` says by our own wall clock would be wrong by as much as that is."""
    iam.script.lives = timedelta(hours=2)
    iam.script.now, iam.script.dated = lambda: clock.now() + timedelta(minutes=30), True
    assert account(iam, file, clock).fetch().lifetime_s == 7200.0
    iam.script.dated = False
    assert account(iam, file, clock).fetch().lifetime_s == 9000.0


def test_a_token_that_has_expired_by_our_clock_names_the_clock(iam: Iam, file: Path, clock: ManualClock) -> None:
    """It would be refused, or our clock is wrong."""
    iam.script.lives = -timedelta(minutes=10)
    told = refusal(account(iam, file, clock))
    assert told.startswith(
        "IAM gave a token that expired 10 minutes ago. Check this machine's clock (it says 2026-03-01 09:00 UTC)"
    )


@pytest.mark.parametrize("expires_at_s", [-(2**63), -1, 1])
def test_a_token_that_expired_in_another_age_is_told_all_the_same(
    iam: Iam, file: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, expires_at_s: int
) -> None:
    """However far from now what IAM says may lie: an answer that cannot be understood never goes unsaid."""
    monkeypatch.setattr("speechsense_watch.edge.channel.exchange", lambda *_: Exchanged(Answer(Code.OK), "token", expires_at_s))
    assert refusal(account(iam, file, clock)).startswith("IAM gave a token that expired ")


# --- reaching IAM ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_trouble_of_iam_itself_blames_neither_key_nor_clock(
    iam: Iam, file: Path, clock: ManualClock, code: grpc.StatusCode
) -> None:
    """It is asked again."""
    iam.script.code, iam.script.message = code, "try again"
    with pytest.raises(NoAnswerError) as caught:
        account(iam, file, clock).fetch()
    expected = f"IAM gave no token for the service account's key {KEY_ID} ({code.name}: try again); it is asked again."
    assert str(caught.value) == expected


def test_an_iam_that_cannot_be_reached_is_told_with_the_key_to_mend(
    file: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which step fails, in words."""
    monkeypatch.setattr("speechsense_watch.edge.channel.CONNECT_WITHIN_S", 0.2)
    nobody = Iam(target=f"127.0.0.1:{free_port()}")
    with pytest.raises(NoAnswerError, match=r"No IAM token can be had\. .*check the network and `iam_endpoint`\."):
        account(nobody, file, clock).fetch()


def test_iam_is_asked_by_tls_and_a_private_authority(file: Path, tmp_path: Path) -> None:
    """An IAM on one's own premises; Yandex Cloud's own is never asked without TLS, nor trusted by a private authority."""
    made = certificates(tmp_path / "tls")
    server = grpc.ssl_server_credentials([(made.private_key, made.certificate)])
    now = ManualClock(datetime.now(UTC))
    with Iam(credentials=server) as iam:
        settings = SpeechSense(
            auth=Auth.SERVICE_ACCOUNT, service_account_key_file=str(file), iam_endpoint=iam.target, ca_file=str(made.ca_file)
        )
        assert ServiceAccount(settings, {}, now).fetch().value == "t1.token1"
    assert iam_of(SpeechSense(ca_file="/ca.pem", plaintext=True)) == ("iam.api.cloud.yandex.net:443", False, "")


def test_a_ca_file_that_cannot_be_read_is_told(file: Path, clock: ManualClock) -> None:
    """It is the configuration's fault, not IAM's."""
    settings = SpeechSense(
        auth=Auth.SERVICE_ACCOUNT, service_account_key_file=str(file), iam_endpoint="localhost:1", ca_file="/nowhere/ca.pem"
    )
    with pytest.raises(AuthError, match=r"/nowhere/ca\.pem cannot be read \(No such file or directory\): check `ca_file`\."):
        ServiceAccount(settings, {}, clock).fetch()


@pytest.mark.parametrize("token", ["", "t1.a\nb", "t1.ключ"])
def test_an_answer_without_a_token_is_told(
    iam: Iam, file: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """Whatever it is that answers there; gRPC would not send a header of that."""
    monkeypatch.setattr(iam, "given", _Always(token))
    told = refusal(account(iam, file, clock))
    assert told == f"IAM at {iam.target} answered without a usable token: is `iam_endpoint` right?"


class _Always(list[str]):
    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def append(self, _token: str) -> None:
        super().append(self._token)


@pytest.mark.parametrize(
    "date", ["Sun, 06 Nov 99999999999999999999 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 +99999999999999999"]
)
def test_a_date_that_is_none_is_as_good_as_none(date: str) -> None:
    """It comes from outside, like all of an answer."""
    assert _time_of(date) is None


def test_whoever_uses_another_kind_of_key_does_not_wait_for_cryptography() -> None:
    """Neither the daemon's parts nor the commands bring it along."""
    code = (
        "import sys, speechsense_watch.assembly, speechsense_watch.cli.check, speechsense_watch.cli.set_key;"
        "print(sorted({'jwt', 'cryptography'} & sys.modules.keys()))"
    )
    paths = [str(PACKAGE.parent), str(PACKAGE.parents[1] / "generated")]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}; {code}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
