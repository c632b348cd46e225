//! A crowd of connections: each turn costs what is ready, events and deadlines reach whom they are meant for, and who
//! makes way is always the right one. The real HTTP server, on a network in memory that counts what is done with it.

use std::time::Duration;

use aqevia_engine::clock::Monotonic;
use aqevia_engine::limits::{
    ACCEPT_PAUSE_MS, HELD_SHARE, HOLD_MS, HTTP_ANSWERS_PER_TURN, HTTP_CONNECTIONS_MAX, HTTP_HEAD_MS_MAX,
    HTTP_IDLE_MS_MAX, HTTP_REQUESTS_PER_TURN, HTTP_WRITE_MS_MAX, LINGER_MS_MAX,
};
use aqevia_engine::sys::Token;
use aqevia_engine::world::random::Random;

use crate::network::{Client, Network};
use crate::stand::{LAST, Server, Stand};

const ROOM: usize = 1 << 20;
const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";

const fn at(milliseconds: u64) -> Monotonic {
    Monotonic(Duration::from_millis(milliseconds))
}

/// What the server does with streams and with their readiness in what follows: calls and changes.
fn cost(network: &Network, follows: impl FnOnce()) -> (u64, u64) {
    let before = network.counts();
    follows();
    let after = network.counts();
    (after.0 - before.0, after.1 - before.1)
}

fn is_answered(client: &Client) -> bool {
    client.take().ends_with(b"{\"status\":\"ok\"}")
}

#[test]
fn a_request_costs_one_read_and_one_write_however_many_others_are_connected() {
    for others in [0, 1_000] {
        let (stand, network) = (Stand::new(), Network::default());
        let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
        let client = network.connect(ROOM);
        let crowd: Vec<Client> = (0..others).map(|_| network.connect(ROOM)).collect();
        stand.serve(&mut server, at(0));
        for now in [1, 2, 2_000] {
            let cost = cost(&network, || {
                client.send(REQUEST);
                stand.serve(&mut server, at(now));
                server.turn(&[], at(now), &stand.snapshot());
            });
            assert!(is_answered(&client));
            assert_eq!(cost, (2, 0), "beside {others}");
        }
        // One that comes in pieces is read once for each.
        let in_pieces = cost(&network, || {
            for piece in [&REQUEST[..9], &REQUEST[9..]] {
                client.send(piece);
                stand.serve(&mut server, at(2_001));
            }
        });
        assert!(is_answered(&client) && in_pieces == (3, 0), "{in_pieces:?} beside {others}");
        assert!(!crowd.iter().any(Client::is_over));
    }
}

#[test]
fn room_is_awaited_only_while_there_is_something_to_send() {
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), 2);
    let slow = network.connect(100);
    stand.serve(&mut server, at(0));
    let stuck = cost(&network, || {
        slow.send(REQUEST);
        stand.serve(&mut server, at(0));
    });
    assert_eq!(stuck, (2, 1));
    // Neither what it sends meanwhile nor that it ends wakes anybody.
    let meanwhile = cost(&network, || {
        slow.send(REQUEST);
        slow.end();
        assert!(!stand.turn(&mut server, at(0)));
    });
    assert_eq!(meanwhile, (0, 0));
    let mut answers = Vec::new();
    while !slow.is_forgotten() {
        answers.extend(slow.take());
        stand.serve(&mut server, at(0));
    }
    answers.extend(slow.take());
    assert_eq!(String::from_utf8(answers).unwrap().matches("200 OK").count(), 2);
}

#[test]
fn who_breaks_off_while_its_answer_waits_is_let_go_at_once() {
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
    let crowd: Vec<Client> = (0..HTTP_CONNECTIONS_MAX).map(|_| network.connect(0)).collect();
    stand.serve(&mut server, at(0));
    crowd.iter().for_each(|client| client.send(REQUEST));
    stand.serve(&mut server, at(0));
    assert!(server.buffer_bytes > 0);
    crowd.iter().for_each(Client::break_off);
    assert!(stand.turn(&mut server, at(0)) && crowd.iter().all(Client::is_forgotten));
    assert_eq!((server.buffer_bytes, server.next_deadline()), (0, None));
}

#[test]
fn what_is_told_of_a_connection_that_is_gone_reaches_none_that_came_later() {
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), 1);
    let gone = network.connect(ROOM);
    stand.serve(&mut server, at(0));
    gone.send(REQUEST);
    let told = network.ready();
    assert_eq!(told.len(), 1);
    gone.break_off();
    stand.serve(&mut server, at(0));
    assert!(gone.is_forgotten());

    let next = network.connect(ROOM);
    stand.serve(&mut server, at(0));
    next.send(REQUEST);
    let own = network.ready();
    let of_another: Vec<Token> = own.iter().map(|token| Token(token.0 + 1)).chain((0..=LAST).map(Token)).collect();
    for told in [told, of_another] {
        assert_eq!(cost(&network, || server.turn(&told, at(0), &stand.snapshot())), (0, 0));
    }
    server.turn(&own, at(0), &stand.snapshot());
    assert!(is_answered(&next));
}

#[test]
fn a_connection_that_cannot_be_watched_is_let_go_and_counted_and_the_others_are_served() {
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
    let before = network.connect(ROOM);
    stand.serve(&mut server, at(0));
    network.fill(true);
    let refused = network.connect(ROOM);
    stand.serve(&mut server, at(0));
    assert!(refused.is_forgotten());
    before.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    stand.serve(&mut server, at(0));
    let metrics = String::from_utf8(before.take()).unwrap();
    assert!(metrics.contains("aqevia_http_limits_total{limit=\"accept\"} 1\n"), "{metrics}");
    network.fill(false);
    let next = network.connect(ROOM);
    next.send(REQUEST);
    stand.serve(&mut server, at(0));
    assert!(is_answered(&next));
}

#[test]
fn nobody_makes_way_for_one_who_comes_as_another_goes() {
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), 2);
    let stays = network.connect(ROOM);
    stand.serve(&mut server, at(0));
    let goes = network.connect(ROOM);
    stand.serve(&mut server, at(1));
    // Neither holds its place any more.
    stand.serve(&mut server, at(4_000));
    goes.end();
    let comes = network.connect(ROOM);
    assert!(stand.turn(&mut server, at(5_000)));
    assert!(goes.is_forgotten() && !stays.is_over());
    comes.send(REQUEST);
    stand.serve(&mut server, at(5_000));
    assert!(is_answered(&comes));
}

#[test]
fn who_cannot_be_accepted_wakes_nobody_until_a_pause_is_over_or_another_goes() {
    // EPERM, as a firewall has it.
    const ERROR: i32 = 1;
    for another_goes in [false, true] {
        let (stand, network) = (Stand::new(), Network::default());
        let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
        let other = network.connect(ROOM);
        stand.serve(&mut server, at(5_000));
        network.refuse(Some(ERROR));
        let comes = network.connect(ROOM);
        comes.send(REQUEST);
        assert!(stand.turn(&mut server, at(10_000)) && !stand.turn(&mut server, at(10_000)));
        network.refuse(None);
        assert!(!stand.turn(&mut server, at(9_999 + ACCEPT_PAUSE_MS)));
        if another_goes {
            other.end();
        }
        stand.serve(&mut server, at(if another_goes { 10_000 } else { 10_000 + ACCEPT_PAUSE_MS }));
        assert!(is_answered(&comes));
    }
}

#[test]
fn a_request_of_the_last_moment_is_answered_however_long_its_turn_takes_to_come() {
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
    let late = network.connect(ROOM);
    stand.serve(&mut server, at(0));
    // So many that each gets its turn only every third time.
    let flood: Vec<Client> =
        (0..3 * HTTP_ANSWERS_PER_TURN / HTTP_REQUESTS_PER_TURN).map(|_| network.connect(ROOM)).collect();
    stand.serve(&mut server, at(1));
    flood.iter().for_each(|client| client.send(&REQUEST.repeat(4 * HTTP_REQUESTS_PER_TURN)));
    let ready = network.ready();
    late.send(REQUEST);
    server.turn(&ready, at(HTTP_IDLE_MS_MAX), &stand.snapshot());
    stand.serve(&mut server, at(HTTP_IDLE_MS_MAX));
    assert!(is_answered(&late) && !late.is_over());
}

#[test]
fn the_deadlines_of_a_thousand_connections_come_each_at_its_own_time() {
    const CLIENTS: u64 = 1_000;
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
    // Of each, when its last answer or its end comes, and when it is let go.
    let mut clients: Vec<(Client, Option<u64>, Option<u64>)> = Vec::new();
    let note = |clients: &mut Vec<(Client, Option<u64>, Option<u64>)>, now: u64| {
        for (client, over, forgotten) in clients {
            *over = over.or(client.is_over().then_some(now));
            *forgotten = forgotten.or(client.is_forgotten().then_some(now));
        }
    };
    for now in 0..CLIENTS {
        let (room, sends): (usize, &[u8]) = match now % 4 {
            0 => (ROOM, b""),
            1 => (ROOM, b"GET /health"),
            2 => (0, REQUEST),
            _ => (ROOM, b"GET /health HTTP/1.0\r\n\r\n"),
        };
        let client = network.connect(room);
        client.send(sends);
        clients.push((client, None, None));
        stand.serve(&mut server, at(now));
        note(&mut clients, now);
    }
    // Nothing comes in any more: only deadlines wake the loop.
    let mut last = at(CLIENTS - 1);
    while let Some(next) = server.next_deadline() {
        assert!(next > last, "{next:?} is over");
        server.turn(&[], next, &stand.snapshot());
        note(&mut clients, next.0.as_millis() as u64);
        last = next;
    }
    for (since, (_, over, forgotten)) in (0..).zip(clients) {
        let (over_after, forgotten_after) = match since % 4 {
            0 => (HTTP_IDLE_MS_MAX, HTTP_IDLE_MS_MAX + LINGER_MS_MAX),
            1 => (HTTP_HEAD_MS_MAX, HTTP_HEAD_MS_MAX + LINGER_MS_MAX),
            2 => (HTTP_WRITE_MS_MAX, HTTP_WRITE_MS_MAX),
            _ => (0, LINGER_MS_MAX),
        };
        assert_eq!((over, forgotten), (Some(since + over_after), Some(since + forgotten_after)), "since {since}");
    }
}

/// What a naive list knows of a connection.
struct Known {
    client: Client,
    idle_since: u64,
    held_until: u64,
}

#[test]
fn who_makes_way_is_the_one_that_a_naive_list_finds() {
    const CLIENTS_MAX: usize = 10;
    let mut seen = [0; 3];
    for seed in 0..20 {
        let (stand, network, mut random) = (Stand::new(), Network::default(), Random(seed));
        let mut server = Server::new(network.clone(), CLIENTS_MAX);
        let (mut now, mut next_hold, mut known) = (0, 0, Vec::<Known>::new());
        for _ in 0..1_000 {
            now += 1 + random.below(40);
            // The loop wakes for deadlines.
            stand.serve(&mut server, at(now));
            let which = random.below(CLIENTS_MAX as u64) as usize;
            match random.below(8) {
                0..4 => {
                    let expected = (known.len() == CLIENTS_MAX).then(|| {
                        // Who holds its place is as one who asks at the end of that.
                        let order = |it: &usize| known[*it].idle_since.max(known[*it].held_until);
                        let victim = known.remove((0..known.len()).min_by_key(order).unwrap());
                        assert!(victim.held_until <= now || known.iter().all(|it| it.held_until > now));
                        victim
                    });
                    let held_until = if now >= next_hold {
                        next_hold = now + HOLD_MS * HELD_SHARE / CLIENTS_MAX as u64;
                        now + HOLD_MS
                    } else {
                        now
                    };
                    known.push(Known { client: network.connect(ROOM), idle_since: now, held_until });
                    stand.serve(&mut server, at(now));
                    if let Some(victim) = expected {
                        assert!(victim.client.is_forgotten(), "seed {seed} at {now}");
                        seen[0] += 1;
                        seen[1] += usize::from(
                            known.iter().any(|it| it.held_until > now && it.idle_since < victim.idle_since),
                        );
                    }
                }
                4..7 if which < known.len() => {
                    known[which].client.send(REQUEST);
                    known[which].idle_since = now;
                    stand.serve(&mut server, at(now));
                    assert!(is_answered(&known[which].client));
                }
                7 if which < known.len() => {
                    let gone = known.remove(which).client;
                    gone.send(&REQUEST[..which]);
                    stand.serve(&mut server, at(now));
                    gone.end();
                    stand.serve(&mut server, at(now));
                    assert!(gone.is_forgotten());
                    seen[2] += 1;
                }
                _ => (),
            }
            assert!(!known.iter().any(|it| it.client.is_over()), "seed {seed} at {now}");
        }
        known.iter().for_each(|it| it.client.end());
        stand.serve(&mut server, at(now));
        assert_eq!((server.buffer_bytes, server.next_deadline()), (0, None));
    }
    assert!(
        seen.iter().all(|times| *times > 100),
        "made way, before one that held its place, went by itself: {seen:?}"
    );
}
