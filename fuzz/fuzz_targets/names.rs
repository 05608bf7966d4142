//! Any text as a file name, a tag set, a platform or a requirement.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pydist::filename::DistName;
use pydist::name::ProjectName;
use pydist::tags::{Platform, TagSet};

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<DistName>() {
        assert_eq!(name.to_string(), text, "a name that is understood is written back");
        let project = name.project();
        assert_eq!(ProjectName::new(&project), project, "normalising twice is normalising once");
    }
    if let Ok(set) = text.parse::<TagSet>() {
        assert_eq!(set.to_string(), text);
        assert!(set.expand().iter().all(|tag| tag.to_string().parse::<TagSet>().is_ok()));
    }
    let _ = Platform::parse(text);
    let _ = pydist::requirement::parse(text);
});
