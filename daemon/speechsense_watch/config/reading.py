"""Reads the tables of a parsed file by the options table; everything that does not fit becomes a finding."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from speechsense_watch.config.findings import Findings
from speechsense_watch.config.kinds import Mismatch
from speechsense_watch.config.lines import KeyPath
from speechsense_watch.config.literals import shown
from speechsense_watch.config.option import Option, Required
from speechsense_watch.config.options import OPTIONS, OVERRIDABLE, SECTIONS, SUBTABLES, find_option, options_of

PREFIX = "SPEECHSENSE_WATCH_"

_SECRETS = frozenset(
    {"api_key", "apikey", "iam_token", "iamtoken", "token", "oauth_token", "secret", "api_secret", "secret_key"}
    | {"password", "private_key", "service_account_key", "authorization", "key"}
)
# More names than that in a message help nobody.
_MOST_LISTED = 20
_KEYS_STAND_ELSEWHERE = (
    "a secret never stands in this file or among these settings: put it into a file of its own that only the service's "
    "user may read, and name that file with `api_key_file` or `iam_token_file` in [speechsense]; "
    "if others could read the secret here, issue a new one"
)


def override(document: dict[str, Any], environ: Mapping[str, str], findings: Findings) -> None:
    """Values from `SPEECHSENSE_WATCH_<SECTION>__<KEY>` stand in the document as if the file had them."""
    for variable in sorted(environ):
        section, separator, key = variable.removeprefix(PREFIX).lower().partition("__")
        if not variable.startswith(PREFIX) or not separator:
            continue
        option = find_option(section, key) if section in OVERRIDABLE else None
        if option is None:
            findings.variable_problem(variable, _unknown_variable(section, key))
            continue
        table = document.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = option.kind.from_text(environ[variable])
            findings.comes_from((section, key), variable)


def anchor(document: Mapping[str, Any], directory: Path) -> None:
    """Relative paths of files that may lie beside the configuration stand in the document as if they were written whole."""
    for section, table in _tables(document):
        for option in options_of(section):
            value = table.get(option.key)
            relative = isinstance(value, str) and value and not value.startswith("/") and ".." not in value.split("/")
            if option.kind.beside and relative:
                table[option.key] = f"{directory}/{value}"


def _tables(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table that could be read, with the section whose options it has."""
    folders = document.get("folders")
    found = [(section, document.get(section)) for section in SECTIONS if section != "folders"]
    for folder in folders if isinstance(folders, list) else ():
        if isinstance(folder, dict):
            found += [("folders", folder), *((f"folders.{name}", folder.get(name)) for name in SUBTABLES)]
    yield from ((section, table) for section, table in found if isinstance(table, dict))


def read_section(document: Mapping[str, Any], section: str, findings: Findings) -> dict[str, Any]:
    """The values of a section by attribute; those that are lacking or wrong have their defaults."""
    table = document.get(section, {})
    if not isinstance(table, dict):
        findings.problem((section,), f"expected a section [{section}], got {shown(table)}")
        table = {}
    return read_table(table, section, (section,), findings)


def read_table(table: Mapping[str, Any], section: str, at: KeyPath, findings: Findings) -> dict[str, Any]:
    """The same for a table that stands anywhere. A required key that is lacking or wrong is a finding and left out."""
    options = options_of(section)
    known = {option.key for option in options} | ({*SUBTABLES} if section == "folders" else set())
    for key in table:
        if key not in known:
            findings.problem((*at, key), _unknown_key(key, section, known))
    values: dict[str, Any] = {}
    for option in options:
        path = (*at, option.key)
        if option.key in table:
            _read_given(option, table[option.key], path, values, findings)
        elif isinstance(option.default, Required):
            findings.problem(path, f"is missing: expected {option.kind.expected}")
        else:
            values[option.attribute] = _default(option)
    return values


def read_top(document: Mapping[str, Any], findings: Findings) -> None:
    """Names at the top of the file that are no sections are findings."""
    for key in document:
        if key not in SECTIONS:
            findings.problem((key,), _unknown_key(key, "", set(SECTIONS)))


def _read_given(option: Option, value: object, path: KeyPath, values: dict[str, Any], findings: Findings) -> None:
    if option.tables:
        values[option.attribute] = _read_tables(option, value, path, findings)
        return
    if option.table:
        values[option.attribute] = _read_texts(option, value, path, findings)
        return
    try:
        values[option.attribute] = option.kind.read(value)
    except Mismatch as mismatch:
        got = "something else (not repeated here, it might be a secret)" if option.kind.hide else shown(value)
        findings.problem(path, f"expected {mismatch.expected or option.kind.expected}, got {got}")
        if not isinstance(option.default, Required):
            values[option.attribute] = _default(option)
        return
    if isinstance(value, str) and value in option.later:
        findings.warn(path, f"{shown(value)}: {option.later[value]}")


def _read_tables(option: Option, tables: object, path: KeyPath, findings: Findings) -> dict[str, dict[str, str]]:
    if not isinstance(tables, dict):
        findings.problem(path, f"expected tables such as [folders.{option.key}.KEY], got {shown(tables)}")
        return {}
    return {key: _read_texts(option, table, (*path, key), findings) for key, table in tables.items()}


def _read_texts(option: Option, table: object, path: KeyPath, findings: Findings) -> dict[str, str]:
    """A table of texts; a folder's own key in it is most likely a line that slipped below the wrong header."""
    if not isinstance(table, dict):
        findings.problem(path, f"expected a table [folders.{option.key}] of texts, got {shown(table)}")
        return {}
    folder_keys = {known.key for known in options_of("folders")} | {*SUBTABLES}
    texts: dict[str, str] = {}
    for key, value in table.items():
        slipped = f"`{key}` is also a key of [[folders]]; if that is meant, move the line above [folders.{option.key}]"
        try:
            texts[key] = str(option.kind.read(value))
        except Mismatch as mismatch:
            # Texts here are what is said of calls and callers, so they are not repeated.
            got = f"a text of {len(value.encode())} bytes" if isinstance(value, str) else shown(value)
            advice = f"; {slipped}" if key in folder_keys else ""
            findings.problem((*path, key), f"expected {mismatch.expected or option.kind.expected}, got {got}{advice}")
            continue
        if key in folder_keys:
            findings.warn((*path, key), slipped)
    return texts


def _default(option: Option) -> Any:
    return dict(option.default) if isinstance(option.default, dict) else option.kind.read(option.default)


def _unknown_key(key: str, section: str, known: Iterable[str]) -> str:
    if key.lower().replace("-", "_") in _SECRETS:
        return _KEYS_STAND_ELSEWHERE
    homes = sorted({option.section for option in OPTIONS if option.key == key} - {section})
    if homes:
        return f"does not belong here but under {' or '.join(_header(home) for home in homes)}"
    what = f"unknown key in {_header(section)}" if section else "unknown section"
    near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.6)
    if near:
        return f"{what}; did you mean {f'`{near[0]}`' if section else _header(near[0])}?"
    names = sorted(known)
    if len(names) > _MOST_LISTED:
        return f"{what}; `speechsense-watch check --sample` shows all that there are"
    listed = ", ".join(names if section else (_header(name) for name in SECTIONS))
    return f"{what}; expected one of {listed}"


def _unknown_variable(section: str, key: str) -> str:
    if key in _SECRETS:
        return (
            "a secret is not given this way: put it into a file named by `api_key_file` or `iam_token_file`, "
            "or into SPEECHSENSE_API_KEY or SPEECHSENSE_IAM_TOKEN"
        )
    if section == "folders":
        return "folders can be set in the file only"
    names = {f"{option.section}__{option.key}" for option in OPTIONS if option.section in OVERRIDABLE}
    near = difflib.get_close_matches(f"{section}__{key}", names, n=1, cutoff=0.6)
    return "stands for no setting" + (f"; did you mean {PREFIX}{near[0].upper()}?" if near else "")


def _header(section: str) -> str:
    return "[[folders]]" if section == "folders" else f"[{section}]"
