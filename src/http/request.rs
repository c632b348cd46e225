//! Bytes to a request: a pure function with three results, complete, partial or wrong.
//!
//! It reads strictly from left to right, line by line, and judges a line only when it is whole. So the answer does not
//! depend on how the bytes were cut on their way. Strict where laxness has been used to smuggle requests: RFC 9112
//! sections 2.2, 3, 5 and 6, each named where it is followed.

use std::net::Ipv6Addr;

use crate::limits::{HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_REQUEST_LINE_BYTES_MAX};

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed to tell.
    Partial,
    /// A request, and how many bytes it took.
    Complete(Request, usize),
    /// No request that could be answered otherwise than with an error and the end of the connection.
    Rejected(Reject),
}

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
    /// Known to HTTP, and not allowed here.
    NotAllowed,
    /// Not known.
    Unknown,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The page for people.
    Root,
    /// Does the loop turn?
    Health,
    /// Is the engine fit for use?
    Ready,
    /// What is the state of everything?
    Status,
    /// The same for Prometheus.
    Metrics,
    /// Nothing that is here.
    Other,
}

impl Path {
    const ALL: [(Path, &str); 5] = [
        (Path::Root, "/"),
        (Path::Health, "/health"),
        (Path::Ready, "/ready"),
        (Path::Status, "/status"),
        (Path::Metrics, "/metrics"),
    ];

    /// The path, or "other".
    pub fn name(self) -> &'static str {
        Path::ALL.iter().find(|(path, _)| *path == self).map_or("other", |(_, name)| name)
    }
}

/// Why bytes are no acceptable request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status code of the answer.
    pub code: u16,
    /// A short name for metrics.
    pub reason: &'static str,
    /// A sentence for the client.
    pub message: &'static str,
}

macro_rules! rejects {
    ($($name:ident = $code:literal, $reason:literal, $message:literal;)*) => {
        $(const $name: Reject = Reject { code: $code, reason: $reason, message: $message };)*

        /// Every reason there is.
        pub const REJECTS: &[Reject] = &[$($name),*];
    };
}

rejects! {
    REQUEST_LINE = 400, "request_line", "the request line is not METHOD TARGET VERSION";
    TARGET = 400, "target", "the request target is malformed";
    BARE_LF = 400, "line_end", "a line ends without CR LF";
    FOLDED = 400, "folded_header", "a header field is folded over two lines";
    HEADER_NAME = 400, "header_name", "a header field has a malformed name";
    HEADER_VALUE = 400, "header_value", "a header field holds a control character";
    HOST_MISSING = 400, "host_missing", "the Host field is missing";
    HOST_DOUBLED = 400, "host_doubled", "the Host field is given twice";
    HOST = 400, "host", "the Host field is malformed";
    LENGTH = 400, "content_length", "the Content-Length field is malformed";
    LENGTH_DOUBLED = 400, "content_length_doubled", "the Content-Length field is given twice";
    FRAMING = 400, "framing", "Transfer-Encoding cannot stand here";
    BODY = 413, "body", "a request here has no content";
    LINE_TOO_LONG = 414, "request_line_too_long", "the request line is too long";
    HEAD_TOO_LARGE = 431, "head_too_large", "the request head is too large";
    TOO_MANY_HEADERS = 431, "too_many_headers", "there are too many header fields";
    TRANSFER_CODING = 501, "transfer_coding", "transfer codings are not implemented";
    VERSION = 505, "version", "only HTTP/1.0 and HTTP/1.1 are spoken here";
}

/// Reads one request from the beginning of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    // RFC 9112 section 2.2: one empty line before the request line is to be ignored.
    let skipped = match bytes {
        [b'\r'] => return Parsed::Partial,
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    };
    let head = &bytes[skipped..];
    match parse_head(&head[..head.len().min(HTTP_HEAD_BYTES_MAX)]) {
        Ok(Some((request, length))) => Parsed::Complete(request, skipped + length),
        Ok(None) => Parsed::Partial,
        Err(reject) => Parsed::Rejected(reject),
    }
}

fn parse_head(head: &[u8]) -> Result<Option<(Request, usize)>, Reject> {
    let first = head.iter().position(|byte| *byte == b'\n');
    // Without its end after so many bytes, CR and LF included, the line can only be too long.
    if first.unwrap_or(head.len()) > HTTP_REQUEST_LINE_BYTES_MAX + 1 {
        return Err(LINE_TOO_LONG);
    }
    let Some((line, mut at)) = next_line(head, 0)? else { return Ok(None) };
    let line = parse_request_line(line)?;
    let mut fields = Fields::default();
    loop {
        let Some((field, next)) = next_line(head, at)? else { return Ok(None) };
        at = next;
        if field.is_empty() {
            return Ok(Some((conclude(&line, &fields)?, at)));
        }
        fields.take(field)?;
    }
}

/// The line that begins at `at`, without its end, and where the next one begins. RFC 9112 section 2.2 would allow a
/// bare LF; taking it is what lets two servers disagree about where a request ends.
fn next_line(head: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Reject> {
    match head[at..].iter().position(|byte| *byte == b'\n') {
        Some(length) => match head[at..at + length].split_last() {
            Some((b'\r', line)) => Ok(Some((line, at + length + 1))),
            _ => Err(BARE_LF),
        },
        None if head.len() == HTTP_HEAD_BYTES_MAX => Err(HEAD_TOO_LARGE),
        None => Ok(None),
    }
}

struct RequestLine {
    method: Method,
    path: Path,
    is_http10: bool,
}

/// RFC 9112 section 3: three parts with exactly one space between them.
fn parse_request_line(line: &[u8]) -> Result<RequestLine, Reject> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(REQUEST_LINE);
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(REQUEST_LINE);
    }
    let is_http10 = match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            if *major != b'1' {
                return Err(VERSION);
            }
            // RFC 9110 section 2.5: a higher minor version is read as the highest one known.
            *minor == b'0'
        }
        _ => return Err(REQUEST_LINE),
    };
    let path = parse_target(method, target)?;
    // RFC 9110 section 9.1: methods are case-sensitive.
    let method = match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" | b"PUT" | b"DELETE" | b"CONNECT" | b"OPTIONS" | b"TRACE" | b"PATCH" => Method::NotAllowed,
        _ => Method::Unknown,
    };
    Ok(RequestLine { method, path, is_http10 })
}

/// RFC 9112 section 3.2: the four forms of a request target.
fn parse_target(method: &[u8], target: &[u8]) -> Result<Path, Reject> {
    if !is_uri(target) {
        return Err(TARGET);
    }
    let path = match target {
        [b'/', ..] => target,
        b"*" if method == b"OPTIONS" => return Ok(Path::Other),
        _ if method == b"CONNECT" && is_authority(target) => return Ok(Path::Other),
        // RFC 9110 section 7.4: https is for secured connections, and so not to be taken on this one.
        _ => {
            let (scheme, rest) = target.split_at_checked(b"http://".len()).ok_or(TARGET)?;
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            if !scheme.eq_ignore_ascii_case(b"http://") || !is_authority(&rest[..end]) {
                return Err(TARGET);
            }
            &rest[end..]
        }
    };
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let path = if path.is_empty() { b"/" } else { path };
    Ok(Path::ALL.iter().find(|(_, name)| name.as_bytes() == path).map_or(Path::Other, |(path, _)| *path))
}

/// The header fields that matter.
#[derive(Default)]
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
    /// Takes one field line. RFC 9112 section 5: no folding, no space before the colon.
    fn take(&mut self, line: &[u8]) -> Result<(), Reject> {
        self.count += 1;
        if self.count > HTTP_HEADERS_MAX {
            return Err(TOO_MANY_HEADERS);
        }
        if matches!(line[0], b' ' | b'\t') {
            return Err(FOLDED);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(HEADER_NAME)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(HEADER_NAME);
        }
        // RFC 9110 section 5.5: visible characters, spaces and tabs. A bare CR is caught here too.
        if !line[colon + 1..].iter().all(|byte| *byte >= b' ' && *byte != 0x7f || *byte == b'\t') {
            return Err(HEADER_VALUE);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.take_host(value),
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for option in value.split(|byte| *byte == b',') {
                    self.close |= option.trim_ascii().eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
                }
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.take_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let last = value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii).find(|coding| !coding.is_empty());
                self.transfer_encoding = Some(last.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_host(&mut self, value: &[u8]) -> Result<(), Reject> {
        if std::mem::replace(&mut self.host, true) {
            return Err(HOST_DOUBLED);
        }
        // An empty one is allowed: RFC 9110 section 7.2.
        if value.is_empty() || is_authority(value) { Ok(()) } else { Err(HOST) }
    }

    /// RFC 9112 section 6.3: digits and nothing else. Two fields are refused even if they agree.
    fn take_length(&mut self, value: &[u8]) -> Result<(), Reject> {
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(LENGTH);
        }
        let has_content = value.iter().any(|digit| *digit != b'0');
        if self.content_length.replace(has_content).is_some() { Err(LENGTH_DOUBLED) } else { Ok(()) }
    }
}

/// What can be said only when the whole head is known.
fn conclude(line: &RequestLine, fields: &Fields) -> Result<Request, Reject> {
    // RFC 9112 section 6.1: both kinds of length, or a coding in HTTP/1.0, are signs of smuggling. Section 6.3: if
    // chunked is not the last coding, the answer must be 400.
    if let Some(is_chunked) = fields.transfer_encoding {
        let suspicious = fields.content_length.is_some() || line.is_http10 || !is_chunked;
        return Err(if suspicious { FRAMING } else { TRANSFER_CODING });
    }
    if !fields.host && !line.is_http10 {
        return Err(HOST_MISSING);
    }
    let has_content = fields.content_length == Some(true);
    let is_read = matches!(line.method, Method::Get | Method::Head);
    if has_content && is_read {
        return Err(BODY);
    }
    let keep_alive = !fields.close && !has_content && (!line.is_http10 || fields.keep_alive);
    Ok(Request { method: line.method, path: line.path, keep_alive, is_http10: line.is_http10 })
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 3986: the characters of a URI without a fragment, each percent sign with its two digits.
fn is_uri(text: &[u8]) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte);
    !text.is_empty() && text.iter().all(|byte| allowed(*byte)) && percent_signs_are_whole(text)
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
        name => {
            let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte);
            !name.is_empty() && name.iter().all(allowed) && percent_signs_are_whole(name)
        }
    };
    host_is_sound && (port.is_empty() || port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit))
}

fn percent_signs_are_whole(text: &[u8]) -> bool {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_hexdigit);
    (0..text.len()).filter(|at| text[*at] == b'%').all(|at| is_digit(at + 1) && is_digit(at + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(bytes: &[u8]) -> u16 {
        match parse(bytes) {
            Parsed::Partial => 0,
            Parsed::Complete(..) => 200,
            Parsed::Rejected(reject) => reject.code,
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
            let first = (0..=bytes.len()).map(|end| parse(&bytes[..end])).find(|parsed| *parsed != Parsed::Partial);
            assert_eq!(first.unwrap_or(Parsed::Partial), parse(bytes), "{} {expected}", bytes.escape_ascii());
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
        let Parsed::Complete(request, length) = parse(&two) else { panic!() };
        assert_eq!(length, one.len());
        assert_eq!((request.path, request.keep_alive, request.is_http10), (Path::Status, true, false));
        let Parsed::Complete(request, _) = parse(&two[length..]) else { panic!() };
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
            let Parsed::Complete(request, _) = parse(bytes.as_bytes()) else { panic!("{bytes}") };
            assert_eq!(request.keep_alive, stays, "{bytes}");
        }
    }
}
