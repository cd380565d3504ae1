"""`python -m speechsense_watch`: the same as the command `speechsense-watch`."""

from speechsense_watch.cli import main

main()
