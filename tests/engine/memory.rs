//! What a world file may cost: memory by its size, whatever is in it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use aqevia_engine::limits::{ROOM_EXITS_MAX, WORLD_FILE_BYTES_MAX, WORLD_FILE_DEPTH_MAX, WORLD_FILE_ITEMS_FREE};

use crate::support::{Engine, Folder, by_way_of, command, output, sanitizer_options, skip};

const ROOM: &str = r#"{name:"A",description:"B"}"#;
const BYTES: usize = 800_000;

/// What founding a world from a file of so many bytes may take.
fn promised(bytes: usize) -> u64 {
    12 * bytes as u64 + 16 * 1024 * 1024
}

/// A short tag that begins as no value does.
fn tag(number: usize) -> String {
    format!("a{number:x}")
}

/// An exit to a room; as many as one room may have, then those of the next.
fn exit(number: usize, to: &str) -> String {
    let next = format!("}}}},q{number:x}:{{name:\"A\",description:\"B\",exits:{{");
    format!("{}{}:\"{to}\",", if number.is_multiple_of(ROOM_EXITS_MAX) { &next } else { "" }, tag(number))
}

/// As many members as fit into the file.
fn filled(before: &str, member: impl Fn(usize) -> String, after: &str) -> String {
    let mut text = format!("{{id:\"a\",name:\"A\",{before}");
    let mut members = (0..).map(member);
    while text.len() < BYTES {
        text += &members.next().unwrap();
    }
    text + after
}

/// Looks a file over with no more memory than is promised: exit code, standard output, standard error.
fn check(folder: &Folder, text: &str) -> (i32, String, String) {
    let file = folder.write("world.json5", text);
    let mut engine = command(folder, &["check", file.to_str().unwrap()]);
    if sanitizer_options().is_some() {
        skip("a sanitizer takes memory of its own, so that of the engine is not bounded");
        return output(&mut engine);
    }
    let limit = format!("--data={}", promised(text.len()));
    output(&mut by_way_of("prlimit", &[&limit], &engine))
}

#[test]
fn no_world_file_takes_more_memory_than_its_size_allows() {
    let folder = Folder::new();
    let things = format!("rooms:{{r:{ROOM}}},things:{{zz:{ROOM},");
    let creatures = format!(
        "rooms:{{r:{ROOM}}},creatures:{{zz:{{name:\"A\",description:\"B\",active:\"day\",habits:{{
        wander:{{every_minutes:1}},act:{{every_minutes:1,lines:[\"a\"]}},eat:{{every_minutes:1,prey:[\"zz\"]}}}}}},"
    );
    let target = "r".repeat(18);
    let exits = format!("rooms:{{{target}:{ROOM},r:{{name:\"A\",description:\"B\",exits:{{");
    let lines = vec![r#""a""#; 256].join(",");
    let speaker = |n| {
        format!(
            "{}:{{name:\"A\",description:\"B\",in:\"r\",habits:{{say:{{every_minutes:1,lines:[{lines}]}}}}}},",
            tag(n)
        )
    };
    let (words, long) = ("a ".repeat(BYTES / 2), "k".repeat(BYTES));
    let nested = |depth: usize| format!("x:{}{}", "[".repeat(depth), "]".repeat(depth));
    // The two with which it was found: each value kept the whole of its path.
    let keys: String = (0..990).map(|_| format!("{}:{{", "k".repeat(80))).collect();
    let zeros = "0,".repeat(30_000);
    for (what, text, expected) in [
        ("copies of a thing", filled(&things, |n| format!("{}:{{prototype:\"zz\",in:\"r\"}},", tag(n)), "}}"), "ok"),
        (
            "copies of a creature",
            filled(&creatures, |n| format!("{}:{{prototype:\"zz\",in:\"r\"}},", tag(n)), "}}"),
            "ok",
        ),
        ("rooms", filled("rooms:{", |n| format!("{}:{ROOM},", tag(n)), "}}"), "ok"),
        ("exits", filled(&exits, |n| exit(n, &target), "}}}}"), "ok"),
        ("dense exits", filled(&exits, |n| exit(n, "r"), "}}}}"), "entities and lines, and for what it says"),
        ("dense lines", filled(&format!("rooms:{{r:{ROOM}}},creatures:{{"), speaker, "}}"), "entities and lines, and"),
        ("zeros", filled("x:[", |_| "0,".to_owned(), "]}"), "x: is not known"),
        ("objects", filled("x:[", |_| "{},".to_owned(), "]}"), "x: is not known"),
        ("keys", filled("x:{", |n| format!("{}:0,", tag(n)), "}}"), "x: is not known"),
        ("unknown keys", filled("rooms:{r:{", |n| format!("{}:0,", tag(n)), "}}}"), "rooms.r.a0: is not known"),
        ("a long key", filled("", |_| format!("{long}:0,"), "}"), "k: is not known"),
        (
            "a long text",
            format!("{{id:\"a\",name:\"A\",rooms:{{r:{{name:\"A\",description:\"{words}\"}}}}}}"),
            "4000 are the most",
        ),
        ("long keys in one another", format!("{{{keys}a:[{zeros}]{}}}", "}".repeat(990)), "is nested deeper than 16"),
        ("depth", format!("{{id:\"a\",name:\"A\",{}}}", nested(WORLD_FILE_DEPTH_MAX - 1)), "x: is not known"),
        (
            "too much depth",
            format!("{{id:\"a\",name:\"A\",{}}}", nested(WORLD_FILE_DEPTH_MAX)),
            "is nested deeper than 16",
        ),
    ] {
        let (code, stdout, stderr) = check(&folder, &text);
        assert!(format!("{stdout}{stderr}").contains(expected), "{what}: {code}: {stdout}{stderr:.999}");
        assert_eq!(code, if expected == "ok" { 0 } else { 2 }, "{what}");
    }
}

#[test]
fn a_founded_world_has_never_taken_more_memory_than_its_file_allows() {
    if sanitizer_options().is_some() {
        return skip("a sanitizer takes memory of its own, so that of the engine is not measured");
    }
    let folder = Folder::new();
    let text = filled("rooms:{", |n| format!("{}:{ROOM},", tag(n)), "}}");
    let file = folder.write("world.json5", &text);
    let engine = Engine::start_with(&folder, &[("AQEVIA_WORLD_PATH", file.to_str().unwrap())]);
    let status = fs::read_to_string(Path::new("/proc").join(engine.child.id().to_string()).join("status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    let peak = peak.parse::<u64>().unwrap() * 1024;
    assert!(peak <= promised(text.len()), "{peak} bytes for a file of {}", text.len());
    engine.stop();
}

#[test]
fn a_wrong_tag_of_eight_megabytes_is_not_compared_with_every_reference() {
    let folder = Folder::new();
    let mut text = String::from("{id:\"a\",name:\"A\",rooms:{r:{name:\"A\",description:\"B\",exits:{");
    (0..90).for_each(|n| write!(text, "{}:\"nowhere{n}\",", tag(n)).unwrap());
    text += &format!("}}}},{}:{ROOM}}}}}", "t".repeat(8 * 1024 * 1024));
    let (code, _, stderr) = check(&folder, &text);
    assert!(code == 2 && stderr.contains("rooms.r.exits.a59: there is no \"nowhere89\""), "{stderr:.999}");
    // Nor is it shown at its length, however often.
    assert!(stderr.contains("is no tag") && stderr.len() < 64 * 1024, "{}", stderr.len());
}

#[test]
fn a_world_file_may_be_as_large_as_the_limit_and_no_larger() {
    let folder = Folder::new();
    let text = format!("{{id:\"a\",name:\"A\",rooms:{{r:{ROOM}}}}}");
    let spaces = |bytes: u64| " ".repeat(bytes as usize - text.len());
    let (code, stdout, stderr) = check(&folder, &(text.clone() + &spaces(WORLD_FILE_BYTES_MAX)));
    assert_eq!(code, 0, "{stdout}{stderr}");
    let (code, _, stderr) = check(&folder, &(text.clone() + &spaces(WORLD_FILE_BYTES_MAX + 1)));
    assert!(code == 2 && stderr.contains(&format!("larger than {WORLD_FILE_BYTES_MAX} bytes")), "{stderr}");
}

#[test]
fn a_few_entities_are_free_whatever_they_take() {
    let folder = Folder::new();
    let exits = |count: u64| (0..count as usize).map(|n| exit(n, "r")).collect::<String>();
    let file = |count: u64| {
        format!("{{id:\"a\",name:\"A\",rooms:{{r:{{name:\"A\",description:\"B\",exits:{{{}}}}}}}}}", exits(count))
    };
    assert_eq!(check(&folder, &file(WORLD_FILE_ITEMS_FREE - 129)).0, 0);
    assert_eq!(check(&folder, &file(2 * WORLD_FILE_ITEMS_FREE + 16_384)).0, 2);
}
