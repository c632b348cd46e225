//! Company: who goes with whom, what is said to those who are away, what is said again and again; and what players keep of
//! their own: a title, and words that stand for lines. What is kept is bounded, for each player and for all.

use std::collections::VecDeque;
use std::time::Duration;

use super::commands::{self, Turn, look};
use super::look::{called, minutes};
use super::matching::Place::Company;
use super::page::Style;
use super::{Moment, People};
use crate::clock::{Monotonic, Wall};
use crate::limits::{
    ALIAS_NAME_BYTES_MAX, ALIASES_MAX, COMPANY_MAX, HISTORY_LINES_MAX, LINE_BYTES_MAX, NAME_BYTES_MAX,
    REPETITION_MS_MAX, TELLS_KEPT_MAX,
};
use crate::text::capitalised;
use crate::world::{Action, Command as Order, Deed, Entity, EntityId, Keeping, Keepsake, Kind, Player, World};

/// Words of somebody that were shown last, and how often they were said again since.
#[derive(Default)]
pub struct Said {
    words: String,
    at: Monotonic,
    again: u32,
}

impl Said {
    pub fn new(words: &str, at: Monotonic) -> Said {
        Said { words: words.to_owned(), at, again: 0 }
    }

    /// Whether these words are only said again, and were read a moment ago: then they are counted.
    pub fn counts(&mut self, words: &str, now: Monotonic) -> bool {
        let is_same = self.words == words && now.since(self.at) < Duration::from_millis(REPETITION_MS_MAX);
        self.again += u32::from(is_same);
        is_same
    }

    /// What is to be read of that before anything else is.
    pub fn summary(&self) -> Option<String> {
        match self.again {
            0 => None,
            1 => Some("The same once more.".to_owned()),
            times => Some(format!("The same {times} times more.")),
        }
    }
}

/// Adds a line to those that can be read again.
pub fn remember(lines: &mut VecDeque<String>, line: &str) {
    lines.truncate(HISTORY_LINES_MAX - 1);
    lines.push_front(line.to_owned());
}

pub fn follow(turn: &mut Turn, args: &str) {
    if args.is_empty() {
        if !turn.people.unfollow(turn.me, turn.moment.world) {
            turn.say("You follow nobody.");
        }
        return;
    }
    let is_player = |it: &Entity| it.kind == Kind::Player;
    let Some(leader) = turn.one(args, &[Company], is_player, &str::to_owned) else { return };
    let (people, me) = (&*turn.people, turn.me);
    let [name, own] = [leader, me].map(|id| capitalised(turn.moment.world.name_of(id)));
    let goes_with = |id, other| people.leaders(id).any(|leader| leader == other);
    let refused = if leader == me {
        "You cannot follow yourself.".to_owned()
    } else if !people.bodies.contains_key(&leader) {
        format!("{name} is no player, and goes alone.")
    } else if people.leaders(me).nth(1) == Some(leader) {
        format!("You follow {name} already.")
    } else if people.ignores(leader, me) {
        format!("{name} does not listen to you.")
    } else if goes_with(leader, me) {
        format!("{name} goes where you go.")
    } else {
        let first = people.leaders(leader).last().unwrap_or(leader);
        let company = people.bodies.keys().filter(|id| goes_with(**id, first) || goes_with(**id, me)).count();
        if company > COMPANY_MAX { "Too many go together already.".to_owned() } else { String::new() }
    };
    if !refused.is_empty() {
        return turn.say(&refused);
    }
    turn.people.unfollow(me, turn.moment.world);
    turn.people.bodies.get_mut(&me).into_iter().for_each(|body| body.follows = Some(leader));
    turn.say(&format!("You follow {name} from now on."));
    turn.people.tell(leader, Style::Plain, &format!("{own} follows you from now on."));
}

impl Turn<'_, '_> {
    /// Takes along whoever follows, and whoever follows them, out of the room that one has left by this exit: each sees
    /// where they come to. Whom one followed oneself is followed no longer unless they are here.
    pub fn take_along(&mut self, room: EntityId, exit: EntityId) {
        let mut gone = vec![self.me];
        let mut next = 0;
        while let Some(&leader) = gone.get(next) {
            next += 1;
            for me in self.people.followers(leader, room, self.moment.world) {
                let order = Order { actor: me, action: Action::Go(exit) };
                let (people, name) = (&mut *self.people, self.moment.world.name_of(leader));
                people.tell(me, Style::Plain, &format!("You follow {name}."));
                // Where one could go, so can the other.
                let _ = self.moment.world.apply(order, &mut |world, effect| people.hear(world, effect));
                // Whose connection is gone sees it when they come back.
                if let Some(number) = people.bodies.get(&me).and_then(|body| body.session) {
                    look(&mut Turn { people, moment: self.moment, me, number, command: "follow" });
                }
                gone.push(me);
            }
        }
        let place = |id| self.moment.world.entity(id).and_then(|body| body.location);
        if self.people.leaders(self.me).nth(1).is_some_and(|leader| place(leader) != place(self.me)) {
            self.people.unfollow(self.me, self.moment.world);
        }
    }

    /// Keeps words for one who is not in the world, until they come in.
    pub fn leave_word(&mut self, to: EntityId, words: &str) {
        let world = &mut *self.moment.world;
        let name = world.name_of(to).to_owned();
        if world.players.get(&self.me).is_none_or(Player::is_guest) {
            return self.say(&format!("{name} is not in the world just now, and a guest's words are not kept."));
        }
        let waiting: Vec<EntityId> = world.kept(to, Keeping::Tell).map(|(id, _)| id).collect();
        let over = &waiting[..(waiting.len() + 1).saturating_sub(TELLS_KEPT_MAX)];
        over.iter().for_each(|oldest| world.forget(*oldest));
        let (own, text, at) = (world.name_of(self.me).into(), words.into(), self.moment.wall.0.as_secs());
        let is_kept = world.keep(Keepsake { player: to, kind: Keeping::Tell, name: own, text, at });
        let what = match (is_kept, over.is_empty()) {
            (true, true) => "and reads that after coming in.",
            (true, false) => "and reads that after coming in; the oldest of what waited is dropped for it.",
            (false, _) => "and no more can be kept for anybody.",
        };
        self.say(&format!("{name} is not in the world just now, {what}"));
    }

    /// What a line means that begins with a word of one's own: what that stands for, and the rest. It is not looked at again:
    /// nothing can go in circles.
    pub fn expanded(&self, line: &str) -> Option<String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (word, rest) = (word.to_lowercase(), rest.trim());
        // Of commands, an engine to come may have more.
        let (_, alias) = own_word(self.moment.world, self.me, &word).filter(|_| commands::find(&word).is_none())?;
        Some(format!("{} {rest}", alias.text).trim_end().to_owned())
    }
}

/// A word of somebody's own.
fn own_word<'w>(world: &'w World, whose: EntityId, word: &str) -> Option<(EntityId, &'w Keepsake)> {
    world.kept(whose, Keeping::Alias).find(|(_, kept)| *kept.name == *word)
}

pub fn alias(turn: &mut Turn, args: &str) {
    let world = &mut *turn.moment.world;
    let Some((name, text)) = args.split_once(' ').map(|(name, text)| (name.to_lowercase(), text.trim())) else {
        let own = world.kept(turn.me, Keeping::Alias);
        let lines: Vec<String> = own.map(|(_, kept)| format!("{}: {}", kept.name, kept.text)).collect();
        if !args.is_empty() {
            return turn.misuse("What is that to stand for?");
        }
        turn.say(if lines.is_empty() { "You have no words of your own." } else { "Your own words:" });
        return lines.iter().for_each(|line| turn.say(line));
    };
    let is_word = name.len() <= ALIAS_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_word {
        return turn.misuse(&format!("A word has up to {ALIAS_NAME_BYTES_MAX} letters and digits, a letter first."));
    }
    if commands::find(&name).is_some() {
        return turn.say(&format!("`{name}` is a command, and stays one."));
    }
    if text.len() > LINE_BYTES_MAX {
        return turn.say(&format!("That is too long: it can have {LINE_BYTES_MAX} letters."));
    }
    let before = own_word(world, turn.me, &name).map(|(id, _)| id);
    let is_full = before.is_none() && world.kept(turn.me, Keeping::Alias).count() >= ALIASES_MAX;
    before.into_iter().for_each(|id| world.forget(id));
    let (player, kind, at) = (turn.me, Keeping::Alias, turn.moment.wall.0.as_secs());
    let kept = || Keepsake { player, kind, name: name.as_str().into(), text: text.into(), at };
    if is_full || !world.keep(kept()) {
        return turn.say("No more words can be kept. `unalias` takes one back.");
    }
    turn.say(&format!("`{name}` stands for: {text}"));
}

pub fn unalias(turn: &mut Turn, args: &str) {
    let (world, name) = (&mut *turn.moment.world, args.to_lowercase());
    match own_word(world, turn.me, &name).map(|(id, _)| id) {
        Some(id) => {
            world.forget(id);
            turn.say(&format!("`{name}` stands for nothing of yours any more."));
        }
        None => turn.misuse("You have no such word."),
    }
}

pub fn title(turn: &mut Turn, args: &str) {
    if args.len() > NAME_BYTES_MAX {
        return turn.say(&format!("That is too long: a title has {NAME_BYTES_MAX} letters at most."));
    }
    turn.moment.world.change_player(turn.me, |player| player.title = (!args.is_empty()).then(|| args.into()));
    let name = called(turn.moment.world, turn.me);
    turn.say(&format!("You are {name}."));
}

pub fn score(turn: &mut Turn, _: &str) {
    let (world, people, player) = (&*turn.moment.world, &*turn.people, turn.player());
    let session = people.sessions.get(&turn.number);
    let mut lines = vec![format!("Name: {}", called(world, turn.me))];
    if player.is_guest() {
        lines.push("Guest: yes".to_owned());
    }
    lines.extend(player.since.map(|since| format!("Player since: {}", date(since).0)));
    lines.push(format!("Posture: {}", player.posture.label()));
    lines.push(format!("Carried: {}", world.contents(turn.me, Kind::Thing).count()));
    lines.extend(people.leaders(turn.me).nth(1).map(|leader| format!("Following: {}", world.name_of(leader))));
    lines.push(format!("Time: {}", world.time()));
    lines.extend(session.map(|session| format!("Connected for: {}", minutes(turn.moment.now.since(session.came)))));
    lines.iter().for_each(|line| turn.say(line));
}

/// The date and the time of day of a moment in seconds since 1970, in UTC.
fn date(seconds: u64) -> (String, String) {
    let text = Wall(Duration::from_secs(seconds)).rfc3339();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    (date.to_owned(), time.get(..5).unwrap_or_default().to_owned())
}

impl People {
    /// Somebody, whom they follow, whom that one follows, and so on.
    fn leaders(&self, id: EntityId) -> impl Iterator<Item = EntityId> {
        std::iter::successors(Some(id), |id| self.bodies.get(id)?.follows)
    }

    /// Who follows somebody. They are where the other is, or was a moment ago.
    pub(super) fn followers(&self, leader: EntityId, room: EntityId, world: &World) -> Vec<EntityId> {
        let follows = |id: &EntityId| self.bodies.get(id).is_some_and(|body| body.follows == Some(leader));
        world.contents(room, Kind::Player).map(|player| player.id).filter(follows).collect()
    }

    /// Lets somebody follow nobody any more; false if it was so.
    pub(super) fn unfollow(&mut self, id: EntityId, world: &World) -> bool {
        let leader = self.bodies.get_mut(&id).and_then(|body| body.follows.take());
        if let Some(leader) = leader {
            self.tell(id, Style::Plain, &format!("You no longer follow {}.", world.name_of(leader)));
            self.tell(leader, Style::Plain, &format!("{} no longer follows you.", world.name_of(id)));
        }
        leader.is_some()
    }

    /// Gives somebody who comes in what they were told while they were away.
    pub(super) fn give_kept(&mut self, id: EntityId, moment: &mut Moment) {
        let kept = moment.world.kept(id, Keeping::Tell).map(|(number, tell)| (number, tell.clone()));
        let kept: Vec<(EntityId, Keepsake)> = kept.collect();
        match kept.len() {
            0 => (),
            TELLS_KEPT_MAX => {
                self.tell(id, Style::Notice, &format!("The last {TELLS_KEPT_MAX} that you were told while away:"));
            }
            _ => self.tell(id, Style::Notice, "What you were told while away:"),
        }
        for (number, Keepsake { name, text, at, .. }) in kept {
            let (date, time) = date(at);
            let words = format!("{name} told you on {date} at {time} UTC, \"{text}\"");
            self.report_words(id, &Deed::Tells(&text, id), &name, &words);
            self.tell(id, Style::Speech, &words);
            if let Some(body) = self.bodies.get_mut(&id) {
                remember(&mut body.told, &words);
                body.told_by = moment.world.player_named(&name);
            }
            moment.world.forget(number);
        }
    }
}
