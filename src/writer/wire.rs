//! What the engine and its writer say to each other: frames, each with its length in front and never longer than
//! `FRAME_BYTES_MAX`. Either side is the same binary, so there is no other version of it; a frame that makes no sense is
//! a fault, and the end of the writer.
//!
//! A frame is four bytes of length (little endian, as all numbers), one that says what it is, and that. Records of a world
//! share frames, so that each costs no more than its own bytes.

use std::ffi::OsString;
use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
use std::io::{BufRead, BufReader, Read};
use std::mem;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use super::serve::Wanted;
use crate::clock::Wall;
use crate::exit::Exit;
use crate::limits::{BUFFER_BYTES_KEPT, FRAME_BYTES_MAX, FRAME_RECORDS_BYTES, TEXT_BYTES_MAX, WIRE_BYTES_PER_TURN};
use crate::log::{Level, Line};
use crate::storage::{Stamp, Taker};
use crate::world::random::Random;
use crate::world::{
    Active, Ban, Entity, EntityId, Habit, Head, Keeping, Keepsake, Kind, Player, Posture, Record, Spawn, Tick, Verb,
    Weather, Wish,
};

/// What can be put into bytes and taken out of them again.
pub trait Wire<'a>: Sized {
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);

    /// Takes it from the beginning of `bytes`; `None` if that is not there.
    fn get(bytes: &mut &'a [u8]) -> Option<Self>;
}

/// Types that are their parts, one after the other.
macro_rules! parts {
    ($($type:ty { $($part:ident),* })*) => { $(
        impl<'a> Wire<'a> for $type {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$part.put(out);)*
            }

            fn get(bytes: &mut &'a [u8]) -> Option<Self> {
                $(let $part = Wire::get(bytes)?;)*
                Some(Self { $($part),* })
            }
        }
    )* };
}

/// Types that are another one inside.
macro_rules! wrapped {
    ($($type:ty: $inner:ty = $put:expr, $get:expr;)*) => { $(
        impl<'a> Wire<'a> for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let put: fn(&Self) -> $inner = $put;
                put(self).put(out);
            }

            fn get(bytes: &mut &'a [u8]) -> Option<Self> {
                let get: fn($inner) -> Option<Self> = $get;
                get(Wire::get(bytes)?)
            }
        }
    )* };
}

/// What is said, each with its number.
macro_rules! messages {
    ($($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $message:ident = $number:literal
        { $($part:ident: $type:ty,)* })* })*) => { $(
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each message says what its parts are")]
        pub enum $name { $($(#[$of])* $message { $($part: $type,)* },)* }

        impl Wire<'_> for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $($name::$message { $($part),* } => {
                        out.push($number);
                        $($part.put(out);)*
                    })*
                }
            }

            fn get(bytes: &mut &[u8]) -> Option<Self> {
                match u8::get(bytes)? {
                    $($number => {
                        $(let $part = Wire::get(bytes)?;)*
                        Some($name::$message { $($part),* })
                    })*
                    _ => None,
                }
            }
        }
    )* };
}

messages! {
    /// What the writer is told.
    ToWriter {
        /// The first words to one of the same build: which database, since when the engine runs, and what to do. To one
        /// that has it already, what to do at last.
        Begin = 1 { build: String, started: Wall, database: PathBuf, task: Task, }
        /// The world was put together and is sound: it may be written from now on.
        Accept = 2 {}
        /// Records follow that are to be stored together, the head as the last of them. Cuts are numbered from 1.
        Flush = 3 { cut: u64, wall: Wall, }
        /// All records of a world follow, to be put where the database has lost its content.
        Replace = 4 { cut: u64, head: Head, wall: Wall, }
        /// No more records follow.
        End = 5 {}
        /// All is flushed: empty the log, read back that the world with this head is stored, and end.
        Close = 6 { head: Head, }
    }

    /// What a writer begins with.
    Task {
        /// To open what the environment names, or to found it, and to hand out the world.
        Load = 1 { wanted: Wanted, }
        /// To go on where another writer has ended: which world, and the states that may be stored.
        Resume = 2 { world: String, source: String, states: Vec<Stamp>, }
        /// To put the world beside the database, whose records all follow.
        Rescue = 3 { head: Head, source: String, wall: Wall, }
    }

    /// What the engine is told.
    ToEngine {
        /// A line for the log.
        Note = 1 { line: Line, }
        /// The records that came before were all, and the database is sound.
        Loaded = 2 { source: String, }
        /// The world is written from now on; or cannot be yet, for the given reason. What an earlier stop has rescued of it
        /// and is later: where, its tick, and the command that puts it in place.
        Attached = 3 { view: View, error: Option<String>, rescue: Option<Rescued>, }
        /// Nothing can be started, or gone on with.
        Refused = 4 { exit: Exit, }
        /// A cut is stored: how many records, and how long the commit alone took.
        Flushed = 5 { cut: u64, view: View, records: u64, commit: Duration, }
        /// It is not; if the database has lost its content, all of the world is wanted.
        Failed = 6 { cut: u64, view: View, error: String, wants_all: bool, }
        /// A look at the files has found something new; `error` if they are disturbed.
        Seen = 7 { view: View, error: Option<String>, }
        /// A checkpoint was made, or readers have held it up (`Some(None)`), or it failed.
        Checkpointed = 8 { view: View, took: Duration, trouble: Option<Option<String>>, }
        /// The database is closed; or what was flushed cannot be read back.
        Closed = 9 { error: Option<String>, }
        /// The world was rescued: where, and the command that puts it in place; or why not. And the tick of the database.
        Rescued = 10 { rescued: Option<Rescued>, error: String, persisted: Option<Tick>, }
    }
}

/// What the writer sees of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// After a crash the world comes back at this tick or later; `None` while that cannot be promised.
    pub persisted: Option<Tick>,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
}

/// What was rescued of a world and never put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescued {
    /// Where it lies.
    pub path: PathBuf,
    /// As of when.
    pub tick: Tick,
    /// What a shell does to put it in place.
    pub command: String,
}

parts! {
    Exit { code, problems, advice }
    Line { level, text }
    Wanted { file, id }
    View { persisted, wal_bytes }
    Rescued { path, tick, command }
    Stamp { tick, digest }
    Head { id, name, tick, random, weather, next_id, digest }
    Entity<&'a str> {
        id, kind, tag, name, description, location, home, owner, prototype, destination, gait, active, step, indoors,
        locked, fixed, asleep, container
    }
    Habit { verb, every_minutes, targets, lines }
    Spawn { prototype, room, at_most, every_minutes, text }
    Player<&'a str> {
        password, posture, brief, no_prompt, no_keepalive, colour, screen_reader, width, title, since
    }
    Ban { of, until }
    Keepsake { player, kind, name, text, at }
}

wrapped! {
    u8: [u8; 1] = |number| number.to_le_bytes(), |bytes| Some(u8::from_le_bytes(bytes));
    u16: [u8; 2] = |number| number.to_le_bytes(), |bytes| Some(u16::from_le_bytes(bytes));
    u32: [u8; 4] = |number| number.to_le_bytes(), |bytes| Some(u32::from_le_bytes(bytes));
    u64: [u8; 8] = |number| number.to_le_bytes(), |bytes| Some(u64::from_le_bytes(bytes));
    bool: u8 = |flag| u8::from(*flag), |byte| [false, true].get(usize::from(byte)).copied();
    // Enums are a place in the list of all their values.
    Kind: u8 = |kind| *kind as u8, |place| Kind::ALL.get(usize::from(place)).copied();
    Active: u8 = |active| *active as u8, |place| Active::ALL.get(usize::from(place)).copied();
    Verb: u8 = |verb| *verb as u8, |place| Verb::ALL.get(usize::from(place)).copied();
    Weather: u8 = |weather| *weather as u8, |place| Weather::ALL.get(usize::from(place)).copied();
    Posture: u8 = |posture| *posture as u8, |place| Posture::ALL.get(usize::from(place)).copied();
    Keeping: u8 = |kind| *kind as u8, |place| Keeping::ALL.get(usize::from(place)).copied();
    Wish: u8 = |wish| *wish as u8, |place| Wish::ALL.get(usize::from(place)).copied();
    Level: u8 = |level| *level as u8, |place| Level::ALL.get(usize::from(place)).copied();
    usize: u32 = |length| u32::try_from(*length).unwrap_or(u32::MAX), |length| Some(length as usize);
    EntityId: u64 = |id| id.get(), EntityId::new;
    Tick: u64 = |tick| tick.0, |number| Some(Tick(number));
    Random: u64 = |random| random.0, |number| Some(Random(number));
    Wall: Duration = |wall| wall.0, |since| Some(Wall(since));
    Duration: u64 = |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), |nanos| Some(Duration::from_nanos(nanos));
    // What others have written into a database may be part of what is said: that goes up to `TEXT_BYTES_MAX`.
    String: Vec<u8> = |text| text.as_bytes()[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_vec(),
        |bytes| String::from_utf8(bytes).ok();
    Box<str>: Vec<u8> = |text| text.as_bytes().to_vec(), |bytes| String::from_utf8(bytes).ok().map(Box::from);
    PathBuf: Vec<u8> = |path| path.as_os_str().as_bytes().to_vec(), |bytes| Some(OsString::from_vec(bytes).into());
}

impl<const N: usize> Wire<'_> for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn get(bytes: &mut &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(*first)
    }
}

impl<'a> Wire<'a> for &'a str {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn get(bytes: &mut &'a [u8]) -> Option<Self> {
        let length = usize::get(bytes)?;
        let (first, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        str::from_utf8(first).ok()
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn get(bytes: &mut &'a [u8]) -> Option<Self> {
        if bool::get(bytes)? { T::get(bytes).map(Some) } else { Some(None) }
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn get(bytes: &mut &'a [u8]) -> Option<Self> {
        // One after the other, so that no length that is said takes room before there is anything.
        (0..usize::get(bytes)?).map(|_| T::get(bytes)).collect()
    }
}

/// The number of a frame of records; no message has it.
const RECORDS: u8 = 0;

/// Appends a record, by its number and its parts.
fn put_record(record: &Record, out: &mut Vec<u8>) {
    match record {
        Record::Head(head) => (0_u8.put(out), head.put(out)).1,
        Record::Entity(entity) => (1_u8.put(out), entity.put(out)).1,
        Record::Gone(id) => (2_u8.put(out), id.put(out)).1,
        Record::Habit(creature, habit) => (3_u8.put(out), creature.put(out), habit.put(out)).2,
        Record::Spawn(position, spawn) => (4_u8.put(out), position.put(out), spawn.put(out)).2,
        Record::End => 5_u8.put(out),
        Record::Player(id, player) => (6_u8.put(out), id.put(out), player.put(out)).2,
        Record::Ban(id, ban) => (7_u8.put(out), id.put(out), ban.put(out)).2,
        Record::Keepsake(id, keepsake) => (8_u8.put(out), id.put(out), keepsake.put(out)).2,
    }
}

/// Takes a record and hands it on; `None` if there is none.
fn get_record(bytes: &mut &[u8], take: &mut dyn FnMut(Record)) -> Option<()> {
    match u8::get(bytes)? {
        0 => take(Record::Head(&Wire::get(bytes)?)),
        1 => take(Record::Entity(Wire::get(bytes)?)),
        2 => take(Record::Gone(Wire::get(bytes)?)),
        3 => take(Record::Habit(Wire::get(bytes)?, &Wire::get(bytes)?)),
        4 => take(Record::Spawn(Wire::get(bytes)?, &Wire::get(bytes)?)),
        5 => take(Record::End),
        6 => take(Record::Player(Wire::get(bytes)?, Wire::get(bytes)?)),
        7 => take(Record::Ban(Wire::get(bytes)?, &Wire::get(bytes)?)),
        8 => take(Record::Keepsake(Wire::get(bytes)?, &Wire::get(bytes)?)),
        _ => return None,
    }
    Some(())
}

/// Frames that are yet to be sent.
#[derive(Default)]
pub struct Frames {
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// Where the last one begins, if it takes records.
    open: Option<usize>,
}

impl Frames {
    /// Appends a message.
    pub fn message<'a>(&mut self, message: &impl Wire<'a>) {
        let start = self.begin();
        message.put(&mut self.bytes);
        self.note_length(start);
        self.open = None;
    }

    /// Appends a record; false, and nothing, if it is too large for any frame.
    pub fn record(&mut self, record: &Record) -> bool {
        let with_room = self.open.filter(|start| self.bytes.len() - start < FRAME_RECORDS_BYTES);
        let start = with_room.unwrap_or_else(|| {
            let start = self.begin();
            self.bytes.push(RECORDS);
            start
        });
        self.open = Some(start);
        let end = self.bytes.len();
        put_record(record, &mut self.bytes);
        let fits = self.bytes.len() - end <= FRAME_BYTES_MAX - FRAME_RECORDS_BYTES;
        if !fits {
            self.bytes.truncate(end);
        }
        self.note_length(start);
        fits
    }

    /// Forgets them: they are sent.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.open = None;
    }

    fn begin(&mut self) -> usize {
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.len() - 4
    }

    fn note_length(&mut self, start: usize) {
        let length = (self.bytes.len() - start - 4) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }
}

/// What a frame holds.
pub enum Said<M> {
    /// Something to act on.
    Message(M),
    /// Records, which were handed on.
    Records,
}

/// The length of the frame that bytes begin with, its own four included; `None` if that is not there yet.
pub fn frame_length(bytes: &[u8]) -> Option<usize> {
    let (length, _) = bytes.split_first_chunk()?;
    Some(4 + u32::from_le_bytes(*length) as usize)
}

/// Understands a whole frame, and hands on the records in it. `None` if it makes no sense.
pub fn understand<M: for<'a> Wire<'a>>(frame: &[u8], take: &mut dyn FnMut(Record)) -> Option<Said<M>> {
    let mut bytes = frame.get(4..)?;
    if bytes.first() != Some(&RECORDS) {
        return M::get(&mut bytes).filter(|_| bytes.is_empty()).map(Said::Message);
    }
    bytes = &bytes[1..];
    while !bytes.is_empty() {
        get_record(&mut bytes, take)?;
    }
    Some(Said::Records)
}

/// An end of the wire: what comes in there, frame by frame.
pub struct Inlet<R> {
    input: BufReader<R>,
    bytes: Vec<u8>,
    used: usize,
    /// No more will come, or something has that makes no sense.
    pub is_over: bool,
}

impl<R: Read> Inlet<R> {
    /// Takes what comes by way of `input`.
    pub fn new(input: R) -> Inlet<R> {
        let input = BufReader::with_capacity(WIRE_BYTES_PER_TURN, input);
        Inlet { input, bytes: Vec::new(), used: 0, is_over: false }
    }

    /// Where it comes from.
    pub fn input(&self) -> &R {
        self.input.get_ref()
    }

    /// Reads once, `WIRE_BYTES_PER_TURN` at most; false if nothing comes while the input has patience, or ever will.
    pub fn read(&mut self) -> bool {
        self.bytes.drain(..mem::take(&mut self.used));
        self.bytes.shrink_to(BUFFER_BYTES_KEPT);
        let count = match self.input.fill_buf() {
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => return false,
            more => {
                let more = more.unwrap_or_default();
                self.bytes.extend_from_slice(more);
                more.len()
            }
        };
        self.input.consume(count);
        self.is_over |= count == 0;
        count > 0
    }

    /// What the next frame holds that has come whole. Records in it are handed on.
    pub fn next<M: for<'a> Wire<'a>>(&mut self, take: Taker) -> Option<Said<M>> {
        let rest = &self.bytes[self.used..];
        let length = frame_length(rest)?;
        if length > 4 + FRAME_BYTES_MAX {
            self.is_over = true;
            return None;
        }
        let said = understand(rest.get(..length)?, take);
        self.used += length;
        self.is_over |= said.is_none();
        said
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::storage::worldfile;
    use crate::world::Gathering;

    fn id(number: u64) -> EntityId {
        EntityId::new(number).unwrap()
    }

    fn head() -> Head {
        let (weather, digest) = (Weather::Rain, Some("0123456789abcdef".to_owned()));
        let (tick, random, next_id) = (Tick(7), Random(u64::MAX), EntityId::MAX + 1);
        Head { id: "ring".to_owned(), name: "Der Ring für alle".to_owned(), tick, random, weather, next_id, digest }
    }

    fn to_writer() -> Vec<ToWriter> {
        let (wall, head, build) = (Wall(Duration::new(1_800_000_000, 1)), head(), "0.1.0 Some([1, 2])".to_owned());
        // No text, but a path.
        let database = PathBuf::from(OsString::from_vec(b"/data/\xff\n".to_vec()));
        let states = vec![Stamp::from(&head), Stamp { tick: Tick(0), digest: None }];
        let [world, source] = ["ring", ""].map(str::to_owned);
        let wanted = Wanted { file: Some("world.json5".into()), id: None };
        let begin = |task| {
            let (build, database) = (build.clone(), database.clone());
            ToWriter::Begin { build, started: wall, database, task }
        };
        vec![
            begin(Task::Load { wanted }),
            begin(Task::Resume { world, source, states }),
            begin(Task::Rescue { head: head.clone(), source: "a".to_owned(), wall }),
            ToWriter::Accept {},
            ToWriter::Flush { cut: u64::MAX, wall },
            ToWriter::Replace { cut: 1, head: head.clone(), wall },
            ToWriter::End {},
            ToWriter::Close { head },
        ]
    }

    fn to_engine() -> Vec<ToEngine> {
        let view = View { persisted: Some(Tick(6)), wal_bytes: 1 << 40 };
        let unknown = View::default();
        let line = Line::new(Level::Debug, "two\nlines", &[("a", "b"), ("", "\0")]);
        let exit = Exit { code: 255, problems: vec![String::new(), "two".to_owned()], advice: "none".to_owned() };
        let (error, took) = (Some("no room".to_owned()), Duration::from_nanos(u64::MAX));
        let rescue = Some(Rescued { path: "b".into(), tick: Tick(9), command: "mv".to_owned() });
        vec![
            ToEngine::Note { line },
            ToEngine::Loaded { source: "source".to_owned() },
            ToEngine::Attached { view: view.clone(), error: None, rescue: None },
            ToEngine::Attached { view: unknown.clone(), error: error.clone(), rescue: rescue.clone() },
            ToEngine::Refused { exit },
            ToEngine::Flushed { cut: 3, view: view.clone(), records: 1, commit: took },
            ToEngine::Failed { cut: 4, view: unknown.clone(), error: "so".to_owned(), wants_all: true },
            ToEngine::Seen { view: view.clone(), error: error.clone() },
            ToEngine::Checkpointed { view: view.clone(), took, trouble: None },
            ToEngine::Checkpointed { view: view.clone(), took, trouble: Some(None) },
            ToEngine::Checkpointed { view, took, trouble: Some(error.clone()) },
            ToEngine::Closed { error },
            ToEngine::Rescued { rescued: rescue, error: String::new(), persisted: None },
        ]
    }

    /// One record of each kind, each with all that it can have.
    fn each_record(mut take: impl FnMut(Record)) {
        let mut entity: Entity<&str> = Entity::new(id(EntityId::MAX), Kind::Player);
        [entity.tag, entity.name, entity.description, entity.gait] = [Some("tag"), Some(""), None, Some("ö")];
        let reference = |number| Some(id(number));
        (entity.location, entity.home, entity.owner) = (reference(1), reference(2), None);
        (entity.prototype, entity.destination) = (reference(4), reference(5));
        (entity.active, entity.step, entity.locked, entity.asleep) = (Active::Night, 255, true, true);
        entity.container = true;
        let (targets, lines) = (vec![id(3), id(8)], vec!["Well.".into(), "".into()]);
        let habit = Habit { verb: Verb::ALL[Verb::ALL.len() - 1], every_minutes: u64::MAX, targets, lines };
        let text = Some("It grows.".into());
        let spawn = Spawn { prototype: id(2), room: id(1), at_most: 0, every_minutes: 1, text };
        take(Record::Head(&head()));
        take(Record::Entity(entity));
        take(Record::Gone(id(9)));
        take(Record::Habit(id(10), &habit));
        take(Record::Spawn(u64::MAX, &spawn));
        take(Record::End);
        let (posture, colour, screen_reader) = (Posture::Resting, Wish::On, Wish::Off);
        let (brief, no_prompt, no_keepalive, width, since) = (true, false, true, u16::MAX, Some(u64::MAX));
        let (password, title) = (Some("sealed"), Some("the Tall"));
        take(Record::Player(
            id(11),
            Player { password, posture, brief, no_prompt, no_keepalive, colour, screen_reader, width, title, since },
        ));
        take(Record::Ban(id(12), &Ban { of: "::/0".into(), until: Some(u64::MAX) }));
        let (kind, name, text) = (Keeping::Tell, "Bob".into(), "Well.".into());
        take(Record::Keepsake(id(13), &Keepsake { player: id(11), kind, name, text, at: u64::MAX }));
    }

    /// The one frame of something.
    fn frame(put: impl FnOnce(&mut Frames)) -> Vec<u8> {
        let mut frames = Frames::default();
        put(&mut frames);
        assert_eq!(frame_length(&frames.bytes), Some(frames.bytes.len()));
        frames.bytes
    }

    fn message_of<M: for<'a> Wire<'a>>(frame: &[u8]) -> Option<M> {
        match understand(frame, &mut |_| panic!("a record in a message")) {
            Some(Said::Message(message)) => Some(message),
            Some(Said::Records) => panic!("records in place of a message"),
            None => None,
        }
    }

    fn is_of_records(frame: &[u8]) -> bool {
        matches!(understand::<ToWriter>(frame, &mut |_| ()), Some(Said::Records))
    }

    fn there_and_back<M: for<'a> Wire<'a> + Debug + PartialEq>(messages: Vec<M>, kinds: u8) {
        let mut numbers = Vec::new();
        for message in messages {
            let frame = frame(|frames| frames.message(&message));
            assert_eq!(message_of(&frame), Some(message));
            numbers.push(frame[4]);
            for end in 0..frame.len() {
                assert_eq!(message_of::<M>(&frame[..end]), None, "cut at {end}");
            }
            assert_eq!(message_of::<M>(&[&frame[..], &[0]].concat()), None);
        }
        numbers.dedup();
        assert_eq!(numbers, Vec::from_iter(1..=kinds));
        assert_eq!(message_of::<M>(&[1, 0, 0, 0, kinds + 1]), None);
    }

    #[test]
    fn every_message_arrives_as_it_was_sent_and_with_a_byte_more_or_less_is_none() {
        there_and_back(to_writer(), 6);
        there_and_back(to_engine(), 10);
    }

    #[test]
    fn every_record_arrives_as_it_was_sent_and_with_a_byte_more_or_less_is_none() {
        let mut kinds = 0;
        each_record(|record| {
            let frame = frame(|frames| assert!(frames.record(&record)));
            assert_eq!(frame[5], kinds);
            let mut again = Vec::new();
            let understood = understand::<ToEngine>(&frame, &mut |back| {
                match (&record, &back) {
                    (Record::Head(sent), Record::Head(got)) => assert_eq!(sent, got),
                    (Record::Entity(sent), Record::Entity(got)) => assert_eq!(sent, got),
                    (Record::Gone(sent), Record::Gone(got)) => assert_eq!(sent, got),
                    (Record::Habit(sent, habit), Record::Habit(got, other)) => {
                        assert_eq!((sent, habit), (got, other));
                    }
                    (Record::Spawn(sent, spawn), Record::Spawn(got, other)) => {
                        assert_eq!((sent, spawn), (got, other));
                    }
                    (Record::End, Record::End) => (),
                    (Record::Player(sent, player), Record::Player(got, other)) => {
                        assert_eq!((sent, player), (got, other));
                    }
                    (Record::Ban(sent, ban), Record::Ban(got, other)) => assert_eq!((sent, ban), (got, other)),
                    (Record::Keepsake(sent, kept), Record::Keepsake(got, other)) => {
                        assert_eq!((sent, kept), (got, other));
                    }
                    _ => panic!("another kind of record"),
                }
                put_record(&back, &mut again);
            });
            assert!(matches!(understood, Some(Said::Records)));
            assert_eq!(again, frame[5..]);
            // A frame of no records is one.
            for end in 6..frame.len() {
                assert!(!is_of_records(&frame[..end]), "cut at {end}");
            }
            assert!(!is_of_records(&[&frame[..], &[kinds + 9]].concat()));
            kinds += 1;
        });
        assert_eq!(kinds, 9);
    }

    #[test]
    fn a_world_arrives_as_it_was_sent_in_frames_of_bounded_length() {
        let world = worldfile::read(worldfile::BUILTIN.to_owned(), 1).unwrap();
        let mut frames = Frames::default();
        assert!(frames.record(&Record::Head(&world.head())));
        world.records(|record| assert!(frames.record(&record)));
        let (mut rest, mut gathering, mut count) = (&*frames.bytes, Gathering::default(), 0);
        while let Some(length) = frame_length(rest) {
            assert!(length <= FRAME_RECORDS_BYTES + 4_096, "{length}");
            assert!(understand::<ToEngine>(&rest[..length], &mut |record| gathering.take(record)).is_some());
            (rest, count) = (&rest[length..], count + 1);
        }
        let arrived = gathering.finish().unwrap();
        assert_eq!((rest.len(), arrived.digest()), (0, world.digest()));
        assert!(count >= 1);
    }

    #[test]
    fn a_record_that_no_frame_can_hold_leaves_the_frames_as_they_were() {
        let text = "a".repeat(FRAME_BYTES_MAX);
        let mut frames = Frames::default();
        let mut record = |name| {
            let entity = Entity { name: Some(name), ..Entity::new(id(1), Kind::Thing) };
            (frames.record(&Record::Entity(entity)), frames.bytes.len())
        };
        let (fits, before) = record("a stone");
        let largest = FRAME_BYTES_MAX - FRAME_RECORDS_BYTES - (before - 5 - "a stone".len());
        assert!(fits);
        assert_eq!(record(&text[..largest + 1]), (false, before));
        assert_eq!(record(&text[..largest]), (true, before + FRAME_BYTES_MAX - FRAME_RECORDS_BYTES));
        assert!(frames.bytes.len() <= 4 + FRAME_BYTES_MAX && is_of_records(&frames.bytes));
    }

    fn get<T: for<'a> Wire<'a>>(bytes: &[u8]) -> Option<T> {
        T::get(&mut &*bytes)
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        assert_eq!((get::<bool>(&[1]), get::<bool>(&[2])), (Some(true), None));
        assert_eq!((get::<Kind>(&[4]), get::<Kind>(&[5])), (Some(Kind::Player), None));
        assert_eq!((get::<Posture>(&[2]), get::<Posture>(&[3])), (Some(Posture::Resting), None));
        assert_eq!((get::<Wish>(&[2]), get::<Wish>(&[3])), (Some(Wish::On), None));
        assert_eq!((get::<Keeping>(&[1]), get::<Keeping>(&[2])), (Some(Keeping::Tell), None));
        assert_eq!((get::<Level>(&[3]), get::<Level>(&[4])), (Some(Level::Debug), None));
        assert_eq!((get::<Option<u8>>(&[0]), get::<Option<u8>>(&[2, 0])), (Some(None), None));
        assert_eq!(get::<EntityId>(&0_u64.to_le_bytes()), None);
        assert_eq!(get::<EntityId>(&(EntityId::MAX + 1).to_le_bytes()), None);
        assert_eq!(get::<EntityId>(&EntityId::MAX.to_le_bytes()), Some(id(EntityId::MAX)));
        assert_eq!((get::<String>(b"\x01\0\0\0a").as_deref(), get::<String>(b"\x01\0\0\0\xff")), (Some("a"), None));
        assert_eq!(get::<PathBuf>(b"\x02\0\0\0a"), None);
        // What says that it is so long takes no room before it is there.
        assert_eq!(get::<Vec<Wanted>>(&[0xff; 4]), None);
        assert_eq!(get::<String>(&[0xff; 4]), None);
    }
}
