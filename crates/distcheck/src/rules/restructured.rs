//! `MET017`: reStructuredText that the index cannot render.
//!
//! The index renders with docutils and takes each warning for a failure. This
//! is no docutils: it names the mistakes that are made, each as docutils tells
//! it, and what it does not understand it lets pass.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::Dist;
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::PypiRejects;
use crate::rule::Severity::{Error, Note};
use crate::rule::{Check, Out, Rule};

pub(super) static RULES: &[Rule] = &[RESTRUCTURED, READ_WHOLE];

/// The directives of docutils. `raw` and `include` are switched off.
const DIRECTIVES: [&str; 50] = [
    "admonition",
    "attention",
    "caution",
    "class",
    "code",
    "code-block",
    "compound",
    "container",
    "contents",
    "csv-table",
    "danger",
    "date",
    "default-role",
    "epigraph",
    "error",
    "figure",
    "footer",
    "header",
    "highlights",
    "hint",
    "image",
    "important",
    "line-block",
    "list-table",
    "math",
    "meta",
    "note",
    "parsed-literal",
    "pull-quote",
    "replace",
    "restructuredtext-test-directive",
    "role",
    "rst-class",
    "rubric",
    "section-numbering",
    "sectnum",
    "sidebar",
    "sourcecode",
    "table",
    "target-notes",
    "tip",
    "title",
    "topic",
    "unicode",
    "warning",
    "footnotes",
    "citations",
    "imagemap",
    "abstract",
    "dedication",
];

/// Directives whose content is no reStructuredText.
const LITERAL: [&str; 9] = [
    "code",
    "code-block",
    "sourcecode",
    "math",
    "parsed-literal",
    "csv-table",
    "list-table",
    "table",
    "meta",
];

/// Those whose content docutils reads by rules of its own.
const UNREAD: [&str; 4] = ["csv-table", "list-table", "math", "table"];

/// The roles of docutils; `raw` is switched off.
const ROLES: [&str; 28] = [
    "ab",
    "abbreviation",
    "ac",
    "acronym",
    "anonymous-reference",
    "citation-reference",
    "code",
    "emphasis",
    "footnote-reference",
    "i",
    "literal",
    "math",
    "named-reference",
    "pep",
    "pep-reference",
    "rfc",
    "rfc-reference",
    "strong",
    "sub",
    "subscript",
    "substitution-reference",
    "sup",
    "superscript",
    "t",
    "target",
    "title",
    "title-reference",
    "index",
];

const RESTRUCTURED: Rule = Rule {
    id: "MET017",
    title: "a reStructuredText description renders",
    severity: Error,
    provenance: PypiRejects,
    why: "The index refuses a description for which docutils has a warning: an unknown directive, role or target, \
    a title line that is too short, titles out of order, markup that is not closed, a target defined twice, \
    a missing blank line. A description without a content type is reStructuredText.",
    source: "readme_renderer, `rst.py` (`halt_level` 2, no raw, no inclusion); twine check.",
    fix: "Run `twine check`, or write the description in Markdown and say so.",
    example: "sample-1.0-py3-none-any.whl: line 1 of the description: the line at the title `Sample` is too short",
    check: Check::Dist(restructured),
    #[cfg(test)]
    fails: || fixture::metadata("text/markdown\n\n# Sample", "text/x-rst\n\nSample\n===="),
};

fn restructured(dist: &Dist, out: &mut Out) {
    let Some(text) = description(dist, out) else { return };
    for (line, message) in reading(text).faults {
        out.found(format!("line {line} of the description: {message}"));
    }
}

const READ_WHOLE: Rule = Rule {
    id: "MET021",
    title: "a reStructuredText description is read as a whole",
    severity: Note,
    provenance: PypiRejects,
    why: "Some constructs of docutils are not read here. They pass, and the index may still refuse them.",
    source: "docutils, reStructuredText Markup Specification.",
    fix: "Run `twine check` on the file too.",
    example: "sample-1.0-py3-none-any.whl: not checked: tables, in line 1 of the description",
    check: Check::Dist(read_whole),
    #[cfg(test)]
    fails: || {
        fixture::metadata(
            "text/markdown\n\n# Sample",
            "text/x-rst\n\n== ==\na  b\n== ==\n1  2\n== ==\n\nText",
        )
    },
};

fn read_whole(dist: &Dist, out: &mut Out) {
    let Some(text) = description(dist, out) else { return };
    for (construct, lines) in reading(text).unread {
        let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
        out.found(format!("not checked: {construct}, in line {} of the description", lines.join(", ")));
    }
}

/// The description, where it is reStructuredText.
fn description<'a>(dist: &'a Dist, out: &mut Out) -> Option<&'a str> {
    let text = dist.metadata().and_then(|metadata| {
        let kind = metadata.headers.get("Description-Content-Type").unwrap_or("text/x-rst");
        let text = metadata.description().filter(|text| !text.trim().is_empty() && *text != "UNKNOWN");
        text.filter(|_| kind.trim().to_ascii_lowercase().starts_with("text/x-rst"))
    });
    if text.is_none() {
        out.not_applicable();
    }
    text
}

/// What reading a text gives. Lines are counted from 1.
#[derive(Debug)]
pub struct Reading {
    /// The mistakes, each with its line.
    pub faults: Vec<(usize, String)>,
    /// Constructs that are not understood, with their lines.
    pub unread: BTreeMap<&'static str, Vec<usize>>,
}

/// Reads a text as far as it is understood.
pub fn reading(text: &str) -> Reading {
    let lines: Vec<String> = text.lines().map(|line| line.trim_end().replace('\t', "        ")).collect();
    let mut reader = Reader { lines: &lines, ..Reader::default() };
    reader.read();
    if reader.texts.is_empty() {
        // The index rejects a description that renders to nothing.
        reader.skip("a text without a paragraph", 0);
    }
    reader.references();
    reader.found.sort();
    Reading { faults: reader.found, unread: reader.unread }
}

#[derive(Default)]
struct Reader<'a> {
    lines: &'a [String],
    found: Vec<(usize, String)>,
    unread: BTreeMap<&'static str, Vec<usize>>,
    /// The title styles in the order of their levels: adornment, with overline.
    styles: Vec<(char, bool)>,
    level: usize,
    /// Normalised name → address, of explicit targets.
    targets: BTreeMap<String, String>,
    substitutions: BTreeSet<String>,
    roles: BTreeSet<String>,
    /// Normalised names of sections.
    sections: BTreeSet<String>,
    /// Pieces of running text, with the line of their start.
    texts: Vec<(usize, String)>,
}

/// Whether a line starts explicit markup.
fn is_explicit(line: &str) -> bool {
    ["..", "__"]
        .iter()
        .any(|mark| line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The character that a line of adornment repeats.
fn adornment(line: &str) -> Option<char> {
    let first = line.chars().next().filter(char::is_ascii_punctuation)?;
    line.chars().all(|c| c == first).then_some(first)
}

/// As docutils compares names.
fn normal(name: &str) -> String {
    name.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Whether a line starts a construct whose lines are no running text.
fn is_table(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("+-")
        || line.starts_with("+=")
        || (line.starts_with("==") && line.contains(' ') && line.chars().all(|c| c == '=' || c == ' '))
}

impl Reader<'_> {
    /// Notes a construct that is not checked.
    fn skip(&mut self, construct: &'static str, line: usize) {
        let lines = self.unread.entry(construct).or_default();
        if lines.last() != Some(&(line + 1)) {
            lines.push(line + 1);
        }
    }

    fn tell(&mut self, line: usize, message: impl Into<String>) {
        self.found.push((line + 1, message.into()));
    }

    /// The first line from `at` on that is neither blank nor indented by more
    /// than `depth`.
    fn after_block(&self, at: usize, depth: usize) -> usize {
        let stays = |line: &&String| line.is_empty() || indent(line) > depth;
        at + self.lines[at..].iter().take_while(stays).count()
    }

    fn read(&mut self) {
        let mut at = 0;
        while at < self.lines.len() {
            at = self.block(at);
        }
    }

    /// Reads one block; where the next one starts.
    fn block(&mut self, at: usize) -> usize {
        let line = self.lines[at].as_str();
        let (depth, content) = (indent(line), line.trim_start());
        if content.is_empty() {
            return at + 1;
        }
        if content.starts_with("__ ") || content == "__" {
            self.skip("anonymous targets", at);
            return at + 1;
        }
        if is_explicit(content) {
            return self.explicit(at, depth);
        }
        if content.starts_with(">>>") {
            return at + self.lines[at..].iter().take_while(|line| !line.is_empty()).count();
        }
        if depth > 0 {
            self.skip("indented text", at);
        }
        if is_table(line) {
            self.unread.entry("tables").or_default().push(at + 1);
            let rest = self.lines[at..].iter().take_while(|line| !line.is_empty()).count();
            // A simple table may hold blank lines: it ends with its third border.
            let borders = || self.lines[at..].iter().enumerate().filter(|(_, line)| is_table(line));
            let last = borders().take(3).last().map_or(rest, |(index, _)| index + 1);
            return at + if content.starts_with('+') { rest } else { last.max(rest) };
        }
        if depth == 0
            && let Some(next) = self.title(at)
        {
            return next;
        }
        self.paragraph(at, depth)
    }

    /// Directives, targets, substitutions, footnotes, comments.
    fn explicit(&mut self, at: usize, depth: usize) -> usize {
        let body = self.lines[at].trim_start().trim_start_matches('.').trim_start().to_owned();
        let end = self.after_block(at + 1, depth);
        if end < self.lines.len()
            && end > at
            && !self.lines[end - 1].is_empty()
            && indent(&self.lines[end]) == depth
            && !is_explicit(self.lines[end].trim_start())
        {
            self.tell(end, "explicit markup ends without a blank line");
        }
        if body.starts_with("__") {
            if !body.starts_with("__: ") {
                self.skip("explicit markup of another form", at);
            }
            return end;
        }
        if let Some(target) = body.strip_prefix('_') {
            self.target(at, target);
            return end;
        }
        let substitution = body.strip_prefix('|').and_then(|rest| rest.split_once('|'));
        if let Some((name, _)) = substitution {
            self.substitutions.insert(normal(name));
        }
        let rest = substitution.map_or(body.as_str(), |(_, rest)| rest.trim_start());
        let is_directive = |(name, arguments): &(&str, &str)| {
            is_word(name) && (arguments.is_empty() || arguments.starts_with(' '))
        };
        let Some((name, arguments)) = rest.split_once("::").filter(is_directive) else {
            // A footnote has running text, a comment has none.
            let note = body.starts_with('[') && body.contains("] ");
            if !note && (body.starts_with(['[', '|']) || body.contains("::")) {
                self.skip("explicit markup of another form", at);
            }
            return if note { at + 1 } else { end };
        };
        let name = name.trim().to_ascii_lowercase();
        match name.as_str() {
            "raw" | "include" => self.tell(at, format!("the index has switched off the directive `{name}`")),
            "role" => {
                let role = arguments.trim().split('(').next().unwrap_or_default();
                self.roles.insert(role.to_ascii_lowercase());
            }
            _ if !DIRECTIVES.contains(&name.as_str()) => {
                self.tell(at, format!("the directive `{name}` is not known to docutils"));
                return end;
            }
            _ => {}
        }
        self.directive(at, end, &name, arguments.trim());
        if UNREAD.contains(&name.as_str()) {
            self.unread.entry("the content of tables and formulas").or_default().push(at + 1);
        }
        if substitution.is_some()
            || LITERAL.contains(&name.as_str())
            || ["raw", "include"].contains(&name.as_str())
        {
            return end;
        }
        // Its options, then content like any other.
        let is_option = |line: &&String| line.trim_start().starts_with(':');
        at + 1 + self.lines[at + 1..end].iter().take_while(is_option).count()
    }

    /// Notes arguments, options and content that docutils may reject.
    fn directive(&mut self, at: usize, end: usize, name: &str, argument: &str) {
        let options: Vec<&str> = self.lines[at + 1..end]
            .iter()
            .map(|line| line.trim_start())
            .take_while(|line| line.starts_with(':'))
            .collect();
        let content = self.lines[at + 1..end].iter().skip(options.len()).any(|line| !line.is_empty());
        let image = ["image", "figure"].contains(&name);
        let code = ["code", "code-block", "sourcecode"].contains(&name);
        let known = |option: &&str| image && IMAGE_OPTIONS.iter().any(|known| option.starts_with(known));
        let plain = match name {
            _ if image => !argument.is_empty() && (name == "figure" || !content),
            _ if code => {
                content && (argument.is_empty() || LANGUAGES.contains(&argument.to_lowercase().as_str()))
            }
            "note" | "warning" | "tip" | "important" | "hint" | "caution" | "danger" | "attention"
            | "error" => content || !argument.is_empty(),
            "contents" | "role" | "replace" => true,
            _ => false,
        };
        if !plain || !options.iter().all(known) {
            self.skip("arguments, options or content of directives", at);
        }
    }

    fn target(&mut self, at: usize, target: &str) {
        let is_plain = if target.starts_with('`') {
            target.matches('`').count() == 2 && (target.contains("`: ") || target.ends_with("`:"))
        } else {
            target.split_once(':').is_some_and(|(name, rest)| {
                let is_name = !name.is_empty() && !name.starts_with(' ') && !name.ends_with(' ');
                is_name && !name.contains('`') && (rest.is_empty() || rest.starts_with(' '))
            })
        };
        if !is_plain {
            self.skip("explicit markup of another form", at);
        }
        let (name, address) = match target.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
            Some((name, rest)) => (name, rest.trim_start_matches(':')),
            None => target.split_once(": ").unwrap_or((target.trim_end_matches(':'), "")),
        };
        self.define(at, name, address.trim());
    }

    fn define(&mut self, at: usize, name: &str, address: &str) {
        let old = self.targets.insert(normal(name), address.to_owned());
        if old.is_some_and(|old| old != address && !address.is_empty()) {
            self.tell(at, format!("the target `{name}` is defined twice, with different addresses"));
        }
    }

    /// A title with its underline, and overline; where the next block starts.
    fn title(&mut self, at: usize) -> Option<usize> {
        let line = |at: usize| self.lines.get(at).map_or("", String::as_str);
        let over = adornment(line(at)).filter(|_| line(at).len() >= 4);
        if let Some(style) = over {
            let (title, under) = (line(at + 1), line(at + 2));
            if title.is_empty() {
                // Where it may stand depends on what is around it.
                self.skip("transitions", at);
                return Some(at + 1);
            }
            if adornment(under) != Some(style) || under.len() != line(at).len() {
                self.skip("titles with an overline", at);
                return None;
            }
            if title.len() > under.len() {
                self.skip("titles with an overline", at);
            }
            let (title, width) = (title.trim().to_owned(), under.len());
            self.section(at + 1, &title, width, (style, true));
            return Some(at + 3);
        }
        let style = adornment(line(at + 1))?;
        let (title, width) = (line(at).to_owned(), line(at + 1).len());
        if adornment(&title).is_some() || (width < 4 && title.chars().count() > width) {
            return None;
        }
        self.section(at, &title, width, (style, false));
        Some(at + 2)
    }

    fn section(&mut self, at: usize, title: &str, width: usize, style: (char, bool)) {
        if !title.is_ascii() {
            // Some characters are two columns wide.
            self.skip("the width of titles", at);
        } else if title.chars().count() > width {
            self.tell(at, format!("the line at the title `{title}` is too short"));
        }
        match self.styles.iter().position(|known| *known == style) {
            Some(level) if level > self.level => {
                self.tell(at, format!("the title `{title}` skips a level"));
            }
            Some(level) => self.level = level + 1,
            None if self.level < self.styles.len() => {
                self.tell(at, format!("the title `{title}` has a new style, where deeper ones are known"));
            }
            None => {
                self.styles.push(style);
                self.level = self.styles.len();
            }
        }
        self.sections.insert(normal(title));
        self.texts.push((at, title.to_owned()));
    }

    /// Lines up to a blank one, with what hangs below a list's marker; after
    /// `::` a literal block.
    fn paragraph(&mut self, at: usize, depth: usize) -> usize {
        let same = |line: &&String| {
            !line.is_empty() && indent(line) >= depth && !line.trim_start().starts_with(".. ")
        };
        let count = self.lines[at..].iter().take_while(same).count().max(1);
        let end = at + count;
        let text = self.lines[at..end].join("\n");
        let literal = text.ends_with("::");
        self.shape(at, end, depth);
        if self.lines.get(end).is_some_and(|line| !line.is_empty() && indent(line) >= depth) {
            self.skip("explicit markup without a blank line before it", end);
        }
        self.texts.push((at, text));
        if !literal {
            return end;
        }
        let next = self.lines[end..].iter().position(|line| !line.is_empty()).map(|skip| end + skip);
        match next {
            Some(next) if indent(&self.lines[next]) > depth => {
                let end = self.after_block(next, depth);
                if end < self.lines.len() && !self.lines[end - 1].is_empty() {
                    self.skip("the end of literal blocks", end);
                }
                end
            }
            // Quoted literal blocks start each line with the same punctuation.
            Some(next) if self.lines[next].trim_start().starts_with(|c: char| c.is_ascii_punctuation()) => {
                self.skip("quoted literal blocks", next);
                next + 1
            }
            Some(next) if next > end => {
                self.tell(next, "a literal block (`::`) is expected here, and nothing is indented");
                next
            }
            _ => end,
        }
    }

    /// Notes lines that are more than the running text of a paragraph or of a
    /// plain list.
    fn shape(&mut self, start: usize, end: usize, depth: usize) {
        let first = self.lines[start].trim_start().to_owned();
        let marker = bullet(&first);
        let starts = |text: &str, marks: &[&str]| marks.iter().any(|mark| text.starts_with(mark));
        let other = if marker.is_none() && is_enumerated(&first) {
            Some("numbered lists")
        } else if first.starts_with(':') && first[1..].contains(':') {
            Some("field lists")
        } else if first == "|" || first.starts_with("| ") {
            Some("line blocks")
        } else if starts(&first, &["--", "/"]) || (first.starts_with('-') && marker.is_none()) {
            Some("option lists")
        } else {
            None
        };
        if let Some(construct) = other {
            return self.skip(construct, start);
        }
        for at in start + 1..end {
            let line = &self.lines[at];
            let plain = match marker {
                // An item of the same list, or the next line of this one.
                Some(mark) => {
                    (indent(line) == depth && bullet(line.trim_start()) == Some(mark))
                        || indent(line) == depth + 2
                }
                None => indent(line) == depth && bullet(line.trim_start()).is_none(),
            };
            if !plain {
                self.skip("indented text", at);
            }
        }
    }

    /// Looks at the running text, once all definitions are known.
    fn references(&mut self) {
        let texts = std::mem::take(&mut self.texts);
        for (_, text) in &texts {
            for piece in pieces(text) {
                if let Piece::Link { name, address } = piece {
                    self.targets.entry(normal(&name)).or_insert(address);
                }
            }
        }
        for (at, text) in &texts {
            for piece in pieces(text) {
                let message = match piece {
                    Piece::Open(start) => format!("`{start}` opens markup that is not closed"),
                    Piece::Unread(construct) => {
                        self.skip(construct, *at);
                        continue;
                    }
                    Piece::Role(role) if !ROLES.contains(&role.as_str()) && !self.roles.contains(&role) => {
                        format!("the role `{role}` is not known to docutils")
                    }
                    Piece::Reference(name)
                        if !self.targets.contains_key(&name) && !self.sections.contains(&name) =>
                    {
                        format!("there is no target `{name}`")
                    }
                    Piece::Substitution(name) if !self.substitutions.contains(&name) => {
                        format!("there is no substitution `{name}`")
                    }
                    _ => continue,
                };
                self.tell(*at, message);
            }
        }
    }
}

/// The mark of an item of a bullet list.
fn bullet(line: &str) -> Option<char> {
    let mark = line.chars().next().filter(|c| "*+-•‣⁃".contains(*c))?;
    let rest = &line[mark.len_utf8()..];
    (rest.is_empty() || rest.starts_with(' ')).then_some(mark)
}

/// Whether a line starts like an item of a numbered list: `1.`, `(a)`, `#.`.
fn is_enumerated(line: &str) -> bool {
    let Some((mark, _)) = line.split_once(' ').or(Some((line, ""))) else { return false };
    let inner = mark.strip_prefix('(').unwrap_or(mark);
    let Some(inner) = inner.strip_suffix(['.', ')']) else { return false };
    !inner.is_empty()
        && (inner == "#" || (inner.len() < 6 && inner.chars().all(|c| c.is_ascii_alphanumeric())))
}

/// Languages of code that Pygments knows under these names.
const LANGUAGES: [&str; 43] = [
    "bash",
    "bat",
    "c",
    "c++",
    "cmake",
    "console",
    "cpp",
    "css",
    "diff",
    "docker",
    "dockerfile",
    "fish",
    "go",
    "html",
    "http",
    "ini",
    "java",
    "javascript",
    "jinja",
    "js",
    "json",
    "lua",
    "make",
    "makefile",
    "nix",
    "powershell",
    "pycon",
    "pytb",
    "python",
    "python3",
    "rst",
    "ruby",
    "rust",
    "sh",
    "shell",
    "shell-session",
    "sql",
    "text",
    "toml",
    "ts",
    "typescript",
    "xml",
    "yaml",
];

/// The options of images, which are the most used.
const IMAGE_OPTIONS: [&str; 7] =
    [":alt:", ":target:", ":width:", ":height:", ":align:", ":scale:", ":class:"];

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.trim_end().chars().all(|c| c.is_ascii_alphanumeric() || "-_:.+".contains(c))
}

/// What inline markup says.
enum Piece {
    /// It starts and does not end.
    Open(&'static str),
    Role(String),
    /// What docutils makes of it depends on more than is read here.
    Unread(&'static str),
    /// `` `name`_ ``.
    Reference(String),
    /// `` `name <address>`_ ``.
    Link {
        name: String,
        address: String,
    },
    /// `|name|`.
    Substitution(String),
}

/// Inline markup, as docutils recognises it (reStructuredText specification,
/// "Inline markup recognition rules").
fn pieces(text: &str) -> Vec<Piece> {
    let chars: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if chars[at] == '\\' {
            at += 2;
            continue;
        }
        let Some(mark) = ["``", "**", "*", "`", "|"].into_iter().find(|mark| starts(&chars, at, mark)) else {
            // A word or a bracket that ends in `_` refers to something.
            let before = at.checked_sub(1).map(|before| chars[before]);
            let after = chars.get(at + 1);
            if chars[at] == '_'
                && before.is_some_and(|c| c.is_alphanumeric() || "]`_".contains(c))
                && after.is_none_or(|c| !c.is_alphanumeric() && *c != '_')
            {
                pieces.push(Piece::Unread(SIMPLE));
            }
            at += 1;
            continue;
        };
        let size = mark.len();
        let Some(end) = closes(&chars, at + size, mark) else {
            // What docutils makes of a lone bar or asterisk depends on more.
            let is_unclear = mark == "|" || mark == "*";
            pieces.push(if is_unclear { Piece::Unread("a lone `*` or `|`") } else { Piece::Open(mark) });
            at += size;
            continue;
        };
        let inner: String = chars[at + size..end].iter().collect();
        let rest = &chars[end + size..];
        match mark {
            "`" => pieces.extend(interpreted(&chars[..at], &inner, rest)),
            "|" if inner.starts_with('|') => pieces.push(Piece::Unread("a lone `*` or `|`")),
            "|" => pieces.push(Piece::Substitution(normal(&inner))),
            _ => {}
        }
        // The mark of a reference belongs to it.
        let reference = rest.iter().take_while(|c| **c == '_').count();
        at = end + size + if ["`", "|"].contains(&mark) { reference } else { 0 };
    }
    pieces
}

/// `name_`, `[1]_`, `` `name`__ ``.
const SIMPLE: &str = "references by a plain word, to footnotes, or without a name";

/// What text in single backticks is, by what is before and behind it.
fn interpreted(before: &[char], inner: &str, rest: &[char]) -> Option<Piece> {
    let before: String = before.iter().collect();
    let prefix = before.strip_suffix(':').and_then(|head| head.rsplit_once(':'));
    let prefix = prefix.filter(|(_, role)| is_word(role));
    // A role starts a word of its own.
    if prefix.is_some_and(|(head, _)| head.ends_with(|c: char| c.is_alphanumeric() || c == '`')) {
        return Some(Piece::Unread("the text of roles"));
    }
    let role = prefix.map(|(_, role)| role);
    let after: String = rest.iter().take(40).collect();
    let after = after.strip_prefix(':').and_then(|tail| tail.split_once(':')).map(|(role, _)| role);
    if let Some(role) = role.filter(|role| is_word(role)).or(after.filter(|role| is_word(role))) {
        let is_number = !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit());
        let role = role.to_ascii_lowercase();
        let needs_number = ["pep", "pep-reference", "rfc", "rfc-reference"].contains(&role.as_str());
        return Some(if needs_number && !is_number {
            Piece::Unread("the text of roles")
        } else {
            Piece::Role(role)
        });
    }
    let marks = rest.iter().take_while(|c| **c == '_').count();
    if marks == 0 {
        return None;
    }
    let is_end = |c: &char| c.is_whitespace() || "'\")]}>-/\\:.,;!?".contains(*c) || !c.is_ascii();
    if marks > 2 || !rest.get(marks).is_none_or(is_end) {
        return Some(Piece::Unread(SIMPLE));
    }
    let link = inner.strip_suffix('>').and_then(|inner| inner.rsplit_once('<'));
    let Some((name, address)) = link else {
        let is_plain = marks == 1 && !inner.contains(['<', '>']);
        return Some(if is_plain { Piece::Reference(normal(inner)) } else { Piece::Unread(SIMPLE) });
    };
    let is_clear = name.is_empty() || name.ends_with(char::is_whitespace);
    if !is_clear
        || name.contains(['<', '>'])
        || address.contains('>')
        || address.trim().is_empty()
        || address.ends_with('_')
    {
        return Some(Piece::Unread("links of another form"));
    }
    let name = if name.trim().is_empty() { address.to_owned() } else { name.trim().to_owned() };
    // Without a name of its own it defines none.
    (marks == 1).then(|| Piece::Link { name, address: address.split_whitespace().collect() })
}

fn starts(chars: &[char], at: usize, mark: &str) -> bool {
    let same = mark.chars().enumerate().all(|(index, c)| chars.get(at + index) == Some(&c));
    let next = chars.get(at + mark.len());
    let before = at.checked_sub(1).map(|before| chars[before]);
    // A role precedes its text.
    let opens = |c: char| c.is_whitespace() || "'\"([{<-/:".contains(c) || "‘“’«¡¿‐‑–—".contains(c);
    let quoted = |c: char| {
        let pairs = [('\'', '\''), ('"', '"'), ('(', ')'), ('[', ']'), ('{', '}'), ('<', '>')];
        pairs.iter().any(|(open, close)| *open == c && next == Some(close))
    };
    same && next.is_some_and(|c| !c.is_whitespace())
        && before.is_none_or(|c| opens(c) && !quoted(c))
        // `**` is strong, `***` is text.
        && !(mark == "*" && next == Some(&'*'))
}

fn closes(chars: &[char], from: usize, mark: &str) -> Option<usize> {
    let literal = mark == "``";
    (from + 1..chars.len()).find(|at| {
        let same = mark.chars().enumerate().all(|(index, c)| chars.get(at + index) == Some(&c));
        let before = chars[at - 1];
        let after = chars.get(at + mark.len());
        let ends = |c: &char| c.is_whitespace() || "'\")]}>-/\\:.,;!?_".contains(*c) || !c.is_ascii();
        same && !before.is_whitespace() && (literal || before != '\\') && after.is_none_or(ends)
    })
}

#[cfg(test)]
mod tests {
    use super::reading;

    fn faults(text: &str) -> Vec<(usize, String)> {
        reading(text).faults
    }

    fn first(text: &str) -> Option<String> {
        faults(text).into_iter().next().map(|(_, message)| message)
    }

    #[test]
    fn what_docutils_renders_has_no_faults() {
        let text = "Title\n=====\n\nSome *text* with ``code``, a `link <https://a.example>`_, `Title`_ and |logo|.\n\
            2 * 3 and a* and 'quoted' \\`escape.\n\n.. |logo| image:: a.png\n\n.. note:: Well\n   done.\n\n\
            Code::\n\n    .. anything::\n    ``x\n\n- one\n- two\n\nSub\n---\n\nMore\n====\n\n.. _a: https://a.example\n\
            .. code-block:: python\n\n   x = `y\n\n====  ====\na     `b\n====  ====\n\n:math:`x` and :sub:`2`\n";
        assert_eq!(faults(text), []);
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, told) in [
            ("Title\n====\n", "too short"),
            (".. toctree::\n\n   a\n", "directive `toctree`"),
            (".. raw:: html\n\n   <b>\n", "switched off"),
            ("See :class:`x`.\n", "role `class`"),
            ("See `gone`_.\n", "no target `gone`"),
            ("See |gone|.\n", "no substitution `gone`"),
            ("A ``literal.\n", "not closed"),
            ("A **strong.\n", "not closed"),
            ("A `title.\n", "not closed"),
            (".. _a: https://a.example\n.. _a: https://b.example\n", "defined twice"),
            ("A\n=\n\nB\n-\n\nC\n~\n\nD\n=\n\nE\n~\n", "skips a level"),
            ("A\n=\n\nB\n-\n\nC\n=\n\nD\n~\n", "new style"),
            (".. note:: x\ntext\n", "without a blank line"),
            ("Code::\n\nnot indented\n", "literal block"),
        ] {
            let message = first(text).unwrap_or_default();
            assert!(message.contains(told), "{text}: {message}");
        }
    }
}
