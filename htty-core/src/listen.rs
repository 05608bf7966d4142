//! The live view: a page, its events, and the asciinema live stream, by HTTP.
//!
//! The server runs in a thread of its own. It asks the session through a queue
//! and a pipe that wakes it; the session tells all viewers at once, and does not
//! wait for any: one that falls behind is disconnected.

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

/// So many events may wait for one viewer.
const WAITING: usize = 64;

/// A viewer that takes nothing for so long is disconnected.
const PATIENCE: Duration = Duration::from_secs(5);

/// The page is not redrawn more often.
const FRAME: Duration = Duration::from_millis(40);

/// What a viewer asks the session.
pub(crate) enum Question {
    /// To see all that comes.
    Join(oneshot::Sender<Joined>),
    /// The screen for the page.
    View(oneshot::Sender<String>),
}

/// The screen, the command's process ID, the session's age, and all events after that.
pub(crate) type Joined = (Snapshot, u32, Duration, broadcast::Receiver<Arc<Told>>);

/// An event as viewers get it.
pub(crate) struct Told {
    kind: Kind,
    line: String,
    /// As the asciinema live stream says it.
    alis: Option<Part>,
}

/// The session's side of the server.
pub(crate) struct Listener {
    questions: mpsc::Receiver<Question>,
    wake: OwnedFd,
    told: broadcast::Sender<Arc<Told>>,
}

/// The server's side of the session.
#[derive(Clone)]
struct Session {
    questions: mpsc::Sender<Question>,
    wake: Arc<Mutex<OwnedFd>>,
    /// What a viewer must know, where other machines can reach the server.
    token: Option<Arc<str>>,
    /// Other sites whose pages may connect.
    origins: Arc<[String]>,
}

impl Listener {
    /// Starts the server; gives the live view's URL too.
    pub(crate) fn start(address: SocketAddr, origins: Vec<String>) -> io::Result<(Self, String)> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (wake, waker) = process::pipe()?;
        for end in [&wake, &waker] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        let (asker, questions) = mpsc::channel();
        let token = if address.ip().is_loopback() { None } else { Some(random()?) };
        let query = token.as_ref().map(|token| format!("/?token={token}")).unwrap_or_default();
        let token = token.map(Arc::from);
        let session =
            Session { questions: asker, wake: Arc::new(Mutex::new(waker)), token, origins: origins.into() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("listen".into()).spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, router(session)).await
            })
        })?;
        Ok((
            Self { questions, wake, told: broadcast::channel(WAITING).0 },
            format!("http://{address}{query}"),
        ))
    }

    /// Is readable when there are questions.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(crate) fn questions(&self) -> Vec<Question> {
        let mut bytes = [0; 64];
        while rustix::io::read(&self.wake, &mut bytes[..]).is_ok_and(|count| count > 0) {}
        self.questions.try_iter().collect()
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Told>> {
        self.told.subscribe()
    }

    /// Tells every viewer of an event, `at` so long after the start.
    pub(crate) fn tell(&self, event: &Event<'_>, at: Duration) {
        if self.told.receiver_count() == 0 {
            return;
        }
        let mut line = Vec::new();
        event.write(&mut line);
        let alis = Part::new(event, at);
        let line = String::from_utf8_lossy(&line).into_owned();
        // Whoever left between the count and now misses nothing.
        let _ = self.told.send(Arc::new(Told { kind: event.kind(), line, alis }));
    }
}

impl Session {
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(question(answer)).ok()?;
        if let Ok(wake) = self.wake.lock() {
            // A full pipe wakes the session too.
            let _ = rustix::io::write(&*wake, b"?");
        }
        answered.await.ok()
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

/// Lets those through who may see the terminal.
async fn guard(
    State(session): State<Session>,
    Query(Given { token }): Query<Given>,
    request: Request,
    next: Next,
) -> Response {
    let known = session.token.as_deref().is_none_or(|known| is_same(known, &token));
    if !known || !is_own(request.headers(), session.token.is_none(), &session.origins) {
        let text = if known { "another site's page" } else { "wrong token: use the URL that ht printed" };
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    token: String,
}

/// Compares in a time that does not depend on where the first difference is.
fn is_same(known: &str, given: &str) -> bool {
    let differences = known.bytes().zip(given.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    differences == 0 && known.len() == given.len()
}

/// A token that nobody guesses.
fn random() -> io::Result<String> {
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

/// Another site's page must not read the terminal: it could open a WebSocket to
/// this machine, or let its own name point here (DNS rebinding). Those of `allowed` may.
fn is_own(headers: &HeaderMap, local: bool, allowed: &[String]) -> bool {
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
        let Some((screen, _, at, told)) = session.ask(Question::Join).await else { return };
        let (mut viewer, init) = Stream::begin(&screen, at);
        for message in [alis::MAGIC.to_vec(), init] {
            if !send(&mut socket, Message::Binary(message.into())).await {
                return;
            }
        }
        let choose =
            move |told: &Told| told.alis.as_ref().map(|part| Message::Binary(viewer.message(part).into()));
        stream(socket, told, choose).await;
    })
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    sub: String,
}

async fn events(
    upgrade: WebSocketUpgrade,
    State(session): State<Session>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let wanted: Subscription = match wanted.sub.parse() {
        Ok(wanted) => wanted,
        Err(error) => return (StatusCode::BAD_REQUEST, error).into_response(),
    };
    upgrade.on_upgrade(async move |mut socket| {
        let Some((screen, pid, _, told)) = session.ask(Question::Join).await else { return };
        if wanted.wants(Kind::Init) {
            let mut line = Vec::new();
            Event::Init { screen, pid, protocol: VERSION }.write(&mut line);
            if !send(&mut socket, text(&String::from_utf8_lossy(&line))).await {
                return;
            }
        }
        stream(socket, told, move |told| wanted.wants(told.kind).then(|| text(&told.line))).await;
    })
}

async fn view(upgrade: WebSocketUpgrade, State(session): State<Session>) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let Some((_, _, _, mut told)) = session.ask(Question::Join).await else { return };
        let mut last = String::new();
        loop {
            let Some(screen) = session.ask(Question::View).await else { return };
            if screen != last {
                if !send(&mut socket, text(&screen)).await {
                    return;
                }
                last = screen;
            }
            tokio::select! {
                // Having missed some does not matter: the next screen has it all.
                event = told.recv() => if matches!(event, Err(broadcast::error::RecvError::Closed)) { return },
                message = socket.recv() => if !matches!(message, Some(Ok(_))) { return },
            }
            tokio::time::sleep(FRAME).await;
            told = told.resubscribe();
        }
    })
}

/// Sends what `choose` makes of each event, until either side is gone.
async fn stream(
    mut socket: WebSocket,
    mut told: broadcast::Receiver<Arc<Told>>,
    mut choose: impl FnMut(&Told) -> Option<Message>,
) {
    loop {
        tokio::select! {
            event = told.recv() => {
                // One that falls behind has lost the thread.
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
    let sent = tokio::time::timeout(PATIENCE, socket.send(message)).await;
    matches!(sent, Ok(Ok(())))
}
