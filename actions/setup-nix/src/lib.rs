//! Nix and its store, ready in seconds, never wrong.
//!
//! `plan` decides, `install` puts Nix and the cached store paths in place,
//! `pack` adds new paths to the cache folder (`watch` does so while the job
//! runs), `save` finishes it. Nothing about the cache ever fails a job.

pub mod cache;
mod conf;
mod error;
mod estimate;
pub mod fetch;
pub mod info;
mod inputs;
mod install;
mod job;
mod key;
pub mod nar;
pub mod nix32;
pub mod pack;
pub mod plan;
mod privileged;
mod report;
mod run;
pub mod store;
mod used;

use toolkit::{Exit, Invocation, Ui};

pub use error::Error;
pub use inputs::SPEC;

/// The whole action.
pub fn run(invocation: &Invocation, ui: &Ui) -> Result<Exit, Error> {
    let env = &invocation.env;
    let inputs = inputs::Inputs::read(env)?;
    if let Some(tokens) = &inputs.access_tokens {
        ui.mask(tokens);
    }
    let facts = plan::Facts::gather(&inputs, env, ui);
    let mut plan = plan::plan(&inputs, &facts)?;
    if inputs.dry_run {
        ui.report(serde_json::to_string_pretty(&plan).unwrap_or_default());
        // The action's other steps then leave the cache alone.
        ui.output("cache", "off")?;
        return Ok(Exit::Done);
    }
    if plan.cache != "off"
        && let Err(error) = cache::Cache::new(&plan.cache_folder).create()
    {
        // Never a reason to fail a job.
        plan.cache = "off";
        plan.cache_why = Some(format!("its folder cannot be used: {}", toolkit::error_chain(&error)));
        plan.cache_folder = inputs::default_folder(env).unwrap_or(plan.cache_folder);
        ui.warning(plan.cache_why.clone().unwrap_or_default());
    }
    let work = run::Work { inputs: &inputs, facts: &facts, plan: &plan, env, ui };
    match invocation.command {
        Some("plan") => report::planned(&plan, &facts, ui)?,
        Some("pack") => work.pack()?,
        Some("watch") => work.watch()?,
        Some("save") => work.save()?,
        _ => work.install()?,
    }
    Ok(Exit::Done)
}
