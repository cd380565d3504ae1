"""Values that are each fine and yet cannot stand together, and those that deserve a word of warning."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from speechsense_watch.config.findings import Findings, dotted
from speechsense_watch.config.folder_options import FOLDERS
from speechsense_watch.config.lines import KeyPath
from speechsense_watch.config.settings import Auth, QueueSettings, SpeechSense
from speechsense_watch.core.rules import AfterUpload, ConnectionType, Folder, MetadataFormat, OnUnknown, UploadRules
from speechsense_watch.core.sidecar_xml import path_problem

_SAMPLE_CONNECTION = next(option.example for option in FOLDERS if option.key == "connection_id")


def check_speechsense(settings: SpeechSense, findings: Findings) -> None:
    host = _host(settings.endpoint)
    if settings.plaintext and not _is_loopback(host):
        findings.warn(
            ("speechsense", "plaintext"),
            f"calls and key go to {host} without encryption: whoever sits on the line can read them",
        )
    own_iam = settings.iam_endpoint != SpeechSense().iam_endpoint
    if (
        settings.plaintext
        and settings.auth is Auth.SERVICE_ACCOUNT
        and own_iam
        and not _is_loopback(_host(settings.iam_endpoint))
    ):
        findings.conflict(
            ("speechsense", "iam_endpoint"),
            (("speechsense", "plaintext"),),
            "a service account's proof would go there without encryption: expected an address of this machine, or TLS",
        )
    if settings.plaintext and settings.ca_file:
        findings.warn(("speechsense", "ca_file"), "has no effect, because `plaintext` is true")
    if settings.auth is Auth.NONE and _is_public(host):
        findings.warn(("speechsense", "auth"), f'{host} will refuse calls without a key: expected auth = "api-key"')


def check_upload(rules: UploadRules, findings: Findings) -> None:
    if rules.retry_initial_s > rules.retry_max_s:
        findings.conflict(("upload", "retry_initial"), (("upload", "retry_max"),), "expected a duration of at most `retry_max`")


def check_folders(folders: Sequence[Folder], queue: QueueSettings, findings: Findings) -> None:
    """Each folder by itself, then all against each other and against the queue."""
    for number, folder in enumerate(folders):
        _check_times(folder, ("folders", number), findings)
        _check_unknown_outcome(folder, ("folders", number), findings)
        _check_files(folder, ("folders", number), findings)
        _check_sources(folder, ("folders", number), findings)
        _check_others(number, folders, findings)
        if folder.path and _inside(queue.path, folder.path):
            findings.conflict(
                ("queue", "path"),
                (("folders", number, "path"),),
                f"lies inside the watched folder {folder.path}; the daemon never writes there",
            )


def _check_times(folder: Folder, at: KeyPath, findings: Findings) -> None:
    if folder.min_duration_s > folder.max_duration_s:
        findings.conflict((*at, "min_duration"), ((*at, "max_duration"),), "expected a duration of at most `max_duration`")
    if not folder.metadata_last and folder.abandon_after_s < folder.quiet_period_s:
        findings.conflict((*at, "abandon_after"), ((*at, "quiet_period"),), "expected a duration of at least `quiet_period`")
    if folder.search_patience_s < 600:
        findings.warn(
            (*at, "search_patience"),
            'less than "10m": a call that SpeechSense shows late would be taken for absent and sent twice',
        )


def _check_unknown_outcome(folder: Folder, at: KeyPath, findings: Findings) -> None:
    identity = folder.recording_id_field
    if folder.on_unknown is OnUnknown.SEARCH:
        lacking = [
            name
            for name, value in (
                ("recording_id_field", identity),
                ("search.organization_id", folder.search.organization_id),
                ("search.space_id", folder.search.space_id),
            )
            if not value
        ]
        if lacking:
            listed = " and ".join(f"`{name}`" for name in lacking)
            findings.conflict(
                (*at, "on_unknown"), ((*at, "recording_id_field"), (*at, "search")), f'"search" needs {listed} as well'
            )
    if identity and (identity in folder.metadata_defaults or identity in folder.metadata_rename.values()):
        findings.warn(
            (*at, "recording_id_field"), f"`{identity}` is also set from the metadata; the recording's identity replaces it"
        )
    if folder.connection_id == _SAMPLE_CONNECTION:
        findings.warn((*at, "connection_id"), "still as in the sample: put the id of your connection here")


def _check_sources(folder: Folder, at: KeyPath, findings: Findings) -> None:
    """Metadata must come from somewhere, and from one place of a kind."""
    cdr = folder.cdr
    if not folder.metadata and not folder.file_name and not cdr.wanted:
        findings.warn(
            (*at, "metadata"), "is empty, and neither `file_name` nor [folders.cdr] says anything of a call: all get the same"
        )
    if not folder.metadata and folder.metadata_last:
        findings.warn((*at, "metadata_last"), "has no effect, because `metadata` is empty")
    if folder.swap_channels_when and folder.connection_type is ConnectionType.SINGLE_CHANNEL:
        findings.warn((*at, "swap_channels_when"), 'has no effect, because connection_type = "single-channel"')
    if folder.metadata_format is MetadataFormat.XML and not folder.metadata_paths:
        findings.conflict((*at, "metadata_format"), ((*at, "metadata_paths"),), '"xml" needs [folders.metadata_paths] as well')
    for path in folder.metadata_paths:
        if problem := path_problem(path):
            findings.problem((*at, "metadata_paths", path), f"expected a path to an element or an attribute; {problem}")
    if len([place for place in (cdr.csv, cdr.mysql_host, cdr.mysql_socket) if place]) > 1:
        findings.problem((*at, "cdr"), "expected one of `csv`, `mysql_host` and `mysql_socket`")
    if (cdr.mysql_host or cdr.mysql_socket) and not cdr.mysql_user:
        findings.problem((*at, "cdr", "mysql_user"), "is missing: expected a user who may read the table")


def _check_files(folder: Folder, at: KeyPath, findings: Findings) -> None:
    metadata = folder.metadata.rpartition("/")[2].replace("{stem}", "a").replace("{name}", "a.wav").casefold()
    if metadata and any(fnmatchcase(metadata, pattern.casefold()) for pattern in folder.audio):
        findings.conflict(
            (*at, "metadata"), ((*at, "audio"),), "names files that `audio` takes for recordings; give them another ending"
        )
    if folder.after_upload is AfterUpload.ARCHIVE and not folder.archive_to:
        findings.conflict((*at, "after_upload"), ((*at, "archive_to"),), '"archive" needs `archive_to` as well')
    if folder.after_upload is not AfterUpload.ARCHIVE and folder.archive_to:
        findings.warn((*at, "archive_to"), f'has no effect, because after_upload = "{folder.after_upload}"')


def _check_others(number: int, folders: Sequence[Folder], findings: Findings) -> None:
    """One folder against those before it, and its archive against all."""
    folder = folders[number]
    at: KeyPath = ("folders", number)
    for other_number, other in enumerate(folders):
        there: KeyPath = ("folders", other_number)
        paths = ((*there, "path"),)
        if folder.archive_to and other.path and _inside(folder.archive_to, other.path):
            message = f"lies inside the watched folder {other.path}: what is archived would be found as new"
            findings.conflict((*at, "archive_to"), paths, message)
        elif folder.archive_to and other.path and _inside(other.path, folder.archive_to):
            message = f"holds the watched folder {other.path}: what is archived could land in it and be found as new"
            findings.conflict((*at, "archive_to"), paths, message)
        if other_number < number and folder.path and folder.path == other.path:
            findings.conflict((*at, "path"), paths, f"is watched already by {dotted(there)}")
        elif other_number < number and folder.name and folder.name == other.name:
            message = f'the name "{folder.name}" is taken by {dotted(there)}: give each folder a `name` of its own'
            findings.conflict((*at, "name"), ((*there, "name"), *paths, (*at, "path")), message)


def _inside(path: str, directory: str) -> bool:
    """By the names alone: a configuration is judged without a look at the disk."""
    return PurePosixPath(path).is_relative_to(directory)


def _host(endpoint: str) -> str:
    return endpoint.rpartition(":")[0].strip("[]")


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address else host.lower() in {"localhost", "ip6-localhost"}


def _is_public(host: str) -> bool:
    address = _address(host)
    return address.is_global if address else host.lower().endswith(".yandexcloud.net")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
