# What `nix fmt` starts: nixfmt on the files that are given, by default on all of
# the repository's. nixfmt alone would wait for its standard input.
{ pkgs }:
pkgs.writeShellApplication {
  name = "format-nix-files";
  runtimeInputs = [
    pkgs.git
    pkgs.nixfmt
  ];
  text = ''
    # Before 2.25, Nix gave `.` in place of no arguments.
    if [ "$*" != "" ] && [ "$*" != . ]; then
      exec nixfmt "$@"
    fi
    cd "$(git rev-parse --show-toplevel)"
    git ls-files -z '*.nix' | xargs -0 nixfmt
  '';
}
