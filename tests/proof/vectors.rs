//! Every vector of `tests/vectors/http`, sent whole, byte by byte, and cut in two at every place: the answers are those
//! that the vector expects, and the very same bytes every time. The real server, on a network in memory, while time
//! stands still.

use std::collections::BTreeSet;
use std::time::Duration;

use aqevia_engine::clock::Monotonic;
use aqevia_engine::http::request::REJECTS;
use aqevia_engine::http::server::Server;
use aqevia_engine::limits::{HTTP_HEAD_BYTES_MAX, HTTP_REQUEST_LINE_BYTES_MAX};

use crate::network::Network;
use crate::stand::Stand;

#[path = "../vectors/format.rs"]
mod format;
use format::Vector;

const NOW: Monotonic = Monotonic::at(Duration::ZERO);
/// More than all answers to a vector take.
const ROOM: usize = 1 << 20;

/// Sends `pieces` one by one, each when the server has nothing left to do, and with the last one, if it `ends`, the
/// end. Returns all that comes back, and whether the connection is closed.
fn converse<'a>(stand: &Stand, pieces: impl IntoIterator<Item = &'a [u8]>, ends: bool) -> (Vec<u8>, bool) {
    let network = Network::default();
    let client = network.connect(ROOM);
    let mut server = Server::new(network, 1);
    let mut pieces = pieces.into_iter().peekable();
    while let Some(piece) = pieces.next() {
        client.send(piece);
        if ends && pieces.peek().is_none() {
            client.end();
        }
        stand.serve(&mut server, NOW);
    }
    (client.take(), client.is_over())
}

fn whole(stand: &Stand, vector: &Vector) -> (Vec<u8>, bool) {
    converse(stand, [&vector.sends[..]], vector.ends)
}

#[test]
fn there_are_at_least_150_vectors_and_no_two_send_the_same() {
    let vectors = format::all();
    let sent: BTreeSet<_> = vectors.iter().map(|vector| (&vector.sends, vector.ends)).collect();
    assert!(vectors.len() >= 150 && sent.len() == vectors.len(), "{} of {}", sent.len(), vectors.len());
}

#[test]
fn every_reason_for_a_rejection_is_given_to_a_vector() {
    let vectors = format::all();
    let given = vectors.iter().flat_map(|vector| &vector.answers).filter_map(|answer| answer.reason.as_deref());
    assert_eq!(given.collect::<BTreeSet<_>>(), REJECTS.iter().map(|reject| reject.reason).collect());
}

#[test]
fn every_vector_gets_the_answers_it_expects() {
    let stand = Stand::new();
    let judge = |vector: Vector| {
        let (answers, closed) = whole(&stand, &vector);
        vector.judge(&answers, closed).err()
    };
    let wrong: Vec<String> = format::all().into_iter().filter_map(judge).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_answers_are_the_same_byte_by_byte() {
    let stand = Stand::new();
    for vector in format::all() {
        let pieces = vector.sends.chunks(1).chain([[].as_slice()]);
        assert!(converse(&stand, pieces, vector.ends) == whole(&stand, &vector), "{}", vector.name);
    }
}

#[test]
fn the_answers_are_the_same_wherever_the_bytes_are_cut() {
    let stand = Stand::new();
    for vector in format::all() {
        let whole = whole(&stand, &vector);
        for cut in places(vector.sends.len()) {
            let pieces: [&[u8]; 2] = vector.sends.split_at(cut).into();
            assert!(converse(&stand, pieces, vector.ends) == whole, "{}, cut at {cut}", vector.name);
        }
    }
}

/// Every place to cut at; of more than a thousand bytes, far from their ends and from the limits, each seventh. What
/// repeats itself there does so in steps that seven does not divide, so that no part of it is left out.
fn places(length: usize) -> impl Iterator<Item = usize> {
    let marks = [0, HTTP_REQUEST_LINE_BYTES_MAX, HTTP_HEAD_BYTES_MAX, length];
    let is_near = move |cut: usize| marks.iter().any(|mark| cut.abs_diff(*mark) <= 64);
    (0..=length).filter(move |cut| length <= 1_000 || cut % 7 == 0 || is_near(*cut))
}
