#!/usr/bin/env bash
# Tries the unit under a real systemd: from the installation to the watchdog's kill.
#
# Run it as root on a THROW-AWAY machine or container booted by systemd 247 or newer, with python3 (3.11 or newer, with venv),
# from a checkout that stays in place: it makes accounts, fills /opt, /etc and /var and cleans nothing up. The packages come
# from pip's index; without network set PIP_NO_INDEX=1 and PIP_FIND_LINKS=<folder with their files>. Takes about two minutes.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/tests/acceptance/lib.sh"

unit=speechsense-watch
prefix=/opt/speechsense-watch
etc=/etc/speechsense-watch
spool=/var/spool/pbx/monitor
dropins=/etc/systemd/system/$unit.service.d
port=50051

[ "$(id -u)" = 0 ] || fail "this needs root"
[ -d /run/systemd/system ] || fail "systemd has not booted this machine"
for path in "$prefix" "$etc" /var/lib/speechsense-watch; do
  [ ! -e "$path" ] || fail "$path exists: this is no throw-away machine"
done

cli() { "$prefix/bin/speechsense-watch" "$@"; }
show() { systemctl show --property "$1" --value "$unit"; }
drop() { runuser -u pbx -- bash -c 'umask 027; exec python3 - "$@"' - "$spool" "$@" <"$root/tests/acceptance/recording.py"; }
delivered() { within "$2" has_talk "$1" || { dump; fail "recording $1 has no talk id after $2 s, state: $(state_of "$1")"; }; ok "$1 has its talk id"; }
dump() { systemctl status --no-pager --full "$unit" || :; journalctl --no-pager --unit "$unit" --lines 60 || :; cli status || :; }
active() { [ "$(show ActiveState)" = active ]; }
restarts_are() { [ "$(show NRestarts)" = "$1" ] && active; }
settings() {  # settings [BANDWIDTH]: the configuration of these trials
  cat >"$etc/config.toml" <<EOF
[speechsense]
endpoint = "127.0.0.1:$port"
plaintext = true

[upload]
stream_above = "256KiB"
chunk_size = "64KiB"
bandwidth = "${1:-}"
retry_initial = "1s"

[[folders]]
path = "$spool"
connection_id = "acceptance"
start_from = "all"
quiet_period = "1s"
rescan_interval = "2s"
EOF
}
drop_in() { mkdir -p "$dropins"; cat >"$dropins/$1.conf"; systemctl daemon-reload; }

step "installation, as docs/operations.md has it"
python3 -m venv "$prefix"
"$prefix/bin/pip" install --quiet --require-hashes -r "$root/requirements.txt" -r "$root/requirements-build.txt"
"$prefix/bin/pip" install --quiet --no-deps --no-build-isolation "$root"
install -D -m 0644 "$root/systemd/speechsense-watch.sysusers" /etc/sysusers.d/speechsense-watch.conf
systemd-sysusers
install -m 0644 "$root/systemd/speechsense-watch.service" /etc/systemd/system/
install -d -m 0750 -o root -g speechsense-watch "$etc"
settings
chown root:speechsense-watch "$etc/config.toml"; chmod 0640 "$etc/config.toml"
install -m 0640 -o root -g speechsense-watch /dev/null "$etc/api-key"
echo acceptance-key >"$etc/api-key"
ok "account $(id speechsense-watch)"

step "an exchange whose recordings only its group may read"
useradd --system --user-group --shell /usr/sbin/nologin pbx
install -d -m 0755 /var/spool/pbx
install -d -m 0750 -o pbx -g pbx "$spool"
drop_in recorder <<EOF
[Unit]
RequiresMountsFor=$spool
[Service]
SupplementaryGroups=pbx
# Only so that these trials do not take minutes:
WatchdogSec=8
RestartSec=1
EOF

step "the unit file"
systemd-analyze verify "/etc/systemd/system/$unit.service" || fail "systemd-analyze verify found something"
ok "systemd-analyze verify is clean"
exposure=$(systemd-analyze security --no-pager "$unit" | sed -n 's/.*level for.*: \([0-9.]*\) .*/\1/p')
awk -v exposure="$exposure" 'BEGIN { exit !(exposure <= 1.5) }' || fail "exposure is $exposure"
ok "systemd-analyze security: $exposure"

step "the stand-in service"
systemd-run --quiet --unit=standin --property=DynamicUser=yes --property=StateDirectory=standin \
  "$prefix/bin/speechsense-watch" standin --port "$port" --dir /var/lib/standin
within 20 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" || { journalctl --no-pager -u standin; fail "the stand-in does not listen"; }
ok "listens on $port"

step "check, called by root, with the service's rights"
cli check --online || fail "check --online finds something wrong"

step "READY and STATUS"
systemctl start "$unit" || { dump; fail "the start failed"; }
active || fail "not active after the start"
[ -n "$(show StatusText)" ] || fail "no STATUS text"
ok "status text: $(show StatusText)"
pid=$(show MainPID)
grep -q '^NoNewPrivs:[[:space:]]*1' "/proc/$pid/status" || fail "the sandbox is not in force"
grep -q '^Seccomp:[[:space:]]*2' "/proc/$pid/status" || fail "the filter of system calls is not in force"
ok "runs as $(stat -c %U "/proc/$pid"), sandboxed"

step "a key readable for the group, a recording with mode 0640 of a group it belongs to"
drop call-1 3
[ "$(stat -c '%a %G' "$spool/call-1.wav")" = "640 pbx" ] || fail "the trial's own recording is not 0640 pbx"
delivered call-1 30
[ "$(stat -c '%a %U' /var/lib/speechsense-watch)" = "700 speechsense-watch" ] || fail "the state directory is open to others"
ok "the queue is closed to others"

step "reload: a good configuration"
settings 128KiB/s
systemctl reload "$unit"
pid=$(show MainPID)
drop call-2 40
within 30 is_in call-2 uploading || { dump; fail "call-2 is not seen uploading at 128 KiB/s: $(state_of call-2)"; }
[ "$(show MainPID)" = "$pid" ] || fail "a reload is no restart"
ok "the new bandwidth is in force in the same process"

step "kill -9 in mid-upload"
kill -KILL "$(show MainPID)"
within 30 restarts_are 1 || { dump; fail "not started again"; }
ok "started again"
delivered call-2 90
within 30 all_done || fail "call-2 is $(state_of call-2)"
drop call-3 3
delivered call-3 30

step "SIGTERM in mid-upload"
drop call-4 40
within 30 is_in call-4 uploading || { dump; fail "call-4 is not seen uploading: $(state_of call-4)"; }
began=$SECONDS
systemctl stop "$unit"
took=$((SECONDS - began))
[ "$(show Result) $(show ExecMainStatus)" = "success 0" ] || { dump; fail "it ended with $(show Result), $(show ExecMainStatus)"; }
[ "$took" -le 25 ] || fail "the stop took $took s"
ok "ended with exit code 0 after $took s"
settings
systemctl start "$unit"
delivered call-4 60

step "a stalled daemon"
before=$(show NRestarts)
pid=$(show MainPID)
kill -STOP "$pid"
within 60 restarts_are $((before + 1)) || { dump; fail "the watchdog did not kill the stopped process"; }
journalctl --no-pager --unit "$unit" | grep -qi 'watchdog timeout' || fail "it was not the watchdog"
[ "$(show MainPID)" != "$pid" ] || fail "still the same process"
ok "killed by the watchdog and started again"
drop call-5 3
delivered call-5 30

step "reload: a bad configuration"
pid=$(show MainPID)
echo 'nonsense = 1' >>"$etc/config.toml"
systemctl reload "$unit"
within 15 bash -c "journalctl --no-pager --unit '$unit' | grep -q nonsense" || { dump; fail "the journal does not name the wrong key"; }
[ "$(show ActiveState) $(show MainPID)" = "active $pid" ] || { dump; fail "a bad configuration ended the daemon"; }
settings  # for the commands, which read the file too; the daemon is not told
drop call-6 3
delivered call-6 30

step "start with a bad configuration"
echo 'nonsense = 1' >>"$etc/config.toml"
systemctl restart "$unit" && fail "it started with a bad configuration"
sleep 3  # longer than RestartSec: had systemd meant to try again, it would have
[ "$(show ActiveState) $(show ExecMainStatus)" = "failed 78" ] || { dump; fail "state $(show ActiveState), exit code $(show ExecMainStatus)"; }
ok "exit code 78, and no restart"
settings

step "the key by LoadCredential"
mv "$etc/api-key" /root/api-key
chown root:root /root/api-key; chmod 0600 /root/api-key
drop_in credential <<EOF
[Service]
LoadCredential=api-key:/root/api-key
EOF
systemctl restart "$unit" || { dump; fail "the start failed"; }
drop call-7 3
delivered call-7 30

step "nothing sent twice, nothing left"
[ "$(jobs_where True)" = 7 ] || fail "$(jobs_where True) jobs instead of 7"
within 20 all_done || fail "not all are done"
[ "$(jobs_where "job['possible_duplicate']")" = 0 ] || fail "a possible duplicate"
cli status --alive || fail "status --alive fails"
systemctl stop "$unit"
ok "7 recordings, 7 talk ids"
printf '\nAll went well.\n'
