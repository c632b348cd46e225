//! The HTTP listener and its connections: accepting, evicting, deadlines, and one turn of work at a time.
//!
//! Every deadline is absolute: that of a head runs from its first byte, that of an answer from its first unsent one,
//! so dripping bytes buys no time. A full table evicts the connection that has gone longest without a whole request,
//! so a new one, such as a health check, always gets in.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::Snapshot;
use super::answer::{self, Answer, Counters};
use super::request::{Method, Parsed, Reject, Request, parse};
use crate::clock::Monotonic;
use crate::limits::{
    ACCEPT_PAUSE_MS, ACCEPTS_PER_TURN, HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_MS_MAX, HTTP_IDLE_MS_MAX,
    HTTP_LINGER_MS_MAX, HTTP_OUTPUT_BYTES_HIGH, HTTP_REQUESTS_PER_TURN, HTTP_WRITE_MS_MAX,
};
use crate::metrics::count;
use crate::net::{Connection, Received};
use crate::sys::{self, PollFd};

/// The listener and its clients.
pub struct Server {
    listener: TcpListener,
    clients: Vec<Client>,
    clients_max: usize,
    /// While no descriptor is free: when to try accepting again.
    paused_until: Option<Monotonic>,
    descriptors_exhausted: bool,
    counters: Counters,
    /// The Date of answers made in this second.
    date: (u64, String),
}

struct Client {
    connection: Connection,
    phase: Phase,
    /// When it was accepted or last had a request answered.
    idle_since: Monotonic,
    /// When the first byte of the request that is coming in was there.
    head_since: Option<Monotonic>,
    /// The peer sends no more.
    ended: bool,
    /// Whole requests may wait in the input because the turn of this client was over.
    waiting: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests are read and answered.
    Open,
    /// The last answer is being sent; `true` if more of the peer's bytes may still come.
    Closing(bool),
    /// All is sent; what the peer still sends is dropped until then.
    Lingering(Monotonic),
    /// To be taken out of the table.
    Done,
}

impl Server {
    /// Listens on `address`. At most `clients_max` connections are held, and never more than `HTTP_CONNECTIONS_MAX`.
    pub fn bind(address: SocketAddr, clients_max: usize) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Server {
            listener,
            clients: Vec::new(),
            clients_max: clients_max.clamp(1, HTTP_CONNECTIONS_MAX),
            paused_until: None,
            descriptors_exhausted: false,
            counters: Counters::default(),
            date: (0, String::new()),
        })
    }

    /// The address it listens on, with the port that was picked.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Appends what is to be waited for: the listener and then every client, in the order that `read` expects.
    pub fn wait_for(&self, descriptors: &mut Vec<PollFd>) {
        descriptors.push(PollFd::new(&self.listener, self.paused_until.is_none(), false));
        for client in &self.clients {
            let reads = client.reads();
            descriptors.push(PollFd::new(&client.connection, reads, client.connection.unsent() > 0));
        }
    }

    /// The next moment at which something must be done without anything having come in.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let waiting = self.clients.iter().any(Client::has_turn).then(Monotonic::default);
        let deadlines = self.clients.iter().map(Client::deadline);
        deadlines.chain(self.paused_until).chain(waiting).min()
    }

    /// Accepts, reads and answers, as `ready` (in the order of `wait_for`) says. Answers go out with `write`.
    pub fn read(&mut self, ready: &[PollFd], now: Monotonic, snapshot: &Snapshot) {
        self.refresh_date(snapshot);
        for (client, ready) in self.clients.iter_mut().zip(ready.iter().skip(1)) {
            if ready.readable() || client.has_turn() {
                client.read(now, snapshot, &mut self.counters, &self.date.1);
            }
        }
        let rested = self.paused_until.is_some_and(|until| until <= now);
        if rested {
            self.paused_until = None;
        }
        if rested || ready.first().is_some_and(PollFd::readable) {
            self.accept(now);
        }
    }

    fn accept(&mut self, now: Monotonic) {
        for _ in 0..ACCEPTS_PER_TURN {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if sys::is_out_of_descriptors(&error) => {
                    self.paused_until = Some(now.after(Duration::from_millis(ACCEPT_PAUSE_MS)));
                    count(&mut self.counters.limits, "descriptors");
                    self.descriptors_exhausted = true;
                    return;
                }
                // A connection that was reset while it waited says nothing about those behind it.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(_) => return,
            };
            let Ok(connection) = Connection::new(stream, HTTP_HEAD_BYTES_MAX + 2) else { continue };
            if self.clients.len() >= self.clients_max {
                self.evict();
            }
            self.counters.accepted += 1;
            self.clients.push(Client::new(connection, now));
            self.counters.connections = self.clients.len();
        }
    }

    fn evict(&mut self) {
        let longest_idle = (0..self.clients.len()).min_by_key(|index| self.clients[*index].idle_since);
        if let Some(index) = longest_idle {
            self.clients.swap_remove(index);
            self.counters.evictions += 1;
        }
    }

    /// Sends what waits to be sent, ends what is over or overdue.
    pub fn write(&mut self, now: Monotonic) {
        for client in &mut self.clients {
            client.expire(now, &mut self.counters, &self.date.1);
            client.write(now);
        }
        let before = self.clients.len();
        self.clients.retain(|client| client.phase != Phase::Done);
        if self.clients.len() < before {
            // A descriptor is free again.
            self.paused_until = None;
            self.counters.connections = self.clients.len();
        }
    }

    /// True once after the listener had to rest because no descriptor was free.
    pub fn take_exhaustion(&mut self) -> bool {
        std::mem::take(&mut self.descriptors_exhausted)
    }

    fn refresh_date(&mut self, snapshot: &Snapshot) {
        let second = snapshot.wall.whole_seconds();
        if self.date.0 != second || self.date.1.is_empty() {
            self.date = (second, snapshot.wall.imf_fixdate());
        }
    }
}

impl Client {
    fn new(connection: Connection, now: Monotonic) -> Client {
        Client { connection, phase: Phase::Open, idle_since: now, head_since: None, ended: false, waiting: false }
    }

    /// Whether bytes of the peer are of interest. A peer that does not take its answers is not read on.
    fn reads(&self) -> bool {
        match self.phase {
            Phase::Open => !self.ended && !self.waiting && self.connection.unsent() == 0,
            Phase::Lingering(_) => true,
            Phase::Closing(_) | Phase::Done => false,
        }
    }

    /// Whether requests that wait in the input can be answered now.
    fn has_turn(&self) -> bool {
        self.phase == Phase::Open && self.waiting && self.connection.unsent() == 0
    }

    fn deadline(&self) -> Monotonic {
        let after = |since: Monotonic, milliseconds| since.after(Duration::from_millis(milliseconds));
        if let Phase::Lingering(until) = self.phase {
            return until;
        }
        match (self.connection.unsent_since(), self.head_since) {
            (Some(since), _) => after(since, HTTP_WRITE_MS_MAX),
            (None, Some(since)) => after(since, HTTP_HEAD_MS_MAX),
            (None, None) => after(self.idle_since, HTTP_IDLE_MS_MAX),
        }
    }

    fn read(&mut self, now: Monotonic, snapshot: &Snapshot, counters: &mut Counters, date: &str) {
        if let Phase::Lingering(_) = self.phase {
            if matches!(self.connection.discard(), Received::End | Received::Broken) {
                self.phase = Phase::Done;
            }
            return;
        }
        if self.reads() && self.connection.has_room() {
            match self.connection.receive() {
                Received::Bytes => _ = self.head_since.get_or_insert(now),
                Received::Nothing => (),
                Received::End => self.ended = true,
                Received::Broken => self.phase = Phase::Done,
            }
        }
        if self.phase == Phase::Open && self.connection.unsent() == 0 {
            self.answer_all(now, snapshot, counters, date);
        }
    }

    /// Answers the whole requests in the input, as many as one turn allows.
    fn answer_all(&mut self, now: Monotonic, snapshot: &Snapshot, counters: &mut Counters, date: &str) {
        let mut used = 0;
        let mut answered = 0;
        self.waiting = false;
        while self.phase == Phase::Open {
            if self.connection.unsent() >= HTTP_OUTPUT_BYTES_HIGH {
                count(&mut counters.limits, "output");
                self.waiting = true;
                break;
            }
            if answered == HTTP_REQUESTS_PER_TURN {
                count(&mut counters.limits, "requests_per_turn");
                self.waiting = true;
                break;
            }
            match parse(&self.connection.input()[used..]) {
                Parsed::Partial => break,
                Parsed::Complete(request, length) => {
                    used += length;
                    answered += 1;
                    self.idle_since = now;
                    self.respond(&request, now, snapshot, counters, date);
                }
                Parsed::Rejected(reject) => self.reject(&reject, now, counters, date),
            }
        }
        self.connection.consume(used);
        if used > 0 {
            self.head_since = (!self.connection.input().is_empty()).then_some(now);
        }
        if self.ended && self.phase == Phase::Open && !self.waiting {
            self.phase = Phase::Closing(false);
        }
    }

    fn respond(&mut self, request: &Request, now: Monotonic, snapshot: &Snapshot, counters: &mut Counters, date: &str) {
        let answer = answer::answer(request, snapshot, counters);
        count(&mut counters.requests, (request.path.name(), answer.code));
        let connection = match (request.keep_alive, request.is_http10) {
            (true, false) => answer::Connection::Open,
            (true, true) => answer::Connection::KeepAlive,
            (false, _) => answer::Connection::Close,
        };
        answer.write(self.connection.output(now), date, connection, request.method != Method::Head);
        if !request.keep_alive {
            self.phase = Phase::Closing(!self.ended);
        }
    }

    fn reject(&mut self, reject: &Reject, now: Monotonic, counters: &mut Counters, date: &str) {
        count(&mut counters.rejects, reject.reason);
        self.end_with(&answer::rejection(reject), now, counters, date);
    }

    fn end_with(&mut self, answer: &Answer, now: Monotonic, counters: &mut Counters, date: &str) {
        count(&mut counters.requests, ("other", answer.code));
        answer.write(self.connection.output(now), date, answer::Connection::Close, true);
        self.phase = Phase::Closing(!self.ended);
    }

    /// Ends a client whose deadline has passed. One that was sending a request is told.
    fn expire(&mut self, now: Monotonic, counters: &mut Counters, date: &str) {
        if self.deadline() > now {
            return;
        }
        let limit = match (self.phase, self.connection.unsent_since(), self.head_since) {
            (Phase::Done, ..) => return,
            (Phase::Lingering(_), ..) => "linger",
            (_, Some(_), _) => "write_deadline",
            (_, None, Some(_)) => "head_deadline",
            (_, None, None) => "idle",
        };
        count(&mut counters.limits, limit);
        match limit {
            "head_deadline" => self.end_with(&answer::timed_out(), now, counters, date),
            _ => self.phase = Phase::Done,
        }
    }

    fn write(&mut self, now: Monotonic) {
        if self.connection.unsent() > 0 && !self.connection.send() {
            self.phase = Phase::Done;
        }
        if self.connection.unsent() == 0
            && let Phase::Closing(more) = self.phase
        {
            // Closing while unread bytes lie here would reset the connection and could take the answer with it.
            self.phase = if more {
                self.connection.finish();
                Phase::Lingering(now.after(Duration::from_millis(HTTP_LINGER_MS_MAX)))
            } else {
                Phase::Done
            };
        }
    }
}
