//! What `--help` and the manual pages show of each command beside its options.

use clap::Command;

/// Commands with examples, by their names after `keywright`. A line that begins with `#` says what
/// the ones below it are for.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "",
        "keywright serve --config keywright.toml\nkeywright token sign --claim sub=user-1\n\
         keywright status",
    ),
    (
        "serve",
        "keywright serve --config keywright.toml --data-dir /var/lib/keywright",
    ),
    (
        "guard",
        "keywright guard --listen 127.0.0.1:9000 --issuer https://id.example --audience orders\n\
         keywright guard --config guard.toml",
    ),
    ("status", "keywright status\nkeywright status --json"),
    (
        "issuers set",
        "# Create an issuer, or change one member of its policy\n\
         keywright issuers set shop --set url=https://id.example/shop\n\
         keywright issuers set shop --set lead=24h --set rotation.every=30d\n\
         keywright issuers set shop --policy policy.json",
    ),
    (
        "issuers delete",
        "keywright issuers delete trial --reason \"the trial is over\"",
    ),
    (
        "keys list",
        "keywright keys list --issuer shop\nkeywright keys list --all --json",
    ),
    (
        "keys find",
        "# A key that leaked as a file, or through a token\n\
         keywright keys find leaked.pem\nkeywright keys find - < token.txt",
    ),
    (
        "keys history",
        "keywright keys history --at 2026-01-31T03:00:00Z\nkeywright keys history --at 2h",
    ),
    (
        "keys rotate",
        "keywright keys rotate --issuer shop\nkeywright keys rotate --algorithm RS256 --reason exercise",
    ),
    (
        "keys revoke",
        "# What would it mean? Then do it. What comes next: docs/leaked-key.md\n\
         keywright keys revoke leaked.pem --dry-run\n\
         keywright keys revoke leaked.pem --reason \"INC-4711: key in a public repository\"\n\
         # The successor may have leaked as well\n\
         keywright keys revoke leaked.pem --discard-successor --reason \"INC-4711: host compromised\"",
    ),
    (
        "keys import",
        "keywright keys import --private-key old.pem --algorithm ES256 --state pending\n\
         keywright keys import --public-key old.json --issuer shop",
    ),
    (
        "token sign",
        "keywright token sign --claim sub=user-1 --claim aud=orders\n\
         keywright token sign --issuer shop --alg RS256",
    ),
    ("token inspect", "keywright token inspect - < token.txt"),
    (
        "token verify",
        "keywright token verify - --jwks https://id.example/.well-known/jwks.json --issuer \
         https://id.example --audience orders",
    ),
    (
        "token revoke",
        "keywright token revoke - < token.txt\nkeywright token revoke 4HBnbsnDM3LJzQtvBP5rFQ",
    ),
    (
        "token consume",
        "keywright token consume - < token.txt\n\
         # At an issuer elsewhere, with the credential of a client with the role consumer in KEYWRIGHT_TOKEN\n\
         keywright token consume - --issuer-url https://id.example < token.txt",
    ),
    (
        "signals revoke",
        "keywright signals revoke user-1 --issuer-url https://id.example --token-file provider.secret",
    ),
    (
        "signals push",
        "keywright signals push event.jwt --issuer-url https://id.example --token-file provider.secret",
    ),
    (
        "ban",
        "keywright ban user-9 --reason \"INC-4712: fraud\" --wait\n\
         keywright ban --client web --until 2026-12-31T00:00:00Z --yes",
    ),
    (
        "unban",
        "keywright unban user-9\nkeywright unban --id b23a540b54f0e9f5a0be3428",
    ),
    (
        "logout",
        "keywright logout --session s-81\n# Everywhere\nkeywright logout --subject user-1",
    ),
    (
        "revocations",
        "keywright revocations\nkeywright revocations --subject user-9 --json",
    ),
    (
        "revocations show",
        "keywright revocations show b23a540b54f0e9f5a0be3428",
    ),
    (
        "revocations erase",
        "keywright revocations erase b23a540b54f0e9f5a0be3428 --yes",
    ),
    (
        "revocations everything",
        "keywright revocations everything --issuer shop --reason \"INC-4715: the login was broken into\"",
    ),
    (
        "grants list",
        "keywright grants list --subject user-9\nkeywright grants list --json",
    ),
    (
        "grants end",
        "keywright grants end 5f1c7a40d7b3e2968a90c4b1e6d2f873",
    ),
    (
        "plan",
        "keywright plan shop --until 90d\n# Under a policy that is not set\n\
         keywright plan shop --policy policy.json",
    ),
    (
        "clients create",
        "keywright clients create checkout --role issuer --audience orders --expires-in 90d\n\
         keywright clients create on-call --role security",
    ),
    (
        "clients check",
        "keywright clients check checkout --claim sub=user-1 --claim aud=orders",
    ),
    (
        "clients rotate",
        "keywright clients rotate checkout --overlap 1h",
    ),
    ("clients revoke", "keywright clients revoke checkout"),
    (
        "approvals confirm",
        "keywright approvals list\nkeywright approvals confirm 77c1a2b3c4d5e6f7",
    ),
    (
        "audit",
        "keywright audit --tail 20\nkeywright audit --since 2h --event key-revoked\n\
         keywright audit --issuer shop --follow",
    ),
    (
        "audit token",
        "keywright audit token 4HBnbsnDM3LJzQtvBP5rFQ",
    ),
    (
        "audit verify",
        "keywright audit verify\nkeywright audit verify --file audit.jsonl",
    ),
    ("console", "keywright console\nkeywright console --print"),
    ("backup", "keywright backup --output keywright.backup"),
    (
        "restore",
        "keywright restore --from keywright.backup --register register.json --config keywright.toml",
    ),
    (
        "completions",
        "keywright completions bash > /etc/bash_completion.d/keywright\n\
         keywright completions zsh > /usr/local/share/zsh/site-functions/_keywright",
    ),
    (
        "man",
        "keywright man | man -l -\nkeywright man --output /usr/local/share/man/man1",
    ),
];

/// Where `-h` says the rest is.
const REST: &str = "--help has examples and the options that every command takes, such as --json and \
                    --url.";

/// Gives every command its examples, and a short help that says where the rest is.
pub(super) fn added_to(command: Command) -> Command {
    add(command, "")
}

fn add(command: Command, path: &str) -> Command {
    let examples = EXAMPLES.iter().find(|(of, _)| *of == path);
    let long = examples.map_or_else(String::new, |(_, text)| {
        format!("Examples:\n  {}", text.replace('\n', "\n  "))
    });
    let command = command.after_help(REST).after_long_help(long);
    let path = path.to_owned();
    command.mut_subcommands(move |subcommand| {
        let path = format!("{path} {}", subcommand.get_name());
        add(subcommand, path.trim_start())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a line as a shell passes them on: quotes keep spaces together, and what is
    /// redirected is no argument.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (index, part) in line.split('"').enumerate() {
            match index % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        let end = words
            .iter()
            .position(|word| ["<", ">", "|"].contains(&word.as_str()));
        words.truncate(end.unwrap_or(words.len()));
        words
    }

    #[test]
    fn every_example_is_a_command_that_is_understood() {
        for (path, examples) in EXAMPLES {
            let lines = examples.lines().filter(|line| !line.starts_with('#'));
            for line in lines {
                let arguments = words(line);
                let read = crate::cli::arguments::command().try_get_matches_from(&arguments);
                assert!(read.is_ok(), "{line}: {}", read.unwrap_err());
                assert!(line.starts_with("keywright"), "{line}");
            }
            let mut command = &crate::cli::arguments::command();
            for name in path.split_whitespace() {
                command = command
                    .find_subcommand(name)
                    .expect("a command with examples");
            }
        }
    }
}
