//! The writer's process as the engine has it, and the pipe to it: what is to be sent, and what came back.
//!
//! A Unix socket is both ways of it at once, and std can read and write it without waiting. It goes with either process.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::time::Duration;

use super::serve::Writer;
use super::wire::{Frames, Inlet, Task, ToWriter};
use crate::clock::{self, Wall};
use crate::limits::{WIRE_BYTES_PER_TURN, WRITER_END_MS_MAX};
use crate::sys;

/// The argument that makes this program a writer. It is the engine's own, and no command for people.
pub const COMMAND: &str = "writer";

/// The very file that this program was started from, so that either side knows the other for the same.
const PROGRAM: &str = "/proc/self/exe";

/// Which build of the engine this is: its version, and what tells its file from any other. The date of the file may
/// change while it runs, so this is to be asked anew for each writer.
fn build() -> String {
    let file = fs::metadata(PROGRAM).ok();
    let id = file.map(|file| [file.dev(), file.ino(), file.size(), file.mtime() as u64, file.mtime_nsec() as u64]);
    format!("{} {id:?}", env!("CARGO_PKG_VERSION"))
}

/// A writer and what goes to and fro.
pub struct Link {
    child: Child,
    /// What it says.
    pub inlet: Inlet<UnixStream>,
    /// What is to be sent.
    pub out: Frames,
    sent: usize,
    /// Whether room was awaited when it was last watched; `None`: it is not watched.
    watched: Option<bool>,
}

impl Link {
    /// Starts a writer.
    pub fn spawn() -> io::Result<Link> {
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        let mut command = Command::new(PROGRAM);
        // In a group of its own, no key of the terminal reaches it.
        command.arg0("aqevia-engine").arg(COMMAND).process_group(0).stdin(Stdio::from(OwnedFd::from(theirs)));
        let child = command.spawn()?;
        Ok(Link { child, inlet: Inlet::new(stream), out: Frames::default(), sent: 0, watched: None })
    }

    /// Has it begin with a task on a database, for an engine that runs since then.
    pub fn begin(&mut self, database: &Path, started: Wall, task: Task) {
        let (build, database) = (build(), database.to_owned());
        self.out.message(&ToWriter::Begin { build, started, database, task });
    }

    /// Bytes that are yet to be sent.
    pub fn unsent(&self) -> usize {
        self.out.bytes.len() - self.sent
    }

    /// Has it watched, if that is not so yet, by a call that is told whether room is awaited.
    pub fn watch(&mut self, watch: impl FnOnce(&UnixStream, bool) -> io::Result<()>) -> io::Result<()> {
        let for_room = Some(self.unsent() > 0);
        if for_room != self.watched {
            watch(self.inlet.input(), self.unsent() > 0)?;
            self.watched = for_room;
        }
        Ok(())
    }

    /// Sends as much as is taken at once.
    pub fn write(&mut self) {
        if self.unsent() == 0 {
            return;
        }
        let end = self.out.bytes.len().min(self.sent + WIRE_BYTES_PER_TURN);
        match self.inlet.input().write(&self.out.bytes[self.sent..end]) {
            Ok(count) => self.sent += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => (),
            // What it has said before its end can still be read.
            Err(_) => self.sent = self.out.bytes.len(),
        }
        if self.unsent() == 0 {
            (self.out, self.sent) = (Frames::default(), 0);
        }
    }

    /// The writer's process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets go of a writer that has ended, or that makes no sense; says how it ended, unless that was well.
    pub fn end(mut self) -> Option<String> {
        let _ = self.child.kill();
        // Its pipe ends a moment before it does. A debugger may keep its end to itself, and a disk hold it up.
        for _ in 0..WRITER_END_MS_MAX {
            match self.child.try_wait() {
                Ok(None) => sys::pause(Duration::from_millis(1)),
                Ok(Some(status)) => return Some(status).filter(|status| !status.success()).map(|it| it.to_string()),
                Err(error) => return Some(error.to_string()),
            }
        }
        Some("how is not known yet".to_owned())
    }
}

/// The writer's whole life, from which it does not come back but with an error of its beginning.
pub fn serve() -> io::Result<()> {
    // Who ends the engine by a signal to all of its processes wants it to save everything first.
    sys::ignore_signals()?;
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    stream.peer_addr()?;
    let mut writer = Writer::new(stream.try_clone()?, stream, build(), clock::monotonic);
    while writer.step() {}
    // Without closing anything: what is stored is in the log, the next start reads that, and none has to wait for it.
    process::exit(0)
}
