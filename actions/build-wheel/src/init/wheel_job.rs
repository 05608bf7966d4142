//! The job that builds the wheels of a package.

use super::pins::Pins;
use super::release::{Release, Row, WheelJob};
use super::steps::{checkout, install, upload};
use super::yaml::{list, quoted, scalar};

/// How the steps get a value: the same in all rows, or a column of the matrix.
struct Setting {
    /// What stands in the step.
    value: String,
    /// The column, where the rows differ.
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

/// What the steps of a job that builds wheels say.
struct Settings {
    /// The Pythons, where the matrix is the product of them and the targets.
    axis: Option<Vec<String>>,
    has_pythons: bool,
    is_nix: bool,
    backend: Setting,
    compatibility: Setting,
    args: Setting,
    smoke: Setting,
}

impl Settings {
    fn of(rows: &[Row]) -> Self {
        Self {
            axis: python_axis(rows),
            has_pythons: rows.iter().any(|row| !row.python.is_empty()),
            is_nix: rows.iter().any(|row| !row.flake_attr.is_empty()),
            backend: Setting::new(rows, "backend", |row| backend(row).to_owned()),
            compatibility: Setting::new(rows, "compatibility", |row| row.compatibility.clone()),
            args: Setting::new(rows, "args", |row| row.args.clone()),
            smoke: Setting::new(rows, "smoke", |row| row.smoke.to_owned()),
        }
    }

    /// The columns of the matrix beside target and runner.
    fn columns(&self) -> Vec<&'static str> {
        let python = (self.axis.is_none() && self.has_pythons).then_some("python");
        let others = [&self.backend, &self.compatibility, &self.args, &self.smoke];
        python.into_iter().chain(others.into_iter().filter_map(|setting| setting.column)).collect()
    }
}

fn backend(row: &Row) -> &'static str {
    if row.flake_attr.is_empty() { "maturin" } else { "nix" }
}

/// Whether the matrix is the product of Pythons and targets; if so, the
/// Pythons.
fn python_axis(rows: &[Row]) -> Option<Vec<String>> {
    let mut targets: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        match targets.iter_mut().find(|of| of[0].target == row.target) {
            Some(of) => of.push(row),
            None => targets.push(vec![row]),
        }
    }
    let pythons: Vec<String> = targets.first()?.iter().map(|row| row.python.clone()).collect();
    let is_same = |of: &Vec<&Row>| {
        of.iter().map(|row| &row.python).eq(pythons.iter())
            && of.iter().all(|row| {
                Row { python: String::new(), ..(*row).clone() }
                    == Row { python: String::new(), ..of[0].clone() }
            })
    };
    (pythons.len() > 1 && pythons.iter().all(|python| !python.is_empty()) && targets.iter().all(is_same))
        .then_some(pythons)
}

pub(super) fn wheel_job(job: &WheelJob, release: &Release, pins: &Pins) -> String {
    let settings = Settings::of(&job.rows);
    let subject = if job.id == "wheels" { "Wheel" } else { &job.package };
    let some_have_none = job.rows.iter().any(|row| row.python.is_empty());
    let python = match (settings.has_pythons, some_have_none) {
        (false, _) => "",
        (true, false) => "Python ${{ matrix.python }}, ",
        (true, true) => "${{ matrix.python && format('Python {0}, ', matrix.python) || '' }}",
    };
    let mut text = format!(
        "  {}:
    name: {subject} for {python}${{{{ matrix.target }}}}
    runs-on: ${{{{ matrix.runner }}}}
    timeout-minutes: 60
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
    let suffix = if settings.axis.is_some() {
        "-${{ matrix.python }}"
    } else if has_twins(&job.rows, |row| (row.target, row.python.clone())) {
        // Neither the platform nor the Python tells them apart.
        "-${{ strategy.job-index }}"
    } else if has_twins(&job.rows, |row| row.target) {
        "${{ matrix.python && format('-{0}', matrix.python) || '' }}"
    } else {
        ""
    };
    let name = format!("${{{{ steps.build.outputs.artifact-name }}}}{suffix}");
    text + &upload(pins, &name, "${{ steps.build.outputs.path }}")
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
    if settings.has_pythons {
        text += &format!("      - uses: {}\n", pins.uses("actions/setup-python"));
        let some_have_none = job.rows.iter().any(|row| row.python.is_empty());
        text += if some_have_none { "        if: matrix.python != ''\n" } else { "" };
        text += "        with:\n          python-version: ${{ matrix.python }}\n";
    }
    if !settings.is_nix || has_both {
        let condition = settings.is_nix.then_some("matrix.backend == 'maturin'");
        let has_windows = job.rows.iter().any(|row| row.target.is_windows());
        text += &install(&release.requirements, condition, has_windows);
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
        input("python", python_input(&job.rows));
    }
    if !settings.args.value.is_empty() {
        text += &list("maturin-args", std::slice::from_ref(&settings.args.value));
    }
    text += &format!("          smoke: {}\n", settings.smoke.value);
    text += &list("smoke-command", &job.smoke_commands);
    text += &list("test-requires", &job.test_requires);
    text + &list("test-sources", &job.test_sources)
}

/// Whether two rows are alike in something.
fn has_twins<T: PartialEq>(rows: &[Row], of: impl Fn(&Row) -> T) -> bool {
    rows.iter().enumerate().any(|(index, row)| rows[..index].iter().any(|other| of(other) == of(row)))
}

/// The name of the interpreter in PATH.
fn python_input(rows: &[Row]) -> &'static str {
    let has_pypy = rows.iter().any(|row| row.python.starts_with("pypy"));
    let has_none = rows.iter().any(|row| row.python.is_empty());
    match (has_pypy, has_none) {
        (false, false) => "python${{ matrix.python }}",
        (true, _) => {
            "${{ (matrix.python == '' || startsWith(matrix.python, 'pypy')) && matrix.python || format('python{0}', matrix.python) }}"
        }
        (false, true) => "${{ matrix.python != '' && format('python{0}', matrix.python) || '' }}",
    }
}

fn matrix(rows: &[Row], settings: &Settings) -> String {
    let mut text = String::new();
    let mut shown: Vec<&Row> = rows.iter().collect();
    if settings.backend.column.is_some() {
        text += "        # Each system builds its own wheel with Nix; that of Intel Macs, which nixpkgs
        # has dropped, is cross-built without it.\n";
    }
    if let Some(pythons) = &settings.axis {
        shown.dedup_by_key(|row| row.target);
        let pythons: Vec<String> = pythons.iter().map(|python| quoted(python)).collect();
        let targets: Vec<&str> = shown.iter().map(|row| row.target.triple()).collect();
        text += "        # Without the stable ABI there is a wheel for each version of Python.\n";
        text += &format!("        python: [{}]\n        target:\n", pythons.join(", "));
        text += &targets.iter().map(|target| format!("          - {target}\n")).collect::<String>();
    }
    text += "        include:\n";
    for row in shown {
        text += &format!(
            "          - target: {}\n            runner: {}\n",
            row.target.triple(),
            scalar(&row.runner)
        );
        for column in settings.columns() {
            let value = match column {
                "python" => quoted(&row.python),
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
