"""`python -m speechsense_watch.config docs` prints docs/configuration.md, `... sample` the commented sample."""

from __future__ import annotations

import sys

from speechsense_watch.config.document import reference, sample

PRINTERS = {"docs": reference, "sample": sample}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in PRINTERS:
        sys.stderr.write("usage: python -m speechsense_watch.config docs|sample\n")
        return 64
    sys.stdout.write(PRINTERS[arguments[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
