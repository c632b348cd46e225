//! Two ports that share one network: HTTP, and a chat in which whatever one says goes to everybody. Neither takes from the
//! other what it needs; whoever is told something gets it at once, whoever has something to say is heard.

use std::collections::BTreeSet;
use std::time::Duration;

use aqevia_engine::clock::Monotonic;
use aqevia_engine::limits::{BUFFERS_BYTES_MAX, HTTP_CONNECTIONS_MAX, HTTP_WRITE_MS_MAX};
use aqevia_engine::net::connection::NEVER;
use aqevia_engine::net::{Limit, Net};

use crate::network::{Client, Network};
use crate::stand::{Server, Stand};

const ROOM: usize = 1 << 20;
const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
/// How much of a chatter's bytes is held.
const INPUT_BYTES_MAX: usize = 100;
/// Within so long a chatter must take what is said.
const WRITE_MS: u64 = 6 * HTTP_WRITE_MS_MAX;
/// A chatter who says nothing for so long is sent away.
const SILENCE_MS: u64 = 3_000;

const fn at(milliseconds: u64) -> Monotonic {
    Monotonic(Duration::from_millis(milliseconds))
}

fn is_answered(client: &Client) -> bool {
    client.take().ends_with(b"{\"status\":\"ok\"}")
}

/// The other protocol: lines.
struct Chat {
    port: usize,
    members: BTreeSet<u64>,
    /// Whether lines are left where they are.
    sleeps: bool,
}

impl Chat {
    fn serve(&mut self, net: &mut Net<Network>, now: Monotonic) {
        let (until, mut said) = (now.after(Duration::from_millis(SILENCE_MS)), Vec::new());
        while let Some(number) = net.next(self.port) {
            net.with(number, |chatter| {
                let end = chatter.input.iter().rposition(|byte| *byte == b'\n').filter(|_| !self.sleeps);
                if let Some(end) = end {
                    said.extend_from_slice(&chatter.input[..=end]);
                    chatter.consume(end + 1);
                    (chatter.due, chatter.idle_since) = (until, now);
                } else if chatter.ended || chatter.due <= now {
                    chatter.output.extend_from_slice(b"bye\n");
                    chatter.close();
                }
            });
        }
        self.members.extend(net.accept(self.port, now, until));
        for number in self.members.iter().filter(|_| !said.is_empty()) {
            net.with(*number, |chatter| chatter.output.extend_from_slice(&said));
        }
        net.gone(self.port).iter().for_each(|number| _ = self.members.remove(number));
    }
}

/// HTTP with one port, chat with another.
struct Both {
    stand: Stand,
    server: Server,
    chat: Chat,
    network: Network,
    chat_network: Network,
}

impl Both {
    fn new(places: usize, for_http: usize) -> Both {
        let network = Network::default();
        let chat_network = network.another();
        let mut server = Server::among(network.clone(), for_http, places);
        let port =
            server.open(chat_network.clone(), usize::MAX, INPUT_BYTES_MAX, WRITE_MS, &mut network.clone()).unwrap();
        let chat = Chat { port, members: BTreeSet::new(), sleeps: false };
        Both { stand: Stand::new(), server, chat, network, chat_network }
    }

    /// Takes turns until the loop would sleep. Returns how many it took.
    fn serve(&mut self, now: Monotonic) -> usize {
        for turn in 0..10_000 {
            let ready = self.network.ready();
            if ready.is_empty() && self.server.next_deadline().is_none_or(|deadline| deadline > now) {
                return turn;
            }
            self.server.read(&ready, now, &self.stand.snapshot());
            self.chat.serve(&mut self.server, now);
            self.server.send(now, &mut self.network);
        }
        panic!("it does not come to rest");
    }

    fn reached(&self, limit: Limit) -> u64 {
        self.server.counters(self.chat.port).limits[limit as usize]
    }
}

#[test]
fn what_one_says_reaches_everybody_in_the_same_turn_with_one_write_to_each() {
    let mut both = Both::new(HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_MAX / 2);
    let web: Vec<Client> = (0..HTTP_CONNECTIONS_MAX / 2).map(|_| both.network.connect(ROOM)).collect();
    let chatters: Vec<Client> = (0..10).map(|_| both.chat_network.connect(ROOM)).collect();
    both.serve(at(0));
    let before = both.network.counts();
    chatters[3].send(b"hello\n");
    chatters[7].send(b"hi\nho");
    assert_eq!(both.serve(at(1)), 1);
    let after = both.network.counts();
    assert_eq!((after.0 - before.0, after.1 - before.1), (2 + 10, 0));
    assert!(chatters.iter().all(|chatter| chatter.take() == b"hello\nhi\n"));
    assert!(!web.iter().any(Client::is_over) && !both.server.is_done());
}

#[test]
fn however_many_come_by_one_port_the_other_has_its_places() {
    let mut both = Both::new(20, 8);
    let mut web: Vec<Client> = (0..7).map(|_| both.network.connect(ROOM)).collect();
    both.serve(at(0));
    let mut flood = Vec::new();
    for now in 0..50 {
        flood.extend((0..20).map(|_| both.chat_network.connect(ROOM)));
        both.serve(at(now));
        assert!(flood.iter().filter(|client| !client.is_forgotten()).count() <= 12);
    }
    web.push(both.network.connect(ROOM));
    web.iter().for_each(|client| client.send(REQUEST));
    both.serve(at(50));
    assert!(web.iter().all(|client| is_answered(client) && !client.is_over()));
    assert_eq!(both.server.counters(both.chat.port).connections, 12);
    // Nor does who comes by HTTP take a place of a chatter.
    let more: Vec<Client> = (0..100).map(|_| both.network.connect(ROOM)).collect();
    both.serve(at(51));
    assert_eq!(more.iter().chain(&web).filter(|client| !client.is_forgotten()).count(), 8);
    assert_eq!(both.server.counters(both.chat.port).connections, 12);
}

#[test]
fn the_buffers_of_all_ports_have_one_bound_and_the_largest_makes_way_whichever_its_port() {
    let mut both = Both::new(2 * HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_MAX);
    let web = both.network.connect(ROOM);
    web.send(&REQUEST[..20]);
    let deaf: Vec<Client> = (0..HTTP_CONNECTIONS_MAX).map(|_| both.chat_network.connect(0)).collect();
    both.serve(at(0));
    let line = [b'x'; INPUT_BYTES_MAX - 1].into_iter().chain([b'\n']).collect::<Vec<u8>>();
    for now in 1.. {
        // Somebody who hears goes on talking to those who do not.
        let talker = both.chat_network.connect(ROOM);
        both.serve(at(now));
        for _ in 0..20 {
            talker.send(&line);
            both.serve(at(now));
            assert!(both.server.buffer_bytes <= BUFFERS_BYTES_MAX, "{}", both.server.buffer_bytes);
        }
        if both.reached(Limit::Buffers) > 0 {
            break;
        }
        talker.end();
        both.serve(at(now));
        assert!(now < WRITE_MS, "they took no room");
    }
    assert!(deaf.iter().any(Client::is_forgotten) && !web.is_over());
    web.send(&REQUEST[20..]);
    both.serve(at(1_000));
    assert!(is_answered(&web));
}

#[test]
fn each_protocol_has_deadlines_of_its_own_which_rest_while_a_peer_does_not_take_its_output() {
    let mut both = Both::new(10, 5);
    let [silent, talks, deaf] = [ROOM, ROOM, 4].map(|room| both.chat_network.connect(room));
    both.serve(at(0));
    talks.send(b"hello\n");
    both.serve(at(1_000));
    both.serve(at(SILENCE_MS - 1));
    assert!(!silent.is_over());
    both.serve(at(SILENCE_MS));
    assert!(silent.take() == b"hello\nbye\n" && silent.is_over() && !silent.is_forgotten());
    silent.end();
    both.serve(at(SILENCE_MS));
    assert!(silent.is_forgotten());
    // Two seconds of its time were left when it stopped taking what it is sent.
    assert!(!deaf.is_over() && deaf.take() == b"hell");
    both.serve(at(5_000));
    assert!(deaf.take() == b"o\n");
    both.serve(at(5_000 + 1_999));
    assert!(!deaf.is_over());
    both.serve(at(5_000 + 2_000));
    assert!(deaf.is_over());
    assert_eq!(both.reached(Limit::WriteDeadline), 0);
}

#[test]
fn whoever_does_not_take_output_has_as_long_as_the_protocol_gives() {
    let mut both = Both::new(10, 5);
    let (web, deaf, talks) = (both.network.connect(0), both.chat_network.connect(0), both.chat_network.connect(ROOM));
    both.serve(at(0));
    web.send(REQUEST);
    talks.send(b"hello\n");
    both.serve(at(1));
    both.serve(at(HTTP_WRITE_MS_MAX));
    assert!(!web.is_forgotten());
    both.serve(at(HTTP_WRITE_MS_MAX + 1));
    assert!(web.is_forgotten() && !deaf.is_forgotten() && both.reached(Limit::WriteDeadline) == 0);
    both.serve(at(WRITE_MS));
    assert!(!deaf.is_forgotten());
    both.serve(at(WRITE_MS + 1));
    assert!(deaf.is_forgotten() && both.reached(Limit::WriteDeadline) == 1);
}

#[test]
fn whom_a_protocol_keeps_makes_way_for_nobody() {
    let mut both = Both::new(8, 4);
    let chatters: Vec<Client> = (0..4).map(|_| both.chat_network.connect(ROOM)).collect();
    both.serve(at(0));
    let keep = |both: &mut Both, until: Monotonic| {
        for number in both.chat.members.clone() {
            both.server.with(number, |chatter| chatter.idle_since = until);
        }
    };
    keep(&mut both, NEVER);
    let more: Vec<Client> = (0..10).map(|_| both.chat_network.connect(ROOM)).collect();
    both.serve(at(1));
    assert!(more.iter().all(Client::is_forgotten) && !chatters.iter().any(Client::is_over));
    assert_eq!((both.reached(Limit::Accept), both.server.counters(both.chat.port).evictions), (10, 0));
    // Once there is one that does, it is that one.
    chatters[2].send(b"I may go\n");
    both.serve(at(2));
    let next = both.chat_network.connect(ROOM);
    both.serve(at(3));
    assert!(chatters[2].is_forgotten() && !next.is_over());
    assert_eq!(chatters.iter().filter(|chatter| chatter.is_forgotten()).count(), 1);
}

#[test]
fn a_peer_is_read_only_as_far_as_its_protocol_goes_along_and_wakes_nobody_meanwhile() {
    let mut both = Both::new(10, 5);
    let chatter = both.chat_network.connect(ROOM);
    both.serve(at(0));
    both.chat.sleeps = true;
    chatter.send(&b"123456789\n".repeat(100));
    assert!(both.serve(at(1)) > 0);
    assert_eq!(both.serve(at(2)), 0);
    assert!(both.server.buffer_bytes <= 2 * INPUT_BYTES_MAX, "{}", both.server.buffer_bytes);
    both.chat.sleeps = false;
    // Its protocol comes back to it when it is due.
    both.serve(at(SILENCE_MS));
    assert_eq!(chatter.take(), b"123456789\n".repeat(100));
    chatter.end();
    both.serve(at(SILENCE_MS));
    assert!(chatter.take() == b"bye\n" && chatter.is_forgotten());
    // Its protocol is told with the next turn.
    both.chat.serve(&mut both.server, at(SILENCE_MS));
    assert!(both.chat.members.is_empty());
}
