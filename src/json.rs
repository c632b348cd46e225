//! A writer of JSON (RFC 8259) and JSON5: strings escaped, numbers, nesting. There is no reader: SQLite's functions read
//! JSON.

use std::fmt::{Display, Write as _};

use crate::text;

/// Writes one JSON text. Commas and closing brackets are its own business: an object or array is written by a
/// closure and closed when that returns.
pub struct Json {
    text: String,
    last: Last,
    depth: usize,
    style: Style,
}

/// How a text looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// JSON without white space.
    Json,
    /// JSON5 for people, indented, with a line for each value down to this depth.
    Lines(usize),
    /// JSON5 in as few bytes as can be.
    Tight,
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
        Json::styled(Style::Json, fields)
    }

    /// A compact text of one value, whatever it is.
    pub fn value(value: impl FnOnce(&mut Json)) -> String {
        Json::written(Style::Json, value)
    }

    /// The same in another style.
    pub fn styled(style: Style, fields: impl FnOnce(&mut Json)) -> String {
        Json::written(style, |json| json.nested(fields))
    }

    fn written(style: Style, value: impl FnOnce(&mut Json)) -> String {
        let mut json = Json { text: String::new(), last: Last::Key, depth: 0, style };
        value(&mut json);
        json.text
    }

    /// In an object: the name of the value that is written next.
    pub fn key(&mut self, name: &str) -> &mut Json {
        self.begin(Last::Key);
        if self.style != Style::Json && is_plain(name) {
            self.text.push_str(name);
        } else {
            self.quote(name);
        }
        self.text.push_str(if matches!(self.style, Style::Lines(_)) { ": " } else { ":" });
        self
    }

    /// In an object: a string with its name, if there is one.
    pub fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(text) = value {
            self.key(name).string(text);
        }
    }

    /// A value that prints as a JSON number, or as `true`, `false` or `null`.
    pub fn plain(&mut self, value: impl Display) {
        self.begin(Last::Value);
        let _ = write!(self.text, "{value}");
    }

    /// A whole number, or `null`.
    pub fn number(&mut self, value: Option<u64>) {
        match value {
            Some(number) => self.plain(number),
            None => self.plain("null"),
        }
    }

    /// A string, or `null`.
    pub fn string<'a>(&mut self, value: impl Into<Option<&'a str>>) {
        self.begin(Last::Value);
        match value.into() {
            Some(text) => self.quote(text),
            None => self.text.push_str("null"),
        }
    }

    /// A nested object.
    pub fn nested(&mut self, fields: impl FnOnce(&mut Json)) {
        self.nest('{', '}', fields);
    }

    /// A nested object of something, or `null`.
    pub fn option<T>(&mut self, of: Option<T>, fields: impl FnOnce(&mut Json, T)) {
        match of {
            Some(of) => self.nested(|json| fields(json, of)),
            None => self.string(None),
        }
    }

    /// A nested array.
    pub fn array(&mut self, items: impl FnOnce(&mut Json)) {
        self.nest('[', ']', items);
    }

    fn nest(&mut self, open: char, close: char, content: impl FnOnce(&mut Json)) {
        self.begin(Last::Open);
        self.text.push(open);
        self.depth += 1;
        content(self);
        self.depth -= 1;
        if self.last == Last::Value {
            self.space(self.depth + 1);
        }
        self.text.push(close);
        self.last = Last::Value;
    }

    /// Writes what must stand between what was written last and what comes next.
    fn begin(&mut self, next: Last) {
        if self.last == Last::Value {
            self.text.push(',');
        }
        if self.last != Last::Key {
            self.space(self.depth);
        }
        self.last = next;
    }

    /// Before or after a value at some depth.
    fn space(&mut self, depth: usize) {
        match self.style {
            Style::Lines(deepest) if depth <= deepest => {
                let _ = write!(self.text, "\n{:width$}", "", width = 2 * self.depth);
            }
            Style::Lines(_) => self.text.push(' '),
            Style::Json | Style::Tight => (),
        }
    }

    fn quote(&mut self, text: &str) {
        // JSON5 has two quotes: the one that needs fewer escapes.
        let fewer = text.matches('"').count() > text.matches('\'').count();
        let quote = if self.style != Style::Json && fewer { '\'' } else { '"' };
        text::quote(&mut self.text, text, quote, |c| c < ' ');
    }
}

/// Whether a key needs no quotes in JSON5. SQLite takes one that begins like a value for that value.
fn is_plain(key: &str) -> bool {
    let values = ["true", "false", "null", "inf", "nan", "qnan", "snan"];
    let begins = |value: &str| key.get(..value.len()).is_some_and(|start| start.eq_ignore_ascii_case(value));
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !values.into_iter().any(begins)
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
    fn the_same_stands_in_json5_on_lines_or_tight() {
        let lines = Json::styled(Style::Lines(1), sample);
        assert_eq!(lines, "{\n  a: 1,\n  b: [ 'x\"\\\\\\n\\u0001é', {}, [], null ],\n  c: { d: true }\n}");
        let tight = Json::styled(Style::Tight, sample);
        assert_eq!(tight, r#"{a:1,b:['x"\\\n\u0001é',{},[],null],c:{d:true}}"#);
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for text in [lines, tight] {
            let json: String = connection.query_row("SELECT json(?1)", [&text], |row| row.get(0)).unwrap();
            assert_eq!(json, Json::object(sample));
        }
    }

    #[test]
    fn keys_that_sqlite_would_take_for_values_are_quoted() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for key in ["a", "_1", "true", "True_north", "nullable", "Infinity", "nan", "9a", "a b", "é", "", "it's", "\""]
        {
            let text = Json::styled(Style::Tight, |json| json.key(key).plain(1));
            let read = connection.query_row("SELECT key FROM json_each(?1)", [&text], |row| row.get::<_, String>(0));
            assert_eq!(read.as_deref(), Ok(key), "{text}");
        }
    }
}
