//! Rejects cycles between modules. There is an edge from a module to another one if its
//! non-test code names an item that the other one defines. Declaring a child with `mod` and
//! re-exporting with `pub use` do not count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use proc_macro2::{TokenStream, TokenTree};
use serde::Deserialize;
use syn::visit::{self, Visit};

use crate::error::Error;
use crate::modules::{Import, Modules, attributes, flatten, is_reexport, is_test};
use crate::shell::{Shell, WORKSPACES, display};

/// For each module, the modules that it depends on, each with one path as an example.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// Fails if the modules of a crate in this repository have a cycle.
pub(crate) fn check(shell: &Shell) -> Result<(), Error> {
    let mut problems = Vec::new();
    for root in crates(shell)? {
        let cycles = cycles(&graph(&Modules::read(&root)?));
        let shown = root.strip_prefix(&shell.root).unwrap_or(&root).display();
        problems.extend(cycles.iter().map(|cycle| format!("{shown}: module cycle {cycle}")));
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Check(problems.join("\n"))) }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

/// The root files of all libraries and programs.
fn crates(shell: &Shell) -> Result<Vec<PathBuf>, Error> {
    let mut crates = Vec::new();
    for workspace in WORKSPACES.into_iter().chain(["fuzz/Cargo.toml"]) {
        let manifest = shell.root.join(workspace);
        let metadata = ["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"];
        let output = shell.quiet(&shell.cargo().args(metadata).arg(display(&manifest)))?;
        let metadata: Metadata = serde_json::from_str(&output.stdout)
            .map_err(|error| Error::Check(format!("cannot read `cargo metadata`: {error}")))?;
        for package in metadata.packages {
            let is_code = |target: &Target| {
                target.kind.iter().any(|kind| ["lib", "bin", "cdylib", "rlib"].contains(&kind.as_str()))
            };
            let targets = package.targets.into_iter().filter(is_code);
            crates.extend(targets.map(|target| target.src_path));
        }
    }
    Ok(crates)
}

fn graph(modules: &Modules) -> Graph {
    let mut graph = Graph::new();
    for (name, module) in modules.iter() {
        let mut edges = Edges { modules, module: name, found: BTreeMap::new() };
        for item in &module.syntax {
            edges.visit_item(item);
        }
        graph.insert(name.to_owned(), edges.found);
    }
    graph
}

/// Collects the edges of one module.
struct Edges<'a> {
    modules: &'a Modules,
    module: &'a str,
    found: BTreeMap<String, String>,
}

impl Edges<'_> {
    fn path(&mut self, path: &[String]) {
        if let Some(defining_module) =
            self.modules.defining_module(self.module, path).filter(|found| found != self.module)
        {
            self.found.entry(defining_module).or_insert_with(|| path.join("::"));
        }
    }
}

impl<'ast> Visit<'ast> for Edges<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        // Also skip tests in functions and impl blocks.
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if is_reexport(item) {
            return;
        }
        for import in flatten(&item.tree, &[]) {
            match import {
                Import::Name(_, path) | Import::Glob(path) => self.path(&path),
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if path.leading_colon.is_none() {
            self.path(&segments);
        }
        visit::visit_path(self, path);
    }

    /// Handles the arguments of macros and attributes, which syn does not parse.
    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        self.tokens(tokens.clone());
    }
}

impl Edges<'_> {
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                token => {
                    self.path(&std::mem::take(&mut path));
                    colons = 0;
                    match token {
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        _ => {}
                    }
                }
            }
        }
        self.path(&path);
    }
}

/// A shortest cycle for each group of interdependent modules.
fn cycles(graph: &Graph) -> Vec<String> {
    let mut covered = BTreeSet::new();
    let mut cycles = Vec::new();
    for start in graph.keys() {
        if covered.contains(start) {
            continue;
        }
        if let Some(cycle) = shortest_cycle(graph, start) {
            let group =
                graph.keys().filter(|other| reaches(graph, start, other) && reaches(graph, other, start));
            let group: Vec<&String> = group.collect();
            covered.extend(group.iter().copied());
            let more = group.len() - (cycle.len() - 1);
            let more = if more == 0 { String::new() } else { format!(" (and {more} more modules)") };
            let steps =
                cycle.windows(2).map(|pair| format!(" → {} (`{}`)", pair[1], graph[pair[0]][pair[1]]));
            cycles.push(format!("{}{}{more}", cycle[0], steps.collect::<String>()));
        }
    }
    cycles
}

fn reaches(graph: &Graph, from: &str, to: &str) -> bool {
    walk(graph, from).contains_key(to)
}

/// All direct and indirect dependencies of `from`, each with its predecessor.
fn walk<'g>(graph: &'g Graph, from: &'g str) -> BTreeMap<&'g str, &'g str> {
    let mut before = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(module) = queue.pop_front() {
        for next in graph.get(module).into_iter().flat_map(BTreeMap::keys) {
            if !before.contains_key(next.as_str()) {
                before.insert(next.as_str(), module);
                queue.push_back(next);
            }
        }
    }
    before
}

fn shortest_cycle<'g>(graph: &'g Graph, start: &'g str) -> Option<Vec<&'g str>> {
    let before = walk(graph, start);
    let mut cycle = vec![start];
    let mut module = *before.get(start)?;
    while module != start {
        cycle.push(module);
        module = before[module];
    }
    cycle.push(start);
    cycle.reverse();
    Some(cycle)
}

/// The edges of the crate with the root file `root`, for tests.
#[cfg(test)]
fn edges(root: &std::path::Path) -> Vec<String> {
    let graph = graph(&Modules::read(root).unwrap());
    let edges = graph.iter().flat_map(|(from, to)| to.keys().map(move |to| format!("{from} -> {to}")));
    edges.map(|edge| edge.replace("crate::", "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = place.path().join("lib.rs");
        (place, root)
    }

    #[test]
    fn edges_point_to_the_defining_module() {
        let (_place, root) = sample(&[
            ("lib.rs", "mod a; mod b; mod c; mod d; pub use b::{B, Other as Renamed};"),
            ("a.rs", "use crate::{Renamed, c}; pub struct A; fn f() { c::inner::g(); let _ = c::CONST; }"),
            ("b.rs", "pub struct B; pub enum Other { X } impl crate::a::A {}"),
            (
                "c/mod.rs",
                "pub mod inner { pub fn g() { println!(\"{}\", super::CONST) } } pub const CONST: u8 = 0;",
            ),
            ("d.rs", "use super::*; fn f(_: B) { matches!(x, crate::a::A) ; }"),
        ]);
        let expected = ["a -> b", "a -> c", "a -> c::inner", "b -> a", "c::inner -> c", "d -> a", "d -> b"];
        assert_eq!(edges(&root), expected);
        let found = cycles(&graph(&Modules::read(&root).unwrap()));
        assert_eq!(found, ["crate::a → crate::b (`crate::Renamed`) → crate::a (`crate::a::A`)"]);
    }

    #[test]
    fn ignores_tests_declarations_and_reexports() {
        let (_place, root) = sample(&[
            ("lib.rs", "mod a; mod b; pub(crate) use a::A;"),
            (
                "a.rs",
                "pub use crate::b::B; pub struct A; #[cfg(test)] mod tests { use crate::b::B; } #[test] fn t() { crate::b::f() }",
            ),
            ("b.rs", "use crate::A; use std::fmt; pub struct B; pub fn f() -> fmt::Result { toolkit::a::A }"),
        ]);
        assert_eq!(edges(&root), ["b -> a"]);
    }

    #[test]
    fn finds_a_cycle_of_parent_and_child() {
        let (_place, root) = sample(&[
            ("lib.rs", "mod a; fn main() { a::f() }"),
            ("a.rs", "mod deep; pub fn f() { deep::g() } pub(super) struct T;"),
            ("a/deep.rs", "pub fn g() {} #[derive(Debug)] #[error(\"{}\", super::T::show())] struct E;"),
        ]);
        let found = cycles(&graph(&Modules::read(&root).unwrap()));
        assert_eq!(found, ["crate::a → crate::a::deep (`deep::g`) → crate::a (`super::T::show`)"]);
    }
}
