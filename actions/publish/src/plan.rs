//! The upload plan, which a dry run shows.

use std::collections::{BTreeMap, BTreeSet};

use pydist::name::ProjectName;
use serde::Serialize;

use crate::advice::{Advice, Problem};
use crate::error::Error;
use crate::inspect::Dist;

/// The packages in upload order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The index to publish to.
    pub index: String,
    /// In upload order.
    pub packages: Vec<Package>,
}

/// One release of one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// The normalised name.
    pub project: ProjectName,
    /// The version.
    pub version: String,
    /// In upload order: wheels before the source distribution.
    pub files: Vec<PlannedFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedFile {
    /// The file's name.
    pub filename: String,
    /// The action for it.
    pub action: Action,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// Why it cannot be published, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
    /// The hint for that.
    #[serde(skip)]
    pub advice: Advice,
    /// Its index in the list of distributions.
    #[serde(skip)]
    pub dist: usize,
}

/// The action for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The index does not have it.
    Upload,
    /// The index has the same bytes.
    Keep,
    /// The index has other content under its name, or would reject it.
    Conflict,
    /// The index was not queried.
    Unknown,
}

/// The state of a file on the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// Nothing.
    Absent,
    /// The same bytes.
    Same,
    /// Other content, with a description.
    Different(String),
    /// Nothing, but it would reject the file, and why.
    Closed(String, Advice),
}

/// Plans the upload of `dists`; `remote` holds the state of each file on the
/// index, or is `None` if it was not queried.
pub fn plan(
    index: &str,
    dists: &[Dist],
    order: &[ProjectName],
    remote: Option<&BTreeMap<String, Remote>>,
) -> Result<Plan, Error> {
    let mut packages = Vec::new();
    for (project, version) in sequence(dists, order)? {
        let mut files = Vec::new();
        for (position, dist) in
            dists.iter().enumerate().filter(|(_, d)| d.project == project && d.version == version)
        {
            let (action, conflict, advice) = match remote.map(|remote| remote.get(&dist.filename)) {
                None => (Action::Unknown, None, Advice::Fix),
                Some(None | Some(Remote::Absent)) => (Action::Upload, None, Advice::Fix),
                Some(Some(Remote::Same)) => (Action::Keep, None, Advice::Fix),
                Some(Some(Remote::Different(what))) => {
                    (Action::Conflict, Some(what.clone()), Advice::NewVersion)
                }
                Some(Some(Remote::Closed(what, advice))) => (Action::Conflict, Some(what.clone()), *advice),
            };
            let (filename, sha256, size) = (dist.filename.clone(), dist.sha256.clone(), dist.size);
            files.push(PlannedFile { filename, action, sha256, size, conflict, advice, dist: position });
        }
        files.sort_by_key(|file| (dists[file.dist].name.wheel().is_none(), file.filename.clone()));
        packages.push(Package { project, version, files });
    }
    Ok(Plan { index: index.to_owned(), packages })
}

/// The projects with their versions, each after the projects that it requires.
fn sequence(dists: &[Dist], order: &[ProjectName]) -> Result<Vec<(ProjectName, String)>, Error> {
    let mut releases: BTreeMap<&ProjectName, BTreeSet<&str>> = BTreeMap::new();
    let mut needs: BTreeMap<&ProjectName, BTreeSet<&ProjectName>> = BTreeMap::new();
    for dist in dists {
        releases.entry(&dist.project).or_default().insert(&dist.version);
    }
    for dist in dists {
        let required = dist.requires.iter().filter_map(|name| releases.get_key_value(name));
        let required = required.map(|(name, _)| *name).filter(|name| **name != dist.project);
        needs.entry(&dist.project).or_default().extend(required);
    }
    if let Some(name) = order.iter().find(|name| !releases.contains_key(name)) {
        return Err(Error::Order(format!("`package-order` names `{name}`, but there is no file of it")));
    }
    let mut rest: Vec<&ProjectName> = releases.keys().copied().collect();
    let mut out: Vec<&ProjectName> = Vec::new();
    if !order.is_empty() {
        if let Some(name) = rest.iter().find(|name| !order.contains(name)) {
            return Err(Error::Order(format!("`package-order` does not name `{name}`")));
        }
        out = order.iter().collect();
        rest.clear();
    }
    while !rest.is_empty() {
        let ready = rest.iter().position(|name| needs[name].iter().all(|need| out.contains(need)));
        let Some(ready) = ready else {
            let names: Vec<&str> = rest.iter().map(|name| name.as_str()).collect();
            return Err(Error::Order(format!("these require each other: {}", names.join(", "))));
        };
        out.push(rest.remove(ready));
    }
    let pairs = out
        .into_iter()
        .flat_map(|name| releases[name].iter().map(move |version| (name.clone(), (*version).to_owned())));
    Ok(pairs.collect())
}

impl Plan {
    /// All files, in order.
    pub fn files(&self) -> impl Iterator<Item = &PlannedFile> {
        self.packages.iter().flat_map(|package| &package.files)
    }

    /// Packages that precede one that they require, which only a given order can
    /// cause.
    pub fn too_early(&self, dists: &[Dist]) -> Vec<String> {
        let mut early = Vec::new();
        for (place, package) in self.packages.iter().enumerate() {
            let requires = |name: &ProjectName| {
                package.files.iter().any(|file| dists[file.dist].requires.contains(name))
                    && *name != package.project
            };
            for later in self.packages[place + 1..].iter().filter(|later| requires(&later.project)) {
                early.push(format!("{} comes before {}, which it requires", package.project, later.project));
            }
        }
        early
    }

    /// Groups of packages that may be verified together, because none requires
    /// another. With a given order, each package is a group.
    pub fn groups(&self, dists: &[Dist], is_ordered: bool) -> Vec<Vec<&Package>> {
        let mut groups: Vec<Vec<&Package>> = Vec::new();
        for package in &self.packages {
            let requires = |other: &&Package| {
                package.files.iter().any(|file| dists[file.dist].requires.contains(&other.project))
            };
            match groups.last_mut().filter(|group| !is_ordered && !group.iter().any(requires)) {
                Some(group) => group.push(package),
                None => groups.push(vec![package]),
            }
        }
        groups
    }

    /// Fails if any file conflicts, so that nothing is sent.
    pub fn refuse_conflicts(&self) -> Result<(), Error> {
        let conflict = |planned: &PlannedFile| {
            let (file, what) = (planned.filename.clone(), planned.conflict.clone()?);
            Some(Problem { file, what, advice: planned.advice })
        };
        let conflicts: Vec<Problem> = self.files().filter_map(conflict).collect();
        if conflicts.is_empty() {
            return Ok(());
        }
        Err(Error::Conflict { index: self.index.clone(), conflicts })
    }

    /// Whether there is nothing to send.
    pub fn is_complete(&self) -> bool {
        self.files().all(|file| file.action == Action::Keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::tests::dist;

    fn names(plan: &Plan) -> Vec<&str> {
        plan.packages.iter().map(|package| package.project.as_str()).collect()
    }

    #[test]
    fn uploads_required_packages_first() {
        let dists = [
            dist("htty-0.3.0.tar.gz", "Requires-Dist: HTTY_core == 0.3.0\nRequires-Dist: other>=1\n"),
            dist("htty_core-0.3.0.tar.gz", ""),
            dist("htty_core-0.3.0-py3-none-any.whl", ""),
        ];
        let plan = plan("here", &dists, &[], None).unwrap();
        assert_eq!(names(&plan), ["htty-core", "htty"]);
        let files: Vec<&str> = plan.files().map(|file| file.filename.as_str()).collect();
        assert_eq!(
            files,
            ["htty_core-0.3.0-py3-none-any.whl", "htty_core-0.3.0.tar.gz", "htty-0.3.0.tar.gz"]
        );
    }

    #[test]
    fn a_dependency_cycle_needs_a_given_order() {
        let dists = [dist("a-1.tar.gz", "Requires-Dist: b\n"), dist("b-1.tar.gz", "Requires-Dist: a\n")];
        let error = plan("here", &dists, &[], None).unwrap_err().to_string();
        assert!(error.contains("require each other: a, b"), "{error}");
        let order = ["b", "a"].map(ProjectName::new);
        let ordered = plan("here", &dists, &order, None).unwrap();
        assert_eq!(names(&ordered), ["b", "a"]);
        assert_eq!(ordered.too_early(&dists), ["b comes before a, which it requires"]);
        assert!(
            plan("here", &dists, &order[..1], None).unwrap_err().to_string().contains("does not name `a`")
        );
        assert!(
            plan("here", &dists, &[ProjectName::new("c")], None).unwrap_err().to_string().contains("no file")
        );
    }

    #[test]
    fn groups_independent_packages() {
        let dists = [
            dist("a-1.tar.gz", ""),
            dist("b-1.tar.gz", ""),
            dist("c-1.tar.gz", "Requires-Dist: b\n"),
            dist("d-1.tar.gz", "Requires-Dist: x; extra == 'd'\n"),
        ];
        let plan = plan("here", &dists, &[], None).unwrap();
        let names = |ordered| {
            let groups = plan.groups(&dists, ordered);
            groups
                .iter()
                .map(|group| group.iter().map(|package| package.project.as_str()).collect())
                .collect::<Vec<Vec<_>>>()
        };
        assert_eq!(names(false), [vec!["a", "b"], vec!["c", "d"]]);
        assert_eq!(names(true).len(), 4);
    }

    #[test]
    fn extras_do_not_make_a_cycle() {
        let dists = [
            dist("a-1.tar.gz", "Requires-Dist: b\n"),
            dist("b-1.tar.gz", "Requires-Dist: a; extra == 'all'\n"),
        ];
        assert_eq!(names(&plan("here", &dists, &[], None).unwrap()), ["b", "a"]);
    }

    #[test]
    fn one_conflict_stops_the_run() {
        let dists = [dist("a-1.tar.gz", ""), dist("a-1-py3-none-any.whl", "")];
        let remote = BTreeMap::from([
            ("a-1-py3-none-any.whl".to_owned(), Remote::Absent),
            ("a-1.tar.gz".to_owned(), Remote::Different("other bytes".to_owned())),
        ]);
        let plan = plan("here", &dists, &[], Some(&remote)).unwrap();
        let actions: Vec<Action> = plan.files().map(|file| file.action).collect();
        assert_eq!(actions, [Action::Upload, Action::Conflict]);
        let error = plan.refuse_conflicts().unwrap_err();
        assert!(error.to_string().contains("a-1.tar.gz: other bytes"), "{error}");
    }
}
