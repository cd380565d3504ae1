"""speechsense-watch: from a recording in a folder to a talk id on record.

The way of the data, and where to read about it:

    event (hint) or scan (truth)       edge/supervisor.py, scan.py, sweep.py (one scan's story), kept.py (is it still the same?)
      -> what lies at a place          places.py    looks, waits for quiet, reads, decides; entering.py writes it down
      -> the pair, read                recording.py with core/pairing.py, core/wav.py, core/metadata.py, core/fitness.py
      -> a job in the queue            core/model.py, core/lifecycle.py (every edge), edge/queue.py with writing.py,
                                       ready.py, queue_file.py, schema.py; history.py, journal.py, agreement.py
      -> an attempt                    uploader.py (what is due, what answers mean), attempt.py (read and send), intents.py
                                       (which try it is, on disk before the first byte), ahead.py (read, but not yet
                                       sent), foreseen.py (hashed before its turn), workers.py (on which thread), ends.py
                                       (recorded together)
      -> SpeechSense                   edge/speechsense.py, edge/messages.py, edge/minding.py, edge/line.py, edge/channel.py
                                       (gRPC), throttle.py,
                                       core/patience.py and core/pulse.py (how long; is anybody there?),
                                       core/verdict.py, core/traffic.py (pauses and probes), pausing.py (told to people)
           with a key or token         edge/auth.py, edge/secret.py (where it lies), edge/iam.py (tokens that renew themselves)
      -> a lost answer, looked up      confirmer.py, subjects.py, core/lookup.py with core/beacons.py and core/quota.py,
                                       core/turns.py (when there are too many), edge/doubts.py
      -> the talk id, then the files   filer.py, edge/filing.py

`intake.py`, `uploader.py`, `confirmer.py` and `filer.py` are the loops: one `step()` each, run by `loop.py`, put together by
`app.py`. `core/` decides and touches nothing; each foreign thing is wrapped once in `edge/`; the loops see `ports.py` only.
`config/` reads the TOML file, `log.py` has the closed list of log events, `cli/` the commands, `standin/` the service for
rehearsals and tests.
"""

__version__ = "0.1.0"
