//! Every command of the command line.

use std::fs;

use crate::support::{Engine, Folder, SMALL_WORLD, command, output, query};

#[test]
fn version_is_that_of_the_version_file_and_help_names_every_variable() {
    let folder = Folder::new();
    let version = include_str!("../../VERSION").trim();
    assert_eq!(output(&mut command(&folder, &["--version"])), (0, format!("aqevia-engine {version}\n"), String::new()));
    let (code, help, _) = output(&mut command(&folder, &["--help"]));
    assert_eq!(code, 0);
    for (name, ..) in aqevia_engine::config::VARIABLES {
        assert!(help.contains(name), "{name}");
    }
    for usage in ["aqevia-engine      ", "healthcheck", "backup PATH", "check PATH", "export", "--version", "--help"] {
        assert!(help.contains(usage), "{usage}");
    }
}

#[test]
fn what_is_no_command_is_a_usage_error() {
    let folder = Folder::new();
    for (arguments, problem) in [
        (&["run"][..], "there is no command \"run\""),
        (&["chekc", "world.json5"], "there is no command \"chekc\"; perhaps check is meant"),
        (&["backup"], "backup takes one PATH: aqevia-engine backup PATH"),
        (&["check"], "check takes one PATH: aqevia-engine check PATH"),
        (&["check", "a", "b"], "check takes one PATH: aqevia-engine check PATH"),
        (&["--version", "x"], "--version takes nothing more"),
        (&["healthcheck", "x"], "healthcheck takes nothing more"),
        (&[""], "there is no command \"\""),
    ] {
        let said = format!("aqevia-engine: {problem}\naqevia-engine: Try: aqevia-engine --help\n");
        assert_eq!(output(&mut command(&folder, arguments)), (2, String::new(), said), "{arguments:?}");
    }
}

#[test]
fn healthcheck_asks_the_engine_that_the_configuration_names() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    let port = engine.address.port();
    let healthcheck =
        |address: &str| output(command(&folder, &["healthcheck"]).env("AQEVIA_OBSERVABILITY_ADDR", address));
    for address in [format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}")] {
        assert_eq!(healthcheck(&address), (0, String::new(), String::new()));
    }
    // Nothing but the address matters, and there is no other failure than 1.
    let mut elsewhere = command(&folder, &["healthcheck"]);
    elsewhere
        .env("AQEVIA_OBSERVABILITY_ADDR", engine.address.to_string())
        .env("AQEVIA_SQLITE_PATH", "/no/such/folder/x");
    assert_eq!(output(&mut elsewhere).0, 0);
    assert_eq!((healthcheck("127.0.0.1:0").0, healthcheck("nonsense").0), (1, 1));
    engine.stop();
    let (code, _, stderr) = healthcheck(&format!("127.0.0.1:{port}"));
    assert_eq!(code, 1);
    assert!(stderr.contains("does not answer"), "{stderr}");
}

#[test]
fn a_backup_of_a_live_world_is_whole_and_never_overwrites() {
    let folder = Folder::new();
    let engine = Engine::start_with(&folder, &[("PERSIST_BATCH_CAPACITY", "1")]);
    engine.wait_for_tick(5);
    let before = engine.status_number("$.storage.persisted_tick");
    let (code, stdout, stderr) = output(&mut command(&folder, &["backup", "copy.sqlite"]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("written to copy.sqlite"), "{stdout}");
    let (code, stdout, _) = output(&mut command(&folder, &["check", "copy.sqlite"]));
    assert!(code == 0 && stdout.ends_with("\nok\n"), "{stdout}");
    let tick: u64 = query(&folder.join("copy.sqlite"), "SELECT tick FROM world").parse().unwrap();
    assert!(tick >= before);

    let copy = fs::read(folder.join("copy.sqlite")).unwrap();
    let (code, _, stderr) = output(&mut command(&folder, &["backup", "copy.sqlite"]));
    assert_eq!(code, 3);
    assert!(stderr.contains("exists already"), "{stderr}");
    assert_eq!(fs::read(folder.join("copy.sqlite")).unwrap(), copy);

    let (code, _, stderr) = output(&mut command(&folder, &["backup", "storage.sqlite-journal"]));
    assert!(code == 3 && stderr.contains("belongs to the database"), "{stderr}");
    let (code, _, stderr) = output(&mut command(&folder, &["backup", "no/such/folder.sqlite"]));
    assert_eq!(code, 3, "{stderr}");
    engine.stop();

    // The copy is a database like any other: a world goes on from it.
    let restored = Folder::new();
    fs::copy(folder.join("copy.sqlite"), restored.database()).unwrap();
    let engine = Engine::start(&restored);
    assert!(engine.status_number("$.world.tick") >= tick);
    let left: Vec<_> = fs::read_dir(folder.join("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("partial")), "{left:?}");
}

#[test]
fn check_tells_a_sound_file_from_a_broken_one() {
    let folder = Folder::new();
    let check = |name: &str| output(&mut command(&folder, &["check", name]));
    folder.write("good.json5", SMALL_WORLD);
    let (code, stdout, _) = check("good.json5");
    assert!(
        code == 0 && stdout.starts_with("world file of A Small World (small): tick 0, 3 rooms, 4 exits"),
        "{stdout}"
    );
    folder.write("bad.json5", SMALL_WORLD.replace("\"barn\"", "\"bran\""));
    let (code, _, stderr) = check("bad.json5");
    assert_eq!(code, 2);
    assert!(stderr.contains("rooms.yard.exits.north: there is no \"bran\"; perhaps \"barn\" is meant"), "{stderr}");
    assert_eq!(check("missing").0, 3);

    Engine::start(&folder).stop();
    let database = fs::read(folder.database()).unwrap();
    assert_eq!(check("storage.sqlite").0, 0);
    assert_eq!(fs::read(folder.database()).unwrap(), database);
}

#[test]
fn an_export_founds_the_same_places_anew() {
    let folder = Folder::new();
    let engine = Engine::start(&folder);
    engine.wait_for_tick(50);
    engine.stop();
    // Nothing is born or eaten while they are compared.
    let slow = ("AQEVIA_TICK_INTERVAL_MS", "60000");
    let engine = Engine::start_with(&folder, &[slow]);
    let (code, exported, _) = output(&mut command(&folder, &["export"]));
    assert_eq!(code, 0);
    let again = Folder::new();
    let file = again.write("world.json5", exported);
    let other = Engine::start_with(&again, &[slow, ("AQEVIA_WORLD_PATH", file.to_str().unwrap())]);
    for count in ["$.world.id", "$.world.rooms", "$.world.exits", "$.world.creatures"] {
        assert_eq!(other.status(count), engine.status(count));
    }
    let (code, _, stderr) = output(&mut command(&Folder::new(), &["export"]));
    assert_eq!(code, 3, "{stderr}");
}
