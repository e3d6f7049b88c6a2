//! The codes of problems: each one, when it is answered, and what the caller can do about it.
//!
//! Every problem has a code of this list, `response` gives each code its status, and the OpenAPI
//! document and the table of docs/http-api.md are held against both.

/// Writes the enum and what is said of each variant, so that no list can miss one.
macro_rules! codes {
    ($($variant:ident = $code:literal: $when:literal, $remedy:literal;)*) => {
        /// What is wrong, in a word that stays the same.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Code {
            $(#[doc = $when] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in the answer.
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// When it is answered, in CommonMark.
            pub(super) const fn when(self) -> &'static str {
                match self { $(Self::$variant => $when,)* }
            }

            /// What the caller can do, in CommonMark.
            pub(super) const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    MalformedJson = "malformed-json":
        "the body is not strict JSON",
        "mend the body";
    DuplicateMember = "duplicate-member":
        "a member stands twice",
        "send it once";
    JsonTooDeep = "json-too-deep":
        "more than 32 levels",
        "flatten it";
    JsonTooManyValues = "json-too-many-values":
        "more than 10,000 values, those inside others included; in a batch, in one request",
        "send fewer";
    NumberOutOfRange = "number-out-of-range":
        "a number that others would read differently",
        "send it as a string";
    NotAnObject = "not-an-object":
        "the body, or an entry of a batch, is no object",
        "send an object";
    FieldMissing = "field-missing":
        "`field` is required",
        "add it";
    FieldType = "field-type":
        "`field` has the wrong type",
        "`detail` has the right one";
    UnknownField = "unknown-field":
        "`field` is not known; `nearest` may be what was meant",
        "rename or remove it";
    InvalidBody = "invalid-body":
        "the body breaks a rule without a code of its own",
        "read `detail`";
    BodyIncomplete = "body-incomplete":
        "the body ended early",
        "send it again";
    PlainHttp = "plain-http":
        "a plain HTTP request came to a listener that speaks TLS",
        "use `https://`";
    InvalidQuery = "invalid-query":
        "a query parameter is unknown or out of range",
        "mend the query";
    ClaimReserved = "claim-reserved":
        "`claims` sets what the service sets: iss, iat, exp, jti, ancestor_jtis",
        "leave them out; use `expires_in`";
    ClaimType = "claim-type":
        "`claim` has the wrong type",
        "`detail` has the right one";
    ClaimName = "claim-name":
        "the name `claim` has a character that cannot be seen, or reads like `sub`, another registered claim or one of the client's schema to verifiers that ignore case",
        "spell the name as the rule does, or use another one";
    ClaimMissing = "claim-missing":
        "the `typ` needs `claims`",
        "add them";
    InvalidTyp = "invalid-typ":
        "`typ` does not fit a header",
        "1 to 64 of letters, digits, `.+-/`";
    TtlZero = "ttl-zero":
        "`expires_in` is 0",
        "at least 1";
    TtlOverMaximum = "ttl-over-maximum":
        "`expires_in` is over `maximum` seconds",
        "ask for less, or have the policy changed";
    StatusNotOffered = "status-not-offered":
        "`status` is more than the policy of the issuer has, or less than `\"tracked\"` where it has that",
        "leave it out, or have the policy changed";
    TokenTooLarge = "token-too-large":
        "the token would be over `maximum` bytes",
        "smaller claims";
    UnknownAlgorithm = "unknown-algorithm":
        "not ES256 or RS256; case matters",
        "use one of them";
    BatchSize = "batch-size":
        "a batch of 0 or more than 1,000 requests",
        "split it";
    InvalidReason = "invalid-reason":
        "empty, too long, or with control characters",
        "mend it";
    InvalidState = "invalid-state":
        "`state` is unknown, or does not go with a public key",
        "see what a key becomes when it is imported";
    InvalidKid = "invalid-kid":
        "not 1 to 256 visible ASCII characters",
        "mend it";
    KeyMaterial = "key-material":
        "neither or both of `private_key` and `public_key`",
        "send one";
    InvalidPrivateKey = "invalid-private-key":
        "no private key in PEM or as a JWK, or one that breaks a rule",
        "`detail` names the rule, or a command that converts the file";
    InvalidPublicKey = "invalid-public-key":
        "not a public JWK of that algorithm, one with private members, or a weak key",
        "`detail` has the reason";
    InvalidPolicy = "invalid-policy":
        "a policy breaks a rule",
        "`detail` has the rule with its numbers";
    InvalidIssuerUrl = "invalid-issuer-url":
        "`url` breaks a rule",
        "mend it";
    InvalidIssuerName = "invalid-issuer-name":
        "the name in the path",
        "1 to 63 of `a-z0-9-`";
    InvalidClientName = "invalid-client-name":
        "the name of a client",
        "1 to 64 printable ASCII characters";
    InvalidRoles = "invalid-roles":
        "no role, or an unknown one",
        "name at least one of those in `detail`";
    InvalidLimits = "invalid-limits":
        "a limit of a client breaks a rule",
        "`detail` has the member and the rule";
    InvalidProof = "invalid-proof":
        "`certificates`, `workloads` or `jwks` of a client breaks a rule",
        "`detail` has the member and the rule";
    InvalidDuration = "invalid-duration":
        "a duration does not read",
        "write it like `90s`, `5m`, `24h` or `30d`";
    InvalidFingerprint = "invalid-fingerprint":
        "`to` is no fingerprint of a master key",
        "16 hexadecimal digits, as `GET /v1/master-key` shows them";
    InvalidSelector = "invalid-selector":
        "the members name no tokens: none of them, several that are no pair, or a value of 0 or more than 512 bytes",
        "name one, or `subject` with `session`, `client` or `audience`";
    InvalidToken = "invalid-token":
        "`token` is not one that this issuer has signed with a key which still verifies",
        "name its `jti`; a token of a revoked key is refused everywhere already";
    InvalidBan = "invalid-ban":
        "`ban` ends in the past",
        "name a later time, or leave it out";
    ReservedType = "reserved-type":
        "`typ` is that of a document which is not a token, such as a revocation feed",
        "use another type";
    CredentialInUrl = "credential-in-url":
        "the URL carries a credential or a token",
        "revoke it: every log on the way has seen it; send it in `Authorization`";
    UnknownGrantType = "unknown-grant-type":
        "`grant_type` is not one of those that the metadata lists",
        "use one of `grant_types_supported`";
    InvalidScope = "invalid-scope":
        "`scope` is not a list of different scope tokens with one space between two of them, or asks for more than the token that is traded in has",
        "send a list as in RFC 6749 §3.3, of at most 4,096 bytes and no more than that token's scope";
    InvalidTarget = "invalid-target":
        "`resource` is no absolute URI without a fragment, or no target is named where the client has no single one",
        "name one service by `resource` or `audience`";
    SeveralCredentials = "several-credentials":
        "the request authenticates its client in more than one way",
        "send `Authorization`, or `client_secret`, or `client_assertion`";
    ForeignToken = "foreign-token":
        "the token was issued to another client",
        "have its own client take it back, or one with the role `revoker` or `security`";
    InvalidRefresh = "invalid-refresh":
        "`refresh` of a grant breaks a rule",
        "`detail` has the member and the rule";
    InvalidGrantClient = "invalid-grant-client":
        "`client` of a grant is neither `public` nor a client",
        "name the id of a client, as `GET /v1/clients` shows it";
    InvalidRefreshToken = "invalid-refresh-token":
        "the refresh token was never issued here, or its grant has been gone for a day",
        "log in again";
    RefreshTokenReused = "refresh-token-reused":
        "the refresh token was used before; its grant is ended, because two callers hold it",
        "log in again; if the client stores each response, a token was stolen";
    BindingUnproven = "binding-unproven":
        "the refresh token is bound to a key or a certificate that the request does not prove; its grant goes on",
        "send a DPoP proof by the key, or use the certificate, that the grant was opened for or first renewed with";
    InvalidDpopProof = "invalid-dpop-proof":
        "the `DPoP` header is not one proof for this request: its form, key, signature, method, URL or time is wrong",
        "`detail` names what is wrong; sign a new proof for each request, and set the clock";
    DpopProofReplayed = "dpop-proof-replayed":
        "the DPoP proof was used before",
        "sign a new proof, with a new `jti`, for each request and each retry";
    DpopNonceRequired = "dpop-nonce-required":
        "`oauth.dpop_nonce` asks for a nonce in each DPoP proof, and this one has none or an old one",
        "sign a proof with `nonce` from the header `DPoP-Nonce`";
    InvalidSubjectToken = "invalid-subject-token":
        "`subject_token` is not a valid token of this issuer, or of a trusted issuer for a workload of the client; or it was taken back meanwhile",
        "get a new one; a refresh token is never exchanged";
    InvalidActorToken = "invalid-actor-token":
        "`actor_token` is not such a token either, is not for the client, or has an `act` of its own",
        "get a new one, or leave it out: the client acts then";
    InvalidAssertion = "invalid-assertion":
        "`assertion` is a token that would not be exchanged as `subject_token`, for the reason in the detail",
        "get a new one";
    ExchangeNotAllowed = "exchange-not-allowed":
        "the client may not trade in the token: it is not in its `aud`, or `may_act` names another actor",
        "have the token issued for the client's id or an audience of its limits, or name the actor in `may_act`";
    ChainTooLong = "chain-too-long":
        "the token would have more than four actors in one another, or come of more than four others",
        "trade in a token from earlier in the chain";
    ProofRequired = "proof-required":
        "the token that is traded in is bound to a key or certificate, and the request has no proof of it",
        "send the proof, or trade in a token that is not bound";
    InvalidWebhookUrl = "invalid-webhook-url":
        "`url` of a webhook is not https or http, has no host, has a user or a fragment, or over 2,048 bytes",
        "mend it; a secret may stand in its path or query";
    InvalidEventStream = "invalid-event-stream":
        "a stream of security events is not as it may be; the detail says which member and why",
        "mend it, or leave out what the service decides";
    InvalidEventToken = "invalid-event-token":
        "the body is no security event token of RFC 8417 in the profile of SSF 1.0; the detail says why",
        "mend it: `typ` is `secevent+jwt`, it has `jti`, `iat`, `events` and `sub_id`, and neither `sub` nor `exp`";
    InvalidEventKey = "invalid-event-key":
        "the security event token is not signed with a key of its issuer",
        "sign it with a published key, by an algorithm that `trusted_issuers` allows";
    InvalidEventIssuer = "invalid-event-issuer":
        "the `iss` of the security event token is no trusted issuer's",
        "add the issuer to `trusted_issuers` and restart";
    InvalidEventAudience = "invalid-event-audience":
        "the `aud` of the security event token is not the `audience` of its trusted issuer",
        "have the transmitter name that audience, or set it in `trusted_issuers`";
    InvalidIdempotencyKey = "invalid-idempotency-key":
        "`Idempotency-Key` is missing, repeated, no text of 1 to 128 letters, digits and `-._~`, or the `jti` of the token",
        "send a new random text for each token, and the same one again if an answer was lost";
    NotSingleUse = "not-single-use":
        "the token has no claim `single_use`, and is not used up",
        "nothing: the token may be used until it expires";
    TokenNotActive = "token-not-active":
        "the token has expired, is not valid yet, or was taken back; it is not used up",
        "get a new one";
    SingleUseUnavailable = "single-use-unavailable":
        "`single_use` is asked for, and the OAuth endpoints are off, where the token would be used up",
        "leave it out, or set `oauth.enabled`";
    CredentialMissing = "credential-missing":
        "no `Authorization: Bearer`, and no certificate",
        "send the credential";
    CredentialInvalid = "credential-invalid":
        "what was presented is no client's, or not any more; or two headers",
        "see the ways in, or get a new credential from an admin";
    RoleMissing = "role-missing":
        "the client lacks `role`",
        "use another client";
    ClientLimit = "client-limit":
        "`claim` breaks the limit `rule` of this client",
        "ask for less, or have an admin change the limit";
    Banned = "banned":
        "a ban keeps tokens like this from being signed",
        "nothing: a client with the role `security` or `revoker` must lift the ban";
    OwnApproval = "own-approval":
        "the client that requested an operation cannot confirm it",
        "another client with the role `security` must";
    NotFound = "not-found":
        "there is nothing at this path",
        "check the path";
    UnknownIssuer = "unknown-issuer":
        "no issuer of that name",
        "check the name";
    UnknownKey = "unknown-key":
        "the issuer has no such key",
        "check kid and issuer";
    UnknownClient = "unknown-client":
        "no such client",
        "it is gone already";
    UnknownCredential = "unknown-credential":
        "the client has no such credential",
        "it is gone already";
    BeforeIssuer = "before-issuer":
        "the issuer did not exist at that time; `created_at` says since when it does",
        "ask for a later time";
    UnknownApproval = "unknown-approval":
        "no such operation waits to be confirmed",
        "check the identifier, or ask for it again";
    UnknownRevocation = "unknown-revocation":
        "no such revocation, or nothing follows from it any more",
        "check issuer and identifier";
    UnknownGrant = "unknown-grant":
        "no such grant, or it has been over for a day",
        "check issuer and identifier";
    UnknownEventStream = "unknown-event-stream":
        "the client has no such stream of security events of this issuer",
        "check `stream_id` and issuer, or create one";
    UnknownWebhook = "unknown-webhook":
        "no such webhook",
        "it is gone already";
    MethodNotAllowed = "method-not-allowed":
        "`Allow` has what the path takes",
        "use that";
    RequestTimeout = "request-timeout":
        "not done after `internal.request_timeout`, 30 s",
        "read the state, then try again";
    AlgorithmNotActive = "algorithm-not-active":
        "no key signs with this algorithm",
        "use another, or wait until its first key is ready";
    AlgorithmNotInPolicy = "algorithm-not-in-policy":
        "the policy does not list the algorithm",
        "add it to the policy";
    SuccessorNotReady = "successor-not-ready":
        "verifiers may hold sets without the successor of `algorithm`",
        "wait until `ready_at`; without one, it waits until every copy has it";
    SuccessorNotAdopted = "successor-not-adopted":
        "too few verifiers hold the successor of `algorithm` for the policy's `adoption`",
        "wait until they do, until `ready_at` at most";
    NoSuccessor = "no-successor":
        "no pending key stands by: the set is full",
        "wait until a retired key is removed";
    IllegalTransition = "illegal-transition":
        "the key is in `state` and cannot become that",
        "nothing; a revoked key is revoked";
    KeyKnown = "key-known":
        "this kid or key was here before, now in `state`",
        "nothing; it cannot come twice";
    KeySetFull = "key-set-full":
        "one more key would break what verifiers accept",
        "wait until a retired key is removed";
    NotTakingOver = "not-taking-over":
        "an active key was imported into an issuer that does not take over",
        "create the issuer with `takes_over`";
    AlreadySigning = "already-signing":
        "a key of this algorithm has signed here",
        "import it as `pending` or `retired`";
    IssuerUrlFixed = "issuer-url-fixed":
        "a PUT with another `url`",
        "create another issuer";
    IssuerUrlTaken = "issuer-url-taken":
        "another issuer has a URL with the same path",
        "use another path";
    DefaultAlgorithmNotActive = "default-algorithm-not-active":
        "the new default has no active key yet",
        "add it first, wait, then switch";
    TakesOverFixed = "takes-over-fixed":
        "`takes_over` differs from how the issuer was created",
        "leave it out";
    IssuerDeleted = "issuer-deleted":
        "the issuer is deleted; its name and its URL are not used again",
        "create another issuer";
    TooManyApprovals = "too-many-approvals":
        "5 operations of one client or 20 in all wait to be confirmed on the issuer",
        "confirm or reject some";
    ApprovalEnded = "approval-ended":
        "the operation was confirmed, rejected or over before; the detail says which, when and by whom",
        "nothing, or ask for it again";
    ApprovalOutdated = "approval-outdated":
        "what the operation was asked for on has changed: another policy, or another active key",
        "reject it, look again, and ask anew";
    NotABan = "not-a-ban":
        "the revocation keeps nothing from being signed, or not any more",
        "nothing: what it takes back stays so";
    GrantEnded = "grant-ended":
        "the grant is over: ended, taken back, expired, or the client that opened it is gone",
        "log in again";
    GrantSubjectFixed = "grant-subject-fixed":
        "a change of a grant has another `sub`",
        "open another grant";
    TooManyEventStreams = "too-many-event-streams":
        "there are 5 streams of security events of the client, or 100 in all",
        "delete one first";
    NoIssuanceLog = "no-issuance-log":
        "live tokens are counted in the issuance log, and this process writes none to a file",
        "set `issuance_log.to = \"file\"`";
    EventStreamDisabled = "event-stream-disabled":
        "a disabled stream has no verification",
        "enable it first";
    TooManyWebhooks = "too-many-webhooks":
        "there are 20 webhooks",
        "delete one first";
    AlreadyConsumed = "already-consumed":
        "the token counts once and was used before, or was issued before a restore",
        "refuse the request that has brought it";
    LastAdmin = "last-admin":
        "no client could manage access any longer",
        "make another client that is an admin of all issuers and can authenticate";
    CertificateTaken = "certificate-taken":
        "another client is named by the same certificate rule",
        "take it from that client first";
    UntrustedIssuer = "untrusted-issuer":
        "`workloads` names an issuer that the configuration does not trust",
        "add it to `trusted_issuers` and restart";
    MasterKeyUnknown = "master-key-unknown":
        "the service does not have the master key `to`",
        "add it to `further_master_keys` and restart";
    MasterKeyUnclear = "master-key-unclear":
        "the service has no other master key, or several",
        "name one in `to`";
    MasterKeyNotEverywhere = "master-key-not-everywhere":
        "`replicas` serve without the master key `to`",
        "give it to them and restart them";
    PreconditionFailed = "precondition-failed":
        "what is to be replaced is not what `If-Match` names",
        "read it again, and decide anew";
    BodyTooLarge = "body-too-large":
        "the body is over `limit` bytes",
        "split it";
    UnsupportedMediaType = "unsupported-media-type":
        "not `Content-Type: application/json`, or with a `Content-Encoding`",
        "send plain JSON, and say so";
    UnsupportedSubject = "unsupported-subject":
        "`sub_id` is of a format that names no `sub`, or is another issuer's",
        "send the format `iss_sub` with this issuer's URL, or `opaque` with the `sub` as its `id`";
    RateLimited = "rate-limited":
        "the client asks for more signatures than its rate allows",
        "wait for `Retry-After`; `RateLimit` says what is left";
    TooManyRevocations = "too-many-revocations":
        "the client, or the issuer, has as many revocations as are kept",
        "name a subject, a client or the issuer instead of single tokens, or wait until some have ended";
    TooManyGrants = "too-many-grants":
        "the client, or the issuer, has as many live grants as it may",
        "wait until some have ended, or raise `oauth.max_grants_per_client` or `oauth.max_grants_per_issuer`";
    TooManyFailures = "too-many-failures":
        "too many bad credentials have come from this address",
        "mend the credential, then wait for `Retry-After`";
    TooManyRequests = "too-many-requests":
        "the caller has a quarter of the slots of this class of routes, or its bodies have a quarter of the bytes",
        "wait for `Retry-After`; send fewer at a time";
    InternalError = "internal-error":
        "the service failed",
        "look into its log under `X-Request-Id`";
    NoStatusHistory = "no-status-history":
        "`time` asks for what a status list said earlier",
        "leave it out: a list says what is true now";
    DpopMemoryFull = "dpop-memory-full":
        "so many DPoP proofs were used in the last minute, by this key or by all, that no more can be remembered",
        "wait for `Retry-After`; keep an access token until it expires, instead of asking for one per request";
    Overloaded = "overloaded":
        "the slots of this class of routes are taken, a share of `internal.max_requests`, 2,048; or the bytes of its bodies",
        "`Retry-After`";
    SigningBusy = "signing-busy":
        "the signing queue is full",
        "`Retry-After`";
    RevocationSettling = "revocation-settling":
        "tokens like this are being taken back, and one that is signed now would be refused, too",
        "`Retry-After`: it takes a second or two";
    RevocationsUnavailable = "revocations-unavailable":
        "this process cannot say what is revoked now",
        "`Retry-After`, another replica";
    SnapshotStale = "snapshot-stale":
        "a change is being committed, or its outcome is not known; or a replica has not reached the store for `max_staleness`",
        "`Retry-After`, another replica; if it lasts, see what to do when the store is down";
    Contended = "contended":
        "other writers were faster 16 times; of a client: another replica has changed one since",
        "`Retry-After`";
    ClockDoubted = "clock-doubted":
        "the clock has just jumped ahead of the time that has passed; nothing is stamped by it before it has stayed there for 10 s",
        "`Retry-After`; set the clock right if it is wrong";
    IssuanceLogUnavailable = "issuance-log-unavailable":
        "the token has no place in the issuance log, so it is not handed out",
        "`Retry-After`; an operator must see why the log cannot be written";
    CallerUndecidable = "caller-undecidable":
        "the keys that would tell who is calling cannot be had",
        "`Retry-After`";
    StoreUnavailable = "store-unavailable":
        "the database cannot be read or written",
        "`Retry-After`; nothing or everything has changed";
    StoreReplaced = "store-replaced":
        "the database or the data folder was moved, deleted or replaced while the service runs",
        "nothing has changed that would last; an operator must put it back, or restart";
    IssuerUnusable = "issuer-unusable":
        "the issuer's stored records cannot be used",
        "an operator must look";
}
