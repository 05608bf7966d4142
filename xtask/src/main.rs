//! The project's own commands: `cargo xtask --help`.

mod actions;
mod bench;
mod corpus;
mod error;
mod fuzz;
mod generate;
mod lint;
mod module_cycles;
mod modules;
mod pins;
mod regions;
mod release;
mod setup;
mod shell;
mod steps;
mod test;
mod tools;
mod version_bump;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use toolkit::{Env, Exit, Failure as _, Ui};

use crate::error::Error;
use crate::shell::Shell;

/// Builds, tests and releases this repository
#[derive(Parser)]
#[command(name = "cargo xtask", version, about)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds, verifies and publishes htty-core and htty, and installs them back
    Release(release::Args),
    /// Installs what the tests need, then runs all of them
    Test(test::Args),
    /// Runs the workflows under act: this repository's, and those of its consumers
    Act,
    /// Measures an action beside its peers
    Bench(bench::Args),
    /// Writes the API documentation of htty and htty_core
    Docs,
    /// Writes the generated parts of files: action.yml, README tables
    Gen(generate::Args),
    /// Runs every linter
    Lint,
    /// Installs what the tests need
    SetupTestTools,
    /// Raises the version of htty-core and htty in every file that names it
    VersionBump(version_bump::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let ui = Ui::from_env(&Env::from_process());
    toolkit::handle_interrupts();
    let shell = match Shell::new(&ui) {
        Ok(shell) => shell,
        Err(error) => return fail(&ui, &error),
    };
    let result = match args.task {
        Task::Release(args) => release::run(&shell, &args),
        Task::Test(args) => test::run(&shell, &args),
        Task::Act => test::act(&shell),
        Task::Bench(args) => bench::run(&shell, &args),
        Task::Docs => bench::docs(&shell),
        Task::Gen(args) => generate::run(&shell, &args),
        Task::Lint => lint::run(&shell),
        Task::VersionBump(args) => version_bump::run(&shell, &args),
        Task::SetupTestTools => setup::set_up_tests(&shell).map(|()| Exit::Done),
    };
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => fail(&ui, &error),
    }
}

fn fail(ui: &Ui, error: &Error) -> ExitCode {
    ui.error(toolkit::error_report(error));
    let exit = if toolkit::interrupted() { Exit::Interrupted } else { error.exit() };
    ExitCode::from(exit.code())
}
