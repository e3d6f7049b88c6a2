//! A copy that is a value of a Kubernetes ConfigMap. It is written on the condition that the ConfigMap has the
//! `resourceVersion` that it had when it was looked at. Which set each value is, an annotation says.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::credentials::read_secret;
use super::remote::{RemoteResponse, send};
use super::{Found, Precondition, PushError};
use crate::config::ConfigMap;
use crate::push::{CopyMark, KeySetCopy, hash_of};

/// The annotation that says which set each value is: an object of marks, by key.
const MARKS: &str = "keywright/copies";

/// Where a copy is.
pub(super) struct CopyValue<'c> {
    pub(super) map: &'c ConfigMap,
    pub(super) name: String,
    pub(super) key: String,
}

/// What a ConfigMap must be when it is changed.
pub(super) enum ConfigMapState {
    Absent,
    Present {
        resource_version: String,
        marks: BTreeMap<String, Value>,
    },
}

/// A ConfigMap, as the API shows it.
#[derive(Deserialize)]
struct Shown {
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Why the API refuses.
#[derive(Deserialize)]
struct Refusal {
    reason: String,
}

impl CopyValue<'_> {
    /// What is there.
    pub(super) async fn look(&self) -> Result<Found, PushError> {
        let response = self.request(Method::GET, Some(&self.name), None).await?;
        if response.status == StatusCode::NOT_FOUND {
            return Ok(Found {
                mark: None,
                is_intact: false,
                precondition: Precondition::ConfigMap(ConfigMapState::Absent),
            });
        }
        if !response.status.is_success() {
            return Err(refused("read", &response));
        }
        let shown: Shown = serde_json::from_slice(&response.body)
            .map_err(|_| PushError("the answer is no ConfigMap".to_owned()))?;
        let marks = shown.metadata.annotations.get(MARKS);
        let marks: BTreeMap<String, Value> = marks
            .and_then(|marks| serde_json::from_str(marks).ok())
            .unwrap_or_default();
        let mark = marks.get(&self.key).map(ToString::to_string);
        let mark = mark.and_then(|mark| CopyMark::parse(&mark));
        let body = shown.data.get(&self.key);
        let body = body.map(|body| hash_of(body.as_bytes()));
        Ok(Found {
            is_intact: mark.as_ref().map(|mark| &mark.body) == body.as_ref(),
            mark,
            precondition: Precondition::ConfigMap(ConfigMapState::Present {
                resource_version: shown.metadata.resource_version,
                marks,
            }),
        })
    }

    /// Puts a copy there. Other values of the ConfigMap stay as they are.
    pub(super) async fn write(
        &self,
        state: ConfigMapState,
        copy: &KeySetCopy,
    ) -> Result<(), PushError> {
        let body = String::from_utf8_lossy(&copy.body);
        let data = json!({ (self.key.as_str()): body });
        let annotations = |mut marks: BTreeMap<String, Value>| {
            let mark = serde_json::to_value(&copy.mark).unwrap_or_default();
            marks.insert(self.key.clone(), mark);
            // Keys and marks always serialise.
            let marks = serde_json::to_string(&marks).unwrap_or_default();
            json!({ MARKS: marks })
        };
        let response = match state {
            ConfigMapState::Absent => {
                let created = json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": self.name, "annotations": annotations(BTreeMap::new())},
                    "data": data
                });
                self.request(Method::POST, None, Some(created)).await?
            }
            ConfigMapState::Present {
                resource_version,
                marks,
            } => {
                let changed = json!({
                    "metadata": {
                        "resourceVersion": resource_version, "annotations": annotations(marks)
                    },
                    "data": data
                });
                self.request(Method::PATCH, Some(&self.name), Some(changed))
                    .await?
            }
        };
        match response.status {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT => Err(PushError(
                "another process has changed the ConfigMap meanwhile".to_owned(),
            )),
            _ => Err(refused("write", &response)),
        }
    }

    async fn request(
        &self,
        method: Method,
        name: Option<&str>,
        document: Option<Value>,
    ) -> Result<RemoteResponse, PushError> {
        let unusable = || PushError("api_server is no url".to_owned());
        let mut url = Url::parse(&self.map.api_server).map_err(|_| unusable())?;
        let mut path = url.path_segments_mut().map_err(|()| unusable())?;
        path.pop_if_empty()
            .extend(["api", "v1", "namespaces", &self.map.namespace, "configmaps"])
            .extend(name);
        drop(path);
        let token = read_secret(&self.map.token_file)?;
        let authorization = zeroize::Zeroizing::new(format!("Bearer {}", *token));
        let content = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let headers = [
            ("accept", "application/json"),
            ("authorization", authorization.as_str()),
            ("content-type", content),
        ];
        let body = document.map(|document| Bytes::from(document.to_string()));
        let body = body.unwrap_or_default();
        send(&url, method, &headers, body, Some(&self.map.ca)).await
    }
}

/// A refusal, with the reason of the API's answer.
fn refused(what: &str, response: &RemoteResponse) -> PushError {
    let refusal: Option<Refusal> = serde_json::from_slice(&response.body).ok();
    let reason = refusal.map(|refusal| refusal.reason).filter(|reason| {
        reason.len() <= 64 && reason.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    let reason = reason
        .map(|reason| format!(" {reason}"))
        .unwrap_or_default();
    let status = response.status.as_u16();
    PushError(format!(
        "cannot {what} the ConfigMap: status {status}{reason}"
    ))
}
