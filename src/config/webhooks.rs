//! Settings of webhooks.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::listener::networks;

/// What holds for all webhooks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// The networks besides the public internet in which receivers may be.
    #[serde(with = "networks", skip_serializing_if = "Vec::is_empty")]
    pub allowed_networks: Vec<IpNet>,
}
