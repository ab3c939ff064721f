//! bevor-sentry.
