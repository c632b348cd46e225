//! What the commands do that change something or speak. Each says something in every case: no command is ever silent.

use super::commands::{DIRECTIONS, Turn, look};
use super::matching::Place::{Carried, Company, Exits, Here, In};
use super::matching::chosen;
use super::page::Style;
use super::{login, secret};
use crate::limits::{CANDIDATES_MAX, LISTED_MAX, PLAYER_WIDTH};
use crate::text::capitalised;
use crate::world::{Action, Audience, Deed, Effect, Entity, EntityId, Kind, Player, Posture, Wish, World};

/// Splits arguments at the first of some words that stands between others.
fn parted<'a>(args: &'a str, at: &[&str]) -> Option<(&'a str, &'a str)> {
    let small = args.to_ascii_lowercase();
    let places = at.iter().filter_map(|word| small.find(&format!(" {word} ")).map(|place| (place, word.len() + 2)));
    let (place, length) = places.min()?;
    Some((args[..place].trim(), args[place + length..].trim()))
}

/// The same, or before the last word if there is none of these.
fn parted_somehow<'a>(args: &'a str, at: &[&str]) -> Option<(&'a str, &'a str)> {
    parted(args, at).or_else(|| args.rsplit_once(' '))
}

pub fn go(turn: &mut Turn, args: &str) {
    let small = args.to_lowercase();
    let way = DIRECTIONS.iter().find(|(short, _)| *short == small).map_or(args, |(_, long)| long);
    let is_direction = DIRECTIONS.iter().any(|(_, long)| *long == way) || ["in", "out"].contains(&way);
    // One may be called `n`, as it stands in a world file.
    let exit = match turn.exit_called(way).or_else(|| turn.exit_called(args)) {
        Some(exit) => exit,
        None if is_direction => {
            turn.people.report_wrong_way(turn.number, way);
            return turn.say(&format!("There is no way {way} from here."));
        }
        None if way.is_empty() => return turn.misuse("Where to? `exits` lists the ways."),
        None => match turn.one(way, &[Exits], |exit| !exit.locked, &str::to_owned) {
            Some(exit) => exit,
            None => return,
        },
    };
    let from = turn.moment.world.entity(turn.me).and_then(|me| me.location);
    if turn.apply(Action::Go(exit)) {
        look(turn);
        from.into_iter().for_each(|room| turn.take_along(room, exit));
    } else if is_direction {
        turn.people.report_wrong_way(turn.number, way);
    }
}

pub fn sit(turn: &mut Turn, _: &str) {
    assume(turn, Posture::Sitting);
}

pub fn lie(turn: &mut Turn, _: &str) {
    assume(turn, Posture::Resting);
}

pub fn stand(turn: &mut Turn, _: &str) {
    assume(turn, Posture::Standing);
}

fn assume(turn: &mut Turn, posture: Posture) {
    if turn.player().posture == posture {
        return turn.say(&format!("You are {} already.", posture.label()));
    }
    turn.apply(Action::Assume(posture));
}

pub fn get(turn: &mut Turn, args: &str) {
    if args.is_empty() {
        return turn.misuse("Get what?");
    }
    let things = match parted(args, &["from", "out of"]).filter(|_| !turn.is_name(args, &[Here])) {
        Some((things, from)) => {
            let Some(from) = turn.one(from, &[Here, Carried], |_| true, &|it| format!("{things} from {it}")) else {
                return;
            };
            let again = chosen(from);
            turn.several(things, &[In(from)], &|it| format!("{it} from {again}"))
        }
        None => turn.several(args, &[Here], &str::to_owned),
    };
    things.into_iter().for_each(|thing| _ = turn.apply(Action::Take(thing)));
}

pub fn drop(turn: &mut Turn, args: &str) {
    if args.is_empty() {
        return turn.misuse("Drop what?");
    }
    let things = turn.several(args, &[Carried], &str::to_owned);
    things.into_iter().for_each(|thing| _ = turn.apply(Action::Drop(thing)));
}

/// What stands before the container in `put`.
const INTO: &[&str] = &["in", "into", "on"];

/// Whether a name can stand in `put`, and is not taken apart there.
pub fn can_be_put(name: &str) -> bool {
    parted(&format!("{name} in x"), INTO) == Some((name, "x"))
}

pub fn put(turn: &mut Turn, args: &str) {
    let Some((things, into)) = parted_somehow(args, INTO) else {
        return turn.misuse("Put what where?");
    };
    let Some(into) = turn.one(into, &[Here, Carried], |it| it.container, &|it| format!("{things} in {it}")) else {
        return;
    };
    let again = chosen(into);
    let things = turn.several(things, &[Carried], &|it| format!("{it} in {again}"));
    things.into_iter().for_each(|thing| _ = turn.apply(Action::Put(thing, into)));
}

pub fn give(turn: &mut Turn, args: &str) {
    let Some((things, to)) = parted_somehow(args, &["to"]) else {
        return turn.misuse("Give what to whom?");
    };
    let Some(to) = turn.one(to, &[Company], |it| it.kind == Kind::Player, &|it| format!("{things} to {it}")) else {
        return;
    };
    if to == turn.me {
        return turn.say("What you carry is yours already.");
    }
    let again = chosen(to);
    let things = turn.several(things, &[Carried], &|it| format!("{it} to {again}"));
    for thing in things {
        // Once is enough.
        if !turn.apply(Action::Give(thing, to)) {
            break;
        }
    }
}

pub fn say(turn: &mut Turn, args: &str) {
    if args.is_empty() {
        return turn.misuse("Say what?");
    }
    turn.apply(Action::Say(args));
}

pub fn emote(turn: &mut Turn, args: &str) {
    if args.is_empty() {
        return turn.misuse("Do what?");
    }
    // Whoever waves, "Anna waves.", as creatures do it.
    let end = if args.ends_with(char::is_alphanumeric) { "." } else { "" };
    turn.apply(Action::Act(&format!("{args}{end}")));
}

pub fn shout(turn: &mut Turn, args: &str) {
    if args.is_empty() {
        return turn.misuse("Shout what?");
    }
    let effect = Effect { audience: Audience::World, actor: Some(turn.me), deed: Deed::Shouts(args) };
    turn.people.hear(turn.moment.world, &effect);
}

pub fn whisper(turn: &mut Turn, args: &str) {
    let args = args.strip_prefix("to ").unwrap_or(args);
    let Some((name, words)) = args.split_once(' ') else {
        return turn.misuse("Whisper what to whom?");
    };
    let is_player = |it: &Entity| it.kind == Kind::Player;
    if let Some(to) = turn.one(name, &[Company], is_player, &|it| format!("{it} {words}")) {
        if to == turn.me {
            return turn.say("You mutter to yourself.");
        }
        turn.pass_on(to, Deed::Whispers(words.trim(), to));
    }
}

pub fn tell(turn: &mut Turn, args: &str) {
    let Some((name, words)) = args.split_once(' ') else { return turn.misuse("Tell whom what?") };
    let name = name.trim_end_matches(',');
    let world = &*turn.moment.world;
    let called = world.player_named(name);
    let is_in = |id: &EntityId| turn.people.bodies.contains_key(id);
    let close: Vec<EntityId> = world.players_like(name).take(CANDIDATES_MAX).filter(is_in).take(2).collect();
    let to = called.filter(is_in).or(close.first().copied().filter(|_| close.len() == 1 && called.is_none()));
    match (to, called) {
        (Some(to), _) if to == turn.me => turn.say("You talk to yourself."),
        (Some(to), _) => turn.pass_on(to, Deed::Tells(words.trim(), to)),
        (None, Some(called)) => turn.leave_word(called, words.trim()),
        (None, None) if close.is_empty() => turn.say(&format!("Nobody called {name} is in the world just now.")),
        (None, None) => turn.say(&format!("More than one name begins with {name}. `who` lists them.")),
    }
}

pub fn reply(turn: &mut Turn, args: &str) {
    let to = turn.people.bodies.get(&turn.me).and_then(|body| body.told_by);
    match to {
        None => turn.say("Nobody has told you anything yet."),
        Some(_) if args.is_empty() => turn.misuse("Reply what?"),
        Some(to) if turn.people.bodies.contains_key(&to) => turn.pass_on(to, Deed::Tells(args, to)),
        Some(to) if turn.moment.world.players.contains_key(&to) => turn.leave_word(to, args),
        Some(_) => turn.say("They are not in the world any more."),
    }
}

pub fn history(turn: &mut Turn, args: &str) {
    let Some(body) = turn.people.bodies.get(&turn.me) else { return };
    let (from, some, none) = match args.to_lowercase().as_str() {
        "" => (&body.heard, "What you heard last:", "Nobody has said anything to you yet."),
        "tells" => (&body.told, "What you were told last:", "Nobody has told you anything yet."),
        _ => return turn.misuse("There is no such history."),
    };
    let lines: Vec<String> = from.iter().rev().cloned().collect();
    turn.say(if lines.is_empty() { none } else { some });
    lines.iter().for_each(|line| turn.say(line));
}

pub fn ignore(turn: &mut Turn, args: &str) {
    let world = &*turn.moment.world;
    let named = world.player_named(args).filter(|named| *named != turn.me);
    let Some(body) = turn.people.bodies.get_mut(&turn.me) else { return };
    let words = match named {
        None if args.is_empty() => {
            let names: Vec<String> = body.ignored.iter().map(|id| world.name_of(*id).to_owned()).collect();
            let names = if names.is_empty() { vec!["nobody".to_owned()] } else { names };
            return turn.list(Style::Plain, "Ignored", &names);
        }
        None => format!("Nobody else is called {args}."),
        Some(other) if body.ignored.remove(&other) => format!("You read what {} says again.", world.name_of(other)),
        Some(_) if body.ignored.len() >= LISTED_MAX => "You ignore too many already.".to_owned(),
        Some(other) => {
            body.ignored.insert(other);
            // Who is not heard does not come along.
            if turn.people.bodies.get(&other).is_some_and(|body| body.follows == Some(turn.me)) {
                turn.people.unfollow(other, world);
            }
            format!("You no longer read what {} says.", world.name_of(other))
        }
    };
    turn.say(&words);
}

pub fn description(turn: &mut Turn, args: &str) {
    turn.moment.world.describe(turn.me, args);
    turn.say(if args.is_empty() {
        "You are nothing special to look at."
    } else {
        "Others see that now who look at you."
    });
}

/// Sets what is named as the command is.
pub fn option(turn: &mut Turn, args: &str) {
    let (small, name) = (args.to_lowercase(), turn.command);
    let wish = match small.as_str() {
        "on" | "yes" => Some(Wish::On),
        "off" | "no" => Some(Wish::Off),
        "auto" => Some(Wish::Auto),
        _ => None,
    };
    let columns = small.parse().ok().filter(|columns| PLAYER_WIDTH.contains(columns));
    let flag = wish.filter(|wish| *wish != Wish::Auto).map(|wish| wish == Wish::On);
    let mut player = turn.player();
    let before = player.clone();
    match (name, wish, flag, columns) {
        ("brief", _, Some(flag), _) => player.brief = flag,
        ("prompt", _, Some(flag), _) => player.no_prompt = !flag,
        ("keepalive", _, Some(flag), _) => player.no_keepalive = !flag,
        ("screenreader", Some(wish), ..) => player.screen_reader = wish,
        ("colour" | "color", Some(wish), ..) => player.colour = wish,
        ("width", Some(Wish::Auto), ..) => player.width = 0,
        ("width", .., Some(columns)) => player.width = columns,
        _ if args.is_empty() => (),
        _ => return turn.misuse("That is nothing it can be."),
    }
    if player != before {
        turn.moment.world.change_player(turn.me, |known| known.clone_from(&player));
        turn.people.sessions.get_mut(&turn.number).into_iter().for_each(|session| session.wishes.clone_from(&player));
    }
    let is = |flag: bool| if flag { "on" } else { "off" }.to_owned();
    let now = match name {
        "brief" => is(player.brief),
        "prompt" => is(!player.no_prompt),
        "keepalive" => is(!player.no_keepalive),
        "screenreader" => player.screen_reader.label().to_owned(),
        "width" if player.width > 0 => player.width.to_string(),
        "width" => "auto".to_owned(),
        _ => player.colour.label().to_owned(),
    };
    turn.say(&format!("{}: {now}", capitalised(name)));
}

pub fn password(turn: &mut Turn, _: &str) {
    let password = secret::issue((turn.moment.random)());
    let sealed = secret::sealed(&password);
    turn.moment.world.change_player(turn.me, |player| player.password = Some(sealed.into()));
    let name = turn.moment.world.name_of(turn.me).to_owned();
    turn.people.show_password(turn.number, &name, &password);
}

pub fn register(turn: &mut Turn, args: &str) {
    if let Some(why) = login::unfit(args, turn.moment) {
        return turn.say(why);
    }
    if !turn.people.may_be_new(turn.number, turn.moment.now) {
        return;
    }
    let (name, password) = (login::proper(args), secret::issue((turn.moment.random)()));
    let people = &mut *turn.people;
    let hear = &mut |world: &World, effect: &Effect| people.hear(world, effect);
    if !turn.moment.world.register(turn.me, &name, secret::sealed(&password), hear) {
        return turn.say("Somebody is called so, or so much like it that nobody could tell you apart.");
    }
    login::note_beginning(turn.me, turn.moment);
    turn.people.show_password(turn.number, &name, &password);
}

pub fn quit(turn: &mut Turn, _: &str) {
    let is_guest = turn.player().is_guest();
    turn.people.rest(turn.me, turn.moment.world);
    turn.people.end(
        turn.number,
        match is_guest {
            true => "Goodbye. What you carried lies where you stood.",
            false => "Goodbye. What you carry stays with you.",
        },
    );
}

impl Turn<'_, '_> {
    /// What is known of oneself beside the body.
    pub fn player(&self) -> Player {
        self.moment.world.players.get(&self.me).cloned().unwrap_or_default()
    }

    /// Says something to one alone, and shows oneself what was said.
    fn pass_on(&mut self, to: EntityId, deed: Deed) {
        if self.people.ignores(to, self.me) {
            let name = self.moment.world.name_of(to).to_owned();
            return self.say(&format!("{name} does not listen to you."));
        }
        for audience in [to, self.me].map(Audience::One) {
            self.people.hear(self.moment.world, &Effect { audience, actor: Some(self.me), deed });
        }
        if let Some(body) = self.people.bodies.get_mut(&to) {
            body.told_by = Some(self.me);
            if body.session.is_none() {
                let name = self.moment.world.name_of(to).to_owned();
                self.say(&format!("{name}'s connection is gone just now; they read it when they come back."));
            }
        }
    }
}
