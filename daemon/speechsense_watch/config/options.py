"""The one table of options: validation, the commented sample, overrides by environment and the reference come from it."""

from __future__ import annotations

from collections.abc import Mapping

from speechsense_watch.config.daemon_options import LOG, QUEUE, SPEECHSENSE, UPLOAD
from speechsense_watch.config.folder_options import CDR, FOLDERS, SEARCH
from speechsense_watch.config.option import Option

SECTIONS: Mapping[str, str] = {
    "speechsense": "The service and how to prove to it who calls.",
    "queue": "Where the daemon keeps what it knows about every recording.",
    "upload": "How recordings are sent.",
    "log": "What the daemon writes about itself.",
    "folders": "One such block for each folder that is to be watched.",
}
# Tables of a folder with keys of their own, and how they are written.
SUBTABLES: Mapping[str, str] = {
    "search": 'Written as `search = { organization_id = "...", space_id = "..." }`.',
    "cdr": "A table of its own, `[folders.cdr]`: the exchange's call records, as a CSV file or as a MySQL or MariaDB table.",
}
# Their scalars can be overridden by the environment.
OVERRIDABLE = ("speechsense", "queue", "upload", "log")

OPTIONS: tuple[Option, ...] = (*SPEECHSENSE, *QUEUE, *UPLOAD, *LOG, *FOLDERS, *SEARCH, *CDR)


def options_of(section: str) -> tuple[Option, ...]:
    """A section's options in the order in which people should meet them."""
    return tuple(option for option in OPTIONS if option.section == section)


def find_option(section: str, key: str) -> Option | None:
    return next((option for option in OPTIONS if option.section == section and option.key == key), None)
