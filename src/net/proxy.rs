//! What a proxy says before all else on a connection that it brings: where that comes from (HAProxy, "The PROXY protocol",
//! sections 2.1 and 2.2).
//!
//! Bytes to an address, however they were cut on their way. It knows no socket and no clock, decides nothing of whom to
//! believe, and keeps no bytes: a header that is not whole stays where it is, but for what is only to be skipped.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::limits::PROXY_LINE_BYTES_MAX;

/// How a header of version 1 begins.
const LINE: &[u8] = b"PROXY ";
/// How one of version 2 does.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of one of version 2 before the addresses.
const HEAD_BYTES: usize = 16;
/// Version 2, and a connection of the proxy's own.
const LOCAL: u8 = 0x20;
/// Version 2, and a connection that the proxy brings.
const PROXY: u8 = 0x21;

/// The header of one connection: once it is known where that comes from, that and how many bytes are still to come.
#[derive(Default)]
pub struct Header(Option<(Source, usize)>);

/// Where a connection comes from; `None`: from the proxy itself, or it is not known there.
pub type Source = Option<IpAddr>;

/// What has come of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Not all of it.
    Part,
    /// All of it.
    Whole(Source),
    /// Something else.
    Wrong,
}

/// No header, and it will be none.
struct Wrong;

/// What a header says and how long it is, once enough of it is there.
type Told = Result<Option<(Source, usize)>, Wrong>;

impl Header {
    /// Takes what belongs to the header; `bytes` begin where what was taken before has ended. Returns how many it has
    /// taken.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, Heard) {
        if self.0.is_none() {
            let begins = |with: &[u8]| bytes.iter().zip(with).all(|(byte, expected)| byte == expected);
            let told = match (begins(SIGNATURE), begins(LINE)) {
                (true, _) => read_binary(bytes),
                (_, true) => read_line(bytes),
                _ => Err(Wrong),
            };
            match told {
                Ok(told) => self.0 = told,
                Err(Wrong) => return (0, Heard::Wrong),
            }
        }
        let Some((source, left)) = &mut self.0 else { return (0, Heard::Part) };
        let taken = bytes.len().min(*left);
        *left -= taken;
        (taken, if *left == 0 { Heard::Whole(source.map(|source| source.to_canonical())) } else { Heard::Part })
    }
}

/// Version 1: a line of text.
fn read_line(bytes: &[u8]) -> Told {
    let line = &bytes[..bytes.len().min(PROXY_LINE_BYTES_MAX)];
    let Some(end) = line.windows(2).position(|two| two == b"\r\n") else {
        return if line.len() < PROXY_LINE_BYTES_MAX { Ok(None) } else { Err(Wrong) };
    };
    let words: Vec<&[u8]> = line[..end].split(|byte| *byte == b' ').skip(1).collect();
    let source = match words[..] {
        [b"UNKNOWN", ..] => None,
        [b"TCP4", from, to, ref ports @ ..] => Some(source::<Ipv4Addr>([from, to], ports)?),
        [b"TCP6", from, to, ref ports @ ..] => Some(source::<Ipv6Addr>([from, to], ports)?),
        _ => return Err(Wrong),
    };
    Ok(Some((source, end + 2)))
}

/// The first of two addresses. One of IPv4 that is written as one of IPv6 may end in dots and digits: so it is written by
/// getnameinfo(3), and so by proxies.
fn source<A: FromStr + Into<IpAddr>>(addresses: [&[u8]; 2], ports: &[&[u8]]) -> Result<IpAddr, Wrong> {
    let [from, to] = addresses.map(|text| str::from_utf8(text).ok()?.parse::<A>().ok());
    // Written as nothing else is that means the same.
    let is_port = |text: &&[u8]| {
        let port = str::from_utf8(text).ok().and_then(|text| text.parse::<u16>().ok());
        port.is_some_and(|port| port.to_string().as_bytes() == *text)
    };
    match (from, to) {
        (Some(from), Some(_)) if ports.len() == 2 && ports.iter().all(is_port) => Ok(from.into()),
        _ => Err(Wrong),
    }
}

/// Version 2: numbers, then whatever the proxy has to say beside the addresses.
fn read_binary(bytes: &[u8]) -> Told {
    let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    // A family in the upper half, a protocol in the lower.
    let source = match (head[12], head[13]) {
        (PROXY, 0x11) => block::<4>(rest, length)?,
        (PROXY, 0x21) => block::<16>(rest, length)?,
        // What has no address, or is no TCP.
        (LOCAL, _) | (PROXY, 0x00..=0x02 | 0x10 | 0x12 | 0x20 | 0x22 | 0x30..=0x32) => Some(None),
        _ => return Err(Wrong),
    };
    Ok(source.map(|source| (source, HEAD_BYTES + length)))
}

/// The first of two addresses of so many bytes, which two ports follow.
fn block<const N: usize>(rest: &[u8], length: usize) -> Result<Option<Source>, Wrong>
where
    IpAddr: From<[u8; N]>,
{
    let bytes = 2 * (N + 2);
    if length < bytes {
        return Err(Wrong);
    }
    let block = rest.get(..bytes).and_then(|block| block.first_chunk::<N>());
    Ok(block.map(|source| Some(IpAddr::from(*source))))
}
