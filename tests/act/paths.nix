# Three paths, each with a reference to the one before, that need no nixpkgs.
let
  make =
    n:
    derivation {
      name = "act-${toString n}";
      system = builtins.currentSystem;
      builder = "/bin/sh";
      before = if n == 0 then "" else make (n - 1);
      args = [
        "-c"
        "echo path ${toString n} $before >$out"
      ];
    };
in
make 2
