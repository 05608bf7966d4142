//! HTTP with limits: no redirect to another host, no endless answer, and
//! retries that know what may be tried again.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use toolkit::{Ui, error_chain};

/// The most that an answer may hold, in bytes; the pages of large projects have several million.
const ANSWER: usize = 16 * 1024 * 1024;
/// The most that is read of an error's answer, in bytes.
const ERROR: usize = 64 * 1024;
/// The longest wait that an index may ask for.
const PATIENCE: Duration = Duration::from_secs(180);
/// A server that hangs is tried so often, whatever the pace allows.
const HANGS: u32 = 2;

/// Why a request has no usable answer. No message holds a header or a query.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, or one that broke.
    #[error("{url}: the connection failed")]
    Connection {
        /// Without query.
        url: String,
        /// What the client says.
        source: reqwest::Error,
    },
    /// Time ran out.
    #[error("{url}: {what} for {} s", limit.as_secs())]
    Timeout {
        /// Without query.
        url: String,
        /// What did not happen.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// A status that is no success.
    #[error("{url} answered {status}{}{}", detail(message), asked(*retry_after))]
    Status {
        /// Without query.
        url: String,
        /// The status.
        status: StatusCode,
        /// What the answer says, in one line.
        message: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed.
    #[error("{url} answered {status}, a redirect to `{to}`, which is not followed")]
    Redirect {
        /// Without query.
        url: String,
        /// The status.
        status: StatusCode,
        /// Where to.
        to: String,
    },
    /// An answer past the limit.
    #[error("{url}: the answer is longer than {limit} bytes")]
    TooLong {
        /// Without query.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// An answer that is not understood.
    #[error("{url}: the answer is not {expected}: {found}")]
    Form {
        /// Without query.
        url: String,
        /// What was expected.
        expected: &'static str,
        /// What is wrong with it.
        found: String,
    },
    /// A file that is no longer what was inspected; its last piece was not sent.
    #[error("the file was changed while it was being published; build and verify it again")]
    Changed,
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn detail(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// A wait that is too long to be waited for.
fn asked(retry_after: Option<Duration>) -> String {
    let long = retry_after.filter(|asked| *asked > PATIENCE);
    long.map(|asked| format!(" (it asks to wait {} s)", asked.as_secs())).unwrap_or_default()
}

impl HttpError {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Timeout { .. } => true,
            Self::Status { status, .. } => matches!(status.as_u16(), 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// The status, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// How long to wait, and how often to try.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Tries in all.
    pub tries: u32,
    /// The wait after the first failure; it doubles each time.
    pub first: Duration,
    /// The longest wait of our own.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { tries: 6, first: Duration::from_millis(500), longest: Duration::from_secs(20) }
    }
}

impl Pace {
    /// The wait before try number `next` (the first is 1): at least what the
    /// server asks for, else exponential with jitter. `None`: give up.
    pub fn wait(&self, next: u32, asked: Option<Duration>) -> Option<Duration> {
        if next > self.tries || asked.is_some_and(|asked| asked > PATIENCE) {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << next.saturating_sub(2).min(16)).min(self.longest);
        let jitter = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        Some(doubled.mul_f64(0.5 + jitter / 2.0).max(asked.unwrap_or_default()))
    }

    /// The wait before try number `next` after `error`; `None`: it is final.
    pub fn after(&self, next: u32, error: &HttpError) -> Option<Duration> {
        let hangs = matches!(error, HttpError::Timeout { .. }) && next > HANGS;
        if error.is_transient() && !hangs { self.wait(next, error.retry_after()) } else { None }
    }
}

/// The clients, and how patient they are.
#[derive(Clone)]
pub struct Http {
    /// Follows redirects within one host: for what is public.
    pub reader: Client,
    /// Follows none: for whatever carries a secret.
    pub sender: Client,
    /// Retries.
    pub pace: Pace,
    ui: Ui,
}

impl Http {
    /// Clients over rustls. Retries are told by `ui`.
    pub fn new(pace: Pace, ui: &Ui) -> Result<Self, reqwest::Error> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("publish/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(10))
                // What is not unpacked can be no bomb, whatever other crates
                // make of reqwest's features.
                .no_gzip()
                .no_brotli()
                .no_deflate()
                .no_zstd()
        };
        let same_host = redirect::Policy::custom(|attempt| {
            let origin = |url: &Url| url.origin();
            let first = attempt.previous().first().map(origin);
            if attempt.previous().len() < 5 && first == Some(attempt.url().origin()) {
                attempt.follow()
            } else {
                attempt.stop()
            }
        });
        Ok(Self {
            reader: builder().redirect(same_host).read_timeout(Duration::from_secs(60)).build()?,
            sender: builder().redirect(redirect::Policy::none()).build()?,
            pace,
            ui: ui.clone(),
        })
    }

    /// The same, but each request is tried once.
    #[must_use]
    pub fn once(&self) -> Self {
        Self { pace: Pace { tries: 1, ..self.pace }, ..self.clone() }
    }

    /// Sends what `request` makes until it has an answer, or has failed for
    /// good; `limit` is for each try.
    pub async fn fetch(
        &self,
        limit: Duration,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<(HeaderMap, Vec<u8>), HttpError> {
        let mut tries = 1;
        loop {
            let error = match self.fetch_once(limit, request()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tries += 1;
            match self.pace.after(tries, &error) {
                Some(wait) => self.pause(&error_chain(&error), wait).await?,
                None => return Err(error),
            }
        }
    }

    /// Tells what went wrong, and waits before it is tried again.
    pub(crate) async fn pause(&self, what: &str, wait: Duration) -> Result<(), HttpError> {
        self.ui.info(format!("  {what}; again in {:.1} s", wait.as_secs_f64()));
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = interruption() => Err(HttpError::Interrupted),
        }
    }

    async fn fetch_once(
        &self,
        limit: Duration,
        request: RequestBuilder,
    ) -> Result<(HeaderMap, Vec<u8>), HttpError> {
        let (client, request) = request.build_split();
        let request = request.map_err(|source| HttpError::Connection { url: String::new(), source })?;
        let url = shown(request.url());
        let answer = async {
            let response = client.execute(request).await.map_err(|error| connection(&url, error))?;
            let response = self.success(response).await?;
            let headers = response.headers().clone();
            Ok((headers, body(response).await?))
        };
        tokio::select! {
            answer = answer => answer,
            () = tokio::time::sleep(limit) => {
                Err(HttpError::Timeout { url: url.clone(), what: "no complete answer", limit })
            }
            () = interruption() => Err(HttpError::Interrupted),
        }
    }

    /// The response, if its status is a success; else what it says.
    pub(crate) async fn success(&self, response: Response) -> Result<Response, HttpError> {
        let (url, status) = (shown(response.url()), response.status());
        if status.is_success() {
            return Ok(response);
        }
        if let Some(to) = response.headers().get(LOCATION).filter(|_| status.is_redirection()) {
            let to = self.ui.hide(&String::from_utf8_lossy(to.as_bytes()));
            let to = response.url().join(&to).map_or(to, |to| shown(&to));
            return Err(HttpError::Redirect { url, status, to });
        }
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.map(|value| seconds(value.to_str().unwrap_or_default()));
        let json = is_json(response.headers());
        let message = message(&beginning(response).await, json, &self.ui);
        Err(HttpError::Status { url, status, message, retry_after })
    }
}

/// `url` without what might be secret.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // It fails only for URLs that have no host, and those have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

pub(crate) fn connection(url: &str, error: reqwest::Error) -> HttpError {
    let url = url.to_owned();
    if error.is_timeout() && !error.is_connect() {
        return HttpError::Timeout { url, what: "no progress", limit: Duration::from_secs(60) };
    }
    HttpError::Connection { url, source: error.without_url() }
}

/// `Retry-After`: seconds or a date (RFC 9110, 10.2.3). Of what is neither the
/// wish to wait is taken.
fn seconds(value: &str) -> Duration {
    let value = value.trim();
    if let Ok(date) = httpdate::parse_http_date(value) {
        return date.duration_since(std::time::SystemTime::now()).unwrap_or_default();
    }
    Duration::from_secs(value.parse().unwrap_or(30))
}

/// What an index says went wrong, in one line of at most 300 characters.
/// Warehouse: `message` and `code`; minting: `errors[].code`, `.description`;
/// others answer with text or with a page. Secrets are hidden while they are
/// whole: a part of one is not known for what it is.
fn message(body: &[u8], json: bool, ui: &Ui) -> String {
    let value: serde_json::Value =
        json.then(|| serde_json::from_slice(body).ok()).flatten().unwrap_or_default();
    let word = |value: &serde_json::Value, key: &str| value[key].as_str().map(str::to_owned);
    let mut parts: Vec<String> = Vec::new();
    for error in value["errors"].as_array().into_iter().flatten() {
        parts.extend([word(error, "code"), word(error, "description")].into_iter().flatten());
    }
    if parts.is_empty() {
        parts.extend(word(&value, "code").or_else(|| word(&value, "message")));
    }
    let text = if parts.is_empty() { plain(&String::from_utf8_lossy(body)) } else { parts.join(": ") };
    let text = ui.hide(&text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The text of an error page: what stands between the tags.
fn plain(page: &str) -> String {
    if !page.trim_start().starts_with('<') {
        return page.to_owned();
    }
    let mut text = String::new();
    let mut hidden = false;
    for token in html5gum::Tokenizer::new(page).flatten() {
        match token {
            html5gum::Token::StartTag(tag) => hidden = matches!(tag.name.as_slice(), b"style" | b"script"),
            html5gum::Token::EndTag(_) => {
                hidden = false;
                text.push(' ');
            }
            html5gum::Token::String(string) if !hidden => text.push_str(&String::from_utf8_lossy(&string)),
            _ => {}
        }
    }
    text
}

/// Whether the answer says that it is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind == "application/json" || kind.ends_with("+json")
}

/// Ends when the user asks to stop.
pub(crate) async fn interruption() {
    while !toolkit::interrupted() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The body, if it is not longer than [`ANSWER`].
async fn body(mut response: Response) -> Result<Vec<u8>, HttpError> {
    let url = shown(response.url());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| connection(&url, error))? {
        if body.len() + chunk.len() > ANSWER {
            return Err(HttpError::TooLong { url, limit: ANSWER });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// As much as can be had of an error's answer, and not more than [`ERROR`].
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < ERROR {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        body.extend_from_slice(&chunk);
    }
    body.truncate(ERROR);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_heed_the_server() {
        let pace = Pace { tries: 4, first: Duration::from_secs(1), longest: Duration::from_secs(3) };
        let within = |next, low, high| {
            let wait = pace.wait(next, None).unwrap().as_secs_f64();
            assert!((low..=high).contains(&wait), "{wait}");
        };
        within(2, 0.5, 1.0);
        within(3, 1.0, 2.0);
        within(4, 1.5, 3.0);
        assert_eq!(pace.wait(5, None), None);
        assert_eq!(pace.wait(2, Some(Duration::from_secs(9))), Some(Duration::from_secs(9)));
        assert_eq!(pace.wait(2, Some(Duration::from_secs(3600))), None, "nobody waits for an hour");
    }

    #[test]
    fn a_server_that_hangs_is_not_tried_for_ever() {
        let hang = HttpError::Timeout { url: String::new(), what: "", limit: Duration::ZERO };
        let pace = Pace::default();
        assert!(pace.after(HANGS, &hang).is_some() && pace.after(HANGS + 1, &hang).is_none());
    }

    #[test]
    fn a_date_says_how_long_to_wait() {
        let soon = std::time::SystemTime::now() + Duration::from_secs(100);
        let wait = seconds(&httpdate::fmt_http_date(soon)).as_secs();
        assert!((90..=100).contains(&wait), "{wait}");
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Duration::ZERO);
        assert_eq!((seconds(" 7"), seconds("soon")), (Duration::from_secs(7), Duration::from_secs(30)));
    }

    #[test]
    fn a_secret_is_not_cut_in_two() {
        let (ui, _) = Ui::captured(&toolkit::Env::default());
        ui.mask(&toolkit::Secret::new("pypi-secret of two  words"));
        let body = format!("{} pypi-secret of two  words", "x".repeat(290));
        let shown = message(body.as_bytes(), false, &ui);
        assert!(shown.ends_with("xxx ***"), "{shown}");
    }

    #[test]
    fn an_error_is_one_line() {
        let (ui, _) = Ui::captured(&toolkit::Env::default());
        let message = |body: &[u8], json| message(body, json, &ui);
        assert_eq!(
            message(br#"{"message": "x", "code": "400 File already exists."}"#, true),
            "400 File already exists."
        );
        let minted = br#"{"message":"Token request failed","errors":[{"code":"invalid-publisher","description":"no match"}]}"#;
        assert_eq!(message(minted, true), "invalid-publisher: no match");
        let page = b"<html><head><style>p{}</style><title>403</title></head><body><p>Not\n allowed &amp; so</p></body></html>";
        assert_eq!(message(page, false), "403 Not allowed & so");
        assert_eq!(message(b"plain\x1b[31m text\n", false), "plain[31m text");
        assert_eq!(message(&[b'a'; 1000], false).len(), 300);
    }
}
