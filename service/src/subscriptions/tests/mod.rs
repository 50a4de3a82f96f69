//! Subscriptions over real logs and real files.
