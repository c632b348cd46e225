//! What a client can show beside the text: messages of GMCP, a package and what it says in JSON.
//!
//! Most are *states*: they are made anew when something may have changed, and sent if something has, so that a client may
//! replace what it knew and never has to keep count. The others are *events*. A transport takes both before the text. Every
//! line in `do` is one that somebody could type: what it means is decided in `commands.rs`, as for all others.

use std::collections::BTreeMap;

use super::commands::{self, DIRECTIONS};
use super::login::Stage;
use super::{Moment, Number, People, Session, deeds};
use crate::json::Json;
use crate::limits::{CANDIDATES_MAX, LISTED_MAX, OUTPUT_BYTES_MAX};
use crate::world::digest::Hasher;
use crate::world::{Deed, Entity, EntityId, Kind, Player, World};

/// A package and what it says in JSON, perhaps nothing.
pub type Message = (&'static str, String);

/// Messages for one session.
#[derive(Default)]
pub struct Gmcp {
    /// Of each state the digest of what was sent last.
    sent: [u64; STATES.len()],
    /// No state has changed since.
    pub(super) is_current: bool,
    /// What is to be sent of events, and how many bytes that is.
    events: Vec<Message>,
    pub(super) bytes: usize,
}

/// What a state is now, in JSON. `None`: a client keeps what it knew.
type State = fn(&World, &Session) -> Option<String>;

/// All states, in the order in which they are sent.
const STATES: [(&str, State); 7] = [
    ("Aqevia.Login", login),
    ("Char.Name", name),
    ("Room.Info", room),
    ("Char.Items.List", here),
    ("Char.Items.List", carried),
    ("Room.Players", players),
    ("Core.Goodbye", goodbye),
];

impl Session {
    /// Takes all messages that are to be sent.
    pub(super) fn take_messages(&mut self, world: &World) -> Vec<Message> {
        if !self.terminal.gmcp {
            return Vec::new();
        }
        let mut messages = std::mem::take(&mut self.gmcp.events);
        self.gmcp.bytes = 0;
        if self.gmcp.is_current {
            return messages;
        }
        self.gmcp.is_current = true;
        for (place, (package, state)) in STATES.iter().enumerate() {
            let Some(json) = state(world, self) else { continue };
            let digest = Hasher::new(place as u64).text(&json).finish();
            if self.gmcp.sent[place] != digest {
                self.gmcp.sent[place] = digest;
                messages.push((package, json));
            }
        }
        messages
    }

    /// Who is in the world by this session.
    fn me(&self) -> Option<EntityId> {
        match self.stage {
            Stage::Playing(me) if self.farewell.is_none() => Some(me),
            _ => None,
        }
    }
}

impl People {
    /// Takes a message of GMCP; one that is not known is left alone. It counts as a line does, but does not show that
    /// somebody is there: clients send some by themselves.
    pub fn message(&mut self, number: Number, package: &str, _: &str, moment: &mut Moment) {
        let Some(session) = self.sessions.get_mut(&number).filter(|session| session.farewell.is_none()) else { return };
        session.step(moment.now);
        let (is_in, world) = (session.me().is_some(), &*moment.world);
        if package.eq_ignore_ascii_case("Core.Ping") {
            self.report(number, "Core.Ping", String::new);
        } else if package.eq_ignore_ascii_case("Comm.Channel.Players") && is_in {
            let people: Vec<(EntityId, bool)> = self.online().take(LISTED_MAX).collect();
            let row = |json: &mut Json, (id, is_there): (EntityId, bool)| {
                json.key("name").string(world.name_of(id));
                json.key("away").plain(!is_there);
            };
            self.report(number, "Comm.Channel.Players", || list(people, row));
        }
    }

    /// Tells an event to a client that wants to know of such, unless too much waits already.
    pub(super) fn report(&mut self, number: Number, package: &'static str, json: impl FnOnce() -> String) {
        let Some(session) = self.sessions.get_mut(&number).filter(|session| session.terminal.gmcp) else { return };
        self.stirred.insert(number);
        let json = json();
        let bytes = package.len() + json.len();
        if session.lost > 0 || session.waiting() + bytes > OUTPUT_BYTES_MAX {
            // What is told by words is missed there too.
            return;
        }
        session.gmcp.bytes += bytes;
        session.gmcp.events.push((package, json));
    }

    /// Tells somebody's words, of which a listener reads this.
    pub(super) fn report_words(&mut self, listener: EntityId, deed: &Deed, talker: &str, text: &str) {
        let channel = match deed {
            Deed::Says(_) => "say",
            Deed::Shouts(_) => "shout",
            Deed::Whispers(..) => "whisper",
            Deed::Tells(..) => "tell",
            _ => return,
        };
        let Some(number) = self.bodies.get(&listener).and_then(|body| body.session) else { return };
        let fields = [("channel", channel), ("talker", talker), ("text", text)];
        self.report(number, "Comm.Channel.Text", || texts(fields));
    }

    /// Tells a password, this once.
    pub(super) fn report_password(&mut self, number: Number, name: &str, password: &str) {
        self.report(number, "Aqevia.Password", || texts([("name", name), ("password", password)]));
    }

    /// Notes that somebody's client may have to show something else.
    pub(super) fn stir(&mut self, id: EntityId) {
        let Some(number) = self.bodies.get(&id).and_then(|body| body.session) else { return };
        if let Some(session) = self.sessions.get_mut(&number).filter(|session| session.terminal.gmcp) {
            session.gmcp.is_current = false;
            self.stirred.insert(number);
        }
    }
}

fn login(_: &World, session: &Session) -> Option<String> {
    let awaits = match session.stage {
        Stage::Name => "name",
        Stage::New(_) => "confirmation",
        Stage::Password(_) => "password",
        Stage::Guest => "turn",
        Stage::Playing(_) => "command",
    };
    session.farewell.is_none().then(|| texts([("awaits", awaits)]))
}

fn goodbye(_: &World, session: &Session) -> Option<String> {
    session.farewell.map(|words| Json::value(|json| json.string(words)))
}

fn name(world: &World, session: &Session) -> Option<String> {
    let me = session.me()?;
    let is_guest = world.players.get(&me).is_some_and(Player::is_guest);
    Some(Json::object(|json| {
        json.key("name").string(world.name_of(me));
        json.key("fullname").string(world.name_of(me));
        json.key("guest").plain(is_guest);
    }))
}

fn room(world: &World, session: &Session) -> Option<String> {
    let room = world.entity(world.entity(session.me()?)?.location?)?;
    let mut exits = BTreeMap::new();
    for exit in world.contents(room.id, Kind::Exit).filter(|exit| !exit.locked) {
        exits.entry(way(world.name_of(exit.id))).or_insert(exit.destination.map(EntityId::get));
    }
    Some(Json::object(|json| {
        json.key("num").plain(room.id);
        json.key("name").string(world.name_of(room.id));
        json.key("area").string(world.name.as_str());
        json.key("environment").string(if room.indoors { "indoors" } else { "outdoors" });
        json.key("exits").nested(|json| exits.into_iter().for_each(|(way, to)| json.key(&way).number(to)));
    }))
}

/// A line that leads through an exit: the shortest, unless that means something else.
fn way(exit: &str) -> String {
    let small = exit.to_lowercase();
    let direction = DIRECTIONS.iter().find(|(_, long)| *long == small);
    let is_taken = !["in", "out"].contains(&small.as_str()) && commands::begins_with_command(&small);
    match direction {
        Some((short, _)) => (*short).to_owned(),
        None if is_taken => format!("go {exit}"),
        None => exit.to_owned(),
    }
}

fn here(world: &World, session: &Session) -> Option<String> {
    let room = world.entity(session.me()?)?.location?;
    let all = world.contents(room, Kind::Creature).chain(world.contents(room, Kind::Thing));
    Some(items(world, "room", all, &[]))
}

fn carried(world: &World, session: &Session) -> Option<String> {
    let me = session.me()?;
    let places = [world.entity(me)?.location?, me];
    let near = places.into_iter().flat_map(|place| world.contents(place, Kind::Thing).take(CANDIDATES_MAX));
    let containers: Vec<EntityId> = near.filter(|thing| thing.container).map(|thing| thing.id).take(2).collect();
    Some(items(world, "inv", world.contents(me, Kind::Thing), &containers))
}

/// A list of things and creatures; what is carried can be put into one of these `containers`.
fn items<'w>(world: &World, location: &str, all: impl Iterator<Item = &'w Entity>, containers: &[EntityId]) -> String {
    let row = |json: &mut Json, item: &Entity| {
        let is_thing = item.kind == Kind::Thing;
        let marks = [("m", !is_thing), ("c", item.container), ("t", is_thing && !item.fixed)];
        let marks: String = marks.into_iter().filter(|(_, is_so)| *is_so).map(|(mark, _)| mark).collect();
        let name = world.name_of(item.id);
        let is_carried = location == "inv";
        let can_be_put = containers.iter().any(|container| *container != item.id) && deeds::can_be_put(name);
        json.key("id").string(item.id.to_string().as_str());
        json.key("name").string(name);
        json.key("attrib").string(marks.as_str());
        let lines = [
            ("look at ", "", !is_thing),
            ("examine ", "", is_thing),
            ("get ", "", is_thing && !item.fixed && !is_carried),
            ("drop ", "", is_carried),
            ("look in ", "", item.container),
            ("put ", " in ", can_be_put),
        ];
        offer(json, name, &lines);
    };
    Json::object(|json| {
        json.key("location").string(location);
        json.key("items").array(|json| all.take(LISTED_MAX).for_each(|item| json.nested(|json| row(json, item))));
    })
}

fn players(world: &World, session: &Session) -> Option<String> {
    let me = session.me()?;
    let room = world.entity(me)?.location?;
    let others = world.contents(room, Kind::Player).filter(|player| player.id != me);
    Some(list(others.take(LISTED_MAX), |json, player| {
        let name = world.name_of(player.id);
        json.key("name").string(name);
        json.key("fullname").string(name);
        offer(json, name, &[("look at ", "", true), ("tell ", " ", true), ("whisper ", " ", true)]);
    }))
}

/// Lines by what stands before a name and after it, and whether they can be used.
fn offer(json: &mut Json, name: &str, lines: &[(&str, &str, bool)]) {
    let lines = lines.iter().filter(|(.., can_be)| *can_be);
    let lines = lines.map(|(before, after, _)| format!("{before}{name}{after}"));
    json.key("do").array(|json| lines.for_each(|line| json.string(line.as_str())));
}

/// An object of texts.
fn texts<const COUNT: usize>(fields: [(&str, &str); COUNT]) -> String {
    Json::object(|json| fields.into_iter().for_each(|(key, text)| json.key(key).string(text)))
}

fn list<T>(rows: impl IntoIterator<Item = T>, row: impl Fn(&mut Json, T)) -> String {
    Json::value(|json| json.array(|json| rows.into_iter().for_each(|it| json.nested(|json| row(json, it)))))
}
