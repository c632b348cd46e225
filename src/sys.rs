//! The operating system: epoll(7) and its timer, signals, resource limits, random bytes, what this process uses.
//!
//! The only file with `unsafe`; each block calls one function of libc and says why that is sound. Errors become
//! `io::Error` here, once. Everything else in the engine uses std. Read `engine.rs` next for how these are used.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process;
use std::ptr;
use std::time::Duration;

use crate::clock::Monotonic;
use crate::limits::DESCRIPTORS_WANTED;

/// A descriptor that may be ready, by the number for which it is watched: any but the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What tells of descriptors that are ready, again and again for as long as they are. It stands in a trait, so that what
/// waits can also be run on streams in memory.
pub trait Readiness {
    /// Watches a descriptor from now on until it is closed: `token` is told once it can be read or written, as asked, and
    /// in any case after an error or a hang-up.
    fn watch(&mut self, descriptor: &impl AsRawFd, token: Token, read: bool, write: bool) -> io::Result<()>;
}

/// Any number of descriptors to wait for (epoll(7), level-triggered), and a time (timerfd_create(2)): the cost of a wait
/// follows what is ready, not what is watched. A descriptor that is closed is not watched any more, as long as nobody has
/// duplicated it.
pub struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// For when the timer was last set.
    set_for: Option<Monotonic>,
    events: Vec<libc::epoll_event>,
}

const TIMER: Token = Token(u64::MAX);

impl Poller {
    /// Watches nothing yet. Takes two descriptors.
    pub fn new() -> io::Result<Poller> {
        // SAFETY: epoll_create1(2) takes flags alone.
        let epoll = own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: timerfd_create(2) takes a clock and flags alone.
        let timer = own(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) })?;
        // Room for all that may be open, so that a wait tells of everything that is ready.
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; DESCRIPTORS_WANTED as usize];
        let mut poller = Poller { epoll, timer, set_for: None, events };
        poller.watch(&poller.timer.as_raw_fd(), TIMER, true, false)?;
        Ok(poller)
    }

    /// Sleeps until something is ready, a signal comes or it is `until`, which it is not before; `None`: for ever. Then
    /// `ready` holds all that is, nothing if that fails.
    pub fn wait(&mut self, until: Option<Monotonic>, now: Monotonic, ready: &mut Vec<Token>) -> io::Result<()> {
        ready.clear();
        let sleeps = until.is_none_or(|until| until > now);
        if sleeps && until != self.set_for {
            let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let once = until.map_or(none, |until| timespec(until.since(now)));
            let once = libc::itimerspec { it_interval: none, it_value: once };
            // SAFETY: `once` is live and only read; the time that was set before is not asked for.
            check(unsafe { libc::timerfd_settime(self.timer.as_raw_fd(), 0, &once, ptr::null_mut()) })?;
            self.set_for = until;
        }
        let (epoll, room) = (self.epoll.as_raw_fd(), self.events.len() as libc::c_int);
        let mut timeout = if sleeps { -1 } else { 0 };
        let count = loop {
            // SAFETY: pointer and room describe one live, exclusive buffer.
            match check(unsafe { libc::epoll_wait(epoll, self.events.as_mut_ptr(), room, timeout) }) {
                // To go on after SIGSTOP is such an interruption too. What came meanwhile comes before what is overdue.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => timeout = 0,
                count => break count? as usize,
            }
        };
        ready.extend(self.events[..count].iter().map(|event| Token(event.u64)).filter(|token| *token != TIMER));
        Ok(())
    }
}

impl Readiness for Poller {
    fn watch(&mut self, descriptor: &impl AsRawFd, token: Token, read: bool, write: bool) -> io::Result<()> {
        let events = if read { libc::EPOLLIN } else { 0 } | if write { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: events as u32, u64: token.0 };
        let mut control = |act| {
            // SAFETY: `event` is live and only read; a descriptor that cannot be watched is an error of the call.
            check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), act, descriptor.as_raw_fd(), &mut event) }).map(drop)
        };
        match control(libc::EPOLL_CTL_ADD) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => control(libc::EPOLL_CTL_MOD),
            added => added,
        }
    }
}

/// Whether a write to a descriptor would not block: there is room, or an error to collect.
pub fn has_room(descriptor: &impl AsRawFd) -> bool {
    let mut asked = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: `asked` is the one live, exclusive `pollfd` that the count tells of.
    unsafe { libc::poll(&mut asked, 1, 0) == 1 }
}

/// Sleeps for so long, or until a signal comes.
pub fn pause(time: Duration) {
    // SAFETY: the time is live and only read; what is left of it is not asked for.
    let _ = unsafe { libc::nanosleep(&timespec(time), ptr::null_mut()) };
}

macro_rules! signals {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

/// The signals that end a process which does not expect them, by name, but for those of real time: all that can be
/// caught and do not tell of a fault of the process itself.
const ENDING: &[(libc::c_int, &str)] = signals!(
    SIGHUP SIGINT SIGQUIT SIGUSR1 SIGUSR2 SIGALRM SIGTERM SIGSTKFLT SIGXCPU SIGVTALRM SIGPROF SIGIO SIGPWR
);

/// Makes signals fit for any command: SIGPIPE and SIGXFSZ become errors of the call that met them, whatever was blocked
/// comes through, and process 1, which the kernel spares what a signal does by default, ends like any other. To be
/// called once, at the start.
pub fn prepare_signals() -> io::Result<()> {
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        act_on(signal, libc::SIG_IGN)?;
    }
    // Whoever ignores it never learns how a child has ended.
    act_on(libc::SIGCHLD, libc::SIG_DFL)?;
    if process::id() == 1 {
        on_ending(exit())?;
    }
    // Whoever started this process may have left signals blocked.
    mask(libc::SIG_SETMASK, &no_signals())
}

/// Readable once a signal that ends the engine has come (signalfd(2)).
pub struct Signals(pub File);

impl Signals {
    /// Turns every signal that would end the process into something to wait for.
    pub fn install() -> io::Result<Signals> {
        // Until they are held back they end process 1 too.
        let signals = on_ending(exit())?;
        mask(libc::SIG_BLOCK, &signals)?;
        // SAFETY: the set is live and only read.
        let descriptor = own(unsafe { libc::signalfd(-1, &signals, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) })?;
        Ok(Signals(File::from(descriptor)))
    }

    /// The name of a signal that has come, if one has.
    pub fn take(&mut self) -> Option<String> {
        let mut told = [0; size_of::<libc::signalfd_siginfo>()];
        self.0.read_exact(&mut told).ok()?;
        // The structure begins with the number.
        let number = libc::c_int::from_ne_bytes([told[0], told[1], told[2], told[3]]);
        let name = ENDING.iter().find(|(signal, _)| *signal == number).map(|(_, name)| (*name).to_owned());
        Some(name.unwrap_or_else(|| format!("SIGRTMIN+{}", number - libc::SIGRTMIN())))
    }
}

/// Ignores every signal that would end the process, as far as that can be.
pub fn ignore_signals() -> io::Result<()> {
    on_ending(libc::SIG_IGN).map(drop)
}

/// Reaps every child that has ended, but for one that somebody else waits for. As process 1 of a container a program
/// inherits orphans, which stay until then; and a writer may have ended later than was waited for.
pub fn reap(other_than: u32) {
    loop {
        // SAFETY: `siginfo_t` is plain data, for which zero bytes are a valid value.
        let mut ended: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `ended` is a live `siginfo_t` for the call to fill.
        let looked = unsafe { libc::waitid(libc::P_ALL, 0, &mut ended, options) };
        // SAFETY: waitid(2) has filled the structure, or left its zeros.
        let child = unsafe { ended.si_pid() };
        if looked == -1 || child == 0 || child as u32 == other_than {
            return;
        }
        // SAFETY: the status is not asked for.
        let _ = unsafe { libc::waitpid(child, ptr::null_mut(), libc::WNOHANG) };
    }
}

/// Sets what the signals that end a process do, but for those that are to stay ignored. Returns which it has set.
fn on_ending(action: libc::sighandler_t) -> io::Result<libc::sigset_t> {
    let mut set = no_signals();
    let named = ENDING.iter().map(|(signal, _)| *signal);
    for signal in named.chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
        let before = match act_on(signal, action) {
            // What watches a process, as valgrind(1) does, keeps one of real time for itself.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && signal >= libc::SIGRTMIN() => continue,
            before => before?,
        };
        // Who starts a program with a signal ignored, as nohup(1) does, wants it to stay so. Those two are not believed:
        // what a shell starts in the background ignores SIGINT, and somebody must be able to stop it.
        if before == libc::SIG_IGN && !matches!(signal, libc::SIGTERM | libc::SIGINT) {
            act_on(signal, libc::SIG_IGN)?;
            continue;
        }
        // SAFETY: `set` is a live set.
        check(unsafe { libc::sigaddset(&mut set, signal) })?;
    }
    Ok(set)
}

fn no_signals() -> libc::sigset_t {
    // SAFETY: zero bytes are the empty set of signals.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn mask(how: libc::c_int, signals: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set is live and only read; the old mask is not asked for.
    check(unsafe { libc::sigprocmask(how, signals, ptr::null_mut()) }).map(drop)
}

fn exit() -> libc::sighandler_t {
    exit_on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t
}

/// Runs inside a signal. Ends the process with the code by which a shell would tell of that signal.
extern "C" fn exit_on_signal(signal: libc::c_int) {
    // SAFETY: _exit(2) is async-signal-safe and does not return.
    unsafe { libc::_exit(128 + signal) }
}

/// Sets what a signal does; returns what it did before.
fn act_on(signal: libc::c_int, action: libc::sighandler_t) -> io::Result<libc::sighandler_t> {
    // SAFETY: `sigaction` is plain data, for which zero bytes (no flags, an empty mask) are a valid value.
    let mut before: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut request = before;
    request.sa_sigaction = action;
    request.sa_flags = libc::SA_RESTART;
    // SAFETY: both structures are initialised and live, and `action` is SIG_IGN or a handler of the signature without
    // SA_SIGINFO.
    check(unsafe { libc::sigaction(signal, &request, &mut before) })?;
    Ok(before.sa_sigaction)
}

/// Opens for writing, without ever waiting and without making a terminal the controlling one.
pub fn open_nonblocking(path: &str) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Renames a file to a name that nothing has (renameat2(2), RENAME_NOREPLACE): `AlreadyExists` if something has it,
/// `InvalidInput` or `Unsupported` where the file system or the kernel cannot.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let name = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let (from, to) = (name(from)?, name(to)?);
    let (here, flags) = (libc::AT_FDCWD, libc::RENAME_NOREPLACE);
    // SAFETY: both names are live C strings, which the call only reads.
    check(unsafe { libc::renameat2(here, from.as_ptr(), here, to.as_ptr(), flags) }).map(drop)
}

/// Runs what makes a file that nobody else may open, not for a moment.
pub fn with_closed_mask<T>(make: impl FnOnce() -> T) -> T {
    // SAFETY: umask(2) takes a number and cannot fail.
    let before = unsafe { libc::umask(0o177) };
    let made = make();
    // SAFETY: as above.
    unsafe { libc::umask(before) };
    made
}

/// Opens a name itself, not what it stands for (`O_PATH`), to reach a socket whose path is longer than connect(2) takes.
pub fn open_name(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)
}

/// The user that this process acts as.
pub fn effective_user() -> u32 {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Asks whether this process may write what is at `path`, without opening it: to close a file that SQLite has open too
/// would give up SQLite's locks on it (fcntl(2)).
pub fn may_write(path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `name` is a live C string, which the call only reads.
    check(unsafe { libc::faccessat(libc::AT_FDCWD, name.as_ptr(), libc::W_OK, libc::AT_EACCESS) }).map(drop)
}

/// Whether another process holds a lock of fcntl(2), as SQLite's are, on any part of a file.
pub fn is_locked(file: &File) -> io::Result<bool> {
    // SAFETY: `flock` is plain data, for which zero bytes (all of the file) are a valid value.
    let mut lock: libc::flock = unsafe { MaybeUninit::zeroed().assume_init() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: `lock` is a live `flock`, which F_GETLK reads and fills.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) })?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

/// Bounds what the kernel buffers for sending on a socket; connections accepted from a listener inherit it.
pub fn set_send_buffer(socket: &impl AsRawFd, bytes: usize) -> io::Result<()> {
    set_option(socket, (libc::SOL_SOCKET, libc::SO_SNDBUF), &libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX))
}

/// Lets connections of a TCP listener fail whose peer has not been heard of for so many seconds, whether something is on its
/// way to it (tcp(7), TCP_USER_TIMEOUT) or nothing is (TCP_KEEPIDLE); they inherit it.
pub fn notice_lost_peers(listener: &impl AsRawFd, seconds: u16) -> io::Result<()> {
    for (level, option, value) in [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds.into()),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, seconds.into()),
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 1_000 * libc::c_int::from(seconds)),
    ] {
        set_option(listener, (level, option), &value)?;
    }
    Ok(())
}

/// Keeps new connections from a TCP listener, while those that wait there can still be accepted. Their first packet is
/// dropped, so whoever tries asks again within a second, and may then find the listener of the next engine.
pub fn refuse_connections(listener: &impl AsRawFd) -> io::Result<()> {
    // Classic BPF on the TCP header (RFC 9293 section 3.1): load the byte of flags; keep ACK and SYN of it; if that is SYN
    // alone, drop the packet; else take it whole.
    let steps = [(0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, u32::MAX)];
    let mut steps = steps.map(|(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k });
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    set_option(listener, (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER), &program)
}

/// Sets an option of a level, of the type that socket(7) or tcp(7) gives for it.
fn set_option<T>(socket: &impl AsRawFd, option: (libc::c_int, libc::c_int), value: &T) -> io::Result<()> {
    let (level, option) = option;
    let (value, length) = (ptr::from_ref(value), size_of::<T>() as libc::socklen_t);
    // SAFETY: `value` and `length` describe a live value, and what it points to lives as long.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.cast(), length) }).map(drop)
}

/// Raises the soft limit on open descriptors to `wanted`, or as far as the hard limit allows. Never lowers it.
/// Returns the limit now in force.
pub fn raise_descriptors_max(wanted: u64) -> io::Result<u64> {
    let mut limits = descriptor_limits()?;
    if limits.rlim_cur < wanted.min(limits.rlim_max) {
        limits.rlim_cur = wanted.min(limits.rlim_max);
        // SAFETY: `limits` is an initialised `rlimit` that lives through the call.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limits) })?;
    }
    Ok(limits.rlim_cur)
}

/// Whether a call failed because no descriptor is free, or, as accept(2) says, no memory for one.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

fn descriptor_limits() -> io::Result<libc::rlimit> {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limits` is a live `rlimit` for the call to fill.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limits) })?;
    Ok(limits)
}

/// Bytes from the system's random generator, 256 at most.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    // SAFETY: pointer and length describe a live local; getrandom(2) gives up to 256 bytes whole or not at all.
    check(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) } as libc::c_int)?;
    Ok(bytes)
}

/// What this process uses, as the usual `process_*` metrics show it. What cannot be learnt is `None`.
pub struct Usage {
    /// User and system time on the processor.
    pub cpu: Option<Duration>,
    /// Memory held in RAM (`VmRSS`).
    pub resident_bytes: Option<u64>,
    /// Address space (`VmSize`).
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub descriptors: Option<u64>,
    /// The soft limit on them.
    pub descriptors_max: Option<u64>,
}

/// Asks the kernel what this process uses.
pub fn usage() -> Usage {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Usage {
        cpu: cpu_time().ok(),
        resident_bytes: kilobytes("VmRSS:"),
        virtual_bytes: kilobytes("VmSize:"),
        // The listing itself holds one descriptor while it is read.
        descriptors: fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1)),
        descriptors_max: descriptor_limits().ok().map(|limits| limits.rlim_cur),
    }
}

fn cpu_time() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live `timespec` for the call to fill.
    check(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec { tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: time.subsec_nanos().into() }
}

/// A descriptor that a call has just made, or its error.
fn own(result: libc::c_int) -> io::Result<OwnedFd> {
    let descriptor = check(result)?;
    // SAFETY: it is new, so nobody else has it or closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;
    use crate::clock::monotonic;

    /// What is ready once a wait of so long is over, or as soon as something is; `None`: however long that takes.
    fn ready(poller: &mut Poller, timeout: Option<Duration>) -> Vec<u64> {
        let (mut ready, now) = (Vec::new(), monotonic());
        poller.wait(timeout.map(|timeout| now.after(timeout)), now, &mut ready).unwrap();
        ready.iter().map(|token| token.0).collect()
    }

    #[test]
    fn a_wait_ends_no_earlier_than_its_time_and_at_its_best_within_a_tenth_of_a_millisecond_of_it() {
        let mut poller = Poller::new().unwrap();
        for nanoseconds in [1, 999, 20_001, 100_000, 1_000_999, 10_000_000] {
            let timeout = Duration::from_nanos(nanoseconds);
            let mut lateness = || {
                let begun = Instant::now();
                assert_eq!(ready(&mut poller, Some(timeout)), []);
                begun.elapsed().checked_sub(timeout).expect("it ended too early")
            };
            assert!((0..500).any(|_| lateness() < Duration::from_micros(100)), "{timeout:?}");
        }
    }

    #[test]
    fn a_timer_that_has_gone_off_or_is_set_to_never_wakes_nobody() {
        let (mut poller, (one, mut other)) = (Poller::new().unwrap(), UnixStream::pair().unwrap());
        poller.watch(&one, Token(7), true, false).unwrap();
        assert_eq!(ready(&mut poller, Some(Duration::from_nanos(1))), []);
        for again in [Some(Duration::from_millis(2)), None] {
            let begun = Instant::now();
            if again.is_none() {
                other.write_all(b"x").unwrap();
            }
            let ready = ready(&mut poller, again);
            assert!(
                again.map_or(ready == [7], |time| ready.is_empty() && begun.elapsed() >= time),
                "{again:?}: {ready:?}"
            );
        }
    }

    #[test]
    fn a_wait_ends_at_its_own_time_whatever_was_waited_for_before() {
        let (mut poller, mut ready, begun) = (Poller::new().unwrap(), Vec::new(), monotonic());
        // Of these times some come earlier than what was waited for before, one is the same again, one is over.
        for milliseconds in [3, 1, 6, 6, 2, 8] {
            let until = begun.after(Duration::from_millis(milliseconds));
            poller.wait(Some(until), monotonic(), &mut ready).unwrap();
            assert!(ready.is_empty() && monotonic() >= until, "{milliseconds}");
        }
        let (one, mut other) = UnixStream::pair().unwrap();
        let token = Token(u64::MAX - 1);
        poller.watch(&one, token, true, false).unwrap();
        // What is ready needs no time.
        other.write_all(b"x").unwrap();
        poller.wait(None, monotonic(), &mut ready).unwrap();
        assert_eq!(ready, [token]);
        poller.wait(Some(begun), monotonic(), &mut ready).unwrap();
        assert_eq!(ready, [token]);
    }

    #[test]
    fn a_descriptor_is_told_of_for_as_long_as_it_is_ready_for_what_is_asked_of_it_now_and_until_it_is_closed() {
        let mut poller = Poller::new().unwrap();
        let mut ready = |asked: Option<(&UnixStream, bool, bool)>| -> Vec<u64> {
            if let Some((stream, read, write)) = asked {
                poller.watch(stream, Token(7), read, write).unwrap();
            }
            ready(&mut poller, Some(Duration::ZERO))
        };
        let (one, mut other) = UnixStream::pair().unwrap();
        assert_eq!(ready(Some((&one, true, false))), []);
        other.write_all(b"x").unwrap();
        assert_eq!((ready(None), ready(None)), (vec![7], vec![7]));
        assert_eq!(ready(Some((&one, false, false))), []);
        assert_eq!(ready(Some((&one, false, true))), [7]);
        // A hang-up is told of in any case.
        assert_eq!(ready(Some((&one, false, false))), []);
        drop(other);
        assert_eq!(ready(None), [7]);
        drop(one);
        assert_eq!(ready(None), []);
    }

    #[test]
    fn a_listener_that_refuses_keeps_who_waits_and_lets_nobody_else_come() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = TcpStream::connect(address).unwrap();
        refuse_connections(&listener).unwrap();
        let late = TcpStream::connect_timeout(&address, Duration::from_millis(100));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        waiting.write_all(b"x").unwrap();
        let mut byte = [0];
        listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
