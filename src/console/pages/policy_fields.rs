//! The fields of a policy's form.

use keywright_api as api;
use maud::{Markup, html};
use serde_json::Value;

use super::chart::Span;
use crate::console::elements::{sentence, visible};
use crate::console::policy_form::{Field, FieldKind, shown};

/// The largest text of a field, in characters.
const LONGEST: usize = 512;

/// A policy that is edited.
pub(super) struct Edited<'e> {
    /// The fields of a policy.
    pub(super) fields: &'e [Field],
    /// What stands in them.
    pub(super) document: &'e Value,
    /// The entity tag of the document that the form was made of.
    pub(super) tag: &'e str,
    /// The policy whose effect is shown, as JSON.
    pub(super) seen: &'e str,
    /// How much time the timelines show.
    pub(super) span: Span,
    /// The field that is wrong, if one is known to be, and why.
    pub(super) wrong: Option<(&'e Field, &'e str)>,
}

/// The field that a problem is about.
pub(super) fn wrong<'f>(fields: &'f [Field], problem: &api::Problem) -> Option<&'f Field> {
    let named = |field: &&Field| {
        let pointer = format!("/{}", field.name.replace('.', "/"));
        problem
            .pointer
            .as_deref()
            .is_some_and(|place| place == pointer || place.starts_with(&format!("{pointer}/")))
            || problem.field.as_deref() == Some(&field.name)
    };
    // A rule is told with the member that breaks it at its beginning.
    let told = |field: &&Field| {
        let rest = problem.detail.strip_prefix(&field.name);
        rest.is_some_and(|rest| rest.starts_with([' ', ':']))
    };
    let found = fields.iter().find(named);
    found.or_else(|| fields.iter().find(told))
}

/// The id of a field.
pub(super) fn id(field: &Field) -> String {
    format!("policy-{}", field.name.replace('.', "-"))
}

/// All fields, and what else the form brings along.
pub(super) fn draw(edited: &Edited<'_>) -> Markup {
    html! {
        input type="hidden" name="tag" value=(edited.tag);
        input type="hidden" name="seen" value=(edited.seen);
        div.fields {
            @for field in edited.fields { (draw_field(field, edited)) }
        }
        div.field {
            label for="span" { "Look ahead" }
            select.short #span name="span" {
                @for span in Span::ALL {
                    option value=(span.as_str()) selected[span == edited.span] { (span.name()) }
                }
            }
        }
    }
}

fn draw_field(field: &Field, edited: &Edited<'_>) -> Markup {
    let id = id(field);
    let wrong = edited.wrong.filter(|(wrong, _)| *wrong == field);
    let is_wrong = wrong.is_some();
    let value = field.value(edited.document);
    let text = value.map(shown).unwrap_or_default();
    let (hint, error) = (format!("{id}-hint"), format!("{id}-error"));
    let described = match is_wrong {
        true => format!("{hint} {error}"),
        false => hint.clone(),
    };
    let invalid = is_wrong.then_some("true");
    let about = html! {
        p.hint id=(hint) { (with_code(&field.meaning)) }
        @if let Some((_, why)) = wrong { p.error id=(error) { (visible(&sentence(why))) } }
    };
    let label = html! { label for=(id) { code { (field.name) } } };
    html! {
        div.field.wrong[is_wrong] {
            @match &field.kind {
                FieldKind::SomeOf(values) => {
                    fieldset aria-describedby=(described) {
                        legend { code { (field.name) } }
                        (about)
                        @for (number, one) in values.iter().enumerate() {
                            @let box_id = if number == 0 { id.clone() } else { format!("{id}-{number}") };
                            @let is_checked = value.and_then(Value::as_array).is_some_and(|all| all.contains(one));
                            div.choice {
                                input id=(box_id) type="checkbox" name=(field.box_name(one)) value="yes" checked[is_checked];
                                label for=(box_id) { code { (shown(one)) } }
                            }
                        }
                    }
                },
                FieldKind::OneOf(values) => {
                    (label) (about)
                    select id=(id) name=(field.name) aria-describedby=(described) aria-invalid=[invalid] {
                        @if value.is_none() { option value="" selected { "its default" } }
                        @for one in values { option value=(shown(one)) selected[Some(one) == value] { (shown(one)) } }
                    }
                },
                FieldKind::Json => {
                    (label) (about)
                    textarea id=(id) name=(field.name) rows="4" spellcheck="false" autocomplete="off"
                        aria-describedby=(described) aria-invalid=[invalid] { (text) }
                },
                FieldKind::Text | FieldKind::Texts | FieldKind::Number => {
                    (label) (about)
                    input id=(id) name=(field.name) value=(text) maxlength=(LONGEST) autocomplete="off" spellcheck="false"
                        inputmode=[(field.kind == FieldKind::Number).then_some("numeric")]
                        readonly[is_fixed(field)]
                        aria-describedby=(described) aria-invalid=[invalid];
                },
            }
        }
    }
}

/// The URL of an issuer is its own for good.
fn is_fixed(field: &Field) -> bool {
    field.name == "url"
}

/// A text whose words between backticks are code.
fn with_code(text: &str) -> Markup {
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
