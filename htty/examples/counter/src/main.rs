//! A counter: `+` and `-` change it, a click on a button does, `q` ends it.

use std::io::Write as _;

use ratatui::crossterm::cursor;
use ratatui::crossterm::event::{
    self, DisableMouseCapture, EnableMouseCapture, Event, KeyCode, MouseEventKind,
};
use ratatui::crossterm::execute;
use ratatui::layout::{Constraint, Layout, Position};
use ratatui::style::{Color, Stylize as _};
use ratatui::widgets::{Block, Paragraph};

fn main() -> std::io::Result<()> {
    // Asks the terminal where the cursor is.
    ratatui::crossterm::terminal::enable_raw_mode()?;
    let (column, row) = cursor::position()?;
    ratatui::crossterm::terminal::disable_raw_mode()?;
    let mut terminal = ratatui::init();
    execute!(std::io::stdout(), EnableMouseCapture)?;
    let mut count = 0_i32;
    loop {
        let mut areas = [ratatui::layout::Rect::ZERO; 2];
        terminal.draw(|frame| {
            let [top, buttons] =
                Layout::vertical([Constraint::Length(3), Constraint::Length(1)]).areas(frame.area());
            let color = if count < 0 { Color::Red } else { Color::Green };
            let text = Paragraph::new(count.to_string()).fg(color).bold();
            frame.render_widget(text.block(Block::bordered().title("Counter")), top);
            areas = Layout::horizontal([Constraint::Length(8); 2]).areas(buttons);
            frame.render_widget("[ Less ]", areas[0]);
            frame.render_widget("[ More ]", areas[1]);
        })?;
        match event::read()? {
            Event::Key(key) => match key.code {
                KeyCode::Char('+') => count += 1,
                KeyCode::Char('-') => count -= 1,
                KeyCode::Char('q') => break,
                _ => {}
            },
            Event::Mouse(mouse) if matches!(mouse.kind, MouseEventKind::Down(_)) => {
                let place = Position::new(mouse.column, mouse.row);
                count -= i32::from(areas[0].contains(place));
                count += i32::from(areas[1].contains(place));
            }
            _ => {}
        }
    }
    execute!(std::io::stdout(), DisableMouseCapture)?;
    ratatui::restore();
    writeln!(std::io::stdout(), "started at {column},{row}; counted to {count}")
}
