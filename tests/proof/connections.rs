//! Connections in their hundreds and over minutes: who makes way for whom, who waits how long, what all of them cost. The
//! real HTTP server, on a network in memory, with a clock that is moved by hand.

use std::collections::VecDeque;
use std::time::Duration;

use aqevia_engine::clock::Monotonic;
use aqevia_engine::limits::{
    BUFFER_BYTES_KEPT, BUFFERS_BYTES_MAX, HELD_SHARE, HTTP_ANSWER_BYTES, HTTP_ANSWERS_PER_TURN, HTTP_CONNECTIONS_MAX,
    HTTP_HEAD_BYTES_MAX, HTTP_HEAD_MS_MAX, HTTP_IDLE_MS_MAX, HTTP_STOP_IDLE_MS_MAX, LINGER_MS_MAX,
};

use crate::network::{Client, Network};
use crate::stand::{Server, Stand};

const ROOM: usize = 1 << 20;
const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";

const fn at(milliseconds: u64) -> Monotonic {
    Monotonic(Duration::from_millis(milliseconds))
}

fn text(client: &Client) -> String {
    String::from_utf8(client.take()).unwrap()
}

/// How often a limit was reached, as /metrics tells.
fn limit(stand: &Stand, network: &Network, server: &mut Server, now: Monotonic, name: &str) -> u64 {
    let client = network.connect(ROOM);
    client.send(b"GET /metrics HTTP/1.0\r\n\r\n");
    stand.serve(server, now);
    let answer = text(&client);
    client.end();
    stand.serve(server, now);
    let line = answer.lines().find(|line| line.contains(&format!("limit=\"{name}\""))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// How many of 100 tries get an answer whose request comes `delay_ms` after their connection, each within three
/// attempts, while others connect at so many a second and send nothing.
fn tries_that_get_in(rate: usize, delay_ms: u64) -> usize {
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
    let (mut served, mut begun, mut flood) = (0, 0, 0);
    let mut waiting: Vec<(Client, u64, u32)> = Vec::new();
    for now in 0.. {
        if begun == 100 && waiting.is_empty() {
            break;
        }
        while flood < rate * now as usize / 1_000 {
            network.connect(ROOM);
            flood += 1;
        }
        // Only once the table has turned over some times.
        if now >= 500 && now % 13 == 0 && begun < 100 {
            waiting.push((network.connect(ROOM), now, 1));
            begun += 1;
        }
        waiting.iter().filter(|(_, since, _)| now == since + delay_ms).for_each(|(client, ..)| client.send(REQUEST));
        stand.turn(&mut server, at(now));
        waiting.retain_mut(|(client, since, attempt)| {
            if text(client).starts_with("HTTP/1.1 200 ") {
                served += 1;
                return false;
            }
            if now > *since + delay_ms + 10 {
                (*client, *since, *attempt) = (network.connect(ROOM), now, *attempt + 1);
            }
            *attempt <= 3
        });
    }
    served
}

#[test]
fn a_flood_of_connections_does_not_keep_out_who_asks_a_moment_later() {
    // At least four times what turns the table over in a second.
    let served = tries_that_get_in((4 * HTTP_CONNECTIONS_MAX).max(5_000), 100);
    assert!(served >= 95, "{served} of 100");
}

#[test]
fn in_any_flood_some_connections_hold_their_place_for_a_second() {
    const CLIENTS_MAX: usize = 64;
    const SECONDS: u64 = 4;
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), CLIENTS_MAX);
    let (mut clients, mut answered) = (VecDeque::new(), 0);
    // Twenty times the rate that turns the table over in a second, and everybody asks after nine tenths of a second.
    for now in 0..SECONDS * 1_000 {
        for _ in 0..20 * CLIENTS_MAX / 1_000 + 1 {
            clients.push_back((now, network.connect(ROOM)));
        }
        while clients.front().is_some_and(|(since, _)| since + 900 == now) {
            let (_, client) = clients.pop_front().unwrap();
            client.send(REQUEST);
            stand.turn(&mut server, at(now));
            answered += u64::from(text(&client).starts_with("HTTP/1.1 200 "));
        }
        stand.turn(&mut server, at(now));
    }
    let promised = (SECONDS - 1) * CLIENTS_MAX as u64 / HELD_SHARE;
    assert!(answered >= promised, "{answered} of {promised}");
}

#[test]
fn a_request_that_comes_in_the_moment_its_connection_would_be_closed_is_answered() {
    let (stand, network) = (Stand::new(), Network::default());
    let client = network.connect(ROOM);
    let mut server = Server::new(network, 1);
    stand.serve(&mut server, at(0));
    // It comes after the loop has looked what has come.
    client.send(REQUEST);
    let now = at(HTTP_IDLE_MS_MAX);
    server.turn(&[], now, &stand.snapshot());
    stand.serve(&mut server, now);
    assert!(text(&client).ends_with("{\"status\":\"ok\"}") && !client.is_over());
}

#[test]
fn an_idle_connection_is_ended_on_this_side_first_and_let_go_when_the_peer_has_seen_it() {
    let (stand, network) = (Stand::new(), Network::default());
    let [quick, deaf] = std::array::from_fn(|_| network.connect(ROOM));
    let mut server = Server::new(network, 2);
    stand.serve(&mut server, at(0));
    stand.serve(&mut server, at(HTTP_IDLE_MS_MAX - 1));
    assert!(!quick.is_over() && !deaf.is_over());
    stand.serve(&mut server, at(HTTP_IDLE_MS_MAX));
    assert!(quick.is_over() && deaf.is_over() && !quick.is_forgotten() && !deaf.is_forgotten());
    quick.end();
    stand.serve(&mut server, at(HTTP_IDLE_MS_MAX));
    assert!(quick.is_forgotten() && !deaf.is_forgotten());
    stand.serve(&mut server, at(HTTP_IDLE_MS_MAX + LINGER_MS_MAX));
    assert!(deaf.is_forgotten() && text(&quick).is_empty() && text(&deaf).is_empty());
}

#[test]
fn line_ends_that_nothing_follows_are_answered_with_nothing() {
    let (stand, network) = (Stand::new(), Network::default());
    let endings = ["\r", "\r\n", "\r\n\r"];
    let clients = endings.map(|ending| (ending, network.connect(ROOM)));
    let mut server = Server::new(network, endings.len());
    for (ending, client) in &clients {
        client.send(REQUEST);
        stand.serve(&mut server, at(0));
        client.send(ending.as_bytes());
        stand.serve(&mut server, at(0));
        assert!(text(client).ends_with("{\"status\":\"ok\"}"));
    }
    for now in [HTTP_HEAD_MS_MAX, HTTP_IDLE_MS_MAX - 1, HTTP_IDLE_MS_MAX] {
        stand.serve(&mut server, at(now));
        for (ending, client) in &clients {
            assert_eq!((text(client), client.is_over()), (String::new(), now == HTTP_IDLE_MS_MAX), "{ending:?}");
        }
    }
}

#[test]
fn what_may_be_for_head_and_does_not_come_in_time_gets_an_answer_without_a_body() {
    let (stand, network) = (Stand::new(), Network::default());
    let starts = [("HEAD /health", false), ("\r\nHEAD / HTTP/1.1\r\nX", false), ("HE", false), ("GET /", true)];
    let clients = starts.map(|(start, with_body)| (start, with_body, network.connect(ROOM)));
    let mut server = Server::new(network, starts.len());
    clients.iter().for_each(|(start, _, client)| client.send(start.as_bytes()));
    stand.serve(&mut server, at(0));
    stand.serve(&mut server, at(HTTP_HEAD_MS_MAX));
    for (start, with_body, client) in &clients {
        let answer = text(client);
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{start:?}: {answer}");
        assert_eq!(!body.is_empty(), *with_body, "{start:?}: {answer}");
    }
}

#[test]
fn a_buffer_is_given_back_with_what_it_held() {
    let (stand, network) = (Stand::new(), Network::default());
    let client = network.connect(ROOM);
    let mut server = Server::new(network, 1);
    stand.serve(&mut server, at(0));
    assert_eq!(server.buffer_bytes, 0);
    client.send(&[b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: ".as_slice(), &[b'x'; 20_000]].concat());
    stand.serve(&mut server, at(0));
    assert!((20_000..=HTTP_HEAD_BYTES_MAX).contains(&server.buffer_bytes), "{}", server.buffer_bytes);
    client.send(b"\r\n\r\n");
    stand.serve(&mut server, at(0));
    assert!(text(&client).len() > 4 * BUFFER_BYTES_KEPT);
    assert!(server.buffer_bytes <= 2 * BUFFER_BYTES_KEPT, "{}", server.buffer_bytes);
}

#[test]
fn when_all_buffers_together_are_too_large_the_largest_make_way() {
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
    let modest = network.connect(ROOM);
    modest.send(&REQUEST[..20]);
    // Half of them do not take their answers, the others do not end their heads.
    let connect = |_| (network.connect(0), network.connect(ROOM));
    let clients: Vec<_> = (0..(HTTP_CONNECTIONS_MAX - 2) / 2).map(connect).collect();
    for (deaf, slow) in &clients {
        deaf.send(&b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20));
        slow.send(&[b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; HTTP_HEAD_BYTES_MAX - 19]].concat());
    }
    for _ in 0..HTTP_CONNECTIONS_MAX {
        stand.turn(&mut server, at(0));
        assert!(server.buffer_bytes <= BUFFERS_BYTES_MAX, "{}", server.buffer_bytes);
    }
    let gone = clients.iter().filter(|(deaf, _)| deaf.is_forgotten()).count();
    assert!(gone > 0, "they took no room");
    assert!(limit(&stand, &network, &mut server, at(0), "buffers") >= gone as u64);
    modest.send(&REQUEST[20..]);
    stand.serve(&mut server, at(0));
    assert!(text(&modest).ends_with("{\"status\":\"ok\"}"));

    // With heads alone.
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
    let clients: Vec<Client> = (0..HTTP_CONNECTIONS_MAX).map(|_| network.connect(ROOM)).collect();
    let head = [b"\r\nGET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; HTTP_HEAD_BYTES_MAX - 20]].concat();
    clients.iter().for_each(|client| client.send(&head));
    stand.serve(&mut server, at(0));
    assert!(server.buffer_bytes <= BUFFERS_BYTES_MAX, "{}", server.buffer_bytes);
    let gone = clients.iter().filter(|client| client.is_forgotten()).count();
    assert!((1..10).contains(&gone), "{gone}");
}

#[test]
fn who_asks_for_metrics_in_the_same_turn_gets_the_same_and_in_the_next_what_is_new() {
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
    let clients: Vec<Client> = (0..3).map(|_| network.connect(ROOM)).collect();
    stand.serve(&mut server, at(0));
    let mut ask = || {
        clients.iter().for_each(|client| client.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"));
        stand.turn(&mut server, at(0));
        clients.iter().map(text).collect::<Vec<String>>()
    };
    let answered = "\naqevia_http_requests_total{path=\"/metrics\",code=\"200\"} 3\n";
    for is_told in [false, true] {
        let texts = ask();
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
        assert!(
            texts[0].contains("\naqevia_http_connections 3\n") && texts[0].contains(answered) == is_told,
            "{texts:?}"
        );
    }
}

#[test]
fn one_turn_answers_the_fewer_the_longer_the_answers_are_and_the_others_in_the_next() {
    for (request, bytes_min) in [("GET /health", 0), ("GET /", 20_000), ("HEAD /", 0)] {
        let (stand, network) = (Stand::new(), Network::default());
        let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
        let clients: Vec<Client> = (0..HTTP_CONNECTIONS_MAX).map(|_| network.connect(ROOM)).collect();
        stand.serve(&mut server, at(0));
        clients.iter().for_each(|client| client.send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()));
        let mut answered = 0;
        while answered < clients.len() {
            assert!(stand.turn(&mut server, at(0)));
            let lengths: Vec<usize> =
                clients.iter().map(|client| client.take().len()).filter(|length| *length > 0).collect();
            assert!(lengths.iter().all(|length| *length > bytes_min));
            // The last one may go beyond what is left of the turn.
            let most = HTTP_ANSWERS_PER_TURN / (1 + bytes_min / HTTP_ANSWER_BYTES) + 1;
            assert!((1..=most).contains(&lengths.len()), "{} of {request}", lengths.len());
            answered += lengths.len();
        }
    }
}

#[test]
fn a_stop_answers_whoever_has_connected_and_ends_each_connection_in_order() {
    let (stand, network) = (Stand::new(), Network::default());
    let mut server = Server::new(network.clone(), HTTP_CONNECTIONS_MAX);
    let [idle, pipelining] = std::array::from_fn(|_| network.connect(ROOM));
    stand.serve(&mut server, at(0));
    idle.send(REQUEST);
    stand.serve(&mut server, at(0));
    assert!(text(&idle).contains("200 OK"));
    // These wait to be accepted, more than one turn takes; the first has not asked yet.
    let late = network.connect(ROOM);
    let waiting: Vec<Client> = (0..200).map(|_| network.connect(ROOM)).collect();
    waiting.iter().for_each(|client| client.send(REQUEST));
    pipelining.send(&REQUEST.repeat(3));
    let begun = HTTP_STOP_IDLE_MS_MAX;
    server.stop();
    stand.serve(&mut server, at(begun));
    for client in &waiting {
        let answer = text(client);
        assert!(answer.contains("200 OK") && answer.contains("Connection: close"), "{answer}");
        assert!(client.is_over());
    }
    let answers = text(&pipelining);
    assert_eq!((answers.matches("200 OK").count(), answers.matches("Connection: close").count()), (3, 1), "{answers}");
    assert!(answers.rfind("200 OK") < answers.find("Connection: close"), "{answers}");
    assert!(idle.is_over() && text(&idle).is_empty() && !late.is_over());

    late.send(REQUEST);
    stand.serve(&mut server, at(begun + 100));
    assert!(text(&late).contains("Connection: close") && late.is_over());
    assert!(!server.is_done());
    waiting.iter().chain([&idle, &pipelining, &late]).for_each(Client::end);
    stand.serve(&mut server, at(begun + 100));
    assert!(server.is_done());
}

#[test]
fn a_stop_waits_for_nobody_where_nobody_is() {
    let mut server = Server::new(Network::default(), 1);
    server.stop();
    Stand::new().serve(&mut server, at(0));
    assert!(server.is_done());
}
