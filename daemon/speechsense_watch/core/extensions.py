"""Which numbers are extensions of the house: it decides who of the two on a call is the operator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# Local numbers of small towns begin at five digits and those of the cities have six or seven, extensions seldom over five.
DEFAULT = "[0-9]{2,5}"
# FreePBX puts this before the extension for the phone in the browser.
_BROWSER_PREFIX = "99"


@dataclass(frozen=True, slots=True)
class Extensions:
    """The numbers that the regular expression takes whole."""

    pattern: str = DEFAULT

    def find(self, number: str) -> str:
        """The extension that the number is, empty when it is none of the house."""
        number = number.strip()
        for candidate in (number, number.removeprefix(_BROWSER_PREFIX)):
            if _compiled(self.pattern).fullmatch(candidate):
                return candidate
        return ""

    def sides(self, caller: str, called: str) -> dict[str, str]:
        """Who of the two is the operator, as far as their numbers tell: whoever has an extension; of two the caller."""
        if found := self.find(caller):
            return {"operator_id": found, "client_id": called, "direction_outgoing": "true"}
        if found := self.find(called):
            return {"operator_id": found, "client_id": caller, "direction_outgoing": "false"}
        return {}


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)
