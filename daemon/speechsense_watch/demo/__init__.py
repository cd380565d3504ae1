"""The demo: the real daemon, a telephone exchange that is played, and the stand-in for SpeechSense, all on this machine.

scene     the calls of the day, and what each must end as
pbx       the exchange: writes the calls as real recorders do, at their time
stage     what runs: the stand-in, the daemon as a child process, the eyes on its queue
words     what the daemon says of a call, in a few words
picture   what people see while it goes on: a live table, or plain lines without a terminal
review    did everything end as it should?
ending    what they see at the end: talk ids and reasons, the verdict, what to type next
runner    the story: raise the curtain, play, judge
"""

from speechsense_watch.demo.runner import play
from speechsense_watch.demo.stage import DemoError

__all__ = ["DemoError", "play"]
