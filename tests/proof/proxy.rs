//! Headers of the PROXY protocol, whole and cut at every place, and what is none: what is taken for one, when, and how much.

use std::net::IpAddr;

use aqevia_engine::limits::PROXY_LINE_BYTES_MAX;
use aqevia_engine::net::proxy::{Header, Heard};

/// A header of version 2 that says how long it is.
fn binary(command: u8, kind: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16).to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, kind][..], &length, content].concat()
}

/// What follows in one of TCP: two addresses and two ports.
fn addresses(from: &str, to: &str) -> Vec<u8> {
    let bytes = |text: &str| match text.parse().unwrap() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    [bytes(from), bytes(to), vec![0xdc, 0x04, 0x01, 0xbb]].concat()
}

/// What comes of bytes that arrive in these pieces, as the network hands them on, and how many are taken.
fn hear<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (usize, Heard) {
    let (mut header, mut input, mut used) = (Header::default(), Vec::new(), 0);
    for piece in pieces {
        input.extend(piece);
        let (taken, heard) = header.take(&input);
        assert!(taken <= input.len());
        used += taken;
        input.drain(..taken);
        if heard != Heard::Part {
            return (used, heard);
        }
    }
    (used, Heard::Part)
}

/// Headers, and the address that each tells.
fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let v4 = addresses("192.0.2.7", "192.0.2.1");
    let v6 = addresses("2001:db8::7", "2001:db8::1");
    // A certificate's name, and what nobody has heard of.
    let more = b"\x20\0\x08\x01\0\0\0\0\x22\0\0\xee\0\x03abc";
    let longest = format!("PROXY UNKNOWN {0} {0} 65535 65535\r\n", "ffff:".repeat(8).trim_end_matches(':'));
    assert_eq!(longest.len(), PROXY_LINE_BYTES_MAX);
    let lines = [
        ("PROXY TCP4 192.0.2.7 192.0.2.1 56324 4443\r\n", Some("192.0.2.7")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Some("255.255.255.255")),
        ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", Some("0.0.0.0")),
        ("PROXY TCP6 2001:db8::7 2001:DB8::1 56324 4443\r\n", Some("2001:db8::7")),
        ("PROXY TCP6 0:0:0:0:0:0:0:1 ::1 1 2\r\n", Some("::1")),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 56324 4443\r\n", Some("192.0.2.7")),
        ("PROXY TCP6 ::ffff:c000:207 ::ffff:c000:201 56324 4443\r\n", Some("192.0.2.7")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN anything \r at \n all\r\n", None),
        (&*longest, None),
    ];
    let lines = lines.map(|(line, source)| (line.as_bytes().to_vec(), source));
    let binaries = [
        (binary(0x21, 0x11, &v4), Some("192.0.2.7")),
        (binary(0x21, 0x21, &v6), Some("2001:db8::7")),
        (binary(0x21, 0x21, &addresses("::ffff:192.0.2.7", "::ffff:192.0.2.1")), Some("192.0.2.7")),
        (binary(0x21, 0x11, &[&v4[..], more].concat()), Some("192.0.2.7")),
        (binary(0x21, 0x21, &[&v6[..], more].concat()), Some("2001:db8::7")),
        (binary(0x21, 0x11, &[&v4[..], &[0; 65_535 - 12]].concat()), Some("192.0.2.7")),
        // The proxy's own: whatever it says beside that is left alone.
        (binary(0x20, 0x00, b""), None),
        (binary(0x20, 0x11, &v4), None),
        (binary(0x20, 0xff, b"x"), None),
        (binary(0x20, 0x00, &[0; 65_535]), None),
        // No TCP, or nobody knows.
        (binary(0x21, 0x00, b""), None),
        (binary(0x21, 0x00, &v4), None),
        (binary(0x21, 0x01, &v4), None),
        (binary(0x21, 0x10, &v4), None),
        (binary(0x21, 0x12, &v4), None),
        (binary(0x21, 0x22, &v6), None),
        (binary(0x21, 0x31, &[b'/'; 216]), None),
        (binary(0x21, 0x32, b""), None),
    ];
    lines.into_iter().chain(binaries).collect()
}

#[test]
fn a_header_is_taken_to_its_end_and_no_further_however_it_was_cut() {
    for (bytes, source) in headers() {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let expected = (bytes.len(), Heard::Whole(source.map(|source| source.parse().unwrap())));
        // What follows belongs to whoever is brought, even another header.
        let followed = [&bytes[..], b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\nguest\r\n"].concat();
        assert_eq!(hear([&followed[..]]), expected, "{shown}");
        assert_eq!(hear(bytes.chunks(1)), expected, "{shown}");
        let step = if bytes.len() < 1_000 { 1 } else { 997 };
        for cut in (0..bytes.len()).step_by(step) {
            assert_eq!(hear([&bytes[..cut], &followed[cut..]]), expected, "{shown}, cut at {cut}");
            assert_eq!(hear([&bytes[..cut]]).1, Heard::Part, "{shown}, up to {cut}");
        }
    }
}

#[test]
fn what_is_no_header_is_known_as_soon_as_it_can_be() {
    let v4 = addresses("192.0.2.7", "192.0.2.1");
    let line = |text: &str| format!("PROXY {text}\r\n").into_bytes();
    let wrong = [
        // What players and browsers send.
        b"guest\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"\x16\x03\x01".to_vec(),
        b"\xff\xfb\x18".to_vec(),
        b"\r\nguest\r\n".to_vec(),
        // A header that comes late.
        b"\nPROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n".to_vec(),
        b" PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n".to_vec(),
        [b"x", &binary(0x21, 0x11, &v4)[..]].concat(),
        // Almost.
        b"proxy TCP4 192.0.2.7 192.0.2.1 1 2\r\n".to_vec(),
        b"PROXY\r\n".to_vec(),
        b"PROXY\tTCP4".to_vec(),
        line(""),
        line("TCP4"),
        line(" TCP4 192.0.2.7 192.0.2.1 1 2"),
        line("TCP4  192.0.2.7 192.0.2.1 1 2"),
        line("TCP4 192.0.2.7 192.0.2.1 1 2 "),
        line("TCP4 192.0.2.7 192.0.2.1 1 2 3"),
        line("TCP4 192.0.2.7 192.0.2.1 1"),
        line("TCP4 192.0.2.7 192.0.2.1"),
        line("TCP4 192.0.2.7"),
        line("TCP4 192.0.2.07 192.0.2.1 1 2"),
        line("TCP4 192.0.2 192.0.2.1 1 2"),
        line("TCP4 192.0.2.256 192.0.2.1 1 2"),
        line("TCP4 192.0.2.7 192.0.2.1:80 1 2"),
        line("TCP4 192.0.2.7 example.org 1 2"),
        line("TCP4 192.0.2.7 192.0.2.1 65536 2"),
        line("TCP4 192.0.2.7 192.0.2.1 -1 2"),
        line("TCP4 192.0.2.7 192.0.2.1 +1 2"),
        line("TCP4 192.0.2.7 192.0.2.1 01 2"),
        line("TCP4 192.0.2.7 192.0.2.1 1 2\n"),
        line("TCP4 192.0.2.7 192.0.2.1 1 2\nguest"),
        line("TCP4 ::1 ::1 1 2"),
        line("TCP6 192.0.2.7 192.0.2.1 1 2"),
        line("TCP6 2001:db8::7 192.0.2.1 1 2"),
        line("TCP6 fe80::1%eth0 ::1 1 2"),
        line("TCP6 1::2::3 ::1 1 2"),
        line("TCP6 [::1] ::1 1 2"),
        line("TCP5 192.0.2.7 192.0.2.1 1 2"),
        line("UDP4 192.0.2.7 192.0.2.1 1 2"),
        line("UNKNOWNX"),
        line("unknown"),
        line("TCP4 \u{661}92.0.2.7 192.0.2.1 1 2"),
        b"PROXY TCP4 \xff 192.0.2.1 1 2\r\n".to_vec(),
        // Without an end, whether it could have been one or not.
        [b"PROXY UNKNOWN ", &[b'x'; PROXY_LINE_BYTES_MAX][..]].concat(),
        [b"PROXY UNKNOWN ", &[b'\r'; PROXY_LINE_BYTES_MAX][..]].concat(),
        [b"PROXY UNKNOWN ", &[b'x'; PROXY_LINE_BYTES_MAX - 14 - 1][..], b"\r\n"].concat(),
        b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2".repeat(9),
        // A signature with one byte changed, another version, another command, another family, another protocol.
        [b"\r\n\r\n\0\r\nQUIT\r", &binary(0x21, 0x11, &v4)[12..]].concat(),
        [b"\r\n\r\n\r\n\0QUIT\n", &binary(0x21, 0x11, &v4)[12..]].concat(),
        binary(0x11, 0x11, &v4),
        binary(0x31, 0x11, &v4),
        binary(0x22, 0x11, &v4),
        binary(0x2f, 0x00, b""),
        binary(0x21, 0x13, &v4),
        binary(0x21, 0x03, &v4),
        binary(0x21, 0x41, &v4),
        binary(0x21, 0xf1, &v4),
        // Too short for what it should hold.
        binary(0x21, 0x11, b""),
        binary(0x21, 0x11, &v4[..11]),
        binary(0x21, 0x21, &v4),
        binary(0x21, 0x21, &[0; 35]),
    ];
    for bytes in wrong {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(hear([&bytes[..]]), (0, Heard::Wrong), "{shown:?}");
        assert_eq!(hear(bytes.chunks(1)), (0, Heard::Wrong), "{shown:?}");
        for cut in 0..bytes.len() {
            assert_eq!(hear([&bytes[..cut], &bytes[cut..]]), (0, Heard::Wrong), "{shown:?}, cut at {cut}");
        }
    }
    // Neither waits for what cannot make it better.
    assert_eq!(hear([&b"P"[..]]), (0, Heard::Part));
    assert_eq!(hear([&b"Pl"[..]]), (0, Heard::Wrong));
    assert_eq!(hear([&[b"PROXY UNKNOWN ", &[b'x'; PROXY_LINE_BYTES_MAX - 14 - 1][..]].concat()[..]]).1, Heard::Part);
    assert_eq!(hear([&binary(0x21, 0x11, &[0; 65_535])[..16 + 65_534]]), (16 + 65_534, Heard::Part));
    assert_eq!(hear([&binary(0x21, 0x13, &v4)[..16]]), (0, Heard::Wrong));
}
