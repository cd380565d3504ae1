"""A certificate authority and a certificate for this machine's own names, made by the `openssl` command."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from speechsense_watch.standin.storage import StandInError

NAMES = "DNS:localhost,IP:127.0.0.1,IP:::1"
# A configuration of our own: what a system's openssl.cnf adds by itself differs.
CONFIG = f"""\
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {NAMES}
"""
DAYS = "3650"


@dataclass(frozen=True, slots=True)
class Certificates:
    """`ca_file` is what a client must trust; key and certificate are the server's, in PEM."""

    ca_file: Path
    private_key: bytes
    certificate: bytes


def certificates(directory: Path) -> Certificates:
    """Those in `directory`, made there at first use. Raises StandInError when `openssl` is lacking or fails."""
    ca, key, certificate = directory / "ca.pem", directory / "server.key", directory / "server.pem"
    # The last one to be written tells whether all are there.
    if not certificate.exists():
        _make(directory)
    return Certificates(ca, key.read_bytes(), certificate.read_bytes())


def _make(directory: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        raise StandInError(
            "The stand-in needs the `openssl` command to make a certificate for TLS, and there is none: "
            "install the package openssl, or do without TLS."
        )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "openssl.cnf").write_text(CONFIG, encoding="ascii")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", "openssl.cnf"]
    issued = ["-days", DAYS, "-sha256"]
    ca = ["-x509", *issued, "-subj", "/CN=speechsense-watch stand-in CA", "-extensions", "ca"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "1", "-extfile", "openssl.cnf", "-extensions", "server"]
    _run(directory, openssl, ["req", *new_key, *ca, "-keyout", "ca.key", "-out", "ca.pem"])
    _run(directory, openssl, ["req", *new_key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"])
    _run(directory, openssl, ["x509", "-req", "-in", "server.csr", *issued, *signed, "-out", "server.new"])
    for name in ("ca.key", "server.key"):
        (directory / name).chmod(0o600)
    (directory / "server.new").rename(directory / "server.pem")


def _run(directory: Path, openssl: str, arguments: list[str]) -> None:
    quiet = {**os.environ, "OPENSSL_CONF": "openssl.cnf"}
    done = subprocess.run(
        [openssl, *arguments], cwd=directory, env=quiet, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise StandInError(f"`openssl {arguments[0]}` failed to make a certificate in {directory}: {done.stderr.strip()}")
