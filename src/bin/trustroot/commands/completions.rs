//! `trustroot completions`

use clap::CommandFactory as _;

use crate::args::Args;
use crate::output;
use crate::report::Report;

pub(crate) fn run(shell: clap_complete::Shell) -> Result<(), Report> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "trustroot", &mut script);
    output::raw(&script)
}
