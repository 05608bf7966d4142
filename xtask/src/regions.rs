//! Regions of a file whose content is generated.
//!
//! A region starts with a comment that holds a marker, `[[[gen NAME]]]` or
//! `[[[cog CODE ]]]`, and ends with one that holds `[[[end]]]`; the lines in
//! between are replaced.

/// The marker of a region whose content `cargo xtask gen` knows by name.
pub(crate) const GEN: &str = "[[[gen ";
/// The marker of a region whose content follows from the code in the marker.
pub(crate) const COG: &str = "[[[cog ";

/// Replaces every region of `text` that starts with `marker` by what `content`
/// gives for the marker's text, each line indented as the marker is. Regions of
/// other markers stay as they are.
pub(crate) fn replace(
    text: &str,
    marker: &str,
    content: impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    // Marker, its text, indent and old content.
    let mut open: Option<(&str, &str, &str, String)> = None;
    for line in text.lines() {
        if line.contains("[[[end]]]") {
            let (kind, name, indent, old) = open.take().ok_or("`[[[end]]]` without a start")?;
            let new = if kind == marker { content(name)? } else { old };
            let indent = if kind == marker { indent } else { "" };
            for line in new.lines() {
                out.push_str(if line.is_empty() { "" } else { indent });
                out.push_str(line);
                out.push('\n');
            }
        }
        let start = [GEN, COG].into_iter().find_map(|kind| {
            let (_, rest) = line.split_once(kind)?;
            Some((kind, rest.split_once("]]]")?.0.trim()))
        });
        match (&mut open, start) {
            (Some((_, open, ..)), Some(_)) => {
                return Err(format!("region `{open}` has no `[[[end]]]` before the next start"));
            }
            (Some((.., old)), None) => {
                old.push_str(line);
                old.push('\n');
            }
            (None, _) => {
                out.push_str(line);
                out.push('\n');
                let indent = &line[..line.len() - line.trim_start().len()];
                open = start.map(|(kind, name)| (kind, name, indent, String::new()));
            }
        }
    }
    match open {
        Some((_, name, ..)) => Err(format!("region `{name}` has no `[[[end]]]`")),
        None => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::{COG, GEN, replace};

    #[test]
    fn regions_are_replaced_and_indented() {
        let text = "a\n  # [[[gen x]]]\n  old\n  # [[[end]]]\nb\n";
        let content = |name: &str| Ok(format!("{name}1\n\n{name}2\n"));
        let once = replace(text, GEN, content).unwrap();
        assert_eq!(once, "a\n  # [[[gen x]]]\n  x1\n\n  x2\n  # [[[end]]]\nb\n");
        assert_eq!(replace(&once, GEN, content).unwrap(), once);
    }

    #[test]
    fn regions_of_the_other_marker_stay() {
        let text = "  # [[[gen x]]]\n  old\n  # [[[end]]]\n# [[[cog y ]]]\nold\n# [[[end]]]\n";
        let new = replace(text, COG, |code| Ok(format!("of {code}\n"))).unwrap();
        assert_eq!(new, "  # [[[gen x]]]\n  old\n  # [[[end]]]\n# [[[cog y ]]]\nof y\n# [[[end]]]\n");
    }

    #[test]
    fn broken_markers_are_faults() {
        let problem = |text: &str| replace(text, GEN, |_| Err("unknown".to_owned())).unwrap_err();
        assert_eq!(problem("# [[[gen x]]]\n"), "region `x` has no `[[[end]]]`");
        assert_eq!(problem("# [[[end]]]\n"), "`[[[end]]]` without a start");
        assert_eq!(
            problem("# [[[gen x]]]\n# [[[cog y ]]]\n"),
            "region `x` has no `[[[end]]]` before the next start"
        );
        assert_eq!(problem("# [[[gen y]]]\n# [[[end]]]\n"), "unknown");
    }
}
