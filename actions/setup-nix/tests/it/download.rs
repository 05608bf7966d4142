//! Downloads from a server that fails in various ways.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use pydist::digest::sha256;
use setup_nix::{Error, fetch};
use toolkit::{Env, Exit, Failure as _, Ui};

/// A server that sends one of `responses` to each connection, in order, and then stops.
/// Returns its URL and the received requests, in lower case.
fn server(responses: Vec<Vec<u8>>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/nix.tar.xz", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for response in responses {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            sender.send(head.join("\n").to_lowercase()).unwrap();
            stream.write_all(&response).unwrap();
        }
    });
    (url, requests)
}

/// A response with the given `content-length` and `body`.
fn response(status: &str, headers: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// Downloads a file that should be [`content`]; returns the result, the file, and the names
/// of all files in its directory.
fn download(url: &str) -> (Result<(), Error>, Option<Vec<u8>>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("tarball/file");
    let (ui, _log) = Ui::captured(&Env::default());
    let result = fetch::fetch(url, sha256(&content()), &to, true, &ui);
    let files = fs::read_dir(dir.path().join("tarball")).into_iter().flatten();
    let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    (result, fs::read(to).ok(), files)
}

#[test]
fn resumes_after_a_broken_connection() {
    let all = content();
    let (start, rest) = all.split_at(all.len() / 3);
    let range = format!("content-range: bytes {}-{}/{}\r\n", start.len(), all.len() - 1, all.len());
    let (url, requests) = server(vec![
        response("200 OK", "etag: \"one\"\r\n", all.len(), start),
        response("206 Partial Content", &range, rest.len(), rest),
    ]);
    let (result, file, _) = download(&url);
    result.unwrap();
    assert_eq!(file.unwrap(), all);
    assert!(!requests.recv().unwrap().contains("range:"));
    let second = requests.recv().unwrap();
    let from = second.lines().find_map(|line| line.strip_prefix("range: bytes=")).unwrap();
    assert_eq!(from, format!("{}-", start.len()));
    assert!(second.contains("if-range: \"one\""), "{second}");
}

#[test]
fn restarts_without_an_etag() {
    let all = content();
    let (url, requests) = server(vec![
        response("200 OK", "", all.len(), &all[..1000]),
        response("200 OK", "", all.len(), &all),
    ]);
    let (result, file, _) = download(&url);
    result.unwrap();
    assert_eq!(file.unwrap(), all);
    assert!(requests.iter().all(|request| !request.contains("range:")));
}

#[test]
fn restarts_if_the_file_changed() {
    let all = content();
    let (url, _requests) = server(vec![
        response("200 OK", "etag: \"old\"\r\n", all.len(), &vec![7; 5000]),
        response("200 OK", "etag: \"new\"\r\n", all.len(), &all),
    ]);
    let (result, file, _) = download(&url);
    result.unwrap();
    assert_eq!(file.unwrap(), all);
}

#[test]
fn retries_a_busy_server() {
    let all = content();
    let (url, requests) = server(vec![
        response("503 Service Unavailable", "", 4, b"busy"),
        response("200 OK", "", all.len(), &all),
    ]);
    let (result, file, _) = download(&url);
    result.unwrap();
    assert_eq!(file.unwrap(), all);
    assert_eq!(requests.iter().count(), 2);
}

#[test]
fn does_not_retry_a_missing_file() {
    let (url, requests) = server(vec![response("404 Not Found", "", 9, b"not found")]);
    let (result, file, files) = download(&url);
    let error = result.unwrap_err();
    assert_eq!(error.exit(), Exit::Undetermined);
    assert!(toolkit::error_report(&error).contains("404"), "{}", toolkit::error_report(&error));
    assert_eq!((requests.iter().count(), file), (1, None));
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn rejects_a_web_page_in_place_of_the_file() {
    let page = b"<html>please log in</html>";
    let (url, _requests) = server(vec![response("200 OK", "", page.len(), page)]);
    let (result, file, files) = download(&url);
    let error = result.unwrap_err();
    assert_eq!(error.exit(), Exit::Findings);
    assert!(error.to_string().contains("nothing was installed"), "{error}");
    assert_eq!(file, None);
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn rejects_other_schemes_than_https() {
    for url in ["http://example.org/nix.tar.xz", "ftp://127.0.0.1/nix.tar.xz"] {
        let (result, _, files) = download(url);
        let message = toolkit::error_report(&result.unwrap_err());
        assert!(message.contains("expected a path or an https URL"), "{message}");
        assert!(files.is_empty(), "{files:?}");
    }
}
