//! The HTTP listener and its connections: reading, accepting, evicting, deadlines, one turn of work at a time.
//!
//! Every deadline is absolute: that of a head runs from its first byte, that of an answer from its first byte that the
//! kernel did not take, so dripping bytes buys no time. A full table evicts the connection that has gone longest
//! without a whole request, so a new one, such as a health check, always gets in. What is there is read before anyone
//! new is accepted, so that nobody is evicted whose request has come.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::Snapshot;
use super::answer::{self, Answer, Counters};
use super::request::{Method, Parsed, Reject, Request, parse};
use crate::clock::Monotonic;
use crate::limits::{
    ACCEPT_PAUSE_MS, ACCEPTS_PER_TURN, HTTP_ANSWERS_PER_TURN, HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX,
    HTTP_HEAD_MS_MAX, HTTP_IDLE_MS_MAX, HTTP_LINGER_MS_MAX, HTTP_OUTPUT_BYTES_HIGH, HTTP_REQUESTS_PER_TURN,
    HTTP_WRITE_MS_MAX, SOCKET_SEND_BYTES,
};
use crate::metrics::count;
use crate::net::{Connection, Listener, Received, Stream};
use crate::sys::{self, PollFd};

/// The listener and its clients, the one accepted first in front.
pub struct Server<L: Listener = TcpListener> {
    listener: Option<L>,
    clients: Vec<Client<L::Stream>>,
    clients_max: usize,
    /// Where the next turn begins, because the last one ended there with its work undone.
    first: usize,
    /// After a failed accept: when to try again.
    paused_until: Option<Monotonic>,
    turn: Turn,
}

/// What the clients share.
struct Turn {
    counters: Counters,
    /// The Date of answers made in this second.
    date: (u64, String),
    /// How many more requests may be answered in this turn.
    budget: usize,
}

struct Client<S> {
    connection: Connection<S>,
    phase: Phase,
    /// When it was accepted or last had a request answered.
    idle_since: Monotonic,
    /// When the first byte of the request that is coming in was there.
    head_since: Option<Monotonic>,
    /// The peer sends no more.
    ended: bool,
    /// Whole requests may wait in the input because the turn was over.
    waiting: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests are read and answered.
    Open,
    /// The last answer is being sent.
    Closing,
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
        // Accepted sockets inherit it: a peer that does not read must not fill the kernel's memory.
        sys::set_send_buffer(&listener, SOCKET_SEND_BYTES)?;
        Ok(Server::new(listener, clients_max))
    }

    /// The address it listens on, with the port that was picked.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.as_ref().map_or_else(|| Err(ErrorKind::NotConnected.into()), TcpListener::local_addr)
    }
}

impl<L: Listener> Server<L> {
    /// Serves whoever comes by way of `listener`, which never blocks; `clients_max` as for `bind`.
    pub fn new(listener: L, clients_max: usize) -> Server<L> {
        Server {
            listener: Some(listener),
            clients: Vec::new(),
            clients_max: clients_max.clamp(1, HTTP_CONNECTIONS_MAX),
            first: 0,
            paused_until: None,
            turn: Turn { counters: Counters::default(), date: (0, String::new()), budget: 0 },
        }
    }

    /// Stops listening. The clients stay.
    pub fn stop_accepting(&mut self) {
        self.listener = None;
    }

    /// Appends what is to be waited for: every client, then the listener, in the order that `read` expects.
    pub fn wait_for(&self, descriptors: &mut Vec<PollFd>) {
        for client in &self.clients {
            descriptors.push(PollFd::new(&client.connection, client.reads(), client.connection.unsent() > 0));
        }
        if let Some(listener) = &self.listener {
            descriptors.push(PollFd::new(listener, self.paused_until.is_none(), false));
        }
    }

    /// The next moment at which something must be done without anything having come in.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let waiting = self.clients.iter().any(Client::has_turn).then(Monotonic::default);
        let deadlines = self.clients.iter().map(Client::deadline);
        deadlines.chain(self.paused_until).chain(waiting).min()
    }

    /// Reads, answers and accepts, as `ready` (in the order of `wait_for`) says. Answers go out with `write`. Returns
    /// true if no descriptor was free for a new connection.
    pub fn read(&mut self, ready: &[PollFd], now: Monotonic, snapshot: &Snapshot) -> bool {
        let second = snapshot.wall.whole_seconds();
        if self.turn.date.0 != second || self.turn.date.1.is_empty() {
            self.turn.date = (second, snapshot.wall.imf_fixdate());
        }
        self.turn.budget = HTTP_ANSWERS_PER_TURN;
        let clients = self.clients.len();
        for index in (0..clients).map(|step| (self.first + step) % clients) {
            if self.turn.budget == 0 {
                count(&mut self.turn.counters.limits, "answers_per_turn");
                self.first = index;
                break;
            }
            let client = &mut self.clients[index];
            if ready.get(index).is_some_and(PollFd::readable) || client.has_turn() {
                client.read(now, snapshot, &mut self.turn);
            }
        }
        self.remove(Client::is_over);
        let rested = self.paused_until.is_some_and(|until| until <= now);
        if rested {
            self.paused_until = None;
        }
        (rested || ready.get(clients).is_some_and(PollFd::readable)) && self.accept(now)
    }

    fn accept(&mut self, now: Monotonic) -> bool {
        let mut exhausted = false;
        for _ in 0..ACCEPTS_PER_TURN.min(self.clients_max.div_ceil(2)) {
            let Some(listener) = &self.listener else { break };
            match listener.accept() {
                Ok(stream) => {
                    if self.clients.len() >= self.clients_max {
                        self.evict();
                    }
                    self.turn.counters.accepted += 1;
                    self.clients.push(Client::new(Connection::new(stream, HTTP_HEAD_BYTES_MAX + 2), now));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // A connection that was reset while it waited says nothing about those behind it.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => (),
                Err(error) if sys::is_out_of_descriptors(&error) && self.evict() => exhausted = true,
                Err(error) => {
                    exhausted |= sys::is_out_of_descriptors(&error);
                    count(&mut self.turn.counters.limits, "accept");
                    self.paused_until = Some(now.after(Duration::from_millis(ACCEPT_PAUSE_MS)));
                    break;
                }
            }
        }
        self.turn.counters.connections = self.clients.len();
        exhausted
    }

    /// Closes the connection longest without a whole request, the one accepted first among equals; false if there is
    /// none.
    fn evict(&mut self) -> bool {
        let longest_idle = (0..self.clients.len()).min_by_key(|index| self.clients[*index].idle_since);
        if let Some(index) = longest_idle {
            self.clients.remove(index);
            self.turn.counters.evictions += 1;
        }
        longest_idle.is_some()
    }

    /// Sends what waits to be sent and ends what is over or, as of the time `begun` when the turn began, overdue.
    pub fn write(&mut self, begun: Monotonic, now: Monotonic) {
        for client in &mut self.clients {
            client.write(now);
            client.expire(begun, now, &mut self.turn);
        }
        self.remove(|client| client.phase == Phase::Done);
    }

    fn remove(&mut self, over: impl Fn(&Client<L::Stream>) -> bool) {
        let before = self.clients.len();
        self.clients.retain(|client| !over(client));
        if self.clients.len() < before {
            // A descriptor is free again.
            self.paused_until = None;
        }
        self.turn.counters.connections = self.clients.len();
    }
}

impl<S: Stream> Client<S> {
    fn new(connection: Connection<S>, now: Monotonic) -> Client<S> {
        Client { connection, phase: Phase::Open, idle_since: now, head_since: None, ended: false, waiting: false }
    }

    /// Whether bytes of the peer are of interest. A peer that does not take its answers is not read on.
    fn reads(&self) -> bool {
        match self.phase {
            Phase::Open => !self.ended && !self.waiting && self.connection.unsent() == 0,
            Phase::Lingering(_) => true,
            Phase::Closing | Phase::Done => false,
        }
    }

    /// Whether requests that wait in the input can be answered now.
    fn has_turn(&self) -> bool {
        self.phase == Phase::Open && self.waiting && self.connection.unsent() == 0
    }

    /// Whether nothing more can come of it.
    fn is_over(&self) -> bool {
        self.phase == Phase::Done || self.phase == Phase::Closing && self.ended && self.connection.unsent() == 0
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

    fn read(&mut self, now: Monotonic, snapshot: &Snapshot, turn: &mut Turn) {
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
            self.answer_all(now, snapshot, turn);
        }
    }

    /// Answers the whole requests in the input, as many as this turn allows.
    fn answer_all(&mut self, now: Monotonic, snapshot: &Snapshot, turn: &mut Turn) {
        let mut used = 0;
        let mut left = HTTP_REQUESTS_PER_TURN.min(turn.budget);
        self.waiting = false;
        while self.phase == Phase::Open {
            match parse(&self.connection.input()[used..]) {
                Parsed::Partial => break,
                _ if left == 0 || self.connection.unsent() >= HTTP_OUTPUT_BYTES_HIGH => {
                    let limit = if left == 0 { "requests_per_turn" } else { "output" };
                    count(&mut turn.counters.limits, limit);
                    self.waiting = true;
                    break;
                }
                Parsed::Complete(request, length) => {
                    used += length;
                    left -= 1;
                    turn.budget -= 1;
                    self.idle_since = now;
                    self.respond(&request, snapshot, turn);
                }
                Parsed::Rejected(reject) => self.reject(&reject, used, turn),
            }
        }
        self.connection.consume(used);
        if used > 0 {
            self.head_since = (!self.connection.input().is_empty()).then_some(now);
        }
        if self.ended && !self.waiting && self.phase == Phase::Open {
            self.phase = Phase::Closing;
        }
    }

    fn respond(&mut self, request: &Request, snapshot: &Snapshot, turn: &mut Turn) {
        let answer = answer::answer(request, snapshot, &turn.counters);
        count(&mut turn.counters.requests, (request.path.name(), answer.code));
        let connection = match (request.keep_alive, request.is_http10) {
            (true, false) => answer::Connection::Open,
            (true, true) => answer::Connection::KeepAlive,
            (false, _) => answer::Connection::Close,
        };
        answer.write(self.connection.output(), &turn.date.1, connection, request.method != Method::Head);
        if !request.keep_alive {
            self.phase = Phase::Closing;
        }
    }

    fn reject(&mut self, reject: &Reject, at: usize, turn: &mut Turn) {
        count(&mut turn.counters.rejects, reject.reason);
        let request = &self.connection.input()[at..];
        // An empty line may come first: RFC 9112 section 2.2.
        let with_body = !request.strip_prefix(b"\r\n").unwrap_or(request).starts_with(b"HEAD ");
        self.end_with(&answer::rejection(reject), with_body, turn);
    }

    fn end_with(&mut self, answer: &Answer, with_body: bool, turn: &mut Turn) {
        count(&mut turn.counters.requests, ("other", answer.code));
        answer.write(self.connection.output(), &turn.date.1, answer::Connection::Close, with_body);
        self.phase = Phase::Closing;
    }

    fn write(&mut self, now: Monotonic) {
        if self.connection.unsent() > 0 {
            if !self.connection.send(now) {
                self.phase = Phase::Done;
            }
            if self.connection.unsent() == 0 {
                // While answers were waiting nothing was read, so the time of a head that has begun starts here.
                self.head_since = self.head_since.map(|_| now);
            }
        }
        if self.phase == Phase::Closing && self.connection.unsent() == 0 {
            // Closing while unread bytes lie here would reset the connection and could take the answer with it.
            self.phase = if self.ended {
                Phase::Done
            } else {
                self.connection.finish();
                Phase::Lingering(now.after(Duration::from_millis(HTTP_LINGER_MS_MAX)))
            };
        }
    }

    /// Ends a client whose deadline has passed. One that was sending a request is told.
    fn expire(&mut self, begun: Monotonic, now: Monotonic, turn: &mut Turn) {
        if self.phase == Phase::Done || self.deadline() > begun {
            return;
        }
        let limits = &mut turn.counters.limits;
        match (self.phase, self.connection.unsent_since(), self.head_since) {
            (Phase::Lingering(_), ..) => count(limits, "linger"),
            (_, Some(_), _) => count(limits, "write_deadline"),
            (_, None, None) => count(limits, "idle"),
            (_, None, Some(_)) => {
                count(limits, "head_deadline");
                self.end_with(&answer::timed_out(), true, turn);
                return self.write(now);
            }
        }
        self.phase = Phase::Done;
    }
}
