"""How fast, how small and how quiet the real program is, each figure beside a baseline of the same run: `make bench`."""
