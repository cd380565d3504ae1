"""Our .proto files against Yandex's own generated modules: the same names, numbers, types and methods."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.wire_dump import Facts, Wire, wire_of
from support.yandex_sdk import wire_of_yandex

# Installing the SDK, once per environment, may take longer than a test is given.
pytestmark = pytest.mark.timeout(900)

REPOSITORY = Path(__file__).resolve().parents[2]
SPEECHSENSE = "yandex.cloud.speechsense.v1"
MODULES = [
    f"{SPEECHSENSE}.audio_pb2",
    f"{SPEECHSENSE}.search_pb2",
    f"{SPEECHSENSE}.talk_pb2",
    f"{SPEECHSENSE}.talk_service_pb2",
    f"{SPEECHSENSE}.text_pb2",
    "yandex.cloud.iam.v1.iam_token_service_pb2",
    "yandex.cloud.operation.operation_pb2",
    "yandex.cloud.operation.operation_service_pb2",
]
FILES = {f"file {module.removesuffix('_pb2').replace('.', '/')}.proto" for module in MODULES}

# What Yandex has and we leave out on purpose. Anything else that is theirs alone fails the comparison.
ANALYSIS_RESULTS = {
    f"field {SPEECHSENSE}.Talk.{name}"
    for name in (
        "transcription",  # 11
        "speech_statistics",  # 12
        "silence_statistics",  # 13
        "interrupts_statistics",  # 14
        "conversation_statistics",  # 15
        "points",  # 16
        "text_classifiers",  # 17
        "summarization",  # 18
        "assistants",  # 20
    )
}
TOKENS_OF_OTHERS = {
    "method yandex.cloud.iam.v1.IamTokenService.CreateForServiceAccount",
    "method yandex.cloud.iam.v1.IamTokenService.Revoke",
    "message yandex.cloud.iam.v1.CreateIamTokenForServiceAccountRequest",
    "field yandex.cloud.iam.v1.CreateIamTokenForServiceAccountRequest.service_account_id",
    "message yandex.cloud.iam.v1.RevokeIamTokenRequest",
    "field yandex.cloud.iam.v1.RevokeIamTokenRequest.iam_token",
    "message yandex.cloud.iam.v1.RevokeIamTokenResponse",
    "field yandex.cloud.iam.v1.RevokeIamTokenResponse.subject_id",
}
LEFT_OUT = ANALYSIS_RESULTS | TOKENS_OF_OTHERS


@pytest.fixture(scope="module")
def ours() -> Wire:
    return wire_of(MODULES)


@pytest.fixture(scope="module")
def theirs() -> Wire:
    return wire_of_yandex(MODULES)


def disagreements(ours: Wire, theirs: Wire) -> list[str]:
    """Every line of the two tables that differs, and every line that only one side has."""
    found = [f"{name}: not in Yandex's modules" for name in ours.keys() - theirs.keys()]
    found += [f"{name}: lacking in ours" for name in theirs.keys() - ours.keys() - LEFT_OUT]
    both = ours.keys() & theirs.keys()
    found += [f"{name}: {ours[name]} here, {theirs[name]} there" for name in both if ours[name] != theirs[name]]
    return sorted(found)


def test_every_message_field_enum_and_method_is_the_one_of_yandex(ours: Wire, theirs: Wire) -> None:
    """Ours and Yandex's modules agree on everything that travels, apart from what is left out by name."""
    assert disagreements(ours, theirs) == []


def test_the_comparison_covers_the_whole_contract(ours: Wire) -> None:
    """The tables hold all eight files, the three services and fields of every kind: nothing is compared by being absent."""
    assert {name for name in ours if name.startswith("file ")} == FILES
    assert {name for name in ours if name.startswith("method ")} == {
        *(
            f"method {SPEECHSENSE}.TalkService.{rpc}"
            for rpc in ("Upload", "UploadAsStream", "UploadText", "UploadBadge", "Search", "Get")
        ),
        *(f"method yandex.cloud.operation.OperationService.{rpc}" for rpc in ("Get", "Cancel")),
        "method yandex.cloud.iam.v1.IamTokenService.Create",
    }
    assert ours[f"field {SPEECHSENSE}.TalkMetadata.fields"]["label"] == "LABEL_REPEATED"
    assert ours[f"field {SPEECHSENSE}.StreamTalkRequest.audio"]["oneof"] == "Event"


def test_what_is_left_out_exists_at_yandex(ours: Wire, theirs: Wire) -> None:
    """The list of omissions names only things that Yandex has and we have not, so that it cannot hide a slip."""
    assert theirs.keys() >= LEFT_OUT
    assert not ours.keys() & LEFT_OUT
    assert {theirs[name]["number"] for name in ANALYSIS_RESULTS} == {*range(11, 19), 20}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (f"field {SPEECHSENSE}.UploadTalkRequest.talk_id", {"number": 4}),
        (f"field {SPEECHSENSE}.SearchTalkRequest.page_size", {"type": "TYPE_INT32"}),
        (f"field {SPEECHSENSE}.Talk.talk_fields", {"label": "LABEL_OPTIONAL"}),
        (f"field {SPEECHSENSE}.AudioStreamingRequest.chunk", {"oneof": ""}),
        (f"field {SPEECHSENSE}.UserMetadata.role", {"of": ".somewhere.else.UserRole"}),
        (f"enum value {SPEECHSENSE}.ProcessingState.PROCESSING_STATE_FAILED", {"number": 5}),
        (f"method {SPEECHSENSE}.TalkService.UploadAsStream", {"client_streaming": False}),
        (f"message {SPEECHSENSE}.Filter", {"file": "elsewhere.proto"}),
    ],
)
def test_one_slip_is_enough_to_be_told(ours: Wire, theirs: Wire, name: str, change: Facts) -> None:
    """A single changed number, type, label, oneof, enum value, method or file is reported by its name, and nothing else."""
    slipped = ours | {name: ours[name] | change}
    assert [line.partition(":")[0] for line in disagreements(slipped, theirs)] == [name]


@pytest.mark.parametrize(
    "name",
    [
        f"field {SPEECHSENSE}.Talk.talk_state",
        f"enum value {SPEECHSENSE}.UserRole.USER_ROLE_BOT",
        f"oneof {SPEECHSENSE}.Message.payload",
        f"method {SPEECHSENSE}.TalkService.Get",
        f"message {SPEECHSENSE}.SortField",
    ],
)
def test_one_omission_is_enough_to_be_told(ours: Wire, theirs: Wire, name: str) -> None:
    """Anything that Yandex has and we forgot is reported by its name."""
    forgetful = {key: facts for key, facts in ours.items() if key != name}
    assert disagreements(forgetful, theirs) == [f"{name}: lacking in ours"]


def test_the_stubs_are_those_of_the_proto_files() -> None:
    """`proto/generate.py --check` finds nothing stale in generated/."""
    command = [sys.executable, str(REPOSITORY / "proto" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
