# The version of htty-core and htty. Change it with `cargo xtask version-bump`, which
# writes it to every file that repeats it; `cargo xtask version-bump --check` reports
# files that differ.
{
  # The commit: a flake's `self.rev`. It is passed in, because a commit cannot
  # contain its own SHA.
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
