//! Every vector of `tests/vectors/telnet`, sent whole, byte by byte, and cut in two wherever that can matter: the lines,
//! the facts and the bytes answered are those that the vector expects, every time.

use std::collections::BTreeSet;

use aqevia_engine::limits::{INPUT_LINE_BYTES_MAX, SUBNEGOTIATION_BYTES_MAX};

#[path = "../vectors/telnet.rs"]
mod format;
use format::{Vector, converse};

fn judge(vector: &Vector, cut: &str, outcome: format::Outcome) {
    assert_eq!(outcome, vector.outcome, "{}, {cut}", vector.name);
}

/// Where to cut so many bytes: everywhere, but of what is long only around the limits and at some places between.
fn places(length: usize) -> impl Iterator<Item = usize> {
    let edges = [0, INPUT_LINE_BYTES_MAX, SUBNEGOTIATION_BYTES_MAX, length];
    let is_near_an_edge = move |cut: usize| edges.iter().any(|edge| edge.abs_diff(cut) < 20);
    (0..=length).filter(move |cut| length < 1_000 || cut % 197 == 0 || is_near_an_edge(*cut))
}

#[test]
fn there_are_at_least_50_telnet_vectors_and_no_two_send_the_same() {
    let vectors = format::all();
    let sent: BTreeSet<_> = vectors.iter().map(|vector| &vector.sends).collect();
    assert!(vectors.len() >= 50 && sent.len() == vectors.len(), "{} of {}", sent.len(), vectors.len());
}

#[test]
fn a_telnet_vector_with_a_mistake_in_it_is_refused() {
    assert!(
        format::read("x", "# x\nsend <WILL 24 SE>\\x41\nrepeat 3 b\nline a\nterminal 80 none utf8 aloud X").is_ok()
    );
    for text in [
        "",
        "send x\nterminal 80 none utf8",
        "# x\nsend x",
        "# x\nsned x\nterminal 80 none utf8",
        "# x\n\nterminal 80 none utf8",
        "# x\nsend x \nterminal 80 none utf8",
        "# x\nsend é\nterminal 80 none utf8",
        "# x\nline x\nsend x\nterminal 80 none utf8",
        "# x\nsend <WILL NOTHING>\nterminal 80 none utf8",
        "# x\nsend <WILL TTYPE\nterminal 80 none utf8",
        "# x\nsend <256>\nterminal 80 none utf8",
        "# x\nsend \\q\nterminal 80 none utf8",
        "# x\nsend \\x4\nterminal 80 none utf8",
        "# x\nrepeat x x\nterminal 80 none utf8",
        "# x\nhere now\nterminal 80 none utf8",
        "# x\nterminal 80 few utf8",
        "# x\nterminal 80 none latin1",
        "# x\nterminal 80 none",
        "# x\nterminal x none utf8",
        "# x\nterminal 80 none utf8\nterminal 80 none utf8",
    ] {
        assert!(format::read("x", text).is_err(), "{text}");
    }
}

#[test]
fn every_client_is_understood_and_answered_as_its_vector_says() {
    let wrong = |vector: Vector| {
        let outcome = converse([&vector.sends[..]]);
        (outcome != vector.outcome).then(|| format!("{}: {outcome:?}, not {:?}", vector.name, vector.outcome))
    };
    let wrong: Vec<String> = format::all().into_iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_client_is_understood_byte_by_byte_and_wherever_its_bytes_are_cut() {
    for vector in format::all() {
        judge(&vector, "byte by byte", converse(vector.sends.chunks(1)));
        for cut in places(vector.sends.len()) {
            let pieces: [&[u8]; 2] = vector.sends.split_at(cut).into();
            judge(&vector, &format!("cut at {cut}"), converse(pieces));
        }
    }
}
