//! What cannot be undone is asked about first: one rule for every such command.
//!
//! On a terminal the user types what is lost, and anything else stops the command. Elsewhere
//! nothing waits for an answer: without `--yes` the command ends with exit code 2.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _};

use super::failure::Failure;
use super::json_text::printable;
use super::session::Session;

#[derive(clap::Args)]
pub(super) struct Consent {
    /// Do it without asking, although it cannot be undone.
    #[arg(long)]
    yes: bool,
}

/// A step that cannot be undone.
pub(super) struct Irreversible<'a> {
    /// What it does, as a sentence without its period.
    pub(super) consequence: String,
    /// What the user types to agree: the name of what is lost, or `yes`.
    pub(super) word: &'a str,
}

impl Consent {
    /// Whether `--yes` was given.
    pub(super) fn is_given(&self) -> bool {
        self.yes
    }

    /// Asks, unless `--yes` was given.
    pub(super) fn require(
        &self,
        step: &Irreversible<'_>,
        session: &mut Session,
    ) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        let consequence = printable(&step.consequence);
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Failure::Usage(format!(
                "this cannot be undone: {consequence}. There is no terminal to ask on: add --yes \
                 to do it"
            )));
        }
        let mut question = format!("This cannot be undone: {consequence}.\n");
        // Writing to a string does not fail.
        let _ = write!(question, "Type {} to continue:", printable(step.word));
        session.output.note(question)?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if answer.trim() == step.word.trim() {
            return Ok(());
        }
        Err(Failure::rejected(
            "not-confirmed",
            "the answer was another one: nothing was changed",
        ))
    }
}
