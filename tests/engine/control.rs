//! What operators do through the socket beside the database, with the real binary; and, where it takes long, with the socket
//! alone and a time of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aqevia_engine::clock::{self, Monotonic, Wall};
use aqevia_engine::control::{Around, Control};
use aqevia_engine::limits::{CONTROL_FLUSH_MS_MAX, CONTROL_LINE_BYTES_MAX, CONTROL_LINE_MS_MAX};
use aqevia_engine::net::Net;
use aqevia_engine::schedule::Flusher;
use aqevia_engine::session::terminal::Terminal;
use aqevia_engine::session::{Moment, People};
use aqevia_engine::storage::{Stamp, worldfile};
use aqevia_engine::sys::Poller;
use aqevia_engine::world::World;
use aqevia_engine::writer::ledger::Ledger;

use crate::support::{Engine, Folder, PATIENCE, SMALL_WORLD, by_way_of, command, json, output, skip, wait_for};
use crate::visitor::{Visitor, host};

const DONE: &str = "{\"done\":true}\n";

/// Gives a command: exit code, standard output, standard error.
fn ctl(folder: &Folder, words: &str) -> (i32, String, String) {
    let words: Vec<&str> = ["ctl"].into_iter().chain(words.split(' ').filter(|word| !word.is_empty())).collect();
    output(&mut command(folder, &words))
}

/// The rows of a command that is done.
fn rows(folder: &Folder, words: &str) -> Vec<String> {
    let (code, stdout, stderr) = ctl(folder, words);
    assert_eq!((code, stderr.as_str()), (0, ""), "{words}: {stdout}");
    let rows = stdout.strip_suffix(DONE).unwrap_or_else(|| panic!("{words}: {stdout}"));
    rows.lines().map(str::to_owned).collect()
}

/// Why a command is not done, as told to a script and to a person.
fn refusal(folder: &Folder, words: &str) -> String {
    let (code, stdout, stderr) = ctl(folder, words);
    let why = json(&stdout, "$.error");
    assert_eq!((code, json(&stdout, "$.done").as_str()), (1, "0"), "{words}: {stdout}");
    assert_eq!(stderr, format!("aqevia-engine: {why}\n"), "{words}");
    why
}

/// Somebody who types each of these lines once what they wait for was sent.
fn talk(engine: &Engine, talk: &[(&str, &str)]) -> Visitor {
    let mut visitor = Visitor::connect(engine);
    for (prompt, line) in talk {
        visitor.reads(prompt);
        visitor.types(line);
    }
    visitor
}

/// A new player, who is in.
fn come(engine: &Engine, name: &str) -> Visitor {
    Visitor::new_player(engine, name).0
}

#[test]
fn who_is_here_is_told_by_the_socket_and_counted_on_the_port() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    assert_eq!(rows(&folder, "who"), Vec::<String>::new());
    let ann = come(&engine, "Ann");
    let mut guest = Visitor::guest(&engine);
    guest.types("look");
    guest.reads("Exits: ");
    let mut coming = Visitor::connect(&engine);
    coming.reads("Name: ");
    let who = wait_for("all three", || Some(rows(&folder, "who")).filter(|who| who.len() == 3));
    let told = |row: &str, key: &str| json(row, &format!("$.{key}"));
    let names: Vec<String> = who.iter().map(|row| told(row, "name")).collect();
    assert_eq!(names, ["Ann", "Guest1", ""]);
    assert_eq!((told(&who[0], "guest"), told(&who[1], "guest")), ("0".to_owned(), "1".to_owned()));
    assert_eq!((told(&who[0], "room"), told(&who[2], "room")), ("The Yard".to_owned(), String::new()));
    assert!(who.iter().all(|row| told(row, "address") == "127.0.0.1" && told(row, "connected") == "1"), "{who:?}");
    assert!(told(&who[0], "idle_seconds").parse::<u64>().unwrap() < 30);

    assert_eq!((engine.status("$.world.players"), engine.status("$.world.players_online")), ("2".into(), "2".into()));
    assert_eq!(engine.status("$.loop.sessions"), "3");
    for (metric, value) in [
        ("aqevia_sessions", 3.0),
        ("aqevia_players_online", 2.0),
        ("aqevia_logins_total", 2.0),
        ("aqevia_login_failures_total", 0.0),
        ("aqevia_commands_total", 1.0),
        ("aqevia_port_connections{port=\"telnet\"}", 3.0),
        ("aqevia_port_accepted_total{port=\"telnet\"}", 3.0),
        ("aqevia_port_evictions_total{port=\"telnet\"}", 0.0),
        ("aqevia_port_limits_total{port=\"control\",limit=\"accept\"}", 0.0),
        ("aqevia_session_limits_total{limit=\"closed\"}", 0.0),
    ] {
        assert!(engine.get("/metrics").1.contains(&format!("\n{metric} ")), "{metric}");
        assert_eq!(engine.metric(metric), value, "{metric}");
    }
    // What the socket tells is what the port tells.
    let [status] = &rows(&folder, "status")[..] else { panic!("one row") };
    assert_eq!(json(status, "$.world.players_online"), "2");
    assert_eq!(json(status, "$.version"), engine.status("$.version"));
    // Who has dropped the line is still in the world.
    drop(ann);
    let gone = wait_for("the end of a connection", || {
        Some(rows(&folder, "who")).filter(|who| told(&who[0], "connected") == "0")
    });
    assert_eq!((told(&gone[0], "name"), told(&gone[0], "address")), ("Ann".to_owned(), String::new()));
    assert_eq!(engine.status("$.world.players_online"), "1");
}

#[test]
fn a_lost_password_is_replaced_and_the_lost_one_opens_nothing() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let (mut ann, before) = Visitor::new_player(&engine, "Ann");
    let [row] = &rows(&folder, "password ann")[..] else { panic!("one row") };
    assert_eq!(json(row, "$.name"), "Ann");
    let after = json(row, "$.password");
    assert!(after.len() == 19 && after != before, "{after}");
    ann.reads("** An operator has made a new password for you.\r\n");
    let mut elsewhere = talk(&engine, &[("Name: ", "ann"), ("Password: ", &before)]);
    elsewhere.reads("That is not the password");
    elsewhere.types(&format!("ann\r\n{after}"));
    elsewhere.reads("Exits: ");
    assert_eq!(engine.metric("aqevia_login_failures_total"), 1.0);
    // Neither is in the log, only that it was done.
    let acted = "msg=\"an operator gave a command\" command=\"password ann\"\n";
    let log = wait_for("the log", || Some(engine.log()).filter(|log| log.matches(acted).count() == 1));
    assert!(!log.contains(&after) && !log.contains(&before), "{log}");

    let _guest = Visitor::guest(&engine);
    assert_eq!(refusal(&folder, "password Guest1"), "Guest1 is a guest, and has no password");
    assert_eq!(refusal(&folder, "password Bob"), "there is no player called Bob");
    let refused = "command=\"password Bob\" refused=\"there is no player called Bob\"\n";
    engine.logs(refused);
}

#[test]
fn who_is_booted_reads_why_and_is_out_of_sight_at_once_and_may_come_back() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let (mut ann, mut bea) = (come(&engine, "Ann"), come(&engine, "Bea"));
    assert_eq!(rows(&folder, "boot ANN"), Vec::<String>::new());
    assert!(ann.reads_to_the_end().ends_with("** An operator has ended your visit.\r\n"));
    bea.reads("Ann leaves the world.\r\n");
    assert_eq!(refusal(&folder, "boot Ann"), "Ann is not in the world");
    assert_eq!(refusal(&folder, "boot Bob"), "there is no player called Bob");
    talk(&engine, &[("Name: ", "Ann")]).reads("Password: ");
}

#[test]
fn a_ban_of_a_name_or_of_addresses_ends_visits_and_keeps_out_until_it_is_lifted_or_over() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let (mut ann, mut bea) = (come(&engine, "Ann"), come(&engine, "Bea"));
    let [row] = &rows(&folder, "ban ann 7d")[..] else { panic!("one row") };
    assert_eq!((json(row, "$.ban"), json(row, "$.ended")), ("Ann".to_owned(), "1".to_owned()));
    assert!(ann.reads_to_the_end().ends_with("** An operator keeps you out from now on.\r\n"));
    let week = clock::wall().0 + Duration::from_secs(7 * 86_400);
    let until = json(row, "$.until");
    let around = [0, 60].map(|less| Wall(week - Duration::from_secs(less)).rfc3339());
    assert!(until <= around[0] && until > around[1], "{until}");

    // The same network, however it is written, is one ban, and covers who is here and who is coming in.
    let mut coming = Visitor::connect(&engine);
    coming.reads("Name: ");
    assert_eq!(json(&rows(&folder, "ban 127.0.0.9/8")[0], "$.ended"), "2");
    assert!(coming.reads_to_the_end().ends_with("** An operator keeps you out from now on.\r\n"));
    bea.reads("** An operator keeps you out from now on.\r\n");
    rows(&folder, "ban 127.1.2.3/8 12h");
    rows(&folder, "ban 2001:db8::/32");
    let bans: Vec<String> = rows(&folder, "bans").iter().map(|row| json(row, "$.ban")).collect();
    assert_eq!(bans, ["Ann", "127.0.0.0/8", "2001:db8::/32"]);
    assert!(Visitor::connect(&engine).reads_to_the_end().contains("Nobody is let in from your address."));
    assert_eq!(engine.metric("aqevia_session_limits_total{limit=\"banned\"}"), 1.0);
    assert_eq!(rows(&folder, "unban 127.0.0.1/8"), Vec::<String>::new());
    assert_eq!(refusal(&folder, "unban 127.0.0.1/8"), "127.0.0.1/8 is not banned");

    // The name alone is kept out, and only after the password.
    let password = json(&rows(&folder, "password Ann")[0], "$.password");
    let come = || talk(&engine, &[("Name: ", "Ann"), ("Password: ", &password)]);
    assert!(come().reads_to_the_end().contains("You are not let in."));
    rows(&folder, "ban Ann 1s");
    wait_for("the end of the ban", || (rows(&folder, "bans").len() == 1).then_some(()));
    come().reads("Exits: ");
    for (of, why) in [
        ("Bob", "there is no player called Bob"),
        ("127.0.0", "127.0.0 is no address, and no network such as 192.0.2.0/24"),
        ("::1/129", "::1/129 is no address, and no network such as 192.0.2.0/24"),
    ] {
        assert_eq!(refusal(&folder, &format!("ban {of}")), why);
    }
}

#[test]
fn a_closed_world_lets_nobody_in_and_keeps_who_is_there_until_it_is_opened() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let mut ann = come(&engine, "Ann");
    // Who has begun to come in is not in.
    let coming = talk(&engine, &[("Name: ", "Bea")]);
    assert_eq!(rows(&folder, "close"), Vec::<String>::new());
    for mut visitor in [coming, Visitor::connect(&engine)] {
        assert!(visitor.reads_to_the_end().ends_with("** The world is closed just now. Come again later.\r\n"));
    }
    assert_eq!(engine.metric("aqevia_session_limits_total{limit=\"closed\"}"), 1.0);
    assert!(ann.asks("who").contains("In the world: 1"));
    assert_eq!(rows(&folder, "open"), Vec::<String>::new());
    come(&engine, "Bea");
}

#[test]
fn an_announcement_reaches_everybody_as_the_engines_own_words() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let (mut ann, mut bea) = (come(&engine, "Ann"), come(&engine, "Bea"));
    assert_eq!(rows(&folder, "announce Tea is ready: \"come\"."), Vec::<String>::new());
    for visitor in [&mut ann, &mut bea] {
        visitor.reads("\r\n** Tea is ready: \"come\".\r\n");
    }
    let (code, _, stderr) = output(&mut command(&folder, &["ctl", "announce", "\u{1b}[2J"]));
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn a_flush_that_is_asked_for_waits_for_no_interval_and_is_told_when_it_is_acknowledged() {
    let folder = Folder::new();
    let engine =
        Engine::start_with(&folder, &[("PERSIST_FLUSH_INTERVAL_MS", "3600000"), ("PERSIST_BATCH_CAPACITY", "1000000")]);
    engine.wait_for_tick(20);
    let [row] = &rows(&folder, "flush")[..] else { panic!("one row") };
    let told: u64 = json(row, "$.persisted_tick").parse().unwrap();
    assert!(told >= 20 && engine.status_number("$.storage.persisted_tick") == told, "{told}");
    assert_eq!(engine.metric("aqevia_flushes_total{trigger=\"operator\",outcome=\"success\"}"), 1.0);
    engine.kill();
    let engine = Engine::start(&folder);
    assert!(engine.status_number("$.world.tick") >= told);
}

#[test]
fn a_shutdown_tells_people_and_ends_as_a_signal_does() {
    let folder = Folder::new();
    let mut engine = host(&folder, &[]);
    assert_eq!(rows(&folder, "announce nobody hears this"), Vec::<String>::new());
    assert_eq!(refusal(&folder, "boot Ann"), "there is no player called Ann");
    assert_eq!(rows(&folder, "shutdown 1"), Vec::<String>::new());
    assert_eq!(engine.child.wait().unwrap().code(), Some(0));
    engine.wait_for_writer();
    let log = engine.log();
    assert!(
        log.contains("command=\"shutdown 1\"\n") && log.contains("msg=stopping told_by=\"an operator\"\n"),
        "{log}"
    );
    assert!(log.contains("msg=stopped tick="), "{log}");
    assert!(!folder.join("storage.sqlite.sock").exists());

    // At once, with somebody there.
    let mut engine = host(&folder, &[]);
    let mut guest = Visitor::guest(&engine);
    assert_eq!(rows(&folder, "shutdown"), Vec::<String>::new());
    assert!(guest.reads_to_the_end().contains("** The world stops, and saves all that you did."));
    assert_eq!(engine.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_no_command_or_has_no_engine_is_told_apart_by_the_exit_code() {
    let folder = Folder::new();
    for (arguments, problem) in [
        (&["ctl"][..], "there is no command \"\""),
        (&["ctl", "statsu"], "there is no command \"statsu\"; perhaps status is meant"),
        (&["ctl", "boot"], "boot is used so: ctl boot NAME"),
        (&["ctl", "announce", ""], "an argument is empty, or is no text"),
        (&["ctl", "who\nclose"], "a command is one line, without control characters"),
    ] {
        let said = format!("aqevia-engine: {problem}\naqevia-engine: Try: aqevia-engine --help\n");
        assert_eq!(output(&mut command(&folder, arguments)), (2, String::new(), said), "{arguments:?}");
    }
    let (_, help, _) = output(&mut command(&folder, &["--help"]));
    for (usage, _) in aqevia_engine::control::COMMANDS {
        assert!(help.contains(&format!("    ctl {usage} ")), "{usage}");
    }
    let (code, stdout, stderr) = ctl(&folder, "who");
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("no engine is reached by") && stderr.contains("storage.sqlite.sock"), "{stderr}");
}

#[test]
fn on_a_terminal_an_answer_is_in_words() {
    let folder = Folder::new();
    let _engine = host(&folder, &[]);
    if Command::new("script").arg("--version").output().is_err() {
        return skip("script(1) is not installed, which makes a terminal");
    }
    let program = command(&folder, &[]);
    let said = |words: &str| {
        let line = format!("exec '{}' ctl {words}", program.get_program().to_str().unwrap());
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env_clear().env("AQEVIA_SQLITE_PATH", folder.database());
        script.env("PATH", std::env::var_os("PATH").unwrap()).env("SHELL", "/bin/sh");
        let (code, stdout, _) = output(&mut script);
        assert_eq!(code, 0, "{stdout}");
        stdout
    };
    assert_eq!(said("ban 192.0.2.0/24"), "ban: 192.0.2.0/24, until: null, ended: 0\r\ndone\r\n");
    let status = said("status");
    assert!(status.contains("\r\nworld:\r\n  id: ") && status.ends_with("\r\ndone\r\n"), "{status}");
    // However many there are of what is counted by seconds, they are one line.
    let lines: Vec<&str> = status.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("  lateness_ms: ")).unwrap();
    assert!(lines[at + 1].starts_with("  http_connections: "), "{status}");
}

#[test]
fn nobody_but_the_engines_user_may_use_the_socket_whatever_the_mask_is() {
    let folder = Folder::new();
    let engine = Engine::spawn(&mut by_way_of("sh", &["-c", "umask 0; exec \"$@\"", "sh"], &command(&folder, &[])));
    let socket = fs::metadata(folder.join("storage.sqlite.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    rows(&folder, "who");
    engine.stop();
}

#[test]
fn what_is_made_with_a_closed_mask_is_never_open_and_the_mask_is_as_before() {
    let folder = Folder::new();
    let engine = command(&folder, &[]);
    let log = folder.join("calls");
    let trace = ["-f", "-e", "trace=umask,bind,rename", "-o", log.to_str().unwrap()];
    if Command::new("strace").arg("-V").output().is_err() {
        return skip("strace is not installed");
    }
    let mut engine = Engine::spawn(&mut by_way_of("strace", &trace, &engine));
    rows(&folder, "shutdown");
    engine.child.wait().unwrap();
    let calls = fs::read_to_string(&log).unwrap();
    let at = |text: &str| calls.find(text).unwrap_or_else(|| panic!("{text} in {calls}"));
    assert!(at("umask(0177)") < at("sock.partial-") && at("sock.partial-") < at("umask(022)"), "{calls}");
    assert!(at("umask(022)") < at("rename("), "{calls}");
}

#[test]
fn a_socket_that_is_left_over_is_replaced_a_living_one_is_not_and_anything_else_is_left_alone() {
    let folder = Folder::new();
    let socket = folder.join("storage.sqlite.sock");
    let engine = Engine::start(&folder);
    let first = fs::metadata(&socket).unwrap().ino();
    // Another engine that waits for the lock has not touched it.
    let mut second = Engine::begin(&mut command(&folder, &[]));
    rows(&folder, "who");
    second.child.kill().unwrap();
    second.child.wait().unwrap();
    assert_eq!(fs::metadata(&socket).unwrap().ino(), first);
    engine.kill();
    assert!(ctl(&folder, "who").2.contains("no engine is reached by"));
    let engine = Engine::start(&folder);
    rows(&folder, "who");
    // One that was put there meanwhile is not taken away.
    fs::rename(&socket, folder.join("aside")).unwrap();
    let _theirs = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    engine.stop();
    assert!(socket.exists());

    fs::remove_file(&socket).unwrap();
    folder.write("storage.sqlite.sock", "mine");
    let engine = Engine::start(&folder);
    let warned = engine.log();
    let why = "something that is no socket has its name";
    assert!(
        warned.contains("level=warn msg=\"there is no socket for operators: `ctl` does not work\"")
            && warned.contains(why),
        "{warned}"
    );
    assert_eq!(engine.get("/ready").0, 200);
    assert_eq!(ctl(&folder, "who").0, 1);
    engine.stop();
    assert_eq!(fs::read_to_string(&socket).unwrap(), "mine");
}

#[test]
fn the_paths_of_sockets_may_be_longer_than_the_kernel_takes() {
    let folder = Folder::new();
    let deep = folder.join(&["x".repeat(100), "y".repeat(100)].join("/"));
    fs::create_dir_all(&deep).unwrap();
    let database = deep.join("z".repeat(200));
    let engine = Engine::spawn(command(&folder, &[]).env("AQEVIA_SQLITE_PATH", &database));
    let (code, stdout, stderr) = output(command(&folder, &["ctl", "who"]).env("AQEVIA_SQLITE_PATH", &database));
    assert_eq!((code, stdout.as_str()), (0, DONE), "{stderr}");
    engine.stop();
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 2, "the database and its lock");
}

#[test]
fn a_clumsy_or_hostile_program_at_the_socket_harms_nobody() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let mut ann = come(&engine, "Ann");
    let connect = || {
        let stream = UnixStream::connect(folder.join("storage.sqlite.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // Many that say nothing: those longest idle make way.
    let crowd: Vec<UnixStream> = (0..1_000).map(|_| connect()).collect();
    // Whoever does not read is not waited for.
    let mut deaf = connect();
    deaf.write_all(b"who\n").unwrap();
    let mut endless = connect();
    // The rest of it may find the connection ended.
    let _ = endless.write_all(&vec![b'x'; 1 << 20]);
    for (bytes, why) in [
        (&b"\0\xff\xfe\x1b[31m\n"[..], "a command is one line, without control characters"),
        (b"\xff\xfe\n", "there is no command \"\u{fffd}\u{fffd}\""),
        (b"\n", "there is no command \"\""),
        (b"GET / HTTP/1.1\r\n\r\n", "there is no command \"GET\""),
    ] {
        let mut stream = connect();
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(json(&answer, "$.error"), why);
    }
    // Who ends their side is still answered, and only one line is heard.
    let mut stream = connect();
    stream.write_all(b"announce one\r\nannounce two\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, DONE);
    assert!(!ann.reads("** one\r\n").contains("two"));
    rows(&folder, "announce three");
    assert!(!ann.reads("** three\r\n").contains("two"));
    assert_eq!(engine.get("/health").0, 200);
    assert!(engine.metric("aqevia_port_evictions_total{port=\"control\"}") > 900.0);
    assert!(engine.metric("aqevia_port_connections{port=\"control\"}") <= 16.0);
    drop((crowd, deaf, endless));
}

/// The socket, with a time of its own.
struct Stand {
    folder: Folder,
    net: Net,
    poller: Poller,
    control: Control,
    people: People,
    world: World,
    ledger: Ledger,
    now: Monotonic,
}

impl Stand {
    fn new() -> Stand {
        let folder = Folder::new();
        let mut poller = Poller::new().unwrap();
        let mut net = Net::new(256, 1);
        let control = Control::open(&folder.database(), &mut net, &mut poller).unwrap();
        let world = worldfile::read(SMALL_WORLD, 1).unwrap();
        let flusher = Flusher::new(Duration::from_secs(3_600), 1_000, Monotonic::default());
        let ledger = Ledger::new(flusher, Stamp::default());
        Stand { folder, net, poller, control, people: People::default(), world, ledger, now: Monotonic::default() }
    }

    /// Lets time pass, then takes turns until nothing comes in any more.
    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        loop {
            let (mut ready, now) = (Vec::new(), clock::monotonic());
            self.poller.wait(Some(now.after(Duration::from_millis(20))), now, &mut ready).unwrap();
            self.net.hear(&ready, self.now);
            let mut random = || [0; 10];
            let wall = Wall(Duration::ZERO);
            let mut moment = Moment { world: &mut self.world, now: self.now, wall, random: &mut random };
            let mut around = Around { people: &mut self.people, moment: &mut moment, ledger: &mut self.ledger };
            self.control.serve(&mut self.net, &mut around);
            self.net.send(self.now, &mut self.poller);
            if ready.is_empty() {
                return;
            }
        }
    }

    fn ask(&mut self, bytes: &[u8]) -> UnixStream {
        let path: &Path = &self.folder.join("storage.sqlite.sock");
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.write_all(bytes).unwrap();
        self.pass(Duration::ZERO);
        stream
    }
}

/// What has been answered so far.
fn answer(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_command_that_does_not_come_in_time_or_is_too_long_is_told_so_and_ended() {
    let mut stand = Stand::new();
    let mut slow = stand.ask(b"who");
    stand.pass(Duration::from_millis(CONTROL_LINE_MS_MAX - 1));
    assert_eq!(answer(&mut slow), "");
    stand.pass(Duration::from_millis(1));
    assert_eq!(json(&answer(&mut slow), "$.error"), "no command came in time");
    let mut long = stand.ask(&[b'x'; CONTROL_LINE_BYTES_MAX]);
    assert_eq!(json(&answer(&mut long), "$.error"), "a command has 4096 bytes at most, and a line end");
    let mut whole = stand.ask(format!("announce {}\n", "x".repeat(CONTROL_LINE_BYTES_MAX - 10)).as_bytes());
    assert_eq!(answer(&mut whole), DONE);
}

#[test]
fn who_waits_for_a_flush_is_told_in_time_that_it_is_not_acknowledged() {
    let mut stand = Stand::new();
    let mut patient = stand.ask(b"flush\n");
    let gone = stand.ask(b"flush\n");
    drop(gone);
    stand.pass(Duration::from_millis(CONTROL_FLUSH_MS_MAX - 1));
    assert_eq!(answer(&mut patient), "");
    assert_eq!(stand.net.counters(stand.control.port).connections, 1);
    stand.pass(Duration::from_millis(1));
    assert_eq!(json(&answer(&mut patient), "$.error"), "not everything is saved yet: it takes long");
}

#[test]
fn people_are_told_of_a_stop_at_once_and_again_as_it_comes_near() {
    let mut stand = Stand::new();
    let mut random = || [0; 10];
    let wall = Wall(Duration::ZERO);
    let mut moment = Moment { world: &mut stand.world, now: stand.now, wall, random: &mut random };
    stand.people.arrive(7, None, &Terminal::default(), &mut moment);
    stand.people.line(7, "guest", &mut moment);
    let told = |stand: &mut Stand| {
        let text = stand.people.take_output(7, &stand.world, stand.now).unwrap().text;
        text.lines().filter_map(|line| Some(line.strip_prefix("** ")?.to_owned())).collect::<Vec<_>>()
    };
    told(&mut stand);
    let words = |seconds| format!("The world stops in {seconds} seconds. All that you do until then is saved.");
    assert_eq!(answer(&mut stand.ask(b"shutdown 90\n")), DONE);
    assert_eq!(told(&mut stand), [words(90)]);
    let mut left = 90;
    for next in [60, 30, 10, 5, 0] {
        stand.pass(Duration::from_secs(left - next) - Duration::from_millis(1));
        assert_eq!(told(&mut stand), Vec::<String>::new(), "before {next}");
        let due = stand.control.next_due().unwrap();
        assert_eq!(due, stand.now.after(Duration::from_millis(1)), "before {next}");
        assert!(!stand.control.ends(stand.now));
        stand.pass(Duration::from_millis(1));
        let expected = if next > 0 { vec![words(next)] } else { Vec::new() };
        assert_eq!(told(&mut stand), expected, "at {next}");
        left = next;
    }
    assert!(stand.control.ends(stand.now));
    // The last word counts.
    assert_eq!(answer(&mut stand.ask(b"shutdown 7\n")), DONE);
    assert_eq!((stand.control.ends(stand.now), told(&mut stand)), (false, vec![words(7)]));
}
