//! Whose tokens a key has signed that are still alive, counted in the log's own files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::DateTime;
use keywright_verifier::Kid;
use serde::Deserialize;

use crate::lifecycle::Timestamp;

/// How much of the log is read, the newest part of it: a quarter of a million tokens.
const LONGEST: u64 = 64 << 20;

/// The most clients, and the most audiences, that are counted apart.
const MOST_COUNTED: usize = 10_000;

/// The most clients, and the most audiences, that an answer names.
const MOST_NAMED: usize = 100;

/// Which tokens are counted.
#[derive(Debug, Clone)]
pub struct LiveTokensOf {
    /// The issuer's name.
    pub issuer: String,
    /// The key that signed them.
    pub kid: Kid,
    /// The earliest instant at which one that is alive may have been signed.
    pub signed_since: Timestamp,
    /// They expire after this.
    pub now: Timestamp,
}

/// The live tokens of a key, as far as the log of one process has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveTokens {
    /// How many.
    pub tokens: u64,
    /// Whose they are, most tokens first: a hundred at most.
    pub clients: Vec<Share>,
    /// Whom they are for, most tokens first: a hundred at most. A token may have several audiences.
    pub audiences: Vec<Share>,
    /// From when on the log was read; `None` when it has no line.
    pub read_since: Option<Timestamp>,
    /// Whether that is early enough: every live token that this process has signed is counted.
    pub complete: bool,
}

/// Some of the tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The client's id, or the audience.
    pub name: String,
    /// How many.
    pub tokens: u64,
    /// When the last of them expires, in Unix seconds.
    pub expires_at: u64,
}

/// What is read of a line.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    decision: Cow<'a, str>,
    client: Cow<'a, str>,
    issuer: Cow<'a, str>,
    kid: Option<Cow<'a, str>>,
    exp: Option<u64>,
    aud: Option<Audience<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Several(#[serde(borrow)] Vec<Cow<'a, str>>),
}

/// Counts in the log at `path`, and in what it was renamed to: files beside it whose names begin
/// with its name, but for compressed ones.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn count(path: &Path, of: &LiveTokensOf) -> io::Result<LiveTokens> {
    let (mut counted, mut left) = (Counted::default(), LONGEST);
    for file in newest_first(path)? {
        let file = match File::open(file) {
            // It was renamed or deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let begins = counted.read(file, &mut left, of)?;
        counted.since = begins.or(counted.since);
        if left == 0 || counted.since.is_some_and(|since| since <= of.signed_since) {
            break;
        }
    }
    Ok(LiveTokens {
        tokens: counted.tokens,
        clients: largest(counted.clients),
        audiences: largest(counted.audiences),
        read_since: counted.since,
        complete: counted.since.is_some_and(|since| since <= of.signed_since),
    })
}

fn newest_first(path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut renamed: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in folder.unwrap_or(Path::new(".")).read_dir()? {
        let entry = entry?;
        let found = entry.file_name();
        let found = found.to_string_lossy();
        let is_compressed = [".gz", ".bz2", ".xz", ".zst"]
            .iter()
            .any(|end| found.ends_with(end));
        if found == name || !found.starts_with(&*name) || is_compressed {
            continue;
        }
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            renamed.push((metadata.modified()?, entry.path()));
        }
    }
    renamed.sort_unstable_by(|one, other| other.cmp(one));
    let renamed = renamed.into_iter().map(|(_, path)| path);
    Ok(std::iter::once(path.to_owned()).chain(renamed).collect())
}

#[derive(Default)]
struct Counted {
    tokens: u64,
    clients: HashMap<String, (u64, u64)>,
    audiences: HashMap<String, (u64, u64)>,
    since: Option<Timestamp>,
}

impl Counted {
    /// Reads the end of a file, `left` octets at most. Answers the time of the first line that it
    /// has read.
    fn read(
        &mut self,
        mut file: File,
        left: &mut u64,
        of: &LiveTokensOf,
    ) -> io::Result<Option<Timestamp>> {
        let metadata = file.metadata()?;
        // A pipe has nothing to read back.
        if !metadata.is_file() {
            return Ok(None);
        }
        let length = metadata.len();
        let skipped = length.saturating_sub(*left);
        *left = left.saturating_sub(length);
        file.seek(SeekFrom::Start(skipped))?;
        let mut lines = BufReader::new(file.take(length - skipped));
        if skipped > 0 {
            lines.skip_until(b'\n')?;
        }
        let (mut begins, mut line) = (None, Vec::new());
        while lines.read_until(b'\n', &mut line)? > 0 {
            if let Ok(text) = std::str::from_utf8(&line)
                && (begins.is_none() || text.contains(of.kid.as_str()))
                && let Ok(read) = serde_json::from_str::<Read<'_>>(text)
            {
                begins = begins.or_else(|| timestamp(&read.time));
                self.count(&read, of);
            }
            line.clear();
        }
        Ok(begins)
    }

    fn count(&mut self, read: &Read<'_>, of: &LiveTokensOf) {
        let is_signed = read.decision == "signed" && read.issuer == of.issuer;
        if !is_signed || read.kid.as_deref() != Some(of.kid.as_str()) {
            return;
        }
        let Some(expires_at) = read.exp.filter(|end| *end > of.now.floor_seconds()) else {
            return;
        };
        self.tokens += 1;
        add(&mut self.clients, &read.client, expires_at);
        match &read.aud {
            None => {}
            Some(Audience::One(audience)) => add(&mut self.audiences, audience, expires_at),
            Some(Audience::Several(audiences)) => {
                for audience in audiences {
                    add(&mut self.audiences, audience, expires_at);
                }
            }
        }
    }
}

fn add(counted: &mut HashMap<String, (u64, u64)>, name: &str, expires_at: u64) {
    if let Some((tokens, last)) = counted.get_mut(name) {
        *tokens += 1;
        *last = expires_at.max(*last);
    } else if counted.len() < MOST_COUNTED {
        counted.insert(name.to_owned(), (1, expires_at));
    }
}

fn largest(counted: HashMap<String, (u64, u64)>) -> Vec<Share> {
    let shares = counted
        .into_iter()
        .map(|(name, (tokens, expires_at))| Share {
            name,
            tokens,
            expires_at,
        });
    let mut shares: Vec<Share> = shares.collect();
    shares.sort_unstable_by(|one, other| {
        let by_tokens = other.tokens.cmp(&one.tokens);
        by_tokens.then_with(|| one.name.cmp(&other.name))
    });
    shares.truncate(MOST_NAMED);
    shares
}

fn timestamp(text: &str) -> Option<Timestamp> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    let millis = u64::try_from(time.timestamp_millis()).ok()?;
    Some(Timestamp::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::super::line::{Decision, Line, LoggedClaims};
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn line(signed_at: u64, client: &str, audience: serde_json::Value, expires_at: u64) -> Vec<u8> {
        let kid = Kid::parse("k1").unwrap();
        let line = Line {
            time: Timestamp::from_seconds(signed_at),
            client,
            issuer: "shop",
            algorithm: None,
            claims: &LoggedClaims::of(|name| (name == "aud").then_some(&audience)),
            request_id: "r",
            decision: Decision::Signed {
                kid: &kid,
                jti: "j",
                expires_at,
            },
        };
        line.text()
    }

    fn of(kid: &str, signed_since: u64) -> LiveTokensOf {
        LiveTokensOf {
            issuer: "shop".to_owned(),
            kid: Kid::parse(kid).unwrap(),
            signed_since: Timestamp::from_seconds(signed_since),
            now: Timestamp::from_seconds(NOW),
        }
    }

    fn share(name: &str, tokens: u64, expires_at: u64) -> Share {
        Share {
            name: name.to_owned(),
            tokens,
            expires_at,
        }
    }

    #[test]
    fn live_tokens_are_counted_by_client_and_audience_over_renamed_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let web = line(NOW - 100, "web", json!("orders"), NOW + 5);
        let job = line(NOW - 90, "job", json!(["orders", "billing"]), NOW + 9);
        let expired = line(NOW - 80, "old", json!("orders"), NOW);
        fs::write(folder.path().join("log.1"), [web.clone(), expired].concat()).unwrap();
        fs::write(folder.path().join("log.2.gz"), "not text").unwrap();
        fs::write(folder.path().join("another"), web).unwrap();
        let later = line(NOW - 70, "web", json!(null), NOW + 7);
        fs::write(&path, [job, later, b"bro\xffken\n".to_vec()].concat()).unwrap();

        let counted = count(&path, &of("k1", NOW - 100)).unwrap();
        assert_eq!((counted.tokens, counted.complete), (3, true));
        let shares = [share("web", 2, NOW + 7), share("job", 1, NOW + 9)];
        assert_eq!(counted.clients, shares);
        let shares = [share("orders", 2, NOW + 9), share("billing", 1, NOW + 9)];
        assert_eq!(counted.audiences, shares);
        assert_eq!(counted.read_since, Some(Timestamp::from_seconds(NOW - 100)));

        let earlier = count(&path, &of("k1", NOW - 101)).unwrap();
        assert!(!earlier.complete, "the log begins later");
        assert_eq!(count(&path, &of("k2", NOW - 100)).unwrap().tokens, 0);
        let elsewhere = LiveTokensOf {
            issuer: "bank".to_owned(),
            ..of("k1", NOW - 100)
        };
        assert_eq!(count(&path, &elsewhere).unwrap().tokens, 0);
    }

    #[test]
    fn what_is_older_than_the_newest_part_is_left_out_and_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let one = line(NOW - 100, "web", json!("orders"), NOW + 5);
        let file = File::create(&path).unwrap();
        // Empty space takes no room on the disk.
        std::os::unix::fs::FileExt::write_all_at(&file, &one, 0).unwrap();
        let mut end = vec![b'\n'];
        end.extend(line(NOW - 50, "web", json!("orders"), NOW + 6));
        std::os::unix::fs::FileExt::write_all_at(&file, &end, LONGEST).unwrap();
        let counted = count(&path, &of("k1", NOW - 100)).unwrap();
        assert_eq!((counted.tokens, counted.complete), (1, false));
        assert_eq!(counted.read_since, Some(Timestamp::from_seconds(NOW - 50)));
    }

    #[test]
    fn names_are_bounded() {
        let mut counted = HashMap::new();
        for number in 0..=MOST_COUNTED {
            add(&mut counted, &format!("client-{number}"), NOW);
        }
        assert_eq!(counted.len(), MOST_COUNTED);
        assert_eq!(largest(counted).len(), MOST_NAMED);
    }
}
