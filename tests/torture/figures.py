"""The figures of a run, added up over worlds, as a table and as JSON."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_SHOWN = 40


@dataclass(slots=True)
class Figures:
    """Of one world, or of several together. `worst` are times and rates of which the largest counts."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    kills_at: Counter[str] = field(default_factory=Counter)
    kills_by_state: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    worst: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    # Points at which nobody died, though somebody passed them once.
    unreached: list[str] = field(default_factory=list)

    def note(self, name: str, value: float) -> None:
        self.worst[name] = round(max(value, self.worst.get(name, value)), 2)

    def add(self, other: Figures) -> None:
        for mine, its in (
            (self.counts, other.counts),
            (self.kills_at, other.kills_at),
            (self.kills_by_state, other.kills_by_state),
            (self.faults, other.faults),
        ):
            mine.update(its)
        for name, value in other.worst.items():
            self.note(name, value)
        self.broken += [f"{other.name}: {each}" for each in other.broken]
        self.unreached += [f"{other.name}: {each}" for each in other.unreached]

    def table(self) -> str:
        lines = [f"== {self.name}"]
        lines += [f"  {name:44} {count:>10,}" for name, count in sorted(self.counts.items())]
        lines += [f"  {name:44} {value:>10,.2f}" for name, value in sorted(self.worst.items())]
        lines += [f"  kills with rows {state:28} {count:>10,}" for state, count in sorted(self.kills_by_state.items())]
        lines += [f"  fault {what:38} {count:>10,}" for what, count in sorted(self.faults.items())]
        lines += [f"  not reached: {each}" for each in self.unreached[:_SHOWN]]
        if self.broken:
            lines.append(f"  BROKEN: {len(self.broken)}")
            lines += [f"    {each}" for each in self.broken[:_SHOWN]]
        return "\n".join(lines)


def broke_off(error: Exception) -> str:
    """What stands among the broken promises when nobody knows whether they were kept."""
    told = "".join(traceback.format_exception(error)).rstrip()
    return "it broke off:\n      " + told.replace("\n", "\n      ")


def write(path: Path, all_figures: list[Figures]) -> None:
    def as_json(each: Figures) -> dict[str, object]:
        return {
            "name": each.name,
            "counts": dict(each.counts),
            "worst": each.worst,
            "kills_by_state": dict(each.kills_by_state),
            "kills_at": dict(each.kills_at),
            "faults": dict(each.faults),
            "broken": each.broken,
            "unreached": each.unreached,
        }

    path.write_text(json.dumps([as_json(each) for each in all_figures], indent=1, ensure_ascii=False) + "\n")
