//! Parses pages of the Simple API as a stream. Pages of any size are accepted; what is kept is
//! limited.

mod bounded;
mod common;
mod html;
mod json;

pub(crate) use html::read as html;
pub(crate) use json::read as json;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reqwest::Url;

    use super::bounded::MAX_TOKEN;
    use crate::error::HttpError;
    use crate::listing::{Keep, Listing};

    fn page() -> Url {
        Url::parse("https://index.example/simple/a/").unwrap()
    }

    fn all() -> Keep {
        Arc::new(|_, _| true)
    }

    fn json(body: &[u8]) -> Result<Listing, HttpError> {
        super::json(&page(), body, &all())
    }

    fn html(body: &[u8]) -> Result<Listing, HttpError> {
        super::html(&page(), body, &all())
    }

    #[test]
    fn reads_json_pages() {
        let body = format!(
            r#"{{"meta": {{"api-version": "1.4"}}, "name": "a", "files": [
              {{"filename": "a-1.tar.gz", "url": "../../f/a-1.tar.gz", "hashes": {{"sha256": "{}"}}, "yanked": "why",
                "size": 7, "provenance": "https://index.example/p", "upload-time": "2026-01-01T00:00:00Z"}},
              {{"filename": "a-2.tar.gz", "url": "https://files.example/a-2.tar.gz", "hashes": {{}}, "requires-python": ">=3.9",
                "provenance": null}}]}}"#,
            "AB".repeat(32)
        );
        let listing = json(body.as_bytes()).unwrap();
        assert!(listing.exists && listing.lists_attestations && !listing.is_warehouse);
        assert_eq!((listing.status, listing.largest), (None, Some(7)));
        let one = &listing.files["a-1.tar.gz"];
        assert_eq!(one.url.as_str(), "https://index.example/f/a-1.tar.gz");
        assert_eq!(one.sha256, Some("ab".repeat(32)));
        assert!(one.yanked && one.provenance.is_some() && one.uploaded.is_some());
        let two = &listing.files["a-2.tar.gz"];
        assert!(!two.yanked && two.sha256.is_none() && two.provenance.is_none());
        assert_eq!((one.requires_python.as_deref(), two.requires_python.as_deref()), (None, Some(">=3.9")));
        let no = |body: &str| json(body.as_bytes()).unwrap_err().to_string();
        assert!(no(r#"{"files": 1}"#).contains("expected a Simple API page"));
        assert!(no(r#"{"name": "a"}"#).contains("no field `files`"));
        assert!(no(r#"{"meta": {"api-version": "2.0"}, "files": []}"#).contains("version 2.0"));
        assert!(no(r#"{"name": "other", "files": []}"#).contains("the page of `other`"));
        assert!(no(r#"{"name": "a", "files": []} trailing"#).contains("trailing"));
        assert!(json(br#"{"name": "A", "files": []}"#).is_ok());
        let odd = br#"{"files": [{"filename": "a-1.tar.gz", "url": "f", "hashes": {"sha256": "zz"}}]}"#;
        assert_eq!(json(odd).unwrap().files["a-1.tar.gz"].sha256, None, "the bytes are hashed");
        let body = br#"{"meta": {"_last-serial": 7}, "project-status": {"status": "archived"}, "files": []}"#;
        let listing = json(body).unwrap();
        assert!(listing.is_warehouse && !listing.lists_attestations);
        assert_eq!(listing.status.as_deref(), Some("archived"));
    }

    #[test]
    fn reads_html_pages() {
        let body = format!(
            "<!DOCTYPE html><html><meta name=\"pypi:project-status\" content=\"archived\"><body>\
             <a href=\"/packages/a-1%2Blocal-py3-none-any.whl#sha256={}\">x</a>\
             <a href='a-2.tar.gz#md5=00' data-yanked=\"\" data-requires-python=\"&gt;=3.9\">a-2.tar.gz</a><a href=\"../\">up</a></body>",
            "0".repeat(64)
        );
        let listing = html(body.as_bytes()).unwrap();
        assert_eq!(listing.files.keys().collect::<Vec<_>>(), ["a-1+local-py3-none-any.whl", "a-2.tar.gz"]);
        assert_eq!(listing.files["a-1+local-py3-none-any.whl"].sha256, Some("0".repeat(64)));
        assert!(listing.files["a-2.tar.gz"].yanked && listing.files["a-2.tar.gz"].sha256.is_none());
        assert_eq!(listing.files["a-2.tar.gz"].requires_python.as_deref(), Some(">=3.9"));
        assert_eq!(listing.status.as_deref(), Some("archived"));
        for (other, why) in [
            ("gateway says no", "not HTML"),
            ("<html><body>please <a href=/login>log in</a></body></html>", "none to a distribution"),
            ("<html><form method=post><input name=user></form></html>", "such as a login page"),
            ("<!DOCTYPE html><div id=root></div><script src=/app.js></script>", "such as a login page"),
        ] {
            let error = html(other.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(html(b"<!DOCTYPE html><html><body></body></html>").unwrap().files.len(), 0);
    }

    #[test]
    fn keeps_only_requested_files() {
        let file = |number: u32| {
            format!(r#"{{"filename": "a-{number}.tar.gz", "url": "f", "size": {number}, "hashes": {{}}}}"#)
        };
        let files = (0..50_000).map(file).collect::<Vec<_>>().join(",");
        let body = format!(r#"{{"name": "a", "versions": ["1"], "files": [{files}]}}"#);
        let keep: Keep = Arc::new(|name, _| name == "a-7.tar.gz");
        let listing = super::json(&page(), body.as_bytes(), &keep).unwrap();
        assert_eq!(listing.files.keys().collect::<Vec<_>>(), ["a-7.tar.gz"]);
        assert_eq!(listing.largest, Some(49_999));
    }

    #[test]
    fn limits_the_length_of_tokens() {
        let long = "x".repeat(2 * MAX_TOKEN);
        for body in [
            format!(r#"{{"name": "{long}"#),
            format!(r#"{{"x": {}"#, "[".repeat(1000)),
            format!(r#"{{"files": [{{"filename": "\"{}"#, long.replace('x', "\\\"")),
        ] {
            assert!(json(body.as_bytes()).unwrap_err().to_string().contains("a token longer"));
        }
        let spaces = format!(r#"{{"files": {} []}}"#, " ".repeat(2 * MAX_TOKEN));
        assert!(json(spaces.as_bytes()).is_ok(), "white space is not buffered");
        let tag = format!("<a href=\"{long}");
        assert!(html(tag.as_bytes()).unwrap_err().to_string().contains("a token longer"));
    }
}
