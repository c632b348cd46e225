//! Company: what is kept for whoever is away, words of one's own.

use std::time::Duration;

use aqevia_engine::limits::{
    ALIAS_NAME_BYTES_MAX, ALIASES_MAX, INPUT_LINE_BYTES_MAX, LINE_BYTES_MAX, NAME_BYTES_MAX, TELLS_KEPT_MAX,
};
use aqevia_engine::world::Keeping;

use crate::visit::Visit;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
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
