//! What a RouteTemplate promises beside the laws of all routers.

use serde_json::{Value, json};

use super::{Templated, reading};
use crate::model::traffic::Acceptance;
use crate::router::laws::{Broken, Trial, Verdict, title};

/// The lists of a template whose items are brought in line one by one, by their paths.
pub fn lists(trial: &Trial) -> Vec<String> {
    let Ok(compiled) = Templated::compiled(&trial.release) else { return Vec::new() };
    compiled.objects.iter().flat_map(|object| &object.lists).map(|(list, _)| list.clone()).collect()
}

/// What the mesh says of an object is understood: nothing yet, something else, the value, an older generation.
///
/// # Errors
/// If it is not.
pub fn acceptance_is_told(trial: &Trial) -> Verdict {
    let compiled = Templated::compiled(&trial.release)?;
    let after = trial.after()?;
    for object in &compiled.objects {
        let Some(accepted) = &object.accepted else { continue };
        let id = object.id(&trial.release).map_err(Broken::new)?;
        let Some(live) = after.iter().find(|live| title(live) == id.to_string()) else { continue };
        let told = |live: &Value| {
            let one = [live.clone()];
            trial.looking(&one, |view| reading::acceptance(&compiled, view)) == Acceptance::Accepted
        };
        let mut said = live.clone();
        said["metadata"]["generation"] = json!(2);
        if told(&said) {
            return Err(
                Broken::new("it is taken for accepted before its mesh says anything").shown_by(&[said])
            );
        }
        let value = serde_json::from_str(&accepted.value).ok().filter(|value: &Value| !value.is_object());
        for (value, expected) in [(json!("something else"), false), (json!(accepted.value), true)]
            .into_iter()
            .chain(value.map(|value| (value, true)))
        {
            accepted.path.put(&mut said, value);
            if let Some(generation) = &accepted.observed_generation {
                generation.put(&mut said, json!(2));
            }
            if told(&said) != expected {
                let why = format!("accepted is read as {}, and should be {expected}", !expected);
                return Err(Broken::new(why).shown_by(&[said]));
            }
        }
        if let Some(generation) = &accepted.observed_generation {
            generation.put(&mut said, json!(1));
            if told(&said) {
                let why = "what the mesh says of an older generation is taken for the present one";
                return Err(Broken::new(why).shown_by(&[said]));
            }
        }
    }
    Ok(())
}
