//! The job that builds a package's wheels.

use super::pins::Pins;
use super::release::{Release, Row, WheelJob};
use super::steps::{checkout, install, upload};
use super::yaml::{list, quoted, scalar};

/// A value in the steps: the same in all rows, or a column of the matrix.
struct Setting {
    /// The text in the step.
    value: String,
    /// The column, if the rows differ.
    column: Option<&'static str>,
}

impl Setting {
    fn new(rows: &[Row], name: &'static str, of: impl Fn(&Row) -> String) -> Self {
        let mut values: Vec<String> = rows.iter().map(of).collect();
        values.dedup();
        if let [one] = &values[..] {
            return Self { value: one.clone(), column: None };
        }
        Self { value: format!("${{{{ matrix.{name} }}}}"), column: Some(name) }
    }
}

/// The values in the steps of a wheel job.
struct Settings {
    has_pythons: bool,
    /// Whether a row builds several wheels.
    has_several: bool,
    is_nix: bool,
    interpreters: Setting,
    backend: Setting,
    compatibility: Setting,
    args: Setting,
    smoke: Setting,
}

impl Settings {
    fn of(rows: &[Row]) -> Self {
        Self {
            has_pythons: rows.iter().any(|row| !row.pythons.is_empty()),
            has_several: rows.iter().any(|row| row.pythons.len() > 1),
            is_nix: rows.iter().any(|row| !row.flake_attr.is_empty()),
            interpreters: Setting::new(rows, "interpreters", |row| row.pythons.join("\n")),
            backend: Setting::new(rows, "backend", |row| backend(row).to_owned()),
            compatibility: Setting::new(rows, "compatibility", |row| row.compatibility.clone()),
            args: Setting::new(rows, "args", |row| row.args.clone()),
            smoke: Setting::new(rows, "smoke", |row| row.smoke.to_owned()),
        }
    }

    /// The columns of the matrix besides target and runner.
    fn columns(&self) -> Vec<&'static str> {
        let settings = [&self.interpreters, &self.backend, &self.compatibility, &self.args, &self.smoke];
        settings.into_iter().filter_map(|setting| setting.column).collect()
    }

    /// An input that lists the Pythons.
    fn pythons(&self, input: &str) -> String {
        if self.interpreters.column.is_some() {
            return format!("          {input}: {}\n", self.interpreters.value);
        }
        let lines: Vec<String> = self.interpreters.value.lines().map(str::to_owned).collect();
        match &lines[..] {
            [one] => format!("          {input}: {}\n", quoted(one)),
            several => list(input, several),
        }
    }
}

fn backend(row: &Row) -> &'static str {
    if row.flake_attr.is_empty() { "maturin" } else { "nix" }
}

pub(super) fn wheel_job(job: &WheelJob, release: &Release, pins: &Pins) -> String {
    let settings = Settings::of(&job.rows);
    let subject = match (job.id.as_str(), settings.has_several) {
        ("wheels", true) => "Wheels",
        ("wheels", false) => "Wheel",
        _ => &job.package,
    };
    let some_have_twins = has_twins(&job.rows, |row| row.target);
    let number = if some_have_twins { " (${{ strategy.job-index }})" } else { "" };
    let limit = if settings.has_several { 120 } else { 60 };
    let mut text = format!(
        "  {}:
    name: {subject} for ${{{{ matrix.target }}}}{number}
    runs-on: ${{{{ matrix.runner }}}}
    timeout-minutes: {limit}
    permissions:
      contents: read # for the checkout
    strategy:
      fail-fast: false
      matrix:
",
        job.id
    );
    text += &matrix(&job.rows, &settings);
    text += &format!("    steps:\n{}", checkout(pins));
    text += &set_up(job, &settings, release, pins);
    text += &build_step(job, &settings, pins);
    // The platform alone does not distinguish them.
    let suffix = if some_have_twins { "-${{ strategy.job-index }}" } else { "" };
    let name = format!("${{{{ steps.build.outputs.artifact-name }}}}{suffix}");
    let paths = if settings.has_several { "paths" } else { "path" };
    text + &upload(pins, &name, &format!("${{{{ steps.build.outputs.{paths} }}}}"))
}

/// The steps before the build: Nix, Python, the build tools.
fn set_up(job: &WheelJob, settings: &Settings, release: &Release, pins: &Pins) -> String {
    let mut text = String::new();
    let has_both = settings.backend.column.is_some();
    if settings.is_nix {
        text += "      # Read-only: a workflow that publishes neither fills a cache nor takes
      # unsigned paths from one. A workflow of tests fills it.\n";
        text += &format!("      - uses: {}\n", pins.uses("./actions/setup-nix"));
        text += if has_both { "        if: matrix.backend == 'nix'\n" } else { "" };
        text += "        with:\n          cache: read-only\n          cache-trust: signed\n";
    }
    text += &set_up_python(job, settings, pins);
    if !settings.is_nix || has_both {
        let condition = settings.is_nix.then_some("matrix.backend == 'maturin'");
        let has_windows = job.rows.iter().any(|row| row.target.is_windows());
        text += &install(&release.requirements, condition, has_windows);
    }
    text
}

/// Installs the Pythons of the rows, and a 32-bit one for each row that needs it.
fn set_up_python(job: &WheelJob, settings: &Settings, pins: &Pins) -> String {
    const IS_X86: &str = "startsWith(matrix.target, 'i686-pc-windows')";
    let has_x86 = job.rows.iter().any(Row::is_x86_windows);
    if !settings.has_pythons && !has_x86 {
        return String::new();
    }
    let mut text = format!("      - uses: {}\n", pins.uses("actions/setup-python"));
    // Other rows use the Python of the runner.
    let needs_one = |row: &Row| !row.pythons.is_empty() || row.is_x86_windows();
    let has_bare_x86 = job.rows.iter().any(|row| row.is_x86_windows() && row.pythons.is_empty());
    if !job.rows.iter().all(needs_one) {
        let condition = match (settings.has_pythons, has_bare_x86) {
            (true, true) => format!("matrix.interpreters != '' || {IS_X86}"),
            (true, false) => "matrix.interpreters != ''".to_owned(),
            (false, _) => IS_X86.to_owned(),
        };
        text += &format!("        if: {condition}\n");
    }
    text += "        with:\n";
    text += &match (settings.has_pythons, has_bare_x86) {
        (true, true) => {
            format!("          python-version: ${{{{ matrix.interpreters || '{}' }}}}\n", job.newest_python)
        }
        (true, false) => settings.pythons("python-version"),
        (false, _) => format!("          python-version: {}\n", quoted(&job.newest_python)),
    };
    if has_x86 {
        let is_only = job.rows.iter().all(Row::is_x86_windows);
        let of_row = format!("${{{{ {IS_X86} && 'x86' || '' }}}}");
        let architecture = if is_only { "x86" } else { of_row.as_str() };
        text += &format!("          architecture: {architecture}\n");
    }
    text
}

fn build_step(job: &WheelJob, settings: &Settings, pins: &Pins) -> String {
    let mut text =
        format!("      - id: build\n        uses: {}\n        with:\n", pins.uses("./actions/build-wheel"));
    let mut input = |name: &str, value: &str| text += &format!("          {name}: {value}\n");
    if job.directory != "." {
        input("project", &scalar(&job.directory));
    }
    if settings.is_nix {
        let attr = job.rows.iter().map(|row| &row.flake_attr).find(|attr| !attr.is_empty());
        let attr = attr.map_or("", String::as_str);
        input("backend", &settings.backend.value);
        match settings.backend.column {
            Some(_) => input("flake-attr", &format!("${{{{ matrix.backend == 'nix' && '{attr}' || '' }}}}")),
            None => input("flake-attr", &scalar(attr)),
        }
    }
    input("target", "${{ matrix.target }}");
    if !settings.compatibility.value.is_empty() {
        input("compatibility", &settings.compatibility.value);
    }
    if settings.has_pythons {
        text += &settings.pythons("interpreters");
    }
    if !settings.args.value.is_empty() {
        text += &list("maturin-args", std::slice::from_ref(&settings.args.value));
    }
    text += &format!("          smoke: {}\n", settings.smoke.value);
    text += &list("smoke-command", &job.smoke_commands);
    text += &list("test-requires", &job.test_requires);
    text + &list("test-sources", &job.test_sources)
}

/// Whether two rows have the same value.
fn has_twins<T: PartialEq>(rows: &[Row], of: impl Fn(&Row) -> T) -> bool {
    rows.iter().enumerate().any(|(index, row)| rows[..index].iter().any(|other| of(other) == of(row)))
}

fn matrix(rows: &[Row], settings: &Settings) -> String {
    let mut text = String::new();
    if settings.backend.column.is_some() {
        text += "        # Each system builds its own wheel with Nix; that of Intel Macs, which nixpkgs
        # has dropped, is cross-built without it.\n";
    }
    text += "        include:\n";
    for row in rows {
        text += &format!(
            "          - target: {}\n            runner: {}\n",
            row.target.triple(),
            scalar(&row.runner)
        );
        for column in settings.columns() {
            let value = match column {
                "interpreters" => match &row.pythons[..] {
                    [] | [_] => quoted(&row.pythons.concat()),
                    several => format!("|\n              {}", several.join("\n              ")),
                },
                "backend" => backend(row).to_owned(),
                "compatibility" => scalar(&row.compatibility),
                "args" => scalar(&row.args),
                _ => row.smoke.to_owned(),
            };
            text += &format!("            {column}: {value}\n");
        }
    }
    text
}
