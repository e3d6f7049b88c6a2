//! What a request asks for.

use std::fmt;

use super::{ExchangeRefusal, TransactionContext};
use crate::oauth::{Form, FormError, GrantRefusal, Scope, Target};

/// How a token is traded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeGrant {
    /// RFC 8693 §2.1.
    TokenExchange,
    /// RFC 7523 §2.1.
    JwtBearer,
}

/// A parameter that has a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenParameter {
    /// `subject_token`
    Subject,
    /// `actor_token`
    Actor,
    /// `assertion`
    Assertion,
}

/// What kind of token is issued.
#[derive(Debug, Clone, PartialEq)]
pub enum IssuedType {
    /// `urn:ietf:params:oauth:token-type:access_token`, and what is issued where none is named: its `typ` is
    /// `at+jwt`.
    AccessToken,
    /// `urn:ietf:params:oauth:token-type:jwt`: the same claims with `typ` `JWT`, for verifiers that do not know
    /// access tokens by RFC 9068.
    Jwt,
    /// `urn:ietf:params:oauth:token-type:txn_token`
    TransactionToken(TransactionContext),
}

/// A request without its tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct ExchangeForm {
    /// The grant.
    pub grant: ExchangeGrant,
    /// What the client asks for.
    pub issued: IssuedType,
    /// Less than the scope of the subject token, if it is named.
    pub scope: Option<Scope>,
    /// The service that the new token is for, if it is named.
    pub target: Option<Target>,
}

const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";
const TRANSACTION_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:txn_token";

impl ExchangeGrant {
    /// Both.
    pub const ALL: [Self; 2] = [Self::TokenExchange, Self::JwtBearer];

    /// The `grant_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    /// The one that a form names, if it names one.
    pub fn of(form: &Form) -> Option<Self> {
        let named = form.get("grant_type")?;
        Self::ALL.into_iter().find(|grant| grant.as_str() == named)
    }

    /// Where the token stands that is traded in.
    pub const fn subject(self) -> TokenParameter {
        match self {
            Self::TokenExchange => TokenParameter::Subject,
            Self::JwtBearer => TokenParameter::Assertion,
        }
    }

    /// Where the token stands of who acts, if there can be one.
    pub const fn actor(self) -> Option<TokenParameter> {
        match self {
            Self::TokenExchange => Some(TokenParameter::Actor),
            Self::JwtBearer => None,
        }
    }
}

impl TokenParameter {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject_token",
            Self::Actor => "actor_token",
            Self::Assertion => "assertion",
        }
    }

    /// The parameter that says what kind of token it is.
    const fn type_parameter(self) -> Option<&'static str> {
        match self {
            Self::Subject => Some("subject_token_type"),
            Self::Actor => Some("actor_token_type"),
            Self::Assertion => None,
        }
    }

    /// Its token, whose type must be one that is exchanged: that of an access token, or of any JWT.
    ///
    /// # Errors
    /// [`FormError`]: it is missing, or of another type.
    pub fn required(self, form: &Form) -> Result<&str, FormError> {
        let token = form.required(self.as_str())?;
        if let Some(parameter) = self.type_parameter()
            && ![ACCESS_TOKEN_TYPE, JWT_TYPE].contains(&form.required(parameter)?)
        {
            return Err(FormError::TokenType(parameter));
        }
        Ok(token)
    }

    /// Its token, if there is one.
    ///
    /// # Errors
    /// As [`required`](Self::required); or there is a type and no token.
    pub fn optional(self, form: &Form) -> Result<Option<&str>, FormError> {
        let named = self.type_parameter().and_then(|name| form.get(name));
        match (form.get(self.as_str()), named) {
            (None, None) => Ok(None),
            _ => self.required(form).map(Some),
        }
    }
}

impl fmt::Display for TokenParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl IssuedType {
    /// Its name, as an answer has it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::AccessToken => ACCESS_TOKEN_TYPE,
            Self::Jwt => JWT_TYPE,
            Self::TransactionToken(_) => TRANSACTION_TOKEN_TYPE,
        }
    }

    fn of(grant: ExchangeGrant, form: &Form) -> Result<Self, FormError> {
        const PARAMETER: &str = "requested_token_type";
        let named = form.get(PARAMETER);
        match (grant, named.unwrap_or(ACCESS_TOKEN_TYPE)) {
            (ExchangeGrant::JwtBearer, _) | (_, ACCESS_TOKEN_TYPE) => Ok(Self::AccessToken),
            (_, JWT_TYPE) => Ok(Self::Jwt),
            (_, TRANSACTION_TOKEN_TYPE) => {
                form.required("scope")?;
                TransactionContext::of(form).map(Self::TransactionToken)
            }
            _ => Err(FormError::TokenType(PARAMETER)),
        }
    }
}

impl ExchangeForm {
    /// Reads a request for this grant, but for its tokens.
    ///
    /// # Errors
    /// [`ExchangeRefusal::Form`] or [`ExchangeRefusal::Request`].
    pub fn of(grant: ExchangeGrant, form: &Form) -> Result<Self, ExchangeRefusal> {
        let scope = form.get("scope").map(Scope::parse).transpose();
        Ok(Self {
            grant,
            issued: IssuedType::of(grant, form)?,
            scope: scope.map_err(GrantRefusal::from)?,
            target: Target::of(form).map_err(GrantRefusal::from)?,
        })
    }
}
