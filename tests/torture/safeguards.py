"""placeholder"""
from __future__ import annotations
from collections.abc import Iterable
def take_away(names: Iterable[str]) -> None:
    for name in names:
        raise KeyError(name)
