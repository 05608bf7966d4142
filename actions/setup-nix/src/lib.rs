//! Installs Nix and restores its store from a cache.
//!
//! `plan` decides what to do, `install` installs Nix and restores the cached store paths,
//! `pack` adds new paths to the cache directory (`watch` does so while the job runs), and
//! `save` completes the cache at the end of the job. Cache problems never fail a job.

mod advisories;
mod background;
pub mod cache;
mod choices;
mod command_context;
mod conf;
pub mod database;
mod error;
mod estimate;
pub mod fetch;
mod image;
mod in_use;
mod inputs;
mod install;
mod key;
mod last_used;
mod layer_index;
mod layers;
mod limits;
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
mod runner_process;
mod running_jobs;
mod save;
pub mod store;
pub mod tree;
mod unpack;

use toolkit::{Choice as _, Exit, Invocation, Ui};

use crate::choices::CacheMode;

pub use error::Error;
pub use inputs::SPEC;

/// Runs the action.
pub fn run(invocation: &Invocation, ui: &Ui) -> Result<Exit, Error> {
    // These run as root, with an empty environment.
    match invocation.command {
        Some("mount") => {
            let text = std::io::read_to_string(std::io::Read::take(std::io::stdin(), mount::MAX_REQUEST));
            let request = serde_json::from_str(&text.unwrap_or_default())
                .map_err(|error| Error::Mount(format!("expected a request on standard input: {error}")))?;
            ui.report(serde_json::to_string(&mount::mount(&request, ui)?).unwrap_or_default());
            return Ok(Exit::Done);
        }
        Some("unmount") => return mount::unmount().map(|()| Exit::Done),
        _ => {}
    }
    let inherited = (invocation.command == Some("save")).then(|| inputs::inherit(&invocation.env));
    let env = inherited.as_ref().unwrap_or(&invocation.env);
    let mut inputs = inputs::Inputs::read(env)?;
    mask_tokens(&inputs, ui);
    // Background commands run outside of the workspace.
    let in_background = matches!(invocation.command, Some("watch" | "restore"));
    let patterns = if in_background { &[][..] } else { &inputs.hash_files };
    let machine = machine::MachineState::read(patterns, env, ui);
    let mut plan = plan::plan(&inputs, &machine)?;
    if inputs.dry_run {
        ui.report(serde_json::to_string_pretty(&plan).unwrap_or_default());
        // Makes the action's other steps skip the cache.
        ui.output("cache", CacheMode::Off.word())?;
        return Ok(Exit::Done);
    }
    if inputs.no_cache.is_some() {
        inputs::create_last_resort()?;
    }
    if plan.cache != CacheMode::Off && invocation.command != Some("restore") {
        use_cache_dir(&mut plan, &mut inputs, ui)?;
    }
    if plan.cache != CacheMode::Off
        && invocation.command == Some("plan")
        && let Some(exchange) = layers::Exchange::from_env(env)
        && let Err(error) = exchange.remove()
    {
        // The repository can contain such a directory: only what the cache service restores
        // after this may be adopted.
        plan.cache = CacheMode::Off;
        plan.cache_off_reason = Some(toolkit::error_chain(&error));
    }
    let context =
        command_context::CommandContext { inputs: &inputs, machine: &machine, plan: &plan, env, ui };
    match invocation.command {
        Some("plan") => report::planned(&plan, &machine, ui)?,
        Some("pack") => context.pack()?,
        Some("layers") => context.layers()?,
        Some("watch") => context.watch()?,
        Some("restore") => context.restore_as_root()?,
        Some("save") => context.save()?,
        _ => context.install()?,
    }
    Ok(Exit::Done)
}

fn mask_tokens(inputs: &inputs::Inputs, ui: &Ui) {
    for token in [&inputs.access_tokens, &inputs.github_token].into_iter().flatten() {
        ui.mask(token);
    }
    // A log can contain the token of a single host.
    let tokens = inputs.access_tokens.as_ref().map(toolkit::Secret::expose).unwrap_or_default();
    for token in tokens.split_whitespace().filter_map(|item| Some(item.split_once('=')?.1)) {
        // `PAT:…` and `OAuth2:…` name the kind of a token (Nix manual, "access-tokens").
        let plain = token.split_once(':').map_or(token, |(_, plain)| plain);
        for token in [token, plain].iter().filter(|token| !token.is_empty()) {
            ui.mask(&toolkit::Secret::new(*token));
        }
    }
}

/// Creates the cache directory. If it is unusable, turns the cache off: that must not fail the
/// job.
fn use_cache_dir(plan: &mut plan::Plan, inputs: &mut inputs::Inputs, ui: &Ui) -> Result<(), Error> {
    let Err(error) = cache::Cache::new(&plan.cache_dir, &inputs.state).create() else { return Ok(()) };
    let why = format!("cannot use the cache directory: {}", toolkit::error_chain(&error));
    ui.warning(&why);
    plan.cache = CacheMode::Off;
    plan.cache_off_reason = Some(why);
    plan.cache_dir = inputs::create_last_resort()?;
    // The runner's directory for this job stays usable, and its files must not mix with those of
    // other jobs of this user.
    let beside = inputs.state == inputs.cache_dir.with_extension("state");
    if beside || std::fs::create_dir_all(&inputs.state).is_err() {
        inputs.state = plan.cache_dir.with_extension("state");
    }
    Ok(())
}
