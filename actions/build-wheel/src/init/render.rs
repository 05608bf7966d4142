//! The workflow as text.

use super::pins::Pins;
use super::release::{Release, Row, Sources, WheelJob};

/// The block of the workflow between its two lines.
pub(super) fn render(release: &Release, pins: &Pins) -> String {
    let mut jobs: Vec<(String, String)> = Vec::new();
    for job in &release.wheels {
        jobs.push((job.id.clone(), wheel_job(job, release, pins)));
    }
    match &release.sources {
        Sources::None => {}
        Sources::BuildWheel(directories) => {
            let id = if directories.len() == 1 { "sdist" } else { "sdists" };
            jobs.push((id.to_owned(), sdist_job(id, directories, release, pins)));
        }
        Sources::Uv { commands, is_pinned } => {
            jobs.push(("python".to_owned(), uv_job(commands, *is_pinned, release, pins)));
        }
    }
    let needs: Vec<String> = jobs.iter().map(|(id, _)| id.clone()).collect();
    let needs = if needs.len() == 1 { needs[0].clone() } else { format!("[{}]", needs.join(", ")) };
    let jobs: Vec<String> = jobs.into_iter().map(|(_, text)| text).collect();
    let (verify, publish) = (verify_job(&needs, release, pins), publish_job(release, pins));
    format!("{}jobs:\n{}\n{verify}\n{publish}", head(release), jobs.join("\n"))
}

fn head(release: &Release) -> String {
    let names = match release.packages.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    };
    let mut text = format!(
        "# Releases {names}: a tag publishes, a manual run shows what would be published.
#
# On PyPI, add a trusted publisher for each package: this repository, this
# workflow and the environment `{}`.
",
        release.environment
    );
    if !release.notes.is_empty() {
        text += &format!("#\n# {}\n", super::NOTES);
        text += &release.notes.iter().map(|note| format!("# - {}\n", one_line(note))).collect::<String>();
    }
    let tags: Vec<String> = release.tags.iter().map(|tag| quoted(tag)).collect();
    text += &format!(
        "name: release

on:
  push:
    tags: [{}]
  workflow_dispatch:

permissions: {{}}

concurrency:
  group: release-${{{{ github.ref }}}}
  cancel-in-progress: false

",
        tags.join(", ")
    );
    text
}

/// How the steps get a value: the same in all rows, or a column of the matrix.
fn setting(rows: &[Row], name: &str, of: impl Fn(&Row) -> String) -> (String, Option<&'static str>) {
    let mut values: Vec<String> = rows.iter().map(of).collect();
    values.dedup();
    match &values[..] {
        [one] => (one.clone(), None),
        _ => {
            let names = ["compatibility", "args", "smoke", "python", "backend"];
            let column = names.into_iter().find(|known| *known == name);
            (format!("${{{{ matrix.{name} }}}}"), column)
        }
    }
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
            && of.iter().all(|row| Row { python: String::new(), ..(*row).clone() } == Row { python: String::new(), ..of[0].clone() })
    };
    (pythons.len() > 1 && pythons.iter().all(|python| !python.is_empty()) && targets.iter().all(is_same)).then_some(pythons)
}

fn wheel_job(job: &WheelJob, release: &Release, pins: &Pins) -> String {
    let axis = python_axis(&job.rows);
    let is_nix = job.rows.iter().any(|row| !row.flake_attr.is_empty());
    let backend = |row: &Row| if row.flake_attr.is_empty() { "maturin".to_owned() } else { "nix".to_owned() };
    let (backend_value, backend_column) = setting(&job.rows, "backend", backend);
    let (compatibility, compatibility_column) = setting(&job.rows, "compatibility", |row| row.compatibility.clone());
    let (args, args_column) = setting(&job.rows, "args", |row| row.args.clone());
    let (smoke, smoke_column) = setting(&job.rows, "smoke", |row| row.smoke.to_owned());
    let has_pythons = job.rows.iter().any(|row| !row.python.is_empty());
    let python_column = (axis.is_none() && has_pythons).then_some("python");
    let columns = [python_column, backend_column, compatibility_column, args_column, smoke_column];
    let columns: Vec<&str> = columns.into_iter().flatten().collect();

    let id = &job.id;
    let title = match (id.as_str(), has_pythons) {
        ("wheels", false) => "Wheel for ${{ matrix.target }}".to_owned(),
        ("wheels", true) => "Wheel for Python ${{ matrix.python }}, ${{ matrix.target }}".to_owned(),
        (_, false) => format!("{} for ${{{{ matrix.target }}}}", job.package),
        (_, true) => format!("{} for Python ${{{{ matrix.python }}}}, ${{{{ matrix.target }}}}", job.package),
    };
    let mut text = format!(
        "  {id}:
    name: {title}
    runs-on: ${{{{ matrix.runner }}}}
    timeout-minutes: 60
    permissions:
      contents: read # for the checkout
    strategy:
      fail-fast: false
      matrix:
"
    );
    if axis.is_some() {
        text += "        # Without the stable ABI there is a wheel for each version of Python.\n";
    }
    if backend_column.is_some() {
        text += "        # Each system builds its own wheel with Nix; that of Intel Macs, which nixpkgs
        # has dropped, is cross-built without it.\n";
    }
    text += &matrix(&job.rows, axis.as_deref(), &columns);
    text += &format!("    steps:\n{}", checkout(pins));
    if is_nix {
        text += "      # Read-only: a workflow that publishes neither fills a cache nor takes
      # unsigned paths from one. A workflow of tests fills it.\n";
        text += &format!("      - uses: {}\n", pins.uses("./actions/setup-nix"));
        if backend_column.is_some() {
            text += "        if: matrix.backend == 'nix'\n";
        }
        text += "        with:\n          cache: read-only\n          cache-trust: signed\n";
    }
    if has_pythons {
        text += &format!("      - uses: {}\n", pins.uses("actions/setup-python"));
        if job.rows.iter().any(|row| row.python.is_empty()) {
            text += "        if: matrix.python != ''\n";
        }
        text += "        with:\n          python-version: ${{ matrix.python }}\n";
    }
    if !is_nix || backend_column.is_some() {
        text += &install(&release.requirements, is_nix.then_some("matrix.backend == 'maturin'"));
    }
    text += &format!("      - id: build\n        uses: {}\n        with:\n", pins.uses("./actions/build-wheel"));
    if job.directory != "." {
        text += &format!("          project: {}\n", scalar(&job.directory));
    }
    if is_nix {
        let attr = job.rows.iter().map(|row| row.flake_attr.as_str()).find(|attr| !attr.is_empty()).unwrap_or_default();
        text += &format!("          backend: {backend_value}\n");
        text += &if backend_column.is_some() {
            format!("          flake-attr: ${{{{ matrix.backend == 'nix' && '{attr}' || '' }}}}\n")
        } else {
            format!("          flake-attr: {}\n", scalar(attr))
        };
    }
    text += "          target: ${{ matrix.target }}\n";
    if !compatibility.is_empty() {
        text += &format!("          compatibility: {compatibility}\n");
    }
    if has_pythons {
        text += &format!("          python: {}\n", python_input(&job.rows));
    }
    if !args.is_empty() {
        text += &list("maturin-args", &[args]);
    }
    text += &format!("          smoke: {smoke}\n");
    text += &list("smoke-command", &job.smoke_commands);
    text += &list("test-requires", &job.test_requires);
    text += &list("test-sources", &job.test_sources);
    let suffix = if axis.is_some() {
        "-${{ matrix.python }}"
    } else if has_twins(&job.rows) {
        // The platform alone would name two of them alike.
        "-${{ strategy.job-index }}"
    } else {
        ""
    };
    text + &upload(pins, &format!("${{{{ steps.build.outputs.artifact-name }}}}{suffix}"), "${{ steps.build.outputs.path }}")
}

fn has_twins(rows: &[Row]) -> bool {
    rows.iter().enumerate().any(|(index, row)| rows[..index].iter().any(|other| other.target == row.target))
}

/// The name of the interpreter in PATH.
fn python_input(rows: &[Row]) -> String {
    let has_pypy = rows.iter().any(|row| row.python.starts_with("pypy"));
    let has_none = rows.iter().any(|row| row.python.is_empty());
    match (has_pypy, has_none) {
        (false, false) => "python${{ matrix.python }}".to_owned(),
        (true, _) => "${{ (matrix.python == '' || startsWith(matrix.python, 'pypy')) && matrix.python || format('python{0}', matrix.python) }}".to_owned(),
        (false, true) => "${{ matrix.python != '' && format('python{0}', matrix.python) || '' }}".to_owned(),
    }
}

fn matrix(rows: &[Row], axis: Option<&[String]>, columns: &[&str]) -> String {
    let mut text = String::new();
    let mut shown: Vec<&Row> = rows.iter().collect();
    if let Some(pythons) = axis {
        shown.dedup_by_key(|row| row.target);
        let pythons: Vec<String> = pythons.iter().map(|python| quoted(python)).collect();
        let targets: Vec<&str> = shown.iter().map(|row| row.target.triple()).collect();
        text += &format!("        python: [{}]\n        target:\n", pythons.join(", "));
        text += &targets.iter().map(|target| format!("          - {target}\n")).collect::<String>();
    }
    text += "        include:\n";
    for row in shown {
        text += &format!("          - target: {}\n            runner: {}\n", row.target.triple(), scalar(&row.runner));
        for column in columns {
            let value = match *column {
                "python" => quoted(&row.python),
                "backend" => if row.flake_attr.is_empty() { "maturin" } else { "nix" }.to_owned(),
                "compatibility" => scalar(&row.compatibility),
                "args" => scalar(&row.args),
                _ => row.smoke.to_owned(),
            };
            text += &format!("            {column}: {value}\n");
        }
    }
    text
}

fn sdist_job(id: &str, directories: &[String], release: &Release, pins: &Pins) -> String {
    let (title, project, strategy) = match directories {
        [one] => ("Source distribution".to_owned(), scalar(one), String::new()),
        all => {
            let all: Vec<String> = all.iter().map(|directory| scalar(directory)).collect();
            let strategy = format!(
                "    strategy:\n      fail-fast: false\n      matrix:\n        package: [{}]\n",
                all.join(", ")
            );
            ("Source distribution of ${{ matrix.package }}".to_owned(), "${{ matrix.package }}".to_owned(), strategy)
        }
    };
    format!(
        "  {id}:
    name: {title}
    runs-on: ubuntu-latest
    timeout-minutes: 15
    permissions:
      contents: read # for the checkout
{strategy}    steps:
{}{}      - id: build
        uses: {}
        with:
          project: {project}
          backend: sdist
          # The pinned build backend, not the newest one of the day.
          no-build-isolation: true
{}",
        checkout(pins),
        install(&release.requirements, None),
        pins.uses("./actions/build-wheel"),
        upload(pins, "${{ steps.build.outputs.artifact-name }}", "${{ steps.build.outputs.path }}"),
    )
}

fn uv_job(commands: &[String], is_pinned: bool, release: &Release, pins: &Pins) -> String {
    let options = if is_pinned { " --no-build-isolation --python \"$RUNNER_TEMP/tools/bin/python\"" } else { "" };
    let commands: String = commands.iter().map(|command| format!("          uv build{options} {command}\n")).collect();
    format!(
        "  python:
    name: What uv builds
    runs-on: ubuntu-latest
    timeout-minutes: 15
    permissions:
      contents: read # for the checkout
    steps:
{}{}      # Files of any origin may join the set: verify-dist looks at all of them.
      - name: Build
        shell: bash
        run: |
{commands}{}",
        checkout(pins),
        install(&release.requirements, None),
        upload(pins, "dist-python", "dist"),
    )
}

fn verify_job(needs: &str, release: &Release, pins: &Pins) -> String {
    let (permissions, checkout) = if release.has_verify_settings {
        let comment = "      # For [tool.verify-dist] in pyproject.toml.\n";
        ("\n      contents: read # for the checkout".to_owned(), format!("{comment}{}", checkout(pins)))
    } else {
        (" {}".to_owned(), String::new())
    };
    let sdists = if release.expects_all_sdists { "          expect-sdist: all\n" } else { "" };
    format!(
        "  verify:
    name: Verify the set
    needs: {needs}
    runs-on: ubuntu-latest
    timeout-minutes: 15
    permissions:{permissions}
    outputs:
      # Tells the publish job which manifest it must find.
      manifest-sha256: ${{{{ steps.verify.outputs.manifest-sha256 }}}}
    steps:
{checkout}      - uses: {}
        with:
          pattern: dist-*
          merge-multiple: true
          path: release/dist
      - id: verify
        uses: {}
        with:
          paths: release/dist
          manifest: release/dist-manifest.json
          tag: ${{{{ github.ref_type == 'tag' && github.ref_name || '' }}}}
{sdists}{}{}{}",
        pins.uses("actions/download-artifact"),
        pins.uses("./actions/verify-dist"),
        list("matrix", &release.matrix),
        list("require", &release.require),
        upload(pins, "release", "release"),
    )
}

fn publish_job(release: &Release, pins: &Pins) -> String {
    let environment = &release.environment;
    format!(
        "  publish:
    name: Publish
    needs: verify
    runs-on: ubuntu-latest
    timeout-minutes: 60
    # Limit `{environment}` to tags; a dry run from a branch has its own.
    environment: ${{{{ github.ref_type == 'tag' && '{environment}' || 'dry-run' }}}}
    permissions:
      id-token: write # for trusted publishing and attestations
    steps:
      - uses: {}
        with:
          name: release
          path: release
      - uses: {}
        with:
          paths: release/dist
          manifest: release/dist-manifest.json
          manifest-sha256: ${{{{ needs.verify.outputs.manifest-sha256 }}}}
          index: pypi
          dry-run: ${{{{ github.event_name == 'push' && 'false' || 'probe' }}}}
",
        pins.uses("actions/download-artifact"),
        pins.uses("./actions/publish"),
    )
}

fn checkout(pins: &Pins) -> String {
    format!("      - uses: {}\n        with:\n          persist-credentials: false\n", pins.uses("actions/checkout"))
}

fn install(requirements: &str, condition: Option<&str>) -> String {
    let condition = condition.map(|text| format!("        if: {text}\n")).unwrap_or_default();
    format!(
        "      - name: Install the build tools, by hash
{condition}        shell: bash
        run: |
          python3 -m venv \"$RUNNER_TEMP/tools\"
          \"$RUNNER_TEMP/tools/bin/pip\" install --require-hashes --requirement {requirements}
          echo \"$RUNNER_TEMP/tools/bin\" >> \"$GITHUB_PATH\"
"
    )
}

fn upload(pins: &Pins, name: &str, path: &str) -> String {
    format!(
        "      - uses: {}
        with:
          name: {name}
          path: {path}
          if-no-files-found: error
          overwrite: true
",
        pins.uses("actions/upload-artifact")
    )
}

/// An input with one item a line; nothing where there are none.
fn list(name: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|line| format!("            {}\n", one_line(line.trim()))).collect();
    format!("          {name}: |\n{lines}")
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A YAML scalar, in quotes where it could be read as something else.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_would_misread_is_quoted() {
        for (text, expected) in [
            ("ubuntu-latest", "ubuntu-latest"),
            (".", "."),
            ("3.10", "\"3.10\""),
            ("", "\"\""),
            ("on", "\"on\""),
            ("a: b", "\"a: b\""),
            ("--features a #b", "\"--features a #b\""),
            ("it's \"x\"\n", "\"it's \\\"x\\\"\\n\""),
        ] {
            assert_eq!(scalar(text), expected);
            let read: serde_json::Value = serde_saphyr::from_str(&scalar(text)).unwrap();
            assert_eq!(read, text);
        }
    }
}
