//! Steps shared by several jobs.

use super::pins::Pins;

pub(super) fn checkout(pins: &Pins) -> String {
    format!(
        "      - uses: {}\n        with:\n          persist-credentials: false\n",
        pins.uses("actions/checkout")
    )
}

/// Installs the tools into an environment. With `has_windows`, some runners have its
/// programs in `Scripts`.
pub(super) fn install(requirements: &str, condition: Option<&str>, has_windows: bool) -> String {
    let condition = condition.map(|text| format!("        if: {text}\n")).unwrap_or_default();
    let install = if has_windows {
        format!(
            "          bin=$RUNNER_TEMP/tools/bin
          [ -d \"$bin\" ] || bin=$RUNNER_TEMP/tools/Scripts
          \"$bin/python\" -m pip install --require-hashes --requirement {requirements}
          echo \"$bin\" >> \"$GITHUB_PATH\"
"
        )
    } else {
        format!(
            "          \"$RUNNER_TEMP/tools/bin/pip\" install --require-hashes --requirement {requirements}
          echo \"$RUNNER_TEMP/tools/bin\" >> \"$GITHUB_PATH\"
"
        )
    };
    format!(
        "      - name: Install the build tools, by hash
{condition}        shell: bash
        run: |
          python3 -m venv \"$RUNNER_TEMP/tools\"
{install}"
    )
}

pub(super) fn upload(pins: &Pins, name: &str, path: &str) -> String {
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
