//! Corrects `alacritty_terminal` where it differs from xterm. The comment of each method that
//! is not simply forwarded describes the correction.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use alacritty_terminal::Term;
use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::Dimensions as _;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, CursorShape, CursorStyle, Handler, Hyperlink, KeyboardModes,
    KeyboardModesApplyBehavior, LineClearMode, Mode, NamedPrivateMode, PrivateMode, Rgb, StandardCharset,
    TabulationClearMode,
};
use unicode_width::UnicodeWidthChar as _;

/// The maximum number of zero-width characters per cell; further ones are dropped.
const MAX_COMBINING: usize = 32;

/// The maximum depth of the keyboard mode stack; the library panics at 4,096.
const MAX_KEYBOARD_MODES: usize = 64;

/// Collects the library's events.
#[derive(Clone, Default)]
pub(crate) struct Listener(Arc<Mutex<Vec<Event>>>);

impl Listener {
    /// The events since the last call.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl EventListener for Listener {
    fn send_event(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

/// State that `alacritty_terminal` does not expose or does not keep.
#[derive(Default)]
pub(crate) struct Extra {
    /// The scrolling region, counted from 0.
    pub(crate) margins: Range<i32>,
    pub(crate) charset: CharsetIndex,
    /// For the primary and the alternate screen.
    pub(crate) screens: [PerScreen; 2],
    pub(crate) replies: Listener,
}

/// State of each of the two screens.
#[derive(Clone, Copy, Default)]
pub(crate) struct PerScreen {
    /// Saved with the cursor (DECSC): origin mode and the active charset.
    pub(crate) saved: (bool, CharsetIndex),
    /// The depth of the keyboard mode stack.
    pub(crate) keyboard_modes: usize,
}

pub(crate) struct Corrected<'a> {
    pub(crate) term: &'a mut Term<Listener>,
    pub(crate) extra: &'a mut Extra,
}

macro_rules! forward {
    ($($name:ident($($argument:ident: $kind:ty),*);)*) => {
        $(
            #[inline]
            fn $name(&mut self, $($argument: $kind),*) {
                Handler::$name(self.term, $($argument),*);
            }
        )*
    };
}

impl Corrected<'_> {
    fn has(&self, mode: TermMode) -> bool {
        self.term.mode().contains(mode)
    }

    /// The cursor's line and column.
    fn cursor(&self) -> (i32, usize) {
        let point = self.term.grid().cursor.point;
        (point.line.0, point.column.0)
    }

    fn screen(&mut self) -> &mut PerScreen {
        let alternate = self.has(TermMode::ALT_SCREEN);
        &mut self.extra.screens[usize::from(alternate)]
    }

    /// The line that origin mode counts from.
    fn origin(&self) -> i32 {
        if self.has(TermMode::ORIGIN) { self.extra.margins.start } else { 0 }
    }

    /// Moves to a line that is counted from the top of the screen.
    fn go(&mut self, line: i32, col: usize) {
        let origin = self.origin();
        Handler::goto(self.term, line - origin, col);
    }

    fn up(&mut self, lines: usize, col: usize) {
        let (line, _) = self.cursor();
        let top = self.extra.margins.start;
        let top = if line >= top { top } else { 0 };
        let lines = i32::try_from(lines).unwrap_or(i32::MAX);
        self.go(line.saturating_sub(lines).max(top), col);
    }

    fn down(&mut self, lines: usize, col: usize) {
        let (line, _) = self.cursor();
        let last = self.extra.margins.end - 1;
        let screen = i32::try_from(self.term.screen_lines()).unwrap_or(i32::MAX) - 1;
        let bottom = if line <= last { last } else { screen };
        let lines = i32::try_from(lines).unwrap_or(i32::MAX);
        self.go(line.saturating_add(lines).min(bottom), col);
    }

    /// Switches to the other screen and keeps the cursor, unlike mode 1049.
    fn swap_screens(&mut self) {
        let cursor = self.term.grid().cursor.clone();
        self.term.swap_alt();
        self.term.grid_mut().cursor = cursor;
    }
}

impl Handler for Corrected<'_> {
    forward! {
        set_title(title: Option<String>);
        set_cursor_style(style: Option<CursorStyle>);
        set_cursor_shape(shape: CursorShape);
        goto(line: i32, col: usize);
        goto_line(line: i32);
        insert_blank(count: usize);
        identify_terminal(intermediate: Option<char>);
        move_forward(cols: usize);
        move_backward(cols: usize);
        backspace();
        carriage_return();
        linefeed();
        bell();
        substitute();
        newline();
        set_horizontal_tabstop();
        scroll_up(lines: usize);
        scroll_down(lines: usize);
        insert_blank_lines(lines: usize);
        delete_lines(lines: usize);
        erase_chars(count: usize);
        delete_chars(count: usize);
        move_backward_tabs(count: u16);
        move_forward_tabs(count: u16);
        clear_line(mode: LineClearMode);
        clear_tabs(mode: TabulationClearMode);
        set_tabs(interval: u16);
        reverse_index();
        terminal_attribute(attribute: Attr);
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        report_mode(mode: Mode);
        report_private_mode(mode: PrivateMode);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        set_color(index: usize, color: Rgb);
        dynamic_color_sequence(prefix: String, index: usize, terminator: &str);
        reset_color(index: usize);
        clipboard_store(clipboard: u8, base64: &[u8]);
        clipboard_load(clipboard: u8, terminator: &str);
        push_title();
        pop_title();
        text_area_size_pixels();
        text_area_size_chars();
        set_hyperlink(link: Option<Hyperlink>);
        report_keyboard_mode();
        set_keyboard_mode(mode: KeyboardModes, apply: KeyboardModesApplyBehavior);
    }

    /// Limits the zero-width characters of a cell, which the library does not.
    #[inline]
    fn input(&mut self, c: char) {
        if c >= '\u{300}' && c.width() == Some(0) {
            let cursor = &self.term.grid().cursor;
            let mut point = cursor.point;
            if !cursor.input_needs_wrap && point.column.0 > 0 {
                point.column -= 1;
            }
            let cells = &self.term.grid()[point.line];
            let count = |column: Column| cells[column].zerowidth().map_or(0, <[char]>::len);
            let before = if point.column.0 > 0 { count(point.column - 1) } else { 0 };
            if count(point.column).max(before) >= MAX_COMBINING {
                return;
            }
        }
        Handler::input(self.term, c);
    }

    /// Changes only the column; in origin mode, the library would change the line too.
    fn goto_col(&mut self, col: usize) {
        let (line, _) = self.cursor();
        self.go(line, col);
    }

    /// Stops at the edge of the region, and in origin mode counts from the top of the screen.
    fn move_up(&mut self, lines: usize) {
        let (_, col) = self.cursor();
        self.up(lines, col);
    }

    /// Like [`Self::move_up`].
    fn move_down(&mut self, lines: usize) {
        let (_, col) = self.cursor();
        self.down(lines, col);
    }

    /// Like [`Self::move_up`].
    fn move_up_and_cr(&mut self, lines: usize) {
        self.up(lines, 0);
    }

    /// Like [`Self::move_up`].
    fn move_down_and_cr(&mut self, lines: usize) {
        self.down(lines, 0);
    }

    /// In origin mode, reports the cursor's position in the region (CPR).
    fn device_status(&mut self, kind: usize) {
        let origin = self.origin();
        if kind != 6 || origin == 0 {
            return Handler::device_status(self.term, kind);
        }
        let (line, col) = self.cursor();
        let text = format!("\x1b[{};{}R", line - origin + 1, col + 1);
        self.extra.replies.send_event(Event::PtyWrite(text));
    }

    /// Does not wrap at the right edge.
    fn put_tab(&mut self, count: u16) {
        if !self.term.grid().cursor.input_needs_wrap {
            Handler::put_tab(self.term, count);
        }
    }

    /// Also saves origin mode and the active charset.
    fn save_cursor_position(&mut self) {
        let saved = (self.has(TermMode::ORIGIN), self.extra.charset);
        self.screen().saved = saved;
        Handler::save_cursor_position(self.term);
    }

    /// Like [`Self::save_cursor_position`].
    fn restore_cursor_position(&mut self) {
        let (origin, charset) = self.screen().saved;
        let mode = NamedPrivateMode::Origin.into();
        if origin {
            Handler::set_private_mode(self.term, mode);
        } else {
            Handler::unset_private_mode(self.term, mode);
        }
        self.set_active_charset(charset);
        Handler::restore_cursor_position(self.term);
    }

    /// Also clears the first line if the cursor is in the second, which the library does not.
    fn clear_screen(&mut self, mode: ClearMode) {
        let (line, _) = self.cursor();
        if matches!(mode, ClearMode::Above) && line == 1 {
            self.term.grid_mut().reset_region(..Line(1));
        }
        Handler::clear_screen(self.term, mode);
    }

    fn reset_state(&mut self) {
        self.extra.charset = CharsetIndex::default();
        self.extra.screens = Default::default();
        self.extra.margins = 0..i32::try_from(self.term.screen_lines()).unwrap_or(i32::MAX);
        Handler::reset_state(self.term);
    }

    fn set_scrolling_region(&mut self, top: usize, bottom: Option<usize>) {
        let lines = self.term.screen_lines();
        let bottom = bottom.unwrap_or(lines).min(lines);
        // xterm ignores regions of less than two lines.
        if top < bottom {
            let line = |line: usize| i32::try_from(line).unwrap_or(i32::MAX);
            self.extra.margins = line(top) - 1..line(bottom);
            Handler::set_scrolling_region(self.term, top, Some(bottom));
        }
    }

    fn set_active_charset(&mut self, index: CharsetIndex) {
        self.extra.charset = index;
        Handler::set_active_charset(self.term, index);
    }

    /// Supports the older modes of the alternate screen (47, 1047, 1048).
    fn set_private_mode(&mut self, mode: PrivateMode) {
        match mode {
            PrivateMode::Unknown(47 | 1047) if !self.has(TermMode::ALT_SCREEN) => self.swap_screens(),
            PrivateMode::Unknown(1048) => self.save_cursor_position(),
            PrivateMode::Named(NamedPrivateMode::ColumnMode) => {
                self.set_scrolling_region(1, None);
                Handler::set_private_mode(self.term, mode);
            }
            mode => Handler::set_private_mode(self.term, mode),
        }
    }

    /// Like [`Self::set_private_mode`]. Also moves the cursor home at the end of origin mode.
    fn unset_private_mode(&mut self, mode: PrivateMode) {
        match mode {
            PrivateMode::Unknown(47 | 1047) if self.has(TermMode::ALT_SCREEN) => self.swap_screens(),
            PrivateMode::Unknown(1048) => self.restore_cursor_position(),
            PrivateMode::Named(NamedPrivateMode::ColumnMode) => {
                self.set_scrolling_region(1, None);
                Handler::unset_private_mode(self.term, mode);
            }
            PrivateMode::Named(NamedPrivateMode::Origin) => {
                Handler::unset_private_mode(self.term, mode);
                Handler::goto(self.term, 0, 0);
            }
            mode => Handler::unset_private_mode(self.term, mode),
        }
    }

    /// Also resets the region and moves the cursor home.
    fn decaln(&mut self) {
        Handler::decaln(self.term);
        self.set_scrolling_region(1, None);
        self.go(0, 0);
    }

    fn push_keyboard_mode(&mut self, mode: KeyboardModes) {
        if self.screen().keyboard_modes >= MAX_KEYBOARD_MODES {
            return Handler::set_keyboard_mode(self.term, mode, KeyboardModesApplyBehavior::Replace);
        }
        self.screen().keyboard_modes += 1;
        Handler::push_keyboard_mode(self.term, mode);
    }

    fn pop_keyboard_modes(&mut self, count: u16) {
        let screen = self.screen();
        screen.keyboard_modes = screen.keyboard_modes.saturating_sub(count.into());
        Handler::pop_keyboard_modes(self.term, count);
    }
}
