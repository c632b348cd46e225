//! Every cap, timeout and buffer size of the engine, each with its unit last in its name.
//!
//! Nothing here is computed at run time and nothing outside this file bounds anything: to know how much an
//! attacker or a mistake can cost, read this page. The assertions at the end relate the numbers to each other, so
//! that a change of one that breaks another does not compile.

use std::ops::RangeInclusive;

// Configuration: the accepted ranges.

/// How long changes may wait for a flush.
pub const FLUSH_INTERVAL_MS_RANGE: RangeInclusive<u64> = 10..=3_600_000;
/// How many pending records make a flush due at once.
pub const BATCH_CAPACITY_RANGE: RangeInclusive<u64> = 1..=1_000_000;
/// The time between two ticks.
pub const TICK_INTERVAL_MS_RANGE: RangeInclusive<u64> = 10..=60_000;

// The loop.

/// Later than this (or than one tick, if that is longer), the loop skips the missed ticks and counts them.
pub const TICK_LATENESS_MS_MAX: u64 = 1_000;
/// Descriptors the engine keeps for itself: standard streams, listener, signals, epoll and its timer, lock, database, its
/// reopening.
pub const DESCRIPTORS_RESERVED: u64 = 24;
/// The descriptor limit the engine asks for at start, if the hard limit allows it. So many can be ready in one turn.
pub const DESCRIPTORS_WANTED: u64 = 4_096;
/// Seconds for which it is remembered how late the ticks of each were.
pub const LATENESS_SECONDS: usize = 300;
/// Pause after a failed epoll_wait(2), in which the world goes on.
pub const POLL_PAUSE_MS: u64 = 100;
/// A warning that strangers can cause is logged at most so often.
pub const WARNING_INTERVAL_MS: u64 = 60_000;

// Storage.

/// Pause after the first failed flush; it doubles with each further failure.
pub const FLUSH_RETRY_MS_MIN: u64 = 250;
/// Longest pause between two attempts to flush.
pub const FLUSH_RETRY_MS_MAX: u64 = 30_000;
/// Records flushed since the last checkpoint that make the next one due.
pub const CHECKPOINT_RECORDS: u64 = 1_000;
/// Time since the last checkpoint that makes the next one due.
pub const CHECKPOINT_INTERVAL_MS: u64 = 30_000;
/// How often the lock and the names of the database's files are looked at between flushes.
pub const LOOK_INTERVAL_MS: u64 = 1_000;
/// Attempts to have the lock of a database whose name somebody removes meanwhile.
pub const LOCK_ATTEMPTS_MAX: usize = 16;
/// Bytes that the write-ahead log keeps when it begins anew; a larger one that cannot be emptied is warned of, and again
/// whenever it has doubled.
pub const WAL_BYTES_KEPT: u64 = 4 * 1024 * 1024;
/// Names tried for a file that is being written, if earlier ones are taken.
pub const PARTIAL_NAMES_MAX: u32 = 100;
/// Problems listed in one report about a database or a world file; the rest are counted.
pub const PROBLEMS_LISTED_MAX: usize = 100;

// The wire between the engine and its writer.

/// Bytes of a frame. No record of a world is larger, whatever others write into a database.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of records at which a frame takes no more of them.
pub const FRAME_RECORDS_BYTES: usize = 32 * 1024;
/// Bytes of a text in a message: a longer one is cut, and a world whose own texts are longer is refused.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Bytes taken from the wire, or given to it, in one turn of the loop.
pub const WIRE_BYTES_PER_TURN: usize = 256 * 1024;
/// How long the loop waits to learn how a writer has ended whose pipe has.
pub const WRITER_END_MS_MAX: u64 = 10;
/// How long a start waits for another engine, or for the writer of one that has ended, to let go of the database.
pub const LOCK_WAIT_MS_MAX: u64 = 10_000;
/// Pause between two attempts to have it.
pub const LOCK_RETRY_MS: u64 = 20;
/// For how long an acknowledgement may be out before the engine is not ready any more.
pub const ACKNOWLEDGEMENT_MS_MAX: u64 = 10_000;
/// States that are remembered because a flush that failed may have stored them all the same: with the pauses between
/// attempts, those of the first three quarters of an hour, and the last.
pub const STATES_MAX: usize = 100;
/// How long a stop takes at most: a container has 10 s.
pub const SHUTDOWN_MS_MAX: u64 = 8_000;
/// How long it waits for the last flush; what is left is for a rescue.
pub const SHUTDOWN_FLUSH_MS_MAX: u64 = 4_500;

// The world and its file.

/// Ticks in a world minute.
pub const TICKS_PER_MINUTE: u64 = 10;
/// Bytes of a world file. Founding a world takes at most 12 times the memory of its file and 16 MiB.
pub const WORLD_FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How deep the values of a world file may be nested.
pub const WORLD_FILE_DEPTH_MAX: usize = 16;
/// Entities and lines, copies aside, that any world file may hold.
pub const WORLD_FILE_ITEMS_FREE: u64 = 32_768;
/// Beyond these, a world file may hold one for each so many bytes of what it says: their memory follows its size then.
pub const WORLD_FILE_ITEM_BYTES: u64 = 24;
/// Tags that are looked through for what was meant by wrong ones, in reading one world file.
pub const WORLD_FILE_HINTS_MAX: usize = 1_000_000;
/// Entities of a world.
pub const ENTITIES_MAX: usize = 4_000_000;
/// Entities at which spawn rules make no more, so that they never take the room of anybody else.
pub const SPAWN_ENTITIES_MAX: usize = ENTITIES_MAX / 10 * 9;
/// Spawn rules of a world.
pub const SPAWNS_MAX: usize = 100_000;
/// Players of a world, guests among them.
pub const PLAYERS_MAX: usize = 100_000;
/// Names and addresses that are kept out of a world.
pub const BANS_MAX: usize = 1_000;
/// What is kept for all players of a world: words of their own, and what they were told while they were away.
pub const KEEPSAKES_MAX: usize = 100_000;
/// Bytes of a tag: the short name by which a world file speaks of a room, thing or creature.
pub const TAG_BYTES_MAX: usize = 32;
/// Bytes of the name of an entity or of the world.
pub const NAME_BYTES_MAX: usize = 80;
/// Bytes of a description.
pub const DESCRIPTION_BYTES_MAX: usize = 4_000;
/// Bytes of a line that a creature says or acts, or that a spawn shows.
pub const LINE_BYTES_MAX: usize = 400;
/// Rooms, lines or things named by one habit.
pub const HABIT_ITEMS_MAX: usize = 256;
/// Exits of one room: who wanders looks at all of them.
pub const ROOM_EXITS_MAX: usize = 256;
/// Longest pace of a habit or a spawn rule, in world minutes.
pub const EVERY_MINUTES_MAX: u64 = 100_000;
/// Copies that one spawn rule keeps alive at most.
pub const SPAWN_AT_MOST_MAX: u64 = 10_000;
/// How many things may hold one another, from a room down.
pub const CONTAINMENT_DEPTH_MAX: usize = 64;

// People.

/// Letters of a player's name.
pub const PLAYER_NAME_LETTERS: RangeInclusive<usize> = 3..=16;
/// Columns that a player may choose for their lines.
pub const PLAYER_WIDTH: RangeInclusive<u16> = TERMINAL_COLUMNS_MIN..=1_000;
/// Sessions from one address: behind a proxy or a container's network everybody may have the same.
pub const SESSIONS_PER_ADDRESS_MAX: usize = 256;
/// Sessions in which nobody has come in yet.
pub const LOGINS_MAX: usize = 256;
/// Connections by telnet.
pub const TELNET_CONNECTIONS_MAX: usize = 1_024;
/// Connections of browsers, of which each that plays has one.
pub const WEB_CONNECTIONS_MAX: usize = 1_024;
/// Bytes that a telnet connection has sent and that are not yet heard.
pub const TELNET_INPUT_BYTES_MAX: usize = 8 * 1024;
/// Lines that are taken in one turn of the loop, all connections of a port together, before the world gets its turn.
pub const LINES_PER_TURN: usize = 250;
/// From the first unsent byte until a player must have taken all of the output: a line that drops for a while is no end.
pub const SESSION_WRITE_MS_MAX: u64 = 60_000;
/// How long somebody may take to come in.
pub const LOGIN_MS_MAX: u64 = 60_000;
/// Wrong passwords that one session may try.
pub const LOGIN_FAILURES_MAX: u32 = 5;
/// Logins by one name, or from one address, come at most so often after the first few.
pub const LOGIN_PACE_MS: u64 = 1_000;
/// The first few.
pub const LOGINS_FREE: u32 = 30;
/// New players from one address come at most so often after the first few.
pub const NEW_PLAYER_PACE_MS: u64 = 30_000;
/// The first few.
pub const NEW_PLAYERS_FREE: u32 = 20;
/// Longest wait of whoever is too fast.
pub const THROTTLE_WAIT_MS_MAX: u64 = 5_000;
/// Names and addresses whose pace is remembered.
pub const THROTTLED_MAX: usize = 10_000;
/// Commands of one session come at most so often.
pub const COMMAND_PACE_MS: u64 = 50;
/// Commands that may come at once after a while without any.
pub const COMMAND_BURST: u64 = 40;
/// Bytes that wait to be sent to one session; what goes beyond is left out, and that is told.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Kept of what one player is told while they are not in the world; then the oldest is dropped, and the teller told so.
pub const TELLS_KEPT_MAX: usize = 20;
/// Words of their own that one player keeps.
pub const ALIASES_MAX: usize = 32;
/// Bytes of such a word.
pub const ALIAS_NAME_BYTES_MAX: usize = 16;
/// Players who go together, one following another: all of them move in one turn.
pub const COMPANY_MAX: usize = 20;
/// For how long words that are said again at once are counted and not shown.
pub const REPETITION_MS_MAX: u64 = 10_000;
/// Lines kept for somebody whose connection is gone, until they come back or rest.
pub const MISSED_LINES_MAX: usize = 100;
/// What was said to somebody last, for them to read again.
pub const HISTORY_LINES_MAX: usize = 20;
/// How long the body of somebody stays whose connection is gone.
pub const ABSENCE_MS_MAX: u64 = 90_000;
/// After so long without a command a player is warned.
pub const IDLE_WARNING_MS: u64 = 55 * 60_000;
/// After so long without a command a player rests.
pub const IDLE_MS_MAX: u64 = 60 * 60_000;
/// A connection to which nothing was sent for so long is sent a sign of life.
pub const KEEPALIVE_MS: u64 = 30_000;
/// Things of one kind of place that are looked through for what is meant.
pub const CANDIDATES_MAX: usize = 1_000;
/// Things that are listed, or done with at once.
pub const LISTED_MAX: usize = 100;

// The operators' socket.

/// Connections of operators; the one longest idle makes way for a new one.
pub const CONTROL_CONNECTIONS_MAX: usize = 16;
/// Bytes of an operator's command.
pub const CONTROL_LINE_BYTES_MAX: usize = 4 * 1024;
/// How long an operator's command may take to come in.
pub const CONTROL_LINE_MS_MAX: u64 = 5_000;
/// From the first unsent byte until an operator must have taken all of an answer.
pub const CONTROL_WRITE_MS_MAX: u64 = 10_000;
/// How long an operator waits for everything to be acknowledged.
pub const CONTROL_FLUSH_MS_MAX: u64 = 10_000;
/// How long `ctl` waits for the next word of an answer.
pub const CONTROL_ANSWER_MS_MAX: u64 = 15_000;
/// Longest ban but one without an end.
pub const BAN_SECONDS_MAX: u64 = 100 * 366 * 86_400;
/// Longest notice before a stop.
pub const NOTICE_SECONDS_MAX: u64 = 86_400;
/// What is left of the notice when people are told again.
pub const NOTICE_AGAIN_SECONDS: [u64; 4] = [60, 30, 10, 5];

// Connections of every port.

/// Connections accepted by one port in one turn of the loop.
pub const ACCEPTS_PER_TURN: usize = 64;
/// After a connection could not be accepted the listener rests this long, or until another closes.
pub const ACCEPT_PAUSE_MS: u64 = 1_000;
/// Of so many places of a port at most one is held; the others go to whoever came last.
pub const HELD_SHARE: u64 = 4;
/// How long a connection holds its place, if there is another that can make way.
pub const HOLD_MS: u64 = 1_000;
/// Bytes of all buffers of all connections; the largest makes way before there are more.
pub const BUFFERS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of a buffer that an idle connection keeps, so that a usual request and its answer need no new one.
pub const BUFFER_BYTES_KEPT: usize = 512;
/// Bytes that the kernel is asked to hold for a peer that does not read (socket(7), SO_SNDBUF); it doubles them.
pub const SOCKET_SEND_BYTES: usize = 64 * 1024;
/// After the last output, how long what the peer still sends is read and dropped, so that the output is not lost to a
/// reset (RFC 9112 section 9.6).
pub const LINGER_MS_MAX: u64 = 1_000;

/// Bytes of a line by which a proxy says where a connection comes from, its end too (HAProxy, "The PROXY protocol", section
/// 2.1).
pub const PROXY_LINE_BYTES_MAX: usize = 107;
/// How long a proxy may take to say it; what is lost on the way is sent again within 3 s.
pub const PROXY_HEADER_MS_MAX: u64 = 5_000;

// HTTP.

/// Open HTTP connections; the one longest idle makes way for a new one.
pub const HTTP_CONNECTIONS_MAX: usize = 1_024;
/// Bytes of a request head, from the request line to the empty line (RFC 9112 section 2.1). A browser sends every
/// cookie that it has of `localhost`.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a request line; a longer one is answered 414 (RFC 9112 section 3).
pub const HTTP_REQUEST_LINE_BYTES_MAX: usize = 2 * 1024;
/// Header fields in one request; more are answered 431 (RFC 6585 section 5).
pub const HTTP_HEADERS_MAX: usize = 100;
/// From the first byte of a request until its head must be whole.
pub const HTTP_HEAD_MS_MAX: u64 = 5_000;
/// A connection between requests is closed after this: later than load balancers, which reuse theirs for 60 s.
pub const HTTP_IDLE_MS_MAX: u64 = 75_000;
/// A connection between requests is closed after this while the engine stops.
pub const HTTP_STOP_IDLE_MS_MAX: u64 = 250;
/// How long a stop waits for requests that are on their way and for their answers to be taken.
pub const HTTP_STOP_MS_MAX: u64 = 500;
/// Requests answered to one connection before the others get their turn.
pub const HTTP_REQUESTS_PER_TURN: usize = 100;
/// Requests answered in one turn of the loop, all connections together, before the world gets its turn.
pub const HTTP_ANSWERS_PER_TURN: usize = 1_000;
/// Bytes of an answer, its head too, that count as one of these: a longer one counts as so many more.
pub const HTTP_ANSWER_BYTES: usize = 4 * 1024;
/// From the first unsent byte of an answer until the peer must have taken all of the output.
pub const HTTP_WRITE_MS_MAX: u64 = 10_000;
/// After so long without a sign of a peer its connection fails: where nothing is sent, TCP asks for one.
pub const LOST_PEER_SECONDS: u16 = 60;
/// Unsent bytes at which a connection gets no further answer until the peer has read.
pub const HTTP_OUTPUT_BYTES_HIGH: usize = 64 * 1024;
/// Rooms on a map; of a larger world it has the first ones.
pub const MAP_ROOMS_MAX: usize = 2_000;
/// Exits on a map.
pub const MAP_EXITS_MAX: usize = 8_000;
/// The map is made anew at most so often.
pub const MAP_PAUSE_MS: u64 = 1_000;
/// How long `healthcheck` waits for the whole answer.
pub const HEALTHCHECK_MS_MAX: u64 = 3_000;

// Players.

/// Bytes of a line that a player types; what is beyond them is lost.
pub const INPUT_LINE_BYTES_MAX: usize = 1_024;
/// Bytes of a message of a WebSocket, all of its frames together; a longer one ends the connection with code 1009.
pub const WEB_MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a telnet subnegotiation (RFC 855); a longer one is skipped to its end.
pub const SUBNEGOTIATION_BYTES_MAX: usize = 4 * 1024;
/// How often a client is asked for a further name of its terminal: the first is its own, the second that of what it
/// imitates, the third what it can do (RFC 1091, MTTS).
pub const TERMINAL_NAMES_MAX: usize = 3;
/// Bytes that are kept of such a name.
pub const CLIENT_NAME_BYTES_MAX: usize = 32;
/// Columns of the narrowest terminal that anything is written for.
pub const TERMINAL_COLUMNS_MIN: u16 = 20;
/// Columns of a terminal that has not said how many it has.
pub const TERMINAL_COLUMNS_UNKNOWN: u16 = 80;

/// How long a reader of the database (backup, check, export) waits for a lock.
pub const READER_BUSY_MS_MAX: u64 = 5_000;
/// How often such a reader begins again because somebody has written meanwhile, before it opens the database as writers do.
pub const READER_ATTEMPTS_MAX: usize = 3;

// The log.

/// Bytes of one log line. POSIX lets a pipe take so many at once or not at all (`PIPE_BUF` on Linux), which is why
/// a line never blocks and is never torn.
pub const LOG_LINE_BYTES_MAX: usize = 4_096;

const _: () = {
    assert!(FLUSH_RETRY_MS_MIN < FLUSH_RETRY_MS_MAX);
    // A stop makes more than one attempt, and has time left for a rescue.
    assert!(15 * FLUSH_RETRY_MS_MIN < SHUTDOWN_FLUSH_MS_MAX && HTTP_STOP_MS_MAX < SHUTDOWN_FLUSH_MS_MAX);
    assert!(SHUTDOWN_FLUSH_MS_MAX < SHUTDOWN_MS_MAX);
    // The longest habit, or any other record of a world file, fits into a frame beside those before it.
    assert!(FRAME_RECORDS_BYTES + HABIT_ITEMS_MAX * (LINE_BYTES_MAX + 8) + DESCRIPTION_BYTES_MAX < FRAME_BYTES_MAX);
    // The longest message, one that lists problems, fits into a frame; and a text goes as far as the log shows it.
    assert!((PROBLEMS_LISTED_MAX + 2) * (TEXT_BYTES_MAX + 4) < FRAME_BYTES_MAX && LOG_LINE_BYTES_MAX < TEXT_BYTES_MAX);
    // A connection for each place must fit beside what the engine needs for itself.
    let places = HTTP_CONNECTIONS_MAX + TELNET_CONNECTIONS_MAX + WEB_CONNECTIONS_MAX + CONTROL_CONNECTIONS_MAX;
    assert!(places as u64 + DESCRIPTORS_RESERVED <= DESCRIPTORS_WANTED);
    assert!(CONTROL_FLUSH_MS_MAX < CONTROL_ANSWER_MS_MAX);
    assert!(HTTP_REQUEST_LINE_BYTES_MAX < HTTP_HEAD_BYTES_MAX);
    // One connection alone never takes all the memory, and all that are idle never have to make way for it.
    assert!(4 * (HTTP_HEAD_BYTES_MAX + HTTP_OUTPUT_BYTES_HIGH) < BUFFERS_BYTES_MAX);
    assert!(HTTP_CONNECTIONS_MAX * 2 * BUFFER_BYTES_KEPT < BUFFERS_BYTES_MAX);
    assert!(HTTP_STOP_IDLE_MS_MAX < HTTP_STOP_MS_MAX);
    assert!(HTTP_REQUESTS_PER_TURN < HTTP_ANSWERS_PER_TURN);
    // A connection that is being read or written is judged by its own deadline before the idle one.
    assert!(HTTP_HEAD_MS_MAX < HTTP_IDLE_MS_MAX && HTTP_WRITE_MS_MAX < HTTP_IDLE_MS_MAX);
    // A health check must outlast one full skip of late ticks.
    assert!(HEALTHCHECK_MS_MAX > TICK_LATENESS_MS_MAX);
    assert!(TERMINAL_COLUMNS_MIN < TERMINAL_COLUMNS_UNKNOWN);
    // What players say of themselves fits where it is kept.
    assert!(INPUT_LINE_BYTES_MAX <= DESCRIPTION_BYTES_MAX);
    // A line that is cut is told so, and does not end a WebSocket.
    assert!(2 * INPUT_LINE_BYTES_MAX < WEB_MESSAGE_BYTES_MAX);
    // Whoever may say what a creature may say has room for the command before it.
    assert!(2 * LINE_BYTES_MAX < INPUT_LINE_BYTES_MAX);
    // A world that is founded has room to grow.
    assert!(WORLD_FILE_ITEMS_FREE + WORLD_FILE_BYTES_MAX / WORLD_FILE_ITEM_BYTES < SPAWN_ENTITIES_MAX as u64 / 2);
    // The longest text of the world fits into a log line, escaped at worst and beside its other fields.
    assert!(LINE_BYTES_MAX + NAME_BYTES_MAX < LOG_LINE_BYTES_MAX / 4);
};
