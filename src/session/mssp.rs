//! What crawlers are told: those that list the worlds there are, and clients that show what one connects to (MSSP).
//!
//! Whoever asks is a session like any other that nobody comes in by: no player, no login, and nothing to wait for.

use std::time::Duration;

use super::People;
use crate::clock::{Monotonic, Wall};
use crate::config::Config;
use crate::limits::WARNING_INTERVAL_MS;
use crate::log::Level;
use crate::storage::worldfile::BUILTIN_NAME;
use crate::world::{Kind, World};

/// Names and values.
pub type Table = Vec<(&'static str, String)>;

/// What does not change while the engine runs. Telnet listens at this `port`.
pub fn fixed(config: &Config, port: Option<u16>, started: Wall) -> Table {
    let number = |port: Option<u16>| port.map(|port| port.to_string());
    let known = [
        // That is the second since 1970 in which it has started.
        ("UPTIME", Some(started.0.as_secs().to_string())),
        ("PORT", number(port)),
        ("HOSTNAME", config.hostname.clone()),
        ("CONTACT", config.contact.clone()),
        // Crawlers disagree on the name.
        ("SSL", number(config.tls_port)),
        ("TLS", number(config.tls_port)),
    ];
    let constant = [
        ("CODEBASE", concat!("Aqevia Engine ", env!("CARGO_PKG_VERSION"))),
        ("FAMILY", "Custom"),
        ("LANGUAGE", "English"),
        ("CHARSET", "UTF-8"),
        ("ANSI", "1"),
        // Nothing is shown in more than sixteen.
        ("XTERM 256 COLORS", "0"),
        ("GMCP", "1"),
        ("AREAS", "1"),
        ("CRAWL DELAY", "-1"),
    ];
    let constant = constant.map(|(name, value)| (name, Some(value.to_owned())));
    known.into_iter().chain(constant).filter_map(|(name, value)| Some((name, value?))).collect()
}

impl People {
    /// All of it.
    pub(super) fn status(&mut self, world: &World, now: Monotonic) -> Table {
        let pause = Duration::from_millis(WARNING_INTERVAL_MS);
        if world.name == BUILTIN_NAME && self.unnamed_at.is_none_or(|at| now.since(at) >= pause) {
            self.unnamed_at = Some(now);
            let fields = [("name", BUILTIN_NAME), ("help", "a world file of your own gives it another")];
            self.note(Level::Info, "a crawler was told of a world that bears the built-in name", &fields);
        }
        let count = |kind: Kind| world.counts()[kind as usize].to_string();
        let changing = [
            ("NAME", world.name.clone()),
            ("PLAYERS", self.bodies.len().to_string()),
            ("ROOMS", count(Kind::Room)),
            ("OBJECTS", count(Kind::Thing)),
            ("MOBILES", count(Kind::Creature)),
        ];
        changing.into_iter().chain(self.fixed.iter().cloned()).collect()
    }
}
