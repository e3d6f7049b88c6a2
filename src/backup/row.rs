//! A row of a dump as a line of JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::lifecycle::{IssuerName, Timestamp};
use crate::store::chain::StoredEvent;
use crate::store::transfer::{Entry, StoredHead};
use crate::store::{Kind, LastUse, Record, RecordIndex, RecordKey, Token};

/// Why a line is no row.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidRow {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("a member that should be base64 is not")]
    Base64,
    #[error("an issuer without a legal name")]
    Name,
    #[error("a record of a kind that this version does not know")]
    Kind,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    Head {
        sequence: i64,
        hash: String,
    },
    Record {
        kind: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        id: String,
        version: u64,
        document: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sealed: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unique: Option<String>,
        #[serde(default, rename = "final", skip_serializing_if = "std::ops::Not::not")]
        is_final: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept_until: Option<u64>,
    },
    // Backups of before there were records have the lines from here to `Approval`.
    Setting {
        name: String,
        value: String,
    },
    Issuer {
        name: String,
        path: String,
        version: u64,
        document: String,
    },
    Key {
        issuer: String,
        kid: String,
        document: String,
        sealed: Option<String>,
    },
    Client {
        id: String,
        version: u64,
        document: String,
    },
    Approval {
        id: String,
        document: String,
    },
    LastUse {
        client: String,
        credential: String,
        at: u64,
    },
    Event {
        sequence: i64,
        at: i64,
        issuer: Option<Text>,
        document: Text,
        hash: Option<String>,
    },
    End,
}

/// A column that may have been altered into something that is no text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Bytes { base64: String },
}

impl Text {
    fn of(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Bytes {
                base64: STANDARD.encode(error.as_bytes()),
            },
        }
    }

    fn into_bytes(self) -> Result<Vec<u8>, InvalidRow> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Bytes { base64 } => decode(&base64),
        }
    }
}

fn decode(base64: &str) -> Result<Vec<u8>, InvalidRow> {
    STANDARD.decode(base64).map_err(|_| InvalidRow::Base64)
}

fn name(text: &str) -> Result<IssuerName, InvalidRow> {
    IssuerName::parse(text).map_err(|_| InvalidRow::Name)
}

/// Adds a row and a line feed.
pub(super) fn write(entry: Entry, output: &mut Vec<u8>) -> Result<(), InvalidRow> {
    let line = match entry {
        Entry::Head(StoredHead { sequence, hash }) => Line::Head {
            sequence,
            hash: STANDARD.encode(hash),
        },
        Entry::Record(record) => Line::Record {
            kind: record.key.kind.as_str().to_owned(),
            owner: record.key.owner.map(|owner| owner.as_str().to_owned()),
            id: record.key.id,
            version: record.version,
            document: record.document,
            sealed: record.sealed.map(|sealed| STANDARD.encode(sealed)),
            unique: record.unique,
            is_final: record.is_final,
            subject: record.index.subject,
            client: record.index.client,
            kept_until: record.index.kept_until.map(Timestamp::millis),
        },
        Entry::LastUse(row) => Line::LastUse {
            client: row.client,
            credential: row.credential,
            at: row.at,
        },
        Entry::Event(row) => Line::Event {
            sequence: row.sequence,
            at: row.at,
            issuer: row.issuer.map(Text::of),
            document: Text::of(row.document),
            hash: row.hash.map(|hash| STANDARD.encode(hash)),
        },
        Entry::End => Line::End,
    };
    serde_json::to_writer(&mut *output, &line)?;
    output.push(b'\n');
    Ok(())
}

/// Reads a line, without its line feed.
pub(super) fn read(line: &[u8]) -> Result<Entry, InvalidRow> {
    Ok(match serde_json::from_slice(line)? {
        Line::Head { sequence, hash } => Entry::Head(StoredHead {
            sequence,
            hash: decode(&hash)?,
        }),
        Line::Record {
            kind,
            owner,
            id,
            version,
            document,
            sealed,
            unique,
            is_final,
            subject,
            client,
            kept_until,
        } => Entry::Record(Record {
            key: RecordKey {
                kind: Kind::parse(&kind).ok_or(InvalidRow::Kind)?,
                owner: owner.as_deref().map(name).transpose()?,
                id,
            },
            version,
            document,
            sealed: sealed.as_deref().map(decode).transpose()?,
            unique,
            is_final,
            token: Token::UNWRITTEN,
            index: RecordIndex {
                subject,
                client,
                kept_until: kept_until.map(Timestamp::from_millis),
            },
        }),
        Line::Setting { name, value } => Entry::Record(Record {
            sealed: Some(decode(&value)?),
            ..Record::unwritten(RecordKey::unowned(Kind::Setting, name), 1, String::new())
        }),
        Line::Issuer {
            name: issuer,
            path,
            version,
            document,
        } => Entry::Record(Record {
            unique: Some(path),
            ..Record::unwritten(RecordKey::issuer(&name(&issuer)?), version, document)
        }),
        Line::Key {
            issuer,
            kid,
            document,
            sealed,
        } => Entry::Record(Record {
            sealed: sealed.as_deref().map(decode).transpose()?,
            ..Record::unwritten(RecordKey::signing_key(&name(&issuer)?, &kid), 1, document)
        }),
        Line::Client {
            id,
            version,
            document,
        } => Entry::Record(Record::unwritten(
            RecordKey::unowned(Kind::Client, id),
            version,
            document,
        )),
        Line::Approval { id, document } => {
            let owner = issuer_of(&document);
            let key = RecordKey {
                owner,
                ..RecordKey::unowned(Kind::Approval, id)
            };
            Entry::Record(Record::unwritten(key, 1, document))
        }
        Line::LastUse {
            client,
            credential,
            at,
        } => Entry::LastUse(LastUse {
            client,
            credential,
            at,
        }),
        Line::Event {
            sequence,
            at,
            issuer,
            document,
            hash,
        } => Entry::Event(StoredEvent {
            sequence,
            at,
            issuer: issuer.map(Text::into_bytes).transpose()?,
            document: document.into_bytes()?,
            hash: hash.as_deref().map(decode).transpose()?,
        }),
        Line::End => Entry::End,
    })
}

/// The issuer that an approval's document names.
fn issuer_of(document: &str) -> Option<IssuerName> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
    }
    let document: Document = serde_json::from_str(document).ok()?;
    IssuerName::parse(&document.issuer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_as_they_were_written_whatever_their_bytes() {
        let issuer = IssuerName::parse("a").unwrap();
        let event = |issuer: Option<&[u8]>, document: &[u8], hash: Option<&[u8]>| {
            Entry::Event(StoredEvent {
                sequence: -1,
                at: i64::MAX,
                issuer: issuer.map(<[u8]>::to_vec),
                document: document.to_vec(),
                hash: hash.map(<[u8]>::to_vec),
            })
        };
        let key = |sealed: Option<&[u8]>| {
            let key = RecordKey::signing_key(&issuer, "k\u{0}\n\"");
            Entry::Record(Record {
                sealed: sealed.map(<[u8]>::to_vec),
                is_final: sealed.is_none(),
                ..Record::unwritten(key, 3, "é\r\n".to_owned())
            })
        };
        let entries = [
            Entry::Head(StoredHead {
                sequence: 7,
                hash: vec![0, 255],
            }),
            Entry::Record(Record {
                sealed: Some(vec![10, 13, 0]),
                unique: Some("/path".to_owned()),
                ..Record::unwritten(RecordKey::unowned(Kind::Setting, "s"), 1, String::new())
            }),
            key(None),
            key(Some(&[])),
            key(Some(&[10])),
            Entry::Record(Record {
                index: RecordIndex {
                    subject: Some("a".to_owned()),
                    client: Some("b".to_owned()),
                    kept_until: Some(Timestamp::from_millis(5)),
                },
                ..Record::unwritten(
                    RecordKey::owned(Kind::Grant, &issuer, "g"),
                    1,
                    String::new(),
                )
            }),
            event(None, b"{}", None),
            event(Some(b"a"), b"\xff\xfe\n", Some(&[])),
            event(Some(b"\xff"), b"", Some(&[1; 32])),
            Entry::End,
        ];
        for entry in entries {
            let mut line = Vec::new();
            write(entry.clone(), &mut line).unwrap();
            assert_eq!(line.pop(), Some(b'\n'));
            assert!(!line.contains(&b'\n'));
            assert_eq!(read(&line).unwrap(), entry);
        }
    }
}
