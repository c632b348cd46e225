//! A copy of SQLite's default VFS whose files can be watched, made to fail, and made to forget.
//!
//! It is the default VFS of this process: the engine's storage runs on it unchanged. Each thread may set a watcher, which
//! is told of every write, sync, truncate, open and delete before it happens and says what becomes of it. Without one,
//! everything goes on as usual. This is the only file of the tests with `unsafe`.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, Once, PoisonError};

use rusqlite::ffi::{
    SQLITE_IOERR_CLOSE, SQLITE_OK, sqlite3_file, sqlite3_filename, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs,
    sqlite3_vfs_find, sqlite3_vfs_register,
};

/// What SQLite is about to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Open it, perhaps making it.
    Open,
    /// Write these bytes at this place.
    Write(u64, &'a [u8]),
    /// Cut it to this length.
    Truncate(u64),
    /// Make everything that was written to it durable.
    Sync,
    /// Delete it.
    Delete,
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out.
    Proceed,
    /// Nothing is done, and SQLite is told that it was.
    Pretend,
    /// It fails with this result code (SQLite, "Result and Error Codes"), and nothing is done.
    Fail(c_int),
    /// A write fails with this result code after half of its bytes.
    Tear(c_int),
}

type Watcher = Box<dyn FnMut(&Path, Operation) -> Verdict>;

thread_local! {
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
}

/// The thread is watched as long as this lives.
pub struct Watched(());

/// Lets `watcher` decide about everything that SQLite does on this thread from now on with files that are opened from now on:
/// what was open before the first call in this process is never watched.
pub fn watch(watcher: impl FnMut(&Path, Operation) -> Verdict + 'static) -> Watched {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(register);
    WATCHER.with(|current| *current.borrow_mut() = Some(Box::new(watcher)));
    Watched(())
}

impl Drop for Watched {
    fn drop(&mut self) {
        WATCHER.with(|current| *current.borrow_mut() = None);
    }
}

fn ask(path: &Path, operation: Operation) -> Verdict {
    WATCHER.with(|current| current.borrow_mut().as_mut().map_or(Verdict::Proceed, |watcher| watcher(path, operation)))
}

/// An open file: its name, and the methods that the default VFS gave it.
struct Open {
    path: PathBuf,
    methods: &'static sqlite3_io_methods,
}

/// Every open file, by the address of SQLite's own structure for it.
static FILES: Mutex<BTreeMap<usize, Open>> = Mutex::new(BTreeMap::new());

fn files() -> std::sync::MutexGuard<'static, BTreeMap<usize, Open>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_file(file: *mut sqlite3_file) -> (PathBuf, &'static sqlite3_io_methods) {
    let files = files();
    let Open { path, methods } = &files[&file.addr()];
    (path.clone(), methods)
}

fn real() -> *mut sqlite3_vfs {
    // SAFETY: a VFS of this name is built into SQLite for Unix and is never taken away.
    unsafe { sqlite3_vfs_find(c"unix".as_ptr()) }
}

fn register() {
    // SAFETY: `real` points to a VFS that lives as long as the process, and the structure is plain data.
    let mut vfs = unsafe { *real() };
    vfs.zName = c"watched".as_ptr();
    vfs.pNext = ptr::null_mut();
    vfs.xOpen = Some(open);
    vfs.xDelete = Some(delete);
    // SAFETY: the structure is leaked, so it lives as long as the process; 1 makes it the default.
    let code = unsafe { sqlite3_vfs_register(Box::leak(Box::new(vfs)), 1) };
    assert_eq!(code, SQLITE_OK);
}

/// The name of a file as SQLite passes it; empty for one without a name.
fn path_of(name: *const c_char) -> PathBuf {
    if name.is_null() {
        return PathBuf::new();
    }
    // SAFETY: SQLite passes a name that ends with NUL and lives during the call.
    let name = unsafe { CStr::from_ptr(name) };
    OsStr::from_bytes(name.to_bytes()).into()
}

extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let path = path_of(name);
    if let Verdict::Fail(code) = ask(&path, Operation::Open) {
        // SAFETY: SQLite gives room for a file; without methods it does not call `close` (SQLite, "sqlite3_vfs").
        unsafe { (*file).pMethods = ptr::null() };
        return code;
    }
    let real = real();
    // SAFETY: `real` is a registered VFS; every one has this method.
    let Some(open) = (unsafe { (*real).xOpen }) else { unreachable!("a VFS opens files") };
    // SAFETY: these are SQLite's own arguments, and the room it gives is as large as the default VFS asked for.
    let code = unsafe { open(real, name, file, flags, out_flags) };
    // SAFETY: the default VFS has filled in the file, its methods included.
    let methods: *const sqlite3_io_methods = unsafe { (*file).pMethods };
    // SAFETY: the default VFS keeps its methods in constants; a file that was not opened has none.
    if let Some(methods) = unsafe { methods.as_ref() } {
        let watched = sqlite3_io_methods {
            xClose: Some(close),
            xWrite: Some(write),
            xTruncate: Some(truncate),
            xSync: Some(sync),
            ..*methods
        };
        files().insert(file.addr(), Open { path, methods });
        // Leaked: SQLite may look at it until after `close`. A few hundred bytes a file do not matter to a test.
        let watched = Box::leak(Box::new(watched));
        // SAFETY: the file is SQLite's, open and ours during this call.
        unsafe { (*file).pMethods = watched };
    }
    code
}

extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    match ask(&path_of(name), Operation::Delete) {
        Verdict::Fail(code) | Verdict::Tear(code) => return code,
        Verdict::Pretend => return SQLITE_OK,
        Verdict::Proceed => (),
    }
    let real = real();
    // SAFETY: `real` is a registered VFS; every one has this method.
    let Some(delete) = (unsafe { (*real).xDelete }) else { unreachable!("a VFS deletes files") };
    // SAFETY: these are SQLite's own arguments.
    unsafe { delete(real, name, sync_folder) }
}

extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let Some(Open { methods, .. }) = files().remove(&file.addr()) else { return SQLITE_IOERR_CLOSE };
    let Some(close) = methods.xClose else { unreachable!("a file is closed") };
    // SAFETY: the method is that of this file, which is open.
    unsafe { close(file) }
}

extern "C" fn write(file: *mut sqlite3_file, data: *const c_void, length: c_int, offset: sqlite3_int64) -> c_int {
    let (path, methods) = open_file(file);
    // SAFETY: SQLite passes `length` readable bytes that nobody changes during the call.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length as usize) };
    let (length, code) = match ask(&path, Operation::Write(offset as u64, bytes)) {
        Verdict::Proceed => (length, SQLITE_OK),
        Verdict::Pretend => return SQLITE_OK,
        Verdict::Fail(code) => return code,
        Verdict::Tear(code) => (length / 2, code),
    };
    let Some(write) = methods.xWrite else { unreachable!("a file is written") };
    // SAFETY: the method is that of this file, which is open; `data` has at least `length` bytes.
    let written = unsafe { write(file, data, length, offset) };
    if code == SQLITE_OK { written } else { code }
}

extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    let (path, methods) = open_file(file);
    match ask(&path, Operation::Truncate(size as u64)) {
        Verdict::Fail(code) | Verdict::Tear(code) => return code,
        Verdict::Pretend => return SQLITE_OK,
        Verdict::Proceed => (),
    }
    let Some(truncate) = methods.xTruncate else { unreachable!("a file is truncated") };
    // SAFETY: the method is that of this file, which is open.
    unsafe { truncate(file, size) }
}

extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    let (path, methods) = open_file(file);
    match ask(&path, Operation::Sync) {
        Verdict::Fail(code) | Verdict::Tear(code) => return code,
        Verdict::Pretend => return SQLITE_OK,
        Verdict::Proceed => (),
    }
    let Some(sync) = methods.xSync else { unreachable!("a file is synced") };
    // SAFETY: the method is that of this file, which is open.
    unsafe { sync(file, flags) }
}
