//! Worlds for tests, as world files.

use std::fmt::Write;
use std::time::Duration;

use aqevia_engine::clock::Wall;
use aqevia_engine::storage::{Storage, StorageError, worldfile};
use aqevia_engine::world::{Gathering, Keeping, Keepsake, Record, World, unheard};

/// A world file: a ring of rooms full of creatures that never rest, and things that are carried about, eaten and grow
/// again, so that every flush changes, adds and removes records.
pub fn restless(rooms: usize, creatures: usize) -> String {
    let mut text = String::from("{ id: \"restless\", name: \"The Restless Ring\", rooms: {\n");
    for n in 0..rooms {
        let (next, before) = ((n + 1) % rooms, (n + rooms - 1) % rooms);
        let exits = format!("exits: {{ on: \"r{next}\", back: \"r{before}\" }}");
        let _ = writeln!(text, "  r{n}: {{ name: \"Room {n}\", description: \"One of {rooms}.\", {exits} }},");
    }
    text += "}, things: { berry: { name: \"a berry\", description: \"Red.\" },\n";
    for n in 0..rooms {
        let _ = writeln!(text, "  stone{n}: {{ name: \"a stone\", description: \"Grey.\", in: \"r{n}\" }},");
    }
    text += "}, creatures: {\n";
    for n in 0..creatures {
        let (room, stone) = (n % rooms, n % rooms);
        let habits = format!(
            "wander: {{ every_minutes: 1 }}, carry: {{ every_minutes: 2, things: [\"stone{stone}\"] }}, \
             eat: {{ every_minutes: 3, prey: [\"berry\"] }}"
        );
        let _ = writeln!(
            text,
            "  c{n}: {{ name: \"creature {n}\", description: \"It cannot stand still.\", in: \"r{room}\", habits: {{ {habits} }} }},"
        );
    }
    text += "}, spawns: [\n";
    for n in 0..rooms {
        let _ = writeln!(text, "  {{ prototype: \"berry\", room: \"r{n}\", at_most: 3, every_minutes: 1 }},");
    }
    text + "] }\n"
}

/// The world of such a file.
pub fn world(file: &str, seed: u64) -> World {
    worldfile::read(file, seed).unwrap_or_else(|problems| panic!("{}", problems.join("\n")))
}

/// Lets players, bans and what is kept for players come, change and go, some each time.
pub fn stir(world: &mut World) {
    let tick = world.now().0;
    let name = |n: u64| format!("Visitor{}", char::from(b'a' + (n % 5) as u8));
    match world.player_named(&name(tick)) {
        None => {
            let added = world.add_player(&name(tick), (!tick.is_multiple_of(3)).then(|| tick.to_string()));
            world.wake(added.unwrap(), &mut unheard);
        }
        Some(player) if tick.is_multiple_of(2) => world.rest(player, &mut unheard),
        Some(player) => world.change_player(player, |player| player.width = 20 + tick as u16 % 980),
    }
    if let Some(player) = world.player_named(&name(tick)) {
        let (kind, text) = (Keeping::ALL[tick as usize % 2], "Well.".into());
        world.change_player(player, |player| player.title = Some(tick.to_string().into()));
        world.keep(Keepsake { player, kind, name: tick.to_string().into(), text, at: tick });
    }
    if let Some(oldest) = world.keepsakes.keys().next().copied().filter(|_| world.keepsakes.len() > 3) {
        world.forget(oldest);
    }
    assert!(world.ban(&name(tick), Some(tick)));
    world.lift_ban(&name(tick + 1));
}

/// Flushes as the engine does: what fails is pending again. Returns the number of records.
pub fn flush(storage: &mut Storage, world: &mut World) -> Result<u64, StorageError> {
    let flushed = storage.flush(Wall(Duration::from_secs(1_800_000_000)), |take| {
        world.cut(&mut *take);
        take(Record::Head(&world.head()));
        true
    });
    if flushed.is_ok() {
        world.acknowledged()
    } else {
        world.cut_failed()
    }
    flushed
}

/// Loads the world that a database holds.
pub fn load(storage: &mut Storage) -> Result<World, StorageError> {
    let mut gathering = Gathering::default();
    storage.load(&mut |record| gathering.take(record))?;
    Ok(gathering.finish().unwrap_or_else(|problems| panic!("{problems:?}")))
}
