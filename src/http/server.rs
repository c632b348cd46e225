//! The HTTP listener and its connections: reading, accepting, evicting, deadlines, one turn of work at a time.
//!
//! Every deadline is absolute: that of a head runs from its first byte, that of an answer from its first byte that the
//! kernel did not take, so dripping bytes buys no time. A full table evicts the connection that has gone longest
//! without a whole request, so a new one, such as a health check, always gets in; but now and then one holds its place
//! for a second, so that a flood keeps out nobody who is slow. What is there is read before anyone new is accepted, so
//! that nobody is evicted whose request has come.
//!
//! A turn touches only connections that are ready, have more to be answered or are due; all others are found by order:
//! of their deadlines, and of who makes way first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::mem;
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
use crate::net::{Connection, Listener, Stream};
use crate::readiness::{Readiness, Token};
use crate::sys;

/// The listener and its clients.
pub struct Server<L: Listener = TcpListener> {
    owner: u8,
    listener: Option<L>,
    /// Whether it is awaited that somebody connects.
    listens: bool,
    /// By their number, so the one accepted first in front.
    clients: BTreeMap<u64, Client<L::Stream>>,
    clients_max: usize,
    /// The number of the client accepted last.
    last: u64,
    /// Who is to be read next. Whoever does not get a turn in this one is the first in the next.
    queue: VecDeque<u64>,
    /// Who has had a turn in this one.
    touched: VecDeque<u64>,
    /// When each client is to be looked at: at its deadline, or earlier if that was put off since or it holds its place.
    deadlines: BTreeSet<(Monotonic, u64)>,
    /// Who makes way first: those that do not hold their place, then the others, each longest idle first.
    order: BTreeSet<((bool, Monotonic), u64)>,
    /// How much memory the buffers of all connections take, in bytes.
    pub buffer_bytes: usize,
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
    /// Whole requests may wait in the input because the turn was over.
    waiting: bool,
    noted: Noted,
}

/// What the server has noted of a client, to find it there again.
#[derive(Default)]
struct Noted {
    /// Whether room is awaited, and not bytes.
    sends: Option<bool>,
    deadline: Option<Monotonic>,
    rank: Option<(bool, Monotonic)>,
    is_queued: bool,
    buffer_bytes: usize,
}

/// The number of the listener; those of clients follow.
const LISTENER: u64 = 0;

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
    /// `poller` will tell `owner` of what is ready.
    pub fn bind(address: SocketAddr, clients_max: usize, owner: u8, poller: &mut impl Readiness) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        // Accepted sockets inherit it: a peer that does not read must not fill the kernel's memory.
        sys::set_send_buffer(&listener, SOCKET_SEND_BYTES)?;
        Server::new(listener, clients_max, owner, poller)
    }

    /// The address it listens on, with the port that was picked.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.as_ref().map_or_else(|| Err(ErrorKind::NotConnected.into()), TcpListener::local_addr)
    }
}

impl<L: Listener> Server<L> {
    /// Serves whoever comes by way of `listener`, which never blocks; otherwise as `bind`.
    pub fn new(listener: L, clients_max: usize, owner: u8, poller: &mut impl Readiness) -> io::Result<Server<L>> {
        poller.watch(&listener, Token { owner, number: LISTENER }, true, false)?;
        Ok(Server {
            owner,
            listener: Some(listener),
            listens: true,
            clients: BTreeMap::new(),
            clients_max: clients_max.clamp(1, HTTP_CONNECTIONS_MAX),
            last: LISTENER,
            queue: VecDeque::new(),
            touched: VecDeque::new(),
            deadlines: BTreeSet::new(),
            order: BTreeSet::new(),
            buffer_bytes: 0,
            paused_until: None,
            next_hold: Monotonic::default(),
            // An empty line may come before the head.
            turn: Turn { scratch: vec![0; 2 + HTTP_HEAD_BYTES_MAX].into(), ..Turn::default() },
        })
    }

    /// Begins to stop: whoever has connected is still served, with an answer that ends the connection, and nobody else.
    pub fn stop(&mut self) {
        self.turn.stopping = true;
        self.listener.iter().for_each(Listener::refuse);
        // They may idle for a shorter time now.
        for (number, client) in &mut self.clients {
            let deadline = client.deadline(true).0;
            place(&mut self.deadlines, *number, &mut client.noted.deadline, Some(deadline));
        }
    }

    /// Whether nobody is left to be served.
    pub fn is_done(&self) -> bool {
        self.listener.is_none() && self.clients.is_empty()
    }

    /// Ends every connection that is left, at once.
    pub fn hang_up(&mut self) {
        while let Some((number, _)) = self.clients.first_key_value() {
            self.remove(*number);
        }
    }

    /// The next moment at which something must be done without anything having come in.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let is_accepting_last = self.turn.stopping && self.listener.is_some();
        let at_once = (is_accepting_last || !self.queue.is_empty()).then(Monotonic::default);
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        at_once.or(deadline.into_iter().chain(self.paused_until).min())
    }

    /// Reads, answers and accepts, as those in `ready` that are its own are. Answers go out with `write`. Returns true
    /// if no descriptor was free for a new connection.
    pub fn read(&mut self, ready: &[Token], now: Monotonic, snapshot: &Snapshot, poller: &mut impl Readiness) -> bool {
        self.turn.counters.connections = self.clients.len();
        self.turn.date = snapshot.wall.imf_fixdate();
        self.turn.budget = HTTP_ANSWERS_PER_TURN;
        let mut is_called = self.turn.stopping;
        for Token { owner, number } in ready.iter().copied() {
            if owner == self.owner {
                is_called |= number == LISTENER;
                self.enqueue(number);
            }
        }
        while self.turn.budget > 0
            && let Some(number) = self.queue.pop_front()
        {
            let Some(client) = self.clients.get_mut(&number) else { continue };
            client.noted.is_queued = false;
            client.read(now, snapshot, &mut self.turn);
            client.count_buffers(&mut self.buffer_bytes);
            if client.phase == Phase::Done {
                self.remove(number);
            }
            self.touched.push_back(number);
            if self.buffer_bytes > BUFFERS_BYTES_MAX {
                self.shed();
            }
        }
        if !self.queue.is_empty() {
            self.turn.counters.reach(Limit::AnswersPerTurn);
            // Who is gone takes no room, however long the others wait.
            self.queue.retain(|number| self.clients.contains_key(number));
        }
        is_called |= self.paused_until.take_if(|until| *until <= now).is_some();
        is_called && self.accept(now, poller)
    }

    /// Lets a client have its turn, if it is still there and not in the queue.
    fn enqueue(&mut self, number: u64) {
        if let Some(client) = self.clients.get_mut(&number)
            && !mem::replace(&mut client.noted.is_queued, true)
        {
            self.queue.push_back(number);
        }
    }

    fn accept(&mut self, now: Monotonic, poller: &mut impl Readiness) -> bool {
        let mut exhausted = false;
        for _ in 0..ACCEPTS_PER_TURN.min(self.clients_max.div_ceil(2)) {
            let Some(listener) = &self.listener else { break };
            match listener.accept() {
                Ok(stream) => {
                    if self.clients.len() >= self.clients_max {
                        self.evict();
                    }
                    self.turn.counters.accepted += 1;
                    let held_until = self.hold(now);
                    self.last += 1;
                    self.clients.insert(self.last, Client::new(Connection::new(stream), now, held_until));
                    self.settle(self.last, now, poller);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.turn.stopping {
                        self.listener = None;
                    }
                    break;
                }
                // A connection that was reset while it waited says nothing about those behind it.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => (),
                Err(error) if sys::is_out_of_descriptors(&error) && self.evict() => exhausted = true,
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
    fn evict(&mut self) -> bool {
        let victim = self.order.first().copied();
        if let Some((_, number)) = victim {
            self.remove(number);
            self.turn.counters.evictions += 1;
        }
        victim.is_some()
    }

    /// Gives up the connection whose buffers are the largest. To look at all of them is paid for by as many bytes that
    /// somebody must send before it happens again.
    fn shed(&mut self) {
        let largest = self.clients.iter().max_by_key(|(_, client)| client.noted.buffer_bytes);
        if let Some((number, _)) = largest {
            self.remove(*number);
            self.turn.counters.reach(Limit::Buffers);
        }
    }

    /// Sends what waits to be sent and ends what is over or, as of the time `begun` when the turn began, overdue.
    pub fn write(&mut self, begun: Monotonic, now: Monotonic, poller: &mut impl Readiness) {
        while let Some(number) = self.touched.pop_front() {
            if let Some(client) = self.clients.get_mut(&number) {
                client.write(now);
                self.settle(number, now, poller);
            }
        }
        let due = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= begun);
        for number in due.map(|(_, number)| *number).collect::<Vec<u64>>() {
            if let Some(client) = self.clients.get_mut(&number) {
                client.expire(begun, now, &mut self.turn);
                self.settle(number, now, poller);
            }
        }
        let (listens, token) = (self.paused_until.is_none(), Token { owner: self.owner, number: LISTENER });
        if mem::replace(&mut self.listens, listens) != listens {
            // What is watched already can be watched for less or for more without fail.
            let _ = self.listener.as_ref().map(|listener| poller.watch(listener, token, listens, false));
        }
    }

    /// Notes what has become of a client, and takes it out of the table if it is done.
    fn settle(&mut self, number: u64, now: Monotonic, poller: &mut impl Readiness) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        client.count_buffers(&mut self.buffer_bytes);
        if client.phase == Phase::Done {
            return self.remove(number);
        }
        // Bytes are awaited unless there are some to send. They may be while it waits for its turn, as nobody sleeps then.
        let (sends, token) = (!client.connection.output.is_empty(), Token { owner: self.owner, number });
        if client.noted.sends.replace(sends) != Some(sends)
            && poller.watch(&client.connection.stream, token, !sends, sends).is_err()
        {
            self.turn.counters.reach(Limit::Accept);
            return self.remove(number);
        }
        let holds = client.held_until > now;
        place(&mut self.order, number, &mut client.noted.rank, Some((holds, client.idle_since)));
        let deadline = client.deadline(self.turn.stopping).0;
        let look = if holds { deadline.min(client.held_until) } else { deadline };
        // What is put off stays where it is until it would have been due.
        if client.noted.deadline.is_none_or(|noted| look < noted || noted <= now) {
            place(&mut self.deadlines, number, &mut client.noted.deadline, Some(look));
        }
        if client.has_turn() {
            self.enqueue(number);
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(Client { mut noted, .. }) = self.clients.remove(&number) else { return };
        place(&mut self.deadlines, number, &mut noted.deadline, None);
        place(&mut self.order, number, &mut noted.rank, None);
        self.buffer_bytes -= noted.buffer_bytes;
        // A descriptor is free again.
        self.paused_until = None;
    }
}

/// Gives a client its place in an order; `noted` is the one that it has.
fn place<K: Copy + Ord>(order: &mut BTreeSet<(K, u64)>, number: u64, noted: &mut Option<K>, place: Option<K>) {
    if *noted != place {
        noted.map(|noted| order.remove(&(noted, number)));
        order.extend(place.map(|place| (place, number)));
        *noted = place;
    }
}

impl<S: Stream> Client<S> {
    fn new(connection: Connection<S>, now: Monotonic, held_until: Monotonic) -> Client<S> {
        let (parser, phase, head_since, noted) = (Parser::default(), Phase::Open, None, Noted::default());
        Client { connection, parser, phase, idle_since: now, held_until, head_since, waiting: false, noted }
    }

    /// Brings the memory of all buffers up to date with its own.
    fn count_buffers(&mut self, all: &mut usize) {
        let bytes = self.connection.buffer_bytes();
        *all = *all + bytes - mem::replace(&mut self.noted.buffer_bytes, bytes);
    }

    /// Whether bytes of the peer are of interest. A peer that does not take its answers is not read on.
    fn reads(&self) -> bool {
        match self.phase {
            Phase::Open => !self.connection.ended && !self.waiting && self.connection.output.is_empty(),
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
        let (since, milliseconds, limit) = match (self.phase, self.connection.unsent_since, self.head_since) {
            (Phase::Lingering(since), ..) => (since, HTTP_LINGER_MS_MAX, Limit::Linger),
            (_, Some(since), _) => (since, HTTP_WRITE_MS_MAX, Limit::WriteDeadline),
            (_, None, Some(since)) => (since, HTTP_HEAD_MS_MAX, Limit::HeadDeadline),
            (_, None, None) => (self.idle_since, idle_ms, Limit::Idle),
        };
        (since.after(Duration::from_millis(milliseconds)), limit)
    }

    fn read(&mut self, now: Monotonic, snapshot: &Snapshot, turn: &mut Turn) {
        let reads = self.reads() && self.connection.input.len() < turn.scratch.len();
        if reads && self.connection.receive(&mut turn.scratch).is_err() {
            self.phase = Phase::Done;
        }
        match self.phase {
            Phase::Open if self.connection.output.is_empty() => self.answer_all(now, snapshot, turn),
            Phase::Lingering(_) if self.connection.ended => self.phase = Phase::Done,
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
            match self.parser.read_on(&self.connection.input[used..]) {
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
            let has_begun = !self.parser.head(&self.connection.input).is_empty();
            self.head_since = has_begun.then(|| self.head_since.filter(|_| used == 0).unwrap_or(now));
            if self.connection.ended && !self.waiting {
                self.phase = if self.connection.output.is_empty() { Phase::Done } else { Phase::Closing };
            }
        }
    }

    /// Answers a request that ends in the input at `used`.
    fn respond(&mut self, request: &Request, used: usize, snapshot: &Snapshot, turn: &mut Turn) {
        let answer = answer::answer(request, snapshot, &turn.counters);
        // Who has sent more before the stop gets answers to that too.
        let is_last = turn.stopping && parse(&self.connection.input[used..]) == Ok(None);
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
        let (status, message) = reject.answer();
        let answer = answer::error(status, message);
        turn.counters.rejects[reject as usize] += 1;
        let head = self.parser.head(&self.connection.input[used..]);
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
        self.connection.consume(self.connection.input.len());
    }

    /// All is sent. Closing while unread bytes lie here, or still come, would reset the connection and could take the
    /// last answer with it.
    fn linger(&mut self, now: Monotonic) {
        self.connection.stream.finish();
        self.phase = Phase::Lingering(now);
    }

    fn write(&mut self, now: Monotonic) {
        if !self.connection.output.is_empty() {
            if self.connection.send(now).is_err() {
                self.phase = Phase::Done;
            }
            if self.connection.output.is_empty() {
                // While answers were waiting nothing was read, so the time of a head that has begun starts here.
                self.head_since = self.head_since.map(|_| now);
            }
        }
        if self.phase == Phase::Closing && self.connection.output.is_empty() {
            if self.connection.ended {
                self.phase = Phase::Done;
            } else {
                self.linger(now);
            }
        }
    }

    /// Ends a client whose deadline has passed. One that was sending a request is told.
    fn expire(&mut self, begun: Monotonic, now: Monotonic, turn: &mut Turn) {
        let (deadline, limit) = self.deadline(turn.stopping);
        if self.phase == Phase::Done || deadline > begun || self.has_turn() {
            return;
        }
        if limit == Limit::Idle {
            match self.connection.receive(&mut turn.scratch) {
                // A request that came this very moment is answered in the next turn.
                Ok(true) => return self.waiting = true,
                Ok(false) if !self.connection.ended => self.linger(now),
                _ => return self.phase = Phase::Done,
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
