//! Every command: how it is used well, how badly, and what those read who are there, by eye and through a screen reader.
//! The transcripts are `tests/sessions/plain.txt` and `screen_reader.txt`; with `SESSIONS_REWRITE=1` a run writes them anew.

use std::fs;
use std::path::PathBuf;

use aqevia_engine::session::Number;
use aqevia_engine::session::commands::{COMMANDS, find};

use crate::visit::Visit;

/// Lines by who types them: `a` is Anna, `b` is Bob, `g` a guest. All stand in the square.
type Lines = &'static [(char, &'static str)];

struct Row {
    word: &'static str,
    good: Lines,
    /// What the one who typed the last of these lines reads of it.
    shows: &'static str,
    bad: Lines,
    /// The same of these.
    says: &'static str,
}

const fn row(word: &'static str, good: Lines, shows: &'static str, bad: Lines, says: &'static str) -> Row {
    Row { word, good, shows, bad, says }
}

const ROWS: &[Row] = &[
    row("north", &[('a', "n"), ('a', "s")], "The Square\n", &[('a', "west")], "There is no way west from here.\n"),
    row("go", &[('a', "go to the old gate")], "The Lane\n", &[('a', "go"), ('a', "go down")], "That way is locked.\n"),
    row("enter", &[('a', "enter gate")], "The Lane\n", &[('a', "enter nowhere")], "There is no nowhere here.\n"),
    row("sit", &[('a', "sit")], "You sit down.\n", &[('a', "sit"), ('a', "sit")], "You are sitting already.\n"),
    row(
        "rest",
        &[('a', "rest")],
        "You lie down to rest.\n",
        &[('a', "rest"), ('a', "rest")],
        "You are resting already.\n",
    ),
    row(
        "stand",
        &[('a', "sit"), ('b', "look"), ('a', "stand")],
        "You stand up.\n",
        &[('a', "stand")],
        "You are standing already.\n",
    ),
    row(
        "follow",
        &[('b', "follow anna"), ('a', "n"), ('b', "s"), ('b', "follow")],
        "You follow nobody.\n",
        &[
            ('a', "follow"),
            ('a', "follow me"),
            ('a', "follow alse"),
            ('a', "follow cara"),
            ('b', "follow anna"),
            ('b', "follow anna"),
            ('a', "follow bob"),
        ],
        "Bob goes where you go.\n",
    ),
    row(
        "look",
        &[('a', "look at the well"), ('a', "l in basket"), ('a', "look north"), ('a', "look")],
        "The Square\n",
        &[('a', "look at the moon")],
        "There is no moon here.\n",
    ),
    row(
        "examine",
        &[('a', "x heron"), ('a', "examine bob"), ('a', "examine basket")],
        "A basket: Of willow.\n",
        &[('a', "x")],
        "Look at what? Usage: examine",
    ),
    row("exits", &[('a', "exits")], "The Inn\n", &[('a', "exits now")], "The Inn\n"),
    row(
        "inventory",
        &[('a', "get all.pear"), ('a', "get red"), ('a', "i")],
        "a pear (2 of them)\n",
        &[('a', "inventory")],
        "You carry nothing.\n",
    ),
    row("time", &[('a', "time")], "06:00", &[('a', "time 9")], "06:00"),
    row(
        "weather",
        &[('a', "weather")],
        "The weather:",
        &[('a', "n"), ('a', "weather")],
        "There is a roof above you.\n",
    ),
    row("who", &[('a', "who")], "Bob\n", &[('a', "who is there")], "In the world: 2\n"),
    row(
        "score",
        &[('a', "get red"), ('a', "title the Tall"), ('a', "follow bob"), ('a', "score")],
        "Name: Anna the Tall\nPlayer since: 2027-01-15\nPosture: standing\nCarried: 1\nFollowing: Bob\n",
        &[('g', "score now")],
        "Name: Guest1\nGuest: yes\n",
    ),
    row(
        "get",
        &[
            ('a', "get apple"),
            ('a', "2"),
            ('a', "get copper from basket"),
            ('a', "1"),
            ('a', "take 2.pear"),
            ('a', "get all"),
        ],
        "You pick up a red apple.\n",
        &[('a', "get"), ('a', "get me"), ('a', "get well"), ('a', "get 9.pear"), ('a', "get coin from well")],
        "There is no coin in it.\n",
    ),
    row(
        "drop",
        &[('a', "get green apple"), ('a', "drop the apple")],
        "You put down a green apple.\n",
        &[('a', "drop"), ('a', "drop apple"), ('a', "drop all")],
        "You carry nothing.\n",
    ),
    row(
        "put",
        &[('a', "get red"), ('a', "put apple in the basket"), ('a', "get pear"), ('a', "put pear bag"), ('a', "x bag")],
        "a pear",
        &[('a', "get red"), ('a', "put apple"), ('a', "put apple in well")],
        "It cannot be put there.\n",
    ),
    row(
        "give",
        &[('a', "get pear"), ('a', "give pear to carrier"), ('a', "get red"), ('a', "give red apple bob")],
        "You give a red apple to Bob.\n",
        &[('a', "give"), ('a', "get red"), ('a', "give apple to me"), ('a', "give apple to alse")],
        "Old Alse does not take it.\n",
    ),
    row(
        "say",
        &[('a', "'Good morning."), ('b', "say So it is.")],
        "You say, \"So it is.\"\n",
        &[('a', "say")],
        "Say what? Usage: say",
    ),
    row(
        "whisper",
        &[('a', "whisper bob It is under the well.")],
        "You whisper to Bob, \"It is under the well.\"\n",
        &[('a', "whisper bob"), ('a', "whisper me x"), ('a', "whisper cara x")],
        "There is no cara here.\n",
    ),
    row(
        "tell",
        &[('a', "n"), ('a', "tell bob Come in.")],
        "You tell Bob, \"Come in.\"\n",
        &[('b', "quit"), ('a', "tell bob Come back."), ('a', "tell"), ('a', "tell anna x"), ('a', "tell cara x")],
        "Nobody called cara is in the world just now.\n",
    ),
    row(
        "reply",
        &[('a', "tell bob Come."), ('b', "reply No.")],
        "You tell Anna, \"No.\"\n",
        &[('b', "reply No.")],
        "Nobody has told you anything yet.\n",
    ),
    row(
        "emote",
        &[('a', ":waves"), ('a', "emote nods."), ('a', "emote 's eyes shine")],
        "Anna's eyes shine.\n",
        &[('a', "emote")],
        "Do what? Usage: emote",
    ),
    row(
        "shout",
        &[('a', "n"), ('a', "shout Fire!")],
        "You shout, \"Fire!\"\n",
        &[('a', "shout")],
        "Shout what? Usage: shout",
    ),
    row(
        "history",
        &[('b', "say First."), ('b', "tell anna Second."), ('a', "history"), ('a', "history tells")],
        "What you were told last:\nBob tells you, \"Second.\"\n",
        &[('b', "say Only to others."), ('b', "history"), ('a', "history tells"), ('a', "history of the town")],
        "There is no such history. Usage: history",
    ),
    row(
        "ignore",
        &[
            ('a', "ignore bob"),
            ('b', "say What?"),
            ('b', "emote frowns"),
            ('b', "get red"),
            ('a', "ignore"),
            ('a', "ignore bob"),
            ('b', "say Oh."),
            ('b', "tell anna Oh."),
        ],
        "You tell Anna, \"Oh.\"\n",
        &[('a', "ignore me"), ('a', "ignore cara"), ('a', "ignore bob"), ('b', "tell anna Hello?")],
        "Anna does not listen to you.\n",
    ),
    row(
        "description",
        &[('a', "description Tall and in a hurry."), ('b', "look at anna")],
        "Anna: Tall and in a hurry.\n",
        &[('a', "description"), ('b', "look anna")],
        "Anna: nothing special.\n",
    ),
    row(
        "title",
        &[('a', "title the Tall"), ('b', "look at anna"), ('b', "who"), ('a', "title")],
        "You are Anna.\n",
        &[('g', "title the Great")],
        "That is for players, of whom more is kept.",
    ),
    row(
        "alias",
        &[
            ('a', "alias"),
            ('a', "alias gg get"),
            ('a', "gg red apple"),
            ('a', "alias Hi say Hi,"),
            ('a', "hi Bob."),
            ('a', "alias"),
        ],
        "Your own words:\ngg: get\nhi: say Hi,\n",
        &[
            ('a', "alias gg"),
            ('a', "alias get drop"),
            ('a', "alias n say Never."),
            ('a', "alias 2nd get 2.apple"),
            ('a', "alias loop loop"),
            ('a', "loop"),
            ('g', "alias gg get all"),
        ],
        "That is for players, of whom more is kept.",
    ),
    row(
        "unalias",
        &[('a', "alias gg get all"), ('a', "unalias GG"), ('a', "gg")],
        "There is no command `gg`.",
        &[('a', "unalias gg")],
        "You have no such word. Usage: unalias",
    ),
    row(
        "brief",
        &[('a', "brief on"), ('a', "n")],
        "The Inn\n",
        &[('a', "brief"), ('a', "brief maybe")],
        "That is nothing it can be. Usage: brief",
    ),
    row(
        "prompt",
        &[('a', "prompt off")],
        "Prompt: off\n",
        &[('a', "prompt auto")],
        "That is nothing it can be. Usage: prompt",
    ),
    row(
        "colour",
        &[('a', "colour off")],
        "Colour: off\n",
        &[('a', "colour red")],
        "That is nothing it can be. Usage: colour",
    ),
    row(
        "width",
        &[('a', "width 20"), ('a', "look well"), ('a', "width auto")],
        "Width: auto\n",
        &[('a', "width 19")],
        "That is nothing it can be. Usage: width",
    ),
    row(
        "screenreader",
        &[('a', "screenreader on"), ('a', "look"), ('a', "screenreader off")],
        "Screenreader: off\n",
        &[('a', "screenreader loud")],
        "That is nothing it can be. Usage: screenreader",
    ),
    row(
        "keepalive",
        &[('a', "keepalive off")],
        "Keepalive: off\n",
        &[('a', "keepalive 5")],
        "That is nothing it can be. Usage: keepalive",
    ),
    row(
        "password",
        &[('a', "password")],
        "The password of Anna: ",
        &[('g', "password")],
        "That is for players, of whom more is kept.",
    ),
    row(
        "register",
        &[('g', "get red"), ('g', "register Zoe"), ('g', "i")],
        "a red apple\n",
        &[('a', "register Zoe"), ('g', "register anna"), ('g', "register x")],
        "A name has 3 to 16 letters",
    ),
    row(
        "help",
        &[('a', "help"), ('a', "help get"), ('a', "help speaking"), ('a', "help apple")],
        "`2.apple` is the second apple.",
        &[('a', "help xyzzy")],
        "No command has to do with that.",
    ),
    row("commands", &[('a', "commands")], "inventory", &[('a', "comands")], "Do you mean `commands`?"),
    row(
        "quit",
        &[('a', "quit")],
        "Goodbye. What you carry stays with you.\n",
        &[('g', "get red"), ('g', "quit")],
        "Goodbye. What you carried lies where you stood.\n",
    ),
];

/// What was typed and read, and what the last one read who typed.
fn play(lines: Lines, is_read_aloud: bool, transcript: &mut String) -> String {
    let mut visit = Visit::new();
    visit.reads_aloud = is_read_aloud;
    let (anna, bob) = (visit.player("Anna").0, visit.player("Bob").0);
    let mut people: Vec<(char, &str, Number)> = vec![('a', "Anna", anna), ('b', "Bob", bob)];
    if lines.iter().any(|(who, _)| *who == 'g') {
        let guest = visit.arrive();
        visit.line(guest, "guest");
        people.push(('g', "the guest", guest));
    }
    visit.read.clear();
    let mut last = String::new();
    for (who, line) in lines {
        let (_, name, number) = *people.iter().find(|(letter, ..)| letter == who).unwrap();
        last = visit.line(number, line);
        let answer = last.trim_end_matches("> ").trim();
        assert!(!answer.is_empty(), "{line} is answered by silence");
        transcript.push_str(&format!("{name} types: {line}\n"));
        let others = people.iter().filter(|(_, _, other)| *other != number);
        let others: Vec<(&str, String)> = others.map(|(_, name, other)| (*name, visit.read(*other))).collect();
        let all = [(name, last.clone())].into_iter().chain(others);
        for (name, text) in all.filter(|(_, text)| !text.is_empty()) {
            if is_read_aloud && *line != "screenreader off" {
                check_read_aloud(&text);
            }
            text.trim_start_matches('\n').lines().for_each(|line| {
                transcript.push_str(format!("    {name} | {line}").trim_end());
                transcript.push('\n');
            });
        }
        assert_eq!(visit.world.violations(), [""; 0], "{line}");
    }
    last
}

/// What a screen reader is given is as blind players want it.
pub fn check_read_aloud(text: &str) {
    for line in text.lines() {
        assert!(!line.trim().is_empty(), "an empty line in {text:?}");
        assert!(!line.starts_with(' '), "{line:?} begins with a space");
        assert!(!line.contains('\u{1b}') && !line.ends_with("> "), "{line:?} has colours or a prompt");
        assert!(line.chars().all(|c| !('\u{2500}'..='\u{259f}').contains(&c) && c != '`'), "{line:?} has signs");
        let signs: Vec<bool> = line.chars().map(|c| c.is_ascii_punctuation() && c != '"' && c != '.').collect();
        assert!(!signs.windows(2).any(|pair| pair == [true, true]), "{line:?} has a row of signs");
        let loud = |word: &str| word.chars().filter(|c| c.is_alphabetic()).count() > 1 && word == word.to_uppercase();
        assert!(!line.split(' ').any(|word| word.chars().any(char::is_alphabetic) && loud(word)), "{line:?} is loud");
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sessions").join(name)
}

fn check_transcript(name: &str, is_read_aloud: bool) {
    let mut transcript = String::new();
    for row in ROWS {
        for (how, lines, expected) in [("used well", row.good, row.shows), ("used badly", row.bad, row.says)] {
            transcript.push_str(&format!("=== {}, {how}\n", row.word));
            let read = play(lines, is_read_aloud, &mut transcript);
            let expected = if is_read_aloud { expected.replace('`', "") } else { expected.to_owned() };
            // Where a line ends in a list, a screen reader has it otherwise.
            assert!(is_read_aloud || read.contains(&expected), "{lines:?} shows {read:?} and not {expected:?}");
            transcript.push('\n');
        }
    }
    if std::env::var_os("SESSIONS_REWRITE").is_some() {
        fs::write(path(name), &transcript).unwrap();
    }
    let kept = fs::read_to_string(path(name)).unwrap();
    let differs = kept.lines().zip(transcript.lines()).find(|(kept, now)| kept != now);
    assert!(kept == transcript, "{name} differs, first in {differs:?}; SESSIONS_REWRITE=1 writes it anew");
}

#[test]
fn every_command_has_a_row() {
    for command in COMMANDS {
        assert!(ROWS.iter().any(|row| row.word == command.words[0]), "{} has no row", command.words[0]);
    }
    assert_eq!(ROWS.len(), COMMANDS.len());
    for word in COMMANDS.iter().flat_map(|command| command.words) {
        assert!(find(word).is_some_and(|command| command.words.contains(word)));
    }
    let mut words: Vec<&str> = COMMANDS.iter().flat_map(|command| command.words.iter().copied()).collect();
    words.sort();
    assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "two commands have one word: {words:?}");
}

#[test]
fn every_command_is_answered_as_its_transcript_has_it() {
    check_transcript("plain.txt", false);
}

#[test]
fn a_screen_reader_is_given_what_its_transcript_has_and_nothing_that_disturbs() {
    check_transcript("screen_reader.txt", true);
}
