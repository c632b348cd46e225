//! The command line: one function for each command, and the exit codes.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Read, Write};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic;
use std::path::Path;
use std::process;
use std::time::Duration;

use crate::clock;
use crate::config::{self, Config, Unknown, VARIABLES};
use crate::control;
use crate::engine::Engine;
use crate::exit::{Exit, FAILED, USAGE, read_world_file, refused};
use crate::limits::{CONTROL_ANSWER_MS_MAX, HEALTHCHECK_MS_MAX};
use crate::log::{Level, Log};
use crate::storage::schema::is_database;
use crate::storage::{self, StorageError, export, worldfile};
use crate::sys;
use crate::text::nearest;
use crate::world::{Kind, World};
use crate::writer::link;

/// How each command is called, and what it does.
const COMMANDS: [(&str, &str); 8] = [
    ("", "run the World"),
    ("healthcheck", "ask the running engine's /health; exit 0 if it answers ok"),
    ("backup PATH", "copy the live database to PATH, which must not exist"),
    ("check PATH", "examine a database, a backup or a world file"),
    ("export", "print the stored world as a world file"),
    ("ctl COMMAND", "tell the running engine what to do:"),
    ("--version", "print the version"),
    ("--help", "print this"),
];

/// Does what the arguments (without the program's name) say; returns the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let words: Vec<&str> = arguments.iter().map(|argument| argument.to_str().unwrap_or_default()).collect();
    match words.as_slice() {
        [] => return run(),
        [link::COMMAND] => return write(),
        _ => (),
    }
    let ready = sys::prepare_signals().map_err(refused("handle signals"));
    let done = ready.and_then(|()| match words.as_slice() {
        ["healthcheck"] => healthcheck(),
        ["backup", _] => backup(&arguments[1]),
        ["check", _] => check(&arguments[1]),
        ["export"] => read_config().0.and_then(|config| print(&export::export(&open(&config.sqlite_path)?))),
        ["ctl", words @ ..] => ctl(words),
        ["--version" | "-V"] => print(&format!("aqevia-engine {}\n", env!("CARGO_PKG_VERSION"))),
        ["--help" | "-h" | "help"] => print(&help()),
        words => Err(misused(words.first().unwrap_or(&""))),
    });
    let Err(exit) = done else { return 0 };
    // With standard error closed there is nobody left to tell but by the exit code.
    let lines = exit.problems.iter().flat_map(|problem| problem.lines()).chain(exit.advice.lines());
    lines.for_each(complain);
    exit.code
}

/// What is wrong with arguments of which this is the first and that are no command as they stand.
fn misused(first: &str) -> Exit {
    let names = COMMANDS.iter().map(|(usage, _)| usage.split(' ').next().unwrap_or_default());
    let mut commands = COMMANDS.iter().zip(names.clone()).filter(|(_, name)| !name.is_empty());
    let problem = match commands.find(|(_, name)| *name == first) {
        Some(((usage, _), name)) if *usage != name => format!("{first} takes one PATH: aqevia-engine {usage}"),
        Some(_) => format!("{first} takes nothing more"),
        None => match nearest(first, names.filter(|name| !name.is_empty())) {
            Some(name) => format!("there is no command {first:?}; perhaps {name} is meant"),
            None => format!("there is no command {first:?}"),
        },
    };
    Exit { code: USAGE, problems: vec![problem], advice: "Try: aqevia-engine --help".to_owned() }
}

fn help() -> String {
    let mut text =
        "Aqevia Engine hosts one World: ticks it, keeps it in SQLite, shows its state over HTTP.\n\n".to_owned();
    for (usage, meaning) in COMMANDS {
        text += &format!("  aqevia-engine {usage:13} {meaning}\n");
        let commands = control::COMMANDS.iter().filter(|_| usage.starts_with("ctl"));
        commands.for_each(|(usage, meaning)| text += &format!("    ctl {usage:36} {meaning}\n"));
    }
    text += "\nExit codes: 0 done, 1 failed, 2 usage or configuration, 3 storage, 4 cannot listen.\n\n";
    text += "Environment (an empty value counts as unset):\n";
    for (name, default, meaning) in VARIABLES {
        let default = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        text += &format!("  {name:26} {meaning}{default}\n");
    }
    text
}

/// Runs the World. All that it has to say, to its last word, is log.
fn run() -> u8 {
    let (config, unknown) = read_config();
    let mut log = Log::new(config.as_ref().map_or(Level::Info, |config| config.log_level));
    for (variable, nearest) in unknown {
        let nearest = nearest.unwrap_or_default();
        log.warn("an unknown variable is ignored", &[("variable", &variable), ("nearest", &nearest)]);
    }
    end_on_panic();
    match config.and_then(|config| Engine::start(config, log)).and_then(Engine::run) {
        Ok(code) => code,
        Err(exit) => {
            let mut log = Log::new(Level::Error);
            for problem in &exit.problems {
                // A line that is too long is cut at its end: a list of problems may be, what helps may not.
                log.error("cannot start", &[("exit_code", &exit.code), ("advice", &exit.advice), ("error", problem)]);
            }
            exit.code
        }
    }
}

/// Stores what an engine hands out that has started this process.
fn write() -> u8 {
    end_on_panic();
    let Err(error) = link::serve() else { return 0 };
    complain(&format!("an engine starts its writer itself: {error}"));
    USAGE
}

/// A panic is a fault in the engine. The world may be half-changed then, so the process ends at once, without a flush,
/// and comes back as of the last one.
fn end_on_panic() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let text = panic.payload_as_str().unwrap_or_default();
        Log::new(Level::Error).error("panic: this is a fault of the engine", &[("place", &place), ("text", &text)]);
        process::exit(FAILED.into());
    }));
}

fn read_config() -> (Result<Config, Exit>, Vec<Unknown>) {
    let (config, unknown) = Config::read(std::env::vars_os());
    (config.map_err(|problems| Exit { code: USAGE, problems, advice: String::new() }), unknown)
}

fn backup(to: &OsStr) -> Result<(), Exit> {
    let from = read_config().0?.sqlite_path;
    let (world, warnings) = storage::backup::backup(&from, Path::new(to))?;
    warn(&warnings);
    print(&format!("backup of tick {} written to {}\n", world.now().0, Path::new(to).display()))
}

fn check(path: &OsStr) -> Result<(), Exit> {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.into());
    let (what, world, warnings) = if is_database(path)? {
        let world = open(path)?;
        let excesses = world.excesses();
        ("database", world, excesses)
    } else {
        let read = worldfile::read(read_world_file(path)?, 0);
        let world = read.map_err(|problems| Exit::world_file(path, problems))?;
        let warnings = worldfile::warnings(&world);
        ("world file", world, warnings)
    };
    warn(&warnings);
    let growth = match world.spawns.len() {
        0 => String::new(),
        rules => format!("its {rules} spawn rules let it grow to {} entities\n", world.entities_in_the_end()),
    };
    let (name, id, tick) = (&world.name, &world.id, world.now().0);
    let counts = Kind::ALL.iter().zip(world.counts()).map(|(kind, count)| format!("{count} {}s", kind.label()));
    let counts = counts.collect::<Vec<_>>().join(", ");
    print(&format!("{what} of {name} ({id}): tick {tick}, {counts}; digest {:016x}\n{growth}ok\n", world.digest()))
}

fn open(path: &Path) -> Result<World, StorageError> {
    let (world, warnings) = storage::examine(path)?;
    warn(&warnings);
    Ok(world)
}

/// Writes a line to standard error, with the names of others in it that are to act on no terminal.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "aqevia-engine: {}", text.chars().flat_map(shown).collect::<String>());
}

/// A letter as it acts on no terminal.
fn shown(letter: char) -> impl Iterator<Item = char> {
    let is_control = letter.is_control();
    letter.escape_debug().filter(move |_| is_control).chain(Some(letter).filter(|_| !is_control))
}

/// Tells on standard error what was seen in a database that is no obstacle.
fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
}

/// Gives an operator's command to the running engine, and prints what that says: lines of JSON, or on a terminal words.
fn ctl(words: &[&str]) -> Result<(), Exit> {
    let command = words.join(" ");
    // An argument that is empty, or no text, would be lost between the others.
    let problem = if words.contains(&"") { Some("an argument is empty, or is no text".to_owned()) } else { None };
    if let Some(problem) = problem.or_else(|| control::parse(&command).err()) {
        return Err(Exit { code: USAGE, problems: vec![problem], advice: "Try: aqevia-engine --help".to_owned() });
    }
    let path = control::socket_of(&read_config().0?.sqlite_path)?;
    let unreached = |error: io::Error| {
        Exit {
        code: FAILED,
        problems: vec![format!("no engine is reached by {}: {error}", path.display())],
        advice: "An engine that runs the world of this database has a socket there, once the world is loaded, which its own \
                 user may use; if it could not make one, its log says why."
            .to_owned(),
    }
    };
    // The path may be longer than connect(2) takes.
    let name = sys::open_name(&path).map_err(unreached)?;
    let mut stream = UnixStream::connect(format!("/proc/self/fd/{}", name.as_raw_fd())).map_err(unreached)?;
    let unheard = refused("hear from the engine");
    let patience = Some(Duration::from_millis(CONTROL_ANSWER_MS_MAX));
    stream.set_read_timeout(patience).and_then(|()| stream.set_write_timeout(patience)).map_err(&unheard)?;
    stream.write_all(format!("{command}\n").as_bytes()).map_err(&unheard)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(&unheard)?;
    let (rows, last) = answer.trim_end().rsplit_once('\n').unwrap_or(("", answer.trim_end()));
    let why = readable(last);
    let why = why.strip_prefix("done: false, error: ").map(str::to_owned);
    let is_done = last == "{\"done\":true}";
    if !io::stdout().is_terminal() {
        print(&answer)?;
    } else {
        let rows = rows.lines().map(readable).chain(is_done.then(|| "done".to_owned()));
        print(&rows.map(|row| row + "\n").collect::<String>())?;
    }
    match why {
        _ if is_done => Ok(()),
        Some(why) => Err(Exit::failed(why)),
        None => Err(Exit::failed("the engine has not said whether that was done".to_owned())),
    }
}

/// A line of JSON in the words of people: without quotes and brackets, what is nested in lines of its own, a list in one.
fn readable(json: &str) -> String {
    let is_nested = json.contains(":{");
    let (mut text, mut depth, mut is_quoted, mut is_escaped, mut is_list) = (String::new(), 0, false, false, false);
    for letter in json.chars() {
        match letter {
            _ if mem::take(&mut is_escaped) => text.push(letter),
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => text.extend(shown(letter)),
            '{' => depth += 1,
            '}' => depth -= 1,
            ':' => text.push_str(": "),
            '[' | ']' => is_list = letter == '[',
            ',' if !is_nested || is_list => text.push_str(", "),
            _ => text.push(letter),
        }
        if is_nested && !is_quoted && !is_escaped && !is_list && matches!(letter, ',' | '{') && depth > 0 {
            text.truncate(text.trim_end_matches([',', ' ']).len());
            text += &format!("\n{:width$}", "", width = 2 * (depth - 1));
        }
    }
    text.trim_start().to_owned()
}

/// Whatever goes wrong is one failure: a health check has no other answer than yes or no.
fn healthcheck() -> Result<(), Exit> {
    let address = config::observability_addr(std::env::vars_os());
    let mut address = address.map_err(Exit::failed)?;
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => (),
    }
    let fault = match ask_health(address) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n{\"status\":\"ok\"}") => {
            return Ok(());
        }
        Ok(answer) => format!("answered {:?}", answer.lines().next().unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => "does not answer in time".to_owned(),
        Err(error) => format!("does not answer: {error}"),
    };
    Err(Exit::failed(format!("{address}/health {fault}")))
}

/// Asks for /health and reads the answer to its end, all within one deadline.
fn ask_health(address: SocketAddr) -> io::Result<String> {
    let end = clock::monotonic().after(Duration::from_millis(HEALTHCHECK_MS_MAX));
    let left = || match end.since(clock::monotonic()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(Some(left)),
    };
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(HEALTHCHECK_MS_MAX))?;
    stream.set_write_timeout(left()?)?;
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let (mut answer, mut length) = ([0; 4096], 0);
    loop {
        stream.set_read_timeout(left()?)?;
        match stream.read(&mut answer[length..])? {
            0 => return Ok(String::from_utf8_lossy(&answer[..length]).into_owned()),
            count => length += count,
        }
    }
}

fn print(text: &str) -> Result<(), Exit> {
    let mut output = io::stdout().lock();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.map_err(refused("write to standard output"))
}
