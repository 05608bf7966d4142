//! Renders the workflow.

use super::pins::Pins;
use super::release::{Release, Sources};
use super::steps::{checkout, install, upload};
use super::wheel_job::wheel_job;
use super::yaml::{list, one_line, quoted, scalar};

/// The block of the workflow between the marker lines.
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
    let needs = jobs.iter().map(|(id, _)| id).chain(&release.own_jobs);
    let needs: Vec<String> = needs.cloned().collect();
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
        text += &format!("#\n# {}\n", super::names::NOTES);
        text += &release.notes.iter().map(|note| format!("# - {}\n", one_line(note))).collect::<String>();
        if release.notes.iter().any(|note| note.contains(super::names::NO_JOB)) {
            text += super::names::KEEP_JOBS_COMMENT;
        }
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

fn sdist_job(id: &str, directories: &[String], release: &Release, pins: &Pins) -> String {
    let (title, project, strategy) = match directories {
        [one] => ("Source distribution".to_owned(), scalar(one), String::new()),
        all => {
            let all: Vec<String> = all.iter().map(|directory| scalar(directory)).collect();
            let strategy = format!(
                "    strategy:\n      fail-fast: false\n      matrix:\n        package: [{}]\n",
                all.join(", ")
            );
            (
                "Source distribution of ${{ matrix.package }}".to_owned(),
                "${{ matrix.package }}".to_owned(),
                strategy,
            )
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
        install(&release.requirements, None, false),
        pins.uses("./actions/build-wheel"),
        upload(pins, "${{ steps.build.outputs.artifact-name }}", "${{ steps.build.outputs.path }}"),
    )
}

fn uv_job(commands: &[String], is_pinned: bool, release: &Release, pins: &Pins) -> String {
    let options =
        if is_pinned { " --no-build-isolation --python \"$RUNNER_TEMP/tools/bin/python\"" } else { "" };
    let commands: String =
        commands.iter().map(|command| format!("          uv build{options} {command}\n")).collect();
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
        install(&release.requirements, None, false),
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
      # The publish job accepts only the manifest with this hash.
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
