//! A browser without scripts: it keeps cookies, says where its requests come from, and sends forms.

use std::collections::BTreeMap;

use crate::support::{Answer, Server, request, try_request};

/// A browser at one service.
pub struct Browser {
    base: String,
    pub cookies: BTreeMap<String, String>,
}

/// Text as a value of a form.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02x}"),
        })
        .collect()
}

pub fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let pairs = fields.iter();
    let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&").into_bytes()
}

pub const FORM: &str = "application/x-www-form-urlencoded";

pub fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).expect("UTF-8")
}

/// The value of the first hidden field of this name.
pub fn hidden(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let (_, rest) = page
        .split_once(&start)
        .unwrap_or_else(|| panic!("no field {name} in {page}"));
    rest.split('"').next().expect("a value").to_owned()
}

impl Browser {
    pub fn at(server: &Server) -> Self {
        Self {
            base: server.internal.clone(),
            cookies: BTreeMap::new(),
        }
    }

    /// Signed in with the credential.
    pub fn signed_in(server: &Server, credential: &str) -> Self {
        let mut browser = Self::at(server);
        let answer = browser.sign_in(credential);
        assert_eq!(answer.status, 303, "{}", text(&answer));
        browser
    }

    pub fn sign_in(&mut self, credential: &str) -> Answer {
        self.send(
            "/console/sign-in",
            &[("credential", credential), ("to", "")],
        )
    }

    pub fn get(&mut self, path: &str) -> Answer {
        let headers = self.headers(&[]);
        let answer = request("GET", &format!("{}{path}", self.base), &headers, None);
        self.keep(&answer);
        answer
    }

    /// A page that is there.
    pub fn page(&mut self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", text(&answer));
        text(&answer)
    }

    /// Sends a form as a page of the console does.
    pub fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send_from(&[("sec-fetch-site", "same-origin")], path, fields)
    }

    /// Sends a form of a page, with the token of the session.
    pub fn submit(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = hidden(page, "form_token");
        let mut all = vec![("form_token", token.as_str())];
        all.extend_from_slice(fields);
        self.send(path, &all)
    }

    /// Sends all fields of a form.
    pub fn send_all(&mut self, path: &str, fields: &[(String, String)]) -> Answer {
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.send(path, &fields)
    }

    /// Sends a form with headers that say where it comes from.
    pub fn send_from(
        &mut self,
        from: &[(&'static str, &str)],
        path: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        let headers = self.headers(from);
        let body = Some((FORM, form(fields)));
        let answer = request("POST", &format!("{}{path}", self.base), &headers, body);
        self.keep(&answer);
        answer
    }

    /// What sends a form of a page, with the token of the session, from another thread; nothing comes of it if
    /// the service ends meanwhile.
    pub fn sender(
        &self,
        page: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> impl FnOnce() -> Option<Answer> + Send + use<> {
        let token = hidden(page, "form_token");
        let mut all = vec![("form_token", token.as_str())];
        all.extend_from_slice(fields);
        let (url, body) = (format!("{}{path}", self.base), form(&all));
        let headers = self.headers(&[("sec-fetch-site", "same-origin")]);
        move || try_request("POST", &url, &headers, Some((FORM, body))).ok()
    }

    /// The same browser at a service that has started again.
    pub fn moved_to(self, server: &Server) -> Self {
        Self {
            base: server.internal.clone(),
            ..self
        }
    }

    fn headers(&self, more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let mut headers: Vec<_> = more
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        let cookies = self.cookies.iter();
        let cookies: Vec<String> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            headers.push(("cookie", cookies.join("; ")));
        }
        headers
    }

    fn keep(&mut self, answer: &Answer) {
        for (name, value) in &answer.headers {
            if !name.eq_ignore_ascii_case("set-cookie") {
                continue;
            }
            let pair = value.split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("a name and a value");
            match value.is_empty() {
                true => drop(self.cookies.remove(name)),
                false => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
            }
        }
    }
}

/// The fields that a browser would send of the form with this action, without a button.
pub fn fields(page: &str, action: &str) -> Vec<(String, String)> {
    let start = format!("action=\"{action}\"");
    let (_, form) = page
        .split_once(&start)
        .unwrap_or_else(|| panic!("no form {action} in {page}"));
    let form = form.split("</form>").next().expect("a form");
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        Some(unescaped(rest.split('"').next()?))
    };
    let mut sent = Vec::new();
    for element in form.split('<') {
        let (tag, text) = element.split_once('>').unwrap_or((element, ""));
        let is_box = tag.contains("type=\"checkbox\"") || tag.contains("type=\"radio\"");
        let name = attribute(tag, "name");
        match (tag.split(' ').next(), name) {
            (Some("input"), Some(name)) if !is_box || tag.contains(" checked") => {
                sent.push((name, attribute(tag, "value").unwrap_or_default()));
            }
            (Some("textarea"), Some(name)) => sent.push((name, unescaped(text))),
            (Some("select"), Some(name)) => sent.push((name, String::new())),
            (Some("option"), None) if tag.contains(" selected") => {
                let select = sent.last_mut().expect("a select");
                select.1 = attribute(tag, "value").unwrap_or_default();
            }
            _ => {}
        }
    }
    sent
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&quot;", "\"").replace("&lt;", "<");
    text.replace("&gt;", ">").replace("&amp;", "&")
}

/// The same fields with other values, and with a button.
pub fn changed(fields: &[(String, String)], others: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = fields.to_vec();
    all.retain(|(name, _)| others.iter().all(|(other, _)| other != name));
    let others = others.iter();
    all.extend(others.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    all
}
