//! The fake GitHub for tests in other languages: `fake-github GIT_REPOSITORY`.
//! It prints its URL, then reads one JSON object per line that sets `immutable`, `runs` or
//! `interrupt`, and prints its state for each. It exits at the end of its input.

// The tests parse the output.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::BufRead as _;
use std::process::ExitCode;

use serde_json::{Value, json};
use testkit::github::{GitHub, Interrupt, TOKEN};

fn main() -> ExitCode {
    let Some(git) = std::env::args_os().nth(1) else {
        eprintln!("usage: fake-github GIT_REPOSITORY");
        return ExitCode::from(2);
    };
    let github = GitHub::start();
    github.repository().git = Some(git.into());
    println!("{}", json!({ "url": github.url(), "token": TOKEN, "repository": "octo/htty" }));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let asked: Value = match serde_json::from_str(&line) {
            Ok(asked) => asked,
            Err(error) => {
                eprintln!("fake-github: `{line}` is not JSON: {error}");
                return ExitCode::from(2);
            }
        };
        println!("{}", set(&github, &asked));
    }
    ExitCode::SUCCESS
}

/// Applies the settings of a line; returns the state.
fn set(github: &GitHub, asked: &Value) -> Value {
    let mut repository = github.repository();
    if let Some(immutable) = asked["immutable"].as_bool() {
        repository.immutable = immutable;
    }
    if let Some(runs) = asked["runs"].as_array() {
        repository.runs.clone_from(runs);
    }
    if let Some(interrupt) = asked.get("interrupt") {
        let after = interrupt["after"].as_u64().and_then(|after| u32::try_from(after).ok());
        let takes_effect = interrupt["takes_effect"] == true;
        repository.interrupt = after.map(|after| Interrupt { after, takes_effect });
    }
    let asked = std::mem::take(&mut repository.asked);
    let releases = repository.releases.iter().map(|release| {
        let assets: Vec<(&String, u64)> = release.assets.iter().map(|(name, (id, _))| (name, *id)).collect();
        json!({
            "id": release.id, "tag": release.tag, "draft": release.draft,
            "immutable": release.immutable, "assets": assets,
        })
    });
    json!({ "asked": asked, "releases": releases.collect::<Vec<_>>() })
}
