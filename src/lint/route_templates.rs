//! RouteTemplates by themselves: whether one can be used, and whether it keeps the laws of routers, as `vexil router test`
//! finds it out.

use super::Options;
use super::book::Book;
use super::code::Code;
use super::world::Object;
use crate::judge::route_template::Subject;
use crate::manifest::decode;
use crate::model::release::Problem;
use crate::router::templated;

/// Writes down what is wrong with a RouteTemplate, whoever uses it.
pub fn check(object: &Object, options: &Options, book: &mut Book<'_>) {
    let Ok(template) = decode::route_template(&object.value) else { return };
    if !book.findings.is_empty() {
        // The schema has said it.
        return;
    }
    let mistakes = templated::mistakes(&template.spec, super::own_namespace(object, options));
    for problem in &mistakes {
        book.problem(Code::RouteTemplate, problem);
    }
    if !mistakes.is_empty() {
        return;
    }
    match Subject::new(&object.value, None, options.settings.clone()).tried() {
        Err(problems) => {
            for problem in problems {
                book.say(Code::RouteTemplate, "spec", &problem.message);
            }
        }
        Ok(tried) => {
            for tried in tried {
                if let Err(why) = &tried.verdict {
                    let sentence = format!(
                        "in a release of the kind {}, {} does not hold: {}",
                        tried.release, tried.law, why.why
                    );
                    book.say(Code::BrokenLaw, "spec.objects", &sentence);
                }
            }
        }
    }
}

/// The code of what a Canary is told of its RouteTemplate; `None` if it is told of something else.
pub fn code(problem: &Problem) -> Option<Code> {
    let Problem { field, message } = problem;
    if field != "spec.routeTemplateRef" || !message.contains(" does not exist: ") {
        return None;
    }
    Some(if message.contains("did you mean") { Code::NearMiss } else { Code::NoRouteTemplate })
}
