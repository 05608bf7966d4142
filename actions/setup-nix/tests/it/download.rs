//! Downloads from a server that fails in every way a server does.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use pydist::digest::sha256;
use setup_nix::{Error, fetch};
use toolkit::{Env, Exit, Failure as _, Ui};

/// A server that gives each connection the next of `answers`, byte for byte,
/// and closes it; then it is gone. Tells the requests, in lower case.
fn server(answers: Vec<Vec<u8>>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/nix.tar.xz", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            sender.send(head.join("\n").to_lowercase()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    (url, requests)
}

/// An answer that promises `length` bytes and sends `body`.
fn answer(status: &str, headers: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// Downloads what should be [`content`]; gives the result and what was left.
fn download(url: &str) -> (Result<(), Error>, Option<Vec<u8>>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("tarball/file");
    let (ui, _said) = Ui::captured(&Env::default());
    let result = fetch::fetch(url, sha256(&content()), &to, true, &ui);
    let left = fs::read_dir(folder.path().join("tarball")).into_iter().flatten();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    (result, fs::read(to).ok(), left)
}

#[test]
fn a_broken_connection_is_gone_on_with() {
    let all = content();
    let (start, rest) = all.split_at(all.len() / 3);
    let range = format!("content-range: bytes {}-{}/{}\r\n", start.len(), all.len() - 1, all.len());
    let (url, requests) = server(vec![
        answer("200 OK", "etag: \"one\"\r\n", all.len(), start),
        answer("206 Partial Content", &range, rest.len(), rest),
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
fn without_an_etag_it_begins_anew() {
    let all = content();
    let (url, requests) =
        server(vec![answer("200 OK", "", all.len(), &all[..1000]), answer("200 OK", "", all.len(), &all)]);
    let (result, file, _) = download(&url);
    result.unwrap();
    assert_eq!(file.unwrap(), all);
    assert!(requests.iter().all(|request| !request.contains("range:")));
}

#[test]
fn a_file_that_changed_in_between_is_not_mixed() {
    let all = content();
    let (url, _requests) = server(vec![
        answer("200 OK", "etag: \"old\"\r\n", all.len(), &vec![7; 5000]),
        answer("200 OK", "etag: \"new\"\r\n", all.len(), &all),
    ]);
    let (result, file, _) = download(&url);
    result.unwrap();
    assert_eq!(file.unwrap(), all);
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let all = content();
    let (url, requests) = server(vec![
        answer("503 Service Unavailable", "", 4, b"busy"),
        answer("200 OK", "", all.len(), &all),
    ]);
    let (result, file, _) = download(&url);
    result.unwrap();
    assert_eq!(file.unwrap(), all);
    assert_eq!(requests.iter().count(), 2);
}

#[test]
fn what_is_not_there_is_not_asked_for_again() {
    let (url, requests) = server(vec![answer("404 Not Found", "", 9, b"not found")]);
    let (result, file, left) = download(&url);
    let error = result.unwrap_err();
    assert_eq!(error.exit(), Exit::Undetermined);
    assert!(toolkit::error_report(&error).contains("404"), "{}", toolkit::error_report(&error));
    assert_eq!((requests.iter().count(), file), (1, None));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_page_in_the_place_of_the_file_is_refused() {
    let page = b"<html>please log in</html>";
    let (url, _requests) = server(vec![answer("200 OK", "", page.len(), page)]);
    let (result, file, left) = download(&url);
    let error = result.unwrap_err();
    assert_eq!(error.exit(), Exit::Findings);
    assert!(error.to_string().contains("nothing was installed"), "{error}");
    assert_eq!(file, None);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn only_https_and_this_machine_are_asked() {
    for url in ["http://example.org/nix.tar.xz", "ftp://127.0.0.1/nix.tar.xz"] {
        let (result, _, left) = download(url);
        let told = toolkit::error_report(&result.unwrap_err());
        assert!(told.contains("expected a path or an https address"), "{told}");
        assert!(left.is_empty(), "{left:?}");
    }
}
