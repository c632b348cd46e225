//! What the commands do that change something or speak. Each says something in every case: no command is ever silent.

use super::commands::{DIRECTIONS, Turn, look};
use super::matching::Place::{Carried, Company, Exits, Here, In};
use super::page::Style;
use super::{login, secret};
use crate::limits::{DESCRIPTION_BYTES_MAX, PLAYER_WIDTH};
use crate::world::{Action, Audience, Deed, Effect, Kind, Player, Posture, Wish};

/// Splits arguments at the first of some words that stands between others.
fn parted<'a>(args: &'a str, at: &[&str]) -> Option<(&'a str, &'a str)> {
    let places = at.iter().filter_map(|word| args.find(&format!(" {word} ")).map(|place| (place, word.len() + 2)));
    let (place, length) = places.min()?;
    Some((args[..place].trim(), args[place + length..].trim()))
}

pub fn go(turn: &mut Turn, args: &str) {
    let small = args.to_lowercase();
    let way = DIRECTIONS.iter().find(|(short, _)| *short == small).map_or(args, |(_, long)| long);
    let exit = match turn.exit_called(way) {
        Some(exit) => exit,
        None if DIRECTIONS.iter().any(|(_, long)| *long == way) || ["in", "out"].contains(&way) => {
            return turn.say(&format!("There is no way {way} from here."));
        }
        None if way.is_empty() => return turn.say("Where to? `exits` lists the ways."),
        None => match turn.one(way, &[Exits], |exit| !exit.locked, &str::to_owned) {
            Some(exit) => exit,
            None => return,
        },
    };
    if turn.apply(Action::Go(exit)) {
        look(turn);
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
    let things = match parted(args, &["from", "out of"]) {
        Some((things, from)) => {
            let Some(from) = turn.one(from, &[Here, Carried], |_| true, &|it| format!("{things} from {it}")) else {
                return;
            };
            let again = super::matching::chosen(from);
            turn.several(things, &[In(from)], &|it| format!("{it} from {again}"))
        }
        None => turn.several(args, &[Here], &str::to_owned),
    };
    things.into_iter().for_each(|thing| _ = turn.apply(Action::Take(thing)));
}

pub fn drop(turn: &mut Turn, args: &str) {
    let things = turn.several(args, &[Carried], &str::to_owned);
    things.into_iter().for_each(|thing| _ = turn.apply(Action::Drop(thing)));
}

pub fn put(turn: &mut Turn, args: &str) {
    let Some((things, into)) = parted(args, &["in", "into", "on"]) else {
        return turn.say("Put what where? `put THING in THING`.");
    };
    let Some(into) = turn.one(into, &[Here, Carried], |it| it.container, &|it| format!("{things} in {it}")) else {
        return;
    };
    let again = super::matching::chosen(into);
    let things = turn.several(things, &[Carried], &|it| format!("{it} in {again}"));
    things.into_iter().for_each(|thing| _ = turn.apply(Action::Put(thing, into)));
}

pub fn give(turn: &mut Turn, args: &str) {
    let Some((things, to)) = parted(args, &["to"]) else {
        return turn.say("Give what to whom? `give THING to NAME`.");
    };
    let Some(to) = turn.one(to, &[Company], |it| it.kind == Kind::Player, &|it| format!("{things} to {it}")) else {
        return;
    };
    let again = super::matching::chosen(to);
    let things = turn.several(things, &[Carried], &|it| format!("{it} to {again}"));
    things.into_iter().for_each(|thing| _ = turn.apply(Action::Give(thing, to)));
}

pub fn say(turn: &mut Turn, args: &str) {
    if args.is_empty() {
        return turn.say("Say what?");
    }
    turn.apply(Action::Say(args));
}

pub fn emote(turn: &mut Turn, args: &str) {
    if args.is_empty() {
        return turn.say("Do what? `emote waves` shows your name, then `waves`.");
    }
    turn.apply(Action::Act(args));
}

pub fn shout(turn: &mut Turn, args: &str) {
    if args.is_empty() {
        return turn.say("Shout what?");
    }
    let effect = Effect { audience: Audience::World, actor: Some(turn.me), deed: Deed::Shouts(args) };
    turn.people.hear(turn.moment.world, &effect);
}

pub fn whisper(turn: &mut Turn, args: &str) {
    let args = args.strip_prefix("to ").unwrap_or(args);
    let Some((name, words)) = args.split_once(' ') else {
        return turn.say("Whisper what to whom? `whisper NAME WORDS`.");
    };
    let is_player = |it: &crate::world::Entity| it.kind == Kind::Player;
    if let Some(to) = turn.one(name, &[Company], is_player, &|it| format!("{it} {words}")) {
        if to == turn.me {
            return turn.say("You mutter to yourself.");
        }
        turn.pass_on(to, Deed::Whispers(words.trim(), to));
    }
}

pub fn tell(turn: &mut Turn, args: &str) {
    let Some((name, words)) = args.split_once(' ') else { return turn.say("Tell whom what? `tell NAME WORDS`.") };
    let name = name.trim_end_matches(',');
    let small = name.to_lowercase();
    let called = turn.moment.world.player_named(name);
    let here: Vec<_> = turn.people.online().map(|(id, _)| id).collect();
    let begins = |id: &_| turn.moment.world.name_of(*id).to_lowercase().starts_with(&small);
    let close: Vec<_> = here.iter().copied().filter(begins).collect();
    let to = called.filter(|called| here.contains(called)).or((close.len() == 1).then(|| close[0]));
    match to {
        Some(to) if to == turn.me => turn.say("You talk to yourself."),
        Some(to) => turn.pass_on(to, Deed::Tells(words.trim(), to)),
        None if close.is_empty() => turn.say(&format!("Nobody called {name} is in the world just now.")),
        None => turn.say(&format!("More than one name begins with {name}. `who` lists them.")),
    }
}

pub fn reply(turn: &mut Turn, args: &str) {
    let to = turn.people.bodies.get(&turn.me).and_then(|body| body.told_by);
    match to {
        None => turn.say("Nobody has told you anything yet."),
        Some(_) if args.is_empty() => turn.say("Reply what?"),
        Some(to) if turn.people.bodies.contains_key(&to) => turn.pass_on(to, Deed::Tells(args, to)),
        Some(_) => turn.say("They are not in the world any more."),
    }
}

pub fn description(turn: &mut Turn, args: &str) {
    if args.len() > DESCRIPTION_BYTES_MAX {
        return turn.say("That is too long.");
    }
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
        _ => (),
    }
    let is_changed = player != before;
    if is_changed {
        turn.moment.world.change_player(turn.me, |known| known.clone_from(&player));
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
    let more = if is_changed { "" } else { " `help` with this word tells what it can be." };
    turn.say(&format!("{name}: {now}.{more}"));
}

pub fn password(turn: &mut Turn, _: &str) {
    if turn.player().is_guest() {
        return turn.say("A guest has no password. `register NAME` makes you a player, who has one.");
    }
    let password = secret::issue((turn.moment.random)());
    let sealed = secret::sealed(&password);
    turn.moment.world.change_player(turn.me, |player| player.password = Some(sealed.into()));
    let name = turn.moment.world.name_of(turn.me).to_owned();
    turn.people.show_password(turn.number, &name, &password);
}

pub fn register(turn: &mut Turn, args: &str) {
    if !turn.player().is_guest() {
        return turn.say("You are a player already.");
    }
    if let Some(why) = login::unfit(args, turn.moment.world) {
        return turn.say(why);
    }
    let (name, password) = (login::proper(args), secret::issue((turn.moment.random)()));
    if !turn.moment.world.register(turn.me, &name, secret::sealed(&password)) {
        return turn.say("Somebody is called so, or so much like it that nobody could tell you apart.");
    }
    turn.write(Style::Plain, &format!("You are {name} from now on."));
    turn.people.show_password(turn.number, &name, &password);
}

pub fn quit(turn: &mut Turn, _: &str) {
    turn.people.end(turn.number, "Goodbye. What you carry stays with you.");
    turn.people.rest(turn.me, turn.moment.world);
}

impl Turn<'_, '_> {
    /// What is known of oneself beside the body.
    pub fn player(&self) -> Player {
        self.moment.world.players.get(&self.me).cloned().unwrap_or_default()
    }

    /// Says something to one alone, and shows oneself what was said.
    fn pass_on(&mut self, to: crate::world::EntityId, deed: Deed) {
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
