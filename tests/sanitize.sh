#!/usr/bin/env bash
# Runs the suite under AddressSanitizer, then the engine itself and its writer, SQLite's C in it, under valgrind. By way of
# `make sanitize`, which says in CARGO how a nightly cargo is called. Whatever either reports is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}/sanitize
folder=$(mktemp -d)
process=
clean_up() {
  [ -z "$process" ] || kill -KILL "$process" 2>/dev/null || true
  rm -rf "$folder"
}
trap clean_up EXIT
fail() {
  echo "sanitize: $*" >&2
  exit 1
}
# Fails if there is a report in a folder, and shows it.
expect_no_reports() {
  ! cat "$1"/* 2>/dev/null | grep . >&2 || fail "$(basename "$1") has found something"
}
command -v valgrind >/dev/null || fail 'valgrind is missing'

echo '== The suite under AddressSanitizer'
# The engines that the tests start write their reports here as well, one of them as another user. Leaks are left to
# valgrind: the search for them does not work in an engine that is traced, or that ignores SIGCHLD. SIGBUS is what a
# test makes happen to the writer, and no fault.
chmod 711 "$folder"
mkdir -m 1777 "$folder/AddressSanitizer"
export ASAN_OPTIONS=log_path=$folder/AddressSanitizer/report:detect_leaks=0:handle_sigbus=0
passed=0
# With --target, what runs at build time stays as it is. A little optimised, because the tests have time limits.
CARGO_PROFILE_DEV_OPT_LEVEL=1 CFLAGS=-fsanitize=address RUSTFLAGS=-Zsanitizer=address \
  $CARGO test --locked --target "$(rustc --print host-tuple)" --target-dir "$target" --lib --bins --tests && passed=1
expect_no_reports "$folder/AddressSanitizer"
[ $passed = 1 ] || fail 'the suite fails'

echo '== The engine under valgrind'
# As released, but for the symbols that valgrind names things by.
CARGO_PROFILE_RELEASE_STRIP=false CARGO_PROFILE_RELEASE_DEBUG=true \
  cargo build --locked --release --target-dir "$target"
mkdir "$folder/valgrind"
# The engine starts its writer from /proc/self/exe, which is valgrind itself to the kernel.
cat >"$folder/exe.c" <<'EOF'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
int posix_spawnp(pid_t *process, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    __typeof__(&posix_spawnp) next = dlsym(RTLD_NEXT, "posix_spawnp");
    if (strcmp(file, "/proc/self/exe") == 0)
        file = getenv("ENGINE_PROGRAM");
    return next(process, file, actions, attributes, arguments, environment);
}
EOF
"${CC:-cc}" -shared -fPIC -o "$folder/exe.so" "$folder/exe.c"
# The writer ends where it is, with its arguments in memory.
cat >"$folder/suppressions" <<'EOF'
{
  arguments
  Memcheck:Leak
  match-leak-kinds: definite
  fun:malloc
  ...
  fun:main<*ArgsOs>>
  fun:*aqevia_engine4main*
}
EOF
engine=(env LD_PRELOAD="$folder/exe.so" ENGINE_PROGRAM="$(realpath "$target")/release/aqevia-engine"
  valgrind --quiet --trace-children=yes --log-file="$folder/valgrind/%p" --error-exitcode=99
  --suppressions="$folder/suppressions" --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite "$target/release/aqevia-engine")
export AQEVIA_SQLITE_PATH=$folder/storage.sqlite AQEVIA_OBSERVABILITY_ADDR=127.0.0.1:0 AQEVIA_LOG_LEVEL=debug
export AQEVIA_TICK_INTERVAL_MS=10 PERSIST_FLUSH_INTERVAL_MS=20

# Waits up to a minute for a command to succeed.
wait_for() {
  for _ in {1..600}; do
    ! "$@" || return 0
    sleep 0.1
  done
  fail "waited too long for: $*"
}
runs() {
  kill -0 "$process" || fail "the engine does not start: $(cat "$folder/log")"
  address=$(sed -n 's/.* msg=listening addr=\([^ ]*\) .*/\1/p' "$folder/log")
  [ -n "$address" ] && grep -q ' msg=running ' "$folder/log"
}
# Its child has a report of its own.
writer_is_watched() {
  [ -f "$folder/valgrind/$(cut -d ' ' -f 1 "/proc/$process/task/$process/children")" ]
}
# Sends bytes on a connection of their own, and prints all that comes back.
send() {
  exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
  printf '%b' "$1" >&3
  timeout 60 cat <&3
  exec 3>&-
}
# Expects these status codes for these bytes.
expect() {
  local codes
  codes=$(send "$2" | { grep --text --only-matching 'HTTP/1.1 [0-9]*' || true; } | cut -d ' ' -f 2 | paste -sd ' ')
  [ "$codes" = "$1" ] || fail "$2 is answered $codes"
}
has_persisted() {
  [ "$(send 'GET /status HTTP/1.0\r\n\r\n' | sed -n 's/.*"persisted_tick":\([0-9]*\).*/\1/p')" -ge "$1" ]
}

# It founds a world and is stopped, loads it and is killed, then finds what that has left.
get='GET / HTTP/1.1\r\nHost: a\r\n'
close='Connection: close\r\n\r\n'
tick=0
for end in TERM=0 KILL=137 TERM=0; do
  # Emptied here: the engine before had another address.
  : >"$folder/log"
  "${engine[@]}" >>"$folder/log" &
  process=$!
  wait_for runs
  wait_for writer_is_watched
  for path in / /health /ready /status /metrics; do
    expect '200 200 200' "${get/\/ /$path }\r\n${get/\/ /$path }\r\n${get/\/ /$path }$close"
    expect 200 "HEAD $path HTTP/1.0\r\n\r\n"
  done
  expect '404 405 501' "${get/\/ //nope }\r\n${get/GET/POST}\r\n${get/GET/BREW}$close"
  expect 400 'GET / HTTP/1.1\nHost: a\n\n'
  expect 400 "${get}Content-Length: x\r\n\r\n"
  expect 501 "${get}Transfer-Encoding: chunked\r\n\r\n"
  expect 414 "GET /$(printf '%03000d' 0) HTTP/1.1\r\n\r\n"
  expect 431 "${get}X: $(printf '%034000d' 0)\r\n\r\n"
  AQEVIA_OBSERVABILITY_ADDR=$address "${engine[@]}" healthcheck
  tick=$((tick + 400))
  wait_for has_persisted $tick
  "${engine[@]}" backup "$folder/copy-$tick.sqlite"
  kill -s "${end%=*}" "$process"
  code=0
  wait "$process" || code=$?
  process=
  [ "$code" = "${end#*=}" ] || fail "the engine ends with $code: $(cat "$folder/log")"
  "${engine[@]}" check "$AQEVIA_SQLITE_PATH"
  "${engine[@]}" check "$folder/copy-$tick.sqlite"
  "${engine[@]}" export >"$folder/export.json5"
  "${engine[@]}" check "$folder/export.json5"
done
expect_no_reports "$folder/valgrind"
echo 'Nothing was reported.'
