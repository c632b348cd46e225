//! Who comes in and who does not, how fast, how long they stay, and what others can and cannot do to them.

use std::time::Duration;

use aqevia_engine::limits::{
    ABSENCE_MS_MAX, COMMAND_BURST, COMMAND_PACE_MS, HISTORY_LINES_MAX, IDLE_MS_MAX, IDLE_WARNING_MS,
    INPUT_LINE_BYTES_MAX, KEEPALIVE_MS, LISTED_MAX, LOGIN_FAILURES_MAX, LOGIN_MS_MAX, LOGIN_PACE_MS, LOGINS_FREE,
    LOGINS_MAX, MISSED_LINES_MAX, NEW_PLAYER_PACE_MS, NEW_PLAYERS_FREE, OUTPUT_BYTES_MAX, SESSIONS_PER_ADDRESS_MAX,
    THROTTLE_WAIT_MS_MAX,
};
use aqevia_engine::session::Limit;
use aqevia_engine::session::page::{MARK, View, harmless};
use aqevia_engine::session::terminal::{Colours, Terminal};
use aqevia_engine::text::covers;
use aqevia_engine::world::{Kind, Player};

use crate::commands::check_read_aloud;
use crate::visit::{Visit, password_in};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What was logged, and is not looked at again.
fn notes(visit: &mut Visit) -> Vec<String> {
    visit.people.notes.drain(..).map(|line| line.text).collect()
}

fn reached(visit: &Visit, limit: Limit) -> u64 {
    visit.people.counts.reached[limit as usize]
}

/// Three letters for a number, none of which looks like another.
fn letters(n: usize) -> String {
    let letter = |n: usize| char::from(b"abcdefghjkmnopqrstuv"[n % 20]);
    [letter(n / 400), letter(n / 20), letter(n)].iter().collect()
}

#[test]
fn a_name_is_enough_and_the_password_is_shown_once_and_never_kept() {
    let mut visit = Visit::new();
    let anna = visit.arrive();
    let welcome = visit.read(anna);
    assert!(
        welcome.starts_with("The Town\nYour name, please.") && welcome.ends_with("In the world: 0\nName: "),
        "{welcome}"
    );
    assert_eq!(visit.line(anna, "aNNA"), "Nobody here is called Anna. Are you new here?\nYes or no: ");
    assert_eq!(visit.line(anna, "perhaps"), "Please answer yes or no.\nYes or no: ");
    assert_eq!(visit.line(anna, "no"), "Your name, then.\nName: ");
    visit.line(anna, "Anna");
    let text = visit.line(anna, "yes");
    let password = password_in(&text);
    assert!(text.contains("\nThe Square\n") && text.ends_with("> "), "{text}");
    assert_eq!((password.len(), password.matches('-').count()), (19, 3), "{password}");
    // Nothing of it is kept but its digest.
    let kept = format!("{:?} {:?}", visit.world.players, visit.world.entities().collect::<Vec<_>>());
    assert!(kept.contains("sha256$") && !kept.contains(&password) && !kept.contains(&password.replace('-', "")));

    visit.line(anna, "quit");
    assert_eq!(visit.over, [anna]);
    visit.drop(anna);
    let again = visit.arrive();
    assert_eq!(visit.line(again, "ANNA"), "Password: ");
    assert_eq!(visit.secret, [again]);
    let text = visit.line(again, &password.to_uppercase().replace('-', " "));
    assert!(text.starts_with("\nThe Square\n"), "{text}");
    assert!(visit.secret.is_empty());
    assert_eq!(visit.people.counts.logins, 2);
    // A new one is issued, and the old one is none any more.
    let other = password_in(&visit.line(again, "password"));
    assert_ne!(other, password);
    visit.drop(again);
    let third = visit.arrive();
    assert!(visit.lines(third, &["anna", &password]).contains("That is not the password of Anna."));
    assert!(visit.lines(third, &["anna", &other]).contains("The Square"));
    let logged = notes(&mut visit).join("\n");
    for secret in [&password, &other, &password.replace('-', " ").to_uppercase()] {
        assert!(!logged.contains(secret.as_str()), "{logged}");
    }
    assert!(logged.contains("level=warn msg=\"a login failed\" name=Anna address=10.0.0.2"), "{logged}");
}

#[test]
fn nobody_gets_a_name_that_misleads() {
    let mut visit = Visit::new();
    let (will, _) = visit.player("Will");
    let (bob, _) = visit.player("Bob");
    assert!(visit.world.ban("Mallory", None));
    let stranger = visit.arrive();
    let few = "A name has 3 to 16 letters";
    for (name, why) in [
        ("Al", few),
        ("Abcdefghijklmnopq", few),
        ("Ann4", few),
        ("Ann a", few),
        ("\u{c5}sa", few),
        ("\u{410}nna", few),
        ("look", "That word means something here."),
        ("Reply", "That word means something here."),
        ("ADMIN", "That word means something here."),
        ("System", "That word means something here."),
        ("all", "That word means something here."),
        ("the", "That word means something here."),
        ("Heron", "Somebody in the world is called so already."),
        ("AIse", "Somebody in the world is called so already."),
        ("carrier", "Somebody in the world is called so already."),
        ("maIIory", "Nobody of that name is let in."),
        ("", "Your name, please."),
    ] {
        let answer = visit.line(stranger, name);
        assert!(answer.starts_with(why) && answer.ends_with("Name: "), "{name:?}: {answer}");
    }
    // What looks alike is one name, and it has an owner.
    for name in ["WILL", "wiil", "WlLL"] {
        assert_eq!(visit.line(stranger, name), "Password: ", "{name}");
        visit.line(stranger, "");
    }
    assert_eq!(visit.people.counts.failures, 0);
    // A word that only begins like one of a command is a name.
    assert!(visit.line(stranger, "Looker").starts_with("Nobody here is called Looker."));
    visit.line(stranger, "no");
    // Nobody is a guest of another's name, nor with their password.
    visit.line(stranger, "guest");
    let other = visit.arrive();
    assert!(visit.line(other, "guest1").starts_with(few));
    for (name, why) in
        [("heron", "Somebody in the world"), ("wiiI", "Somebody is called so"), ("malIory", "Nobody of that name")]
    {
        assert!(visit.line(stranger, &format!("register {name}")).starts_with(why), "{name}");
    }
    assert!(visit.line(bob, "look will").starts_with("Will:"));
    assert!(visit.line(will, "look").contains("Guest1 is here."));
}

#[test]
fn a_wrong_password_is_logged_each_time_and_ends_the_session_after_a_few() {
    let mut visit = Visit::new();
    visit.player("Anna");
    notes(&mut visit);
    let thief = visit.arrive_from("2001:db8:1:2:3::4");
    for attempt in 1..=LOGIN_FAILURES_MAX {
        visit.line(thief, "Anna");
        let answer = visit.line(thief, "hunter2");
        assert_eq!(answer.ends_with("Name: "), attempt < LOGIN_FAILURES_MAX, "{answer}");
        let logged = notes(&mut visit);
        assert_eq!(logged.len(), 1);
        assert!(
            logged[0].contains("name=Anna address=2001:db8:1:2:3::4") && !logged[0].contains("hunter2"),
            "{logged:?}"
        );
    }
    assert_eq!(visit.over, [thief]);
    assert_eq!(visit.line(thief, "Anna"), "", "nothing is heard of a session that is over");
    assert_eq!(visit.people.counts.failures, u64::from(LOGIN_FAILURES_MAX));
}

#[test]
fn logins_wait_by_name_and_by_address_but_nobody_is_shut_out() {
    let mut visit = Visit::new();
    visit.player("Anna");
    visit.player("Bob");
    let tries = |visit: &mut Visit, address: &str, name: &str, count: u32| {
        for _ in 0..count {
            let number = visit.arrive_from(address);
            visit.turn(|people, moment| people.line(number, name, moment));
            visit.drop(number);
        }
        let number = visit.arrive_from(address);
        visit.turn(|people, moment| people.line(number, name, moment));
        let at = visit.people.takes_at(number);
        visit.drop(number);
        at.since(visit.now)
    };
    // By address, all of a household of IPv6 together.
    assert_eq!(tries(&mut visit, "2001:db8::1", "anna", LOGINS_FREE - 1), Duration::ZERO);
    assert_eq!(reached(&visit, Limit::Throttle), 0);
    assert_eq!(tries(&mut visit, "2001:db8::2", "bob", 0), ms(LOGIN_PACE_MS));
    assert_eq!(tries(&mut visit, "2001:db8:0:1::1", "bob", 0), Duration::ZERO);
    // By name, wherever it is tried from.
    assert_eq!(tries(&mut visit, "192.0.2.1", "anna", 0), ms(LOGIN_PACE_MS));
    assert_eq!(tries(&mut visit, "192.0.2.1", "ANNA", 0), ms(2 * LOGIN_PACE_MS));
    // However many try, nobody waits for long.
    assert_eq!(tries(&mut visit, "192.0.2.2", "anna", 500), ms(THROTTLE_WAIT_MS_MAX));
    let logged = notes(&mut visit);
    let warnings: Vec<&String> = logged.iter().filter(|line| line.contains("reaches a limit")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("address=2001:db8::/64") && warnings[0].contains("ctl ban 2001:db8::/64"),
        "{warnings:?}"
    );
    // A password is not looked at before its time: the transport takes no line till then.
    visit.pass(ms(u64::from(LOGINS_FREE) * LOGIN_PACE_MS + THROTTLE_WAIT_MS_MAX));
    assert_eq!(tries(&mut visit, "192.0.2.3", "anna", 0), Duration::ZERO);
}

#[test]
fn guests_of_one_address_wait_their_turn_and_then_are_in() {
    let mut visit = Visit::new();
    let mut guests = Vec::new();
    for _ in 0..LOGINS_FREE + 2 {
        let guest = visit.arrive_from("192.0.2.1");
        visit.turn(|people, moment| people.line(guest, "guest", moment));
        guests.push((guest, visit.read(guest)));
    }
    let (waiting, last) = guests.pop().unwrap();
    let (_, before) = guests.pop().unwrap();
    assert!(guests.iter().all(|(_, text)| text.contains("The Square")));
    assert!(last.ends_with("A moment, please.\n") && before.ends_with("A moment, please.\n"), "{last}");
    // Somebody from elsewhere has not to wait.
    let other = visit.arrive_from("192.0.2.2");
    assert!(visit.line(other, "guest").contains("The Square"));
    visit.pass(ms(2 * LOGIN_PACE_MS - 1));
    assert_eq!(visit.read(waiting), "");
    visit.pass(ms(1));
    let text = visit.read(waiting);
    assert!(text.starts_with("The Square\n") && text.ends_with("> "), "{text}");
}

#[test]
fn new_players_of_one_address_come_at_a_pace_and_guests_do_not_get_round_it() {
    let mut visit = Visit::new();
    let name = |n: u32| format!("New{}", letters(n as usize));
    for n in 0..NEW_PLAYERS_FREE {
        let number = visit.arrive_from("192.0.2.1");
        assert!(visit.lines(number, &[&name(n), "yes"]).contains("The Square"));
    }
    let late = visit.arrive_from("192.0.2.1");
    let answer = visit.lines(late, &[&name(99), "yes"]);
    assert!(answer.contains("The next can be made in 30\nseconds; `guest` lets you in meanwhile."), "{answer}");
    assert!(visit.line(late, "guest").contains("The Square"));
    assert!(visit.line(late, "register Someone").contains("That word means"), "reserved");
    assert!(visit.line(late, "register Somewho").contains("The next can be made in 30\nseconds;"));
    let other = visit.arrive_from("192.0.2.2");
    assert!(visit.lines(other, &[&name(98), "yes"]).contains("The Square"));
    visit.pass(ms(NEW_PLAYER_PACE_MS));
    assert!(visit.line(late, "register Somewho").contains("You are Somewho from now on."));
}

#[test]
fn one_address_has_so_many_sessions_and_keeps_nobody_out_who_comes_from_another() {
    let mut visit = Visit::new();
    let mut many: Vec<u64> = (0..SESSIONS_PER_ADDRESS_MAX).map(|_| visit.arrive_from("2001:db8::1")).collect();
    visit.drop(many[9]);
    many[9] = visit.arrive_from("2001:db8::1");
    assert!(visit.over.is_empty());
    let more = visit.arrive_from("2001:db8::2");
    assert_eq!(visit.over, [more]);
    assert!(visit.read(more).starts_with("** There are too many connections from your address."));
    visit.drop(more);
    // All places of those who come in are taken; whoever comes from elsewhere gets that of the oldest.
    assert_eq!(many.len(), LOGINS_MAX);
    let other = visit.arrive_from("192.0.2.1");
    assert_eq!(visit.over, [many[0]]);
    assert!(visit.read(other).ends_with("Name: "));
    visit.drop(many[0]);
    // One that has gone leaves its place.
    visit.drop(many[1]);
    let next = visit.arrive_from("2001:db8::3");
    assert!(visit.over.is_empty() && visit.read(next).ends_with("Name: "));
    let crowd: Vec<u64> =
        (0..LOGINS_MAX).map(|n| visit.arrive_from(&format!("10.1.{}.{}", n / 200, n % 200))).collect();
    assert_eq!(visit.people.sessions() - visit.over.len(), LOGINS_MAX);
    assert!(crowd[..LOGINS_MAX - 3].iter().all(|number| !visit.over.contains(number)), "{:?}", visit.over);
    let last = visit.arrive_from("10.2.0.1");
    assert!(visit.read(last).contains("Too many people are coming in just now."));
    assert_eq!((reached(&visit, Limit::Address), reached(&visit, Limit::Logins) > 200), (1, true));
    // Who is in has no such place any more.
    let first = crowd[0];
    visit.line(first, "guest");
    let next = visit.arrive_from("10.2.0.2");
    assert!(visit.read(next).ends_with("Name: "));
}

#[test]
fn who_takes_too_long_to_come_in_is_sent_away_and_who_is_in_is_not() {
    let mut visit = Visit::new();
    let (anna, _) = visit.player("Anna");
    let (slow, slower) = (visit.arrive(), visit.arrive());
    visit.line(slow, "screenreader");
    visit.pass(ms(LOGIN_MS_MAX - 1));
    assert!(visit.over.is_empty());
    // Lines do not prolong it.
    visit.line(slower, "Anna");
    visit.pass(ms(1));
    assert_eq!(visit.over, [slow, slower]);
    assert_eq!(reached(&visit, Limit::LoginTime), 2);
    assert!(visit.read(slow).contains("System: It has taken too long. Come again.\n"));
    assert!(visit.line(anna, "look").contains("The Square"));
}

#[test]
fn bans_and_a_closed_world_hold_where_people_come_in() {
    let mut visit = Visit::new();
    let (_, password) = visit.player("Anna");
    assert!(visit.world.ban("192.0.2.0/24", None) && visit.world.ban("ANNA", None) && visit.world.ban("Bob", Some(5)));
    let banned = visit.arrive_from("192.0.2.77");
    assert_eq!((visit.read(banned).as_str(), &visit.over), ("** Nobody is let in from your address.\n", &vec![banned]));
    let anna = visit.arrive_from("192.0.3.1");
    assert!(visit.lines(anna, &["anna", &password]).ends_with("** You are not let in.\n"));
    assert_eq!(visit.over, [banned, anna]);
    assert_eq!(reached(&visit, Limit::Banned), 2);
    // A ban that has ended is none.
    let bob = visit.arrive();
    assert!(visit.lines(bob, &["bob", "yes"]).contains("The Square"));
    let (early, waiting) = (visit.arrive(), visit.arrive());
    visit.line(early, "Cara");
    let players = visit.world.players.len();
    visit.people.is_closed = true;
    let late = visit.arrive();
    assert!(visit.read(late).contains("The world is closed just now."));
    assert!(visit.line(early, "yes").contains("The world is closed just now."));
    assert!(visit.line(waiting, "guest").contains("The world is closed just now."));
    assert_eq!((visit.world.players.len(), reached(&visit, Limit::Closed)), (players, 3));
    assert!(visit.line(bob, "look").contains("The Square"), "who is in stays in");

    for (network, address, is_covered) in [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.0/31", "192.0.2.1", true),
        ("192.0.2.0/31", "192.0.2.2", false),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("::/0", "2001:db8::1", true),
        ("192.0.2.1/x", "192.0.2.1", false),
        ("Anna", "192.0.2.1", false),
    ] {
        assert_eq!(covers(network, address.parse().unwrap()), is_covered, "{network} {address}");
    }
}

#[test]
fn who_comes_in_elsewhere_has_the_same_body_and_the_first_connection_is_told() {
    let mut visit = Visit::new();
    let (first, password) = visit.player("Anna");
    let (bob, _) = visit.player("Bob");
    visit.lines(first, &["get red", "n"]);
    visit.read(bob);
    let second = visit.arrive();
    let text = visit.lines(second, &["anna", &password]);
    assert!(text.contains("The Inn") && !text.contains("missed"), "{text}");
    assert_eq!(visit.read(first), "\n** You have come in from elsewhere, and this connection ends.\n");
    assert_eq!((visit.over.clone(), visit.read(bob)), (vec![first], String::new()), "nobody else notices");
    assert_eq!(visit.line(first, "drop red"), "");
    visit.drop(first);
    // Nothing that was planned for the first touches the second.
    visit.pass(ms(ABSENCE_MS_MAX + 1));
    assert!(visit.line(second, "i").contains("a red apple"));
    assert_eq!(visit.people.online().filter(|(_, is_there)| *is_there).count(), 2);
}

#[test]
fn whoever_drops_out_comes_back_within_90_seconds_to_where_they_were_and_reads_what_they_missed() {
    let mut visit = Visit::new();
    let (anna, password) = visit.player("Anna");
    let (bob, _) = visit.player("Bob");
    visit.line(anna, "get red");
    visit.drop(anna);
    assert!(visit.line(bob, "look").contains("Anna is here, staring into the distance."));
    visit.line(bob, "say Are you there?");
    assert!(visit.line(bob, "tell anna Hello.").contains("Anna's connection is gone just now; they read it when"));
    assert!(visit.line(bob, "who").contains("Anna, away\n"));
    visit.pass(ms(ABSENCE_MS_MAX - 1));
    let again = visit.arrive();
    let text = visit.lines(again, &["Anna", &password]);
    let missed = "** What you missed:\nBob says, \"Are you there?\"\nBob tells you, \"Hello.\"\nThe Square\n";
    assert!(text.contains(missed), "{text}");
    assert!(visit.line(again, "i").contains("a red apple"));
    assert!(visit.line(again, "reply Yes.").contains("You tell Bob"));

    // Of very many lines the last are kept.
    visit.drop(again);
    for n in 0..=MISSED_LINES_MAX {
        visit.line(bob, &format!("say {n}."));
    }
    let again = visit.arrive();
    let text = visit.lines(again, &["Anna", &password]);
    assert!(text.contains("The last 100 lines you missed:\nBob says, \"1.\"\n") && text.contains("\"100.\""), "{text}");

    let history = visit.line(again, "history");
    assert!(history.starts_with("What you heard last:\nBob says, \"81.\"\n"), "{history}");
    assert_eq!(history.matches("Bob says").count(), HISTORY_LINES_MAX);

    // Then the body rests, out of sight, and nothing is lost.
    visit.drop(again);
    visit.pass(ms(ABSENCE_MS_MAX));
    assert!(visit.read(bob).contains("Anna leaves the world.\n"));
    assert!(!visit.line(bob, "look").contains("Anna"));
    assert!(visit.line(bob, "tell anna Hello.").contains("Anna is not in the world just now, and reads that"));
    assert_eq!(visit.place_of("a red apple"), "Anna");
    let again = visit.arrive();
    let text = visit.lines(again, &["Anna", &password, "i"]);
    assert!(text.contains("a red apple"), "{text}");
    assert!(visit.read(bob).contains("Anna wakes into the world.\n"));
}

#[test]
fn who_does_nothing_is_warned_and_rests_and_every_line_begins_that_time_anew() {
    let mut visit = Visit::new();
    let (anna, _) = visit.player("Anna");
    let warning = "** You have done nothing for a while. In five minutes you will rest.\n";
    visit.pass(ms(IDLE_WARNING_MS - 1));
    assert_eq!(visit.read(anna), "");
    visit.pass(ms(1));
    assert_eq!(visit.read(anna), format!("\n{warning}> "));
    visit.line(anna, "look");
    visit.pass(ms(IDLE_MS_MAX - 1));
    assert_eq!(visit.read(anna), format!("\n{warning}> "));
    visit.pass(ms(1));
    assert!(visit.read(anna).ends_with("** You have done nothing for a long time, and rest now. Come again.\n"));
    assert_eq!((visit.over.clone(), reached(&visit, Limit::Idle)), (vec![anna], 1));
    assert_eq!(visit.world.entity(visit.id("Anna")).unwrap().location, None);
}

#[test]
fn a_quiet_connection_is_sent_a_sign_of_life_unless_that_is_not_wanted() {
    let mut visit = Visit::new();
    let (anna, _) = visit.player("Anna");
    assert!(visit.pass(ms(KEEPALIVE_MS - 1)).is_empty());
    assert_eq!(visit.pass(ms(1)), [anna]);
    assert_eq!(visit.pass(ms(KEEPALIVE_MS)), [anna]);
    visit.pass(ms(KEEPALIVE_MS / 2));
    // Whatever is sent is a sign.
    visit.line(anna, "look");
    assert!(visit.pass(ms(KEEPALIVE_MS - 1)).is_empty());
    assert_eq!(visit.pass(ms(1_000)), [anna]);
    visit.line(anna, "keepalive off");
    assert!(visit.pass(ms(10 * KEEPALIVE_MS)).is_empty());
}

#[test]
fn a_guest_leaves_what_they_held_and_a_registered_one_keeps_it() {
    for how in ["quit", "drop"] {
        let mut visit = Visit::new();
        let (guest, bob) = (visit.arrive(), visit.player("Bob").0);
        visit.lines(guest, &["guest", "get red", "n", "get all", "s", "n"]);
        let id = visit.id("Guest1");
        if how == "quit" {
            assert!(visit.line(guest, "quit").contains("Goodbye. What you carried lies where you stood.\n"));
        }
        visit.drop(guest);
        visit.pass(ms(ABSENCE_MS_MAX));
        assert_eq!((visit.place_of("a red apple").as_str(), visit.world.entity(id)), ("The Inn", None));
        assert!(!visit.world.players.contains_key(&id));
        assert_eq!(visit.world.violations(), [""; 0]);
        assert!(visit.line(bob, "n").contains("A red apple is here."));
        // A number is not given again, so that nobody is taken for another.
        let next = visit.arrive();
        visit.line(next, "guest");
        assert!(visit.world.player_named("Guest2").is_some());
    }
    let mut visit = Visit::new();
    let guest = visit.arrive();
    visit.lines(guest, &["guest", "get red", "description Tall.", "brief on"]);
    let id = visit.id("Guest1");
    let password = password_in(&visit.line(guest, "register zOE"));
    assert_eq!((visit.id("Zoe"), visit.world.player_named("Guest1")), (id, None));
    visit.line(guest, "quit");
    visit.drop(guest);
    let again = visit.arrive();
    assert!(visit.lines(again, &["zoe", &password, "i"]).contains("a red apple"));
    assert!(visit.line(again, "x me").starts_with("Zoe: Tall."));
    assert!(visit.line(again, "brief").starts_with("Brief: on"));
}

#[test]
fn a_world_that_starts_has_no_guests_and_nobody_awake() {
    let mut visit = Visit::new();
    let (anna, guest) = (visit.player("Anna").0, visit.arrive());
    visit.line(anna, "get green");
    visit.lines(guest, &["guest", "n", "s", "get red"]);
    visit.world.rest_all();
    assert_eq!(
        (visit.place_of("a green apple").as_str(), visit.place_of("a red apple").as_str()),
        ("Anna", "The Square")
    );
    assert_eq!(visit.world.counts()[Kind::Player as usize], 1);
    assert_eq!(visit.world.violations(), [""; 0]);
}

#[test]
fn commands_have_a_pace_and_a_burst() {
    let mut visit = Visit::new();
    let (anna, _) = visit.player("Anna");
    visit.pass(ms(COMMAND_PACE_MS * COMMAND_BURST));
    let start = visit.now;
    let mut at_once = 0;
    while visit.people.takes_at(anna) <= visit.now {
        visit.turn(|people, moment| people.line(anna, "look", moment));
        at_once += 1;
    }
    assert_eq!(at_once, COMMAND_BURST + 1);
    assert_eq!(visit.people.takes_at(anna).since(start), ms(COMMAND_PACE_MS));
}

#[test]
fn who_does_not_read_loses_lines_is_told_so_and_slows_nobody() {
    let mut visit = Visit::new();
    let (anna, bob) = (visit.player("Anna").0, visit.player("Bob").0);
    visit.read(anna);
    let said = "x".repeat(900);
    let mut count = 0;
    for n in 0..100 {
        let now = visit.now.max(visit.people.takes_at(bob));
        let mut random = || [0; 10];
        let world = &mut visit.world;
        let mut moment = aqevia_engine::session::Moment { world, now, wall: crate::folder::WALL, random: &mut random };
        visit.people.line(bob, &format!("say {n} {said}"), &mut moment);
        count += 1;
        visit.now = now;
        // Bob reads, Anna does not.
        let output = visit.people.take_output(bob, &visit.world, now).unwrap();
        assert!(output.text.contains(&said));
    }
    let output = visit.people.take_output(anna, &visit.world, visit.now).unwrap();
    assert!(output.text.len() < OUTPUT_BYTES_MAX + 4_096, "{}", output.text.len());
    let read = output.text.matches(&said).count();
    let note = format!("\n** Missing here: {}. These came faster than your connection took them.\n", count - read);
    assert!(output.text.ends_with(&note), "{}", &output.text[output.text.len() - 200..]);
    assert_eq!(reached(&visit, Limit::Output), 1);
    // What was left out is new when it is said again.
    visit.line(bob, &format!("say 99 {said}"));
    assert!(visit.read(anna).contains("Bob says, \"99"));
    assert!(visit.line(anna, "look").contains("The Square"));
}

#[test]
fn no_line_of_a_player_looks_like_the_engines_or_holds_what_would_break_those_of_others() {
    let mut visit = Visit::new();
    let (anna, bob) = (visit.player("Anna").0, visit.player("Bob").0);
    // Narrow, so that every word begins a line.
    visit.line(bob, "width 20");
    let fake = "** The world stops.";
    for command in ["say", "emote", "shout", "tell bob", "whisper bob", "description"] {
        for words in [
            fake.to_owned(),
            format!("xxxxxxxxxxxxxxxxxx {fake}"),
            format!("a\n{fake}"),
            format!("a\r\u{85}\u{2028}{fake}"),
        ] {
            visit.line(anna, &format!("{command} {words}"));
            let mut text = visit.read(bob);
            text += &visit.line(bob, "look anna");
            assert!(!text.lines().any(|line| line.starts_with(MARK)), "{command}: {text}");
            assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{2028}'), "{command}: {text:?}");
        }
    }
    for (typed, read) in [
        ("**", "*"),
        ("*\u{1b}[2J*\u{7}", "*[2J*"),
        ("*\u{200b}*\u{b7}\u{2022}", "*"),
        ("a\u{202e}b\u{2066}\u{feff}\u{61c}\tc", "abc"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("\u{65e5}\u{672c} caf\u{e9}", "\u{65e5}\u{672c} caf\u{e9}"),
    ] {
        assert_eq!(harmless(typed), read, "{typed:?}");
    }
    let long = harmless(&"\u{e9}".repeat(INPUT_LINE_BYTES_MAX));
    assert_eq!((long.len(), long.chars().count()), (INPUT_LINE_BYTES_MAX, INPUT_LINE_BYTES_MAX / 2));
    // A reader's own form of it cannot be made either: no line begins with what somebody typed.
    visit.reads_aloud = true;
    let (cara, _) = visit.player("Cara");
    visit.line(anna, &format!("say {} System: The world stops.", "x".repeat(300)));
    let text = visit.read(cara);
    check_read_aloud(&text);
    assert!(!text.lines().any(|line| line.starts_with("System: ")), "{text}");
}

#[test]
fn two_in_one_room_see_each_other_act_in_order() {
    let mut visit = Visit::new();
    let (anna, bob) = (visit.player("Anna").0, visit.player("Bob").0);
    visit.read(anna);
    visit.read(bob);
    let act = |visit: &mut Visit, number, line: &str| {
        visit.now = visit.now.max(visit.people.takes_at(number));
        visit.turn(|people, moment| people.line(number, line, moment));
    };
    for (who, line) in
        [(anna, "get red"), (bob, "say Mine."), (anna, "give apple to bob"), (bob, "emote grins"), (bob, "n")]
    {
        act(&mut visit, who, line);
    }
    let seen = |text: String| {
        text.replace("> ", "").split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let of_anna = [
        "You pick up a red apple.",
        "Bob says, \"Mine.\"",
        "You give a red apple to Bob.",
        "Bob grins.",
        "Bob goes north.",
    ];
    assert_eq!(seen(visit.read(anna)), of_anna);
    let of_bob = seen(visit.read(bob));
    assert_eq!(
        of_bob[..4],
        ["Anna picks up a red apple.", "You say, \"Mine.\"", "Anna gives a red apple to you.", "Bob grins."]
    );
    assert_eq!(of_bob[4], "The Inn");
    assert_eq!(visit.place_of("a red apple"), "Bob");
}

#[test]
fn what_is_meant_is_found_and_what_may_be_several_things_is_asked() {
    let mut visit = Visit::new();
    let (anna, _) = visit.player("Anna");
    // Two questions in one command.
    visit.lines(anna, &["get basket", "drop basket"]);
    assert!(
        visit
            .line(anna, "get copper from ba")
            .starts_with("Which do you mean? Type its number.\n1: a basket\n2: a bag\n")
    );
    assert!(
        visit
            .line(anna, "1")
            .starts_with("Which do you mean? Type its number.\n1: a copper coin\n2: a copper button\n")
    );
    assert!(visit.line(anna, "2").starts_with("You take a copper button from a basket.\n"));
    // A question is forgotten with the next line, and numbers beyond it are none.
    visit.line(anna, "get apple");
    assert!(visit.line(anna, "3").starts_with("There was no such number to choose."));
    visit.lines(anna, &["get apple", "look"]);
    assert!(visit.line(anna, "1").starts_with("There is no command `1`."));
    // What was chosen may have gone.
    visit.line(anna, "get apple");
    let (bob, _) = visit.player("Bob");
    visit.line(bob, "get red");
    assert!(visit.line(anna, "1").starts_with("It is not there any more."));
    for (line, answer) in [
        ("get 2.apple", "There is no apple of that number here."),
        ("get 0.apple", "There is no apple of that number here."),
        ("get GREEN APPLE", "You pick up a green apple."),
        ("drop gr ap", "You put down a green apple."),
        ("get apple green", "You pick up a green apple."),
        ("put the apple into the basket", "You put a green apple into a basket."),
        ("get all from basket", "You take a green apple from a basket.\nYou take a copper coin from a basket."),
        ("get all from basket", "There is nothing that can be moved in it."),
        ("get all.coin from basket", "There is nothing of that kind in it."),
        ("get ALL.PEAR", "You pick up a pear.\nYou pick up a pear."),
        ("drop 2.pear", "You put down a pear."),
        // What is possible goes before what is not.
        ("go lane", "There is no lane here."),
        ("go o", "The Lane"),
        ("w", "The Square"),
        ("whisper anna x", "You mutter to yourself."),
        ("look me", "Anna: nothing special."),
        ("give pear to b", "You give a pear to Bob."),
        ("t", "`t` may be `time` or `take` or `tell` or `title`."),
        ("sa hello", "You say, \"hello\""),
        ("norht", "There is no command `norht`. Do you mean `north`?"),
        ("no", "The Inn"),
    ] {
        let text = visit.line(anna, line);
        assert!(text.starts_with(answer), "{line}: {text}");
    }
    // Whom a name means, wherever they are: first its owner, then the only one whose name begins so.
    let (bobby, _) = visit.player("Bobby");
    for (line, answer) in [
        ("tell bob x", "You tell Bob, \"x\""),
        ("tell bobb x", "You tell Bobby, \"x\""),
        ("tell bo x", "More than one name begins with bo."),
        ("tell bobbyx x", "Nobody called bobbyx is in the world just now."),
    ] {
        let text = visit.line(anna, line);
        assert!(text.starts_with(answer), "{line}: {text}");
    }
    visit.line(bob, "quit");
    assert!(visit.line(anna, "tell bob x").starts_with("Bob is not in the world just now"));
    assert!(visit.line(anna, "tell bo x").starts_with("You tell Bobby"));
    visit.line(bobby, "quit");
    assert!(visit.line(anna, "tell bo x").starts_with("Nobody called bo is in the world"));
    let long = format!("{} x", "q".repeat(900));
    assert!(visit.line(anna, &long).contains("`qqq"));
}

#[test]
fn a_room_full_of_people_and_things_is_shown_in_part_and_anybody_is_found_by_name() {
    let mut visit = Visit::new();
    let (anna, _) = visit.player("Anna");
    for n in 0..1_200 {
        let id = visit.world.add_player(&format!("Crowd{}", letters(n)), Some("x".to_owned())).unwrap();
        visit.world.wake(id, &mut aqevia_engine::world::unheard);
    }
    let text = visit.line(anna, "look");
    assert!(text.ends_with("There are more.\n> "));
    assert_eq!(text.matches(" is here").count(), LISTED_MAX + 6);
    let last = format!("crowd{}", letters(1_199));
    assert!(visit.line(anna, &format!("look {last}")).to_lowercase().starts_with(&last));
    assert!(visit.line(anna, "tell crowd x").starts_with("Nobody called crowd is in the world"));
}

#[test]
fn lines_are_as_wide_as_the_terminal_and_wide_signs_take_two_columns() {
    let view = |columns: usize, utf8: bool| View { columns, colours: Colours::None, utf8, is_read_aloud: false };
    let wrapped = |view: View, text: &str| {
        let mut out = String::new();
        view.write(&mut out, aqevia_engine::session::page::Style::Plain, text);
        out
    };
    assert_eq!(wrapped(view(20, true), "aaaa bbbb cccc dddd e"), "aaaa bbbb cccc dddd\ne\n");
    assert_eq!(wrapped(view(20, true), "aaaa bbbb cccc dddde"), "aaaa bbbb cccc dddde\n");
    assert_eq!(
        wrapped(view(20, true), "\u{65e5}\u{672c}\u{8a9e}\u{65e5}\u{672c} \u{65e5}\u{672c}\u{8a9e}\u{65e5}\u{672c}"),
        "\u{65e5}\u{672c}\u{8a9e}\u{65e5}\u{672c}\n\u{65e5}\u{672c}\u{8a9e}\u{65e5}\u{672c}\n"
    );
    assert_eq!(
        wrapped(view(20, true), "cafe\u{301} cafe\u{301} cafe\u{301} caf\u{e9}x"),
        "cafe\u{301} cafe\u{301} cafe\u{301} caf\u{e9}x\n"
    );
    assert_eq!(wrapped(view(20, false), "\u{201c}caf\u{e9}\u{201d}"), "\"cafe\"\n");
    // An empty line is a pause for the eye, and noise for the ear.
    let aloud = View { is_read_aloud: true, ..view(20, true) };
    assert_eq!(wrapped(view(20, true), "one\n\n  two"), "one\n\n  two\n");
    assert_eq!(wrapped(aloud, "one\n\n  `two` that goes on and on"), "one\ntwo that goes on and on\n");
    // Without a wish for colours there are none, whatever the terminal can; with one there are, whatever it says.
    for (colours, wish, has_some) in [
        (Colours::Many, aqevia_engine::world::Wish::Off, false),
        (Colours::Many, aqevia_engine::world::Wish::Auto, true),
        (Colours::None, aqevia_engine::world::Wish::Auto, false),
        (Colours::None, aqevia_engine::world::Wish::On, true),
    ] {
        let mut visit = Visit::new();
        let (anna, _) = visit.player("Anna");
        let terminal = Terminal { colours, ..Terminal::default() };
        visit.turn(|people, _| people.show_on(anna, &terminal));
        visit.line(anna, &format!("colour {}", wish.label()));
        let text = visit.line(anna, "look");
        assert_eq!(text.contains('\u{1b}'), has_some, "{text:?}");
        assert_eq!(text.matches("\u{1b}[0m\n").count(), text.matches("\u{1b}[").count() / 2);
        let view = View::of(&terminal, &Player { screen_reader: aqevia_engine::world::Wish::On, ..Player::default() });
        assert_eq!((view.colours, view.is_read_aloud), (Colours::None, true));
    }
}
