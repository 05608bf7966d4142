# The source files of a package: changes elsewhere do not rebuild it.
root: {
  htty-core = builtins.path {
    name = "htty-core-source";
    path = root + "/htty-core";
  };

  htty = builtins.path {
    name = "htty-source";
    path = root + "/htty";
  };

  # The workspace of the actions, and the files that their programs include.
  actions = builtins.path {
    name = "actions-source";
    path = root;
    filter =
      path: _:
      let
        relative = builtins.substring (builtins.stringLength (toString root) + 1) (-1) path;
        top = builtins.head (builtins.split "/" relative);
      in
      builtins.elem top [
        ".github"
        "Cargo.lock"
        "Cargo.toml"
        "actions"
        "crates"
        "tests"
        "xtask"
      ];
  };
}
