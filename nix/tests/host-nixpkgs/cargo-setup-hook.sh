# shellcheck shell=bash
# Cargo takes the crates from `cargoDeps` and from nowhere else.
useVendoredCrates() {
  mkdir -p .cargo
  # shellcheck disable=SC2154
  printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s"\n' \
    "$cargoDeps" >.cargo/config.toml
  # shellcheck disable=SC2154
  cmp source/Cargo.lock "$cargoDeps/Cargo.lock"
}
postUnpackHooks+=(useVendoredCrates)
