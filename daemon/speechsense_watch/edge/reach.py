"""Why the service cannot be reached, in words: name, port, TLS, one after the other.

gRPC says UNAVAILABLE for all of these; an administrator needs to know which it is.
"""

from __future__ import annotations

import socket
import ssl

_WAIT_S = 5.0


def explain(address: str, *, plaintext: bool, ca_file: str = "") -> str:
    """A sentence that names the step that fails, empty when none does. Takes at most about 15 seconds."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return f"The name {host} cannot be resolved ({error.strerror}): check DNS and `endpoint`."
    try:
        with socket.create_connection((str(found[0][4][0]), int(port)), timeout=_WAIT_S) as connection:
            return "" if plaintext else _explain_tls(connection, host, address, ca_file)
    except TimeoutError:
        return f"{address} does not answer within {_WAIT_S:g} s: check the firewall and the route."
    except OSError as error:
        return f"{address} cannot be reached ({error.strerror or error}): check the network and `endpoint`."


def _explain_tls(connection: socket.socket, host: str, address: str, ca_file: str) -> str:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        context.set_alpn_protocols(["h2"])
        with context.wrap_socket(connection, server_hostname=host):
            return ""
    except ssl.SSLCertVerificationError as error:
        return f"The certificate of {address} is not trusted ({error.verify_message}): check `ca_file` and the endpoint's name."
    except ssl.SSLError as error:
        return f"{address} does not speak TLS ({error.reason}): check the port and `plaintext`."
