//! The connections of every port, whatever is spoken there: accepting, receiving, sending, deadlines, who makes way.
//!
//! A turn of the loop is: `hear` of what is ready; each protocol takes those of its port that have a turn, one by one
//! (`next`), and does with any connection what it wants (`with`); it lets new ones in (`accept`); at last all that has
//! been done is sent (`send`). A turn touches only connections that are ready, are due or are given something; all others
//! are found by order: of their deadlines, and of who makes way first.
//!
//! Every deadline is absolute: that of sending runs from the first byte that the kernel did not take, so dripping bytes
//! buys no time. A full port evicts the connection longest idle, so a new one, such as a health check, always gets in; but
//! now and then one holds its place for a second, so that a flood keeps out nobody who is slow; and one that makes way for
//! nobody, as its protocol says, is let go by none of them. What is there is read
//! before anyone new is accepted, so that nobody is evicted who has something to say. Ports share one bound on memory;
//! the places for connections are given to each port when it opens, so that no other can take them.
//!
//! Whom a trusted proxy brings, its protocol meets only when that has said where they come from (`proxy.rs`).

pub mod connection;
pub mod proxy;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use self::connection::{Connection, Door, Listener, NEVER, Stream};
use self::proxy::{Header, Heard};
use crate::clock::Monotonic;
use crate::limits::{ACCEPT_PAUSE_MS, ACCEPTS_PER_TURN, BUFFERS_BYTES_MAX, HELD_SHARE, HOLD_MS, PROXY_HEADER_MS_MAX};
use crate::sys::{self, Readiness, Token};
use crate::text::{covers, keys};

/// All ports and the connections that came by them.
pub struct Net<L: Listener = Door> {
    ports: Vec<Port<L>>,
    /// By their numbers.
    held: BTreeMap<u64, Held<L::Stream>>,
    /// The number given last, to a port or a connection. None is ever given again.
    last: u64,
    /// How many places for connections are not given to any port.
    pub places: usize,
    /// With whom something was done in this turn, so that there may be something to send.
    touched: VecDeque<u64>,
    /// When each connection is to be looked at: at its deadline, or earlier if that was put off since.
    deadlines: BTreeSet<(Monotonic, u64)>,
    /// How much memory the buffers of all connections take, in bytes.
    pub buffer_bytes: usize,
    /// Where bytes are read to, before it is known how many there are.
    scratch: Vec<u8>,
    /// When this turn began.
    begun: Monotonic,
    /// No descriptor was free for a new connection in this turn.
    pub is_exhausted: bool,
    /// A trusted proxy that did not say where somebody comes from.
    pub silent_proxy: Option<IpAddr>,
}

/// A listener, and what is kept for all that come by it.
struct Port<L> {
    number: u64,
    /// None once the last who may come has.
    listener: Option<L>,
    /// Nobody else may come.
    is_refusing: bool,
    /// Somebody may wait to be accepted.
    is_called: bool,
    /// Whether it is awaited that somebody connects.
    is_watched: bool,
    /// After a failed accept: when to try again.
    paused_until: Option<Monotonic>,
    /// From when on a new connection may hold its place.
    next_hold: Monotonic,
    connections_max: usize,
    input_bytes_max: usize,
    write_ms_max: u64,
    /// Addresses and networks of trusted proxies.
    trusted: Vec<String>,
    /// Of whom it is known since the last `accept` where they come from.
    arrived: Vec<u64>,
    /// Who is to have a turn next. Whoever does not get one in this turn is the first in the next.
    queue: VecDeque<u64>,
    /// Who makes way first, each as it was when its place was last looked at: it can only have moved back since, for who
    /// moves forward is given the new place at once.
    order: BTreeSet<(Monotonic, u64)>,
    /// Whose end its protocol has not been told yet.
    gone: Vec<u64>,
    counters: Counters,
}

/// A connection, and what is noted to find it again.
struct Held<S> {
    stream: S,
    connection: Connection,
    origin: Origin,
    port: usize,
    /// Whether bytes are awaited, and whether room is; `None`: it is not watched.
    watched: Option<(bool, bool)>,
    deadline: Option<Monotonic>,
    rank: Option<Monotonic>,
    is_queued: bool,
    is_touched: bool,
    buffer_bytes: usize,
}

/// Where a connection comes from.
enum Origin {
    /// From its peer.
    Peer,
    /// A proxy has yet to say.
    Awaited(Header),
    /// From where a proxy has said.
    Told(IpAddr),
}

/// What is counted for each port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Open connections.
    pub connections: usize,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed because the port was full and a new one came.
    pub evictions: u64,
    /// How often each other limit was reached.
    pub limits: [u64; Limit::ALL.len()],
}

keys! {
    /// The limits that `Counters::limits` counts.
    Limit {
        /// No connection can be accepted.
        Accept = "accept",
        /// So many bytes in all buffers together.
        Buffers = "buffers",
        /// A peer that goes on after all is said.
        Linger = "linger",
        /// A trusted proxy did not say in time where somebody comes from, or said something else.
        ProxyHeader = "proxy_header",
        /// Output was not taken in time.
        WriteDeadline = "write_deadline",
    }
}

impl<L: Listener> Net<L> {
    /// Has no port yet. So many connections can be held; numbers beyond `last` are its own, for what is watched.
    pub fn new(places: usize, last: u64) -> Net<L> {
        Net {
            ports: Vec::new(),
            held: BTreeMap::new(),
            last,
            places,
            touched: VecDeque::new(),
            deadlines: BTreeSet::new(),
            buffer_bytes: 0,
            scratch: Vec::new(),
            begun: Monotonic::default(),
            is_exhausted: false,
            silent_proxy: None,
        }
    }

    /// Lets connections come by way of `listener`, at most `connections_max` of them at a time, for which places are kept
    /// as far as there are any. Of each, at most `input_bytes_max` are held that are not consumed, and it must take what it
    /// is sent within `write_ms_max`. Returns the port.
    pub fn open(
        &mut self,
        listener: L,
        connections_max: usize,
        input_bytes_max: usize,
        write_ms_max: u64,
        poller: &mut impl Readiness,
    ) -> io::Result<usize> {
        self.last += 1;
        poller.watch(&listener, Token(self.last), true, false)?;
        let kept = connections_max.min(self.places);
        self.places -= kept;
        self.scratch.resize(self.scratch.len().max(input_bytes_max), 0);
        self.ports.push(Port {
            number: self.last,
            listener: Some(listener),
            is_refusing: false,
            is_called: false,
            is_watched: true,
            paused_until: None,
            next_hold: Monotonic::default(),
            connections_max: kept.max(1),
            input_bytes_max,
            write_ms_max,
            trusted: Vec::new(),
            arrived: Vec::new(),
            queue: VecDeque::new(),
            order: BTreeSet::new(),
            gone: Vec::new(),
            counters: Counters::default(),
        });
        Ok(self.ports.len() - 1)
    }

    /// From now on, whoever comes to a port from one of these addresses or networks is a proxy, which must say first where
    /// a connection comes from, and is believed.
    pub fn trust(&mut self, port: usize, proxies: &[String]) {
        self.ports[port].trusted = proxies.to_vec();
    }

    /// Begins a turn, in which these are ready.
    pub fn hear(&mut self, ready: &[Token], now: Monotonic) {
        self.begun = now;
        self.is_exhausted = false;
        for port in &mut self.ports {
            // Who is gone takes no room, however long the others wait.
            port.queue.retain(|number| self.held.contains_key(number));
            port.is_called = port.is_refusing || port.paused_until.take_if(|until| *until <= now).is_some();
        }
        for Token(number) in ready {
            match self.ports.iter_mut().find(|port| port.number == *number) {
                Some(port) => port.is_called = true,
                None => self.enqueue(*number),
            }
        }
        while let Some((_, number)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            let Some(held) = self.held.get_mut(&number) else { break };
            let (deadline, limit) = held.connection.deadline(self.ports[held.port].write_ms_max);
            place(&mut self.deadlines, number, &mut held.deadline, Some(deadline).filter(|deadline| *deadline > now));
            match limit {
                _ if deadline > now => (),
                // Nobody is given up who is ready in the last moment.
                Some(limit) if !held.is_queued => self.give_up(number, limit),
                _ => self.enqueue(number),
            }
        }
    }

    /// The connection of a port that has the next turn: what it has sent is received, or it is due. `None`: none has one.
    pub fn next(&mut self, port: usize) -> Option<u64> {
        while let Some(number) = self.ports[port].queue.pop_front() {
            let Some(held) = self.held.get_mut(&number) else { continue };
            held.is_queued = false;
            let room = &mut self.scratch[..self.ports[port].input_bytes_max];
            held.connection.receive(&mut held.stream, room);
            if self.hear_proxy(number) {
                continue;
            }
            if self.with(number, |connection| connection.is_heard()) == Some(true) {
                return Some(number);
            }
        }
        None
    }

    /// Whether connections of a port wait for a turn.
    pub fn is_behind(&self, port: usize) -> bool {
        !self.ports[port].queue.is_empty()
    }

    /// Does something with a connection, if it is there. What that leaves is looked after at the end of the turn.
    pub fn with<R>(&mut self, number: u64, act: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let held = self.held.get_mut(&number)?;
        let result = act(&mut held.connection);
        held.count_buffers(&mut self.buffer_bytes);
        let idle_since = held.connection.idle_since;
        if held.rank.is_some_and(|rank| idle_since < rank) {
            place(&mut self.ports[held.port].order, number, &mut held.rank, Some(idle_since));
        }
        if !mem::replace(&mut held.is_touched, true) {
            self.touched.push_back(number);
        }
        if held.connection.is_over() {
            self.remove(number);
        } else if self.buffer_bytes > BUFFERS_BYTES_MAX {
            self.shed();
        }
        Some(result)
    }

    /// Takes what a proxy says of a connection, if that is awaited; the rest is for its protocol, in another turn.
    fn hear_proxy(&mut self, number: u64) -> bool {
        let Some(held) = self.held.get_mut(&number) else { return false };
        let Origin::Awaited(header) = &mut held.origin else { return false };
        let (taken, heard) = header.take(&held.connection.input);
        held.connection.consume(taken);
        match heard {
            Heard::Whole(source) => {
                held.origin = source.map_or(Origin::Peer, Origin::Told);
                self.ports[held.port].arrived.push(number);
            }
            Heard::Part if !held.connection.ended && held.connection.due > self.begun => (),
            Heard::Part | Heard::Wrong => {
                self.silent_proxy = held.stream.peer();
                self.give_up(number, Limit::ProxyHeader);
            }
        }
        self.with(number, |_| ());
        true
    }

    /// Where a connection comes from, if it is known.
    pub fn peer(&self, number: u64) -> Option<IpAddr> {
        let held = self.held.get(&number)?;
        if let Origin::Told(address) = held.origin { Some(address) } else { held.stream.peer() }
    }

    /// Takes who has connected to a port. The protocol is to look after each at `due`. Returns the numbers of those of
    /// whom it is known where they come from; some may be gone already.
    pub fn accept(&mut self, port: usize, now: Monotonic, due: Monotonic) -> Vec<u64> {
        let mut arrived = mem::take(&mut self.ports[port].arrived);
        for number in &arrived {
            self.with(*number, |connection| connection.due = due);
            // What has come behind the header is for them.
            self.enqueue(*number);
        }
        let connections_max = self.ports[port].connections_max;
        let is_called = mem::take(&mut self.ports[port].is_called);
        for _ in 0..if is_called { ACCEPTS_PER_TURN.min(connections_max.div_ceil(2)) } else { 0 } {
            let Some(listener) = &self.ports[port].listener else { break };
            match listener.accept() {
                Ok(stream) => {
                    if self.ports[port].order.len() >= connections_max && !self.evict(port) {
                        self.ports[port].counters.limits[Limit::Accept as usize] += 1;
                        continue;
                    }
                    self.last += 1;
                    self.ports[port].counters.accepted += 1;
                    let idle_since = self.ports[port].hold(now);
                    let comes_from = |network: &String| stream.peer().is_some_and(|peer| covers(network, peer));
                    let (origin, due) = if self.ports[port].trusted.iter().any(comes_from) {
                        let until = now.after(Duration::from_millis(PROXY_HEADER_MS_MAX));
                        (Origin::Awaited(Header::default()), until)
                    } else {
                        arrived.push(self.last);
                        (Origin::Peer, due)
                    };
                    self.held.insert(
                        self.last,
                        Held {
                            stream,
                            connection: Connection { due, idle_since, ..Connection::default() },
                            origin,
                            port,
                            watched: None,
                            deadline: None,
                            rank: Some(idle_since),
                            is_queued: false,
                            is_touched: false,
                            buffer_bytes: 0,
                        },
                    );
                    self.ports[port].order.insert((idle_since, self.last));
                    self.with(self.last, |_| ());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.ports[port].is_refusing {
                        self.ports[port].listener = None;
                    }
                    break;
                }
                // A connection that was reset while it waited says nothing about those behind it.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => (),
                Err(error) => {
                    self.is_exhausted |= sys::is_out_of_descriptors(&error);
                    if !sys::is_out_of_descriptors(&error) || !self.evict(port) {
                        self.ports[port].counters.limits[Limit::Accept as usize] += 1;
                        self.ports[port].paused_until = Some(now.after(Duration::from_millis(ACCEPT_PAUSE_MS)));
                        break;
                    }
                }
            }
        }
        arrived
    }

    /// Ends a turn: sends what waits to be sent, and lets go of what is over or was overdue when the turn began.
    pub fn send(&mut self, now: Monotonic, poller: &mut impl Readiness) {
        while let Some(number) = self.touched.pop_front() {
            let Some(Held { connection, stream, port, .. }) = self.held.get_mut(&number) else { continue };
            connection.send(stream, now);
            let (deadline, limit) = connection.deadline(self.ports[*port].write_ms_max);
            if connection.is_over() {
                self.remove(number);
            } else if let Some(limit) = limit.filter(|_| deadline <= self.begun) {
                self.give_up(number, limit);
            } else {
                self.settle(number, now, poller);
            }
        }
        for Port { number, listener, is_watched, paused_until, .. } in &mut self.ports {
            let watches = paused_until.is_none();
            if mem::replace(is_watched, watches) != watches {
                // What is watched already can be watched for less or for more without fail.
                let _ = listener.as_ref().map(|listener| poller.watch(listener, Token(*number), watches, false));
            }
        }
    }

    /// Notes what has become of a connection.
    fn settle(&mut self, number: u64, now: Monotonic, poller: &mut impl Readiness) {
        let Some(held) = self.held.get_mut(&number) else { return };
        held.is_touched = false;
        held.count_buffers(&mut self.buffer_bytes);
        let (reads, sends) = held.connection.interest(self.ports[held.port].input_bytes_max);
        if held.watched.replace((reads, sends)) != Some((reads, sends))
            && poller.watch(&held.stream, Token(number), reads, sends).is_err()
        {
            return self.give_up(number, Limit::Accept);
        }
        // What is put off stays where it is until it would have been due.
        let (deadline, _) = held.connection.deadline(self.ports[held.port].write_ms_max);
        if held.deadline.is_none_or(|noted| deadline < noted || noted <= now) {
            place(&mut self.deadlines, number, &mut held.deadline, Some(deadline));
        }
        if held.connection.waiting && held.connection.is_heard() {
            self.enqueue(number);
        }
    }

    /// Lets a connection have its turn, if it is still there and not in the queue.
    fn enqueue(&mut self, number: u64) {
        if let Some(held) = self.held.get_mut(&number)
            && !mem::replace(&mut held.is_queued, true)
        {
            self.ports[held.port].queue.push_back(number);
        }
    }

    /// The next moment at which something must be done without anything having come in.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let is_busy = |port: &Port<L>| !port.queue.is_empty() || port.is_refusing && port.listener.is_some();
        if !self.touched.is_empty() || self.ports.iter().any(is_busy) {
            return Some(Monotonic::default());
        }
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        deadline.into_iter().chain(self.ports.iter().filter_map(|port| port.paused_until)).min()
    }

    /// Closes the connection of a port that is longest idle, one that holds its place only if all do; false if there is
    /// none that makes way.
    fn evict(&mut self, port: usize) -> bool {
        while let Some((rank, number)) = self.ports[port].order.first().copied() {
            let Some(held) = self.held.get_mut(&number) else { break };
            let idle_since = held.connection.idle_since;
            if rank == NEVER {
                break;
            }
            if idle_since == rank {
                self.ports[port].counters.evictions += 1;
                self.remove(number);
                return true;
            }
            place(&mut self.ports[port].order, number, &mut held.rank, Some(idle_since));
        }
        false
    }

    /// Gives up the connection whose buffers are the largest. To look at all of them is paid for by as many bytes that
    /// somebody must send before it happens again.
    fn shed(&mut self) {
        let largest = self.held.iter().max_by_key(|(_, held)| held.buffer_bytes).map(|(number, _)| *number);
        largest.into_iter().for_each(|number| self.give_up(number, Limit::Buffers));
    }

    fn give_up(&mut self, number: u64, limit: Limit) {
        if let Some(held) = self.held.get(&number) {
            self.ports[held.port].counters.limits[limit as usize] += 1;
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(mut held) = self.held.remove(&number) else { return };
        place(&mut self.deadlines, number, &mut held.deadline, None);
        place(&mut self.ports[held.port].order, number, &mut held.rank, None);
        self.ports[held.port].gone.push(number);
        self.buffer_bytes -= held.buffer_bytes;
        // A descriptor is free again.
        self.ports.iter_mut().for_each(|port| port.paused_until = None);
    }

    /// Which connections of a port are gone since this was last asked.
    pub fn gone(&mut self, port: usize) -> Vec<u64> {
        mem::take(&mut self.ports[port].gone)
    }

    /// What has been counted for a port.
    pub fn counters(&self, port: usize) -> Counters {
        let Port { order, counters, .. } = &self.ports[port];
        Counters { connections: order.len(), ..*counters }
    }

    /// Lets in whoever has connected to a port, and nobody else.
    pub fn refuse(&mut self, port: usize) {
        self.ports[port].is_refusing = true;
        self.ports[port].listener.iter().for_each(Listener::refuse);
    }

    /// Whether nobody is left who came by a port, or may come.
    pub fn is_done(&self, port: usize) -> bool {
        self.ports[port].listener.is_none() && self.ports[port].order.is_empty()
    }

    /// Ends every connection that is left, at once, and lets nobody in any more.
    pub fn hang_up(&mut self) {
        self.ports.iter_mut().for_each(|port| port.listener = None);
        while let Some((number, _)) = self.held.first_key_value() {
            self.remove(*number);
        }
    }
}

impl<L> Port<L> {
    /// As of when a new connection is idle: one that holds its place is not before that is over. At even intervals one
    /// does, however many come between: as many in a second as `HELD_SHARE` allows.
    fn hold(&mut self, now: Monotonic) -> Monotonic {
        if now < self.next_hold {
            return now;
        }
        self.next_hold = now.after(Duration::from_millis(HOLD_MS * HELD_SHARE) / self.connections_max as u32);
        now.after(Duration::from_millis(HOLD_MS))
    }
}

impl<S> Held<S> {
    /// Brings the memory of all buffers up to date with its own.
    fn count_buffers(&mut self, all: &mut usize) {
        let bytes = self.connection.input.capacity() + self.connection.output.capacity();
        *all = *all + bytes - mem::replace(&mut self.buffer_bytes, bytes);
    }
}

/// Gives a connection its place in an order; `noted` is the one that it has.
fn place(order: &mut BTreeSet<(Monotonic, u64)>, number: u64, noted: &mut Option<Monotonic>, place: Option<Monotonic>) {
    if *noted != place {
        noted.map(|noted| order.remove(&(noted, number)));
        order.extend(place.map(|place| (place, number)));
        *noted = place;
    }
}
