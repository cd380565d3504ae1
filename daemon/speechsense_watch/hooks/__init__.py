"""Scripts that recorders run when a recording is over; `init` puts them in place. Data, not code of this program."""
