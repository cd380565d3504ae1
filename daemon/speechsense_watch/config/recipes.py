"""A configuration for each recorder people have: what `init` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from speechsense_watch.config.literals import literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is known of a recorder. `rules` are the folder's keys, `tables` its tables, `two_channel_tables` those that would
    have no effect on one channel; `notes` are said at the end of `init`, `note_without_records` where no call records were named.
    """

    title: str
    path: str
    connection_type: str
    group: str
    rules: Mapping[str, object] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    two_channel_tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    call_records: bool = False
    operators: bool = False
    hook: str = ""
    hooks_path: str = "/usr/local/bin"
    notes: Sequence[str] = ()
    note_without_records: str = ""


_CLIENT = {"language": "ru-RU", "client_name": "unknown"}

RECIPES: Mapping[str, Recipe] = {
    "freepbx": Recipe(
        title="FreePBX, Issabel, Elastix",
        path="/var/spool/asterisk/monitor",
        connection_type="single-channel",
        group="asterisk",
        # Transfers open a recording again after it was closed: only a long quiet period waits for that.
        rules={"metadata": "", "file_name": "freepbx", "quiet_period": "60s", "exclude": ["*/conf-*"]},
        tables={"metadata_defaults": _CLIENT},
        call_records=True,
        operators=True,
        notes=("FreePBX records both sides into one channel: the connection must be a single-channel one.",),
        note_without_records="Calls that come in lack their operator, who stands only in the call records: they are not sent "
        "until [folders.cdr] is there (docs/recorders.md). For those that came before it: `retry --state unusable`.",
    ),
    "asterisk": Recipe(
        title="plain Asterisk",
        path="/var/spool/asterisk/speechsense",
        connection_type="two-channel",
        group="asterisk",
        rules={"metadata_last": True},
        # The recorded leg is the left channel: the client's when a call comes in, the operator's when one goes out.
        two_channel_tables={"swap_channels_when": {"direction_outgoing": "true"}},
        operators=True,
        hook="speechsense-mixmonitor",
        notes=("Call the hook from your dialplan: contrib/asterisk/extensions-sample.conf shows how, safe against callers.",),
    ),
    "freeswitch": Recipe(
        title="FreeSWITCH, FusionPBX",
        path="/var/lib/freeswitch/recordings",
        connection_type="two-channel",
        group="freeswitch",
        rules={"metadata_last": True},
        operators=True,
        hook="speechsense-record.lua",
        hooks_path="/usr/share/freeswitch/scripts",
        notes=(
            "Set RECORD_STEREO=true and the channel variables that the hook reads: contrib/freeswitch/dialplan-sample.xml.",
            "Name the hook as a startup-script in autoload_configs/lua.conf.xml and start it: docs/recorders.md.",
            "FreeSWITCH's files are readable for its group only: SupplementaryGroups= in the drop-in must name it.",
        ),
    ),
    "3cx": Recipe(
        title="3CX on Linux",
        path="/var/lib/3cxpbx/Instance1/Data/Recordings",
        connection_type="single-channel",
        group="phonesystem",
        rules={"metadata": "", "file_name": "3cx", "quiet_period": "60s"},
        tables={"metadata_defaults": _CLIENT},
        operators=True,
        notes=("3CX's own archiving deletes local files: let it begin later than the uploads.",),
    ),
    "other": Recipe(
        title="another recorder, with a JSON file beside each recording",
        path="",
        connection_type="two-channel",
        group="",
        tables={"metadata_defaults": {"language": "ru-RU"}},
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the administrator said. Empty texts stand for "not wanted"."""

    path: str
    name: str
    connection_id: str
    connection_type: str
    start_from: str
    time_zone: str
    api_key_file: str
    bandwidth: str = ""
    endpoint: str = ""
    plaintext: bool = False
    auth: str = ""
    operators: str = ""
    cdr: Mapping[str, object] = field(default_factory=dict)
    queue_path: str = ""


def written(recipe: Recipe, answers: Answers) -> str:
    """The text of the configuration file."""
    service: dict[str, object] = {"api_key_file": answers.api_key_file}
    if answers.endpoint:
        service |= {"endpoint": answers.endpoint}
    if answers.plaintext:
        service = {"endpoint": answers.endpoint, "plaintext": True, "auth": "none"}
    folder: dict[str, object] = {
        "name": answers.name,
        "path": answers.path,
        "connection_id": answers.connection_id,
        "connection_type": answers.connection_type,
        "start_from": answers.start_from,
        "trial": 3,
        "time_zone": answers.time_zone,
        **recipe.rules,
    }
    if answers.operators:
        folder["operators"] = answers.operators
    head = f"# speechsense-watch for {recipe.title}. Every key: `speechsense-watch check --sample`, docs/configuration.md.\n"
    parts = [head, _block("[speechsense]", service)]
    if answers.queue_path:
        parts.append(_block("[queue]", {"path": answers.queue_path}))
    if answers.bandwidth:
        parts.append(_block("[upload]", {"bandwidth": answers.bandwidth}))
    parts.append(_block("[[folders]]", folder))
    if answers.cdr:
        parts.append(_block("[folders.cdr]", answers.cdr))
    tables = {**recipe.tables, **(recipe.two_channel_tables if answers.connection_type == "two-channel" else {})}
    parts += [_block(f"[folders.{name}]", table) for name, table in tables.items()]
    return "\n".join(parts)


def _block(header: str, values: Mapping[str, object]) -> str:
    return f"{header}\n" + "".join(f"{key} = {literal(value)}\n" for key, value in values.items())
