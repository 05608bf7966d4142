//! An HTTP client with limits: no redirects to other hosts, bounded responses, and retries
//! within a budget.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{NoProxy, Proxy, RequestBuilder, Response, redirect};
use toolkit::{Env, Ui, error_chain};

use crate::error::{HttpError, STALL, connection_error};
use crate::retry::{Retry, Retryable};
use crate::url::{same_origin, without_secrets};

/// The maximum size of a response, in bytes. Simple API pages are streamed without a limit.
const MAX_RESPONSE: usize = 16 * 1024 * 1024;
/// How much of an error response is read, in bytes.
const MAX_ERROR: usize = 64 * 1024;
/// How much of an error response is shown, in characters.
const MAX_SHOWN: usize = 300;

/// HTTP clients with a retry policy.
#[derive(Clone)]
pub struct Client {
    /// Follows redirects within the same origin.
    pub reader: reqwest::Client,
    /// Follows no redirects, for requests that change something.
    pub sender: reqwest::Client,
    /// The retry policy.
    pub retry: Retry,
    ui: Ui,
}

impl Client {
    /// Clients with rustls and the proxies of `env`. `ui` reports retries and hides secrets.
    pub fn new(agent: &str, env: &Env, retry: Retry, ui: &Ui) -> Result<Self, reqwest::Error> {
        let proxies = proxies(env)?;
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(agent)
                .connect_timeout(Duration::from_secs(10))
                // Disable decompression to prevent decompression bombs, whichever features other crates
                // enable in reqwest.
                .no_gzip()
                .no_brotli()
                .no_deflate()
                .no_zstd()
                .no_proxy();
            proxies.iter().cloned().fold(builder, reqwest::ClientBuilder::proxy)
        };
        let one_origin = redirect::Policy::custom(|attempt| {
            let is_same = attempt.previous().first().is_some_and(|first| same_origin(first, attempt.url()));
            if attempt.previous().len() < 5 && is_same { attempt.follow() } else { attempt.stop() }
        });
        Ok(Self {
            reader: builder().redirect(one_origin).read_timeout(STALL).build()?,
            sender: builder().redirect(redirect::Policy::none()).build()?,
            retry,
            ui: ui.clone(),
        })
    }

    /// The same client with another retry policy.
    #[must_use]
    pub fn with_retry(&self, retry: Retry) -> Self {
        Self { retry, ..self.clone() }
    }

    /// The same client without retries.
    #[must_use]
    pub fn once(&self) -> Self {
        self.with_retry(Retry::within(Duration::ZERO))
    }

    /// Runs `attempt` until it succeeds or fails permanently.
    pub async fn retry<T, E: Retryable>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut attempts = self.retry.attempts();
        loop {
            let error = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(wait) = attempts.after(&error).filter(|_| !toolkit::interrupted()) else {
                return Err(error);
            };
            if !self.pause(&error_chain(&error), wait).await {
                return Err(error);
            }
        }
    }

    /// Sends the request of `request` until it gets a response or fails permanently. `limit`
    /// applies to each attempt.
    pub async fn fetch(
        &self,
        limit: Duration,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<(HeaderMap, Vec<u8>), HttpError> {
        self.retry(async || self.fetch_once(limit, request()).await).await
    }

    /// Reports `what` and waits; returns false if the wait was interrupted.
    pub async fn pause(&self, what: &str, wait: Duration) -> bool {
        self.ui.info(format!("  {what}; retrying in {:.1} s", wait.as_secs_f64()));
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = interruption() => false,
        }
    }

    async fn fetch_once(
        &self,
        limit: Duration,
        request: RequestBuilder,
    ) -> Result<(HeaderMap, Vec<u8>), HttpError> {
        let (client, request) = request.build_split();
        let request = request.map_err(|error| connection_error("", error))?;
        let url = without_secrets(request.url());
        let answer = async {
            let response = client.execute(request).await.map_err(|error| connection_error(&url, error))?;
            let response = self.success(response).await?;
            let headers = response.headers().clone();
            Ok((headers, body(response).await?))
        };
        within(&url, limit, answer).await
    }

    /// Returns the response if its status is a success, otherwise the error it describes.
    pub async fn success(&self, response: Response) -> Result<Response, HttpError> {
        let (url, status) = (without_secrets(response.url()), response.status());
        if status.is_success() {
            return Ok(response);
        }
        if let Some(to) = response.headers().get(LOCATION).filter(|_| status.is_redirection()) {
            let to = self.ui.hide(&String::from_utf8_lossy(to.as_bytes()));
            let to = response.url().join(&to).map_or(to, |to| without_secrets(&to));
            return Err(HttpError::Redirect { url, status, to });
        }
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.map(|value| seconds(value.to_str().unwrap_or_default()));
        let json = is_json(response.headers());
        let message = message(&beginning(response).await, json, &self.ui);
        Err(HttpError::Status { url, status, message, retry_after })
    }
}

/// Runs `work` until the timeout `limit` or an interrupt.
pub(crate) async fn within<T>(
    url: &str,
    limit: Duration,
    answer: impl Future<Output = Result<T, HttpError>>,
) -> Result<T, HttpError> {
    tokio::select! {
        answer = answer => answer,
        () = tokio::time::sleep(limit) => {
            Err(HttpError::Timeout { url: url.to_owned(), what: "no complete response", limit })
        }
        () = interruption() => Err(HttpError::Interrupted),
    }
}

/// The proxies from the environment, as curl interprets it. Requests to this machine and to a
/// cloud's metadata server never use one.
fn proxies(env: &Env) -> Result<Vec<Proxy>, reqwest::Error> {
    let named = |name: &str| env.get(name).or_else(|| env.get(&name.to_ascii_uppercase()));
    let own = "localhost,127.0.0.0/8,::1,169.254.169.254,metadata.google.internal";
    let direct = [own, named("no_proxy").unwrap_or_default()].join(",");
    let direct = || NoProxy::from_string(&direct);
    // CGI servers set HTTP_PROXY from the request header `Proxy:`.
    let http = named("http_proxy").filter(|_| env.get("REQUEST_METHOD").is_none());
    let mut proxies = Vec::new();
    if let Some(url) = http {
        proxies.push(Proxy::http(url)?.no_proxy(direct()));
    }
    if let Some(url) = named("https_proxy") {
        proxies.push(Proxy::https(url)?.no_proxy(direct()));
    }
    if let Some(url) = named("all_proxy") {
        proxies.push(Proxy::all(url)?.no_proxy(direct()));
    }
    Ok(proxies)
}

/// Parses `Retry-After`: seconds or a date (RFC 9110, 10.2.3). Other values count as 30 s.
fn seconds(value: &str) -> Duration {
    let value = value.trim();
    if let Ok(date) = httpdate::parse_http_date(value) {
        return date.duration_since(std::time::SystemTime::now()).unwrap_or_default();
    }
    Duration::from_secs(value.parse().unwrap_or(30))
}

/// The message of an error response, in one line. Warehouse uses `message` and `code`, its
/// minting API `errors[].code` and `.description`, Artifactory `errors[].message`, and others
/// text or an HTML page. Secrets are hidden first, because a truncated one would not be
/// recognised.
fn message(body: &[u8], json: bool, ui: &Ui) -> String {
    let value: serde_json::Value =
        json.then(|| serde_json::from_slice(body).ok()).flatten().unwrap_or_default();
    let word = |value: &serde_json::Value, key: &str| value[key].as_str().map(str::to_owned);
    let mut parts: Vec<String> = Vec::new();
    for error in value["errors"].as_array().into_iter().flatten() {
        let words = [word(error, "code"), word(error, "description").or_else(|| word(error, "message"))];
        parts.extend(words.into_iter().flatten());
    }
    if parts.is_empty() {
        parts.extend(word(&value, "code").or_else(|| word(&value, "message")));
    }
    let text = if parts.is_empty() { plain(&String::from_utf8_lossy(body)) } else { parts.join(": ") };
    let text = ui.hide(&text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    shorten(&line.chars().filter(|c| !c.is_control()).collect::<String>())
}

/// Truncates to at most [`MAX_SHOWN`] characters at a word, but keeps the first link.
fn shorten(line: &str) -> String {
    if line.chars().count() <= MAX_SHOWN {
        return line.to_owned();
    }
    let mut text = String::new();
    for word in line.split(' ') {
        if text.chars().count() + word.chars().count() >= MAX_SHOWN {
            break;
        }
        text.extend([if text.is_empty() { "" } else { " " }, word]);
    }
    // Truncate a single long word too. Secrets are already hidden.
    if text.len() < MAX_SHOWN / 2 {
        text = line.chars().take(MAX_SHOWN).collect();
    }
    let is_link = |word: &&str| word.starts_with("https://") && word.len() <= MAX_SHOWN;
    let address = line[text.len()..].split(' ').find(is_link).map(|link| format!(" {link}"));
    format!("{text} …{}", address.unwrap_or_default())
}

/// The text of an HTML error page.
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

/// Whether the response is declared as JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind == "application/json" || kind.ends_with("+json")
}

/// Completes when the user interrupts the process.
pub async fn interruption() {
    while !toolkit::interrupted() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The body; fails if it is longer than [`MAX_RESPONSE`].
async fn body(mut response: Response) -> Result<Vec<u8>, HttpError> {
    let url = without_secrets(response.url());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| connection_error(&url, error))? {
        if body.len() + chunk.len() > MAX_RESPONSE {
            return Err(HttpError::TooLong { url, limit: MAX_RESPONSE });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The start of an error response, as far as it arrives, up to [`MAX_ERROR`].
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < MAX_ERROR {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        body.extend_from_slice(&chunk);
    }
    body.truncate(MAX_ERROR);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_date_in_retry_after() {
        let soon = std::time::SystemTime::now() + Duration::from_secs(100);
        let wait = seconds(&httpdate::fmt_http_date(soon)).as_secs();
        assert!((90..=100).contains(&wait), "{wait}");
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Duration::ZERO);
        assert_eq!((seconds(" 7"), seconds("soon")), (Duration::from_secs(7), Duration::from_secs(30)));
    }

    #[test]
    fn hides_secrets_before_truncating() {
        let (ui, _) = Ui::captured(&Env::default());
        ui.mask(&toolkit::Secret::new("pypi-secret of two  words"));
        let body = format!("{} pypi-secret of two  words", "x".repeat(290));
        let shown = message(body.as_bytes(), false, &ui);
        assert!(shown.ends_with("xxx ***"), "{shown}");
    }

    #[test]
    fn truncates_at_a_word_and_keeps_the_link() {
        let text = format!("400 {}", "word ".repeat(80));
        let short = shorten(text.trim());
        assert!(short.ends_with("word …") && short.chars().count() <= MAX_SHOWN + 2, "{short}");
        let link = format!("{text}See https://help.example/#file-name-reuse for more.");
        assert!(shorten(&link).ends_with("word … https://help.example/#file-name-reuse"));
        assert_eq!(shorten(&"ä".repeat(400)).chars().count(), MAX_SHOWN + 2);
    }

    #[test]
    fn an_error_is_a_single_line() {
        let (ui, _) = Ui::captured(&Env::default());
        let message = |body: &[u8], json| message(body, json, &ui);
        assert_eq!(
            message(br#"{"message": "x", "code": "400 File already exists."}"#, true),
            "400 File already exists."
        );
        let minted = br#"{"message":"Token request failed","errors":[{"code":"invalid-publisher","description":"no match"}]}"#;
        assert_eq!(message(minted, true), "invalid-publisher: no match");
        let artifactory = br#"{"errors": [{"status": 403, "message": "Not enough permissions"}]}"#;
        assert_eq!(message(artifactory, true), "Not enough permissions");
        let page = b"<html><head><style>p{}</style><title>403</title></head><body><p>Not\n allowed &amp; so</p></body></html>";
        assert_eq!(message(page, false), "403 Not allowed & so");
        assert_eq!(message(b"plain\x1b[31m text\n", false), "plain[31m text");
    }
}
