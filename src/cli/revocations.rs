//! `keywright ban`, `unban`, `logout`, `token revoke` and `revocations`: tokens that are taken back.

mod list;
mod told;

use std::time::Duration;

use keywright_api::{
    InForceAtVerifiers, Nullable, Revocation, RevocationInForce, RevocationSelector,
    RevocationState, UnixSeconds,
};
use keywright_client::RevocationFilter;
use keywright_verifier::Algorithm;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::irreversible::{Consent, Irreversible};
use super::json_text::{members, printable};
use super::moment::InstantArgument;
use super::repetition::is_refused_with;
use super::session::Session;
use super::whole_file;
use crate::clock::{Clock, Stopwatch};
use crate::lifecycle::IssuerName;
use list::{all, holds};
use told::{named, told};

/// The issuer whose tokens are meant.
#[derive(clap::Args)]
struct OfIssuer {
    /// The issuer of the tokens.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "default",
        value_parser = IssuerName::parse
    )]
    issuer: IssuerName,
}

/// Which tokens are meant.
#[derive(clap::Args)]
struct SelectorArguments {
    /// Tokens of this session, by sid.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Tokens that this OAuth client got, by client_id.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Tokens for this audience.
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct BanArguments {
    /// Whose tokens: their sub, or that of an actor in them.
    subject: Option<String>,
    #[command(flatten)]
    selector: SelectorArguments,
    /// When the ban ends: 2h (from now), an instant or Unix seconds [default: when it is lifted].
    #[arg(long, value_name = "TIME")]
    until: Option<InstantArgument>,
    #[command(flatten)]
    how: HowArguments,
    #[command(flatten)]
    consent: Consent,
}

#[derive(clap::Args)]
pub(super) struct UnbanArguments {
    /// Whose tokens.
    subject: Option<String>,
    #[command(flatten)]
    selector: SelectorArguments,
    /// This one ban alone, by the identifier of its revocation.
    #[arg(long, value_name = "ID", conflicts_with_all = ["subject", "session", "client", "audience"])]
    id: Option<String>,
    #[command(flatten)]
    of: OfIssuer,
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(super) struct LogoutArguments {
    /// Only this session, by sid.
    #[arg(long, value_name = "ID", group = "what")]
    session: Option<String>,
    /// Everywhere: every token of this subject.
    #[arg(long, value_name = "SUB", group = "what")]
    subject: Option<String>,
    #[command(flatten)]
    how: HowArguments,
}

#[derive(clap::Args)]
pub(super) struct TokenArguments {
    /// A token, or its jti. Better - for standard input: an argument is seen by other users of the
    /// machine, and stays in the shell's history.
    #[arg(value_name = "TOKEN|JTI", allow_hyphen_values = true)]
    what: String,
    #[command(flatten)]
    how: HowArguments,
}

/// How tokens are taken back.
#[derive(clap::Args)]
struct HowArguments {
    #[command(flatten)]
    of: OfIssuer,
    /// Why; stays with the revocation and goes into the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// End when verifiers that follow the feed can be expected to know.
    #[arg(long)]
    wait: bool,
}

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: list::Arguments,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show one revocation, and from when on it is in force where.
    Show(ShowArguments),
    /// Take back every token of an issuer: everyone has to log in anew.
    Everything(EverythingArguments),
    /// Write what is revoked to a file, for verifiers that cannot reach the service.
    File(FileArguments),
    /// Erase what a revocation says of people; its tokens stay refused.
    Erase(EraseArguments),
}

#[derive(clap::Args)]
struct ShowArguments {
    /// Its identifier.
    id: String,
    #[command(flatten)]
    of: OfIssuer,
}

#[derive(clap::Args)]
struct EverythingArguments {
    #[command(flatten)]
    how: HowArguments,
    #[command(flatten)]
    consent: Consent,
}

#[derive(clap::Args)]
struct EraseArguments {
    /// Its identifier.
    id: String,
    #[command(flatten)]
    of: OfIssuer,
    #[command(flatten)]
    consent: Consent,
}

#[derive(clap::Args)]
struct FileArguments {
    /// Where to write it, whole or not at all; - is standard output [default: -].
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
    /// For how long verifiers accept tokens by it: 1m to 366d [default: 24h].
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,
    /// The algorithm: ES256 or RS256 [default: the policy's].
    #[arg(long, value_name = "ALG")]
    alg: Option<Algorithm>,
    #[command(flatten)]
    of: OfIssuer,
}

impl SelectorArguments {
    /// Which tokens are meant, with the subject if there is one.
    fn with_subject(self, subject: Option<String>) -> RevocationSelector {
        RevocationSelector {
            subject,
            session: self.session,
            client: self.client,
            audience: self.audience,
            ..RevocationSelector::default()
        }
    }
}

pub(super) fn ban(arguments: BanArguments, session: &mut Session) -> Result<(), Failure> {
    let BanArguments {
        subject,
        selector,
        until,
        how,
        consent,
    } = arguments;
    let selector = selector.with_subject(subject);
    let mut body = members(&selector);
    if body.is_empty() {
        let usage = "say whom to ban: a subject, or --session, --client or --audience";
        return Err(Failure::Usage(usage.to_owned()));
    }
    if selector.subject.is_none()
        && let Some(wide) = selector.audience.as_ref().or(selector.client.as_ref())
    {
        let step = Irreversible {
            consequence: format!("every token that {wide} has or gets is refused, for every user"),
            word: wide,
        };
        consent.require(&step, session)?;
    }
    let ban = match until {
        None => Value::Bool(true),
        Some(InstantArgument::Ago(ahead)) => {
            json!({"until": session.now.after(ahead).ceil_seconds()})
        }
        Some(InstantArgument::At(until)) => json!({"until": until.ceil_seconds()}),
    };
    body.insert("ban".to_owned(), ban);
    take_back(&how, body, session)
}

pub(super) fn unban(arguments: UnbanArguments, session: &mut Session) -> Result<(), Failure> {
    let (client, issuer) = (session.client()?, &arguments.of.issuer);
    if let Some(id) = &arguments.id {
        client.wait(client.lift_ban(issuer, id))?;
        return told_of_lifting(session, &format!("revocation {}", printable(id)));
    }
    let selector = arguments.selector.with_subject(arguments.subject);
    if selector == RevocationSelector::default() {
        let usage = "say whose ban to lift: a subject, or --session, --client, --audience or --id";
        return Err(Failure::Usage(usage.to_owned()));
    }
    let filter = RevocationFilter {
        selector,
        is_live: Some(true),
    };
    let banned = all(&client, issuer, &filter)?;
    let now = Clock::system().now().floor_seconds();
    let banned: Vec<&Revocation> = banned.iter().filter(|one| holds(one.ban, now)).collect();
    for revocation in &banned {
        let lifted = client.wait(client.lift_ban(issuer, &revocation.id));
        // Another one was faster, or its time has just come.
        let is_over = |failure: &Failure| {
            ["not-a-ban", "unknown-revocation"]
                .iter()
                .any(|code| is_refused_with(failure, code))
        };
        match lifted {
            Err(failure) if is_over(&failure) => {}
            lifted => drop(lifted?),
        }
    }
    match banned.first() {
        Some(first) => told_of_lifting(session, &named(&first.selector)),
        None if session.output.is_json() => Ok(()),
        None => session.output.line("nothing was banned"),
    }
}

fn told_of_lifting(session: &mut Session, what: &str) -> Result<(), Failure> {
    if session.output.is_json() {
        return Ok(());
    }
    session.output.line(format_args!(
        "{what}: the ban is lifted; tokens from before stay refused, and other bans still hold"
    ))
}

pub(super) fn logout(arguments: LogoutArguments, session: &mut Session) -> Result<(), Failure> {
    let selector = SelectorArguments {
        session: arguments.session,
        client: None,
        audience: None,
    };
    let selector = selector.with_subject(arguments.subject);
    take_back(&arguments.how, members(&selector), session)
}

pub(super) fn token(arguments: &TokenArguments, session: &mut Session) -> Result<(), Failure> {
    let text = super::token::read_token(&arguments.what)?;
    let member = match text.matches('.').count() {
        2 => "token",
        _ => "jti",
    };
    let body = Map::from_iter([(member.to_owned(), text.as_str().into())]);
    take_back(&arguments.how, body, session)
}

pub(super) fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    match arguments.command {
        None => list::run(arguments.list, session),
        Some(Command::Show(ShowArguments { id, of })) => {
            let client = session.client()?;
            let answer = client.wait(client.read_revocation(&of.issuer, &id))?;
            let now = session.now.floor_seconds();
            session
                .output
                .show(&answer, |shown: RevocationInForce, output| {
                    output.line(told(&shown, now))
                })
        }
        Some(Command::File(arguments)) => file(&arguments, session),
        Some(Command::Erase(EraseArguments { id, of, consent })) => {
            let step = Irreversible {
                consequence: "keywright can no longer show whose tokens it takes back".to_owned(),
                word: &id,
            };
            consent.require(&step, session)?;
            let client = session.client()?;
            let answer = client.wait(client.erase_revocation(&of.issuer, &id))?;
            let now = session.now.floor_seconds();
            session
                .output
                .show(&answer, |shown: RevocationInForce, output| {
                    output.line(told(&shown, now))
                })
        }
        Some(Command::Everything(EverythingArguments { how, consent })) => {
            let step = Irreversible {
                consequence: format!(
                    "every token of issuer {} is refused, and nothing is signed for a second or two",
                    how.of.issuer
                ),
                word: how.of.issuer.as_str(),
            };
            consent.require(&step, session)?;
            let body = Map::from_iter([("issuer".to_owned(), Value::Bool(true))]);
            take_back(&how, body, session)
        }
    }
}

fn file(arguments: &FileArguments, session: &mut Session) -> Result<(), Failure> {
    let FileArguments {
        of,
        max_age,
        alg,
        output,
    } = arguments;
    let client = session.client()?;
    let document =
        client.stream(client.read_revocation_file(&of.issuer, max_age.as_deref(), *alg))?;
    whole_file::save(output.as_deref(), document, &mut session.output)
}

/// How often it is asked whether a revocation is in force.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// For how long.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

fn take_back(
    how: &HowArguments,
    mut body: Map<String, Value>,
    session: &mut Session,
) -> Result<(), Failure> {
    if let Some(reason) = &how.reason {
        body.insert("reason".to_owned(), reason.as_str().into());
    }
    let client = session.client()?;
    let mut answer = client.wait(client.revoke_tokens(&how.of.issuer, &body))?;
    if how.wait {
        let (clock, begin) = (Clock::system(), Stopwatch::start());
        loop {
            let shown = answer.read()?;
            if is_in_force(&shown) {
                break;
            }
            if begin.elapsed() > LONGEST_WAIT {
                let detail = "it is done, and not in force everywhere yet: see `revocations show`";
                return Err(Failure::rejected("not-in-force-yet", detail));
            }
            client.pause(&clock, ASK_EVERY);
            let id = &shown.revocation.id;
            answer = client.wait(client.read_revocation(&how.of.issuer, id))?;
        }
    }
    let now = match how.wait {
        true => Clock::system().now().floor_seconds(),
        false => session.now.floor_seconds(),
    };
    session
        .output
        .show(&answer, |shown: RevocationInForce, output| {
            output.line(told(&shown, now))
        })
}

fn is_in_force(shown: &RevocationInForce) -> bool {
    let at = match shown.in_force_at_verifiers {
        Nullable::Value(InForceAtVerifiers { expected, .. }) => expected,
        Nullable::Null => shown.in_force_at_signers,
    };
    let now = UnixSeconds(Clock::system().now().floor_seconds());
    shown.revocation.state == RevocationState::Closed && now >= at
}
