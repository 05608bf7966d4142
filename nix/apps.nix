# Apps for `nix run .#NAME`: the project's own commands, with their tools, run in the
# current repository.
{ pkgs, python }:
let
  app =
    name: about: tools: script:
    let
      program = pkgs.writeShellApplication {
        inherit name;
        runtimeInputs = [ pkgs.git ] ++ tools;
        text = ''
          cd "$(git rev-parse --show-toplevel)"
          ${script}
        '';
      };
    in
    {
      type = "app";
      program = "${program}/bin/${name}";
      meta.description = about;
    };
  rust = [
    pkgs.cargo
    pkgs.clippy
    pkgs.rustc
    pkgs.rustfmt
    pkgs.stdenv.cc
  ];
in
{
  nix-analysis =
    app "nix-analysis" "Lint the Nix files"
      [
        pkgs.deadnix
        pkgs.nixfmt
        pkgs.statix
      ]
      ''
        git ls-files -z '*.nix' | xargs -0 nixfmt --check
        git ls-files -z '*.nix' | xargs -0 deadnix --fail
        statix check .
      '';
  rust-analysis = app "rust-analysis" "Lint the Rust crates" rust ''
    for manifest in Cargo.toml htty-core/Cargo.toml; do
      cargo fmt --manifest-path "$manifest" --all --check
      cargo clippy --manifest-path "$manifest" --workspace --all-targets --locked -- --deny warnings
    done
  '';
  python-analysis =
    app "python-analysis" "Lint and type-check the Python files"
      [
        pkgs.basedpyright
        pkgs.ruff
        # All modules that the analysed files import.
        (pkgs.python3.withPackages (packages: [
          packages.jsonschema
          packages.markdown-it-py
          packages.packaging
          packages.pip
          packages.pypiserver
          packages.pytest
          packages.pyyaml
          packages.tomlkit
          python.htty-module
        ]))
      ]
      ''
        ruff check
        ruff format --check
        basedpyright --pythonpath "$(command -v python3)"
      '';
  generic-analysis =
    app "generic-analysis" "Lint scripts and workflows, and find generated text that has drifted"
      (
        rust
        ++ [
          pkgs.actionlint
          pkgs.shellcheck
          pkgs.zizmor
        ]
      )
      ''
        git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck
        actionlint
        # Without the workflows of test projects.
        git ls-files -z 'actions/*/action.yml' ':!*/fixtures/*' |
          xargs -0 zizmor --pedantic --offline --no-progress .github
        cargo xtask gen --check
      '';
  python-docs =
    app "python-docs" "Write the Python API's pages to target/python-docs"
      [
        (pkgs.python3.withPackages (packages: [
          packages.pdoc
          python.htty-module
        ]))
      ]
      ''
        pdoc --output-directory target/python-docs htty htty_core
      '';
  version-bump =
    app "version-bump" "Raise the version everywhere: --patch, --minor or --major" rust
      ''
        cargo xtask version-bump "$@"
      '';
}
