//! Who comes in: a name, a password that the engine has issued, or `guest`. An unknown name is asked about, so that a slip
//! makes no second self.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::page::Style;
use super::{Body, KEEPALIVE, Limit, Moment, Number, People, Prompt, commands, secret};
use crate::clock::Monotonic;
use crate::limits::{
    LOGIN_FAILURES_MAX, LOGIN_PACE_MS, LOGINS_FREE, LOGINS_MAX, MISSED_LINES_MAX, NEW_PLAYER_PACE_MS, NEW_PLAYERS_FREE,
    PLAYER_NAME_LETTERS, SESSIONS_PER_ADDRESS_MAX, THROTTLE_WAIT_MS_MAX,
};
use crate::log::Level;
use crate::text::{capitalised, covers};
use crate::world::{EntityId, Wish, World, folded};

/// How far somebody has come in.
pub enum Stage {
    /// Who are you?
    Name,
    /// Are you new here?
    New(String),
    /// What is the password of this player?
    Password(EntityId),
    /// Somebody without a name, who waits to be let in.
    Guest,
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
            Stage::Guest | Stage::Playing(_) => "> ",
        }
    }

    /// What a client is told is awaited.
    pub fn awaits(&self) -> &'static str {
        match self {
            Stage::Name => "name",
            Stage::New(_) => "confirmation",
            Stage::Password(_) => "password",
            Stage::Guest => "turn",
            Stage::Playing(_) => "command",
        }
    }
}

const CLOSED: &str = "The world is closed just now. Come again later.";

/// Names that would mislead, beside the words of commands.
const RESERVED: &str = "guest the from into with myself anybody anyone yes no you me self someone somebody something \
    everyone everybody nobody all admin administrator operator moderator wizard system server engine world";

impl People {
    /// The first words to a new connection, or why it is not let in. The address goes before the crowd: who comes often
    /// from one place keeps nobody out who comes from another.
    pub(super) fn welcome(&mut self, number: Number, moment: &mut Moment) {
        let address = self.sessions.get(&number).and_then(|session| session.address);
        let of_address = address.and_then(|address| self.addresses.get(&network(address))).copied().unwrap_or(0);
        let refused = if self.is_closed {
            Some((Limit::Closed, CLOSED))
        } else if address.is_some_and(|address| is_banned(moment, None, Some(address))) {
            Some((Limit::Banned, "Nobody is let in from your address."))
        } else if of_address >= SESSIONS_PER_ADDRESS_MAX {
            Some((Limit::Address, "There are too many connections from your address."))
        } else if self.outside.len() >= LOGINS_MAX && !self.make_way(address, moment.now) {
            Some((Limit::Logins, "Too many people are coming in just now. Come again in a minute."))
        } else {
            None
        };
        if let Some((limit, words)) = refused {
            // Who closes the world or bans somebody knows of it.
            let is_news = matches!(limit, Limit::Address | Limit::Logins);
            self.reach_from(limit, address.filter(|_| is_news), moment.now);
            return self.end(number, words);
        }
        self.outside.insert(number);
        address.into_iter().for_each(|address| *self.addresses.entry(network(address)).or_default() += 1);
        let words = format!(
            "Your name, please. A new one makes a new player, and `guest` lets you in at once. For a screen reader, type \
             `screenreader` first.\nIn the world: {}",
            self.bodies.len()
        );
        let Some(session) = self.sessions.get_mut(&number) else { return };
        (session.is_counted, session.prompt) = (true, Prompt::Due);
        session.append(Style::Title, &moment.world.name);
        session.append(Style::Plain, &words);
        self.stirred.insert(number);
    }

    /// Ends the oldest login from the address that has most of them, if another one has fewer.
    fn make_way(&mut self, address: Option<IpAddr>, now: Monotonic) -> bool {
        let mut logins: BTreeMap<String, Vec<Number>> = BTreeMap::new();
        for number in &self.outside {
            let address = self.sessions.get(number).and_then(|session| session.address);
            logins.entry(address.map(network).unwrap_or_default()).or_default().push(*number);
        }
        let own = logins.get(&address.map(network).unwrap_or_default()).map_or(0, Vec::len);
        let Some(most) = logins.into_values().max_by_key(Vec::len).filter(|most| most.len() > own + 1) else {
            return false;
        };
        let from = self.sessions.get(&most[0]).and_then(|session| session.address);
        self.reach_from(Limit::Logins, from, now);
        self.end(most[0], "Many are coming in from your address just now. Come again in a minute.");
        self.outside.remove(&most[0]);
        true
    }

    /// Takes a line of somebody who is not in yet.
    pub(super) fn log_in(&mut self, number: Number, line: &str, moment: &mut Moment) {
        if self.is_closed {
            return self.turn_away(number);
        }
        let Some(session) = self.sessions.get_mut(&number) else { return };
        match std::mem::replace(&mut session.stage, Stage::Name) {
            Stage::Name => self.take_name(number, line, moment),
            Stage::New(name) => match line.to_ascii_lowercase().as_str() {
                "yes" | "y" => self.take_new(number, &name, moment),
                "no" | "n" => self.write(number, Style::Plain, "Your name, then."),
                _ => {
                    session.stage = Stage::New(name);
                    self.write(number, Style::Plain, "Please answer yes or no.");
                }
            },
            Stage::Password(_) if line.is_empty() => self.write(number, Style::Plain, "Your name, then."),
            Stage::Password(id) => self.take_password(number, id, line, moment),
            stage @ (Stage::Guest | Stage::Playing(_)) => session.stage = stage,
        }
    }

    /// The world was closed while somebody was coming in.
    fn turn_away(&mut self, number: Number) {
        self.reach(Limit::Closed);
        self.end(number, CLOSED);
    }

    fn take_name(&mut self, number: Number, line: &str, moment: &mut Moment) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        match line.to_ascii_lowercase().as_str() {
            "" => return self.write(number, Style::Plain, "Your name, please."),
            "quit" => return self.end(number, "Goodbye."),
            "screenreader" => {
                session.wishes.screen_reader = Wish::On;
                return self.write(
                    number,
                    Style::Plain,
                    "Words are for a screen reader from now on. Your name, please.",
                );
            }
            "guest" => {
                let wait = self.throttle(number, None, moment.now);
                let Some(session) = self.sessions.get_mut(&number) else { return };
                (session.stage, session.held) = (Stage::Guest, moment.now.after(wait));
                if wait.is_zero() {
                    return self.let_guest_in(number, moment);
                }
                session.prompt = Prompt::Gone;
                self.plan(number, moment.now.after(wait));
                return self.write(number, Style::Plain, "Many come in from your address just now. A moment, please.");
            }
            _ => (),
        }
        // Nobody can be a guest of somebody else's name; one who has been given a password can come back.
        let can_come = |id: &EntityId| self.sealed(*id, moment.world).is_some();
        let Some(id) = moment.world.player_named(line).filter(can_come) else {
            return match unfit(line, moment) {
                Some(why) => self.write(number, Style::Plain, why),
                None => {
                    let name = proper(line);
                    let words = format!("Nobody here is called {name}. Are you new here?");
                    self.write(number, Style::Plain, &words);
                    if let Some(session) = self.sessions.get_mut(&number) {
                        session.stage = Stage::New(name);
                    }
                }
            };
        };
        let wait = self.throttle(number, Some(id), moment.now);
        let Some(session) = self.sessions.get_mut(&number) else { return };
        (session.stage, session.held) = (Stage::Password(id), moment.now.after(wait));
    }

    /// How long a login has to wait, by its name and by its address. It waits before anything is computed. Nobody waits for
    /// ever: behind one address there may be many, and none of them is to be shut out.
    fn throttle(&mut self, number: Number, id: Option<EntityId>, now: Monotonic) -> Duration {
        let address = self.sessions.get(&number).and_then(|session| session.address);
        let from = address.map(|address| format!("login {}", network(address)));
        let (pace, most) = (Duration::from_millis(LOGIN_PACE_MS), Duration::from_millis(THROTTLE_WAIT_MS_MAX));
        let keys = id.map(|id| format!("name {id}")).into_iter().chain(from);
        let wait = keys.map(|key| self.throttle.wait(key, pace, LOGINS_FREE, most, now)).max().unwrap_or_default();
        if !wait.is_zero() {
            self.reach_from(Limit::Throttle, address, now);
        }
        wait.min(most)
    }

    /// Whether somebody may become a new player; if not, they are told so.
    pub(super) fn may_be_new(&mut self, number: Number, now: Monotonic) -> bool {
        let Some(address) = self.sessions.get(&number).and_then(|session| session.address) else { return true };
        let pace = Duration::from_millis(NEW_PLAYER_PACE_MS);
        let key = format!("new {}", network(address));
        let wait = self.throttle.wait(key, pace, NEW_PLAYERS_FREE, Duration::ZERO, now);
        if !wait.is_zero() {
            self.reach_from(Limit::Throttle, Some(address), now);
            let seconds = wait.as_millis().div_ceil(1_000);
            let words = format!(
                "There are many new players from your address. The next can be made in {seconds} seconds; `guest` lets you in \
                 meanwhile."
            );
            self.write(number, Style::Plain, &words);
        }
        wait.is_zero()
    }

    fn take_password(&mut self, number: Number, id: EntityId, line: &str, moment: &mut Moment) {
        let name = moment.world.name_of(id).to_owned();
        let Some(sealed) = self.sealed(id, moment.world) else {
            return self.write(number, Style::Plain, "That guest has gone meanwhile. Your name, please.");
        };
        if secret::matches(sealed, line) {
            return self.let_in(number, id, moment);
        }
        self.counts.failures += 1;
        let from = self.address_of(number);
        self.note(Level::Warn, "a login failed", &[("name", &name), ("address", &from)]);
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.failures += 1;
        if session.failures >= LOGIN_FAILURES_MAX {
            return self.end(number, "That is not the password. Come again when you have found it.");
        }
        let words =
            format!("That is not the password of {name}. It was shown when {name} was made. Your name, please.");
        self.write(number, Style::Plain, &words);
    }

    /// What is kept of the password of a player, or of that of a guest while the body is there.
    fn sealed<'a>(&'a self, id: EntityId, world: &'a World) -> Option<&'a str> {
        let own = world.players.get(&id).and_then(|player| player.password.as_deref());
        own.or_else(|| self.bodies.get(&id).and_then(|body| body.password.as_deref()))
    }

    fn take_new(&mut self, number: Number, name: &str, moment: &mut Moment) {
        if !self.may_be_new(number, moment.now) {
            return;
        }
        let password = secret::issue((moment.random)());
        match moment.world.add_player(name, Some(secret::sealed(&password))) {
            Some(id) => {
                note_beginning(id, moment);
                self.show_password(number, name, &password);
                self.let_in(number, id, moment);
            }
            None => self.write(number, Style::Plain, "There is no room for another player, or somebody was faster."),
        }
    }

    /// Shows a password, this once.
    pub(super) fn show_password(&mut self, number: Number, name: &str, password: &str) {
        let words = format!(
            "The password of {name}: {password}\nWrite it down: it is shown this once, and nobody can find it out again."
        );
        self.write(number, Style::Notice, &words);
        self.report_password(number, name, password);
    }

    /// Lets somebody in who has waited for it.
    pub(super) fn let_guest_in(&mut self, number: Number, moment: &mut Moment) {
        if self.is_closed {
            return self.turn_away(number);
        }
        let name = loop {
            self.guests += 1;
            let name = format!("Guest{}", self.guests);
            if moment.world.player_named(&name).is_none() {
                break name;
            }
        };
        match moment.world.add_player(&name, None) {
            Some(id) => {
                self.let_in(number, id, moment);
                self.give_password(number, id, moment);
            }
            None => {
                self.sessions.get_mut(&number).into_iter().for_each(|session| session.stage = Stage::Name);
                self.write(number, Style::Plain, "There is no room for another guest.");
            }
        }
    }

    /// Gives a guest a password by which they can come back to the same body, if their client keeps it for them.
    fn give_password(&mut self, number: Number, id: EntityId, moment: &mut Moment) {
        let takes = self.sessions.get(&number).is_some_and(|session| session.takes("Aqevia.Password"));
        let Some(body) = self.bodies.get_mut(&id).filter(|_| takes) else { return };
        let password = secret::issue((moment.random)());
        body.password = Some(secret::sealed(&password));
        self.report_password(number, moment.world.name_of(id), &password);
    }

    fn let_in(&mut self, number: Number, id: EntityId, moment: &mut Moment) {
        let name = moment.world.name_of(id).to_owned();
        if is_banned(moment, Some(&name), None) {
            self.reach(Limit::Banned);
            return self.end(number, "You are not let in.");
        }
        self.counts.logins += 1;
        self.outside.remove(&number);
        self.plan(number, moment.now.after(KEEPALIVE));
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.stage = Stage::Playing(id);
        if session.wishes.screen_reader == Wish::On {
            moment.world.change_player(id, |player| player.screen_reader = Wish::On);
        }
        session.wishes = moment.world.players.get(&id).cloned().unwrap_or_default();
        let (client, from) = (session.terminal.client.clone(), self.address_of(number));
        self.note(Level::Info, "a player came in", &[("name", &name), ("address", &from), ("client", &client)]);
        let mut missed = VecDeque::new();
        match self.bodies.get_mut(&id) {
            Some(body) => {
                missed = std::mem::take(&mut body.missed);
                if let Some(before) = body.session.replace(number) {
                    self.end(before, "You have come in from elsewhere, and this connection ends.");
                }
            }
            None => {
                let (missed, told_by, heard, told, follows, ignored) = Default::default();
                let (session, left, password) = (Some(number), moment.now, None);
                let body = Body { session, left, missed, told_by, heard, told, follows, ignored, password };
                self.bodies.insert(id, body);
                moment.world.wake(id, &mut |world, effect| self.hear(world, effect));
            }
        }
        match missed.len() {
            0 => (),
            MISSED_LINES_MAX => self.tell(id, Style::Notice, &format!("The last {MISSED_LINES_MAX} lines you missed:")),
            _ => self.tell(id, Style::Notice, "What you missed:"),
        }
        missed.iter().for_each(|(style, text)| self.tell(id, *style, text));
        self.give_kept(id, moment);
        commands::look(&mut commands::Turn { people: self, moment, me: id, number, command: "look" });
    }

    fn address_of(&self, number: Number) -> String {
        let address = self.sessions.get(&number).and_then(|session| session.address);
        address.map_or(String::new(), |address| address.to_canonical().to_string())
    }
}

/// Notes since when somebody is a player.
pub(super) fn note_beginning(id: EntityId, moment: &mut Moment) {
    let now = moment.wall.0.as_secs();
    moment.world.change_player(id, |player| player.since = Some(now));
}

/// Whether a name or an address is kept out just now.
fn is_banned(moment: &Moment, name: Option<&str>, address: Option<IpAddr>) -> bool {
    let (now, name) = (moment.wall.0.as_secs(), name.map(folded));
    let mut bans = moment.world.bans.values().filter(|ban| ban.until.is_none_or(|until| until > now));
    bans.any(|ban| {
        name.as_ref().is_some_and(|name| folded(&ban.of) == *name)
            || address.is_some_and(|address| covers(&ban.of, address))
    })
}

/// What counts as one address, as it can be banned: of IPv6, the 64 bits that one household or host has.
pub(super) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{}/64", Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// A name as it is written.
pub(super) fn proper(name: &str) -> String {
    capitalised(&name.to_ascii_lowercase())
}

/// Why nobody can be called so; `None`: somebody can.
pub(super) fn unfit(name: &str, moment: &Moment) -> Option<&'static str> {
    let small = name.to_ascii_lowercase();
    if !PLAYER_NAME_LETTERS.contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Some("A name has 3 to 16 letters, from a to z, and nothing else.")
    } else if RESERVED.split_whitespace().any(|word| word == small) || commands::find(&small).is_some() {
        Some("That word means something here. Choose another name.")
    } else if moment.world.has_creature_named(name) {
        Some("Somebody in the world is called so already. Choose another name.")
    } else if is_banned(moment, Some(name), None) {
        Some("Nobody of that name is let in. Choose another name.")
    } else {
        None
    }
}
