//! Tables of what callers, newspapers, forms and machines say.

mod announcements;
mod backchannels;
mod echoes;
mod long;
mod spoken;
mod switches;
mod table;
