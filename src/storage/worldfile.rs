//! A world file: JSON5, read by SQLite's own functions, turned into the parts of a world.
//!
//! Every mistake is found in one go and named with its place, such as `rooms.quay.exits.north`. `world/README.md`
//! teaches the format.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use rusqlite::Connection;

use super::export::items_key;
use super::records::hexadecimal;
use crate::limits::{
    CONTAINMENT_DEPTH_MAX, DESCRIPTION_BYTES_MAX, EVERY_MINUTES_MAX, HABIT_ITEMS_MAX, LINE_BYTES_MAX, NAME_BYTES_MAX,
    PROBLEMS_LISTED_MAX, SPAWN_AT_MOST_MAX, TAG_BYTES_MAX,
};
use crate::text::{is_tag, nearest, squeeze};
use crate::world::digest::Hasher;
use crate::world::{Active, Entity, EntityId, Habit, Kind, Parts, Spawn, Tick, Time, Verb, Weather, World, sleeps_at};

/// The world that an empty database gets if no file is named.
pub const BUILTIN: &str = include_str!("../builtin.json5");

/// A digest of the text of a world file, to notice that it has changed.
pub fn source_digest(text: &str) -> String {
    hexadecimal(Hasher::new(4).text(text).finish())
}

/// Reads a world file. The world's generator starts at `seed`.
pub fn read(text: &str, seed: u64) -> Result<World, Vec<String>> {
    let root = tree(text)?;
    let mut reader = Reader::default();
    let parts = reader.world(&root, seed);
    reader.finish()?;
    World::found(parts)
}

/// A value of the file, with its place.
struct Node {
    place: String,
    key: String,
    value: Value,
    children: Vec<Node>,
}

#[derive(PartialEq)]
enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Real,
    Text(String),
    Array,
    Object,
}

/// Has SQLite read the text. Its rows come parents first, each naming its parent.
fn tree(text: &str) -> Result<Node, Vec<String>> {
    let failed = |error: rusqlite::Error| vec![format!("the file: SQLite cannot read it: {error}")];
    let connection = Connection::open_in_memory().map_err(failed)?;
    let position: i64 =
        connection.query_row("SELECT json_error_position(?1)", [text], |row| row.get(0)).map_err(failed)?;
    if let Some(before) = usize::try_from(position).ok().and_then(|position| position.checked_sub(1)) {
        let before: String = text.chars().take(before).collect();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        return Err(vec![format!("line {line}, column {column}: this is not JSON5")]);
    }
    let mut statement = connection.prepare("SELECT id, parent, key, type, atom FROM json_tree(?1)").map_err(failed)?;
    let mut rows = statement.query([text]).map_err(failed)?;
    let mut open: Vec<(i64, Node)> = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let read = || -> rusqlite::Result<(i64, Option<i64>, Value)> {
            let kind: String = row.get(3)?;
            let value = match kind.as_str() {
                "true" | "false" => Value::Boolean(kind == "true"),
                "integer" => row.get(4).map_or(Value::Real, Value::Integer),
                "real" => Value::Real,
                "text" => Value::Text(row.get(4)?),
                "array" => Value::Array,
                "object" => Value::Object,
                _ => Value::Null,
            };
            Ok((row.get(0)?, row.get(1)?, value))
        };
        let (id, parent, value) = read().map_err(failed)?;
        close(&mut open, parent);
        let place = open.last().map_or("", |(_, node)| node.place.as_str());
        let key = match row.get_ref(2).map_err(failed)? {
            rusqlite::types::ValueRef::Integer(index) => format!("[{index}]"),
            key => key.as_str_or_null().ok().flatten().unwrap_or_default().to_owned(),
        };
        let dot = if place.is_empty() || key.starts_with('[') { "" } else { "." };
        let shown: String = key.chars().take(NAME_BYTES_MAX).collect();
        let place = format!("{place}{dot}{shown}");
        open.push((id, Node { place, key, value, children: Vec::new() }));
    }
    close(&mut open, None);
    open.pop().map(|(_, root)| root).ok_or_else(|| vec!["the file: it is empty".to_owned()])
}

/// Gives every open node to its parent until `parent` is the innermost one, or only the root is left.
fn close(open: &mut Vec<(i64, Node)>, parent: Option<i64>) {
    while open.len() > 1 && open.last().map(|(id, _)| *id) != parent {
        let child = open.pop();
        if let (Some((_, child)), Some((_, parent))) = (child, open.last_mut()) {
            parent.children.push(child);
        }
    }
}

/// What a tag stands for.
#[derive(Clone, Copy)]
struct Tagged {
    id: EntityId,
    kind: Kind,
    prototype: bool,
    copy: bool,
}

/// What a tag must stand for at some place.
#[derive(Clone, Copy)]
enum Wanted {
    Room,
    Holder,
    Thing,
    Prototype,
    PrototypeOf(Kind),
}

impl Wanted {
    fn fits(self, Tagged { kind, prototype, copy, .. }: Tagged) -> bool {
        match self {
            Wanted::Room => kind == Kind::Room,
            Wanted::Holder => !prototype,
            Wanted::Thing => kind == Kind::Thing && !copy,
            Wanted::Prototype => prototype,
            Wanted::PrototypeOf(wanted) => prototype && kind == wanted,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Wanted::Room => "room",
            Wanted::Holder => "room, thing or creature that stands somewhere",
            Wanted::Thing => "thing (of a copy, its prototype)",
            Wanted::Prototype => "prototype (a thing or creature without `in`)",
            Wanted::PrototypeOf(Kind::Thing) => "prototype (a thing without `in`)",
            Wanted::PrototypeOf(_) => "prototype (a creature without `in`)",
        }
    }
}

/// Turns nodes into parts, and notes every mistake.
#[derive(Default)]
struct Reader {
    tags: BTreeMap<String, Tagged>,
    problems: Vec<String>,
    unlisted: usize,
}

/// The fields of an object, by key.
type Fields<'a> = BTreeMap<&'a str, &'a Node>;

impl Reader {
    fn world(&mut self, root: &Node, seed: u64) -> Parts {
        let fields = self.fields(root, &["id", "name", "rooms", "things", "creatures", "spawns"]);
        let id = self.text(root, &fields, "id", TAG_BYTES_MAX);
        self.check_tag("id", &id);
        let name = self.text(root, &fields, "name", NAME_BYTES_MAX);
        let groups = [("rooms", Kind::Room), ("things", Kind::Thing), ("creatures", Kind::Creature)];
        let groups = groups.map(|(key, kind)| (self.children(&fields, key, &Value::Object), kind));
        if groups[0].0.is_empty() {
            self.problem("rooms", "a world needs at least one");
        }
        // All tags come first, because anything may name anything.
        let mut next_id = EntityId::FIRST;
        for (node, kind) in groups.iter().flat_map(|(nodes, kind)| nodes.iter().map(move |node| (node, *kind))) {
            next_id = self.tag(node, kind, next_id);
        }
        let mut parts = Parts {
            id,
            name,
            tick: Tick(0),
            random: seed,
            weather: Weather::Clear,
            next_id: next_id.get(),
            entities: Vec::new(),
            habits: Vec::new(),
            spawns: Vec::new(),
        };
        for (node, kind) in groups.iter().flat_map(|(nodes, kind)| nodes.iter().map(move |node| (node, *kind))) {
            self.entity(node, kind, &mut parts);
        }
        for node in self.children(&fields, "spawns", &Value::Array) {
            let spawn = self.spawn(node);
            parts.spawns.extend(spawn);
        }
        settle(&mut parts);
        self.check_use(&parts);
        self.check_paths(&parts);
        parts
    }

    /// Gives an entity its id and notes its tag, unless another has that. Returns the id after it.
    fn tag(&mut self, node: &Node, kind: Kind, id: EntityId) -> EntityId {
        self.check_tag(&node.place, &node.key);
        let has = |key| node.children.iter().any(|child| child.key == key);
        let (prototype, copy) = (kind != Kind::Room && !has("in"), has("prototype"));
        match self.tags.get(&node.key) {
            Some(other) => {
                let problem = format!("a {} has this tag already", other.kind.name());
                self.problem(&node.place, &problem);
            }
            None => _ = self.tags.insert(node.key.clone(), Tagged { id, kind, prototype, copy }),
        }
        EntityId::new(id.get() + 1).unwrap_or(id)
    }

    fn entity(&mut self, node: &Node, kind: Kind, parts: &mut Parts) {
        let known: &[&str] = match kind {
            Kind::Room => &["name", "description", "indoors", "exits"],
            Kind::Thing => &["name", "description", "in", "home", "prototype", "fixed"],
            _ => &["name", "description", "in", "home", "prototype", "active", "gait", "habits"],
        };
        let fields = self.fields(node, known);
        let Some(Tagged { id, .. }) = self.tags.get(&node.key).copied() else { return };
        let is_copy = fields.contains_key("prototype");
        let required = |key| !is_copy || fields.contains_key(key);
        let entity = Entity {
            tag: Some(node.key.clone()),
            name: required("name").then(|| self.text(node, &fields, "name", NAME_BYTES_MAX)),
            description: required("description")
                .then(|| self.text(node, &fields, "description", DESCRIPTION_BYTES_MAX)),
            location: self.reference(&fields, "in", if kind == Kind::Thing { Wanted::Holder } else { Wanted::Room }),
            home: self.reference(&fields, "home", Wanted::Room),
            prototype: self.reference(&fields, "prototype", Wanted::PrototypeOf(kind)),
            gait: fields.contains_key("gait").then(|| self.text(node, &fields, "gait", NAME_BYTES_MAX)),
            active: self.active(&fields),
            indoors: self.flag(&fields, "indoors"),
            fixed: self.flag(&fields, "fixed"),
            ..Entity::new(id, kind)
        };
        parts.entities.push(entity);
        for exit in self.children(&fields, "exits", &Value::Object) {
            self.exit(exit, id, parts);
        }
        for habit in self.children(&fields, "habits", &Value::Object) {
            let habit = self.habit(habit);
            parts.habits.extend(habit.map(|habit| (id, habit)));
        }
        if is_copy {
            for inherited in ["active", "fixed", "habits"].into_iter().filter_map(|key| fields.get(key)) {
                self.problem(&inherited.place, "a copy has this from its prototype");
            }
            if !fields.contains_key("in") {
                self.problem(&node.place, "a copy must stand somewhere: give it `in`");
            }
        }
    }

    /// An exit is a tag, or an object.
    fn exit(&mut self, node: &Node, room: EntityId, parts: &mut Parts) {
        let name = self.checked(&node.place, &node.key, NAME_BYTES_MAX);
        let Some(id) = EntityId::new(parts.next_id) else { return };
        parts.next_id += 1;
        let mut exit = Entity { name: Some(name), location: Some(room), ..Entity::new(id, Kind::Exit) };
        if node.value == Value::Object {
            let fields = self.fields(node, &["to", "locked", "description"]);
            exit.destination = self.reference(&fields, "to", Wanted::Room);
            exit.locked = self.flag(&fields, "locked");
            let described = fields.contains_key("description");
            exit.description = described.then(|| self.text(node, &fields, "description", DESCRIPTION_BYTES_MAX));
            if !exit.locked && !fields.contains_key("to") {
                self.problem(&node.place, "leads nowhere: give it `to`, or lock it");
            }
        } else {
            exit.destination = self.target(node, Wanted::Room);
        }
        parts.entities.push(exit);
    }

    fn habit(&mut self, node: &Node) -> Option<Habit> {
        let Some((verb, _)) = Verb::ALL.into_iter().find(|(_, name)| *name == node.key) else {
            self.unknown(node, Verb::ALL.iter().map(|(_, name)| *name));
            return None;
        };
        let key = items_key(verb);
        let fields = self.fields(node, &["every_minutes", key]);
        let every_minutes = self.number(node, &fields, "every_minutes", 1..=EVERY_MINUTES_MAX);
        let items = self.children(&fields, key, &Value::Array);
        if items.len() > HABIT_ITEMS_MAX || items.is_empty() && verb != Verb::Wander {
            self.problem(&node.place, &format!("`{key}` must list 1 to {HABIT_ITEMS_MAX}"));
        }
        let wanted = match verb {
            Verb::Say | Verb::Act => None,
            Verb::Wander | Verb::Route => Some(Wanted::Room),
            Verb::Carry => Some(Wanted::Thing),
            Verb::Eat => Some(Wanted::Prototype),
        };
        let (mut targets, mut lines) = (Vec::new(), Vec::new());
        for item in items {
            match wanted {
                Some(wanted) => targets.extend(self.target(item, wanted)),
                None => lines.push(self.text_of(item, LINE_BYTES_MAX)),
            }
        }
        Some(Habit { verb, every_minutes, targets, lines })
    }

    fn spawn(&mut self, node: &Node) -> Option<Spawn> {
        let fields = self.fields(node, &["prototype", "room", "at_most", "every_minutes", "text"]);
        for key in ["prototype", "room"] {
            if !fields.contains_key(key) {
                self.problem(&node.place, &format!("`{key}` is missing"));
            }
        }
        let prototype = self.reference(&fields, "prototype", Wanted::Prototype);
        let room = self.reference(&fields, "room", Wanted::Room);
        Some(Spawn {
            at_most: self.number(node, &fields, "at_most", 1..=SPAWN_AT_MOST_MAX),
            every_minutes: self.number(node, &fields, "every_minutes", 1..=EVERY_MINUTES_MAX),
            text: fields.contains_key("text").then(|| self.text(node, &fields, "text", LINE_BYTES_MAX)),
            prototype: prototype?,
            room: room?,
        })
    }

    /// Finds prototypes that nothing copies: most likely their `in` was forgotten. Of what is eaten the last copy may be
    /// gone from an exported world.
    fn check_use(&mut self, parts: &Parts) {
        let eat = parts.habits.iter().filter(|(_, habit)| habit.verb == Verb::Eat);
        let prey: BTreeSet<EntityId> = eat.flat_map(|(_, habit)| habit.targets.iter().copied()).collect();
        let copied: BTreeSet<EntityId> = parts.entities.iter().filter_map(|entity| entity.prototype).collect();
        let spawned: BTreeSet<EntityId> = parts.spawns.iter().map(|spawn| spawn.prototype).collect();
        let unused =
            |entity: &&Entity| entity.is_prototype() && !copied.contains(&entity.id) && !prey.contains(&entity.id);
        for entity in parts.entities.iter().filter(unused).filter(|entity| !spawned.contains(&entity.id)) {
            self.problem(&place_of(entity), "stands nowhere: give it `in`, or a spawn rule that makes copies of it");
        }
    }

    /// Finds creatures that could not follow their wandering or their route from where they begin.
    fn check_paths(&mut self, parts: &Parts) {
        let exits = parts.entities.iter().filter(|entity| entity.kind == Kind::Exit && !entity.locked);
        let ways: BTreeSet<(EntityId, EntityId)> = exits.filter_map(|e| e.location.zip(e.destination)).collect();
        let placed = parts.entities.iter().filter(|entity| entity.kind == Kind::Creature);
        let placed = placed.filter_map(|e| Some((e.prototype.unwrap_or(e.id), e.location?)));
        let starts: BTreeSet<(EntityId, EntityId)> =
            placed.chain(parts.spawns.iter().map(|spawn| (spawn.prototype, spawn.room))).collect();
        let entities: BTreeMap<EntityId, &Entity> = parts.entities.iter().map(|entity| (entity.id, entity)).collect();
        let tag = |id: &EntityId| entities.get(id).and_then(|entity| entity.tag.as_deref()).unwrap_or("").to_owned();
        for (creature, habit) in parts.habits.iter().filter(|(_, habit)| !habit.targets.is_empty()) {
            let rooms = &habit.targets;
            let place = entities.get(creature).map(|entity| place_of(entity)).unwrap_or_default();
            let place = format!("{place}.habits.{}", habit.verb.name());
            if habit.verb == Verb::Route {
                for (from, to) in rooms.iter().zip(rooms.iter().cycle().skip(1)) {
                    if from != to && !ways.contains(&(*from, *to)) {
                        self.problem(&place, &format!("no open exit leads from {:?} to {:?}", tag(from), tag(to)));
                    }
                }
            }
            if matches!(habit.verb, Verb::Route | Verb::Wander) {
                let here = starts.range((*creature, EntityId::FIRST)..).take_while(|(model, _)| model == creature);
                for (_, start) in here.filter(|(_, start)| !rooms.contains(start)) {
                    let problem = format!("{:?}, where it begins, is not among the rooms named", tag(start));
                    self.problem(&place, &problem);
                }
            }
        }
    }

    /// The fields of an object; those not known and those given twice are mistakes.
    fn fields<'n>(&mut self, node: &'n Node, known: &[&str]) -> Fields<'n> {
        let mut fields = Fields::new();
        for child in self.expect(node, &Value::Object) {
            if !known.contains(&child.key.as_str()) {
                self.unknown(child, known.iter().copied());
            }
            if fields.insert(child.key.as_str(), child).is_some() {
                self.problem(&child.place, "is given twice");
            }
        }
        fields
    }

    /// The members of a field that holds an object or array; none if it is not given.
    fn children<'n>(&mut self, fields: &Fields<'n>, key: &str, wanted: &Value) -> Vec<&'n Node> {
        let Some(node) = fields.get(key) else { return Vec::new() };
        let mut seen = BTreeSet::new();
        let mut children = Vec::new();
        for child in self.expect(node, wanted) {
            // The names of exits count as they are kept.
            if seen.insert(squeeze(&child.key)) {
                children.push(child);
            } else {
                self.problem(&child.place, "is given twice");
            }
        }
        children
    }

    fn expect<'n>(&mut self, node: &'n Node, wanted: &Value) -> &'n [Node] {
        if node.value == *wanted {
            return &node.children;
        }
        let place = if node.place.is_empty() { "the file" } else { &node.place };
        self.problem(place, &format!("must be {}", if *wanted == Value::Array { "an array" } else { "an object" }));
        &[]
    }

    fn text(&mut self, node: &Node, fields: &Fields, key: &str, bytes_max: usize) -> String {
        match fields.get(key) {
            Some(field) => self.text_of(field, bytes_max),
            None => {
                let place = if node.place.is_empty() { "the file" } else { &node.place };
                self.problem(place, &format!("`{key}` is missing"));
                String::new()
            }
        }
    }

    fn text_of(&mut self, node: &Node, bytes_max: usize) -> String {
        if let Value::Text(text) = &node.value {
            return self.checked(&node.place, text, bytes_max);
        }
        self.problem(&node.place, "must be a text in quotes");
        String::new()
    }

    fn checked(&mut self, place: &str, text: &str, bytes_max: usize) -> String {
        let text = squeeze(text);
        if text.is_empty() {
            self.problem(place, "is empty");
        }
        if text.len() > bytes_max {
            self.problem(place, &format!("has {} bytes, and {bytes_max} are the most", text.len()));
        }
        if text.chars().any(char::is_control) {
            self.problem(place, "holds a control character");
        }
        text
    }

    fn check_tag(&mut self, place: &str, tag: &str) {
        if !is_tag(tag) {
            let problem =
                format!("{tag:?} is no tag: a small letter, then small letters, digits or _, {TAG_BYTES_MAX} at most");
            self.problem(place, &problem);
        }
    }

    fn number(&mut self, node: &Node, fields: &Fields, key: &str, range: RangeInclusive<u64>) -> u64 {
        let given = fields.get(key).map(|field| &field.value);
        match given {
            Some(Value::Integer(number)) if range.contains(&(*number).try_into().unwrap_or(0)) => *number as u64,
            _ => {
                let problem = format!("`{key}` must be a whole number from {} to {}", range.start(), range.end());
                self.problem(&node.place, &problem);
                *range.start()
            }
        }
    }

    fn flag(&mut self, fields: &Fields, key: &str) -> bool {
        match fields.get(key).map(|node| (&node.value, &node.place)) {
            None => false,
            Some((Value::Boolean(flag), _)) => *flag,
            Some((_, place)) => {
                self.problem(place, "must be true or false");
                false
            }
        }
    }

    fn active(&mut self, fields: &Fields) -> Active {
        let Some(node) = fields.get("active") else { return Active::Always };
        let found = Active::ALL.into_iter().find(|(_, name)| matches!(&node.value, Value::Text(text) if text == name));
        if found.is_none() {
            self.problem(&node.place, "must be \"always\", \"day\" or \"night\"");
        }
        found.map_or(Active::Always, |(active, _)| active)
    }

    fn reference(&mut self, fields: &Fields, key: &str, wanted: Wanted) -> Option<EntityId> {
        fields.get(key).and_then(|node| self.target(node, wanted))
    }

    /// What a tag in the file stands for.
    fn target(&mut self, node: &Node, wanted: Wanted) -> Option<EntityId> {
        let Value::Text(tag) = &node.value else {
            self.problem(&node.place, &format!("must be the tag of a {}", wanted.name()));
            return None;
        };
        let found = self.tags.get(tag).copied();
        if let Some(tagged) = found.filter(|tagged| wanted.fits(*tagged)) {
            return Some(tagged.id);
        }
        // A hint is worth its time only if it will be read.
        let hinted = tag.len() <= TAG_BYTES_MAX && self.problems.len() < PROBLEMS_LISTED_MAX;
        let fitting =
            self.tags.iter().filter(|(_, tagged)| hinted && wanted.fits(**tagged)).map(|(tag, _)| tag.as_str());
        let problem = match (found, nearest(tag, fitting)) {
            (Some(tagged), _) => {
                let nowhere = if tagged.prototype { " that stands nowhere" } else { "" };
                format!("{tag:?} is a {}{nowhere}, and here a {} is wanted", tagged.kind.name(), wanted.name())
            }
            (None, Some(near)) => format!("there is no {tag:?}; perhaps {near:?} is meant"),
            (None, None) => format!("there is no {tag:?}"),
        };
        self.problem(&node.place, &problem);
        None
    }

    fn unknown<'k>(&mut self, node: &Node, known: impl Iterator<Item = &'k str> + Clone) {
        let word = node.key.get(..TAG_BYTES_MAX).unwrap_or(&node.key);
        let hint = match nearest(word, known.clone()) {
            Some(near) => format!("perhaps `{near}` is meant"),
            None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.problem(&node.place, &format!("is not known; {hint}"));
    }

    fn problem(&mut self, place: &str, what: &str) {
        if self.problems.len() < PROBLEMS_LISTED_MAX {
            self.problems.push(format!("{place}: {what}"));
        } else {
            self.unlisted += 1;
        }
    }

    fn finish(mut self) -> Result<(), Vec<String>> {
        if self.unlisted > 0 {
            self.problems.push(format!("and {} more", self.unlisted));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }
}

/// Fills in what follows from the rest: what copies have from their prototypes, homes, and who sleeps at first.
fn settle(parts: &mut Parts) {
    let models: BTreeMap<EntityId, Entity> = parts.entities.iter().map(|e| (e.id, e.clone())).collect();
    for entity in &mut parts.entities {
        if let Some(model) = entity.prototype.and_then(|id| models.get(&id)) {
            (entity.active, entity.fixed) = (model.active, model.fixed);
        }
        if entity.kind != Kind::Exit && entity.home.is_none() {
            let place = std::iter::successors(entity.location, |id| models.get(id)?.location);
            entity.home =
                place.take(CONTAINMENT_DEPTH_MAX + 1).find(|id| models.get(id).is_some_and(|e| e.kind == Kind::Room));
        }
        entity.asleep = !entity.is_prototype() && sleeps_at(entity.active, Time::at(parts.tick));
    }
}

/// The place of an entity in its file.
fn place_of(entity: &Entity) -> String {
    format!("{}s.{}", entity.kind.name(), entity.tag.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::export::export;

    #[test]
    fn the_built_in_world_is_sound_and_a_place_worth_visiting() {
        let world = read(BUILTIN, 1).unwrap();
        let count = |kind| world.counts().of(kind);
        assert!(count(Kind::Room) >= 20 && count(Kind::Exit) >= 45);
        assert!(count(Kind::Thing) >= 15 && count(Kind::Creature) >= 10 && world.spawns().len() >= 5);
    }

    #[test]
    fn an_exported_world_reads_back_and_exports_the_same() {
        let mut world = read(BUILTIN, 1).unwrap();
        (0..30_000).for_each(|_| drop(world.tick()));
        let text = export(&world);
        let again = read(&text, 1).unwrap_or_else(|problems| panic!("{}", problems.join("\n")));
        assert_eq!(export(&again), text);
        assert_eq!(again.counts(), world.counts());
    }
}
