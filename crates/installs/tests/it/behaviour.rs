//! Outcomes, differences, requirements, explanations and pictures.

use pydist::name::ProjectName;
use std::time::Instant;

use installs::difference::difference;
use installs::environment::known;
use installs::file::{File, Need, Needed};
use installs::matrix::{Cell, Matrix, matrices};
use installs::require::Requirement;
use installs::why::why;
use installs::{names, render};

use crate::kit::releases;

fn matrix(files: &[(&str, Option<&str>)]) -> Matrix {
    let files = files.iter().map(|(name, requires)| File::new(name, *requires, false).unwrap());
    matrices(files.collect()).pop().unwrap()
}

fn cell(matrix: &Matrix, text: &str) -> Cell {
    let requirement: Requirement = text.parse().unwrap();
    let (row, column) = *requirement.cells.first().unwrap();
    matrix.cell(row, column)
}

fn changes(before: &Matrix, after: &Matrix) -> Vec<String> {
    difference(before, after).iter().map(installs::difference::Change::text).collect()
}

#[test]
fn build_number_yank_and_requires_python_decide() {
    let release = matrix(&[
        ("a-1.0-py3-none-any.whl", None),
        ("a-1.0-2-py3-none-any.whl", Some(">=3.11")),
        ("a-1.0-10b-py3-none-any.whl", Some(">=3.12")),
        ("a-1.0.tar.gz", None),
    ]);
    let file = |text: &str| cell(&release, text).file().map(|file| release.files[file].filename.as_str());
    assert_eq!(file("debian-12 x86_64 cp39"), Some("a-1.0-py3-none-any.whl"));
    assert_eq!(file("debian-12 x86_64 cp311"), Some("a-1.0-2-py3-none-any.whl"));
    assert_eq!(file("debian-12 x86_64 cp312"), Some("a-1.0-10b-py3-none-any.whl"));
    let mut yanked = File::new("a-1.0-py3-none-any.whl", None, true).unwrap();
    assert_eq!(Matrix::new(ProjectName::new("a"), vec![yanked.clone()]).cell(0, 5), Cell::Nothing);
    yanked.yanked = false;
    assert_eq!(Matrix::new(ProjectName::new("a"), vec![yanked]).cell(0, 5), Cell::Wheel(0));
    // The system's own Python decides: Debian 11 has 3.9.2.
    let patch = matrix(&[("a-1.0-py3-none-any.whl", Some(">=3.9.5"))]);
    assert_eq!(cell(&patch, "debian-11 x86_64 cp39"), Cell::Nothing);
    assert_eq!(cell(&patch, "debian-12 x86_64 cp39"), Cell::Wheel(0));
}

#[test]
fn an_old_pip_rejects_newer_platform_tags() {
    let new = matrix(&[("a-1.0-cp38-abi3-manylinux_2_17_x86_64.whl", None)]);
    assert_eq!(cell(&new, "ubuntu-20.04 x86_64 cp38"), Cell::Nothing);
    assert_eq!(cell(&new, "ubuntu-20.04 x86_64 cp39"), Cell::Wheel(0));
    let both = matrix(&[("a-1.0-cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", None)]);
    assert_eq!(cell(&both, "ubuntu-20.04 x86_64 cp38"), Cell::Wheel(0));
    assert_eq!(
        changes(&both, &new).iter().find(|text| text.contains("ubuntu-20.04 x86_64 (")).map(String::as_str),
        Some(
            "ubuntu-20.04 x86_64 (Python 3.8): wheel → nothing (pip 20.0.2 does not know `manylinux_2_17_x86_64`)"
        )
    );
}

#[test]
fn losses_name_their_reason() {
    let before = matrix(&[
        ("a-1.0-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", Some(">=3.9")),
        ("a-1.0-cp39-abi3-macosx_11_0_arm64.whl", Some(">=3.9")),
        ("a-1.0-cp39-abi3-win_amd64.whl", Some(">=3.9")),
        ("a-1.0.tar.gz", Some(">=3.9")),
    ]);
    let after = matrix(&[
        ("a-1.1-cp310-abi3-manylinux_2_34_x86_64.whl", Some(">=3.10")),
        ("a-1.1-cp310-abi3-macosx_14_0_arm64.whl", Some(">=3.10")),
        ("a-1.1-cp315-cp315t-manylinux_2_34_x86_64.whl", Some(">=3.10")),
        ("a-1.1.tar.gz", Some(">=3.10")),
    ]);
    let text = changes(&before, &after).join("\n");
    for line in [
        "rhel-8, amazon-2 x86_64 (Python 3.10..3.15): wheel → sdist (glibc floor 2.17 → 2.34)",
        "macos-11..13 arm64 (Python 3.10..3.15): wheel → sdist (macOS floor 11.0 → 14.0)",
        "windows x86_64 (Python 3.10..3.15): wheel → sdist (no wheel for Windows on x86_64)",
        ": wheel → nothing (Requires-Python `>=3.9` → `>=3.10`)",
        ": sdist → wheel (`a-1.1-cp315-cp315t-manylinux_2_34_x86_64.whl`)",
    ] {
        assert!(text.contains(line), "{line}\n\n{text}");
    }
    let same = difference(&before, &before);
    assert!(same.is_empty());
    let first_gain = text.lines().position(|line| line.contains("sdist → wheel")).unwrap();
    let last_loss =
        text.lines().collect::<Vec<_>>().iter().rposition(|line| line.contains("→ nothing")).unwrap();
    assert!(last_loss < first_gain, "{text}");
}

#[test]
fn content_that_needs_more_than_the_tag_does_not_load() {
    let mut file = File::new("a-1.0-cp39-abi3-manylinux_2_17_x86_64.whl", None, false).unwrap();
    file.needs.push(Need { what: Needed::Glibc(2, 28), member: "a/core.so".into() });
    let plain = matrix(&[("a-1.0-cp39-abi3-manylinux_2_17_x86_64.whl", None)]);
    let release = Matrix::new(ProjectName::new("a"), vec![file]);
    assert_eq!(cell(&release, "amazon-2 x86_64 cp39"), Cell::DoesNotLoad(0));
    assert_eq!(cell(&release, "rhel-8 x86_64 cp310"), Cell::Wheel(0));
    let text = changes(&plain, &release).join("\n");
    assert!(text.contains("wheel → wheel, but does not load (`a/core.so` needs glibc 2.28)"), "{text}");
    let text = why("amazon-2 x86_64 cp39", &[release]).unwrap();
    assert!(text.contains("wheel, but does not load: a-1.0") && text.contains("needs glibc 2.28"), "{text}");
}

#[test]
fn unmet_requirements_name_the_target_of_build_wheel() {
    let release = matrix(&[("a-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", None), ("a-1.0.tar.gz", None)]);
    let unmet = |text: &str| text.parse::<Requirement>().unwrap().unmet(&release);
    assert!(unmet("debian-12 x86_64 cp312").is_empty());
    let found = unmet("alpine-3.20 aarch64 cp312");
    assert_eq!(found.len(), 1);
    let build = found[0].build.as_ref().unwrap();
    assert_eq!(build.target.triple(), "aarch64-unknown-linux-musl");
    assert_eq!(build.compatibility.as_deref(), Some("musllinux_1_2"));
    assert_eq!(
        found[0].text(),
        "`alpine-3.20 aarch64 cp312` requires a wheel of `a` for alpine-3.20 aarch64 (Python 3.12), found sdist"
    );
    let found = unmet("rhel-* aarch64 cp312");
    assert_eq!(found[0].build.as_ref().unwrap().compatibility.as_deref(), Some("manylinux_2_28"));
    let found = unmet("windows x86_64 cp312");
    let build = found[0].build.as_ref().unwrap();
    assert_eq!((build.target.triple(), build.compatibility.as_deref()), ("x86_64-pc-windows-msvc", None));
    assert_eq!(unmet("pyodide-2024 wasm32 cp312")[0].build, None);
}

#[test]
fn why_lists_tags_and_files() {
    let release = matrix(&[
        ("a-1.0-cp38-abi3-manylinux2014_x86_64.whl", Some(">=3.8")),
        ("a-1.0-cp38-cp38-manylinux_2_17_x86_64.whl", Some(">=3.8")),
        ("a-1.0-cp38-cp38-macosx_11_0_arm64.whl", Some(">=3.8")),
        ("a-1.0-cp38-cp38-manylinux2014_aarch64.whl", Some(">=3.8")),
        ("a-1.0-cp310-cp310-manylinux2014_x86_64.whl", Some(">=3.8")),
        ("a-1.0-py3-none-any.whl", Some(">=3.10")),
        ("a-1.0.tar.gz", None),
    ]);
    let text = why("ubuntu-20.04 x86_64 cp38", &[release]).unwrap();
    for line in [
        "ubuntu-20.04 x86_64 cp38",
        "Python 3.8.10, pip 20.0.2",
        "a: wheel: a-1.0-cp38-abi3-manylinux2014_x86_64.whl",
        "taken: `cp38-abi3-manylinux2014_x86_64` is tag 5 of ",
        "not taken: pip 20.0.2 does not know `manylinux_2_17_x86_64`",
        "not taken: it is for macOS",
        "not taken: it is for aarch64",
        "not taken: this Python does not accept `cp310-cp310`",
        "not taken: Requires-Python `>=3.10` excludes Python 3.8.10",
        "not taken: it is the source distribution, used if no wheel matches; `a-1.0-cp38-abi3",
        "     1  cp38-cp38-manylinux2014_x86_64\n",
        "cp32-abi3-linux_x86_64",
        "py30-none-any",
    ] {
        assert!(text.contains(line), "{line}\n\n{text}");
    }
}

#[test]
fn tables_fit_a_terminal_and_svg_is_well_formed() {
    for release in releases() {
        let longest = release.iter().map(|file| file.filename.len() + 7).max().unwrap();
        let matrix = Matrix::new(release[0].name.project(), release);
        let text = render::text(&matrix, 80);
        for line in text.lines() {
            assert!(line.chars().count() <= 80.max(longest), "{line}");
        }
        let table = text.split("\n  s sdist").next().unwrap();
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        let (head, rows) = render::table(&matrix);
        assert!(rows.len() > 10 && rows.iter().all(|row| row.len() == head.len()));
        let svg = render::svg(&[matrix]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert_eq!(
            svg.matches("<rect").count(),
            svg.matches("</rect>").count() + svg.matches("\"/>").count()
        );
    }
}

#[test]
fn computes_the_matrix_of_a_hundred_files() {
    let release = releases().into_iter().find(|release| release.len() >= 100).unwrap();
    // Not a limit, which would depend on the machine: the bench measures it.
    let start = Instant::now();
    let matrix = Matrix::new(ProjectName::new("a"), release);
    println!("{} files, {:?}", matrix.files.len(), start.elapsed());
    assert_eq!(matrix.cells().count(), known().environments.len() * known().pythons.len());
}

#[test]
fn names_neighbours_as_a_range() {
    let requirement: Requirement = "alpine-* x86_64 cp3*".parse().unwrap();
    let text = names::cells(&requirement.cells);
    assert_eq!(text, "alpine-3.18..3.23 x86_64 (Python 3.7..3.15, 3.13t..3.15t)");
}
