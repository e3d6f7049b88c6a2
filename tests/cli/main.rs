//! The command line as people meet it: each case file holds commands and all that they answer.
//!
//! Only what works without a server is here; the commands that need one are tested against a
//! real one. `TRYCMD=overwrite cargo test --test cli` writes the answers down anew.

mod process;

#[test]
fn the_command_line_answers_as_its_case_files_say() {
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .case("tests/cli/cases/*.trycmd");
}
