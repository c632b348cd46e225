//! Trouble from inside the engine's process, by a library that is loaded before libc: see `preload.c`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Folder, command, output, skip};

/// The library, compiled, and the orders given to it.
pub struct Preload(Folder);

impl Preload {
    /// Compiles it, with the compiler that SQLite needs too.
    pub fn new() -> Option<Preload> {
        let preload = Preload(Folder::new());
        let source = preload.0.write("preload.c", include_str!("preload.c"));
        let compiler = std::env::var("CC").unwrap_or("cc".to_owned());
        let compiled =
            Command::new(compiler).args(["-shared", "-fPIC", "-o"]).arg(preload.library()).arg(source).status();
        let loaded = compiled.is_ok_and(|status| status.success()) && {
            output(preload.load_into(&mut command(&Folder::new(), &["--version"])));
            preload.given("loaded")
        };
        if !loaded {
            skip("no library can be compiled here and loaded into the engine");
        }
        loaded.then_some(preload)
    }

    fn library(&self) -> PathBuf {
        self.0.join("preload.so")
    }

    pub fn load_into<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("LD_PRELOAD", self.library()).env("PRELOAD_FOLDER", self.0.join(""))
    }

    pub fn order(&self, name: &str, text: &str) {
        // Under its name an order is whole.
        fs::rename(self.0.write("new", text), self.0.join(name)).unwrap();
    }

    pub fn withdraw(&self, name: &str) {
        fs::remove_file(self.0.join(name)).unwrap();
    }

    /// Whether a file is in the folder of orders.
    pub fn given(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }
}
