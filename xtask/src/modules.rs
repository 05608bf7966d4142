//! The modules of a crate, and the resolution of paths to defining modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::{Attribute, Item, UseTree, Visibility};
use toolkit::FileError;

use crate::error::Error;

/// The name of a crate's root module.
pub(crate) const ROOT: &str = "crate";

/// The modules of a crate without tests, by full name such as `crate::plan`.
pub(crate) struct Modules(BTreeMap<String, Module>);

/// One module.
#[derive(Default)]
pub(crate) struct Module {
    /// Its items, without tests and child modules.
    pub(crate) syntax: Vec<Item>,
    /// The names that it defines.
    defined: BTreeSet<String>,
    /// The names that it imports, with their paths as written.
    imports: BTreeMap<String, Vec<String>>,
    /// The paths of its glob imports.
    globs: Vec<Vec<String>>,
}

/// The target of a path.
enum Target {
    Module(String),
    /// An item of this module, or a part of it.
    Item(String),
}

impl Modules {
    /// Parses the crate with the root file `root`.
    pub(crate) fn read(root: &Path) -> Result<Self, Error> {
        let mut modules = Self(BTreeMap::new());
        let directory = root.parent().unwrap_or(Path::new(".")).to_owned();
        modules.add(ROOT.into(), parse(root)?, root, &directory)?;
        Ok(modules)
    }

    /// All modules with their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Module)> {
        self.0.iter().map(|(name, module)| (name.as_str(), module))
    }

    /// The module that defines the item `path`, as seen from `module`; `None` for modules, items
    /// of other crates and local names.
    pub(crate) fn defining_module(&self, module: &str, path: &[String]) -> Option<String> {
        match self.resolve(module, path, 0)? {
            Target::Item(module) => Some(module),
            Target::Module(_) => None,
        }
    }

    /// Adds a module in `file`, whose child modules are files in `directory`.
    fn add(&mut self, name: String, items: Vec<Item>, file: &Path, directory: &Path) -> Result<(), Error> {
        let mut module = Module::default();
        for item in items {
            if is_test(attributes(&item)) {
                continue;
            }
            match item {
                Item::Mod(child) => {
                    let ident = child.ident.to_string();
                    let full = format!("{name}::{ident}");
                    if let Some((_, items)) = child.content {
                        self.add(full, items, file, &directory.join(&ident))?;
                    } else {
                        let (path, below) = module_file(file, directory, &ident, &child.attrs);
                        self.add(full, parse(&path)?, &path, &below)?;
                    }
                }
                item => {
                    if let Item::Use(import) = &item {
                        module.import(&import.tree, &[]);
                    }
                    module.defined.extend(defined_name(&item));
                    module.syntax.push(item);
                }
            }
        }
        self.0.insert(name, module);
        Ok(())
    }

    fn resolve(&self, module: &str, path: &[String], depth: usize) -> Option<Target> {
        // Imports can be cyclic, mostly through globs.
        if depth > 16 {
            return None;
        }
        let (first, mut rest) = path.split_first()?;
        let mut current = match first.as_str() {
            "crate" | "$crate" => ROOT.to_owned(),
            "self" => module.to_owned(),
            "super" => parent(module)?,
            name => match self.look_up(module, name, depth)? {
                Target::Module(found) => found,
                item @ Target::Item(_) => return Some(item),
            },
        };
        while let Some((name, after)) = rest.split_first() {
            rest = after;
            current = match name.as_str() {
                "super" => parent(&current)?,
                name => match self.look_up(&current, name, depth)? {
                    Target::Module(found) => found,
                    item @ Target::Item(_) => return Some(item),
                },
            };
        }
        Some(Target::Module(current))
    }

    fn look_up(&self, module: &str, name: &str, depth: usize) -> Option<Target> {
        let child = format!("{module}::{name}");
        if self.0.contains_key(&child) {
            return Some(Target::Module(child));
        }
        let found = self.0.get(module)?;
        if found.defined.contains(name) {
            return Some(Target::Item(module.to_owned()));
        }
        if let Some(path) = found.imports.get(name) {
            return self.resolve(module, path, depth + 1);
        }
        found.globs.iter().find_map(|path| match self.resolve(module, path, depth + 1)? {
            Target::Module(found) if found != module => self.look_up(&found, name, depth + 1),
            _ => None,
        })
    }
}

impl Module {
    fn import(&mut self, tree: &UseTree, before: &[String]) {
        for import in flatten(tree, before) {
            match import {
                Import::Name(name, path) => drop(self.imports.insert(name, path)),
                Import::Glob(path) => self.globs.push(path),
            }
        }
    }
}

/// A single imported name, or a glob import.
pub(crate) enum Import {
    Name(String, Vec<String>),
    Glob(Vec<String>),
}

/// The individual imports of a `use`.
pub(crate) fn flatten(tree: &UseTree, before: &[String]) -> Vec<Import> {
    let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => flatten(&path.tree, &with(&path.ident)),
        UseTree::Group(group) => group.items.iter().flat_map(|tree| flatten(tree, before)).collect(),
        UseTree::Glob(_) => vec![Import::Glob(before.to_vec())],
        UseTree::Name(name) if name.ident == "self" => {
            let last = before.last().cloned().unwrap_or_default();
            vec![Import::Name(last, before.to_vec())]
        }
        UseTree::Name(name) => vec![Import::Name(name.ident.to_string(), with(&name.ident))],
        UseTree::Rename(rename) => {
            let path = if rename.ident == "self" { before.to_vec() } else { with(&rename.ident) };
            vec![Import::Name(rename.rename.to_string(), path)]
        }
    }
}

/// Whether the item with these attributes exists only in tests.
pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
        _ => false,
    })
}

/// The attributes of an item that can contain or name code.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether a `use` is a re-export.
pub(crate) fn is_reexport(item: &syn::ItemUse) -> bool {
    !matches!(item.vis, Visibility::Inherited)
}

fn defined_name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn parent(module: &str) -> Option<String> {
    module.rsplit_once("::").map(|(parent, _)| parent.to_owned())
}

/// The file of the module `name`, declared in `file`, and the directory of its children.
fn module_file(file: &Path, directory: &Path, name: &str, attributes: &[Attribute]) -> (PathBuf, PathBuf) {
    let given = attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(value) if value.path.is_ident("path") => match &value.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    if let Some(given) = given {
        let path = file.with_file_name(given);
        let below = path.parent().unwrap_or(Path::new(".")).to_owned();
        return (path, below);
    }
    let below = directory.join(name);
    let plain = directory.join(format!("{name}.rs"));
    (if plain.is_file() { plain } else { below.join("mod.rs") }, below)
}

fn parse(file: &Path) -> Result<Vec<Item>, Error> {
    let text = std::fs::read_to_string(file).map_err(FileError::new("read", file))?;
    let parsed = syn::parse_file(&text)
        .map_err(|error| Error::Check(format!("cannot parse `{}`: {error}", file.display())))?;
    Ok(if is_test(&parsed.attrs) { Vec::new() } else { parsed.items })
}
