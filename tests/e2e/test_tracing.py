"""gRPC can be told to trace what it sends; that would stand in the log of the service."""

from __future__ import annotations

from speechsense_watch.core.model import State
from speechsense_watch.standin import StandIn
from support.rig import FIELDS, Rig


def test_no_variable_brings_the_key_or_a_caller_into_the_log(rig: Rig, standin: StandIn) -> None:
    """Left over from somebody's search for a fault, or set for another program."""
    key = rig.directory / "key"
    key.write_text("AQVN-a-key-of-the-service")
    key.chmod(0o600)
    rig.speechsense |= {"auth": "api-key", "api_key_file": str(key)}
    rig.environ |= {"GRPC_VERBOSITY": "DEBUG", "GRPC_TRACE": "all"}
    rig.start()
    rig.drop("call", fields={**FIELDS, "client_id": "79161234567"})
    rig.wait_for_states(call=State.DONE)
    assert rig.stop() == 0
    assert len(standin.talks()) == 1
    assert "AQVN" not in rig.log()
    assert "79161234567" not in rig.log()
