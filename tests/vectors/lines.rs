//! What the vectors of every protocol have in common: files of lines, each a word and what it is about, in plain ASCII.
//! `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN` stand for what does not survive every editor.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// All vectors of a folder, in the order of their names.
pub fn all<V>(folder: &str, read: fn(&str, &str) -> Result<V, String>) -> Vec<V> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        read(name, &text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    files.iter().map(read).collect()
}

/// Hands on each line of a vector: its word, and the rest. The first says what is probed.
pub fn each(text: &str, mut take: impl FnMut(&str, &str) -> Result<(), String>) -> Result<(), String> {
    for (index, line) in text.lines().enumerate() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let taken = if index == 0 && word != "#" {
            Err("a vector opens with what it probes".to_owned())
        } else if line.trim() != line || !line.chars().all(|c| matches!(c, ' '..='~')) {
            Err("white space at an end, or no plain ASCII".to_owned())
        } else {
            take(word, rest)
        };
        taken.map_err(|what| format!("line {}: {what}: {line}", index + 1))?;
    }
    Ok(())
}

/// A number.
pub fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("no number: {text}"))
}

/// The byte at the beginning of a text that is not empty, and what is left.
pub fn byte(text: &str) -> Result<(u8, &str), String> {
    let (byte, length) = match text.as_bytes() {
        [b'\\', b'r', ..] => (b'\r', 2),
        [b'\\', b'n', ..] => (b'\n', 2),
        [b'\\', b't', ..] => (b'\t', 2),
        [b'\\', b'0', ..] => (0, 2),
        [b'\\', b'\\', ..] => (b'\\', 2),
        [b'\\', b'x', ..] => {
            let digits = text.get(2..4).unwrap_or_default();
            (u8::from_str_radix(digits, 16).map_err(|_| format!("no two digits after \\x in {text}"))?, 4)
        }
        [b'\\', ..] => return Err(format!("an unknown escape in {text}")),
        [byte, ..] => (*byte, 1),
        [] => return Err("no byte".to_owned()),
    };
    Ok((byte, &text[length..]))
}
