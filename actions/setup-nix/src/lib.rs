//! Nix and its store, ready in seconds, never wrong.
//!
//! `plan` decides, `install` puts Nix and the cached store paths in place,
//! `pack` adds new paths to the cache directory (`watch` does so while the job
//! runs), `save` finishes it. Nothing about the cache ever fails a job.

mod advisories;
mod background;
mod choices;
mod conf;
pub mod database;
mod error;
mod estimate;
pub mod fetch;
pub mod folder;
mod image;
mod inputs;
mod install;
mod job;
mod key;
mod layer_index;
mod layers;
pub mod machine;
pub mod mount;
pub mod nar;
pub mod narinfo;
pub mod nix32;
pub mod pack;
pub mod plan;
mod privileged;
mod prune;
mod report;
pub mod restore;
mod run;
mod save;
mod seen;
pub mod store;
pub mod tree;
mod unpack;
mod used;
mod work;

use toolkit::{Choice as _, Exit, Invocation, Ui};

use crate::choices::CacheMode;

pub use error::Error;
pub use inputs::SPEC;

/// The whole action.
pub fn run(invocation: &Invocation, ui: &Ui) -> Result<Exit, Error> {
    // Started as root, with nothing but what is said here.
    match invocation.command {
        Some("mount") => {
            let text = std::io::read_to_string(std::io::Read::take(std::io::stdin(), mount::REQUEST));
            let request = serde_json::from_str(&text.unwrap_or_default())
                .map_err(|error| Error::Mount(format!("expected a request on standard input: {error}")))?;
            ui.report(serde_json::to_string(&mount::mount(&request, ui)?).unwrap_or_default());
            return Ok(Exit::Done);
        }
        Some("unmount") => return mount::unmount().map(|()| Exit::Done),
        _ => {}
    }
    let env = &invocation.env;
    let mut inputs = inputs::Inputs::read(env)?;
    for token in [&inputs.access_tokens, &inputs.github_token].into_iter().flatten() {
        ui.mask(token);
    }
    // Those that work in the background have no workspace to look at.
    let in_background = matches!(invocation.command, Some("watch" | "restore"));
    let patterns = if in_background { &[][..] } else { &inputs.hash_files };
    let machine = machine::MachineState::read(patterns, env, ui);
    let mut plan = plan::plan(&inputs, &machine)?;
    if inputs.dry_run {
        ui.report(serde_json::to_string_pretty(&plan).unwrap_or_default());
        // The action's other steps then leave the cache alone.
        ui.output("cache", CacheMode::Off.word())?;
        return Ok(Exit::Done);
    }
    if plan.cache != CacheMode::Off
        && invocation.command != Some("restore")
        && let Err(error) = folder::Cache::new(&plan.cache_folder, &inputs.state).create()
    {
        // Never a reason to fail a job.
        plan.cache = CacheMode::Off;
        plan.cache_why = Some(format!("its folder cannot be used: {}", toolkit::error_chain(&error)));
        plan.cache_folder = inputs::last_resort();
        inputs.state = plan.cache_folder.with_extension("state");
        ui.warning(plan.cache_why.clone().unwrap_or_default());
    }
    let work = work::Work { inputs: &inputs, machine: &machine, plan: &plan, env, ui };
    match invocation.command {
        Some("plan") => report::planned(&plan, &machine, ui)?,
        Some("pack") => work.pack()?,
        Some("layers") => work.layers()?,
        Some("watch") => work.watch()?,
        Some("restore") => work.restore_as_root()?,
        Some("save") => work.save()?,
        _ => work.install()?,
    }
    Ok(Exit::Done)
}
