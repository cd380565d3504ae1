"""Trying for a connection step by step while gRPC has none: what fails, and whether it still does."""

from __future__ import annotations

import threading
from collections.abc import Callable

from speechsense_watch.edge.reach import Trouble, explain

# Half a minute apart in the long run, sooner at the beginning. With gRPC's own tries it is fewer than three connects a minute,
# however long it lasts.
AT_LEAST_EVERY_S = 30.0
# A try that gets through costs a connect of gRPC's as well; where that is in vain they are farther apart.
WHEN_IN_VAIN_EVERY_S = 60.0


class ByHand:
    """Tries on a thread of its own, one at a time. `on_end` is told, on that thread, whether it got through."""

    def __init__(
        self,
        address: str,
        *,
        plaintext: bool,
        ca_file: str,
        clock: Callable[[], float],
        chance: Callable[[], float],
        on_end: Callable[[bool], None],
    ) -> None:
        self._address = address
        self._plaintext = plaintext
        self._ca_file = ca_file
        self._clock = clock
        self._chance = chance
        self._on_end = on_end
        self._lock = threading.Lock()
        self._trying = False
        self._tries = 0
        self._again_at = 0.0
        self.trouble: Trouble | None = None
        # Whether the last try was through, and there was no connection all the same.
        self.through = False

    def forget(self) -> None:
        """There is a connection."""
        with self._lock:
            self.trouble, self.through = None, False
            self._tries = 0

    def try_if_due(self) -> None:
        with self._lock:
            if self._trying or self._clock() < self._again_at:
                return
            threading.Thread(target=self._try, name="try-by-hand", daemon=True).start()
            self._trying = True  # the thread waits for our lock before it ends

    def _try(self) -> None:
        trouble: Trouble | None = Trouble(f"{self._address} cannot be reached.")
        try:
            trouble = explain(self._address, plaintext=self._plaintext, ca_file=self._ca_file)
        finally:
            with self._lock:
                self._tries += 1
                most_s = AT_LEAST_EVERY_S if trouble else WHEN_IN_VAIN_EVERY_S
                wait_s = min(most_s, 2.0 ** min(self._tries, 10))
                self._again_at = self._clock() + wait_s * (0.8 + 0.4 * self._chance())
                self.trouble, self.through = trouble, trouble is None
                self._trying = False
        self._on_end(trouble is None)
