//! What lies beside a database and belongs to another: nothing of it may come into ours.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use aqevia_engine::limits::{FRAME_BYTES_MAX, FRAME_RECORDS_BYTES};
use rusqlite::Connection;

use crate::support::{Engine, Folder, PATIENCE, by_way_of, command, output, query, refusal, refused, skip, wait_for};
use crate::trouble::{expect_recovery, stop_and_check};

const DATABASE: &str = "storage.sqlite";

/// Runs a command to its end: exit code, standard output, what it says is wrong.
fn run(folder: &Folder, arguments: &[&str]) -> (i32, String, String) {
    output(&mut command(folder, arguments))
}

/// A stopped world.
fn stopped() -> Folder {
    let folder = Folder::new();
    Engine::start(&folder).stop();
    folder
}

/// A journal that would undo a change of a database to what it was before, as a crash in the middle of it leaves it.
fn hot_journal(database: &Path) -> Vec<u8> {
    let folder = Folder::new();
    let copy = folder.database();
    fs::copy(database, &copy).unwrap();
    let mut writer = Connection::open(&copy).unwrap();
    writer.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1").unwrap();
    let transaction = writer.transaction().unwrap();
    transaction.execute_batch("UPDATE entity SET description = description || hex(randomblob(2000))").unwrap();
    fs::read(folder.join("storage.sqlite-journal")).unwrap()
}

#[test]
fn a_journal_put_beside_a_running_database_is_not_played_into_it() {
    let old = stopped();
    let journal = hot_journal(&old.database());
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(5);
    // A failed flush gives its connection up, and the next one would find the journal.
    let other = Connection::open(folder.database()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    wait_for("the engine to be unready", || (engine.get("/ready").0 == 503).then_some(()));
    let path = folder.write("storage.sqlite-journal", &journal);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    wait_for("the journal to be named", || engine.get("/ready").1.contains("storage.sqlite-journal").then_some(()));
    assert!(fs::read(&path).unwrap() == journal);
    fs::remove_file(path).unwrap();
    expect_recovery(&engine);
    stop_and_check(engine, &folder);
}

#[test]
fn a_backup_gets_no_name_beside_which_the_log_or_journal_of_another_waits() {
    let folder = stopped();
    for (suffix, content) in [("-wal", vec![7; 100]), ("-journal", hot_journal(&folder.database()))] {
        let left = folder.write(&format!("copy.sqlite{suffix}"), &content);
        let (code, _, stderr) = run(&folder, &["backup", "copy.sqlite"]);
        assert!(code == 3 && stderr.contains(suffix) && stderr.contains("ove it away"), "{suffix}: {stderr}");
        assert!(!folder.join("copy.sqlite").exists() && fs::read(&left).unwrap() == content, "{suffix}");
        fs::remove_file(left).unwrap();
    }
    assert_eq!(run(&folder, &["backup", "copy.sqlite"]).0, 0);
}

#[test]
fn a_page_that_ours_and_others_share_is_damage() {
    let folder = stopped();
    let share = "CREATE TABLE note (text TEXT); INSERT INTO note SELECT hex(randomblob(900)) FROM entity;
                 PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage =
                 (SELECT rootpage FROM sqlite_schema WHERE name = 'habit') WHERE name = 'note'";
    Connection::open(folder.database()).unwrap().execute_batch(share).unwrap();
    let (code, _, stderr) = run(&folder, &["check", DATABASE]);
    assert!(code == 3 && stderr.contains("2nd reference"), "{code}: {stderr}");
    let (code, stdout, _) = run(&folder, &[]);
    assert!(code == 3 && refused(&stdout).contains("2nd reference"), "{code}: {stdout}");
}

#[test]
fn a_broken_list_of_free_pages_is_damage_whatever_is_amiss_with_others() {
    let folder = stopped();
    let theirs =
        "CREATE TABLE gone (text TEXT); INSERT INTO gone SELECT hex(randomblob(900)) FROM entity; DROP TABLE gone;
                  CREATE TABLE note (text TEXT); CREATE INDEX note_by_text ON note (text COLLATE NOCASE);
                  PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'NOCASE', 'ELSEWHERE')";
    Connection::open(folder.database()).unwrap().execute_batch(theirs).unwrap();
    assert_eq!(run(&folder, &["check", DATABASE]).0, 0);
    let mut bytes = fs::read(folder.database()).unwrap();
    // Its first page stands in the header (SQLite, "Database File Format", section 1.3).
    let first = u32::from_be_bytes(bytes[32..36].try_into().unwrap()) as usize;
    assert!(first > 0);
    bytes[(first - 1) * 4096..first * 4096].fill(0xa5);
    fs::write(folder.database(), bytes).unwrap();
    let (code, _, stderr) = run(&folder, &["check", DATABASE]);
    assert!(code == 3 && stderr.contains("reelist"), "{code}: {stderr}");
}

#[test]
fn a_name_that_others_chose_acts_on_no_shell_and_no_terminal() {
    let folder = stopped();
    let name = "it's \"theirs\"; $(touch owned) `touch owned`'; touch owned; '";
    let make = |name: &str| {
        let sql = format!("CREATE INDEX \"{}\" ON entity (name)", name.replace('"', "\"\""));
        Connection::open(folder.database()).unwrap().execute_batch(&sql).unwrap();
    };
    make(&format!("{name}\x1b[2J"));
    let (code, _, stderr) = run(&folder, &["check", DATABASE]);
    assert!(code == 3 && stderr.contains(name) && stderr.contains("\\u{1b}[2J"), "{stderr}");
    assert!(!stderr.chars().any(|letter| letter.is_control() && letter != '\n'), "{stderr:?}");
    let drop = format!("DROP INDEX \"{}\x1b[2J\"", name.replace('"', "\"\""));
    Connection::open(folder.database()).unwrap().execute_batch(&drop).unwrap();

    make(name);
    let (_, _, stderr) = run(&folder, &["check", DATABASE]);
    let advised = stderr.split("Drop it: ").nth(1).unwrap().trim_end();
    // As whoever follows the advice would, with whatever is at hand in the place of `sqlite3`.
    let script = format!("sqlite3() {{ printf '%s\\n' \"$#\" \"$1\" \"$2\"; }}; {advised}");
    let told = Command::new("sh").args(["-c", &script]).current_dir(folder.join("")).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let expected = format!("2\n{}\n{}\n", folder.database().display(), drop.replace("\x1b[2J", ""));
    assert_eq!(told, expected, "{advised}");
    assert!(!folder.join("owned").exists());
    Connection::open(folder.database()).unwrap().execute_batch(told.lines().nth(2).unwrap()).unwrap();
    assert_eq!(run(&folder, &["check", DATABASE]).0, 0);
}

#[test]
fn what_others_have_written_at_great_length_is_refused_as_what_it_is() {
    let folder = stopped();
    let database = fs::read(folder.database()).unwrap();
    for (column, bytes, expected) in [
        ("weather", 2 * FRAME_BYTES_MAX, "is damaged: "),
        ("source", 2 * FRAME_BYTES_MAX, "is damaged: it has a record"),
        // As much as a frame can hold, but for the digest that every flush stores beside it.
        ("digest = NULL, name", FRAME_BYTES_MAX - FRAME_RECORDS_BYTES - 50, "is damaged: it has a record"),
    ] {
        let change = format!("UPDATE world SET {column} = hex(zeroblob({}))", bytes / 2);
        Connection::open(folder.database()).unwrap().execute_batch(&change).unwrap();
        let (code, said) = refusal(&folder, &[]);
        assert!(code == 3 && said.contains(expected), "{change} {code}: {said:.200}");
        fs::write(folder.database(), &database).unwrap();
    }
}

#[test]
fn a_database_read_without_its_folder_is_not_called_ok_without_a_word() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(20);
    engine.kill();
    fs::set_permissions(folder.join(""), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(run(&folder, &["backup", "copy.sqlite"]).0, 0);
    let elsewhere = Folder::new();
    let target = elsewhere.write("a file.sqlite", "");
    let check = |from: PathBuf| {
        let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
        let before = ["-m", "sh", "-c", script, from.to_str().unwrap(), target.to_str().unwrap()];
        let check = command(&elsewhere, &["check", target.to_str().unwrap()]);
        let mut mounted = by_way_of("unshare", &before, &check);
        output(mounted.env("PATH", std::env::var_os("PATH").unwrap()))
    };
    let (code, stdout, stderr) = check(folder.join("copy.sqlite"));
    if !stdout.ends_with("ok\n") {
        return skip(&format!("nothing can be mounted here: {stderr}"));
    }
    assert!(code == 0 && !stderr.contains("mounted"), "a backup has no log: {stderr}");
    let (_, stdout, stderr) = check(folder.database());
    assert!(stderr.contains("mounted as a single file"), "{stdout}{stderr}");
    assert_ne!(query(&folder.database(), "SELECT tick FROM world"), "0");
}
