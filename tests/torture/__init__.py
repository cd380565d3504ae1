"""Torture of the real program: real processes, real files, a real gRPC service, killed and lied to at every step.

    __main__     `python -m torture`: storm, sweep, outage, disk and teeth by the command line; `make torture`
    recordings   what is dropped, and what must come of it
    world        one folder, one queue, one daemon and one service as child processes;  life  its lives, one by one
    launcher     how the daemon is started here: the real one, whose ports pass points at which it may be told to die
    points       a named moment, and the order to die there;  passing  the ports that pass them
    hurry        times that are made for days, made for seconds
    service      the stand-in as a child process, which passes points as well
    faults       what the service is told to do wrong
    evidence     what is on disk right after a kill, and what the service has stored
    oracle       what must hold then and when all is over, as a set of what is allowed;  keeping  the same of the user's files
    storm        kills and faults at random;  sweep  a kill at every point, first and second visit
    outage       a service that is down: how many requests, how long until all is sent afterwards
    io_faults    a disk that fails at the n-th call
    power        what a power cut would leave, replayed from the system calls
    safeguards   what is taken away from the daemon to see that somebody notices;  teeth  whether somebody does
    figures      counts, added up over worlds, as a table and as JSON

No switch in the shipped code turns anything off: whatever is changed is changed from here, in the child process, before the
program begins.
"""
