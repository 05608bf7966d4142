//! Regions of a file whose content follows from elsewhere.
//!
//! A region starts with a comment that holds `[[[gen NAME]]]` and ends with one
//! that holds `[[[end]]]`; what stands between is replaced.

/// Replaces every region of `text` by what `content` gives for its name and for
/// what stands in it, each line indented as the marker is. `None` from `content`
/// means that it knows no such region, which is a fault.
pub(crate) fn replace(text: &str, content: impl Fn(&str, &str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut open: Option<(&str, &str, String)> = None;
    for line in text.lines() {
        if line.contains("[[[end]]]") {
            let (name, indent, old) = open.take().ok_or("a region ends that did not start")?;
            let new = content(name, &old).ok_or_else(|| format!("there is no region `{name}`"))?;
            for line in new.lines() {
                out.push_str(if line.is_empty() { "" } else { indent });
                out.push_str(line);
                out.push('\n');
            }
        }
        let marker = line.split_once("[[[gen ").and_then(|(_, rest)| rest.split_once("]]]"));
        match (&mut open, marker) {
            (Some((open, ..)), Some(_)) => {
                return Err(format!("region `{open}` does not end before the next"));
            }
            (Some((_, indent, old)), None) => {
                old.push_str(line.strip_prefix(*indent).unwrap_or(line));
                old.push('\n');
            }
            (None, _) => {
                out.push_str(line);
                out.push('\n');
                let indent = &line[..line.len() - line.trim_start().len()];
                open = marker.map(|(name, _)| (name, indent, String::new()));
            }
        }
    }
    match open {
        Some((name, ..)) => Err(format!("region `{name}` does not end")),
        None => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn regions_are_replaced_and_indented() {
        let text = "a\n  # [[[gen x]]]\n  old\n  # [[[end]]]\nb\n";
        let content = |name: &str, _: &str| Some(format!("{name}1\n\n{name}2\n"));
        let once = replace(text, content).unwrap();
        assert_eq!(once, "a\n  # [[[gen x]]]\n  x1\n\n  x2\n  # [[[end]]]\nb\n");
        assert_eq!(replace(&once, content).unwrap(), once);
    }

    #[test]
    fn what_stands_in_a_region_is_seen_without_its_indent() {
        let text = "  # [[[gen x]]]\n  one = \"1\"\n  # [[[end]]]\n";
        let new = replace(text, |_, old| Some(old.replace('1', "2"))).unwrap();
        assert_eq!(new, "  # [[[gen x]]]\n  one = \"2\"\n  # [[[end]]]\n");
    }

    #[test]
    fn broken_markers_are_faults() {
        let content = |_: &str, _: &str| Some(String::new());
        assert!(replace("# [[[gen x]]]\n", content).unwrap_err().contains("does not end"));
        assert!(replace("# [[[end]]]\n", content).unwrap_err().contains("did not start"));
        assert!(replace("# [[[gen x]]]\n# [[[gen y]]]\n", content).unwrap_err().contains("before the next"));
        assert!(replace("# [[[gen y]]]\n# [[[end]]]\n", |_, _| None).unwrap_err().contains("no region `y`"));
    }
}
