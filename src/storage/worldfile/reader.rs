//! Turns the values of a world file into the parts of a world, and notes every mistake. Each function here stands at a
//! value that the cursor has just taken, and has taken all that this value holds when it returns.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use super::GROUPS;
use super::cursor::{Cursor, Value, brief};
use super::links::{check_paths, settle};
use crate::limits::{
    DESCRIPTION_BYTES_MAX, LINE_BYTES_MAX, NAME_BYTES_MAX, ROOM_EXITS_MAX, SPAWNS_MAX, TAG_BYTES_MAX,
    WORLD_FILE_HINTS_MAX, WORLD_FILE_ITEM_BYTES, WORLD_FILE_ITEMS_FREE,
};
use crate::storage::export::ITEMS;
use crate::text::{is_tag, labelled_by, nearest, squeeze};
use crate::world::random::Random;
use crate::world::{Active, EVERY_MINUTES, Entity, EntityId, Habit, Kind, Parts, Problems, SPAWN_AT_MOST, Spawn, Verb};

/// What a tag stands for.
#[derive(Clone, Copy)]
struct Tagged {
    kind: Kind,
    prototype: bool,
    copy: bool,
    /// How many of its kind come before it in the file.
    index: u32,
}

/// What is known of a file when it has been gone through once.
#[derive(Default)]
pub struct Survey {
    tags: BTreeMap<Box<str>, Tagged>,
    /// How many of each kind have been met.
    met: [u32; Kind::ALL.len()],
    /// Entities and lines that can be written in few bytes and stay for ever: all but copies.
    items: u64,
    /// How many bytes at least it takes to say what they are.
    bytes: u64,
}

impl Survey {
    /// Rooms have the first ids, then things, then creatures, each in the order in which they come.
    fn id(&self, tagged: Tagged) -> Option<EntityId> {
        let before: u64 = self.met[..tagged.kind as usize].iter().copied().map(u64::from).sum();
        EntityId::new(1 + before + u64::from(tagged.index))
    }
}

/// What a tag must stand for at some place, and whether it does.
type Wanted = (&'static str, fn(Tagged) -> bool);

const ROOM: Wanted = ("room", |tagged| tagged.kind == Kind::Room);
const HOLDER: Wanted = ("room, thing or creature that stands somewhere", |tagged| !tagged.prototype);
const THING: Wanted = ("thing (of a copy, its prototype)", |tagged| tagged.kind == Kind::Thing && !tagged.copy);
const PROTOTYPE: Wanted = ("prototype (a thing or creature without `in`)", |tagged| tagged.prototype);
const THING_PROTOTYPE: Wanted =
    ("prototype (a thing without `in`)", |tagged| tagged.prototype && tagged.kind == Kind::Thing);
const CREATURE_PROTOTYPE: Wanted =
    ("prototype (a creature without `in`)", |tagged| tagged.prototype && tagged.kind == Kind::Creature);

/// Of what each habit lists the tags, in the order of `Verb::ALL`; none: it lists lines.
const WANTED: [Option<Wanted>; Verb::ALL.len()] = [Some(ROOM), Some(ROOM), None, None, Some(THING), Some(PROTOTYPE)];

const ROOT: &[&str] = &["id", "name", "rooms", "things", "creatures", "spawns"];

/// The keys of an entity, first the two that are required of what is no copy.
fn known(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Room => &["name", "description", "indoors", "exits"],
        Kind::Thing => &["name", "description", "in", "home", "prototype", "fixed", "container"],
        _ => &["name", "description", "in", "home", "prototype", "active", "gait", "habits"],
    }
}

/// The kind of what stands under a key of the root.
fn kind_under(key: &str) -> Option<Kind> {
    GROUPS.into_iter().find_map(|(kind, group)| (group == key).then_some(kind))
}

/// How many bytes of any world file it takes to say this, white space and what could be left out aside: as many for an
/// exported world as for the file that it was founded from.
fn needed_bytes(key: &str, value: &Value) -> u64 {
    let key_bytes = match key {
        "active" | "container" | "exits" | "fixed" | "habits" | "home" | "indoors" | "locked" | "within" => return 0,
        "to" => 0,
        // Quotes or brackets, and a comma; of what has a name a colon too.
        key if key.starts_with('[') => 3,
        key => key.len() + 4,
    };
    let text_bytes = match value {
        Value::Text(text) => text.bytes().filter(|byte| !byte.is_ascii_whitespace()).count(),
        _ => 0,
    };
    (key_bytes + text_bytes) as u64
}

/// Goes through a file.
pub struct Reader<'s> {
    cursor: Cursor<'s>,
    survey: Survey,
    problems: Problems,
    parts: Parts,
    /// How many of each kind have been met.
    met: [u32; Kind::ALL.len()],
    /// How many tags have been looked through for hints.
    hints: usize,
}

impl<'s> Reader<'s> {
    /// Goes through a file for the first time. Only what rules the second time out is a mistake already.
    pub fn survey(cursor: Cursor<'s>) -> Result<Survey, Vec<String>> {
        let mut reader = Reader::new(cursor, Survey::default(), 0);
        let root = reader.cursor.next(0).unwrap_or(Value::Other);
        reader.fields(&root, ROOT, 0, |reader, key, value| {
            if let Some(kind) = kind_under(key) {
                reader.each(&value, &Value::Object, |reader, value| reader.survey_entity(kind, &value));
            }
        });
        let survey = Survey { met: reader.met, ..reader.survey };
        let (items, most) = (survey.items, WORLD_FILE_ITEMS_FREE + survey.bytes / WORLD_FILE_ITEM_BYTES);
        let too_dense =
            format!("the file: has {items} entities and lines, and for what it says of them {most} are the most");
        let failure = reader.cursor.failure.or((items > most).then_some(too_dense));
        failure.map_or(Ok(survey), |failure| Err(vec![failure]))
    }

    fn survey_entity(&mut self, kind: Kind, value: &Value) {
        let tag: Box<str> = self.cursor.key().into();
        let (items, bytes) = (self.survey.items, self.survey.bytes);
        let mut tagged = Tagged { kind, prototype: kind != Kind::Room, copy: false, index: self.next_of(kind) };
        self.fields(value, known(kind), 0, |reader, key, value| match key {
            "in" => tagged.prototype = false,
            "prototype" => tagged.copy = true,
            "exits" => reader.each(&value, &Value::Object, |reader, _| reader.survey.items += 1),
            "habits" => reader.each(&value, &Value::Object, |reader, value| {
                reader.each(&value, &Value::Object, |reader, value| {
                    if reader.cursor.key() == "lines" {
                        reader.each(&value, &Value::Array, |reader, _| reader.survey.items += 1);
                    }
                });
            }),
            _ => (),
        });
        (self.survey.items, self.survey.bytes) =
            if tagged.copy { (items, bytes) } else { (self.survey.items + 1, self.survey.bytes) };
        self.survey.tags.entry(tag).or_insert(tagged);
    }

    /// Goes through a file for the second time. The world's generator starts at `seed`.
    pub fn read(cursor: Cursor<'s>, survey: Survey, seed: u64) -> Result<Parts, Vec<String>> {
        let mut reader = Reader::new(cursor, survey, seed);
        reader.world();
        if let Some(failure) = reader.cursor.failure.take() {
            return Err(vec![failure]);
        }
        let Reader { cursor, survey, mut problems, mut parts, .. } = reader;
        drop((cursor, survey));
        settle(&mut parts);
        check_paths(&parts, &mut problems);
        let problems = problems.finish();
        if problems.is_empty() { Ok(parts) } else { Err(problems) }
    }

    fn new(cursor: Cursor<'s>, survey: Survey, seed: u64) -> Reader<'s> {
        let next_id = 1 + survey.met.iter().copied().map(u64::from).sum::<u64>();
        let parts = Parts { random: Random(seed), next_id, ..Parts::default() };
        Reader { cursor, survey, problems: Problems::default(), parts, met: [0; Kind::ALL.len()], hints: 0 }
    }

    fn world(&mut self) {
        let root = self.cursor.next(0).unwrap_or(Value::Other);
        self.fields(&root, ROOT, 2, |reader, key, value| match key {
            "id" => {
                reader.parts.id = reader.text(value, TAG_BYTES_MAX).into();
                let id = reader.parts.id.clone();
                reader.check_tag(&id);
            }
            "name" => reader.parts.name = reader.text(value, NAME_BYTES_MAX).into(),
            "spawns" => reader.each(&value, &Value::Array, Reader::spawn),
            _ => {
                let kind = kind_under(key).unwrap_or(Kind::Room);
                reader.each(&value, &Value::Object, |reader, value| reader.entity(kind, &value));
            }
        });
        self.problems.require(self.met[Kind::Room as usize] > 0, "rooms", "a world needs at least one");
        let spawns = self.parts.spawns.len();
        let too_many = format_args!("has {spawns} rules, and {SPAWNS_MAX} are the most");
        self.problems.require(spawns <= SPAWNS_MAX, "spawns", too_many);
    }

    fn entity(&mut self, kind: Kind, value: &Value) {
        let tag = self.cursor.key().to_owned();
        self.check_tag(&tag);
        let index = self.next_of(kind);
        let found = self.survey.tags.get(tag.as_str()).copied();
        let Some((tagged, id)) = found.and_then(|tagged| Some((tagged, self.survey.id(tagged)?))) else { return };
        if (tagged.kind, tagged.index) != (kind, index) {
            let taken = format_args!("a {} has this tag already", tagged.kind.label());
            return if tagged.kind == kind { self.problem("is given twice") } else { self.problem(taken) };
        }
        let mut entity = Entity { tag: Some(tag.into()), ..Entity::new(id, kind) };
        let required = if tagged.copy { 0 } else { 2 };
        let (holder, model) = if kind == Kind::Thing { (HOLDER, THING_PROTOTYPE) } else { (ROOM, CREATURE_PROTOTYPE) };
        self.fields(value, known(kind), required, |reader, key, value| match key {
            "active" | "container" | "fixed" | "habits" if tagged.copy => {
                reader.problem("a copy has this from its prototype")
            }
            "name" => entity.name = Some(reader.text(value, NAME_BYTES_MAX)),
            "description" => entity.description = Some(reader.text(value, DESCRIPTION_BYTES_MAX)),
            "gait" => entity.gait = Some(reader.text(value, NAME_BYTES_MAX)),
            "in" => entity.location = reader.target(&value, holder),
            "home" => entity.home = reader.target(&value, ROOM),
            "prototype" => entity.prototype = reader.target(&value, model),
            "active" => entity.active = reader.active(&value),
            "indoors" => entity.indoors = reader.flag(&value),
            "fixed" => entity.fixed = reader.flag(&value),
            "container" => entity.container = reader.flag(&value),
            "exits" => reader.exits(id, &value),
            _ => reader.habits(id, &value),
        });
        self.require(!(tagged.copy && tagged.prototype), "a copy must stand somewhere: give it `in`");
        self.parts.entities.insert(entity);
    }

    fn exits(&mut self, room: EntityId, value: &Value) {
        let first = self.parts.next_id;
        self.each(value, &Value::Object, |reader, value| reader.exit(room, value));
        // The names count as they are kept.
        let exits = self.parts.entities.iter().rev().take_while(|entity| entity.id.get() >= first);
        let mut names: Vec<&str> = exits.filter_map(|exit| exit.name.as_deref()).collect();
        names.sort_unstable();
        let too_many = format_args!("has {}, and {ROOM_EXITS_MAX} are the most", names.len());
        self.problems.require(names.len() <= ROOM_EXITS_MAX, &self.cursor.path, too_many);
        for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
            self.problems.add(format_args!("{}.{}", &self.cursor.path, brief(pair[0])), "is given twice");
        }
    }

    /// An exit is a tag, or an object.
    fn exit(&mut self, room: EntityId, value: Value) {
        let name = self.cursor.key().to_owned();
        let name = Some(self.checked(&name, NAME_BYTES_MAX));
        let Some(id) = EntityId::new(self.parts.next_id) else { return };
        self.parts.next_id += 1;
        let mut exit = Entity { name, location: Some(room), ..Entity::new(id, Kind::Exit) };
        if value == Value::Object {
            let mut leads = false;
            self.fields(&value, &["to", "locked", "description"], 0, |reader, key, value| match key {
                "to" => (leads, exit.destination) = (true, reader.target(&value, ROOM)),
                "locked" => exit.locked = reader.flag(&value),
                _ => exit.description = Some(reader.text(value, DESCRIPTION_BYTES_MAX)),
            });
            self.require(exit.locked || leads, "leads nowhere: give it `to`, or lock it");
        } else {
            exit.destination = self.target(&value, ROOM);
        }
        self.parts.entities.insert(exit);
    }

    fn habits(&mut self, creature: EntityId, value: &Value) {
        let verbs: Vec<&str> = Verb::ALL.iter().map(|verb| verb.label()).collect();
        let mut habits = Vec::new();
        self.fields(value, &verbs, 0, |reader, key, value| {
            habits.extend(labelled_by(Verb::ALL, Verb::label, key).map(|verb| reader.habit(verb, &value)));
        });
        self.parts.habits.insert(creature, habits.into());
    }

    fn habit(&mut self, verb: Verb, value: &Value) -> Habit {
        let mut habit = Habit { verb, every_minutes: 1, targets: Vec::new(), lines: Vec::new() };
        let (wanted, items_key, mut items) = (WANTED[verb as usize], ITEMS[verb as usize], 0);
        let known = ["every_minutes", items_key];
        let accepted = verb.items();
        self.fields(value, &known, 1, |reader, key, value| match key {
            "every_minutes" => habit.every_minutes = reader.number(&value, EVERY_MINUTES),
            _ => reader.each(&value, &Value::Array, |reader, value| {
                items += 1;
                match wanted {
                    // Those are too many anyway.
                    _ if items > *accepted.end() => (),
                    Some(wanted) => habit.targets.extend(reader.target(&value, wanted)),
                    None => habit.lines.push(reader.text(value, LINE_BYTES_MAX)),
                }
            }),
        });
        self.require(accepted.contains(&items), format_args!("`{items_key}` must list 1 to {}", accepted.end()));
        habit
    }

    fn spawn(&mut self, value: Value) {
        let (mut prototype, mut room, mut text) = (None, None, None);
        let (mut at_most, mut every_minutes) = (1, 1);
        let known = ["prototype", "room", "at_most", "every_minutes", "text"];
        self.fields(&value, &known, 4, |reader, key, value| match key {
            "prototype" => prototype = reader.target(&value, PROTOTYPE),
            "room" => room = reader.target(&value, ROOM),
            "at_most" => at_most = reader.number(&value, SPAWN_AT_MOST),
            "every_minutes" => every_minutes = reader.number(&value, EVERY_MINUTES),
            _ => text = Some(reader.text(value, LINE_BYTES_MAX)),
        });
        let both = prototype.zip(room);
        self.parts.spawns.extend(both.map(|(prototype, room)| Spawn { prototype, room, at_most, every_minutes, text }));
    }

    /// Counts one more of a kind; returns how many came before it.
    fn next_of(&mut self, kind: Kind) -> u32 {
        let met = &mut self.met[kind as usize];
        *met += 1;
        *met - 1
    }

    /// Does something at each member of an object or array.
    fn each(&mut self, value: &Value, wanted: &Value, mut at: impl FnMut(&mut Self, Value)) {
        if value != wanted {
            return self.problem(if *wanted == Value::Array { "must be an array" } else { "must be an object" });
        }
        let depth = self.cursor.depth() + 1;
        while let Some(member) = self.cursor.next(depth) {
            self.survey.bytes += needed_bytes(self.cursor.key(), &member);
            at(self, member);
        }
    }

    /// Does something at each field of an object; those not known, those given twice, and of the first known ones those
    /// not given are mistakes.
    fn fields(&mut self, value: &Value, known: &[&str], required: usize, mut at: impl FnMut(&mut Self, &str, Value)) {
        let mut given = 0_u32;
        self.each(value, &Value::Object, |reader, field| {
            match known.iter().position(|known| *known == reader.cursor.key()) {
                None => reader.unknown(known),
                Some(index) if given >> index & 1 == 1 => reader.problem("is given twice"),
                Some(index) => {
                    given |= 1 << index;
                    at(reader, known[index], field);
                }
            }
        });
        for index in (0..required).filter(|index| given >> index & 1 == 0 && *value == Value::Object) {
            self.problem(format_args!("`{}` is missing", known[index]));
        }
    }

    fn text(&mut self, value: Value, bytes_max: usize) -> Box<str> {
        if let Value::Text(text) = value {
            return self.checked(&text, bytes_max);
        }
        self.problem("must be a text in quotes");
        Box::default()
    }

    fn checked(&mut self, text: &str, bytes_max: usize) -> Box<str> {
        let text = squeeze(text);
        self.require(!text.is_empty(), "is empty");
        let too_long = format_args!("has {} bytes, and {bytes_max} are the most", text.len());
        self.require(text.len() <= bytes_max, too_long);
        self.require(!text.chars().any(char::is_control), "holds a control character");
        text.into()
    }

    fn check_tag(&mut self, tag: &str) {
        let rule = format_args!("a small letter, then small letters, digits or _, {TAG_BYTES_MAX} at most");
        self.require(is_tag(tag), format_args!("{:?} is no tag: {rule}", brief(tag)));
    }

    fn number(&mut self, value: &Value, range: RangeInclusive<u64>) -> u64 {
        let number = if let Value::Integer(number) = value { u64::try_from(*number).ok() } else { None };
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            self.problem(format_args!("must be a whole number from {} to {}", range.start(), range.end()));
            *range.start()
        })
    }

    fn flag(&mut self, value: &Value) -> bool {
        self.require(matches!(value, Value::Boolean(_)), "must be true or false");
        *value == Value::Boolean(true)
    }

    fn active(&mut self, value: &Value) -> Active {
        let found = if let Value::Text(text) = value { labelled_by(Active::ALL, Active::label, text) } else { None };
        self.require(found.is_some(), "must be \"always\", \"day\" or \"night\"");
        found.unwrap_or(Active::Always)
    }

    /// What a tag in the file stands for.
    fn target(&mut self, value: &Value, wanted: Wanted) -> Option<EntityId> {
        let Value::Text(tag) = value else {
            self.problem(format_args!("must be the tag of a {}", wanted.0));
            return None;
        };
        let shown = brief(tag);
        match self.survey.tags.get(tag.as_str()).copied() {
            Some(tagged) if wanted.1(tagged) => return self.survey.id(tagged),
            Some(tagged) => {
                let nowhere = if tagged.prototype { " that stands nowhere" } else { "" };
                let found = format_args!("{shown:?} is a {}{nowhere}", tagged.kind.label());
                self.problem(format_args!("{found}, and here a {} is wanted", wanted.0));
            }
            None => match self.hint(tag, wanted) {
                Some(near) => self.problem(format_args!("there is no {shown:?}; perhaps {near:?} is meant")),
                None => self.problem(format_args!("there is no {shown:?}")),
            },
        }
        None
    }

    /// The tag that is most likely meant by a wrong one. It is worth its time only if it will be read.
    fn hint(&mut self, tag: &str, wanted: Wanted) -> Option<String> {
        let tags = &self.survey.tags;
        if tag.len() > TAG_BYTES_MAX || !self.problems.has_room() || self.hints >= WORLD_FILE_HINTS_MAX {
            return None;
        }
        self.hints += tags.len();
        let fitting = tags.iter().filter(|(known, tagged)| known.len() <= TAG_BYTES_MAX && wanted.1(**tagged));
        nearest(tag, fitting.map(|(known, _)| &**known)).map(str::to_owned)
    }

    fn unknown(&mut self, known: &[&str]) {
        if !self.problems.has_room() {
            return self.problem("");
        }
        let word = self.cursor.key();
        let word = &word[..word.floor_char_boundary(TAG_BYTES_MAX)];
        match nearest(word, known.iter().copied()) {
            Some(near) => self.problem(format_args!("is not known; perhaps `{near}` is meant")),
            None => self.problem(format_args!("is not known; known here: {}", known.join(", "))),
        }
    }

    /// Notes a mistake of the value that the cursor stands at, unless what must hold does.
    fn require(&mut self, holds: bool, what: impl Display) {
        self.problems.require(holds, &self.cursor.path, what);
    }

    /// Notes a mistake of the value that the cursor stands at.
    fn problem(&mut self, what: impl Display) {
        self.problems.add(&self.cursor.path, what);
    }
}
