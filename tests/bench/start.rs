//! From the start of the process to the first 200 of `/ready`, and memory then; the size of the binary; what the engine
//! takes while nobody asks it anything.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use aqevia_engine::limits::EVERY_MINUTES_MAX;
use aqevia_engine::world::{Entity, EntityId, Kind, Verb};
use rusqlite::{Connection, OpenFlags, Row};

use crate::bare::Bare;
use crate::process::{Helper, cpu_seconds, resident_bytes, sleeps};
use crate::progress;
use crate::support::{self, Engine, Folder, send_signal};
use crate::table::{Pairs, digits, mebibytes, row, thousands, time};
use crate::worlds::{parts, store};

/// Entities, and how often the two alternate.
const SIZES: [(u64, usize); 3] = [(20, 21), (10_000, 11), (1_000_000, 5)];
/// That of an engine that is told nothing else.
const TICK_MS: u64 = 100;
const READY_SECONDS_MAX: f64 = 0.050;
const BINARY_BYTES_MAX: f64 = 2_500_000.0;
const IDLE_BYTES_MAX: f64 = 8.0 * 1_048_576.0;
const IDLE_CPU_MAX: f64 = 0.005;
const IDLE_ROUNDS: usize = 5;
const IDLE_WINDOW: Duration = Duration::from_secs(6);

pub fn measure() {
    for (entities, rounds) in SIZES {
        progress(&format!("start with {entities} entities, {rounds} alternations"));
        let folder = Folder::new();
        store(&folder.database(), parts(entities, Verb::Say, EVERY_MINUTES_MAX));
        let (mut times, mut memory) = (Pairs::default(), Pairs::default());
        for _ in 0..rounds {
            let (engine, yardstick) = (start_engine(&folder), start_reader(&folder.database()));
            times.push(engine.0, yardstick.0);
            memory.push(engine.1, yardstick.1);
        }
        let entities = thousands(entities);
        let budget = (entities == "20").then_some(("50 ms", times.engine() <= READY_SECONDS_MAX));
        times.row(&format!("start to ready, {entities} entities"), "bare reader", time, budget);
        memory.row(&format!("memory when ready, {entities} entities"), "bare reader", mebibytes, None);
    }
    let bytes = fs::metadata(env!("CARGO_BIN_EXE_aqevia-engine")).unwrap().len() as f64;
    let budget = ("2.5 MB", bytes <= BINARY_BYTES_MAX);
    row("size of the binary", &format!("{} MB", digits(bytes / 1e6)), "", "", Some(budget));
    measure_idle();
}

/// Seconds until `/ready` answers 200, and bytes of memory then.
fn start_engine(folder: &Folder) -> (f64, f64) {
    let begun = Instant::now();
    let mut child = support::command(folder, &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let listening = log.find(|line| line.contains("msg=listening")).unwrap();
    let address = listening.split(" addr=").nth(1).unwrap().split(' ').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: bench\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    let taken = begun.elapsed().as_secs_f64();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let memory = resident_bytes(child.id());
    send_signal(&child.id().to_string(), "TERM");
    assert!(child.wait().unwrap().success());
    (taken, memory)
}

fn start_reader(database: &Path) -> (f64, f64) {
    let begun = Instant::now();
    let mut reader = Helper::spawn("reader", &[database.to_str().unwrap()]);
    assert_eq!(reader.line(), "ready");
    let taken = begun.elapsed().as_secs_f64();
    let memory = resident_bytes(reader.id());
    reader.end();
    (taken, memory)
}

/// The process: `reader DATABASE`. Holds all entities until its standard input ends.
pub fn read(arguments: &[String]) {
    let connection = Connection::open_with_flags(&arguments[0], OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let verdict: String = connection.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let mut query = connection.prepare("SELECT * FROM entity ORDER BY id").unwrap();
    let entities: Vec<Entity> = query.query_map([], |row| Ok(entity(row))).unwrap().map(Result::unwrap).collect();
    println!("ready");
    let _ = io::stdin().read(&mut [0]);
    assert!(!entities.is_empty());
}

fn entity(row: &Row) -> Entity {
    let text = |index| row.get(index).unwrap();
    let flag = |index| row.get(index).unwrap();
    let reference = |index| row.get::<_, Option<i64>>(index).unwrap().and_then(|number| EntityId::new(number as u64));
    let kind = row.get_ref(1).unwrap().as_str().unwrap();
    let kind = *Kind::ALL.iter().find(|known| known.label() == kind).unwrap();
    Entity {
        tag: text(2),
        name: text(3),
        description: text(4),
        location: reference(5),
        home: reference(6),
        owner: reference(7),
        prototype: reference(8),
        destination: reference(9),
        gait: text(10),
        step: row.get(12).unwrap(),
        indoors: flag(13),
        locked: flag(14),
        fixed: flag(15),
        asleep: flag(16),
        ..Entity::new(reference(0).unwrap(), kind)
    }
}

/// The built-in world with default settings and a loop that wakes ten times a second to do nothing, side by side:
/// neither takes so much that the other would feel it.
fn measure_idle() {
    progress("idle");
    let folder = Folder::new();
    let engine = Engine::spawn(&mut support::command(&folder, &[]));
    let bare = Bare::start(&folder.write("answer", ""), TICK_MS);
    let processes = [engine.child.id(), bare.helper.id()];
    let (mut wakes, mut cpu, mut memory) = (Pairs::default(), Pairs::default(), Pairs::default());
    for _ in 0..IDLE_ROUNDS {
        let (begun, before) = (Instant::now(), processes.map(|process| (sleeps(process), cpu_seconds(process))));
        thread::sleep(IDLE_WINDOW);
        let (after, seconds) = (processes.map(|process| (sleeps(process), cpu_seconds(process))), begun.elapsed());
        let each = |before: f64, after: f64| (after - before) / seconds.as_secs_f64();
        wakes.push(each(before[0].0, after[0].0), each(before[1].0, after[1].0));
        cpu.push(each(before[0].1, after[0].1), each(before[1].1, after[1].1));
        memory.push(resident_bytes(processes[0]), resident_bytes(processes[1]));
    }
    engine.stop();
    bare.helper.end();
    memory.row("idle: memory", "bare loop", mebibytes, Some(("8 MiB", memory.engine() <= IDLE_BYTES_MAX)));
    let percent = |share: f64| format!("{:.3} %", share * 100.0);
    cpu.row("idle: share of a core", "bare loop", percent, Some(("0.5 %", cpu.engine() <= IDLE_CPU_MAX)));
    wakes.row("idle: wake-ups per second", "bare loop", digits, None);
}
