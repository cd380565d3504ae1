#!/usr/bin/env bash
# Tries the image: without network, with a read-only root, on mounted folders, checked for health, stopped by SIGTERM.
#
#   docker build --tag speechsense-watch . && sudo tests/acceptance/image.sh
#
# Needs root (the mounted folders get owners). ENGINE=podman for another engine, IMAGE=name for another image,
# RUN_ARGS= for more arguments of its "run". Leaves nothing behind.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/tests/acceptance/lib.sh"

read -ra engine <<<"${ENGINE:-docker}"
read -ra more <<<"${RUN_ARGS:-}"
image=${IMAGE:-speechsense-watch}
container=speechsense-watch-acceptance-$$
uid=10001 pbx_gid=20123 port=50051

[ "$(id -u)" = 0 ] || fail "this needs root"
work=$(mktemp -d)
trap '"${engine[@]}" rm -f "$container" >/dev/null 2>&1 || :; rm -rf "$work"' EXIT

cli() { "${engine[@]}" exec "$container" speechsense-watch "$@"; }
inspect() { "${engine[@]}" inspect --format "$1" "$container"; }
drop() { (umask 027; python3 "$root/tests/acceptance/recording.py" "$work/recordings" "$1" "$2"; chgrp "$pbx_gid" "$work/recordings/$1".*); }
dump() { "${engine[@]}" logs "$container" 2>&1 | tail -n 60; cli status || :; }
delivered() { within "$2" has_talk "$1" || { dump; fail "recording $1 has no talk id after $2 s, state: $(state_of "$1")"; }; ok "$1 has its talk id"; }
start() {
  "${engine[@]}" run --detach --name "$container" --network none --read-only --tmpfs /tmp --cap-drop all \
    --security-opt no-new-privileges --group-add "$pbx_gid" \
    --volume "$work/etc:/etc/speechsense-watch:ro" --volume "$work/state:/var/lib/speechsense-watch" \
    --volume "$work/recordings:/recordings:ro" ${more[@]+"${more[@]}"} "$image" >/dev/null
  within 30 cli status --alive || { dump; fail "the daemon does not come to life"; }
}

step "the mounted folders"
install -d -m 0750 -o 0 -g "$uid" "$work/etc"
install -d -m 0700 -o "$uid" -g "$uid" "$work/state"
install -d -m 2750 -o 0 -g "$pbx_gid" "$work/recordings"
chmod 0755 "$work"
cat >"$work/etc/config.toml" <<EOF
[speechsense]
endpoint = "127.0.0.1:$port"
plaintext = true

[upload]
shutdown_grace = "5s"

[[folders]]
path = "/recordings"
connection_id = "acceptance"
start_from = "all"
quiet_period = "1s"
rescan_interval = "2s"
EOF
echo acceptance-key >"$work/etc/api-key"
chown "0:$uid" "$work"/etc/*; chmod 0640 "$work"/etc/*

step "start"
start
ok "alive, as $("${engine[@]}" exec "$container" id -u), without network"
"${engine[@]}" exec --detach "$container" speechsense-watch standin --port "$port" --dir /tmp/standin >/dev/null
within 20 cli check --online || { cli check --online || :; fail "check --online finds something wrong"; }
ok "check --online finds nothing wrong"
drop call-1 3
# The service was absent at the start: the daemon asks for it again on its own, at the latest after a minute.
delivered call-1 120

step "health"
inspect '{{json .Config.Healthcheck}}{{json .Config.StopSignal}}' | grep -q alive || fail "the image has no health check"
cli status --alive || fail "status --alive fails"
case "${engine[0]}" in *podman) "${engine[@]}" healthcheck run "$container" || fail "the health check fails" ;; esac
ok "healthy"

step "stop by SIGTERM"
began=$SECONDS
"${engine[@]}" stop --time 45 "$container" >/dev/null
took=$((SECONDS - began))
[ "$(inspect '{{.State.ExitCode}}')" = 0 ] || { dump; fail "exit code $(inspect '{{.State.ExitCode}}')"; }
[ "$took" -le 20 ] || fail "the stop took $took s"
ok "exit code 0 after $took s"

step "a new container on the same queue"
"${engine[@]}" rm "$container" >/dev/null
start
"${engine[@]}" exec --detach "$container" speechsense-watch standin --port "$port" --dir /tmp/standin >/dev/null
drop call-2 3
delivered call-2 120
[ "$(jobs_where True)" = 2 ] || fail "$(jobs_where True) jobs instead of 2: something was sent again"
"${engine[@]}" stop --time 45 "$container" >/dev/null
printf '\nAll went well.\n'
