//! The command line: every command is a thin client of the internal API, or works offline.
//!
//! Eight of them never ask the internal API: `guard`, `token inspect`, `token verify`, `config`,
//! `plan --offline`, `master-key replace`, `restore` and `store copy`. `token consume` and `signals` call endpoints of
//! the public listener, as other systems do. What a command answers goes to standard output,
//! alone, so that it can be captured; remarks and errors go to standard error. `--json` passes the server's answer on as
//! it is, indented; an error then appears as the server's problem document, or as an object with
//! `code` and `detail` when no server was asked.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 wrong usage.

mod apply;
mod approvals;
mod arguments;
mod audit;
mod backup;
mod canary;
mod client;
mod clients;
mod clock;
mod completions;
mod config_command;
mod connection;
mod console;
mod examples;
mod failure;
mod grants;
mod guard;
mod input;
mod irreversible;
mod issuer_endpoint;
mod issuers;
mod json_text;
mod keys;
mod man;
mod master_key;
mod moment;
mod output;
mod plan;
mod register;
mod repetition;
mod replicas;
mod restore;
mod revocations;
mod serve;
mod session;
mod short_names;
mod signals;
mod status;
mod store;
mod table;
mod tls;
mod token;
mod usage;
mod verifiers;
mod webhooks;
mod whole_file;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::clock::Clock;
use crate::config::{InternalListenAddress, ListenAddress};
use crate::lifecycle::Timestamp;
use connection::ConnectionArguments;
use failure::Failure;
use output::{Format, Output};
use session::Session;

/// Makes, rotates and publishes the keys behind JSON Web Tokens.
///
/// Without a command it runs the service, like `keywright serve`.
#[derive(Parser)]
#[command(name = "keywright", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: GlobalArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Global options")]
struct GlobalArguments {
    /// Answer with JSON; times are Unix seconds.
    #[arg(long, global = true, hide_short_help = true)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
    /// The time to go by instead of the machine's clock, in Unix seconds.
    #[arg(long, global = true, hide = true, value_name = "UNIX_SECONDS")]
    now: Option<u64>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run the service.
    Serve(ServeArguments),
    /// Verify tokens for gateways: nginx, Envoy, Traefik.
    Guard(guard::Arguments),
    /// Show and delete issuers, and set their policies.
    #[command(subcommand)]
    Issuers(issuers::Command),
    /// Show the issuers, their next rotations, what waits, the replicas, and what is wrong.
    Status,
    /// Find, show, rotate, revoke and import signing keys.
    Keys(keys::Arguments),
    /// Show who fetches an issuer's key set, and which one each verifier has.
    Verifiers(verifiers::Arguments),
    /// Sign, decode and verify tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// Refuse the tokens of a subject, and sign none from now on.
    Ban(revocations::BanArguments),
    /// Sign tokens for a banned subject again. Its earlier tokens stay refused.
    Unban(revocations::UnbanArguments),
    /// Refuse the tokens of a session, or of a subject everywhere. The next login is good.
    Logout(revocations::LogoutArguments),
    /// Show which tokens were taken back.
    Revocations(revocations::Arguments),
    /// Tell an issuer of its users as another system would: log them out, disable their accounts.
    #[command(subcommand)]
    Signals(signals::Command),
    /// Show and end grants: sessions whose tokens are renewed.
    #[command(subcommand)]
    Grants(grants::Command),
    /// Show what will happen to an issuer's keys, and when.
    Plan(plan::Arguments),
    /// Make issuers and clients what files declare, or check that they are.
    Apply(apply::Arguments),
    /// Manage clients: their roles, limits and credentials.
    #[command(subcommand)]
    Clients(clients::Command),
    /// Confirm what a second person must agree to.
    #[command(subcommand)]
    Approvals(approvals::Command),
    /// Manage webhooks: who is told of bans, revoked keys, late rotations and more.
    #[command(subcommand)]
    Webhooks(webhooks::Command),
    /// Say that the clock was wrong.
    #[command(subcommand)]
    Clock(clock::Command),
    /// Show, rotate and replace the key that seals private keys.
    #[command(subcommand)]
    MasterKey(master_key::Command),
    /// Show who did what.
    Audit(audit::Arguments),
    /// Write everything that the service has into one sealed file, while it serves.
    Backup(backup::Arguments),
    /// Take back the key that signs a share of the tokens.
    Canary(canary::Arguments),
    /// Export the state of every key, without secrets, for a later restore.
    #[command(subcommand)]
    Register(register::Command),
    /// Restore a store from a backup. Keys revoked since the backup stay revoked.
    Restore(restore::Arguments),
    /// Copy a store while no service uses it.
    #[command(subcommand)]
    Store(store::Command),
    /// Open the console in a browser, signed in.
    Console(console::Arguments),
    /// Show the processes that share the store.
    Replicas,
    /// Check and print configuration, and check policies before they are set.
    #[command(subcommand)]
    Config(config_command::Command),
    /// Print a completion script for a shell.
    Completions(completions::Arguments),
    /// Print the manual page, or write those of all commands.
    Man(man::Arguments),
}

/// What `keywright serve` was asked to do. Whatever is absent comes from the environment, the
/// configuration file or the defaults, in this order.
#[derive(clap::Args, Debug, Default, Clone)]
pub struct ServeArguments {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Start with an empty store, even if there are signs of an earlier one.
    #[arg(long)]
    pub new: bool,
    /// Where to publish keys, as IP:PORT or NAME:PORT; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub public_listen: Option<ListenAddress>,
    /// Where to listen for signing and administration, as IP:PORT, NAME:PORT or unix:PATH; port 0 takes
    /// a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub internal_listen: Option<InternalListenAddress>,
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let cli = match arguments::parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage::explain(&error, &arguments),
    };
    let GlobalArguments {
        json,
        connection,
        now,
    } = cli.global;
    let now = now.map_or_else(|| Clock::system().now(), Timestamp::from_seconds);
    let format = if json { Format::Json } else { Format::People };
    let mut session = Session {
        output: Output::new(format),
        now,
        connection,
    };
    let command = cli
        .command
        .unwrap_or(Command::Serve(ServeArguments::default()));
    let outcome = dispatch(command, &mut session).and_then(|()| session.output.flush());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => session.output.report(&failure),
    }
}

fn dispatch(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Serve(arguments) => {
            let data_dir = session.connection.data_dir.clone();
            serve::serve(arguments, data_dir).map_err(Failure::Service)
        }
        Command::Guard(arguments) => guard::run(arguments, &session.connection.tls),
        Command::Status => status::run(session),
        Command::Issuers(command) => issuers::run(command, session),
        Command::Keys(arguments) => keys::run(arguments, session),
        Command::Verifiers(arguments) => verifiers::run(&arguments, session),
        Command::Token(command) => token::run(command, session),
        Command::Ban(arguments) => revocations::ban(arguments, session),
        Command::Unban(arguments) => revocations::unban(arguments, session),
        Command::Logout(arguments) => revocations::logout(arguments, session),
        Command::Revocations(arguments) => revocations::run(arguments, session),
        Command::Grants(command) => grants::run(&command, session),
        Command::Plan(arguments) => plan::run(&arguments, session),
        Command::Apply(arguments) => apply::run(&arguments, session),
        Command::Clients(command) => clients::run(command, session),
        Command::Approvals(command) => approvals::run(command, session),
        Command::Webhooks(command) => webhooks::run(command, session),
        Command::Signals(command) => signals::run(command, session),
        Command::Clock(command) => clock::run(&command, session),
        Command::MasterKey(command) => master_key::run(command, session),
        Command::Audit(arguments) => audit::run(&arguments, session),
        Command::Backup(arguments) => backup::run(&arguments, session),
        Command::Canary(arguments) => canary::run(arguments, session),
        Command::Register(command) => register::run(&command, session),
        Command::Restore(arguments) => restore::run(arguments, session),
        Command::Store(command) => store::run(&command, session),
        Command::Console(arguments) => console::run(&arguments, session),
        Command::Replicas => replicas::run(session),
        Command::Config(command) => config_command::run(command, session),
        Command::Completions(arguments) => completions::run(&arguments, session),
        Command::Man(arguments) => man::run(&arguments, session),
    }
}
