# shellcheck shell=bash
# What the acceptance scripts share. A shell file to be sourced, after "set -euo pipefail".
# The sourcing script defines: cli ARGS...   runs speechsense-watch where the daemon's queue is.

step() { printf '\n==> %s\n' "$*"; }
ok() { printf '    ok: %s\n' "$*"; }
fail() { printf '    FAILED: %s\n' "$*" >&2; exit 1; }

# within SECONDS COMMAND...: succeeds as soon as the command does, fails when it has not for so long
within() {
  local deadline=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}

# jobs_where EXPRESSION: how many jobs there are for which the Python expression about "job" holds
jobs_where() {
  cli list --limit 0 --json | python3 -c '
import json, sys
print(sum(bool(eval(sys.argv[1])) for job in map(json.loads, sys.stdin)))' "$1"
}

state_of() {  # state_of NAME: the states of the recording's jobs
  cli list --limit 0 --json | python3 -c '
import json, os, sys
jobs = map(json.loads, sys.stdin)
print(*(job["state"] for job in jobs if os.path.basename(job["audio_path"] or "") == sys.argv[1] + ".wav"))' "$1"
}
is_in() { [ "$(state_of "$1")" = "$2" ]; }                       # is_in NAME STATE: exactly one job, and in that state
all_done() { [ "$(jobs_where "job['state'] != 'done'")" = 0 ]; }
has_talk() { [ "$(jobs_where "job['talk_id'] and job['audio_path'].endswith('/$1.wav')")" = 1 ]; }
