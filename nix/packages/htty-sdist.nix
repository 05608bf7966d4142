# htty's source distribution, in $out.
{
  python3,
  source,
  stdenv,
  version,
}:
stdenv.mkDerivation {
  pname = "htty-sdist";
  inherit (version) version;
  src = source.htty;
  nativeBuildInputs = [ (python3.withPackages (packages: [ packages.hatchling ])) ];
  dontConfigure = true;
  buildPhase = ''
    runHook preBuild
    python -m hatchling build --target sdist --directory "$PWD/dist"
    runHook postBuild
  '';
  installPhase = ''
    runHook preInstall
    mkdir -p $out
    cp dist/*.tar.gz $out/
    runHook postInstall
  '';
  dontFixup = true;
}
