//! What one sees: the place, what is there, what there is to know.

use std::time::Duration;

use super::commands::Turn;
use super::matching::Place::{Carried, Company, Exits, Here};
use super::page::Style;
use crate::limits::{CANDIDATES_MAX, LISTED_MAX};
use crate::text::capitalised;
use crate::world::{Entity, EntityId, Kind, Posture, World};

/// Shows the place; on the way and if it is wished so, without its description.
pub fn look(turn: &mut Turn) {
    let is_brief = turn.player().brief && turn.command != "look" && turn.command != "l";
    let world = &*turn.moment.world;
    let Some(room) = world.entity(turn.me).and_then(|me| me.location) else { return };
    let mut place = vec![(Style::Title, world.name_of(room).to_owned())];
    place.extend(world.description_of(room).filter(|_| !is_brief).map(|text| (Style::Plain, text.to_owned())));
    let mut ways: Vec<String> = world.contents(room, Kind::Exit).map(|exit| way(world, exit)).collect();
    if ways.is_empty() {
        ways.push("none".to_owned());
    }
    let mut lines: Vec<(Style, String)> = Vec::new();
    let things = listed(world, world.contents(room, Kind::Thing));
    lines.extend(things.into_iter().map(|thing| (Style::Plain, format!("{} is here.", capitalised(&thing)))));
    let company = world.contents(room, Kind::Creature).chain(world.contents(room, Kind::Player));
    let mut company: Vec<&Entity> = company.filter(|one| one.id != turn.me).take(LISTED_MAX + 1).collect();
    let are_more = company.len() > LISTED_MAX;
    company.truncate(LISTED_MAX);
    for one in company {
        lines.push((Style::Plain, format!("{} is here{}.", capitalised(world.name_of(one.id)), state(turn, one))));
    }
    if are_more {
        lines.push((Style::Plain, "There are more.".to_owned()));
    }
    place.into_iter().for_each(|(style, line)| turn.write(style, &line));
    turn.list(Style::Exits, "Exits", &ways);
    lines.into_iter().for_each(|(style, line)| turn.write(style, &line));
}

fn way(world: &World, exit: &Entity) -> String {
    let name = world.name_of(exit.id);
    if exit.locked { format!("{name} (locked)") } else { name.to_owned() }
}

/// How somebody is, beside being there.
fn state(turn: &Turn, one: &Entity) -> String {
    let posture = turn.moment.world.players.get(&one.id).map(|player| player.posture);
    let is_absent = turn.people.bodies.get(&one.id).is_some_and(|body| body.session.is_none());
    let mut state = match posture {
        Some(posture) if posture != Posture::Standing => format!(", {}", posture.label()),
        _ if one.asleep => ", asleep".to_owned(),
        _ => String::new(),
    };
    if is_absent {
        state.push_str(", staring into the distance");
    }
    state
}

/// Names of things, those that are alike counted; at most so many, and how many more.
fn listed<'w>(world: &'w World, mut things: impl Iterator<Item = &'w Entity>) -> Vec<String> {
    let mut names: Vec<(&str, usize)> = Vec::new();
    let mut are_more = false;
    for thing in things.by_ref().take(CANDIDATES_MAX) {
        let name = world.name_of(thing.id);
        let is_full = names.len() >= LISTED_MAX;
        // Copies of one prototype come one after the other.
        match names.iter_mut().rfind(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None if is_full => are_more = true,
            None => names.push((name, 1)),
        }
    }
    let counted = |(name, count)| if count > 1 { format!("{name} ({count} of them)") } else { String::from(name) };
    let mut lines: Vec<String> = names.into_iter().map(counted).collect();
    if are_more || things.next().is_some() {
        lines.push("more than can be counted".to_owned());
    }
    lines
}

pub fn look_at(turn: &mut Turn, args: &str) {
    if args.is_empty() || args == "around" {
        return look(turn);
    }
    examine(turn, args.strip_prefix("at ").or_else(|| args.strip_prefix("in ")).unwrap_or(args));
}

pub fn examine(turn: &mut Turn, args: &str) {
    if args.is_empty() {
        return turn.misuse("Look at what?");
    }
    if let Some(it) = turn.one(args, &[Carried, Here, Company, Exits], |_| true, &str::to_owned) {
        show(turn, it);
    }
}

fn show(turn: &mut Turn, it: EntityId) {
    let world = &*turn.moment.world;
    let Some(entity) = world.entity(it) else { return };
    let name = capitalised(&called(world, it));
    let mut lines = vec![match world.description_of(it) {
        Some(text) => format!("{name}: {text}"),
        None if entity.kind == Kind::Exit => format!("{name}: a way out."),
        None => format!("{name}: nothing special."),
    }];
    if entity.kind == Kind::Exit {
        lines.extend(entity.locked.then(|| "It is locked.".to_owned()));
        lines.extend(entity.destination.map(|to| format!("It leads to {}.", world.name_of(to))));
    }
    let mut inside = Vec::new();
    if entity.kind == Kind::Thing {
        inside = listed(world, world.contents(it, Kind::Thing));
        if inside.is_empty() && entity.container {
            inside.push("nothing".to_owned());
        }
    }
    lines.into_iter().for_each(|line| turn.say(&line));
    if !inside.is_empty() {
        turn.list(Style::Plain, "In it", &inside);
    }
}

pub fn exits(turn: &mut Turn, _: &str) {
    let world = &*turn.moment.world;
    let Some(room) = world.entity(turn.me).and_then(|me| me.location) else { return };
    let leads = |exit: &Entity| match exit.destination.filter(|_| !exit.locked) {
        Some(to) => format!("{}: {}", world.name_of(exit.id), world.name_of(to)),
        None => format!("{}: locked", world.name_of(exit.id)),
    };
    let lines: Vec<String> = world.contents(room, Kind::Exit).map(leads).collect();
    turn.say(if lines.is_empty() { "There is no way out." } else { "Ways out:" });
    lines.iter().for_each(|line| turn.say(line));
}

pub fn inventory(turn: &mut Turn, _: &str) {
    let world = &*turn.moment.world;
    let lines = listed(world, world.contents(turn.me, Kind::Thing));
    turn.say(if lines.is_empty() { "You carry nothing." } else { "You carry:" });
    lines.iter().for_each(|line| turn.say(line));
}

pub fn time(turn: &mut Turn, _: &str) {
    turn.say(&capitalised(&format!("{}.", turn.moment.world.time())));
}

pub fn weather(turn: &mut Turn, _: &str) {
    let world = &*turn.moment.world;
    let room = world.entity(turn.me).and_then(|me| world.entity(me.location?));
    let is_indoors = room.is_some_and(|room| room.indoors);
    let words = match is_indoors {
        true => "There is a roof above you.".to_owned(),
        false => format!("The weather: {}.", world.weather.label()),
    };
    turn.say(&words);
}

/// What somebody is called, with their title.
pub fn called(world: &World, id: EntityId) -> String {
    let title = world.players.get(&id).and_then(|player| player.title.as_deref());
    [Some(world.name_of(id)), title].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A time in words.
pub fn minutes(time: Duration) -> String {
    match time.as_secs() / 60 {
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

pub fn who(turn: &mut Turn, _: &str) {
    let (world, people) = (&*turn.moment.world, &*turn.people);
    let mut lines = vec![format!("In the world: {}", people.bodies.len())];
    for (id, body) in people.bodies.iter().take(LISTED_MAX) {
        let name = called(world, *id);
        let session = body.session.and_then(|number| people.sessions.get(&number));
        lines.push(match session.map(|session| turn.moment.now.since(session.heard)) {
            Some(idle) if idle.as_secs() < 60 => name,
            Some(idle) => format!("{name}, idle for {}", minutes(idle)),
            None => format!("{name}, away"),
        });
    }
    if people.bodies.len() > LISTED_MAX {
        lines.push("And others.".to_owned());
    }
    lines.iter().for_each(|line| turn.say(line));
}
