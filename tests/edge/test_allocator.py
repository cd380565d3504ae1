"""edge.allocator: memory is kept for the next recording where the C library can be told so."""

from __future__ import annotations

import ctypes

import pytest

from speechsense_watch.edge.allocator import keep_pieces


def test_glibc_keeps_the_pieces() -> None:
    """It takes both thresholds."""
    assert keep_pieces() is True


@pytest.mark.parametrize("lacking", [AttributeError("undefined symbol: mallopt"), OSError("no such library")])
def test_another_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch, lacking: Exception) -> None:
    """Nothing else changes by that."""

    def load(_name: object) -> object:
        raise lacking

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert keep_pieces() is False
