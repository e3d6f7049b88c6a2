//! Wrong usage: exit code 2, and no secret in the explanation.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Prints what the argument parser has to say: help, the version, or what was wrong.
///
/// It repeats arguments that it does not understand. A token or a credential in the wrong place
/// is still a secret, so it is redacted.
pub(super) fn explain(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let code = u8::try_from(error.exit_code()).map_or(ExitCode::from(2), ExitCode::from);
    let plain = error.render().to_string();
    let redacted = redact(&plain, arguments);
    if redacted == plain {
        // Nothing can be done about a terminal that is gone.
        drop(error.print());
    } else {
        drop(write!(io::stderr(), "{redacted}"));
    }
    code
}

fn redact(text: &str, arguments: &[OsString]) -> String {
    let mut text = text.to_owned();
    let mut follows_flag = false;
    for argument in arguments {
        let argument = argument.to_string_lossy();
        let value = argument.strip_prefix("--token=").unwrap_or(&argument);
        if !value.is_empty() && (follows_flag || value != argument || is_secret(value)) {
            text = text.replace(value, "[hidden]");
        }
        follows_flag = argument == "--token";
    }
    text
}

/// Whether an argument has the form of a token, of a credential of ours, or of a URL with a
/// password.
fn is_secret(argument: &str) -> bool {
    argument.starts_with("kw_")
        || (argument.starts_with("ey") && argument.contains('.'))
        || (argument.contains("://") && argument.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_credentials_in_the_wrong_place_are_not_repeated() {
        for arguments in [
            ["keywright", "--token", "s3cret"],
            ["keywright", "x", "--token=s3cret"],
        ] {
            let arguments = arguments.map(OsString::from);
            let text = redact("unexpected argument 's3cret'", &arguments);
            assert_eq!(text, "unexpected argument '[hidden]'");
        }
        let arguments = ["keywright", "token", "eyJh.eyJz.c2ln"].map(OsString::from);
        let text = redact("unrecognized subcommand 'eyJh.eyJz.c2ln'", &arguments);
        assert_eq!(text, "unrecognized subcommand '[hidden]'");
    }
}
