//! docs/ask.md shows what the program prints: the pictures of releases are those that src/cli/ask is tested with, and what is said
//! when something does not work is said here.

use std::path::Path;

use serde_json::{Value, json};

use super::{REVISION, Said, Shop, progressing};

const PAGE: &str = include_str!("../../../docs/ask.md");

/// What stands below a command in the page; the one among several that has this text.
fn shown(command: &str, having: &str) -> String {
    let head = format!("$ {command}\n");
    let blocks = PAGE.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut those = blocks.filter_map(|block| block.strip_prefix(&head)).filter(|text| text.contains(having));
    those.next().unwrap_or_else(|| panic!("docs/ask.md shows no {command:?} with {having:?}")).to_owned()
}

/// Fails unless the lines of the page stand in the file; a line `…` stands for any number of lines that are left out.
fn is_part_of(file: &str, shown: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ask").join(file);
    let text = std::fs::read_to_string(&path).expect("what the tests of src/cli/ask expect");
    let lines: Vec<&str> = text.lines().collect();
    let (mut at, mut anywhere) = (0, true);
    for line in shown.lines() {
        if line == "…" {
            anywhere = true;
            continue;
        }
        let found = lines[at..].iter().position(|other| *other == line);
        match found {
            Some(skipped) if skipped == 0 || anywhere => at += skipped + 1,
            _ => panic!("docs/ask.md shows this line, and {file} has another one there: {line}"),
        }
        anywhere = false;
    }
}

#[test]
fn the_pictures_are_those_that_the_program_draws() {
    is_part_of("failing.txt", &shown("vexil status frontend -n shop", "93.10 %"));
    is_part_of("gate.txt", &shown("vexil status frontend -n shop", "gate qa"));
    is_part_of("refused.txt", &shown("vexil status frontend -n shop", "the manifest is refused"));
    is_part_of("lines.txt", &shown("vexil watch frontend -n shop | cat", "09:00:13"));
    is_part_of("get.txt", &shown("vexil get", "WAITING FOR"));
}

/// What the program said, with the names of the page.
fn renamed(shop: &Shop, said: &Said) -> String {
    let home = shop.home.display().to_string();
    let text = format!("{}{}", said.out, said.err);
    let text = text.replace(&shop.address(), "https://10.0.0.1:6443").replace(&home, "/home/me");
    text.replace("context kubesim", "context staging").replace(REVISION, "vx1-a7e563c08f0465b2")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_says_is_said() {
    let shop = Shop::open("page", progressing()).await;
    for (line, having) in [
        ("resume frontend -n shop", "it is not paused"),
        ("pause frontend -n shop --revision vx1-123456789", "is not known here"),
        ("status frontent -n shop", "did you mean"),
    ] {
        let expected = shown(&format!("vexil {line}"), having);
        assert_eq!(expected, renamed(&shop, &shop.vexil(line)), "{line}");
    }
    let mut failed = progressing();
    failed["phase"] = "Failed".into();
    let target = shop.kube().get("deployments.apps", "shop", "frontend").expect("the target");
    failed["lastAppliedSpec"] = "6d5f".into();
    failed["appliedTarget"] =
        json!({"uid": target["metadata"]["uid"], "generation": target["metadata"]["generation"]});
    shop.set(failed);
    let line = "wait frontend -n shop --for promoted";
    assert_eq!(shown(&format!("vexil {line}"), "no promotion"), renamed(&shop, &shop.vexil(line)));

    let nobody = shop.listening.kubeconfig().replace(&shop.address(), "http://127.0.0.1:1");
    std::fs::write(shop.home.join("nobody"), nobody).expect("written");
    let said = shop.vexil(&format!("get --kubeconfig {}", shop.home.join("nobody").display()));
    let said = renamed(&shop, &said).replace("http://127.0.0.1:1", "https://10.0.0.1:6443");
    // The number of the system's error is none of the page's.
    let said = said.split(" (os error").next().unwrap_or_default().to_owned()
        + said.split_once(')').map_or("", |(_, rest)| rest.split_once(')').map_or("", |(_, rest)| rest));
    let expected = shown("vexil get", "does not answer");
    assert_eq!(expected.lines().next(), said.lines().next(), "{said}");

    shop.refuse("canaries", 403);
    let line = "status frontend -n shop";
    assert_eq!(shown(&format!("vexil {line}"), "403 Forbidden"), renamed(&shop, &shop.vexil(line)));

    let mut command = shop.command(Path::new(env!("CARGO_BIN_EXE_vexil")), "get");
    command.env_remove("KUBECONFIG");
    let said: Said = tokio::task::block_in_place(|| command.output().expect("vexil runs")).into();
    assert_eq!(shown("vexil get", "there is no kubeconfig"), renamed(&shop, &said));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_how_a_wait_ends() {
    let mut status = progressing();
    status["phase"] = "Succeeded".into();
    status["lastAppliedSpec"] = "6d5f".into();
    let shop = Shop::open("page-wait", Value::Null).await;
    shop.world.set_image("shop", "frontend", "registry.example.com/shop/frontend:2.0");
    let target = shop.kube().get("deployments.apps", "shop", "frontend").expect("the target");
    status["releasing"] = json!({"name": REVISION, "images": ["registry.example.com/shop/frontend:2.0"]});
    status["promoted"] = status["releasing"].clone();
    status["appliedTarget"] =
        json!({"uid": target["metadata"]["uid"], "generation": target["metadata"]["generation"]});
    shop.set(status);
    let line = "wait frontend -n shop --for revision=2.0 --timeout 20m";
    assert_eq!(shown(&format!("vexil {line}"), "reached"), renamed(&shop, &shop.vexil(line)));
}
