//! Every vector of `tests/vectors/websocket`, sent whole, byte by byte, and cut in two wherever that can matter: what
//! happens and the bytes answered are those that the vector expects, every time.

use std::collections::BTreeSet;

use aqevia_engine::limits::{INPUT_LINE_BYTES_MAX, WEB_MESSAGE_BYTES_MAX};

#[path = "../vectors/websocket.rs"]
mod format;
use format::{Vector, converse};

/// Where to cut so many bytes: everywhere, but of what is long only around the limits and at some places between.
fn places(length: usize) -> impl Iterator<Item = usize> {
    let edges = [0, INPUT_LINE_BYTES_MAX, WEB_MESSAGE_BYTES_MAX, length];
    let is_near_an_edge = move |cut: usize| edges.iter().any(|edge| edge.abs_diff(cut) < 20);
    (0..=length).filter(move |cut| length < 1_000 || cut % 197 == 0 || is_near_an_edge(*cut))
}

#[test]
fn there_are_at_least_100_websocket_vectors_and_no_two_send_the_same() {
    let vectors = format::all();
    let sent: BTreeSet<_> = vectors.iter().map(|vector| (vector.subprotocol, &vector.sends)).collect();
    assert!(vectors.len() >= 100 && sent.len() == vectors.len(), "{} of {}", sent.len(), vectors.len());
}

#[test]
fn a_websocket_vector_with_a_mistake_in_it_is_refused() {
    let sound =
        "# x\nas gmcp\nmask 0 1 2 f\nframe text <2 a>\\<\\x41\npart 3\nrepeat 2 send b\nanswer close 1000\nline a";
    assert!(format::read("x", sound).is_ok());
    for text in [
        "",
        "send x",
        "# x",
        "# x\nas plain\nsend x",
        "# x\nsned x",
        "# x\n\nsend x",
        "# x\nsend x ",
        "# x\nsend \u{e9}",
        "# x\nsend \\q",
        "# x\nsend \\x4",
        "# x\nsend <2",
        "# x\nsend <a>",
        "# x\nframe words a",
        "# x\nrepeat x send a",
        "# x\nrepeat 2 line a",
        "# x\nmask 0 1 2\nsend x",
        "# x\nsend x\nas gmcp",
        "# x\nsend x\nline a\nsend x",
        "# x\nsend x\nline \\xff",
        "# x\nsend x\nanswer close 70000",
        "# x\nsend x\nclosed 1",
    ] {
        assert!(format::read("x", text).is_err(), "{text}");
    }
}

#[test]
fn every_frame_is_understood_and_answered_as_its_vector_says() {
    let wrong = |vector: Vector| {
        let outcome = converse(vector.subprotocol, [&vector.sends[..]]);
        (outcome != vector.outcome).then(|| format!("{}: {outcome:?}, not {:?}", vector.name, vector.outcome))
    };
    let wrong: Vec<String> = format::all().into_iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_frame_is_understood_byte_by_byte_and_wherever_its_bytes_are_cut() {
    for vector in format::all() {
        let judge = |cut: &str, outcome| assert_eq!(outcome, vector.outcome, "{}, {cut}", vector.name);
        judge("byte by byte", converse(vector.subprotocol, vector.sends.chunks(1)));
        for cut in places(vector.sends.len()) {
            let pieces: [&[u8]; 2] = vector.sends.split_at(cut).into();
            judge(&format!("cut at {cut}"), converse(vector.subprotocol, pieces));
        }
    }
}
