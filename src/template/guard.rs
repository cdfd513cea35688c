//! Keeps a template within bounds. Whoever may write a template could otherwise take all memory
//! (`{{ $x = printf "%s%s" $x $x }}` in a loop) or all time (templates that call each other twice) of a controller
//! that serves others as well. So every argument of a function, and every start of a defined template, passes
//! through a function of ours that limits size and number.
//!
//! The same walk finds functions that do not exist, in branches that are not taken as well, and remembers where
//! names are used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gotmpl::parse::{ActionNode, CommandNode, Expr, ListNode, Node, PipeNode, Pos, SmolStr};
use gotmpl::{Template, TemplateError, Value};

use super::{Place, Wrong};

/// Puts the guards into `bodies`, which were read from `source`. Answers where each name is first used.
pub(super) fn install(
    source: &str,
    functions: &[&str],
    bodies: &mut BTreeMap<String, ListNode>,
) -> Result<BTreeMap<String, Place>, Wrong> {
    let mut walk = Walk { source, functions, places: BTreeMap::new() };
    for body in bodies.values_mut() {
        walk.list(body)?;
        body.nodes.insert(0, counted(body.pos));
    }
    Ok(walk.places)
}

/// Adds the functions that the guards call, for one rendering.
pub(super) fn functions(template: Template) -> Template {
    let left = Arc::new(AtomicU32::new(MAX_CALLS));
    let spend =
        move || match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(TemplateError::Exec(format!("more than {MAX_CALLS} calls"))),
        };
    let spend_too = spend.clone();
    template
        .func(BOUNDED, move |arguments| {
            spend()?;
            match arguments.last() {
                None => Ok(Value::String("".into())),
                Some(Value::String(text)) if text.len() > MAX_VALUE => {
                    Err(TemplateError::Exec(format!("a value is longer than {MAX_VALUE} bytes")))
                }
                Some(value) => Ok(value.clone()),
            }
        })
        .func(FORMAT, move |arguments| {
            spend_too()?;
            match arguments.last() {
                Some(Value::String(text)) if pads_widely(text) => {
                    Err(TemplateError::Exec(format!("format {text:?} has a width over 999")))
                }
                Some(value) => Ok(value.clone()),
                None => Ok(Value::Nil),
            }
        })
        .func("index", index)
}

/// Go's `index`, for maps of texts: a key that is not there is the empty text.
fn index(arguments: &[Value]) -> gotmpl::Result<Value> {
    let Some((of, keys)) = arguments.split_first() else {
        return Err(TemplateError::ArgCount { name: "index".to_owned(), expected: 1, got: 0 });
    };
    keys.iter().try_fold(of.clone(), |of, key| match (&of, of.index(key)?) {
        (Value::Map(_), Value::Nil) => Ok(Value::String("".into())),
        (_, value) => Ok(value),
    })
}

struct Walk<'a> {
    source: &'a str,
    /// Those of the language.
    functions: &'a [&'a str],
    places: BTreeMap<String, Place>,
}

impl Walk<'_> {
    fn list(&mut self, list: &mut ListNode) -> Result<(), Wrong> {
        list.nodes.iter_mut().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &mut Node) -> Result<(), Wrong> {
        match node {
            Node::Text(_) | Node::Break(_) | Node::Continue(_) => Ok(()),
            Node::Action(action) => self.pipe(&mut action.pipe),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                self.pipe(&mut branch.pipe)?;
                self.list(&mut branch.body)?;
                branch.else_body.as_mut().map_or(Ok(()), |list| self.list(list))
            }
            Node::Template(call) => call.pipe.as_mut().map_or(Ok(()), |pipe| self.pipe(pipe)),
            Node::Define(define) => self.list(&mut define.body),
            Node::List(list) => self.list(list),
        }
    }

    fn pipe(&mut self, pipe: &mut PipeNode) -> Result<(), Wrong> {
        let mut guarded = Vec::with_capacity(pipe.commands.len());
        for (stage, mut command) in pipe.commands.drain(..).enumerate() {
            if stage > 0 {
                let piped_format = command.args.len() == 1 && is_printf(&command.args[0]);
                guarded.push(call(command.pos, if piped_format { FORMAT } else { BOUNDED }, None));
            }
            self.command(&mut command)?;
            guarded.push(command);
        }
        pipe.commands = guarded;
        Ok(())
    }

    fn command(&mut self, command: &mut CommandNode) -> Result<(), Wrong> {
        let printf = command.args.first().is_some_and(is_printf);
        for (position, argument) in command.args.iter_mut().enumerate() {
            self.expr(argument)?;
            if position > 0 {
                guard(argument, if printf && position == 1 { FORMAT } else { BOUNDED });
            }
        }
        Ok(())
    }

    fn expr(&mut self, expr: &mut Expr) -> Result<(), Wrong> {
        match expr {
            Expr::Identifier(pos, name) => self.known(*pos, name),
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Field(pos, names) => {
                self.remember(*pos, names);
                Ok(())
            }
            Expr::Variable(pos, name, names) => {
                self.remember(*pos, std::slice::from_ref(name));
                self.remember(*pos, names);
                Ok(())
            }
            Expr::Chain(pos, inner, names) => {
                self.remember(*pos, names);
                self.expr(inner)
            }
            Expr::Dot(_) | Expr::String(..) | Expr::Number(..) | Expr::Bool(..) | Expr::Nil(_) => Ok(()),
        }
    }

    fn known(&self, pos: Pos, name: &str) -> Result<(), Wrong> {
        if self.functions.contains(&name) || GO_FUNCTIONS.contains(&name) {
            return Ok(());
        }
        let message = format!("function {name:?} not defined");
        Err(Wrong { place: Place::of(self.source, pos.offset), message })
    }

    fn remember(&mut self, pos: Pos, names: &[SmolStr]) {
        let place = Place::of(self.source, pos.offset);
        for name in names {
            self.places.entry(name.to_string()).or_insert(place);
        }
    }
}

fn is_printf(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_, name) if name.as_str() == "printf")
}

/// Replaces an argument by a call of `function` with it.
fn guard(argument: &mut Expr, function: &str) {
    let pos = argument.pos();
    let value = std::mem::replace(argument, Expr::Nil(pos));
    *argument = Expr::Pipe(pos, pipe(pos, call(pos, function, Some(value))));
}

fn call(pos: Pos, function: &str, argument: Option<Expr>) -> CommandNode {
    let function = Expr::Identifier(pos, SmolStr::new(function));
    CommandNode { pos, args: std::iter::once(function).chain(argument).collect() }
}

fn pipe(pos: Pos, command: CommandNode) -> PipeNode {
    PipeNode { pos, decl: Vec::new(), commands: vec![command], is_assign: false }
}

/// A node that prints nothing and counts.
fn counted(pos: Pos) -> Node {
    Node::Action(ActionNode { pos, pipe: pipe(pos, call(pos, BOUNDED, None)) })
}

/// Whether a format could make a long text of a short one.
fn pads_widely(format: &str) -> bool {
    let widest = format.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
    format.contains('*') || widest.is_some_and(|digits| digits > 3) || format.len() > MAX_VALUE
}

/// Names that no template can write.
const BOUNDED: &str = "within bounds";
const FORMAT: &str = "format within bounds";
const GO_FUNCTIONS: [&str; 19] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "slice", "urlquery",
];
const MAX_VALUE: usize = 4096;
const MAX_CALLS: u32 = 100_000;
