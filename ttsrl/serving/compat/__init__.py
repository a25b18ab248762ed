"""Routes of other projects' reward servers, so that their clients work here unchanged."""
