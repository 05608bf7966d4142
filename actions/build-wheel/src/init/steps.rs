//! Steps that several jobs have.

use super::pins::Pins;

pub(super) fn checkout(pins: &Pins) -> String {
    format!(
        "      - uses: {}\n        with:\n          persist-credentials: false\n",
        pins.uses("actions/checkout")
    )
}

pub(super) fn install(requirements: &str, condition: Option<&str>) -> String {
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
