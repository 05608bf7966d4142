# The files that a package is made from: a change elsewhere builds nothing anew.
root: {
  # htty-core, with the manifests of the whole workspace, which the lock file
  # is about.
  htty-core = builtins.path {
    name = "htty-core-source";
    path = root;
    filter =
      path: type:
      let
        relative = builtins.substring (builtins.stringLength (toString root) + 1) (-1) path;
        under = folder: builtins.match "${folder}(/.*)?" relative != null;
      in
      if type == "directory" then
        builtins.any under [
          "actions"
          "crates"
          "htty-core"
          "xtask"
        ]
      else
        under "htty-core"
        # Named in manifests, so that Cargo insists on them.
        || builtins.match ".*/benches/.*" relative != null
        || builtins.elem (baseNameOf relative) [
          "Cargo.lock"
          "Cargo.toml"
        ];
  };

  htty = builtins.path {
    name = "htty-source";
    path = root + "/htty";
  };
}
