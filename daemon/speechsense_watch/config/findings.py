"""What is wrong or doubtful in one configuration file, each with its place."""

from __future__ import annotations

from speechsense_watch.config.lines import KeyPath, Lines
from speechsense_watch.config.settings import ConfigError, ConfigProblem


class Findings:
    """Collects problems and warnings; the file can be used if no problem was found.

    A key path counts folders from 0, as lists do; people are told numbers from 1.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._variables: dict[KeyPath, str] = {}
        self._problems: list[tuple[int, ConfigProblem]] = []
        self._faulty: set[KeyPath] = set()
        self.warnings: list[str] = []

    def comes_from(self, path: KeyPath, variable: str) -> None:
        """The value of this key was given by an environment variable, so that is where to point."""
        self._variables[path] = variable

    def problem(self, path: KeyPath, message: str) -> None:
        self._faulty.add(path)
        self._problems.append((self._lines.line(path) or 0, ConfigProblem(self.place(path), message)))

    def conflict(self, path: KeyPath, others: tuple[KeyPath, ...], message: str) -> None:
        """A problem between values that are each fine; not told when one of them is already known to be wrong."""
        if not self._faulty.intersection((path, *others)):
            self.problem(path, message)

    def variable_problem(self, variable: str, message: str) -> None:
        self._problems.append((0, ConfigProblem(f"{variable} (environment)", message)))

    def warn(self, path: KeyPath, message: str) -> None:
        self.warnings.append(f"{self.place(path)}: {message}")

    def raise_if_any(self) -> None:
        """Raises ConfigError with all problems, in the order of the file."""
        if self._problems:
            ordered = sorted(self._problems, key=lambda found: found[0])
            raise ConfigError(tuple(problem for _, problem in ordered))

    def place(self, path: KeyPath) -> str:
        """`folders[2].quiet_period (line 31)`, or the variable that the value came from."""
        if path in self._variables:
            return f"{self._variables[path]} (environment)"
        line = self._lines.line(path)
        return dotted(path) + (f" (line {line})" if line else "")


def dotted(path: KeyPath) -> str:
    """`folders[2].quiet_period`: the way to a key as people write it."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            plain = "".join(character if character.isprintable() else "?" for character in part)
            text += f".{plain}" if text else plain
    return text
