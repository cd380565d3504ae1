"""Why the service cannot be reached, in words: name, port, TLS, one after the other.

gRPC says UNAVAILABLE for all of these; an administrator needs to know which it is.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from speechsense_watch.core.verdict import PauseReason

_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """The step that fails, as a sentence, and what kind of pause that is."""

    message: str
    reason: PauseReason = PauseReason.UNREACHABLE


def explain(address: str, *, plaintext: bool, ca_file: str = "", option: str = "endpoint") -> Trouble | None:
    """What keeps this machine from the service, None when nothing does; `option` is the key that names the address. Takes at
    most about 15 seconds.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return Trouble(f"The name {host} cannot be resolved ({error.strerror}): check DNS and `{option}`.")
    except UnicodeError:
        return Trouble(f"{host} is no name that a host may have: check `{option}`.")
    try:
        with socket.create_connection((host, int(port)), timeout=_WAIT_S) as connection:
            return None if plaintext else _explain_tls(connection, host, address, ca_file, option)
    except TimeoutError:
        return Trouble(f"{address} does not answer within {_WAIT_S:g} s: check the firewall and the route.")
    except OSError as error:
        return Trouble(f"{address} cannot be reached ({error.strerror or error}): check the network and `{option}`.")


def _explain_tls(connection: socket.socket, host: str, address: str, ca_file: str, option: str) -> Trouble | None:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one: no certificates in it
        return Trouble(f"{ca_file} cannot be used ({error.strerror}): check `ca_file`.", PauseReason.NOT_TRUSTED)
    try:
        context.set_alpn_protocols(["h2"])
        with context.wrap_socket(connection, server_hostname=host) as talking:
            if talking.selected_alpn_protocol() == "h2":
                return None
        message = (
            f"{address} does not speak HTTP/2, which gRPC takes: a web server answers, or a proxy that inspects TLS; "
            f"check `{option}` and what is on the way."
        )
    except ssl.SSLCertVerificationError as error:
        message = (
            f"The certificate of {address} is not trusted ({error.verify_message}): check `ca_file` and the endpoint's name."
        )
    except ssl.SSLEOFError:
        return Trouble(f"{address} ends the connection when TLS begins: check the firewall, the port and `plaintext`.")
    except ssl.SSLError as error:
        message = f"{address} does not speak TLS ({error.reason}): check the port and `plaintext`."
    return Trouble(message, PauseReason.NOT_TRUSTED)
