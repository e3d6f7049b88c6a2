//! Settings of the issuance log.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data_folder::DataFolder;
use crate::issuance_log::Destination;

/// Where each token leaves a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuanceLog {
    /// Where lines go, if anywhere.
    pub to: IssuanceLogTo,
    /// The file; by default one beside the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Lines that may wait to be written. When there are more no token is handed out.
    pub queue: NonZeroU32,
}

/// Where lines go, if anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuanceLogTo {
    /// Nowhere: there are none.
    Off,
    /// To standard output.
    Stdout,
    /// To a file.
    File,
}

const QUEUE: NonZeroU32 = NonZeroU32::MIN.saturating_add(65_535);

impl Default for IssuanceLog {
    fn default() -> Self {
        Self {
            to: IssuanceLogTo::Off,
            path: None,
            queue: QUEUE,
        }
    }
}

impl IssuanceLog {
    /// Where lines go, if anywhere.
    pub fn destination(&self, folder: &DataFolder) -> Option<Destination> {
        match self.to {
            IssuanceLogTo::Off => None,
            IssuanceLogTo::Stdout => Some(Destination::Stdout),
            IssuanceLogTo::File => {
                let path = self.path.clone();
                Some(Destination::File(
                    path.unwrap_or_else(|| folder.issuance_log()),
                ))
            }
        }
    }

    /// How many lines may wait.
    pub fn room(&self) -> usize {
        usize::try_from(self.queue.get()).unwrap_or(usize::MAX)
    }
}
