//! A proxy in front of an index, or all services of a run, that injects faults.

use std::io;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::Server;

/// A fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The response is this status with `Retry-After`; the request is not forwarded.
    Status(u16, Option<u32>),
    /// The connection is reset in the middle of the body.
    Reset,
    /// The request is forwarded, but the connection is closed without a response.
    LostAnswer,
    /// The request is read, but neither forwarded nor answered.
    Hang,
    /// An endless response, byte by byte; the request is not forwarded.
    Trickle(&'static [u8]),
    /// This response is sent after the head of the request, and the connection is closed.
    Early(&'static [u8]),
    /// This response is sent after the whole request, and the connection is closed.
    Answer(&'static [u8]),
    /// The proxy stops at this point and notifies the test.
    Stop(Point),
}

/// A point in the processing of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// After reading the head.
    Head,
    /// After reading half of the body.
    Body,
    /// After forwarding the request, before the response.
    Answer,
}

/// The proxy, which runs until this value is dropped.
pub struct Proxy {
    servers: Vec<Server>,
    shared: Arc<Shared>,
    stopped: Receiver<()>,
}

struct Shared {
    /// Whether only uploads are counted.
    uploads_alone: bool,
    /// The remaining faults, with the number of requests before each.
    faults: Mutex<Vec<(usize, Fault)>>,
    connections: AtomicU64,
    requests: AtomicU64,
    body: AtomicU64,
    stopped: Sender<()>,
    /// The fault of all requests whose head has this prefix, after this many have passed.
    always: Option<(&'static str, AtomicU64, Fault)>,
}

impl Proxy {
    /// Starts a proxy in front of `url`. `faults` are by the number of the upload, from 0.
    pub fn start(url: &str, faults: &[(usize, Fault)]) -> Self {
        Self::with(&[url], faults, true, None)
    }

    /// Starts a proxy in front of `url`. All requests whose head starts with `prefix` have
    /// `fault`, after `passing` of them have passed.
    pub fn always(url: &str, prefix: &'static str, passing: u64, fault: Fault) -> Self {
        Self::with(&[url], &[], false, Some((prefix, AtomicU64::new(passing), fault)))
    }

    /// Starts a proxy with a URL for each of `urls`. `faults` are by the number of the request
    /// to any of them, from 0.
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
                // Broken connections are intended here.
                async move { drop(state.serve(&upstream, stream).await) }
            })
        };
        Self { servers: urls.iter().map(server).collect(), shared, stopped }
    }

    /// The first root URL, with a trailing slash.
    pub fn url(&self) -> String {
        self.urls().remove(0)
    }

    /// All root URLs.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    /// The received bytes of request bodies.
    pub fn body_bytes(&self) -> u64 {
        self.shared.body.load(Ordering::SeqCst)
    }

    /// The number of received uploads, or of all requests if those are counted.
    pub fn uploads(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// The number of connections.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until a request has reached its [`Fault::Stop`].
    pub fn wait_for_stop(&self) {
        self.stopped.recv().expect("the proxy runs");
    }

    /// Waits until a request has stopped or `child` has exited; returns whether it stopped.
    pub fn stops(&self, child: &mut Child) -> bool {
        loop {
            if self.stopped.recv_timeout(Duration::from_millis(10)).is_ok() {
                return true;
            }
            if child.try_wait().expect("the status of the child is available").is_some() {
                return false;
            }
        }
    }
}

/// The head of a request, with the part of the body that arrived with it.
struct Head {
    text: String,
    rest: Vec<u8>,
    length: usize,
}

impl Shared {
    /// The fault of this request.
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

    /// Serves one request, then closes the connection.
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
            // Closing a socket with unread bytes resets the connection.
            Some(Fault::Reset) => return self.read_body(&mut client, &head, half).await.map(drop),
            Some(Fault::Early(answer)) => {
                client.write_all(answer).await?;
                client.shutdown().await?;
                // Like real servers, read on for a while: closing a socket with unread
                // bytes would reset the connection and lose the response.
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

/// Reads until the client disconnects.
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

/// Adds `Connection: close` to the head, so that each request has its own connection.
fn close_after(head: &str) -> String {
    let lines = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    lines.map(|line| format!("{line}\r\n")).collect::<String>() + "Connection: close\r\n\r\n"
}
