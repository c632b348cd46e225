//! Databases of earlier engines, and what this one adds to them: players, bans and what is kept for players.

use std::fs;
use std::path::{Path, PathBuf};

use aqevia_engine::storage::schema::{Found, SCHEMA_VERSION};
use aqevia_engine::storage::{self, Storage, StorageError, Taker};
use aqevia_engine::world::{Ban, Keeping, Keepsake, Player, Posture, SECONDS_MAX, Wish, World, unheard};
use rusqlite::Connection;

use crate::folder::{Folder, WALL};
use crate::worlds;

/// The databases that earlier engines have made, by the version of their tables.
const EARLIER: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/databases/0.1.0.sqlite"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/databases/0.2.0.sqlite"),
];

/// Their versions.
pub const VERSIONS: [usize; EARLIER.len()] = [1, 2];

fn path(version: usize) -> &'static Path {
    Path::new(EARLIER[version - 1])
}

/// A world in which people are and others are kept out.
fn peopled() -> World {
    let mut world = worlds::world(&worlds::restless(3, 4), 1);
    let ada = world.add_player("Ada", Some("sealed".to_owned())).unwrap();
    let guest = world.add_player("Guest", None).unwrap();
    world.describe(ada, "Tall, and läutet.");
    world.change_player(ada, |player| {
        *player = Player {
            posture: Posture::Resting,
            brief: true,
            no_prompt: true,
            no_keepalive: true,
            colour: Wish::On,
            screen_reader: Wish::Off,
            width: 20,
            title: Some("the Tall".into()),
            since: Some(1_800_000_000),
            ..player.clone()
        }
    });
    world.change_player(guest, |player| player.width = 1_000);
    world.wake(ada, &mut unheard);
    for (kind, name, text, at) in
        [(Keeping::Alias, "gg", "get all", 0), (Keeping::Tell, "Bob", "Hallo, säumig?", u64::MAX)]
    {
        let (name, text) = (name.into(), text.into());
        let keepsake = |player| Keepsake { player, kind, name, text, at };
        assert!(world.keep(keepsake(ada)));
    }
    let (name, text) = ("gg".into(), "get all".into());
    assert!(!world.keep(Keepsake { player: guest, kind: Keeping::Alias, name, text, at: 0 }), "guests keep nothing");
    assert!(world.ban("Grobian", None) && world.ban("192.0.2.0/24", Some(u64::MAX)) && world.ban("::/0", Some(0)));
    world
}

/// A world that is founded, and gone on with.
fn stored(world: &mut World) -> (Folder, Storage) {
    // All of it is stored, and so nothing is pending.
    world.cut(|_| ());
    world.acknowledged();
    let folder = Folder::new();
    let (mut storage, _) = Storage::open(&folder.database(), WALL).unwrap();
    storage.found(world, "test", WALL).unwrap();
    storage.attach(&world.head()).unwrap();
    (folder, storage)
}

fn assert_same(one: &World, other: &World) {
    assert_eq!((&one.players, &one.bans, &one.keepsakes), (&other.players, &other.bans, &other.keepsakes));
    assert_eq!((one.now(), one.digest()), (other.now(), other.digest()));
}

fn open(database: &Path) -> Connection {
    Connection::open(database).unwrap()
}

fn count(folder: &Folder, table: &str) -> i64 {
    open(&folder.database()).query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn players_bans_and_keepsakes_come_back_as_they_were_founded_and_flushed() {
    let mut world = peopled();
    let (folder, mut storage) = stored(&mut world);
    assert_same(&worlds::load(&mut storage).unwrap(), &world);
    let [ada, guest] = ["ada", "GUEST"].map(|name| world.player_named(name).unwrap());
    assert_eq!(world.players[&guest], Player { width: 1_000, ..Player::default() });
    assert_eq!(world.bans.values().nth(1), Some(&Ban { of: "192.0.2.0/24".into(), until: Some(SECONDS_MAX) }));
    let [alias, told] = [Keeping::Alias, Keeping::Tell].map(|kind| world.kept(ada, kind).next().unwrap());
    assert_eq!((&*alias.1.name, &*alias.1.text, &*told.1.name, told.1.at), ("gg", "get all", "Bob", SECONDS_MAX));
    let (alias, player) = (alias.0, ada);
    // Each is written over, and one is added.
    world.change_player(ada, |player| (player.brief, player.password) = (false, Some("another".into())));
    world.add_player("Bertha", Some("sealed".to_owned())).unwrap();
    assert!(world.ban("Grobian", Some(7)));
    assert!(world.keep(Keepsake { kind: Keeping::Alias, name: "ll".into(), text: "look".into(), player, at: 7 }));
    worlds::flush(&mut storage, &mut world).unwrap();
    assert_same(&worlds::load(&mut storage).unwrap(), &world);
    assert_eq!((count(&folder, "player"), count(&folder, "ban")), (3, 3));
    assert_eq!(count(&folder, "keepsake"), 3);
    // What is no more leaves nothing behind.
    world.rest(guest, &mut unheard);
    assert!(world.lift_ban("GROBIAN") && world.lift_ban("::/0"));
    world.forget(alias);
    world.forget(alias);
    worlds::flush(&mut storage, &mut world).unwrap();
    assert_same(&worlds::load(&mut storage).unwrap(), &world);
    assert_eq!((count(&folder, "player"), count(&folder, "ban")), (2, 1));
    assert_eq!(count(&folder, "keepsake"), 2);
    assert_eq!(world.kept(ada, Keeping::Alias).map(|(_, kept)| &*kept.name).collect::<Vec<_>>(), ["ll"]);
    storage.close(&world.head()).unwrap();
}

#[test]
fn what_is_put_in_place_of_an_emptied_database_or_rescued_has_its_players_and_bans() {
    let mut world = peopled();
    let (folder, mut storage) = stored(&mut world);
    world.add_player("Bertha", None).unwrap();
    let feed = |take: Taker| {
        world.records(take);
        true
    };
    fs::File::options().write(true).open(folder.database()).unwrap().set_len(0).unwrap();
    storage.replace(&world.head(), WALL, feed).unwrap();
    assert_same(&worlds::load(&mut storage).unwrap(), &world);
    let rescue = storage::rescue::write(&folder.database(), world.head(), "test", WALL, feed).unwrap();
    assert_same(&storage::examine(&rescue.path).unwrap().0, &world);
    assert_eq!(tables(&rescue.path), tables(&folder.database()));
}

#[test]
fn a_wrong_value_in_any_column_of_a_player_a_ban_or_a_keepsake_is_refused_by_its_name() {
    let mut world = peopled();
    let (folder, storage) = stored(&mut world);
    drop(storage);
    let sound = fs::read(folder.database()).unwrap();
    let [ada, guest] = ["ada", "guest"].map(|name| world.player_named(name).unwrap().to_string());
    let [kept, ban] = [world.keepsakes.keys().next(), world.bans.keys().next()].map(|id| id.unwrap().to_string());
    let cut = |text: &str| {
        [("{ada}", &ada), ("{guest}", &guest), ("{kept}", &kept), ("{ban}", &ban)]
            .iter()
            .fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
    };
    for (edit, expected) in [
        (
            "UPDATE player SET id = 0 WHERE id = {ada}",
            "player, row 1: id is 0, and 1 to 4611686018427387902 is accepted",
        ),
        ("UPDATE player SET id = 1 WHERE id = {ada}", "player 1: is no entity of that kind"),
        ("DELETE FROM player WHERE id = {ada}", "player {ada}: is a player of whom nothing else is known"),
        (
            "UPDATE player SET posture = 'flying'",
            "player, row 1: Conversion error from type Text at index: 2, \"flying\" is none",
        ),
        ("UPDATE player SET brief = 2", "player, row 1: brief is 2, and 0 to 1 is accepted"),
        ("UPDATE player SET no_prompt = -1", "player, row 1: no_prompt is -1, and 0 to 1 is accepted"),
        ("UPDATE player SET no_keepalive = 7", "player, row 1: no_keepalive is 7, and 0 to 1 is accepted"),
        ("UPDATE player SET colour = ''", "player, row 1: Conversion error from type Text at index: 6, \"\" is none"),
        (
            "UPDATE player SET screen_reader = 'On'",
            "player, row 1: Conversion error from type Text at index: 7, \"On\" is none",
        ),
        ("UPDATE player SET width = 19", "player, row 1: width is 19, and 20 to 1000 is accepted"),
        ("UPDATE player SET width = 1001", "player, row 1: width is 1001, and 20 to 1000 is accepted"),
        ("UPDATE player SET password = 'other'", "the records are not those of the last flush"),
        ("UPDATE ban SET id = -1 WHERE who = '::/0'", "ban, row 1: id is -1, and 1 to 4611686018427387902 is accepted"),
        ("UPDATE ban SET id = 1 WHERE who = '::/0'", "ban 1: has the number of an entity"),
        ("UPDATE ban SET who = 'Somebody'", "the records are not those of the last flush"),
        ("UPDATE ban SET until = -1", "ban, row 1: until is -1, and 0 to 9223372036854775807 is accepted"),
        ("UPDATE player SET title = 'the Small'", "the records are not those of the last flush"),
        ("UPDATE player SET since = NULL", "the records are not those of the last flush"),
        ("UPDATE player SET since = -1", "player, row 1: since is -1, and 0 to 9223372036854775807 is accepted"),
        ("UPDATE keepsake SET id = 0 WHERE id = {kept}", "keepsake, row 1: id is 0, and 1 to 4611686018427387902"),
        ("UPDATE keepsake SET id = 1 WHERE id = {kept}", "keepsake 1: has the number of an entity or a ban"),
        ("UPDATE keepsake SET id = {ban} WHERE id = {kept}", "keepsake {ban}: has the number of an entity or a ban"),
        ("UPDATE keepsake SET id = 4611686018427387902 WHERE id = {kept}", "is not above all ids in use"),
        ("UPDATE keepsake SET player = 0", "keepsake, row 1: player is 0, and 1 to 4611686018427387902 is accepted"),
        ("UPDATE keepsake SET player = 1", "keepsake {kept}: is kept for nobody who has a password"),
        ("UPDATE keepsake SET player = {guest}", "keepsake {kept}: is kept for nobody who has a password"),
        (
            "UPDATE keepsake SET kind = 'secret'",
            "keepsake, row 1: Conversion error from type Text at index: 2, \"secret\" is none",
        ),
        ("UPDATE keepsake SET name = 'other'", "the records are not those of the last flush"),
        ("UPDATE keepsake SET text = 'other'", "the records are not those of the last flush"),
        ("UPDATE keepsake SET at = at - 1 WHERE at > 0", "the records are not those of the last flush"),
        ("UPDATE keepsake SET at = -1", "keepsake, row 1: at is -1, and 0 to 9223372036854775807 is accepted"),
        ("DELETE FROM keepsake", "the records are not those of the last flush"),
        ("UPDATE entity SET container = 2 WHERE id = 1", "entity, row 1: container is 2, and 0 to 1 is accepted"),
        ("UPDATE entity SET container = 1 WHERE id = 1", "is a container and no thing"),
    ] {
        fs::write(folder.database(), &sound).unwrap();
        open(&folder.database()).execute_batch(&cut(edit)).unwrap();
        let error = storage::examine(&folder.database()).err().unwrap_or_else(|| panic!("{edit}")).to_string();
        assert!(error.contains(&cut(expected)), "{edit}: {error}");
    }
    // Types are SQLite's to refuse.
    fs::write(folder.database(), &sound).unwrap();
    for column in ["posture", "brief", "no_prompt", "no_keepalive", "colour", "screen_reader", "width"] {
        for value in ["NULL", "x'00'"] {
            assert!(open(&folder.database()).execute_batch(&format!("UPDATE player SET {column} = {value}")).is_err());
        }
    }
    for column in ["player", "kind", "name", "text", "at"] {
        for value in ["NULL", "x'00'"] {
            let edit = format!("UPDATE keepsake SET {column} = {value}");
            assert!(open(&folder.database()).execute_batch(&edit).is_err());
        }
    }
}

/// A folder with a database of an earlier engine.
pub fn earlier(version: usize) -> Folder {
    let folder = Folder::new();
    fs::copy(path(version), folder.database()).unwrap();
    folder
}

/// Where its copy is put when it is brought up.
pub fn copy_in(folder: &Folder, version: usize) -> PathBuf {
    let tick = storage::head_at(path(version)).unwrap().tick.0;
    folder.join(&format!("storage.sqlite.schema-{version}-{tick}"))
}

/// Does what a start does.
pub fn start(folder: &Folder) -> Result<(World, Storage), StorageError> {
    let (mut storage, _) = Storage::open(&folder.database(), WALL)?;
    let world = worlds::load(&mut storage)?;
    storage.bring_up(&world.head())?;
    storage.attach(&world.head())?;
    Ok((world, storage))
}

/// Makes sure that trouble on the way has left the one or the other, whole, and that the next start goes on. Returns
/// whether the database was brought up.
pub fn is_brought_up(folder: &Folder, version: usize) -> bool {
    let digest = storage::examine(path(version)).unwrap().0.digest();
    let before = Found::Earlier(version as i32);
    let found_in = |database: &Path| {
        let (mut storage, found) = Storage::open(database, WALL).unwrap();
        assert_eq!(worlds::load(&mut storage).unwrap().digest(), digest);
        found
    };
    let copy = copy_in(folder, version);
    let found = found_in(&folder.database());
    assert!(found == before || found == Found::Ours && copy.exists(), "{found:?}");
    for again in [false, true] {
        if again || copy.exists() {
            assert_eq!(found_in(&copy), before);
        }
        let (mut world, mut storage) = start(folder).unwrap();
        assert_eq!(world.digest(), digest);
        if again {
            world.tick(&mut unheard);
            worlds::flush(&mut storage, &mut world).unwrap();
            storage.close(&world.head()).unwrap();
            assert_eq!(worlds::load(&mut storage).unwrap().digest(), world.digest());
        }
    }
    found == Found::Ours
}

fn tables(database: &Path) -> Vec<(String, String)> {
    let connection = open(database);
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY rowid").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?.unwrap_or_default())));
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_database_of_any_earlier_version_is_read_as_it_is_and_brought_up_to_the_letter_of_a_new_one() {
    VERSIONS.into_iter().for_each(check_bringing_up);
    // None is left out.
    assert_eq!(SCHEMA_VERSION as usize, EARLIER.len() + 1);
}

fn check_bringing_up(version: usize) {
    let folder = earlier(version);
    let before = Found::Earlier(version as i32);
    let read = storage::examine(&folder.database()).unwrap().0;
    assert_eq!(fs::read(folder.database()).unwrap(), fs::read(path(version)).unwrap());
    let (mut storage, found) = Storage::open(&folder.database(), WALL).unwrap();
    assert_eq!(found, before);
    let mut world = worlds::load(&mut storage).unwrap();
    assert_same(&world, &read);
    // The digest is the one that the earlier engine has stored: what it did not know counts for nothing.
    assert_eq!((world.players.len(), world.bans.len(), world.keepsakes.len()), [(0, 0, 0), (3, 2, 0)][version - 1]);
    let raised = storage.bring_up(&world.head()).unwrap().unwrap();
    let copy = copy_in(&folder, version);
    assert_eq!((raised.from, &raised.copy), (version as i32, &copy));
    assert_same(&worlds::load(&mut storage).unwrap(), &world);
    storage.attach(&world.head()).unwrap();
    // The copy is what was there.
    let (mut earlier, found) = Storage::open(&copy, WALL).unwrap();
    assert_eq!((found, worlds::load(&mut earlier).unwrap().digest()), (before, world.digest()));
    assert_eq!(tables(&copy), tables(path(version)));
    // What was brought up is as if it had been founded so.
    let (founded, _storage) = stored(&mut peopled());
    assert_eq!(tables(&folder.database()), tables(&founded.database()));
    assert_eq!(
        tables(&folder.database())[0].1.split_once("  asleep").unwrap().1,
        " INTEGER NOT NULL\n, container INTEGER NOT NULL DEFAULT 0) STRICT"
    );
    // And lives.
    let player = world.add_player("Zoe", Some("sealed".to_owned())).unwrap();
    world.change_player(player, |player| player.title = Some("the First".into()));
    let (kind, name, text) = (Keeping::Alias, "gg".into(), "get all".into());
    assert!(world.keep(Keepsake { player, kind, name, text, at: 1 }));
    worlds::flush(&mut storage, &mut world).unwrap();
    storage.close(&world.head()).unwrap();
    drop(storage);
    let (mut storage, found) = Storage::open(&folder.database(), WALL).unwrap();
    assert_eq!(found, Found::Ours);
    assert_eq!(worlds::load(&mut storage).unwrap().digest(), world.digest());
    assert!(storage.bring_up(&world.head()).unwrap().is_none());
}

#[test]
fn what_stands_where_the_copy_is_to_be_put_is_left_alone_and_named_unless_it_is_the_copy() {
    let first = fs::read(path(1)).unwrap();
    for (content, is_it) in [(first.clone(), true), (Vec::new(), false), (b"mine".to_vec(), false)] {
        let folder = earlier(1);
        fs::write(copy_in(&folder, 1), &content).unwrap();
        let started = start(&folder);
        assert_eq!(fs::read(copy_in(&folder, 1)).unwrap(), content);
        match started {
            Ok(_) => assert!(is_it),
            Err(error) => {
                assert!(!is_it && error.to_string().contains(".schema-1-"), "{error}");
                assert!(error.advice().contains("Move it away"), "{}", error.advice());
                assert_eq!(fs::read(folder.database()).unwrap(), first);
            }
        }
    }
    // Another state of the same world, such as that of today.
    let folder = earlier(1);
    let (world, mut storage) = start(&folder).unwrap();
    storage.checkpoint("TRUNCATE").unwrap();
    drop(storage);
    let brought_up = fs::read(folder.database()).unwrap();
    let other = earlier(1);
    fs::write(copy_in(&other, 1), brought_up).unwrap();
    assert!(start(&other).is_err());
    assert_eq!(world.digest(), storage::examine(&other.database()).unwrap().0.digest());
}

#[test]
fn what_others_keep_under_a_name_that_is_needed_now_is_left_alone_and_named() {
    for (version, kept, named) in [
        (1, "TABLE Player (a)", "player"),
        (1, "VIEW ban AS SELECT 1", "ban"),
        (1, "VIEW keepsake AS SELECT 1", "keepsake"),
        (2, "TABLE KeepSake (a)", "keepsake"),
    ] {
        let folder = earlier(version);
        open(&folder.database()).execute_batch(&format!("CREATE {kept}")).unwrap();
        let error = start(&folder).err().unwrap();
        assert!(error.to_string().contains(named) && error.advice().contains("Rename what is theirs"), "{error}");
        let (_, found) = Storage::open(&folder.database(), WALL).unwrap();
        assert_eq!(found, Found::Earlier(version as i32));
    }
    // What does not stand in the way stays.
    let folder = earlier(1);
    open(&folder.database()).execute_batch("CREATE TABLE notes (a); CREATE VIEW broken AS SELECT b FROM gone").unwrap();
    assert!(!is_brought_up(&folder, 1));
    assert_eq!((count(&folder, "notes"), count(&folder, "player")), (0, 0));
}

#[test]
fn a_database_of_an_earlier_engine_that_is_put_under_a_running_one_is_not_written() {
    let folder = earlier(1);
    let (mut world, mut storage) = start(&folder).unwrap();
    fs::write(folder.database(), fs::read(path(1)).unwrap()).unwrap();
    fs::remove_file(folder.join("storage.sqlite-wal")).unwrap();
    world.tick(&mut unheard);
    let flushed = worlds::flush(&mut storage, &mut world);
    assert!(flushed.is_err() || storage::examine(&folder.database()).unwrap().0.digest() == world.digest());
    // A writer that goes on where another has ended.
    let folder = earlier(1);
    let (mut storage, _) = Storage::open(&folder.database(), WALL).unwrap();
    let head = storage::head_at(path(1)).unwrap();
    let error = storage.resume(&head.id, "test", vec![(&head).into()]).unwrap_err();
    assert!(error.to_string().contains("its tables are those of another engine"), "{error}");
}
