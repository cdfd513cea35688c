//! Microsoft Teams: message cards for the old connectors, adaptive cards for anything that came after them
//! (spec 04 A14).

use serde::Serialize;

use crate::api::hooks::Severity;

use super::endpoint::Endpoint;
use super::markup::plain;
use super::{Call, Channel, Error, Field, Message, Notifier};

/// A Teams channel.
pub(super) struct Teams {
    endpoint: Endpoint,
}

impl Teams {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        Ok(Self { endpoint: Endpoint::new("MS Teams webhook", channel)? })
    }

    fn is_connector(&self) -> bool {
        self.endpoint.host().ends_with(".webhook.office.com")
    }
}

impl Notifier for Teams {
    fn request(&self, message: &Message) -> Call {
        if self.is_connector() {
            self.endpoint.post(&MessageCard::of(message))
        } else {
            self.endpoint.post(&AdaptiveCard::of(message))
        }
    }
}

#[derive(Serialize)]
struct MessageCard {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@context")]
    context: &'static str,
    #[serde(rename = "themeColor")]
    theme_color: &'static str,
    summary: String,
    sections: [Section; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Section {
    activity_title: String,
    activity_subtitle: String,
    facts: Vec<Field>,
}

impl MessageCard {
    fn of(message: &Message) -> Self {
        Self {
            kind: "MessageCard",
            context: "http://schema.org/extensions",
            theme_color: if message.is_error() { "FF0000" } else { "0076D7" },
            summary: message.title(),
            sections: [Section {
                activity_title: plain(&message.text),
                activity_subtitle: message.title(),
                facts: message.fields.iter().map(harmless).collect(),
            }],
        }
    }
}

#[derive(Serialize)]
struct AdaptiveCard {
    #[serde(rename = "type")]
    kind: &'static str,
    attachments: [Attachment; 1],
}

#[derive(Serialize)]
struct Attachment {
    #[serde(rename = "contentType")]
    content_type: &'static str,
    content: Content,
}

#[derive(Serialize)]
struct Content {
    #[serde(rename = "$schema")]
    schema: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    version: &'static str,
    msteams: Width,
    body: [Element; 1],
}

#[derive(Serialize)]
struct Width {
    width: &'static str,
}

/// What a card is made of.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Element {
    Container {
        items: Vec<Element>,
    },
    TextBlock {
        text: String,
        wrap: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        weight: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        color: Option<&'static str>,
    },
    FactSet {
        facts: Vec<Fact>,
    },
}

#[derive(Serialize)]
struct Fact {
    title: String,
    value: String,
}

impl AdaptiveCard {
    fn of(message: &Message) -> Self {
        Self {
            kind: "message",
            attachments: [Attachment {
                content_type: "application/vnd.microsoft.card.adaptive",
                content: Content {
                    schema: "http://adaptivecards.io/schemas/adaptive-card.json",
                    kind: "AdaptiveCard",
                    version: "1.4",
                    msteams: Width { width: "Full" },
                    body: [Element::Container { items: items(message) }],
                },
            }],
        }
    }
}

/// Cards read Markdown, in facts as well.
fn harmless(field: &Field) -> Field {
    Field { name: plain(&field.name), value: plain(&field.value) }
}

fn items(message: &Message) -> Vec<Element> {
    let title = Element::TextBlock {
        text: message.title(),
        wrap: true,
        size: Some("large"),
        weight: Some("bolder"),
        color: None,
    };
    let color = match message.severity {
        Severity::Unset | Severity::Info => None,
        Severity::Warn => Some("warning"),
        Severity::Error => Some("attention"),
    };
    let text = Element::TextBlock { text: plain(&message.text), wrap: true, size: None, weight: None, color };
    let fact = |Field { name, value }| Fact { title: name, value };
    let facts: Vec<Fact> = message.fields.iter().map(harmless).map(fact).collect();
    let mut items = vec![title, text];
    if !facts.is_empty() {
        items.push(Element::FactSet { facts });
    }
    items
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::alert::testing::{bare, body, channel, started};

    fn sent(address: &str, message: &Message) -> String {
        body(&Teams::new(&channel(address)).expect("valid").request(message))
    }

    const CONNECTOR: &str = "https://acme.webhook.office.com/webhookb2/1";
    const WORKFLOW: &str = "https://prod-1.westus.logic.azure.test/workflows/1";

    #[test]
    fn a_connector_gets_a_message_card() {
        // spec: 04/AL-11 04/AL-14 01/API-069
        assert_eq!(
            concat!(
                r#"{"@type":"MessageCard","@context":"http://schema.org/extensions","themeColor":"0076D7","#,
                r#""summary":"podinfo.test","sections":[{"#,
                r#""activityTitle":"New revision detected, progressing canary analysis.","#,
                r#""activitySubtitle":"podinfo.test","facts":[{"name":"Cluster","value":"prod"},"#,
                r#"{"name":"Target","value":"Deployment/podinfo.test"}]}]}"#,
            ),
            sent(CONNECTOR, &started())
        );
    }

    #[rstest]
    #[case(Severity::Info, "0076D7")]
    #[case(Severity::Warn, "0076D7")]
    #[case(Severity::Error, "FF0000")]
    fn a_message_card_of_an_error_is_red(#[case] severity: Severity, #[case] color: &str) {
        // spec: 04/AL-11 01/API-069
        let card = sent(CONNECTOR, &bare(severity, "hi"));
        assert!(card.contains(&format!(r#""themeColor":"{color}""#)), "{card}");
        assert!(card.contains(r#""facts":[]"#), "{card}");
    }

    #[test]
    fn a_workflow_gets_an_adaptive_card() {
        // spec: 04/AL-12 04/AL-14
        assert_eq!(
            concat!(
                r#"{"type":"message","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive","#,
                r#""content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","type":"AdaptiveCard","#,
                r#""version":"1.4","msteams":{"width":"Full"},"body":[{"type":"Container","items":["#,
                r#"{"type":"TextBlock","text":"podinfo.test","wrap":true,"size":"large","weight":"bolder"},"#,
                r#"{"type":"TextBlock","text":"New revision detected, progressing canary analysis.","wrap":true},"#,
                r#"{"type":"FactSet","facts":[{"title":"Cluster","value":"prod"},"#,
                r#"{"title":"Target","value":"Deployment/podinfo.test"}]}]}]}}]}"#,
            ),
            sent(WORKFLOW, &started())
        );
    }

    #[rstest]
    #[case(Severity::Info, r#""text":"hi","wrap":true}]"#)]
    #[case(Severity::Warn, r#""text":"hi","wrap":true,"color":"warning"}]"#)]
    #[case(Severity::Error, r#""text":"hi","wrap":true,"color":"attention"}]"#)]
    fn an_adaptive_card_shows_the_severity(#[case] severity: Severity, #[case] expected: &str) {
        // spec: 04/AL-12
        let card = sent(WORKFLOW, &bare(severity, "hi"));
        assert!(card.contains(expected), "{card}");
    }

    #[rstest]
    #[case::look_alike("https://webhook.office.com.evil.test/1")]
    #[case::in_the_path("https://chat.test/.webhook.office.com")]
    fn only_the_host_tells_a_connector(#[case] address: &str) {
        // spec: 04/AL-12
        assert!(sent(address, &started()).starts_with(r#"{"type":"message""#));
    }
}
