//! `keywright ban`, `unban`, `logout`, `token revoke` and `revocations`: tokens that are taken back.

mod told;

use std::time::Duration;

use keywright_api::{
    Ban, BanEnd, InForceAtVerifiers, Nullable, Revocation, RevocationInForce, RevocationState,
    Revocations, UnixSeconds,
};
use keywright_verifier::Algorithm;
use serde_json::{Map, Value, json};

use super::client::{Client, segment};
use super::failure::Failure;
use super::irreversible::{Consent, Irreversible};
use super::json_text::printable;
use super::moment::InstantArgument;
use super::repetition::is_refused_with;
use super::session::Session;
use super::table::columns;
use super::whole_file;
use crate::clock::{Clock, Stopwatch};
use crate::lifecycle::IssuerName;
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
    list: ListArguments,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show one revocation, and from when on it is in force where.
    Show(ShowArguments),
    /// Take back every token of an issuer: everyone has to log in anew.
    Everything(EverythingArguments),
    /// Write what is revoked to a file, for verifiers that cannot reach the service.
    File(FileArguments),
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

#[derive(clap::Args)]
struct ListArguments {
    /// Only those of this subject.
    #[arg(long, value_name = "SUB")]
    subject: Option<String>,
    #[command(flatten)]
    selector: SelectorArguments,
    /// Only those of this token.
    #[arg(long, value_name = "JTI")]
    jti: Option<String>,
    /// Only those of the whole issuer.
    #[arg(long, conflicts_with_all = ["subject", "session", "client", "audience", "jti"])]
    whole_issuer: bool,
    /// Also those from which nothing follows any more and that are not deleted yet.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    of: OfIssuer,
}

impl SelectorArguments {
    /// The members of a request, with the subject if there is one.
    fn members(&self, subject: Option<&str>) -> Map<String, Value> {
        let members = [
            ("subject", subject),
            ("session", self.session.as_deref()),
            ("client", self.client.as_deref()),
            ("audience", self.audience.as_deref()),
        ];
        let given = members
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        given
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect()
    }
}

fn path(issuer: &IssuerName) -> String {
    format!("/v1/issuers/{issuer}/revocations")
}

pub(super) fn ban(arguments: BanArguments, session: &mut Session) -> Result<(), Failure> {
    let BanArguments {
        subject,
        selector,
        until,
        how,
        consent,
    } = arguments;
    let mut body = selector.members(subject.as_deref());
    if body.is_empty() {
        let usage = "say whom to ban: a subject, or --session, --client or --audience";
        return Err(Failure::Usage(usage.to_owned()));
    }
    if subject.is_none()
        && let Some(wide) = selector.audience.as_ref().or(selector.client.as_ref())
    {
        let step = Irreversible {
            consequence: format!("every token that {wide} has or gets is refused, whoever uses it"),
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

pub(super) fn unban(arguments: &UnbanArguments, session: &mut Session) -> Result<(), Failure> {
    let (client, issuer) = (session.client()?, &arguments.of.issuer);
    if let Some(id) = &arguments.id {
        client.delete(&format!("{}/{}", path(issuer), segment(id)))?;
        return told_of_lifting(session, &format!("revocation {}", printable(id)));
    }
    let members = arguments.selector.members(arguments.subject.as_deref());
    if members.is_empty() {
        let usage = "say whose ban to lift: a subject, or --session, --client, --audience or --id";
        return Err(Failure::Usage(usage.to_owned()));
    }
    let banned = all(&client, issuer, &members, true)?;
    let now = Clock::system().now().floor_seconds();
    let banned: Vec<&Revocation> = banned.iter().filter(|one| holds(one.ban, now)).collect();
    for revocation in &banned {
        let lifted = client.delete(&format!("{}/{}", path(issuer), segment(&revocation.id)));
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
    let body = selector.members(arguments.subject.as_deref());
    take_back(&arguments.how, body, session)
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
        None => list(&arguments.list, session),
        Some(Command::Show(ShowArguments { id, of })) => {
            let place = format!("{}/{}", path(&of.issuer), segment(&id));
            let answer = session.client()?.read(&place)?;
            let now = session.now.floor_seconds();
            session
                .output
                .show(&answer, |shown: RevocationInForce, output| {
                    output.line(told(&shown, now))
                })
        }
        Some(Command::File(arguments)) => file(&arguments, session),
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
    let parameters = [
        ("max_age", arguments.max_age.as_deref()),
        ("alg", arguments.alg.map(Algorithm::as_str)),
    ];
    let given = parameters
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", segment(value?))));
    let query: Vec<String> = given.collect();
    let place = format!("{}/file?{}", path(&arguments.of.issuer), query.join("&"));
    let (document, url) = session.client()?.stream(&place)?;
    whole_file::save(
        arguments.output.as_deref(),
        document,
        &url,
        &mut session.output,
    )
}

/// Whether a ban keeps tokens from being signed.
fn holds(ban: Option<Ban>, now: u64) -> bool {
    match ban {
        None => false,
        Some(Ban::UntilLifted(is_banned)) => is_banned,
        Some(Ban::Until(BanEnd { until })) => now < until.0,
    }
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
    let mut answer = client.post(&path(&how.of.issuer), &Value::Object(body))?;
    if how.wait {
        let (clock, begin) = (Clock::system(), Stopwatch::start());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        loop {
            let shown: RevocationInForce = answer.parse()?;
            if is_in_force(&shown) {
                break;
            }
            if begin.elapsed() > LONGEST_WAIT {
                let detail = "it is done, and not in force everywhere yet: see `revocations show`";
                return Err(Failure::rejected("not-in-force-yet", detail));
            }
            runtime.block_on(clock.sleep(ASK_EVERY));
            let id = segment(&shown.revocation.id);
            answer = client.read(&format!("{}/{id}", path(&how.of.issuer)))?;
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

/// Every revocation of these members, page by page.
fn all(
    client: &Client,
    issuer: &IssuerName,
    members: &Map<String, Value>,
    live: bool,
) -> Result<Vec<Revocation>, Failure> {
    let mut query = format!("?limit=1000&live={live}");
    for (name, value) in members {
        let value = segment(value.as_str().unwrap_or_default());
        query.push_str(&format!("&{name}={value}"));
    }
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = client.read(&format!("{}{query}{after}", path(issuer)))?;
        let page: Revocations = page.parse()?;
        found.extend(page.revocations);
        match page.next {
            Nullable::Value(next) => after = format!("&after={}", segment(&next)),
            Nullable::Null => return Ok(found),
        }
    }
}

fn list(arguments: &ListArguments, session: &mut Session) -> Result<(), Failure> {
    let mut members = arguments.selector.members(arguments.subject.as_deref());
    if let Some(jti) = &arguments.jti {
        members.insert("jti".to_owned(), jti.as_str().into());
    }
    if arguments.whole_issuer {
        members.insert("issuer".to_owned(), "true".into());
    }
    let found = all(
        &session.client()?,
        &arguments.of.issuer,
        &members,
        !arguments.all,
    )?;
    let now = session.now.floor_seconds();
    if session.output.is_json() {
        let document = json!({ "revocations": found });
        return session
            .output
            .line(super::json_text::indented(&document.to_string()));
    }
    let rows = found.into_iter().map(|revocation| {
        let ban = match revocation.ban {
            None | Some(Ban::UntilLifted(false)) => String::new(),
            ban if !holds(ban, now) => "ended".to_owned(),
            Some(Ban::UntilLifted(true)) => "until lifted".to_owned(),
            Some(Ban::Until(BanEnd { until })) => super::moment::seen_from(now, until.0),
        };
        let refuses = match revocation.issued_before {
            Some(UnixSeconds(before)) => super::moment::rfc3339(before),
            None => "open".to_owned(),
        };
        [
            named(&revocation.selector),
            refuses,
            ban,
            revocation.id,
            revocation.reason.unwrap_or_default(),
        ]
    });
    let headings = ["tokens of", "issued before", "ban", "id", "reason"];
    session.output.line(columns(headings, rows))
}
