#!/usr/bin/env bash
# Runs each fuzz target for so many seconds, by way of `make fuzz`, which says in CARGO how a nightly cargo is called.
# What a target has found lies in artifacts/ afterwards; what it has learnt, in corpus/, where the next run begins.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=$1
target_folder=${CARGO_TARGET_DIR:-target}
corpus=tests/fuzz/corpus
folder=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir -p $corpus/{request,world_file,database,wire,proxy,telnet,websocket,commands}
printf 'GET / HTTP/1.1\r\nHost: a\r\n\r\n' >$corpus/request/seed
cp src/builtin.json5 $corpus/world_file/
sed -n '/^```json5$/,/^```$/{//!p}' src/world/README.md >$corpus/world_file/taught.json5
# No edit, of what a stopped engine leaves and of what a killed one does; and a whole file, which an engine has made.
printf '\0' >$corpus/database/stopped
cp tests/databases/*.sqlite $corpus/database/
printf '\7' >$corpus/database/killed
cargo build --locked
AQEVIA_WORLD_PATH=$corpus/world_file/taught.json5 AQEVIA_SQLITE_PATH=$folder/storage.sqlite \
  AQEVIA_OBSERVABILITY_ADDR=127.0.0.1:0 timeout 2 "$target_folder/debug/aqevia-engine" || [ $? = 124 ]
cp "$folder/storage.sqlite" $corpus/database/whole
# A flush, an entity that is gone, a line for the log, a player, a ban, a keepsake.
printf '\21\0\0\0\4\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >$corpus/wire/flush
printf '\12\0\0\0\0\2\1\0\0\0\0\0\0\0' >$corpus/wire/gone
printf '\25\0\0\0\1\2\1\0\0\0a\1\0\0\0\1\0\0\0b\1\0\0\0c' >$corpus/wire/note
printf '\32\0\0\0\0\6\1\0\0\0\0\0\0\0\1\1\0\0\0a\1\1\0\0\2\1\120\0\0\0' >$corpus/wire/player
printf '\30\0\0\0\0\7\1\0\0\0\0\0\0\0\1\0\0\0a\1\1\0\0\0\0\0\0\0' >$corpus/wire/ban
printf '\45\0\0\0\0\10\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\1\0\0\0a\1\0\0\0b\0\0\0\0\0\0\0\0' >$corpus/wire/keepsake
# Headers in text and in binary, with more beside the addresses.
printf 'PROXY TCP4 192.0.2.7 192.0.2.1 56324 4000\r\nguest\r\n' >$corpus/proxy/text
printf '\r\n\r\n\0\r\nQUIT\n\41\21\0\20\300\0\2\7\300\0\2\1\334\4\17\240\4\0\1xguest' >$corpus/proxy/binary
# A name, a size, a character set, messages, a line.
printf '\377\373\030\377\372\030\0MUDLET\377\360\377\373\037\377\372\037\0\120\0\030\377\360look\r\n' >$corpus/telnet/names
printf '\377\375\052\377\372\052\2UTF-8\377\360\377\373\047\377\372\047\0\3MTTS\00113\377\360look\n' >$corpus/telnet/facts
printf '\377\375\106\377\375\311\377\372\311Core.Supports.Set ["Room 1"]\377\360look\n' >$corpus/telnet/messages
# A line, a ping, GMCP in parts, the end; a handshake.
printf '\0\201\204\0\0\0\0look\211\201\1\2\3\4p\210\200\0\0\0\0' >$corpus/websocket/line
printf '\2\1\202\0\0\0\0A \200\201\0\0\0\0001\202\202\0\0\0\0n\n' >$corpus/websocket/gmcp
printf '\3GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nOrigin: http://a\r\n' >$corpus/websocket/handshake
printf 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n' >>$corpus/websocket/handshake
# Two come in, one takes what the other wants, a question, a way, somebody who is gone and comes back.
printf '%s\n' +0 0Anna 0yes +1 '@1["Char 1"]' 1guest '0get apple' 02 '1get all' '1give red to anna' "0'Thanks." 0n -0 '~' +2 2anna \
  20000-0000-0000-0000 '2put apple in basket' '1register Zoe' '.' '!' >$corpus/commands/visit
# Two go together, one leaves and is told something, a title, words of one's own.
printf '%s\n' +0 0Anna 0yes +1 1Bob 1yes '1follow anna' 0n 0s '0title the Tall' '0alias gg get all' '0gg now' 1quit '0tell bob Come.' \
  '0tell bob Come.' +2 2bob 20000-0000-0000-0000 '2history tells' 2who 0score '0unalias gg' '!' >$corpus/commands/company

# SQLite's C is watched too. With clang it also tells which way a run took through it, so that the fuzzer finds more.
export CFLAGS=-fsanitize=address
if command -v clang >/dev/null; then
  export CC=clang CFLAGS="$CFLAGS -fsanitize-coverage=inline-8bit-counters,pc-table"
else
  echo 'SKIPPED: without clang nothing tells the fuzzer its way through SQLite' >&2
fi

declare -A bytes_max=([request]=36864 [world_file]=65536 [database]=32768 [wire]=65536 [proxy]=1024 [telnet]=8192 [websocket]=8192 [commands]=4096)
results=() found=0
# The database target works on files, in TMPDIR.
export TMPDIR=$folder
for target in request world_file database wire proxy telnet websocket commands; do
  echo "== $target, for $seconds seconds"
  options=(-max_total_time="$seconds" -max_len="${bytes_max[$target]}" -timeout=30 -rss_limit_mb=2048
    -print_final_stats=1 -verbosity=0)
  # A length that is said must take no memory before what is so long is there.
  [ $target != wire ] || options+=(-malloc_limit_mb=16)
  [ ! -f tests/fuzz/$target.dict ] || options+=("-dict=tests/fuzz/$target.dict")
  result='nothing found'
  $CARGO fuzz run --fuzz-dir tests/fuzz --target-dir "$target_folder/fuzz" $target -- "${options[@]}" 2>&1 |
    tee "$folder/log" || { result="FAILED: see above and tests/fuzz/artifacts/$target"; found=1; }
  runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$folder/log")
  results+=("$target: ${runs:-0} runs, $result")
done
printf '%s\n' "${results[@]}"
exit $found
