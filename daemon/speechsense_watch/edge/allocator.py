"""How the C library hands memory out: glibc's mallopt(3), for a program that takes and gives back a megabyte for each recording.

By default glibc maps each larger piece for itself and returns it to the kernel when it is freed, so every recording costs a few
hundred page faults. Both thresholds together keep such pieces in the heap; one of them alone was seen to be worse than none.
"""

from __future__ import annotations

import ctypes

# malloc.h; M_MMAP_THRESHOLD must not be above 32 MiB on 64-bit machines (mallopt(3)).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MMAP_ABOVE_BYTES = 32 * 2**20
_TRIM_ABOVE_BYTES = 128 * 2**20


def keep_pieces() -> bool:
    """Freed pieces of up to 32 MiB are kept for the next recording, up to 128 MiB of them. False where that cannot be said: with
    another C library, as in Alpine's images, all works as before.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_ABOVE_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _TRIM_ABOVE_BYTES))
