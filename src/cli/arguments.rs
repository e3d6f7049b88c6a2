//! The arguments of the process, as strictly as every flag alone is read.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _};

use super::Cli;

/// Every command, with its examples.
pub(super) fn command() -> Command {
    super::examples::added_to(Cli::command())
}

/// Reads the arguments. A variable that is set and empty is not set.
pub(super) fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = command().mut_args(|argument| {
        let is_empty = |name| std::env::var_os(name).is_some_and(|value| value.is_empty());
        match argument.get_env() {
            Some(name) if is_empty(name) => argument.env(None),
            _ => argument,
        }
    });
    refuse_repetition(&command, arguments)?;
    let matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// clap refuses a flag that comes twice, but not a global one that comes once before a command and
/// once after it: the last one would win. So each command gets global flags of its own for once.
fn refuse_repetition(command: &Command, arguments: &[OsString]) -> Result<(), clap::Error> {
    let global = command.get_arguments().filter(|one| one.is_global_set());
    let own = |argument: Arg| argument.global(false).env(None);
    let copies: Vec<Arg> = global.cloned().map(own).collect();
    let mut separate = command
        .clone()
        .mut_args(own)
        .mut_subcommands(|command| with_arguments(command, &copies));
    // What else is wrong is said when the arguments are read.
    let Ok(matches) = separate.try_get_matches_from_mut(arguments) else {
        return Ok(());
    };
    let mut seen = BTreeSet::new();
    let mut level = Some((&separate, &matches));
    while let Some((command, matches)) = level {
        for argument in command.get_arguments() {
            let is_copy = |copy: &Arg| copy.get_long() == argument.get_long();
            let id = argument.get_id().as_str();
            let is_given = matches.value_source(id) == Some(ValueSource::CommandLine);
            if copies.iter().any(is_copy) && is_given && !seen.insert(id) {
                let mut error = clap::Error::new(ErrorKind::ArgumentConflict).with_cmd(command);
                let name = ContextValue::String(argument.to_string());
                error.insert(ContextKind::InvalidArg, name.clone());
                error.insert(ContextKind::PriorArg, name);
                return Err(error);
            }
        }
        level = matches
            .subcommand()
            .and_then(|(name, matches)| Some((command.find_subcommand(name)?, matches)));
    }
    Ok(())
}

/// The arguments but for those whose name the command has for one of its own, as clap does it.
fn with_arguments(command: Command, copies: &[Arg]) -> Command {
    let own: BTreeSet<_> = command.get_arguments().map(Arg::get_id).cloned().collect();
    let missing = copies.iter().filter(|copy| !own.contains(copy.get_id()));
    command
        .args(missing)
        .args_conflicts_with_subcommands(false)
        .mut_subcommands(|command| with_arguments(command, copies))
}
