#!/usr/bin/env bash
# Verifies and starts an action's binary: launch.sh ACTION [ARGUMENT…]
#
# 1. LAUNCH_BINARY and LAUNCH_BINARY_SHA256 (inputs `binary`, `binary-sha256`):
#    that file, if it has that hash.
# 2. binaries.json has entries: the one for this platform, downloaded once and
#    kept in the tool cache. No entry for this platform is an error.
#    LAUNCH_BINARY_TOKEN (input `binary-token`) downloads from a private
#    repository, LAUNCH_BINARY_MIRROR (input `binary-mirror`) from another
#    server; the hash is still that of binaries.json.
# 3. binaries.json is empty (a branch, a checkout): the binary is built from source.
# The hash of a given or downloaded binary is compared before every start.
set -euo pipefail

# die MESSAGE [HINT]
die() {
  local text=$1 newline=$'\n'
  [ $# -lt 2 ] || text+="${newline}hint: $2"
  if [ "${GITHUB_ACTIONS-}" = true ]; then
    text=${text//%/%25}
    printf '::error::%s\n' "${text//$newline/%0A}"
  else
    printf 'error: %s\n' "$text" >&2
  fi
  exit 2
}

sha256() {
  if command -v sha256sum >/dev/null; then
    sha256sum <"$1" | cut -d ' ' -f 1
  else
    shasum -a 256 <"$1" | cut -d ' ' -f 1
  fi
}

target() {
  local system machine
  system=$(uname -s)
  machine=$(uname -m)
  case "$machine" in
    x86_64 | amd64) machine=x86_64 ;;
    arm64 | aarch64) machine=aarch64 ;;
  esac
  case "$system" in
    Linux) echo "$machine-unknown-linux-musl" ;;
    Darwin) echo "$machine-apple-darwin" ;;
    # Windows on ARM emulates the x86-64 programs.
    MINGW* | MSYS* | CYGWIN*) echo x86_64-pc-windows-msvc ;;
    *) echo "$machine-$system" ;;
  esac
}

# Converts a path for this shell: on Windows, the runner's variables contain `D:\a\_tool`.
path() {
  if command -v cygpath >/dev/null; then cygpath -u "$1"; else printf '%s\n' "$1"; fi
}

# The directory that is kept between runs.
cache() {
  echo "$(path "${RUNNER_TOOL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}}")/wheel-actions"
}

# Hands the inputs to a program for Windows as they are. MSYS rewrites what looks like a path or a
# list of paths: `/v` becomes `C:/Program Files/Git/v`. A path of this shell, such as `$PWD/dist`
# from an earlier step, is still converted. https://www.msys2.org/docs/filesystem-paths/
#
# Arguments stay as they are: the actions pass no path, and the variables that prevent their
# conversion would also reach the scripts of other packages' builds.
keep_inputs() {
  local name value
  export MSYS2_ENV_CONV_EXCL="INPUT_${MSYS2_ENV_CONV_EXCL:+;$MSYS2_ENV_CONV_EXCL}"
  command -v cygpath >/dev/null || return 0
  for name in ${!INPUT_@}; do
    value=${!name}
    case $'\n'"$value" in
      *$'\n'/[A-Za-z]/* | *$'\n'/tmp/*) export "$name=$(windows_paths <<<"$value")" ;;
    esac
  done
}

# Converts the lines that are paths of this shell; of a pattern, the part before its first `*`
# or `?`.
windows_paths() {
  local line pattern
  while IFS= read -r line; do
    case "$line" in
      /[A-Za-z]/* | /tmp/*)
        pattern=${line%%[*?]*}
        printf '%s%s\n' "$(cygpath -m "$pattern")" "${line#"$pattern"}"
        ;;
      *) printf '%s\n' "$line" ;;
    esac
  done
}

# Prints sha256, url and the API's URL (if any) of "ACTION TARGET". The file is generated
# with one entry per line, so this needs no JSON parser.
entry() {
  sed -n "s|^ *\"$1 $2\": {\"url\": \"\([^\"]*\)\", \"sha256\": \"\([0-9a-f]\{64\}\)\"\(, \"api\": \"\([^\"]*\)\"\)\{0,1\}},\{0,1\}\$|\2 \1 \4|p" "$here/binaries.json"
}

# fetch URL FILE: the token is not an argument, because other users can read arguments.
fetch() {
  local headers=""
  if [ -n "${LAUNCH_BINARY_TOKEN-}" ]; then
    printf -v headers 'header = "Authorization: Bearer %s"\nheader = "Accept: application/octet-stream"\n' \
      "$LAUNCH_BINARY_TOKEN"
  fi
  curl --config - --fail --silent --show-error --location --proto-redir =https \
    --retry 4 --retry-connrefused --connect-timeout 20 --max-time 300 --output "$2" "$1" <<<"$headers"
}

# download SHA256 URL API: puts the binary of a release into $binary.
download() {
  local expected=$1 url=$2 api=$3 found part
  binary="$(cache)/$expected/$action"
  # Windows recognises a program by its extension.
  case "$(target)" in *-windows-*) binary+=.exe ;; esac
  if [ -f "$binary" ] && [ "$(sha256 "$binary")" = "$expected" ]; then
    return
  fi
  if [ -n "${LAUNCH_BINARY_MIRROR-}" ]; then
    url="${LAUNCH_BINARY_MIRROR%/}/${url##*/}"
  elif [ -n "${LAUNCH_BINARY_TOKEN-}" ] && [ -n "$api" ]; then
    # The page of a private release accepts no token; the API does.
    url=$api
  fi
  case "$url" in
    https://* | http://127.0.0.1:*) ;;
    *) die "$action: refusing to download from \`$url\`: expected https" ;;
  esac
  command -v curl >/dev/null ||
    die "$action: \`curl\` is not installed, and the binary must be downloaded" \
      "install it (\`apt-get install curl ca-certificates\`, \`apk add curl\`), or give the inputs \`binary\` and \`binary-sha256\`"
  mkdir -p "$(dirname "$binary")"
  part="$binary.part.$$"
  trap 'rm -f "$part"' EXIT
  fetch "$url" "$part" ||
    die "$action: cannot download \`$url\`" \
      "rerun the job if the network failed; a private repository needs the input \`binary-token\`, a runner that cannot reach this server \`binary-mirror\`"
  found=$(sha256 "$part")
  [ "$found" = "$expected" ] ||
    die "$action: \`$url\` has sha256 $found, expected $expected from binaries.json; nothing was started"
  chmod 755 "$part"
  mv -f "$part" "$binary"
  trap - EXIT
}

# Builds the binary from source into a directory that outlives the checkout. It runs only
# for seconds, so the profile is the one that compiles fast. With --workspace, the actions
# share the compiled dependencies: otherwise, each would enable other features of them.
build() {
  command -v cargo >/dev/null ||
    die "$action: this checkout has no released binary, and \`cargo\` is not installed to build one" \
      "pin the commit of a tag \`v…\`, install Rust, or give the inputs \`binary\` and \`binary-sha256\`"
  local directory="${CARGO_TARGET_DIR:-$(cache)/target}"
  cargo build --quiet --profile local --locked --manifest-path "$here/../Cargo.toml" --target-dir "$directory" \
    --workspace --bin "$action" >&2 || die "$action: building from source failed, see above"
  binary="$directory/local/$action"
  case "$(target)" in *-windows-*) binary+=.exe ;; esac
}

[ $# -ge 1 ] || die "usage: launch.sh ACTION [ARGUMENT…]"
action=$1
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -f "$here/$action/action.yml" ] || die "no action \`$action\` beside \`$here/launch.sh\`"
case "$action $(target)" in
  setup-nix\ *-windows-*)
    die "setup-nix: Nix does not run on Windows" \
      "skip this step there (\`if: runner.os != 'Windows'\`), and build with \`backend: maturin\`"
    ;;
esac

if [ -n "${LAUNCH_BINARY-}" ]; then
  binary=$(path "$LAUNCH_BINARY")
  [ -f "$binary" ] || die "$action: the input \`binary\` names \`$binary\`, which does not exist"
  [ -n "${LAUNCH_BINARY_SHA256-}" ] ||
    die "$action: the input \`binary\` needs \`binary-sha256\`" "pass the hash as an output of the job that built the binary"
  found=$(sha256 "$binary")
  [ "$found" = "$LAUNCH_BINARY_SHA256" ] ||
    die "$action: \`$binary\` has sha256 $found, expected $LAUNCH_BINARY_SHA256; nothing was started"
  # An artifact loses the executable bit.
  [ -x "$binary" ] || chmod 755 "$binary"
elif grep -q '"url"' "$here/binaries.json"; then
  found=$(entry "$action" "$(target)")
  [ -n "$found" ] ||
    die "$action: this release has no binary for $(target)" \
      "use a supported runner, or give the inputs \`binary\` and \`binary-sha256\`"
  read -r digest url api <<<"$found"
  download "$digest" "$url" "$api"
else
  build
fi
unset LAUNCH_BINARY LAUNCH_BINARY_SHA256 LAUNCH_BINARY_TOKEN LAUNCH_BINARY_MIRROR
case "$(target)" in *-windows-*) keep_inputs ;; esac
exec "$binary" "$@"
