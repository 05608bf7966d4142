//! The live view over HTTP: a page, an event stream, and the asciinema live stream.
//!
//! The server runs in its own thread. It sends requests to the session through a queue, and a
//! pipe that wakes the session. The session broadcasts events to all viewers without waiting:
//! a viewer that falls behind is disconnected.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::sync::{broadcast, oneshot};

use crate::alis::{self, Part, Stream};
use crate::process;
use crate::protocol::{Event, Kind, Snapshot, Subscription, VERSION};

/// The maximum number of pending events per viewer.
const MAX_PENDING_EVENTS: usize = 64;

/// A viewer that accepts no data for this long is disconnected.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// The minimum time between updates of the page.
const FRAME_INTERVAL: Duration = Duration::from_millis(40);

/// A viewer's request to the session.
pub(crate) enum ViewerRequest {
    /// The current screen and all further events.
    Join(oneshot::Sender<Joined>),
    /// The screen as the page shows it.
    View(oneshot::Sender<String>),
}

/// The screen, the command's process ID, the session's age, and all further events.
pub(crate) type Joined = (Snapshot, u32, Duration, broadcast::Receiver<Arc<Broadcast>>);

/// An event in the formats of all viewers.
pub(crate) struct Broadcast {
    kind: Kind,
    line: String,
    /// The event of the asciinema live stream, if it has one.
    alis: Option<Part>,
}

/// The session's side of the server.
pub(crate) struct Listener {
    requests: mpsc::Receiver<ViewerRequest>,
    wake: OwnedFd,
    events: broadcast::Sender<Arc<Broadcast>>,
}

/// The server's side of the session.
#[derive(Clone)]
struct Session {
    requests: mpsc::Sender<ViewerRequest>,
    wake: Arc<Mutex<OwnedFd>>,
    /// The token that viewers need if other machines can reach the server.
    token: Option<Arc<str>>,
    /// Other origins whose pages may connect.
    origins: Arc<[String]>,
}

impl Listener {
    /// Starts the server; also returns the URL of the live view.
    pub(crate) fn start(address: SocketAddr, origins: Vec<String>) -> io::Result<(Self, String)> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (wake, waker) = process::pipe()?;
        for end in [&wake, &waker] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        let (sender, requests) = mpsc::channel();
        let token = if address.ip().is_loopback() { None } else { Some(random_token()?) };
        let query = token.as_ref().map(|token| format!("/?token={token}")).unwrap_or_default();
        let token = token.map(Arc::from);
        let session =
            Session { requests: sender, wake: Arc::new(Mutex::new(waker)), token, origins: origins.into() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("listen".into()).spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, router(session)).await
            })
        })?;
        Ok((
            Self { requests, wake, events: broadcast::channel(MAX_PENDING_EVENTS).0 },
            format!("http://{address}{query}"),
        ))
    }

    /// A descriptor that is readable when there are requests.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(crate) fn requests(&self) -> Vec<ViewerRequest> {
        let mut bytes = [0; 64];
        while rustix::io::read(&self.wake, &mut bytes[..]).is_ok_and(|count| count > 0) {}
        self.requests.try_iter().collect()
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Broadcast>> {
        self.events.subscribe()
    }

    /// Sends an event, which happened `at` after the start, to all viewers.
    pub(crate) fn broadcast(&self, event: &Event<'_>, at: Duration) {
        if self.events.receiver_count() == 0 {
            return;
        }
        let mut line = Vec::new();
        event.write(&mut line);
        let alis = Part::new(event, at);
        let line = String::from_utf8_lossy(&line).into_owned();
        // All viewers may have disconnected meanwhile.
        let _ = self.events.send(Arc::new(Broadcast { kind: event.kind(), line, alis }));
    }
}

impl Session {
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> ViewerRequest) -> Option<T> {
        let (sender, response) = oneshot::channel();
        self.requests.send(request(sender)).ok()?;
        if let Ok(wake) = self.wake.lock() {
            // If the pipe is full, the session wakes up anyway.
            let _ = rustix::io::write(&*wake, b"?");
        }
        response.await.ok()
    }
}

fn router(session: Session) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/ws/alis", get(alis))
        .route("/ws/events", get(events))
        .route("/ws/view", get(view))
        .layer(middleware::from_fn_with_state(session.clone(), guard))
        .with_state(session)
}

/// Rejects requests without a valid token or from other origins.
async fn guard(
    State(session): State<Session>,
    Query(TokenQuery { token }): Query<TokenQuery>,
    request: Request,
    next: Next,
) -> Response {
    let authorized = session.token.as_deref().is_none_or(|known| constant_time_eq(known, &token));
    if !authorized {
        return (StatusCode::FORBIDDEN, "invalid token: use the URL that ht printed").into_response();
    }
    if !is_allowed_origin(request.headers(), session.token.is_none(), &session.origins) {
        let text = "another origin: allow it with --allow-origin";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

#[derive(Deserialize)]
struct TokenQuery {
    #[serde(default)]
    token: String,
}

/// Compares two tokens in a time that does not depend on their content.
fn constant_time_eq(known: &str, given: &str) -> bool {
    let differences = known.bytes().zip(given.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    differences == 0 && known.len() == given.len()
}

/// An unguessable token.
fn random_token() -> io::Result<String> {
    use std::io::Read as _;

    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

async fn page() -> Response {
    let policy =
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(include_str!("../assets/view.html"))).into_response()
}

/// Whether the request comes from our own page or from an `allowed` origin. Other sites must
/// not read the terminal: they could open a WebSocket to this machine, or resolve their own
/// name to it (DNS rebinding).
fn is_allowed_origin(headers: &HeaderMap, local: bool, allowed: &[String]) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if let Some(origin) = text(header::ORIGIN)
        && origin.split_once("://").is_none_or(|(_, origin)| origin != host)
        && !allowed.iter().any(|allowed| allowed == origin)
    {
        return false;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    !local || name == "localhost" || name == "[::1]" || name.parse::<std::net::Ipv4Addr>().is_ok()
}

async fn alis(upgrade: WebSocketUpgrade, State(session): State<Session>) -> Response {
    upgrade.protocols([alis::PROTOCOL]).on_upgrade(async move |mut socket| {
        let Some((screen, _, at, events)) = session.ask(ViewerRequest::Join).await else { return };
        let (mut viewer, init) = Stream::begin(&screen, at);
        for message in [alis::MAGIC.to_vec(), init] {
            if !send(&mut socket, Message::Binary(message.into())).await {
                return;
            }
        }
        let choose = move |event: &Broadcast| {
            event.alis.as_ref().map(|part| Message::Binary(viewer.message(part).into()))
        };
        stream(socket, events, choose).await;
    })
}

#[derive(Deserialize)]
struct EventsQuery {
    #[serde(default)]
    sub: String,
}

async fn events(
    upgrade: WebSocketUpgrade,
    State(session): State<Session>,
    Query(query): Query<EventsQuery>,
) -> Response {
    let subscription: Subscription = match query.sub.parse() {
        Ok(subscription) => subscription,
        Err(error) => return (StatusCode::BAD_REQUEST, error).into_response(),
    };
    upgrade.on_upgrade(async move |mut socket| {
        let Some((screen, pid, _, events)) = session.ask(ViewerRequest::Join).await else { return };
        if subscription.wants(Kind::Init) {
            let mut line = Vec::new();
            Event::Init { screen, pid, protocol: VERSION }.write(&mut line);
            if !send(&mut socket, text(&String::from_utf8_lossy(&line))).await {
                return;
            }
        }
        stream(socket, events, move |event| subscription.wants(event.kind).then(|| text(&event.line))).await;
    })
}

async fn view(upgrade: WebSocketUpgrade, State(session): State<Session>) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let Some((_, _, _, mut events)) = session.ask(ViewerRequest::Join).await else { return };
        let mut last = String::new();
        loop {
            let Some(screen) = session.ask(ViewerRequest::View).await else { return };
            if screen != last {
                if !send(&mut socket, text(&screen)).await {
                    return;
                }
                last = screen;
            }
            tokio::select! {
                // Missed events do not matter, because the next screen contains everything.
                event = events.recv() => if matches!(event, Err(broadcast::error::RecvError::Closed)) { return },
                message = socket.recv() => if !matches!(message, Some(Ok(_))) { return },
            }
            tokio::time::sleep(FRAME_INTERVAL).await;
            events = events.resubscribe();
        }
    })
}

/// Sends the message that `choose` returns for each event, until either side disconnects.
async fn stream(
    mut socket: WebSocket,
    mut events: broadcast::Receiver<Arc<Broadcast>>,
    mut choose: impl FnMut(&Broadcast) -> Option<Message>,
) {
    loop {
        tokio::select! {
            event = events.recv() => {
                // A viewer that falls behind has missed events.
                let Ok(event) = event else { return };
                if let Some(message) = choose(&event) && !send(&mut socket, message).await {
                    return;
                }
            }
            message = socket.recv() => if !matches!(message, Some(Ok(_))) { return },
        }
    }
}

fn text(text: &str) -> Message {
    Message::Text(text.into())
}

async fn send(socket: &mut WebSocket, message: Message) -> bool {
    let sent = tokio::time::timeout(SEND_TIMEOUT, socket.send(message)).await;
    matches!(sent, Ok(Ok(())))
}
