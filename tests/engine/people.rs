//! What a player and a guest did is there after a kill, each thing once and in one place.

use std::time::{Duration, Instant};

use aqevia_engine::limits::SHUTDOWN_FLUSH_MS_MAX;

use crate::support::{Folder, query};
use crate::trade::wait_until_stored;
use crate::visitor::{Visitor, host};

#[test]
fn after_a_kill_a_player_has_what_they_took_and_what_a_guest_held_lies_where_they_stood() {
    let folder = Folder::new();
    let engine = host(&folder, &[("PERSIST_FLUSH_INTERVAL_MS", "20")]);
    let (mut anna, password) = Visitor::new_player(&engine, "Anna");
    let mut guest = Visitor::guest(&engine);
    for (visitor, coin) in [(&mut anna, "coina"), (&mut guest, "coinb")] {
        visitor.types(&format!("get {coin}\r\nnorth"));
        visitor.reads(&format!("You pick up {coin}."));
        visitor.reads("The Barn");
    }
    anna.reads("Guest1 arrives.");
    wait_until_stored(&engine);
    engine.kill();

    let engine = host(&folder, &[]);
    let mut anna = Visitor::connect(&engine);
    anna.types(&format!("anna\r\n{password}"));
    anna.reads("The Barn");
    let seen = anna.asks("look");
    assert!(seen.contains("Coinb is here.") && !seen.contains("Guest"), "{seen}");
    assert!(anna.asks("i").contains("coina"));
    engine.logs("msg=\"a player came in\" name=Anna address=127.0.0.1");
    assert!(!engine.log().contains(&password));
    // A stop is told, and saves all of it.
    anna.types("drop all");
    anna.reads("You put down coina.");
    engine.signal("TERM");
    anna.reads("** The world stops, and saves all that you did.");
    // Who stays on the line does not hold it up.
    let begun = Instant::now();
    engine.wait_for_end();
    assert!(begun.elapsed() < Duration::from_millis(SHUTDOWN_FLUSH_MS_MAX), "{:?}", begun.elapsed());
    let places = "SELECT group_concat(room.name) FROM entity JOIN entity room ON room.id = entity.location
        WHERE entity.name IN ('coina', 'coinb')";
    assert_eq!(query(&folder.database(), places), "The Barn,The Barn");
}

#[test]
fn what_is_kept_for_a_player_is_there_after_a_kill_and_is_given_once() {
    let folder = Folder::new();
    let engine = host(&folder, &[("PERSIST_FLUSH_INTERVAL_MS", "20")]);
    let (mut anna, password) = Visitor::new_player(&engine, "Anna");
    let (mut bob, _) = Visitor::new_player(&engine, "Bob");
    anna.types("title the Tall\r\nalias hi say Hi,\r\nquit");
    bob.reads("Anna leaves the world.");
    bob.types("tell anna Come to the barn.");
    bob.reads("reads that after coming in.");
    wait_until_stored(&engine);
    engine.kill();
    let kept = "SELECT group_concat(kind || ':' || name || ':' || text, ' ') FROM (SELECT * FROM keepsake ORDER BY id)";
    assert_eq!(query(&folder.database(), kept), "alias:hi:say Hi, tell:Bob:Come to the barn.");

    let engine = host(&folder, &[]);
    let come_in = || {
        let mut anna = Visitor::connect(&engine);
        anna.types(&format!("anna\r\n{password}"));
        anna.reads("Exits:");
        anna
    };
    let mut anna = come_in();
    let history = anna.asks("history tells");
    assert!(history.contains("Bob told you on") && history.contains("Come to the barn."), "{history}");
    assert!(anna.asks("score").contains("Name: Anna the Tall"));
    assert!(anna.asks("hi everybody.").contains("You say, \"Hi, everybody.\""));
    anna.types("quit");
    anna.reads("Goodbye.");
    let mut anna = come_in();
    assert!(anna.asks("history tells").contains("Nobody has told you anything yet."));
    engine.stop();
    assert_eq!(query(&folder.database(), "SELECT group_concat(kind) FROM keepsake"), "alias");
}
