//! Bytes to a request: no input or output of its own, and three results: complete, partial or wrong.
//!
//! It reads strictly from left to right, line by line, and judges a line only when it is whole. So the answer does not
//! depend on how the bytes were cut on their way; and it goes on where it stopped, so cutting them finely costs it
//! nothing. Strict where laxness has been used to smuggle requests: RFC 9112
//! sections 2.2, 3, 5 and 6, each named where it is followed.

use std::net::Ipv6Addr;

use super::answer::Status;
use crate::limits::{HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_REQUEST_LINE_BYTES_MAX};
use crate::text::keys;

/// What the bytes so far amount to: a request, and how many bytes it took; `None` while more are needed to tell; or no
/// request that could be answered otherwise than with an error and the end of the connection.
pub type Parsed = Result<Option<(Request, usize)>, Reject>;

/// A request without a body, reduced to what an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// To what.
    pub path: Path,
    /// Whether the connection stays open for another request.
    pub keep_alive: bool,
    /// Whether the client speaks HTTP/1.0 and must be told that the connection stays open.
    pub is_http10: bool,
}

/// The method, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Answer with a body.
    Get,
    /// Answer without it.
    Head,
    /// Answer with what is allowed.
    Options,
    /// Known to HTTP, and not allowed here.
    NotAllowed,
    /// Not known.
    Unknown,
}

keys! {
    /// What can be asked for.
    Path {
        /// The page for people.
        Root = "/",
        /// Does the loop turn?
        Health = "/health",
        /// Is the engine fit for use?
        Ready = "/ready",
        /// What is the state of everything?
        Status = "/status",
        /// Where is what?
        Map = "/map",
        /// The same for Prometheus.
        Metrics = "/metrics",
        /// Where a connection becomes a WebSocket.
        Socket = "/ws",
        /// The server as a whole, for OPTIONS alone.
        Asterisk = "*",
        /// Nothing that is here.
        Other = "other",
    }
}

impl Path {
    /// Those that name something here.
    pub fn all_named() -> impl Iterator<Item = Path> {
        Path::ALL.iter().copied().filter(|path| path.label().starts_with('/'))
    }
}

keys! {
    /// Why bytes are no acceptable request, with the status of the answer and a sentence for the client.
    Reject.answer: (Status, &'static str) {
        RequestLine = "request_line", (Status::BadRequest, "the request line is not METHOD TARGET VERSION");
        Target = "target", (Status::BadRequest, "the request target is malformed");
        LineEnd = "line_end", (Status::BadRequest, "a line ends without CR LF");
        Folded = "folded_header", (Status::BadRequest, "a header field is folded over two lines");
        HeaderName = "header_name", (Status::BadRequest, "a header field has a malformed name");
        HeaderValue = "header_value", (Status::BadRequest, "a header field holds a control character");
        HostMissing = "host_missing", (Status::BadRequest, "the Host field is missing");
        HostDoubled = "host_doubled", (Status::BadRequest, "the Host field is given twice");
        Host = "host", (Status::BadRequest, "the Host field is malformed");
        Length = "content_length", (Status::BadRequest, "the Content-Length field is malformed");
        LengthDoubled = "content_length_doubled", (Status::BadRequest, "the Content-Length field is given twice");
        Framing = "framing", (Status::BadRequest, "Transfer-Encoding cannot stand here");
        Body = "body", (Status::ContentTooLarge, "a request here has no content");
        LineTooLong = "request_line_too_long", (Status::UriTooLong, "the request line is too long");
        HeadTooLarge = "head_too_large", (Status::HeaderFieldsTooLarge, "the request head is too large");
        TooManyHeaders = "too_many_headers", (Status::HeaderFieldsTooLarge, "there are too many header fields");
        TransferCoding = "transfer_coding", (Status::NotImplemented, "transfer codings are not implemented");
        Late = "late", (Status::RequestTimeout, "the request did not come in time");
        Version = "version", (Status::VersionNotSupported, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    }
}

/// Reads one request from the beginning of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    Parser::default().read_on(bytes)
}

/// The fields of a head that was accepted: their names as they came, their values without the white space around them.
pub fn fields(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    // A request line with a colon in it is taken for a field, but of a name with a space, which no field has.
    head.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// How far a request has been read.
#[derive(Debug, Default)]
pub struct Parser {
    /// The length of the empty line that came before it.
    skipped: usize,
    /// Where the line begins that is to be judged next.
    at: usize,
    /// How far the end of that line has been looked for.
    searched: usize,
    /// The request as far as its first line tells.
    line: Option<Request>,
    fields: Fields,
}

impl Parser {
    /// Reads on in `bytes`, which begin with all that it was given before. Asked again after a request is complete or
    /// wrong, it says the same again.
    pub fn read_on(&mut self, bytes: &[u8]) -> Parsed {
        // RFC 9112 section 2.2: one empty line before the request line is to be ignored.
        match bytes {
            [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] if self.skipped == 0 => (self.skipped, self.at, self.searched) = (2, 2, 2),
            _ => (),
        }
        self.read_head(&bytes[..bytes.len().min(self.skipped + HTTP_HEAD_BYTES_MAX)])
    }

    /// The bytes of the head itself; none, if all that has come may be an empty line. Old clients send one after a
    /// request, and wait for no answer to it.
    pub fn head<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let head = &bytes[self.skipped.min(bytes.len())..];
        if head == b"\r" { &[] } else { head }
    }

    fn read_head(&mut self, bytes: &[u8]) -> Parsed {
        while let Some((text, next)) = self.next_line(bytes)? {
            match self.line {
                None => self.line = Some(parse_request_line(text)?),
                Some(line) if text.is_empty() => return Ok(Some((conclude(line, &self.fields)?, next))),
                Some(_) => self.fields = self.fields.with(text)?,
            }
            (self.at, self.searched) = (next, next);
        }
        Ok(None)
    }

    /// The line that is to be judged next, without its end, and where the one after it begins. RFC 9112 section 2.2
    /// would allow a bare LF; taking it is what lets two servers disagree about where a request ends.
    fn next_line<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(&'a [u8], usize)>, Reject> {
        let end = bytes[self.searched..].iter().position(|byte| *byte == b'\n').map(|length| self.searched + length);
        // Without its end after so many bytes, CR and LF included, the request line can only be too long.
        if self.line.is_none() && end.unwrap_or(bytes.len()) > self.at + HTTP_REQUEST_LINE_BYTES_MAX + 1 {
            return Err(Reject::LineTooLong);
        }
        let Some(end) = end else {
            self.searched = bytes.len();
            let is_full = bytes.len() == self.skipped + HTTP_HEAD_BYTES_MAX;
            return if is_full { Err(Reject::HeadTooLarge) } else { Ok(None) };
        };
        match bytes[self.at..end].split_last() {
            Some((b'\r', line)) => Ok(Some((line, end + 1))),
            _ => Err(Reject::LineEnd),
        }
    }
}

/// RFC 9112 section 3: three parts with exactly one space between them.
fn parse_request_line(line: &[u8]) -> Result<Request, Reject> {
    let parts: Vec<&[u8]> = line.splitn(4, |byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { return Err(Reject::RequestLine) };
    if !is_token(method) {
        return Err(Reject::RequestLine);
    }
    let is_http10 = match version.strip_prefix(b"HTTP/") {
        // RFC 9110 section 2.5: a higher minor version is read as the highest one known.
        Some([b'1', b'.', minor @ b'0'..=b'9']) => *minor == b'0',
        Some([b'0'..=b'9', b'.', b'0'..=b'9']) => return Err(Reject::Version),
        _ => return Err(Reject::RequestLine),
    };
    let path = parse_target(method, target)?;
    // RFC 9110 section 9.1: methods are case-sensitive.
    let method = match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"OPTIONS" => Method::Options,
        b"POST" | b"PUT" | b"DELETE" | b"CONNECT" | b"TRACE" | b"PATCH" => Method::NotAllowed,
        _ => Method::Unknown,
    };
    Ok(Request { method, path, keep_alive: !is_http10, is_http10 })
}

/// RFC 9112 section 3.2: the four forms of a request target.
fn parse_target(method: &[u8], target: &[u8]) -> Result<Path, Reject> {
    if !is_made_of(target, b"-._~:/?[]@!$&'()*+,;=%") {
        return Err(Reject::Target);
    }
    let path = match target {
        [b'/', ..] => target,
        b"*" if method == b"OPTIONS" => return Ok(Path::Asterisk),
        _ if method == b"CONNECT" && is_authority(target) => return Ok(Path::Other),
        // RFC 9110 section 7.4: https is for secured connections, and so not to be taken on this one.
        _ => {
            let (scheme, rest) = target.split_at_checked(b"http://".len()).ok_or(Reject::Target)?;
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            if !scheme.eq_ignore_ascii_case(b"http://") || !is_authority(&rest[..end]) {
                return Err(Reject::Target);
            }
            &rest[end..]
        }
    };
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let path = if path.is_empty() { b"/" } else { path };
    Ok(Path::all_named().find(|named| named.label().as_bytes() == path).unwrap_or(Path::Other))
}

/// The header fields that matter.
#[derive(Clone, Copy, Debug, Default)]
struct Fields {
    count: usize,
    host: bool,
    content_length: Option<bool>,
    /// If there is a Transfer-Encoding: whether its last coding is chunked.
    transfer_encoding: Option<bool>,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    /// These and one more: one that is refused changes nothing. RFC 9112 section 5: no folding, no space before the colon.
    fn with(mut self, line: &[u8]) -> Result<Fields, Reject> {
        self.count += 1;
        if self.count > HTTP_HEADERS_MAX {
            return Err(Reject::TooManyHeaders);
        }
        if matches!(line[0], b' ' | b'\t') {
            return Err(Reject::Folded);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Reject::HeaderName)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !is_token(name) {
            return Err(Reject::HeaderName);
        }
        // RFC 9110 section 5.5: visible characters, spaces and tabs. A bare CR is caught here too.
        if !line[colon + 1..].iter().all(|byte| *byte >= b' ' && *byte != 0x7f || *byte == b'\t') {
            return Err(Reject::HeaderValue);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.take_host(value)?,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for option in value.split(|byte| *byte == b',') {
                    self.close |= option.trim_ascii().eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.take_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let last = value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii).find(|coding| !coding.is_empty());
                self.transfer_encoding = Some(last.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")));
            }
            _ => (),
        }
        Ok(self)
    }

    fn take_host(&mut self, value: &[u8]) -> Result<(), Reject> {
        if std::mem::replace(&mut self.host, true) {
            return Err(Reject::HostDoubled);
        }
        // An empty one is allowed: RFC 9110 section 7.2.
        if value.is_empty() || is_authority(value) { Ok(()) } else { Err(Reject::Host) }
    }

    /// RFC 9112 section 6.3: digits and nothing else. Two fields are refused even if they agree.
    fn take_length(&mut self, value: &[u8]) -> Result<(), Reject> {
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Reject::Length);
        }
        let has_content = value.iter().any(|digit| *digit != b'0');
        if self.content_length.replace(has_content).is_some() { Err(Reject::LengthDoubled) } else { Ok(()) }
    }
}

/// What can be said only when the whole head is known.
fn conclude(line: Request, fields: &Fields) -> Result<Request, Reject> {
    // RFC 9112 section 6.1: both kinds of length, or a coding in HTTP/1.0, are signs of smuggling. Section 6.3: if
    // chunked is not the last coding, the answer must be 400.
    if let Some(is_chunked) = fields.transfer_encoding {
        let suspicious = fields.content_length.is_some() || line.is_http10 || !is_chunked;
        return Err(if suspicious { Reject::Framing } else { Reject::TransferCoding });
    }
    if !fields.host && !line.is_http10 {
        return Err(Reject::HostMissing);
    }
    let has_content = fields.content_length == Some(true);
    if has_content && matches!(line.method, Method::Get | Method::Head | Method::Options) {
        return Err(Reject::Body);
    }
    Ok(Request { keep_alive: !fields.close && !has_content && (line.keep_alive || fields.keep_alive), ..line })
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(allowed)
}

/// RFC 3986 section 2: letters, digits and these signs, each percent sign with its two digits.
fn is_made_of(text: &[u8], signs: &[u8]) -> bool {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_hexdigit);
    let is_whole = |at: usize| text[at] != b'%' || is_digit(at + 1) && is_digit(at + 2);
    let allowed = |at: usize| text[at].is_ascii_alphanumeric() || signs.contains(&text[at]) && is_whole(at);
    !text.is_empty() && (0..text.len()).all(allowed)
}

/// RFC 3986 section 3.2: host and port, without user information. The host is a name, an IPv4 address, or an IPv6
/// address in brackets; the port is digits.
fn is_authority(text: &[u8]) -> bool {
    let end = match text.first() {
        Some(b'[') => text.iter().position(|byte| *byte == b']').map_or(0, |at| at + 1),
        _ => text.iter().position(|byte| *byte == b':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end);
    let host_is_sound = match host {
        [b'[', inner @ .., b']'] => str::from_utf8(inner).is_ok_and(|inner| inner.parse::<Ipv6Addr>().is_ok()),
        name => is_made_of(name, b"-._~!$&'()*+,;=%"),
    };
    host_is_sound && (port.is_empty() || port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(bytes: &[u8]) -> u16 {
        match parse(bytes) {
            Ok(None) => 0,
            Ok(Some(_)) => 200,
            Err(reject) => reject.answer().0.code().parse().unwrap(),
        }
    }

    /// Requests with the code that the parser gives: 200 for complete, 0 for partial.
    const CASES: &[(&[u8], u16)] = &[
        (b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/1.2\r\nHost:\r\n\r\n", 200),
        (b"GET http://a:1/ready?x=%20 HTTP/1.1\r\nHost: b\r\n\r\n", 200),
        (b"OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n", 200),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: b\r\n\r\n", 200),
        (b"BREW / HTTP/1.1\r\nHost: b\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 9\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: b\r\nContent-Length: 000\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: b\r\nX: \t\x80\xff y \r\n\r\n", 200),
        (b"OPTIONS / HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\n\r\n", 413),
        (b"", 0),
        (b"\r", 0),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", 0),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://u@h/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: a.b:\r\n\r\n", 200),
        (b"GET https://a/health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://a:zz/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: [\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: [zz]:1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n", 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/3.1\r\nHost: a\r\n\r\n", 505),
    ];

    #[test]
    fn requests_are_judged_as_the_rules_say() {
        for (bytes, expected) in CASES {
            assert_eq!(code(bytes), *expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_answer_does_not_depend_on_how_the_bytes_arrive() {
        for (bytes, expected) in CASES {
            let first = (0..=bytes.len()).map(|end| parse(&bytes[..end])).find(|parsed| *parsed != Ok(None));
            assert_eq!(first.unwrap_or(Ok(None)), parse(bytes), "{} {expected}", bytes.escape_ascii());
            // One that goes on where it stopped says the same, and says it again if asked again.
            let mut parser = Parser::default();
            let read = (0..=bytes.len()).map(|end| parser.read_on(&bytes[..end]));
            let first = read.into_iter().find(|parsed| *parsed != Ok(None));
            assert_eq!(first.unwrap_or(Ok(None)), parse(bytes), "{} {expected}", bytes.escape_ascii());
            assert_eq!(parser.read_on(bytes), parse(bytes), "{} {expected}", bytes.escape_ascii());
        }
    }

    #[test]
    fn no_byte_is_looked_at_twice_for_the_end_of_its_line() {
        let head = format!("\r\nGET / HTTP/1.1\r\nHost: a\r\nX: {}\r\nY: z\r\n\r\n", "x".repeat(20_000));
        let mut parser = Parser::default();
        for end in 3..head.len() {
            assert_eq!(parser.read_on(&head.as_bytes()[..end]), Ok(None));
            assert_eq!(parser.searched, end);
        }
        assert!(matches!(parser.read_on(head.as_bytes()), Ok(Some((_, length))) if length == head.len()));
    }

    #[test]
    fn a_head_has_begun_when_more_than_an_empty_line_has_come() {
        for (bytes, head) in [("", ""), ("\r", ""), ("\r\n", ""), ("\r\n\r", ""), ("\rG", "\rG"), ("\r\nG", "G")] {
            let mut parser = Parser::default();
            assert_eq!(parser.read_on(bytes.as_bytes()), Ok(None));
            assert_eq!(parser.head(bytes.as_bytes()), head.as_bytes(), "{bytes:?}");
        }
    }

    #[test]
    fn limits_hold_at_just_under_and_just_over() {
        let line = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 14)).into_bytes();
        assert_eq!(code(&line(HTTP_REQUEST_LINE_BYTES_MAX)), 200);
        assert_eq!(code(&line(HTTP_REQUEST_LINE_BYTES_MAX + 1)), 414);
        assert_eq!(code(&vec![b'x'; HTTP_REQUEST_LINE_BYTES_MAX + 1]), 0);
        assert_eq!(code(&vec![b'x'; HTTP_REQUEST_LINE_BYTES_MAX + 2]), 414);

        let head = |length: usize| {
            let bare = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - bare)).into_bytes()
        };
        assert_eq!(code(&head(HTTP_HEAD_BYTES_MAX)), 200);
        assert_eq!(code(&head(HTTP_HEAD_BYTES_MAX + 1)), 431);
        assert_eq!(code(&head(HTTP_HEAD_BYTES_MAX)[..HTTP_HEAD_BYTES_MAX - 1]), 0);

        let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
        assert_eq!(code(fields(HTTP_HEADERS_MAX).as_bytes()), 200);
        assert_eq!(code(fields(HTTP_HEADERS_MAX + 1).as_bytes()), 431);
    }

    #[test]
    fn a_request_takes_its_own_bytes_and_no_more() {
        let one = b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n";
        let two = [one.as_slice(), b"GET /nope HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"].concat();
        let Ok(Some((request, length))) = parse(&two) else { panic!() };
        assert_eq!(length, one.len());
        assert_eq!((request.path, request.keep_alive, request.is_http10), (Path::Status, true, false));
        let Ok(Some((request, _))) = parse(&two[length..]) else { panic!() };
        assert_eq!((request.path, request.keep_alive, request.is_http10), (Path::Other, true, true));
    }

    #[test]
    fn connections_stay_open_as_the_client_and_its_version_say() {
        for (version, connection, stays) in [
            ("1.1", "", true),
            ("1.1", "Connection: x, CLOSE\r\n", false),
            ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: keep-alive\r\n", true),
        ] {
            let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
            let Ok(Some((request, _))) = parse(bytes.as_bytes()) else { panic!("{bytes}") };
            assert_eq!(request.keep_alive, stays, "{bytes}");
        }
    }
}
