//! Differences between operating systems. No other module of the actions has a `cfg` for
//! Windows outside tests, except `runner`, the positioned I/O of `binfmt`, and build-wheel's `search_path`,
//! which knows the layout of Python on Windows.

/// Whether this is Windows. Functions whose behaviour there can be tested elsewhere take it as an
/// argument.
pub const IS_WINDOWS: bool = cfg!(windows);

#[cfg(any(windows, test))]
mod copy;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{
    KillHandle, OPEN_FILE_ERRORS, env_name, extended_length, prepare_group, set_file_mode,
};
#[cfg(unix)]
pub use unix::{PATTERNS_IGNORE_CASE, copy_link, link, make_executable, output_path, protect_memory};
#[cfg(windows)]
pub(crate) use windows::{
    KillHandle, OPEN_FILE_ERRORS, env_name, extended_length, prepare_group, set_file_mode,
};
#[cfg(windows)]
pub use windows::{PATTERNS_IGNORE_CASE, copy_link, link, make_executable, output_path, protect_memory};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::output_path;

    #[test]
    fn the_path_in_an_output_needs_no_quoting_in_a_shell() {
        let path = Path::new("dist").join("a-1.0-py3-none-any.whl");
        assert_eq!(output_path(&path), "dist/a-1.0-py3-none-any.whl");
        // Elsewhere, such a character is part of a name.
        let name = if cfg!(windows) { "D:/a/dist" } else { r"D:\a\dist" };
        assert_eq!(output_path(Path::new(r"D:\a\dist")), name);
    }
}
