# The wheel of htty-core, in $out; without network, from the crates that its
# Cargo.lock names.
{
  cargo,
  cargo-zigbuild,
  foreign,
  lib,
  maturin,
  python3,
  rustPlatform,
  rustc,
  source,
  stdenv,
  version,
  zig,

  # The Nix system to build for, where it is not the building one: Linux for
  # x86_64 and aarch64, linked by zig.
  targetSystem ? null,
  # Whether the wheel shall run on any distribution (zig, against glibc 2.17),
  # or in Nix packages on this system.
  portable ? true,
}:
let
  buildSystem = stdenv.hostPlatform.system;
  system = if targetSystem == null then buildSystem else targetSystem;
  cross = system != buildSystem;
  triples = {
    aarch64-darwin = "aarch64-apple-darwin";
    aarch64-linux = "aarch64-unknown-linux-gnu";
    x86_64-darwin = "x86_64-apple-darwin";
    x86_64-linux = "x86_64-unknown-linux-gnu";
  };
  linux = lib.hasSuffix "-linux" system;
  known = triples ? ${system};
  triple = triples.${system};
  # As Cargo spells it in its variables.
  shouted = lib.toUpper (builtins.replaceStrings [ "-" ] [ "_" ] triple);
  useZig = linux && (portable || cross);
in
assert lib.assertMsg known
  "htty-core-wheel: targetSystem is ${system}; known are ${toString (builtins.attrNames triples)}";
assert lib.assertMsg (cross -> linux)
  "htty-core-wheel: for targetSystem ${system} there is no linker on ${buildSystem}; build it on a Mac";
stdenv.mkDerivation {
  pname = if cross then "htty-core-wheel-${system}" else "htty-core-wheel";
  inherit (version) version;
  src = source.htty-core;
  cargoDeps = rustPlatform.importCargoLock { lockFile = ../../htty-core/Cargo.lock; };

  nativeBuildInputs = [
    cargo
    maturin
    python3
    rustPlatform.cargoSetupHook
    rustc
  ]
  ++ lib.optionals useZig [
    cargo-zigbuild
    zig
  ];

  SOURCE_GIT_SHA = version.git;

  dontConfigure = true;
  buildPhase = ''
    runHook preBuild
    export HOME=$TMPDIR ZIG_GLOBAL_CACHE_DIR=$TMPDIR/zig CARGO_ZIGBUILD_CACHE_DIR=$TMPDIR/zigbuild
    export CARGO_TARGET_DIR=$PWD/target
    # Set by nixpkgs' Python for the machine that builds; maturin would take a
    # cross wheel's tag from it.
    unset _PYTHON_HOST_PLATFORM
  ''
  + lib.optionalString cross ''
    # The compiler with the other system's standard library, of the same version.
    sysroot=$PWD/sysroot/lib/rustlib
    mkdir -p "$sysroot"
    ln -s ${foreign.${system}.rustc.unwrapped}/lib/rustlib/${triple} "$sysroot/${triple}"
    export CARGO_TARGET_${shouted}_RUSTFLAGS="--sysroot=$PWD/sysroot"
  ''
  + ''
    maturin build --profile release --offline --locked --out dist \
      --target ${triple} ${lib.optionalString useZig "--zig"} \
      --compatibility ${
        if !linux then
          "pypi"
        else if useZig then
          "manylinux2014"
        else
          "linux"
      }
    runHook postBuild
  '';

  installPhase = ''
    runHook preInstall
    mkdir -p $out
    cp dist/*.whl $out/
    runHook postInstall
  '';

  # Neither: the wheel is an archive, and build-wheel does what is to be done.
  dontFixup = true;
  doCheck = false;
}
