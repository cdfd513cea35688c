//! Google Chat: a card with the message, then a section for each field.

use serde::Serialize;

use super::endpoint::Endpoint;
use super::{Call, Channel, Error, Message, Notifier};

/// A Google Chat space.
pub(super) struct GoogleChat {
    endpoint: Endpoint,
    threads: bool,
}

impl GoogleChat {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        Ok(Self { endpoint: Endpoint::new("Google Chat webhook", channel)?, threads: channel.threads })
    }
}

impl Notifier for GoogleChat {
    fn request(&self, message: &Message) -> Call {
        let fields = message
            .fields
            .iter()
            .map(|field| Section::of(format!("{}<br>{}", escaped(&field.name), strong(&field.value))));
        let card = Card {
            header: Header {
                title: "Flagger",
                subtitle: message.title(),
                image_url: "https://flagger.app/favicon.png",
            },
            sections: std::iter::once(Section::of(strong(&message.text))).chain(fields).collect(),
        };
        let thread_key = message.release().filter(|_| self.threads);
        let reply = ("messageReplyOption".to_owned(), "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD".to_owned());
        let query = thread_key.iter().map(|_| reply.clone()).collect();
        let thread = thread_key.map(|thread_key| Thread { thread_key });
        Call { query, ..self.endpoint.post(&Payload { cards: [card], thread }) }
    }
}

fn strong(text: &str) -> String {
    format!("<font color=#848484><strong>{}</strong></font>", escaped(text))
}

/// Paragraphs are a kind of HTML: an error text with a `<` in it would end there (spec 04 A13).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[derive(Serialize)]
struct Payload {
    cards: [Card; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<Thread>,
}

#[derive(Serialize)]
struct Thread {
    #[serde(rename = "threadKey")]
    thread_key: String,
}

#[derive(Serialize)]
struct Card {
    header: Header,
    sections: Vec<Section>,
}

#[derive(Serialize)]
struct Header {
    title: &'static str,
    subtitle: String,
    #[serde(rename = "imageUrl")]
    image_url: &'static str,
}

#[derive(Serialize)]
struct Section {
    widgets: [Widget; 1],
}

impl Section {
    fn of(text: String) -> Self {
        Self { widgets: [Widget { text_paragraph: Paragraph { text } }] }
    }
}

#[derive(Serialize)]
struct Widget {
    #[serde(rename = "textParagraph")]
    text_paragraph: Paragraph,
}

#[derive(Serialize)]
struct Paragraph {
    text: String,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::alert::testing::{bare, body, channel, started};
    use crate::api::hooks::Severity;

    fn chat() -> GoogleChat {
        GoogleChat::new(&channel("https://chat.test/v1/spaces/a/messages?key=k&token=t")).expect("valid")
    }

    #[test]
    fn a_message_is_a_card_with_a_section_for_each_field() {
        // spec: 04/AL-13 04/AL-14 01/API-069
        let call = chat().request(&started());
        assert_eq!("https://chat.test/v1/spaces/a/messages?key=k&token=t", call.url());
        assert_eq!(
            concat!(
                r##"{"cards":[{"header":{"title":"Flagger","subtitle":"podinfo.test","imageUrl":"https://flagger.app/favicon.png"},"##,
                r##""sections":[{"widgets":[{"textParagraph":{"text":"<font color=#848484><strong>New revision detected, progressing canary analysis.</strong></font>"}}]},"##,
                r##"{"widgets":[{"textParagraph":{"text":"Cluster<br><font color=#848484><strong>prod</strong></font>"}}]},"##,
                r##"{"widgets":[{"textParagraph":{"text":"Target<br><font color=#848484><strong>Deployment/podinfo.test</strong></font>"}}]}]}]}"##,
            ),
            body(&call)
        );
    }

    #[rstest]
    fn every_severity_looks_the_same(#[values(Severity::Warn, Severity::Error)] severity: Severity) {
        assert_eq!(
            body(&chat().request(&bare(Severity::Info, "hi"))),
            body(&chat().request(&bare(severity, "hi")))
        );
    }

    #[test]
    fn what_is_said_of_a_release_stands_in_one_thread_if_that_is_wanted() {
        let address = "https://chat.test/v1/spaces/a/messages?key=k&token=t";
        let chat = GoogleChat::new(&Channel { threads: true, ..channel(address) }).expect("valid");
        for message in [started(), bare(Severity::Error, "Failed checks threshold reached 5")] {
            let call = chat.request(&message);
            assert_eq!(
                vec![("messageReplyOption".to_owned(), "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD".to_owned())],
                call.query
            );
            let text = body(&call);
            assert!(text.ends_with(r#","thread":{"threadKey":"test/podinfo/7c9d467496"}}"#), "{text}");
        }
    }

    #[test]
    fn what_would_be_markup_is_shown_as_it_is() {
        let text = body(&chat().request(&bare(Severity::Error, "error rate <nil> & 3 > 1")));
        assert!(text.contains("<strong>error rate &lt;nil&gt; &amp; 3 &gt; 1</strong>"), "{text}");
    }
}
