//! The HTTP listener and its connections: reading, accepting, evicting, deadlines, one turn of work at a time.
//!
//! Every deadline is absolute: that of a head runs from its first byte, that of an answer from its first byte that the
//! kernel did not take, so dripping bytes buys no time. A full table evicts the connection that has gone longest
//! without a whole request, so a new one, such as a health check, always gets in; but now and then one holds its place
//! for a second, so that a flood keeps out nobody who is slow. What is there is read before anyone new is accepted, so
//! that nobody is evicted whose request has come.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::Snapshot;
use super::answer::{self, Answer, Counters, Limit};
use super::request::{Method, Parser, Path, Reject, Request, parse};
use crate::clock::Monotonic;
use crate::limits::{
    ACCEPT_PAUSE_MS, ACCEPTS_PER_TURN, BUFFERS_BYTES_MAX, HTTP_ANSWERS_PER_TURN, HTTP_CONNECTIONS_MAX,
    HTTP_HEAD_BYTES_MAX, HTTP_HEAD_MS_MAX, HTTP_HELD_SHARE, HTTP_HOLD_MS, HTTP_IDLE_MS_MAX, HTTP_LINGER_MS_MAX,
    HTTP_OUTPUT_BYTES_HIGH, HTTP_REQUESTS_PER_TURN, HTTP_STOP_IDLE_MS_MAX, HTTP_WRITE_MS_MAX, SOCKET_SEND_BYTES,
};
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
    /// From when on a new connection may hold its place.
    next_hold: Monotonic,
    turn: Turn,
}

/// What the clients share.
#[derive(Default)]
struct Turn {
    counters: Counters,
    /// The Date of answers made in this turn.
    date: String,
    /// How many more requests may be answered in this turn.
    budget: usize,
    /// Where bytes are read to, before it is known how many there are.
    scratch: Box<[u8]>,
    /// Every answer is the last one of its connection.
    stopping: bool,
}

struct Client<S> {
    connection: Connection<S>,
    parser: Parser,
    phase: Phase,
    /// When it was accepted or last had a request answered.
    idle_since: Monotonic,
    /// Until when others make way for a new one before it.
    held_until: Monotonic,
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
    /// All is sent, since then; what the peer still sends is dropped.
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
            next_hold: Monotonic::default(),
            // An empty line may come before the head.
            turn: Turn { scratch: vec![0; 2 + HTTP_HEAD_BYTES_MAX].into(), ..Turn::default() },
        }
    }

    /// Begins to stop: whoever has connected is still served, with an answer that ends the connection, and nobody else.
    pub fn stop(&mut self) {
        self.turn.stopping = true;
        self.listener.iter().for_each(Listener::refuse);
    }

    /// Whether nobody is left to be served.
    pub fn is_done(&self) -> bool {
        self.listener.is_none() && self.clients.is_empty()
    }

    /// Ends every connection that is left, at once.
    pub fn hang_up(&mut self) {
        self.clients.clear();
    }

    /// Appends what is to be waited for: every client, then the listener, in the order that `read` expects.
    pub fn wait_for(&self, descriptors: &mut Vec<PollFd>) {
        for client in &self.clients {
            let connection = &client.connection;
            descriptors.push(PollFd::new(&connection.stream, client.reads(), !connection.output.is_empty()));
        }
        if let Some(listener) = &self.listener {
            descriptors.push(PollFd::new(listener, self.paused_until.is_none(), false));
        }
    }

    /// How much memory the buffers of all connections take, in bytes.
    pub fn buffer_bytes(&self) -> usize {
        self.clients.iter().map(|client| client.connection.buffer_bytes()).sum()
    }

    /// The next moment at which something must be done without anything having come in.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let is_accepting_last = self.turn.stopping && self.listener.is_some();
        let waiting = (is_accepting_last || self.clients.iter().any(Client::has_turn)).then(Monotonic::default);
        let deadlines = self.clients.iter().map(|client| client.deadline(self.turn.stopping).0);
        deadlines.chain(self.paused_until).chain(waiting).min()
    }

    /// Reads, answers and accepts, as `ready` (in the order of `wait_for`) says. Answers go out with `write`. Returns
    /// true if no descriptor was free for a new connection.
    pub fn read(&mut self, ready: &[PollFd], now: Monotonic, snapshot: &Snapshot) -> bool {
        self.turn.counters.connections = self.clients.len();
        self.turn.date = snapshot.wall.imf_fixdate();
        self.turn.budget = HTTP_ANSWERS_PER_TURN;
        let (first, clients) = (self.first, self.clients.len());
        let mut buffer_bytes = self.buffer_bytes();
        for index in (0..clients).map(|step| (first + step) % clients) {
            if self.turn.budget == 0 {
                self.turn.counters.reach(Limit::AnswersPerTurn);
                self.first = index;
                break;
            }
            let client = &mut self.clients[index];
            if ready.get(index).is_some_and(PollFd::readable) || client.has_turn() {
                let before = client.connection.buffer_bytes();
                client.read(now, snapshot, &mut self.turn);
                buffer_bytes = buffer_bytes - before + client.connection.buffer_bytes();
            }
            if buffer_bytes > BUFFERS_BYTES_MAX {
                buffer_bytes -= self.shed();
            }
        }
        self.remove();
        let rested = self.paused_until.is_some_and(|until| until <= now);
        if rested {
            self.paused_until = None;
        }
        (rested || self.turn.stopping || ready.get(clients).is_some_and(PollFd::readable)) && self.accept(now)
    }

    fn accept(&mut self, now: Monotonic) -> bool {
        let mut exhausted = false;
        for _ in 0..ACCEPTS_PER_TURN.min(self.clients_max.div_ceil(2)) {
            let Some(listener) = &self.listener else { break };
            match listener.accept() {
                Ok(stream) => {
                    if self.clients.len() >= self.clients_max {
                        self.evict(now);
                    }
                    self.turn.counters.accepted += 1;
                    let held_until = self.hold(now);
                    self.clients.push(Client::new(Connection::new(stream), now, held_until));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.turn.stopping {
                        self.listener = None;
                    }
                    break;
                }
                // A connection that was reset while it waited says nothing about those behind it.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => (),
                Err(error) if sys::is_out_of_descriptors(&error) && self.evict(now) => exhausted = true,
                Err(error) => {
                    exhausted |= sys::is_out_of_descriptors(&error);
                    self.turn.counters.reach(Limit::Accept);
                    self.paused_until = Some(now.after(Duration::from_millis(ACCEPT_PAUSE_MS)));
                    break;
                }
            }
        }
        exhausted
    }

    /// Until when a new connection holds its place. At even intervals one does, however many come between: as many in a
    /// second as `HTTP_HELD_SHARE` allows.
    fn hold(&mut self, now: Monotonic) -> Monotonic {
        if now < self.next_hold {
            return now;
        }
        self.next_hold = now.after(Duration::from_millis(HTTP_HOLD_MS * HTTP_HELD_SHARE) / self.clients_max as u32);
        now.after(Duration::from_millis(HTTP_HOLD_MS))
    }

    /// Closes the connection longest without a whole request, one that holds its place only if all do; false if there
    /// is none.
    fn evict(&mut self, now: Monotonic) -> bool {
        let order = |client: &Client<L::Stream>| (client.held_until > now, client.idle_since);
        let longest_idle = (0..self.clients.len()).min_by_key(|index| order(&self.clients[*index]));
        if let Some(index) = longest_idle {
            self.clients.swap_remove(index);
            self.turn.counters.evictions += 1;
        }
        longest_idle.is_some()
    }

    /// Gives up the connection whose buffers are the largest. Returns how many bytes that gives back.
    fn shed(&mut self) -> usize {
        let clients = self.clients.iter_mut().filter(|client| client.phase != Phase::Done);
        let largest = clients.max_by_key(|client| client.connection.buffer_bytes());
        self.turn.counters.reach(Limit::Buffers);
        largest.map_or(0, |client| {
            client.phase = Phase::Done;
            client.connection.buffer_bytes()
        })
    }

    /// Sends what waits to be sent and ends what is over or, as of the time `begun` when the turn began, overdue.
    pub fn write(&mut self, begun: Monotonic, now: Monotonic) {
        for client in &mut self.clients {
            client.write(now);
            client.expire(begun, now, &mut self.turn);
        }
        self.remove();
    }

    fn remove(&mut self) {
        let before = self.clients.len();
        self.clients.retain(|client| client.phase != Phase::Done);
        if self.clients.len() < before {
            // A descriptor is free again.
            self.paused_until = None;
        }
    }
}

impl<S: Stream> Client<S> {
    fn new(connection: Connection<S>, now: Monotonic, held_until: Monotonic) -> Client<S> {
        let (parser, phase, head_since) = (Parser::default(), Phase::Open, None);
        Client { connection, parser, phase, idle_since: now, held_until, head_since, ended: false, waiting: false }
    }

    /// Whether bytes of the peer are of interest. A peer that does not take its answers is not read on.
    fn reads(&self) -> bool {
        match self.phase {
            Phase::Open => !self.ended && !self.waiting && self.connection.output.is_empty(),
            Phase::Lingering(_) => true,
            Phase::Closing | Phase::Done => false,
        }
    }

    /// Whether requests that wait in the input can be answered now.
    fn has_turn(&self) -> bool {
        self.phase == Phase::Open && self.waiting && self.connection.output.is_empty()
    }

    /// Until when it may stay as it is, and the limit that this is.
    fn deadline(&self, stopping: bool) -> (Monotonic, Limit) {
        let idle_ms = if stopping { HTTP_STOP_IDLE_MS_MAX } else { HTTP_IDLE_MS_MAX };
        let (since, milliseconds, limit) = match (self.phase, self.connection.unsent_since(), self.head_since) {
            (Phase::Lingering(since), ..) => (since, HTTP_LINGER_MS_MAX, Limit::Linger),
            (_, Some(since), _) => (since, HTTP_WRITE_MS_MAX, Limit::WriteDeadline),
            (_, None, Some(since)) => (since, HTTP_HEAD_MS_MAX, Limit::HeadDeadline),
            (_, None, None) => (self.idle_since, idle_ms, Limit::Idle),
        };
        (since.after(Duration::from_millis(milliseconds)), limit)
    }

    fn read(&mut self, now: Monotonic, snapshot: &Snapshot, turn: &mut Turn) {
        if self.reads() && self.connection.input().len() < turn.scratch.len() {
            match self.connection.receive(&mut turn.scratch) {
                Received::Bytes | Received::Nothing => (),
                Received::End => self.ended = true,
                Received::Broken => self.phase = Phase::Done,
            }
        }
        match self.phase {
            Phase::Open if self.connection.output.is_empty() => self.answer_all(now, snapshot, turn),
            Phase::Lingering(_) if self.ended => self.phase = Phase::Done,
            Phase::Lingering(_) => self.drop_input(),
            Phase::Open | Phase::Closing | Phase::Done => (),
        }
    }

    /// Answers the whole requests in the input, as many as this turn allows.
    fn answer_all(&mut self, now: Monotonic, snapshot: &Snapshot, turn: &mut Turn) {
        let mut used = 0;
        let mut left = HTTP_REQUESTS_PER_TURN.min(turn.budget);
        self.waiting = false;
        while self.phase == Phase::Open {
            match self.parser.read_on(&self.connection.input()[used..]) {
                Ok(None) => break,
                _ if left == 0 || self.connection.output.len() >= HTTP_OUTPUT_BYTES_HIGH => {
                    turn.counters.reach(if left == 0 { Limit::RequestsPerTurn } else { Limit::Output });
                    self.waiting = true;
                    break;
                }
                Ok(Some((request, length))) => {
                    used += length;
                    left -= 1;
                    turn.budget -= 1;
                    self.parser = Parser::default();
                    self.idle_since = now;
                    self.respond(&request, used, snapshot, turn);
                }
                Err(reject) => self.reject(reject, used, turn),
            }
        }
        if self.phase == Phase::Open {
            self.connection.consume(used);
            let has_begun = !self.parser.head(self.connection.input()).is_empty();
            self.head_since = has_begun.then(|| self.head_since.filter(|_| used == 0).unwrap_or(now));
            if self.ended && !self.waiting {
                self.phase = if self.connection.output.is_empty() { Phase::Done } else { Phase::Closing };
            }
        }
    }

    /// Answers a request that ends in the input at `used`.
    fn respond(&mut self, request: &Request, used: usize, snapshot: &Snapshot, turn: &mut Turn) {
        let answer = answer::answer(request, snapshot, &turn.counters);
        // Who has sent more before the stop gets answers to that too.
        let is_last = turn.stopping && parse(&self.connection.input()[used..]) == Ok(None);
        let connection = match (request.keep_alive && !is_last, request.is_http10) {
            (true, false) => answer::Connection::Open,
            (true, true) => answer::Connection::KeepAlive,
            (false, _) => answer::Connection::Close,
        };
        self.give(&answer, request.path, connection, request.method != Method::Head, turn);
    }

    /// Gives the last answer, to a request that begins in the input at `used` and may not be whole. Where that can be
    /// one for HEAD, the answer has no body.
    fn reject(&mut self, reject: Reject, used: usize, turn: &mut Turn) {
        let answer = answer::error(reject.status(), reject.message());
        turn.counters.rejects[reject as usize] += 1;
        let head = self.parser.head(&self.connection.input()[used..]);
        let is_for_head = head.iter().zip(b"HEAD ").all(|(byte, expected)| byte == expected);
        self.give(&answer, Path::Other, answer::Connection::Close, !is_for_head, turn);
    }

    fn give(&mut self, answer: &Answer, path: Path, after: answer::Connection, with_body: bool, turn: &mut Turn) {
        *turn.counters.requests.entry((path, answer.status)).or_default() += 1;
        answer.write(&mut self.connection.output, &turn.date, after, with_body);
        if after == answer::Connection::Close {
            self.phase = Phase::Closing;
            self.drop_input();
        }
    }

    fn drop_input(&mut self) {
        self.connection.consume(self.connection.input().len());
    }

    /// All is sent. Closing while unread bytes lie here, or still come, would reset the connection and could take the
    /// last answer with it.
    fn linger(&mut self, now: Monotonic) {
        self.connection.stream.finish();
        self.phase = Phase::Lingering(now);
    }

    fn write(&mut self, now: Monotonic) {
        if !self.connection.output.is_empty() {
            if !self.connection.send(now) {
                self.phase = Phase::Done;
            }
            if self.connection.output.is_empty() {
                // While answers were waiting nothing was read, so the time of a head that has begun starts here.
                self.head_since = self.head_since.map(|_| now);
            }
        }
        if self.phase == Phase::Closing && self.connection.output.is_empty() {
            if self.ended {
                self.phase = Phase::Done;
            } else {
                self.linger(now);
            }
        }
    }

    /// Ends a client whose deadline has passed. One that was sending a request is told.
    fn expire(&mut self, begun: Monotonic, now: Monotonic, turn: &mut Turn) {
        let (deadline, limit) = self.deadline(turn.stopping);
        if self.phase == Phase::Done || deadline > begun {
            return;
        }
        if limit == Limit::Idle {
            match self.connection.receive(&mut turn.scratch) {
                // A request that came this very moment is answered in the next turn.
                Received::Bytes => return self.waiting = true,
                Received::Nothing => self.linger(now),
                Received::End | Received::Broken => return self.phase = Phase::Done,
            }
        } else if limit == Limit::HeadDeadline {
            self.reject(Reject::Late, 0, turn);
            self.write(now);
        } else {
            self.phase = Phase::Done;
        }
        turn.counters.reach(limit);
    }
}
