//! The rules that the source keeps, as a test: who may use whom, what may stand where, how large anything may grow, and
//! that what is written in two places says the same.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aqevia_engine::config::VARIABLES;
use aqevia_engine::http::answer::Limit;
use aqevia_engine::net;
use aqevia_engine::session;
use aqevia_engine::session::commands::COMMANDS;
use aqevia_engine::storage::files::SUFFIXES;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The pages for people: for who runs a World, who audits, who makes worlds, who tests.
const PAGES: [&str; 5] = ["README.md", ".ops/README.md", "src/README.md", "src/world/README.md", "tests/README.md"];

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every file of Rust source in `src`, by its path there, without its tests.
fn sources() -> Vec<(String, String)> {
    let sources = sources_in("src");
    assert!(sources.len() > 20);
    let without_tests = |text: String| text.split("\n#[cfg(test)]").next().unwrap().to_owned();
    sources.into_iter().map(|(name, text)| (name, without_tests(text))).collect()
}

/// Every file of Rust source in a folder, by its path there.
fn sources_in(top: &str) -> Vec<(String, String)> {
    let top = PathBuf::from(ROOT).join(top);
    let mut folders = vec![top.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned();
                sources.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    sources.sort();
    sources
}

fn is_code(line: &str) -> bool {
    !line.trim().is_empty() && !line.trim_start().starts_with("//")
}

fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| is_code(line)).map(|(index, line)| (index + 1, line))
}

/// The top-level modules in the order of `lib.rs`, each of which may use only those before it.
fn layers() -> Vec<String> {
    let lib = read("src/lib.rs");
    lib.lines().filter_map(|line| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned())).collect()
}

#[test]
fn each_layer_uses_only_those_before_it() {
    let layers = layers();
    let place = |name: &str| layers.iter().position(|layer| layer == name).unwrap_or_else(|| panic!("no layer {name}"));
    for (file, text) in sources().iter().filter(|(file, _)| file != "lib.rs" && file != "main.rs") {
        let layer = place(file.split(['/', '.']).next().unwrap());
        for (line, text) in code(text) {
            let mut rest = text;
            while let Some(at) = rest.find("crate::") {
                rest = &rest[at + "crate::".len()..];
                if let Some(names) = rest.strip_prefix('{') {
                    panic!("{file}:{line}: name one module a line: {{{names}");
                }
                let used = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                assert!(place(used) <= layer, "{file}:{line}: a lower layer uses {used}");
            }
        }
    }
}

#[test]
fn unsafe_stands_in_one_file_of_the_source_and_two_of_the_tests_each_with_its_reason() {
    // Cargo.toml denies `unsafe` wherever this does not stand. Put together here, so that this page does not hold it.
    let allow = ["allow", "unsafe_code"].join("(");
    for (folder, allowed) in [("src", &["sys.rs"][..]), ("tests", &["bench/people.rs", "proof/vfs.rs"])] {
        let sources = sources_in(folder);
        let allowing: Vec<_> = sources.iter().filter(|(_, text)| text.contains(&allow)).collect();
        assert!(allowing.iter().map(|(file, _)| file.as_str()).eq(allowed.iter().copied()), "in {folder}");
        for (file, text) in allowing {
            let lines: Vec<&str> = text.lines().collect();
            for (line, text) in code(text).filter(|(_, text)| text.contains("unsafe") && !text.contains("unsafe_code"))
            {
                let mut above = lines[..line - 1].iter().rev().take_while(|line| line.trim_start().starts_with("//"));
                assert!(above.any(|line| line.contains("// SAFETY: ")), "{file}:{line}: no SAFETY reason: {text}");
            }
        }
    }
    assert!(read("Cargo.toml").contains("\nunsafe_code = \"deny\"\n"));
}

#[test]
fn what_is_forbidden_where_does_not_stand_there() {
    for (file, text) in sources() {
        for (line, text) in code(&text) {
            let forbid = |what: &str, except: &str| {
                assert!(!text.contains(what) || file == except, "{file}:{line}: {what} belongs in {except:?} alone");
            };
            for clock in ["Instant::now", "SystemTime::now", "UNIX_EPOCH"] {
                forbid(clock, "clock.rs");
            }
            forbid("libc::", "sys.rs");
            forbid("println!", "");
            forbid(".unwrap()", "");
            forbid("thread::", "");
            if file.starts_with("world/") {
                for outside in
                    ["HashMap", "HashSet", "std::fs", "std::io", "std::net", "std::env", "rusqlite", "Instant"]
                {
                    forbid(outside, "");
                }
            }
            if ["telnet/", "web/", "session/"].iter().any(|folder| file.starts_with(folder)) {
                // Addresses and times are no more than numbers here; the port joins telnet to the network.
                for outside in
                    ["std::fs", "std::io", "Tcp", "Udp", "Unix", "std::env", "crate::sys", "clock::monotonic"]
                {
                    let is_port = file.ends_with("/port.rs");
                    assert!(!text.contains(outside) || is_port, "{file}:{line}: {outside} belongs in a port alone");
                }
            }
            // Bytes to lines and back: who says them and what comes of them is not its business.
            if file.starts_with("telnet/") {
                for outside in ["crate::world", "crate::net", "crate::http"] {
                    forbid(outside, "telnet/port.rs");
                }
            }
            if file.starts_with("web/") {
                for outside in ["crate::world", "crate::net"] {
                    forbid(outside, "web/port.rs");
                }
            }
            if !file.starts_with("storage/") {
                forbid("rusqlite", "");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_small() {
    let mut total = 0;
    for (file, text) in sources() {
        assert!(text.starts_with("//! "), "{file} does not open with what it is for");
        let lines = code(&text).count();
        assert!(lines <= 500, "{file} has {lines} lines of code");
        total += lines;
    }
    assert!(total <= 13_200, "src has {total} lines of code");
}

#[test]
fn there_are_two_direct_dependencies_and_eight_crates_in_all() {
    let manifest = read("Cargo.toml");
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let direct: Vec<&str> =
        section.lines().filter_map(|line| line.split(" = ").next()).filter(|l| !l.is_empty()).collect();
    assert_eq!(direct, ["libc", "rusqlite"]);
    assert_eq!(manifest.matches("dependencies").count(), 1);

    let arguments = ["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let tree = Command::new(env!("CARGO")).args(arguments).current_dir(ROOT).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.len() <= 8, "{crates:?}");
}

#[test]
fn the_version_is_the_same_wherever_it_stands() {
    let version = read("VERSION");
    assert_eq!(version, format!("{}\n", env!("CARGO_PKG_VERSION")));
    assert!(read("Dockerfile").contains(&format!("ARG VERSION={version}")));
}

#[test]
fn variables_and_their_defaults_are_the_same_everywhere() {
    let (readme, dockerfile, compose) = (read("README.md"), read("Dockerfile"), read("compose.yaml"));
    for (name, default, _) in VARIABLES {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("README does not describe {name}"));
        assert!(default.is_empty() || row.contains(&format!("`{default}`")), "README: {row}");
    }
    for (name, value) in [
        ("AQEVIA_SQLITE_PATH", "/data/storage.sqlite"),
        ("AQEVIA_OBSERVABILITY_ADDR", "0.0.0.0:7878"),
        ("AQEVIA_TELNET_ADDR", "0.0.0.0:4000"),
        ("AQEVIA_WEB_ADDR", "0.0.0.0:4080"),
        ("PERSIST_FLUSH_INTERVAL_MS", "1000"),
        ("PERSIST_BATCH_CAPACITY", "10"),
    ] {
        // Once for each of the two images.
        assert_eq!(dockerfile.matches(&format!("{name}={value}")).count(), 2, "Dockerfile: {name}");
        let found =
            [format!("{name}: {value}\n"), format!("{name}: \"{value}\"\n")].iter().any(|l| compose.contains(l));
        assert!(found, "compose.yaml: {name}");
        let (_, default, _) = VARIABLES.iter().find(|(known, ..)| *known == name).unwrap();
        let is_for_images = ["AQEVIA_SQLITE_PATH", "AQEVIA_TELNET_ADDR", "AQEVIA_WEB_ADDR"].contains(&name);
        assert!(is_for_images || *default == value, "{name}");
    }
}

#[test]
fn every_metric_and_limit_is_described_for_auditors_or_builders() {
    let readme = read("src/README.md") + &read("src/world/README.md");
    let answer = read("src/http/answer.rs");
    let names = answer.split('"').filter(|text| text.starts_with("aqevia_") || text.starts_with("process_"));
    let names: BTreeSet<&str> = names.collect();
    assert!(names.len() > 25);
    for name in names {
        assert!(readme.contains(&format!("| `{name}` |")), "README does not describe {name}");
    }
    let shared = net::Limit::ALL.iter().map(|limit| limit.label());
    let people = session::Limit::ALL.iter().map(|limit| limit.label());
    for limit in Limit::ALL.iter().map(|limit| limit.label()).chain(shared).chain(people) {
        assert!(readme.contains(&format!("limit `{limit}`")), "{limit}");
    }
    for line in read("src/limits.rs").lines().filter_map(|line| line.strip_prefix("pub const ")) {
        let name = line.split(':').next().unwrap();
        // What may be configured, and up to where, stands with the variables.
        if !name.ends_with("_RANGE") {
            assert!(readme.contains(&format!("| `{name}` |")), "README does not describe {name}");
        }
    }
}

#[test]
fn every_message_to_clients_is_described() {
    let (page, source) = (read("src/README.md"), read("src/session/gmcp.rs"));
    let is_package =
        |text: &&str| ["Aqevia.", "Char.", "Room.", "Comm.", "Core."].iter().any(|top| text.starts_with(top));
    let packages: BTreeSet<&str> = source.split('"').filter(is_package).collect();
    assert_eq!(packages.len(), 11, "{packages:?}");
    for package in packages {
        assert!(page.contains(&format!("\n| `{package}` |")), "src/README does not describe {package}");
    }
}

#[test]
fn what_the_readme_explains_is_what_is_said() {
    let sources: String = sources().into_iter().map(|(_, text)| text).collect();
    // A string may go on in the next line.
    let said: String = sources.split("\\\n").map(str::trim_start).collect::<String>() + &read(".ops/world");
    let readme = read("README.md");
    let rows =
        readme.split("### When something is wrong").nth(1).unwrap().split("\n## ").next().unwrap().lines().skip(4);
    for seen in rows.map(|row| row.split(" | ").next().unwrap()) {
        for text in
            seen.split(" of Docker,").next().unwrap().split('`').skip(1).step_by(2).flat_map(|it| it.split("..."))
        {
            assert!(said.contains(text.trim()), "nothing says {text:?}");
        }
    }
}

#[test]
fn what_belongs_to_a_database_is_the_same_everywhere() {
    let (readme, script) = (read("README.md"), read(".ops/world"));
    let table = readme.split("### Files").nth(1).unwrap().split("###").next().unwrap();
    let moved = script.split("belongings=(").nth(1).unwrap().split(')').next().unwrap();
    for suffix in SUFFIXES {
        assert!(table.contains(&format!("`{suffix}")), "README, Files: {suffix}");
        // Whoever moves a database leaves its lock, which an engine may hold, and its socket.
        assert_eq!(moved.contains(suffix), ![".lock", ".sock"].contains(&suffix), ".ops/world: {suffix}");
    }
}

#[test]
fn the_page_to_play_on_completes_every_command() {
    let page = read("src/web/page/play.js");
    let list = page.split("\nconst COMMANDS = ").nth(1).unwrap().split(';').next().unwrap();
    let listed: BTreeSet<&str> =
        list.split(|c: char| !c.is_ascii_lowercase()).filter(|word| !word.is_empty()).collect();
    // Of directions and the like there are words of one letter or two, which are as short as can be.
    let words = COMMANDS.iter().flat_map(|command| command.words);
    let missing: Vec<_> = words.filter(|word| word.len() > 2 && !listed.contains(*word)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_make_target_that_a_page_names_exists_and_is_no_file() {
    let (readme, makefile) = (PAGES.map(read).concat(), read("Makefile"));
    let phony = makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).unwrap();
    let named = readme.split("make ").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_lowercase()).next().unwrap());
    let code: BTreeSet<&str> = named.filter(|name| readme.contains(&format!("`make {name}"))).collect();
    assert!(code.contains("test") && code.contains("run"));
    for target in code {
        assert!(makefile.contains(&format!("\n{target}:")) && phony.split(' ').any(|name| name == target), "{target}");
    }
}

#[test]
fn every_test_that_auditors_are_shown_exists() {
    let sources: String = ["src", "tests"].into_iter().flat_map(sources_in).map(|(_, text)| text).collect();
    let page = read("src/README.md");
    let chapter = page.split("## What may happen").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = chapter.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")).collect();
    let mut named = 0;
    for row in rows.iter().filter(|row| !row.ends_with("| shown by |")) {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for test in tests.split(", ") {
            let name =
                test.strip_prefix('`').and_then(|test| test.strip_suffix('`')).unwrap_or_else(|| panic!("{row}"));
            assert!(
                sources.contains(&format!("#[test]\nfn {name}()"))
                    || sources.contains(&format!("#[test]\n    fn {name}()")),
                "{name}"
            );
            named += 1;
        }
    }
    assert!(named > 30);
}

#[test]
fn the_world_that_is_taught_works_as_printed() {
    let page = read("src/world/README.md");
    let text = page.split("```json5\n").nth(1).unwrap().split("```").next().unwrap();
    let world = aqevia_engine::storage::worldfile::read(text, 1).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(world.counts()[aqevia_engine::world::Kind::Room as usize], 3);
}

#[test]
fn the_first_page_stays_short_and_every_link_between_pages_leads_somewhere() {
    assert!(read("README.md").lines().count() < 300);
    for page in PAGES {
        let text = read(page);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            if !file.contains("://") {
                let target = Path::new(page).parent().unwrap().join(file);
                let text = if file.is_empty() { text.clone() } else { read(target.to_str().unwrap()) };
                let anchor =
                    |line: &str| line.trim_start_matches(['#', ' ']).to_lowercase().replace(',', "").replace(' ', "-");
                let found = text.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
                assert!(heading.is_empty() || found, "{page}: {link}");
            }
        }
    }
}
