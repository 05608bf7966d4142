//! Builds a portable wheel (or a source distribution) and proves that it runs
//! on a machine without Nix.

mod backend;
mod build_result;
pub mod build_target;
mod choices;
mod compatibility;
mod compiler_flags;
mod environment;
mod error;
mod files;
mod gate;
mod host;
mod init;
mod inputs;
mod interpreter;
mod isolation;
pub mod plan;
pub mod repair;
mod report;
mod reproduce;
mod run;
mod runtime;
mod sanitize;
mod sdist;
mod search_path;
mod smoke;

use toolkit::{Choice as _, Exit, Invocation, Ui};

pub use compatibility::Compatibility;
pub use error::Error;
pub use inputs::SPEC;

/// Runs the action.
pub fn run(invocation: &Invocation, ui: &Ui) -> Result<Exit, Error> {
    if invocation.command == Some(init::COMMAND.name) {
        return Ok(init::run(invocation, ui)?);
    }
    let inputs = inputs::Inputs::read(&invocation.env)?;
    let machine = environment::MachineState::gather(&inputs, &invocation.env, ui)?;
    let plan = plan::plan(&inputs, &machine)?;
    if inputs.dry_run {
        ui.report(serde_json::to_string_pretty(&plan).unwrap_or_default());
        return Ok(Exit::Done);
    }
    ui.info(format!("backend {}: {}", plan.backend.word(), plan.why));
    let runtime = runtime::Runtime { ui, env: &invocation.env };
    let result = run::run(&plan, &runtime)?;
    report::report(&plan, &result, ui)?;
    Ok(Exit::Done)
}
