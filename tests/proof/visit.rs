//! People in a world, driven line by line: no socket, and a clock that is moved by hand.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use aqevia_engine::clock::Monotonic;
use aqevia_engine::session::terminal::{Messages, Terminal};
use aqevia_engine::session::{Moment, Number, People};
use aqevia_engine::world::{EntityId, Kind, World};

use crate::folder::WALL;
use crate::worlds;

/// A square with things of every sort, an inn beside it, and a cellar that is locked.
pub const TOWN: &str = include_str!("../sessions/town.json5");

pub struct Visit {
    pub world: World,
    pub people: People,
    pub now: Monotonic,
    /// How many passwords were issued.
    issued: u8,
    last: Number,
    /// What came out that nobody has looked at, by session; and the messages beside it.
    pub read: BTreeMap<Number, String>,
    pub messages: BTreeMap<Number, Vec<(&'static str, String)>>,
    /// Sessions that have ended and are not let go of.
    pub over: Vec<Number>,
    /// Whoever comes has a screen reader, or a client that takes GMCP.
    pub reads_aloud: bool,
    pub takes_gmcp: bool,
    /// Which of them were asked for something that is not shown.
    pub secret: Vec<Number>,
}

impl Visit {
    pub fn new() -> Visit {
        Visit::to(worlds::world(TOWN, 1))
    }

    pub fn to(world: World) -> Visit {
        let now = Monotonic(Duration::from_secs(1_000));
        let (people, issued, last, read, messages, over, reads_aloud, takes_gmcp, secret) = Default::default();
        Visit { world, people, now, issued, last, read, messages, over, reads_aloud, takes_gmcp, secret }
    }

    /// Does something with people as the loop does, then lets everybody read.
    pub fn turn<T>(&mut self, act: impl FnOnce(&mut People, &mut Moment) -> T) -> T {
        let issued = &mut self.issued;
        let mut random = || {
            *issued = issued.wrapping_add(1);
            [*issued; 10]
        };
        let mut moment = Moment { world: &mut self.world, now: self.now, wall: WALL, random: &mut random };
        let done = act(&mut self.people, &mut moment);
        self.collect();
        done
    }

    fn collect(&mut self) {
        for number in self.people.stirred().collect::<Vec<_>>() {
            let output = self.people.take_output(number, &self.world, self.now).expect("a session that has stirred");
            self.messages.entry(number).or_default().extend(output.messages);
            let read = self.read.entry(number).or_default();
            read.push_str(&output.text);
            output.prompt.into_iter().for_each(|prompt| read.push_str(prompt));
            self.secret.retain(|other| *other != number);
            self.secret.extend(output.is_secret.then_some(number));
            if output.is_over && !self.over.contains(&number) {
                self.over.push(number);
            }
        }
    }

    /// Somebody connects from an address.
    pub fn arrive_from(&mut self, address: &str) -> Number {
        self.last += 1;
        let (number, address) = (self.last, address.parse::<IpAddr>().unwrap());
        let gmcp = if self.takes_gmcp { Messages::All } else { Messages::None };
        let terminal = Terminal { screen_reader: self.reads_aloud, gmcp, ..Terminal::default() };
        self.turn(|people, moment| people.arrive(number, Some(address), &terminal, moment));
        number
    }

    pub fn arrive(&mut self) -> Number {
        let address = format!("10.0.{}.{}", self.last / 200, self.last % 200);
        self.arrive_from(&address)
    }

    /// What a session has been sent since it was asked last.
    pub fn read(&mut self, number: Number) -> String {
        self.read.remove(&number).unwrap_or_default()
    }

    /// Lets a session send a line as soon as it may; returns what it then reads.
    pub fn line(&mut self, number: Number, line: &str) -> String {
        self.read(number);
        self.now = self.now.max(self.people.takes_at(number));
        self.turn(|people, moment| people.line(number, line, moment));
        self.read(number)
    }

    /// The same with several lines; what is read after the last.
    pub fn lines(&mut self, number: Number, lines: &[&str]) -> String {
        lines.iter().map(|line| self.line(number, line)).last().unwrap_or_default()
    }

    /// Makes a player; returns the session and the password.
    pub fn player(&mut self, name: &str) -> (Number, String) {
        let number = self.arrive();
        let text = self.lines(number, &[name, "yes"]);
        (number, password_in(&text))
    }

    /// A connection is gone.
    pub fn drop(&mut self, number: Number) {
        let now = self.now;
        self.turn(|people, _| people.part(number, now));
        self.over.retain(|over| *over != number);
    }

    /// Lets time pass, in steps as the loop makes them. Returns who was sent a sign of life.
    pub fn pass(&mut self, duration: Duration) -> Vec<Number> {
        let (end, mut signs) = (self.now.after(duration), Vec::new());
        while let Some(due) = self.people.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            signs.extend(self.turn(|people, moment| people.pass(moment)));
        }
        self.now = end;
        signs
    }

    pub fn id(&self, name: &str) -> EntityId {
        self.world.player_named(name).unwrap_or_else(|| panic!("nobody is called {name}"))
    }

    /// Where a thing is, by the names of what holds it and of what holds that.
    pub fn place_of(&self, thing: &str) -> String {
        let found = self.world.entities().find(|it| it.kind == Kind::Thing && self.world.name_of(it.id) == thing);
        let found = found.unwrap_or_else(|| panic!("there is no {thing}"));
        self.world.name_of(found.location.expect("a place")).to_owned()
    }
}

/// The password that a text shows.
pub fn password_in(text: &str) -> String {
    let shown = text.split("The password of ").nth(1).unwrap_or_else(|| panic!("no password in {text}"));
    shown.split(": ").nth(1).unwrap().lines().next().unwrap().to_owned()
}
