//! Company: who goes along with whom, what is kept for whoever is away, words of one's own, what is said again and again.

use std::time::Duration;

use aqevia_engine::limits::{
    ALIAS_NAME_BYTES_MAX, ALIASES_MAX, COMPANY_MAX, INPUT_LINE_BYTES_MAX, LINE_BYTES_MAX, NAME_BYTES_MAX,
    REPETITION_MS_MAX, TELLS_KEPT_MAX,
};
use aqevia_engine::session::Number;
use aqevia_engine::world::{Keeping, World};

use crate::visit::Visit;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn place_of(world: &World, name: &str) -> String {
    let body = world.entity(world.player_named(name).unwrap()).unwrap();
    world.name_of(body.location.unwrap()).to_owned()
}

#[test]
fn whoever_follows_goes_along_at_once_and_so_do_those_who_follow_them() {
    let mut visit = Visit::new();
    let [anna, bob, cora] = ["Anna", "Bob", "Cora"].map(|name| visit.player(name).0);
    assert!(visit.line(bob, "follow anna").contains("You follow Anna from now on.\n"));
    assert!(visit.read(anna).contains("Bob follows you from now on.\n"));
    visit.lines(cora, &["brief on", "follow bob", "sit"]);
    visit.read.clear();
    let seen = visit.line(anna, "n");
    assert!(seen.starts_with("The Inn\n") && seen.contains("Bob arrives.\nCora arrives.\n"), "{seen}");
    // Each reads who goes, that they go along, and where they come to, as they wish to be shown it.
    let seen = visit.read(bob);
    assert!(seen.contains("Anna goes north.\nYou follow Anna.\nThe Inn\nA low room with one window.\n"), "{seen}");
    assert!(seen.contains("Anna is here.\n") && seen.contains("Cora arrives.\n"), "{seen}");
    let seen = visit.read(cora);
    assert!(seen.contains("Bob goes north.\nYou follow Bob.\nThe Inn\nExits: south.\n"), "{seen}");
    assert_eq!(["Anna", "Bob", "Cora"].map(|name| place_of(&visit.world, name)), ["The Inn"; 3]);
    // One whose connection is gone is taken along, and sees it later.
    visit.drop(bob);
    visit.line(anna, "s");
    assert_eq!(place_of(&visit.world, "Bob"), "The Square");
    // Who is in the middle leaves: both sides are told, and go apart.
    visit.pass(ms(90_001));
    assert!(visit.read(anna).contains("Bob no longer follows you.\nBob leaves the world.\n"));
    assert!(visit.read(cora).contains("You no longer follow Bob.\n"));
    visit.line(anna, "n");
    assert_eq!(place_of(&visit.world, "Cora"), "The Square");
}

#[test]
fn who_is_followed_no_longer_is_told_so_whatever_parts_them() {
    let mut visit = Visit::new();
    let [anna, bob] = ["Anna", "Bob"].map(|name| visit.player(name).0);
    let parted = ["You no longer follow Anna.\n", "Bob no longer follows you.\n"];
    let check = |visit: &mut Visit, who: Number, line: &str| {
        assert!(visit.line(bob, "follow anna").contains("You follow Anna from now on.\n"), "{line}");
        visit.read.clear();
        let said = visit.line(who, line);
        let (own, other) = if who == anna { (1, bob) } else { (0, anna) };
        assert!(said.contains(parted[own]), "{line}: {said}");
        assert!(visit.read(other).contains(parted[1 - own]), "{line}");
        assert!(visit.line(bob, "follow").contains("You follow nobody.\n"));
    };
    check(&mut visit, bob, "follow");
    // Who goes a way of their own parts from the other; who is left behind is not taken along later.
    check(&mut visit, bob, "n");
    visit.lines(anna, &["n", "s", "n"]);
    check(&mut visit, anna, "ignore bob");
    assert!(visit.line(bob, "follow anna").contains("Anna does not listen to you.\n"));
    visit.line(anna, "ignore bob");
    // An exit that leads nowhere parts nobody.
    visit.line(bob, "follow anna");
    visit.lines(anna, &["s", "down"]);
    assert_eq!(place_of(&visit.world, "Bob"), "The Square");
    assert!(visit.line(bob, "score").contains("Following: Anna\n"));
    visit.line(bob, "follow");
    check(&mut visit, anna, "quit");
}

#[test]
fn nobody_follows_in_a_circle_and_no_more_go_together_than_may() {
    let mut visit = Visit::new();
    // Letters that look alike make one name.
    let letters = "abcdefghjkmnopqrstuvwxyz".chars().take(COMPANY_MAX + 2);
    let names: Vec<String> = letters.map(|letter| format!("Walker{letter}")).collect();
    let walkers: Vec<Number> = names.iter().map(|name| visit.player(name).0).collect();
    for n in 1..COMPANY_MAX {
        let before = &names[n - 1];
        assert!(visit.line(walkers[n], &format!("follow {before}")).contains("You follow"), "{n}");
    }
    for name in &names[..COMPANY_MAX] {
        let said = visit.line(walkers[0], &format!("follow {name}"));
        assert!(said.contains("goes where you go") || said.contains("yourself"), "{said}");
    }
    // Two companies come together only if all of them may.
    let follow =
        |visit: &mut Visit, who: usize, whom: usize| visit.line(walkers[who], &format!("follow {}", names[whom]));
    assert!(follow(&mut visit, COMPANY_MAX, COMPANY_MAX - 1).contains("Too many go together already.\n"));
    assert!(follow(&mut visit, 0, COMPANY_MAX).contains("Too many go together already.\n"));
    // Within a company there is room to change.
    assert!(follow(&mut visit, COMPANY_MAX - 1, 0).contains("You follow"));
    visit.line(walkers[COMPANY_MAX - 1], "follow");
    assert!(follow(&mut visit, COMPANY_MAX, 0).contains("You follow"));
    visit.line(walkers[0], "n");
    let inside = names.iter().filter(|name| place_of(&visit.world, name) == "The Inn").count();
    assert_eq!(inside, COMPANY_MAX);
}

#[test]
fn what_is_told_to_a_player_who_is_away_waits_for_them_and_of_too_much_the_oldest_is_dropped() {
    let mut visit = Visit::new();
    let (anna, password) = visit.player("Anna");
    let bob = visit.player("Bob").0;
    let guest = visit.arrive();
    visit.line(guest, "guest");
    visit.line(anna, "quit");
    visit.drop(anna);
    let said = visit.line(guest, "tell anna Hello.");
    assert!(said.contains("Anna is not in the world just now, and a guest's words are not kept."), "{said}");
    let said = visit.line(bob, "tell anna Come to the inn.");
    assert!(said.contains("Anna is not in the world just now, and reads that after coming in.\n"), "{said}");
    assert_eq!(visit.world.kept(visit.id("Anna"), Keeping::Tell).count(), 1);
    let come_in = |visit: &mut Visit| {
        let anna = visit.arrive();
        (anna, visit.lines(anna, &["anna", &password]))
    };
    let (anna, text) = come_in(&mut visit);
    let told = "** What you were told while away:\nBob told you on 2027-01-15 at 08:00 UTC, \"Come to the inn.\"\nThe Square\n";
    assert!(text.contains(told), "{text}");
    assert!(visit.line(anna, "history tells").contains("Bob told you on"));
    // Once is enough; whoever told it can be answered, there or not.
    assert!(visit.world.keepsakes.is_empty());
    visit.line(bob, "quit");
    assert!(visit.line(anna, "reply I come.").contains("Bob is not in the world just now, and reads that after"));
    visit.line(anna, "quit");
    let (anna, text) = come_in(&mut visit);
    assert!(!text.contains("while away"), "{text}");
    visit.line(anna, "quit");
    let cora = visit.player("Cora").0;
    for n in 0..=TELLS_KEPT_MAX {
        let said = visit.line(cora, &format!("tell anna {n}."));
        assert_eq!(said.contains("the oldest"), n == TELLS_KEPT_MAX, "{n}: {said}");
    }
    let (_, text) = come_in(&mut visit);
    assert!(text.contains("** The last 20 that you were told while away:\nCora told you on"), "{text}");
    assert!(!text.contains("\"0.\"") && text.contains("\"1.\"") && text.contains("\"20.\""), "{text}");
    assert_eq!(text.matches("Cora told you").count(), TELLS_KEPT_MAX);
}

#[test]
fn a_word_of_ones_own_is_replaced_once_never_hides_a_command_and_is_bounded() {
    let mut visit = Visit::new();
    let (anna, password) = visit.player("Anna");
    for (line, said) in [
        ("alias one two", "`one` stands for: two"),
        ("alias two say Two", "`two` stands for: say Two"),
        ("one", "There is no command `two`."),
        ("TWO  and more", "You say, \"Two and more\""),
        // Of a command it can be the beginning, whatever that would mean otherwise.
        ("alias sco say Own.", "`sco` stands for"),
        ("sco", "You say, \"Own.\""),
        ("alias look say x", "`look` is a command, and stays one."),
        ("alias Ne say x", "`ne` is a command, and stays one."),
        ("alias a-b say x", "A word has up to 16 letters and digits, a letter first. Usage: alias"),
        ("alias 'a say x", "A word has up to"),
        ("alias gate say Mine.", "`gate` stands for"),
        ("gate", "You say, \"Mine.\""),
        ("alias gate say Other.", "`gate` stands for: say Other."),
        ("gate", "You say, \"Other.\""),
        ("alias", "Your own words:\none: two\ntwo: say Two\nsco: say Own.\ngate: say Other.\n"),
    ] {
        let read = visit.line(anna, line);
        assert!(read.contains(said), "{line}: {read}");
    }
    // An answer to a question is that.
    visit.line(anna, "alias red say Red.");
    assert!(visit.line(anna, "get apple").contains("Which do you mean?"));
    assert!(visit.line(anna, "1").contains("You pick up a red apple."));
    // Bounds.
    let (word, text) = ("w".repeat(ALIAS_NAME_BYTES_MAX), "x".repeat(LINE_BYTES_MAX - 4));
    assert!(visit.line(anna, &format!("alias {word}w say x")).contains("A word has up to"));
    assert!(visit.line(anna, &format!("alias {word} say x{text}")).contains("That is too long"));
    assert!(visit.line(anna, &format!("alias {word} say {text}")).contains("stands for"));
    let rest = "y".repeat(INPUT_LINE_BYTES_MAX - LINE_BYTES_MAX);
    assert!(visit.line(anna, &format!("{word} {rest}")).contains("The line becomes too long"));
    assert!(visit.line(anna, &format!("{word} {}", &rest[1..])).contains("You say,"));
    let made =
        (0..ALIASES_MAX).filter(|n| visit.line(anna, &format!("alias w{n} say x")).contains("stands for")).count();
    assert_eq!(made + 6, ALIASES_MAX);
    assert!(visit.line(anna, "alias w0 say y").contains("stands for"), "what is there can be changed");
    // They are the player's, and stay.
    let bob = visit.player("Bob").0;
    assert!(visit.line(bob, "two").contains("There is no command `two`."));
    visit.line(anna, "quit");
    let anna = visit.arrive();
    visit.lines(anna, &["anna", &password]);
    assert!(visit.line(anna, "two").contains("You say, \"Two\""));
    visit.lines(anna, &["unalias two"]);
    assert!(visit.line(anna, "two").contains("There is no command `two`."));
}

#[test]
fn the_same_words_again_at_once_are_counted_and_nothing_new_is_hidden() {
    let mut visit = Visit::new();
    let [anna, bob] = ["Anna", "Bob"].map(|name| visit.player(name).0);
    let own = visit.lines(bob, &["say Well.", "say Well.", "say Well."]);
    assert!(own.contains("You say, \"Well.\"\n"), "who says it reads it each time: {own}");
    let read = visit.read(anna);
    assert_eq!(read.matches("Bob says, \"Well.\"\n").count(), 1, "{read}");
    // What is new is shown at once, after the count.
    visit.line(bob, "say Well?");
    let read = visit.read(anna);
    assert!(read.contains("The same 2 times more.\nBob says, \"Well?\"\n"), "{read}");
    visit.line(bob, "say Well?");
    assert_eq!(visit.read(anna), "");
    let look = visit.line(anna, "score");
    assert!(look.starts_with("The same once more.\nName: Anna\n"), "{look}");
    // Whoever has read something else since reads it again, and so does who has not read it for a while.
    visit.line(bob, "say Well?");
    assert!(visit.read(anna).contains("Bob says, \"Well?\"\n"));
    visit.pass(ms(REPETITION_MS_MAX - 1_000));
    visit.line(bob, "say Well?");
    assert_eq!(visit.read(anna), "");
    visit.pass(ms(1_000));
    visit.line(bob, "say Well?");
    assert!(visit.read(anna).contains("The same once more.\nBob says, \"Well?\"\n"));
    // The same by another is something else, and so is what is done again.
    let cora = visit.player("Cora").0;
    visit.read.clear();
    for (who, line, shown) in [
        (bob, "tell anna Well?", true),
        (bob, "tell anna Well?", false),
        (cora, "tell anna Well?", true),
        (bob, "tell anna Well?", true),
        (bob, "emote waves.", true),
        (bob, "emote waves.", false),
        (bob, "sit", true),
        (bob, "emote waves.", true),
    ] {
        visit.line(who, line);
        assert_eq!(!visit.read(anna).is_empty(), shown, "{line}");
    }
    // What was counted is in no history twice.
    let history = visit.line(anna, "history");
    assert_eq!(history.matches("Bob tells you, \"Well?\"\n").count(), 2, "{history}");
}

#[test]
fn a_title_is_shown_where_one_sees_who_somebody_is_and_who_has_done_nothing_for_a_while_too() {
    let mut visit = Visit::new();
    let (anna, password) = visit.player("Anna");
    let bob = visit.player("Bob").0;
    assert!(visit.line(anna, "title the Tall").contains("You are Anna the Tall.\n"));
    assert!(visit.line(bob, "look at anna").contains("Anna the Tall: nothing special.\n"));
    assert!(visit.line(bob, "look").contains("Anna is here.\n"));
    assert!(visit.line(anna, &format!("title {}", "x".repeat(NAME_BYTES_MAX + 1))).contains("That is too long"));
    visit.pass(ms(59_999));
    assert!(visit.line(bob, "who").contains("Anna the Tall\nBob\n"));
    visit.pass(ms(1));
    assert!(visit.line(bob, "who").contains("Anna the Tall, idle for 1 minute\nBob\n"));
    visit.pass(ms(60_000));
    assert!(visit.line(bob, "who").contains("Anna the Tall, idle for 2 minutes\n"));
    visit.drop(anna);
    assert!(visit.line(bob, "who").contains("Anna the Tall, away\n"));
    // It stays over the end of a visit.
    visit.pass(ms(90_001));
    let anna = visit.arrive();
    visit.lines(anna, &["anna", &password]);
    let score = visit.line(anna, "score");
    assert!(
        score.starts_with("Name: Anna the Tall\nPlayer since: 2027-01-15\nPosture: standing\nCarried: 0\n"),
        "{score}"
    );
    assert!(score.contains("Connected for: 0 minutes\n"), "{score}");
    // A guest becomes a player on the day on which they are registered.
    let guest = visit.arrive();
    visit.lines(guest, &["guest", "register Zoe"]);
    assert!(visit.line(guest, "score").starts_with("Name: Zoe\nPlayer since: 2027-01-15\n"));
}
