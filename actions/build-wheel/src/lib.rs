//! Builds a portable wheel (or a source distribution) and proves that it runs
//! on a machine without Nix.

mod backend;
mod error;
mod facts;
mod inputs;
mod isolation;
pub mod plan;
pub mod repair;
mod report;
mod reproduce;
mod run;
mod sdist;
mod smoke;
pub mod target;

use toolkit::{Exit, Invocation, Ui};

pub use error::Error;
pub use inputs::SPEC;

/// The whole action.
pub fn run(invocation: &Invocation, ui: &Ui) -> Result<Exit, Error> {
    let inputs = inputs::Inputs::read(&invocation.env)?;
    let facts = facts::Facts::gather(&inputs, &invocation.env, ui)?;
    let plan = plan::plan(&inputs, &facts)?;
    if inputs.dry_run {
        ui.report(serde_json::to_string_pretty(&plan).unwrap_or_default());
        return Ok(Exit::Done);
    }
    ui.info(format!("backend {}: {}", backend_name(&plan), plan.why));
    let ports = run::Ports { ui, env: &invocation.env };
    let outcome = run::run(&plan, &ports)?;
    report::report(&plan, &outcome, ui)?;
    Ok(Exit::Done)
}

fn backend_name(plan: &plan::Plan) -> &'static str {
    match plan.backend {
        inputs::Backend::Maturin => "maturin",
        inputs::Backend::Nix => "nix",
        inputs::Backend::Wheel => "wheel",
        inputs::Backend::Sdist => "sdist",
    }
}
