//! Key files that are no text, which only the command line can see.

use std::fs;
use std::process::{Command, Stdio};

fn shell(folder: &std::path::Path, line: &str) {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Why the command refuses the file; nothing is sent anywhere.
fn refused(arguments: &[&str], folder: &std::path::Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args([
            "keys",
            "import",
            "--state",
            "retired",
            "--url",
            "http://127.0.0.1:1",
        ])
        .args(arguments)
        .current_dir(folder)
        .env("KEYWRIGHT_TOKEN", "none")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_binary_key_file_is_refused_with_the_command_that_converts_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shell(
        folder,
        "openssl genpkey -algorithm RSA -out pem && openssl pkey -in pem -outform DER -out der &&
         openssl pkey -in pem -pubout -outform DER -out public.der &&
         openssl req -x509 -key pem -subj /CN=a -out certificate.pem &&
         openssl x509 -in certificate.pem -outform DER -out certificate.der &&
         openssl pkcs12 -export -inkey pem -in certificate.pem -passout pass:a -out p12 &&
         iconv -t UTF-16 pem > utf-16",
    );
    fs::write(folder.join("jks"), b"\xfe\xed\xfe\xed\0\0\0\x02").unwrap();
    for (file, command) in [
        ("der", "openssl pkey -inform DER -in FILE"),
        ("public.der", "openssl pkey -pubin -inform DER -in FILE"),
        ("certificate.der", "openssl x509 -inform DER -in FILE"),
        ("p12", "openssl pkcs12 -in FILE"),
        ("jks", "keytool -importkeystore"),
        ("utf-16", "iconv -f UTF-16"),
    ] {
        for arguments in [
            &["--algorithm", "RS256", "--private-key", file][..],
            &["--public-key", file],
        ] {
            let said = refused(arguments, folder);
            assert!(said.contains(command) && said.contains(file), "{said}");
        }
    }
    fs::write(folder.join("set.json"), r#"{"keys":[]}"#).unwrap();
    let said = refused(&["--public-key", "set.json"], folder);
    assert!(said.contains("jq '.keys[0]' FILE"), "{said}");
    let said = refused(&["--public-key", "certificate.pem"], folder);
    assert!(
        said.contains("openssl x509 -in FILE -noout -pubkey"),
        "{said}"
    );
    // A private key is not silently reduced to its public half, and not repeated.
    let said = refused(&["--public-key", "pem"], folder);
    assert!(
        said.contains("invalid-public-key") && !said.contains("MII"),
        "{said}"
    );
    shell(folder, "openssl pkey -in pem -pubout -out public.pem");
    let said = refused(&["--public-key", "public.pem"], folder);
    assert!(said.contains("unreachable"), "{said}");
}
