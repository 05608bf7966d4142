# A shell for development, and one for each environment of the Python tests:
# `nix develop .#pytest-cli --command pytest -m cli tests/env_tests`.
{
  packages,
  pkgs,
  python,
}:
let
  shell =
    modules: programs:
    pkgs.mkShell {
      packages = [ (pkgs.python3.withPackages (base: [ base.pytest ] ++ modules)) ] ++ programs;
      # Ignore packages in the user's own site-packages.
      PYTHONNOUSERSITE = "1";
    };
in
{
  default = pkgs.mkShell {
    packages = [
      pkgs.cargo
      pkgs.clippy
      pkgs.git
      pkgs.maturin
      pkgs.rustc
      pkgs.rustfmt
      (pkgs.python3.withPackages (base: [ base.pytest ]))
    ];
  };
  pytest-empty = shell [ ] [ ];
  pytest-core = shell [ python.htty-core ] [ ];
  pytest-wheel = shell [ python.htty-from-wheel ] [ ];
  pytest-sdist = shell [ python.htty-from-sdist ] [ ];
  pytest-htty = shell [ python.htty-module ] [ ];
  pytest-cli = shell [ ] [ packages.htty-cli ];
}
