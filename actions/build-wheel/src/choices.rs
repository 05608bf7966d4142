//! What some inputs accept.

use toolkit::choice;

choice! {
    /// What builds, or that it follows from the project.
    pub(crate) enum BackendChoice {
        /// It follows from the project.
        Auto = "auto",
        /// As [`Backend::Maturin`].
        Maturin = "maturin",
        /// As [`Backend::Nix`].
        Nix = "nix",
        /// As [`Backend::Wheel`].
        Wheel = "wheel",
        /// As [`Backend::Sdist`].
        Sdist = "sdist",
    }
}

choice! {
    /// What builds.
    pub enum Backend {
        /// `maturin build`.
        Maturin = "maturin",
        /// `nix build`.
        Nix = "nix",
        /// Nothing: the wheel is there.
        Wheel = "wheel",
        /// The project's PEP 517 backend, or `nix build`.
        Sdist = "sdist",
    }
}

choice! {
    /// What links, or that it follows from target and machine.
    pub(crate) enum LinkerChoice {
        /// It follows from target and machine.
        Auto = "auto",
        /// As [`Linker::Native`].
        Native = "native",
        /// As [`Linker::Zig`].
        Zig = "zig",
        /// As [`Linker::Gcc`].
        Gcc = "gcc",
        /// As [`Linker::Container`].
        Container = "container",
    }
}

choice! {
    /// What links.
    pub enum Linker {
        /// Cargo's own choice.
        Native = "native",
        /// `zig cc`, by maturin and cargo-zigbuild.
        Zig = "zig",
        /// `<target>-gcc`.
        Gcc = "gcc",
        /// Everything happens in a container.
        Container = "container",
    }
}

choice! {
    /// Whether the wheel is smoke-tested.
    pub enum SmokeMode {
        /// Where it can be done.
        Auto = "auto",
        /// Or it is an error.
        Required = "required",
        /// Not at all.
        Off = "off",
    }
}

choice! {
    /// Which libraries go into the wheel.
    pub enum GraftMode {
        /// None.
        Off = "off",
        /// Those of the Nix store.
        Store = "store",
        /// Also those of this machine.
        All = "all",
    }
}
