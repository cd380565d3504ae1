#!/bin/sh
# Call records in a real MariaDB: makes a server of its own in a directory of its own, fills FreePBX's table and asks it.
# Needs mariadbd and mariadb (Debian: mariadb-server). Usage: tests/acceptance/mariadb.sh [PYTHON]
set -eu

cd "$(dirname "$0")/../.."
python=${1:-.venv/bin/python}
home=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server"; wait "$server" || true; fi; rm -rf "$home"' EXIT INT TERM

user=
if [ "$(id -u)" = 0 ]; then
    # mariadbd does not run as root; nobody owns nothing else here.
    user=--user=nobody
    chown nobody "$home"
fi
mariadb-install-db --no-defaults $user --datadir="$home/data" --auth-root-authentication-method=normal >/dev/null
start() {
    mariadbd --no-defaults $user --datadir="$home/data" --socket="$home/socket" --skip-networking --pid-file="$home/pid" 2>"$home/log" &
    server=$!
    tries=0
    until mariadb --no-defaults --socket="$home/socket" --user=root -e 'SELECT 1' >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { cat "$home/log"; exit 1; }
        sleep 0.2
    done
}
start
mariadb --no-defaults --socket="$home/socket" --user=root <<'SQL'
CREATE DATABASE asteriskcdrdb;
CREATE TABLE asteriskcdrdb.cdr (
  calldate DATETIME NOT NULL, clid VARCHAR(80), src VARCHAR(80), dst VARCHAR(80), dcontext VARCHAR(80), channel VARCHAR(80),
  dstchannel VARCHAR(80), lastapp VARCHAR(80), lastdata VARCHAR(80), duration INT, billsec INT, disposition VARCHAR(45),
  amaflags INT, accountcode VARCHAR(20), uniqueid VARCHAR(32), userfield VARCHAR(255), did VARCHAR(50),
  recordingfile VARCHAR(255), cnum VARCHAR(80), cnam VARCHAR(80), outbound_cnum VARCHAR(80), outbound_cnam VARCHAR(80),
  linkedid VARCHAR(32), sequence INT
) DEFAULT CHARSET=utf8mb4;
INSERT INTO asteriskcdrdb.cdr (calldate, clid, src, dst, dcontext, channel, dstchannel, billsec, disposition, uniqueid, did,
  recordingfile, cnum, cnam, linkedid, sequence) VALUES
 ('2026-03-09 11:45:00', '"Пётр" <79035550011>', '79035550011', '600', 'ext-queues', 'PJSIP/mts-1', 'Local/201@from-queue-1;1', 0,
  'NO ANSWER', '1773045900.301', '74950000000', 'q-600-79035550011-20260309-114500-1773045900.301.wav', '79035550011', 'Пётр',
  '1773045900.301', 1),
 ('2026-03-09 11:45:20', '"Пётр" <79035550011>', '79035550011', '600', 'ext-queues', 'PJSIP/mts-1', 'PJSIP/203-2', 30,
  'ANSWERED', '1773045900.301', '74950000000', 'q-600-79035550011-20260309-114500-1773045900.301.wav', '79035550011', 'Пётр',
  '1773045900.301', 2);
CREATE USER 'reader'@'localhost' IDENTIFIED BY 'a secret';
GRANT SELECT ON asteriskcdrdb.cdr TO 'reader'@'localhost';
SQL
printf 'a secret\n' >"$home/password"
printf 'wrong\n' >"$home/wrong"
stop() { kill "$server"; wait "$server" || true; server=; }

PYTHONPATH="daemon:generated" "$python" tests/acceptance/mariadb.py "$home" ask
stop
PYTHONPATH="daemon:generated" "$python" tests/acceptance/mariadb.py "$home" away
echo "all passed"
