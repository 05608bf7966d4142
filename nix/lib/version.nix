# The one version of htty-core and htty. Change it by `cargo xtask version-bump`,
# which carries it into every file that names it; `cargo xtask version-bump
# --check` finds a file that does not agree.
{
  # The commit: a flake's `self.rev`. A commit cannot hold its own SHA, so it
  # comes from outside.
  rev ? null,
}:
rec {
  major = 0;
  minor = 3;
  patch = 0;
  version = "${toString major}.${toString minor}.${toString patch}";
  git = if rev == null then "unknown" else builtins.substring 0 12 rev;
  full = "${version} (${git})";
}
