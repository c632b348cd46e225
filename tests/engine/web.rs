//! Who comes by a browser, or by what else speaks WebSocket: the page, the door before it, and a visit beside others.

use std::io::{Read, Write};
use std::net::TcpStream;

use aqevia_engine::limits::{COMMAND_BURST, OUTPUT_BYTES_MAX, SESSIONS_PER_ADDRESS_MAX, WEB_CONNECTIONS_MAX};

use crate::support::{Engine, Folder, PATIENCE, by_way_of, command, wait_for};
use crate::visitor::{TELNET, Visitor, WEB, frame, handshake, host, web_address};

/// What is answered to a request that is the last of its connection.
fn ask(engine: &Engine, line: &str, fields: &str) -> String {
    let mut stream = TcpStream::connect(web_address(engine)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{line} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{fields}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What is answered to a handshake with these fields.
fn shake(engine: &Engine, fields: &str) -> (Visitor, String) {
    let mut visitor = Visitor::browse(engine);
    visitor.stream = TcpStream::connect(web_address(engine)).unwrap();
    visitor.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    visitor.sends(handshake(&web_address(engine), fields).as_bytes());
    let answer = visitor.reads_head();
    (visitor, answer)
}

#[test]
fn the_page_to_play_on_and_its_websocket_are_all_that_is_to_be_had_there() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let page = ask(&engine, "GET /", "");
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body.starts_with("<!doctype html>"), "{head}");
    for field in [
        "Content-Type: text/html; charset=utf-8",
        "Content-Security-Policy: default-src 'none'; script-src 'sha256-",
        "Referrer-Policy: no-referrer",
        "X-Frame-Options: DENY",
        "X-Content-Type-Options: nosniff",
    ] {
        assert!(head.contains(&format!("\r\n{field}")), "{field} in {head}");
    }
    assert_eq!(ask(&engine, "HEAD /", "").split_once("\r\n\r\n").unwrap().1, "");
    for (line, code) in [
        ("GET /health", "404"),
        ("GET /status", "404"),
        ("GET /metrics", "404"),
        ("GET /map", "404"),
        ("GET /index.html", "404"),
        ("POST /", "405"),
        ("POST /ws", "405"),
        ("BREW /", "501"),
        ("GET /ws", "426"),
        ("OPTIONS /", "204"),
        ("OPTIONS *", "204"),
        ("OPTIONS /status", "404"),
    ] {
        let answer = ask(&engine, line, "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{line}: {answer}");
    }
    assert_eq!(engine.get("/ws").0, 404);
    assert_eq!(engine.metric("aqevia_web_requests_total{path=\"/\",code=\"200\"}"), 2.0);
    assert_eq!(engine.metric("aqevia_web_requests_total{path=\"/ws\",code=\"426\"}"), 1.0);
    assert_eq!(engine.metric("aqevia_web_rejects_total{reason=\"host_missing\"}"), 0.0);
    let mut stream = TcpStream::connect(web_address(&engine)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(engine.metric("aqevia_web_rejects_total{reason=\"host_missing\"}"), 1.0);
    engine.stop();
}

#[test]
fn by_a_websocket_one_comes_in_walks_talks_and_finds_everything_again_by_telnet() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let mut other = Visitor::guest(&engine);
    let mut anna = Visitor::browse(&engine);
    anna.types("Anna");
    anna.reads("Yes or no: ");
    anna.types("yes");
    anna.reads("The password of Anna: ");
    let password = anna.reads("\r\n").trim_end().to_owned();
    anna.reads("The Yard");
    anna.reads("Exits: ");
    assert!(anna.asks("get coina").contains("You pick up coina.\r\n"));
    anna.types("say Grüße, \u{1f409}");
    other.reads("Anna says, \"Grüße, \u{1f409}\"");
    other.types("say and to you");
    anna.reads("says, \"and to you\"");
    assert!(anna.asks("north").contains("The Barn"));
    // A frame may hold half a line, several, or half a letter.
    anna.sends(&frame(true, 2, b"sa"));
    anna.sends(&frame(false, 2, "y \u{e4}".as_bytes().split_last().unwrap().1));
    anna.sends(&frame(true, 0, b"\xa4\nsouth\nsay and here\n"));
    anna.reads("You say, \"\u{e4}\"");
    anna.reads("The Yard");
    anna.reads("You say, \"and here\"");
    anna.types("quit");
    anna.reads("Goodbye.");
    anna.reads_to_the_end();
    assert_eq!(anna.closed, Some(1000));
    let mut again = Visitor::connect(&engine);
    again.types(&format!("Anna\r\n{password}"));
    again.reads("The Yard");
    assert!(again.asks("inventory").contains("coina"));
    // Whoever comes in elsewhere has the body; the page learns why, and that it need not come back.
    let mut page = Visitor::browse(&engine);
    page.types(&format!("Anna\r\n{password}"));
    assert!(again.reads_to_the_end().contains("You have come in from elsewhere"));
    page.reads("The Yard");
    let mut once_more = Visitor::connect(&engine);
    once_more.types(&format!("Anna\r\n{password}"));
    assert!(page.reads_to_the_end().contains("You have come in from elsewhere"));
    assert_eq!(page.closed, Some(1000));
    engine.stop();
}

#[test]
fn each_subprotocol_has_its_form_and_none_is_one_too() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    for name in ["gmcp.mudstandards.org", "terminal.mudstandards.org"] {
        let (mut visitor, answer) = shake(&engine, &format!("Sec-WebSocket-Protocol: {name}\r\n"));
        assert!(answer.contains(&format!("\r\nSec-WebSocket-Protocol: {name}\r\n")), "{answer}");
        visitor.reads("Name: ");
        visitor.types("guest");
        visitor.reads("The Yard");
        assert!(visitor.asks("look").contains("Exits: north"));
        assert_eq!(visitor.messages.is_empty(), name.starts_with("terminal"));
    }
    let (mut plain, answer) = shake(&engine, "Sec-WebSocket-Protocol: chat\r\n");
    assert!(!answer.contains("Sec-WebSocket-Protocol"), "{answer}");
    plain.sends(&frame(true, 1, b"guest"));
    plain.sends(&frame(true, 1, b"look"));
    plain.sends(&frame(true, 1, b"quit"));
    assert_eq!(plain.reads_to_the_end(), "");
    let lines = plain.messages.join("\n");
    assert!(lines.contains("The Yard\nGravel.") && lines.ends_with("Goodbye. What you carried lies where you stood."));
    assert!(!lines.contains('\u{1b}') && !lines.contains('\r'), "{lines:?}");
    engine.stop();
}

#[test]
fn a_page_of_another_origin_gets_in_only_if_it_is_listed() {
    let folder = Folder::new();
    let listed = "https://play.example,http://192.0.2.1:8080";
    let engine = host(&folder, &[("AQEVIA_WEB_ORIGINS", listed)]);
    let own = web_address(&engine);
    for (origin, code) in [
        (format!("http://{own}"), "101"),
        (format!("https://{own}"), "101"),
        ("https://PLAY.example".to_owned(), "101"),
        ("http://192.0.2.1:8080".to_owned(), "101"),
        ("http://play.example".to_owned(), "403"),
        ("http://192.0.2.1".to_owned(), "403"),
        ("https://evil.example".to_owned(), "403"),
        ("null".to_owned(), "403"),
    ] {
        let (_, answer) = shake(&engine, &format!("Origin: {origin}\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{origin}: {answer}");
    }
    assert_eq!(engine.metric("aqevia_web_requests_total{path=\"/ws\",code=\"403\"}"), 4.0);
    engine.stop();
}

#[test]
fn hostile_frames_end_with_the_code_that_says_why_and_harm_nobody_who_plays() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let mut good = Visitor::browse(&engine).comes_in();
    let long = vec![b'x'; 5_000];
    for (bytes, code) in [
        (vec![0x82, 0x03, b'a', b'b', b'\n'], 1002),
        (frame(true, 3, b""), 1002),
        (frame(true, 0, b"more"), 1002),
        (frame(false, 9, b""), 1002),
        (frame(true, 9, &[0; 126]), 1002),
        ([&[0xc2][..], &frame(true, 2, b"")[1..]].concat(), 1002),
        (frame(true, 1, b"Core.Ping \xff"), 1007),
        (frame(true, 2, &long), 1009),
        ([frame(false, 2, &long[..3_000]), frame(true, 0, &long[..3_000])].concat(), 1009),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 1002),
        (frame(true, 8, &[0x03, 0xe8]), 1000),
        (frame(true, 8, &[0x03]), 1002),
    ] {
        for is_in in [false, true] {
            let mut evil = Visitor::browse(&engine);
            if is_in {
                evil = evil.comes_in();
            }
            evil.sends(&bytes);
            evil.reads_to_the_end();
            assert_eq!(evil.closed, Some(code), "{bytes:?}");
        }
        assert!(good.asks("look").contains("The Yard"));
    }
    // Frames that say nothing cost those who send them their turn.
    let mut empty = Visitor::browse(&engine).comes_in();
    let nothing = [frame(false, 2, b""), frame(true, 0, b"")].concat();
    for _ in 0..20 {
        empty.sends(&nothing.repeat(500));
        good.asks("look");
    }
    empty.asks("look");
    // A line that is too long is cut and told; a handshake and what is typed may come as one.
    let mut hasty = Visitor::browse(&engine);
    hasty.stream = TcpStream::connect(web_address(&engine)).unwrap();
    hasty.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let opening = handshake("x", "Sec-WebSocket-Protocol: gmcp.mudstandards.org\r\n");
    let line = ["say ".as_bytes(), &long[..2_000], b"\n"].concat();
    hasty.sends(&[opening.as_bytes(), &frame(true, 2, b"guest\n"), &frame(true, 2, &line)].concat());
    hasty.reads_head();
    hasty.reads("The Yard");
    hasty.reads("That line was too long");
    hasty.reads("You say, \"xxx");
    assert_eq!(engine.get("/ready").0, 200);
    engine.stop();
}

#[test]
fn a_browser_that_never_reads_slows_nobody_and_is_told_what_was_left_out() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let mut good = Visitor::browse(&engine).comes_in();
    let mut deaf = Visitor::browse(&engine).comes_in();
    let words = "and on ".repeat(130);
    let mut talkers: Vec<Visitor> = (0..20).map(|_| Visitor::browse(&engine).comes_in()).collect();
    let each = COMMAND_BURST as usize - 5;
    assert!(talkers.len() * each * words.len() > 9 * OUTPUT_BYTES_MAX);
    let frame_of = |n: usize| frame(true, 2, format!("tell guest2 {n} {words}\n").as_bytes());
    let frames: Vec<u8> = (0..each).flat_map(frame_of).collect();
    for talker in &mut talkers {
        talker.sends(&frames);
        good.asks("look");
    }
    talkers.iter_mut().for_each(|talker| _ = talker.asks("look"));
    deaf.reads("Missing here: ");
    deaf.asks("look");
    good.asks("look");
    engine.stop();
}

#[test]
fn a_thousand_websockets_from_one_address_shut_nobody_out_who_plays() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let (mut good, mut by_telnet) = (Visitor::browse(&engine).comes_in(), Visitor::guest(&engine));
    let address = web_address(&engine);
    let opening = handshake(&address, "");
    let mut flood: Vec<TcpStream> = Vec::new();
    for count in 0..WEB_CONNECTIONS_MAX + 100 {
        let Ok(mut stream) = TcpStream::connect(&address) else { break };
        let _ = stream.write_all(opening.as_bytes());
        flood.push(stream);
        if count % 100 == 0 {
            assert!(good.asks("look").contains("The Yard"));
        }
    }
    assert!(flood.len() > 1_000, "{}", flood.len());
    // One address has so many sessions, by whichever way.
    wait_for("the others to be refused, or to have made way before they had asked for anything", || {
        let refused = engine.metric("aqevia_session_limits_total{limit=\"address\"}");
        let evicted = engine.metric("aqevia_port_evictions_total{port=\"web\"}");
        ((refused + evicted) as usize >= flood.len() + 2 - SESSIONS_PER_ADDRESS_MAX).then_some(())
    });
    good.asks("look");
    by_telnet.asks("look");
    assert_eq!(engine.get("/health").0, 200);
    drop(flood);
    wait_for("a place for a new player", || {
        let mut visitor = Visitor::browse(&engine);
        visitor.types("quit");
        visitor.reads_to_the_end().contains("Goodbye.").then_some(())
    });
    engine.stop();
}

#[test]
fn a_stop_tells_browsers_that_the_world_goes_away_and_saves_what_they_did() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let (mut anna, _) = Visitor::new_player(&engine, "Anna");
    let mut page = Visitor::browse(&engine).comes_in();
    assert!(page.asks("get coina").contains("You pick up coina."));
    let mut outside = Visitor::browse(&engine);
    outside.reads("Name: ");
    let idle = TcpStream::connect(web_address(&engine)).unwrap();
    engine.signal("TERM");
    for visitor in [&mut page, &mut outside] {
        assert!(visitor.reads_to_the_end().contains("The world stops, and saves all that you did."));
        assert_eq!(visitor.closed, Some(1001));
    }
    anna.reads_to_the_end();
    drop(idle);
    engine.stop();
}

#[test]
fn of_few_descriptors_some_are_left_for_each_way_in() {
    let folder = Folder::new();
    let mut limited = by_way_of("sh", &["-c", "ulimit -n 48 && exec \"$0\""], &command(&folder, &[]));
    let engine = Engine::spawn(limited.envs([TELNET, WEB]));
    let mut players: Vec<Visitor> =
        vec![Visitor::guest(&engine), Visitor::guest(&engine), Visitor::browse(&engine).comes_in()];
    let http: Vec<TcpStream> = (0..50).map(|_| engine.connect()).collect();
    let web: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(web_address(&engine)).unwrap()).collect();
    players.iter_mut().for_each(|player| _ = player.asks("look"));
    assert_eq!(engine.get("/health").0, 200);
    drop((http, web));
    engine.stop();
}

#[test]
fn without_its_variable_there_is_no_page_and_a_bad_one_is_refused() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    assert_eq!(engine.told("msg=listening", " web="), None);
    assert!(!engine.get("/metrics").1.contains("aqevia_web_"));
    engine.stop();
    let (code, said) = crate::support::refusal(&folder, &[WEB, ("AQEVIA_WEB_ORIGINS", "play.example")]);
    assert_eq!(code, 2);
    assert!(said.contains("AQEVIA_WEB_ORIGINS=\"play.example\": accepted is origins such as"), "{said}");
}
