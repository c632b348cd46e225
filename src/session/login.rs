//! Who comes in: a name, a password that the engine has issued, or `guest`. An unknown name is asked about, so that a slip
//! makes no second self.

use std::net::IpAddr;
use std::time::Duration;

use super::page::Style;
use super::{Body, Limit, Moment, Number, People, Prompt, commands, secret};
use crate::limits::{
    LOGIN_FAILURES_MAX, LOGIN_PACE_MS, LOGINS_FREE, LOGINS_MAX, NEW_PLAYER_PACE_MS, NEW_PLAYERS_FREE,
    PLAYER_NAME_LETTERS, SESSIONS_PER_ADDRESS_MAX,
};
use crate::log::Level;
use crate::text::capitalised;
use crate::world::{EntityId, Wish, World};

/// How far somebody has come in.
pub enum Stage {
    /// Who are you?
    Name,
    /// Are you new here?
    New(String),
    /// What is the password of this player?
    Password(EntityId),
    /// In the world.
    Playing(EntityId),
}

impl Stage {
    /// What is asked.
    pub fn prompt(&self) -> &'static str {
        match self {
            Stage::Name => "Name: ",
            Stage::New(_) => "Yes or no: ",
            Stage::Password(_) => "Password: ",
            Stage::Playing(_) => "> ",
        }
    }
}

/// Names that would mislead, beside the words of commands.
const RESERVED: &[&str] = &[
    "guest",
    "yes",
    "no",
    "you",
    "me",
    "self",
    "someone",
    "somebody",
    "something",
    "everyone",
    "everybody",
    "nobody",
    "all",
    "admin",
    "administrator",
    "operator",
    "moderator",
    "wizard",
    "system",
    "server",
    "engine",
    "world",
];

impl People {
    /// The first words to a new connection, or why it is not let in.
    pub(super) fn welcome(&mut self, number: Number, moment: &mut Moment) {
        let address = self.sessions.get(&number).and_then(|session| session.address);
        let is_outside = |session: &&super::Session| !matches!(session.stage, Stage::Playing(_));
        let of_address =
            self.sessions.values().filter(|session| address.is_some() && session.address == address).count();
        let refused = if self.is_closed {
            Some((Limit::Closed, "The world is closed just now. Come again later."))
        } else if address.is_some_and(|address| is_banned(moment, &address.to_string(), Some(address))) {
            Some((Limit::Banned, "Nobody is let in from your address."))
        } else if of_address > SESSIONS_PER_ADDRESS_MAX {
            Some((Limit::Address, "There are too many connections from your address."))
        } else if self.sessions.values().filter(is_outside).count() > LOGINS_MAX {
            Some((Limit::Logins, "Too many people are coming in just now. Come again in a minute."))
        } else {
            None
        };
        if let Some((limit, words)) = refused {
            self.reach(limit);
            return self.end(number, words);
        }
        let name = moment.world.name.clone();
        let words = format!(
            "Your name, please. A new one makes a new player, and `guest` lets you in at once. For a screen reader, type \
             `screenreader` first. There are {} here.",
            self.bodies.len()
        );
        self.write(number, None, Style::Title, &name);
        self.write(number, None, Style::Plain, &words);
        self.sessions.get_mut(&number).into_iter().for_each(|session| session.prompt = Prompt::Due);
    }

    /// Takes a line of somebody who is not in yet.
    pub(super) fn log_in(&mut self, number: Number, line: &str, moment: &mut Moment) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        match std::mem::replace(&mut session.stage, Stage::Name) {
            Stage::Name => self.take_name(number, line, moment),
            Stage::New(name) => match line.to_ascii_lowercase().as_str() {
                "yes" | "y" => self.take_new(number, &name, moment),
                "no" | "n" => self.write(number, None, Style::Plain, "Your name, then."),
                _ => {
                    session.stage = Stage::New(name);
                    self.write(number, None, Style::Plain, "Please answer yes or no.");
                }
            },
            Stage::Password(id) => self.take_password(number, id, line, moment),
            Stage::Playing(_) => (),
        }
    }

    fn take_name(&mut self, number: Number, line: &str, moment: &mut Moment) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        match line.to_ascii_lowercase().as_str() {
            "" => return,
            "quit" => return self.end(number, "Goodbye."),
            "screenreader" => {
                session.reads_aloud = Wish::On;
                return self.write(
                    number,
                    None,
                    Style::Plain,
                    "Words are for a screen reader from now on. Your name, please.",
                );
            }
            "guest" => return self.take_guest(number, moment),
            _ => (),
        }
        let Some(id) = moment.world.player_named(line) else {
            return match unfit(line, moment.world) {
                Some(why) => self.write(number, None, Style::Plain, why),
                None => {
                    let name = proper(line);
                    let words = format!("Nobody here is called {name}. Are you new here?");
                    self.write(number, None, Style::Plain, &words);
                    if let Some(session) = self.sessions.get_mut(&number) {
                        session.stage = Stage::New(name);
                    }
                }
            };
        };
        let wait =
            self.throttle.wait(format!("name {id}"), Duration::from_millis(LOGIN_PACE_MS), LOGINS_FREE, moment.now);
        let wait = wait.max(self.throttle_address(number, "login", LOGIN_PACE_MS, LOGINS_FREE, moment));
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.stage = Stage::Password(id);
        session.held = moment.now.after(wait);
        if !wait.is_zero() {
            self.reach(Limit::Throttle);
        }
    }

    /// How long what is tried from a session's address has to wait.
    fn throttle_address(&mut self, number: Number, what: &str, pace_ms: u64, free: u32, moment: &Moment) -> Duration {
        let address = self.sessions.get(&number).and_then(|session| session.address);
        let key = address.map_or("somewhere".to_owned(), neighbourhood);
        self.throttle.wait(format!("{what} {key}"), Duration::from_millis(pace_ms), free, moment.now)
    }

    fn take_password(&mut self, number: Number, id: EntityId, line: &str, moment: &mut Moment) {
        let name = moment.world.name_of(id).to_owned();
        let sealed = moment.world.players.get(&id).and_then(|player| player.password.as_deref());
        if sealed.is_some_and(|sealed| secret::matches(sealed, line)) {
            return self.let_in(number, id, moment);
        }
        self.counts.failures += 1;
        let from =
            self.sessions.get(&number).and_then(|session| session.address).map_or(String::new(), |it| it.to_string());
        self.note(Level::Warn, "a login failed", &[("name", &name), ("address", &from)]);
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.failures += 1;
        if session.failures >= LOGIN_FAILURES_MAX {
            return self.end(number, "That is not the password. Come again when you have found it.");
        }
        let words =
            format!("That is not the password of {name}. It was shown when {name} was made. Your name, please.");
        self.write(number, None, Style::Plain, &words);
    }

    fn take_new(&mut self, number: Number, name: &str, moment: &mut Moment) {
        let wait = self.throttle_address(number, "new", NEW_PLAYER_PACE_MS, NEW_PLAYERS_FREE, moment);
        if !wait.is_zero() {
            self.reach(Limit::Throttle);
            let words = "Many new players come from your address. Wait a minute, or come in as `guest`.";
            return self.write(number, None, Style::Plain, words);
        }
        let password = secret::issue((moment.random)());
        match moment.world.add_player(name, Some(secret::sealed(&password))) {
            Some(id) => {
                self.show_password(number, name, &password);
                self.let_in(number, id, moment);
            }
            None => {
                self.write(number, None, Style::Plain, "There is no room for another player, or somebody was faster.")
            }
        }
    }

    /// Shows a password, this once.
    pub(super) fn show_password(&mut self, number: Number, name: &str, password: &str) {
        let words = format!(
            "The password of {name} is {password}\nWrite it down: it is shown this once, and nobody can find it out again."
        );
        self.write(number, None, Style::Notice, &words);
    }

    fn take_guest(&mut self, number: Number, moment: &mut Moment) {
        let name = (1..).map(|number| format!("Guest{number}")).find(|name| moment.world.player_named(name).is_none());
        match name.and_then(|name| moment.world.add_player(&name, None)) {
            Some(id) => self.let_in(number, id, moment),
            None => self.write(number, None, Style::Plain, "There is no room for another guest."),
        }
    }

    fn let_in(&mut self, number: Number, id: EntityId, moment: &mut Moment) {
        let name = moment.world.name_of(id).to_owned();
        if is_banned(moment, &name, None) {
            self.reach(Limit::Banned);
            return self.end(number, "You are not let in.");
        }
        self.counts.logins += 1;
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.stage = Stage::Playing(id);
        let (from, client) =
            (session.address.map_or(String::new(), |it| it.to_string()), session.terminal.client.clone());
        if session.reads_aloud == Wish::On {
            moment.world.change_player(id, |player| player.screen_reader = Wish::On);
        }
        self.note(Level::Info, "a player came in", &[("name", &name), ("address", &from), ("client", &client)]);
        match self.bodies.get_mut(&id) {
            Some(body) => {
                let before = body.session.replace(number);
                let missed = std::mem::take(&mut body.missed);
                if let Some(before) = before {
                    self.end(before, "You have come in from elsewhere, and this connection ends.");
                }
                if !missed.is_empty() {
                    self.tell(moment.world, id, Style::Notice, "What you missed:");
                }
                missed.iter().for_each(|(style, text)| self.tell(moment.world, id, *style, text));
            }
            None => {
                let body = Body { session: Some(number), left: moment.now, missed: Default::default(), told_by: None };
                self.bodies.insert(id, body);
                moment.world.wake(id, &mut |world, effect| self.hear(world, effect));
            }
        }
        commands::look(&mut commands::Turn { people: self, moment, me: id, number, command: "look" });
    }
}

/// Whether a name or an address is kept out just now.
fn is_banned(moment: &Moment, name: &str, address: Option<IpAddr>) -> bool {
    let now = moment.wall.0.as_secs();
    let mut bans = moment.world.bans.values().filter(|ban| ban.until.is_none_or(|until| until > now));
    bans.any(|ban| ban.of.eq_ignore_ascii_case(name) || address.is_some_and(|address| covers(&ban.of, address)))
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

/// What counts as one address: of IPv6, the 64 bits that one household or host has.
fn neighbourhood(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{:x}", address.to_bits() >> 64),
    }
}

/// A name as it is written.
pub(super) fn proper(name: &str) -> String {
    capitalised(&name.to_ascii_lowercase())
}

/// Why nobody can be called so; `None`: somebody can.
pub(super) fn unfit(name: &str, world: &World) -> Option<&'static str> {
    let small = name.to_ascii_lowercase();
    if !PLAYER_NAME_LETTERS.contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Some("A name has 3 to 16 letters, from a to z, and nothing else. Your name, please.")
    } else if RESERVED.contains(&small.as_str()) || commands::is_command(&small) {
        Some("That word means something here. Another name, please.")
    } else if world.has_creature_named(name) {
        Some("Somebody in the world is called so already. Another name, please.")
    } else {
        None
    }
}
