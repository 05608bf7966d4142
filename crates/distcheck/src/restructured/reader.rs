//! The blocks of a text: titles, paragraphs, directives, targets.

use std::collections::{BTreeMap, BTreeSet};

use super::inline::{Piece, is_word, normalised, pieces};
use super::lines::{adornment, bullet, indent, is_enumerated, is_explicit, is_table};
use super::names::{DIRECTIVES, IMAGE_OPTIONS, LANGUAGES, LITERAL, ROLES, UNCHECKED};

#[derive(Default)]
pub(super) struct Reader<'a> {
    lines: &'a [String],
    pub(super) mistakes: Vec<(usize, String)>,
    pub(super) unchecked: BTreeMap<&'static str, Vec<usize>>,
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
    pub(super) texts: Vec<(usize, String)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lines: &'a [String]) -> Self {
        Self { lines, ..Self::default() }
    }

    /// Records a construct that is not checked.
    pub(super) fn skip(&mut self, construct: &'static str, line: usize) {
        let lines = self.unchecked.entry(construct).or_default();
        if lines.last() != Some(&(line + 1)) {
            lines.push(line + 1);
        }
    }

    fn report(&mut self, line: usize, message: impl Into<String>) {
        self.mistakes.push((line + 1, message.into()));
    }

    /// The first line from `at` on that is neither blank nor indented deeper than
    /// `depth`.
    fn after_block(&self, at: usize, depth: usize) -> usize {
        let stays = |line: &&String| line.is_empty() || indent(line) > depth;
        at + self.lines[at..].iter().take_while(stays).count()
    }

    pub(super) fn read(&mut self) {
        let mut at = 0;
        while at < self.lines.len() {
            at = self.block(at);
        }
    }

    /// Reads one block. Returns the start of the next one.
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
            self.unchecked.entry("tables").or_default().push(at + 1);
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
            self.report(end, "explicit markup ends without a blank line");
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
            self.substitutions.insert(normalised(name));
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
            "raw" | "include" => self.report(at, format!("the index disables the directive `{name}`")),
            "role" => {
                let role = arguments.trim().split('(').next().unwrap_or_default();
                self.roles.insert(role.to_ascii_lowercase());
            }
            _ if !DIRECTIVES.contains(&name.as_str()) => {
                self.report(at, format!("docutils does not know the directive `{name}`"));
                return end;
            }
            _ => {}
        }
        self.directive(at, end, &name, arguments.trim());
        if UNCHECKED.contains(&name.as_str()) {
            self.unchecked.entry("the content of tables and formulas").or_default().push(at + 1);
        }
        if substitution.is_some()
            || LITERAL.contains(&name.as_str())
            || ["raw", "include"].contains(&name.as_str())
        {
            return end;
        }
        // Its options, then ordinary content.
        let is_option = |line: &&String| line.trim_start().starts_with(':');
        at + 1 + self.lines[at + 1..end].iter().take_while(is_option).count()
    }

    /// Records arguments, options and content that docutils may reject.
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
        let old = self.targets.insert(normalised(name), address.to_owned());
        if old.is_some_and(|old| old != address && !address.is_empty()) {
            self.report(at, format!("the target `{name}` is defined twice, with different addresses"));
        }
    }

    /// Reads a title with its underline and overline. Returns the start of the next
    /// block.
    fn title(&mut self, at: usize) -> Option<usize> {
        let line = |at: usize| self.lines.get(at).map_or("", String::as_str);
        let over = adornment(line(at)).filter(|_| line(at).len() >= 4);
        if let Some(style) = over {
            let (title, under) = (line(at + 1), line(at + 2));
            if title.is_empty() {
                // Where a transition is allowed depends on its context.
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
            self.report(at, format!("the underline of the title `{title}` is too short"));
        }
        match self.styles.iter().position(|known| *known == style) {
            Some(level) if level > self.level => {
                self.report(at, format!("the title `{title}` skips a level"));
            }
            Some(level) => self.level = level + 1,
            None if self.level < self.styles.len() => {
                self.report(at, format!("the title `{title}` has a new style, expected a known one"));
            }
            None => {
                self.styles.push(style);
                self.level = self.styles.len();
            }
        }
        self.sections.insert(normalised(title));
        self.texts.push((at, title.to_owned()));
    }

    /// Reads lines up to a blank one, with the indented lines of a list item; after
    /// `::`, a literal block.
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
                self.report(next, "expected an indented literal block after `::`");
                next
            }
            _ => end,
        }
    }

    /// Records lines that are more than the text of a paragraph or a plain list.
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

    /// Checks the references in the text, once all definitions are known.
    pub(super) fn references(&mut self) {
        let texts = std::mem::take(&mut self.texts);
        for (_, text) in &texts {
            for piece in pieces(text) {
                if let Piece::Link { name, address } = piece {
                    self.targets.entry(normalised(&name)).or_insert(address);
                }
            }
        }
        for (at, text) in &texts {
            for piece in pieces(text) {
                let message = match piece {
                    Piece::Open(start) => format!("`{start}` opens markup that is not closed"),
                    Piece::Unchecked(construct) => {
                        self.skip(construct, *at);
                        continue;
                    }
                    Piece::Role(role) if !ROLES.contains(&role.as_str()) && !self.roles.contains(&role) => {
                        format!("docutils does not know the role `{role}`")
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
                self.report(*at, message);
            }
        }
    }
}
