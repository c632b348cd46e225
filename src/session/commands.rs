//! Every command, in one table: its words, who may give it, its help, its function. `help` is written from it, so none can
//! be missing there.

use super::page::Style;
use super::{Moment, Number, People, company, deeds, look};
use crate::limits::INPUT_LINE_BYTES_MAX;
use crate::text::{capitalised, keys, nearest};
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
    /// Who may give it.
    pub right: Right,
    /// Does it, with what followed the word.
    run: fn(&mut Turn, &str),
}

keys! {
    /// What commands are about.
    Topic {
        /// Where one is, and how.
        Moving = "Moving",
        /// What one learns.
        Seeing = "Seeing",
        /// What one has.
        Things = "Things",
        /// What one says.
        Speaking = "Speaking",
        /// How one is and is shown things.
        Oneself = "Oneself",
    }
}

/// Who may give a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Whoever is in the world.
    Everybody,
    /// Who has a password.
    Player,
    /// Who has none.
    Guest,
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
    ($($topic:ident $right:ident: $words:expr, $usage:literal, $about:literal, $run:expr;)*) => {
        &[$(Command {
            words: &$words, topic: Topic::$topic, right: Right::$right, usage: $usage, about: $about, run: $run,
        },)*]
    };
}

/// All of them. The first are the directions, which go before all else.
pub const COMMANDS: &[Command] = commands! {
    Moving Everybody: ["north", "n", "east", "e", "south", "s", "west", "w", "up", "u", "down", "d", "northeast", "ne", "northwest",
        "nw", "southeast", "se", "southwest", "sw", "in", "out"], "north",
        "Goes that way. Any other exit is gone through by its name.", |turn, _| deeds::go(turn, turn.command);
    Moving Everybody: ["go", "walk"], "go EXIT", "Goes through an exit.", deeds::go;
    Moving Everybody: ["enter"], "enter EXIT", "Goes through an exit that is not a direction.", deeds::go;
    Moving Everybody: ["sit"], "sit", "Sits down.", deeds::sit;
    Moving Everybody: ["rest"], "rest", "Lies down to rest.", deeds::lie;
    Moving Everybody: ["stand"], "stand", "Stands up. Whoever goes somewhere stands up first.", deeds::stand;
    Moving Everybody: ["follow"], "follow [NAME]", "Goes along when another player goes somewhere; without a name, no longer.", company::follow;
    Seeing Everybody: ["look", "l"], "look [at THING | in THING]", "Shows the place, or a thing, or what is in it. `2.apple` is the second apple.", look::look_at;
    Seeing Everybody: ["examine", "x"], "examine THING", "Shows a thing and what is in it.", look::examine;
    Seeing Everybody: ["exits"], "exits", "Lists the ways out and where they lead.", look::exits;
    Seeing Everybody: ["inventory", "i"], "inventory", "Lists what you carry.", look::inventory;
    Seeing Everybody: ["time"], "time", "Tells the time in the world.", look::time;
    Seeing Everybody: ["weather"], "weather", "Tells what the sky does.", look::weather;
    Seeing Everybody: ["who"], "who", "Lists who is in the world, who has done nothing for a while, and whose connection is gone.", look::who;
    Seeing Everybody: ["score"], "score", "Tells what there is to know of yourself.", company::score;
    Things Everybody: ["get", "take"], "get THING [from THING] | get all", "Picks up a thing, or takes it out of another. `all.apple` is all apples.", deeds::get;
    Things Everybody: ["drop"], "drop THING | drop all", "Puts down what you carry.", deeds::drop;
    Things Everybody: ["put"], "put THING in THING", "Puts what you carry into something.", deeds::put;
    Things Everybody: ["give"], "give THING to NAME", "Gives what you carry to somebody here.", deeds::give;
    Speaking Everybody: ["say"], "say WORDS | 'WORDS", "Says something to all who are here.", deeds::say;
    Speaking Everybody: ["whisper"], "whisper NAME WORDS", "Says something to one who is here.", deeds::whisper;
    Speaking Everybody: ["tell"], "tell NAME WORDS", "Says something to one, wherever they are. It waits for a player who is not in the world.", deeds::tell;
    Speaking Everybody: ["reply"], "reply WORDS", "Answers whoever told you something last.", deeds::reply;
    Speaking Everybody: ["emote"], "emote WORDS | :WORDS", "Shows what you do: your name, then the words.", deeds::emote;
    Speaking Everybody: ["shout"], "shout WORDS", "Says something to everybody in the world.", deeds::shout;
    Speaking Everybody: ["history"], "history [tells]", "Lists what was said to you last, the oldest first; of that, what only you were told.", deeds::history;
    Speaking Everybody: ["ignore"], "ignore [NAME]", "Lets you no longer read what somebody says, or read it again; until you leave.", deeds::ignore;
    Oneself Everybody: ["description"], "description [WORDS]", "Sets what others see who look at you.", deeds::description;
    Oneself Player: ["title"], "title [WORDS]", "Sets words that follow your name in `who` and for those who look at you.", company::title;
    Oneself Player: ["alias"], "alias [NAME WORDS]", "Lets a word of your own stand for a line, such as gg for get all; what follows it is added. Without one, lists them.", company::alias;
    Oneself Player: ["unalias"], "unalias NAME", "Takes back a word of your own.", company::unalias;
    Oneself Everybody: ["brief"], "brief on | off", "Leaves descriptions of places out when you come to them.", deeds::option;
    Oneself Everybody: ["prompt"], "prompt on | off", "Shows or leaves out the prompt.", deeds::option;
    Oneself Everybody: ["colour", "color"], "colour on | off | auto", "Sets whether lines have colours.", deeds::option;
    Oneself Everybody: ["width"], "width COLUMNS | auto", "Sets how long lines are, from 20 columns to 1,000.", deeds::option;
    Oneself Everybody: ["screenreader"], "screenreader on | off | auto", "Sets whether words are for a screen reader.", deeds::option;
    Oneself Everybody: ["keepalive"], "keepalive on | off", "Sets whether a quiet connection is kept alive by a sign.", deeds::option;
    Oneself Player: ["password"], "password", "Makes a new password for you and shows it, once.", deeds::password;
    Oneself Guest: ["register"], "register NAME", "Makes a guest a player, with all that they have.", deeds::register;
    Oneself Everybody: ["help"], "help [COMMAND | WORD]", "Explains a command, or lists those that have to do with a word.", help;
    Oneself Everybody: ["commands"], "commands", "Lists all commands.", list;
    Oneself Everybody: ["quit"], "quit", "Leaves the world. What a player carries stays with them; what a guest carries stays where they are.", deeds::quit;
};

/// Bytes of the longest word that may be a slip of one.
const COMMAND_BYTES_MAX: usize = 16;

/// The command of which this is a word.
pub fn find(word: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.words.contains(&word))
}

/// Whether what begins so means a command, not a thing or an exit.
pub fn begins_with_command(line: &str) -> bool {
    line.starts_with(['\'', '"', ':', ';']) || line.split(' ').next().is_some_and(|word| find(word).is_some())
}

/// Does what a line says.
pub fn run(turn: &mut Turn, line: &str) {
    let question = turn.people.sessions.get_mut(&turn.number).and_then(|session| session.question.take());
    let number = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    if let Some((question, number)) = question.zip(number) {
        let Some(args) = question.answers.get(number) else { return turn.say("There was no such number to choose.") };
        return find(question.command).into_iter().for_each(|command| turn.give(command, question.command, args));
    }
    match turn.expanded(line) {
        Some(line) if line.len() > INPUT_LINE_BYTES_MAX => {
            turn.say("The line becomes too long by what your word stands for.")
        }
        Some(line) => obey(turn, &line),
        None => obey(turn, line),
    }
}

/// Does what a line says that is nobody's own word.
fn obey(turn: &mut Turn, line: &str) {
    let (word, args) = match line.char_indices().next() {
        None => return,
        Some((_, '\'' | '"')) => ("say", &line[1..]),
        Some((_, ':' | ';')) => ("emote", &line[1..]),
        _ => line.split_once(' ').unwrap_or((line, "")),
    };
    let (word, args) = (word.to_lowercase(), args.trim());
    let begins = |with: &str| with.starts_with(&word);
    let exact = find(&word);
    let mut close: Vec<(&Command, &'static str)> = Vec::new();
    for command in COMMANDS {
        close.extend(command.words.iter().find(|with| begins(with)).map(|with| (command, *with)));
    }
    match (exact, close.as_slice()) {
        (Some(command), _) => {
            let word = command.words.iter().find(|with| **with == word).copied().unwrap_or_default();
            turn.give(command, word, args);
        }
        _ if turn.exit_called(line).is_some() => deeds::go(turn, line),
        (None, [(command, word), ..]) if close.len() == 1 || std::ptr::eq(*command, &COMMANDS[0]) => {
            turn.give(command, word, args);
        }
        (None, []) => {
            let known = COMMANDS.iter().flat_map(|command| command.words.iter().copied());
            let is_short = word.len() <= COMMAND_BYTES_MAX;
            let hint = nearest(&word, known.filter(|_| is_short))
                .map_or(String::new(), |meant| format!(" Do you mean `{meant}`?"));
            turn.say(&format!("There is no command `{word}`.{hint} `commands` lists them all."));
        }
        (None, several) => {
            let words: Vec<String> = several.iter().map(|(_, word)| format!("`{word}`")).collect();
            turn.say(&format!("`{word}` may be {}.", words.join(" or ")));
        }
    }
}

impl Turn<'_, '_> {
    /// Gives a command by one of its words, if that may be.
    fn give(&mut self, command: &Command, word: &'static str, args: &str) {
        self.command = word;
        match (command.right, self.player().is_guest()) {
            (Right::Player, true) => {
                self.say("That is for players, of whom more is kept. `register` and a name make you one.")
            }
            (Right::Guest, false) => self.say("You are a player already."),
            _ => (command.run)(self, args),
        }
    }

    /// Answers whoever's turn it is.
    pub fn say(&mut self, words: &str) {
        self.write(Style::Plain, words);
    }

    /// The same in a style.
    pub fn write(&mut self, style: Style, words: &str) {
        self.people.write(self.number, style, words);
    }

    /// Says several things of one kind: in a row, or to a screen reader one in a line.
    pub fn list(&mut self, style: Style, label: &str, items: &[String]) {
        if self.is_read_aloud() {
            return items.iter().for_each(|item| self.write(style, &format!("{label}: {item}")));
        }
        self.write(style, &format!("{label}: {}.", items.join(", ")));
    }

    /// Answers what makes no sense, and tells how the command is used.
    pub fn misuse(&mut self, words: &str) {
        let usage = find(self.command).map_or("", |command| command.usage);
        let usage = self.spoken(usage);
        self.say(&format!("{words} Usage: {usage}"));
    }

    fn is_read_aloud(&self) -> bool {
        self.people.sessions.get(&self.number).is_some_and(|session| session.view().is_read_aloud)
    }

    /// How a command is used; for a screen reader without capital letters and signs.
    fn spoken(&self, usage: &str) -> String {
        match self.is_read_aloud() {
            true => usage.to_lowercase().replace(['[', ']'], "").replace(" | ", ", or "),
            false => usage.to_owned(),
        }
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
            Err(Refusal::Unwanted) => "does not take it.",
        };
        match action {
            Action::Give(_, to) if done == Err(Refusal::Unwanted) => {
                let name = capitalised(self.moment.world.name_of(to));
                self.say(&format!("{name} {why}"));
            }
            _ => self.say(why),
        }
        false
    }

    /// Asks which of several things is meant. The next line may be its number.
    pub fn ask(&mut self, names: &[String], answers: Vec<String>) {
        let mut words = "Which do you mean? Type its number.".to_owned();
        for (number, name) in names.iter().enumerate() {
            words.push_str(&format!("\n{}: {name}", number + 1));
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
             or 'hello speaks. Words can be cut short. `commands` lists all that there is, `help get` explains a command, \
             `help apple` finds those that have to do with a word, and `quit` leaves; whatever you have done stays.",
        );
    }
    let found: Vec<&Command> = match find(&word) {
        Some(command) => vec![command],
        None => COMMANDS.iter().filter(|command| command.has_to_do_with(&word)).collect(),
    };
    if found.is_empty() {
        return turn.say("No command has to do with that. `commands` lists them all.");
    }
    for command in found {
        let usage = turn.spoken(command.usage);
        turn.say(&format!("{usage}: {}", command.about));
    }
}

impl Command {
    fn has_to_do_with(&self, word: &str) -> bool {
        let texts = [self.usage, self.about, self.topic.label()];
        self.words.iter().any(|with| with.starts_with(word))
            || texts.iter().any(|text| text.to_lowercase().contains(word))
    }
}

fn list(turn: &mut Turn, _: &str) {
    for topic in Topic::ALL {
        let of_topic = COMMANDS.iter().filter(|command| command.topic == *topic);
        let words: Vec<String> = of_topic.map(|command| command.words[0].to_owned()).collect();
        turn.list(Style::Plain, topic.label(), &words);
    }
}
