//! The tags that a Python accepts, best first, and the rank of a wheel's tags
//! among them.
//!
//! The list of an environment is a product: each pair of Python and ABI with
//! each platform, then the tags for any platform. It is kept as its factors, so
//! that a whole matrix does not need millions of tags.

use std::collections::HashMap;

use pydist::tags::{Tag, TagSet};

use crate::environment::Python;
use crate::platform::Generation;

/// What a Python accepts, whatever the platform.
#[derive(Debug)]
pub struct Interpreter {
    /// Pairs of Python and ABI tag, best first.
    pairs: Vec<(String, String)>,
    /// The Python tags with ABI `none` and platform `any`, best first.
    any_platform: Vec<String>,
}

/// The platform tags of an environment, with their positions.
#[derive(Debug)]
pub struct Platforms {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

/// A position in the list of accepted tags; the lowest is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Of a tag that names a platform: the positions of the pair and of the platform.
    Platform(usize, usize),
    /// Of a tag for any platform: its position.
    AnyPlatform(usize),
}

impl Interpreter {
    /// The tags of a Python, as a pip of this generation orders them.
    pub fn new(python: &Python, generation: Generation) -> Self {
        let (major, minor) = python.version();
        let interpreter = python.interpreter().to_owned();
        let mut pairs = vec![(interpreter.clone(), python.abi())];
        let stable = match (python.is_pypy(), python.is_free_threaded()) {
            (false, false) => Some("abi3"),
            (false, true) if generation >= Generation::Abi3t => Some("abi3t"),
            _ => None,
        };
        pairs.extend(stable.map(|abi| (interpreter.clone(), abi.to_owned())));
        pairs.push((interpreter.clone(), "none".to_owned()));
        if let Some(abi) = stable {
            pairs.extend((2..minor).rev().map(|minor| (format!("cp{major}{minor}"), abi.to_owned())));
        }
        let older = (0..minor).rev().map(|minor| format!("py{major}{minor}"));
        let generic: Vec<String> =
            [format!("py{major}{minor}"), format!("py{major}")].into_iter().chain(older).collect();
        pairs.extend(generic.iter().map(|python| (python.clone(), "none".to_owned())));
        let any_platform = [interpreter].into_iter().chain(generic).collect();
        Self { pairs, any_platform }
    }

    /// The best position of a wheel's Python and ABI tags, whatever the platform.
    pub fn pair(&self, tags: &TagSet) -> Option<usize> {
        self.pairs.iter().position(|(python, abi)| tags.python.contains(python) && tags.abi.contains(abi))
    }

    /// The best position of a wheel's tags for any platform.
    pub fn any_platform(&self, tags: &TagSet) -> Option<usize> {
        let any = tags.platform.iter().any(|tag| tag == "any") && tags.abi.iter().any(|tag| tag == "none");
        self.any_platform.iter().position(|python| any && tags.python.contains(python))
    }
}

impl Platforms {
    /// Builds the positions of `names`, best first.
    pub fn new(names: Vec<String>) -> Self {
        let places = names.iter().enumerate().map(|(place, name)| (name.clone(), place)).collect();
        Self { names, places }
    }

    /// The best position of a wheel's platform tags.
    pub fn place(&self, tags: &TagSet) -> Option<usize> {
        tags.platform.iter().filter_map(|tag| self.places.get(tag)).min().copied()
    }
}

/// The best rank of a wheel's tags, if any is accepted.
pub fn rank(interpreter: &Interpreter, platforms: &Platforms, tags: &TagSet) -> Option<Rank> {
    let named = interpreter.pair(tags).zip(platforms.place(tags));
    named
        .map(|(pair, place)| Rank::Platform(pair, place))
        .or_else(|| interpreter.any_platform(tags).map(Rank::AnyPlatform))
}

/// The whole list, best first.
pub fn list(interpreter: &Interpreter, platforms: &Platforms) -> Vec<Tag> {
    let tag = |python: &str, abi: &str, platform: &str| Tag {
        python: python.to_owned(),
        abi: abi.to_owned(),
        platform: platform.to_owned(),
    };
    let named = interpreter
        .pairs
        .iter()
        .flat_map(|(python, abi)| platforms.names.iter().map(move |platform| tag(python, abi, platform)));
    named.chain(interpreter.any_platform.iter().map(|python| tag(python, "none", "any"))).collect()
}

impl Rank {
    /// The position in [`list`], counted from zero.
    pub fn index(self, interpreter: &Interpreter, platforms: &Platforms) -> usize {
        match self {
            Self::Platform(pair, place) => pair * platforms.names.len() + place,
            Self::AnyPlatform(place) => interpreter.pairs.len() * platforms.names.len() + place,
        }
    }
}
