//! The environment, read once into a `Config` that cannot hold nonsense. All mistakes are reported together.
//!
//! `VARIABLES` is the one list of what exists, with each default and what is accepted; `--help` prints it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::limits::{BATCH_CAPACITY_RANGE, FLUSH_INTERVAL_MS_RANGE, LINE_BYTES_MAX, TICK_INTERVAL_MS_RANGE};
use crate::log::Level;
use crate::text::{disturbs, is_tag, nearest, network};

/// Where the database lies.
pub const SQLITE_PATH: &str = "AQEVIA_SQLITE_PATH";
/// Where HTTP listens.
pub const OBSERVABILITY_ADDR: &str = "AQEVIA_OBSERVABILITY_ADDR";
/// Where people come in by telnet.
pub const TELNET_ADDR: &str = "AQEVIA_TELNET_ADDR";
/// Where people come in by a browser.
pub const WEB_ADDR: &str = "AQEVIA_WEB_ADDR";
/// From which further origins they may.
pub const WEB_ORIGINS: &str = "AQEVIA_WEB_ORIGINS";
/// Which proxies say, and are believed, where people come from.
pub const TRUSTED_PROXIES: &str = "AQEVIA_TRUSTED_PROXIES";
/// What crawlers are told: where telnet over TLS is, the name of this machine, and whom they may write to.
pub const TLS_PORT: &str = "AQEVIA_TLS_PORT";
/// The second of these.
pub const HOSTNAME: &str = "AQEVIA_HOSTNAME";
/// The third.
pub const CONTACT: &str = "AQEVIA_CONTACT";
/// How long changes may wait for a flush.
pub const FLUSH_INTERVAL: &str = "PERSIST_FLUSH_INTERVAL_MS";
/// How many changes may wait for a flush.
pub const BATCH_CAPACITY: &str = "PERSIST_BATCH_CAPACITY";
/// The pace of the world.
pub const TICK_INTERVAL: &str = "AQEVIA_TICK_INTERVAL_MS";
/// The file that seeds an empty database.
pub const WORLD_PATH: &str = "AQEVIA_WORLD_PATH";
/// The only World that is to be run or founded.
pub const WORLD_ID: &str = "AQEVIA_WORLD_ID";
/// Which lines the log shows.
pub const LOG_LEVEL: &str = "AQEVIA_LOG_LEVEL";

/// Name, default and meaning of every variable.
pub const VARIABLES: [(&str, &str, &str); 15] = [
    (SQLITE_PATH, "storage.sqlite", "the database; its folder must exist"),
    (OBSERVABILITY_ADDR, "0.0.0.0:7878", "host:port for HTTP; port 0 picks a free one"),
    (TELNET_ADDR, "", "host:port at which people come in by telnet; unset: nobody does"),
    (WEB_ADDR, "", "host:port of the page to play on; unset: there is none"),
    (WEB_ORIGINS, "", "origins of other pages that may bring people in, with commas between them; unset: none"),
    (
        TRUSTED_PROXIES,
        "",
        "addresses or networks, with commas between them, of proxies that must speak the PROXY protocol",
    ),
    (TLS_PORT, "", "the port at which a proxy offers telnet over TLS, as crawlers are told; unset: there is none"),
    (HOSTNAME, "", "the name under which strangers find this machine, as crawlers are told"),
    (CONTACT, "", "whom they may write to, as crawlers are told, such as an address of e-mail"),
    (FLUSH_INTERVAL, "1000", "flush at least so often while something is pending, 10 to 3600000"),
    (BATCH_CAPACITY, "10", "flush as soon as so many records are pending, 1 to 1000000"),
    (TICK_INTERVAL, "100", "milliseconds between two ticks, 10 to 60000"),
    (WORLD_PATH, "", "a world file to seed an empty database; unset: the world built in"),
    (WORLD_ID, "", "the id of the only world to run or found; unset: any"),
    (LOG_LEVEL, "info", "error, warn, info or debug, in any case"),
];

/// What the engine was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The database.
    pub sqlite_path: PathBuf,
    /// Where HTTP listens: the first address that the name stands for.
    pub observability_addr: SocketAddr,
    /// Where people come in by telnet, if they may.
    pub telnet_addr: Option<SocketAddr>,
    /// Where people come in by a browser, if they may.
    pub web_addr: Option<SocketAddr>,
    /// Origins of other pages that may bring people in (RFC 6454 section 6.2).
    pub web_origins: Vec<String>,
    /// Addresses and networks of proxies that say where people come from.
    pub trusted_proxies: Vec<String>,
    /// Where telnet over TLS is, if anywhere, as crawlers are told.
    pub tls_port: Option<u16>,
    /// The name of this machine, as they are told.
    pub hostname: Option<String>,
    /// Whom they may write to.
    pub contact: Option<String>,
    /// How long changes may wait for a flush.
    pub flush_interval: Duration,
    /// How many records may wait for a flush.
    pub batch_capacity: usize,
    /// The time between two ticks.
    pub tick_interval: Duration,
    /// The file that seeds an empty database; `None`: the world built in.
    pub world_path: Option<PathBuf>,
    /// The only world that is to be run or founded; `None`: any.
    pub world_id: Option<String>,
    /// Which lines the log shows.
    pub log_level: Level,
}

/// A variable that looks like one of the engine's and is none, and the known one that it resembles most, if any.
pub type Unknown = (String, Option<&'static str>);

impl Config {
    /// Reads the engine's variables out of `environment`, and names those that only look like them. An empty value
    /// counts as unset. The error names each variable whose value cannot be used, the value, and what is accepted.
    pub fn read(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> (Result<Config, Vec<String>>, Vec<Unknown>) {
        let mut reader = Reader::new(environment);
        let known = || VARIABLES.iter().map(|(name, ..)| *name);
        let unknown = reader.environment.keys().filter(|name| !known().any(|known| known == *name));
        let unknown = unknown.map(|name| (name.clone(), nearest(name, known()))).collect();
        let config = Config {
            sqlite_path: reader.value(SQLITE_PATH, database).unwrap_or_default(),
            observability_addr: reader.address(OBSERVABILITY_ADDR).unwrap_or(NOWHERE),
            telnet_addr: reader.address(TELNET_ADDR),
            web_addr: reader.address(WEB_ADDR),
            web_origins: reader.value(WEB_ORIGINS, origins).unwrap_or_default(),
            trusted_proxies: reader.value(TRUSTED_PROXIES, networks).unwrap_or_default(),
            tls_port: reader.value(TLS_PORT, port),
            hostname: reader.value(HOSTNAME, hostname),
            contact: reader.value(CONTACT, contact),
            flush_interval: reader.interval(FLUSH_INTERVAL, FLUSH_INTERVAL_MS_RANGE),
            batch_capacity: reader.number(BATCH_CAPACITY, BATCH_CAPACITY_RANGE, "records") as usize,
            tick_interval: reader.interval(TICK_INTERVAL, TICK_INTERVAL_MS_RANGE),
            world_path: reader.value(WORLD_PATH, world_file),
            world_id: reader.value(WORLD_ID, world_id),
            log_level: reader.value(LOG_LEVEL, log_level).unwrap_or(Level::Info),
        };
        (if reader.mistakes.is_empty() { Ok(config) } else { Err(reader.mistakes) }, unknown)
    }
}

/// Reads where HTTP listens and nothing else, for a health check that must not depend on the rest.
pub fn observability_addr(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<SocketAddr, String> {
    let mut reader = Reader::new(environment);
    let address = reader.address(OBSERVABILITY_ADDR).unwrap_or(NOWHERE);
    reader.mistakes.pop().map_or(Ok(address), Err)
}

/// In place of an address that was a mistake.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Reads one variable after the other, notes each mistake and goes on with something in place of the value.
struct Reader {
    /// What is set of all that looks like the engine's.
    environment: BTreeMap<String, OsString>,
    mistakes: Vec<String>,
}

impl Reader {
    fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Reader {
        let set = environment.into_iter().filter(|(_, value)| !value.is_empty());
        let named = set.filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let ours = named.filter(|(name, _)| name.starts_with("AQEVIA_") || name.starts_with("PERSIST_"));
        Reader { environment: ours.collect(), mistakes: Vec::new() }
    }

    /// What `parse` makes of a value or else of its default; its error says what is accepted. `None` if there is neither
    /// or that was a mistake.
    fn value<T>(&mut self, variable: &str, parse: impl FnOnce(&OsStr) -> Result<T, String>) -> Option<T> {
        let default = VARIABLES.iter().find(|(name, default, _)| *name == variable && !default.is_empty());
        let default = default.map(|(_, default, _)| OsStr::new(default));
        let value = self.environment.get(variable).map(OsString::as_os_str).or(default)?;
        let note = |accepted| format!("{variable}={:?}: accepted is {accepted}", value.to_string_lossy());
        parse(value).map_err(|accepted| self.mistakes.push(note(accepted))).ok()
    }

    fn number(&mut self, variable: &str, range: RangeInclusive<u64>, unit: &str) -> u64 {
        let parse = |value: &OsStr| {
            // Digits only: Rust's own parser would also take a leading plus sign.
            let digits = value.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let number = digits.and_then(|text| text.parse().ok()).filter(|number| range.contains(number));
            number.ok_or_else(|| format!("a whole number from {} to {} ({unit})", range.start(), range.end()))
        };
        self.value(variable, parse).unwrap_or_default()
    }

    fn interval(&mut self, variable: &str, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(variable, range, "milliseconds"))
    }

    /// The first address that a name stands for.
    fn address(&mut self, variable: &str) -> Option<SocketAddr> {
        let resolve = |value: &OsStr| value.to_str()?.to_socket_addrs().ok()?.next();
        let accepted = "host:port, with a host that resolves and a port from 0 to 65535";
        self.value(variable, |value| resolve(value).ok_or_else(|| accepted.to_owned()))
    }
}

fn database(value: &OsStr) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.file_name().is_none() || path.is_dir() || value.to_string_lossy().ends_with('/') {
        return Err("the path of a file, not of a folder".to_owned());
    }
    if folder.is_dir() { Ok(path) } else { Err(format!("a path whose folder exists, and {folder:?} is no folder")) }
}

fn world_file(value: &OsStr) -> Result<PathBuf, String> {
    let path = Some(PathBuf::from(value)).filter(|path| path.is_file());
    path.ok_or_else(|| "the path of a world file that exists".to_owned())
}

fn world_id(value: &OsStr) -> Result<String, String> {
    let id = value.to_str().filter(|id| is_tag(id)).map(str::to_owned);
    id.ok_or_else(|| "the id of a world: a small letter, then small letters, digits or _".to_owned())
}

fn origins(value: &OsStr) -> Result<Vec<String>, String> {
    let is_origin = |text: &str| {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"-._:[]".contains(&letter);
        // A browser leaves a port out that its scheme has anyway: with one this would be nobody's origin.
        let is_idle =
            text.starts_with("https:") && text.ends_with(":443") || text.starts_with("http:") && text.ends_with(":80");
        host.is_some_and(|host| !host.is_empty() && host.bytes().all(is_letter) && !is_idle)
    };
    let text = value.to_string_lossy();
    let all: Vec<String> = text.split(',').map(|origin| origin.trim().to_owned()).collect();
    let accepted = "origins such as https://play.example or http://192.0.2.1:8080, as a browser says them: without a path, \
        :80 of http or :443 of https; with commas between them";
    if all.iter().all(|origin| is_origin(origin)) { Ok(all) } else { Err(accepted.to_owned()) }
}

fn networks(value: &OsStr) -> Result<Vec<String>, String> {
    let all: Option<_> = value.to_string_lossy().split(',').map(|text| network(text.trim())).collect();
    all.ok_or_else(|| "addresses or networks such as 192.0.2.7 or 10.0.0.0/8, with commas between them".to_owned())
}

fn port(value: &OsStr) -> Result<u16, String> {
    let digits = value.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let port = digits.and_then(|text| text.parse().ok()).filter(|port| *port > 0);
    port.ok_or_else(|| "a port from 1 to 65535".to_owned())
}

fn hostname(value: &OsStr) -> Result<String, String> {
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"-.:".contains(&letter);
    let name = value.to_str().filter(|name| name.bytes().all(is_letter)).map(str::to_owned);
    name.ok_or_else(|| "the name or address of a machine, such as world.example".to_owned())
}

fn contact(value: &OsStr) -> Result<String, String> {
    let text = value.to_str().filter(|text| text.len() <= LINE_BYTES_MAX && !text.contains(disturbs));
    text.map(str::to_owned).ok_or_else(|| format!("a line of text, at most {LINE_BYTES_MAX} bytes"))
}

fn log_level(value: &OsStr) -> Result<Level, String> {
    let level = Level::ALL.iter().copied().find(|level| value.eq_ignore_ascii_case(level.label()));
    level.ok_or_else(|| "one of error, warn, info, debug, in any case".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<(Config, Vec<Unknown>), Vec<String>> {
        let environment = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let (config, unknown) = Config::read(environment);
        config.map(|config| (config, unknown))
    }

    #[test]
    fn an_empty_environment_gives_the_defaults_that_the_list_names() {
        let (config, unknown) = read(&[("PATH", "/bin"), (SQLITE_PATH, ""), (FLUSH_INTERVAL, "")]).unwrap();
        let explicit: Vec<_> = VARIABLES.iter().map(|(name, default, _)| (*name, *default)).collect();
        assert_eq!(read(&explicit).unwrap().0, config);
        assert_eq!(config.sqlite_path, Path::new("storage.sqlite"));
        assert_eq!((config.flush_interval, config.batch_capacity), (Duration::from_secs(1), 10));
        assert_eq!(config.tick_interval, Duration::from_millis(100));
        assert!(unknown.is_empty());
    }

    #[test]
    fn every_mistake_is_named_with_its_value_and_what_is_accepted() {
        let mistakes = read(&[
            (SQLITE_PATH, "/nowhere/at/all.sqlite"),
            (OBSERVABILITY_ADDR, "7878"),
            (FLUSH_INTERVAL, "9"),
            (BATCH_CAPACITY, "ten"),
            (TICK_INTERVAL, "+100"),
            (WORLD_PATH, "/nowhere.json5"),
            (LOG_LEVEL, "loud"),
        ])
        .unwrap_err();
        assert_eq!(mistakes.len(), 7, "{mistakes:?}");
        assert!(mistakes[0].starts_with("AQEVIA_SQLITE_PATH=\"/nowhere/at/all.sqlite\": accepted is a path whose"));
        assert_eq!(
            mistakes[2],
            "PERSIST_FLUSH_INTERVAL_MS=\"9\": accepted is a whole number from 10 to 3600000 (milliseconds)"
        );
    }

    #[test]
    fn numbers_are_accepted_up_to_their_bounds_and_no_further() {
        for (variable, range) in [
            (FLUSH_INTERVAL, FLUSH_INTERVAL_MS_RANGE),
            (BATCH_CAPACITY, BATCH_CAPACITY_RANGE),
            (TICK_INTERVAL, TICK_INTERVAL_MS_RANGE),
        ] {
            let (least, most) = range.into_inner();
            for (value, good) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
                assert_eq!(read(&[(variable, &value.to_string())]).is_ok(), good, "{variable}={value}");
            }
            for value in ["-1", " 100", "1e3", "0x64", "99999999999999999999", "100 "] {
                assert!(read(&[(variable, value)]).is_err(), "{variable}={value}");
            }
            let meaning = VARIABLES.iter().find(|(name, ..)| *name == variable).unwrap().2;
            assert!(meaning.contains(&format!("{least} to {most}")), "{meaning}");
        }
    }

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["127.0.0.1:0", "[::1]:65535", "localhost:7878"] {
            assert!(read(&[(OBSERVABILITY_ADDR, good)]).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1", ":7878", "127.0.0.1:65536", "127.0.0.1:", "::1"] {
            assert!(read(&[(OBSERVABILITY_ADDR, bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_a_scheme_a_host_and_perhaps_a_port_with_commas_between_them() {
        let several = "https://play.example, http://192.0.2.1:8080,https://[2001:db8::1]";
        let origins = read(&[(WEB_ORIGINS, several)]).unwrap().0.web_origins;
        assert_eq!(origins, ["https://play.example", "http://192.0.2.1:8080", "https://[2001:db8::1]"]);
        assert!(read(&[(WEB_ORIGINS, "https://a:80,http://a:443,http://a:8080")]).is_ok());
        let bad = ["play.example", "https://", "https://a/", "https://a/b", "ws://a", "*", "null", "https://a,", ","];
        for bad in bad.into_iter().chain(["https://a:443", "http://a:80", "http://a:443,http://[::1]:80"]) {
            assert!(read(&[(WEB_ORIGINS, bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn trusted_proxies_are_addresses_or_networks_with_commas_between_them() {
        let several = "127.0.0.1, 172.16.5.4/12,2001:DB8::1,::ffff:192.0.2.7";
        let proxies = read(&[(TRUSTED_PROXIES, several)]).unwrap().0.trusted_proxies;
        assert_eq!(proxies, ["127.0.0.1", "172.16.0.0/12", "2001:db8::1", "192.0.2.7"]);
        for bad in ["localhost", "127.0.0.1,", ",", "10.0.0.0/33", "10.0.0.0/8;::1", "127.0.0.1:4000", "*", "10."] {
            assert!(read(&[(TRUSTED_PROXIES, bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn crawlers_are_told_a_port_a_name_and_a_line_or_nothing() {
        for (variable, good, bad) in [
            (TLS_PORT, &["1", "4443", "65535"][..], &["0", "65536", "+1", " 1", "x"][..]),
            (HOSTNAME, &["world.example", "192.0.2.1", "2001:db8::1"], &["a b", "a/b", "http://a", "\u{e9}.example"]),
            (CONTACT, &["anna@example.org", "Anna \u{e9}"], &["a\nb", "a\u{2}b", "a\u{202e}b"]),
        ] {
            for (value, is_good) in good.iter().map(|it| (it, true)).chain(bad.iter().map(|it| (it, false))) {
                assert_eq!(read(&[(variable, value)]).is_ok(), is_good, "{variable}={value}");
            }
        }
        let long = |bytes: usize| read(&[(CONTACT, &"x".repeat(bytes))]).is_ok();
        assert!(long(LINE_BYTES_MAX) && !long(LINE_BYTES_MAX + 1));
    }

    #[test]
    fn levels_are_known_in_any_case() {
        for level in Level::ALL {
            let name = level.label();
            for value in [name.to_owned(), name.to_uppercase(), format!("{}{}", name[..1].to_uppercase(), &name[1..])] {
                assert_eq!(read(&[(LOG_LEVEL, &value)]).unwrap().0.log_level, *level, "{value}");
            }
        }
        assert!(read(&[(LOG_LEVEL, "information")]).is_err());
    }

    #[test]
    fn a_database_is_a_file_in_a_folder_that_is_there() {
        let folder = std::env::temp_dir();
        let within = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        // Without a folder in its name it lies in the current one.
        for good in ["storage.sqlite".to_owned(), within("storage.sqlite")] {
            assert!(read(&[(SQLITE_PATH, &good)]).is_ok(), "{good}");
        }
        for bad in ["/", "..", "storage.sqlite/", &within(""), &within("."), &within("new.sqlite/")] {
            let mistakes = read(&[(SQLITE_PATH, bad)]).unwrap_err();
            assert!(mistakes[0].ends_with("accepted is the path of a file, not of a folder"), "{mistakes:?}");
        }
        for bad in
            [within("nowhere/storage.sqlite"), std::env::current_exe().unwrap().join("x").to_str().unwrap().to_owned()]
        {
            let mistakes = read(&[(SQLITE_PATH, &bad)]).unwrap_err();
            assert!(mistakes[0].contains("a path whose folder exists, and"), "{mistakes:?}");
        }
    }

    #[test]
    fn a_health_check_learns_the_address_and_nothing_else() {
        let asked = |address: &str| {
            let environment =
                [("PATH", "/bin"), (SQLITE_PATH, "/nowhere/x"), (OBSERVABILITY_ADDR, address), ("USER", "x")];
            observability_addr(environment.map(|(name, value)| (name.into(), value.into()))).ok()
        };
        assert_eq!(asked("127.0.0.1:1"), Some(SocketAddr::from(([127, 0, 0, 1], 1))));
        assert_eq!(asked(""), Some(SocketAddr::from(([0, 0, 0, 0], 7878))));
        assert_eq!(asked("7878"), None);
    }

    #[test]
    fn a_slip_in_a_name_is_reported_with_the_name_meant() {
        let (_, unknown) = read(&[("AQEVIA_TICK_INTERVAL", "5"), ("PERSIST_NOTHING_LIKE_IT_AT_ALL", "x")]).unwrap();
        assert_eq!(unknown[0], ("AQEVIA_TICK_INTERVAL".to_owned(), Some(TICK_INTERVAL)));
        assert_eq!(unknown[1].1, None);
    }
}
