# shellcheck shell=bash
# trixie PACKAGE ROOT: unpacks Debian 13's PACKAGE and all its dependencies into ROOT.
# They come from the mirrors in the machine's own sources, and apt checks their
# signatures. Nothing is installed on the machine.
trixie() {
  local work
  work=$(mktemp -d)
  mkdir -p "$work"/{sources,lists/partial,cache/archives/partial} "$2"
  # The same mirrors, but the next release.
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
    sed -n '/^deb .*bookworm/s/bookworm/trixie/p' >"$work/sources/trixie.list"
  for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -f "$file" ] || sed 's/bookworm/trixie/g' "$file" >"$work/sources/$(basename "$file")"
  done
  printf 'APT::Default-Release "";\n' >"$work/apt.conf"
  local apt=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$work/sources"
    -o "Dir::State::lists=$work/lists" -o "Dir::State::status=/dev/null" -o "Dir::Cache=$work/cache"
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o APT::Install-Recommends=false)
  APT_CONFIG=$work/apt.conf apt-get "${apt[@]}" --quiet --quiet update
  # With an empty status file, apt downloads every dependency, also those that are installed.
  APT_CONFIG=$work/apt.conf apt-get "${apt[@]}" --quiet --quiet --yes --download-only install "$1"
  for deb in "$work"/cache/archives/*.deb; do
    dpkg-deb -x "$deb" "$2"
  done
  rm -rf "$work"
}
