//! Players: what a command costs and how long its answer takes, from ten sessions to a thousand. Two of them share a room
//! of a world that is as large as that needs, and each gives a command a second: half of them moves, a quarter talk, a
//! quarter look and take. Then as many as the pace of commands allows. All of it by telnet, and by WebSocket as the page to
//! play on speaks it, its messages among it.

use std::fmt::Write as _;
use std::io;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::{Duration, Instant};

use aqevia_engine::clock::monotonic;
use aqevia_engine::limits::{COMMAND_PACE_MS, DESCRIPTORS_WANTED};
use aqevia_engine::sys::{self, Poller, Readiness, Token};
use aqevia_engine::world::random::Random;

use crate::process::{Core, Helper, cpu_seconds, pin, resident_bytes};
use crate::progress;
use crate::support::{self, Engine, Folder, PATIENCE};
use crate::table::{digits, row, thousands, time};
use crate::visitor::{self, TELNET, WEB};

const CROWDS: [usize; 4] = [10, 100, 500, 1_000];
const MEASURED: Duration = Duration::from_secs(10);
/// How long all are there and do nothing before: what that costs is no command's.
const QUIET: Duration = Duration::from_secs(4);
/// Until then what their coming has left behind is stored.
const SETTLING: Duration = Duration::from_secs(2);
const PACE: Duration = Duration::from_secs(1);
/// Rooms to which one room leads at most.
const BRANCHES: usize = 32;
const PLAYERS_PER_ROOM: usize = 2;
/// Logins from one address at once are not slowed up to more than this.
const PER_ADDRESS: usize = 25;

const P99_BUDGET: f64 = 1e-3;
const CPU_BUDGET: f64 = 15e-6;
const CROWD_BUDGET: f64 = 1.5;
const MEMORY_BUDGET: f64 = 20.0 * 1_024.0;

/// How players come in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Telnet,
    Web,
}

/// What a load of players has measured.
struct Load {
    p50: f64,
    p99: f64,
    /// Seconds on a core for a command, beside what it costs that all are there: of the loop, and of the writer.
    cpu: [f64; 2],
    /// Bytes of the loop's memory for a session.
    memory: f64,
    late: f64,
    health_p99: f64,
}

pub fn measure() {
    let descriptors = sys::raise_descriptors_max(DESCRIPTORS_WANTED).unwrap();
    if descriptors < 2 * CROWDS[CROWDS.len() - 1] as u64 {
        return support::skip("the limit on descriptors is too low for a crowd of players");
    }
    let fast = Duration::from_millis(COMMAND_PACE_MS);
    for (way, pace, paced) in [
        (Way::Telnet, PACE, "a command a second"),
        (Way::Telnet, fast, "as many as are let"),
        (Way::Web, PACE, "by WebSocket, a command a second"),
        (Way::Web, fast, "by WebSocket, as many as are let"),
    ] {
        let mut of_ten = 0.0;
        for crowd in CROWDS {
            progress(&format!("people: {crowd} sessions, {paced}"));
            let load = play(crowd, pace, way);
            let what = |what: &str| format!("{what}, {} sessions, {paced}", thousands(crowd as u64));
            let is_paced = pace == PACE;
            let p99 = (is_paced && crowd == 100).then_some(("p99 1 ms", load.p99 <= P99_BUDGET));
            row(&what("command to prompt"), &format!("{}, p99 {}", time(load.p50), time(load.p99)), "", "", p99);
            let budget = match crowd {
                100 if is_paced => Some(("15 µs", load.cpu[0] <= CPU_BUDGET)),
                1_000 if !is_paced => Some(("1.5 x ten", load.cpu[0] <= CROWD_BUDGET * of_ten)),
                _ => None,
            };
            of_ten = if crowd == CROWDS[0] { load.cpu[0] } else { of_ten };
            let cpu = format!("{}, writer {}", time(load.cpu[0]), time(load.cpu[1]));
            let ratio = if is_paced { String::new() } else { digits(load.cpu[0] / of_ten) };
            // Ten commands a second cannot be told from what the world does by itself.
            if !is_paced || crowd > CROWDS[0] {
                row(&what("CPU a command"), &cpu, "", &ratio, budget);
            }
            let memory = format!("{} KiB", digits(load.memory / 1_024.0));
            let budget = (is_paced && crowd == 1_000).then_some(("20 KiB", load.memory <= MEMORY_BUDGET));
            row(&what("memory a session"), &memory, "", "", budget);
            let beside = format!("ticks late {}, `/health` p99 {}", time(load.late), time(load.health_p99));
            row(&what("beside"), &beside, "", "", None);
        }
    }
}

fn play(crowd: usize, pace: Duration, way: Way) -> Load {
    let folder = Folder::new();
    let world = folder.write("world.json5", world(crowd.div_ceil(PLAYERS_PER_ROOM)));
    let variables = [TELNET, WEB, ("AQEVIA_WORLD_PATH", world.to_str().unwrap())];
    let engine = Engine::start_with(&folder, &variables);
    pin(engine.child.id(), Core::Server);
    let (address, by) = match way {
        Way::Telnet => (visitor::address(&engine), "telnet"),
        Way::Web => (visitor::web_address(&engine), "web"),
    };
    let before = resident_bytes(engine.child.id());
    let arguments = [crowd.to_string(), pace.as_millis().to_string()];
    let mut players = Helper::spawn("players", &[&address, &arguments[0], &arguments[1], by]);
    pin(players.id(), Core::Client);
    assert_eq!(players.line(), "in");
    let memory = (resident_bytes(engine.child.id()) - before) / crowd as f64;
    let processes = [engine.child.id(), engine.writer()];
    let watch = |time: Duration| {
        let (begun, before, mut health) = (Instant::now(), processes.map(cpu_seconds), Vec::new());
        while begun.elapsed() < time {
            let asked = Instant::now();
            assert_eq!(engine.get("/health").0, 200);
            health.push(asked.elapsed());
            std::thread::sleep(Duration::from_millis(50));
        }
        let used = [0, 1].map(|process| cpu_seconds(processes[process]) - before[process]);
        health.sort_unstable();
        (used.map(|used| used / begun.elapsed().as_secs_f64()), health[health.len() * 99 / 100].as_secs_f64())
    };
    std::thread::sleep(SETTLING);
    let (quiet, _) = watch(QUIET);
    assert_eq!(players.line(), "playing");
    let before = lateness(&engine);
    let (busy, health_p99) = watch(MEASURED);
    let after = lateness(&engine);
    let said = players.end();
    let numbers: Vec<f64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [p50, p99, commands] = numbers[..] else { panic!("{said}") };
    engine.stop();
    let cpu = [0, 1].map(|process| (busy[process] - quiet[process]).max(0.0) * MEASURED.as_secs_f64() / commands);
    Load { p50, p99, cpu, memory, late: (after.0 - before.0) / (after.1 - before.1), health_p99 }
}

/// The sum of the lateness of all ticks, and their number.
fn lateness(engine: &Engine) -> (f64, f64) {
    let of = |what: &str| engine.metric(&format!("aqevia_tick_lateness_seconds_{what}"));
    (of("sum"), of("count"))
}

/// A hall, from which ways lead to floors, and from those to rooms that lie in a grid and hold a thing each.
pub fn world(rooms: usize) -> String {
    let (mut text, mut things) = (String::from("{ id: \"grid\", name: \"Grid\", rooms: {\n"), String::new());
    let floors = rooms.div_ceil(BRANCHES);
    let exits = |exits: &[(String, String)]| {
        let each: Vec<String> = exits.iter().map(|(name, to)| format!("{name}: \"{to}\"")).collect();
        format!("exits: {{ {} }}", each.join(", "))
    };
    let ways: Vec<_> = (0..floors).map(|floor| (format!("f{floor}"), format!("floor{floor}"))).collect();
    let _ = writeln!(text, "hall: {{ name: \"Hall\", description: \"-\", {} }},", exits(&ways));
    for floor in 0..floors {
        let of_floor = (floor * BRANCHES..rooms.min((floor + 1) * BRANCHES)).map(|room| (room % BRANCHES, room));
        let ways: Vec<_> = of_floor.map(|(branch, room)| (format!("r{branch}"), format!("room{room}"))).collect();
        let _ = writeln!(text, "floor{floor}: {{ name: \"Floor\", description: \"-\", {} }},", exits(&ways));
    }
    let side = (1..).find(|side| side * side >= rooms).unwrap();
    for room in 0..rooms {
        let (x, y) = (room % side, room / side);
        let at = |x: usize, y: usize| format!("room{}", (y * side + x) % rooms);
        let ways = [
            ("north".to_owned(), at(x, y + side - 1)),
            ("east".to_owned(), at((x + 1) % side, y)),
            ("south".to_owned(), at(x, y + 1)),
            ("west".to_owned(), at((x + side - 1) % side, y)),
        ];
        let text_of =
            "A room like others here, with a floor, four walls, a door in each, and nothing that would tell it apart.";
        let _ =
            writeln!(text, "room{room}: {{ name: \"Room {room}\", description: \"{text_of}\", {} }},", exits(&ways));
        let _ = writeln!(things, "coin{room}: {{ name: \"a coin\", description: \"Small.\", in: \"room{room}\" }},");
    }
    text + "}, things: {\n" + &things + "} }"
}

struct Session {
    stream: TcpStream,
    asked: Option<Instant>,
    next: Instant,
    heard: Vec<u8>,
    expected: &'static str,
    way: Way,
}

impl Session {
    fn types(&mut self, line: &str) {
        let line = format!("{line}\r\n");
        let sent = match self.way {
            Way::Telnet => self.stream.write_all(line.as_bytes()),
            Way::Web => self.stream.write_all(&visitor::frame(true, 2, line.as_bytes())),
        };
        sent.unwrap();
    }

    /// Whether a prompt came last.
    fn is_prompted(&self) -> bool {
        match self.way {
            Way::Telnet => self.heard.ends_with(b"\xff\xf9"),
            Way::Web => self.heard.ends_with(b"\x82\x02> ") || self.heard.ends_with(b"Name: "),
        }
    }
}

/// The process: `players ADDRESS SESSIONS PACE_MS WAY`. It says `in` once all are in their rooms, `playing` when it begins, and
/// at its end how long answers took (p50, p99, in seconds) and how many commands it has given.
pub fn run(arguments: &[String]) {
    let [address, sessions, pace, way] = arguments else { panic!("{arguments:?}") };
    let way = if way == "web" { Way::Web } else { Way::Telnet };
    let (address, sessions): (SocketAddrV4, usize) = (address.parse().unwrap(), sessions.parse().unwrap());
    let pace = Duration::from_millis(pace.parse().unwrap());
    let _ = sys::raise_descriptors_max(DESCRIPTORS_WANTED);
    let mut random = Random(1);
    let mut all: Vec<Session> = (0..sessions).map(|number| enter(number, address, way)).collect();
    let (mut poller, mut ready) = (Poller::new().unwrap(), Vec::new());
    for (number, session) in all.iter().enumerate() {
        session.stream.set_nonblocking(true).unwrap();
        poller.watch(&session.stream, Token(number as u64), true, false).unwrap();
    }
    println!("in");
    std::thread::sleep(SETTLING + QUIET);
    println!("playing");
    let end = Instant::now() + MEASURED;
    for session in &mut all {
        session.next = Instant::now() + pace.mul_f64(random.below(1_000) as f64 / 1_000.0);
    }
    let (mut times, mut commands, mut buffer) = (Vec::new(), 0_u64, vec![0; 64 * 1024]);
    while Instant::now() < end {
        let soon = Duration::from_millis(1).min(pace / 4);
        poller.wait(Some(monotonic().after(soon)), monotonic(), &mut ready).unwrap();
        for token in &ready {
            let session = &mut all[token.0 as usize];
            let count = match session.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                count => count.unwrap(),
            };
            assert!(count > 0, "a session has ended");
            session.heard.extend_from_slice(&buffer[..count]);
            let is_prompted = session.is_prompted();
            let is_answered = is_prompted && contains(&session.heard, session.expected);
            if is_prompted {
                session.heard.clear();
            }
            if let Some(asked) = session.asked.take_if(|_| is_answered) {
                times.push(asked.elapsed());
            }
        }
        let now = Instant::now();
        for session in all.iter_mut().filter(|session| session.next <= now && session.asked.is_none()) {
            let (line, expected) = match random.below(8) {
                0..4 => (["n", "e", "s", "w"][random.below(4) as usize], "Exits:"),
                4..6 => ("say The water is high today.", "You say"),
                6 => ("look", "Exits:"),
                _ => ("get all", "coin"),
            };
            session.heard.clear();
            (session.expected, session.asked) = (if line == "get all" { "" } else { expected }, Some(now));
            session.next = now + pace.mul_f64(0.5 + random.below(1_000) as f64 / 1_000.0);
            session.types(line);
            commands += 1;
        }
    }
    times.sort_unstable();
    let of = |share: usize| times[times.len() * share / 100].as_secs_f64();
    println!("{} {} {commands}", of(50), of(99));
}

fn contains(text: &[u8], part: &str) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part.as_bytes())
}

/// A guest who goes to a room.
fn enter(number: usize, address: SocketAddrV4, way: Way) -> Session {
    let mut stream = connect(Ipv4Addr::new(127, 0, 1, (1 + number / PER_ADDRESS) as u8), address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    if way == Way::Web {
        let opening = visitor::handshake("bench", "Sec-WebSocket-Protocol: gmcp.mudstandards.org\r\n");
        stream.write_all(opening.as_bytes()).unwrap();
    }
    let mut session = Session { stream, asked: None, next: Instant::now(), heard: Vec::new(), expected: "", way };
    let room = number / PLAYERS_PER_ROOM;
    await_prompt(&mut session, "Name: ");
    for (line, expected) in [
        ("guest".to_owned(), "Hall"),
        (format!("f{}", room / BRANCHES), "Floor"),
        (format!("r{}", room % BRANCHES), "Room"),
    ] {
        session.types(&line);
        await_prompt(&mut session, expected);
    }
    session
}

fn await_prompt(session: &mut Session, expected: &str) {
    session.heard.clear();
    let mut buffer = [0; 4_096];
    while !session.is_prompted() || !contains(&session.heard, expected) {
        let count = session.stream.read(&mut buffer).unwrap();
        assert!(count > 0, "a session has ended: {}", String::from_utf8_lossy(&session.heard));
        session.heard.extend_from_slice(&buffer[..count]);
    }
}

/// Connects from one of the addresses of this machine.
#[allow(unsafe_code, reason = "`TcpStream` cannot choose where it connects from")]
fn connect(from: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    let raw = |address: SocketAddrV4| libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    };
    let check = |result: libc::c_int| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    // SAFETY: a call with plain numbers.
    let socket = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: a descriptor that was just opened and that nobody else has.
    let stream = unsafe { TcpStream::from_raw_fd(socket) };
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let (from, to) = (raw(SocketAddrV4::new(from, 0)), raw(to));
    // SAFETY: pointer and length describe a live local.
    check(unsafe { libc::bind(stream.as_raw_fd(), (&raw const from).cast(), length) })?;
    // SAFETY: pointer and length describe a live local.
    check(unsafe { libc::connect(stream.as_raw_fd(), (&raw const to).cast(), length) })?;
    Ok(stream)
}
