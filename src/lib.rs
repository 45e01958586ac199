//! dfcache.
