//! The control API as its document and its table say: every path, asked over the socket. Every
//! answer is held against the schemas that the daemon itself serves.

mod clock;
mod controlled;
mod document;
mod events;
mod faults;
mod hosts;
mod journal;
mod journal_pages;
mod journal_wait;
mod late;
mod long;
mod metrics;
mod page;
mod proxies;
mod settings;
mod snapshots;
mod starts;
mod tasks;
