//! A proxy before an index, or before all services of a run, that goes wrong
//! as networks and servers do.

use std::io;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::Server;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status and `Retry-After`, and not passed on.
    Status(u16, Option<u32>),
    /// The connection is reset within the body.
    Reset,
    /// It is stored, and the connection closed without an answer.
    LostAnswer,
    /// It is read, and neither passed on nor answered.
    Hang,
    /// It is answered so, byte by byte and without end, and not passed on.
    Trickle(&'static [u8]),
    /// It is answered so as soon as its head has been read, and the connection
    /// closed.
    Early(&'static [u8]),
    /// It is answered so once it has been read, and the connection closed.
    Answer(&'static [u8]),
    /// It stops for good at this point; the test is told.
    Stop(Point),
}

/// A point of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The request's head has been read.
    Head,
    /// Half of its body has been read.
    Body,
    /// It is stored, the answer not yet delivered.
    Answer,
}

/// The proxy; it ends with this value.
pub struct Proxy {
    servers: Vec<Server>,
    shared: Arc<Shared>,
    stopped: Receiver<()>,
}

struct Shared {
    /// Whether uploads alone are counted.
    uploads_alone: bool,
    /// The faults to come, and how many requests pass before each.
    faults: Mutex<Vec<(usize, Fault)>>,
    connections: AtomicU64,
    requests: AtomicU64,
    body: AtomicU64,
    stopped: Sender<()>,
    /// What every request meets whose head begins so, after so many have passed.
    always: Option<(&'static str, AtomicU64, Fault)>,
}

impl Proxy {
    /// A proxy before the server at `url`; upload number `n` (from 0) meets
    /// its fault, if one is listed.
    pub fn start(url: &str, faults: &[(usize, Fault)]) -> Self {
        Self::with(&[url], faults, true, None)
    }

    /// A proxy before the server at `url`; every request whose head begins with
    /// `prefix` meets `fault`, once `passing` of them have passed.
    pub fn always(url: &str, prefix: &'static str, passing: u64, fault: Fault) -> Self {
        Self::with(&[url], &[], false, Some((prefix, AtomicU64::new(passing), fault)))
    }

    /// A proxy with an address for each of `urls`; of all requests to any of
    /// them, number `n` (from 0) meets its fault, if one is listed.
    pub fn before(urls: &[&str], faults: &[(usize, Fault)]) -> Self {
        Self::with(urls, faults, false, None)
    }

    fn with(
        urls: &[&str],
        faults: &[(usize, Fault)],
        uploads_alone: bool,
        always: Option<(&'static str, AtomicU64, Fault)>,
    ) -> Self {
        let (sender, stopped) = channel();
        let shared = Arc::new(Shared {
            uploads_alone,
            faults: Mutex::new(faults.to_vec()),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            body: AtomicU64::new(0),
            stopped: sender,
            always,
        });
        let server = |url: &&str| {
            let upstream = url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
            let state = Arc::clone(&shared);
            Server::connections(move |stream| {
                let (state, upstream) = (Arc::clone(&state), upstream.clone());
                // A connection that breaks is what this is for.
                async move { drop(state.serve(&upstream, stream).await) }
            })
        };
        Self { servers: urls.iter().map(server).collect(), shared, stopped }
    }

    /// The root of the first address, with a slash at the end.
    pub fn url(&self) -> String {
        self.urls().remove(0)
    }

    /// The root of each address.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    /// Bytes of request bodies that came in.
    pub fn body_bytes(&self) -> u64 {
        self.shared.body.load(Ordering::SeqCst)
    }

    /// How many uploads (or requests, where all are counted) came in.
    pub fn uploads(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until a request has come to its [`Fault::Stop`].
    pub fn wait_for_stop(&self) {
        self.stopped.recv().expect("the proxy runs");
    }

    /// The same, or until `child` has ended: whether it was stopped.
    pub fn stops(&self, child: &mut Child) -> bool {
        loop {
            if self.stopped.recv_timeout(Duration::from_millis(10)).is_ok() {
                return true;
            }
            if child.try_wait().expect("the child can be asked").is_some() {
                return false;
            }
        }
    }
}

/// A request's head, and what of its body came with it.
struct Head {
    text: String,
    rest: Vec<u8>,
    length: usize,
}

impl Shared {
    /// What this request meets.
    fn fault(&self, head: &Head) -> Option<Fault> {
        let is_upload = head.text.starts_with("POST ") && head.text.contains("multipart/form-data");
        if let Some((prefix, passing, fault)) = &self.always {
            let passes = |left: u64| left.checked_sub(1);
            return (head.text.starts_with(prefix)
                && passing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, passes).is_err())
            .then_some(*fault);
        }
        if !is_upload && self.uploads_alone {
            return None;
        }
        let number = usize::try_from(self.requests.fetch_add(1, Ordering::SeqCst)).unwrap_or(usize::MAX);
        let mut faults = self.faults.lock().expect("no panic while locked");
        let at = faults.iter().position(|(at, _)| *at == number);
        at.map(|at| faults.remove(at).1)
    }

    /// One request, then the connection is closed.
    async fn serve(&self, upstream: &str, mut client: TcpStream) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::SeqCst);
        let head = read_head(&mut client).await?;
        let fault = self.fault(&head);
        let half = head.length / 2;
        match fault {
            Some(Fault::Stop(Point::Head)) => return self.stop(client).await,
            Some(Fault::Stop(Point::Body)) => {
                self.read_body(&mut client, &head, half).await?;
                return self.stop(client).await;
            }
            // With unread bytes in it a closed socket is a reset one.
            Some(Fault::Reset) => return self.read_body(&mut client, &head, half).await.map(drop),
            Some(Fault::Early(answer)) => {
                client.write_all(answer).await?;
                client.shutdown().await?;
                // Closed with unread bytes, the socket would be reset, and the
                // answer lost: servers read on for a while.
                return drain(&mut client).await;
            }
            _ => {}
        }
        let body = self.read_body(&mut client, &head, head.length).await?;
        match fault {
            Some(Fault::Status(status, after)) => {
                let after = after.map(|after| format!("Retry-After: {after}\r\n")).unwrap_or_default();
                let answer = format!(
                    "HTTP/1.1 {status} Fault\r\n{after}Content-Length: 0\r\nConnection: close\r\n\r\n"
                );
                return client.write_all(answer.as_bytes()).await;
            }
            Some(Fault::Answer(answer)) => return client.write_all(answer).await,
            Some(Fault::Hang) => return drain(&mut client).await,
            Some(Fault::Trickle(answer)) => {
                client.write_all(answer).await?;
                loop {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    client.write_all(b" ").await?;
                }
            }
            _ => {}
        }
        let mut upstream = TcpStream::connect(upstream).await?;
        upstream.write_all(close_after(&head.text).as_bytes()).await?;
        upstream.write_all(&body).await?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer).await?;
        match fault {
            Some(Fault::LostAnswer) => Ok(()),
            Some(Fault::Stop(_)) => self.stop(client).await,
            _ => client.write_all(&answer).await,
        }
    }

    async fn read_body(&self, client: &mut TcpStream, head: &Head, length: usize) -> io::Result<Vec<u8>> {
        let mut body = head.rest.clone();
        self.body.fetch_add(body.len() as u64, Ordering::SeqCst);
        while body.len() < length {
            let mut piece = vec![0; (length - body.len()).min(64 * 1024)];
            let count = client.read(&mut piece).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.body.fetch_add(count as u64, Ordering::SeqCst);
            body.extend_from_slice(&piece[..count]);
        }
        Ok(body)
    }

    async fn stop(&self, mut client: TcpStream) -> io::Result<()> {
        self.stopped.send(()).map_err(io::Error::other)?;
        drain(&mut client).await
    }
}

/// Reads until the client goes away.
async fn drain(client: &mut TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while client.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn read_head(client: &mut TcpStream) -> io::Result<Head> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            let text = String::from_utf8(bytes).map_err(io::Error::other)?;
            let length = text.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            return Ok(Head { text, rest, length: length.unwrap_or(0) });
        }
        let mut piece = [0; 8192];
        let count = client.read(&mut piece).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}

/// The head with `Connection: close`, so that each request has a connection.
fn close_after(head: &str) -> String {
    let lines = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    lines.map(|line| format!("{line}\r\n")).collect::<String>() + "Connection: close\r\n\r\n"
}
