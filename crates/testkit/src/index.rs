//! Real index servers on loopback, started for single tests.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::tools;

/// The password of `root` on a [`Peer::devpi`].
pub const DEVPI_PASSWORD: &str = "devpi-test-password";

/// A server process, which runs until this value is dropped.
pub struct Peer {
    child: Child,
    /// The root URL, with a trailing slash.
    pub url: String,
}

impl Peer {
    /// pypiserver with the files in `dir`, without a password or a fallback to another index.
    pub fn pypiserver(dir: &Path) -> Self {
        let port = free_port();
        let mut command = tools::command("pypi-server");
        command.args(["run", "--disable-fallback", "-i", "127.0.0.1", "-p", &port.to_string()]);
        command.args(["-P", ".", "-a", "."]).arg(dir);
        Self::start(command, port, "/simple/")
    }

    /// devpi-server with the volatile index `root/dev` and no mirror, stored in `dir`. Uploads go
    /// to `root/dev/` as `root` with the password [`DEVPI_PASSWORD`].
    pub fn devpi(dir: &Path) -> Self {
        let (port, server, client) = (free_port(), dir.join("server"), dir.join("client"));
        let run = |command: &mut Command| {
            let output = command.output().expect("the tool starts");
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let passwd = ["--root-passwd", DEVPI_PASSWORD];
        run(tools::command("devpi-init").arg("--serverdir").arg(&server).args(passwd));
        let mut command = tools::command("devpi-server");
        command.arg("--serverdir").arg(&server).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.arg("--offline-mode");
        let peer = Self::start(command, port, "/+api");
        for args in [
            &["use", peer.url.as_str()][..],
            &["login", "root", "--password", DEVPI_PASSWORD],
            &["index", "-c", "dev", "bases="],
        ] {
            run(tools::command("devpi").args(args).arg("--clientdir").arg(&client));
        }
        peer
    }

    fn start(mut command: Command, port: u16, ready: &str) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the server starts");
        let mut peer = Self { child, url: format!("http://127.0.0.1:{port}/") };
        while !responds(port, ready) {
            let ended = peer.child.try_wait().expect("the status of the server is available");
            assert!(ended.is_none(), "the server exited before it responded: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        peer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

fn responds(port: u16, path: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
    let mut answer = Vec::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_end(&mut answer).is_ok()
        && answer.starts_with(b"HTTP/1.")
}
