//! Every vector of `tests/vectors/http`, sent whole, byte by byte, and cut in two wherever that can matter: the answers
//! are those that the vector expects, and the very same bytes every time. The real server, on a network in memory, while time
//! stands still.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use aqevia_engine::clock::Monotonic;
use aqevia_engine::http::request::Reject;
use aqevia_engine::limits::{HTTP_HEAD_BYTES_MAX, HTTP_REQUEST_LINE_BYTES_MAX};

use crate::network::Network;
use crate::stand::{Server, Stand};

#[path = "../vectors/format.rs"]
mod format;
use format::Vector;

const NOW: Monotonic = Monotonic(Duration::ZERO);
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

/// Where to cut so many bytes: everywhere, but of what is long only some places in the middle of a line that is long.
fn places(length: usize) -> impl Iterator<Item = usize> {
    let edges = [0, HTTP_REQUEST_LINE_BYTES_MAX, HTTP_HEAD_BYTES_MAX, length];
    let is_near_an_edge = move |cut: usize| edges.iter().any(|edge| edge.abs_diff(cut) < 200);
    (0..=length).filter(move |cut| length < 4_096 || cut % 97 == 0 || is_near_an_edge(*cut))
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
fn a_vector_with_a_mistake_in_it_is_refused() {
    assert!(
        format::read("x", "# x\nsend \\x41\nrepeat 3 b\nend\nexpect 2 times 200 open\nexpect 400 close host").is_ok()
    );
    for text in [
        "",
        "send x\nexpect nothing open",
        "# x\nsend x",
        "# x\nsned x\nexpect nothing open",
        "# x\n\nsend x\nexpect nothing open",
        "# x\nsend x \nexpect nothing open",
        "# x\nsend \u{e9}\nexpect nothing open",
        "# x\nsend \\q\nexpect nothing open",
        "# x\nsend \\x4\nexpect nothing open",
        "# x\nrepeat x\nexpect nothing open",
        "# x\nend\nsend x\nexpect nothing close",
        "# x\nexpect nothing open\nsend x",
        "# x\nexpect 200",
        "# x\nexpect 200 shut",
        "# x\nexpect 200 open unheard_of",
        "# x\nexpect 200 close\nexpect 200 open",
        "# x\nexpect nothing close\nexpect nothing open",
        "# x\nalso x\nexpect nothing open",
    ] {
        assert!(format::read("x", text).is_err(), "{text}");
    }
}

#[test]
fn every_reason_for_a_rejection_is_given_to_a_vector() {
    let vectors = format::all();
    // Time stands still here.
    let given = vectors.iter().flat_map(|vector| &vector.answers).filter_map(|answer| answer.reason.as_deref());
    assert_eq!(
        given.collect::<BTreeSet<_>>(),
        Reject::ALL.iter().map(|reject| reject.label()).filter(|reason| *reason != "late").collect()
    );
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
    let (vectors, next) = (format::all(), AtomicUsize::new(0));
    let work = || {
        let stand = Stand::new();
        while let Some(vector) = vectors.get(next.fetch_add(1, Ordering::Relaxed)) {
            let whole = whole(&stand, vector);
            for cut in places(vector.sends.len()) {
                let pieces: [&[u8]; 2] = vector.sends.split_at(cut).into();
                assert!(converse(&stand, pieces, vector.ends) == whole, "{}, cut at {cut}", vector.name);
            }
        }
    };
    // These are some 200,000 conversations.
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
}
