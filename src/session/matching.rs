//! How words become things: candidates, preference, and a question if more than one fits.

use super::commands::Turn;
use crate::limits::{CANDIDATES_MAX, LISTED_MAX};
use crate::world::{Entity, EntityId, Kind, World};

/// Where something may be that is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On oneself.
    Carried,
    /// In the room.
    Here,
    /// In this.
    In(EntityId),
    /// Creatures and players in the room.
    Company,
    /// Ways out of the room.
    Exits,
}

/// Stands for what was chosen in answer to a question: no line that somebody types has a control character in it.
const CHOSEN: char = '\u{1}';

/// How something chosen is named in the arguments of a command.
pub fn chosen(id: EntityId) -> String {
    format!("{CHOSEN}{id}")
}

/// Whether a word adds nothing.
fn is_noise(word: &str) -> bool {
    ["a", "an", "the", "at", "to", "in", "into", "on", "from", "with"].contains(&word)
}

/// Everything in these places, place by place.
pub fn candidates<'w>(world: &'w World, me: EntityId, places: &[Place]) -> Vec<&'w Entity> {
    let Some(room) = world.entity(me).and_then(|me| me.location) else { return Vec::new() };
    let mut all = Vec::new();
    for place in places {
        let (holder, kinds): (EntityId, &[Kind]) = match *place {
            Place::Carried => (me, &[Kind::Thing]),
            Place::Here => (room, &[Kind::Thing]),
            Place::In(holder) => (holder, &[Kind::Thing]),
            Place::Company => (room, &[Kind::Creature, Kind::Player]),
            Place::Exits => (room, &[Kind::Exit]),
        };
        let found = kinds.iter().flat_map(|kind| world.contents(holder, *kind));
        all.extend(found.filter(|found| found.id != me).take(CANDIDATES_MAX));
    }
    all
}

/// How well a name fits what was typed: 3 exactly, 2 in whole words, 1 in beginnings of words, 0 not at all.
fn fit(name: &str, typed: &[String]) -> u8 {
    let name: Vec<String> = name.split_whitespace().map(str::to_lowercase).filter(|word| !is_noise(word)).collect();
    let all = |fits: fn(&str, &str) -> bool| typed.iter().all(|typed| name.iter().any(|word| fits(word, typed)));
    if name == typed {
        3
    } else if all(|word, typed| word == typed) {
        2
    } else {
        u8::from(all(|word, typed| word.starts_with(typed)))
    }
}

impl Turn<'_, '_> {
    /// All that a phrase means, which may begin with `all`: nothing, with the reason told; or several if `all` says so.
    pub fn several(&mut self, phrase: &str, places: &[Place], whole: &dyn Fn(&str) -> String) -> Vec<EntityId> {
        let small = phrase.to_lowercase();
        let rest = small.strip_prefix("all.").or_else(|| small.strip_prefix("all ")).or((small == "all").then_some(""));
        let rest = rest.filter(|_| !self.is_name(phrase, places));
        let Some(rest) = rest else { return self.one(phrase, places, |it| !it.fixed, whole).into_iter().collect() };
        let typed = words(rest);
        let world = &*self.moment.world;
        let all = candidates(world, self.me, places);
        let found =
            all.iter().filter(|thing| !thing.fixed && (typed.is_empty() || fit(world.name_of(thing.id), &typed) > 0));
        let found: Vec<EntityId> = found.map(|thing| thing.id).take(LISTED_MAX).collect();
        if found.is_empty() {
            let what = match places {
                _ if !typed.is_empty() => "nothing of that kind",
                [Place::Carried] => "nothing",
                _ => "nothing that can be moved",
            };
            self.say(&nothing(places, what));
        }
        found
    }

    /// Whether a phrase is the very name of something in these places that can be moved, whatever else it could mean.
    pub fn is_name(&self, phrase: &str, places: &[Place]) -> bool {
        let world = &*self.moment.world;
        candidates(world, self.me, places).iter().any(|it| !it.fixed && world.name_of(it.id) == phrase)
    }

    /// The one thing that a phrase means: `2.apple` is the second that fits. What is `wanted` goes before what fits as
    /// well. If several are left, a question is asked; `whole` makes the arguments of the command of what will be chosen.
    pub fn one(
        &mut self,
        phrase: &str,
        places: &[Place],
        wanted: impl Fn(&Entity) -> bool,
        whole: &dyn Fn(&str) -> String,
    ) -> Option<EntityId> {
        let world = &*self.moment.world;
        let mut all = candidates(world, self.me, places);
        if let Some(number) = phrase.strip_prefix(CHOSEN) {
            let found = all.iter().find(|found| found.id.to_string() == number).map(|found| found.id);
            if found.is_none() {
                self.say("It is not there any more.");
            }
            return found;
        }
        // A name as it stands means what is called so, and not what is called alike.
        if let Some(named) = all.iter().find(|it| wanted(it) && world.name_of(it.id) == phrase) {
            return Some(named.id);
        }
        let ordinal = phrase.split_once('.').and_then(|(number, rest)| Some((number.parse::<usize>().ok()?, rest)));
        let typed = words(ordinal.map_or(phrase, |(_, rest)| rest));
        if typed.is_empty() {
            self.misuse("What do you mean?");
            return None;
        }
        if let ([word], true) = (typed.as_slice(), places.contains(&Place::Company)) {
            let named = world.player_named(word);
            if ["me", "myself", "self"].contains(&word.as_str()) || named == Some(self.me) {
                return Some(self.me);
            }
            // Who is here is found by name in any crowd.
            let room = world.entity(self.me).and_then(|me| me.location);
            all.extend(named.and_then(|named| world.entity(named)).filter(|named| named.location == room));
        }
        let fits: Vec<(u8, &Entity)> = all.into_iter().map(|it| (fit(world.name_of(it.id), &typed), it)).collect();
        if let Some((number, _)) = ordinal {
            let of_these = fits.iter().filter(|(fit, _)| *fit > 0).nth(number.wrapping_sub(1)).map(|(_, it)| it.id);
            if of_these.is_none() {
                self.say(&nothing(places, &format!("no {} of that number", typed.join(" "))));
            }
            return of_these;
        }
        let worth = |fit: u8, it: &Entity| (wanted(it), fit);
        let best = fits.iter().filter(|(fit, _)| *fit > 0).map(|(fit, it)| worth(*fit, it)).max();
        let best = fits.iter().filter(|(fit, it)| *fit > 0 && Some(worth(*fit, it)) == best);
        let best: Vec<EntityId> = best.map(|(_, it)| it.id).take(LISTED_MAX).collect();
        let Some(first) = best.first() else {
            self.say(&nothing(places, &format!("no {}", typed.join(" "))));
            return None;
        };
        // Of those that look the same, any will do.
        if best.iter().all(|it| world.name_of(*it) == world.name_of(*first)) {
            return Some(*first);
        }
        let names: Vec<String> = best.iter().map(|it| world.name_of(*it).to_owned()).collect();
        self.ask(&names, best.iter().map(|it| whole(&chosen(*it))).collect());
        None
    }
}

/// That there is nothing in these places that was looked for.
fn nothing(places: &[Place], what: &str) -> String {
    match places {
        [Place::Carried] => format!("You carry {what}."),
        [Place::In(_)] => format!("There is {what} in it."),
        _ => format!("There is {what} here."),
    }
}

/// The words of a phrase that count, in small letters.
fn words(phrase: &str) -> Vec<String> {
    let all: Vec<String> = phrase.split_whitespace().map(str::to_lowercase).collect();
    let some: Vec<String> = all.iter().filter(|word| !is_noise(word)).cloned().collect();
    if some.is_empty() { all } else { some }
}
