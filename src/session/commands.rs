//! Every command, in one table: its words, who may give it, its help, its function. `help` is written from it, so none can
//! be missing there.

use super::page::Style;
use super::{Moment, Number, People, deeds, look};
use crate::limits::LISTED_MAX;
use crate::text::nearest;
use crate::world::{Action, Command as Order, EntityId, Kind, Refusal};

pub use super::look::look;

/// A player's turn: the line is read, and what it means is done.
pub struct Turn<'a, 'm> {
    /// Everybody.
    pub people: &'a mut People,
    /// The world and the time.
    pub moment: &'a mut Moment<'m>,
    /// Whose turn it is.
    pub me: EntityId,
    /// By which session.
    pub number: Number,
    /// The word of the command.
    pub command: &'static str,
}

/// One command.
pub struct Command {
    /// Its words. Each can be cut short as long as no other command begins so.
    pub words: &'static [&'static str],
    /// What it is about.
    pub topic: Topic,
    /// How it is used.
    pub usage: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Does it, with what followed the word.
    run: fn(&mut Turn, &str),
}

/// What commands are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Moving.
    Moving,
    /// Seeing.
    Seeing,
    /// Things.
    Things,
    /// Speaking.
    Speaking,
    /// Oneself.
    Oneself,
}

/// What is asked if more than one thing fits: the command, and its arguments by what is chosen.
pub struct Question {
    command: &'static str,
    answers: Vec<String>,
}

/// Directions, and how they are cut short.
pub const DIRECTIONS: [(&str, &str); 10] = [
    ("n", "north"),
    ("e", "east"),
    ("s", "south"),
    ("w", "west"),
    ("u", "up"),
    ("d", "down"),
    ("ne", "northeast"),
    ("nw", "northwest"),
    ("se", "southeast"),
    ("sw", "southwest"),
];

macro_rules! commands {
    ($($topic:ident: $words:expr, $usage:literal, $about:literal, $run:expr;)*) => {
        &[$(Command { words: &$words, topic: Topic::$topic, usage: $usage, about: $about, run: $run },)*]
    };
}

/// All of them, those that are meant by the shortest words first.
pub const COMMANDS: &[Command] = commands! {
    Moving: ["north", "n", "east", "e", "south", "s", "west", "w", "up", "u", "down", "d", "northeast", "ne", "northwest",
        "nw", "southeast", "se", "southwest", "sw", "in", "out"], "north",
        "Goes that way. Any other exit is gone through by its name.", |turn, _| deeds::go(turn, turn.command);
    Moving: ["go", "walk"], "go EXIT", "Goes through an exit.", deeds::go;
    Moving: ["enter"], "enter EXIT", "Goes through an exit that is not a direction.", deeds::go;
    Moving: ["sit"], "sit", "Sits down.", deeds::sit;
    Moving: ["rest"], "rest", "Lies down to rest.", deeds::lie;
    Moving: ["stand"], "stand", "Stands up. Whoever goes somewhere stands up first.", deeds::stand;
    Seeing: ["look", "l"], "look [at THING | in THING]", "Shows the place, or a thing, or what is in it.", look::look_at;
    Seeing: ["examine", "x"], "examine THING", "Shows a thing and what is in it.", look::examine;
    Seeing: ["exits"], "exits", "Lists the ways out and where they lead.", look::exits;
    Seeing: ["inventory", "i"], "inventory", "Lists what you carry.", look::inventory;
    Seeing: ["time"], "time", "Tells the time in the world.", look::time;
    Seeing: ["weather"], "weather", "Tells what the sky does.", look::weather;
    Seeing: ["who"], "who", "Lists who is in the world.", look::who;
    Things: ["get", "take"], "get THING [from THING] | get all", "Picks up a thing, or takes it out of another.", deeds::get;
    Things: ["drop"], "drop THING | drop all", "Puts down what you carry.", deeds::drop;
    Things: ["put"], "put THING in THING", "Puts what you carry into something.", deeds::put;
    Things: ["give"], "give THING to NAME", "Gives what you carry to somebody here.", deeds::give;
    Speaking: ["say"], "say WORDS, or 'WORDS", "Says something to all who are here.", deeds::say;
    Speaking: ["whisper"], "whisper NAME WORDS", "Says something to one who is here.", deeds::whisper;
    Speaking: ["tell"], "tell NAME WORDS", "Says something to one, wherever they are.", deeds::tell;
    Speaking: ["reply"], "reply WORDS", "Answers whoever told you something last.", deeds::reply;
    Speaking: ["emote"], "emote WORDS, or :WORDS", "Shows what you do: your name, then the words.", deeds::emote;
    Speaking: ["shout"], "shout WORDS", "Says something to everybody in the world.", deeds::shout;
    Oneself: ["description"], "description [WORDS]", "Sets what others see who look at you.", deeds::description;
    Oneself: ["brief"], "brief on | off", "Leaves descriptions of places out when you come to them.", deeds::option;
    Oneself: ["prompt"], "prompt on | off", "Shows or leaves out the prompt.", deeds::option;
    Oneself: ["colour", "color"], "colour on | off | auto", "Sets whether lines have colours.", deeds::option;
    Oneself: ["width"], "width COLUMNS | auto", "Sets how long lines are, from 20 columns to 1,000.", deeds::option;
    Oneself: ["screenreader"], "screenreader on | off | auto", "Sets whether words are for a screen reader.", deeds::option;
    Oneself: ["keepalive"], "keepalive on | off", "Sets whether a quiet connection is kept alive by a sign.", deeds::option;
    Oneself: ["password"], "password", "Makes a new password for you and shows it, once.", deeds::password;
    Oneself: ["register"], "register NAME", "Makes a guest a player, with all that they have.", deeds::register;
    Oneself: ["help"], "help [COMMAND | WORD]", "Explains a command, or lists those that have to do with a word.", help;
    Oneself: ["commands"], "commands", "Lists all commands.", list;
    Oneself: ["quit"], "quit", "Leaves the world. What you carry stays with you.", deeds::quit;
};

/// Whether a word is a command.
pub fn is_command(word: &str) -> bool {
    COMMANDS.iter().any(|command| command.words.contains(&word))
}

/// Does what a line says.
pub fn run(turn: &mut Turn, line: &str) {
    let question = turn.people.sessions.get_mut(&turn.number).and_then(|session| session.question.take());
    let number = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    if let Some((question, number)) = question.zip(number) {
        let Some(args) = question.answers.get(number) else { return turn.say("There was no such number to choose.") };
        let command = COMMANDS.iter().find(|command| command.words.contains(&question.command));
        turn.command = question.command;
        return command.into_iter().for_each(|command| (command.run)(turn, args));
    }
    let (word, args) = match line.char_indices().next() {
        None => return,
        Some((_, '\'' | '"')) => ("say", &line[1..]),
        Some((_, ':' | ';')) => ("emote", &line[1..]),
        _ => line.split_once(' ').unwrap_or((line, "")),
    };
    let (word, args) = (word.to_lowercase(), args.trim());
    let begins = |with: &str| with.starts_with(&word);
    let exact = COMMANDS.iter().find(|command| command.words.contains(&word.as_str()));
    let mut close: Vec<(&Command, &'static str)> = Vec::new();
    for command in COMMANDS {
        close.extend(command.words.iter().find(|with| begins(with)).map(|with| (command, *with)));
    }
    match (exact, close.as_slice()) {
        (Some(command), _) => {
            turn.command = command.words.iter().find(|with| **with == word).copied().unwrap_or_default();
            (command.run)(turn, args);
        }
        _ if turn.exit_called(line).is_some() => deeds::go(turn, line),
        // Directions go before all else.
        (None, [(command, word), ..])
            if close.len() == 1 || command.topic == Topic::Moving && command.words.len() > 9 =>
        {
            turn.command = word;
            (command.run)(turn, args);
        }
        (None, []) => {
            let known = COMMANDS.iter().flat_map(|command| command.words.iter().copied());
            let hint = nearest(&word, known).map_or(String::new(), |meant| format!(" Do you mean `{meant}`?"));
            turn.say(&format!("There is no command `{word}`.{hint} `commands` lists them all."));
        }
        (None, several) => {
            let words: Vec<String> = several.iter().map(|(_, word)| format!("`{word}`")).collect();
            turn.say(&format!("`{word}` may be {}.", words.join(" or ")));
        }
    }
}

impl Turn<'_, '_> {
    /// Answers whoever's turn it is.
    pub fn say(&mut self, words: &str) {
        self.write(Style::Plain, words);
    }

    /// The same in a style.
    pub fn write(&mut self, style: Style, words: &str) {
        self.people.write(self.number, self.moment.world.players.get(&self.me), style, words);
    }

    /// Carries out what the world knows how to do; why not, if it is refused, is told.
    pub fn apply(&mut self, action: Action) -> bool {
        let order = Order { actor: self.me, action };
        let people = &mut *self.people;
        let done = self.moment.world.apply(order, &mut |world, effect| people.hear(world, effect));
        let why = match done {
            Ok(()) => return true,
            Err(Refusal::NoActor | Refusal::Asleep) => "You cannot do that now.",
            Err(Refusal::NotHere) => "It is not here.",
            Err(Refusal::Locked) => "That way is locked.",
            Err(Refusal::Fixed) => "It cannot be moved.",
            Err(Refusal::Inedible) => "It cannot be eaten.",
            Err(Refusal::NoContainer) => "It cannot be put there.",
            Err(Refusal::Unwanted) => "They do not take it.",
        };
        self.say(why);
        false
    }

    /// Asks which of several things is meant. The next line may be its number.
    pub fn ask(&mut self, names: &[String], answers: Vec<String>) {
        let mut words = "Which do you mean? Type its number.".to_owned();
        for (number, name) in names.iter().enumerate().take(LISTED_MAX) {
            words.push_str(&format!("\n{}. {name}", number + 1));
        }
        self.say(&words);
        if let Some(session) = self.people.sessions.get_mut(&self.number) {
            session.question = Some(Question { command: self.command, answers });
        }
    }

    /// The exit of the room that has this very name.
    pub fn exit_called(&self, name: &str) -> Option<EntityId> {
        let world = &*self.moment.world;
        let room = world.entity(self.me)?.location?;
        world
            .contents(room, Kind::Exit)
            .find(|exit| world.name_of(exit.id).eq_ignore_ascii_case(name))
            .map(|exit| exit.id)
    }
}

fn help(turn: &mut Turn, args: &str) {
    let word = args.to_lowercase();
    if word.is_empty() {
        return turn.say(
            "Go by the names of exits: north, or n. `look` shows where you are, `get` and `drop` move things, `say hello` \
             or 'hello speaks. Words can be cut short. `commands` lists all that there is, `help COMMAND` explains one, and \
             `quit` leaves; whatever you have done stays.",
        );
    }
    let named = COMMANDS.iter().filter(|command| command.words.contains(&word.as_str()));
    let about = COMMANDS.iter().filter(|command| {
        command.words.iter().any(|with| with.starts_with(&word)) || command.about.to_lowercase().contains(&word)
    });
    let mut found: Vec<&Command> = named.collect();
    if found.is_empty() {
        found = about.collect();
    }
    if found.is_empty() {
        return turn.say("No command has to do with that. `commands` lists them all.");
    }
    found.iter().for_each(|command| turn.say(&format!("{}: {}", command.usage, command.about)));
}

fn list(turn: &mut Turn, _: &str) {
    for topic in [Topic::Moving, Topic::Seeing, Topic::Things, Topic::Speaking, Topic::Oneself] {
        let words: Vec<&str> = COMMANDS.iter().filter(|it| it.topic == topic).map(|it| it.words[0]).collect();
        turn.say(&format!("{topic:?}: {}.", words.join(", ")));
    }
}
