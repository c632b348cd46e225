//! Small things about strings, names and addresses that more than one layer needs.

use std::fmt::{Display, Write as _};
use std::net::IpAddr;

use crate::limits::TAG_BYTES_MAX;

/// Declares an enum with a label for each value, and perhaps with one thing more, told by a method of the name that is
/// given after its own. What is counted by it is an array in the order of `ALL`, so no key can be misspelt or left out.
macro_rules! keys {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $key:ident $([$number:literal])? = $label:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$of])* $key $(= $number)?,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$key,)*];

            /// How it is shown and called.
            pub const fn label(self) -> &'static str {
                match self { $($name::$key => $label,)* }
            }
        }

        // The place in `ALL` is the number, which may be given as `Key [0] = "label"` where something stored depends on it.
        const _: () = {
            let mut at = 0;
            while at < $name::ALL.len() {
                assert!($name::ALL[at] as usize == at);
                at += 1;
            }
        };
    };
    ($(#[$about:meta])* $name:ident.$tells:ident: $what:ty {
        $($(#[$of:meta])* $key:ident $([$number:literal])? = $label:literal, $told:expr;)*
    }) => {
        keys! { $(#[$about])* $name { $($(#[$of])* #[doc = $label] $key $([$number])? = $label,)* } }

        impl $name {
            /// What belongs to it.
            pub const fn $tells(self) -> $what {
                match self { $($name::$key => $told,)* }
            }
        }
    };
}
pub(crate) use keys;

/// The candidate that `word` most probably meant: the one with the fewest letters to change, if a third of them (of a
/// short one: half) or fewer would have to.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / if candidate.len() < 6 { 2 } else { 3 })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance: how many bytes must be put in, taken out or changed.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

/// The one of all that goes by a label.
pub fn labelled_by<T: Copy>(all: &[T], label: fn(T) -> &'static str, text: &str) -> Option<T> {
    all.iter().copied().find(|one| label(*one) == text)
}

/// Whether this is a tag: a small letter, then small letters, digits or `_`, `TAG_BYTES_MAX` at most.
pub fn is_tag(text: &str) -> bool {
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.len() <= TAG_BYTES_MAX && text.bytes().all(small)
}

/// A word for a shell that stands for nothing but itself.
pub fn shell_quoted(text: &impl Display) -> String {
    format!("'{}'", text.to_string().replace('\'', "'\\''"))
}

/// Appends a text in quotes, escaped as in JSON: the quotes in it, backslashes, and what is to be `hidden`.
pub fn quote(to: &mut String, text: &str, quote: char, hidden: impl Fn(char) -> bool) {
    let is_plain = |c: char| c != quote && c != '\\' && !hidden(c);
    let mut rest = text;
    to.push(quote);
    // Most of a text is plain, and is copied at once.
    while let Some((at, character)) = rest.char_indices().find(|(_, c)| !is_plain(*c)) {
        to.push_str(&rest[..at]);
        rest = &rest[at + character.len_utf8()..];
        match character {
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            c if hidden(c) => _ = write!(to, "\\u{:04x}", u32::from(c)),
            c => to.extend(['\\', c]),
        }
    }
    to.push_str(rest);
    to.push(quote);
}

/// Whether a character acts on how others are shown: control characters, and what breaks lines, turns their direction
/// (Unicode Standard Annex 9) or cannot be seen.
pub fn disturbs(c: char) -> bool {
    let acts = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    acts || c.is_control() || matches!(c, '\u{61c}' | '\u{feff}')
}

/// The text with its first letter as at the beginning of a sentence.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The text with every run of white space made one space, and none at its ends.
pub fn squeeze(text: &str) -> String {
    text.split_whitespace().fold(String::with_capacity(text.len()), |squeezed, word| match squeezed.is_empty() {
        true => squeezed + word,
        false => squeezed + " " + word,
    })
}

/// The signs of Base64 (RFC 4648 section 4).
pub const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes in Base64.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*three.get(at).unwrap_or(&0)));
        // As many signs as it takes, and one more, tell of so many bytes.
        let sign = |at: usize| if at <= three.len() { char::from(BASE64[bits >> (18 - 6 * at) & 63]) } else { '=' };
        text.extend((0..4).map(sign));
    }
    text
}

/// An address, or a network as the first of its addresses and the length of its prefix, written in one way.
pub fn network(text: &str) -> Option<String> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let Some(prefix) = prefix else { return Some(address.to_string()) };
    let prefix = prefix.parse::<u32>().ok().filter(|prefix| *prefix <= bits)?;
    let first = match address {
        IpAddr::V4(address) => {
            IpAddr::from((address.to_bits() & !u32::MAX.checked_shr(prefix).unwrap_or(0)).to_be_bytes())
        }
        IpAddr::V6(address) => {
            IpAddr::from((address.to_bits() & !u128::MAX.checked_shr(prefix).unwrap_or(0)).to_be_bytes())
        }
    };
    Some(if prefix == bits { first.to_string() } else { format!("{first}/{prefix}") })
}

/// Whether an address, or a network as `192.0.2.0/24`, covers an address.
pub fn covers(network: &str, address: IpAddr) -> bool {
    let (start, prefix) = network.split_once('/').unwrap_or((network, "128"));
    let (Ok(start), Ok(prefix)) = (start.parse::<IpAddr>(), prefix.parse::<u32>()) else { return false };
    let bits = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((start, length), (address, of)) = (bits(start), bits(address));
    length == of && (start ^ address).checked_shr(128 - prefix.min(length)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_noise_finds_none() {
        let names = ["AQEVIA_SQLITE_PATH", "AQEVIA_LOG_LEVEL", "PERSIST_FLUSH_INTERVAL_MS"];
        assert_eq!(nearest("AQEVIA_SQLITE_PAHT", names), Some("AQEVIA_SQLITE_PATH"));
        assert_eq!(nearest("PERSIST_FLUSH_INTERVAL", names), Some("PERSIST_FLUSH_INTERVAL_MS"));
        assert_eq!(nearest("aqevia_loglevel", names), Some("AQEVIA_LOG_LEVEL"));
        assert_eq!(nearest("PERSIST_X", names), None);
        assert_eq!(nearest("bran", ["quay", "barn"]), Some("barn"));
        assert_eq!(nearest("c", ["a", "b"]), None);
    }

    #[test]
    fn tags_are_told_from_other_words_up_to_their_length() {
        assert!(is_tag("a") && is_tag("a_1") && is_tag(&"a".repeat(TAG_BYTES_MAX)));
        for wrong in ["", "1a", "_a", "A", "a-b", "a b", "\u{e9}", &"a".repeat(TAG_BYTES_MAX + 1)] {
            assert!(!is_tag(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn white_space_is_squeezed() {
        assert_eq!(squeeze("  a \n\t b  c "), "a b c");
    }

    /// RFC 4648 section 10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn a_network_is_written_in_one_way_and_what_is_none_is_not_taken_for_one() {
        for (typed, written) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("192.0.2.7/0", "0.0.0.0/0"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3::9/64", "2001:db8:1:2::/64"),
            ("2001:DB8::0:9", "2001:db8::9"),
            ("::1/0", "::/0"),
        ] {
            assert_eq!(network(typed).as_deref(), Some(written), "{typed}");
            let address = typed.split('/').next().unwrap().parse().unwrap();
            assert!(covers(written, address), "{typed}");
        }
        for wrong in
            ["", "Ann", "192.0.2", "192.0.2.7/", "192.0.2.7/33", "::1/129", "::1/-1", "192.0.2.7/8/8", "1.2.3.4 "]
        {
            assert_eq!(network(wrong), None, "{wrong}");
        }
    }
}
