//! The real HTTP server on a network in memory, with a clock that is moved by hand.

use std::cell::{LazyCell, OnceCell};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use aqevia_engine::clock::Monotonic;
use aqevia_engine::http::map::Map;
use aqevia_engine::http::{PeopleView, Snapshot, StorageView, server};
use aqevia_engine::limits::{HTTP_HEAD_MS_MAX, HTTP_WRITE_MS_MAX};
use aqevia_engine::metrics::Metrics;
use aqevia_engine::net::Net;
use aqevia_engine::sys::Token;
use aqevia_engine::sys::Usage;
use aqevia_engine::world::World;

use crate::folder::WALL;
use crate::network::Network;
use crate::worlds;

/// More turns than anything that is sent at once takes.
const TURNS_MAX: usize = 100;

/// What the process uses is no matter of any conversation.
pub const NO_USAGE: Usage =
    Usage { cpu: None, resident_bytes: None, virtual_bytes: None, descriptors: None, descriptors_max: None };

/// The number given last before those of the network.
pub const LAST: u64 = 7;

/// The real server on a network in memory.
pub struct Server {
    server: server::Server,
    net: Net<Network>,
    network: Network,
}

impl Server {
    pub fn new(network: Network, connections_max: usize) -> Server {
        Server::among(network, connections_max, connections_max)
    }

    /// One that leaves some of all places to other ports.
    pub fn among(network: Network, connections_max: usize, places: usize) -> Server {
        let mut net = Net::new(places, LAST);
        let server = server::Server::open(network.clone(), connections_max, &mut net, &mut network.clone()).unwrap();
        Server { server, net, network }
    }

    /// Takes one turn of the loop, in which these are ready.
    pub fn turn(&mut self, ready: &[Token], now: Monotonic, snapshot: &Snapshot) {
        self.read(ready, now, snapshot);
        self.net.send(now, &mut self.network);
    }

    /// Takes the first half of a turn, which `send` of the network ends.
    pub fn read(&mut self, ready: &[Token], now: Monotonic, snapshot: &Snapshot) {
        self.net.hear(ready, now);
        self.server.serve(&mut self.net, now, snapshot.wall, &mut &*snapshot);
    }

    pub fn stop(&mut self) {
        self.server.stop(&mut self.net);
    }

    pub fn is_done(&self) -> bool {
        self.net.is_done(self.server.port)
    }
}

impl Deref for Server {
    type Target = Net<Network>;

    fn deref(&self) -> &Self::Target {
        &self.net
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.net
    }
}

/// What conversations have in common.
pub struct Stand {
    world: World,
    metrics: Metrics,
    map: Map,
}

impl Stand {
    pub fn new() -> Stand {
        Stand { world: worlds::world(&worlds::restless(2, 1), 1), metrics: Metrics::default(), map: Map::default() }
    }

    /// Takes turns until the server would wait.
    pub fn serve(&self, server: &mut Server, now: Monotonic) {
        let comes_to_rest = (0..TURNS_MAX).any(|_| !self.turn(server, now));
        assert!(comes_to_rest, "the server does not come to rest");
    }

    /// Takes one turn, if there is anything to do.
    pub fn turn(&self, server: &mut Server, now: Monotonic) -> bool {
        let ready = server.network.ready();
        let waits = server.next_deadline().is_none_or(|deadline| deadline > now);
        if waits && ready.is_empty() {
            return false;
        }
        server.turn(&ready, now, &self.snapshot());
        true
    }

    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            wall: WALL,
            started: WALL,
            now: Monotonic::default(),
            uptime: Duration::ZERO,
            world: Some(&self.world),
            storage: StorageView::default(),
            people: PeopleView::default(),
            tick_interval: Duration::ZERO,
            metrics: &self.metrics,
            log_lines_dropped: 0,
            map: &self.map,
            usage: LazyCell::new(|| NO_USAGE),
            status: OnceCell::new(),
            exposition: OnceCell::new(),
        }
    }
}

#[test]
fn the_time_in_which_a_client_takes_its_answer_does_not_count_for_its_next_head() {
    let (stand, network) = (Stand::new(), Network::default());
    let at = |milliseconds| Monotonic(Duration::from_millis(milliseconds));
    let client = network.connect(10);
    let mut server = Server::new(network, 1);
    client.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /health");
    (0..3).for_each(|_| _ = stand.turn(&mut server, at(0)));
    // Nothing more is read of it meanwhile, although all is there.
    client.send(b" HTTP/1.1\r\nHost: a\r\n\r\n");
    let late = HTTP_HEAD_MS_MAX.max(HTTP_WRITE_MS_MAX - 1);
    let mut answers = Vec::new();
    for _ in 0..100 {
        answers.extend(client.take());
        stand.turn(&mut server, at(late));
    }
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!((answers.matches("HTTP/1.1 200 OK").count(), answers.matches("HTTP/1.1").count()), (2, 2), "{answers}");
}
