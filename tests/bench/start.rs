//! From the start of the process to the first answer and to the first 200 of `/ready`; memory then, at its peak until then,
//! and in a world that has grown; the size of the binary; what the engine takes while nobody asks it anything. Memory and
//! CPU are those of both processes.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use aqevia_engine::limits::EVERY_MINUTES_MAX;
use aqevia_engine::world::{Entity, EntityId, Kind, Spawn, Verb};
use rusqlite::{Connection, OpenFlags, Row};

use crate::bare::Bare;
use crate::client::ask_for_health;
use crate::http::Place;
use crate::process::{Helper, both, cpu_seconds, resident_bytes, sleeps};
use crate::progress;
use crate::support::{self, Engine, Folder, send_signal, wait_for};
use crate::table::{Pairs, digits, mebibytes, row, thousands, time};
use crate::worlds::{parts, store};

/// Entities, and how often the two alternate.
const SIZES: [(u64, usize); 3] = [(20, 21), (10_000, 11), (ENTITIES, 5)];
const ENTITIES: u64 = 1_000_000;
/// Rooms of a world that grows to as many, and creatures that come to be in each.
const ROOMS: u64 = 10_000;
const CREATURES: u64 = ENTITIES / ROOMS - 1;
/// That of an engine that is told nothing else.
const TICK_MS: u64 = 100;
const READY_SECONDS_MAX: f64 = 0.050;
/// With people and the pages.
const BINARY_BYTES_MAX: f64 = 3_000_000.0;
const LISTENING_SECONDS_MAX: f64 = 0.020;
/// With a million entities, how many times what the bare reader takes: the time until ready, memory then, at its peak until
/// then, and when so many have come into being while the world lived.
const READY_MAX: f64 = 1.0;
const MEMORY_MAX: f64 = 1.2;
const PEAK_MAX: f64 = 1.3;
const GROWN_MAX: f64 = 1.3;
const IDLE_BYTES_MAX: f64 = 9.0 * 1_048_576.0;
/// How often memory is looked at while a world is loaded.
const LOOK: Duration = Duration::from_millis(4);
const IDLE_CPU_MAX: f64 = 0.005;
const IDLE_ROUNDS: usize = 5;
const IDLE_WINDOW: Duration = Duration::from_secs(6);

pub fn measure() {
    for (entities, rounds) in SIZES {
        progress(&format!("start with {entities} entities, {rounds} alternations"));
        let folder = Folder::new();
        store(&folder.database(), parts(entities, Verb::Say, EVERY_MINUTES_MAX));
        let (mut listening, mut times, mut memory, mut peaks) = <(Pairs, Pairs, Pairs, Pairs)>::default();
        for _ in 0..rounds {
            let (engine, (taken, bytes)) = (start_engine(&folder), start_reader(&folder.database()));
            listening.push(engine.listening, taken);
            times.push(engine.ready, taken);
            memory.push(engine.bytes, bytes);
            peaks.push(engine.peak_bytes, bytes);
        }
        let is_large = entities == ENTITIES;
        let entities = thousands(entities);
        let what = format!("start to the first answer, {entities} entities");
        let budget = ("20 ms", listening.engine() <= LISTENING_SECONDS_MAX);
        row(&what, &time(listening.engine()), "", "", Some(budget));
        let small = (entities == "20").then_some(("50 ms", times.engine() <= READY_SECONDS_MAX));
        let large = |pairs: &Pairs, budget: f64| is_large.then_some(pairs.ratio() <= budget);
        let budget = large(&times, READY_MAX).map(|is_met| ("1.0 x", is_met)).or(small);
        times.row(&format!("start to ready, {entities} entities"), "bare reader", time, budget);
        let budget = large(&memory, MEMORY_MAX).map(|is_met| ("1.2 x", is_met));
        memory.row(&format!("memory when ready, {entities} entities"), "bare reader", mebibytes, budget);
        let budget = large(&peaks, PEAK_MAX).map(|is_met| ("1.3 x", is_met));
        peaks.row(&format!("peak of memory until ready, {entities} entities"), "bare reader", mebibytes, budget);
    }
    measure_grown();
    let bytes = fs::metadata(env!("CARGO_BIN_EXE_aqevia-engine")).unwrap().len() as f64;
    let budget = ("3 MB", bytes <= BINARY_BYTES_MAX);
    row("size of the binary", &format!("{} MB", digits(bytes / 1e6)), "", "", Some(budget));
    measure_idle();
}

/// A start of the engine: seconds until it answers anything, and until `/ready` answers 200; bytes of memory then, and the
/// most that was seen until then.
struct Start {
    listening: f64,
    ready: f64,
    bytes: f64,
    peak_bytes: f64,
}

fn start_engine(folder: &Folder) -> Start {
    let begun = Instant::now();
    let mut child = support::command(folder, &[]).stdout(Stdio::piped()).spawn().unwrap();
    let process = child.id();
    let (is_ready, looks) = mpsc::channel::<()>();
    let peak = thread::spawn(move || {
        let mut peak = 0.0_f64;
        while looks.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            peak = peak.max(resident_bytes_of_both(process));
        }
        peak
    });
    let mut log = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = log.find(|line| line.contains("msg=listening")).unwrap();
    let address = line.split(" addr=").nth(1).unwrap().split(' ').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    ask_for_health(&mut stream);
    let listening = begun.elapsed().as_secs_f64();
    assert!(log.any(|line| line.contains("msg=running")));
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: bench\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    let ready = begun.elapsed().as_secs_f64();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let bytes = resident_bytes_of_both(process);
    drop(is_ready);
    let peak_bytes = peak.join().unwrap().max(bytes);
    send_signal(&process.to_string(), "TERM");
    assert!(child.wait().unwrap().success());
    Start { listening, ready, bytes, peak_bytes }
}

fn resident_bytes_of_both(engine: u32) -> f64 {
    both(engine).into_iter().map(resident_bytes).sum()
}

/// Memory of a world whose entities have nearly all come into being since it was founded.
fn measure_grown() {
    progress("growing to 1,000,000 entities");
    let folder = Folder::new();
    let (mut parts, prototype) = (parts(1, Verb::Say, EVERY_MINUTES_MAX), EntityId::FIRST);
    for id in (parts.next_id..).filter_map(EntityId::new).take(ROOMS as usize) {
        let room = Entity { name: Some("a room".into()), ..Entity::new(id, Kind::Room) };
        parts.entities.insert(room);
        parts.spawns.push(Spawn { prototype, room: id, at_most: CREATURES, every_minutes: 1, text: None });
    }
    parts.next_id += ROOMS;
    store(&folder.database(), parts);
    let place = Place(folder);
    let engine = place.start(&[]);
    let is_grown = || {
        let [creatures, pending] =
            ["$.world.creatures", "$.storage.pending_records"].map(|path| engine.status_number(path));
        creatures == ROOMS * CREATURES && pending < ROOMS
    };
    wait_for("the world to grow", || is_grown().then_some(()));
    let bytes = resident_bytes_of_both(engine.child.id());
    engine.stop();
    let mut memory = Pairs::default();
    memory.push(bytes, start_reader(&place.0.database()).1);
    let budget = ("1.3 x", memory.ratio() <= GROWN_MAX);
    memory.row("memory, grown to 1,000,000 entities", "bare reader", mebibytes, Some(budget));
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
    let processes = [both(engine.child.id()), vec![bare.helper.id()]];
    let sum = |of: fn(u32) -> f64| [0, 1].map(|side| processes[side].iter().map(|process| of(*process)).sum::<f64>());
    let (mut wakes, mut cpu, mut memory) = (Pairs::default(), Pairs::default(), Pairs::default());
    for _ in 0..IDLE_ROUNDS {
        let (begun, before) = (Instant::now(), [sleeps, cpu_seconds].map(sum));
        thread::sleep(IDLE_WINDOW);
        let (after, seconds) = ([sleeps, cpu_seconds].map(sum), begun.elapsed().as_secs_f64());
        let each = |what: usize, side: usize| (after[what][side] - before[what][side]) / seconds;
        wakes.push(each(0, 0), each(0, 1));
        cpu.push(each(1, 0), each(1, 1));
        let [engine, bare] = sum(resident_bytes);
        memory.push(engine, bare);
    }
    engine.stop();
    bare.helper.end();
    memory.row("idle: memory", "bare loop", mebibytes, Some(("9 MiB", memory.engine() <= IDLE_BYTES_MAX)));
    let percent = |share: f64| format!("{:.3} %", share * 100.0);
    cpu.row("idle: share of a core", "bare loop", percent, Some(("0.5 %", cpu.engine() <= IDLE_CPU_MAX)));
    wakes.row("idle: wake-ups per second", "bare loop", digits, None);
}
