//! Short names of environments and Pythons: `debian-11..13 x86_64`, `3.9..3.12`.

use std::collections::{BTreeMap, BTreeSet};

use crate::environment::known;

/// Pairs of environment and Python, by their indices in [`known`].
pub type Cells = BTreeSet<(usize, usize)>;

/// `debian-11..13 x86_64 (3.9..3.12); alpine-3.18 aarch64 (3.13t)`.
pub fn cells(cells: &Cells) -> String {
    let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, column) in cells {
        rows.entry(*row).or_default().push(*column);
    }
    let mut groups: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for (row, columns) in rows {
        groups.entry(columns).or_default().push(row);
    }
    let mut groups: Vec<(Vec<usize>, Vec<usize>)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, rows)| rows[0]);
    let text = groups.iter().map(|(columns, rows)| format!("{} ({})", environments(rows), pythons(columns)));
    text.collect::<Vec<_>>().join("; ")
}

/// `debian-11..13, rhel-8 x86_64`, from sorted indices.
pub fn environments(rows: &[usize]) -> String {
    let known = &known().environments;
    let mut archs: Vec<&str> = Vec::new();
    for row in rows {
        if !archs.contains(&known[*row].arch.as_str()) {
            archs.push(&known[*row].arch);
        }
    }
    let of_arch = |arch: &&str| {
        let rows: Vec<usize> = rows.iter().copied().filter(|row| known[*row].arch == **arch).collect();
        format!("{} {arch}", systems(&rows).join(", "))
    };
    archs.iter().map(of_arch).collect::<Vec<_>>().join(", ")
}

/// `debian-11..13`, `rhel-8`: rows of one architecture, with neighbours of one
/// family as a range.
pub(crate) fn systems(rows: &[usize]) -> Vec<String> {
    let known = &known().environments;
    let mut names: Vec<String> = Vec::new();
    let mut rest = rows;
    while let Some((first, _)) = rest.split_first() {
        let family: Vec<usize> = (0..known.len())
            .filter(|row| {
                known[*row].family() == known[*first].family() && known[*row].arch == known[*first].arch
            })
            .collect();
        let from = family.iter().position(|row| row == first).unwrap_or_default();
        let length = rest.iter().zip(&family[from..]).take_while(|(a, b)| a == b).count().max(1);
        let last = &known[rest[length - 1]];
        let name = match last.system.split_once('-') {
            Some((_, version)) if length > 1 => format!("{}..{version}", known[*first].system),
            _ => known[*first].system.clone(),
        };
        names.push(name);
        rest = &rest[length..];
    }
    names
}

/// `3.9..3.12, 3.13t`, from sorted indices.
pub fn pythons(columns: &[usize]) -> String {
    let known = &known().pythons;
    let kind = |column: usize| (known[column].is_pypy(), known[column].is_free_threaded());
    let mut names: Vec<String> = Vec::new();
    let mut rest = columns;
    while let Some((first, _)) = rest.split_first() {
        let follows =
            |(at, column): &(usize, &usize)| **column == first + at && kind(**column) == kind(*first);
        let length = rest.iter().enumerate().take_while(follows).count().max(1);
        let title = |column: usize| known[column].title.as_str();
        let last = title(rest[length - 1]).trim_start_matches("PyPy ");
        names.push(if length > 1 { format!("{}..{last}", title(*first)) } else { title(*first).to_owned() });
        rest = &rest[length..];
    }
    format!("Python {}", names.join(", ")).replace("Python PyPy", "PyPy")
}
