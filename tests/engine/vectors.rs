//! Every vector of `tests/vectors/http` against the binary: each sent whole on a connection of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::support::{Engine, Folder};

#[path = "../vectors/format.rs"]
mod format;
use format::Vector;

#[test]
fn every_vector_gets_its_answers_over_a_socket() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    let judge = |vector: Vector| {
        let (answers, closed) = converse(&engine, &vector);
        vector.judge(&answers, closed).err()
    };
    let wrong: Vec<String> = format::all().into_iter().filter_map(judge).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// All that comes back, and whether the connection is closed.
fn converse(engine: &Engine, vector: &Vector) -> (Vec<u8>, bool) {
    let mut stream = engine.connect();
    stream.write_all(&vector.sends).unwrap();
    if vector.ends {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut answers = Vec::new();
    // A connection that is to stay open says nothing when all its answers are there, so they are counted.
    while !vector.closed && vector.judge(&answers, false).is_err() {
        if !receive(&mut stream, &mut answers) {
            return (answers, true);
        }
    }
    if !vector.closed {
        // Whoever comes later gets an answer later: whatever else was to come has come with this one.
        engine.get("/health");
        stream.set_nonblocking(true).unwrap();
    }
    while receive(&mut stream, &mut answers) {}
    let closed = !matches!(stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    (answers, closed)
}

/// Reads once; false if there was nothing.
fn receive(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 64 * 1024];
    let count = stream.read(&mut buffer).unwrap_or(0);
    bytes.extend_from_slice(&buffer[..count]);
    count > 0
}
