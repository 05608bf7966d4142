# The packages for one system: `public` for the flake, `python` for the dev
# shells.
{
  foreign,
  pkgs,
  root,
  version,
}:
let
  source = import ../lib/source.nix root;
  call = path: more: pkgs.callPackage path ({ inherit source version; } // more);
  htty-core-wheel = options: call ./htty-core-wheel.nix ({ inherit foreign; } // options);
  htty-sdist = pkgs.callPackage ./htty-sdist.nix { inherit source version; };
  programs = call ./programs.nix { };
  python = import ./python.nix {
    inherit (pkgs) python3;
    inherit
      htty-core-wheel
      htty-sdist
      source
      version
      ;
  };
in
{
  inherit python;
  public = {
    default = python.htty-module;
    htty = python.htty-module;
    htty-cli = pkgs.python3.pkgs.toPythonApplication python.htty-module;
    htty-core-wheel = htty-core-wheel { };
    inherit htty-sdist;
    inherit (programs)
      build-wheel
      publish
      setup-nix
      verify-dist
      ;
  }
  # Only on Linux: on a Mac, cross-building would need another linker.
  // pkgs.lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux {
    htty-core-wheel-aarch64-linux = htty-core-wheel { targetSystem = "aarch64-linux"; };
  };
}
