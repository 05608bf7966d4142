{
  lib,
  machine,
  system,
}:
let
  # What a script of the machine's Bash makes at $out. Bash stays to the end:
  # a last command it becomes, like cp, may close its output before it ends, and
  # Nix kills a builder whose output is closed.
  byScript =
    name: system: script:
    derivation {
      inherit name system;
      builder = machine.bash;
      PATH = machine.path;
      args = [
        "-euc"
        "${script}\nexit"
      ];
    };
  # Programs of the machine, at bin/; one that is missing fails when it is built.
  link =
    name: programs:
    byScript name system ''
      mkdir -p $out/bin
      for program in ${toString programs}; do
        found=$(command -v "$program") || { echo "this machine has no $program" >&2; exit 1; }
        printf '#!%s\nexec %s "$@"\n' '${machine.bash}' "$found" > "$out/bin/$program"
        chmod 755 "$out/bin/$program"
      done
    '';
  # `name` and what it is made of, as nixpkgs's setup takes it.
  mkDerivation =
    attrs:
    derivation (
      {
        name = "${attrs.pname}-${attrs.version}";
        inherit stdenv system;
        outputs = [ "out" ];
        builder = machine.bash;
        args = [
          "-euc"
          "source $stdenv/setup; genericBuild"
        ];
      }
      // removeAttrs attrs [ "meta" ]
    );
  stdenv = byScript "stdenv" system ''
    mkdir $out
    { echo "hostPath='$PATH'"; cat ${./setup.sh}; } > $out/setup
  '';
  platform = {
    inherit system;
    isLinux = lib.hasSuffix "-linux" system;
  };
  python = import ./python.nix {
    inherit
      lib
      machine
      mkDerivation
      system
      ;
  };
in
lib.genAttrs [
  "actionlint"
  "basedpyright"
  "cargo"
  "cargo-zigbuild"
  "deadnix"
  "git"
  "maturin"
  "nixfmt"
  "ruff"
  "rustfmt"
  "shellcheck"
  "statix"
  "zizmor"
] (name: link name [ name ])
// rec {
  inherit lib;
  stdenv = {
    inherit mkDerivation;
    hostPlatform = platform;
    cc = link "cc" [
      "cc"
      "ld"
    ];
  };
  bashInteractive = link "bash" [ "bash" ];
  clippy = link "clippy" [ "cargo-clippy" ];
  # With an output of its own, to stand in a list of build inputs.
  python3 = link "python3" [ "python3" ] // python;
  zig = link "zig" [ "zig" ];

  # `unwrapped` holds the standard library of this system.
  rustc = link "rustc" [ "rustc" ] // {
    # It is only copied: as nixpkgs's comes from its cache, for any system.
    unwrapped = byScript "rust-std-${system}" machine.system ''
      mkdir -p $out/lib/rustlib
      cp -r ${machine.sysroots.${system} or "/nowhere"}/lib/rustlib/*-*-* $out/lib/rustlib/
    '';
  };

  rustPlatform = {
    # Takes the crates from Cargo's own cache, each by the lock file's hash.
    importCargoLock =
      { lockFile }:
      let
        lock = builtins.fromTOML (builtins.readFile lockFile);
        crates = builtins.filter (package: package ? checksum) lock.package;
      in
      derivation {
        name = "cargo-vendor-dir";
        inherit system;
        builder = machine.bash;
        PATH = machine.path;
        crates = map (crate: "${crate.name}-${crate.version}=${crate.checksum}") crates;
        args = [
          "-eu"
          ./vendor.sh
          lockFile
          machine.cargoHome
        ];
      };
    cargoSetupHook = byScript "cargo-setup-hook" system ''
      mkdir -p $out/nix-support
      cp ${./cargo-setup-hook.sh} $out/nix-support/setup-hook
    '';
  };

  mkShell =
    attrs:
    mkDerivation (
      {
        pname = "shell";
        version = "0";
        nativeBuildInputs = attrs.packages;
        dontUnpack = true;
        installPhase = "export > $out";
      }
      // removeAttrs attrs [ "packages" ]
    );
  writeShellApplication =
    {
      name,
      runtimeInputs,
      text,
    }:
    mkDerivation {
      pname = name;
      version = "0";
      dontUnpack = true;
      nativeBuildInputs = runtimeInputs;
      script = ''
        set -euo pipefail
        PATH=${builtins.concatStringsSep ":" (map (input: "${input}/bin") runtimeInputs)}:$PATH
        ${text}
      '';
      installPhase = ''
        mkdir -p $out/bin
        printf '#!%s\n%s\n' '${machine.bash}' "$script" > $out/bin/${name}
        chmod 755 $out/bin/${name}
      '';
    };
  callPackage =
    path: more:
    let
      package = import path;
    in
    package (builtins.intersectAttrs (builtins.functionArgs package) all // more);
  all = {
    inherit
      lib
      python3
      rustPlatform
      rustc
      stdenv
      zig
      ;
    cargo = link "cargo" [ "cargo" ];
    cargo-zigbuild = link "cargo-zigbuild" [ "cargo-zigbuild" ];
    maturin = link "maturin" [ "maturin" ];
  };
}
