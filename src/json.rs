//! A JSON writer (RFC 8259): strings escaped, numbers, nesting. There is no reader: SQLite's functions read JSON.

use std::fmt::{Display, Write as _};

/// Writes one JSON text. Commas and closing brackets are its own business: an object or array is written by a
/// closure and closed when that returns.
pub struct Json {
    text: String,
    last: Last,
    depth: usize,
    indent: bool,
}

/// What was written last, which decides what must stand before the next value.
#[derive(PartialEq, Eq)]
enum Last {
    Open,
    Key,
    Value,
}

impl Json {
    /// A compact text with one object at its top.
    pub fn object(fields: impl FnOnce(&mut Json)) -> String {
        Json::write(false, fields)
    }

    /// The same, one value a line, indented for people.
    pub fn object_indented(fields: impl FnOnce(&mut Json)) -> String {
        Json::write(true, fields) + "\n"
    }

    fn write(indent: bool, fields: impl FnOnce(&mut Json)) -> String {
        let mut json = Json { text: String::new(), last: Last::Key, depth: 0, indent };
        json.nested(fields);
        json.text
    }

    /// In an object: the name of the value that is written next.
    pub fn key(&mut self, name: &str) -> &mut Json {
        self.separate();
        self.quote(name);
        self.text.push_str(if self.indent { ": " } else { ":" });
        self.last = Last::Key;
        self
    }

    /// A value that prints as a JSON number, or `true` or `false`.
    pub fn plain(&mut self, value: impl Display) {
        self.separate();
        let _ = write!(self.text, "{value}");
        self.last = Last::Value;
    }

    /// A whole number, or `null`.
    pub fn number(&mut self, value: Option<u64>) {
        match value {
            Some(number) => self.plain(number),
            None => self.string(None),
        }
    }

    /// A string, or `null`.
    pub fn string<'a>(&mut self, value: impl Into<Option<&'a str>>) {
        self.separate();
        match value.into() {
            Some(text) => self.quote(text),
            None => self.text.push_str("null"),
        }
        self.last = Last::Value;
    }

    /// A nested object.
    pub fn nested(&mut self, fields: impl FnOnce(&mut Json)) {
        self.nest('{', '}', fields);
    }

    /// A nested array.
    pub fn array(&mut self, items: impl FnOnce(&mut Json)) {
        self.nest('[', ']', items);
    }

    fn nest(&mut self, open: char, close: char, content: impl FnOnce(&mut Json)) {
        self.separate();
        self.text.push(open);
        self.last = Last::Open;
        self.depth += 1;
        content(self);
        self.depth -= 1;
        if self.last == Last::Value {
            self.line_break();
        }
        self.text.push(close);
        self.last = Last::Value;
    }

    /// Writes what must stand between what was written last and a value or key.
    fn separate(&mut self) {
        if self.last == Last::Value {
            self.text.push(',');
        }
        if self.last != Last::Key {
            self.line_break();
        }
    }

    fn line_break(&mut self) {
        if self.indent {
            let _ = write!(self.text, "\n{:width$}", "", width = 2 * self.depth);
        }
    }

    fn quote(&mut self, text: &str) {
        self.text.push('"');
        for character in text.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                c if c < ' ' => _ = write!(self.text, "\\u{:04x}", u32::from(c)),
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(json: &mut Json) {
        json.key("a").plain(1);
        json.key("b").array(|json| {
            json.string("x\"\\\n\u{1}é");
            json.nested(|_| ());
            json.array(|_| ());
            json.string(None);
        });
        json.key("c").nested(|json| json.key("d").plain(true));
    }

    #[test]
    fn commas_brackets_and_escapes_are_right() {
        assert_eq!(Json::object(sample), r#"{"a":1,"b":["x\"\\\n\u0001é",{},[],null],"c":{"d":true}}"#);
    }

    #[test]
    fn the_indented_form_holds_the_same() {
        let indented = Json::object_indented(sample);
        assert!(indented.starts_with("{\n  \"a\": 1,\n  \"b\": [\n    \"x"), "{indented}");
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let minified: String = connection.query_row("SELECT json(?1)", [&indented], |row| row.get(0)).unwrap();
        assert_eq!(minified, Json::object(sample));
    }
}
