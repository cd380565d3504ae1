"""The commented sample and the reference, both written from the options table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from speechsense_watch.config.literals import literal
from speechsense_watch.config.option import Option, Required
from speechsense_watch.config.options import OPTIONS, SECTIONS, SUBTABLES, options_of
from speechsense_watch.config.reading import PREFIX

_SAMPLE_HEAD = """\
# speechsense-watch: the configuration. Lines that begin with "#" and a key show the default; take the "#" away to change it.
# Durations are written "500ms", "10s", "15m", "2h", "7d"; sizes "512KiB", "4MiB".
# `speechsense-watch check` tells what is wrong with this file.
"""

_BESIDE = ", ".join(f"`{option.key}`" for option in OPTIONS if option.kind.beside)
_REFERENCE_HEAD = f"""\
# Configuration

One TOML file, by default `/etc/speechsense-watch/config.toml`; `--config PATH` or `$SPEECHSENSE_WATCH_CONFIG` name another.
`speechsense-watch check --sample` prints a commented file to begin with, `speechsense-watch check` tells everything that is
wrong with yours at once. In its messages `folders[2]` is the second `[[folders]]` block.

This page is made by `python -m speechsense_watch.config docs`; a test holds it against the code.

## How values are written

- Texts, paths, durations and sizes stand in quotes; numbers, `true` and `false` do not.
- Durations: `"500ms"`, `"10s"`, `"15m"`, `"2h"`, `"7d"`. Sizes: `"0B"`, `"512KiB"`, `"4MiB"`, `"1GiB"`. Bandwidth: `"1MiB/s"`.
- Paths are absolute and without `..`; those of {_BESIDE} may be relative to the directory of the file.
- Patterns are held against names (`audio`) or paths below the folder (`include`, `exclude`), capitals or not: `*` stands for
  anything, in a path "/" too, `?` for one letter, `[...]` for one of these, and `**/` for any number of folders or none:
  `"**/in-*.wav"` fits `in-1.wav` and `2026/01/in-1.wav`.
- A key that this program does not know is an error, so that a slip of the pen is noticed.

## Overrides from the environment

`{PREFIX}<SECTION>__<KEY>` replaces a single value of `[speechsense]`, `[queue]`, `[upload]` or `[log]`,
for instance `{PREFIX}UPLOAD__CONCURRENCY=2`. Folders are set in the file only.

## The key

A key or token never stands in the file. It is taken from the first of these places that has it:

1. `$CREDENTIALS_DIRECTORY/api-key` (or `iam-token`, `service-account-key`), which systemd's `LoadCredential=` provides;
2. the file that `api_key_file` (or `iam_token_file`, `service_account_key_file`) names;
3. the environment variable `SPEECHSENSE_API_KEY` (or `SPEECHSENSE_IAM_TOKEN`; there is none for a service account's key).

A place that has it but is empty or unreadable is an error. A file that changes is read again before the next upload,
and everything is read again when the service refuses the key. `speechsense-watch set-key` asks for a new one, tries it and
puts it into the file. IAM tokens of `service-account` and `vm-metadata` are renewed in the background, hourly or when half their
life is over, and when they are refused; while that fails, the one that is still valid goes on being used.
"""


def sample() -> str:
    """A whole configuration with a comment on each key; it loads as printed."""
    blocks = [_SAMPLE_HEAD]
    for section, doc in SECTIONS.items():
        header = "[[folders]]" if section == "folders" else f"[{section}]"
        blocks.append(f"\n# {doc}\n{header}\n" + "".join(_sample_lines(section)))
    blocks.append("".join(_sample_tables()))
    return "".join(blocks)


def _sample_lines(section: str) -> Iterator[str]:
    rare_seen = False
    for option in options_of(section):
        if option.table:
            continue
        if option.rare and not rare_seen:
            rare_seen = True
            yield _search_line() if section == "folders" else ""
            yield "\n# Nobody should need these:\n"
        yield _comment(option)
        yield f"{option.key} = {literal(option.example)}\n" if option.example else _default_line(option)


def _search_line() -> str:
    parts = {option.key: option.default for option in options_of("folders.search")}
    return (
        '# For on_unknown = "search": where calls are looked up. The organization\'s id stands under its name in Yandex Cloud\n'
        f"# Center, the space's on its page in SpeechSense; project_id stays empty.\n#search = {literal(parts)}\n"
    )


def _sample_tables() -> Iterator[str]:
    """Tables end a folder's block, so they stand last, and say so."""
    yield "\n# Keys of [[folders]] stand above this line: what follows belongs to the tables below.\n"
    for option in options_of("folders"):
        if option.table and isinstance(option.example, dict):
            yield f"\n{_comment(option)}"
            yield from _example_tables(option.key, option.example)
    yield "\n# The exchange's call records, where recordings come without metadata of their own.\n[folders.cdr]\n"
    for option in options_of("folders.cdr"):
        yield f"{_comment(option)}#{option.key} = {literal(option.default)}\n"


def _example_tables(name: str, example: Mapping[str, object]) -> Iterator[str]:
    """Commented lines below the header, which may stand alone."""
    nested = {key: value for key, value in example.items() if isinstance(value, dict)}
    if not nested:
        yield f"[folders.{name}]\n"
    for key, value in example.items():
        if isinstance(value, dict):
            yield f"[folders.{name}.{key}]\n"
            yield "".join(f"#{inner} = {literal(text)}\n" for inner, text in value.items())
        else:
            yield f"#{key} = {literal(value)}\n"


def _default_line(option: Option) -> str:
    return f"#{option.key} = {literal(option.default)}\n"


def _comment(option: Option) -> str:
    notes = [f'"{word}": {note}' for word, note in option.later.items()]
    words = "; ".join(notes)
    choices = f" {option.kind.name.capitalize()}." if option.kind.name.startswith("one of") else ""
    text = option.doc + choices + (f" ({words}.)" if words else "")
    return textwrap.fill(text, width=110, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False) + "\n"


def reference() -> str:
    """The text of docs/configuration.md."""
    blocks = [_REFERENCE_HEAD]
    for section, doc in SECTIONS.items():
        header = "[[folders]]" if section == "folders" else f"[{section}]"
        blocks.append(f"\n## `{header}`\n\n{doc}\n\n" + _table(section))
    for name, doc in SUBTABLES.items():
        blocks.append(f"\n### `{name}` in `[[folders]]`\n\n{doc}\n\n" + _table(f"folders.{name}"))
    return "".join(blocks)


def _table(section: str) -> str:
    rows = "".join(_row(option) for option in options_of(section))
    return "| key | value | default | meaning |\n|---|---|---|---|\n" + rows


def _row(option: Option) -> str:
    default = "**required**" if isinstance(option.default, Required) else f"`{literal(option.default)}`"
    notes = [option.doc]
    notes += [f'`"{word}"`: {note}.' for word, note in option.later.items()]
    notes += ["*Nobody should need it.*"] * option.rare
    cells = (f"`{option.key}`", option.kind.name, default, " ".join(notes))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
