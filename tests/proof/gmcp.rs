//! What a client is told beside the text: all of it, at once, never twice, and in lines that do what they say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aqevia_engine::limits::{
    ABSENCE_MS_MAX, COMMAND_BURST, COMMAND_PACE_MS, IDLE_WARNING_MS, LISTED_MAX, LOGINS_FREE, OUTPUT_BYTES_MAX,
    PLAYERS_MAX,
};
use aqevia_engine::session::terminal::{Messages, Terminal};
use aqevia_engine::session::{Moment, Number};
use aqevia_engine::storage::worldfile::BUILTIN;
use aqevia_engine::world::{Entity, EntityId, Kind, Parts, World, unheard};
use rusqlite::Connection;

use crate::folder::WALL;
use crate::visit::{Visit, password_in};
use crate::worlds;

/// What people have learnt by messages.
struct Clients {
    visit: Visit,
    json: Connection,
}

impl Clients {
    fn new(world: World) -> Clients {
        let mut visit = Visit::to(world);
        visit.takes_gmcp = true;
        Clients { visit, json: Connection::open_in_memory().unwrap() }
    }

    fn town() -> Clients {
        Clients::new(worlds::world(crate::visit::TOWN, 1))
    }

    /// Somebody comes in as a guest.
    fn guest(&mut self) -> Number {
        let number = self.visit.arrive();
        self.visit.line(number, "guest");
        number
    }

    /// The messages that a session has been sent since it was asked last, each as a line.
    fn told(&mut self, number: Number) -> Vec<String> {
        let messages = self.visit.messages.remove(&number).unwrap_or_default();
        let line = |(package, json): (&str, String)| format!("{package} {json}").trim_end().to_owned();
        messages.into_iter().map(line).collect()
    }

    /// The same after a line.
    fn told_after(&mut self, number: Number, line: &str) -> Vec<String> {
        self.told(number);
        self.visit.line(number, line);
        self.told(number)
    }

    /// The packages of these, and of lists which.
    fn kinds_after(&mut self, listener: Number, talker: Number, line: &str) -> Vec<String> {
        self.told(listener);
        self.visit.line(talker, line);
        self.kinds(listener)
    }

    fn kinds(&mut self, number: Number) -> Vec<String> {
        let kind = |message: &String| match message.split_once("\"location\":\"") {
            Some((_, rest)) => rest.split('"').next().unwrap().to_owned(),
            None => message.split(' ').next().unwrap().to_owned(),
        };
        self.told(number).iter().map(kind).collect()
    }

    /// What a session has been told last of a kind since it was asked: all of these values in it, in their order.
    fn values(&mut self, json: &str, paths: &str) -> Vec<String> {
        let query = "SELECT value FROM json_tree(?1) WHERE atom IS NOT NULL AND fullkey GLOB ?2 ORDER BY id";
        let mut statement = self.json.prepare(query).unwrap();
        let rows = statement.query_map([json, paths], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        let text = |value| match value {
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Integer(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        rows.map(|row| text(row.unwrap())).collect()
    }

    fn is_json(&self, text: &str) -> bool {
        self.json.query_row("SELECT json_valid(?1)", [text], |row| row.get(0)).unwrap()
    }

    /// What a client shows that is told everything anew.
    fn anew(&mut self, number: Number) -> BTreeMap<&'static str, Vec<String>> {
        self.told(number);
        for gmcp in [Messages::None, Messages::All] {
            self.visit.turn(|people, _| people.show_on(number, &Terminal { gmcp, ..Terminal::default() }));
        }
        let mut shown: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (package, json) in self.visit.messages.remove(&number).unwrap() {
            assert!(self.is_json(&json), "{package} {json}");
            shown.entry(package).or_default().push(json);
        }
        shown
    }

    /// A guest whose client names what it takes, as those of telnet do.
    fn mapper(&mut self, supports: &str) -> Number {
        self.visit.takes_gmcp = false;
        let number = self.visit.arrive();
        let terminal = Terminal { gmcp: Messages::Named, ..Terminal::default() };
        self.visit.turn(|people, _| people.show_on(number, &terminal));
        self.message(number, "Core.Supports.Set", supports);
        self.visit.line(number, "guest");
        self.visit.takes_gmcp = true;
        number
    }

    fn message(&mut self, number: Number, package: &str, json: &str) -> Vec<String> {
        self.told(number);
        self.visit.now = self.visit.now.max(self.visit.people.takes_at(number));
        self.visit.turn(|people, moment| people.message(number, package, json, moment));
        self.told(number)
    }
}

#[test]
fn whoever_comes_in_is_told_what_is_awaited_then_who_and_where_they_are_and_at_last_goodbye() {
    let mut clients = Clients::town();
    let anna = clients.visit.arrive();
    assert_eq!(clients.told(anna), ["Aqevia.Login {\"awaits\":\"name\"}"]);
    assert_eq!(clients.told_after(anna, ""), [""; 0]);
    assert_eq!(clients.told_after(anna, "anna"), ["Aqevia.Login {\"awaits\":\"confirmation\"}"]);
    assert_eq!(clients.told_after(anna, "what"), [""; 0]);
    clients.told(anna);
    let password = password_in(&clients.visit.line(anna, "yes"));
    let square = [
        "Aqevia.Login {\"awaits\":\"command\"}",
        "Char.Name {\"name\":\"Anna\",\"fullname\":\"Anna\",\"guest\":false}",
        "Room.Info {\"num\":1,\"name\":\"The Square\",\"area\":\"The Town\",\"environment\":\"outdoors\",\
         \"exits\":{\"e\":3,\"n\":2,\"old gate\":3}}",
    ];
    let told = clients.told(anna);
    assert_eq!(told[0], format!("Aqevia.Password {{\"name\":\"Anna\",\"password\":\"{password}\"}}"));
    assert_eq!(told[1..4], square);
    assert!(told[4].starts_with("Char.Items.List {\"location\":\"room\",\"items\":[{\"id\":\""), "{}", told[4]);
    for item in [
        "\"name\":\"old Alse\",\"attrib\":\"m\",\"do\":[\"look at old Alse\"]}",
        "\"name\":\"a red apple\",\"attrib\":\"t\",\"do\":[\"examine a red apple\",\"get a red apple\"]}",
        "\"name\":\"a bag\",\"attrib\":\"ct\",\"do\":[\"examine a bag\",\"get a bag\",\"look in a bag\"]}",
        "\"name\":\"the well\",\"attrib\":\"\",\"do\":[\"examine the well\"]}",
    ] {
        assert!(told[4].contains(item), "{item} in {}", told[4]);
    }
    assert_eq!(told[5..], ["Char.Items.List {\"location\":\"inv\",\"items\":[]}", "Room.Players []"]);

    let told = clients.told_after(anna, "n");
    let inn = "Room.Info {\"num\":2,\"name\":\"The Inn\",\"area\":\"The Town\",\"environment\":\"indoors\",\"exits\":{\"s\":1}}";
    assert_eq!(told, [inn, "Char.Items.List {\"location\":\"room\",\"items\":[]}"]);
    let words = "Goodbye. What you carry stays with you.";
    assert_eq!(clients.told_after(anna, "quit"), [format!("Core.Goodbye \"{words}\"")]);
    // Nothing follows, whatever happens.
    let bob = clients.guest();
    clients.visit.turn(|people, _| people.announce("Tea is ready."));
    clients.visit.turn(|people, moment| people.message(anna, "Core.Ping", "", moment));
    assert_eq!(clients.told(anna), [""; 0]);
    let told = clients.told(bob);
    assert!(
        told.iter().any(
            |message| message.starts_with("Char.Name {\"name\":\"Guest1\",\"fullname\":\"Guest1\",\"guest\":true}")
        ),
        "{told:?}"
    );
    assert_eq!(clients.told_after(bob, "quit"), ["Core.Goodbye \"Goodbye. What you carried lies where you stood.\""]);
    // Whoever has been there is asked for the password, and told nothing of a place before it is right.
    let again = clients.visit.arrive();
    assert_eq!(clients.told_after(again, "anna"), ["Aqevia.Login {\"awaits\":\"password\"}"]);
    assert_eq!(clients.told_after(again, "wrong"), ["Aqevia.Login {\"awaits\":\"name\"}"]);
    clients.visit.line(again, "anna");
    let told = clients.told_after(again, &password);
    assert_eq!((told[..2].to_vec(), told[2].as_str()), (square[..2].iter().map(|it| it.to_string()).collect(), inn));
    let other = clients.told_after(again, "password");
    assert!(other[0].starts_with("Aqevia.Password {\"name\":\"Anna\"") && other.len() == 1, "{other:?}");
}

#[test]
fn who_has_to_wait_or_is_not_let_in_is_told_so() {
    let mut clients = Clients::town();
    let waiting = clients.visit.arrive_from("192.0.2.1");
    clients.told(waiting);
    let mut last = 0;
    for _ in 0..=LOGINS_FREE {
        last = clients.visit.arrive_from("192.0.2.1");
        clients.told(last);
        clients.visit.turn(|people, moment| people.line(last, "guest", moment));
    }
    assert_eq!(clients.told(last), ["Aqevia.Login {\"awaits\":\"turn\"}"]);
    clients.visit.pass(std::time::Duration::from_secs(1));
    let kinds = clients.kinds(last);
    assert_eq!(kinds, ["Aqevia.Password", "Aqevia.Login", "Char.Name", "Room.Info", "room", "inv", "Room.Players"]);
    // Where there is no room they may give a name instead.
    clients.visit.turn(|people, moment| people.line(waiting, "guest", moment));
    assert_eq!(clients.told(waiting), ["Aqevia.Login {\"awaits\":\"turn\"}"]);
    (0..PLAYERS_MAX).for_each(|n| _ = clients.visit.world.add_player(&n.to_string(), None));
    clients.visit.pass(std::time::Duration::from_secs(2));
    assert_eq!(clients.told(waiting), ["Aqevia.Login {\"awaits\":\"name\"}"]);
    clients.visit.people.is_closed = true;
    let late = clients.visit.arrive();
    assert_eq!(clients.told(late), ["Core.Goodbye \"The world is closed just now. Come again later.\""]);
}

#[test]
fn words_of_others_and_ones_own_are_told_beside_the_text_but_not_those_of_whom_one_ignores() {
    let mut clients = Clients::town();
    let (anna, bob) = (clients.guest(), clients.guest());
    for (line, channel, own, other) in [
        ("say Hello, \"you\".", "say", "You say, \"Hello, \"you\".\"", "Guest1 says, \"Hello, \"you\".\""),
        ("shout Hello.", "shout", "You shout, \"Hello.\"", "Guest1 shouts, \"Hello.\""),
        ("whisper guest2 Hello.", "whisper", "You whisper to Guest2, \"Hello.\"", "Guest1 whispers to you, \"Hello.\""),
        ("tell guest2 Hello.", "tell", "You tell Guest2, \"Hello.\"", "Guest1 tells you, \"Hello.\""),
    ] {
        clients.told(bob);
        let told = [clients.told_after(anna, line), clients.told(bob)];
        for (told, words) in told.into_iter().zip([own, other]) {
            let expected = ["channel", channel, "talker", "Guest1", "text", words];
            let json = told[0].strip_prefix("Comm.Channel.Text ").unwrap().to_owned();
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(clients.values(&json, "$.*"), [expected[1], expected[3], expected[5]]);
        }
        assert!(clients.visit.read(bob).contains(other));
    }
    assert_eq!(clients.kinds_after(bob, anna, "emote waves"), [""; 0]);
    clients.visit.line(bob, "ignore guest1");
    assert_eq!(clients.kinds_after(bob, anna, "say Hello?"), [""; 0]);
    // Creatures speak too.
    let mut clients = Clients::new(worlds::world(
        "{ id: \"p\", name: \"P\", rooms: { a: { name: \"A\", description: \"x\" } }, creatures: { parrot: { name: \
         \"a parrot\", description: \"x\", in: \"a\", habits: { say: { every_minutes: 1, lines: [\"Rain.\"] } } } } }",
        1,
    ));
    let anna = clients.guest();
    clients.told(anna);
    (0..10).for_each(|_| {
        let Visit { world, people, .. } = &mut clients.visit;
        world.tick(&mut |world, effect| people.hear(world, effect));
    });
    clients.visit.turn(|_, _| ());
    let text = "{\"channel\":\"say\",\"talker\":\"a parrot\",\"text\":\"A parrot says, \\\"Rain.\\\"\"}";
    assert_eq!(clients.told(anna), [format!("Comm.Channel.Text {text}")]);
}

#[test]
fn a_client_is_answered_counted_and_not_taken_for_somebody_who_is_there() {
    let mut clients = Clients::town();
    let stranger = clients.visit.arrive();
    assert_eq!(clients.message(stranger, "Core.Ping", ""), ["Core.Ping"]);
    assert_eq!(clients.message(stranger, "Comm.Channel.Players", ""), [""; 0], "who is not in learns of nobody");
    let (anna, bob) = (clients.guest(), clients.guest());
    clients.visit.drop(bob);
    let people = "Comm.Channel.Players [{\"name\":\"Guest1\",\"away\":false},{\"name\":\"Guest2\",\"away\":true}]";
    assert_eq!(clients.message(anna, "comm.channel.PLAYERS", "{}"), [people]);
    for (package, json) in [
        ("Core.Hello", "{\"client\":\"x\",\"version\":\"1\"}"),
        ("Core.Supports.Set", "[\"Room 1\"]"),
        ("Core.Pings", ""),
        ("Char.Login", "{\"name\":\"Anna\"}"),
        ("", "\u{0}"),
    ] {
        assert_eq!(clients.message(anna, package, json), [""; 0], "{package}");
    }
    // Beside a message a prompt stands where it did.
    clients.visit.read(anna);
    clients.message(anna, "Core.Ping", "");
    clients.visit.turn(|people, _| people.announce("Tea is ready."));
    assert_eq!(clients.visit.read(anna), "\n** Tea is ready.\n> ");
    // They have the pace of lines.
    clients.visit.pass(std::time::Duration::from_millis(COMMAND_PACE_MS * COMMAND_BURST));
    let mut at_once = 0;
    while clients.visit.people.takes_at(anna) <= clients.visit.now && at_once < 2 * COMMAND_BURST {
        clients.visit.turn(|people, moment| people.message(anna, "Core.Ping", "", moment));
        at_once += 1;
    }
    assert_eq!(at_once, COMMAND_BURST + 1);
    for _ in 0..IDLE_WARNING_MS / 10_000 {
        clients.visit.pass(std::time::Duration::from_secs(10));
        clients.message(anna, "Core.Ping", "");
    }
    assert!(clients.visit.read(anna).contains("You have done nothing for a while."));
}

#[test]
fn what_is_around_somebody_is_told_when_it_changes_whoever_changes_it_and_never_twice() {
    let mut clients = Clients::town();
    let (anna, bob) = (clients.guest(), clients.guest());
    clients.told(anna);
    for (line, own, others) in [
        ("look", &[][..], &[][..]),
        ("i", &[], &[]),
        ("sit", &[], &[]),
        ("get red apple", &["room", "inv"], &["room"]),
        ("get basket", &["room", "inv"], &["room"]),
        ("put red in basket", &["inv"], &[]),
        ("get red from basket", &["inv"], &[]),
        ("get well", &[], &[]),
        ("drop red", &["room", "inv"], &["room"]),
        ("get pear", &["room", "inv"], &["room"]),
        ("give pear to guest1", &["inv"], &["inv"]),
        ("down", &["Room.WrongDir"], &[]),
        ("north", &["Room.Info", "room", "inv", "Room.Players"], &["Room.Players"]),
        ("out", &["Room.WrongDir"], &[]),
        ("go cellar", &[], &[]),
        ("s", &["Room.Info", "room", "inv", "Room.Players"], &["Room.Players"]),
        // Where they go there is nothing to put the basket into.
        ("e", &["Room.Info", "room", "inv", "Room.Players"], &["Room.Players"]),
        ("w", &["Room.Info", "room", "inv", "Room.Players"], &["Room.Players"]),
        ("description Tall.", &[], &[]),
        ("register Zoe", &["Aqevia.Password", "Char.Name"], &["Room.Players"]),
        ("password", &["Aqevia.Password"], &[]),
        ("quit", &["Core.Goodbye"], &["Room.Players"]),
    ] {
        assert_eq!(clients.kinds_after(bob, bob, line), own, "{line}");
        assert_eq!(clients.kinds(anna), others, "{line}");
    }
    assert!(clients.visit.read(anna).contains("Guest2 is Zoe from now on.\n"));
    let cara = clients.guest();
    assert_eq!(clients.kinds(anna), ["Room.Players"]);
    clients.visit.line(cara, "get green");
    clients.visit.drop(cara);
    clients.told(anna);
    clients.visit.pass(std::time::Duration::from_millis(ABSENCE_MS_MAX));
    assert_eq!(clients.kinds(anna), ["room", "Room.Players"], "what a guest held lies where they stood");
    // What a creature does is noticed too, and what comes without a word.
    let mut clients = Clients::new(worlds::world(&worlds::restless(1, 1), 1));
    let anna = clients.guest();
    clients.visit.line(anna, "look");
    let mut kinds = BTreeSet::new();
    for _ in 0..100 {
        clients.visit.turn(|_, _| ());
        clients.told(anna);
        clients.visit.read(anna);
        let room = |clients: &Clients| {
            let world = &clients.visit.world;
            let all = world
                .entities()
                .filter(|it| it.kind != Kind::Player && it.location == Some(world.first_room().unwrap()));
            all.map(|it| it.id).collect::<Vec<_>>()
        };
        let before = room(&clients);
        clients.visit.turn(|people, moment| moment.world.tick(&mut |world, effect| people.hear(world, effect)));
        let (after, told, text) = (room(&clients), clients.kinds(anna), clients.visit.read(anna));
        assert_eq!(told.contains(&"room".to_owned()), before != after, "{before:?} {after:?}");
        kinds.insert((before.len() < after.len(), text.is_empty()));
    }
    assert!(kinds.contains(&(true, true)), "nothing has come without a word");
}

#[test]
fn without_gmcp_there_are_no_messages_and_whoever_turns_it_on_is_told_everything() {
    let mut clients = Clients::town();
    clients.visit.takes_gmcp = false;
    let (anna, bob) = (clients.guest(), clients.guest());
    clients.visit.lines(bob, &["get red", "say Hello.", "tell guest1 Hello.", "n"]);
    assert_eq!(clients.message(anna, "Core.Ping", ""), [""; 0]);
    assert!(clients.visit.messages.values().all(Vec::is_empty));
    let shown = clients.anew(anna);
    let packages: Vec<&str> = shown.keys().copied().collect();
    assert_eq!(packages, ["Aqevia.Login", "Char.Items.List", "Char.Name", "Room.Info", "Room.Players"]);
    assert_eq!(clients.anew(anna), shown);
}

#[test]
fn however_much_there_is_lists_and_what_waits_have_an_end() {
    let mut text =
        String::from("{ id: \"m\", name: \"M\", rooms: { a: { name: \"A\", description: \"x\" } }, things: {\n");
    for n in 0..LISTED_MAX + 50 {
        text += &format!("t{n}: {{ name: \"thing {n}\", description: \"x\", in: \"a\" }},\n");
    }
    let mut clients = Clients::new(worlds::world(&(text + "} }"), 1));
    let anna = clients.guest();
    for n in 0..LISTED_MAX as u64 + 50 {
        let letter = |n: u64| char::from(b"abcdefghjkmnopqrstuv"[n as usize % 20]);
        let name: String = ['X', letter(n / 400), letter(n / 20), letter(n)].iter().collect();
        let number = 1_000 + n;
        clients.visit.turn(|people, moment| {
            let id = moment.world.add_player(&name, None).unwrap();
            moment.world.wake(id, &mut |world, effect| people.hear(world, effect));
            people.arrive(number, None, &Terminal::default(), moment);
            people.line(number, "guest", moment);
            people.part(number, moment.now);
        });
    }
    let shown = clients.anew(anna);
    let count = |clients: &mut Clients, json: &str| clients.values(json, "*name").len();
    let [room, _] = shown["Char.Items.List"].as_slice() else { panic!() };
    assert_eq!(clients.values(room, "$.items*.name").len(), LISTED_MAX);
    assert_eq!(clients.values(&shown["Room.Players"][0], "$*.name").len(), LISTED_MAX);
    let people = clients.message(anna, "Comm.Channel.Players", "").remove(0);
    assert_eq!(count(&mut clients, people.split_once(' ').unwrap().1), LISTED_MAX);
    // Who does not read is not kept ever more for.
    let Visit { world, people, now, .. } = &mut clients.visit;
    let mut random = || [0; 10];
    let mut moment = Moment { world, now: *now, wall: WALL, random: &mut random };
    for _ in 0..OUTPUT_BYTES_MAX {
        people.message(anna, "Core.Ping", "", &mut moment);
    }
    people.line(anna, "look", &mut moment);
    let output = people.take_output(anna, moment.world, *now).unwrap();
    assert_eq!(output.messages.len(), OUTPUT_BYTES_MAX / "Core.Ping".len());
    assert!(output.text.contains("Missing here: "), "{}", output.text);
    people.message(anna, "Core.Ping", "", &mut moment);
    assert_eq!(people.take_output(anna, moment.world, *now).unwrap().messages.len(), 1);
}

#[test]
fn a_guest_whose_client_was_given_a_password_comes_back_to_the_same_body_while_it_is_there() {
    let mut clients = Clients::town();
    let (guest, bob) = (clients.visit.arrive(), clients.visit.player("Bob").0);
    let told = clients.told_after(guest, "guest");
    let json = told[0].strip_prefix("Aqevia.Password ").unwrap().to_owned();
    let [name, password] = clients.values(&json, "$.*").try_into().unwrap();
    assert_eq!(name, "Guest1");
    assert!(!clients.visit.read.values().any(|text| text.contains(&password)));
    clients.visit.line(guest, "get red");
    clients.visit.drop(guest);
    clients.visit.line(bob, "say Are you there?");
    // As it is with players: asked, counted, logged.
    let again = clients.visit.arrive_from("192.0.2.7");
    assert_eq!(clients.visit.line(again, "guest1"), "Password: ");
    let failures = clients.visit.people.counts.failures;
    assert!(clients.visit.line(again, "wrong").contains("That is not the password of Guest1."));
    assert_eq!(clients.visit.people.counts.failures, failures + 1);
    let logged: Vec<String> = clients.visit.people.notes.drain(..).map(|line| line.text).collect();
    assert!(logged.iter().any(|line| line.contains("a login failed\" name=Guest1 address=192.0.2.7")), "{logged:?}");
    assert!(!logged.concat().contains(&password));
    let text = clients.visit.lines(again, &["GUEST1", &password]);
    assert!(text.contains("What you missed:\nBob says, \"Are you there?\"\n"), "{text}");
    assert!(clients.visit.line(again, "i").contains("a red apple"));
    // Who registers has a password of their own, and that of the guest is none any more.
    let own = password_in(&clients.visit.line(again, "register Zoe"));
    let third = clients.visit.arrive();
    assert!(clients.visit.lines(third, &["zoe", &password]).contains("That is not the password of Zoe."));
    assert!(clients.visit.line(third, "guest1").starts_with("A name has 3 to 16 letters"));
    assert!(clients.visit.lines(third, &["zoe", &own, "i"]).contains("a red apple"));
    // When the body has gone there is nothing to come back to, even for who was about to.
    let guest = clients.visit.arrive();
    let told = clients.told_after(guest, "guest");
    let password = clients.values(told[0].strip_prefix("Aqevia.Password ").unwrap(), "$.password").remove(0);
    clients.visit.drop(guest);
    clients.visit.pass(std::time::Duration::from_millis(ABSENCE_MS_MAX - 1));
    let late = clients.visit.arrive();
    assert_eq!(clients.visit.line(late, "guest2"), "Password: ");
    clients.visit.pass(std::time::Duration::from_millis(1));
    assert!(clients.visit.line(late, &password).starts_with("\nThat guest has gone meanwhile. Your name, please."));
    assert!(clients.visit.line(late, "guest2").starts_with("A name has 3 to 16 letters"));
    // A guest without GMCP has none, and nobody is asked for it.
    clients.visit.takes_gmcp = false;
    let plain = clients.guest();
    clients.visit.drop(plain);
    let stranger = clients.visit.arrive();
    assert!(clients.visit.line(stranger, "guest3").starts_with("A name has 3 to 16 letters"));
}

/// A town in which hardly anything is called so that nothing else is.
const ALIKE: &str = r#"{ id: "alike", name: "Al\"ike\\", rooms: {
  a: { name: "\"A\" <b>&amp;</b>", description: "x", exits: { north: "b", in: "b", "in the well": "b", "look out": "b",
    sit: "b", "up the ladder": "b", "'s gate": "b", "2": "b", "North gate": "b", e: "b" } },
  b: { name: "日本", description: "x", exits: { out: "a" } },
}, things: {
  an: { name: "an apple", description: "x", in: "a" }, the: { name: "the apple", description: "x", in: "a" },
  tree: { name: "an apple tree", description: "x", in: "a", fixed: true },
  two: { name: "2.apple", description: "x", in: "a" }, bare: { name: "apple", description: "x", in: "a" },
  letter: { name: "a letter from home", description: "x", in: "a" }, home: { name: "home", description: "x", in: "a", fixed: true },
  stone: { name: "a stone out of place", description: "x", in: "a" }, other: { name: "the other king's men", description: "x", in: "a" },
  all: { name: "all the king's men", description: "x", in: "a" },
  note: { name: "a note on paper", description: "x", in: "a" }, around: { name: "around", description: "x", in: "a" },
  box: { name: "a box", description: "x", in: "a", container: true }, chest: { name: "the box", description: "x", in: "a", container: true },
  mine: { name: "me", description: "x", in: "a" }, quoted: { name: "a \"red\" \\ ruby", description: "x", in: "a" },
  on: { name: "a lamp turned on", description: "x", in: "a" }, pear: { name: "a pear", description: "x", in: "a" },
  pear2: { name: "a pear", description: "x", in: "a" },
}, creatures: {
  apple: { name: "Apple", description: "x", in: "a" }, at: { name: "at the gate", description: "x", in: "a" },
} }"#;

/// What a list offers of each that is in it: its name, its marks, the lines.
fn offers(clients: &mut Clients, number: Number, package: &str, place: usize) -> Vec<(String, String, Vec<String>)> {
    let json = clients.anew(number)[package][place].clone();
    let top = if package == "Room.Players" { "$" } else { "$.items" };
    let names = clients.values(&json, &format!("{top}*.name"));
    let row = |(row, name)| {
        let [marks, lines] = ["attrib", "do*"].map(|key| clients.values(&json, &format!("{top}[[]{row}].{key}")));
        (name, marks.concat(), lines)
    };
    names.into_iter().enumerate().map(row).collect()
}

/// Lets somebody type a line that is offered for something, and checks that it does what it says to what it names.
fn check_line(clients: &mut Clients, number: Number, name: &str, line: &str, container: Option<&str>) {
    let typed = match (line.strip_suffix(' '), container) {
        (None, _) => line.to_owned(),
        (Some(put), Some(container)) if put.starts_with("put ") => format!("{put} {container}"),
        (Some(words), _) => format!("{words} hello"),
    };
    let expected = match line.split(' ').next().unwrap() {
        "get" => format!("You pick up {name}."),
        "drop" => format!("You put down {name}."),
        "put" => format!("You put {name} into {}.", container.unwrap()),
        "tell" => format!("You tell {name}, \"hello\""),
        "whisper" => format!("You whisper to {name}, \"hello\""),
        _ => capitalised(name) + ": ",
    };
    let text = clients.visit.line(number, &typed).replace('\n', " ");
    assert!(text.starts_with(&expected), "{typed}: {text}");
    if typed.starts_with("put ") {
        // A name in which there is a word of `get` is taken apart there.
        let what = if name.contains(" from ") || name.contains(" out of ") { "all" } else { name };
        let text = clients.visit.line(number, &format!("get {what} from {}", container.unwrap()));
        assert!(text.starts_with("You take"), "{text}");
    }
}

fn capitalised(name: &str) -> String {
    name.chars().take(1).flat_map(char::to_uppercase).chain(name.chars().skip(1)).collect()
}

/// Lets somebody type every line that is offered where they are. All is where it was then. Returns the lines.
fn check_lines(clients: &mut Clients, number: Number) -> Vec<String> {
    let mut typed = Vec::new();
    let room = offers(clients, number, "Char.Items.List", 0);
    let mut check = |clients: &mut Clients, offers: &[(String, String, Vec<String>)], of: &dyn Fn(&str) -> bool| {
        for (name, _, lines) in offers {
            let other = room.iter().find(|(other, marks, _)| marks.contains('c') && other != name);
            for line in lines.iter().filter(|line| of(line)) {
                check_line(clients, number, name, line, other.map(|(name, ..)| name.as_str()));
                typed.push(line.clone());
            }
        }
    };
    check(clients, &room, &|_| true);
    let people = offers(clients, number, "Room.Players", 0);
    check(clients, &people, &|_| true);
    let carried = offers(clients, number, "Char.Items.List", 1);
    check(clients, &carried, &|line| !line.starts_with("drop "));
    check(clients, &carried, &|line| line.starts_with("drop "));
    assert_eq!(offers(clients, number, "Char.Items.List", 1), []);
    typed
}

/// The ways out by the lines that lead there.
fn ways(clients: &mut Clients, number: Number) -> Vec<(String, u64)> {
    let info = clients.anew(number)["Room.Info"][0].clone();
    let mut statement = clients.json.prepare("SELECT key, value FROM json_each(?1, '$.exits')").unwrap();
    let rows = statement.query_map([&info], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).unwrap();
    rows.map(Result::unwrap).map(|(way, to)| (way, to.try_into().unwrap())).collect()
}

#[test]
fn every_line_that_is_offered_means_what_it_names_whatever_else_is_called_alike() {
    let mut clients = Clients::new(worlds::world(ALIKE, 1));
    let (anna, _) = (clients.guest(), clients.guest());
    let typed = check_lines(&mut clients, anna);
    assert!(typed.len() > 60, "{}", typed.len());
    // What `put` would take apart is not offered to be put anywhere.
    let put = |name: &str| typed.contains(&format!("put {name} in "));
    assert!(put("a letter from home") && put("the apple") && !put("a note on paper") && !put("a lamp turned on"));
    let ways = ways(&mut clients, anna);
    let keys: Vec<&str> = ways.iter().map(|(way, _)| way.as_str()).collect();
    let taken = ["go 's gate", "go North gate", "go e", "go in the well", "go look out", "go sit", "go up the ladder"];
    assert_eq!(keys, [&["2"], &taken[..], &["in", "n"]].concat());
    for (way, _) in ways {
        let text = clients.visit.line(anna, &way);
        assert!(text.starts_with("\u{65e5}\u{672c}\n"), "{way}: {text}");
        clients.visit.line(anna, "out");
    }
}

#[test]
fn every_line_of_every_room_of_the_built_in_world_does_what_it_says() {
    let mut clients = Clients::new(worlds::world(BUILTIN, 1));
    // Some have come up, and some were carried about.
    (0..5_000).for_each(|_| clients.visit.world.tick(&mut unheard));
    let (anna, bob) = (clients.guest(), clients.guest());
    let (mut seen, mut lines) = (BTreeSet::new(), 0);
    let rooms = clients.visit.world.counts()[Kind::Room as usize] as usize;
    while seen.len() < rooms {
        let here = clients.visit.world.entity(clients.visit.id("Guest1")).unwrap().location.unwrap();
        if seen.insert(here) {
            lines += check_lines(&mut clients, anna).len();
        }
        // On to the nearest room that they have not been to, both of them, by what is told of the ways.
        let next = next_room(&clients.visit.world, here, &seen);
        let ways = ways(&mut clients, anna);
        let Some((way, to)) = ways.into_iter().find(|(_, to)| Some(*to) == next) else { break };
        [anna, bob].into_iter().for_each(|number| _ = clients.visit.line(number, &way));
        assert_eq!(clients.visit.world.entity(clients.visit.id("Guest2")).unwrap().location.unwrap().get(), to);
    }
    assert_eq!(seen.len(), rooms);
    assert!(lines > 150, "{lines}");
}

/// The first room on the way from here to the nearest one that was not seen.
fn next_room(world: &World, here: EntityId, seen: &BTreeSet<EntityId>) -> Option<u64> {
    let (mut known, mut edge) = (BTreeSet::from([here]), VecDeque::from([(here, None)]));
    while let Some((room, first)) = edge.pop_front() {
        for exit in world.contents(room, Kind::Exit).filter(|exit| !exit.locked) {
            let to = exit.destination.unwrap();
            let first = first.unwrap_or(to);
            if !seen.contains(&to) {
                return Some(first.get());
            }
            if known.insert(to) {
                edge.push_back((to, Some(first)));
            }
        }
    }
    None
}

#[test]
fn whatever_is_called_how_every_message_is_json() {
    let hostile = [
        "\"",
        "\\",
        "\\\"",
        "a\u{0}b",
        "\u{1b}[2J\n\r\t\u{8}\u{c}",
        "\u{7f}\u{85}\u{2028}",
        "\u{65e5}\u{1f409}e\u{301}",
        "</script>",
        "{}",
        "",
    ];
    for name in hostile {
        let mut parts = Parts { id: "h".into(), name: name.into(), next_id: 6, ..Parts::default() };
        let id = |number| EntityId::new(number).unwrap();
        let place = |number, kind, at: Option<u64>| Entity {
            name: Some(name.into()),
            location: at.map(id),
            ..Entity::new(id(number), kind)
        };
        parts.entities.insert(place(1, Kind::Room, None));
        parts.entities.insert(Entity { destination: Some(id(1)), ..place(2, Kind::Exit, Some(1)) });
        parts.entities.insert(place(3, Kind::Thing, Some(1)));
        parts.entities.insert(place(4, Kind::Creature, Some(1)));
        let mut clients = Clients::new(World::restore(parts).unwrap());
        let anna = clients.guest();
        let shown = clients.anew(anna);
        assert_eq!(shown.len(), 5);
        let info = shown["Room.Info"][0].clone();
        assert_eq!(clients.values(&info, "$.area"), [name]);
        assert_eq!(clients.values(&info, "$.name"), [name]);
        let items = shown["Char.Items.List"][0].clone();
        assert_eq!(clients.values(&items, "$.items*.name"), [name, name]);
        let told = clients.told_after(anna, &format!("say {name}x"));
        assert!(told.iter().all(|message| clients.is_json(message.split_once(' ').unwrap().1)), "{told:?}");
    }
}

#[test]
fn a_client_that_names_what_it_takes_is_told_that_and_core_and_nothing_else() {
    let (login, char, comm) = (["Aqevia.Login"], ["Char.Name", "room", "inv"], ["Comm.Channel.Text"]);
    let all = ["Aqevia.Login", "Char.Name", "Room.Info", "room", "inv", "Room.Players"];
    for (supports, states, event) in [
        ("[\"Room 1\", \"Char 1\", \"Comm.Channel 1\"]", &all[1..], true),
        ("[ \"room 1\" , \"CHAR\",\"comm 2\",\"aqevia.login 1\" ]", &all[..], true),
        ("[\"Aqevia 1\"]", &["Aqevia.Password", "Aqevia.Login"], false),
        ("[\"Aqevia.Login 1\"]", &login, false),
        ("[\"Char 1\"]", &char, false),
        ("[\"Char.Items 1\"]", &char[1..], false),
        ("[\"Char.Items.List 1\", \"Room.Players\"]", &["room", "inv", "Room.Players"], false),
        ("[\"Char 1\", \"Char.Items 0\", \"Char.Name 0\"]", &[], false),
        ("[\"Comm.Channel 1\"]", &[], true),
        // Of any other shape it says nothing, or what can be read of it.
        ("", &[], false),
        ("[]", &[], false),
        ("null", &[], false),
        ("{\"Char\": 1}", &char, false),
        ("\"Char 1", &char, false),
        ("[\"\", \" \", \".\", \"Char.\", \"Cha\", \"Charm\", \"Char.Name.X\", \"Comm.Channe\"]", &[], false),
        ("[\"\\\"Char 1\\\"\"]", &[], false),
        ("[\"é\", \"Ché 1\", \"\u{0}Char 1\", \"Char\u{e9}\", \"Char\\u0020 1\"]", &[], false),
        ("[\"  Char   1  \"]", &char, false),
        ("\"\"\"\"\"\"Char\"", &[], false),
    ] {
        let mut clients = Clients::town();
        let (mapper, bob) = (clients.mapper(supports), clients.guest());
        let events: Vec<String> = clients.kinds(mapper);
        let (players, told): (Vec<&String>, Vec<&String>) = events.iter().partition(|kind| *kind == "Room.Players");
        let takes_players = states.contains(&"Room.Players");
        // Once alone, once with Bob.
        assert_eq!(players.len(), 2 * usize::from(takes_players), "{supports}");
        let others: Vec<&str> = states.iter().copied().filter(|kind| *kind != "Room.Players").collect();
        assert_eq!(told, others, "{supports}");
        let said = clients.kinds_after(mapper, bob, "say Hello.");
        assert_eq!(said, if event { &comm[..] } else { &[] }, "{supports}");
        assert_eq!(clients.message(mapper, "Core.Ping", ""), ["Core.Ping"], "{supports}");
        assert_eq!(clients.kinds_after(mapper, mapper, "quit"), ["Core.Goodbye"], "{supports}");
    }
    // However much it names, it costs little.
    let mut clients = Clients::town();
    let mapper = clients.mapper(&format!("[{}\"Room 1\"]", "\"x\",".repeat(LISTED_MAX)));
    assert_eq!(clients.kinds(mapper), [""; 0]);
}

#[test]
fn what_a_client_names_is_added_and_taken_away_and_told_as_soon_as_it_is_named() {
    let mut clients = Clients::town();
    let mapper = clients.mapper("[]");
    assert_eq!(clients.kinds(mapper), [""; 0]);
    let mut after = |package: &str, json: &str| {
        clients.told(mapper);
        clients.visit.turn(|people, moment| people.message(mapper, package, json, moment));
        clients.kinds(mapper)
    };
    assert_eq!(after("Core.Supports.Add", "[\"Room.Info 1\"]"), ["Room.Info"]);
    assert_eq!(after("core.supports.add", "[\"Char 1\"]"), ["Char.Name", "room", "inv"]);
    assert_eq!(after("Core.Supports.Add", "[\"Room 1\"]"), ["Room.Players"]);
    assert_eq!(after("Core.Supports.Remove", "[\"Char.Items\", \"Room\"]"), [""; 0]);
    // Whoever names something again may have forgotten it.
    assert_eq!(after("CORE.SUPPORTS.SET", "[\"Room 1\", \"Char 1\"]"), ["Room.Info", "room", "inv", "Room.Players"]);
    assert_eq!(after("Core.Supports.Set", "[\"Comm 1\"]"), [""; 0]);
    assert_eq!(after("Core.Supports", "[\"Room 1\"]"), [""; 0]);
    // What was named before is not named any more.
    assert_eq!(clients.kinds_after(mapper, mapper, "n"), [""; 0]);
    assert_eq!(clients.kinds_after(mapper, mapper, "say Hello."), ["Comm.Channel.Text"]);
}

#[test]
fn a_guest_has_a_password_only_if_their_client_is_told() {
    for (supports, has) in [("[\"Aqevia 1\"]", true), ("[\"Room 1\", \"Aqevia.Login 1\"]", false)] {
        let mut clients = Clients::town();
        let mapper = clients.mapper(supports);
        clients.visit.drop(mapper);
        let other = clients.visit.arrive();
        let text = clients.visit.line(other, "guest1");
        assert_eq!(text == "Password: ", has, "{text}");
    }
}

#[test]
fn a_mapper_is_told_each_step_however_many_come_at_once_and_nothing_else_of_a_place() {
    let mut clients = Clients::town();
    let (mapper, bob) = (clients.mapper("[\"Room.Info 1\", \"Room.WrongDir 1\"]"), clients.guest());
    let page = clients.guest();
    let nums = |clients: &mut Clients, number: Number| -> Vec<String> {
        let told = clients.told(number);
        let of =
            |line: &String| line.split("Info {\"num\":").nth(1).map(|rest| rest.split(',').next().unwrap().to_owned());
        told.iter().filter_map(of).collect()
    };
    assert_eq!(nums(&mut clients, mapper), ["1"]);
    nums(&mut clients, page);
    let walk = |clients: &mut Clients, number: Number, lines: &[&str]| {
        clients.visit.turn(|people, moment| lines.iter().for_each(|line| people.line(number, line, moment)));
    };
    for (lines, steps, last) in [
        (&["n"][..], &["2"][..], &["2"][..]),
        (&["s", "n", "s"], &["1", "2", "1"], &["1"]),
        (&["n", "s"], &["2", "1"], &[]),
        (&["old gate", "look", "w"], &["3", "1"], &[]),
        (&["look", "sit", "get red", "drop red", "d", "in"], &[], &[]),
    ] {
        walk(&mut clients, mapper, lines);
        assert_eq!(nums(&mut clients, mapper), steps, "{lines:?}");
        // A page shows where one is, not how one has come there.
        walk(&mut clients, page, lines);
        assert_eq!(nums(&mut clients, page), last, "{lines:?}");
    }
    assert_eq!(clients.told_after(mapper, "northwest"), ["Room.WrongDir \"nw\""]);
    assert_eq!(clients.told_after(mapper, "d"), ["Room.WrongDir \"d\""], "locked");
    assert_eq!(clients.told_after(mapper, "go in"), ["Room.WrongDir \"in\""]);
    assert_eq!(clients.told_after(mapper, "go cellar"), [""; 0]);
    // Nor of what others do there.
    for line in ["get pear", "n", "s", "quit"] {
        assert_eq!(clients.kinds_after(mapper, bob, line), [""; 0]);
    }
    // Who comes back is told where.
    let again = clients.mapper("[\"Room 1\"]");
    assert_eq!(nums(&mut clients, again), ["1"]);
}

#[test]
fn a_client_is_called_as_it_says_by_a_message_if_it_has_not_said_so_by_telnet() {
    let long = "x".repeat(100);
    for (json, name) in [
        ("{\"client\":\"Tester\",\"version\":\"1\"}", "Tester"),
        ("{ \"Version\" : \"1\" , \"Client\" : \"Tes ter\" }", "\"Tes ter\""),
        ("{\"client\":\"\u{1b}[2J\r\nT\u{e9}\"}", "[2JT"),
        (&format!("{{\"client\":\"{long}\"}}"), &long[..32]),
        ("{\"client\":1}", ""),
        ("{\"client\"", ""),
        ("", ""),
    ] {
        let mut clients = Clients::town();
        let number = clients.visit.arrive();
        let terminal =
            |client: &str| Terminal { gmcp: Messages::Named, client: client.to_owned(), ..Terminal::default() };
        clients.visit.turn(|people, _| people.show_on(number, &terminal("")));
        clients.message(number, "Core.Hello", json);
        // What telnet tells of something else does not take it away.
        clients.visit.turn(|people, _| people.show_on(number, &terminal("")));
        clients.visit.line(number, "guest");
        let logged: String = clients.visit.people.notes.drain(..).map(|line| line.text).collect();
        let field = if name.is_empty() { String::new() } else { format!(" client={name}") };
        assert!(logged.contains(&field) && logged.contains(" client=") != name.is_empty(), "{json}: {logged}");
        let other = clients.visit.arrive();
        clients.visit.turn(|people, _| people.show_on(other, &terminal("MUDLET")));
        clients.message(other, "Core.Hello", json);
        clients.visit.line(other, "guest");
        let logged: String = clients.visit.people.notes.drain(..).map(|line| line.text).collect();
        assert!(logged.contains(" client=MUDLET"), "{json}: {logged}");
    }
}
