//! What OpenSSL says about the listeners.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::authority::{Authority, Files};
use crate::support::{report, start};

/// Whether `openssl` is there. If not it is said loudly: this is a second opinion, and it is missed.
fn is_missing() -> bool {
    let found = Command::new("openssl").arg("version").output();
    if found.is_ok_and(|output| output.status.success()) {
        return false;
    }
    report("SKIPPED: OpenSSL's opinion on TLS: openssl is missing");
    true
}

fn s_client(base: &str, roots: &std::path::Path, flags: &[&str]) -> Output {
    let mut child = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            base.strip_prefix("https://").unwrap(),
        ])
        .args(["-verify_return_error", "-verify_ip", "127.0.0.1", "-CAfile"])
        .arg(roots)
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    // It closes early when the handshake fails.
    let _ = child.stdin.take().unwrap().write_all(request);
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    let streams = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&streams).into_owned()
}

#[test]
fn openssl_gets_tls_1_3_and_1_2_with_forward_secrecy_and_nothing_older() {
    if is_missing() {
        return;
    }
    let own = Authority::new();
    let files = Files::new(&own.server());
    let roots = files.add("roots.pem", &own.pem);
    let server = start(&files.settings());
    for base in [&server.public, &server.internal] {
        for (flags, protocol, ciphers) in [
            (
                ["-tls1_3", "-alpn", "h2,http/1.1"],
                "TLSv1.3",
                &[
                    "TLS_AES_256_GCM_SHA384",
                    "TLS_AES_128_GCM_SHA256",
                    "TLS_CHACHA20_POLY1305_SHA256",
                ],
            ),
            (
                ["-tls1_2", "-alpn", "h2,http/1.1"],
                "TLSv1.2",
                &[
                    "ECDHE-ECDSA-AES256-GCM-SHA384",
                    "ECDHE-ECDSA-AES128-GCM-SHA256",
                    "ECDHE-ECDSA-CHACHA20-POLY1305",
                ],
            ),
        ] {
            let output = s_client(base, &roots, &flags);
            let said = said(&output);
            assert!(output.status.success(), "{said}");
            assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
            assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
            let new = said.lines().find(|line| line.starts_with("New, ")).unwrap();
            assert!(new.contains(protocol), "{new}");
            assert!(ciphers.iter().any(|cipher| new.ends_with(cipher)), "{new}");
        }
        for old in ["-tls1_1", "-tls1"] {
            // At its usual level OpenSSL does not even ask for these.
            let output = s_client(base, &roots, &[old, "-cipher", "ALL:@SECLEVEL=0"]);
            let said = said(&output);
            assert!(!output.status.success(), "{said}");
            assert!(said.contains("SSL alert number"), "{said}");
        }
        for cipher in [
            "AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES128-SHA",
            "DHE-RSA-AES128-GCM-SHA256",
        ] {
            let output = s_client(base, &roots, &["-tls1_2", "-cipher", cipher]);
            assert!(!output.status.success(), "{cipher}: {}", said(&output));
        }
        let output = s_client(base, &roots, &["-tls1_3", "-alpn", "h2"]);
        assert!(!output.status.success(), "{}", said(&output));
    }
}
