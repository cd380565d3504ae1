"""Decisions: values in, values out. Nothing here opens a file, asks a clock or knows a library."""
