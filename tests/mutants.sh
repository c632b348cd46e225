#!/usr/bin/env bash
# Changes src/ in one place at a time and sees whether a test fails. What no test noticed stands in
# mutants.out/missed.txt afterwards: either a test is missing, or the change makes no difference. From the environment:
#   COUNT  how many places, spread over all of them [20]
#   SEED   which: the next number means others [at random]
#   ONLY   of these files alone, such as 'src/world/*.rs'
#   BASE   a commit: instead of such a sample, all places where src differs from it
# Arguments are options for `cargo test`, instead of those that run, shortened, all tests that look at behaviour.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cargo-mutants >/dev/null || {
  echo 'cargo-mutants is missing: cargo install --locked cargo-mutants' >&2
  exit 2
}
[ $# != 0 ] || set -- --lib --test proof --test engine

which=()
[ -z "${ONLY:-}" ] || which+=(--file "$ONLY")
if [ -n "${BASE:-}" ]; then
  diff=$(mktemp)
  trap 'rm -f "$diff"' EXIT
  git diff "$BASE" -- src >"$diff"
  which+=(--in-diff "$diff")
else
  all=$(cargo mutants --list "${which[@]}" | wc -l)
  shards=$((all / ${COUNT:-20})) seed=${SEED:-$RANDOM}
  [ "$shards" -gt 0 ] || shards=1
  echo "One of $shards of $all places; the same again: SEED=$seed"
  which+=(--sharding round-robin --shard "$((seed % shards))/$shards")
fi
# A change after which a test never ends counts as noticed.
KILL_ROUNDS=5 cargo mutants --timeout 240 "${which[@]}" -- --locked "$@"
