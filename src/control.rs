//! The operators' hand: a Unix socket beside the database. Whoever may write to that file is an operator, for the kernel asks
//! nobody else in; so nothing that comes by a network can change who may do what.
//!
//! A line comes in, in the words of `aqevia-engine ctl`; lines of JSON go out, of which the last tells whether it was done,
//! and the connection ends. It is one more port of the network, with all the bounds of one. What is done with people stands
//! in `session/operators.rs`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::json::Json;
use crate::limits::{
    BAN_SECONDS_MAX, CONTROL_CONNECTIONS_MAX, CONTROL_FLUSH_MS_MAX, CONTROL_LINE_BYTES_MAX, CONTROL_LINE_MS_MAX,
    CONTROL_WRITE_MS_MAX, NOTICE_AGAIN_SECONDS, NOTICE_SECONDS_MAX,
};
use crate::log::{Level, Line};
use crate::net::Net;
use crate::net::connection::{Connection, Door};
use crate::session::operators::{Answer, bans};
use crate::session::{Moment, Number, People};
use crate::storage::StorageError;
use crate::storage::files::{FileId, beside, file_id, real_path};
use crate::sys::{self, Readiness};
use crate::text::nearest;
use crate::writer::ledger::Ledger;

/// How each command is given, and what it does.
pub const COMMANDS: [(&str, &str); 12] = [
    ("status", "what /status tells"),
    ("who", "who is in the world, and who is coming in"),
    ("password NAME", "issue a new password to a player, and print it"),
    ("boot NAME", "end the visit of a player"),
    ("ban NAME|ADDRESS[/PREFIX] [DURATION]", "keep out, for a time such as 30m, 12h or 7d, or for ever"),
    ("unban NAME|ADDRESS[/PREFIX]", "let in again"),
    ("bans", "who is kept out"),
    ("close", "let nobody else in"),
    ("open", "let people in again"),
    ("announce TEXT", "tell everybody who is in the world"),
    ("flush", "save what is pending, and wait until it is"),
    ("shutdown [SECONDS]", "tell everybody, then stop; the last one that is given counts"),
];

/// A command of an operator.
#[derive(Debug, PartialEq, Eq)]
pub enum Order<'a> {
    /// What does the engine do?
    Status,
    /// Who is here?
    Who,
    /// A new password for a player.
    Password(&'a str),
    /// An end to the visit of a player.
    Boot(&'a str),
    /// A player, an address or a network is kept out, for so many seconds or for ever.
    Ban(&'a str, Option<u64>),
    /// The end of that.
    Unban(&'a str),
    /// Who is kept out?
    Bans,
    /// Nobody else is let in.
    Close,
    /// People are let in again.
    Open,
    /// Everybody reads something.
    Announce(&'a str),
    /// What is pending is saved.
    Flush,
    /// The engine stops in so many seconds.
    Shutdown(u64),
}

/// Reads a command. An error says how it would be right.
pub fn parse(line: &str) -> Result<Order<'_>, String> {
    if line.contains(char::is_control) {
        return Err("a command is one line, without control characters".to_owned());
    }
    let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    let arguments: Vec<&str> = rest.split_whitespace().collect();
    Ok(match (word, arguments.as_slice()) {
        ("status", []) => Order::Status,
        ("who", []) => Order::Who,
        ("password", [name]) => Order::Password(name),
        ("boot", [name]) => Order::Boot(name),
        ("ban", [of]) => Order::Ban(of, None),
        ("ban", [of, time]) => Order::Ban(of, Some(duration(time)?)),
        ("unban", [of]) => Order::Unban(of),
        ("bans", []) => Order::Bans,
        ("close", []) => Order::Close,
        ("open", []) => Order::Open,
        ("announce", [_, ..]) => Order::Announce(rest.trim()),
        ("flush", []) => Order::Flush,
        ("shutdown", []) => Order::Shutdown(0),
        ("shutdown", [seconds]) => Order::Shutdown(notice(seconds)?),
        _ => return Err(misused(word)),
    })
}

fn misused(word: &str) -> String {
    let names = COMMANDS.iter().map(|(usage, _)| usage.split(' ').next().unwrap_or_default());
    match COMMANDS.iter().zip(names.clone()).find(|(_, name)| *name == word) {
        Some(((usage, _), _)) => format!("{word} is used so: ctl {usage}"),
        None => match nearest(word, names) {
            Some(name) => format!("there is no command {word:?}; perhaps {name} is meant"),
            None => format!("there is no command {word:?}"),
        },
    }
}

/// Seconds, of a time such as `30m`.
fn duration(text: &str) -> Result<u64, String> {
    let unit = |unit: char| Some([1, 60, 3_600, 86_400]["smhd".find(unit)?]);
    let (number, unit) =
        text.char_indices().next_back().map_or((None, None), |(at, last)| (whole(&text[..at]), unit(last)));
    let seconds = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    let seconds = seconds.filter(|seconds| (1..=BAN_SECONDS_MAX).contains(seconds));
    seconds.ok_or_else(|| format!("{text:?} is no time: 30m, 12h and 7d are, up to a hundred years"))
}

fn notice(text: &str) -> Result<u64, String> {
    let seconds = whole(text).filter(|seconds| *seconds <= NOTICE_SECONDS_MAX);
    seconds.ok_or_else(|| format!("{text:?} is no number of seconds from 0 to {NOTICE_SECONDS_MAX}"))
}

/// A number of digits alone: Rust's own parser would also take a leading plus sign.
fn whole(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Where the socket of a database is.
pub fn socket_of(database: &Path) -> Result<PathBuf, StorageError> {
    Ok(beside(&real_path(database)?, ".sock"))
}

/// Listens at a path, which nobody else may use. A socket that lies there is of an engine that has ended, as the caller has
/// made sure; anything else is left alone.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|there| !there.file_type().is_socket()) {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "something that is no socket has its name"));
    }
    // A path may be longer than bind(2) takes, and so may a name: it gets a short one by way of its folder at first.
    let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
    let number = u64::from_ne_bytes(sys::random()?);
    let name = format!("/proc/self/fd/{}/sock.partial-{number:x}", folder.as_raw_fd());
    let listener = sys::with_closed_mask(|| UnixListener::bind(&name))?;
    let ready = fs::rename(&name, path).and_then(|()| listener.set_nonblocking(true));
    ready.inspect_err(|_| _ = fs::remove_file(&name)).map(|()| listener)
}

/// The socket, and what operators wait for.
pub struct Control {
    /// Which port of the network it is.
    pub port: usize,
    path: PathBuf,
    /// The socket itself: another engine may have put its own there.
    file: Option<FileId>,
    waiting: BTreeMap<Number, Wait>,
    /// When the engine is to stop, and when people are told again.
    end: Option<(Monotonic, Monotonic)>,
}

/// What an operator waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// What the engine does.
    Status,
    /// The acknowledgement of a cut.
    Flush(u64),
}

/// How far a command is.
enum Progress {
    Over(Answer),
    Waits(Wait),
}

/// What a command meets.
pub struct Around<'a, 'm> {
    /// Everybody.
    pub people: &'a mut People,
    /// The world and the time.
    pub moment: &'a mut Moment<'m>,
    /// What is known of storage.
    pub ledger: &'a mut Ledger,
}

impl Control {
    /// Listens beside a database, whose lock is this engine's.
    pub fn open(database: &Path, net: &mut Net, poller: &mut impl Readiness) -> Result<Control, String> {
        let path = socket_of(database).map_err(|error| error.to_string())?;
        let listener = listen(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let file = file_id(&path);
        let port = net.open(
            Door::Unix(listener),
            CONTROL_CONNECTIONS_MAX,
            CONTROL_LINE_BYTES_MAX,
            CONTROL_WRITE_MS_MAX,
            poller,
        );
        let port = port.map_err(|error| error.to_string())?;
        Ok(Control { port, path, file, waiting: BTreeMap::new(), end: None })
    }

    /// The engine ends: takes the name away, if it is still its own, so that it is never that of the next engine, which
    /// waits for the lock.
    pub fn stop(&mut self, net: &mut Net) {
        self.end = None;
        net.refuse(self.port);
        if self.file.is_some() && file_id(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Does what has come in, and tells people how long there is until the end.
    pub fn serve(&mut self, net: &mut Net, around: &mut Around) {
        let now = around.moment.now;
        while let Some(number) = net.next(self.port) {
            let wait = self.waiting.get(&number).copied();
            net.with(number, |connection| match wait {
                None => self.take_turn(number, connection, around),
                // Who hangs up does not wait.
                Some(_) if connection.ended => connection.close(),
                Some(_) if connection.due <= now => {
                    let why = around.ledger.trouble(now).unwrap_or_else(|| "it takes long".to_owned());
                    finish(connection, Err(format!("not everything is saved yet: {why}")));
                }
                Some(_) => (),
            });
        }
        net.accept(self.port, now, now.after(Duration::from_millis(CONTROL_LINE_MS_MAX)));
        for number in net.gone(self.port) {
            self.waiting.remove(&number);
        }
        let saved = |wait: &Wait| matches!(wait, Wait::Flush(cut) if around.ledger.holds(*cut));
        for (number, _) in self.waiting.extract_if(.., |_, wait| saved(wait)) {
            let tick = around.ledger.view.persisted.map(|tick| tick.0);
            let row = Json::object(|json| json.key("persisted_tick").number(tick));
            net.with(number, |connection| finish(connection, Ok(vec![row])));
        }
        if let Some((end, again)) = self.end
            && again <= now
        {
            self.tell_of_end(end, around);
        }
    }

    /// Takes the command of a connection, once it is whole.
    fn take_turn(&mut self, number: Number, connection: &mut Connection, around: &mut Around) {
        let now = around.moment.now;
        let end = connection.input.iter().position(|byte| *byte == b'\n');
        let Some(end) = end else {
            if connection.input.len() >= CONTROL_LINE_BYTES_MAX {
                finish(
                    connection,
                    Err(format!("a command has {CONTROL_LINE_BYTES_MAX} bytes at most, and a line end")),
                );
            } else if connection.ended {
                connection.close();
            } else if connection.due <= now {
                finish(connection, Err("no command came in time".to_owned()));
            }
            return;
        };
        let line = String::from_utf8_lossy(&connection.input[..end]).into_owned();
        connection.consume(connection.input.len());
        match self.obey(line.trim_end_matches('\r'), around) {
            Progress::Over(answer) => finish(connection, answer),
            Progress::Waits(wait) => {
                connection.due = now.after(Duration::from_millis(CONTROL_FLUSH_MS_MAX));
                self.waiting.insert(number, wait);
            }
        }
    }

    /// Does what a line says. Whatever changes something is logged.
    fn obey(&mut self, line: &str, around: &mut Around) -> Progress {
        let order = match parse(line) {
            Ok(order) => order,
            Err(why) => return Progress::Over(Err(why)),
        };
        let acts = !matches!(order, Order::Status | Order::Who | Order::Bans);
        let Around { people, moment, ledger } = around;
        let progress = match order {
            Order::Status => Progress::Waits(Wait::Status),
            Order::Who => Progress::Over(Ok(people.who(moment.world, moment.now))),
            Order::Password(name) => Progress::Over(people.renew_password(name, moment)),
            Order::Boot(name) => Progress::Over(people.boot(name, moment)),
            Order::Ban(of, seconds) => {
                let until = seconds.map(|seconds| moment.wall.0.as_secs() + seconds);
                Progress::Over(people.ban(of, until, moment))
            }
            Order::Unban(of) => Progress::Over(people.lift_ban(of, moment.world)),
            Order::Bans => Progress::Over(Ok(bans(moment.world, moment.wall))),
            Order::Close | Order::Open => {
                people.close(order == Order::Close);
                Progress::Over(Ok(Vec::new()))
            }
            Order::Announce(words) => {
                people.announce(words);
                Progress::Over(Ok(Vec::new()))
            }
            Order::Flush => Progress::Waits(Wait::Flush(ledger.ask(moment.now))),
            Order::Shutdown(seconds) => {
                self.tell_of_end(moment.now.after(Duration::from_secs(seconds)), around);
                Progress::Over(Ok(Vec::new()))
            }
        };
        if acts {
            let why = if let Progress::Over(Err(why)) = &progress { why } else { "" };
            let fields = [("command", line), ("refused", why)];
            around.people.notes.push(Line::new(Level::Info, "an operator gave a command", &fields));
        }
        progress
    }

    /// Tells people when the engine stops, and notes when to tell them again.
    fn tell_of_end(&mut self, end: Monotonic, around: &mut Around) {
        let left = end.since(around.moment.now).as_millis().div_ceil(1_000) as u64;
        let again = NOTICE_AGAIN_SECONDS.into_iter().find(|again| *again < left);
        self.end = Some((end, Monotonic(end.0 - Duration::from_secs(again.unwrap_or(0)))));
        if left > 0 {
            let words = format!("The world stops in {left} seconds. All that you do until then is saved.");
            around.people.announce(&words);
        }
    }

    /// Gives what the engine does to whoever waits for that.
    pub fn show(&mut self, net: &mut Net, status: impl Fn() -> String) {
        for (number, _) in self.waiting.extract_if(.., |_, wait| *wait == Wait::Status) {
            net.with(number, |connection| finish(connection, Ok(vec![status()])));
        }
    }

    /// When there is something to be done although nothing has come in.
    pub fn next_due(&self) -> Option<Monotonic> {
        let waits = self.waiting.values().any(|wait| *wait == Wait::Status);
        waits.then_some(Monotonic::default()).or(self.end.map(|(_, again)| again))
    }

    /// Whether the engine is to stop.
    pub fn ends(&self, now: Monotonic) -> bool {
        self.end.is_some_and(|(end, _)| end <= now)
    }
}

/// Gives an answer, the last line of which tells whether it was done, and ends the connection.
fn finish(connection: &mut Connection, answer: Answer) {
    let (rows, why) = answer.map_or_else(|why| (Vec::new(), Some(why)), |rows| (rows, None));
    let last = Json::object(|json| {
        json.key("done").plain(why.is_none());
        json.optional("error", why.as_deref());
    });
    for row in rows.iter().chain([&last]) {
        connection.output.extend_from_slice(row.as_bytes());
        connection.output.push(b'\n');
    }
    connection.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_as_it_is_told_to_be_used_and_nothing_else_is() {
        for (line, order) in [
            ("status", Order::Status),
            (" who ", Order::Who),
            ("password Ann", Order::Password("Ann")),
            ("boot  Ann", Order::Boot("Ann")),
            ("ban Ann", Order::Ban("Ann", None)),
            ("ban 192.0.2.0/24 90s", Order::Ban("192.0.2.0/24", Some(90))),
            ("ban Ann 30m", Order::Ban("Ann", Some(1_800))),
            ("ban Ann 12h", Order::Ban("Ann", Some(43_200))),
            ("ban Ann 36600d", Order::Ban("Ann", Some(BAN_SECONDS_MAX))),
            ("unban ::1", Order::Unban("::1")),
            ("bans", Order::Bans),
            ("close", Order::Close),
            ("open", Order::Open),
            ("announce  Tea  is ready. ", Order::Announce("Tea  is ready.")),
            ("flush", Order::Flush),
            ("shutdown", Order::Shutdown(0)),
            ("shutdown 86400", Order::Shutdown(86_400)),
        ] {
            assert_eq!(parse(line), Ok(order), "{line}");
        }
        for (line, why) in [
            ("", "there is no command \"\""),
            ("statsu", "there is no command \"statsu\"; perhaps status is meant"),
            ("who Ann", "who is used so: ctl who"),
            ("boot", "boot is used so: ctl boot NAME"),
            ("boot Ann Bob", "boot is used so: ctl boot NAME"),
            ("announce ", "announce is used so: ctl announce TEXT"),
            ("announce \u{1b}[2J", "a command is one line, without control characters"),
            ("ban Ann 7d 7d", "ban is used so: ctl ban NAME|ADDRESS[/PREFIX] [DURATION]"),
            ("shutdown 86401", "\"86401\" is no number of seconds from 0 to 86400"),
            ("shutdown +1", "\"+1\" is no number of seconds from 0 to 86400"),
        ] {
            assert_eq!(parse(line), Err(why.to_owned()), "{line}");
        }
        for time in ["0s", "7", "d", "7w", "-1d", "+1d", "1.5h", "36601d", "99999999999999999999d", "1\u{e9}"] {
            let why = format!("{time:?} is no time: 30m, 12h and 7d are, up to a hundred years");
            assert_eq!(parse(&format!("ban Ann {time}")), Err(why));
        }
        // Whatever is told to be there is.
        for (usage, _) in COMMANDS {
            let word = usage.split(' ').next().unwrap();
            assert!(parse(word).is_ok() || misused(word).starts_with(&format!("{word} is used so")), "{word}");
        }
    }
}
