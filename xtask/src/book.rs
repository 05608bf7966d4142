//! `cargo xtask docs`: builds the book from the repository's Markdown files.
//!
//! The book has the layout of the repository, so that links between its pages need no change.
//! Links to other files are replaced by links to the repository.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use toolkit::{Cmd, Exit, FileError};

use crate::error::Error;
use crate::shell::{Shell, display, path_with};
use crate::{test, tools};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Test the book in headless Chromium: links, search, narrow screens, console errors
    #[arg(long)]
    check: bool,
    /// Render the pictures of docs/images again from the programs' output
    #[arg(long)]
    pictures: bool,
}

/// The pages and their images.
const SOURCES: [&str; 9] = [
    ":(glob)*.md",
    ":(glob)actions/**/README.md",
    ":(glob)docs/**/*.md",
    ":(glob)docs/images/*",
    ":(glob)docs/htty/*.svg",
    ":(glob)docs/**/*.json",
    "htty/README.md",
    "htty-core/README.md",
    "tests/consumers/README.md",
];
/// The list of chapters. Links are relative to its directory, as in every file.
const SUMMARY: &str = "docs/SUMMARY.md";
/// Directories whose pages are listed below their `README.md`.
const LISTED: [&str; 2] = ["docs/rules", "docs/decisions"];
/// The API pages and the pages that they replace.
const API: [(&str, &str); 2] =
    [("htty/src/htty", "api/htty.html"), ("htty-core/python/htty_core", "api/htty_core.html")];

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    if args.pictures {
        pictures(shell)?;
    }
    let mdbook = tools::mdbook(shell)?;
    let source = shell.target.join("book-source");
    let book = shell.target.join("book");
    for directory in [&source, &book] {
        let _ = std::fs::remove_dir_all(directory);
    }
    assemble(shell, &source)?;
    let build = ["build", &display(&source), "--dest-dir", &display(&book)];
    shell.run(&Cmd::new(display(&mdbook)).args(build))?;
    api(shell, &book.join("api"))?;
    if args.check {
        test::tools_pytest(shell, &["tests/docs/test_book.py", "-m", "book"])?;
    }
    shell.ui.report(display(&book.join("index.html")));
    Ok(Exit::Done)
}

/// Renders the pictures with the programs of this checkout.
fn pictures(shell: &Shell) -> Result<(), Error> {
    let python = tools::environment(shell, "test")?;
    crate::corpus::download(shell)?;
    let programs = shell.build(&crate::generate::ACTIONS)?;
    let ht = ["build", "--locked", "--manifest-path", "htty-core/Cargo.toml", "--bin", "ht"];
    shell.inherit(&shell.cargo().args(ht))?;
    let script = display(&shell.root.join("xtask/scripts/pictures.py"));
    let render = Cmd::new(display(&python.join("python")))
        .args([script, display(&programs), display(&shell.target.join("corpus"))])
        .arg(display(&shell.root.join("docs/images")))
        .env("HTTY_HT_BIN", display(&shell.target.join("debug/ht")))
        .env("PATH", path_with(&[python]));
    shell.inherit(&render)
}

/// The API pages of the two packages.
fn api(shell: &Shell, directory: &Path) -> Result<(), Error> {
    let pdoc = tools::environment(shell, "test")?.join("pdoc");
    let path = [shell.root.join("htty-core/python"), shell.root.join("htty/src")];
    let path = std::env::join_paths(path).unwrap_or_default().to_string_lossy().into_owned();
    let pdoc = Cmd::new(display(&pdoc)).args([
        "--output-directory",
        &display(directory),
        // Without one, browsers request one from the host.
        "--favicon",
        "data:,",
        "htty",
        "htty_core",
    ]);
    shell.run(&pdoc.env("PYTHONPATH", path))?;
    Ok(())
}

/// Writes the sources of the book to `into`.
fn assemble(shell: &Shell, into: &Path) -> Result<(), Error> {
    let mut files: BTreeSet<String> = shell.tracked(&SOURCES)?.into_iter().collect();
    files.remove(SUMMARY);
    let site = Site { repository: repository(), files };
    let write = |name: &str, content: &[u8]| {
        let path = into.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(FileError::new("create", parent))?;
        }
        std::fs::write(&path, content).map_err(FileError::new("write", &path))
    };
    let read = |name: &str| {
        let path = shell.root.join(name);
        std::fs::read(&path).map_err(FileError::new("read", &path))
    };
    for name in &site.files {
        let content = read(name)?;
        match String::from_utf8(content) {
            Ok(text) if is_page(name) => {
                write(&format!("src/{name}"), site.page(shell, name, &text).as_bytes())?;
            }
            Ok(text) => write(&format!("src/{name}"), text.as_bytes())?,
            Err(binary) => write(&format!("src/{name}"), binary.as_bytes())?,
        }
    }
    let summary = String::from_utf8_lossy(&read(SUMMARY)?).into_owned();
    write("src/SUMMARY.md", site.summary(shell, &summary)?.as_bytes())?;
    for name in ["book.toml", "versions.js", "book.css"] {
        write(name, &read(&format!("docs/theme/{name}"))?)?;
    }
    Ok(())
}

fn is_page(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "md")
}

/// The URL of this repository's files, on GitHub's runners.
fn repository() -> String {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    let server = variable("GITHUB_SERVER_URL", "https://github.com");
    let name = variable("GITHUB_REPOSITORY", "OWNER/REPOSITORY");
    format!("{server}/{name}/blob/{}", variable("GITHUB_SHA", "HEAD"))
}

/// The possible targets of links.
struct Site {
    repository: String,
    /// The paths of the book's files in the repository.
    files: BTreeSet<String>,
}

impl Site {
    /// A page with the links replaced for the book.
    fn page(&self, shell: &Shell, name: &str, text: &str) -> String {
        let from = Path::new(name).parent().unwrap_or_else(|| Path::new(""));
        map_links(text, |link| {
            let (target, anchor) = link.split_once('#').map_or((link, None), |(a, b)| (a, Some(b)));
            let target = normal(&from.join(target));
            let anchor = anchor.map_or_else(String::new, |anchor| format!("#{anchor}"));
            let api = API.iter().find(|(source, _)| *source == target);
            if let Some((_, page)) = api {
                return relative(from, page);
            }
            let readme = format!("{target}/README.md");
            let page = [&readme, &target].into_iter().find(|file| self.files.contains(*file));
            match page {
                // mdBook writes a README to index.html.
                Some(page) => relative(from, &page.replace("README.md", "index.md")) + &anchor,
                None if shell.root.join(&target).exists() => {
                    format!("{}/{target}{anchor}", self.repository)
                }
                None => link.to_owned(),
            }
        })
    }

    /// The list of chapters, with the pages of the `LISTED` directories.
    fn summary(&self, shell: &Shell, text: &str) -> Result<String, Error> {
        let mut summary = String::new();
        for line in text.lines() {
            let line = map_links(line, |link| normal(&Path::new("docs").join(link)));
            summary.push_str(&line);
            summary.push('\n');
            let listed = LISTED.iter().find(|directory| line.ends_with(&format!("({directory}/README.md)")));
            let Some(directory) = listed else { continue };
            let indent = &line[..line.len() - line.trim_start().len()];
            let prefix = format!("{directory}/");
            for file in self.files.iter().filter(|file| file.starts_with(&prefix) && is_page(file)) {
                if !file.ends_with("README.md") {
                    let title = title(&shell.root.join(file))?;
                    summary.push_str(&format!("{indent}  - [{title}]({file})\n"));
                }
            }
        }
        Ok(summary)
    }
}

/// The first heading of a page.
fn title(path: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(path).map_err(FileError::new("read", path))?;
    let title = text.lines().find_map(|line| line.strip_prefix("# "));
    let title = title.ok_or_else(|| Error::Check(format!("{}: expected a heading", path.display())))?;
    Ok(title.replace(['[', ']', '`'], ""))
}

/// Replaces the targets of Markdown links and images that are paths, outside of fenced code.
fn map_links(text: &str, map: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut fenced = false;
    for line in text.split_inclusive('\n') {
        fenced ^= line.trim_start().starts_with("```");
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("](") {
            out.push_str(before);
            out.push_str("](");
            rest = after;
            if let Some((target, _)) = after.split_once(')')
                && !fenced
                && !target.is_empty()
                && !target.starts_with('#')
                && !target.contains("://")
            {
                out.push_str(&map(target));
                rest = &after[target.len()..];
            }
        }
        out.push_str(rest);
    }
    out
}

/// Normalises a path in the repository: removes `.` and `..`.
fn normal(path: &Path) -> String {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                parts.pop();
            }
            Component::Normal(name) => parts.push(name),
            _ => {}
        }
    }
    parts.to_string_lossy().into_owned()
}

/// The link from a page in the directory `from` to the file `to`.
fn relative(from: &Path, to: &str) -> String {
    let from: Vec<_> = from.components().collect();
    let to: Vec<_> = Path::new(to).components().collect();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(Component::ParentDir, from.len() - shared);
    up.chain(to[shared..].iter().copied()).collect::<PathBuf>().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_links_outside_of_code() {
        let text = "[a](x.md) ![b](y/z.svg)\n```\n[c](x.md)\n```\n[d](https://x) [e](#f) [g](h";
        let expected = "[a](<x.md>) ![b](<y/z.svg>)\n```\n[c](x.md)\n```\n[d](https://x) [e](#f) [g](h";
        assert_eq!(map_links(text, |link| format!("<{link}>")), expected);
    }

    #[test]
    fn paths_are_relative_to_their_page() {
        assert_eq!(normal(Path::new("docs/rules/../../actions/./x")), "actions/x");
        assert_eq!(relative(Path::new("docs/rules"), "docs/a.md"), "../a.md");
        assert_eq!(relative(Path::new(""), "docs/a.md"), "docs/a.md");
        assert_eq!(relative(Path::new("docs"), "api/htty.html"), "../api/htty.html");
    }
}
