//! The outcome in every environment, for the files of one project.

use std::collections::{BTreeMap, HashMap};

use pep440_rs::Version;
use pydist::name::ProjectName;

use crate::accepted::{Interpreter, Platforms, Rank};
use crate::environment::{Environment, Python, Runtime, known};
use crate::file::File;
use crate::platform::{self, Generation};

/// The outcome in one environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// The environment has no such Python.
    Absent,
    /// The installer picks a wheel that cannot be loaded; its index in
    /// [`Matrix::files`].
    DoesNotLoad(usize),
    /// The installer finds nothing.
    Nothing,
    /// The installer builds a source distribution.
    Sdist(usize),
    /// The installer picks a wheel.
    Wheel(usize),
}

/// The outcomes for the files of one project.
#[derive(Debug)]
pub struct Matrix {
    /// The project's normalised name.
    pub project: ProjectName,
    /// The files, ordered by version, build number and name.
    pub files: Vec<File>,
    /// Row by row, in the order of [`known`].
    cells: Vec<Cell>,
}

impl Cell {
    /// The outcome's name in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::DoesNotLoad(_) => "wheel, but does not load",
            Self::Nothing => "nothing",
            Self::Sdist(_) => "sdist",
            Self::Wheel(_) => "wheel",
        }
    }

    /// The file's index in [`Matrix::files`].
    pub fn file(self) -> Option<usize> {
        match self {
            Self::DoesNotLoad(file) | Self::Sdist(file) | Self::Wheel(file) => Some(file),
            Self::Absent | Self::Nothing => None,
        }
    }

    /// How good it is for the user.
    pub(crate) fn grade(self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::DoesNotLoad(_) => 1,
            Self::Nothing => 2,
            Self::Sdist(_) => 3,
            Self::Wheel(_) => 4,
        }
    }
}

/// One matrix for each project in `files`.
pub fn matrices(files: Vec<File>) -> Vec<Matrix> {
    let mut projects: BTreeMap<ProjectName, Vec<File>> = BTreeMap::new();
    for file in files {
        projects.entry(file.name.project()).or_default().push(file);
    }
    projects.into_iter().map(|(project, files)| Matrix::new(project, files)).collect()
}

impl Matrix {
    /// The outcomes for the files of one project.
    pub fn new(project: ProjectName, mut files: Vec<File>) -> Self {
        files.sort_by(|a, b| (&a.version, a.build(), &a.filename).cmp(&(&b.version, b.build(), &b.filename)));
        let known = known();
        let mut table = Table::new(&files);
        let mut cells = Vec::with_capacity(known.environments.len() * known.pythons.len());
        for environment in &known.environments {
            for python in &known.pythons {
                cells.push(table.cell(environment, python));
            }
        }
        Self { project, files, cells }
    }

    /// The cell of an environment and a Python, by their indices in [`known`].
    pub fn cell(&self, environment: usize, python: usize) -> Cell {
        self.cells[environment * known().pythons.len() + python]
    }

    /// Every cell with the indices of its environment and its Python.
    pub fn cells(&self) -> impl Iterator<Item = (usize, usize, Cell)> {
        let columns = known().pythons.len();
        self.cells.iter().enumerate().map(move |(at, cell)| (at / columns, at % columns, *cell))
    }

    /// The indices of the Pythons that a table shows: the default ones, and older
    /// ones on which a wheel is installed.
    pub fn columns(&self) -> Vec<usize> {
        let served = |python: usize| {
            let rows = 0..known().environments.len();
            rows.into_iter().any(|row| matches!(self.cell(row, python), Cell::Wheel(_)))
        };
        let shown = |(place, python): (usize, &Python)| (python.column || served(place)).then_some(place);
        known().pythons.iter().enumerate().filter_map(shown).collect()
    }
}

/// The positions of a file's Python and ABI tags: for a platform, and for any.
type PythonPlaces = (Option<usize>, Option<usize>);

/// The ranks of all files, computed once and shared by the environments.
struct Table<'f> {
    files: &'f [File],
    /// File → index of its version among the sorted versions.
    versions: Vec<usize>,
    /// Full version of a Python → whether each file supports it.
    supported: HashMap<Version, Vec<bool>>,
    /// Python and generation → each file's positions.
    interpreters: HashMap<(&'static str, Generation), Vec<PythonPlaces>>,
    /// Platform and generation → each file's position.
    platforms: HashMap<(&'static Runtime, &'static str, Generation), Vec<Option<usize>>>,
}

impl<'f> Table<'f> {
    fn new(files: &'f [File]) -> Self {
        let mut versions = Vec::with_capacity(files.len());
        for (at, file) in files.iter().enumerate() {
            let same = at == 0 || files[at - 1].version == file.version;
            versions.push(versions.last().copied().unwrap_or_default() + usize::from(!same));
        }
        Self {
            files,
            versions,
            supported: HashMap::new(),
            interpreters: HashMap::new(),
            platforms: HashMap::new(),
        }
    }

    /// Like [`InstallTarget::choose`](crate::choice::InstallTarget::choose), with the shared ranks.
    fn cell(&mut self, environment: &'static Environment, python: &'static Python) -> Cell {
        if !environment.has(python) {
            return Cell::Absent;
        }
        let files = self.files;
        let shipped = environment.shipped(python);
        let generation = Generation::of(&shipped.pip);
        let supported = self
            .supported
            .entry(shipped.release)
            .or_insert_with_key(|release| files.iter().map(|file| file.supports(release)).collect());
        let pairs = self.interpreters.entry((&python.name, generation)).or_insert_with(|| {
            let interpreter = Interpreter::new(python, generation);
            let places = |file: &File| {
                let tags = file.wheel().map(|wheel| &wheel.tags);
                let pair = tags.and_then(|tags| interpreter.pair(tags));
                (pair, tags.and_then(|tags| interpreter.any_platform(tags)))
            };
            files.iter().map(places).collect()
        });
        let key = (&environment.runtime, environment.arch.as_str(), generation);
        let places = self.platforms.entry(key).or_insert_with(|| {
            let platforms = Platforms::new(platform::tags(environment, generation));
            files.iter().map(|file| platforms.place(&file.wheel()?.tags)).collect()
        });
        let candidates = files.iter().enumerate().filter_map(|(at, file)| {
            if file.yanked || !supported[at] {
                return None;
            }
            let (pair, any_platform) = pairs[at];
            let named = pair.zip(places[at]).map(|(pair, place)| Rank::Platform(pair, place));
            let rank = named.or(any_platform.map(Rank::AnyPlatform));
            let taken = file.wheel().is_none() || rank.is_some();
            taken.then_some((self.versions[at], rank.map(std::cmp::Reverse), at))
        });
        match candidates.max() {
            None => Cell::Nothing,
            Some((_, None, file)) => Cell::Sdist(file),
            Some((_, Some(_), file)) if files[file].missing(environment).is_some() => Cell::DoesNotLoad(file),
            Some((_, Some(_), file)) => Cell::Wheel(file),
        }
    }
}
