//! Requests per second and p99 of the HTTP listener while a busy world ticks, beside the bare loop, which answers the
//! same bytes without parsing, and beside nginx, which answers a body of the same length. Neither has a world. Each
//! server is alone while it is measured, on a core of its own; the client has the other.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aqevia_engine::world::Verb;

use crate::bare::Bare;
use crate::client::{Load, load};
use crate::process::{Core, pin};
use crate::progress;
use crate::support::{self, Engine, Folder, PATIENCE, wait_for};
use crate::table::{Pairs, Side, digits, row, time};
use crate::worlds::{BUSY, parts, store};

const PATHS: [&str; 3] = ["/health", "/status", "/metrics"];
const CONNECTIONS: [usize; 3] = [1, 64, 250];
const ROUNDS: usize = 5;
const WINDOW: Duration = Duration::from_millis(1_000);
/// The fastest pace that the engine accepts.
pub const TICK_MS: u64 = 10;
/// How many of the requests per second of the bare loop, and of nginx, over `BUDGET_CONNECTIONS`.
const BUDGETS: [(&str, [Option<f64>; 2]); 2] = [("/health", [Some(0.95), Some(1.0)]), ("/metrics", [Some(0.4), None])];
const BUDGET_CONNECTIONS: usize = 64;
/// How many of those that it answers in a quiet world.
const BUDGET_BESIDE_FLUSHES: f64 = 0.8;

pub fn measure() {
    if nginx().is_none() {
        support::skip("nginx is not installed, so nothing is measured beside it");
    }
    let busy = Place::with_busy_world();
    for path in PATHS {
        for connections in CONNECTIONS {
            compare(&busy, path, connections, "busy world");
        }
    }
    // The built-in world shows what the listener costs by itself.
    compare(&Place(Folder::new()), "/health", 64, "quiet world");
}

/// What flushes cost those who ask.
pub fn measure_beside_flushes() {
    let (busy, quiet) = (Place::with_busy_world(), Place(Folder::new()));
    let what = "`/health`, world that is flushed at every tick, connections: 64";
    progress(&format!("http: {what}"));
    let pairs = Pairs::alternate(ROUNDS, |side| {
        let engine = if side == Side::Engine { &busy } else { &quiet }.start(&[]);
        let rate = load(engine.address, "/health", 64, WINDOW).requests_per_second;
        engine.stop();
        rate
    });
    let rate = |rate| format!("{} k/s", digits(rate / 1_000.0));
    pairs.row(what, "the same in a quiet world", rate, Some(("0.8 x", pairs.ratio() >= BUDGET_BESIDE_FLUSHES)));
}

/// The rows of one path over so many connections.
fn compare(place: &Place, path: &str, connections: usize, world: &str) {
    let what = format!("`{path}`, {world}, connections: {connections}");
    progress(&format!("http: {what}"));
    let answer = place.save_answer(path);
    let body_bytes = fs::read_to_string(&answer).unwrap().split_once("\r\n\r\n").unwrap().1.len();
    let load = |address| load(address, path, connections, WINDOW);
    let mut results: [(&str, Vec<(Load, Load)>); 2] = [("bare loop", Vec::new()), ("nginx", Vec::new())];
    for _ in 0..ROUNDS {
        let bare = Bare::start(&answer, TICK_MS);
        let of_bare = load(bare.address);
        bare.helper.end();
        let engine = place.start(&[]);
        let of_engine = load(engine.address);
        engine.stop();
        results[0].1.push((of_engine, of_bare));
        if let Some(nginx) = Nginx::start(body_bytes) {
            results[1].1.push((of_engine, load(nginx.address)));
        }
    }
    let budgets = BUDGETS.iter().find(|(of, _)| (*of, BUDGET_CONNECTIONS) == (path, connections));
    let budgets = budgets.map_or([None; 2], |(_, budgets)| *budgets);
    let measured = results.into_iter().zip(budgets).filter(|((_, results), _)| !results.is_empty());
    for ((yardstick, results), budget) in measured {
        let (mut rates, mut p99s) = (Pairs::default(), Pairs::default());
        for (engine, yardstick) in results {
            rates.push(engine.requests_per_second, yardstick.requests_per_second);
            p99s.push(engine.p99, yardstick.p99);
        }
        let cell = |rate: f64, p99: f64| format!("{} k/s, p99 {}", digits(rate / 1_000.0), time(p99));
        let ratio = format!("{}, p99 {}", digits(rates.ratio()), digits(p99s.ratio()));
        let yardstick = format!("{yardstick}: {}", cell(rates.yardstick(), p99s.yardstick()));
        let budget = budget.map(|least| (format!("{least:?} x"), rates.ratio() >= least));
        let budget = budget.as_ref().map(|(text, is_met)| (text.as_str(), *is_met));
        row(&what, &cell(rates.engine(), p99s.engine()), &yardstick, &ratio, budget);
    }
}

/// A folder with a database, on which the engine is started again and again.
pub struct Place(pub Folder);

impl Place {
    /// Its world has 2,000 creatures, each of which takes an exit in every world minute.
    pub fn with_busy_world() -> Place {
        let folder = Folder::new();
        store(&folder.database(), parts(BUSY, Verb::Wander, 1));
        Place(folder)
    }

    /// The engine at its fastest pace, otherwise with its default settings.
    pub fn command(&self) -> Command {
        let mut command = support::command(&self.0, &[]);
        command.env("AQEVIA_TICK_INTERVAL_MS", TICK_MS.to_string());
        command
    }

    /// Runs it. Its loop has a core; the writer goes where the kernel puts it.
    pub fn spawn(command: &mut Command) -> Engine {
        let engine = Engine::spawn(command);
        pin(engine.child.id(), Core::Server);
        engine
    }

    /// Runs it with these settings.
    pub fn start(&self, variables: &[(&str, &str)]) -> Engine {
        Place::spawn(self.command().envs(variables.iter().copied()))
    }

    /// A file with what the engine answers to a request on a connection that stays open, for the bare loop.
    pub fn save_answer(&self, path: &str) -> PathBuf {
        let engine = self.start(&[]);
        let answer = engine.send(format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"));
        engine.stop();
        self.0.write("answer", answer.replace("Connection: close\r\n", ""))
    }
}

/// One worker of nginx, in a folder of its own, which answers out of its configuration.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

/// How nginx is to be called, if it is installed.
pub fn nginx() -> Option<&'static str> {
    let runs = |name: &&str| Command::new(name).arg("-v").stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    ["nginx", "/usr/sbin/nginx"].into_iter().find(runs)
}

impl Nginx {
    fn start(body_bytes: usize) -> Option<Nginx> {
        let (program, folder) = (nginx()?, Folder::new());
        loop {
            // nginx does not tell which port it has picked, and one that is picked for it may be gone again.
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let configuration = folder.write("nginx.conf", configuration(address, body_bytes));
            let mut command = Command::new(program);
            let mut child = command.arg("-p").arg(folder.join("")).arg("-c").arg(configuration).spawn().unwrap();
            pin(child.id(), Core::Server);
            let listens = wait_for("nginx to listen or to end", || {
                let is_nginx = Nginx::answers(address).unwrap_or(false);
                is_nginx.then_some(true).or(child.try_wait().unwrap().map(|_| false))
            });
            if listens {
                return Some(Nginx { child, address, _folder: folder });
            }
        }
    }

    /// Whether it is nginx that listens there.
    fn answers(address: SocketAddr) -> io::Result<bool> {
        let (mut stream, mut answer) = (TcpStream::connect(address)?, String::new());
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        stream.read_to_string(&mut answer)?;
        Ok(answer.contains("\r\nServer: nginx"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(address: SocketAddr, body_bytes: usize) -> String {
    // A word of a configuration may have 4 KiB at most, so a long body is put together from variables.
    let (part, parts) = ("x".repeat(2_000), body_bytes / 2_000);
    let body = "${part}".repeat(parts) + &part[..body_bytes % 2_000];
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};"));
    format!(
        "daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr crit;
         events {{ worker_connections 1024; }}
         http {{
           access_log off; default_type application/json; keepalive_requests 1000000000; {}
           server {{ listen {address}; location / {{ set $part {part}; return 200 \"{body}\"; }} }}
         }}",
        folders.join(" "),
    )
}
