//! Processes: this program in another role, the core each is pinned to, what the kernel says they use.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Once;

use crate::support;

/// This program in one of its other roles. It gets a pipe as standard input and ends with it at the latest, so nothing
/// stays behind however the measuring ends.
pub struct Helper {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Helper {
    pub fn spawn(role: &str, arguments: &[&str]) -> Helper {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(role).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Helper { child, input, output }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits until it ends, which a load does by itself and the others now do; returns what more it prints.
    pub fn end(mut self) -> String {
        self.input = None;
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "a process of the benchmark failed");
        rest
    }
}

/// Which of two cores a process has for itself.
#[derive(Clone, Copy)]
pub enum Core {
    Client,
    Server,
}

/// Pins a process to a core. Where that cannot be done all are left where they are, and that is said once.
pub fn pin(process: u32, core: Core) {
    let allowed = field("self", "Cpus_allowed_list:");
    let (first, last) = (allowed.split(['-', ',']).next(), allowed.rsplit(['-', ',']).next());
    let core = match core {
        Core::Client => first,
        Core::Server => last,
    };
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "--pid", core.unwrap(), &process.to_string()]).stdout(Stdio::null());
    if first == last || !command.status().is_ok_and(|status| status.success()) {
        static SAID: Once = Once::new();
        SAID.call_once(|| support::skip("server and client share their cores: there is one core, or no taskset"));
    }
}

/// Memory in RAM, in bytes.
pub fn resident_bytes(process: u32) -> f64 {
    number(&field(&process.to_string(), "VmRSS:")) * 1_024.0
}

/// An engine and its writer, if that has begun.
pub fn both(engine: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{engine}/task/{engine}/children")).unwrap();
    [engine].into_iter().chain(children.split_whitespace().map(|child| child.parse().unwrap())).collect()
}

/// How often it has gone to sleep, to be woken by a timer, by a descriptor or by the disk.
pub fn sleeps(process: u32) -> f64 {
    number(&field(&process.to_string(), "voluntary_ctxt_switches:"))
}

/// Seconds it has spent on a core, to the nanosecond.
pub fn cpu_seconds(process: u32) -> f64 {
    number(&fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap()) / 1e9
}

fn field(process: &str, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} of {process}")).trim().to_owned()
}

fn number(text: &str) -> f64 {
    text.split_whitespace().next().unwrap().parse().unwrap()
}
