//! Headers of the PROXY protocol: whatever bytes come, how they were cut makes no difference; a header ends where it says
//! and nothing behind it counts; and a second reading, written in another way, finds the same address.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aqevia_engine::net::proxy::{Header, Heard};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (taken, heard) = hear([bytes]);
    assert_eq!(hear(bytes.chunks(1)), (taken, heard));
    // The first byte that may differ also says where to cut.
    let size = usize::from(bytes.get(14).copied().unwrap_or(0)) + 2;
    assert_eq!(hear(bytes.chunks(size)), (taken, heard));
    if let Heard::Whole(source) = heard {
        let header = &bytes[..taken];
        assert_eq!(hear([header]), (taken, heard));
        assert_eq!(hear([&header[..taken - 1]]).1, Heard::Part);
        assert_eq!(source, read_again(header).expect("a header").map(|source| source.to_canonical()));
    } else if let Some(end) = bytes.windows(2).position(|two| two == b"\r\n").filter(|end| (6..106).contains(end)) {
        assert!(read_again(&bytes[..end + 2]).is_none(), "it is one");
    }
});

/// As the network does it: what is not taken comes again with what follows.
fn hear<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (usize, Heard) {
    let (mut header, mut input, mut used) = (Header::default(), Vec::new(), 0);
    for piece in pieces {
        input.extend(piece);
        let (taken, heard) = header.take(&input);
        used += taken;
        input.drain(..taken);
        if heard != Heard::Part {
            return (used, heard);
        }
    }
    (used, Heard::Part)
}

/// What a whole header tells; `None`: it is none.
fn read_again(header: &[u8]) -> Option<Option<IpAddr>> {
    if let Some(rest) = header.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n") {
        return Some(match (rest[0], rest[1]) {
            (0x21, 0x11) => Some(Ipv4Addr::from_bits(u32::from_be_bytes(rest[4..8].try_into().unwrap())).into()),
            (0x21, 0x21) => Some(Ipv6Addr::from_bits(u128::from_be_bytes(rest[4..20].try_into().unwrap())).into()),
            _ => None,
        });
    }
    let line = header.strip_prefix(b"PROXY ")?.strip_suffix(b"\r\n")?;
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some(None);
    }
    let words: Vec<&str> = str::from_utf8(line).ok()?.split(' ').collect();
    let [family, from, to, first, second] = words[..] else { return None };
    let [from, to]: [IpAddr; 2] = [from.parse().ok()?, to.parse().ok()?];
    let is_v4 = match family {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let is_port = |text: &str| {
        (0..=65_535).contains(&text.parse().unwrap_or(-1))
            && (text == "0" || text.starts_with(|c| matches!(c, '1'..='9')))
    };
    (from.is_ipv4() == is_v4 && to.is_ipv4() == is_v4 && is_port(first) && is_port(second)).then_some(Some(from))
}
