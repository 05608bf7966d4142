//! The project's own commands: `cargo xtask --help`.

mod actions;
mod bench;
mod book;
mod corpus;
mod error;
mod figures;
mod fuzz;
mod generate;
mod licenses;
mod lint;
mod module_cycles;
mod modules;
mod pins;
mod programs;
mod reference;
mod regions;
mod release;
mod rule_pages;
mod setup;
mod shell;
mod soak;
mod steps;
mod test;
mod tools;
mod version_bump;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use toolkit::{Env, Exit, Failure as _, Ui};

use crate::error::Error;
use crate::shell::Shell;

/// Build, test and release this repository
#[derive(Parser)]
#[command(name = "cargo xtask", version, about)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build, verify and publish htty-core and htty, and install them again
    Release(release::Args),
    /// Install the tools that the tests need, then run all but the long tests
    Test(test::Args),
    /// Run the long tests
    Soak(soak::Args),
    /// Run the tests of workflows, templates and the flake, with the long ones
    Act,
    /// Measure an action against its peers
    Bench(bench::Args),
    /// Check the standing corpus of popular files and write the findings
    Corpus(corpus::Args),
    /// Build the book: guides, reference, rules, decisions, API of htty and htty_core
    Docs(book::Args),
    /// Write generated regions and files: action.yml, README tables, docs/reference, docs/rules
    Gen(generate::Args),
    /// Run all linters
    Lint,
    /// Pack released programs into the wheel for PyPI
    PackPrograms(programs::Args),
    /// Install the tools that the tests need
    SetupTestTools,
    /// Bump the version of htty-core and htty in every file that contains it
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
        Task::Corpus(args) => corpus::run(&shell, &args),
        Task::Docs(args) => book::run(&shell, &args),
        Task::Gen(args) => generate::run(&shell, &args),
        Task::Lint => lint::run(&shell),
        Task::PackPrograms(args) => programs::run(&shell, &args),
        Task::Soak(args) => soak::run(&shell, &args),
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
