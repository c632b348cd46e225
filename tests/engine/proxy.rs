//! Who comes by a proxy that tells from where: whom a ban and the limits meet, and who is not believed. All that comes here
//! comes from 127.0.0.1; where that is trusted, it is the proxy.

use std::io::{Read, Write};
use std::net::TcpStream;

use aqevia_engine::limits::SESSIONS_PER_ADDRESS_MAX;

use crate::support::{Engine, Folder, PATIENCE, command, json, output};
use crate::visitor::{Visitor, address, host, web_address};

const BANNED: &str = "Nobody is let in from your address.";

/// How a proxy brings somebody from an address of IPv4, by version 2 of its protocol, with more to say beside that.
fn brought(from: [u8; 4]) -> Vec<u8> {
    let addresses = [from, [127, 0, 0, 1]].concat();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10", &addresses[..], b"\xdc\x04\x0f\xa0\x04\0\x01x"].concat()
}

/// What operators are told of a command that is done.
fn ctl(folder: &Folder, words: &[&str]) -> String {
    let (code, stdout, _) = output(&mut command(folder, &[&["ctl"], words].concat()));
    assert_eq!(code, 0, "{stdout}");
    stdout
}

fn telnet(engine: &Engine, header: &[u8]) -> Visitor {
    let mut visitor = Visitor::at(&address(engine));
    visitor.sends(header);
    visitor
}

fn browser(engine: &Engine, header: &[u8]) -> Visitor {
    let mut visitor = Visitor::at(&web_address(engine));
    visitor.sends(header);
    visitor.shakes("play.example")
}

#[test]
fn through_a_trusted_proxy_bans_limits_and_operators_see_the_addresses_that_it_tells() {
    let folder = Folder::new();
    let engine = host(&folder, &[("AQEVIA_TRUSTED_PROXIES", "192.0.2.200, 127.0.0.0/8")]);
    ctl(&folder, &["ban", "192.0.2.0/24"]);
    for header in [
        b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 4000\r\n".to_vec(),
        b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:127.0.0.1 56324 4000\r\n".to_vec(),
        brought([192, 0, 2, 9]),
    ] {
        assert!(telnet(&engine, &header).reads_to_the_end().contains(BANNED));
        assert!(browser(&engine, &header).reads_to_the_end().contains(BANNED));
    }
    assert_eq!(engine.metric("aqevia_session_limits_total{limit=\"banned\"}"), 6.0);
    let mut guests = [
        telnet(&engine, b"PROXY TCP4 198.51.100.7 127.0.0.1 56324 4000\r\n").comes_in(),
        telnet(&engine, b"PROXY TCP6 2001:db8::7 ::1 56324 4000\r\n").comes_in(),
        browser(&engine, &brought([198, 51, 100, 8])).comes_in(),
        // The proxy itself, which no ban covers.
        telnet(&engine, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").comes_in(),
    ];
    let who = ctl(&folder, &["who"]);
    let addresses: Vec<String> = who.lines().take(4).map(|row| json(row, "$.address")).collect();
    assert_eq!(addresses, ["198.51.100.7", "2001:db8::7", "198.51.100.8", "127.0.0.1"]);
    // A ban ends the visits of those whom it covers, and no others.
    assert_eq!(json(ctl(&folder, &["ban", "198.51.100.8"]).lines().next().unwrap(), "$.ended"), "1");
    guests[2].reads("** An operator keeps you out from now on.");
    guests[0].asks("look");
    guests[1].asks("look");

    // Each address has its own share.
    let header = brought([203, 0, 113, 5]);
    let mut crowd: Vec<Visitor> = (0..SESSIONS_PER_ADDRESS_MAX).map(|_| telnet(&engine, &header)).collect();
    crowd.iter_mut().for_each(|visitor| _ = visitor.reads("Name: "));
    let told = telnet(&engine, &header).reads_to_the_end();
    assert!(told.contains("There are too many connections from your address."), "{told}");
    telnet(&engine, &brought([203, 0, 113, 6])).comes_in();
    engine.logs(" limit=address address=203.0.113.5 ");

    // So a wrong password is logged.
    let mut bea = telnet(&engine, &brought([203, 0, 113, 6]));
    bea.types("Bea\r\nyes");
    bea.reads("The password of Bea: ");
    let mut other = telnet(&engine, &brought([203, 0, 113, 7]));
    other.types("Bea\r\nwrong");
    engine.logs(" address=203.0.113.7");
    engine.stop();
}

#[test]
fn who_is_no_trusted_proxy_cannot_lie_about_the_address() {
    let folder = Folder::new();
    let engine = host(&folder, &[("AQEVIA_TRUSTED_PROXIES", "192.0.2.0/24,::1")]);
    ctl(&folder, &["ban", "198.51.100.0/24"]);
    // A wrong name, as any other, and a line that says `quit`.
    let mut liar = telnet(&engine, b"PROXY TCP4 198.51.100.7 127.0.0.1 56324 4000\r\n");
    liar.reads("A name has 3 to 16 letters");
    let _inside = liar.comes_in();
    assert!(telnet(&engine, &brought([198, 51, 100, 7])).reads_to_the_end().contains("Goodbye."));
    assert_eq!(json(ctl(&folder, &["who"]).lines().next().unwrap(), "$.address"), "127.0.0.1");
    for header in [b"PROXY TCP4 198.51.100.7 127.0.0.1 56324 4080\r\n".to_vec(), brought([198, 51, 100, 7])] {
        let mut liar = Visitor::at(&web_address(&engine));
        liar.sends(&header);
        liar.sends(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(liar.reads_head().starts_with("HTTP/1.1 400 "));
    }
    // A ban of where they are cannot be lied away.
    ctl(&folder, &["ban", "127.0.0.1"]);
    assert!(telnet(&engine, b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n").reads_to_the_end().contains(BANNED));
    assert_eq!(engine.metric("aqevia_port_limits_total{port=\"telnet\",limit=\"proxy_header\"}"), 0.0);
    engine.stop();
}

#[test]
fn without_its_header_a_trusted_proxy_is_closed_without_a_word_and_operators_are_told() {
    let folder = Folder::new();
    let engine = host(&folder, &[("AQEVIA_TRUSTED_PROXIES", "127.0.0.1")]);
    for address in [address(&engine), web_address(&engine)] {
        for said in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"guest\r\n",
            b"guest\r\nPROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 127.0.0.1 1 65536\r\n",
        ] {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(said).unwrap();
            let mut answer = Vec::new();
            // What is not read when a connection is closed resets it.
            let _ = stream.read_to_end(&mut answer);
            assert_eq!(answer, b"");
        }
    }
    for port in ["telnet", "web"] {
        let name = format!("aqevia_port_limits_total{{port=\"{port}\",limit=\"proxy_header\"}}");
        assert_eq!(engine.metric(&name), 4.0);
    }
    engine.logs("msg=\"a trusted proxy did not say where somebody comes from\" proxy=127.0.0.1 help=");
    // The operators' port and their socket know no proxies.
    assert!(engine.send(brought([192, 0, 2, 7])).starts_with("HTTP/1.1 400 "));
    assert_eq!(engine.get("/health").0, 200);
    assert_eq!(ctl(&folder, &["who"]), "{\"done\":true}\n");
    engine.stop();
}
