# The functions of nixpkgs's lib that the flake uses.
rec {
  assertMsg = condition: message: condition || throw message;
  genAttrs =
    names: value:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = value name;
      }) names
    );
  hasSuffix =
    suffix: text:
    let
      rest = builtins.stringLength text - builtins.stringLength suffix;
    in
    rest >= 0 && builtins.substring rest (-1) text == suffix;
  optionalAttrs = condition: attrs: if condition then attrs else { };
  optionalString = condition: text: if condition then text else "";
  optionals = condition: list: if condition then list else [ ];
  toUpper = builtins.replaceStrings lower upper;
  lower = genChars "abcdefghijklmnopqrstuvwxyz";
  upper = genChars "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  genChars = text: builtins.genList (at: builtins.substring at 1 text) (builtins.stringLength text);
}
