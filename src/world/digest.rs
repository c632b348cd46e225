//! A 64-bit digest of values in a fixed order. It finds damage and divergence; it is no defence against forgery.

use super::random::mix;

/// Takes values one after the other.
pub struct Hasher(u64);

impl Hasher {
    /// Starts with a number that sets this kind of record apart from others.
    pub fn new(kind: u64) -> Hasher {
        Hasher(mix(kind.wrapping_add(1)))
    }

    /// Takes a number.
    pub fn number(&mut self, value: u64) -> &mut Hasher {
        self.0 = mix(self.0.rotate_left(23) ^ value);
        self
    }

    /// Takes a number that may be missing. `None` and `Some(0)` differ.
    pub fn option(&mut self, value: Option<u64>) -> &mut Hasher {
        self.number(u64::from(value.is_some())).number(value.unwrap_or(0))
    }

    /// Takes a string. Its length goes first, so that no two sequences of strings run together.
    pub fn text(&mut self, value: &str) -> &mut Hasher {
        self.number(value.len() as u64);
        for chunk in value.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
        self
    }

    /// Takes a string that may be missing. `None` and an empty one differ.
    pub fn text_option(&mut self, value: Option<&str>) -> &mut Hasher {
        self.number(u64::from(value.is_some())).text(value.unwrap_or(""))
    }

    /// The digest of all that was taken.
    pub fn finish(&self) -> u64 {
        mix(self.0)
    }
}
