"""IAM as far as the daemon knows it: a real gRPC IamTokenService that checks what it is shown, and a VM's metadata service."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from yandex.cloud.iam.v1.iam_token_service_pb2 import CreateIamTokenRequest, CreateIamTokenResponse
from yandex.cloud.iam.v1.iam_token_service_pb2_grpc import IamTokenServiceServicer, add_IamTokenServiceServicer_to_server

AUDIENCE = "https://iam.api.cloud.yandex.net/iam/v1/tokens"
KEY_ID, ACCOUNT_ID = "ajekey00000000000001", "ajeaccount0000000001"
FIRST_LINE = "PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <ajekey00000000000001>\n"


@functools.cache
def rsa_key(number: int) -> rsa.RSAPrivateKey:
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(number: int = 0) -> str:
    form = serialization.PrivateFormat.PKCS8
    return rsa_key(number).private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def key_file(number: int = 0, *, first_line: str = FIRST_LINE, key_id: str = KEY_ID) -> str:
    """An authorized key as Yandex Cloud hands it out."""
    return json.dumps(
        {
            "id": key_id,
            "service_account_id": ACCOUNT_ID,
            "created_at": "2026-01-31T10:00:00Z",
            "key_algorithm": "RSA_2048",
            "public_key": "-----BEGIN PUBLIC KEY-----\n...\n-----END PUBLIC KEY-----\n",
            "private_key": first_line + pem(number),
        }
    )


@dataclass(slots=True)
class Script:
    """How the next questions are answered."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""
    # Of the server's clock: in the header `date`, if it sends one, and for what it thinks of the times in a JWT.
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    dated: bool = False
    lives: timedelta = timedelta(hours=12)
    hold: threading.Event | None = None


@dataclass(slots=True)
class Iam(IamTokenServiceServicer):
    """`target` is its address. A JWT that is not as IAM demands it is refused, as IAM does. Stops when it is left."""

    public_key: rsa.RSAPublicKey = field(default_factory=lambda: rsa_key(0).public_key())
    credentials: grpc.ServerCredentials | None = None
    script: Script = field(default_factory=Script)
    # Every JWT that was shown, and every token that was given.
    shown: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    target: str = ""
    _server: grpc.Server | None = None

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(4))
        add_IamTokenServiceServicer_to_server(self, self._server)
        port = (
            self._server.add_secure_port("127.0.0.1:0", self.credentials)
            if self.credentials
            else self._server.add_insecure_port("127.0.0.1:0")
        )
        self.target = f"127.0.0.1:{port}"
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        if self.script.hold is not None:
            self.script.hold.set()
        self._server.stop(None).wait()

    def Create(self, request: CreateIamTokenRequest, context: grpc.ServicerContext) -> CreateIamTokenResponse:  # noqa: N802
        script = self.script
        self.shown.append(request.jwt)
        if script.hold is not None:
            assert script.hold.wait(120)
        if script.dated:
            context.send_initial_metadata((("date", format_datetime(script.now(), usegmt=True)),))
        if script.code is not grpc.StatusCode.OK:
            context.abort(script.code, script.message)
        if wrong := self._wrong_with(request.jwt):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"{wrong}: {request.jwt}")
        self.given.append(f"t1.token{len(self.given) + 1}")
        answer = CreateIamTokenResponse(iam_token=self.given[-1])
        answer.expires_at.FromDatetime(script.now() + script.lives)
        return answer

    def _wrong_with(self, shown: str) -> str:
        """IAM's rules for a JWT, https://yandex.cloud/docs/iam/operations/iam-token/create-for-sa."""
        try:
            head = jwt.get_unverified_header(shown)
            claims = jwt.decode(
                shown,
                self.public_key,
                algorithms=["PS256"],
                audience=AUDIENCE,
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            return str(error)
        now = self.script.now().timestamp()
        rules = {
            "the header has no kid of a key that exists": head.get("kid") == KEY_ID and head.get("alg") == "PS256",
            "the issuer is no service account": claims["iss"] == ACCOUNT_ID,
            "it is good for more than an hour": 0 < claims["exp"] - claims["iat"] <= 3600,
            "it is issued in the future": claims["iat"] <= now,
            "it has expired": now < claims["exp"],
        }
        return next((rule for rule, kept in rules.items() if not kept), "")


def plain_settings(directory: Path, iam: Iam) -> dict[str, object]:
    """Keys of [speechsense] for a service account of this IAM; its key is in the directory."""
    file = directory / "service-account-key"
    file.write_text(key_file())
    file.chmod(0o600)
    return {"auth": "service-account", "service_account_key_file": str(file), "iam_endpoint": iam.target}


@dataclass(slots=True)
class Metadata:
    """A VM's metadata service. `status` and `body` are its next answer; `asked` are path and flavour of every question."""

    status: int = 200
    body: bytes = b'{"access_token": "t1.vm1", "expires_in": 43200, "token_type": "Bearer"}'
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        metadata = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                metadata.asked.append((self.path, self.headers.get("Metadata-Flavor", "")))
                self.send_response(metadata.status)
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Content-Length", str(len(metadata.body)))
                self.end_headers()
                self.wfile.write(metadata.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
