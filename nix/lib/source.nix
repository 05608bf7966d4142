# The files that a package is made from: a change elsewhere builds nothing anew.
root: {
  htty-core = builtins.path {
    name = "htty-core-source";
    path = root + "/htty-core";
  };

  htty = builtins.path {
    name = "htty-source";
    path = root + "/htty";
  };

  # The workspace of the actions, and what their programs include.
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
