//! What is known of whoever reads: how wide, in which colours, with which letters, by eye or by ear.
//!
//! These are facts of a connection, told by a client about itself. They never belong to a character: who comes back by
//! another client is read to by that one.

use std::borrow::Cow;

use crate::limits::{CLIENT_NAME_BYTES_MAX, TERMINAL_COLUMNS_MIN, TERMINAL_COLUMNS_UNKNOWN};

/// What is known of a terminal, or taken for granted while nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Columns, never below `TERMINAL_COLUMNS_MIN`; `TERMINAL_COLUMNS_UNKNOWN` if it has not said.
    pub width: u16,
    /// Which colours it shows.
    pub colours: Colours,
    /// Whether it shows more than ASCII; if not, it gets what `ascii` makes of a text.
    pub utf8: bool,
    /// Whether it reads aloud.
    pub screen_reader: bool,
    /// Which messages of GMCP it takes beside the text.
    pub gmcp: Messages,
    /// Whether it asks what kind of server this is, as crawlers do (MSSP).
    pub mssp: bool,
    /// What it calls itself, for `who` and the log: printable ASCII, `CLIENT_NAME_BYTES_MAX` at most, perhaps nothing.
    pub client: String,
}

/// Which messages of GMCP a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// None.
    None,
    /// Those that it names, as clients of telnet do.
    Named,
    /// All.
    All,
}

/// How many colours a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colours {
    /// It has not said that it shows any.
    None,
    /// The sixteen of ECMA-48 and its bright ones.
    Sixteen,
    /// 256 or more.
    Many,
}

impl Default for Terminal {
    /// A terminal that says nothing of itself, as `nc` is on a screen of today.
    fn default() -> Terminal {
        let width = TERMINAL_COLUMNS_UNKNOWN;
        let (colours, utf8, gmcp) = (Colours::None, true, Messages::None);
        Terminal { width, colours, utf8, screen_reader: false, gmcp, mssp: false, client: String::new() }
    }
}

impl Terminal {
    /// Takes the columns it says it has; 0 means that it does not know.
    pub fn set_width(&mut self, columns: u16) {
        self.width = if columns == 0 { TERMINAL_COLUMNS_UNKNOWN } else { columns.max(TERMINAL_COLUMNS_MIN) };
    }
}

/// What can be shown of a name that a client tells of itself.
pub fn clean(name: &[u8]) -> String {
    let name: String = name.iter().filter(|byte| matches!(byte, b' '..=b'~')).map(|byte| char::from(*byte)).collect();
    name.trim().chars().take(CLIENT_NAME_BYTES_MAX).collect()
}

/// What stands in ASCII for the signs of a row.
const LOOK_ALIKES: &[(&str, &str)] = &[
    ("ÀÁÂÃÄÅĀĂĄǍ", "A"),
    ("àáâãäåāăąǎ", "a"),
    ("ÇĆĈĊČ", "C"),
    ("çćĉċč", "c"),
    ("ĎÐĐ", "D"),
    ("ďðđ", "d"),
    ("ÈÉÊËĒĔĖĘĚ", "E"),
    ("èéêëēĕėęě", "e"),
    ("ĜĞĠĢ", "G"),
    ("ĝğġģ", "g"),
    ("ĤĦ", "H"),
    ("ĥħ", "h"),
    ("ÌÍÎÏĨĪĬĮİǏ", "I"),
    ("ìíîïĩīĭįǐı", "i"),
    ("Ĵ", "J"),
    ("ĵ", "j"),
    ("Ķ", "K"),
    ("ķĸ", "k"),
    ("ĹĻĽŁĿ", "L"),
    ("ĺļľłŀ", "l"),
    ("ÑŃŅŇ", "N"),
    ("ñńņňŉ", "n"),
    ("ÒÓÔÕÖŌŎŐǑØ", "O"),
    ("òóôõöōŏőǒø", "o"),
    ("ŔŖŘ", "R"),
    ("ŕŗř", "r"),
    ("ŚŜŞŠȘ", "S"),
    ("śŝşšșſ", "s"),
    ("ŢŤȚŦ", "T"),
    ("ţťțŧ", "t"),
    ("ÙÚÛÜŨŪŬŮŰŲǓǕǗǙǛ", "U"),
    ("ùúûüũūŭůűųǔǖǘǚǜ", "u"),
    ("Ŵ", "W"),
    ("ŵ", "w"),
    ("ÝŶŸ", "Y"),
    ("ýÿŷ", "y"),
    ("ŹŻŽ", "Z"),
    ("źżž", "z"),
    ("Æ", "AE"),
    ("æ", "ae"),
    ("Œ", "OE"),
    ("œ", "oe"),
    ("ß", "ss"),
    ("ẞ", "SS"),
    ("Þ", "Th"),
    ("þ", "th"),
    ("‘’‚‛′´", "'"),
    ("“”„‟″«»", "\""),
    ("‐‑‒–—―−", "-"),
    ("\u{a0}\u{2002}\u{2003}\u{2009}\u{202f}", " "),
    ("•·", "*"),
    ("×", "x"),
    ("…", "..."),
];

/// The text in ASCII: look-alikes for quotes, dashes and letters with accents, nothing for an accent of its own, `?` for
/// all else.
pub fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for sign in text.chars() {
        match (sign, LOOK_ALIKES.iter().find(|(signs, _)| signs.contains(sign))) {
            (sign, _) if sign.is_ascii() => plain.push(sign),
            (_, Some((_, look_alike))) => plain.push_str(look_alike),
            ('\u{300}'..='\u{36f}', None) => (),
            (_, None) => plain.push('?'),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ascii_stays_and_what_is_not_gets_its_look_alike() {
        assert!(matches!(ascii("A plain line.\n"), Cow::Borrowed("A plain line.\n")));
        for (text, plain) in [
            ("“It’s late…” – «Non» — ‘so’", "\"It's late...\" - \"Non\" - 'so'"),
            ("Ångström, naïve façade, Übergröße, Łódź", "Angstrom, naive facade, Ubergrosse, Lodz"),
            ("Cafe\u{301} Æsir Œuvre Þor", "Cafe AEsir OEuvre Thor"),
            ("3\u{a0}×\u{202f}4", "3 x 4"),
            ("日本 ☃ \u{1f409}", "?? ? ?"),
        ] {
            assert_eq!(ascii(text), plain);
        }
    }

    #[test]
    fn no_sign_has_two_look_alikes_and_every_look_alike_is_ascii() {
        let mut signs: Vec<char> = LOOK_ALIKES.iter().flat_map(|(signs, _)| signs.chars()).collect();
        let count = signs.len();
        signs.sort();
        signs.dedup();
        assert_eq!(signs.len(), count);
        assert!(
            LOOK_ALIKES
                .iter()
                .all(|(signs, look_alike)| look_alike.is_ascii() && !signs.contains(|c: char| c.is_ascii()))
        );
    }

    #[test]
    fn a_width_is_never_below_the_least_and_0_means_unknown() {
        let mut terminal = Terminal::default();
        for (said, width) in [(0, 80), (1, 20), (20, 20), (21, 21), (255, 255), (65_535, 65_535), (0, 80)] {
            terminal.set_width(said);
            assert_eq!(terminal.width, width);
        }
    }
}
