//! Lines of several players against a world: whatever they type and however they come and go, the world stays sound, each
//! thing exists once, nobody is answered by silence, and nobody reads what is no text, what is endless, or what another has
//! made look like a line of the engine's own.
#![no_main]

use std::time::Duration;

use aqevia_engine::clock::{Monotonic, Wall};
use aqevia_engine::limits::OUTPUT_BYTES_MAX;
use aqevia_engine::session::page::{MARK, SPOKEN_MARK, harmless};
use aqevia_engine::session::terminal::{Colours, Messages, Terminal};
use aqevia_engine::session::{Moment, Number, People};
use aqevia_engine::storage::worldfile;
use aqevia_engine::world::{EntityId, Kind, World, unheard};
use libfuzzer_sys::fuzz_target;

const TOWN: &str = include_str!("../../sessions/town.json5");
/// What people type in place of a letter, and the engine never.
const SIGN: char = '\u{a7}';

/// Each line of the input is a step. A digit: that player types the rest. `+` and a digit: that player connects, `-`: is
/// gone. `@` and a digit: their client names packages. `~`: a minute passes. `.`: ticks. `!`: the engine ends, and starts again.
fuzz_target!(|bytes: &[u8]| {
    let mut town = Town::new();
    for step in bytes.split(|byte| *byte == b'\n').take(200) {
        let text = String::from_utf8_lossy(step);
        let player =
            |text: &str| text.bytes().next().filter(|byte| (b'0'..b'4').contains(byte)).map(|byte| byte - b'0');
        match text.chars().next() {
            Some('+') => player(&text[1..]).into_iter().for_each(|player| town.arrive(player)),
            Some('@') => player(&text[1..]).into_iter().for_each(|player| town.name(player, &text[2..])),
            Some('-') => player(&text[1..]).into_iter().for_each(|player| town.part(player)),
            Some('~') => town.pass(),
            Some('.') => (0..50).for_each(|_| town.tick()),
            Some('!') => town.start_again(),
            _ => player(&text).into_iter().for_each(|player| town.line(player, &text[1..])),
        }
        assert_eq!(town.world.violations(), [""; 0]);
        assert_eq!(town.things(), town.before);
    }
});

struct Town {
    world: World,
    people: People,
    now: Monotonic,
    /// The connection of each player.
    numbers: [Option<Number>; 4],
    last: Number,
    before: Vec<EntityId>,
}

impl Town {
    fn new() -> Town {
        let world = worldfile::read(TOWN, 1).expect("a sound world");
        let (people, numbers, last, now) = Default::default();
        let mut town = Town { world, people, now, numbers, last, before: Vec::new() };
        town.before = town.things();
        town
    }

    fn things(&self) -> Vec<EntityId> {
        self.world.entities().filter(|it| it.kind == Kind::Thing && !it.is_prototype()).map(|it| it.id).collect()
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut People, &mut Moment) -> T) -> T {
        let mut random = || [0; 10];
        let wall = Wall(Duration::from_secs(1_800_000_000));
        act(&mut self.people, &mut Moment { world: &mut self.world, now: self.now, wall, random: &mut random })
    }

    fn arrive(&mut self, player: u8) {
        self.part(player);
        self.last += 1;
        let number = self.last;
        let address = if player == 0 { None } else { Some([10, 0, 0, player].into()) };
        let (utf8, screen_reader) = (player != 1, player == 2);
        let gmcp = [Messages::None, Messages::Named, Messages::None, Messages::All][usize::from(player)];
        let mut terminal = Terminal { utf8, screen_reader, gmcp, ..Terminal::default() };
        (terminal.colours, terminal.width) = if player == 3 { (Colours::Many, 20) } else { (Colours::None, 80) };
        self.act(|people, moment| people.arrive(number, address, &terminal, moment));
        self.numbers[usize::from(player)] = Some(number);
        self.read_all(None);
    }

    fn name(&mut self, player: u8, packages: &str) {
        let Some(number) = self.numbers[usize::from(player)] else { return };
        self.act(|people, moment| people.message(number, "Core.Supports.Add", packages, moment));
        self.read_all(None);
    }

    fn part(&mut self, player: u8) {
        if let Some(number) = self.numbers[usize::from(player)].take() {
            self.people.part(number, self.now);
        }
    }

    fn line(&mut self, player: u8, line: &str) {
        let Some(number) = self.numbers[usize::from(player)] else { return };
        let line = line.replace('Q', &SIGN.to_string());
        self.now = self.now.max(self.people.takes_at(number));
        self.act(|people, moment| people.pass(moment));
        self.read_all(None);
        self.act(|people, moment| people.line(number, &line, moment));
        let is_empty = harmless(&line).trim().is_empty();
        self.read_all(Some(number).filter(|number| !is_empty && self.numbers.contains(&Some(*number))));
        assert!(self.people.notes.drain(..).all(|line| !line.text.contains("0000-0000")));
    }

    fn pass(&mut self) {
        self.now = self.now.after(Duration::from_secs(60));
        self.act(|people, moment| people.pass(moment));
        self.read_all(None);
    }

    fn tick(&mut self) {
        self.world.tick(&mut |world, effect| self.people.hear(world, effect));
        self.read_all(None);
    }

    /// What a database has of a world is put together again, without guests and with nobody awake.
    fn start_again(&mut self) {
        (self.people, self.numbers) = Default::default();
        self.world.rest_all();
        assert_eq!(self.world.entities().filter(|it| it.kind == Kind::Player && it.location.is_some()).count(), 0);
        self.world.tick(&mut unheard);
    }

    /// Everybody reads; who has typed something has something to read.
    fn read_all(&mut self, typed: Option<Number>) {
        let mut is_answered = false;
        for number in self.people.stirred().collect::<Vec<_>>() {
            let output = self.people.take_output(number, &self.world, self.now).expect("a session");
            check(&output.text);
            output.messages.iter().for_each(|(package, json)| check_message(package, json));
            let says_something = !output.text.trim().is_empty() || output.prompt.is_some_and(|prompt| prompt != "> ");
            is_answered |= typed == Some(number) && says_something;
            if output.is_over {
                self.numbers.iter_mut().filter(|other| **other == Some(number)).for_each(|other| *other = None);
                self.people.part(number, self.now);
            }
        }
        assert!(typed.is_none() || is_answered, "silence");
    }
}

fn check_message(package: &str, json: &str) {
    assert!(json.len() <= OUTPUT_BYTES_MAX, "{package} {json}");
    assert!(!json.contains(char::is_control), "{package} {json:?}");
}

fn check(text: &str) {
    assert!(text.len() <= 2 * OUTPUT_BYTES_MAX, "{} bytes", text.len());
    let plain = ["\u{1b}[1m", "\u{1b}[36m", "\u{1b}[33m", "\u{1b}[32m", "\u{1b}[0m"];
    let plain = plain.iter().fold(text.to_owned(), |text, code| text.replace(code, ""));
    assert!(plain.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let is_mark = |line: &str| line.starts_with(MARK) || line.starts_with(SPOKEN_MARK);
    assert!(!plain.lines().any(|line| is_mark(line) && (line.contains(SIGN) || line.contains('?'))), "{text:?}");
}
