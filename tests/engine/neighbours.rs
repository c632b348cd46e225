//! What lies at and beside a database that others have put there: their tables, their journals and logs, their links; and
//! what the engine's own readers leave.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use rusqlite::{Connection, OpenFlags};

use crate::preload::Preload;
use crate::support::{
    Engine, Folder, PATIENCE, by_way_of, command, output, query, refusal, sanitizer_options, skip, wait_for,
};
use crate::trouble::{expect_recovery, expect_unready, stop_and_check};

/// A user who is not the one the tests run as.
const NOBODY: u32 = 65_534;

/// A fox that eats each mouse that comes.
const EATING: &str = r#"{
  id: "eating", name: "Eating",
  rooms: { den: { name: "The Den", description: "Dark." } },
  creatures: {
    mouse: { name: "a mouse", description: "Grey." },
    fox: { name: "a fox", description: "Red.", in: "den", habits: { eat: { every_minutes: 1, prey: ["mouse"] } } },
  },
  spawns: [{ prototype: "mouse", room: "den", at_most: 1, every_minutes: 1 }],
}"#;

fn run(folder: &Folder, arguments: &[&str]) -> (i32, String, String) {
    output(&mut command(folder, arguments))
}

/// The same as another user, if this one can become another and that one can run the engine.
fn run_as_nobody(folder: &Folder, arguments: &[&str]) -> Option<(i32, String, String)> {
    let mut command = by_way_of("setpriv", &["--reuid=65534", "--clear-groups"], &command(folder, arguments));
    command.current_dir(folder.join("")).envs(sanitizer_options());
    let (code, stdout, stderr) = output(&mut command);
    let cannot = stderr.contains("setpriv:") || code == 126 || code == 127;
    if cannot {
        skip(&format!("this user cannot become another, or that one cannot run the engine: {stderr}"));
    }
    (!cannot).then_some((code, stdout, stderr))
}

fn give(path: &Path, user: u32) -> bool {
    let given = chown(path, Some(user), Some(user)).is_ok();
    if !given {
        skip("this user cannot give files away");
    }
    given
}

/// The names in a folder, with size and content's owner.
fn names(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.join("")).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> =
        entries.map(|entry| format!("{:?} {}", entry.file_name(), entry.metadata().unwrap().len())).collect();
    names.sort();
    names
}

fn stopped() -> Folder {
    let folder = Folder::new();
    Engine::start(&folder).stop();
    folder
}

fn edit(database: &Path, sql: &str) {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(crate::support::PATIENCE).unwrap();
    connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Waits for two flushes that have begun after now.
fn wait_for_flushes(engine: &Engine) {
    let flushes = engine.status_number("$.storage.flush_count");
    wait_for("flushes to go on", || (engine.status_number("$.storage.flush_count") >= flushes + 2).then_some(()));
}

#[test]
fn tables_and_views_of_others_are_theirs() {
    let folder = Folder::new();
    let world = folder.write("eating.json5", EATING);
    let variables = [("AQEVIA_WORLD_PATH", world.to_str().unwrap())];
    let engine = Engine::start_with(&folder, &variables);
    edit(
        &folder.database(),
        "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);
         CREATE TABLE note (entity INTEGER REFERENCES entity (id), text TEXT);
         CREATE INDEX note_text ON note (text);
         CREATE TRIGGER noted AFTER DELETE ON note BEGIN SELECT 1; END;
         CREATE VIEW creatures AS SELECT * FROM entity WHERE kind = 'creature';
         ANALYZE",
    );
    // Whatever is eaten from now on has a note that refers to it.
    wait_for("something noted to be eaten", || {
        let noted = "INSERT INTO note SELECT id, name FROM entity WHERE id NOT IN (SELECT entity FROM note)";
        edit(&folder.database(), noted);
        let gone = "SELECT count(*) FROM note WHERE entity NOT IN (SELECT id FROM entity)";
        (query(&folder.database(), gone) != "0").then_some(())
    });
    wait_for_flushes(&engine);
    assert_eq!(engine.get("/ready").0, 200, "{}", engine.log());
    assert!(!engine.log().contains("FOREIGN KEY"), "{}", engine.log());
    let (code, stdout, stderr) = run(&folder, &["backup", "copy.sqlite"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert_eq!(query(&folder.join("copy.sqlite"), "SELECT count(*) > 0 FROM note"), "1");
    engine.stop();
    for name in ["storage.sqlite", "copy.sqlite"] {
        let (code, _, stderr) = run(&folder, &["check", name]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{name}");
    }
    stop_and_check(Engine::start_with(&folder, &variables), &folder);
}

#[test]
fn what_others_put_on_our_tables_is_refused_by_name() {
    for (sql, named) in [
        ("CREATE INDEX theirs ON entity (name)", "the index `theirs` on the engine's table `entity`"),
        ("CREATE UNIQUE INDEX theirs ON Entity (id)", "the index `theirs` on the engine's table `entity`"),
        // SQLite writes this one's table down as it is spelled here.
        (
            "CREATE TRIGGER theirs AFTER UPDATE ON WORLD BEGIN SELECT 1; END",
            "the trigger `theirs` on the engine's table `world`",
        ),
        ("ALTER TABLE spawn ADD COLUMN theirs TEXT", "table \"spawn\" is not as this engine makes it"),
        ("ALTER TABLE spawn RENAME TO theirs", "table \"spawn\" is missing"),
    ] {
        let folder = stopped();
        edit(&folder.database(), sql);
        let before = fs::read(folder.database()).unwrap();
        for arguments in [&["check", "storage.sqlite"][..], &["backup", "copy.sqlite"], &["export"]] {
            let (code, _, stderr) = run(&folder, arguments);
            assert!(code == 3 && stderr.contains(named), "{sql} {arguments:?}: {code} {stderr}");
        }
        let (code, stderr) = refusal(&folder, &[]);
        assert!(code == 3 && stderr.contains(named), "{sql}: {code} {stderr}");
        assert!(fs::read(folder.database()).unwrap() == before && !folder.join("copy.sqlite").exists());
    }
    // A unique index on what is the same in many rows would make every flush fail without a word about why.
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(5);
    edit(&folder.database(), "CREATE INDEX theirs ON entity (name)");
    // Until it is made, the database is locked.
    wait_for("it to be met", || engine.status("$.storage.last_error").contains("theirs").then_some(()));
    let reason = expect_unready(&engine);
    assert!(reason.contains("the index `theirs` on the engine's table `entity`"), "{reason}");
    edit(&folder.database(), "DROP INDEX theirs");
    expect_recovery(&engine);
    stop_and_check(engine, &folder);
}

#[test]
fn a_start_waits_for_whoever_writes_and_loses_nothing_of_theirs() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(20);
    let other = Connection::open(folder.database()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("CREATE TABLE theirs (a)").unwrap();
    let promised = engine.status_number("$.storage.persisted_tick");
    engine.kill();
    // What a start writes again is the log, to which they add.
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO theirs VALUES (1)").unwrap();
    let mut command = command(&folder, &[]);
    let engine = std::thread::scope(|scope| {
        let starting = scope.spawn(|| Engine::spawn(&mut command));
        std::thread::sleep(std::time::Duration::from_millis(300));
        other.execute_batch("COMMIT").unwrap();
        starting.join().unwrap()
    });
    assert!(engine.status_number("$.world.tick") >= promised);
    engine.kill();
    drop(other);
    assert_eq!(query(&folder.database(), "SELECT count(*) FROM theirs"), "1");
    Engine::start(&folder).stop();
}

#[test]
fn a_world_is_founded_where_a_link_leads() {
    let folder = Folder::new();
    fs::create_dir(folder.join("volume")).unwrap();
    symlink("volume/world.sqlite", folder.database()).unwrap();
    Engine::start(&folder).stop();
    assert!(folder.join("volume/world.sqlite.lock").is_file() && !folder.join("storage.sqlite.lock").exists());
    let engine = Engine::start(&folder);
    assert!(!engine.log().contains("founded"), "{}", engine.log());
    stop_and_check(engine, &folder);
    // Where it leads to no folder, nothing can be made.
    fs::remove_dir_all(folder.join("volume")).unwrap();
    assert_eq!(output(&mut command(&folder, &[])).0, 3);
}

#[test]
fn a_database_that_another_program_has_only_begun_is_left_to_it() {
    let folder = Folder::new();
    let other = Connection::open(folder.database()).unwrap();
    other.execute_batch("PRAGMA journal_mode = WAL; VACUUM").unwrap();
    assert!(fs::metadata(folder.database()).unwrap().len() > 0);
    let (code, stdout, stderr) = output(&mut command(&folder, &[]));
    assert!(code == 3 && stdout.contains("another program may be about to fill"), "{code} {stdout}{stderr}");
    other.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
    drop(other);
    assert_eq!(query(&folder.database(), "SELECT count(*) FROM theirs"), "1");
}

#[test]
fn what_others_let_be_computed_is_bounded() {
    let folder = Folder::new();
    Engine::start(&folder).stop();
    let other = Connection::open(folder.database()).unwrap();
    // A small file of which a check computes large values.
    other
        .execute_batch(
            "CREATE TABLE theirs (a INT, b TEXT AS (hex(zeroblob(a))) VIRTUAL NOT NULL) STRICT;
             INSERT INTO theirs VALUES (1);
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, 'zeroblob(a)', 'zeroblob(a + 200000000)') WHERE name = 'theirs'",
        )
        .unwrap();
    drop(other);
    let (code, stdout, stderr) = output(&mut command(&folder, &["check", "storage.sqlite"]));
    assert!(code == 0 && stderr.contains("string or blob too big"), "{code} {stdout}{stderr}");
    Engine::start(&folder).stop();
}

#[test]
fn trouble_in_what_others_keep_is_a_warning() {
    let theirs = "CREATE TABLE theirs (text TEXT); CREATE INDEX their_index ON theirs (text COLLATE NOCASE);
        INSERT INTO theirs SELECT description FROM entity WHERE description IS NOT NULL;
        PRAGMA writable_schema = ON;";
    for (what, sql) in [
        ("a collation that SQLite lacks", "UPDATE sqlite_schema SET sql = replace(sql, 'NOCASE', 'ELSEWHERE')"),
        (
            "a module that this SQLite lacks",
            "INSERT INTO sqlite_schema VALUES ('table', 'search', 'search', 0, 'CREATE VIRTUAL TABLE search USING fts5 (a)')",
        ),
        ("an index that lacks rows", "DELETE FROM sqlite_schema WHERE 0"),
    ] {
        let folder = stopped();
        edit(&folder.database(), &format!("{theirs} {sql}"));
        let damaged = what == "an index that lacks rows";
        if damaged {
            let root = query(&folder.database(), "SELECT rootpage FROM sqlite_schema WHERE name = 'their_index'");
            let mut bytes = fs::read(folder.database()).unwrap();
            let at = (root.parse::<usize>().unwrap() - 1) * 4096;
            bytes[at..at + 4096].fill(0xa5);
            fs::write(folder.database(), bytes).unwrap();
        }
        let warned = |text: &str| text.contains("trouble in what others keep in it");
        // A module that is missing is trouble for who asks for that table, and for nobody else.
        let expected = what != "a module that this SQLite lacks";
        let (code, stdout, stderr) = run(&folder, &["check", "storage.sqlite"]);
        assert!(code == 0 && stdout.ends_with("\nok\n") && warned(&stderr) == expected, "{what}: {code} {stderr}");
        let (code, _, stderr) = run(&folder, &["backup", "copy.sqlite"]);
        assert!(code == 0 && warned(&stderr) == expected, "{what}: {code} {stderr}");
        let engine = Engine::start(&folder);
        assert_eq!(warned(&engine.log()), expected, "{what}: {}", engine.log());
        wait_for_flushes(&engine);
        stop_and_check(engine, &folder);
    }
}

#[test]
fn a_backup_is_not_written_to_a_name_that_belongs_to_the_database_however_it_is_spelled() {
    let folder = stopped();
    let linked = Folder::new();
    symlink(folder.join(""), linked.join("data")).unwrap();
    let before = names(&folder);
    let spelled = |name: &str| {
        let folder = folder.join("").canonicalize().unwrap();
        let twice = folder.join("..").join(folder.file_name().unwrap()).join(name);
        [folder.join(name), twice, linked.join("data").join(name)]
    };
    for suffix in ["-wal", "-shm", "-journal", ".rescued-7", ".schema-1-7", ".partial-1-0"] {
        for path in spelled(&format!("storage.sqlite{suffix}")) {
            let (code, _, stderr) = run(&folder, &["backup", path.to_str().unwrap()]);
            assert!(code == 3 && stderr.contains("that name belongs to the database"), "{path:?}: {code} {stderr}");
            assert_eq!(names(&folder), before);
        }
    }
    for path in [spelled("storage.sqlite"), spelled("storage.sqlite.lock")].as_flattened() {
        assert!(run(&folder, &["backup", path.to_str().unwrap()]).2.contains("exists already"), "{path:?}");
    }
    // A name that only looks like one of these is anybody's.
    assert_eq!(run(&folder, &["backup", "storage.sqlite.copy"]).0, 0);
    assert_eq!(run(&folder, &["backup", linked.join("storage.sqlite-wal").to_str().unwrap()]).0, 0);
}

#[test]
fn a_link_shows_what_the_file_shows_to_whoever_may_read_it() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(20);
    engine.kill();
    let elsewhere = Folder::new();
    symlink(folder.database(), elsewhere.join("link.sqlite")).unwrap();
    let (file, link) = (folder.database(), elsewhere.join("link.sqlite"));
    let tick = |(code, stdout, stderr): &(i32, String, String)| {
        assert_eq!(*code, 0, "{stdout}{stderr}");
        stdout.split(" tick ").nth(1).unwrap().split(',').next().unwrap().parse::<u64>().unwrap()
    };
    let by_file = run(&folder, &["check", file.to_str().unwrap()]);
    assert!(tick(&by_file) > 0);
    assert_eq!(run(&folder, &["check", link.to_str().unwrap()]), by_file);

    // Without an index of the log, and without the right to make one, nothing is told rather than something old.
    fs::remove_file(folder.join("storage.sqlite-shm")).unwrap();
    for path in [&file, &link] {
        let Some((code, stdout, stderr)) = run_as_nobody(&folder, &["check", path.to_str().unwrap()]) else { return };
        assert!(code == 3 && stdout.is_empty(), "{path:?}: {code} {stdout}{stderr}");
        assert!(stderr.contains("its last changes are in its -wal file, which user 65534"), "{stderr}");
    }
    // At rest it is read whole, by whatever name.
    Engine::start(&folder).stop();
    let before = names(&folder);
    let by_file = run(&folder, &["check", file.to_str().unwrap()]);
    for path in [&file, &link] {
        assert_eq!(run_as_nobody(&folder, &["check", path.to_str().unwrap()]).unwrap(), by_file);
    }
    assert_eq!(names(&folder), before);
}

#[test]
fn a_look_at_a_database_at_rest_leaves_nothing_beside_it() {
    let folder = stopped();
    // A name in which nothing may be taken for more than a letter.
    let odd = folder.join("a %41?mode=memory#x.sqlite");
    fs::copy(folder.database(), &odd).unwrap();
    let before = names(&folder);
    for name in ["storage.sqlite", odd.to_str().unwrap()] {
        let (code, stdout, stderr) = run(&folder, &["check", name]);
        assert_eq!(code, 0, "{stdout}{stderr}");
    }
    assert_eq!(run(&folder, &["export"]).0, 0);
    let copy = Folder::new();
    assert_eq!(run(&folder, &["backup", copy.join("copy.sqlite").to_str().unwrap()]).0, 0);
    assert_eq!(names(&folder), before);
    assert_eq!(names(&copy).len(), 1);
}

#[test]
fn what_a_look_of_another_user_has_left_is_no_obstacle_and_what_counts_is_named() {
    let folder = stopped();
    let leftover = |suffix: &str| folder.join(&format!("storage.sqlite{suffix}"));
    for path in [folder.join(""), folder.database(), leftover(".lock")] {
        if !give(&path, NOBODY) {
            return;
        }
    }
    let leave = |wal: &[u8]| {
        fs::write(leftover("-wal"), wal).unwrap();
        fs::write(leftover("-shm"), [0; 32 * 1024]).unwrap();
        for suffix in ["-wal", "-shm"] {
            give(&leftover(suffix), 0);
            fs::set_permissions(leftover(suffix), PermissionsExt::from_mode(0o644)).unwrap();
        }
    };
    leave(b"");
    // A start that ends once the world is loaded.
    let start = || {
        let mut engine = command(&folder, &[]);
        engine.env("AQEVIA_WORLD_ID", "another");
        let mut nobody = by_way_of("setpriv", &["--reuid=65534", "--clear-groups"], &engine);
        let (code, stdout, stderr) = output(nobody.envs(sanitizer_options()));
        (code, stdout + &stderr)
    };
    let (code, said) = start();
    if said.contains("setpriv:") || code == 126 || code == 127 {
        skip(&format!("this user cannot become another, or that one cannot run the engine: {said}"));
        return;
    }
    assert!(code == 3 && said.contains("holds the world"), "{code} {said}");
    leave(b"what another user has begun to write");
    let (code, said) = start();
    assert!(code == 3 && said.contains("storage.sqlite-wal") && said.contains("belongs to user 0"), "{code} {said}");
    assert_eq!(fs::read(leftover("-wal")).unwrap(), b"what another user has begun to write");
    // An index that somebody has open is not taken from them.
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(leftover(suffix)).unwrap();
    }
    let reader = Connection::open_with_flags(folder.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM entity").unwrap();
    for suffix in ["-wal", "-shm"] {
        give(&leftover(suffix), 0);
        fs::set_permissions(leftover(suffix), PermissionsExt::from_mode(0o644)).unwrap();
    }
    let index = fs::metadata(leftover("-shm")).unwrap().ino();
    let (code, said) = start();
    assert!(code == 3 && said.contains("belongs to user 0"), "{code} {said}");
    assert_eq!(fs::metadata(leftover("-shm")).unwrap().ino(), index);
}

#[test]
fn a_journal_that_is_not_empty_is_refused_with_both_ways_out() {
    let (folder, crashed) = (stopped(), Folder::new());
    assert_eq!(run(&folder, &["backup", "copy.sqlite"]).0, 0);
    let mut writer = Connection::open(folder.database()).unwrap();
    writer.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1").unwrap();
    let transaction = writer.transaction().unwrap();
    transaction.execute_batch("UPDATE entity SET description = description || hex(randomblob(2000))").unwrap();
    for name in ["storage.sqlite", "storage.sqlite-journal"] {
        fs::copy(folder.join(name), crashed.join(name)).unwrap();
    }
    drop(transaction);
    let refused_everywhere = |folder: &Folder, commands: &[&[&str]]| {
        let journal = folder.join("storage.sqlite-journal");
        let read = || ([&folder.database(), &journal].map(|path| fs::read(path).ok()), names(folder).len());
        let before = read();
        for arguments in commands {
            let (code, _, stderr) = run(folder, arguments);
            let named = stderr.contains("storage.sqlite-journal\"") && stderr.contains("Only you can know whose it is");
            assert!(code == 3 && named, "{arguments:?}: {code} {stderr}");
            assert!(read() == before, "{arguments:?} has changed something");
        }
        let (code, stderr) = refusal(folder, &[]);
        assert!(code == 3 && stderr.contains("'PRAGMA user_version'") && stderr.contains("move it away"), "{stderr}");
        let _ = fs::remove_file(folder.join("storage.sqlite.lock"));
        assert!(read() == before, "a start has changed something");
    };
    refused_everywhere(&crashed, &[&["check", "storage.sqlite"], &["backup", "copy.sqlite"], &["export"]]);
    // It is of another file: a restored backup, or none yet.
    let restored = Folder::new();
    fs::copy(folder.join("copy.sqlite"), restored.database()).unwrap();
    fs::copy(crashed.join("storage.sqlite-journal"), restored.join("storage.sqlite-journal")).unwrap();
    refused_everywhere(&restored, &[&["check", "storage.sqlite"], &["backup", "copy.sqlite"]]);
    let empty = Folder::new();
    fs::copy(crashed.join("storage.sqlite-journal"), empty.join("storage.sqlite-journal")).unwrap();
    refused_everywhere(&empty, &[]);

    // The one way out, and the other; an empty journal needs none.
    query(&crashed.database(), "PRAGMA user_version");
    stop_and_check(Engine::start(&crashed), &crashed);
    for folder in [&restored, &empty] {
        fs::rename(folder.join("storage.sqlite-journal"), folder.join("moved-away")).unwrap();
        folder.write("storage.sqlite-journal", "");
        stop_and_check(Engine::start(folder), folder);
    }
}

#[test]
fn nothing_that_is_not_surely_ours_is_removed_by_a_founding() {
    let folder = Folder::new();
    let others = [".new", ".new-wal", ".partial", ".partial-1-0", ".rescued-x", ".bak"];
    others.iter().for_each(|suffix| _ = folder.write(&format!("storage.sqlite{suffix}"), "precious"));
    Engine::start(&folder).stop();
    for suffix in others {
        assert_eq!(fs::read(folder.join(&format!("storage.sqlite{suffix}"))).unwrap(), b"precious", "{suffix}");
    }
}

#[test]
fn who_looks_into_a_running_database_does_not_take_its_log_along() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    // The engine looks at the file before each flush, and who closes a file gives up all that its process has locked there.
    wait_for_flushes(&engine);
    let process = engine.writer().to_string();
    let inode = fs::metadata(folder.database()).unwrap().ino().to_string();
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let held = locks.lines().any(|line| line.contains(&format!(" {process} ")) && line.contains(&format!(":{inode} ")));
    assert!(held, "{inode} of {process} in:\n{locks}");
    let log =
        || ["-wal", "-shm"].map(|suffix| fs::metadata(folder.join(&format!("storage.sqlite{suffix}"))).unwrap().ino());
    let before = log();
    for _ in 0..10 {
        query(&folder.database(), "SELECT count(*) FROM entity");
        assert_eq!(log(), before, "whoever closes as the last one removes the log");
    }
    stop_and_check(engine, &folder);
}

#[test]
fn a_dump_read_in_again_is_told_the_two_numbers_that_it_lacks() {
    let folder = stopped();
    let of_before = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/databases/0.1.0.sqlite");
    for (old, version) in [(folder.database(), 3), (of_before, 1)] {
        let restored = Folder::new();
        let new = Connection::open(restored.database()).unwrap();
        new.execute("ATTACH ?1 AS old", [old.to_str().unwrap()]).unwrap();
        let objects = "SELECT group_concat(sql || '; INSERT INTO main.' || name || ' SELECT * FROM old.' || name, ';')
                   FROM old.sqlite_schema WHERE sql IS NOT NULL";
        let dump: String = new.query_row(objects, [], |row| row.get(0)).unwrap();
        new.execute_batch(&dump).unwrap();
        drop(new);
        let (code, _, stderr) = run(&restored, &["check", "storage.sqlite"]);
        assert!(code == 3 && stderr.contains(".dump leaves them out"), "{code} {stderr}");
        assert_eq!(refusal(&restored, &[]).0, 3);
        // The advice as printed.
        let pragmas = stderr
            .split('\'')
            .nth(3)
            .filter(|_| stderr.matches('\'').count() == 4)
            .unwrap_or_else(|| panic!("{stderr}"));
        edit(&restored.database(), pragmas);
        assert_eq!(query(&restored.database(), "PRAGMA user_version"), version.to_string());
        stop_and_check(Engine::start(&restored), &restored);
    }
}

#[test]
fn what_is_no_database_is_called_what_it_is() {
    let folder = stopped();
    let mut packed = b"\x1f\x8b\x08\x00".to_vec();
    packed.extend(fs::read(folder.database()).unwrap());
    for (content, expected) in [
        (Vec::new(), "the file is empty"),
        (vec![0; 8192], "the file holds only zeros"),
        (packed, "the file is compressed"),
        (b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n".to_vec(), "the file is a dump of a database"),
    ] {
        folder.write("given", &content);
        let (code, stdout, stderr) = run(&folder, &["check", "given"]);
        assert!(code == 3 && stderr.contains(expected) && !stderr.contains("NUL"), "{code} {stdout}{stderr}");
        if !content.is_empty() {
            let (code, said) = refusal(&folder, &[("AQEVIA_SQLITE_PATH", "given")]);
            assert!(code == 3 && said.contains(expected), "{code} {said}");
        }
        assert!(fs::read(folder.join("given")).unwrap() == content);
    }
    // The log of a file with two names may lie beside the other.
    fs::hard_link(folder.database(), folder.join("second")).unwrap();
    let (code, _, stderr) = run(&folder, &["check", "second"]);
    assert!(code == 0 && stderr.contains("warning: it has more than one name (a hard link)"), "{code} {stderr}");
    let (code, said) = refusal(&folder, &[]);
    assert!(code == 3 && said.contains("keep one and remove the others") && !said.contains("Restore"), "{code} {said}");
}

#[test]
fn a_database_mounted_as_a_single_file_is_called_that() {
    let folder = stopped();
    let mounted = Folder::new();
    mounted.write("storage.sqlite", "");
    let script = format!("mount --bind {:?} {:?} && exec \"$0\" \"$@\"", folder.database(), mounted.database());
    let engine = command(&mounted, &[]);
    let (code, stdout, stderr) = output(&mut by_way_of("unshare", &["--mount", "sh", "-c", &script], &engine));
    if stderr.contains("unshare:") || stderr.contains("mount:") {
        skip(&format!("this user cannot mount anything: {stderr}"));
        return;
    }
    let said = stdout + &stderr;
    assert!(code == 3 && said.contains("it is mounted as a single file"), "{code} {said}");
    assert!(said.contains("Mount its folder: "), "{said}");
}

#[test]
fn where_folders_cannot_be_synced_a_world_is_founded_and_backed_up_all_the_same() {
    let Some(preload) = Preload::new() else { return };
    let folder = Folder::new();
    preload.order("folders", "22");
    let engine = Engine::spawn(preload.load_into(&mut command(&folder, &[])));
    let (code, stdout, stderr) = output(preload.load_into(&mut command(&folder, &["backup", "copy.sqlite"])));
    assert_eq!(code, 0, "{stdout}{stderr}");
    engine.stop();
    // Any other error is told, and what has its name is not called missing.
    preload.order("folders", "5");
    let (code, _, stderr) = output(preload.load_into(&mut command(&folder, &["backup", "second.sqlite"])));
    assert!(code == 3 && stderr.contains("second.sqlite\" cannot be used: it stands there, whole"), "{code} {stderr}");
    for name in ["copy.sqlite", "second.sqlite"] {
        assert_eq!(run(&folder, &["check", name]).0, 0);
    }
    assert!(!names(&folder).iter().any(|name| name.contains("partial")), "{:?}", names(&folder));
}

#[test]
fn litestream_runs_beside_the_engine_and_what_it_restores_goes_on() {
    if Command::new("litestream").arg("version").output().is_err() {
        skip("litestream is not installed");
        return;
    }
    let (folder, replica) = (Folder::new(), Folder::new());
    let engine = Engine::start(&folder);
    let url = format!("file://{}", replica.join("replica").display());
    let database = folder.database();
    let arguments = [database.to_str().unwrap(), url.as_str()];
    let mut replicator = Command::new("litestream").arg("replicate").args(arguments).spawn().unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = '_litestream_seq'";
    wait_for("litestream's tables", || (query(&database, tables) == "1").then_some(()));
    let restored = Folder::new();
    let to = restored.database();
    let persisted = engine.status_number("$.storage.persisted_tick");
    wait_for("a replica that is later", || {
        let _ = fs::remove_file(&to);
        let mut restore = Command::new("litestream");
        let done = restore.args(["restore", "-o", to.to_str().unwrap(), &url]).output().unwrap().status.success();
        (done && query(&to, "SELECT tick FROM world").parse::<u64>().unwrap() > persisted).then_some(())
    });
    assert_eq!(engine.get("/ready").0, 200, "{}", engine.log());
    assert!(!engine.log().contains("not a database of this engine"), "{}", engine.log());
    crate::support::send_signal(&replicator.id().to_string(), "TERM");
    replicator.wait().unwrap();
    let (code, stdout, stderr) = run(&restored, &["check", "storage.sqlite"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    stop_and_check(Engine::start(&restored), &restored);
    stop_and_check(engine, &folder);
}
