//! What a client can show beside the text: messages of GMCP, a package and what it says in JSON.
//!
//! Most are *states*: they are made anew when something may have changed, and sent if something has, so that a client may
//! replace what it knew and never has to keep count. The others are *events*. A transport takes both before the text. Every
//! line in `do` is one that somebody could type: what it means is decided in `commands.rs`, as for all others.
//!
//! A client of telnet gets what it has named (`CHOICES`), and follows where one goes step by step, as mappers do: for it
//! `Room.Info` is an event, see `report_step`.

use std::collections::BTreeMap;

use super::commands::{self, DIRECTIONS};
use super::login::Stage;
use super::terminal::{Messages, clean};
use super::{Moment, Number, People, Session, deeds};
use crate::json::Json;
use crate::limits::{CANDIDATES_MAX, LISTED_MAX, OUTPUT_BYTES_MAX};
use crate::text::keys;
use crate::world::digest::Hasher;
use crate::world::{Deed, Entity, EntityId, Kind, Player, World};

/// A package and what it says in JSON, perhaps nothing.
pub type Message = (&'static str, String);

/// What clients that name what they take may name. What is of `Core` all get.
const CHOICES: [&str; 9] = [
    "Aqevia.Login",
    "Aqevia.Password",
    "Char.Items.List",
    "Char.Name",
    "Comm.Channel.Players",
    "Comm.Channel.Text",
    "Room.Info",
    "Room.Players",
    "Room.WrongDir",
];

/// Messages for one session.
#[derive(Default)]
pub struct Gmcp {
    /// Which of `CHOICES` it has named.
    named: [bool; CHOICES.len()],
    /// Of each state the digest of what was sent last.
    sent: [u64; State::ALL.len()],
    /// No state has changed since.
    pub(super) is_current: bool,
    /// What is to be sent of events, and how many bytes that is.
    events: Vec<Message>,
    pub(super) bytes: usize,
}

keys! {
    /// The states, in the order in which they are sent.
    State {
        /// What is awaited.
        Login = "Aqevia.Login",
        /// Who one is.
        Name = "Char.Name",
        /// Where one is.
        Room = "Room.Info",
        /// What is there.
        Here = "Char.Items.List",
        /// What one carries.
        Carried = "Char.Items.List",
        /// Who is there.
        Players = "Room.Players",
        /// Nothing comes after it.
        Goodbye = "Core.Goodbye",
    }
}

/// What all in a room are shown of it, made once for all of them.
pub struct Scene {
    info: Told,
    items: Told,
    /// Who is there: one more than are listed, since nobody is shown themselves.
    players: Vec<(EntityId, Told)>,
    /// Two things there into which others can be put, or fewer.
    containers: Vec<EntityId>,
}

/// What is told of something, and its digest.
struct Told(String, u64);

impl Told {
    fn of(json: String) -> Told {
        let digest = Hasher::new(0).text(&json).finish();
        Told(json, digest)
    }
}

impl Session {
    /// Whether its client takes messages of this package.
    pub(super) fn takes(&self, package: &str) -> bool {
        match self.terminal.gmcp {
            Messages::None => false,
            Messages::Named => {
                let mut choices = CHOICES.iter().zip(self.gmcp.named);
                package.starts_with("Core") || choices.any(|(choice, is_named)| is_named && *choice == package)
            }
            Messages::All => true,
        }
    }

    /// Takes all messages that are to be sent.
    pub(super) fn take_messages(&mut self, world: &World, scenes: &mut BTreeMap<EntityId, Scene>) -> Vec<Message> {
        if self.terminal.gmcp == Messages::None {
            return Vec::new();
        }
        let mut messages = std::mem::take(&mut self.gmcp.events);
        self.gmcp.bytes = 0;
        if !std::mem::replace(&mut self.gmcp.is_current, true) {
            let mut sent = self.gmcp.sent;
            self.tell_states(&mut sent, &mut messages, world, scenes);
            self.gmcp.sent = sent;
        }
        messages
    }

    /// Tells the states that differ from what was `sent`. What a client does not take is not sent, should it take it later.
    fn tell_states(
        &self,
        sent: &mut [u64; State::ALL.len()],
        messages: &mut Vec<Message>,
        world: &World,
        scenes: &mut BTreeMap<EntityId, Scene>,
    ) {
        let mut tell_if = |state: State, digest: u64, json: &dyn Fn() -> String| {
            let digest = if self.takes(state.label()) { digest } else { 0 };
            if std::mem::replace(&mut sent[state as usize], digest) != digest && digest != 0 {
                messages.push((state.label(), json()));
            }
        };
        let mut tell = |state, told: &Told| tell_if(state, told.1, &|| told.0.clone());
        if let Some(words) = self.farewell {
            return tell(State::Goodbye, &Told::of(Json::value(|json| json.string(words))));
        }
        tell(State::Login, &Told::of(texts([("awaits", self.stage.awaits())])));
        let Stage::Playing(me) = self.stage else { return };
        let Some(room) = world.entity(me).and_then(|me| me.location) else { return };
        let scene = scenes.entry(room).or_insert_with(|| Scene::of(world, room));
        tell(State::Name, &Told::of(name(world, me)));
        match self.terminal.gmcp {
            Messages::Named => tell_if(State::Room, room.get(), &|| scene.info.0.clone()),
            _ => tell(State::Room, &scene.info),
        }
        let mut tell = |state, told: &Told| tell_if(state, told.1, &|| told.0.clone());
        tell(State::Here, &scene.items);
        tell(State::Carried, &Told::of(carried(world, me, &scene.containers)));
        let others = || scene.players.iter().filter(|(id, _)| *id != me).take(LISTED_MAX).map(|(_, told)| told);
        // Their order is always the same: the sum of their digests is one of all.
        let digest = others().fold(1, |sum: u64, other| sum.wrapping_add(other.1));
        tell_if(State::Players, digest, &|| {
            format!("[{}]", others().map(|other| &*other.0).collect::<Vec<_>>().join(","))
        });
    }
}

impl People {
    /// Takes a message of GMCP; one that is not known is left alone. It counts as a line does, but does not show that
    /// somebody is there: clients send some by themselves.
    pub fn message(&mut self, number: Number, package: &str, json: &str, moment: &mut Moment) {
        let Some(session) = self.sessions.get_mut(&number).filter(|session| session.farewell.is_none()) else { return };
        session.step(moment.now);
        let (is_in, world) = (matches!(session.stage, Stage::Playing(_)), &*moment.world);
        match package.to_ascii_lowercase().as_str() {
            "core.ping" => _ = self.report(number, "Core.Ping", String::new),
            "core.hello" => {
                let mut texts = texts_in(json);
                let name = texts.find(|key| key.eq_ignore_ascii_case("client")).and_then(|_| texts.next());
                if session.terminal.client.is_empty() {
                    session.terminal.client = clean(name.unwrap_or_default().as_bytes());
                }
            }
            action @ ("core.supports.set" | "core.supports.add" | "core.supports.remove") => {
                if action == "core.supports.set" {
                    session.gmcp.named = Default::default();
                }
                session.gmcp.name(json, action != "core.supports.remove");
                self.stirred.insert(number);
            }
            "comm.channel.players" if is_in => {
                let people: Vec<(EntityId, bool)> = self.online().take(LISTED_MAX).collect();
                let row = |json: &mut Json, (id, is_there): (EntityId, bool)| {
                    json.key("name").string(world.name_of(id));
                    json.key("away").plain(!is_there);
                };
                let list = |json: &mut Json| people.into_iter().for_each(|it| json.nested(|json| row(json, it)));
                self.report(number, "Comm.Channel.Players", || Json::value(|json| json.array(list)));
            }
            _ => (),
        }
    }

    /// Tells an event to a client that takes such, unless too much waits already; false if it is not told.
    pub(super) fn report(&mut self, number: Number, package: &'static str, json: impl FnOnce() -> String) -> bool {
        let Some(session) = self.sessions.get_mut(&number).filter(|session| session.takes(package)) else {
            return false;
        };
        self.stirred.insert(number);
        let json = json();
        let bytes = package.len() + json.len();
        // What is told by words is missed there too.
        let has_room = session.lost == 0 && session.waiting() + bytes <= OUTPUT_BYTES_MAX;
        if has_room {
            session.gmcp.bytes += bytes;
            session.gmcp.events.push((package, json));
        }
        has_room
    }

    /// Tells where somebody has come to, if their client names what it takes: a mapper counts each step, and several may
    /// come in one turn. What else changes of a place is not told to it.
    pub(super) fn report_step(&mut self, world: &World, me: EntityId) {
        let Some(number) = self.bodies.get(&me).and_then(|body| body.session) else { return };
        let Some(room) = world.entity(me).and_then(|me| me.location) else { return };
        let is_named = |session: &Session| session.terminal.gmcp == Messages::Named;
        if self.sessions.get(&number).is_some_and(is_named) && self.report(number, "Room.Info", || info(world, room)) {
            let session = self.sessions.get_mut(&number);
            session.into_iter().for_each(|session| session.gmcp.sent[State::Room as usize] = room.get());
        }
    }

    /// Tells that nobody gets anywhere in a direction, as `Room.Info` calls it.
    pub(super) fn report_wrong_way(&mut self, number: Number, direction: &str) {
        self.report(number, "Room.WrongDir", || Json::value(|json| json.string(way(direction).as_str())));
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
        let takes = |session: &&mut Session| session.terminal.gmcp != Messages::None;
        if let Some(session) = self.sessions.get_mut(&number).filter(takes) {
            session.gmcp.is_current = false;
            self.stirred.insert(number);
        }
    }
}

impl Gmcp {
    /// Takes what a client supports, or does no longer: an array of texts such as `Room 1`. A name stands for all that is
    /// below it; the version tells nothing, unless it is 0.
    fn name(&mut self, supports: &str, is_supported: bool) {
        for text in texts_in(supports).take(LISTED_MAX) {
            let (name, version) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
            let is_taken = is_supported && version.trim() != "0";
            for (choice, named) in CHOICES.iter().zip(&mut self.named) {
                let is_meant = choice.get(..name.len()).is_some_and(|top| top.eq_ignore_ascii_case(name));
                if is_meant && matches!(choice.as_bytes().get(name.len()), None | Some(b'.')) {
                    *named = is_taken;
                }
            }
        }
        self.is_current = false;
    }
}

/// The texts in a piece of JSON, as far as what is asked of clients needs them: what stands between two quotation marks.
/// One that holds such a mark itself is no name of anything.
fn texts_in(json: &str) -> impl Iterator<Item = &str> {
    json.split('"').skip(1).step_by(2)
}

impl Scene {
    fn of(world: &World, room: EntityId) -> Scene {
        let things = world.contents(room, Kind::Creature).chain(world.contents(room, Kind::Thing));
        let containers = world.contents(room, Kind::Thing).take(CANDIDATES_MAX).filter(|thing| thing.container);
        let players = world.contents(room, Kind::Player).take(LISTED_MAX + 1);
        Scene {
            info: Told::of(info(world, room)),
            items: Told::of(items(world, "room", things, &[])),
            players: players.map(|player| (player.id, Told::of(row_of_player(world.name_of(player.id))))).collect(),
            containers: containers.map(|thing| thing.id).take(2).collect(),
        }
    }
}

fn name(world: &World, me: EntityId) -> String {
    Json::object(|json| {
        json.key("name").string(world.name_of(me));
        json.key("fullname").string(world.name_of(me));
        json.key("guest").plain(world.players.get(&me).is_some_and(Player::is_guest));
    })
}

fn info(world: &World, room: EntityId) -> String {
    let is_indoors = world.entity(room).is_some_and(|room| room.indoors);
    let mut exits = BTreeMap::new();
    for exit in world.contents(room, Kind::Exit).filter(|exit| !exit.locked) {
        exits.entry(way(world.name_of(exit.id))).or_insert(exit.destination.map(EntityId::get));
    }
    Json::object(|json| {
        json.key("num").plain(room);
        json.key("name").string(world.name_of(room));
        json.key("area").string(world.name.as_str());
        json.key("environment").string(if is_indoors { "indoors" } else { "outdoors" });
        json.key("exits").nested(|json| exits.into_iter().for_each(|(way, to)| json.key(&way).number(to)));
    })
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

fn carried(world: &World, me: EntityId, near: &[EntityId]) -> String {
    let own = world.contents(me, Kind::Thing).take(CANDIDATES_MAX).filter(|thing| thing.container);
    let own = own.map(|thing| thing.id);
    let containers: Vec<EntityId> = near.iter().copied().chain(own).take(2).collect();
    items(world, "inv", world.contents(me, Kind::Thing), &containers)
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

fn row_of_player(name: &str) -> String {
    Json::object(|json| {
        json.key("name").string(name);
        json.key("fullname").string(name);
        offer(json, name, &[("look at ", "", true), ("tell ", " ", true), ("whisper ", " ", true)]);
    })
}

/// Lines by what stands before a name and after it, and whether they can be used.
fn offer(json: &mut Json, name: &str, lines: &[(&str, &str, bool)]) {
    let lines = lines.iter().filter(|(.., can_be)| *can_be);
    json.key("do")
        .array(|json| lines.for_each(|(before, after, _)| json.string([before, name, after].concat().as_str())));
}

/// An object of texts.
fn texts<const COUNT: usize>(fields: [(&str, &str); COUNT]) -> String {
    Json::object(|json| fields.into_iter().for_each(|(key, text)| json.key(key).string(text)))
}
