//! Runs the binary in a folder of its own on a free port, and talks to it.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use aqevia_engine::session::words;
use aqevia_engine::world::{Audience, Ear, EntityId};

/// Longer than anything here takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A world of three rooms and one restless creature.
pub const SMALL_WORLD: &str = r#"{
  id: "small", name: "A Small World",
  rooms: {
    yard: { name: "The Yard", description: "Gravel.", exits: { north: "barn", east: "lane" } },
    barn: { name: "The Barn", description: "Straw.", indoors: true, exits: { south: "yard" } },
    lane: { name: "The Lane", description: "Mud.", exits: { west: "yard" } },
  },
  things: { bucket: { name: "a bucket", description: "Tin.", in: "yard" } },
  creatures: {
    hen: {
      name: "a hen", description: "Brown.", in: "yard", gait: "struts",
      habits: { wander: { every_minutes: 1 }, say: { every_minutes: 1, lines: ["Tuk."] } },
    },
  },
}"#;

/// A folder that is removed when it goes out of scope.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("aqevia-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.join(name), content).unwrap();
        self.join(name)
    }

    pub fn database(&self) -> PathBuf {
        self.join("storage.sqlite")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The binary, with nothing in its environment but where its database is and that it picks a free port.
pub fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aqevia-engine"));
    command.args(arguments).env_clear().envs(sanitizer_options()).current_dir(&folder.0);
    command.env("AQEVIA_SQLITE_PATH", folder.database()).env("AQEVIA_OBSERVABILITY_ADDR", "127.0.0.1:0");
    command
}

/// Where a sanitizer that is compiled into the engine is to report (see `tests/sanitize.sh`).
pub fn sanitizer_options() -> Option<(&'static str, OsString)> {
    Some(("ASAN_OPTIONS", std::env::var_os("ASAN_OPTIONS")?))
}

/// Runs a command to its end: exit code, standard output, standard error.
pub fn output(command: &mut Command) -> (i32, String, String) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = child.id().to_string();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    let Ok(Output { status, stdout, stderr }) = receiver.recv_timeout(PATIENCE) else {
        send_signal(&process, "KILL");
        panic!("{command:?} did not end");
    };
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// Runs an engine that must not start: its exit code and what it says.
pub fn refusal(folder: &Folder, variables: &[(&str, &str)]) -> (i32, String) {
    let (code, stdout, stderr) = output(command(folder, &[]).envs(variables.iter().copied()));
    assert_eq!(stderr, "", "this belongs into the log");
    (code, refused(&stdout))
}

/// What the log of an engine that did not start gives as errors and advice, a line each, without the escapes of logfmt.
pub fn refused(log: &str) -> String {
    let value = |line: &str, name: &str| {
        let quoted = line.split(&format!(" {name}=\"")).nth(1)?;
        let mut text = String::new();
        let mut characters = quoted.chars();
        loop {
            match characters.next()? {
                '"' => return Some(text + "\n"),
                '\\' => text.push(characters.next()?),
                plain => text.push(plain),
            }
        }
    };
    let lines = log.lines().filter(|line| line.contains(" level=error msg=\"cannot start\" "));
    lines.flat_map(|line| ["error", "advice"].map(|name| value(line, name))).flatten().collect()
}

/// A running engine. It is killed when it goes out of scope.
pub struct Engine {
    pub child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Engine {
    /// Starts a world that ticks fast, and waits until it runs.
    pub fn start(folder: &Folder) -> Engine {
        Engine::start_with(folder, &[])
    }

    pub fn start_with(folder: &Folder, variables: &[(&str, &str)]) -> Engine {
        let mut command = command(folder, &[]);
        command.env("AQEVIA_TICK_INTERVAL_MS", "10").env("PERSIST_FLUSH_INTERVAL_MS", "20");
        Engine::spawn(command.envs(variables.iter().copied()))
    }

    pub fn spawn(command: &mut Command) -> Engine {
        let engine = Engine::begin(command);
        wait_for("the world to run", || engine.told("msg=running", " tick="));
        engine
    }

    /// Starts an engine and waits until it listens.
    pub fn begin(command: &mut Command) -> Engine {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, shared) = (BufReader::new(child.stdout.take().unwrap()).lines(), log.clone());
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| *shared.lock().unwrap() += &(line + "\n")));
        let mut engine = Engine { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), log };
        engine.address = wait_for("the engine to listen", || engine.told("msg=listening", " addr=")?.parse().ok());
        engine
    }

    /// The value that stands behind a name in the line of the log that holds a text, if there is one.
    pub fn told(&self, line: &str, name: &str) -> Option<String> {
        let log = self.log();
        let line = log.lines().find(|other| other.contains(line))?;
        Some(line.split(name).nth(1)?.split(' ').next()?.to_owned())
    }

    /// The process of its writer.
    pub fn writer(&self) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        wait_for("a writer", || fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok())
    }

    /// For how long it could have run and did not.
    pub fn waited_for_a_core(&self) -> Duration {
        // Its second number, in nanoseconds (Linux, "Scheduler Statistics").
        let statistics = fs::read_to_string(format!("/proc/{}/schedstat", self.child.id())).unwrap_or_default();
        Duration::from_nanos(statistics.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0))
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for words in the log, which comes here in its own time.
    pub fn logs(&self, words: &str) {
        wait_for(words, || self.log().contains(words).then_some(()));
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes on a connection of their own and reads until the engine closes it.
    pub fn send(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// GETs a path: status code and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        split(&self.send(request_for(path))).unwrap()
    }

    /// The same of an engine that may be gone before it has answered.
    pub fn try_get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(request_for(path).as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        split(&answer)
    }

    /// A value of /status, by SQLite's path: `$.world.tick`.
    pub fn status(&self, path: &str) -> String {
        json(&self.get("/status").1, path)
    }

    pub fn status_number(&self, path: &str) -> u64 {
        self.status(path).parse().unwrap()
    }

    /// A value of /metrics, by its name and labels; 0 if there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").1;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or(0.0)
    }

    pub fn wait_for_tick(&self, tick: u64) {
        wait_for(&format!("tick {tick}"), || (self.status_number("$.world.tick") >= tick).then_some(()));
    }

    pub fn signal(&self, name: &str) {
        send_signal(&self.child.id().to_string(), name);
    }

    /// Sets a resource limit of both processes while they run, as prlimit(1) takes it.
    pub fn limit(&self, limit: &str) {
        [self.child.id(), self.writer()].into_iter().for_each(|process| limit_process(process, limit));
    }

    /// Ends the engine by a signal and waits until it is gone.
    pub fn end(mut self, signal: &str) -> (ExitStatus, String) {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        self.wait_for_writer();
        (status, self.log())
    }

    /// Stops the engine as an operator does.
    pub fn stop(self) -> String {
        let (status, log) = self.end("TERM");
        assert_eq!(status.code(), Some(0), "{log}");
        log
    }

    /// Kills it without a chance to save anything.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
        self.wait_for_writer();
    }

    /// Waits until it has ended, and its writer.
    pub fn wait_for_end(mut self) {
        self.child.wait().unwrap();
        self.wait_for_writer();
    }

    /// Waits until its writer is gone too, which ends what it has begun.
    pub fn wait_for_writer(&self) {
        // Then nobody holds its output any more, and the reader of that has ended.
        wait_for("the end of the log", || (Arc::strong_count(&self.log) == 1).then_some(()));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request_for(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
}

/// Status code and body of an answer.
fn split(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// The engine as another program starts it that is given the engine's path and arguments as its last ones.
pub fn by_way_of(program: &str, arguments: &[&str], engine: &Command) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg(engine.get_program()).args(engine.get_args());
    command.envs(engine.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Another one in each run; a failing test names it, and `TEST_SEED` sets it to have the same again.
pub fn seed() -> u64 {
    let seed = std::env::var("TEST_SEED").map(|seed| seed.parse().unwrap());
    seed.unwrap_or_else(|_| u64::from_le_bytes(aqevia_engine::sys::random().unwrap()))
}

/// Says what this machine cannot try. Not by a macro, whose output a passing test swallows.
pub fn skip(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// Sets a resource limit of a process while it runs, as prlimit(1) takes it.
pub fn limit_process(process: u32, limit: &str) {
    assert!(Command::new("prlimit").args(["--pid", &process.to_string(), limit]).status().unwrap().success());
}

/// By way of the shell, which has `kill` built in where no program of that name is installed.
pub fn send_signal(process: &str, name: &str) {
    let status = Command::new("sh").args(["-c", "kill -s $0 -- $1", name, process]).status().unwrap();
    assert!(status.success());
}

/// Waits for a condition, with a limit.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A value out of JSON; `null` as an empty string.
pub fn json(text: &str, path: &str) -> String {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    let query = "SELECT coalesce(json_extract(?1, ?2), '') || ''";
    connection.query_row(query, [text, path], |row| row.get(0)).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}

/// A value out of a database, as text.
pub fn query(database: &Path, query: &str) -> String {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection
        .query_row(query, [], |row| row.get::<_, rusqlite::types::Value>(0))
        .map(|value| match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        })
        .unwrap()
}

/// Where the frames of a write-ahead log stand, those of the log before it aside, and whether each ends a transaction
/// (SQLite, "Database File Format", section 4.1).
pub fn wal_frames(wal: &[u8]) -> Vec<(Range<usize>, bool)> {
    let Some((header, frames)) = wal.split_at_checked(32) else { return Vec::new() };
    let frame_bytes = 24 + u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
    let current = frames.chunks_exact(frame_bytes).take_while(|frame| frame[8..16] == header[16..24]);
    let range = |index| 32 + index * frame_bytes..32 + (index + 1) * frame_bytes;
    current.enumerate().map(|(index, frame)| (range(index), frame[4..8] != [0; 4])).collect()
}

/// What is told of an effect to whoever is no part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub audience: Audience,
    pub actor: Option<EntityId>,
    pub text: String,
}

/// All that a world tells in words while something is done with it.
pub fn told(mut work: impl FnMut(Ear)) -> Vec<Told> {
    let mut all = Vec::new();
    work(&mut |world, effect| {
        let told = |text| Told { audience: effect.audience, actor: effect.actor, text };
        all.extend(words::sentence(world, effect, None).map(told));
    });
    all
}
