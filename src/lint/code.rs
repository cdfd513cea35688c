//! The codes of findings: stable names for users' scripts and suppressions. A code keeps its meaning for ever; one that
//! is not used any more is not given to anything else. `docs/lint.md` has the table, which a test compares with this one.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong with the manifest by itself.
    Note,
    /// It works, though most likely not as it was meant.
    Warning,
    /// The API server or the controller refuses it, or a release cannot go well.
    Error,
}

impl Severity {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($name:ident = $id:literal, $severity:ident, $meaning:literal, $cure:literal;)+) => {
        /// The sort of a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)+
        }

        impl Code {
            /// All codes, in the order of their names.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// `VX101`.
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// How bad such a finding is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            /// What it means, in a line.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }

            /// What is to be done about such a finding, where the finding itself does not say it better.
            pub fn cure(self) -> &'static str {
                match self { $(Self::$name => $cure,)+ }
            }
        }
    };
}

codes! {
    Syntax = "VX001", Error, "The document cannot be read as YAML or JSON", "correct the indentation, quotes or brackets at this place";
    Template = "VX002", Error, "The document is a template that has not been rendered", "lint what is rendered: helm template … | vexil lint -";
    Duplicate = "VX003", Error, "A field is there twice, and only the last one counts", "remove one of the two";
    Word = "VX004", Warning, "A bare yes, no, on or off: a truth value for kubectl, a text for others", "write true or false, or put it in quotes";

    ApiVersion = "VX101", Error, "The kind has no such apiVersion", "write apiVersion: flagger.app/v1beta1";
    Kind = "VX102", Error, "There is no such kind in flagger.app", "write Canary, MetricTemplate, AlertProvider or RouteTemplate";
    UnknownField = "VX103", Error, "The kind has no such field, and the API server drops it", "remove it, or correct its name";
    Missing = "VX104", Error, "A field that has to be there is missing", "add the field";
    WrongType = "VX105", Error, "A field holds another type than it should", "write a value of the right type";
    NotInList = "VX106", Error, "A value is none of those that the schema takes", "write one of the values that the message lists";
    OutOfShape = "VX107", Error, "A value is out of bounds, or has not the form that the schema asks for", "write a value of that form";
    Rule = "VX108", Error, "A rule of the schema does not hold", "do what the message says";
    Combination = "VX109", Error, "Fields are missing, or exclude each other", "write exactly those that belong together";
    ObjectName = "VX110", Error, "The object has no name, or one that it cannot have", "write small letters, digits, dashes and dots into metadata.name";
    Metadata = "VX111", Warning, "metadata has no such field, and the API server drops it", "remove it, or correct its name";

    OldVersion = "VX201", Warning, "An old apiVersion", "write apiVersion: flagger.app/v1beta1";
    OldAnalysis = "VX202", Warning, "canaryAnalysis, the old name of analysis", "rename it to analysis";
    OldThreshold = "VX203", Warning, "threshold, the old form of thresholdRange", "write thresholdRange";
    OldQuery = "VX204", Warning, "A query in the Canary, the old form of a MetricTemplate", "put the query into a MetricTemplate and name it in templateRef";
    OldMetric = "VX205", Warning, "An old name of a built-in metric", "write today's name";
    TwoForms = "VX206", Warning, "The old and the new form beside each other: one of them is ignored", "remove the old form";

    Target = "VX301", Error, "The controller refuses spec.targetRef", "name a workload that can be released with this provider";
    Provider = "VX302", Error, "The controller refuses spec.provider", "write the name of a provider that is known";
    Service = "VX303", Error, "The controller refuses spec.service", "correct the name, the port or the host";
    Steps = "VX304", Error, "The controller refuses the steps of the analysis", "write one of stepWeight, stepWeights and iterations";
    Metric = "VX305", Error, "The controller refuses a metric", "correct the field of the metric";
    Hook = "VX306", Error, "The controller refuses a webhook", "correct the field of the webhook";
    Alert = "VX307", Error, "The controller refuses an alert", "name an AlertProvider";
    Affinity = "VX308", Error, "The controller refuses the session affinity", "name two different cookies";
    Autoscaler = "VX309", Error, "The controller refuses spec.autoscalerRef", "name a HorizontalPodAutoscaler or a ScaledObject";
    Namespace = "VX310", Error, "A reference into another namespace, where those are blocked", "refer to an object of the Canary's namespace";
    Router = "VX311", Error, "The provider cannot do what the manifest asks for", "take the field out, or use another provider";
    Readable = "VX312", Error, "Credentials would be sent so that others can read them", "write an https address";
    Refused = "VX313", Error, "The controller refuses another field", "correct the field";

    Ignored = "VX401", Warning, "The provider ignores a field of spec.service", "remove the field, or use another provider";
    Unable = "VX402", Warning, "The provider cannot release in the way that the analysis asks for", "write iterations, or use another provider";
    Replaced = "VX403", Warning, "A value that makes no sense is replaced by another", "write the value that is meant";
    NoBound = "VX404", Warning, "A metric has no bound", "write thresholdRange with min or max";
    CheckedTwice = "VX405", Warning, "A metric is checked more than once", "leave one of the built-in name, query and templateRef";
    Exposed = "VX406", Warning, "Credentials are sent so that others can read them", "write an https address and check the certificate";
    NoEffect = "VX407", Warning, "A field has no effect beside another one", "remove one of the two";
    RouterWarns = "VX408", Warning, "The provider leaves something out", "take it out of the manifest, or use another provider";
    TargetPort = "VX409", Warning, "No container of the target declares service.targetPort", "write a port that a container has";
    Warned = "VX410", Warning, "The controller warns of another field", "correct the field";

    UnknownMetric = "VX501", Error, "A metric is neither built in nor defined", "add templateRef, or write the name of a built-in metric";
    NoTemplate = "VX502", Note, "A MetricTemplate is not among the manifests", "create it, if it is not in the cluster already";
    Query = "VX503", Error, "A query cannot be rendered or sent", "correct the query";
    Backend = "VX504", Error, "A MetricTemplate's provider cannot be used", "correct spec.provider";
    Server = "VX505", Error, "The metrics server's address cannot be used", "write an address with its scheme";
    NoSecret = "VX507", Note, "A Secret is not among the manifests", "create it, if it is not in the cluster already";
    SecretKey = "VX508", Error, "A Secret has not what is taken from it", "add the key to the Secret";
    Receiver = "VX509", Error, "An AlertProvider cannot be used", "correct the field of the AlertProvider";
    NoReceiver = "VX510", Note, "An AlertProvider is not among the manifests", "create it, if it is not in the cluster already";
    NearMiss = "VX511", Warning, "A reference to an object that is not there, with a name much like one that is", "write the name of the object that is there";
    NoRouteTemplate = "VX512", Note, "A RouteTemplate is not among the manifests", "create it, if it is not in the cluster already";
    RouteTemplate = "VX513", Error, "A RouteTemplate cannot be used", "correct the field of the RouteTemplate";
    BrokenLaw = "VX514", Error, "A RouteTemplate does not keep a law of routers", "try it with vexil router test, which shows the objects";

    NoTarget = "VX601", Warning, "The target is not among the workloads of its namespace", "correct spec.targetRef, or add the workload";
    Unfit = "VX602", Error, "The target cannot be released as it is", "correct the workload";
    NoAutoscaler = "VX603", Warning, "The autoscaler is not among the manifests, though the target is", "correct spec.autoscalerRef, or add the autoscaler";
    OtherAutoscaler = "VX604", Error, "The autoscaler scales another workload than the target", "correct one of the two references";
    Unscaled = "VX605", Warning, "The target has an autoscaler that the Canary does not name", "add spec.autoscalerRef, so that the primary is scaled";
    SharedTarget = "VX606", Error, "Two Canaries have one target", "delete one of the two";
    SharedService = "VX607", Error, "Two Canaries have one Service", "write another spec.service.name into one of the two";
    Generated = "VX608", Warning, "An object has the name of one that the controller makes", "remove it from the manifests, or rename it";
    Selector = "VX609", Warning, "The Service selects none of the target's pods", "correct the selector, or the labels of the pods";
    Twice = "VX610", Warning, "The same object is there twice", "remove one of the two";
    NoReadiness = "VX611", Note, "No container of the target says when it is ready", "add a readinessProbe, so that no request meets a pod that starts";
    Absent = "VX612", Note, "An object that the release builds upon is not among the manifests", "create it, if it is not in the cluster already";

    NeverFails = "VX701", Warning, "A check that no value can fail", "write a bound that a bad version breaks";
    NeverPasses = "VX702", Error, "A check that no value can pass", "write a bound that a good version keeps";
    WrongSide = "VX703", Warning, "A bound on the wrong side", "write min for a success rate, max for a duration";
    Unchecked = "VX704", Warning, "Nothing is checked: every version is promoted", "add metrics, or a webhook that tests the canary";
    Toothless = "VX705", Warning, "No check can fail a release", "leave dryRun out of at least one metric, and severity: warn as well";
    Overshoot = "VX706", Warning, "The steps go over maxWeight", "write a maxWeight that is a multiple of stepWeight, or stepWeights";
    LateRollback = "VX707", Warning, "A bad version stays for much longer than a good release takes", "write a smaller threshold";
    LongWindow = "VX708", Note, "A metric looks back over many steps", "write an interval of the metric that is not longer than that of the analysis";
    ShortWindow = "VX709", Note, "A metric looks at a small part of each step", "write an interval of the metric that is that of the analysis";
    NoSamples = "VX710", Note, "A metric looks at less time than a rate needs", "write 1m, or at least twice the scrape interval";
    LimitTooHigh = "VX711", Warning, "A limit of a metric that is never reached", "write a limit under that of the analysis";
    SameCheck = "VX712", Warning, "The same check is there twice", "remove one of the two";
    NotAnalysed = "VX713", Note, "skipAnalysis: revisions are promoted without being analysed", "remove skipAnalysis when it is no longer needed";
    Suspended = "VX714", Note, "suspend: nothing is released", "remove suspend when it is no longer needed";
    SlowHook = "VX715", Note, "A webhook of each step may take longer than the step", "write a timeout under the interval";
    FewRequests = "VX716", Warning, "At this traffic a step sees too few requests for its check", "write a longer interval or a larger first step";
    BlindStep = "VX717", Note, "At this traffic a step sees only large regressions", "write a longer interval or a larger step";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_an_id_of_its_own_and_they_are_in_order() {
        let ids: Vec<&str> = Code::ALL.iter().map(|code| code.id()).collect();
        assert!(ids.is_sorted(), "{ids:?}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|id| id.len() == 5 && id.starts_with("VX")), "{ids:?}");
    }
}
