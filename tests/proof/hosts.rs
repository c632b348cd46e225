//! The real ports of telnet and of browsers, with a world and people behind them, on a network in memory with a clock that
//! is moved by hand.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use aqevia_engine::clock::Monotonic;
use aqevia_engine::config::Config;
use aqevia_engine::limits::{
    COMMAND_BURST, HTTP_HEAD_MS_MAX, HTTP_IDLE_MS_MAX, KEEPALIVE_MS, LINES_PER_TURN, LOGIN_MS_MAX, OUTPUT_BYTES_MAX,
    PROXY_HEADER_MS_MAX, SESSION_WRITE_MS_MAX, SESSIONS_PER_ADDRESS_MAX, WARNING_INTERVAL_MS,
};
use aqevia_engine::net::{Limit, Net};
use aqevia_engine::session::{self, Moment, People, mssp};
use aqevia_engine::storage::worldfile::BUILTIN;
use aqevia_engine::telnet::port::Port;
use aqevia_engine::web;
use aqevia_engine::world::{Kind, World};

use crate::folder::WALL;
use crate::network::{Client, Network};
use crate::stand::LAST;
use crate::worlds;

const ROOM: usize = 1 << 20;

const fn at(milliseconds: u64) -> Monotonic {
    Monotonic(Duration::from_millis(milliseconds))
}

/// A world that people come into.
struct Host {
    world: World,
    people: People,
    port: Port,
    web: web::port::Port,
    net: Net<Network>,
    network: Network,
    /// Where browsers come from.
    web_network: Network,
}

impl Host {
    fn new(places: usize) -> Host {
        let network = Network::default();
        let web_network = network.another();
        let mut net = Net::new(2 * places, LAST);
        let port = Port::open(network.clone(), places, &mut net, &mut network.clone()).unwrap();
        let origins = Vec::new();
        let web = web::port::Port::open(web_network.clone(), places, origins, &mut net, &mut network.clone()).unwrap();
        let world = worlds::world(&worlds::restless(2, 1), 1);
        Host { world, people: People::default(), port, web, net, network, web_network }
    }

    /// Takes one turn of the loop; false if it would sleep.
    fn turn(&mut self, now: Monotonic) -> bool {
        let ready = self.network.ready();
        let is_due = |due: Option<Monotonic>| due.is_some_and(|due| due <= now);
        if ready.is_empty() && !is_due(self.net.next_deadline()) && !is_due(self.people.next_due()) {
            return false;
        }
        self.net.hear(&ready, now);
        let mut random = || [7; 10];
        let mut moment = Moment { world: &mut self.world, now, wall: WALL, random: &mut random };
        let quiet = self.people.pass(&mut moment);
        self.port.lines.keep_alive(&mut self.net, &quiet);
        self.web.lines.keep_alive(&mut self.net, &quiet);
        self.port.serve(&mut self.net, &mut self.people, &mut moment);
        self.web.serve(&mut self.net, &mut self.people, &mut moment);
        self.port.lines.send(&mut self.net, &mut self.people, &self.world, now);
        self.web.lines.send(&mut self.net, &mut self.people, &self.world, now);
        self.net.send(now, &mut self.network);
        true
    }

    fn serve(&mut self, now: Monotonic) {
        assert!((0..1_000).any(|_| !self.turn(now)), "it does not come to rest");
    }

    /// One in whose port proxies of a network are trusted.
    fn behind_proxies(places: usize) -> Host {
        let mut host = Host::new(places);
        let proxies = ["10.0.0.0/8".to_owned()];
        [host.port.port, host.web.server.port].into_iter().for_each(|port| host.net.trust(port, &proxies));
        host
    }

    /// Guests who have come in.
    fn guests(&mut self, count: usize, now: Monotonic) -> Vec<Client> {
        let before = self.people.online().count();
        let guests: Vec<Client> = (0..count).map(|_| self.network.connect(ROOM)).collect();
        guests.iter().for_each(|guest| guest.send(b"guest\r\n"));
        self.serve(now);
        assert_eq!(self.people.online().count(), before + count);
        guests
    }

    fn reached(&self, limit: session::Limit) -> u64 {
        self.people.counts.reached[limit as usize]
    }
}

#[test]
fn whoever_is_in_the_world_makes_way_for_none_who_only_come() {
    let mut host = Host::new(10);
    let guests = host.guests(4, at(0));
    for now in 1..1_000 {
        let flood: Vec<Client> = (0..10).map(|_| host.network.connect(ROOM)).collect();
        flood.iter().for_each(|client| client.send(b"\r\n"));
        host.serve(at(10 * now));
        assert!(!guests.iter().any(Client::is_over), "{now}");
    }
    // A full house lets nobody else in, and everybody stays.
    let mut host = Host::new(4);
    let guests = host.guests(4, at(0));
    let more = host.network.connect(ROOM);
    host.serve(at(10_000));
    assert!(more.is_forgotten() && !guests.iter().any(Client::is_over));
    // Who leaves makes room again.
    guests[1].send(b"quit\r\n");
    host.serve(at(10_001));
    let next = host.network.connect(ROOM);
    host.serve(at(10_002));
    assert!(!next.is_over() && guests[1].is_over());
    assert_eq!(guests.iter().filter(|guest| guest.is_over()).count(), 1);
}

#[test]
fn a_turn_takes_so_many_lines_and_no_more_whoever_sends_them_and_each_gets_its_own() {
    let mut host = Host::new(100);
    let guests = host.guests(100, at(0));
    let (now, each) = (at(60_000), COMMAND_BURST as usize - 1);
    guests.iter().for_each(|guest| _ = guest.take());
    guests.iter().for_each(|guest| guest.send(&b"brief on\r\n".repeat(each)));
    let (mut before, mut turns) = (host.people.counts.commands, 0);
    while host.turn(now) {
        let taken = host.people.counts.commands - before;
        assert!(taken as usize <= LINES_PER_TURN + each, "{taken} lines in one turn");
        (before, turns) = (host.people.counts.commands, turns + 1);
    }
    assert!(turns > 10 && host.reached(session::Limit::LinesPerTurn) > 10, "{turns}");
    for guest in &guests {
        let said = String::from_utf8_lossy(&guest.take()).into_owned();
        assert_eq!(said.matches("Brief: on").count(), each, "{said}");
    }
}

#[test]
fn a_player_whose_line_drops_for_a_while_is_not_given_up_as_a_web_client_would_be() {
    let mut host = Host::new(10);
    let deaf = host.network.connect(0);
    host.serve(at(0));
    host.serve(at(SESSION_WRITE_MS_MAX - 1));
    assert!(!deaf.is_forgotten());
    host.serve(at(SESSION_WRITE_MS_MAX));
    assert!(deaf.is_forgotten());
}

#[test]
fn a_websocket_has_the_deadlines_of_a_session_and_before_its_handshake_those_of_http() {
    let opening = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // A frame of text as a client sends it, with a mask of zeros: "guest".
    let guest = b"\x81\x85\0\0\0\0guest";
    let mut host = Host::new(10);
    let [silent, slow, outside, inside] = [(); 4].map(|()| host.web_network.connect(ROOM));
    slow.send(&opening.as_bytes()[..20]);
    outside.send(opening.as_bytes());
    inside.send(opening.as_bytes());
    inside.send(guest);
    host.serve(at(0));
    assert!(String::from_utf8_lossy(&inside.take()).contains("Exits: "));
    let is_open = |client: &Client| !client.is_over();
    host.serve(at(HTTP_HEAD_MS_MAX));
    assert!(!is_open(&slow) && slow.take().starts_with(b"HTTP/1.1 408 "));
    // A quiet one is sent a ping, which its browser answers by itself.
    host.serve(at(KEEPALIVE_MS));
    assert_eq!(inside.take(), [0x89, 0]);
    inside.send(b"\x8a\x80\0\0\0\0");
    host.serve(at(LOGIN_MS_MAX));
    assert!(!is_open(&outside));
    // The last frame says that all is said (RFC 6455 section 7.4.1).
    assert!(outside.take().ends_with(&[0x88, 2, 0x03, 0xe8]));
    assert!(is_open(&silent));
    host.serve(at(HTTP_IDLE_MS_MAX));
    assert!(!is_open(&silent) && is_open(&inside));
    host.serve(at(10 * HTTP_IDLE_MS_MAX));
    assert!(is_open(&inside));
}

#[test]
fn whoever_plays_by_a_browser_makes_way_for_none_who_only_come() {
    let mut host = Host::new(3);
    let opening = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let players = [(); 2].map(|()| host.web_network.connect(ROOM));
    for player in &players {
        player.send(opening.as_bytes());
        player.send(b"\x81\x85\0\0\0\0guest");
    }
    host.serve(at(0));
    for now in 1..100 {
        let page = host.web_network.connect(ROOM);
        page.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        host.serve(at(10 * now));
        assert!(page.take().starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
    assert!(players.iter().all(|player| !player.is_over()));
}

/// One that reads again after a while asks something at once; what waits for it meanwhile takes no room from the answer.
#[test]
fn whoever_reads_again_gets_an_answer_however_much_was_left_out_before() {
    let mut host = Host::new(30);
    let deaf = host.network.connect(2 * OUTPUT_BYTES_MAX);
    deaf.send(b"guest\r\n");
    host.serve(at(0));
    let talkers = host.guests(20, at(0));
    let lines = |n: u64| format!("tell guest1 {n} {}\r\n", "and on ".repeat(130));
    let lines: String = (0..COMMAND_BURST - 5).map(lines).collect();
    talkers.iter().for_each(|talker| talker.send(lines.as_bytes()));
    host.serve(at(1));
    deaf.send(b"look\r\n");
    let mut read = Vec::new();
    for now in 2.. {
        let some = deaf.take();
        if some.is_empty() {
            break;
        }
        read.extend(some);
        host.serve(at(now));
    }
    let read = String::from_utf8_lossy(&read);
    let (_, after) = read.rsplit_once("Missing here: ").expect("something to be left out");
    assert!(after.contains("Exits: "), "{after}");
}

/// The address of a proxy that is trusted, and how it brings somebody.
const PROXY: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)));

fn brought_from(address: &str) -> Vec<u8> {
    format!("PROXY TCP4 {address} 10.1.2.3 56324 4000\r\n").into_bytes()
}

#[test]
fn nobody_whom_a_proxy_brings_is_met_before_it_has_said_where_they_come_from() {
    let header = brought_from("192.0.2.7");
    for cut in 0..header.len() {
        let mut host = Host::behind_proxies(10);
        let brought = host.network.connect_from(PROXY, ROOM);
        let [page, quiet] = [(); 2].map(|()| host.web_network.connect_from(PROXY, ROOM));
        for client in [&brought, &page] {
            client.send(&header[..cut]);
        }
        host.serve(at(0));
        assert_eq!((host.people.sessions(), brought.take(), page.take()), (0, vec![], vec![]));
        // What comes with the end of it is heard, too.
        brought.send(&[&header[cut..], b"guest\r\n"].concat());
        page.send(&[&header[cut..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        quiet.send(&header);
        host.serve(at(PROXY_HEADER_MS_MAX - 1));
        assert!(String::from_utf8_lossy(&brought.take()).contains("Exits: "));
        assert!(page.take().starts_with(b"HTTP/1.1 200 OK\r\n"));
        // From then on they have the time that everybody has.
        host.serve(at(HTTP_IDLE_MS_MAX));
        assert!(![&page, &quiet, &brought].into_iter().any(Client::is_over));
        host.serve(at(HTTP_IDLE_MS_MAX + PROXY_HEADER_MS_MAX));
        assert!(page.is_over() && quiet.is_over() && !brought.is_over());
    }
}

#[test]
fn a_proxy_that_does_not_say_in_time_where_somebody_comes_from_or_says_something_else_is_closed_without_a_word() {
    let mut host = Host::behind_proxies(10);
    let count = |host: &Host, port: usize| host.net.counters(port).limits[Limit::ProxyHeader as usize];
    let networks = [host.network.clone(), host.web_network.clone()];
    let ports = [host.port.port, host.web.server.port];
    for (network, port) in networks.iter().zip(ports) {
        let [silent, slow, late, other, gone] = [(); 5].map(|()| network.connect_from(PROXY, ROOM));
        let endless = network.connect_from(PROXY, ROOM);
        let stranger = network.connect_from(Some(IpAddr::from([192, 0, 2, 7])), ROOM);
        other.send(b"guest\r\n");
        late.send(&[b"\n", &brought_from("192.0.2.7")[..]].concat());
        endless.send(&[b"PROXY UNKNOWN ", &[b'x'; 10_000][..]].concat());
        gone.send(b"PROXY ");
        gone.end();
        host.serve(at(0));
        assert!([&late, &other, &gone, &endless].into_iter().all(Client::is_forgotten));
        assert_eq!((count(&host, port), host.net.silent_proxy.take()), (4, PROXY));
        // Bytes that come one by one buy no time.
        for now in 1..PROXY_HEADER_MS_MAX / 100 {
            slow.send(&b"PROXY UNKNOWN                                         "[now as usize - 1..now as usize]);
            host.serve(at(100 * now));
        }
        host.serve(at(PROXY_HEADER_MS_MAX - 1));
        assert!(!silent.is_forgotten() && !slow.is_forgotten());
        host.serve(at(PROXY_HEADER_MS_MAX));
        assert!(silent.is_forgotten() && slow.is_forgotten() && !stranger.is_forgotten());
        assert_eq!(count(&host, port), 6);
        assert!([silent, slow, late, other, gone, endless].iter().all(|client| client.take().is_empty()));
    }
    assert_eq!(host.people.sessions(), 1);
}

#[test]
fn behind_a_proxy_each_address_has_its_own_share_of_the_places() {
    let mut host = Host::behind_proxies(1_000);
    let come = |host: &mut Host, header: &[u8]| {
        let client = host.network.connect_from(PROXY, ROOM);
        client.send(header);
        client.send(b"guest\r\n");
        host.serve(at(0));
        String::from_utf8(client.take().into_iter().filter(u8::is_ascii).collect()).unwrap()
    };
    let many = "There are too many connections from your address.";
    for _ in 0..SESSIONS_PER_ADDRESS_MAX {
        assert!(!come(&mut host, &brought_from("192.0.2.7")).contains(many));
    }
    assert!(come(&mut host, &brought_from("192.0.2.7")).contains(many));
    assert!(come(&mut host, b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n").contains(many));
    assert!(!come(&mut host, &brought_from("192.0.2.8")).contains(many));
    // Of whom nothing is known but the proxy.
    assert!(!come(&mut host, b"PROXY UNKNOWN\r\n").contains(many));
}

/// The subnegotiations of an option that were sent, and what was sent beside all of them.
fn told(bytes: &[u8], option: u8) -> (Vec<String>, String) {
    let (mut told, mut text) = (Vec::new(), Vec::new());
    let mut parts = bytes.split(|byte| *byte == 255).peekable();
    text.extend(parts.next().unwrap_or_default());
    for part in parts {
        match part {
            [250, rest @ ..] if rest.first() == Some(&option) => {
                told.push(String::from_utf8(rest[1..].to_vec()).unwrap())
            }
            [250, ..] => (),
            [251..=254, _, rest @ ..] | [_, rest @ ..] => text.extend(rest),
            [] => panic!("a doubled 255"),
        }
    }
    (told, String::from_utf8(text).unwrap())
}

const DO_MSSP: &[u8] = &[255, 253, 70];

#[test]
fn a_crawler_is_told_all_once_whenever_it_asks_and_is_no_player_no_login_and_never_waits() {
    let mut host = Host::new(1_000);
    let config = |variables: &[(&str, &str)]| {
        Config::read(variables.iter().map(|(name, value)| (name.into(), value.into()))).0.unwrap()
    };
    host.people.fixed = mssp::fixed(&config(&[]), Some(4000), WALL);
    let count = |kind: Kind| host.world.counts()[kind as usize].to_string();
    let mut table = vec![
        ("NAME", host.world.name.clone()),
        ("PLAYERS", "3".to_owned()),
        ("ROOMS", count(Kind::Room)),
        ("OBJECTS", count(Kind::Thing)),
        ("MOBILES", count(Kind::Creature)),
        ("UPTIME", WALL.0.as_secs().to_string()),
        ("PORT", "4000".to_owned()),
        ("CODEBASE", format!("Aqevia Engine {}", env!("CARGO_PKG_VERSION"))),
    ];
    let constant = [("FAMILY", "Custom"), ("LANGUAGE", "English"), ("CHARSET", "UTF-8"), ("ANSI", "1")];
    let more = [("XTERM 256 COLORS", "0"), ("GMCP", "1"), ("AREAS", "1"), ("CRAWL DELAY", "-1")];
    table.extend([constant, more].concat().into_iter().map(|(name, value)| (name, value.to_owned())));
    let written = |table: &[(&str, String)]| -> String {
        table.iter().map(|(name, value)| format!("\u{1}{name}\u{2}{value}")).collect()
    };
    let guests = host.guests(3, at(0));
    let crawler = host.network.connect(ROOM);
    host.serve(at(1));
    assert!(told(&crawler.take(), 70).0.is_empty(), "whoever has not asked is told nothing");
    crawler.send(&[DO_MSSP, DO_MSSP, &[255, 254, 70], DO_MSSP].concat());
    host.serve(at(2));
    let (said, text) = told(&crawler.take(), 70);
    assert_eq!((said, text.as_str()), (vec![written(&table)], ""), "and no prompt, which stands there already");
    // All that can be configured. What would separate values is left out, wherever it comes from.
    let told_too = [("AQEVIA_HOSTNAME", "world.example"), ("AQEVIA_CONTACT", "a\u{e9}"), ("AQEVIA_TLS_PORT", "4443")];
    host.people.fixed = mssp::fixed(&config(&told_too), Some(4000), WALL);
    host.people.fixed.push(("X", "a\u{0}b\u{1}\u{2}c".to_owned()));
    let more = [("HOSTNAME", "world.example"), ("CONTACT", "a\u{e9}"), ("SSL", "4443"), ("TLS", "4443")];
    table.splice(7..7, more.map(|(name, value)| (name, value.to_owned())));
    table.push(("X", "abc".to_owned()));
    // However many come, they leave no trace, and a player asks too.
    for now in 3..600 {
        let crawler = host.network.connect(ROOM);
        crawler.send(DO_MSSP);
        host.serve(at(now));
        let (said, text) = told(&crawler.take(), 70);
        assert!(said == [written(&table)] && text.ends_with("Name: "), "{said:?} {text}");
        crawler.end();
        host.serve(at(now));
        assert!(crawler.is_forgotten());
    }
    guests[0].take();
    guests[0].send(DO_MSSP);
    host.serve(at(600));
    assert_eq!(told(&guests[0].take(), 70), (vec![written(&table)], String::new()));
    guests[0].send(b"look\r\n");
    host.serve(at(601));
    let (said, text) = told(&guests[0].take(), 70);
    assert!(said.is_empty() && text.contains("Exits: "), "{text}");
    assert_eq!((host.people.counts.logins, host.people.counts.failures, host.people.counts.reached), (3, 0, [0; 10]));
    assert_eq!(host.people.online().count(), 3);
    assert!(host.people.notes.iter().all(|line| line.text.contains(" msg=\"a player came in\" ")));
}

#[test]
fn a_world_that_bears_the_built_in_name_says_so_now_and_then_when_it_tells_crawlers() {
    let mut host = Host::new(10);
    let asks = |host: &mut Host, now: u64| {
        let crawler = host.network.connect(ROOM);
        crawler.send(DO_MSSP);
        host.serve(at(now));
        assert_eq!(told(&crawler.take(), 70).0.len(), 1);
        crawler.end();
        host.serve(at(now));
        host.people.notes.drain(..).filter(|line| line.text.contains("the built-in name\" name=Tollfleet")).count()
    };
    assert_eq!([0, WARNING_INTERVAL_MS].map(|now| asks(&mut host, now)), [0, 0]);
    host.world = worlds::world(BUILTIN, 1);
    let first = 2 * WARNING_INTERVAL_MS;
    let said = [0, 1, WARNING_INTERVAL_MS - 1, WARNING_INTERVAL_MS].map(|later| asks(&mut host, first + later));
    assert_eq!(said, [1, 0, 0, 1]);
}

#[test]
fn by_telnet_messages_come_before_the_text_and_only_those_that_were_named() {
    let mut host = Host::new(10);
    let client = host.network.connect(ROOM);
    client.send(b"\xff\xfd\xc9\xff\xfa\xc9Core.Supports.Set [\"Room 1\"]\xff\xf0guest\r\n");
    host.serve(at(0));
    let bytes = client.take();
    let (said, text) = told(&bytes, 201);
    let packages: Vec<&str> = said.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(packages, ["Room.Info", "Room.Players"]);
    let message = bytes.windows(12).position(|some| some == b"\xff\xfa\xc9Room.Info");
    let title = bytes.windows(8).position(|some| some == b"\r\nExits:");
    assert!(message.zip(title).is_some_and(|(message, title)| message < title), "{text}");
    client.send(b"\xff\xfa\xc9Core.Ping\xff\xf0sw\r\n");
    host.serve(at(1));
    let (said, text) = told(&client.take(), 201);
    assert_eq!(said, ["Core.Ping", "Room.WrongDir \"sw\""]);
    assert_eq!(text, "There is no way southwest from here.\r\n> ");
    // Who wants no more of it gets none.
    client.send(b"\xff\xfe\xc9\xff\xfa\xc9Core.Ping\xff\xf0sw\r\n");
    host.serve(at(2));
    assert_eq!(told(&client.take(), 201).0, [""; 0]);
    // Text that another client of telnet gets is the same.
    let [with, without] = [true, false].map(|gmcp| {
        let client = host.network.connect(ROOM);
        client.send(if gmcp { b"\xff\xfd\xc9" } else { b"\xff\xfe\xc9" });
        client.send(b"\xff\xfa\xc9Core.Supports.Set [\"Char 1\",\"Room 1\",\"Comm 1\",\"Aqevia 1\"]\xff\xf0guest\r\nlook\r\nsay a\r\nquit\r\n");
        host.serve(at(3));
        let (said, text) = told(&client.take(), 201);
        assert_eq!(said.is_empty(), !gmcp);
        text.replace("Guest2", "Guest").replace("Guest3", "Guest")
    });
    assert_eq!(with, without);
}
