//! A request and a snapshot to the bytes of an answer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use super::page::{Page, WATCH};
use super::request::{Method, Path, Reject, Request};
use super::{PeopleView, Snapshot, StorageView};
use crate::clock::Wall;
use crate::json::Json;
use crate::metrics::{Exposition, Outcome};
use crate::net;
use crate::schedule::Trigger;
use crate::session::{self, Counts, People};
use crate::text::keys;
use crate::world::{Bound, Kind, World};
use crate::writer::State;
use crate::writer::wire::Rescued;

/// What the HTTP server itself counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// What is counted for every port, as of the beginning of the turn.
    pub net: net::Counters,
    /// Answers by path and status.
    pub requests: BTreeMap<(Path, Status), u64>,
    /// Requests refused before their path mattered, by reason.
    pub rejects: [u64; Reject::ALL.len()],
    /// How often each other limit was reached.
    pub limits: [u64; Limit::ALL.len()],
}

impl Counters {
    /// Counts an answer.
    pub fn count(&mut self, path: Path, status: Status) {
        *self.requests.entry((path, status)).or_default() += 1;
    }

    /// Counts that a limit was reached.
    pub fn reach(&mut self, limit: Limit) {
        self.limits[limit as usize] += 1;
    }
}

keys! {
    /// The limits of HTTP alone.
    Limit {
        /// So many answers in one turn.
        AnswersPerTurn = "answers_per_turn",
        /// A head did not come in time.
        HeadDeadline = "head_deadline",
        /// A connection without a request.
        Idle = "idle",
        /// So many bytes of answers that are not taken.
        Output = "output",
        /// So many requests in a row.
        RequestsPerTurn = "requests_per_turn",
    }
}

keys! {
    /// The status of an answer, with its code and reason phrase (RFC 9110 section 15, RFC 6585 section 5).
    Status {
        /// Another protocol from here on.
        SwitchingProtocols = "101 Switching Protocols",
        /// Here it is.
        Ok = "200 OK",
        /// All is said without content.
        NoContent = "204 No Content",
        /// No request.
        BadRequest = "400 Bad Request",
        /// Understood, and not for whoever asks.
        Forbidden = "403 Forbidden",
        /// Nothing of that name.
        NotFound = "404 Not Found",
        /// Known, and not here.
        MethodNotAllowed = "405 Method Not Allowed",
        /// It did not come in time.
        RequestTimeout = "408 Request Timeout",
        /// It came with content.
        ContentTooLarge = "413 Content Too Large",
        /// Its first line is too long.
        UriTooLong = "414 URI Too Long",
        /// Only by another protocol.
        UpgradeRequired = "426 Upgrade Required",
        /// Its head is too large.
        HeaderFieldsTooLarge = "431 Request Header Fields Too Large",
        /// Not known.
        NotImplemented = "501 Not Implemented",
        /// The engine is not fit for use.
        ServiceUnavailable = "503 Service Unavailable",
        /// Another HTTP.
        VersionNotSupported = "505 HTTP Version Not Supported",
    }
}

impl Status {
    /// The three digits.
    pub fn code(self) -> &'static str {
        &self.label()[..3]
    }
}

/// An answer before it is bytes.
pub struct Answer<'a> {
    /// Its status.
    pub status: Status,
    /// The fields that say what it holds, and its body; none where it must not even have a length (RFC 9110 section 8.6).
    content: Option<(&'a str, Cow<'a, str>)>,
}

/// What RFC 9110 sections 9.3.7 and 10.2.1 want named in the answer to OPTIONS and beside a 405.
const ALLOW: &str = "Allow: GET, HEAD, OPTIONS\r\n";

/// What RFC 9110 sections 7.8 and 15.5.22 and RFC 6455 section 4.4 want beside a 426.
const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";

const JSON: &str = "Content-Type: application/json\r\n";
const TEXT: &str = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n";

/// What a request gets.
pub fn answer<'a>(request: &Request, snapshot: &'a Snapshot, counters: &Counters) -> Answer<'a> {
    match (request.method, request.path) {
        (Method::Unknown, _) => error(Status::NotImplemented, "this method is not known here"),
        (Method::NotAllowed, _) => error(Status::MethodNotAllowed, "only GET, HEAD and OPTIONS are allowed here"),
        // What is not there has no options either.
        (_, Path::Other | Path::Socket) => error(Status::NotFound, &format!("there are {} here", list())),
        (Method::Options, _) | (_, Path::Asterisk) => no_content(),
        (_, Path::Root) => page(&WATCH),
        (_, Path::Health) => json(Status::Ok, |json| json.key("status").string("ok")),
        (_, Path::Ready) => ready(&snapshot.storage),
        (_, Path::Status) => ok(JSON, &**snapshot.status.get_or_init(|| report(snapshot, counters))),
        (_, Path::Map) => match snapshot.world {
            Some(world) => ok(JSON, snapshot.map.text(world)),
            None => error(Status::ServiceUnavailable, "the world is being loaded"),
        },
        (_, Path::Metrics) => ok(TEXT, &**snapshot.exposition.get_or_init(|| exposition(snapshot, counters))),
    }
}

/// A page.
pub fn page(page: &Page) -> Answer<'_> {
    ok(&page.fields, &*page.text)
}

fn ok<'a>(fields: &'a str, text: impl Into<Cow<'a, str>>) -> Answer<'a> {
    Answer { status: Status::Ok, content: Some((fields, text.into())) }
}

/// What is not as asked for.
pub fn error(status: Status, message: &str) -> Answer<'static> {
    json(status, |json| json.key("error").string(message))
}

/// All is said without content.
pub fn no_content() -> Answer<'static> {
    Answer { status: Status::NoContent, content: None }
}

fn json(status: Status, fields: impl FnOnce(&mut Json)) -> Answer<'static> {
    Answer { status, content: Some((JSON, Json::object(fields).into())) }
}

/// What is here.
fn list() -> String {
    Path::all_named().filter(|path| *path != Path::Socket).map(Path::label).collect::<Vec<_>>().join(", ")
}

impl Answer<'_> {
    /// Appends the answer to `output`. `date` is the value of the Date field; without `with_body`, as for HEAD,
    /// everything but the body is as it would be with it (RFC 9110 section 9.3.2).
    pub fn write(&self, output: &mut Vec<u8>, date: &str, connection: Connection, with_body: bool) {
        let more = match self.status {
            Status::NoContent | Status::MethodNotAllowed => ALLOW,
            Status::UpgradeRequired => UPGRADE,
            _ => "",
        };
        let connection = connection.label();
        // Writing to a vector cannot fail.
        let _ = write!(output, "HTTP/1.1 {}\r\nDate: {date}\r\n", self.status.label());
        if let Some((fields, body)) = &self.content {
            let _ = write!(output, "{fields}Content-Length: {}\r\n", body.len());
        }
        let _ = write!(output, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{more}{connection}\r\n");
        if let Some((_, body)) = self.content.as_ref().filter(|_| with_body) {
            output.extend_from_slice(body.as_bytes());
        }
    }
}

keys! {
    /// What an answer says about its connection.
    Connection {
        /// It stays open, as HTTP/1.1 expects.
        Open = "",
        /// It stays open, which HTTP/1.0 wants to be told.
        KeepAlive = "Connection: keep-alive\r\n",
        /// This is the last answer.
        Close = "Connection: close\r\n",
    }
}

fn ready(storage: &StorageView) -> Answer<'static> {
    let Some(reason) = storage.trouble.as_deref() else {
        return json(Status::Ok, |json| json.key("status").string("ready"));
    };
    json(Status::ServiceUnavailable, |json| {
        json.key("status").string("unready");
        json.key("reason").string(reason);
    })
}

/// What the engine does, as JSON.
pub fn report(snapshot: &Snapshot, counters: &Counters) -> String {
    let Snapshot { world, storage, metrics, people: PeopleView { people, ports, .. }, .. } = snapshot;
    let ready = storage.trouble.is_none();
    Json::object(|json| {
        json.key("version").string(env!("CARGO_PKG_VERSION"));
        json.key("uptime_seconds").plain(snapshot.uptime.as_secs());
        json.key("ready").plain(ready);
        json.key("unready").option(storage.trouble.as_deref(), |json, reason| {
            json.key("reason").string(reason);
            // From when the process started, so that it is the same time whenever it is told.
            let since = Wall(snapshot.started.0 + snapshot.uptime.saturating_sub(storage.unready));
            json.key("since").string(since.rfc3339().as_str());
            json.key("seconds").plain(storage.unready.as_secs());
        });
        json.key("world").option(*world, |json, world| {
            status_of_world(json, world);
            json.key("players_online").plain(people.map_or(0, online));
        });
        json.key("storage").nested(|json| {
            json.key("backend").string("sqlite");
            json.key("ready").plain(ready);
            json.key("pending_records").plain(storage.pending);
            let flushes =
                |outcome: Outcome| -> u64 { metrics.flushes.iter().map(|outcomes| outcomes[outcome as usize]).sum() };
            json.key("flush_count").plain(flushes(Outcome::Success));
            json.key("flush_failures").plain(flushes(Outcome::Failure));
            json.key("records_flushed").plain(metrics.records_flushed);
            json.key("persisted_tick").number(storage.persisted_tick.map(|tick| tick.0));
            json.key("last_flush_at").string(storage.last_flush.map(|flush| flush.at.rfc3339()).as_deref());
            json.key("last_flush").option(storage.last_flush, |json, flush| {
                json.key("trigger").string(flush.trigger.label());
                json.key("records").plain(flush.records);
                json.key("duration_ms").plain(milliseconds(flush.took));
                json.key("commit_ms").plain(milliseconds(flush.commit));
            });
            json.key("last_error").string(storage.last_error);
            json.key("wal_bytes").plain(storage.wal_bytes);
            json.key("wal_held_up_seconds").number(storage.held_up.map(|held_up| held_up.as_secs()));
            json.key("rescued").option(storage.rescue, |json, Rescued { path, tick, command }| {
                json.key("path").string(path.to_string_lossy().as_ref());
                json.key("tick").plain(tick.0);
                json.key("command").string(command.as_str());
            });
            json.key("writer").nested(|json| {
                json.key("state").string(storage.writer.label());
                json.key("flushing_ms").number(storage.flushing.map(|out| out.as_millis() as u64));
                json.key("restarts").plain(metrics.writer_restarts);
                json.key("unsent_bytes").plain(storage.unsent_bytes);
            });
        });
        json.key("loop").nested(|json| {
            json.key("tick_interval_ms").plain(snapshot.tick_interval.as_millis());
            json.key("ticks").plain(metrics.ticks);
            json.key("ticks_skipped").plain(metrics.ticks_skipped);
            json.key("lateness_ms").array(|json| {
                let seconds = metrics.lately.until(snapshot.now).skip_while(Option::is_none);
                seconds.for_each(|lateness| json.number(lateness.map(|lateness| lateness.as_millis() as u64)));
            });
            json.key("http_connections").plain(counters.net.connections);
            json.key("sessions").plain(people.map_or(0, People::sessions));
            json.key("connections").nested(|json| {
                json.key("http").plain(counters.net.connections);
                ports.iter().for_each(|(name, counters)| json.key(name).plain(counters.connections));
            });
            json.key("resident_memory_bytes").number(snapshot.usage.resident_bytes);
        });
    })
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

fn status_of_world(json: &mut Json, world: &World) {
    json.key("id").string(world.id.as_str());
    json.key("name").string(world.name.as_str());
    json.key("tick").plain(world.now().0);
    json.key("time").string(world.time().to_string().as_str());
    json.key("weather").string(world.weather.label());
    for (kind, count) in Kind::ALL.iter().zip(world.counts()) {
        json.key(&format!("{}s", kind.label())).plain(count);
    }
}

/// How many people are in the world and connected.
fn online(people: &People) -> usize {
    people.online().filter(|(_, is_there)| *is_there).count()
}

fn exposition(snapshot: &Snapshot, counters: &Counters) -> String {
    let mut text = Exposition::default();
    let build = [([("version", env!("CARGO_PKG_VERSION"))], 1)];
    text.gauges("aqevia_build_info", "The version of the engine.", build.into_iter());
    world_metrics(&mut text, snapshot);
    storage_metrics(&mut text, snapshot);
    http_metrics(&mut text, counters);
    people_metrics(&mut text, &snapshot.people);
    let dropped = snapshot.log_lines_dropped;
    text.counter("aqevia_log_lines_dropped_total", "Log lines that could not be written.", dropped);
    process_metrics(&mut text, snapshot);
    text.0
}

fn world_metrics(text: &mut Exposition, Snapshot { world, metrics, .. }: &Snapshot) {
    text.counter("aqevia_ticks_total", "Ticks made by this process.", metrics.ticks);
    text.counter("aqevia_ticks_skipped_total", "Ticks left out because the loop was late.", metrics.ticks_skipped);
    text.histogram("aqevia_tick_duration_seconds", "How long ticks took.", &metrics.tick_duration);
    text.histogram("aqevia_tick_lateness_seconds", "How late ticks began.", &metrics.tick_lateness);
    text.counter("aqevia_loop_wakeups_total", "Turns of the loop.", metrics.wakeups);
    let Some(world) = world else { return };
    text.gauge("aqevia_world_tick", "The tick of the world.", Some(world.now().0));
    let counts = Kind::ALL.iter().zip(world.counts()).map(|(kind, count)| ([("kind", kind.label())], count));
    text.gauges("aqevia_world_entities", "Entities in the world by kind.", counts);
    let reached = Bound::ALL.iter().zip(world.bounds_reached()).map(|(what, count)| ([("limit", what.label())], count));
    text.counters("aqevia_world_limits_total", "How often a limit of the world was reached.", reached);
}

fn storage_metrics(text: &mut Exposition, Snapshot { storage, metrics, .. }: &Snapshot) {
    let ready = u8::from(storage.trouble.is_none());
    text.gauge("aqevia_ready", "1 if the engine is ready, 0 while it loads or flushes fail.", Some(ready));
    text.gauge("aqevia_pending_records", "Records that storage is not known to hold.", Some(storage.pending));
    let states = State::ALL.iter().map(|state| ([("state", state.label())], u64::from(*state == storage.writer)));
    text.gauges("aqevia_writer_state", "1 for what the writer does.", states);
    text.counter("aqevia_writer_restarts_total", "Writers started in place of another.", metrics.writer_restarts);
    let unsent = storage.unsent_bytes;
    text.gauge("aqevia_writer_unsent_bytes", "Bytes that the writer has not taken yet.", Some(unsent));
    let persisted = storage.persisted_tick.map(|tick| tick.0);
    let help = "The tick that a crash now would fall back to; not there while that is not known.";
    text.gauge("aqevia_persisted_tick", help, persisted);
    let last = storage.last_flush.map(|flush| flush.at.0.as_secs_f64());
    text.gauge("aqevia_last_flush_timestamp_seconds", "When a flush last succeeded.", last);
    let flushes = Trigger::ALL.iter().zip(metrics.flushes).flat_map(|(trigger, outcomes)| {
        let labels = |outcome: &Outcome| [("trigger", trigger.label()), ("outcome", outcome.label())];
        Outcome::ALL.iter().map(labels).zip(outcomes)
    });
    text.counters("aqevia_flushes_total", "Flushes by trigger and outcome.", flushes);
    let help = "How long flushes took from their cut to their acknowledgement.";
    text.histogram("aqevia_flush_duration_seconds", help, &metrics.flush_duration);
    text.histogram("aqevia_commit_duration_seconds", "How long their commits took.", &metrics.commit_duration);
    let help = "Flushes that were due while the one before was not acknowledged.";
    text.counter("aqevia_flushes_waited_total", help, metrics.flushes_waited);
    text.counter("aqevia_records_flushed_total", "Records that flushes wrote.", metrics.records_flushed);
    text.histogram("aqevia_checkpoint_duration_seconds", "How long checkpoints took.", &metrics.checkpoint_duration);
    text.counter("aqevia_checkpoint_failures_total", "Checkpoints that failed.", metrics.checkpoint_failures);
    let held_up = metrics.checkpoints_held_up;
    text.counter("aqevia_checkpoints_held_up_total", "Checkpoints that readers kept from emptying the log.", held_up);
    text.gauge("aqevia_wal_bytes", "Bytes of the write-ahead log.", Some(storage.wal_bytes));
}

fn http_metrics(text: &mut Exposition, counters: &Counters) {
    text.gauge("aqevia_http_connections", "Open HTTP connections.", Some(counters.net.connections));
    text.counter("aqevia_http_accepted_total", "HTTP connections accepted.", counters.net.accepted);
    request_metrics(text, ["aqevia_http_requests_total", "aqevia_http_rejects_total"], counters);
    let evictions = counters.net.evictions;
    text.counter("aqevia_http_evictions_total", "HTTP connections that made way for a new one.", evictions);
    let shared = net::Limit::ALL.iter().map(|limit| limit.label()).zip(counters.net.limits);
    let limits = shared.chain(Limit::ALL.iter().map(|limit| limit.label()).zip(counters.limits));
    let limits = limits.map(|(limit, count)| ([("limit", limit)], count));
    text.counters("aqevia_http_limits_total", "How often a limit of an HTTP connection was reached.", limits);
}

fn request_metrics(text: &mut Exposition, [answered, refused]: [&str; 2], counters: &Counters) {
    let requests = counters.requests.iter();
    let requests = requests.map(|((path, status), count)| ([("path", path.label()), ("code", status.code())], *count));
    text.counters(answered, "HTTP answers by path and status code.", requests);
    // Every series from the start: a counter that appears with its first event hides that event from `increase()`.
    let rejects = Reject::ALL.iter().map(|reject| [("reason", reject.label())]).zip(counters.rejects);
    text.counters(refused, "HTTP requests refused as malformed, too large or late.", rejects);
}

fn people_metrics(text: &mut Exposition, PeopleView { people, ports, web }: &PeopleView) {
    if let Some(web) = web {
        request_metrics(text, ["aqevia_web_requests_total", "aqevia_web_rejects_total"], web);
        let limits = Limit::ALL.iter().map(|limit| [("limit", limit.label())]).zip(web.limits);
        text.counters("aqevia_web_limits_total", "How often a limit of HTTP was reached where people play.", limits);
    }
    if let Some(people) = people {
        let Counts { commands, logins, failures, reached } = &people.counts;
        text.gauge(
            "aqevia_sessions",
            "Connections of people, those who are coming in among them.",
            Some(people.sessions()),
        );
        text.gauge("aqevia_players_online", "Players in the world who are connected.", Some(online(people)));
        text.counter("aqevia_logins_total", "Players and guests who came in.", logins);
        text.counter("aqevia_login_failures_total", "Wrong passwords.", failures);
        text.counter("aqevia_commands_total", "Lines that were taken as commands of players.", commands);
        let reached = session::Limit::ALL.iter().map(|limit| [("limit", limit.label())]).zip(*reached);
        text.counters("aqevia_session_limits_total", "How often a limit of sessions was reached.", reached);
    }
    let each = |count: fn(&net::Counters) -> u64| {
        ports.iter().map(move |(name, counters)| ([("port", *name)], count(counters)))
    };
    text.gauges("aqevia_port_connections", "Open connections by port.", each(|counters| counters.connections as u64));
    text.counters("aqevia_port_accepted_total", "Connections accepted by port.", each(|counters| counters.accepted));
    let help = "Connections that made way for a new one by port.";
    text.counters("aqevia_port_evictions_total", help, each(|counters| counters.evictions));
    let limits = ports.iter().flat_map(|(name, counters)| {
        let labels = net::Limit::ALL.iter().map(|limit| [("port", *name), ("limit", limit.label())]);
        labels.zip(counters.limits)
    });
    text.counters("aqevia_port_limits_total", "How often a limit of a connection was reached by port.", limits);
}

fn process_metrics(text: &mut Exposition, snapshot: &Snapshot) {
    let usage = &*snapshot.usage;
    let cpu = usage.cpu.map_or(0.0, |cpu| cpu.as_secs_f64());
    text.counter("process_cpu_seconds_total", "User and system time on the processor.", cpu);
    text.gauge("process_resident_memory_bytes", "Memory held in RAM.", usage.resident_bytes);
    text.gauge("process_virtual_memory_bytes", "Address space.", usage.virtual_bytes);
    text.gauge("process_open_fds", "Open file descriptors.", usage.descriptors);
    text.gauge("process_max_fds", "How many file descriptors may be open.", usage.descriptors_max);
    text.gauge("process_start_time_seconds", "When the process started.", Some(snapshot.started.0.as_secs_f64()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_answer_is_the_get_answer_without_its_body() {
        let answer = error(Status::NotFound, "x");
        let (mut get, mut head) = (Vec::new(), Vec::new());
        answer.write(&mut get, "D", Connection::Close, true);
        answer.write(&mut head, "D", Connection::Close, false);
        assert_eq!(get, [head.as_slice(), b"{\"error\":\"x\"}"].concat());
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\nDate: D\r\n") && head.ends_with("\r\n\r\n"));
        assert!(head.contains("\r\nContent-Length: 13\r\n") && head.contains("\r\nConnection: close\r\n"));
    }
}
