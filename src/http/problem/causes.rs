//! What went wrong inside, as the caller is told it.

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use keywright_api::{Fault, ReadError};
use keywright_verifier::json::{BodyError, FieldError, JsonError};

use super::{INSUFFICIENT, Problem};
use crate::access::{LimitBroken, TermsError};
use crate::authority::ChangeError;
use crate::authority::authentication::{EventTokenRefusal, Unauthenticated};
use crate::authority::grants::GrantError;
use crate::authority::issued_token::InvalidToken;
use crate::authority::live_tokens::LiveTokensError;
use crate::authority::revocations::FeedRefusal;
use crate::authority::signing::SignRefusal;
use crate::authority::single_use::ConsumeError;
use crate::clock::DOUBT;
use crate::engine::{ImportError, WeakKey};
use crate::event_stream::{InvalidEvent, UnsupportedSubject};
use crate::http::code::Code;
use crate::lifecycle::{PolicyError, RuleViolation};
use crate::oauth::exchange::TokenParameter;
use crate::oauth::{ExchangeRefusal, FormError, GrantRefusal, OutsideGrant};
use crate::store::StoreError;

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Json(error) => error.into(),
            BodyError::Field(error) => error.into(),
        }
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        let code = match &error {
            JsonError::DuplicateMember { .. } => Code::DuplicateMember,
            JsonError::TooDeep { .. } => Code::JsonTooDeep,
            JsonError::TooManyValues => Code::JsonTooManyValues,
            JsonError::NumberOutOfRange => Code::NumberOutOfRange,
            _ => Code::MalformedJson,
        };
        Self::new(code, error)
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        let problem = |code| Self::new(code, &error);
        match &error {
            FieldError::NotAnObject { .. } => problem(Code::NotAnObject),
            FieldError::Missing { field } => {
                problem(Code::FieldMissing).with(|problem| problem.field = Some((*field).into()))
            }
            FieldError::WrongType { field, .. } => {
                problem(Code::FieldType).with(|problem| problem.field = Some((*field).into()))
            }
            FieldError::Unknown { field, nearest } => {
                let problem =
                    problem(Code::UnknownField).with(|problem| problem.field = Some(field.clone()));
                match nearest {
                    Some(nearest) => {
                        problem.with(|problem| problem.nearest = Some((*nearest).into()))
                    }
                    None => problem,
                }
            }
            _ => problem(Code::InvalidBody),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let stands_in = |names: &[&str]| error.types.iter().any(|name| names.contains(name));
        let problem = match &error.fault {
            Fault::Field(field) => field.clone().into(),
            Fault::Rule(rule) => Self::new(code_of(&error.types), rule),
        };
        // What a part of a client's terms is refused for has one code, whatever is wrong with it.
        let problem = if stands_in(&["Limits"]) {
            problem.under(Code::InvalidLimits)
        } else if stands_in(&["CertificateRule", "WorkloadRule"]) {
            problem.under(Code::InvalidProof)
        } else {
            problem
        };
        match error.pointer.as_str() {
            "" => problem,
            pointer => problem.with(|problem| problem.pointer = Some(pointer.into())),
        }
    }
}

/// The code for a text of the right type that breaks a rule, by the names of the types around it.
fn code_of(types: &[&str]) -> Code {
    match types.last().copied() {
        Some("Algorithm") => Code::UnknownAlgorithm,
        Some("Kid") => Code::InvalidKid,
        Some("Reason") => Code::InvalidReason,
        Some("Fingerprint") => Code::InvalidFingerprint,
        Some("ImportState") => Code::InvalidState,
        Some("Role") => Code::InvalidRoles,
        _ if types
            .iter()
            .any(|name| ["Policy", "IssuerRequest"].contains(name)) =>
        {
            Code::InvalidPolicy
        }
        Some("DurationText") => Code::InvalidDuration,
        _ => Code::InvalidBody,
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Form(error) => error.into(),
            PolicyError::Url(_) => Self::new(Code::InvalidIssuerUrl, error),
            PolicyError::Schedule(_) | PolicyError::RotationKind | PolicyError::Violation(_) => {
                Self::new(Code::InvalidPolicy, error)
            }
        }
    }
}

impl From<TermsError> for Problem {
    fn from(error: TermsError) -> Self {
        let code = match error {
            TermsError::Form(error) => return error.into(),
            TermsError::Name => Code::InvalidClientName,
            TermsError::NoRole => Code::InvalidRoles,
            TermsError::Limits(_) => Code::InvalidLimits,
            TermsError::Count(_)
            | TermsError::Certificate(_)
            | TermsError::Workload(_)
            | TermsError::Keys(_)
            | TermsError::KeyCount
            | TermsError::UnusableKey(_) => Code::InvalidProof,
        };
        Self::new(code, error)
    }
}

impl From<LimitBroken> for Problem {
    fn from(broken: LimitBroken) -> Self {
        Self::limit(&broken)
    }
}

impl From<Unauthenticated> for Problem {
    fn from(reason: Unauthenticated) -> Self {
        match reason {
            Unauthenticated::Missing => Self::no_credential(),
            Unauthenticated::Invalid => Self::bad_credential(),
            Unauthenticated::TooManyFailures => Self::too_many_failures(),
            Unauthenticated::Undecidable => Self::undecidable_caller(),
            Unauthenticated::Stale => ChangeError::SnapshotStale.into(),
        }
    }
}

impl From<EventTokenRefusal> for Problem {
    fn from(refusal: EventTokenRefusal) -> Self {
        let code = match refusal {
            EventTokenRefusal::Issuer => Code::InvalidEventIssuer,
            EventTokenRefusal::Audience => Code::InvalidEventAudience,
            EventTokenRefusal::Key(_) => Code::InvalidEventKey,
            EventTokenRefusal::Token(_) => Code::InvalidEventToken,
            EventTokenRefusal::Undecidable => return Self::undecidable_caller(),
        };
        Self::new(code, refusal)
    }
}

impl From<InvalidEvent> for Problem {
    fn from(error: InvalidEvent) -> Self {
        Self::new(Code::InvalidEventToken, error)
    }
}

impl From<UnsupportedSubject> for Problem {
    fn from(error: UnsupportedSubject) -> Self {
        Self::new(Code::UnsupportedSubject, error)
    }
}

impl From<InvalidToken> for Problem {
    fn from(error: InvalidToken) -> Self {
        Self::new(Code::InvalidToken, error)
    }
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        let problem = |code| Self::new(code, &error);
        match &error {
            FormError::Malformed
            | FormError::TooMany(_)
            | FormError::TokenType(_)
            | FormError::NoObject(_) => problem(Code::InvalidBody),
            FormError::Repeated(_) => problem(Code::DuplicateMember),
            FormError::Missing(name) => {
                problem(Code::FieldMissing).with(|problem| problem.field = Some((*name).into()))
            }
        }
    }
}

impl From<GrantRefusal> for Problem {
    fn from(refusal: GrantRefusal) -> Self {
        let code = match refusal {
            GrantRefusal::Scope(_) => Code::InvalidScope,
            GrantRefusal::Target(_) | GrantRefusal::NoTarget => Code::InvalidTarget,
        };
        Self::new(code, refusal)
    }
}

impl From<ExchangeRefusal> for Problem {
    fn from(refusal: ExchangeRefusal) -> Self {
        let code = match refusal {
            ExchangeRefusal::Form(error) => return error.into(),
            ExchangeRefusal::Request(refusal) => return refusal.into(),
            ExchangeRefusal::WiderScope
            | ExchangeRefusal::NoScope
            | ExchangeRefusal::ScopeMissing => Code::InvalidScope,
            ExchangeRefusal::Token {
                parameter: TokenParameter::Actor,
                ..
            }
            | ExchangeRefusal::OtherAudience(TokenParameter::Actor) => Code::InvalidActorToken,
            ExchangeRefusal::Token { .. } => Code::InvalidSubjectToken,
            ExchangeRefusal::OtherAudience(_) | ExchangeRefusal::OtherActor => {
                Code::ExchangeNotAllowed
            }
            ExchangeRefusal::ActTooDeep(_) | ExchangeRefusal::TooManyAncestors(_) => {
                Code::ChainTooLong
            }
            ExchangeRefusal::Unproven(_) => Code::ProofRequired,
        };
        Self::new(code, refusal)
    }
}

impl From<GrantError> for Problem {
    fn from(error: GrantError) -> Self {
        let code = match error {
            GrantError::Sign(refusal) => return refusal.into(),
            GrantError::Change(error) => return error.into(),
            GrantError::TooMany(..) => {
                return Self::new(Code::TooManyGrants, error).header(RETRY_AFTER, 60);
            }
            GrantError::Unknown(_) => Code::UnknownGrant,
            GrantError::UnknownHolder => Code::InvalidGrantClient,
            GrantError::SubjectFixed => Code::GrantSubjectFixed,
            GrantError::Ended(_) | GrantError::Expired | GrantError::OpenerGone => Code::GrantEnded,
            GrantError::NeverIssued => Code::InvalidRefreshToken,
            GrantError::Reused => Code::RefreshTokenReused,
            GrantError::Unproven => Code::BindingUnproven,
            GrantError::Outside(OutsideGrant::Scope) => Code::InvalidScope,
            GrantError::Outside(OutsideGrant::Target) => Code::InvalidTarget,
        };
        Self::new(code, error)
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        Self::new(Code::InvalidPrivateKey, error)
    }
}

impl From<WeakKey> for Problem {
    fn from(error: WeakKey) -> Self {
        Self::new(
            Code::InvalidPublicKey,
            format_args!("public_key is refused: {error}"),
        )
    }
}

impl From<SignRefusal> for Problem {
    fn from(refusal: SignRefusal) -> Self {
        let bad = |code| Self::new(code, &refusal);
        match &refusal {
            SignRefusal::OwnedClaims(claims) => bad(Code::ClaimReserved).with(|problem| {
                problem.claims = Some(claims.iter().map(ToString::to_string).collect())
            }),
            SignRefusal::OriginExpired | SignRefusal::OriginTakenBack => {
                bad(Code::InvalidSubjectToken)
            }
            SignRefusal::ClaimType { claim, .. } => {
                bad(Code::ClaimType).with(|problem| problem.claim = Some((*claim).into()))
            }
            SignRefusal::ClaimName(error) => {
                bad(Code::ClaimName).with(|problem| problem.claim = Some(error.name().into()))
            }
            SignRefusal::MissingClaims { missing, .. } => bad(Code::ClaimMissing).with(|problem| {
                problem.claims = Some(missing.iter().map(ToString::to_string).collect())
            }),
            SignRefusal::Typ => bad(Code::InvalidTyp),
            SignRefusal::NoLifetime => bad(Code::TtlZero),
            SignRefusal::LifetimeOverMaximum { maximum, .. } => {
                bad(Code::TtlOverMaximum).with(|problem| problem.maximum = Some(*maximum))
            }
            SignRefusal::Limit(broken) => Self::limit(broken),
            SignRefusal::TooLarge { maximum, .. } => {
                bad(Code::TokenTooLarge).with(|problem| problem.maximum = Some((*maximum).into()))
            }
            SignRefusal::ReservedType(_) => bad(Code::ReservedType),
            SignRefusal::SingleUseUnavailable => bad(Code::SingleUseUnavailable),
            SignRefusal::Banned => {
                Self::new(Code::Banned, &refusal).header(WWW_AUTHENTICATE, INSUFFICIENT)
            }
            SignRefusal::RevocationSettling => {
                Self::new(Code::RevocationSettling, &refusal).header(RETRY_AFTER, 1)
            }
            SignRefusal::StatusNotOffered(_) => bad(Code::StatusNotOffered),
            SignRefusal::StatusUnavailable => Self::store_unavailable(),
            SignRefusal::AlgorithmNotActive(_) => Self::new(Code::AlgorithmNotActive, &refusal),
            SignRefusal::SnapshotStale => {
                Self::new(Code::SnapshotStale, &refusal).header(RETRY_AFTER, 1)
            }
            SignRefusal::Busy => Self::new(Code::SigningBusy, &refusal).header(RETRY_AFTER, 1),
            SignRefusal::EngineFailed => Self::internal(),
        }
    }
}

impl From<ConsumeError> for Problem {
    fn from(error: ConsumeError) -> Self {
        let code = match error {
            ConsumeError::Invalid(error) => return error.into(),
            ConsumeError::Change(error) => return error.into(),
            ConsumeError::NotSingleUse => Code::NotSingleUse,
            ConsumeError::NotActive(_) => Code::TokenNotActive,
            ConsumeError::AlreadyConsumed | ConsumeError::BeforeRestore => Code::AlreadyConsumed,
            ConsumeError::KeyIsIdentifier => Code::InvalidIdempotencyKey,
        };
        Self::new(code, error)
    }
}

impl From<LiveTokensError> for Problem {
    fn from(error: LiveTokensError) -> Self {
        let code = match &error {
            LiveTokensError::UnknownKey(kid) => return Self::unknown_key(kid.as_str()),
            LiveTokensError::NoLog => Code::NoIssuanceLog,
            LiveTokensError::Unreadable(_) => Code::IssuanceLogUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<FeedRefusal> for Problem {
    fn from(refusal: FeedRefusal) -> Self {
        match refusal {
            FeedRefusal::Off => Self::new(Code::NotFound, refusal),
            FeedRefusal::AlgorithmNotActive(_) => Self::new(Code::AlgorithmNotActive, refusal),
            FeedRefusal::Stale | FeedRefusal::Busy | FeedRefusal::Unsigned => {
                Self::new(Code::RevocationsUnavailable, refusal).header(RETRY_AFTER, 1)
            }
        }
    }
}

impl From<RuleViolation> for Problem {
    fn from(refusal: RuleViolation) -> Self {
        let conflict = |code| Self::new(code, &refusal);
        match &refusal {
            RuleViolation::UnknownKey(kid) => Self::unknown_key(kid.as_str()),
            RuleViolation::AlgorithmNotInPolicy(_) => conflict(Code::AlgorithmNotInPolicy),
            RuleViolation::SuccessorNotReady {
                algorithm,
                ready_at,
                ..
            } => conflict(Code::SuccessorNotReady)
                .with(|problem| problem.algorithm = Some(algorithm.as_str().into()))
                .with(|problem| problem.ready_at = Some(ready_at.ceil_seconds().into())),
            RuleViolation::SuccessorNotAdopted(wait) => conflict(Code::SuccessorNotAdopted)
                .with(|problem| problem.algorithm = Some(wait.algorithm.as_str().into()))
                .with(|problem| problem.ready_at = Some(wait.until.ceil_seconds().into())),
            // There is no time at which it will be ready.
            RuleViolation::SuccessorUnconfirmed { algorithm, .. } => {
                conflict(Code::SuccessorNotReady)
                    .with(|problem| problem.algorithm = Some(algorithm.as_str().into()))
            }
            RuleViolation::NoSuccessor(_) => conflict(Code::NoSuccessor),
            RuleViolation::IllegalTransition { from, .. } => conflict(Code::IllegalTransition)
                .with(|problem| problem.state = Some((*from).into())),
            RuleViolation::KeyKnown { state, .. } => {
                conflict(Code::KeyKnown).with(|problem| problem.state = Some((*state).into()))
            }
            RuleViolation::SetFull => conflict(Code::KeySetFull),
            RuleViolation::NotTakingOver => conflict(Code::NotTakingOver),
            RuleViolation::AlreadySigning(_) => conflict(Code::AlreadySigning),
            RuleViolation::UrlFixed => conflict(Code::IssuerUrlFixed),
            RuleViolation::DefaultNotActive(_) => conflict(Code::DefaultAlgorithmNotActive),
            RuleViolation::IssuerDeleted => conflict(Code::IssuerDeleted),
            RuleViolation::NeedsConfirmation => conflict(Code::OwnApproval),
            RuleViolation::IssuerOriginFixed => conflict(Code::TakesOverFixed),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed a request");
        match error.is_replaced() {
            true => Self::store_replaced(),
            false => Self::store_unavailable(),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refusal) => refusal.into(),
            ChangeError::UnknownIssuer(_) => Self::new(Code::UnknownIssuer, error),
            ChangeError::UnusableIssuer(_) => Self::issuer_unusable(error),
            ChangeError::UnknownClient(_) => Self::new(Code::UnknownClient, error),
            ChangeError::UnknownCredential { .. } => Self::new(Code::UnknownCredential, error),
            ChangeError::PreconditionFailed => Self::new(Code::PreconditionFailed, error),
            ChangeError::LastAdmin => Self::new(Code::LastAdmin, error),
            ChangeError::CertificateTaken => Self::new(Code::CertificateTaken, error),
            ChangeError::UnknownApproval(_) => Self::new(Code::UnknownApproval, error),
            ChangeError::OwnApproval => {
                Self::new(Code::OwnApproval, error).header(WWW_AUTHENTICATE, INSUFFICIENT)
            }
            ChangeError::TooManyApprovals => Self::new(Code::TooManyApprovals, error),
            ChangeError::ApprovalEnded(_) => Self::new(Code::ApprovalEnded, error),
            ChangeError::ApprovalOutdated(_) => Self::new(Code::ApprovalOutdated, error),
            ChangeError::UnknownWebhook(_) => Self::new(Code::UnknownWebhook, error),
            ChangeError::TooManyWebhooks => Self::new(Code::TooManyWebhooks, error),
            ChangeError::UnknownEventStream(_) => Self::new(Code::UnknownEventStream, error),
            ChangeError::TooManyEventStreams => Self::new(Code::TooManyEventStreams, error),
            ChangeError::EventStreamDisabled => Self::new(Code::EventStreamDisabled, error),
            ChangeError::UnknownRevocation(_) => Self::new(Code::UnknownRevocation, error),
            ChangeError::NotABan(_) => Self::new(Code::NotABan, error),
            ChangeError::TooManyRevocations => {
                Self::new(Code::TooManyRevocations, error).header(RETRY_AFTER, 60)
            }
            ChangeError::UntrustedIssuer(_) => Self::new(Code::UntrustedIssuer, error),
            ChangeError::UnknownPushTarget { .. } => Self::new(Code::InvalidPolicy, error),
            ChangeError::PathTaken => Self::new(Code::IssuerUrlTaken, error),
            ChangeError::SnapshotStale => {
                Self::new(Code::SnapshotStale, error).header(RETRY_AFTER, 1)
            }
            ChangeError::UnknownMasterKey(_) => Self::new(Code::MasterKeyUnknown, error),
            ChangeError::UnclearMasterKey(_) => Self::new(Code::MasterKeyUnclear, error),
            ChangeError::MasterKeyNotEverywhere { ref replicas, .. } => {
                let replicas = replicas.clone();
                Self::new(Code::MasterKeyNotEverywhere, error)
                    .with(|problem| problem.replicas = Some(replicas))
            }
            ChangeError::AwaitsReplicas | ChangeError::Contended => {
                Self::new(Code::Contended, error).header(RETRY_AFTER, 1)
            }
            ChangeError::ClockDoubted => {
                Self::new(Code::ClockDoubted, error).header(RETRY_AFTER, DOUBT.as_secs())
            }
            ChangeError::Store(error) => error.into(),
            ChangeError::Vanished
            | ChangeError::RecordFinal
            | ChangeError::Interrupted
            | ChangeError::Engine(_)
            | ChangeError::Randomness(_)
            | ChangeError::Unsealable
            | ChangeError::Sealing(_)
            | ChangeError::Load(_) => {
                tracing::error!(%error, "a change failed");
                Self::internal()
            }
        }
    }
}
