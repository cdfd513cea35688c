//! Whom an alert goes to (spec 02 §8.3).

use crate::api::hooks::{AlertRef, Severity};
use crate::api::reference::CrossRef;

/// Whom an alert goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// The notifier of the controller.
    Global,
    /// Through these AlertProviders, in this order; nobody if there are none.
    Providers(Vec<&'a CrossRef>),
}

/// Whom an alert of `severity` goes to. A Canary with `alerts` of its own is not told of anywhere else.
pub fn route(alerts: &[AlertRef], severity: Severity) -> Route<'_> {
    if alerts.is_empty() {
        return Route::Global;
    }
    let wants = |alert: &&AlertRef| known(severity) >= known(alert.severity.unwrap_or_default());
    Route::Providers(alerts.iter().filter(wants).map(|alert| &alert.provider_ref).collect())
}

/// What is not said is `info`.
pub(super) fn known(severity: Severity) -> Severity {
    severity.max(Severity::Info)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn alert(name: &str, severity: Option<Severity>) -> AlertRef {
        let provider_ref = CrossRef { name: name.into(), namespace: Some("ops".into()) };
        AlertRef { name: name.into(), severity, provider_ref }
    }

    fn names(route: Route<'_>) -> Option<Vec<String>> {
        match route {
            Route::Global => None,
            Route::Providers(providers) => {
                Some(providers.iter().map(|provider| provider.name.clone()).collect())
            }
        }
    }

    #[rstest]
    #[case::info_to_all(Some(Severity::Info), [true, true, true])]
    #[case::warn(Some(Severity::Warn), [false, true, true])]
    #[case::error(Some(Severity::Error), [false, false, true])]
    #[case::omitted_is_info(None, [true, true, true])]
    #[case::empty_is_info(Some(Severity::Unset), [true, true, true])]
    fn a_channel_gets_its_severity_and_worse(#[case] wanted: Option<Severity>, #[case] expected: [bool; 3]) {
        // spec: 02/C102 04/AL-02 04/AL-03 01/API-060 01/API-071
        let alerts = [alert("chat", wanted)];
        for (severity, receives) in
            [Severity::Info, Severity::Warn, Severity::Error].into_iter().zip(expected)
        {
            let expected = if receives { vec!["chat".to_owned()] } else { Vec::new() };
            assert_eq!(Some(expected), names(route(&alerts, severity)), "{wanted:?} {severity:?}");
        }
    }

    #[test]
    fn a_canary_without_alerts_is_told_of_by_the_controllers_notifier() {
        // spec: 02/C103 04/AL-18 01/API-072
        assert_eq!(Route::Global, route(&[], Severity::Error));
    }

    #[test]
    fn a_canary_with_alerts_never_is_even_if_none_of_them_wants_this_one() {
        // spec: 02/C103 04/AL-18 01/API-072
        assert_eq!(Some(Vec::new()), names(route(&[alert("chat", Some(Severity::Error))], Severity::Info)));
    }

    #[test]
    fn channels_are_told_in_the_order_of_the_manifest() {
        let alerts = [
            alert("z", Some(Severity::Info)),
            alert("m", Some(Severity::Error)),
            alert("a", Some(Severity::Warn)),
        ];
        assert_eq!(Some(vec!["z".to_owned(), "a".to_owned()]), names(route(&alerts, Severity::Warn)));
    }
}
