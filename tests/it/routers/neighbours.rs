//! Two releases of one name in two namespaces: neither touches what the other has.

use super::case::{Case, applied};
use super::{holds, next_wishes};

#[test]
fn a_release_of_the_same_name_in_another_namespace_is_left_alone() {
    holds(|case| {
        if !case.before.is_empty() {
            return Ok(());
        }
        let mut other = case.clone();
        other.release.namespace = "stage".into();
        let mut objects = case.after();
        let mine = objects.clone();
        for wish in next_wishes() {
            let writes = other.plan(&wish, &objects).map_err(|error| error.to_string())?;
            objects = applied(&objects, &writes);
            let kept = mine.iter().all(|object| objects.contains(object));
            let state = |of: &Case| of.looking(&objects, |view| of.mesh.router.state(view));
            let splits =
                [state(case), state(&other)].map(|state| state.ok().flatten().map(|state| state.split));
            if !kept || splits != [Some(case.wish.split), Some(wish.split)] {
                return Err(format!("at {wish:?} there are {splits:?} in\n{}", super::case::yaml(&objects)));
            }
        }
        Ok(())
    });
}
