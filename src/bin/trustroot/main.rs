//! The `trustroot` command: parses, runs, reports. What it does is in the library and in `commands`.

mod args;
mod asked;
mod commands;
mod config;
mod freshness;
mod html;
mod icalendar;
mod keys;
mod markdown;
mod output;
mod period;
mod progress;
mod qr;
mod registered;
mod report;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, CeremonyCommand, Command, Format};
use report::{Outcome, Report};
use ui::Session;

fn main() -> ExitCode {
    report::install_panic_hook();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return report::usage(&error),
    };
    let format = args.global.format;
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => report.print(format),
    }
}

/// Whether a command has a result for the comment on a forge.
fn has_markdown(command: &Command) -> bool {
    matches!(command, Command::Ceremony(CeremonyCommand::Status(_)))
}

fn run(args: Args) -> Result<(), Report> {
    if args.global.format == Format::Markdown && !has_markdown(&args.command) {
        return Err(Report::new(Outcome::WrongQuestion, "no-markdown", "this command has no result in Markdown")
            .still("nothing was done")
            .hint("`trustroot ceremony status --format markdown` is the comment of a signing event")
            .hint("elsewhere say `--format text` or `--format json`"));
    }
    let session = Session::begin(args.global);
    match args.command {
        Command::Trust(command) => commands::trust::run(&session, command),
        Command::Refresh(options) => commands::refresh::run(&session, &options),
        Command::Status(options) => commands::status::run(&session, &options),
        Command::Changes(options) => commands::changes::run(&session, &options),
        Command::Get(options) => commands::get::run(&session, &options),
        Command::Lookup(options) => commands::lookup::run(&session, &options),
        Command::Verify(options) => commands::verify::run(&session, &options),
        Command::Bundle(command) => commands::bundle::run(&session, command),
        Command::Inspect(options) => commands::inspect::run(&session, &options),
        Command::Init(options) => commands::init::run(&session, &options),
        Command::Import(options) => commands::import::run(&session, &options),
        Command::Namespace(command) => commands::namespace::run(&session, command),
        Command::Builder(command) => commands::builder::run(&session, command),
        Command::Ceremony(command) => commands::ceremony::run(&session, command),
        Command::Publish(options) => commands::publish::run(&session, &options),
        Command::Serve(options) => commands::serve::run(&session, &options),
        Command::Check(options) => commands::check::run(&session, &options),
        Command::Key(command) => commands::key::run(&session, command),
        Command::Completions { shell } => commands::completions::run(shell),
    }
}
