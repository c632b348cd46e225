//! What HTTP adds to its connections: whole requests are answered, and a head must be whole in time.
//!
//! The deadline of a head runs from its first byte, so dripping bytes buys no time. How connections are accepted, read,
//! written and ended stands in `net/mod.rs`; what is to be had at a port, its `Site` knows.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::time::Duration;

use super::Snapshot;
use super::answer::{self, Answer, Counters, Limit, Status};
use super::request::{Method, Parser, Path, Reject, Request, parse};
use crate::clock::{Monotonic, Wall};
use crate::limits::{
    HTTP_ANSWER_BYTES, HTTP_ANSWERS_PER_TURN, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_MS_MAX, HTTP_IDLE_MS_MAX,
    HTTP_OUTPUT_BYTES_HIGH, HTTP_REQUESTS_PER_TURN, HTTP_STOP_IDLE_MS_MAX, HTTP_WRITE_MS_MAX,
};
use crate::net::Net;
use crate::net::connection::{Connection, Listener};
use crate::sys::Readiness;

/// What is to be had at a port.
pub trait Site<'a, L: Listener> {
    /// Answers a request, of which this is the head.
    fn answer(&mut self, request: &Request, head: &[u8], counters: &Counters) -> Reply<'a>;

    /// Takes over a connection that was opened to another protocol.
    fn open(&mut self, _: u64, _: &mut Net<L>) {}

    /// Gives a turn to one that was taken over; returns how much there was to do, at least 1.
    fn take_turn(&mut self, _: u64, _: &mut Net<L>) -> usize {
        1
    }

    /// Learns that such a one is gone.
    fn part(&mut self, _: u64) {}
}

/// What becomes of a request.
pub enum Reply<'a> {
    /// It is answered.
    Answer(Answer<'a>),
    /// It is answered by these bytes, and what follows is another protocol (RFC 9110 section 7.8).
    Switch(Vec<u8>),
}

impl<'a, L: Listener> Site<'a, L> for &'a Snapshot<'_> {
    fn answer(&mut self, request: &Request, _: &[u8], counters: &Counters) -> Reply<'a> {
        Reply::Answer(answer::answer(request, self, counters))
    }
}

/// The port and its clients.
pub struct Server {
    /// Which port of the network it is.
    pub port: usize,
    /// By the numbers of their connections.
    clients: BTreeMap<u64, Client>,
    /// What is counted.
    pub counters: Counters,
    /// What is done in one turn of the loop, all clients together.
    work_per_turn: usize,
    /// Every answer is the last one of its connection.
    is_stopping: bool,
}

/// What the clients share in one turn of the loop.
struct Turn<'a> {
    now: Monotonic,
    counters: &'a mut Counters,
    /// The Date of answers.
    date: String,
    /// How much more may be done.
    budget: usize,
    is_stopping: bool,
}

#[derive(Default)]
struct Client {
    parser: Parser,
    /// A request has begun to come in.
    has_begun: bool,
    /// The last request was for another protocol.
    has_switched: bool,
}

impl Server {
    /// Serves whoever comes by way of `listener`, at most `connections_max` at a time.
    pub fn open<L: Listener>(
        listener: L,
        connections_max: usize,
        net: &mut Net<L>,
        poller: &mut impl Readiness,
    ) -> io::Result<Server> {
        Server::bounded(listener, connections_max, HTTP_ANSWERS_PER_TURN, HTTP_WRITE_MS_MAX, net, poller)
    }

    /// The same where other work than answers may be done in a turn, and answers may be taken in another time.
    pub fn bounded<L: Listener>(
        listener: L,
        connections_max: usize,
        work_per_turn: usize,
        write_ms_max: u64,
        net: &mut Net<L>,
        poller: &mut impl Readiness,
    ) -> io::Result<Server> {
        // An empty line may come before the head.
        let port = net.open(listener, connections_max, 2 + HTTP_HEAD_BYTES_MAX, write_ms_max, poller)?;
        let (clients, counters) = Default::default();
        Ok(Server { port, clients, counters, work_per_turn, is_stopping: false })
    }

    /// Begins to stop: whoever has connected is still served, with an answer that ends the connection, and nobody else.
    pub fn stop<L: Listener>(&mut self, net: &mut Net<L>) {
        self.is_stopping = true;
        net.refuse(self.port);
        // They may idle for a shorter time now.
        let less = Duration::from_millis(HTTP_IDLE_MS_MAX - HTTP_STOP_IDLE_MS_MAX);
        for (number, _) in self.clients.iter().filter(|(_, client)| !client.has_begun) {
            net.with(*number, |connection| connection.due = Monotonic(connection.due.0.saturating_sub(less)));
        }
    }

    /// What /status tells.
    pub fn status(&self, snapshot: &Snapshot) -> String {
        answer::report(snapshot, &self.counters)
    }

    /// Answers those that have a turn, and lets in who has connected.
    pub fn serve<'a, L: Listener>(
        &mut self,
        net: &mut Net<L>,
        now: Monotonic,
        wall: Wall,
        site: &mut impl Site<'a, L>,
    ) {
        self.counters.net = net.counters(self.port);
        let (counters, is_stopping) = (&mut self.counters, self.is_stopping);
        let mut turn = Turn { now, counters, date: wall.imf_fixdate(), budget: self.work_per_turn, is_stopping };
        while turn.budget > 0
            && let Some(number) = net.next(self.port)
        {
            if let Some(client) = self.clients.get_mut(&number) {
                net.with(number, |connection| client.take_turn(connection, &mut turn, site));
                if !client.has_switched {
                    continue;
                }
                self.clients.remove(&number);
                site.open(number, net);
            }
            turn.budget = turn.budget.saturating_sub(site.take_turn(number, net));
        }
        if net.is_behind(self.port) {
            turn.counters.reach(Limit::AnswersPerTurn);
        }
        let accepted = net.accept(self.port, now, turn.idle_until());
        self.clients.extend(accepted.into_iter().map(|number| (number, Client::default())));
        for number in net.gone(self.port) {
            if self.clients.remove(&number).is_none() {
                site.part(number);
            }
        }
    }
}

impl Turn<'_> {
    /// Until when a connection may idle from now on.
    fn idle_until(&self) -> Monotonic {
        let idle_ms = if self.is_stopping { HTTP_STOP_IDLE_MS_MAX } else { HTTP_IDLE_MS_MAX };
        self.now.after(Duration::from_millis(idle_ms))
    }

    fn give(
        &mut self,
        connection: &mut Connection,
        answer: &Answer,
        path: Path,
        after: answer::Connection,
        with_body: bool,
    ) {
        self.counters.count(path, answer.status);
        let before = connection.output.len();
        answer.write(&mut connection.output, &self.date, after, with_body);
        self.budget = self.budget.saturating_sub(1 + (connection.output.len() - before) / HTTP_ANSWER_BYTES);
        if after == answer::Connection::Close {
            connection.close();
        }
    }
}

impl Client {
    fn take_turn<'a, L: Listener>(
        &mut self,
        connection: &mut Connection,
        turn: &mut Turn,
        site: &mut impl Site<'a, L>,
    ) {
        self.answer_all(connection, turn, site);
        if !connection.is_open() || connection.waiting || self.has_switched {
            return;
        }
        if connection.ended {
            connection.close();
        } else if connection.due <= turn.now {
            self.expire(connection, turn);
        }
    }

    /// Answers the whole requests in the input, as many as this turn allows.
    fn answer_all<'a, L: Listener>(
        &mut self,
        connection: &mut Connection,
        turn: &mut Turn,
        site: &mut impl Site<'a, L>,
    ) {
        let mut used = 0;
        let mut left = HTTP_REQUESTS_PER_TURN.min(turn.budget);
        connection.waiting = false;
        while connection.is_open() && !self.has_switched {
            match self.parser.read_on(&connection.input[used..]) {
                Ok(None) => break,
                _ if left == 0 || connection.output.len() >= HTTP_OUTPUT_BYTES_HIGH => {
                    turn.counters.reach(if left == 0 { Limit::RequestsPerTurn } else { Limit::Output });
                    connection.waiting = true;
                    break;
                }
                Ok(Some((request, length))) => {
                    let reply = site.answer(&request, &connection.input[used..used + length], turn.counters);
                    used += length;
                    self.parser = Parser::default();
                    connection.idle_since = connection.idle_since.max(turn.now);
                    match reply {
                        Reply::Answer(answer) => Client::respond(connection, &request, &answer, used, turn),
                        Reply::Switch(answer) => {
                            turn.counters.count(request.path, Status::SwitchingProtocols);
                            connection.output.extend(answer);
                            self.has_switched = true;
                        }
                    }
                    left = (left - 1).min(turn.budget);
                }
                Err(reject) => self.reject(connection, reject, used, turn),
            }
        }
        if connection.is_open() {
            connection.consume(used);
            let had_begun = mem::replace(&mut self.has_begun, !self.parser.head(&connection.input).is_empty());
            if self.has_begun && (used > 0 || !had_begun) {
                connection.due = turn.now.after(Duration::from_millis(HTTP_HEAD_MS_MAX));
            } else if used > 0 {
                connection.due = turn.idle_until();
            }
        }
    }

    /// Ends a connection that is overdue. One that was sending a request is told.
    fn expire(&self, connection: &mut Connection, turn: &mut Turn) {
        if self.has_begun {
            self.reject(connection, Reject::Late, 0, turn);
            turn.counters.reach(Limit::HeadDeadline);
        } else {
            connection.close();
            turn.counters.reach(Limit::Idle);
        }
    }

    /// Answers a request that ends in the input at `used`.
    fn respond(connection: &mut Connection, request: &Request, answer: &Answer, used: usize, turn: &mut Turn) {
        // Who has sent more before the stop gets answers to that too.
        let is_last = turn.is_stopping && parse(&connection.input[used..]) == Ok(None);
        let after = match (request.keep_alive && !is_last, request.is_http10) {
            (true, false) => answer::Connection::Open,
            (true, true) => answer::Connection::KeepAlive,
            (false, _) => answer::Connection::Close,
        };
        turn.give(connection, answer, request.path, after, request.method != Method::Head);
    }

    /// Gives the last answer, to a request that begins in the input at `used` and may not be whole. Where that can be
    /// one for HEAD, the answer has no body.
    fn reject(&self, connection: &mut Connection, reject: Reject, used: usize, turn: &mut Turn) {
        let (status, message) = reject.answer();
        turn.counters.rejects[reject as usize] += 1;
        let head = self.parser.head(&connection.input[used..]);
        let is_for_head = head.iter().zip(b"HEAD ").all(|(byte, expected)| byte == expected);
        let answer = answer::error(status, message);
        turn.give(connection, &answer, Path::Other, answer::Connection::Close, !is_for_head);
    }
}
