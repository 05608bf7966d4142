# A nixpkgs for machines that cannot fetch the real one: the attributes that our
# flake uses, by the same names, on top of the machine's own programs.
# `machine.json` says where those are; tests/flake writes it. Like the real one it
# throws for the systems that it has dropped.
{
  description = "The machine's compilers under nixpkgs's names, for tests";

  outputs =
    _:
    let
      lib = import ./lib.nix;
      machine = builtins.fromJSON (builtins.readFile ./machine.json);
    in
    {
      inherit lib;
      legacyPackages =
        lib.genAttrs
          [
            "x86_64-linux"
            "aarch64-linux"
            "x86_64-darwin"
            "aarch64-darwin"
          ]
          (
            system:
            if builtins.elem system machine.dropped then
              throw "nixpkgs has dropped ${system}"
            else
              import ./packages.nix { inherit lib machine system; }
          );
    };
}
