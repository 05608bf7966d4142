//! The user's own jobs, below the block of this command.

use serde_json::{Map, Value};

use super::workflow::parse;

/// The jobs outside the block of this command that upload a `dist-…` before the set
/// is verified.
pub(super) fn jobs_with_files(text: &str, block: &str) -> Vec<String> {
    let jobs =
        |text: &str| -> Option<Map<String, Value>> { parse(text).ok()?.get("jobs")?.as_object().cloned() };
    let (Some(all), Some(written)) = (jobs(text), jobs(block)) else { return Vec::new() };
    let uploads = |step: &Value| {
        let name = step.get("with").and_then(|with| with.get("name")?.as_str()).unwrap_or_default();
        let uses = step.get("uses").and_then(Value::as_str).unwrap_or_default();
        uses.starts_with("actions/upload-artifact@") && name.starts_with("dist-")
    };
    let needs = |job: &Value| -> Vec<String> {
        let needs = job.get("needs").cloned().unwrap_or_default();
        let list = needs.as_array().cloned().unwrap_or_else(|| vec![needs]);
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    // A job that needs the verification cannot precede it.
    let mut later = vec!["verify".to_owned(), "publish".to_owned()];
    while let Some((id, _)) = all
        .iter()
        .find(|(id, job)| !later.contains(*id) && needs(job).iter().any(|need| later.contains(need)))
    {
        later.push(id.clone());
    }
    let own = all.into_iter().filter(|(id, _)| !written.contains_key(id) && !later.contains(id));
    let steps = |job: &Value| job.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
    own.filter(|(_, job)| steps(job).iter().any(uploads)).map(|(id, _)| id).collect()
}
