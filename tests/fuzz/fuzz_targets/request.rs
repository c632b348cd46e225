//! Requests: whatever bytes come, the parser's answer does not depend on how they were cut, and a second reading,
//! written in another way and of text instead of bytes, finds no fault in what it accepts.
#![no_main]

use aqevia_engine::http::request::{Method, Parsed, Parser, Request, parse};
use aqevia_engine::limits::{HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_REQUEST_LINE_BYTES_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    loop {
        let parsed = parse(rest);
        check_cuts(rest, parsed);
        match parsed {
            Ok(Some((request, length))) => {
                check_accepted(request, &rest[..length]);
                rest = &rest[length..];
            }
            Err(_) => {
                assert!(!is_plain(rest));
                return;
            }
            Ok(None) => {
                // Two bytes are those of an empty line before the head.
                assert!(rest.len() < HTTP_HEAD_BYTES_MAX + 2 && !is_plain(rest));
                return;
            }
        }
    }
});

/// Hands over ever more of the bytes: nothing is said at first, then what is said of all of them, and nothing else; by
/// one that reads on where it stopped as by one that begins anew. Of long inputs the latter gets only some hundred cuts,
/// because each costs a reading from the beginning.
fn check_cuts(bytes: &[u8], whole: Parsed) {
    let step = bytes.len() / 512 + 1;
    let (mut parser, mut decided) = (Parser::default(), false);
    for end in 0..=bytes.len() {
        let parsed = parser.read_on(&bytes[..end]);
        assert!(parsed == whole || parsed == Ok(None) && !decided, "{end}: {parsed:?}, then {whole:?}");
        assert!(end % step > 0 || parse(&bytes[..end]) == parsed, "{end}");
        decided = parsed != Ok(None);
    }
    assert_eq!(parser.read_on(bytes), whole);
    if let Ok(Some((_, length))) = whole {
        assert_eq!((parse(&bytes[..length - 1]), parse(&bytes[..length])), (Ok(None), whole));
    }
}

/// What must be true of a head that was accepted.
fn check_accepted(request: Request, head: &[u8]) {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let text = text.strip_prefix("\r\n").unwrap_or(&text);
    assert!(text.chars().count() <= HTTP_HEAD_BYTES_MAX);
    let (lines, after) = text.split_once("\r\n\r\n").expect("an empty line");
    assert_eq!(after, "");
    let mut lines = lines.split("\r\n");

    let line = lines.next().expect("a request line");
    assert!(line.len() <= HTTP_REQUEST_LINE_BYTES_MAX && line.chars().all(|c| c == ' ' || c.is_ascii_graphic()));
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else { panic!("{line}") };
    assert!(version.starts_with("HTTP/1.") && version.len() == 8);
    assert_eq!(request.is_http10, version == "HTTP/1.0");
    assert_eq!(request.method == Method::Get, method == "GET");
    assert_eq!(request.method == Method::Head, method == "HEAD");
    assert_eq!(request.method == Method::Options, method == "OPTIONS");
    assert_eq!(request.path.label(), if (method, target) == ("OPTIONS", "*") { "*" } else { path_of(target) });

    let fields: Vec<(String, &str)> = lines.map(|line| line.split_once(':').expect("a colon")).map(field).collect();
    assert!(fields.len() <= HTTP_HEADERS_MAX);
    let values = |wanted: &str| -> Vec<&str> {
        fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| *value).collect()
    };
    let hosts = values("host").len();
    assert!(hosts == 1 || hosts == 0 && request.is_http10);
    assert_eq!(values("transfer-encoding"), [""; 0]);
    let lengths = values("content-length");
    assert!(lengths.len() <= 1 && lengths.iter().all(|l| !l.is_empty() && l.chars().all(|c| c.is_ascii_digit())));
    let has_content = lengths.iter().any(|length| !length.trim_start_matches('0').is_empty());
    assert!(!has_content || !matches!(method, "GET" | "HEAD" | "OPTIONS"));
    let options = values("connection").join(",").to_ascii_lowercase();
    let option = |wanted: &str| options.split(',').any(|option| option.trim() == wanted);
    assert_eq!(request.keep_alive, !has_content && !option("close") && (option("keep-alive") || !request.is_http10));
}

fn field<'a>((name, value): (&str, &'a str)) -> (String, &'a str) {
    assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(c)));
    assert!(!value.chars().any(|c| c.is_ascii_control() && c != '\t'));
    (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']))
}

/// Which of the known paths a target names.
fn path_of(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or_default();
    let path = match path.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => path,
    };
    if ["/", "/health", "/ready", "/status", "/map", "/metrics", "/ws"].contains(&path) { path } else { "other" }
}

/// A request so plain that refusing it, or waiting for more of it, would be a fault.
fn is_plain(bytes: &[u8]) -> bool {
    let read = || {
        let (head, _) = std::str::from_utf8(bytes).ok()?.split_once("\r\n\r\n")?;
        let (line, fields) = head.split_once("\r\n")?;
        let path = line.strip_prefix("GET /")?.strip_suffix(" HTTP/1.1")?;
        let fields: Option<Vec<(&str, &str)>> = fields.split("\r\n").map(|field| field.split_once(": ")).collect();
        Some((head.len(), path, fields?))
    };
    let Some((length, path, fields)) = read() else { return false };
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic());
    length < HTTP_REQUEST_LINE_BYTES_MAX
        && path.chars().all(|c| c.is_ascii_alphanumeric() || c == '/')
        && fields.len() <= HTTP_HEADERS_MAX
        && fields.iter().all(|(name, value)| is_word(name) && is_word(value))
        && fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).count() == 1
}
