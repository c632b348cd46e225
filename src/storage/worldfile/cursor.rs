//! The values of a JSON5 text one after the other, parents first, as SQLite's `json_tree` gives them. Nothing is kept but
//! the way from the root to the value at hand, so memory does not follow how many values there are.

use std::fmt::{self, Display};

use rusqlite::Rows;
use rusqlite::types::ValueRef;

use crate::limits::{NAME_BYTES_MAX, WORLD_FILE_DEPTH_MAX};

/// What a cursor reads. Not its `path` or `fullkey`: SQLite would put the whole way together for each value.
pub const QUERY: &str = "SELECT id, parent, key, type, atom FROM json_tree(?1)";

/// A value of the file. What an array or object holds comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Value {
    Boolean(bool),
    Integer(i64),
    Text(String),
    Array,
    Object,
    /// Null, or a number that is not whole or does not fit 64 bits.
    Other,
}

/// Goes through the values.
pub struct Cursor<'s> {
    rows: Rows<'s>,
    /// SQLite's ids of the row read last and of those it stands in.
    ids: Vec<i64>,
    /// What that row holds while it is not taken yet.
    read: Option<(String, Value)>,
    /// Where the value stands that was taken last.
    pub path: Path,
    /// Why the values ended too early, if they did.
    pub failure: Option<String>,
}

impl<'s> Cursor<'s> {
    /// Goes through what `QUERY` gives.
    pub fn new(rows: Rows<'s>) -> Cursor<'s> {
        Cursor { rows, ids: Vec::new(), read: None, path: Path(Vec::new()), failure: None }
    }

    /// The next value at `depth`, counted from 0 at the root, if there is one more in what stands above it; what stands
    /// deeper is passed over.
    pub fn next(&mut self, depth: usize) -> Option<Value> {
        self.path.0.truncate(depth);
        while self.failure.is_none() {
            if self.read.is_none() {
                let read = self.advance();
                self.read = read.unwrap_or_else(|error| self.fail(format!("the file: SQLite cannot read it: {error}")));
            }
            if self.ids.len() > WORLD_FILE_DEPTH_MAX {
                self.read = self.fail(format!("{}: is nested deeper than {WORLD_FILE_DEPTH_MAX}", self.path));
            }
            let (key, value) = self.read.take_if(|_| self.ids.len() > depth)?;
            if self.ids.len() == depth + 1 {
                self.path.0.push(key);
                return Some(value);
            }
        }
        None
    }

    /// How deep the value stands that was taken last.
    pub fn depth(&self) -> usize {
        self.path.0.len() - 1
    }

    /// Its key.
    pub fn key(&self) -> &str {
        self.path.0.last().map_or("", String::as_str)
    }

    /// Reads a row, if there is one more.
    fn advance(&mut self) -> rusqlite::Result<Option<(String, Value)>> {
        let Some(row) = self.rows.next()? else { return Ok(None) };
        let parent: Option<i64> = row.get(1)?;
        let above = self.ids.iter().rposition(|id| Some(*id) == parent);
        self.ids.truncate(above.map_or(0, |above| above + 1));
        self.ids.push(row.get(0)?);
        let key = match row.get_ref(2)? {
            ValueRef::Integer(index) => format!("[{index}]"),
            key => key.as_str_or_null()?.unwrap_or_default().to_owned(),
        };
        let value = match row.get_ref(3)?.as_str()? {
            kind @ ("true" | "false") => Value::Boolean(kind == "true"),
            "integer" => row.get(4).map_or(Value::Other, Value::Integer),
            "text" => Value::Text(row.get(4)?),
            "array" => Value::Array,
            "object" => Value::Object,
            _ => Value::Other,
        };
        Ok(Some((key, value)))
    }

    fn fail<T>(&mut self, failure: String) -> Option<T> {
        self.failure = Some(failure);
        None
    }
}

/// The keys from the root to a value; those of array members in brackets.
pub struct Path(Vec<String>);

impl Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() < 2 {
            return f.write_str("the file");
        }
        for (position, key) in self.0.iter().skip(1).enumerate() {
            let dot = if position == 0 || key.starts_with('[') { "" } else { "." };
            write!(f, "{dot}{}", brief(key))?;
        }
        Ok(())
    }
}

/// As much of a text as is to be shown in a report.
pub fn brief(text: &str) -> &str {
    &text[..text.floor_char_boundary(NAME_BYTES_MAX)]
}
