//! Who comes by TLS, which others speak before the engine, set up as the page for operators says: `openssl` is the client.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Engine, Folder, command, output, skip, wait_for};
use crate::visitor::{Visitor, address, host, web_address};

/// Where Debian puts what nginx loads.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// A process that is killed when it goes out of scope.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What speaks TLS before an engine.
struct Front {
    folder: Folder,
    port: u16,
    _running: Running,
}

/// Whether these are here; if not, that is told.
fn are_here(programs: &[&str]) -> bool {
    let folders = search_path();
    let missing = programs.iter().find(|program| {
        Path::new(program).is_relative() && !folders.split(':').any(|folder| Path::new(folder).join(program).exists())
            || Path::new(program).is_absolute() && !Path::new(program).exists()
    });
    missing.iter().for_each(|program| skip(&format!("{program} is not installed, so nobody comes by TLS through it")));
    missing.is_none()
}

/// Where programs are, those too that only administrators are thought to use.
fn search_path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin"
}

/// The block of the operators' page that begins so, with what this machine has in place of what it says.
fn taught(begins: &str, replace: &[(&str, &str)]) -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.ops/README.md")).unwrap();
    let block = page.split("```\n").find(|block| block.starts_with(begins)).unwrap();
    replace.iter().fold(block.to_owned(), |block, (from, to)| {
        assert!(block.contains(from), "{from} in {block}");
        block.replace(from, to)
    })
}

impl Front {
    /// Runs a program with a configuration that is made for a port, a certificate and its key.
    fn run(
        program: &str,
        arguments: fn(&Path) -> Vec<&str>,
        configuration: impl Fn(u16, [&str; 2]) -> String,
    ) -> Front {
        let folder = Folder::new();
        let [certificate, key] = ["world.pem", "world.key"].map(|name| folder.join(name));
        let paths = [certificate.to_str().unwrap(), key.to_str().unwrap()];
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-out", paths[0], "-keyout", paths[1]])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Another program may take a port between the look for it and its use.
        let (port, running) = wait_for(program, || {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let file = folder.write("front.conf", configuration(port, paths));
            let mut command = Command::new(program);
            command.env("PATH", search_path()).args(arguments(&file)).current_dir(folder.join(""));
            let log = std::fs::File::create(folder.join("front.log")).unwrap();
            let mut running = Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
            wait_for("it to listen or to end", || {
                let is_over = running.0.try_wait().unwrap().is_some();
                (is_over || TcpStream::connect(("127.0.0.1", port)).is_ok()).then_some(())
            });
            if running.0.try_wait().unwrap().is_none() {
                return Some((port, running));
            }
            let log = std::fs::read_to_string(folder.join("front.log")).unwrap();
            assert!(log.contains("in use"), "{log}");
            None
        });
        Front { folder, port, _running: running }
    }

    /// Connects by TLS from an address of this machine, and knows by the certificate who is there.
    fn connect(&self, from: &str) -> (Visitor, Running) {
        let between = TcpListener::bind("127.0.0.1:0").unwrap();
        let visitor = Visitor::at(&between.local_addr().unwrap().to_string());
        let end = OwnedFd::from(between.accept().unwrap().0);
        let certificate: PathBuf = self.folder.join("world.pem");
        let client = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-verify_hostname", "localhost"])
            .args(["-connect", &format!("127.0.0.1:{}", self.port), "-bind", &format!("{from}:0"), "-CAfile"])
            .arg(certificate)
            .stdin(end.try_clone().unwrap())
            .stdout(end)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (visitor, Running(client))
    }
}

/// A stunnel as the page says.
fn stunnel(engine: &Engine) -> Option<Front> {
    are_here(&["stunnel", "openssl"]).then(|| {
        let telnet = address(engine);
        Front::run(
            "stunnel",
            |file| vec![file.to_str().unwrap()],
            |port, [certificate, key]| {
                let accept = format!("127.0.0.1:{port}\n");
                let service = taught(
                    "[world]\n",
                    &[
                        ("4443\n", &accept),
                        ("127.0.0.1:4000", &telnet),
                        ("/etc/ssl/world.pem", certificate),
                        ("/etc/ssl/world.key", key),
                    ],
                );
                format!("foreground = yes\npid =\nsyslog = no\n{service}")
            },
        )
    })
}

/// An nginx with the block of the page that begins so; `http` stands around one that has to stand there.
fn nginx(engine: &Engine, begins: &str, around: [&str; 2]) -> Option<Front> {
    are_here(&["nginx", "openssl", STREAM_MODULE]).then(|| {
        let page = web_address(engine);
        Front::run(
            "nginx",
            |file| vec!["-e", "stderr", "-c", file.to_str().unwrap()],
            |port, [certificate, key]| {
                let listen = format!("listen 127.0.0.1:{port} ssl");
                let block = taught(
                    begins,
                    &[
                        ("listen 443 ssl", &listen),
                        ("127.0.0.1:4080", &page),
                        ("/etc/ssl/world.pem", certificate),
                        ("/etc/ssl/world.key", key),
                    ],
                );
                format!(
                    "load_module {STREAM_MODULE};\ndaemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\n\
                     events {{}}\n{}{block}{}",
                    around[0], around[1]
                )
            },
        )
    })
}

/// Bans an address, or a network.
fn ban(folder: &Folder, of: &str) {
    assert_eq!(output(&mut command(folder, &["ctl", "ban", of])).0, 0);
}

#[test]
fn through_stunnel_one_plays_by_tls_and_a_ban_by_address_holds() {
    let folder = Folder::new();
    let engine = host(&folder, &[("AQEVIA_TRUSTED_PROXIES", "127.0.0.1")]);
    let Some(front) = stunnel(&engine) else { return };
    let (mut visitor, _client) = front.connect("127.0.0.5");
    visitor.reads("Name: ");
    visitor.types("Tilda\r\nyes");
    visitor.reads("The password of Tilda: ");
    visitor.reads("Exits: ");
    assert!(visitor.asks("north").contains("The Barn"));
    assert!(visitor.asks("say Grüße").contains("You say, \"Grüße\""));
    ban(&folder, "127.0.0.6");
    let (mut banned, _client) = front.connect("127.0.0.6");
    assert!(banned.reads_to_the_end().contains("Nobody is let in from your address."));
    ban(&folder, "127.0.0.5/32");
    assert!(visitor.reads_to_the_end().ends_with("** An operator keeps you out from now on.\r\n"));
    // Neither covers the proxy, nor who else comes by it.
    let (other, _client) = front.connect("127.0.0.7");
    let mut other = other.comes_in();
    other.types("quit");
    other.reads("Goodbye.");
    engine.stop();
}

#[test]
fn through_nginx_the_page_and_its_websocket_come_by_tls_and_a_ban_by_address_holds() {
    let folder = Folder::new();
    let engine = host(&folder, &[("AQEVIA_TRUSTED_PROXIES", "127.0.0.1")]);
    let Some(front) = nginx(&engine, "stream {\n", ["", ""]) else { return };
    let play = |from: &str| {
        let (mut visitor, client) = front.connect(from);
        visitor.sends(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = visitor.reads_head();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Security-Policy: "), "{head}");
        drop((visitor, client));
        let (visitor, client) = front.connect(from);
        (visitor.shakes("localhost"), client)
    };
    ban(&folder, "127.0.0.6");
    let (visitor, _client) = play("127.0.0.5");
    assert!(visitor.comes_in().asks("north").contains("The Barn"));
    let (mut banned, _client) = play("127.0.0.6");
    assert!(banned.reads_to_the_end().contains("Nobody is let in from your address."));
    engine.stop();
}

#[test]
fn through_an_http_block_of_nginx_the_page_and_its_websocket_come_by_tls_and_have_its_address() {
    let folder = Folder::new();
    let engine = host(&folder, &[]);
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|what| format!("{what}_temp_path {what};\n")).collect();
    let http = format!("http {{\naccess_log off;\n{temporary}");
    let Some(front) = nginx(&engine, "server {\n    listen 443 ssl;\n    server_name play", [&http, "}\n"]) else {
        return;
    };
    let (mut page, _client) = front.connect("127.0.0.5");
    page.sends(b"GET / HTTP/1.1\r\nHost: localhost:443\r\n\r\n");
    assert!(page.reads_head().starts_with("HTTP/1.1 200 OK\r\n"));
    let (visitor, _client) = front.connect("127.0.0.5");
    let mut visitor = visitor.shakes("localhost:443");
    visitor = visitor.comes_in();
    assert!(visitor.asks("north").contains("The Barn"));
    ban(&folder, "127.0.0.1");
    visitor.reads("** An operator keeps you out from now on.");
    engine.stop();
}
