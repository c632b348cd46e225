//! A request that asks for a WebSocket, to its answer (RFC 6455 section 4.2).
//!
//! The request parser has judged the head as HTTP; here it is judged as a handshake. Who may open a WebSocket is decided
//! here too: a browser says in Origin whose page it is that wants one, and one of somebody else's gets none. Whoever sends
//! no Origin is no browser, and could send any.

use crate::http::answer::Status;
use crate::http::request::{Method, Request, fields};
use crate::session::secret::sha_1;
use crate::text::{BASE64, base64, keys, labelled_by};

keys! {
    /// What frames hold: <https://mudstandards.org/websocket/>.
    #[derive(Default)]
    Subprotocol {
        /// Text messages of lines, for whoever asks for nothing else.
        #[default]
        Plain = "",
        /// Binary messages, of what a terminal would get and send in UTF-8.
        Terminal = "terminal.mudstandards.org",
        /// The same, and text messages of GMCP beside them.
        Gmcp = "gmcp.mudstandards.org",
    }
}

keys! {
    /// Why there is no WebSocket for a request, with the status of the answer and a sentence for the client.
    Refusal.answer: (Status, &'static str) {
        Upgrade = "upgrade", (Status::UpgradeRequired, "a WebSocket is spoken here: GET, HTTP/1.1, Upgrade: websocket");
        Version = "version", (Status::UpgradeRequired, "only version 13 of WebSocket is spoken here");
        Key = "key", (Status::BadRequest, "Sec-WebSocket-Key is not 16 bytes in Base64");
        Origin = "origin", (Status::Forbidden, "pages of this origin may open no WebSocket here");
    }
}

/// Takes a handshake: `head` is that of `request`, `origins` are those that may open a WebSocket beside the server's own.
/// The answer that opens it goes to `out`; a refusal is to be answered as it says.
pub fn shake(request: &Request, head: &[u8], origins: &[String], out: &mut Vec<u8>) -> Result<Subprotocol, Refusal> {
    let is_asked_for = lists(head, "upgrade", "websocket") && lists(head, "connection", "upgrade");
    // RFC 9110 section 7.8: a wish of HTTP/1.0 is to be ignored.
    if request.method != Method::Get || request.is_http10 || !is_asked_for {
        return Err(Refusal::Upgrade);
    }
    if !values(head, "sec-websocket-version").eq([b"13"]) {
        return Err(Refusal::Version);
    }
    let mut keys = values(head, "sec-websocket-key");
    let key = keys.next().filter(|key| is_key(key)).ok_or(Refusal::Key)?;
    if keys.next().is_some() {
        return Err(Refusal::Key);
    }
    if !is_let_in(head, origins) {
        return Err(Refusal::Origin);
    }
    let asked = values(head, "sec-websocket-protocol").flat_map(|value| value.split(|byte| *byte == b','));
    let known =
        |name: &[u8]| labelled_by(Subprotocol::ALL, Subprotocol::label, str::from_utf8(name.trim_ascii()).ok()?);
    let chosen = asked.filter_map(known).find(|known| *known != Subprotocol::Plain).unwrap_or(Subprotocol::Plain);
    out.extend(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    out.extend(format!("Sec-WebSocket-Accept: {}\r\n", accept_key(key)).bytes());
    if chosen != Subprotocol::Plain {
        out.extend(format!("Sec-WebSocket-Protocol: {}\r\n", chosen.label()).bytes());
    }
    out.extend(b"\r\n");
    Ok(chosen)
}

/// RFC 6455 section 4.2.2: what shows that a key was read as one.
pub fn accept_key(key: &[u8]) -> String {
    base64(&sha_1(&[key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat()))
}

fn values<'a>(head: &'a [u8], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let is_named = move |(known, _): &(&[u8], &[u8])| known.eq_ignore_ascii_case(name.as_bytes());
    fields(head).filter(is_named).map(|(_, value)| value)
}

/// Whether a field that is a list has this among its words.
fn lists(head: &[u8], name: &'static str, word: &str) -> bool {
    let is_word = |listed: &[u8]| listed.trim_ascii().eq_ignore_ascii_case(word.as_bytes());
    values(head, name).flat_map(|value| value.split(|byte| *byte == b',')).any(is_word)
}

/// Whether the page that asks, if it is one, is the server's own or of a listed origin. By whichever scheme: TLS may have
/// ended before this connection began.
fn is_let_in(head: &[u8], origins: &[String]) -> bool {
    let own = values(head, "host").flat_map(|host| [[b"http://", host].concat(), [b"https://", host].concat()]);
    let mut allowed = own.chain(origins.iter().map(|origin| origin.clone().into_bytes()));
    let mut asked = values(head, "origin");
    let Some(origin) = asked.next() else { return true };
    asked.next().is_none() && allowed.any(|allowed| allowed.eq_ignore_ascii_case(origin))
}

/// RFC 4648 section 4: 16 bytes are 22 signs, and two more to fill up.
fn is_key(text: &[u8]) -> bool {
    text.len() == 24 && text.strip_suffix(b"==").is_some_and(|signs| signs.iter().all(|sign| BASE64.contains(sign)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::parse;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The refusal, or the answer and what was chosen, of a request with these fields.
    fn asked(line: &str, fields: &str) -> Result<(Subprotocol, String), Refusal> {
        let head = format!("{line}\r\nHost: mud.example:4080\r\n{fields}\r\n");
        let Ok(Some((request, length))) = parse(head.as_bytes()) else { panic!("{head}") };
        assert_eq!(length, head.len());
        let mut out = Vec::new();
        let origins = ["https://elsewhere.example".to_owned()];
        let result = shake(&request, head.as_bytes(), &origins, &mut out);
        assert!(result.is_ok() || out.is_empty());
        result.map(|chosen| (chosen, String::from_utf8(out).unwrap()))
    }

    fn with(more: &str) -> Result<(Subprotocol, String), Refusal> {
        let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
        asked("GET /ws HTTP/1.1", &format!("{fields}Sec-WebSocket-Key: {KEY}\r\n{more}"))
    }

    #[test]
    fn the_key_is_answered_as_the_rfc_says() {
        assert_eq!(accept_key(KEY.as_bytes()), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(with(""), Ok((Subprotocol::Plain, answer.to_owned())));
    }

    #[test]
    fn a_handshake_is_taken_however_its_fields_are_written_and_lacks_nothing() {
        let fields = [
            "uPGRADE:h2c,\tWebSocket\r\n".to_owned(),
            "connection: keep-alive\r\nConnection: , upgrade\r\n".to_owned(),
            "SEC-WEBSOCKET-VERSION:13\r\n".to_owned(),
            format!("sec-websocket-key:\t{KEY} \r\n"),
        ];
        for (without, refusal) in [
            (None, None),
            (Some(0), Some(Refusal::Upgrade)),
            (Some(1), Some(Refusal::Upgrade)),
            (Some(2), Some(Refusal::Version)),
            (Some(3), Some(Refusal::Key)),
        ] {
            let kept =
                fields.iter().enumerate().filter(|(at, _)| Some(*at) != without).map(|(_, field)| field.as_str());
            assert_eq!(asked("GET /ws HTTP/1.1", &kept.collect::<String>()).err(), refusal, "{without:?}");
        }
    }

    #[test]
    fn only_a_get_of_http_1_1_opens_a_websocket() {
        let fields = format!(
            "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
        );
        for (line, refusal) in [
            ("GET /ws HTTP/1.1", None),
            ("GET http://other/ws HTTP/1.1", None),
            ("GET /ws HTTP/1.0", Some(Refusal::Upgrade)),
            ("HEAD /ws HTTP/1.1", Some(Refusal::Upgrade)),
            ("POST /ws HTTP/1.1", Some(Refusal::Upgrade)),
            ("OPTIONS /ws HTTP/1.1", Some(Refusal::Upgrade)),
            // What looks like a field in the request line is none.
            ("GET /ws?origin:x HTTP/1.1", None),
        ] {
            assert_eq!(asked(line, &fields).err(), refusal, "{line}");
        }
    }

    #[test]
    fn what_is_almost_a_handshake_is_refused_for_its_reason() {
        let whole = format!(
            "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
        );
        for (from, to, refusal) in [
            ("Upgrade: websocket", "Upgrade: websockets", Refusal::Upgrade),
            ("Upgrade: websocket", "Upgrade: web, socket", Refusal::Upgrade),
            ("Upgrade: websocket", "Upgrade: websocket/13", Refusal::Upgrade),
            ("Connection: upgrade", "Connection: keep-alive", Refusal::Upgrade),
            ("Version: 13", "Version: 8", Refusal::Version),
            ("Version: 13", "Version: 013", Refusal::Version),
            ("Version: 13", "Version: 13, 8", Refusal::Version),
            ("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13", Refusal::Version),
            (KEY, "", Refusal::Key),
            (KEY, "dGhlIHNhbXBsZSBub25jZQ=", Refusal::Key),
            (KEY, "dGhlIHNhbXBsZSBub25jZQAA", Refusal::Key),
            (KEY, "dGhlIHNhbXBsZSBub25jZ===", Refusal::Key),
            (KEY, "dGhlIHNhbXBsZSBub25j==", Refusal::Key),
            (KEY, "dGhlIHNhbXBsZSBub25jZWU=", Refusal::Key),
            (KEY, "dGhlIHNhbXBsZSBub25j-Q==", Refusal::Key),
            (KEY, &format!("{KEY}\r\nSec-WebSocket-Key: {KEY}"), Refusal::Key),
        ] {
            let fields = whole.replacen(from, to, 1);
            assert_ne!(fields, whole);
            assert_eq!(asked("GET /ws HTTP/1.1", &fields), Err(refusal), "{fields}");
        }
    }

    #[test]
    fn a_page_of_another_origin_opens_no_websocket() {
        for (origin, is_let_in) in [
            ("", true),
            ("Origin: http://mud.example:4080\r\n", true),
            ("Origin: https://mud.example:4080\r\n", true),
            ("origin: HTTPS://MUD.example:4080\r\n", true),
            ("Origin: https://elsewhere.example\r\n", true),
            ("Origin: http://elsewhere.example\r\n", false),
            ("Origin: https://elsewhere.example:443\r\n", false),
            ("Origin: http://mud.example\r\n", false),
            ("Origin: http://mud.example:4081\r\n", false),
            ("Origin: http://mud.example:4080/\r\n", false),
            ("Origin: http://mud.example:4080.evil.example\r\n", false),
            ("Origin: http://evil.example\r\n", false),
            ("Origin: ws://mud.example:4080\r\n", false),
            ("Origin: mud.example:4080\r\n", false),
            ("Origin: null\r\n", false),
            ("Origin:\r\n", false),
            ("Origin: http://mud.example:4080\r\nOrigin: http://evil.example\r\n", false),
            ("Origin: http://evil.example\r\nOrigin: http://mud.example:4080\r\n", false),
            ("Origin: http://mud.example:4080 http://evil.example\r\n", false),
        ] {
            let expected = if is_let_in { None } else { Some(Refusal::Origin) };
            assert_eq!(with(origin).err(), expected, "{origin}");
        }
    }

    #[test]
    fn the_first_subprotocol_asked_for_that_is_known_is_chosen_and_told() {
        use Subprotocol::{Gmcp, Plain, Terminal};
        for (asked, chosen) in [
            ("Sec-WebSocket-Protocol: gmcp.mudstandards.org\r\n", Gmcp),
            ("Sec-WebSocket-Protocol: terminal.mudstandards.org, gmcp.mudstandards.org\r\n", Terminal),
            (
                "Sec-WebSocket-Protocol: telnet.mudstandards.org,gmcp.mudstandards.org,terminal.mudstandards.org\r\n",
                Gmcp,
            ),
            ("Sec-WebSocket-Protocol: x\r\nsec-websocket-protocol: ,, terminal.mudstandards.org\r\n", Terminal),
            ("Sec-WebSocket-Protocol: telnet.mudstandards.org\r\n", Plain),
            ("Sec-WebSocket-Protocol: GMCP.mudstandards.org\r\n", Plain),
            ("Sec-WebSocket-Protocol: \u{e9}\r\n", Plain),
            ("Sec-WebSocket-Protocol:\r\n", Plain),
        ] {
            let (found, answer) = with(asked).unwrap();
            assert_eq!(found, chosen, "{asked}");
            let told: Vec<&str> =
                answer.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: ")).collect();
            assert_eq!(told, if chosen == Plain { vec![] } else { vec![chosen.label()] });
            assert!(answer.ends_with("\r\n\r\n") && answer.matches("\r\n\r\n").count() == 1);
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_taken() {
        for refusal in Refusal::ALL {
            let (status, message) = refusal.answer();
            let mut out = Vec::new();
            let answer = crate::http::answer::error(status, message);
            answer.write(&mut out, "now", crate::http::answer::Connection::Close, true);
            let out = String::from_utf8(out).unwrap();
            let names_version = out.contains("\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
            assert_eq!(names_version, out.starts_with("HTTP/1.1 426 "), "{out}");
        }
        let codes = Refusal::ALL.iter().map(|refusal| refusal.answer().0.code());
        assert!(codes.eq(["426", "426", "400", "403"]));
    }
}
