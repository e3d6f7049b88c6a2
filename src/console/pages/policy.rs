//! The policy of an issuer is changed in three steps: change it, see what that does, put it in force.

use axum::extract::Path;
use axum::response::Response;
use keywright_api as api;
use maud::{Markup, html};
use serde_json::Value;

use super::chart::{Span, Timeline};
use super::issuer::{OUTLOOK, awaits, path as issuer_path, show as show_issuer};
use super::plan_changes;
use super::policy_fields::{self, Edited};
use crate::access::Role;
use crate::console::api::{Outcome, of_issuer};
use crate::console::elements::{
    Heading, Row, Tone, alert, not_done, notice, refused, sentence, table, visible,
};
use crate::console::event_words::moments;
use crate::console::form::Submitted;
use crate::console::layout::{Page, Place, crumbs, form_token};
use crate::console::policy_form::{Difference, Field, differences, document, fields, shown};
use crate::console::policy_words;
use crate::console::response::PageStatus;
use crate::console::session::SignedIn;
use crate::console::timeline::lives;
use crate::oauth::Form;

/// The policy in force, and the fields that it has.
struct InForce {
    issuer: api::Issuer,
    /// The entity tag of the issuer's document.
    tag: String,
    document: Value,
    fields: Vec<Field>,
}

impl InForce {
    async fn read(signed: &SignedIn, name: &str) -> Result<Self, api::Problem> {
        let path = of_issuer(name, "");
        let (issuer, tag) = signed.calls().get_tagged::<api::Issuer>(&path).await?;
        Ok(Self {
            tag,
            document: serde_json::to_value(&issuer.policy).unwrap_or_default(),
            fields: fields(&issuer.policy),
            issuer,
        })
    }

    fn name(&self) -> &str {
        self.issuer.name.as_str()
    }
}

/// What was sent.
struct Proposal {
    /// The policy, as it was typed.
    document: Value,
    /// The entity tag of the issuer's document that the form was made of.
    tag: String,
    /// The policy whose effect the person has seen, as JSON.
    seen: String,
    span: Span,
}

impl Proposal {
    fn read(in_force: &InForce, form: &Form) -> Self {
        let span = form.get("span").unwrap_or_default();
        let span = Span::ALL.into_iter().find(|one| one.as_str() == span);
        Self {
            document: document(&in_force.fields, form),
            tag: form.get("tag").unwrap_or_default().to_owned(),
            seen: form.get("seen").unwrap_or_default().to_owned(),
            span: span.unwrap_or(Span::Weeks),
        }
    }

    fn was_seen(&self) -> bool {
        let seen = serde_json::from_str::<Value>(&self.seen);
        seen.is_ok_and(|seen| seen == self.document)
    }
}

fn path(issuer: &str) -> String {
    format!("{}/policy", issuer_path(issuer))
}

pub(in crate::console) async fn page(Path(name): Path<String>, signed: SignedIn) -> Response {
    match InForce::read(&signed, &name).await {
        Ok(in_force) => {
            let proposal = Proposal {
                document: in_force.document.clone(),
                tag: in_force.tag.clone(),
                seen: String::new(),
                span: Span::Weeks,
            };
            let edited = edited(&in_force, &proposal, None);
            show(&signed, &name, PageStatus::Ok, 1, &edited, &html! {}).await
        }
        Err(problem) => unreadable(&signed, &name, &problem).await,
    }
}

pub(in crate::console) async fn submit(
    Path(name): Path<String>,
    Submitted { signed, form }: Submitted,
) -> Response {
    let in_force = match InForce::read(&signed, &name).await {
        Ok(in_force) => in_force,
        Err(problem) => return unreadable(&signed, &name, &problem).await,
    };
    let proposal = Proposal::read(&in_force, &form);
    let is_final = form.get("act") == Some("save");
    if is_final && proposal.was_seen() {
        return save(&signed, &in_force, proposal).await;
    }
    let (status, note) = match is_final {
        true => {
            let rest =
                "The form was changed after what you saw below it. This is what it does now.";
            let note = alert(Tone::Warn, "Nothing has happened yet.", rest);
            (PageStatus::Invalid, note)
        }
        false => (PageStatus::Ok, html! {}),
    };
    simulate(&signed, &in_force, proposal, status, &note).await
}

/// Shows what a policy would do, below a note of why that is shown.
async fn simulate(
    signed: &SignedIn,
    in_force: &InForce,
    mut proposal: Proposal,
    status: PageStatus,
    note: &Markup,
) -> Response {
    let name = in_force.name();
    let effect = match effect(signed, in_force, &proposal).await {
        Ok(effect) => effect,
        Err(problem) => {
            let status = PageStatus::OfApi(problem.status);
            let edited = edited(in_force, &proposal, Some(&problem));
            let answer = wrong(in_force, &problem);
            return show(signed, name, status, 1, &edited, &answer).await;
        }
    };
    proposal.seen = proposal.document.to_string();
    let edited = edited(in_force, &proposal, None);
    let answer = html! { (note) (effect) };
    show(signed, name, status, 2, &edited, &answer).await
}

/// Puts a policy in force that the person has seen the effect of.
async fn save(signed: &SignedIn, in_force: &InForce, mut proposal: Proposal) -> Response {
    let (name, now) = (in_force.name(), signed.now());
    let calls = signed.calls();
    let (path, body) = (of_issuer(name, ""), &proposal.document);
    let set = calls.replace::<api::Issuer>(&path, &proposal.tag, body);
    let problem = match set.await {
        Ok(Outcome::Done(issuer)) => {
            let warnings = issuer.warnings.unwrap_or_default();
            let message = html! {
                (notice(Tone::Ok, "The policy is in force.", "What comes of it is below."))
                (warned(&warnings))
            };
            return show_issuer(signed, name, Span::Weeks, PageStatus::Ok, &message).await;
        }
        Ok(Outcome::Awaits(approval)) => {
            let edited = edited(in_force, &proposal, None);
            let answer = awaits(&approval, now);
            return show(signed, name, PageStatus::Ok, 3, &edited, &answer).await;
        }
        Err(problem) => problem,
    };
    let status = PageStatus::OfApi(problem.status);
    if problem.code.0 == "precondition-failed" {
        // What was seen was the difference from a policy that is no more.
        proposal.tag.clone_from(&in_force.tag);
        let rest = "The policy was changed since you opened this form. Below is what yours \
                    changes of it now, with all that you typed.";
        let note = alert(Tone::Danger, "Not done.", rest);
        return simulate(signed, in_force, proposal, status, &note).await;
    }
    let edited = edited(in_force, &proposal, Some(&problem));
    let answer = html! { (not_done(&problem)) };
    show(signed, name, status, 2, &edited, &answer).await
}

fn edited<'e>(
    in_force: &'e InForce,
    proposal: &'e Proposal,
    problem: Option<&'e api::Problem>,
) -> Edited<'e> {
    Edited {
        fields: &in_force.fields,
        document: &proposal.document,
        tag: &proposal.tag,
        seen: &proposal.seen,
        span: proposal.span,
        wrong: problem.and_then(|problem| {
            let field = policy_fields::wrong(&in_force.fields, problem)?;
            Some((field, problem.detail.as_str()))
        }),
    }
}

/// The page: the form, and below it what became of it.
async fn show(
    signed: &SignedIn,
    name: &str,
    status: PageStatus,
    step: usize,
    edited: &Edited<'_>,
    answer: &Markup,
) -> Response {
    let may_save = signed.caller.has(Role::Admin);
    let title = match may_save {
        true => "Change the policy",
        false => "Try another policy",
    };
    let has_seen = step == 2 && edited.wrong.is_none() && !edited.seen.is_empty();
    let form = html! {
        form.first method="post" action=(format!("{}#answer", path(name))) {
            (form_token(signed))
            (policy_fields::draw(edited))
            div.buttons {
                button name="act" value="simulate" class=[(!has_seen).then_some("main")] { "See what it does" }
                a href=(issuer_path(name)) { "Cancel" }
            }
            div.answer #answer { (answer) }
            @if has_seen { (save_buttons(may_save, name)) }
        }
    };
    let main = html! {
        (crumbs(&[("Issuers", "/console"), (name, &issuer_path(name))], title))
        div.title { h1 { (title) " of " (visible(name)) } }
        (steps(step, may_save))
        (form)
    };
    Page::new(title, Place::Issuers, main)
        .answer(status, signed)
        .await
}

fn save_buttons(may_save: bool, name: &str) -> Markup {
    html! {
        @if may_save {
            div.buttons {
                button.main name="act" value="save" { "Put this policy of " (name) " in force" }
                a href=(issuer_path(name)) { "Keep the policy as it is" }
            }
        } @else {
            p.muted.field { "You may look, not act: a policy is set by the role " code { "admin" } "." }
        }
    }
}

fn steps(current: usize, may_save: bool) -> Markup {
    let steps = ["1. Change it", "2. See what it does", "3. Put it in force"];
    let shown = if may_save { 3 } else { 2 };
    html! {
        ol.steps {
            @for (number, step) in (1..).zip(steps.iter().take(shown)) {
                li aria-current=[(number == current).then_some("step")] { (step) }
            }
        }
    }
}

async fn unreadable(signed: &SignedIn, name: &str, problem: &api::Problem) -> Response {
    let main = html! {
        (crumbs(&[("Issuers", "/console"), (name, &issuer_path(name))], "Policy"))
        div.title { h1 { "Policy of " (visible(name)) } }
        (refused(problem))
    };
    Page::new("Policy", Place::Issuers, main)
        .answer(PageStatus::OfApi(problem.status), signed)
        .await
}

/// What is wrong with a policy, with a link to the field if it is one's.
fn wrong(in_force: &InForce, problem: &api::Problem) -> Markup {
    let field = policy_fields::wrong(&in_force.fields, problem);
    let rest = html! {
        @match field {
            Some(field) => a href=(format!("#{}", policy_fields::id(field))) { (visible(&sentence(&problem.detail))) },
            None => (visible(&sentence(&problem.detail))),
        }
    };
    alert(Tone::Danger, "This is no policy that could be set.", rest)
}

fn warned(warnings: &[String]) -> Markup {
    html! {
        @for warning in warnings {
            (notice(Tone::Warn, "It is legal, but:", visible(&sentence(warning))))
        }
    }
}

/// What a policy would change: of the policy, and of what comes.
async fn effect(
    signed: &SignedIn,
    in_force: &InForce,
    proposal: &Proposal,
) -> Result<Markup, api::Problem> {
    let (calls, name) = (signed.calls(), in_force.name());
    let until = proposal.span.scale(signed.now()).until;
    let until = until.max(signed.now() + OUTLOOK);
    let plan = of_issuer(name, format!("/plan?until={until}"));
    let after = match calls.post::<api::Plan>(&plan, &proposal.document).await? {
        Outcome::Done(after) => after,
        Outcome::Awaits(_) => return Ok(html! {}),
    };
    let today: api::Plan = calls.get(&plan).await?;
    let keys: api::Keys = calls.get(&of_issuer(name, "/keys")).await?;
    let horizon = policy_words::horizon(&in_force.issuer.policy.0);
    let proposed: Option<api::Policy> = serde_json::from_value(proposal.document.clone()).ok();
    let horizon_after = proposed.as_ref().map_or(horizon, policy_words::horizon);
    let lives_today = lives(&keys.keys, &today, horizon);
    let lives_after = lives(&keys.keys, &after, horizon_after);
    let changed = differences(&in_force.fields, &in_force.document, &proposal.document);
    let timeline = |id, title: &str, lives, plan: &api::Plan| {
        let chart = Timeline {
            id,
            title: format!("{title}: life of the keys of {name}"),
            lives,
            moments: &moments(plan),
            span: proposal.span,
            now: plan.now.0,
        };
        html! { div { h3 { (title) } (chart.figure()) } }
    };
    Ok(html! {
        section aria-labelledby="changed" {
            h2 #changed { "What changes in the policy" }
            @if changed.is_empty() { p { "Nothing: this is the policy in force." } }
            @else { (difference_table(&changed)) }
            div.field { (warned(&after.warnings)) }
        }
        (plan_changes::section(&lives_today, &lives_after, &today, until))
        section aria-labelledby="beside" {
            h2 #beside { "Both timelines" }
            div.split {
                (timeline("today", "Today", &lives_today, &today))
                (timeline("after", "With this policy", &lives_after, &after))
            }
        }
    })
}

fn difference_table(changed: &[Difference<'_>]) -> Markup {
    let value = |value: &Option<Value>| {
        html! {
            @match value {
                Some(Value::Array(values)) => code { (visible(&values.iter().map(shown).collect::<Vec<_>>().join(", "))) },
                Some(value) => code { (visible(&shown(value))) },
                None => span.muted { "not said: its default" },
            }
        }
    };
    let rows: Vec<Row> = changed
        .iter()
        .map(|one| {
            Row::new(
                html! { code { (one.field.name) } },
                [value(&one.before), value(&one.after)],
            )
        })
        .collect();
    let headings = [
        Heading::Text("Member"),
        Heading::Text("In force"),
        Heading::Text("With this policy"),
    ];
    table(
        Some("narrow"),
        "Members of the policy that change",
        &headings,
        &rows,
    )
}
