# The formatter for `nix fmt`: nixfmt on the given files, by default on all files of the
# repository. Without arguments, nixfmt itself would read standard input.
{ pkgs }:
pkgs.writeShellApplication {
  name = "format-nix-files";
  runtimeInputs = [
    pkgs.git
    pkgs.nixfmt
  ];
  text = ''
    # Before 2.25, Nix passed `.` instead of no arguments.
    if [ "$*" != "" ] && [ "$*" != . ]; then
      exec nixfmt "$@"
    fi
    cd "$(git rev-parse --show-toplevel)"
    git ls-files -z '*.nix' | xargs -0 nixfmt
  '';
}
