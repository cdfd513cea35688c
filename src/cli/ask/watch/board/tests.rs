use chrono::{DateTime, TimeDelta, Utc};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::cli::ask::seen::{Around, Seen, settings};

fn noon() -> DateTime<Utc> {
    "2026-01-01T12:00:00Z".parse().expect("a time")
}

fn canary(name: &str, phase: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T11:00:00Z"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "service": {"port": 80},
            "analysis": {"interval": "1m", "threshold": 5, "maxWeight": 50, "stepWeight": 10},
        },
        "status": {"phase": phase, "canaryWeight": 20, "failedChecks": 0, "iterations": 0},
    })
}

fn list() -> Board {
    let mut board = Board::new(true);
    let canaries = [("cart", "Succeeded"), ("frontend", "Progressing")];
    let canaries = canaries.map(|(name, phase)| Known::of(&canary(name, phase))).to_vec();
    board.turn_to(Page::List { canaries, marked: 0, everywhere: false });
    board
}

fn one() -> Board {
    let mut board = Board::new(true);
    let canary = canary("frontend", "Progressing");
    let around = Around::of(&canary, settings(None), &Default::default());
    let sight = Box::new(Sight::of(&Seen::new(canary, around)));
    board.turn_to(Page::One { sight, can_go_back: true });
    board
}

fn drawn(board: &mut Board, columns: u16, rows: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a terminal in memory");
    terminal.draw(|frame| board.draw(frame, noon() + TimeDelta::seconds(3))).expect("drawn");
    terminal
}

fn text(board: &mut Board, columns: u16, rows: u16) -> Vec<String> {
    let terminal = drawn(board, columns, rows);
    let buffer = terminal.backend().buffer();
    let row = |y: u16| (0..columns).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
    (0..rows).map(|y| row(y).trim_end().to_owned()).collect()
}

fn press(board: &mut Board, code: KeyCode) -> Option<Deed> {
    board.press(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn the_list_is_a_table_with_a_mark_and_the_keys_below() {
    let mut board = list();
    let shown = text(&mut board, 130, 6);
    assert!(shown[0].starts_with("NAME       PHASE         WEIGHT   READY"), "{shown:#?}");
    assert!(shown[2].starts_with("frontend   Progressing   20 %"), "{shown:#?}");
    assert_eq!(
        shown[5],
        "↑↓ choose  enter open  p pause  r resume  a approve  m promote  x abort  t retry  q leave"
    );
    let terminal = drawn(&mut board, 130, 6);
    let reversed = |y| terminal.backend().buffer()[(0, y)].modifier.contains(Modifier::REVERSED);
    assert_eq!((false, true, false), (reversed(0), reversed(1), reversed(2)));
}

#[test]
fn keys_are_for_the_canary_that_is_marked() {
    let mut board = list();
    assert_eq!(None, press(&mut board, KeyCode::Down));
    assert_eq!(
        Some(Deed::Request(Action::Pause, "frontend".into(), "shop".into())),
        press(&mut board, KeyCode::Char('p'))
    );
    assert_eq!(Some(Deed::Open("frontend".into(), "shop".into())), press(&mut board, KeyCode::Enter));
    // There is nothing below the last.
    press(&mut board, KeyCode::Down);
    assert_eq!(Some(Deed::Open("frontend".into(), "shop".into())), press(&mut board, KeyCode::Enter));
}

#[rstest]
#[case('m', Action::Promote, "promote frontend.shop: without further checks and gates? y/n")]
#[case('x', Action::Abort, "abort frontend.shop: all traffic goes back to the primary? y/n")]
fn what_cannot_be_taken_back_is_asked_again(
    #[case] key: char,
    #[case] action: Action,
    #[case] question: &str,
) {
    let mut board = one();
    assert_eq!(None, press(&mut board, KeyCode::Char(key)));
    assert_eq!(text(&mut board, 100, 20)[18], question);
    assert_eq!(None, press(&mut board, KeyCode::Char('n')));
    press(&mut board, KeyCode::Char(key));
    assert_eq!(
        Some(Deed::Request(action, "frontend".into(), "shop".into())),
        press(&mut board, KeyCode::Char('y'))
    );
    assert_eq!(None, press(&mut board, KeyCode::Char('y')), "it is asked once");
}

#[test]
fn one_release_is_the_tree_and_escape_leads_back() {
    let mut board = one();
    let shown = text(&mut board, 100, 24);
    assert!(shown[0].starts_with("Canary frontend.shop"), "{shown:#?}");
    assert!(shown[0].ends_with("● Progressing  12:00:03 UTC"), "{shown:#?}");
    assert!(shown.iter().any(|line| line.starts_with("├─ primary")), "{shown:#?}");
    assert_eq!(Some(Deed::Back), press(&mut board, KeyCode::Esc));
    assert_eq!(Some(Deed::Leave), press(&mut board, KeyCode::Char('q')));
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(Some(Deed::Leave), board.press(control_c));
}

#[test]
fn a_low_terminal_can_be_scrolled_to_the_end_and_not_beyond() {
    let mut board = one();
    let whole = text(&mut board, 100, 60);
    let last =
        whole.iter().rposition(|line| line.starts_with("└─") || line.starts_with("   ")).expect("a tree");
    assert!(text(&mut board, 100, 8)[6].contains("more below"));
    for _ in 0..50 {
        press(&mut board, KeyCode::PageDown);
    }
    assert_eq!(text(&mut board, 100, 8)[5], whole[last]);
    assert_eq!(None, press(&mut board, KeyCode::Up));
}

#[test]
fn every_size_of_a_terminal_is_drawn() {
    for columns in [1, 2, 5, 20, 40, 79, 200] {
        for rows in [1, 2, 3, 10, 50] {
            drawn(&mut one(), columns, rows);
            drawn(&mut list(), columns, rows);
        }
    }
}

#[test]
fn nothing_is_coloured_where_nobody_wants_colours() {
    for (colours, expected) in [(true, true), (false, false)] {
        let mut board = list();
        board.colours = colours;
        let terminal = drawn(&mut board, 100, 6);
        let coloured = terminal.backend().buffer().content().iter().any(|cell| cell.fg != Color::Reset);
        assert_eq!(expected, coloured);
    }
}
