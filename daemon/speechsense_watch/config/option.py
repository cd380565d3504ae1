"""What is known about one key of the configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from speechsense_watch.config.kinds import Kind


class Required:
    """Marks a key that has no default."""


REQUIRED = Required()


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One key. `later` holds words that are taken but act otherwise for now."""

    section: str
    key: str
    kind: Kind
    default: object
    doc: str
    # What the sample shows; without it the line is shown commented out with its default.
    example: object = None
    # Nobody should need it.
    rare: bool = False
    # A table of its own, `[section.key]`, of texts by key; or with `tables` of such tables, `[section.key.name]`.
    table: bool = False
    tables: bool = False
    later: Mapping[str, str] = field(default_factory=dict)

    @property
    def attribute(self) -> str:
        """The name of the field that takes the value."""
        return self.key + self.kind.suffix
