#!/usr/bin/env bash
# Tries the images, compose.yaml and the operations of Makefile and README in real containers, and removes all it made,
# however it ends. Needs docker with compose and buildx, bash, curl, make and coreutils, and for one thing stunnel and
# openssl. Every run has names and a port of its own, so several may run side by side. It reads from top to bottom; after
# `checking` comes what must hold.
set -Eeuo pipefail
cd "$(dirname "$0")/../.."
# What is mounted into a container must be readable by aqevia.
umask 022

run=aqevia-smoke-$(date +%s)-$$
work=$(mktemp -d)
output=$work/output
passed=0 doing='preparing' where='' said='' stunnel=''
export COMPOSE_PROJECT_NAME=$run ENGINE_IMAGE_TAG=$run ENGINE_VOLUME=$run ENGINE_PORT=127.0.0.1:0
export ENGINE_TELNET_PORT=127.0.0.1:0
export ENGINE_WEB_PORT=127.0.0.1:0
export COMPOSE_DISABLE_ENV_FILE=1
unset COMPOSE_FILE COMPOSE_PROFILES ENGINE_MEMORY AQEVIA_LOG_LEVEL AQEVIA_TRUSTED_PROXIES AQEVIA_WORLD_ID WORLD FROM BACKUPS YES
dev=aqevia-engine:$run runtime=aqevia-engine:$run-runtime changed=aqevia-engine:$run-changed

# --- helpers

checking() { doing=$1; }
ok() { passed=$((passed + 1)) && echo "ok: $doing"; }
complain() { echo "$*" | tee -a "$output" >&2; return 1; }
quietly() { "$@" >>"$output" 2>&1; }
equal() { [ "$1" = "$2" ] || complain "expected \"$1\", got \"$2\""; }
at_least() { [ "$2" -ge "$1" ] || complain "expected at least $1, got $2"; }
at_most() { [ "$2" -le "$1" ] || complain "expected at most $1, got $2"; }
contains() { [[ $2 == *"$1"* ]] || complain "expected \"$1\" in \"$2\""; }

# exits CODE COMMAND...: the command must end so; what it printed stands in `said`.
exits() {
  local want=$1 got=0
  shift
  said=$("$@" 2>&1) || got=$?
  echo "$said" >>"$output"
  [ "$got" = "$want" ] || complain "exit code $got instead of $want: $* said: $said"
}

# within SECONDS COMMAND...: tries again until the command succeeds.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || complain "this did not come true in time: $*" || return
    sleep 0.1
  done
}

# The project beside the first, with a volume of its own.
second() { COMPOSE_PROJECT_NAME=$run-second ENGINE_VOLUME=$run-second "$@"; }
# One whose World comes from a file.
large() {
  COMPOSE_PROJECT_NAME=$run-large ENGINE_VOLUME=$run-large COMPOSE_FILE=$PWD/compose.yaml:$work/large.yaml "$@"
}
# A container beside those of compose.
container() { docker run --rm --label "$run" "$@"; }
inside() { docker compose exec -T aqevia-engine "$@" </dev/null; }
id() { docker compose ps --all --quiet aqevia-engine; }
state() { docker inspect --format "{{.State.$1}}" "$(id)"; }
healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]; }
# Docker picks the port anew at every start.
url() { echo "http://$(docker compose port aqevia-engine 7878)"; }
# visit LINES...: what a player reads who types these lines, by the published port, the last of which is `quit`.
visit() {
  local port
  port=$(docker compose port aqevia-engine 4000)
  exec 3<>"/dev/tcp/${port%:*}/${port##*:}"
  printf '%s\r\n' "$@" >&3
  timeout 30 cat <&3 | LC_ALL=C tr -cd '[:print:]\n' | tee -a "$output"
  exec 3>&-
}
get() { curl --silent --show-error --fail --max-time 5 "$(url)$1"; }
code() { curl --silent --output /dev/null --max-time 5 --write-out '%{http_code}' "${@:2}" "$(url)$1"; }
ready() { get /ready >/dev/null 2>&1; }
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }
tick() { get /status | number tick; }
persisted() { get /status | number persisted_tick; }
past() { [ "$(tick)" -ge "$1" ] 2>/dev/null; }
# The tick at which the World began when it was started last.
began_at() { last_tick_of running; }
last_tick_of() { docker compose logs --no-log-prefix | sed -n "s/.* msg=$1 .*\<tick=\([0-9]*\).*/\1/p" | tail -n 1; }
variables() {
  docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$1" | grep -E '^(AQEVIA|PERSIST)_.*=' | sort
}
declared() {
  docker image inspect --format '{{.Config.User}} {{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Config.WorkingDir}}
    {{json .Config.Volumes}} {{json .Config.ExposedPorts}} {{.Config.StopSignal}} {{json .Config.Healthcheck}}
    {{with .Config.Labels}}{{index . "org.opencontainers.image.title"}}:
    {{index . "org.opencontainers.image.description"}}
    {{index . "org.opencontainers.image.version"}}{{end}}' "$1"
}
# What an image is built from and a World is handled with.
copy_tree() {
  mkdir "$1"
  cp -a .cargo .clippy.toml .dockerignore .ops .rustfmt.toml Cargo.lock Cargo.toml Dockerfile Makefile README.md VERSION \
    compose.yaml src tests "$1"
}
megabytes() { echo "$(($(docker image inspect --format '{{.Size}}' "$1") / 1000000)) MB"; }

# --- the end, whatever it is

leftovers() {
  docker ps --all --quiet --filter "label=$run"
  docker ps --all --quiet --filter "name=$run"
  docker volume ls --quiet --filter "name=$run"
  docker network ls --quiet --filter "name=$run"
  docker images --quiet "aqevia-engine:$run*"
}

remove() {
  [ -z "$stunnel" ] || kill "$stunnel"
  docker ps --all --quiet --filter "label=$run" | xargs -r docker rm --force --volumes
  second docker compose down --volumes --timeout 1
  large docker compose down --volumes --timeout 1
  docker compose --project-name "aqevia-$run" down --volumes --timeout 1
  docker compose down --volumes --timeout 1
  docker volume ls --quiet --filter "name=$run" | xargs -r docker volume rm --force
  docker images --format '{{.Repository}}:{{.Tag}}' "aqevia-engine:$run*" | xargs -r docker rmi --force
}

finish() {
  local status=$? failed=0 container
  trap - EXIT ERR
  trap '' INT TERM HUP
  set +e
  if [ "$status" != 0 ]; then
    failed=1
    echo "--- the last lines of what the commands printed"
    tail -n 40 "$output"
    for container in $(docker ps --all --quiet --filter "name=$run"); do
      docker inspect --format '--- the log of {{.Name}}, {{.State.Status}}, exit code {{.State.ExitCode}}' "$container"
      docker logs --tail 40 "$container"
    done
    echo "FAILED: $doing ($where)"
  fi
  quietly remove
  if [ -n "$(leftovers)" ]; then
    failed=$((failed + 1))
    echo "FAILED: to remove $(leftovers | xargs)"
  fi
  rm -rf "$work"
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ] || exit 1
}
# The line out here, not the one inside a helper.
trap 'where="line $LINENO"; [ ${#FUNCNAME[@]} -lt 2 ] || where="line ${BASH_LINENO[-2]}"' ERR
trap finish EXIT
trap 'where=interrupted; exit 130' INT
trap 'where=interrupted; exit 143' TERM HUP

# --- the images

checking 'the development image builds'
quietly docker compose build
ok

checking 'the runtime image builds'
quietly docker build --target runtime --tag "$runtime" .
ok
echo "    size of the development image $(megabytes "$dev"), of the runtime image $(megabytes "$runtime")"

checking 'both images declare user, entrypoint, volume, port, stop signal, health check and labels, and the same'
said=$(declared "$dev")
contains '999:999 ["aqevia-engine"] null /app' "$said"
contains '{"/data":{}} {"4000/tcp":{},"4080/tcp":{},"7878/tcp":{}} SIGTERM' "$said"
contains '["CMD","aqevia-engine","healthcheck"]' "$said"
contains "    $(cat VERSION)" "$said"
equal "$said" "$(declared "$runtime")"
ok

checking 'both images set the same variables'
printf '%s\n' AQEVIA_OBSERVABILITY_ADDR=0.0.0.0:7878 AQEVIA_SQLITE_PATH=/data/storage.sqlite \
  AQEVIA_TELNET_ADDR=0.0.0.0:4000 AQEVIA_WEB_ADDR=0.0.0.0:4080 PERSIST_BATCH_CAPACITY=10 PERSIST_FLUSH_INTERVAL_MS=1000 >"$work/variables"
equal "$(cat "$work/variables")" "$(variables "$dev")"
equal "$(cat "$work/variables")" "$(variables "$runtime")"
ok

checking 'format, clippy and release build run in /app/src of the development image, as aqevia and without a network'
for command in 'fmt --all -- --check' 'clippy --all-targets --all-features -- -D warnings' 'build --release --locked'; do
  # shellcheck disable=SC2086 # the words of a command
  quietly container --network none --workdir /app/src --entrypoint cargo "$dev" $command
done
ok

checking 'the runtime image holds no toolchain and no sources'
equal VERSION "$(container --entrypoint ls "$runtime" -A /app)"
exits 127 container --entrypoint sh "$runtime" -c cargo
ok

checking 'a change in src rebuilds the engine, but not SQLite'
copy_tree "$work/tree"
printf '//! Changed.\n\nfn main() {\n    println!("changed");\n}\n' >"$work/tree/src/main.rs"
exits 0 docker build --progress plain --tag "$changed" "$work/tree"
[[ $said != *'Compiling libsqlite3-sys'* ]] || complain 'SQLite was compiled again'
equal changed "$(container "$changed")"
ok

# --- a World

checking 'docker compose up: the container gets healthy'
quietly docker compose up --build --detach
within 60 healthy "$(id)"
ok

checking '/health, /ready, /status and /metrics answer through the published port'
equal '{"status":"ok"}' "$(get /health)"
equal '{"status":"ready"}' "$(get /ready)"
contains "\"version\":\"$(cat VERSION)\"" "$(get /status)"
contains '"backend":"sqlite","ready":true' "$(get /status)"
contains 'aqevia_build_info{version="' "$(get /metrics)"
ok

checking 'the page for people is there, other paths are not, and nothing can be changed'
equal 200 "$(code /)"
equal 404 "$(code /nothing)"
equal 405 "$(code /health --request POST --header 'Content-Length: 0')"
ok

checking 'the engine runs as aqevia, not as root, and without capabilities'
equal 999 "$(inside stat --format %u /proc/1)"
equal aqevia "$(inside id --user --name)"
[ "$(inside id --user)" != 0 ]
equal 0000000000000000 "$(inside sed -n 's/^CapEff:\t//p' /proc/1/status)"
equal 0000000000000000 "$(inside sed -n 's/^CapBnd:\t//p' /proc/1/status)"
equal 1 "$(inside sed -n 's/^NoNewPrivs:\t//p' /proc/1/status)"
ok

checking 'the root filesystem is read-only, /tmp is not'
for folder in /app /usr/local/bin /home /; do
  exits 1 inside touch "$folder/probe"
  contains 'Read-only file system' "$said"
done
exits 0 inside touch /tmp/probe
ok

checking 'memory, processes and logs are limited, and there is time for a last flush'
limits='{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.LogConfig.Config}} {{.Config.StopTimeout}}'
equal '536870912 64 map[max-file:5 max-size:10m] 30' "$(docker inspect --format "$limits" "$(id)")"
ok

checking '/app/VERSION is the VERSION of the repository and belongs to aqevia'
equal "$(cat VERSION)" "$(inside cat /app/VERSION)"
equal aqevia "$(inside stat --format %U /app/VERSION)"
ok

checking 'compose.yaml sets the same variables as the image'
equal "$(cat "$work/variables")" "$(variables "$(id)")"
ok

checking 'the data belongs to aqevia and can be listed from inside and through the volume'
equal aqevia:aqevia "$(inside sh -c 'stat --format %U:%G /data /data/* | sort -u')"
equal 999:999 "$(inside sh -c 'stat --format %u:%g /data /data/* | sort -u')"
contains storage.sqlite "$(inside ls -la /data)"
contains storage.sqlite "$(docker run --rm -v "$ENGINE_VOLUME":/data alpine ls /data)"
ok

checking 'a second engine on the same volume is refused and told who holds it'
exits 3 container -v "$ENGINE_VOLUME":/data "$dev"
holder=$(id)
contains 'in use by another engine' "$said"
contains "${holder:0:12}" "$said"
before=$(tick)
within 10 past $((before + 1))
ok

# --- it comes back

checking 'docker compose restart: the World goes on from persisted_tick or later'
within 30 past 20
before=$(persisted)
at_least 1 "$before"
quietly docker compose restart
within 30 ready
at_least "$before" "$(began_at)"
equal 1 "$(docker compose logs | grep -c 'founded a new world')"
ok

checking 'three times docker kill -s KILL and start: the World goes on from persisted_tick or later'
for ((kill = 0; kill < 3; kill++)); do
  # At another moment between two flushes each time.
  before=$(tick)
  within 30 past $((before + 3 + RANDOM % 12))
  before=$(persisted)
  quietly docker kill -s KILL "$(id)"
  equal 137 "$(state ExitCode)"
  quietly docker compose start
  within 30 ready
  at_least "$before" "$(began_at)"
done
equal 1 "$(docker compose logs | grep -c 'founded a new world')"
ok

checking 'docker compose stop: exit code 0 within two seconds, and nothing unsaved'
asked_ms=$(date +%s%3N)
quietly docker compose stop
equal 0 "$(state ExitCode)"
finished=$(state FinishedAt)
at_most 2000 "$(($(date --date "$finished" +%s%3N) - asked_ms))"
quietly docker compose start
within 30 ready
equal "$(last_tick_of stopped)" "$(began_at)"
ok

checking 'make up returns when the World answers, not when Docker looks next; and tells what the engine says if it does not'
quietly docker compose down
exits 0 make up
contains "The World in the volume $ENGINE_VOLUME is at $(url)/" "$said"
ready
equal starting "$(docker inspect --format '{{.State.Health.Status}}' "$(id)")"
exits 2 make up AQEVIA_LOG_LEVEL=loud
contains 'level=error msg="cannot start" exit_code=2 error="AQEVIA_LOG_LEVEL=\"loud\": accepted is' "$said"
equal 1 "$(grep -c 'msg="cannot start"' <<<"$said")"
exits 0 make up
ready
ok

# --- players

checking 'a player comes in by the published port, takes a thing, and has it after a kill'
said=$(visit Anna yes east up 'get blanket from locker' 'say mine' quit)
contains 'You take a grey blanket from a tarred locker.' "$said"
contains 'You say, "mine"' "$said"
contains 'Goodbye' "$said"
password=$(sed -n 's/.*The password of Anna: \([a-z0-9-]*\)$/\1/p' <<<"$said")
[ -n "$password" ] || complain 'no password was shown'
before=$(tick)
kept() { [ "$(persisted)" -gt "$before" ]; }
within 30 kept
quietly docker kill -s KILL "$(id)"
quietly docker compose start
within 30 ready
said=$(visit Anna 'not it' Anna "$password" inventory quit)
contains 'That is not the password of Anna.' "$said"
contains 'The Refuge' "$said"
contains 'a grey blanket' "$said"
contains 'msg="a login failed" name=Anna address=' "$(docker compose logs)"
[[ $(docker compose logs) != *"$password"* ]] || complain 'the log holds a password'
ok

if command -v stunnel >/dev/null && command -v openssl >/dev/null; then
  checking 'a player comes in by TLS that stunnel speaks on this machine, and a ban by address holds through it'
  gateway='{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}'
  AQEVIA_TRUSTED_PROXIES=$(docker inspect --format "$gateway" "$(id)") quietly docker compose up --detach
  within 30 ready
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -out "$work/tls.pem" -keyout "$work/tls.key" 2>>"$output"
  printf '%s\n' 'foreground = yes' 'debug = info' 'pid =' 'syslog = no' '[world]' 'accept = 127.0.0.1:0' 'protocol = proxy' \
    "connect = $(docker compose port aqevia-engine 4000)" "cert = $work/tls.pem" "key = $work/tls.key" >"$work/stunnel.conf"
  stunnel "$work/stunnel.conf" 2>"$work/stunnel.log" &
  stunnel=$!
  secure() { secured=$(sed -n 's/.* bound to //p' "$work/stunnel.log") && [ -n "$secured" ]; }
  within 10 secure
  # visit_from ADDRESS LINES...: the same as a visit, by TLS.
  visit_from() {
    printf '%s\r\n' "${@:2}" | timeout 30 openssl s_client -quiet -verify_return_error -CAfile "$work/tls.pem" \
      -connect "$secured" -bind "$1:0" 2>"$work/openssl.log" | LC_ALL=C tr -cd '[:print:]\n' | tee -a "$output" || :
  }
  quietly inside aqevia-engine ctl ban 127.0.0.2
  contains 'Nobody is let in from your address.' "$(visit_from 127.0.0.2 guest quit)"
  said=$(visit_from 127.0.0.1 Anna "$password" inventory quit)
  contains 'a grey blanket' "$said"
  contains 'Goodbye' "$said"
  kill "$stunnel"
  stunnel=''
  quietly docker compose up --detach
  within 30 ready
  ok
else
  echo 'SKIPPED: stunnel or openssl is not installed, so no player comes by TLS'
fi

checking 'the page to play on is published with its policy, and its WebSocket opens for that page and for no other'
page=http://$(docker compose port aqevia-engine 4080)
said=$(curl --silent --include --max-time 5 "$page/")
contains $'Content-Security-Policy: default-src \'none\';' "$said"
contains '<!doctype html>' "$said"
# A WebSocket that has opened goes on until curl does not.
opens() {
  curl --silent --include --max-time 2 --http1.1 --header "Origin: $1" --header 'Connection: Upgrade' --header 'Upgrade: websocket' \
    --header 'Sec-WebSocket-Version: 13' --header 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "$page/ws" |
    LC_ALL=C tr -cd '[:print:]\n' || :
}
said=$(opens "$page")
contains 'HTTP/1.1 101 Switching Protocols' "$said"
contains 'Your name, please.' "$said"
contains 'HTTP/1.1 403 Forbidden' "$(opens http://evil.example)"
ok

checking 'seventeen players come at once from one address of the network of Docker, and none is shut out'
# shellcheck disable=SC2016 # meant for the shell inside
exits 0 container --network "${run}_default" --entrypoint bash "$dev" -euc '
  awaits() { while read -r -t 30 line <&"$1"; do [[ $line != *"$2"* ]] || return 0; done; echo "no $2: $line"; exit 1; }
  for letter in {a..k} {m..r}; do
    exec {line}<>/dev/tcp/aqevia-engine/4000
    lines+=("$line")
    printf "Sparrow%s\r\nyes\r\n" "$letter" >&"$line"
  done
  for line in "${lines[@]}"; do awaits "$line" Exits:; done
  for line in "${lines[@]}"; do printf "who\r\n" >&"$line"; awaits "$line" "In the world: 17"; done
  for line in "${lines[@]}"; do printf "quit\r\n" >&"$line"; awaits "$line" Goodbye; done'
ready
ok

checking 'whoever may run commands in the container is an operator: a lost password, a ban, a stop with notice'
exits 0 inside aqevia-engine ctl password Anna
password=$(sed -n 's/.*"password":"\([a-z0-9-]*\)".*/\1/p' <<<"$said")
said=$(visit Anna "$password" inventory quit)
contains 'a grey blanket' "$said"
exits 0 inside aqevia-engine ctl ban Anna
contains 'You are not let in.' "$(visit Anna "$password")"
exits 0 inside aqevia-engine ctl unban Anna
exits 1 inside aqevia-engine ctl boot Anna
contains 'Anna is not in the world' "$said"
exits 1 container --user 998 -v "$run:/data" "$dev" ctl who
contains 'Permission denied' "$said"
exits 0 inside aqevia-engine ctl shutdown 1
again() { [ "$(docker inspect --format '{{.RestartCount}}' "$(id)")" -gt 0 ] && ready; }
within 30 again
contains 'msg=stopping told_by="an operator"' "$(docker compose logs)"
ok

checking 'players come from this machine alone, unless it is said otherwise'
said=$(env -u ENGINE_TELNET_PORT -u ENGINE_WEB_PORT docker compose config)
contains $'host_ip: 127.0.0.1\n        target: 4000\n        published: "4000"' "$said"
contains $'host_ip: 127.0.0.1\n        target: 4080\n        published: "4080"' "$said"
ok

# --- backup and restore

# examined DATABASE-FOLDER-OR-VOLUME FILE: one line about the World in it, with its tick and digest.
examined() { container -v "$1":/examined:ro "$dev" check "/examined/$2" | grep '^database of '; }
began_with() { sed -n 's/.*: tick \([0-9]*\),.*/\1/p' <<<"$1"; }

checking 'a live backup passes the check, and the World goes on'
mkdir "$work/backups"
before=$(persisted)
quietly inside aqevia-engine backup /data/copy.sqlite
quietly docker compose cp aqevia-engine:/data/copy.sqlite "$work/backups/"
quietly inside rm /data/copy.sqlite
backup=$(examined "$work/backups" copy.sqlite)
at_least "$before" "$(began_with "$backup")"
within 10 past "$(($(began_with "$backup") + 1))"
ok

checking 'a backup never overwrites'
exits 3 inside aqevia-engine backup /data/storage.sqlite
contains 'exists' "$said"
ok

checking 'restored by hand as the pages say, and what was there is kept'
# shellcheck disable=SC2016 # meant for what is evaluated
eval "$(sed -n '/^## Restoring by hand/,/^## /{/^docker compose /{s#<backups/copy.sqlite#<"$work/backups/copy.sqlite"#;p}}' .ops/README.md)" \
  >>"$output" 2>&1
within 30 ready
equal "$(began_with "$backup")" "$(began_at)"
at_least "$(began_with "$backup")" "$(began_with "$(examined "$ENGINE_VOLUME" old-storage.sqlite)")"
quietly inside rm /data/old-storage.sqlite
ok

checking 'restored into a fresh volume it is the same World, and a second engine beside the first goes on with it'
quietly second docker compose create
second docker compose run --rm -T --entrypoint sh aqevia-engine -c 'cat >/data/storage.sqlite' \
  <"$work/backups/copy.sqlite" 2>>"$output"
equal "$backup" "$(examined "$run-second" storage.sqlite)"
quietly second docker compose start
second within 30 ready
equal "$(began_with "$backup")" "$(second began_at)"
ready
ok

checking 'make backup, while the World runs, leaves one checked copy and nothing else'
exits 0 make backup BACKUPS="$work/made"
contains 'database of ' "$said"
made=$(ls -A "$work/made")
contains .sqlite "$made"
equal 1 "$(wc -l <<<"$made")"
backup=$(examined "$work/made" "$made")
equal '' "$(inside sh -c 'ls /data | grep -v ^storage.sqlite || true')"
ok

checking 'make restore puts it in the place of another World, and refuses what is no backup'
head -c 5000 "$work/made/$made" >"$work/half.sqlite"
tar czf "$work/volume.tgz" -C "$work/made" "$made"
while IFS=: read -r file words; do
  exits 2 second make restore YES=1 FROM="$file"
  contains "$words" "$said"
done <<END
$work/nothing.sqlite:There is no file
$work:not a file that can be read
src/builtin.json5:it is no SQLite database
$work/volume.tgz:is compressed, as a tar of the volume is
$work/half.sqlite:Nothing was changed
END
replaced=$(second tick)
exits 2 second make restore FROM="$work/made/$made" <<<no
contains "$(began_with "$backup")" "$said"
contains 'Nothing was changed' "$said"
second past "$replaced"
exits 0 second make restore YES=1 FROM="$work/made/$made"
equal "$(began_with "$backup")" "$(second began_at)"
kept=$(sed -n 's|.* is now /data/\(replaced-[0-9]*-.*sqlite\)\.$|\1|p' <<<"$said")
at_least "$replaced" "$(began_with "$(examined "$run-second" "$kept")")"
equal '' "$(second inside sh -c 'ls /data | grep -v -e ^storage.sqlite$ -e ^storage.sqlite-wal -e -shm -e lock$ -e sock$ -e ^replaced- || true')"
ok

checking 'what make does to a World it does to the one that is meant, or not at all'
before=$(tick)
for command in "restore FROM=$work/made/$made" reset up; do
  # shellcheck disable=SC2086 # the words of a command
  exits 2 env COMPOSE_PROJECT_NAME="$run-third" make YES=1 $command
  contains "The volume $ENGINE_VOLUME is in use by $run-aqevia-engine-1. Nothing was changed." "$said"
done
for command in backup "restore FROM=$work/made/$made" reset; do
  # shellcheck disable=SC2086
  exits 2 make YES=1 ENGINE_VOLUME="$run-other" $command
  contains "container has the volume $run, and ENGINE_VOLUME says $run-other. Nothing was changed." "$said"
done
past "$before"
# An engine beside it, of no project, counts too.
quietly container --detach --name "$run-guest" --volume "$run-second:/data" --entrypoint sleep "$dev" 60
exits 2 second make YES=1 reset
contains "in use by $run-guest" "$said"
quietly docker rm --force "$run-guest"
ok

checking 'another name of the volume gives a running World that volume'
volume_of() { second docker inspect --format '{{range .Mounts}}{{.Name}}{{end}}' "$(second id)"; }
equal "$run-second" "$(volume_of)"
quietly env COMPOSE_PROJECT_NAME="$run-second" ENGINE_VOLUME="$run-other" docker compose up --detach
equal "$run-other" "$(volume_of)"
quietly second docker compose down
ok

checking 'a World beside the first has a name, and everything of its own that was said once'
copy_tree "$work/named"
named() { env -u ENGINE_PORT -u ENGINE_TELNET_PORT -u ENGINE_WEB_PORT make --no-print-directory -C "$work/named" WORLD="$run" "$@"; }
exits 2 named backup
contains "There is no World $run here" "$said"
exits 2 named up
contains 'Say once where it is to be published' "$said"
exits 0 named up ENGINE_PORT=127.0.0.1:0
contains "The World in the volume aqevia-${run}_data is at http://127.0.0.1:" "$said"
contains '/, and for players at http://127.0.0.1:' "$said"
contains '/ and by telnet 127.0.0.1 ' "$said"
exits 0 named backup BACKUPS="$work/made"
contains "$work/made/$run-" "$said"
exits 2 named reset <<<no
contains "the volume aqevia-${run}_data holds: database of " "$said"
exits 0 named restore YES=1 FROM="$work/made/$made"
contains "The World in the volume aqevia-${run}_data" "$said"
equal "$(began_with "$backup")" "$(COMPOSE_PROJECT_NAME=aqevia-$run began_at)"
exits 0 named reset YES=1
equal 0 "$(COMPOSE_PROJECT_NAME=aqevia-$run began_at)"
exits 0 named down
ready
ok

checking 'the ports for the players of a World beside the first are its own, without a word, and those of an older one too'
mkdir "$work/stub"
printf '#!/bin/sh\nexit 1\n' >"$work/stub/docker"
chmod +x "$work/stub/docker"
# port_of WORDS...: what is kept for a World that is to be published there.
port_of() {
  env -u ENGINE_TELNET_PORT -u ENGINE_WEB_PORT PATH="$work/stub:$PATH" make -C "$work/named" WORLD=port up "$@" >>"$output" 2>&1 || :
  grep -e ENGINE_TELNET_PORT -e ENGINE_WEB_PORT "$work/named/.env.port" | cut -d = -f 2 | xargs
}
equal '127.0.0.1:4001 127.0.0.1:4081' "$(port_of ENGINE_PORT=7879)"
sed -i -e /TELNET/d -e /WEB/d "$work/named/.env.port"
equal '127.0.0.1:4001 127.0.0.1:4081' "$(port_of ENGINE_PORT=7879)"
rm "$work/named/.env.port"
equal '127.0.0.1:56202 127.0.0.1:56282' "$(port_of ENGINE_PORT=10.0.0.1:80)"
rm "$work/named/.env.port"
equal '4000 127.0.0.1:4082' "$(port_of ENGINE_PORT=7880 ENGINE_TELNET_PORT=4000)"
ok

checking 'a tar of the volume, made while the engine is stopped, restores into a fresh volume'
quietly docker compose stop
docker run --rm -v "$ENGINE_VOLUME":/data -v "$work/backups":/backup alpine \
  sh -c 'cd /data && tar czf /backup/aqevia-data-$(date +%F).tgz .'
backup=$(examined "$ENGINE_VOLUME" storage.sqlite)
quietly docker compose start
quietly docker volume rm "$run-second"
quietly second docker compose create
docker run --rm -v "$run-second":/data -v "$work/backups":/backup:ro alpine \
  sh -c 'cd /data && tar xzf /backup/aqevia-data-*.tgz'
equal "$backup" "$(examined "$run-second" storage.sqlite)"
quietly second docker compose start
second within 30 ready
equal "$(began_with "$backup")" "$(second began_at)"
equal aqevia:aqevia "$(second inside sh -c 'stat --format %U:%G /data /data/* | sort -u')"
quietly second docker compose down
ok

checking 'a volume as the image before left it is opened, and its World goes on'
backup=$(container -i --user root --volume "$run-old:/data" --entrypoint sh "$dev" -euc '
  cat >/data/storage.sqlite; chown -R 999:999 /data; chmod 644 /data/storage.sqlite
  aqevia-engine check /data/storage.sqlite' <tests/databases/0.1.0.sqlite | grep '^database of ')
old_id=$(docker run --detach --label "$run" --name "$run-old" --volume "$run-old:/data" "$runtime")
within 30 docker exec "$old_id" aqevia-engine healthcheck
contains " tick=$(began_with "$backup") " "$(docker logs "$old_id")"
quietly docker stop "$old_id"
equal 0 "$(docker inspect --format '{{.State.ExitCode}}' "$old_id")"
at_least "$(began_with "$backup")" "$(began_with "$(examined "$run-old" storage.sqlite)")"
ok

checking 'a folder of this machine serves as well, once it belongs to 999'
mkdir "$work/folder"
chmod 755 "$work/folder"
exits 3 container --volume "$work/folder:/data" "$dev"
contains 'level=error msg="cannot start"' "$said"
quietly container --user root --volume "$work/folder:/data" --entrypoint chown "$dev" 999:999 /data
folder_id=$(docker run --detach --label "$run" --name "$run-folder" --volume "$work/folder:/data" "$dev")
within 30 docker exec "$folder_id" aqevia-engine healthcheck
quietly docker rm --force "$folder_id"
quietly container --user root --volume "$work/folder:/data" --entrypoint sh "$dev" -c 'rm -rf /data/*; chown 0:0 /data'
ok

checking 'the runtime image goes on with the same volume and gets healthy'
runtime_id=$(docker run --detach --label "$run" --name "$run-runtime" --read-only --cap-drop ALL \
  -v "$run-second":/data "$runtime")
within 60 healthy "$runtime_id"
equal aqevia "$(docker exec "$runtime_id" id --user --name)"
equal "$(cat VERSION)" "$(docker exec "$runtime_id" cat /app/VERSION)"
equal aqevia "$(docker exec "$runtime_id" stat --format %U /app/VERSION)"
contains 'tick=' "$(docker logs "$runtime_id")"
[[ $(docker logs "$runtime_id") != *'founded a new world'* ]] || complain 'it did not find the World'
quietly docker stop "$runtime_id"
equal 0 "$(docker inspect --format '{{.State.ExitCode}}' "$runtime_id")"
ok

# --- reset

checking 'reset: down, docker volume rm, up --build found a new World at tick 0'
within 30 ready
before=$(tick)
quietly docker compose down
quietly docker volume rm "$ENGINE_VOLUME"
quietly docker compose up --build --detach
within 30 ready
equal 0 "$(began_at)"
contains 'founded a new world' "$(docker compose logs)"
at_most "$before" "$(tick)"
ok

checking 'make reset asks first'
within 30 past 1
exits 2 make reset </dev/null
contains "$ENGINE_VOLUME" "$said"
ready
ok

checking 'a World of the largest file and most entities that are accepted is founded within the memory that is allowed'
largest=$(sed -n 's/^pub const WORLD_FILE_BYTES_MAX: u64 = \(.*\);$/\1/p' src/limits.rs)
# Of all that a file may hold, rooms that say next to nothing take the most memory for their bytes.
awk -v most="$((largest))" 'BEGIN {
  printf "%s", head = "{id:\"large\",name:\"A\",rooms:{"
  for (left = most - length(head) - 2; ; left -= length(room)) {
    room = sprintf("a%x:{name:\"A\",description:\"B\"},", n++)
    if (length(room) > left) break
    printf "%s", room
  }
  printf "}}"
}' >"$work/large.json5"
at_least "$((largest - 100))" "$(stat --format %s "$work/large.json5")"
cat >"$work/large.yaml" <<END
services:
  aqevia-engine:
    environment: { AQEVIA_WORLD_PATH: /world.json5 }
    volumes: ["$work/large.json5:/world.json5:ro"]
END
quietly large docker compose up --detach
large within 60 ready
contains 'founded a new world' "$(large docker compose logs)"
contains 536870912 "$(large docker inspect --format '{{.HostConfig.Memory}}' "$(large id)")"
# What it has founded, it can load.
quietly large docker compose restart
large within 60 ready
equal '0 false' "$(large docker inspect --format '{{.RestartCount}} {{.State.OOMKilled}}' "$(large id)")"
quietly large docker compose down --volumes
ok

# --- mistakes

checking 'wrong configuration: exit code 2, and every mistake is named'
exits 2 container -e PERSIST_FLUSH_INTERVAL_MS=9 -e PERSIST_BATCH_CAPACITY=ten \
  -e AQEVIA_SQLITE_PATH=/nowhere/it.sqlite "$dev"
contains 'PERSIST_FLUSH_INTERVAL_MS=\"9\": accepted is' "$said"
contains 'PERSIST_BATCH_CAPACITY=\"ten\": accepted is' "$said"
contains 'AQEVIA_SQLITE_PATH=\"/nowhere/it.sqlite\": accepted is' "$said"
equal 3 "$(grep -c '^ts=.* level=error msg="cannot start" ' <<<"$said")"
exits 2 container "$dev" dance
contains 'aqevia-engine --help' "$said"
ok

checking 'a folder that is not writable, and a file that is no database: exit code 3, nothing changed'
exits 3 container --read-only --tmpfs /data:mode=755 "$dev"
# shellcheck disable=SC2016 # meant for the shell inside
exits 3 container --entrypoint sh "$dev" -c \
  'echo "not a database" >/data/storage.sqlite; aqevia-engine; code=$?; cat /data/storage.sqlite; exit $code'
contains README "$said"
contains 'not a database' "$said"
ok

checking 'an address that is not there: exit code 4; a health check without an engine: exit code 1'
exits 4 container -e AQEVIA_OBSERVABILITY_ADDR=192.0.2.1:7878 "$dev"
contains 'AQEVIA_OBSERVABILITY_ADDR sets where HTTP listens' "$said"
exits 1 container "$dev" healthcheck
ok

checking 'a command that is the first process of its container ends when it is told to'
waiting=$(docker run --detach --interactive --label "$run" --name "$run-check" "$dev" check /dev/stdin)
asked_ms=$(date +%s%3N)
quietly docker stop "$waiting"
at_most 5000 "$(($(date +%s%3N) - asked_ms))"
equal 143 "$(docker inspect --format '{{.State.ExitCode}}' "$waiting")"
ok
