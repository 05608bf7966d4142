//! Choice inputs.

use toolkit::choice;

choice! {
    /// The build backend.
    pub enum Backend {
        /// `maturin build`.
        Maturin = "maturin",
        /// `nix build`.
        Nix = "nix",
        /// None: an existing wheel is repaired.
        Wheel = "wheel",
        /// The project's PEP 517 backend, or `nix build`.
        Sdist = "sdist",
    }
}

choice! {
    /// The linker.
    pub enum Linker {
        /// Cargo's default linker.
        Native = "native",
        /// `zig cc`, through maturin and cargo-zigbuild.
        Zig = "zig",
        /// `<target>-gcc`.
        Gcc = "gcc",
        /// The build runs in a container.
        Container = "container",
    }
}

choice! {
    /// Whether the wheel is smoke-tested.
    pub enum SmokeMode {
        /// If possible.
        Auto = "auto",
        /// Always; fail if that is not possible.
        Required = "required",
        /// Never.
        Off = "off",
    }
}
