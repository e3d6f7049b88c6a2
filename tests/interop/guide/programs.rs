//! The programs of docs/verifiers.md, taken from the page and started.
//!
//! A fenced block whose info string is `LANGUAGE run FILE` is one; `typ=TYPE` behind that says which
//! type of token it is for, if not `JWT`. Only addresses are changed, and what a test asks for.
//!
//! `LANGUAGE library FILE` is a file that follows revocations, and `diff follows FILE` is what it takes
//! to make the program of that name use it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use crate::support::gateway::{self, Running, free_port, run, run_envoy, run_nginx, runs, wanted};
use crate::support::page::blocks;
use crate::support::{Answer, report, request};
use crate::verifiers::{self, Dialogue};

/// The page's literal for the issuer's URL.
const ISSUER: &str = "http://127.0.0.1:8080";

/// A program of the page that accepts or refuses tokens.
pub(super) struct Program {
    pub(super) file: String,
    /// The type of token that it is for.
    pub(super) typ: String,
    inner: Inner,
}

enum Inner {
    /// One token a line, one answer a line.
    Lines(Dialogue),
    /// A proxy in front of a service that answers with the subject it was told.
    Proxy {
        url: String,
        _processes: Vec<Running>,
    },
}

impl Program {
    /// What the program makes of a token: the subject, or why not.
    pub(super) fn verify(&mut self, token: &str) -> Result<String, String> {
        match &mut self.inner {
            Inner::Lines(dialogue) => {
                let answer = dialogue.tell(token);
                match answer.split_once(' ') {
                    Some(("ok", subject)) => Ok(subject.to_owned()),
                    Some(("refused", why)) if !why.is_empty() => Err(why.to_owned()),
                    _ => panic!("{} answers {answer:?}", self.file),
                }
            }
            Inner::Proxy { url, .. } => {
                // A client that names a subject itself must not get away with it.
                let headers = [
                    ("authorization", format!("Bearer {token}")),
                    ("x-subject", "intruder".to_owned()),
                ];
                let answer = request("GET", url, &headers, None);
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                match answer.status {
                    200 => Ok(body),
                    401 | 403 => Err(format!("{} {body}", answer.status)),
                    status => panic!("{} answers {status}: {body}", self.file),
                }
            }
        }
    }
}

/// The folder of the programs, with what they need to run.
pub(super) struct Workshop {
    folder: TempDir,
    /// The programs by file name: the type of token and the text.
    texts: HashMap<String, (String, String)>,
    /// Programs that no test has started or skipped yet.
    left: Vec<String>,
    /// What follows revocations, by language.
    libraries: HashMap<String, Library>,
}

/// A file that follows revocations, and the program that uses it.
struct Library {
    file: String,
    text: String,
    /// The program's name, and what is different in it.
    follows: Option<(String, String)>,
}

impl Workshop {
    /// Reads the page, and puts a live issuer into each program.
    pub(super) fn open(issuer_of: impl Fn(&str) -> String) -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verifiers.md");
        let page = std::fs::read_to_string(page).expect("docs/verifiers.md");
        let mut texts = HashMap::new();
        let mut left = Vec::new();
        let mut libraries: HashMap<String, Library> = HashMap::new();
        for block in blocks(&page) {
            let mut words = block.info.split_whitespace();
            let (_, kind) = (words.next(), words.next());
            let Some(kind @ ("run" | "library" | "follows")) = kind else {
                continue;
            };
            let file = words.next().expect("a file name").to_owned();
            let (_, language) = file.rsplit_once('.').expect("a file of a language");
            match kind {
                "library" => {
                    let library = Library {
                        file: file.clone(),
                        text: block.body,
                        follows: None,
                    };
                    libraries.insert(language.to_owned(), library);
                    continue;
                }
                "follows" => {
                    let library = libraries.get_mut(language).expect("it stands above");
                    library.follows = Some((file, block.body));
                    continue;
                }
                _ => {}
            }
            let typ = words.next().and_then(|word| word.strip_prefix("typ="));
            let issuer = issuer_of(&file);
            let authority = issuer.trim_start_matches("http://");
            let port = authority.split(['/', ':']).nth(1).expect("a port");
            let text = block
                .body
                .replace(ISSUER, &issuer)
                .replace("port_value: 8080", &format!("port_value: {port}"));
            // nginx itself knows no issuer; its verifier does.
            assert!(
                file == "nginx.conf" || text.contains(&issuer),
                "{file} has no issuer"
            );
            left.push(file.clone());
            texts.insert(file, (typ.unwrap_or("JWT").to_owned(), text));
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self {
            folder,
            texts,
            left,
            libraries,
        }
    }

    /// Starts every program that follows revocations and for which there is a toolchain, and says which it
    /// has left out.
    pub(super) fn start_following(mut self) -> (Vec<Program>, TempDir) {
        for library in self.libraries.values() {
            let (file, difference) = library.follows.as_ref().expect("a program uses it");
            let (_, text) = self.texts.get_mut(file).expect("the page has the program");
            *text = changed(text, difference);
        }
        let used = self
            .libraries
            .values()
            .filter_map(|one| one.follows.clone());
        self.left = used.map(|(file, _)| file).collect();
        let mut programs = Vec::new();
        self.start_node(&mut programs);
        self.start_python(&mut programs);
        self.start_go(&mut programs);
        self.start_java(&mut programs);
        assert_eq!(self.left, Vec::<String>::new(), "no test runs these");
        (programs, self.folder)
    }

    /// Those of these programs that are to be started.
    fn still_left<'f>(&self, files: &[&'f str]) -> Vec<&'f str> {
        let is_left = |file: &&&str| self.left.iter().any(|left| left == **file);
        files.iter().filter(is_left).copied().collect()
    }

    /// Starts every program for which there is a toolchain, and says which it has left out.
    pub(super) fn start_all(mut self) -> (Vec<Program>, TempDir) {
        // The programs as they stand on the page need none.
        self.libraries.clear();
        let mut programs = Vec::new();
        self.start_node(&mut programs);
        self.start_python(&mut programs);
        self.start_go(&mut programs);
        self.start_java(&mut programs);
        self.start_nginx(&mut programs);
        self.start_envoy(&mut programs);
        assert_eq!(self.left, Vec::<String>::new(), "no test runs these");
        (programs, self.folder)
    }

    fn start_node(&mut self, programs: &mut Vec<Program>) {
        let files = self.still_left(&["verify-jose.mjs", "verify-jwks-rsa.mjs"]);
        let Some(folder) = verifiers::node() else {
            return self.leave_out(&files);
        };
        let modules = folder.join("node_modules");
        std::os::unix::fs::symlink(modules, self.folder.path().join("node_modules"))
            .expect("a link");
        for file in files {
            self.write_library(file, self.folder.path());
            let mut command = Command::new("node");
            command.arg(self.write(file, ""));
            programs.push(self.lines(file, command));
        }
    }

    fn start_python(&mut self, programs: &mut Vec<Program>) {
        let files = self.still_left(&["verify_pyjwt.py", "verify_joserfc.py", "verify_authlib.py"]);
        let Some(python) = verifiers::python() else {
            return self.leave_out(&files);
        };
        for file in files {
            self.write_library(file, self.folder.path());
            let mut command = Command::new(&python);
            command.arg("-B").arg(self.write(file, ""));
            programs.push(self.lines(file, command));
        }
    }

    fn start_go(&mut self, programs: &mut Vec<Program>) {
        let files = self.still_left(&["verify-go-oidc.go", "verify-keyfunc.go"]);
        if let Err(why) = wanted("GO", runs("go", &["version"])) {
            report(&format!("SKIPPED: go-oidc, keyfunc: {why}"));
            return self.leave_out(&files);
        }
        let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/go");
        for file in files {
            let source = self.write(file, file.trim_end_matches(".go"));
            let folder = source.parent().expect("a folder");
            self.write_library(file, folder);
            for name in ["go.mod", "go.sum"] {
                std::fs::copy(pinned.join(name), folder.join(name)).expect("a copy");
            }
            let built = Command::new("go")
                .args(["build", "-o", "program", "."])
                // Not one that go would fetch because go.mod asks for a newer one.
                .env("GOTOOLCHAIN", "local")
                .current_dir(folder)
                .output()
                .expect("go runs");
            let errors = String::from_utf8_lossy(&built.stderr);
            assert!(built.status.success(), "{file}: {errors}");
            programs.push(self.lines(file, Command::new(folder.join("program"))));
        }
    }

    fn start_java(&mut self, programs: &mut Vec<Program>) {
        let files = self.still_left(&["VerifyNimbus.java", "VerifySpring.java"]);
        let jars = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/java");
        let available = runs("java", &["-version"]).and_then(|()| {
            let hint = "their jars are not there: run scripts/test";
            jars.is_dir().then_some(()).ok_or(hint.to_owned())
        });
        if let Err(why) = wanted("JAVA", available) {
            report(&format!("SKIPPED: Nimbus, Spring Security: {why}"));
            return self.leave_out(&files);
        }
        for file in files {
            let classes = self.compile_java(file, &jars.join("*"));
            let mut path = classes.into_os_string();
            path.push(":");
            path.push(jars.join("*"));
            let mut command = Command::new("java");
            command
                .args(["-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp"])
                .arg(path)
                .arg(file.trim_end_matches(".java"));
            programs.push(self.lines(file, command));
        }
    }

    /// Compiles a program with the library that it may use; the folder of its classes.
    fn compile_java(&self, file: &str, jars: &Path) -> PathBuf {
        let source = self.write(file, file.trim_end_matches(".java"));
        let folder = source.parent().expect("a folder").to_owned();
        let mut sources = vec![source];
        sources.extend(self.write_library(file, &folder));
        let built = Command::new("javac")
            .arg("-cp")
            .arg(jars)
            .arg("-d")
            .arg(&folder)
            .args(sources)
            .output()
            .expect("javac runs");
        let errors = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{file}: {errors}");
        folder
    }

    /// Writes the library beside the program that follows with it, if this one does.
    fn write_library(&self, program: &str, folder: &Path) -> Option<PathBuf> {
        let uses = |library: &&Library| {
            library
                .follows
                .as_ref()
                .is_some_and(|(file, _)| file == program)
        };
        let library = self.libraries.values().find(uses)?;
        let path = folder.join(&library.file);
        std::fs::write(&path, format!("{}\n", library.text)).expect("a file");
        Some(path)
    }

    fn start_nginx(&mut self, programs: &mut Vec<Program>) {
        let files = ["nginx.conf", "auth-service.mjs"];
        let nginx = match gateway::nginx() {
            Ok(program) => program,
            Err(why) => {
                report(&format!("SKIPPED: nginx: {why}"));
                return self.leave_out(&files);
            }
        };
        if verifiers::node().is_none() {
            report("SKIPPED: nginx: its verifier is a Node program");
            return self.leave_out(&files);
        }
        let (verifier, front, behind) = (free_port(), free_port(), echo_subject());
        self.replace(
            "auth-service.mjs",
            "listen(9000",
            &format!("listen({verifier}"),
        );
        self.replace(
            "nginx.conf",
            "127.0.0.1:9000",
            &format!("127.0.0.1:{verifier}"),
        );
        self.replace(
            "nginx.conf",
            "127.0.0.1:8000",
            &format!("127.0.0.1:{front}"),
        );
        self.replace(
            "nginx.conf",
            "127.0.0.1:3000",
            &format!("127.0.0.1:{behind}"),
        );
        let mut service = Command::new("node");
        service.arg(self.write("auth-service.mjs", ""));
        let service = run(service, verifier, "auth-service.mjs");
        let proxy = run_nginx(&nginx, self.folder.path(), self.text("nginx.conf"), front);
        programs.push(self.proxy("nginx.conf", front, vec![proxy, service]));
    }

    fn start_envoy(&mut self, programs: &mut Vec<Program>) {
        let file = "envoy.yaml";
        let envoy = match gateway::envoy() {
            Ok(program) => program,
            Err(why) => {
                report(&format!("SKIPPED: Envoy: {why}"));
                return self.leave_out(&[file]);
            }
        };
        let (front, behind) = (free_port(), echo_subject());
        self.replace(file, "port_value: 10000", &format!("port_value: {front}"));
        self.replace(file, "port_value: 3000", &format!("port_value: {behind}"));
        let process = run_envoy(&envoy, self.folder.path(), self.text(file), front);
        programs.push(self.proxy(file, front, vec![process]));
    }

    /// Writes a program's text to a file in the folder or one below it.
    fn write(&self, file: &str, below: &str) -> PathBuf {
        let folder = self.folder.path().join(below);
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(file);
        std::fs::write(&path, format!("{}\n", self.text(file))).expect("a file");
        path
    }

    fn text(&self, file: &str) -> &str {
        let text = self.texts.get(file);
        let (_, text) = text.unwrap_or_else(|| panic!("the page has no {file}"));
        text
    }

    /// Changes a program's text where the page stands for something that the test has to choose.
    pub(super) fn replace(&mut self, file: &str, from: &str, to: &str) {
        let (_, text) = self
            .texts
            .get_mut(file)
            .unwrap_or_else(|| panic!("no {file}"));
        assert!(text.contains(from), "{file} has no {from:?}");
        *text = text.replace(from, to);
    }

    fn leave_out(&mut self, files: &[&str]) {
        self.left.retain(|left| !files.contains(&left.as_str()));
    }

    fn lines(&mut self, file: &str, command: Command) -> Program {
        let dialogue = Dialogue::start(file.to_owned(), command);
        self.program(file, Inner::Lines(dialogue))
    }

    fn proxy(&mut self, file: &str, port: u16, processes: Vec<Running>) -> Program {
        self.leave_out(&["auth-service.mjs"]);
        let url = format!("http://127.0.0.1:{port}/orders");
        self.program(
            file,
            Inner::Proxy {
                url,
                _processes: processes,
            },
        )
    }

    fn program(&mut self, file: &str, inner: Inner) -> Program {
        self.leave_out(&[file]);
        let typ = self.texts[file].0.clone();
        Program {
            file: file.to_owned(),
            typ,
            inner,
        }
    }
}

/// A text with the lines that a difference adds, without those that it takes away. Its parts are
/// separated by `@@`; what each of them has around stands in the text once.
fn changed(text: &str, difference: &str) -> String {
    let mut text = format!("{text}\n");
    for part in difference.split("@@\n") {
        let without = |sign: char| -> String {
            let lines = part.lines().filter(|line| !line.starts_with(sign));
            lines.map(|line| format!("{}\n", &line[1..])).collect()
        };
        let (before, after) = (without('+'), without('-'));
        assert_eq!(text.matches(&before).count(), 1, "{before}");
        text = text.replace(&before, &after);
    }
    text
}

/// The service behind a proxy, which answers with the subject that it was told; its port.
fn echo_subject() -> u16 {
    serve(|head| {
        let mut subject = String::new();
        for line in head.lines() {
            match line.split_once(':') {
                // All of them, so that one that a client smuggled in would be seen.
                Some((name, value)) if name.eq_ignore_ascii_case("x-subject") => {
                    subject.push_str(value.trim());
                }
                Some((name, _)) if name.eq_ignore_ascii_case("authorization") => {
                    subject.push_str(" and a token");
                }
                _ => {}
            }
        }
        subject
    })
}

/// Answers each request with what `answer` makes of its head, until the test's process ends.
pub(super) fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> u16 {
    serve_answers(move |head| {
        Some(Answer {
            status: 200,
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: answer(head).into_bytes(),
        })
    })
}

/// The same with whole answers; `None` hangs up.
pub(super) fn serve_answers(
    answer: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let mut head = String::new();
                let other_end = stream.try_clone().expect("a second handle");
                let lines = BufReader::new(other_end.take(16_384)).lines();
                for line in lines
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                {
                    head.push_str(&line);
                    head.push('\n');
                }
                let Some(answer) = answer(&head) else { return };
                let kind = answer.header("content-type").unwrap_or("text/plain");
                let _ = write!(
                    stream,
                    "HTTP/1.1 {} OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n",
                    answer.status,
                    answer.body.len(),
                );
                let _ = stream.write_all(&answer.body);
            });
        }
    });
    port
}
